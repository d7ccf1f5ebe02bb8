/* /v3/api-keys: keys that are made here. The key itself is told once; a hash of it is kept, also of one that was deleted, so
 * that it stays so on a server that takes any other. */
#include <inttypes.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/base/text.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum { NAME_MAX_LEN = 100, SECRET_LEN = 32, ID_LEN = 32 };

static bool is_deleted(const json_t *key) {
    return json_is_true(json_object_get(key, "is_deleted"));
}

bool pelion_key_is_good(const struct pelion *pelion, const char *hash, bool *is_known) {
    const char *id;
    json_t *key;
    *is_known = false;
    json_object_foreach(pelion->keys, id, key) {
        if (!slice_is(document_string(json_object_get(key, "hash")), hash))
            continue;
        *is_known = true;
        return !is_deleted(key);
    }
    return false;
}

/* `secret` is NULL but in the answer to whoever makes the key. */
static json_t *key_json(const char *id, const json_t *key, const char *secret) {
    json_t *time = pelion_time_json((uint64_t)json_integer_value(json_object_get(key, "created_at")));
    json_t *json =
        json_pack("{sssssOsssssosss[]}", "object", "api-key", "id", id, "name", json_object_get(key, "name"),
                  "account_id", PELION_ACCOUNT, "status", "ACTIVE", "created_at", time, "etag", "1", "groups");
    if (json != NULL && secret != NULL)
        json_object_set_new(json, "key", json_string(secret));
    return json;
}

/* ---- making one ---- */

struct making {
    struct pelion *pelion;
    struct http_request *request;
    char id[ID_LEN + 1];
    char secret[4 + 2 * SECRET_LEN];
};

static void on_made(void *arg, enum store_result result) {
    struct making *making = arg;
    const json_t *key = json_object_get(making->pelion->keys, making->id);
    if (result != STORE_OK) {
        json_object_del(making->pelion->keys, making->id);
        pelion_send_error(making->request, 503, "The database could not be written. Try again later.");
    } else {
        pelion_send_json(making->request, 201, key_json(making->id, key, making->secret));
    }
    mbedtls_platform_zeroize(making, sizeof *making);
    free(making);
}

static struct making *make(const struct call *call, const json_t *name) {
    struct making *making = calloc(1, sizeof *making);
    uint8_t random[SECRET_LEN];
    char hash[PELION_KEY_LEN + 1];
    if (making == NULL)
        return NULL;
    struct buffer secret = buffer_over(making->secret, sizeof making->secret - 1);
    making->pelion = call->web->pelion;
    making->request = call->request;
    random_bytes(random, sizeof random);
    buffer_put_str(&secret, "ak_");
    text_put_hex(&secret, slice_of(random, sizeof random));
    mbedtls_platform_zeroize(random, sizeof random);
    snprintf(making->id, sizeof making->id, "%016" PRIx64 "%016" PRIx64, random_u64(), random_u64());
    pelion_put_hash(slice_str(making->secret), hash);
    json_object_set_new(making->pelion->keys, making->id,
                        json_pack("{sOsssI}", "name", name, "hash", hash, "created_at",
                                  (json_int_t)clock_now_ms(&call->web->server->clock)));
    return making;
}

/* Those that were deleted first make room. */
static bool has_room(struct pelion *pelion) {
    const char *id;
    json_t *key;
    void *next;
    json_object_foreach_safe(pelion->keys, next, id, key) {
        if (json_object_size(pelion->keys) >= PELION_KEYS_MAX && is_deleted(key))
            json_object_del(pelion->keys, id);
    }
    return json_object_size(pelion->keys) < PELION_KEYS_MAX;
}

void pelion_keys_post(const struct call *call) {
    char error[256];
    json_t *body = document_read(call->request->body, error, sizeof error);
    const json_t *name = json_object_get(body, "name");
    struct making *making = NULL;
    if (!json_is_string(name) || json_string_length(name) == 0 || json_string_length(name) > NAME_MAX_LEN)
        pelion_send_error(call->request, 400, "It needs a name of at most 100 bytes.");
    else if (!has_room(call->web->pelion) || (making = make(call, name)) == NULL)
        pelion_send_error(call->request, 503, "There are as many keys as there may be.");
    json_decref(body);
    if (making != NULL)
        pelion_store(making->pelion, on_made, making);
}

/* ---- the others ---- */

static const json_t *find(const struct call *call, char id[ID_LEN + 1]) {
    const json_t *key = NULL;
    if (call->args[0].len == ID_LEN) {
        memcpy(id, call->args[0].data, ID_LEN);
        id[ID_LEN] = '\0';
        key = json_object_get(call->web->pelion->keys, id);
    }
    if (key != NULL && !is_deleted(key))
        return key;
    pelion_send_error(call->request, 404, "There is no such key.");
    return NULL;
}

void pelion_keys_get(const struct call *call) {
    char id[ID_LEN + 1];
    const json_t *key = find(call, id);
    if (key != NULL)
        pelion_send_json(call->request, 200, key_json(id, key, NULL));
}

static json_t *show(const struct call *call, const char *id, const json_t *key) {
    (void)call;
    return is_deleted(key) ? NULL : key_json(id, key, NULL);
}

void pelion_keys_list(const struct call *call) {
    pelion_send_list(call, &(struct pelion_list){.items = call->web->pelion->keys,
                                                 .show = show,
                                                 .fields = "id name status created_at account_id"});
}

static void on_deleted(void *arg, enum store_result result) {
    if (result == STORE_OK)
        pelion_send_text(arg, 204, "");
    else
        pelion_send_error(arg, 503, "The database could not be written. Try again later.");
}

void pelion_keys_delete(const struct call *call) {
    struct pelion *pelion = call->web->pelion;
    char id[ID_LEN + 1];
    const json_t *key = find(call, id);
    if (key == NULL)
        return;
    struct pelion_app *app = pelion_app_find(pelion, document_string(json_object_get(key, "hash")));
    json_object_set_new((json_t *)(uintptr_t)key, "is_deleted", json_true());
    if (app != NULL)
        pelion_app_end(app);
    pelion_store(pelion, on_deleted, call->request);
}
