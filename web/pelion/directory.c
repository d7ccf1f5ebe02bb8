/* /v3/devices: the directory. A device is known from its first registration or bootstrap on, or since a call made it; what
 * is kept of one is {endpoint_name, created_at, updated_at, bootstrapped_at, was_seen, is_bootstrapped (and has not
 * registered since), is_set} and the fields below that were put. Of those that are gone and of which nothing was put, so
 * many are kept as there is room for. Everything else comes from the registration. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/credential.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum { ATTRIBUTE_MAX = 128 };

const char pelion_device_fields[] =
    "account_id auto_update bootstrap_expiration_date bootstrapped_timestamp ca_id connector_expiration_date "
    "created_at "
    "custom_attributes deployed_state deployment description device_class device_execution_mode device_key "
    "endpoint_name endpoint_type enrolment_list_timestamp etag firmware_checksum groups host_gateway id "
    "issuer_fingerprint lifecycle_status manifest manifest_timestamp mechanism mechanism_url name operator_suspended "
    "serial_number state system_suspended updated_at vendor_id";

#define PUT_FIELDS                                                                            \
    {"name", PELION_TEXT, 128, false}, {"description", PELION_TEXT, 2000, false},             \
        {"endpoint_type", PELION_TEXT, 64, false}, {"host_gateway", PELION_TEXT, 512, false}, \
        {"ca_id", PELION_TEXT, 500, false}, {"device_key", PELION_TEXT, 512, false},          \
        {"auto_update", PELION_BOOLEAN, 0, false}, {                                          \
        "custom_attributes", PELION_ATTRIBUTES, ATTRIBUTE_MAX, false                          \
    }

static const struct pelion_field put_fields[] = {PUT_FIELDS, {NULL, PELION_TEXT, 0, false}};
static const struct pelion_field post_fields[] = {
    PUT_FIELDS,
    {"endpoint_name", PELION_TEXT, 64, false},
    {"serial_number", PELION_TEXT, 64, false},
    {"vendor_id", PELION_TEXT, 255, false},
    {"device_class", PELION_TEXT, 32, false},
    {"firmware_checksum", PELION_TEXT, 64, false},
    {"issuer_fingerprint", PELION_TEXT, 64, false},
    {"manifest", PELION_TEXT, 1024, false},
    {"deployment", PELION_TEXT, 32, false},
    {"mechanism", PELION_TEXT, 16, false},
    {"mechanism_url", PELION_TEXT, 512, false},
    {"device_execution_mode", PELION_NUMBER, 0, false},
    {NULL, PELION_TEXT, 0, false},
};

/* ---- bodies ---- */

static const char *attributes_fault(const json_t *value) {
    const char *name;
    json_t *text;
    if (!json_is_object(value) || json_object_size(value) > PELION_ATTRIBUTES_MAX)
        return "It is an object of at most 5 texts.";
    json_object_foreach((json_t *)(uintptr_t)value, name, text) {
        if (*name == '\0' || strlen(name) > ATTRIBUTE_MAX || !json_is_string(text) ||
            json_string_length(text) > ATTRIBUTE_MAX)
            return "Each custom attribute is a text of at most 128 bytes, and so is its name.";
    }
    return NULL;
}

static const char *field_fault(const struct pelion_field *field, const json_t *value, char why[PELION_WHY_MAX]) {
    if (value == NULL || json_is_null(value))
        return field->is_required ? "It is required." : NULL;
    switch (field->type) {
    case PELION_TEXT:
        if (json_is_string(value) && json_string_length(value) <= field->max &&
            (!field->is_required || json_string_length(value) > 0))
            return NULL;
        snprintf(why, PELION_WHY_MAX, "It is a text of at most %zu bytes.", field->max);
        return why;
    case PELION_BOOLEAN:
        return json_is_boolean(value) ? NULL : "It is true or false.";
    case PELION_NUMBER:
        return json_is_integer(value) && json_integer_value(value) >= 0 ? NULL : "It is a number.";
    case PELION_ATTRIBUTES:
        return attributes_fault(value);
    case PELION_ANY:
        return NULL;
    }
    return NULL;
}

json_t *pelion_read_body(const struct call *call, const struct pelion_field *fields) {
    char error[256], why[PELION_WHY_MAX];
    json_t *body = document_read(call->request->body, error, sizeof error), *taken = json_object();
    const char *fault = NULL;
    if (body == NULL) {
        json_decref(taken);
        pelion_send_error(call->request, 400, error);
        return NULL;
    }
    for (; fields->name != NULL && fault == NULL; fields++) {
        json_t *value = json_object_get(body, fields->name);
        fault = field_fault(fields, value, why);
        if (fault != NULL)
            pelion_send_invalid(call->request, fields->name, fault);
        else if (value != NULL)
            json_object_set(taken, fields->name, value);
    }
    json_decref(body);
    if (fault == NULL)
        return taken;
    json_decref(taken);
    return NULL;
}

/* ---- what is kept ---- */

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static uint64_t number_of(const json_t *item, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(item, name));
}

static bool is_true(const json_t *item, const char *name) {
    return json_is_true(json_object_get(item, name));
}

static void set_number(json_t *item, const char *name, uint64_t number) {
    set(item, name, json_integer((json_int_t)number));
}

bool pelion_know(struct pelion *pelion, struct slice endpoint, uint64_t now_ms) {
    struct device_id id = device_id_of(endpoint);
    json_t *devices = pelion->tables[PELION_DEVICES];
    if (json_object_get(devices, id.hex) != NULL)
        return false;
    json_t *item = json_object();
    set(item, "endpoint_name", document_text(endpoint));
    set_number(item, "created_at", now_ms);
    set(item, "is_unwritten", json_true());
    return json_object_set_new(devices, id.hex, item) == 0;
}

void pelion_count_devices(struct pelion *pelion) {
    const char *id;
    json_t *item;
    pelion->devices_set = 0;
    json_object_foreach(pelion->tables[PELION_DEVICES], id, item) pelion->devices_set += is_true(item, "is_set");
}

void pelion_forget_strangers(struct pelion *pelion) {
    const struct directory *directory = pelion->web->server->directory;
    const char *id;
    json_t *item;
    void *next;
    if (json_object_size(pelion->tables[PELION_DEVICES]) <=
        directory_count(directory) + PELION_IDS_SPARE + pelion->devices_set)
        return;
    json_object_foreach_safe(pelion->tables[PELION_DEVICES], next, id, item) {
        if (!is_true(item, "is_set") &&
            directory_find(directory, document_string(json_object_get(item, "endpoint_name"))) == NULL)
            pelion_forget(pelion, PELION_DEVICES, id);
    }
}

static void write_device(struct pelion *pelion, const char *id, json_t *item) {
    json_object_del(item, "is_unwritten");
    pelion_keep(pelion, PELION_DEVICES, id, item);
}

static void on_bootstrapped(struct pelion *pelion, const char *id, json_t *item, uint64_t now_ms) {
    set_number(item, "bootstrapped_at", now_ms);
    set(item, "is_bootstrapped", json_true());
    set(item, "was_seen", json_true());
    write_device(pelion, id, item);
    pelion_add_event(pelion, id, "update.device.device-bootstrapped", "The device was bootstrapped.", true,
                     json_pack("{ss}", "state", "bootstrapped"));
}

/* The first registration stands for a bootstrap elsewhere. */
static void write_seen(struct pelion *pelion, const char *id, json_t *item, uint64_t bootstrapped_ms) {
    if (number_of(item, "bootstrapped_at") == 0)
        set_number(item, "bootstrapped_at", bootstrapped_ms);
    set(item, "was_seen", json_true());
    json_object_del(item, "is_bootstrapped");
    write_device(pelion, id, item);
}

static void on_registered(struct pelion *pelion, const char *id, json_t *item, uint64_t now_ms) {
    write_seen(pelion, id, item, now_ms);
    pelion_add_event(pelion, id, "update.device.device-registered", "The device has registered.", true,
                     json_pack("{ss}", "state", "registered"));
}

void pelion_device_changed(struct pelion *pelion, const struct event *event) {
    struct device_id id = device_id_of(event->endpoint);
    if (event->endpoint.len == 0)
        return;
    bool is_new = pelion_know(pelion, event->endpoint, event->ts_ms);
    json_t *item = json_object_get(pelion->tables[PELION_DEVICES], id.hex);
    if (is_new)
        pelion_add_event(pelion, id.hex, "update.device.device-created", "The device was created.", false, NULL);
    switch (event->type) {
    case EVENT_BOOTSTRAP_FINISHED:
        on_bootstrapped(pelion, id.hex, item, event->ts_ms);
        break;
    case EVENT_REGISTERED:
        on_registered(pelion, id.hex, item, event->ts_ms);
        break;
    case EVENT_REPLACED:
        if (is_true(item, "is_bootstrapped"))
            on_registered(pelion, id.hex, item, event->ts_ms);
        else if (is_true(item, "is_unwritten"))
            write_seen(pelion, id.hex, item, number_of(item, "created_at"));
        break;
    default:
        set_number(item, "updated_at", event->ts_ms);
        write_seen(pelion, id.hex, item, number_of(item, "created_at"));
        pelion_add_event(pelion, id.hex, "update.device.device-deregistered", "The device is not registered any more.",
                         true, json_pack("{ss}", "state", "deregistered"));
        break;
    }
}

/* ---- as it is told ---- */

json_t *pelion_time_json(uint64_t unix_ms) {
    char text[48];
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + len, sizeof text - len, ".%03u000Z", (unsigned)(unix_ms % 1000));
    return json_string(text);
}

json_t *pelion_item_time(const json_t *item, const char *name) {
    uint64_t time_ms = number_of(item, name);
    return time_ms == 0 ? json_null() : pelion_time_json(time_ms);
}

static const char *state_of(const struct registration *r, const json_t *item) {
    if (r != NULL)
        return "registered";
    if (is_true(item, "is_bootstrapped"))
        return "bootstrapped";
    return is_true(item, "was_seen") ? "deregistered" : "unenrolled";
}

static void set_put_fields(json_t *json, const json_t *item) {
    static const char *const texts[] = {
        "description",  "host_gateway",      "ca_id",    "device_key", "serial_number",      "vendor_id",
        "device_class", "firmware_checksum", "manifest", "deployment", "issuer_fingerprint", "mechanism_url"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *value = json_object_get(item, texts[i]);
        set(json, texts[i], json_is_string(value) ? json_incref(value) : json_string(""));
    }
    json_t *attributes = json_object_get(item, "custom_attributes"), *mechanism = json_object_get(item, "mechanism");
    set(json, "custom_attributes", json_is_object(attributes) ? json_incref(attributes) : json_object());
    set(json, "mechanism", json_is_string(mechanism) ? json_incref(mechanism) : json_string("connector"));
    set(json, "auto_update", json_boolean(is_true(item, "auto_update")));
}

static void set_times(json_t *json, const struct registration *r, const json_t *item) {
    uint64_t created = number_of(item, "created_at"), updated = number_of(item, "updated_at");
    updated = r != NULL && r->updated_at_ms > updated ? r->updated_at_ms : updated;
    updated = updated == 0 ? created : updated;
    set(json, "created_at", pelion_time_json(created));
    set(json, "updated_at", pelion_time_json(updated));
    set(json, "etag", pelion_time_json(updated));
    set(json, "bootstrapped_timestamp",
        number_of(item, "bootstrapped_at") == 0 && r != NULL ? pelion_time_json(created)
                                                             : pelion_item_time(item, "bootstrapped_at"));
    set(json, "connector_expiration_date",
        r == NULL || r->expires_at_ms == UINT64_MAX ? json_null() : pelion_time_json(r->expires_at_ms));
    set(json, "bootstrap_expiration_date", json_null());
    set(json, "enrolment_list_timestamp", json_null());
    set(json, "manifest_timestamp", pelion_item_time(item, "manifest_at"));
}

json_t *pelion_device_json(const struct web *web, const char *id, const json_t *item) {
    json_t *endpoint = json_object_get(item, "endpoint_name"), *name = json_object_get(item, "name");
    json_t *type = json_object_get(item, "endpoint_type");
    const struct registration *r = directory_find(web->server->directory, document_string(endpoint));
    json_int_t mode = json_integer_value(json_object_get(item, "device_execution_mode"));
    if (r != NULL && r->profile == PROFILE_PELION && mode == 0)
        mode = 1;
    json_t *json =
        json_pack("{sssssssOsOsssIsssss[]sbsb}", "object", "device", "id", id, "account_id", PELION_ACCOUNT, "name",
                  json_is_string(name) ? name : endpoint, "endpoint_name", endpoint, "state", state_of(r, item),
                  "device_execution_mode", mode, "deployed_state", mode == 5 ? "production" : "development",
                  "lifecycle_status", "enabled", "groups", "operator_suspended", 0, "system_suspended", 0);
    set(json, "endpoint_type",
        json_is_string(type) ? json_incref(type)
        : r != NULL          ? pelion_type_json(r)
                             : json_string("default"));
    set_put_fields(json, item);
    set_times(json, r, item);
    return json;
}

static json_t *show(const struct call *call, const char *id, const json_t *item) {
    return pelion_device_json(call->web, id, item);
}

void pelion_devices_list(const struct call *call) {
    pelion_send_list(call, &(struct pelion_list){.items = call->web->pelion->tables[PELION_DEVICES],
                                                 .show = show,
                                                 .fields = pelion_device_fields});
}

void pelion_devices_get(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_DEVICES, id);
    if (item != NULL)
        pelion_send_json(call->request, 200, show(call, id, item));
}

/* ---- changes ---- */

/* It becomes one that is not forgotten, if there is room for one more. */
static bool may_be_set(const struct call *call, const json_t *item) {
    if (is_true(item, "is_set") || call->web->pelion->devices_set < PELION_DEVICES_SET_MAX)
        return true;
    pelion_send_error(call->request, 503, "There are as many devices of which something is kept as there may be.");
    return false;
}

/* A copy of `item` with the fields of `body`, which is given up. */
static json_t *with_fields(const struct call *call, const json_t *item, json_t *body) {
    json_t *changed = json_copy((json_t *)(uintptr_t)item), *value;
    const char *name;
    void *next;
    json_object_update(changed, body);
    json_decref(body);
    json_object_foreach_safe(changed, next, name, value) {
        if (json_is_null(value))
            json_object_del(changed, name);
    }
    json_object_del(changed, "is_unwritten");
    call->web->pelion->devices_set += !is_true(changed, "is_set");
    set(changed, "is_set", json_true());
    set_number(changed, "updated_at", clock_now_ms(&call->web->server->clock));
    return changed;
}

static void keep(const struct call *call, const char *id, json_t *item, unsigned status) {
    pelion_keep_and_answer(call->web->pelion, call->request, PELION_DEVICES, id, item, status,
                           pelion_device_json(call->web, id, item));
}

void pelion_devices_put(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_DEVICES, id);
    json_t *body = item == NULL || !may_be_set(call, item) ? NULL : pelion_read_body(call, put_fields);
    if (body == NULL)
        return;
    pelion_add_event(call->web->pelion, id, "update.device.device-updated", "The device was changed by a call.", false,
                     json_deep_copy(body));
    keep(call, id, with_fields(call, item, body), 200);
}

void pelion_devices_post(const struct call *call) {
    struct pelion *pelion = call->web->pelion;
    json_t *body = may_be_set(call, NULL) ? pelion_read_body(call, post_fields) : NULL;
    if (body == NULL)
        return;
    struct slice endpoint = document_string(json_object_get(body, "endpoint_name"));
    struct device_id id = {0};
    if (endpoint.len > 0)
        id = device_id_of(endpoint);
    else
        pelion_make_id(pelion, id.hex);
    if (endpoint.len > 0 && !credential_endpoint_good(endpoint)) {
        pelion_send_invalid(call->request, "endpoint_name", "It is UTF-8 without control characters.");
        json_decref(body);
    } else if (json_object_get(pelion->tables[PELION_DEVICES], id.hex) != NULL) {
        pelion_send_error(call->request, 409, "There is a device of this endpoint name.");
        json_decref(body);
    } else {
        json_t *item = json_object();
        set(item, "endpoint_name", document_text(endpoint));
        set_number(item, "created_at", clock_now_ms(&call->web->server->clock));
        pelion_add_event(pelion, id.hex, "update.device.device-created", "The device was created by a call.", false,
                         NULL);
        keep(call, id.hex, with_fields(call, item, body), 201);
        json_decref(item);
    }
}

/* ---- deletion: the registration first ---- */

struct deletion {
    struct pelion *pelion;
    struct http_request *request;
    char id[PELION_ITEM_ID_MAX + 1];
};

static void delete_item(struct pelion *pelion, struct http_request *request, const char *id) {
    const json_t *item = json_object_get(pelion->tables[PELION_DEVICES], id);
    pelion->devices_set -= is_true(item, "is_set");
    pelion_add_event(pelion, id, "update.device.device-deleted", "The device was deleted by a call.", false, NULL);
    pelion_forget_and_answer(pelion, request, PELION_DEVICES, id);
}

static void on_forgotten(void *arg, enum store_result result) {
    struct deletion *deletion = arg;
    if (result == STORE_OK)
        delete_item(deletion->pelion, deletion->request, deletion->id);
    else
        pelion_send_error(deletion->request, 503, "The database could not be written. Try again later.");
    free(deletion);
}

void pelion_devices_delete(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_DEVICES, id);
    if (item == NULL)
        return;
    if (json_integer_value(json_object_get(item, "device_execution_mode")) == 5) {
        pelion_send_error(call->request, 400, "A production device can't be deleted.");
        return;
    }
    struct deletion *deletion = calloc(1, sizeof *deletion);
    struct slice endpoint = document_string(json_object_get(item, "endpoint_name"));
    if (deletion == NULL) {
        pelion_send_error(call->request, 503, "The server is out of memory.");
        return;
    }
    *deletion = (struct deletion){.pelion = call->web->pelion, .request = call->request};
    memcpy(deletion->id, id, sizeof id);
    if (!server_forget(call->web->server, endpoint, on_forgotten, deletion))
        on_forgotten(deletion, STORE_OK);
}
