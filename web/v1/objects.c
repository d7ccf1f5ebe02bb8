#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/lwm2m/object_xml.h"
#include "server/objects.h"
#include "web/document.h"
#include "web/input.h"
#include "web/stored.h"
#include "web/v1/v1.h"
#include "web/web.h"

/* ---- what a path names ---- */

struct target {
    uint16_t id, version; /* CATALOGUE_ANY_VERSION when the path has none */
};

static bool read_target(const struct call *call, bool has_version, struct target *target) {
    uint64_t id;
    target->version = CATALOGUE_ANY_VERSION;
    if (!slice_to_u64(call->args[0], LWM2M_ID_MAX, &id)) {
        problem_send(call->request, PROBLEM_BAD_REQUEST, "\"%.*s\" is no object id; it must be a number from 0 to %d.",
                     (int)call->args[0].len, (const char *)call->args[0].data, LWM2M_ID_MAX);
        return false;
    }
    target->id = (uint16_t)id;
    if (!has_version || catalogue_version_parse(call->args[1], &target->version))
        return true;
    problem_send(call->request, PROBLEM_BAD_REQUEST, "\"%.*s\" is no version of an object; it must be like 1.0.",
                 (int)call->args[1].len, (const char *)call->args[1].data);
    return false;
}

static json_t *version_json(uint16_t version) {
    char text[CATALOGUE_VERSION_TEXT_MAX];
    return json_string(catalogue_version_text(version, text));
}

static void send_not_found(const struct call *call, struct target target, const char *of_the_api) {
    char text[CATALOGUE_VERSION_TEXT_MAX];
    bool any = target.version == CATALOGUE_ANY_VERSION;
    problem_send(call->request, PROBLEM_NOT_FOUND, "There is no definition of object %u%s%s%s.", target.id,
                 any ? "" : " in version ", any ? "" : catalogue_version_text(target.version, text), of_the_api);
}

/* ---- JSON ---- */

static const char *source_name(enum catalogue_source source) {
    static const char *const names[] = {
        [CATALOGUE_BUILT_IN] = "built-in", [CATALOGUE_FILE] = "file", [CATALOGUE_STORED] = "loaded"};
    return names[source];
}

static json_t *text_or_null(const char *text) {
    return text[0] == '\0' ? json_null() : json_string(text);
}

static json_t *operations_json(uint8_t operations) {
    char text[4];
    if ((operations & CATALOGUE_UNKNOWN) != 0)
        return json_null();
    snprintf(text, sizeof text, "%s%s%s", (operations & CATALOGUE_READ) != 0 ? "R" : "",
             (operations & CATALOGUE_WRITE) != 0 ? "W" : "", (operations & CATALOGUE_EXECUTE) != 0 ? "E" : "");
    return json_string(text);
}

static json_t *resource_json(const struct catalogue_resource *resource) {
    json_t *json = json_object();
    json_object_set_new(json, "id", json_integer(resource->id));
    json_object_set_new(json, "name", json_string(resource->name));
    json_object_set_new(json, "operations", operations_json(resource->operations));
    json_object_set_new(json, "instances", json_string(resource->multiple ? "multiple" : "single"));
    json_object_set_new(json, "mandatory", json_boolean(resource->mandatory));
    json_object_set_new(json, "type",
                        resource->type == LWM2M_NONE ? json_null() : json_string(lwm2m_type_name(resource->type)));
    json_object_set_new(json, "range", text_or_null(resource->range));
    json_object_set_new(json, "units", text_or_null(resource->units));
    return json;
}

/* As the registry forms them; null for ids that it does not give out. */
static json_t *urn_json(const struct catalogue_object *object) {
    char version[CATALOGUE_VERSION_TEXT_MAX];
    const char *label = object->id < 1024     ? "oma"
                        : object->id < 2048   ? NULL
                        : object->id <= 10240 ? "ext"
                        : object->id <= 42768 ? "x"
                                              : NULL;
    if (object->urn[0] != '\0')
        return json_string(object->urn);
    if (label == NULL)
        return json_null();
    if (object->version == 1 << 8)
        return json_sprintf("urn:oma:lwm2m:%s:%u", label, object->id);
    return json_sprintf("urn:oma:lwm2m:%s:%u:%s", label, object->id, catalogue_version_text(object->version, version));
}

static json_t *summary_json(const struct catalogue_object *object) {
    json_t *json = json_object();
    json_object_set_new(json, "id", json_integer(object->id));
    json_object_set_new(json, "version", version_json(object->version));
    json_object_set_new(json, "name", json_string(object->name));
    json_object_set_new(json, "source", json_string(source_name(object->source)));
    return json;
}

static json_t *definition_json(const struct catalogue_object *object) {
    json_t *json = summary_json(object), *resources = json_array();
    json_object_set_new(json, "urn", urn_json(object));
    json_object_set_new(json, "lwm2m_version", json_sprintf("%u.%u", object->lwm2m / 10u, object->lwm2m % 10u));
    json_object_set_new(json, "instances", json_string(object->multiple ? "multiple" : "single"));
    json_object_set_new(json, "mandatory", json_boolean(object->mandatory));
    for (size_t i = 0; i < object->resource_count; i++) {
        struct catalogue_resource resource = catalogue_resource_at(object, i);
        json_array_append_new(resources, resource_json(&resource));
    }
    json_object_set_new(json, "resources", resources);
    return json;
}

/* ---- looking ---- */

enum { LIST_DEFAULT = 100, LIST_MAX = 1000 };

void v1_objects_list(const struct call *call) {
    const struct catalogue *catalogue = call->web->server->catalogue;
    struct catalogue_object object = {0};
    uint64_t limit = LIST_DEFAULT, cursor = 0;
    if (!input_number(call, "limit", 1, LIST_MAX, &limit) || !input_number(call, "cursor", 0, UINT32_MAX, &cursor))
        return;
    /* The cursor is the id and version to go on after. */
    uint16_t id = (uint16_t)(cursor >> 16), version = (uint16_t)cursor;
    json_t *items = json_array();
    bool more;
    while ((more = catalogue_next(catalogue, id, version, &object)) && json_array_size(items) < limit) {
        json_array_append_new(items, summary_json(&object));
        id = object.id;
        version = object.version;
    }
    json_t *page = json_object();
    json_object_set_new(page, "items", items);
    json_object_set_new(page, "next", more ? json_sprintf("%" PRIu32, (uint32_t)id << 16 | version) : json_null());
    document_ok(call->request, page);
}

static void get(const struct call *call, bool has_version) {
    const struct catalogue *catalogue = call->web->server->catalogue;
    struct catalogue_object object;
    struct target target;
    if (!read_target(call, has_version, &target))
        return;
    if (has_version ? catalogue_get(catalogue, target.id, target.version, &object)
                    : catalogue_find(catalogue, target.id, CATALOGUE_ANY_VERSION, &object))
        document_ok(call->request, definition_json(&object));
    else
        send_not_found(call, target, "");
}

void v1_objects_get(const struct call *call) {
    get(call, false);
}

void v1_objects_get_version(const struct call *call) {
    get(call, true);
}

/* ---- loading ---- */

/* curl says that a body is a form when it is not told what it is. */
static bool is_xml(const struct http_request *request) {
    static const char *const types[] = {"application/xml", "text/xml", "application/x-www-form-urlencoded"};
    struct slice type = http_header(request, "content-type");
    if (type.data == NULL)
        return true;
    size_t len = 0;
    while (len < type.len && strchr("; \t", type.data[len]) == NULL)
        len++;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (len == strlen(types[i]) && strncasecmp((const char *)type.data, types[i], len) == 0)
            return true;
    }
    return false;
}

static void __attribute__((format(printf, 3, 4)))
send_wrong_xml(const struct call *call, unsigned line, const char *format, ...) {
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (line == 0)
        problem_send(call->request, PROBLEM_BAD_BODY, "The body is no object definition: %s.", text);
    else
        problem_send_with(call->request, PROBLEM_BAD_BODY, json_pack("{sI}", "line", (json_int_t)line), NULL,
                          "The body is no object definition: line %u: %s.", line, text);
}

static void free_all(struct catalogue_definition *definition) {
    for (struct catalogue_definition *next; definition != NULL; definition = next) {
        next = object_xml_next(definition);
        object_xml_free(definition);
    }
}

/* The one definition in the body, of what the path names; or NULL, and it is answered. */
static struct catalogue_definition *read_definition(const struct call *call, struct target target) {
    struct object_xml_error error;
    char version[CATALOGUE_VERSION_TEXT_MAX], wanted[CATALOGUE_VERSION_TEXT_MAX];
    struct catalogue_definition *definition = object_xml_parse(call->request->body, &error);
    if (definition == NULL) {
        send_wrong_xml(call, error.line, "%s", error.text);
        return NULL;
    }
    struct catalogue_definition *second = object_xml_next(definition);
    if (second != NULL)
        send_wrong_xml(call, object_xml_line(second), "here is a second object; each is loaded with a call of its own");
    else if (object_xml_id(definition) != target.id)
        send_wrong_xml(call, object_xml_line(definition), "this is object %u, and the path names object %u",
                       object_xml_id(definition), target.id);
    else if (target.version != CATALOGUE_ANY_VERSION && object_xml_version(definition) != target.version)
        send_wrong_xml(call, object_xml_line(definition),
                       "this is version %s of the object, and the path names version %s",
                       catalogue_version_text(object_xml_version(definition), version),
                       catalogue_version_text(target.version, wanted));
    else
        return definition;
    free_all(definition);
    return NULL;
}

struct loading {
    struct http_request *request;
    bool new;
    uint16_t id, version;
};

static void on_loaded(void *arg, enum store_result result) {
    struct loading *loading = arg;
    if (result == STORE_OK && loading->new) {
        char headers[64], version[CATALOGUE_VERSION_TEXT_MAX];
        snprintf(headers, sizeof headers, "Location: /v1/objects/%u/%s\r\n", loading->id,
                 catalogue_version_text(loading->version, version));
        http_respond(loading->request, &(struct http_response){.status = 201, .headers = headers});
    } else {
        answer_stored(loading->request, result);
    }
    free(loading);
}

static void put(const struct call *call, bool has_version) {
    struct server *server = call->web->server;
    struct target target;
    if (!read_target(call, has_version, &target))
        return;
    if (!is_xml(call->request)) {
        problem_send(call->request, PROBLEM_MEDIA_TYPE,
                     "An object definition is OMA XML: application/xml or text/xml.");
        return;
    }
    if (call->request->body.len > OBJECT_XML_MAX) {
        problem_send(call->request, PROBLEM_TOO_LARGE, "An object definition has at most %d bytes.", OBJECT_XML_MAX);
        return;
    }
    struct catalogue_definition *definition = read_definition(call, target);
    if (definition == NULL)
        return;
    struct loading *loading = malloc(sizeof *loading);
    if (loading == NULL) {
        object_xml_free(definition);
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    *loading =
        (struct loading){.request = stored_request(call), .id = target.id, .version = object_xml_version(definition)};
    loading->new = !catalogue_has(server->catalogue, loading->id, loading->version, CATALOGUE_STORED);
    if (!objects_put(server, definition, call->request->body, on_loaded, loading)) {
        free(loading);
        problem_send(call->request, PROBLEM_OVERLOADED,
                     "There are as many definitions as the server takes: %d, or %d MiB; delete some.",
                     CATALOGUE_DEFINITIONS_MAX, CATALOGUE_BYTES_MAX >> 20);
    }
}

void v1_objects_put(const struct call *call) {
    put(call, false);
}

void v1_objects_put_version(const struct call *call) {
    put(call, true);
}

/* ---- deleting ---- */

/* The newest version of the object that the API has. */
static uint16_t newest_loaded(const struct catalogue *catalogue, uint16_t id) {
    struct catalogue_object object;
    uint16_t version = 0, newest = CATALOGUE_ANY_VERSION;
    while (catalogue_next(catalogue, id, version, &object) && object.id == id) {
        version = object.version;
        if (object.source == CATALOGUE_STORED)
            newest = version;
    }
    return newest;
}

static void delete (const struct call *call, bool has_version) {
    struct server *server = call->web->server;
    struct target target;
    if (!read_target(call, has_version, &target))
        return;
    uint16_t version = has_version ? target.version : newest_loaded(server->catalogue, target.id);
    if (!objects_delete(server, target.id, version, answer_stored, stored_request(call)))
        send_not_found(call, target, " that was loaded here; others stay");
}

void v1_objects_delete(const struct call *call) {
    delete (call, false);
}

void v1_objects_delete_version(const struct call *call) {
    delete (call, true);
}
