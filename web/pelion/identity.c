/* vendor_id and device_class: what a device says in 10255/0/3 and 10255/0/4, as 32 digits when it is a UUID in bytes.
 * Campaigns are by them. A device is asked when it registers, and known from then on. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum { IDENTITY_OBJECT = 10255, VENDOR_RESOURCE = 3, CLASS_RESOURCE = 4, VALUE_MAX = 64, ASKING_MAX = 256 };

struct identifying {
    struct pelion *pelion;
    uint16_t resource;
    char device[PELION_ID_LEN + 1];
};

static const char *name_of(uint16_t resource) {
    return resource == VENDOR_RESOURCE ? "vendor_id" : "device_class";
}

/* Opaque is Base64; printable text stays what it is. */
static json_t *value_json(const json_t *body) {
    struct slice value = document_string(json_object_get(body, "value"));
    uint8_t memory[VALUE_MAX], digits[2 * VALUE_MAX];
    struct buffer bytes = buffer_over(memory, sizeof memory), hex = buffer_over(digits, sizeof digits);
    if (value.len == 0)
        return NULL;
    if (!slice_is(document_string(json_object_get(body, "type")), "opaque"))
        return value.len <= VALUE_MAX ? document_text(value) : NULL;
    if (!text_get_base64(value, &bytes))
        return NULL;
    text_put_hex(&hex, buffer_slice(&bytes));
    return document_text(buffer_slice(&hex));
}

static void ask(struct identifying *identifying);

static void on_answer(void *arg, unsigned status, const json_t *body) {
    struct identifying *i = arg;
    struct pelion *pelion = i->pelion;
    json_t *device = status == 0 ? NULL : pelion_item(pelion, PELION_DEVICES, slice_str(i->device));
    json_t *value = status == 200 ? value_json(body) : NULL;
    if (value == NULL && json_is_string(json_object_get(body, "coap_code")))
        value = json_string(""); /* it has told that it has none, and is not asked again */
    if (device != NULL && value != NULL) {
        json_object_set(device, name_of(i->resource), value);
        pelion_keep(pelion, PELION_DEVICES, i->device, device);
    }
    json_decref(value);
    if (device != NULL && i->resource == VENDOR_RESOURCE) {
        i->resource = CLASS_RESOURCE;
        ask(i);
        return;
    }
    pelion->identifying--;
    free(i);
}

static void ask(struct identifying *i) {
    const struct lwm2m_path path = {.len = 3, .ids = {IDENTITY_OBJECT, 0, i->resource}};
    uint8_t memory[1200];
    struct buffer target = buffer_over(memory, sizeof memory);
    pelion_put_target(&target, pelion_endpoint(i->pelion, slice_str(i->device)), &path, "");
    pelion_ask(i->pelion,
               &(struct inner_request){.method = "GET", .path = buffer_slice(&target), .accept = "application/json"},
               on_answer, i);
}

void pelion_identify(struct pelion *pelion, struct slice endpoint) {
    static const struct lwm2m_path instance = {.len = 2, .ids = {IDENTITY_OBJECT, 0}};
    struct device_id id = device_id_of(endpoint);
    const struct registration *r = directory_find(pelion->web->server->directory, endpoint);
    const json_t *device = pelion_item(pelion, PELION_DEVICES, slice_str(id.hex));
    if (r == NULL || device == NULL || json_object_get(device, "vendor_id") != NULL || !pelion_has_path(r, &instance) ||
        pelion->identifying >= ASKING_MAX)
        return;
    struct identifying *i = calloc(1, sizeof *i);
    if (i == NULL)
        return;
    pelion->identifying++;
    i->pelion = pelion;
    i->resource = VENDOR_RESOURCE;
    memcpy(i->device, id.hex, sizeof i->device);
    ask(i);
}
