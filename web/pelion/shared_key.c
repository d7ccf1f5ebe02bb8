/* /v2/device-shared-keys: pre-shared keys, which are credentials of mode PSK; their identity is the endpoint name. */
#include <inttypes.h>
#include <mbedtls/platform_util.h>

#include "common/base/text.h"
#include "server/credential.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum {
    NAME_MIN = 16,
    NAME_MAX_LEN = 64,
    SECRET_MIN = 16, /* bytes */
    SECRET_MAX = 32,
    LIMIT_DEFAULT = 50,
    LIMIT_MIN = 2,
    LIMIT_MAX = 1000,
};

static const struct credential *find(const struct credentials *credentials, struct slice endpoint) {
    const struct credential *c = NULL;
    while ((c = credentials_of(credentials, endpoint, c)) != NULL) {
        if (c->mode == CREDENTIAL_PSK)
            return c;
    }
    return NULL;
}

static void on_stored(void *arg, enum store_result result, unsigned status) {
    pelion_send_text(arg, result == STORE_OK ? status : 503, result == STORE_OK ? "" : "TRY_AGAIN_LATER");
}

static void on_made(void *arg, enum store_result result) {
    on_stored(arg, result, 201);
}

static void on_deleted(void *arg, enum store_result result) {
    on_stored(arg, result, 204);
}

static void refuse(const struct call *call, enum credential_result result) {
    switch (result) {
    case CREDENTIAL_MISSING:
        pelion_send_text(call->request, 404, "KEY_NOT_FOUND");
        return;
    case CREDENTIAL_CONFLICT:
    case CREDENTIAL_BUSY:
        pelion_send_text(call->request, 409, "KEY_ALREADY_EXISTS_FOR_ENDPOINT");
        return;
    case CREDENTIAL_TOO_MANY:
        pelion_send_text(call->request, 503, "TRY_AGAIN_LATER");
        return;
    case CREDENTIAL_ACCEPTED:
        return;
    }
}

static bool is_name(struct slice name) {
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] < 0x20 || name.data[i] >= 0x7f)
            return false;
    }
    return name.len >= NAME_MIN && name.len <= NAME_MAX_LEN;
}

void pelion_shared_keys_post(const struct call *call) {
    struct credentials *credentials = call->web->server->credentials;
    uint8_t memory[SECRET_MAX + 1];
    char error[256];
    struct buffer secret = buffer_over(memory, sizeof memory);
    json_t *body = document_read(call->request->body, error, sizeof error);
    struct slice name = document_string(json_object_get(body, "endpoint_name"));
    struct slice hex = document_string(json_object_get(body, "secret_hex"));
    if (slice_starts_with(hex, "0x") || slice_starts_with(hex, "0X"))
        hex = slice_from(hex, 2);
    if (body == NULL) {
        pelion_send_text(call->request, 400, "MALFORMED_JSON_CONTENT");
    } else if (!is_name(name)) {
        pelion_send_text(call->request, 400, "INVALID_ENDPOINT_NAME");
    } else if (!text_get_hex(hex, &secret) || secret.len < SECRET_MIN || secret.len > SECRET_MAX) {
        pelion_send_text(call->request, 400, "INVALID_SECRET_HEX");
    } else if (find(credentials, name) != NULL) {
        refuse(call, CREDENTIAL_CONFLICT);
    } else {
        const struct credential credential = {.endpoint = name,
                                              .mode = CREDENTIAL_PSK,
                                              .services = CREDENTIAL_EVERY_SERVICE,
                                              .identity = name,
                                              .key = buffer_slice(&secret)};
        refuse(call, credentials_put(credentials, &credential, on_made, call->request));
    }
    mbedtls_platform_zeroize(memory, sizeof memory);
    json_decref(body);
}

void pelion_shared_keys_get(const struct call *call) {
    const struct credential *c = find(call->web->server->credentials, call->args[0]);
    if (c == NULL)
        refuse(call, CREDENTIAL_MISSING);
    else
        pelion_send_json(call->request, 200, json_pack("{so}", "endpoint_name", document_text(c->endpoint)));
}

/* The marker is where the list goes on. */
void pelion_shared_keys_list(const struct call *call) {
    const struct credentials *credentials = call->web->server->credentials;
    struct slice marker = query_get(&call->query, "continuation_marker"), text = query_get(&call->query, "limit");
    uint64_t limit = LIMIT_DEFAULT, at = 0;
    if ((text.len > 0 && !slice_to_u64(text, UINT64_MAX, &limit)) ||
        (marker.len > 0 && !slice_to_u64(marker, UINT32_MAX, &at))) {
        pelion_send_text(call->request, 400, "INVALID_QUERY_PARAMETERS");
        return;
    }
    limit = limit < LIMIT_MIN ? LIMIT_MIN : limit > LIMIT_MAX ? LIMIT_MAX : limit;
    json_t *data = json_array(), *next = NULL;
    const struct credential *c;
    uint32_t slot = (uint32_t)at, before = slot;
    while (next == NULL && (c = credentials_next(credentials, &slot)) != NULL) {
        if (c->mode == CREDENTIAL_PSK && json_array_size(data) == limit)
            next = json_sprintf("%" PRIu32, before);
        else if (c->mode == CREDENTIAL_PSK)
            json_array_append_new(data, json_pack("{so}", "endpoint_name", document_text(c->endpoint)));
        before = slot;
    }
    bool has_more = next != NULL;
    pelion_send_json(call->request, 200,
                     json_pack("{sssIsbsoso}", "object", "list", "limit", (json_int_t)limit, "has_more", (int)has_more,
                               "continuation_marker", has_more ? next : json_null(), "data", data));
}

void pelion_shared_keys_delete(const struct call *call) {
    refuse(call, credentials_delete(call->web->server->credentials, call->args[0], CREDENTIAL_PSK,
                                    CREDENTIAL_EVERY_SERVICE, on_deleted, call->request));
}
