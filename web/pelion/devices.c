/* /v2/endpoints: what is known of devices without asking them. */
#include "common/lwm2m/link_format.h"
#include "server/definition.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

/* ---- what is in a registration ---- */

json_t *pelion_type_json(const struct registration *r) {
    struct slice query = registration_query(r);
    while (query.len > 0) {
        const uint8_t *end = memchr(query.data, '&', query.len);
        size_t len = end == NULL ? query.len : (size_t)(end - query.data);
        if (len > 3 && memcmp(query.data, "et=", 3) == 0)
            return document_text(slice_of(query.data + 3, len - 3));
        query = slice_from(query, end == NULL ? len : len + 1);
    }
    return json_string("default");
}

static bool is_observable(struct definitions *definitions, const struct link_format_link *link,
                          const struct lwm2m_path *path) {
    struct catalogue_resource resource;
    struct slice value;
    if (link_format_find(link, "obs", &value) || link_format_find(link, "aobs", &value))
        return true;
    return path->len < 3 || !definition_find(definitions, path, &resource) ||
           (resource.operations & CATALOGUE_READ) != 0;
}

/* A list being filled with {path_name: "/3/0/0", type_name: …, obs}. */
struct list {
    struct definitions definitions;
    json_t *json;
    const char *path_name, *type_name;
};

static void add_link(struct list *list, const struct link_format_link *link, const struct lwm2m_path *path) {
    struct slice rt = SLICE_NONE;
    uint8_t memory[32];
    struct buffer text = buffer_over(memory, sizeof memory);
    json_t *json = json_object();
    link_format_find(link, "rt", &rt);
    lwm2m_path_put(&text, path);
    set(json, list->path_name, document_text(buffer_slice(&text)));
    set(json, "rt", document_text(rt.data == NULL ? slice_str("") : rt));
    set(json, list->type_name, json_string(path->len == 3 ? "text/plain" : ""));
    set(json, "obs", json_boolean(is_observable(&list->definitions, link, path)));
    json_array_append_new(list->json, json);
}

/* For each link, and for each resource that is known of an instance that stands there alone. */
static void add_links(struct pelion *pelion, const struct registration *r, struct list *list) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path path;
    const struct lwm2m_path *resources;
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link)) {
        if (!lwm2m_path_parse(link.target, &path, NULL) || path.len == 0)
            continue;
        size_t count = path.len == 2 ? pelion_resources_of(pelion, r, &path, &resources) : 0;
        for (size_t i = 0; i < count; i++)
            add_link(list, &link, &resources[i]);
        if (count == 0)
            add_link(list, &link, &path);
    }
}

json_t *pelion_registration_json(struct pelion *pelion, const struct registration *r) {
    struct device_id id = device_id_of(registration_endpoint(r));
    json_t *json = json_object();
    struct list list = {.definitions = definitions_of(pelion->web->server, r),
                        .json = json_array(),
                        .path_name = "path",
                        .type_name = "ct"};
    set(json, "ep", json_string(id.hex));
    set(json, "original-ep", document_text(registration_endpoint(r)));
    set(json, "ept", pelion_type_json(r));
    set(json, "q", json_boolean(r->queue_mode));
    add_links(pelion, r, &list);
    set(json, "resources", list.json);
    return json;
}

bool pelion_has_path(const struct registration *r, const struct lwm2m_path *path) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path known;
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link)) {
        if (lwm2m_path_parse(link.target, &known, NULL) && known.len > 0 &&
            (lwm2m_path_contains(&known, path) || lwm2m_path_contains(path, &known)))
            return true;
    }
    return false;
}

/* ---- /v2/endpoints ---- */

void pelion_endpoints_list(const struct call *call) {
    struct slice type = query_get(&call->query, "type");
    json_t *list = json_array();
    const struct registration *r;
    uint32_t slot = 0;
    while ((r = directory_next(call->web->server->directory, &slot)) != NULL) {
        struct device_id id = device_id_of(registration_endpoint(r));
        json_t *its_type = pelion_type_json(r);
        if (type.data == NULL || slice_equal(document_string(its_type), type))
            json_array_append_new(list, json_pack("{sssOsssb}", "name", id.hex, "type", its_type, "status", "ACTIVE",
                                                  "q", (int)r->queue_mode));
        json_decref(its_type);
    }
    pelion_send_json(call->request, 200, list);
}

static void send_resources(struct pelion *pelion, struct http_request *request, struct slice device) {
    const struct registration *r = pelion_registration(pelion, device);
    if (r == NULL) {
        pelion_send_text(request, 404, "");
        return;
    }
    struct list list = {.definitions = definitions_of(pelion->web->server, r),
                        .json = json_array(),
                        .path_name = "uri",
                        .type_name = "type"};
    add_links(pelion, r, &list);
    pelion_send_json(request, 200, list.json);
}

void pelion_endpoints_get(const struct call *call) {
    struct pelion *pelion = call->web->pelion;
    const struct registration *r = pelion_registration(pelion, call->args[0]);
    if (r == NULL)
        pelion_send_text(call->request, 404, "");
    else
        pelion_resources_list(pelion, r, call->request, send_resources);
}
