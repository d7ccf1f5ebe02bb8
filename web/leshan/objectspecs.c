/* /api/objectspecs/{endpoint}: the definitions of the objects that a device has. */
#include <stdio.h>

#include "common/lwm2m/link_format.h"
#include "server/definition.h"
#include "web/document.h"
#include "web/leshan/leshan.h"
#include "web/leshan/node.h"

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static json_t *operations_json(uint8_t operations) {
    char text[4] = "";
    size_t len = 0;
    if (operations == CATALOGUE_UNKNOWN)
        return json_string("");
    if ((operations & CATALOGUE_READ) != 0)
        text[len++] = 'R';
    if ((operations & CATALOGUE_WRITE) != 0)
        text[len++] = 'W';
    if ((operations & CATALOGUE_EXECUTE) != 0)
        text[len++] = 'E';
    text[len] = '\0';
    return json_string(text);
}

static const char *instances_name(bool multiple) {
    return multiple ? "multiple" : "single";
}

static json_t *resource_json(const struct catalogue_resource *resource) {
    json_t *json = json_object();
    set(json, "id", json_integer(resource->id));
    set(json, "name", json_string(resource->name));
    set(json, "operations", operations_json(resource->operations));
    set(json, "instancetype", json_string(instances_name(resource->multiple)));
    set(json, "mandatory", json_boolean(resource->mandatory));
    set(json, "type", json_string(resource->type == LWM2M_NONE ? "none" : leshan_node_type_name(resource->type)));
    set(json, "range", json_string(resource->range));
    set(json, "units", json_string(resource->units));
    set(json, "description", json_string(""));
    return json;
}

static json_t *urn_json(const struct catalogue_object *object) {
    char version[CATALOGUE_VERSION_TEXT_MAX];
    const char *kind = object->id < 1024 ? "oma" : object->id < 2048 ? "reserved" : object->id < 10241 ? "ext" : "x";
    if (object->urn[0] != '\0')
        return json_string(object->urn);
    return json_sprintf("urn:oma:lwm2m:%s:%u%s%s", kind, (unsigned)object->id, object->version == 0x100 ? "" : ":",
                        object->version == 0x100 ? "" : catalogue_version_text(object->version, version));
}

static json_t *object_json(const struct catalogue_object *object) {
    char version[CATALOGUE_VERSION_TEXT_MAX];
    json_t *json = json_object(), *resources = json_array();
    for (size_t i = 0; i < object->resource_count; i++) {
        struct catalogue_resource resource = catalogue_resource_at(object, i);
        json_array_append_new(resources, resource_json(&resource));
    }
    set(json, "id", json_integer(object->id));
    set(json, "name", json_string(object->name));
    set(json, "instancetype", json_string(instances_name(object->multiple)));
    set(json, "mandatory", json_boolean(object->mandatory));
    set(json, "urn", urn_json(object));
    set(json, "version", json_string(catalogue_version_text(object->version, version)));
    set(json, "lwm2mversion", json_sprintf("%u.%u", object->lwm2m / 10u, object->lwm2m % 10u));
    set(json, "description", json_string(""));
    set(json, "resourcedefs", resources);
    return json;
}

static bool is_listed(const json_t *list, uint16_t id) {
    size_t i;
    json_t *object;
    json_array_foreach((json_t *)(uintptr_t)list, i, object) {
        if (json_integer_value(json_object_get(object, "id")) == id)
            return true;
    }
    return false;
}

void leshan_objectspecs_get(const struct call *call) {
    const struct server *server = call->web->server;
    const struct registration *r = directory_find(server->directory, call->args[0]);
    if (r == NULL) {
        leshan_send_text(call->request, 400, "no registered client with id '%.*s'", (int)call->args[0].len,
                         (const char *)call->args[0].data);
        return;
    }
    struct definitions definitions = definitions_of(server, r);
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path path;
    json_t *list = json_array();
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link)) {
        struct catalogue_object object;
        if (!lwm2m_path_parse(link.target, &path, NULL) || path.len == 0 || is_listed(list, path.ids[0]))
            continue;
        if (definition_of_object(&definitions, path.ids[0], &object))
            json_array_append_new(list, object_json(&object));
    }
    document_ok(call->request, list);
}
