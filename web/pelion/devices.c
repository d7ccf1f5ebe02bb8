/* /v3/devices and /v2/endpoints: what is known of devices without asking them. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/lwm2m/link_format.h"
#include "server/definition.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MIN = 2, LIMIT_MAX = 1000, NAME_MAX_LEN = 64 };

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

json_t *pelion_time_json(uint64_t unix_ms) {
    char text[48];
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + len, sizeof text - len, ".%03u000Z", (unsigned)(unix_ms % 1000));
    return json_string(text);
}

/* ---- what is in a registration ---- */

/* The endpoint type that the device told (`et`), "default" when it did not. */
static json_t *type_json(const struct registration *r) {
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

/* `list` gets {path_name: "/3/0/0", type_name: …, obs} for each link. */
static void add_links(const struct registration *r, const struct server *server, json_t *list, const char *path_name,
                      const char *type_name) {
    struct definitions definitions = definitions_of(server, r);
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path path;
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link)) {
        struct slice rt = SLICE_NONE;
        if (!lwm2m_path_parse(link.target, &path, NULL) || path.len == 0)
            continue;
        json_t *json = json_object();
        link_format_find(&link, "rt", &rt);
        set(json, path_name, document_text(link.target));
        set(json, "rt", document_text(rt.data == NULL ? slice_str("") : rt));
        set(json, type_name, json_string(path.len == 3 ? "text/plain" : ""));
        set(json, "obs", json_boolean(is_observable(&definitions, &link, &path)));
        json_array_append_new(list, json);
    }
}

json_t *pelion_registration_json(const struct server *server, const struct registration *r) {
    struct device_id id = device_id_of(registration_endpoint(r));
    json_t *json = json_object(), *resources = json_array();
    set(json, "ep", json_string(id.hex));
    set(json, "original-ep", document_text(registration_endpoint(r)));
    set(json, "ept", type_json(r));
    set(json, "q", json_boolean(r->queue_mode));
    add_links(r, server, resources, "path", "ct");
    set(json, "resources", resources);
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
        json_t *its_type = type_json(r);
        if (type.data == NULL || slice_equal(document_string(its_type), type))
            json_array_append_new(list, json_pack("{sssOsssb}", "name", id.hex, "type", its_type, "status", "ACTIVE",
                                                  "q", (int)r->queue_mode));
        json_decref(its_type);
    }
    pelion_send_json(call->request, 200, list);
}

void pelion_endpoints_get(const struct call *call) {
    const struct registration *r = pelion_registration(call->web->pelion, call->args[0]);
    json_t *list = json_array();
    if (r == NULL) {
        json_decref(list);
        pelion_send_text(call->request, 404, "");
        return;
    }
    add_links(r, call->web->server, list, "uri", "type");
    pelion_send_json(call->request, 200, list);
}

/* ---- /v3/devices ---- */

static json_t *device_json(const struct web *web, const char *id, const json_t *endpoint) {
    const struct registration *r = directory_find(web->server->directory, document_string(endpoint));
    json_t *json =
        json_pack("{sssssssOsOsssssssssisss[]s{}sb}", "object", "device", "id", id, "account_id",
                  "00000000000000000000000000000001", "name", endpoint, "endpoint_name", endpoint, "description", "",
                  "state", r == NULL ? "deregistered" : "registered", "mechanism", "connector", "host_gateway", "",
                  "device_execution_mode", r != NULL && r->profile == PROFILE_PELION ? 1 : 0, "lifecycle_status",
                  "enabled", "groups", "custom_attributes", "auto_update", 0);
    set(json, "endpoint_type", r == NULL ? json_string("default") : type_json(r));
    set(json, "created_at", r == NULL ? json_null() : pelion_time_json(r->registered_at_ms));
    set(json, "updated_at", r == NULL ? json_null() : pelion_time_json(r->updated_at_ms));
    set(json, "etag", r == NULL ? json_null() : pelion_time_json(r->updated_at_ms));
    set(json, "bootstrapped_timestamp", r == NULL ? json_null() : pelion_time_json(r->registered_at_ms));
    set(json, "connector_expiration_date",
        r == NULL || r->expires_at_ms == UINT64_MAX ? json_null() : pelion_time_json(r->expires_at_ms));
    return json;
}

void pelion_devices_get(const struct call *call) {
    struct slice endpoint = pelion_endpoint(call->web->pelion, call->args[0]);
    char id[33] = {0};
    if (endpoint.data == NULL) {
        pelion_send_error(call->request, 404, "There is no such device.");
        return;
    }
    memcpy(id, call->args[0].data, sizeof id - 1);
    pelion_send_json(call->request, 200, device_json(call->web, id, json_object_get(call->web->pelion->ids, id)));
}

/* Whether `value` is what one condition, "state__eq" or "state", asks for. */
static bool meets(struct slice operation, struct slice value, struct slice wanted) {
    bool is_list = slice_is(operation, "in") || slice_is(operation, "nin"), found = false;
    if (slice_is(operation, "gte") || slice_is(operation, "lte")) {
        /* Dates of one form sort as texts do. */
        size_t len = value.len < wanted.len ? value.len : wanted.len;
        int order = len == 0 ? 0 : memcmp(value.data, wanted.data, len);
        return slice_is(operation, "gte") ? order >= 0 : order <= 0;
    }
    do {
        const uint8_t *comma = is_list && wanted.len > 0 ? memchr(wanted.data, ',', wanted.len) : NULL;
        size_t len = comma == NULL ? wanted.len : (size_t)(comma - wanted.data);
        found = found || slice_equal(value, slice_of(wanted.data, len));
        wanted = slice_from(wanted, comma == NULL ? len : len + 1);
    } while (wanted.len > 0);
    return slice_is(operation, "neq") || slice_is(operation, "nin") ? !found : found;
}

/* What a list can be asked for besides conditions. */
static bool is_paging(struct slice name) {
    return slice_is(name, "limit") || slice_is(name, "order") || slice_is(name, "after") || slice_is(name, "include") ||
           slice_is(name, "filter");
}

static bool meets_item(const json_t *device, struct slice name, struct slice wanted) {
    char field[NAME_MAX_LEN];
    struct slice operation = slice_str("eq");
    const uint8_t *mark = name.len > 0 ? memmem(name.data, name.len, "__", 2) : NULL;
    if (mark != NULL) {
        operation = slice_from(name, (size_t)(mark + 2 - name.data));
        name.len = (size_t)(mark - name.data);
    }
    if (name.len >= sizeof field)
        return true;
    memcpy(field, name.data, name.len);
    field[name.len] = '\0';
    const json_t *value = json_object_get(device, field);
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    struct slice text = json_is_string(value)    ? document_string(value)
                        : json_is_integer(value) ? slice_str(number)
                                                 : SLICE_NONE;
    return value == NULL || meets(operation, text, wanted);
}

static bool meets_query(const json_t *device, const struct query *query) {
    for (size_t i = 0; i < query->count; i++) {
        if (!is_paging(query->items[i].name) && !meets_item(device, query->items[i].name, query->items[i].value))
            return false;
    }
    return true;
}

/* A page being filled. */
struct page {
    const struct query *query, *filter;
    uint64_t limit, total;
    json_t *data;
    bool wants_total, has_more;
};

static void add(struct page *page, json_t *device, bool is_past) {
    bool wanted = meets_query(device, page->query) && meets_query(device, page->filter);
    page->total += wanted;
    if (wanted && is_past && json_array_size(page->data) == page->limit)
        page->has_more = true;
    else if (wanted && is_past)
        json_array_append(page->data, device);
    json_decref(device);
}

/* Devices stand in the order in which they came. */
static void fill(const struct call *call, struct page *page, bool is_descending, struct slice after) {
    const json_t *ids = call->web->pelion->ids;
    size_t count = json_object_size(ids);
    const char **order = calloc(count + 1, sizeof *order), *id;
    json_t *name;
    size_t i = 0;
    if (order == NULL)
        return;
    json_object_foreach((json_t *)(uintptr_t)ids, id, name) order[i++] = id;
    bool is_past = after.len == 0;
    for (i = 0; i < count && (page->wants_total || !page->has_more); i++) {
        id = order[is_descending ? count - 1 - i : i];
        if (is_past || page->wants_total)
            add(page, device_json(call->web, id, json_object_get(ids, id)), is_past);
        is_past = is_past || slice_is(after, id);
    }
    free(order);
}

static bool includes_total(const struct query *query) {
    struct slice include = query_get(query, "include");
    return include.len > 0 && memmem(include.data, include.len, "total_count", 11) != NULL;
}

void pelion_devices_list(const struct call *call) {
    struct slice order = query_get(&call->query, "order"), after = query_get(&call->query, "after");
    struct slice text = query_get(&call->query, "filter");
    struct query filter = {.count = 0};
    struct page page = {.query = &call->query, .filter = &filter, .limit = LIMIT_DEFAULT};
    uint8_t decoded[1024];
    struct buffer memory = buffer_over(decoded, sizeof decoded);
    const char *fault = text.len > sizeof decoded ? "The filter is too long." : query_parse(text, &memory, &filter);
    if (fault != NULL) {
        pelion_send_error(call->request, 400, fault);
        return;
    }
    if (slice_to_u64(query_get(&call->query, "limit"), INT32_MAX, &page.limit))
        page.limit = page.limit < LIMIT_MIN ? LIMIT_MIN : page.limit > LIMIT_MAX ? LIMIT_MAX : page.limit;
    else
        page.limit = LIMIT_DEFAULT;
    page.data = json_array();
    page.wants_total = includes_total(&call->query);
    fill(call, &page, slice_is(order, "DESC"), after);
    json_t *json = json_object();
    set(json, "object", json_string("list"));
    set(json, "limit", json_integer((json_int_t)page.limit));
    set(json, "after", after.len == 0 ? json_null() : document_text(after));
    set(json, "order", json_string(slice_is(order, "DESC") ? "DESC" : "ASC"));
    set(json, "has_more", json_boolean(page.has_more));
    if (page.wants_total)
        set(json, "total_count", json_integer((json_int_t)page.total));
    set(json, "data", page.data);
    pelion_send_json(call->request, 200, json);
}

/* ---- /v3/accounts/me ---- */

void pelion_account_get(const struct call *call) {
    json_t *json = json_pack("{sssssssssssss[]}", "object", "account", "id", "00000000000000000000000000000001",
                             "status", "ACTIVE", "tier", "1", "end_market", "", "display_name", "Berth", "aliases");
    set(json, "etag", pelion_time_json(call->web->started_s * 1000));
    set(json, "created_at", pelion_time_json(call->web->started_s * 1000));
    pelion_send_json(call->request, 200, json);
}
