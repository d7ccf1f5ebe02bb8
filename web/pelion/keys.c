/* /v3/api-keys, and the access keys of applications, which are the same: keys that are made here. The key itself is told
 * once; a hash of it is kept, also of one that was deleted, so that it stays so on a server that takes any other. */
#include <inttypes.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/base/text.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum { NAME_MAX_LEN = 100, SECRET_LEN = 32, ID_LEN = 32, GROUPS_MAX = 32, GROUP_LEN_MAX = 64 };

static const char fields[] = "id name status created_at account_id owner owner_id key groups";

static bool is_deleted(const json_t *key) {
    return json_is_true(json_object_get(key, "is_deleted"));
}

static const char *status_of(const json_t *key) {
    const char *status = json_string_value(json_object_get(key, "status"));
    return status == NULL ? "ACTIVE" : status;
}

bool pelion_key_is_good(const struct pelion *pelion, const char *hash, bool *is_known) {
    const char *id;
    json_t *key;
    *is_known = false;
    json_object_foreach(pelion->keys, id, key) {
        if (!slice_is(document_string(json_object_get(key, "hash")), hash))
            continue;
        *is_known = true;
        return !is_deleted(key) && strcmp(status_of(key), "ACTIVE") == 0;
    }
    return false;
}

/* `secret` is NULL but in the answer to whoever makes the key. */
static json_t *key_json(const char *id, const json_t *key, const char *secret) {
    json_t *time = pelion_time_json((uint64_t)json_integer_value(json_object_get(key, "created_at")));
    json_t *groups = json_object_get(key, "groups"), *application = json_object_get(key, "application_id");
    json_t *json = json_pack("{sssssOsssssosssI}", "object", application == NULL ? "api-key" : "access-key", "id", id,
                             "name", json_object_get(key, "name"), "account_id", PELION_ACCOUNT, "status",
                             status_of(key), "created_at", time, "etag", "1", "last_login_time", (json_int_t)0);
    json_object_set_new(json, "groups", groups == NULL ? json_array() : json_incref(groups));
    if (application != NULL)
        json_object_set(json, "application_id", application);
    if (secret != NULL)
        json_object_set_new(json, "key", json_string(secret));
    return json;
}

/* ---- bodies ---- */

static bool groups_good(const json_t *groups) {
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *group = json_array_get(groups, i);
        if (!json_is_string(group) || json_string_length(group) > GROUP_LEN_MAX)
            return false;
    }
    return json_is_array(groups) && json_array_size(groups) <= GROUPS_MAX;
}

/* Name, groups and status of a key; NULL: the request is answered. */
static json_t *read_key(const struct call *call, bool needs_name) {
    const struct pelion_field wanted[] = {{"name", PELION_TEXT, NAME_MAX_LEN, needs_name},
                                          {"status", PELION_TEXT, 8, false},
                                          {"groups", PELION_ANY, 0, false},
                                          {NULL, PELION_TEXT, 0, false}};
    json_t *body = pelion_read_body(call, wanted), *groups = json_object_get(body, "groups");
    struct slice status = document_string(json_object_get(body, "status"));
    if (body == NULL)
        return NULL;
    if (groups != NULL && !json_is_null(groups) && !groups_good(groups))
        pelion_send_invalid(call->request, "groups", "They are a list of ids.");
    else if (status.len > 0 && !slice_is(status, "ACTIVE") && !slice_is(status, "INACTIVE"))
        pelion_send_invalid(call->request, "status", "It is ACTIVE or INACTIVE.");
    else
        return body;
    json_decref(body);
    return NULL;
}

static void take(json_t *key, json_t *body) {
    const char *name;
    json_t *value;
    json_object_foreach(body, name, value) {
        if (!json_is_null(value))
            json_object_set(key, name, value);
    }
    json_decref(body);
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

/* `body` is given up. */
static struct making *make(const struct call *call, json_t *body, const char *application) {
    struct making *making = calloc(1, sizeof *making);
    uint8_t random[SECRET_LEN];
    char hash[PELION_KEY_LEN + 1];
    if (making == NULL) {
        json_decref(body);
        return NULL;
    }
    struct buffer secret = buffer_over(making->secret, sizeof making->secret - 1);
    making->pelion = call->web->pelion;
    making->request = call->request;
    random_bytes(random, sizeof random);
    buffer_put_str(&secret, "ak_");
    text_put_hex(&secret, slice_of(random, sizeof random));
    mbedtls_platform_zeroize(random, sizeof random);
    snprintf(making->id, sizeof making->id, "%016" PRIx64 "%016" PRIx64, random_u64(), random_u64());
    pelion_put_hash(slice_str(making->secret), hash);
    json_t *key = json_pack("{sssI}", "hash", hash, "created_at", (json_int_t)clock_now_ms(&call->web->server->clock));
    take(key, body);
    if (application != NULL)
        json_object_set_new(key, "application_id", json_string(application));
    json_object_set_new(making->pelion->keys, making->id, key);
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

static void post(const struct call *call, const char *application) {
    json_t *body = read_key(call, true);
    struct making *making = NULL;
    if (body == NULL)
        return;
    if (has_room(call->web->pelion))
        making = make(call, body, application);
    else
        json_decref(body);
    if (making == NULL)
        pelion_send_error(call->request, 503, "There are as many keys as there may be.");
    else
        pelion_store(making->pelion, on_made, making);
}

void pelion_keys_post(const struct call *call) {
    post(call, NULL);
}

/* ---- the others ---- */

/* NULL: the request is answered. The key may belong to this application only; NULL: to any. */
static json_t *find(const struct call *call, struct slice given, const char *application, char id[ID_LEN + 1]) {
    json_t *key = NULL;
    if (given.len == ID_LEN) {
        memcpy(id, given.data, ID_LEN);
        id[ID_LEN] = '\0';
        key = json_object_get(call->web->pelion->keys, id);
    }
    if (key != NULL && !is_deleted(key) &&
        (application == NULL || slice_is(document_string(json_object_get(key, "application_id")), application)))
        return key;
    pelion_send_error(call->request, 404, "There is no such key.");
    return NULL;
}

void pelion_keys_get(const struct call *call) {
    char id[ID_LEN + 1];
    const json_t *key = find(call, call->args[0], NULL, id);
    if (key != NULL)
        pelion_send_json(call->request, 200, key_json(id, key, NULL));
}

/* One that was not made here has no id; a part of its hash stands for it. */
void pelion_keys_me(const struct call *call) {
    const struct pelion_app *app = pelion_app_of(call);
    const char *id;
    json_t *key;
    if (app == NULL)
        return;
    json_object_foreach(call->web->pelion->keys, id, key) {
        if (!is_deleted(key) && slice_is(document_string(json_object_get(key, "hash")), app->key)) {
            pelion_send_json(call->request, 200, key_json(id, key, NULL));
            return;
        }
    }
    key = json_pack("{sssI}", "name", "key", "created_at", (json_int_t)(call->web->started_s * 1000));
    pelion_send_json(call->request, 200, key_json(app->key, key, NULL));
    json_decref(key);
}

static json_t *show(const struct call *call, const char *id, const json_t *key) {
    (void)call;
    return is_deleted(key) ? NULL : key_json(id, key, NULL);
}

void pelion_keys_list(const struct call *call) {
    pelion_send_list(call, &(struct pelion_list){.items = call->web->pelion->keys, .show = show, .fields = fields});
}

struct changing {
    struct pelion *pelion;
    struct http_request *request;
    json_t *before;
    char id[ID_LEN + 1];
};

static void on_changed(void *arg, enum store_result result) {
    struct changing *c = arg;
    if (result != STORE_OK) {
        json_object_set(c->pelion->keys, c->id, c->before);
        pelion_send_error(c->request, 503, "The database could not be written. Try again later.");
    } else {
        pelion_send_json(c->request, 200, key_json(c->id, json_object_get(c->pelion->keys, c->id), NULL));
    }
    json_decref(c->before);
    free(c);
}

void pelion_keys_put(const struct call *call) {
    struct pelion *pelion = call->web->pelion;
    char id[ID_LEN + 1];
    json_t *key = find(call, call->args[0], NULL, id);
    json_t *body = key == NULL ? NULL : read_key(call, false);
    struct changing *c = body == NULL ? NULL : calloc(1, sizeof *c);
    if (c == NULL) {
        json_decref(body);
        return;
    }
    *c = (struct changing){.pelion = pelion, .request = call->request, .before = json_incref(key)};
    memcpy(c->id, id, sizeof id);
    json_t *changed = json_copy(key);
    take(changed, body);
    json_object_set_new(pelion->keys, id, changed);
    pelion_store(pelion, on_changed, c);
}

static void on_deleted(void *arg, enum store_result result) {
    if (result == STORE_OK)
        pelion_send_text(arg, 204, "");
    else
        pelion_send_error(arg, 503, "The database could not be written. Try again later.");
}

static void end_key(struct pelion *pelion, json_t *key) {
    struct pelion_app *app = pelion_app_find(pelion, document_string(json_object_get(key, "hash")));
    json_object_set_new(key, "is_deleted", json_true());
    if (app != NULL)
        pelion_app_end(app);
}

static void delete (const struct call *call, struct slice given, const char *application) {
    struct pelion *pelion = call->web->pelion;
    char id[ID_LEN + 1];
    json_t *key = find(call, given, application, id);
    if (key == NULL)
        return;
    end_key(pelion, key);
    pelion_store(pelion, on_deleted, call->request);
}

void pelion_keys_delete(const struct call *call) {
    delete (call, call->args[0], NULL);
}

/* ---- access keys ---- */

static bool find_application(const struct call *call, char id[ID_LEN + 1]) {
    if (pelion_item(call->web->pelion, PELION_APPLICATIONS, call->args[1]) == NULL) {
        pelion_send_error(call->request, 404, "There is no such application.");
        return false;
    }
    memcpy(id, call->args[1].data, ID_LEN);
    id[ID_LEN] = '\0';
    return true;
}

void pelion_access_keys_post(const struct call *call) {
    char application[ID_LEN + 1];
    if (find_application(call, application))
        post(call, application);
}

void pelion_access_keys_get(const struct call *call) {
    char application[ID_LEN + 1], id[ID_LEN + 1];
    const json_t *key = find_application(call, application) ? find(call, call->args[2], application, id) : NULL;
    if (key != NULL)
        pelion_send_json(call->request, 200, key_json(id, key, NULL));
}

static json_t *show_access_key(const struct call *call, const char *id, const json_t *key) {
    bool is_its = slice_equal(document_string(json_object_get(key, "application_id")), call->args[1]);
    return is_its && !is_deleted(key) ? key_json(id, key, NULL) : NULL;
}

void pelion_access_keys_list(const struct call *call) {
    char application[ID_LEN + 1];
    if (find_application(call, application))
        pelion_send_list(
            call, &(struct pelion_list){.items = call->web->pelion->keys, .show = show_access_key, .fields = fields});
}

void pelion_access_keys_delete(const struct call *call) {
    char application[ID_LEN + 1];
    if (find_application(call, application))
        delete (call, call->args[2], application);
}

void pelion_applications_delete(const struct call *call) {
    struct pelion *pelion = call->web->pelion;
    char application[ID_LEN + 1];
    const char *id;
    json_t *key;
    if (!find_application(call, application))
        return;
    json_object_foreach(pelion->keys, id, key) {
        if (!is_deleted(key) && slice_is(document_string(json_object_get(key, "application_id")), application))
            end_key(pelion, key);
    }
    pelion_store(pelion, NULL, NULL);
    pelion_forget_and_answer(pelion, call->request, PELION_APPLICATIONS, application);
}
