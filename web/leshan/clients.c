/* /api/clients: registrations. */
#include <stdio.h>
#include <stdlib.h>

#include "common/lwm2m/link_format.h"
#include "common/lwm2m/path.h"
#include "server/awake.h"
#include "web/document.h"
#include "web/leshan/leshan.h"
#include "web/v1/device_json.h"
#include "web/v1/link_json.h"

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static void add_instance(json_t *available, const struct lwm2m_path *path) {
    char name[8];
    snprintf(name, sizeof name, "%u", (unsigned)path->ids[0]);
    json_t *instances = json_object_get(available, name);
    if (instances == NULL) {
        instances = json_array();
        set(available, name, instances);
    }
    if (path->len >= 2)
        json_array_append_new(instances, json_integer(path->ids[1]));
}

/* Both forms of the object list: every link, and the instances of each object. */
static void set_objects(json_t *json, struct slice links) {
    json_t *list = json_array(), *available = json_object();
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path path;
    link_format_start(&cursor, links);
    while (link_format_next(&cursor, &link)) {
        json_t *object = json_object();
        set(object, "url", document_text(link.target));
        set(object, "attributes", link_attributes_json(&link));
        json_array_append_new(list, object);
        if (lwm2m_path_parse(link.target, &path, NULL) && path.len > 0)
            add_instance(available, &path);
    }
    set(json, "objectLinks", list);
    set(json, "availableInstances", available);
}

static json_t *binding_json(const struct registration *r) {
    uint8_t memory[8];
    struct buffer text = buffer_over(memory, sizeof memory);
    registration_put_binding(&text, r);
    return document_text(buffer_slice(&text));
}

json_t *leshan_registration_json(const struct registration *r) {
    struct slice root = registration_root(r);
    json_t *json = json_object();
    set(json, "endpoint", document_text(registration_endpoint(r)));
    set(json, "registrationId", document_text(registration_location(r)));
    set(json, "registrationDate", json_integer((json_int_t)r->registered_at_ms));
    set(json, "lastUpdate", json_integer((json_int_t)r->updated_at_ms));
    set(json, "address", document_address(&r->link->peer));
    if (registration_sms(r).len > 0)
        set(json, "smsNumber", document_text(registration_sms(r)));
    set(json, "lwM2mVersion", json_string(registration_version_text(r)));
    set(json, "lifetime", json_integer(r->lifetime_s));
    set(json, "bindingMode", binding_json(r));
    set(json, "rootPath", document_text(root.len == 0 ? slice_str("/") : root));
    set_objects(json, registration_links(r));
    set(json, "secure", json_boolean(r->security != LINK_NO_SECURITY));
    set(json, "additionalRegistrationAttributes", device_json_parameters(r));
    set(json, "queuemode", json_boolean(r->queue_mode));
    if (r->queue_mode)
        set(json, "sleeping", json_boolean(!awake_is(r)));
    return json;
}

void leshan_clients_list(const struct call *call) {
    const struct server *server = call->web->server;
    const struct registration *r;
    uint32_t slot = 0;
    json_t *list = json_array();
    while ((r = directory_next(server->directory, &slot)) != NULL)
        json_array_append_new(list, leshan_registration_json(r));
    document_ok(call->request, list);
}

void leshan_clients_get(const struct call *call) {
    const struct registration *r = directory_find(call->web->server->directory, call->args[0]);
    if (r != NULL)
        document_ok(call->request, leshan_registration_json(r));
    else
        leshan_send_text(call->request, 400, "no registered client with id '%.*s'", (int)call->args[0].len,
                         (const char *)call->args[0].data);
}
