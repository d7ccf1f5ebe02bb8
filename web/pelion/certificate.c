/* /v3/trusted-certificates, /v3/developer-certificates, /v3/server-credentials. A developer's certificate is made by the
 * server's own authority, so it is good without being looked up here; its key is kept, sealed, because it is told again.
 * Others are authorities of devices' certificates from the server's next start on. */
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "server/developer.h"
#include "server/dtls_service.h"
#include "server/issuer.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum { CONTEXT_MAX = 96, PEM_MAX = 8192, NAME_MAX_LEN = 100, DESCRIPTION_MAX = 500, HOST_MAX = 200, DN_MAX = 512 };

static const char fields[] = "account_id certificate_fingerprint created_at description device_execution_mode "
                             "enrollment_mode id issuer name owner "
                             "owner_id service status subject updated_at valid validity expire";
static const struct pelion_field post_fields[] = {{"name", PELION_TEXT, NAME_MAX_LEN, true},
                                                  {"certificate", PELION_TEXT, PEM_MAX, true},
                                                  {"service", PELION_TEXT, 16, true},
                                                  {"status", PELION_TEXT, 16, false},
                                                  {"description", PELION_TEXT, DESCRIPTION_MAX, false},
                                                  {"enrollment_mode", PELION_BOOLEAN, 0, false},
                                                  {NULL, PELION_TEXT, 0, false}};
static const struct pelion_field put_fields[] = {{"name", PELION_TEXT, NAME_MAX_LEN, false},
                                                 {"certificate", PELION_TEXT, PEM_MAX, false},
                                                 {"service", PELION_TEXT, 16, false},
                                                 {"status", PELION_TEXT, 16, false},
                                                 {"description", PELION_TEXT, DESCRIPTION_MAX, false},
                                                 {"enrollment_mode", PELION_BOOLEAN, 0, false},
                                                 {NULL, PELION_TEXT, 0, false}};
static const struct pelion_field developer_fields[] = {{"name", PELION_TEXT, NAME_MAX_LEN, true},
                                                       {"description", PELION_TEXT, DESCRIPTION_MAX, false},
                                                       {NULL, PELION_TEXT, 0, false}};

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static struct slice text_of(const json_t *item, const char *name) {
    return document_string(json_object_get(item, name));
}

static bool is_developers(const json_t *item) {
    return json_object_get(item, "sealed") != NULL;
}

/* ---- what is in a certificate ---- */

static json_t *name_json(const mbedtls_x509_name *name) {
    char text[DN_MAX];
    int len = mbedtls_x509_dn_gets(text, sizeof text, name);
    return document_text(len < 0 ? slice_str("") : slice_of(text, (size_t)len));
}

static json_t *end_json(const mbedtls_x509_time *t) {
    return json_sprintf("%04d-%02d-%02dT%02d:%02d:%02d.000000Z", t->year, t->mon, t->day, t->hour, t->min, t->sec);
}

/* Subject, issuer, validity and fingerprint into `item`. False: it is no certificate. */
static bool describe(json_t *item, struct slice pem) {
    mbedtls_x509_crt certificate;
    uint8_t digest[32], memory[2 * sizeof digest];
    struct buffer hex = buffer_over(memory, sizeof memory);
    char *text = malloc(pem.len + 1);
    if (text == NULL)
        return false;
    memcpy(text, pem.data, pem.len);
    text[pem.len] = '\0';
    mbedtls_x509_crt_init(&certificate);
    bool good = mbedtls_x509_crt_parse(&certificate, (const uint8_t *)text, pem.len + 1) == 0;
    if (good) {
        mbedtls_sha256(certificate.raw.p, certificate.raw.len, digest, 0);
        text_put_hex(&hex, slice_of(digest, sizeof digest));
        set(item, "certificate_fingerprint", document_text(buffer_slice(&hex)));
        set(item, "subject", name_json(&certificate.subject));
        set(item, "issuer", name_json(&certificate.issuer));
        set(item, "validity", end_json(&certificate.valid_to));
        set(item, "valid", json_boolean(!mbedtls_x509_time_is_past(&certificate.valid_to)));
    }
    mbedtls_x509_crt_free(&certificate);
    free(text);
    return good;
}

/* ---- as they are told ---- */

static json_t *show(const struct call *call, const char *id, const json_t *item) {
    static const char *const kept[] = {
        "name", "certificate", "certificate_fingerprint", "subject", "issuer", "service", "validity", "valid"};
    json_t *enrollment = json_object_get(item, "enrollment_mode"), *status = json_object_get(item, "status");
    json_t *description = json_object_get(item, "description");
    json_t *json =
        json_pack("{sssssssssisbsb}", "object", "trusted-cert", "id", id, "account_id", PELION_ACCOUNT, "owner_id",
                  PELION_ACCOUNT, "device_execution_mode", is_developers(item) ? 1 : 0, "is_developer_certificate",
                  (int)is_developers(item), "enrollment_mode", (int)json_is_true(enrollment));
    (void)call;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        json_object_set(json, kept[i], json_object_get(item, kept[i]));
    set(json, "status", json_is_string(status) ? json_incref(status) : json_string("ACTIVE"));
    set(json, "description", json_is_string(description) ? json_incref(description) : json_string(""));
    set(json, "created_at", pelion_item_time(item, "created_at"));
    set(json, "updated_at", pelion_item_time(item, "updated_at"));
    set(json, "etag", pelion_item_time(item, "updated_at"));
    return json;
}

void pelion_certificates_list(const struct call *call) {
    pelion_send_list(
        call,
        &(struct pelion_list){.items = call->web->pelion->tables[PELION_CERTIFICATES], .show = show, .fields = fields});
}

void pelion_certificates_get(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_CERTIFICATES, id);
    if (item != NULL)
        pelion_send_json(call->request, 200, show(call, id, item));
}

void pelion_certificates_delete(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    if (pelion_find(call, PELION_CERTIFICATES, id) != NULL)
        pelion_forget_and_answer(call->web->pelion, call->request, PELION_CERTIFICATES, id);
}

/* ---- making and changing ---- */

static bool is_taken(const struct pelion *pelion, struct slice name, const char *but) {
    const char *id;
    json_t *item;
    json_object_foreach(pelion->tables[PELION_CERTIFICATES], id, item) {
        if (strcmp(id, but) != 0 && slice_equal(text_of(item, "name"), name))
            return true;
    }
    return false;
}

static bool may_be_made(const struct call *call, struct slice name, const char *but) {
    struct pelion *pelion = call->web->pelion;
    if (is_taken(pelion, name, but))
        pelion_send_error(call->request, 409, "There is a certificate of this name.");
    else if (*but == '\0' && json_object_size(pelion->tables[PELION_CERTIFICATES]) >= PELION_CERTIFICATES_MAX)
        pelion_send_error(call->request, 503, "There are as many certificates as there may be.");
    else
        return true;
    return false;
}

static bool check(const struct call *call, json_t *item, const char *id) {
    struct slice service = text_of(item, "service"), status = text_of(item, "status");
    if (!slice_is(service, "lwm2m") && !slice_is(service, "bootstrap"))
        pelion_send_invalid(call->request, "service", "It is lwm2m or bootstrap.");
    else if (status.len > 0 && !slice_is(status, "ACTIVE") && !slice_is(status, "INACTIVE"))
        pelion_send_invalid(call->request, "status", "It is ACTIVE or INACTIVE.");
    else if (!describe(item, text_of(item, "certificate")))
        pelion_send_invalid(call->request, "certificate", "It is a certificate, as PEM.");
    else
        return may_be_made(call, text_of(item, "name"), id);
    return false;
}

static void keep(const struct call *call, const char *id, json_t *item, unsigned status) {
    json_int_t now = (json_int_t)clock_now_ms(&call->web->server->clock);
    if (json_object_get(item, "created_at") == NULL)
        set(item, "created_at", json_integer(now));
    set(item, "updated_at", json_integer(now));
    pelion_keep_and_answer(call->web->pelion, call->request, PELION_CERTIFICATES, id, item, status,
                           show(call, id, item));
}

void pelion_certificates_post(const struct call *call) {
    char id[PELION_ID_LEN + 1];
    json_t *item = pelion_read_body(call, post_fields);
    if (item == NULL)
        return;
    if (check(call, item, "")) {
        pelion_make_id(call->web->pelion, id);
        keep(call, id, item, 201);
    } else {
        json_decref(item);
    }
}

void pelion_certificates_put(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_CERTIFICATES, id);
    json_t *body = item == NULL ? NULL : pelion_read_body(call, put_fields);
    if (body == NULL)
        return;
    if (is_developers(item)) { /* it is made here */
        json_object_del(body, "certificate");
        json_object_del(body, "service");
    }
    json_t *changed = json_copy((json_t *)(uintptr_t)item);
    json_object_update(changed, body);
    json_decref(body);
    if (check(call, changed, id))
        keep(call, id, changed, 200);
    else
        json_decref(changed);
}

bool pelion_trust(struct pelion *pelion, char *error, size_t error_size) {
    const char *id;
    json_t *item;
    json_object_foreach(pelion->tables[PELION_CERTIFICATES], id, item) {
        if (!is_developers(item) && !slice_is(text_of(item, "status"), "INACTIVE") &&
            !dtls_service_add_authority(pelion->web->server, text_of(item, "certificate"), error, error_size))
            return false;
    }
    return true;
}

/* ---- developers' ---- */

static struct slice context_of(const char *id, char context[CONTEXT_MAX]) {
    snprintf(context, CONTEXT_MAX, "pelion developer %s", id);
    return slice_str(context);
}

/* What is secret, as Base64 of what is sealed; NULL when there is no memory. */
static json_t *seal_json(const struct pelion *pelion, const char *id, const json_t *secret) {
    char context[CONTEXT_MAX];
    char *text = json_dumps(secret, JSON_COMPACT);
    size_t len = text == NULL ? 0 : strlen(text), sealed_max = len + SEAL_OVERHEAD, base64_max = sealed_max * 4 / 3 + 4;
    uint8_t *memory = malloc(sealed_max + base64_max);
    json_t *json = NULL;
    if (text != NULL && memory != NULL) {
        struct buffer sealed = buffer_over(memory, sealed_max), base64 = buffer_over(memory + sealed_max, base64_max);
        if (seal_close(pelion->web->server->seal, context_of(id, context), slice_of(text, len), &sealed)) {
            text_put_base64(&base64, buffer_slice(&sealed));
            json = document_text(buffer_slice(&base64));
        }
    }
    if (text != NULL)
        mbedtls_platform_zeroize(text, len);
    free(text);
    free(memory);
    return json;
}

static json_t *open_json(const struct pelion *pelion, const char *id, struct slice base64) {
    char context[CONTEXT_MAX];
    uint8_t *memory = malloc(2 * base64.len + 1);
    if (memory == NULL)
        return NULL;
    struct buffer sealed = buffer_over(memory, base64.len), plain = buffer_over(memory + base64.len, base64.len);
    json_t *json = NULL;
    if (text_get_base64(base64, &sealed) &&
        seal_open(pelion->web->server->seal, context_of(id, context), buffer_slice(&sealed), &plain))
        json = json_loadb((const char *)plain.data, plain.len, 0, NULL);
    mbedtls_platform_zeroize(memory, 2 * base64.len + 1);
    free(memory);
    return json;
}

/* With what is secret, which is given up. */
static json_t *developer_json(const char *id, const json_t *item, json_t *secret) {
    json_t *json = show(NULL, id, item);
    json_object_update(json, secret);
    json_decref(secret);
    return json;
}

struct making {
    struct pelion *pelion;
    struct http_request *request;
    json_t *item;
};

static void keep_developer(struct making *m, const json_t *made) {
    static const char *const names[][2] = {{"developer_certificate", "certificate"},
                                           {"developer_private_key", "private_key"},
                                           {"security_file_content", "security_c"}};
    char id[PELION_ID_LEN + 1];
    json_t *secret = json_object();
    pelion_make_id(m->pelion, id);
    for (size_t i = 0; i < 3; i++)
        json_object_set(secret, names[i][0], json_object_get(made, names[i][1]));
    json_t *sealed = seal_json(m->pelion, id, secret),
           *now = json_integer((json_int_t)clock_now_ms(&m->pelion->web->server->clock));
    set(m->item, "sealed", sealed);
    json_object_set(m->item, "certificate", json_object_get(made, "certificate"));
    set(m->item, "service", json_string("bootstrap"));
    json_object_set(m->item, "created_at", now);
    set(m->item, "updated_at", now);
    if (sealed == NULL || !describe(m->item, text_of(made, "certificate"))) {
        json_decref(secret);
        json_decref(m->item);
        pelion_send_error(m->request, 503, "The server is out of memory.");
        return;
    }
    pelion_keep_and_answer(m->pelion, m->request, PELION_CERTIFICATES, id, m->item, 201,
                           developer_json(id, m->item, secret));
}

static void on_made(void *arg, unsigned status, const json_t *body) {
    struct making *m = arg;
    const char *detail = json_string_value(json_object_get(body, "detail"));
    if (status == 200) {
        keep_developer(m, body);
    } else {
        json_decref(m->item);
        pelion_send_error(m->request, status == 409 ? 409 : 503,
                          detail == NULL ? "The certificate can't be made now." : detail);
    }
    free(m);
}

/* The name by which the caller reaches this server is that by which a device on the same machine does. */
static json_t *host_json(const struct call *call) {
    struct slice host = http_header(call->request, "host");
    const uint8_t *colon = host.len == 0 || host.data[0] == '[' ? NULL : memchr(host.data, ':', host.len);
    if (call->web->server->config->bootstrap_host != NULL || host.len == 0)
        return NULL;
    if (host.data[0] == '[') {
        const uint8_t *bracket = memchr(host.data, ']', host.len);
        return bracket == NULL ? NULL : document_text(slice_of(host.data + 1, (size_t)(bracket - host.data - 1)));
    }
    host.len = colon == NULL ? host.len : (size_t)(colon - host.data);
    return host.len == 0 || host.len > HOST_MAX ? NULL : document_text(host);
}

void pelion_developer_post(const struct call *call) {
    json_t *item = pelion_read_body(call, developer_fields);
    struct making *m = item == NULL ? NULL : calloc(1, sizeof *m);
    if (m == NULL || !may_be_made(call, text_of(item, "name"), "")) {
        json_decref(item);
        free(m);
        return;
    }
    *m = (struct making){.pelion = call->web->pelion, .request = call->request, .item = item};
    json_t *body = json_pack("{ss}", "account", PELION_ACCOUNT), *host = host_json(call);
    if (host != NULL)
        set(body, "host", host);
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    pelion_ask(call->web->pelion,
               &(struct inner_request){.method = "POST",
                                       .path = slice_str("/v1/pki/developer"),
                                       .body = text == NULL ? SLICE_NONE : slice_str(text),
                                       .content_type = "application/json"},
               on_made, m);
    free(text);
}

void pelion_developer_get(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_CERTIFICATES, id);
    json_t *secret = item == NULL ? NULL : open_json(call->web->pelion, id, text_of(item, "sealed"));
    if (secret != NULL)
        pelion_send_json(call->request, 200, developer_json(id, item, secret));
    else if (item != NULL)
        pelion_send_error(call->request, 404, "It is no developer's certificate.");
}

/* ---- the server's ---- */

/* coaps://host:port of the listener for devices; by the host that the one for bootstrap has. */
static bool put_server_uri(const struct call *call, bool is_bootstrap, struct buffer *out) {
    const struct server *server = call->web->server;
    json_t *host = host_json(call);
    struct slice name = host == NULL ? SLICE_NONE : document_string(host);
    bool found = is_bootstrap && developer_put_uri(server, name, slice_str(PELION_ACCOUNT), out);
    for (size_t i = 0; !is_bootstrap && !found && i < server->config->listener_count; i++) {
        const struct listener *l = &server->listeners[i];
        found = l->transport == LINK_DTLS && l->role != LISTENER_BOOTSTRAP;
        if (found) {
            name = server->config->bootstrap_host != NULL ? slice_str(server->config->bootstrap_host) : name;
            bool is_v6 = name.len > 0 && memchr(name.data, ':', name.len) != NULL;
            buffer_printf(out, is_v6 ? "coaps://[%.*s]:%u" : "coaps://%.*s:%u", name.len == 0 ? 9 : (int)name.len,
                          name.len == 0 ? "127.0.0.1" : (const char *)name.data, (unsigned)l->address.port);
        }
    }
    json_decref(host);
    return found && !out->overflow;
}

/* NULL: there is no such listener. */
static json_t *server_json(const struct call *call, bool is_bootstrap, const char *uri_name,
                           const char *certificate_name) {
    uint8_t uri_memory[512], der_memory[PKI_CERTIFICATE_MAX], pem_memory[PKI_PEM_MAX];
    struct buffer uri = buffer_over(uri_memory, sizeof uri_memory), der = buffer_over(der_memory, sizeof der_memory),
                  pem = buffer_over(pem_memory, sizeof pem_memory);
    char error[256];
    if (!put_server_uri(call, is_bootstrap, &uri) ||
        !issuer_put_authority(call->web->server->issuer, &der, error, sizeof error) ||
        !pki_put_certificate_pem(buffer_slice(&der), &pem))
        return NULL;
    return json_pack("{soso}", uri_name, document_text(buffer_slice(&uri)), certificate_name,
                     document_text(buffer_slice(&pem)));
}

void pelion_server_credentials(const struct call *call) {
    json_t *bootstrap = server_json(call, true, "url", "certificate");
    json_t *management = server_json(call, false, "url", "certificate");
    pelion_send_json(call->request, 200,
                     json_pack("{sssoso}", "object", "server-credentials", "bootstrap",
                               bootstrap == NULL ? json_null() : bootstrap, "lwm2m",
                               management == NULL ? json_null() : management));
}

static void send_one(const struct call *call, bool is_bootstrap) {
    json_t *json = server_json(call, is_bootstrap, "server_uri", "server_certificate");
    if (json == NULL) {
        pelion_send_error(call->request, 404, "No coaps listener of this server is for that.");
        return;
    }
    set(json, "object", json_string("server-credentials"));
    set(json, "id",
        json_string(is_bootstrap ? "00000000000000000000000000000002" : "00000000000000000000000000000003"));
    set(json, "created_at", pelion_time_json(call->web->started_s * 1000));
    set(json, "etag", pelion_time_json(call->web->started_s * 1000));
    pelion_send_json(call->request, 200, json);
}

void pelion_bootstrap_credentials(const struct call *call) {
    send_one(call, true);
}

void pelion_management_credentials(const struct call *call) {
    send_one(call, false);
}
