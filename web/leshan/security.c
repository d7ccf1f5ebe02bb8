/* /api/security and /api/server: by what devices prove who they are, and where the server is. A credential is put into the
 * place of all that the endpoint has; keys never come back. */
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "server/bootstrap_config.h"
#include "server/credential.h"
#include "server/issuer.h"
#include "web/document.h"
#include "web/inner.h"
#include "web/leshan/leshan.h"

enum { STEPS_MAX = 3, TARGET_MAX = 1200, QUERY_MAX = 64 };

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

/* What a listener's credentials are for. One without a role is the management server's where another is the bootstrap
 * server's, else both servers'. */
static unsigned services_of(const struct call *call) {
    const struct config *config = call->web->server->config;
    if (call->role == LISTENER_BOOTSTRAP)
        return CREDENTIAL_BOOTSTRAP;
    for (size_t i = 0; i < config->http_count; i++) {
        if (call->role == LISTENER_MANAGEMENT || config->http[i].role == LISTENER_BOOTSTRAP)
            return CREDENTIAL_MANAGEMENT;
    }
    return CREDENTIAL_EVERY_SERVICE;
}

/* ---- the list ---- */

static json_t *hex_json(struct slice bytes) {
    uint8_t memory[2 * CREDENTIAL_IDENTITY_MAX];
    struct buffer text = buffer_over(memory, sizeof memory);
    text_put_hex(&text, bytes);
    return document_text(buffer_slice(&text));
}

static json_t *tls_json(const char *mode) {
    json_t *tls = json_object();
    set(tls, "mode", json_string(mode));
    return tls;
}

static void set_credential(json_t *json, const struct credential *c) {
    json_t *part;
    switch (c->mode) {
    case CREDENTIAL_PSK:
        part = tls_json("psk");
        set(part, "details", json_pack("{so}", "identity", document_text(c->identity)));
        set(json, "tls", part);
        break;
    case CREDENTIAL_X509:
        set(json, "tls", tls_json("x509"));
        break;
    case CREDENTIAL_OSCORE:
        set(json, "oscore", json_pack("{soso}", "sid", hex_json(c->sender_id), "rid", hex_json(c->identity)));
        break;
    case CREDENTIAL_NONE:
    case CREDENTIAL_MODE_COUNT:
        break;
    }
}

void leshan_security_list(const struct call *call) {
    const struct credentials *credentials = call->web->server->credentials;
    unsigned services = services_of(call);
    json_t *by_endpoint = json_object(), *list = json_array(), *json;
    const struct credential *c;
    const char *name;
    uint32_t slot = 0;
    while ((c = credentials_next(credentials, &slot)) != NULL) {
        if ((c->services & services) == 0 || c->mode == CREDENTIAL_NONE)
            continue;
        json_t *endpoint = document_text(c->endpoint);
        json = json_object_get(by_endpoint, json_string_value(endpoint));
        if (json == NULL) {
            json = json_object();
            json_object_set_new(by_endpoint, json_string_value(endpoint), json);
        }
        set(json, "endpoint", endpoint);
        set_credential(json, c);
    }
    json_object_foreach(by_endpoint, name, json) {
        json_array_append(list, json);
    }
    json_decref(by_endpoint);
    document_ok(call->request, list);
}

/* ---- putting ---- */

/* One change after the other. The request has no `gone`: what was begun is finished, whoever still listens. */
struct steps {
    struct web *web;
    struct http_request *request;
    size_t at, count;
    struct step {
        const char *method;
        char query[QUERY_MAX];
        json_t *body; /* NULL: none */
    } steps[STEPS_MAX];
    size_t target_len;
    uint8_t target[TARGET_MAX];
};

static void steps_free(struct steps *steps) {
    for (size_t i = 0; i < steps->count; i++)
        json_decref(steps->steps[i].body);
    free(steps);
}

static void send_refusal(struct http_request *request, const struct http_response *response) {
    json_t *problem = json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    leshan_send_text(request, response->status >= 500 ? 503 : 400, "Invalid request: %s", detail == NULL ? "" : detail);
    json_decref(problem);
}

static void run(struct steps *steps);

static void on_step(void *arg, const struct http_response *response) {
    struct steps *steps = arg;
    bool is_put = strcmp(steps->steps[steps->at].method, "PUT") == 0;
    if (response->status >= 300 && (is_put || response->status >= 500)) { /* there may be nothing to delete */
        send_refusal(steps->request, response);
        steps_free(steps);
        return;
    }
    steps->at++;
    run(steps);
}

static void run(struct steps *steps) {
    if (steps->at == steps->count) {
        http_respond(steps->request, &(struct http_response){.status = 200});
        steps_free(steps);
        return;
    }
    const struct step *step = &steps->steps[steps->at];
    char *text = step->body == NULL ? NULL : json_dumps(step->body, JSON_COMPACT);
    inner_start(steps->web,
                &(struct inner_request){.method = step->method,
                                        .path = slice_of(steps->target, steps->target_len),
                                        .query = slice_str(step->query),
                                        .body = text == NULL ? SLICE_NONE : slice_str(text),
                                        .content_type = "application/json"},
                on_step, steps);
    if (text != NULL)
        mbedtls_platform_zeroize(text, strlen(text));
    free(text);
}

static const char *text_at(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

/* The credential of /v1 for a part of the body; NULL: *why says what is wrong. */
static json_t *tls_credential(const json_t *tls, const char **why) {
    const char *mode = text_at(tls, "mode");
    const json_t *details = json_object_get(tls, "details");
    const char *identity = text_at(details, "identity"), *key = text_at(details, "key");
    if (mode != NULL && strcmp(mode, "x509") == 0)
        return json_pack("{ss}", "mode", "x509");
    if (mode != NULL && strcmp(mode, "rpk") == 0) {
        *why = "raw public keys are not supported; use psk or x509.";
        return NULL;
    }
    if (mode == NULL || strcmp(mode, "psk") != 0)
        *why = "tls.mode must be \"psk\" or \"x509\".";
    else if (identity == NULL || key == NULL)
        *why = "tls.details must have identity, and key in hexadecimal.";
    else
        return json_pack("{ssssss}", "mode", "psk", "identity", identity, "key_hex", key);
    return NULL;
}

/* The demo server's words are the server's view, too: `sid` is its own sender ID. */
static json_t *oscore_credential(const json_t *oscore, const char **why) {
    const char *sid = text_at(oscore, "sid"), *rid = text_at(oscore, "rid"), *secret = text_at(oscore, "msec");
    const char *salt = text_at(oscore, "msalt");
    if (sid != NULL && rid != NULL && secret != NULL)
        return json_pack("{ssssssssss*}", "mode", "oscore", "sender_id_hex", sid, "recipient_id_hex", rid,
                         "master_secret_hex", secret, "master_salt_hex", salt);
    *why = "oscore must have sid, rid and msec, each in hexadecimal.";
    return NULL;
}

static void add_step(struct steps *steps, const char *method, const char *mode, const char *services, json_t *body) {
    struct step *step = &steps->steps[steps->count++];
    step->method = method;
    step->body = body;
    if (body != NULL)
        json_object_set_new(body, "service", json_string(services));
    else
        snprintf(step->query, sizeof step->query, "mode=%s&service=%s", mode, services);
}

/* Credentials are put before what the endpoint has besides is deleted, so that it is never without one. */
static bool read_steps(struct steps *steps, const json_t *body, const char *services, const char **why) {
    const json_t *tls = json_object_get(body, "tls"), *oscore = json_object_get(body, "oscore");
    json_t *with_tls = NULL, *with_oscore = NULL;
    *why = "it needs tls or oscore, an object.";
    if (!json_is_object(tls) && !json_is_object(oscore))
        return false;
    if (json_is_object(tls) && (with_tls = tls_credential(tls, why)) == NULL)
        return false;
    if (json_is_object(oscore) && (with_oscore = oscore_credential(oscore, why)) == NULL) {
        json_decref(with_tls);
        return false;
    }
    bool is_psk = with_tls != NULL && strcmp(text_at(with_tls, "mode"), "psk") == 0;
    bool is_x509 = with_tls != NULL && !is_psk;
    if (with_tls != NULL)
        add_step(steps, "PUT", NULL, services, with_tls);
    if (with_oscore != NULL)
        add_step(steps, "PUT", NULL, services, with_oscore);
    if (!is_psk && steps->count < STEPS_MAX)
        add_step(steps, "DELETE", "psk", services, NULL);
    if (!is_x509 && steps->count < STEPS_MAX)
        add_step(steps, "DELETE", "x509", services, NULL);
    if (with_oscore == NULL && steps->count < STEPS_MAX)
        add_step(steps, "DELETE", "oscore", services, NULL);
    return true;
}

static bool put_target(struct slice endpoint, uint8_t target[TARGET_MAX], size_t *len) {
    struct buffer out = buffer_over(target, TARGET_MAX);
    buffer_put_str(&out, "/v1/credentials/");
    leshan_put_encoded(&out, endpoint);
    *len = out.len;
    return !out.overflow && endpoint.len > 0;
}

static void put(const struct call *call, const json_t *body) {
    const json_t *endpoint = json_object_get(body, "endpoint");
    const char *why = "endpoint must be a string of 1 to 256 bytes.";
    struct steps *steps = calloc(1, sizeof *steps);
    if (steps == NULL) {
        leshan_send_text(call->request, 503, "The server is out of memory.");
        return;
    }
    steps->web = call->web;
    steps->request = call->request;
    if (json_is_string(endpoint) && put_target(document_string(endpoint), steps->target, &steps->target_len) &&
        read_steps(steps, body, credential_services_name(services_of(call)), &why)) {
        run(steps);
        return;
    }
    leshan_send_text(call->request, 400, "Invalid request: %s", why);
    steps_free(steps);
}

void leshan_security_put(const struct call *call) {
    char error[512];
    json_t *body = document_read(call->request->body, error, sizeof error);
    if (body == NULL)
        leshan_send_text(call->request, 400, "Invalid request: %s", error);
    else
        put(call, body);
    json_decref(body);
}

static void on_deleted(void *arg, const struct http_response *response) {
    struct http_request *request = arg;
    if (response->status < 300)
        http_respond(request, &(struct http_response){.status = 204});
    else if (response->status == 404)
        leshan_send_text(request, 404, "no security information of this endpoint");
    else
        send_refusal(request, response);
}

void leshan_security_delete(const struct call *call) {
    uint8_t target[TARGET_MAX];
    char query[QUERY_MAX];
    size_t len;
    snprintf(query, sizeof query, "service=%s", credential_services_name(services_of(call)));
    if (!put_target(call->args[0], target, &len)) {
        leshan_send_text(call->request, 404, "no security information of this endpoint");
        return;
    }
    inner_start(call->web,
                &(struct inner_request){.method = "DELETE", .path = slice_of(target, len), .query = slice_str(query)},
                on_deleted, call->request);
}

/* ---- the server itself ---- */

static bool is_for(const struct listener *listener, enum listener_role role) {
    return role == LISTENER_EVERYTHING || listener->role == LISTENER_EVERYTHING || listener->role == role;
}

void leshan_server_security(const struct call *call) {
    struct server *server = call->web->server;
    uint8_t der[BOOTSTRAP_DER_MAX], text[BOOTSTRAP_DER_MAX * 4 / 3 + 4];
    struct buffer certificate = buffer_over(der, sizeof der), base64 = buffer_over(text, sizeof text);
    json_t *answer = json_object();
    if (server->issuer != NULL && issuer_put_server(server->issuer, false, &certificate)) {
        text_put_base64(&base64, buffer_slice(&certificate));
        set(answer, "certificate", json_pack("{so}", "b64Der", document_text(buffer_slice(&base64))));
    }
    document_ok(call->request, answer);
}

static json_t *uri_json(const struct listener *listener) {
    const char *end = strstr(listener->uri, "://"), *host = end == NULL ? listener->uri : end + 3;
    size_t len = strcspn(host, "/?");
    for (size_t i = len; i > 0; i--) {
        if (host[i - 1] == ':') {
            len = i - 1;
            break;
        }
    }
    return json_pack("{ssss#ss#si}", "full", listener->uri, "scheme", listener->uri,
                     end == NULL ? 0 : (int)(end - listener->uri), "host", host, (int)len, "port",
                     (int)listener->address.port);
}

void leshan_server_endpoints(const struct call *call) {
    static const char *const descriptions[] = {[LINK_UDP] = "CoAP over UDP",
                                               [LINK_DTLS] = "CoAP over DTLS",
                                               [LINK_TCP] = "CoAP over TCP",
                                               [LINK_TLS] = "CoAP over TLS"};
    const struct server *server = call->web->server;
    json_t *list = json_array();
    for (size_t i = 0; i < server->config->listener_count; i++) {
        const struct listener *listener = &server->listeners[i];
        if (is_for(listener, call->role))
            json_array_append_new(
                list, json_pack("{soss}", "uri", uri_json(listener), "description", descriptions[listener->transport]));
    }
    document_ok(call->request, list);
}
