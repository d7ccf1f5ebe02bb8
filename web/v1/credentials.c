#include <inttypes.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "server/credential.h"
#include "web/document.h"
#include "web/input.h"
#include "web/stored.h"
#include "web/v1/v1.h"
#include "web/web.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000 };

/* ---- JSON of a credential: keys are told to be there, and no more ---- */

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static json_t *hex_json(struct slice bytes) {
    uint8_t memory[2 * CREDENTIAL_IDENTITY_MAX];
    struct buffer text = buffer_over(memory, sizeof memory);
    text_put_hex(&text, bytes);
    return document_text(buffer_slice(&text));
}

static bool is_text(struct slice bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.data[i] < 0x20)
            return false;
    }
    return slice_is_utf8(bytes);
}

static void set_psk(json_t *json, const struct credential *c) {
    if (is_text(c->identity))
        set(json, "identity", document_text(c->identity));
    else
        set(json, "identity_hex", hex_json(c->identity));
    set(json, "key", json_string("set"));
}

static void set_x509(json_t *json, const struct credential *c) {
    set(json, "subject",
        c->identity.len == 0 ? json_null()
                             : json_sprintf("CN=%.*s", (int)c->identity.len, (const char *)c->identity.data));
    set(json, "fingerprint_sha256",
        c->has_fingerprint ? hex_json(slice_of(c->fingerprint, sizeof c->fingerprint)) : json_null());
}

static void set_oscore(json_t *json, const struct credential *c) {
    set(json, "sender_id_hex", hex_json(c->sender_id));
    set(json, "recipient_id_hex", hex_json(c->identity));
    set(json, "id_context_hex", hex_json(c->id_context));
    const struct oscore_aead *aead = oscore_aead_of(c->aead);
    set(json, "aead", json_string(aead == NULL ? "" : aead->name));
    set(json, "hkdf", json_string(oscore_hkdf_name(c->hkdf)));
    set(json, "master_secret", json_string("set"));
    set(json, "master_salt", c->salt.len > 0 ? json_string("set") : json_null());
}

static json_t *credential_json(const struct credential *c) {
    json_t *json = json_object();
    set(json, "endpoint", document_text(c->endpoint));
    set(json, "mode", json_string(credential_mode_name(c->mode)));
    set(json, "service", json_string(credential_services_name(c->services)));
    set(json, "source", json_string(c->given ? "option" : "stored"));
    switch (c->mode) {
    case CREDENTIAL_PSK:
        set_psk(json, c);
        break;
    case CREDENTIAL_X509:
        set_x509(json, c);
        break;
    case CREDENTIAL_OSCORE:
        set_oscore(json, c);
        break;
    case CREDENTIAL_NONE:
    case CREDENTIAL_MODE_COUNT:
        break;
    }
    return json;
}

/* ---- looking ---- */

/* ?mode= and ?service=; CREDENTIAL_MODE_COUNT and every service when they are not there. */
static bool read_filter(const struct call *call, enum credential_mode *mode, unsigned *services) {
    struct slice mode_name = query_get(&call->query, "mode"), service = query_get(&call->query, "service");
    *mode = CREDENTIAL_MODE_COUNT;
    *services = CREDENTIAL_EVERY_SERVICE;
    if (mode_name.data != NULL && !credential_mode_parse(mode_name, mode)) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER, "mode is \"%.*s\"; it must be psk, x509, oscore or none.",
                     (int)mode_name.len, (const char *)mode_name.data);
        return false;
    }
    if (service.data != NULL && !credential_services_parse(service, services)) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER,
                     "service is \"%.*s\"; it must be management, bootstrap or both.", (int)service.len,
                     (const char *)service.data);
        return false;
    }
    return true;
}

static bool is_chosen(const struct credential *c, enum credential_mode mode, unsigned services) {
    return (mode == CREDENTIAL_MODE_COUNT || c->mode == mode) && (c->services & services) != 0;
}

static void send_not_found(const struct call *call) {
    problem_send(call->request, PROBLEM_NOT_FOUND, "\"%.*s\" has no such credential.", (int)call->args[0].len,
                 (const char *)call->args[0].data);
}

void v1_credentials_list(const struct call *call) {
    const struct credentials *credentials = call->web->server->credentials;
    uint64_t limit = LIST_DEFAULT, cursor = 0;
    enum credential_mode mode;
    unsigned services;
    if (!input_number(call, "limit", 1, LIST_MAX, &limit) || !input_number(call, "cursor", 0, UINT32_MAX, &cursor) ||
        !read_filter(call, &mode, &services))
        return;
    json_t *items = json_array();
    uint32_t slot = (uint32_t)cursor;
    const struct credential *c = NULL;
    while (json_array_size(items) < limit && (c = credentials_next(credentials, &slot)) != NULL) {
        if (is_chosen(c, mode, services))
            json_array_append_new(items, credential_json(c));
    }
    uint32_t after = slot;
    bool more = c != NULL && credentials_next(credentials, &after) != NULL;
    json_t *page = json_object();
    set(page, "items", items);
    set(page, "next", more ? json_sprintf("%" PRIu32, slot) : json_null());
    document_ok(call->request, page);
}

void v1_credentials_get(const struct call *call) {
    const struct credentials *credentials = call->web->server->credentials;
    enum credential_mode mode;
    unsigned services;
    if (!read_filter(call, &mode, &services))
        return;
    json_t *items = json_array();
    for (const struct credential *c = NULL; (c = credentials_of(credentials, call->args[0], c)) != NULL;) {
        if (is_chosen(c, mode, services))
            json_array_append_new(items, credential_json(c));
    }
    if (json_array_size(items) == 0) {
        json_decref(items);
        send_not_found(call);
        return;
    }
    json_t *answer = json_object();
    set(answer, "items", items);
    document_ok(call->request, answer);
}

/* ---- putting ---- */

/* A body on its way to a credential, with room for what is decoded. Zeroed afterwards. */
struct input {
    const struct call *call;
    const json_t *body;
    struct credential credential;
    struct buffer room;
    uint8_t memory[1024];
};

static bool refuse(const struct input *in, const char *what) {
    problem_send(in->call->request, PROBLEM_BAD_BODY, "%s", what);
    return false;
}

/* A string of 1 to `max` bytes, or none at all. */
static bool read_text(struct input *in, const char *name, size_t max, struct slice *text) {
    const json_t *value = json_object_get(in->body, name);
    if (value == NULL)
        return true;
    *text = document_string(value);
    if (json_is_string(value) && text->len >= 1 && text->len <= max)
        return true;
    problem_send(in->call->request, PROBLEM_BAD_BODY, "%s must be a string of 1 to %zu bytes.", name, max);
    return false;
}

/* Bytes in hexadecimal, `min` to `max` of them. Absent ones are none, which `min` may forbid. */
static bool read_hex(struct input *in, const char *name, size_t min, size_t max, struct slice *bytes) {
    const json_t *value = json_object_get(in->body, name);
    size_t at = in->room.len;
    if (value == NULL && min == 0)
        return true;
    if (json_is_string(value) && text_get_hex(document_string(value), &in->room)) {
        *bytes = slice_of(in->memory + at, in->room.len - at);
        if (bytes->len >= min && bytes->len <= max)
            return true;
    }
    problem_send(in->call->request, PROBLEM_BAD_BODY, "%s must be a string of %zu to %zu bytes in hexadecimal.", name,
                 min, max);
    return false;
}

static bool read_psk(struct input *in) {
    struct credential *c = &in->credential;
    if (json_object_get(in->body, "identity") != NULL && json_object_get(in->body, "identity_hex") != NULL)
        return refuse(in, "Give identity or identity_hex, not both.");
    if (json_object_get(in->body, "identity_hex") != NULL) {
        if (!read_hex(in, "identity_hex", 1, CREDENTIAL_IDENTITY_MAX, &c->identity))
            return false;
    } else if (!read_text(in, "identity", CREDENTIAL_IDENTITY_MAX, &c->identity)) {
        return false;
    }
    if (c->identity.len == 0)
        c->identity = c->endpoint;
    if (c->identity.len > CREDENTIAL_IDENTITY_MAX)
        return refuse(in, "The endpoint's name is longer than 128 bytes: give an identity.");
    return read_hex(in, "key_hex", 1, CREDENTIAL_KEY_MAX, &c->key);
}

static bool read_x509(struct input *in) {
    struct credential *c = &in->credential;
    struct slice fingerprint = SLICE_NONE, subject = SLICE_NONE;
    const json_t *pin = json_object_get(in->body, "fingerprint_sha256");
    if (pin != NULL &&
        !read_hex(in, "fingerprint_sha256", CREDENTIAL_FINGERPRINT, CREDENTIAL_FINGERPRINT, &fingerprint))
        return false;
    if (!read_text(in, "subject", CREDENTIAL_IDENTITY_MAX, &subject))
        return false;
    if (subject.len > 0 &&
        (!slice_starts_with(subject, "CN=") || subject.len == 3 || memchr(subject.data, ',', subject.len) != NULL))
        return refuse(in, "subject must be CN= and the name in the certificate: its common name, or without one its "
                          "alternative name.");
    c->identity = slice_from(subject, 3);
    c->has_fingerprint = pin != NULL;
    if (c->has_fingerprint)
        memcpy(c->fingerprint, fingerprint.data, sizeof c->fingerprint);
    return true;
}

static bool read_oscore(struct input *in) {
    struct credential *c = &in->credential;
    const json_t *aead = json_object_get(in->body, "aead"), *hkdf = json_object_get(in->body, "hkdf");
    if (!read_hex(in, "sender_id_hex", 0, CREDENTIAL_OSCORE_ID_MAX, &c->sender_id) ||
        !read_hex(in, "recipient_id_hex", 0, CREDENTIAL_OSCORE_ID_MAX, &c->identity) ||
        !read_hex(in, "master_secret_hex", 1, CREDENTIAL_SECRET_MAX, &c->key) ||
        !read_hex(in, "master_salt_hex", 0, CREDENTIAL_SECRET_MAX, &c->salt) ||
        !read_hex(in, "id_context_hex", 0, CREDENTIAL_CONTEXT_MAX, &c->id_context))
        return false;
    if (slice_equal(c->sender_id, c->identity)) /* RFC 8613 §3.3 */
        return refuse(in, "sender_id_hex and recipient_id_hex must differ.");
    const struct oscore_aead *chosen = oscore_aead_named(slice_str("AES-CCM-16-64-128"));
    if (aead != NULL)
        chosen = json_is_string(aead) ? oscore_aead_named(document_string(aead)) : NULL;
    if (chosen == NULL)
        return refuse(
            in, "aead must be one of COSE's: AES-CCM-16-64-128 and the seven like it, A128GCM, A192GCM, A256GCM.");
    c->aead = chosen->number;
    if (hkdf != NULL && !(json_is_string(hkdf) && oscore_hkdf_named(document_string(hkdf), &c->hkdf)))
        return refuse(in, "hkdf must be SHA-256 or SHA-512.");
    if (c->sender_id.len > oscore_id_max(chosen) || c->identity.len > oscore_id_max(chosen)) /* RFC 8613 §3.3 */
        return refuse(in, "sender_id_hex and recipient_id_hex are too long for this aead.");
    return true;
}

#define EVERY_MODE "mode", "service"

static const struct {
    const char *members[12];
    bool (*read)(struct input *in);
} modes[CREDENTIAL_MODE_COUNT] = {
    [CREDENTIAL_NONE] = {{EVERY_MODE, NULL}, NULL},
    [CREDENTIAL_PSK] = {{EVERY_MODE, "identity", "identity_hex", "key_hex", NULL}, read_psk},
    [CREDENTIAL_X509] = {{EVERY_MODE, "subject", "fingerprint_sha256", NULL}, read_x509},
    [CREDENTIAL_OSCORE] = {{EVERY_MODE, "sender_id_hex", "recipient_id_hex", "master_secret_hex", "master_salt_hex",
                            "id_context_hex", "aead", "hkdf", NULL},
                           read_oscore},
};

static bool read_credential(struct input *in) {
    struct credential *c = &in->credential;
    const json_t *mode = json_object_get(in->body, "mode"), *service = json_object_get(in->body, "service");
    c->endpoint = in->call->args[0];
    c->services = CREDENTIAL_EVERY_SERVICE;
    if (!credential_endpoint_good(c->endpoint)) {
        problem_send(in->call->request, PROBLEM_BAD_REQUEST,
                     "An endpoint's name is UTF-8 without control characters, 1 to %d bytes.", CREDENTIAL_ENDPOINT_MAX);
        return false;
    }
    if (!json_is_string(mode) || !credential_mode_parse(document_string(mode), &c->mode))
        return refuse(in, "mode must be \"psk\", \"x509\", \"oscore\" or \"none\".");
    if (service != NULL &&
        !(json_is_string(service) && credential_services_parse(document_string(service), &c->services)))
        return refuse(in, "service must be \"management\", \"bootstrap\" or \"both\".");
    const char *unknown = document_unknown_member(in->body, modes[c->mode].members);
    if (unknown != NULL) {
        problem_send(in->call->request, PROBLEM_BAD_BODY, "A credential of mode %s has no member \"%s\".",
                     credential_mode_name(c->mode), unknown);
        return false;
    }
    return modes[c->mode].read == NULL || modes[c->mode].read(in);
}

static void refuse_change(const struct call *call, enum credential_result result) {
    switch (result) {
    case CREDENTIAL_MISSING:
        send_not_found(call);
        return;
    case CREDENTIAL_CONFLICT:
        problem_send(call->request, PROBLEM_CONFLICT,
                     "Another endpoint has this identity; delete its credential, or give this one another identity.");
        return;
    case CREDENTIAL_BUSY:
        problem_send(call->request, PROBLEM_CONFLICT,
                     "A change of this endpoint's credentials is under way; try again when it has been answered.");
        return;
    case CREDENTIAL_TOO_MANY:
        problem_send(call->request, PROBLEM_OVERLOADED,
                     "There are as many credentials as the server takes (%d), or it is out of memory.",
                     CREDENTIALS_MAX);
        return;
    case CREDENTIAL_ACCEPTED:
        return;
    }
}

static void answer_created(void *arg, enum store_result result) {
    struct http_request *request = arg;
    if (result == STORE_OK)
        http_respond(request, &(struct http_response){.status = 201});
    else
        answer_stored(request, result);
}

static void put(struct input *in) {
    struct credentials *credentials = in->call->web->server->credentials;
    if (!read_credential(in))
        return;
    bool created = credentials_would_create(credentials, &in->credential);
    enum credential_result result = credentials_put(credentials, &in->credential,
                                                    created ? answer_created : answer_stored, stored_request(in->call));
    refuse_change(in->call, result);
}

void v1_credentials_put(const struct call *call) {
    char error[512];
    json_t *body = document_read(call->request->body, error, sizeof error);
    if (body == NULL) {
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", error);
        return;
    }
    struct input in = {.call = call, .body = body};
    in.room = buffer_over(in.memory, sizeof in.memory);
    put(&in);
    mbedtls_platform_zeroize(&in, sizeof in);
    json_decref(body);
}

void v1_credentials_delete(const struct call *call) {
    enum credential_mode mode;
    unsigned services;
    if (!read_filter(call, &mode, &services))
        return;
    refuse_change(call, credentials_delete(call->web->server->credentials, call->args[0], mode, services, answer_stored,
                                           stored_request(call)));
}
