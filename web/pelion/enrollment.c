/* /v3/device-enrollments: identities of devices that an account claims. They are kept, and no device is asked for one. */
#include <inttypes.h>
#include <stdlib.h>

#include "web/document.h"
#include "web/pelion/pelion.h"

enum { IDENTITY_BYTES = 32, IDENTITY_LEN = 2 + 3 * IDENTITY_BYTES - 1, EXPIRES_MS = 365 * 24 * 3600 };

static const char fields[] = "id enrollment_identity enrolled_device_id created_at claimed_at expires_at";
static const struct pelion_field body_fields[] = {{"enrollment_identity", PELION_TEXT, IDENTITY_LEN, true},
                                                  {NULL, PELION_TEXT, 0, false}};

/* "A-0f:…", 32 bytes. */
static bool is_identity(struct slice text) {
    if (text.len != IDENTITY_LEN || !slice_starts_with(text, "A-"))
        return false;
    for (size_t i = 2; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (i % 3 == 1 ? c != ':' : !is_digit)
            return false;
    }
    return true;
}

static json_t *show(const struct call *call, const char *id, const json_t *item) {
    uint64_t created = (uint64_t)json_integer_value(json_object_get(item, "created_at"));
    (void)call;
    return json_pack("{sssssssOsnsosnsoso}", "object", "enrollment", "id", id, "account_id", PELION_ACCOUNT,
                     "enrollment_identity", json_object_get(item, "enrollment_identity"), "enrolled_device_id",
                     "created_at", pelion_time_json(created), "claimed_at", "expires_at",
                     pelion_time_json(created + EXPIRES_MS * UINT64_C(1000)), "etag", pelion_time_json(created));
}

static bool is_there(const struct pelion *pelion, struct slice identity) {
    const char *id;
    json_t *item;
    json_object_foreach(pelion->tables[PELION_ENROLLMENTS], id, item) {
        struct slice other = document_string(json_object_get(item, "enrollment_identity"));
        if (slice_equal(other, identity))
            return true;
    }
    return false;
}

void pelion_enrollments_post(const struct call *call) {
    struct pelion *pelion = call->web->pelion;
    json_t *item = pelion_read_body(call, body_fields);
    char id[PELION_ID_LEN + 1];
    struct slice identity = document_string(json_object_get(item, "enrollment_identity"));
    if (item == NULL)
        return;
    if (!is_identity(identity)) {
        pelion_send_invalid(call->request, "enrollment_identity", "It is A- and 32 bytes in hexadecimal with colons.");
    } else if (is_there(pelion, identity)) {
        pelion_send_error(call->request, 409, "There is an enrollment of this identity.");
    } else if (json_object_size(pelion->tables[PELION_ENROLLMENTS]) >= PELION_ENROLLMENTS_MAX) {
        pelion_send_error(call->request, 503, "There are as many enrollments as there may be.");
    } else {
        pelion_make_id(pelion, id);
        json_object_set_new(item, "created_at", json_integer((json_int_t)clock_now_ms(&call->web->server->clock)));
        pelion_keep_and_answer(pelion, call->request, PELION_ENROLLMENTS, id, item, 201, show(call, id, item));
        return;
    }
    json_decref(item);
}

void pelion_enrollments_list(const struct call *call) {
    pelion_send_list(call, &(struct pelion_list){
                               .items = call->web->pelion->tables[PELION_ENROLLMENTS], .show = show, .fields = fields});
}

void pelion_enrollments_get(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_ENROLLMENTS, id);
    if (item != NULL)
        pelion_send_json(call->request, 200, show(call, id, item));
}

void pelion_enrollments_delete(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    if (pelion_find(call, PELION_ENROLLMENTS, id) != NULL)
        pelion_forget_and_answer(call->web->pelion, call->request, PELION_ENROLLMENTS, id);
}
