/* POST /v1/pki/developer: what is compiled into a developer's build of the vendor's client. */
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "common/base/text.h"
#include "server/credential.h"
#include "server/developer.h"
#include "server/issuer.h"
#include "web/document.h"
#include "web/input.h"
#include "web/v1/v1.h"
#include "web/web.h"

enum { ACCOUNT_MAX = 64, HOST_MAX = 200 };

/* While the certificate is being made. */
struct developing {
    struct http_request *request;
    uint8_t authority[PKI_CERTIFICATE_MAX], uri[DEVELOPER_URI_MAX];
    size_t authority_len, uri_len, endpoint_len, account_len;
    uint8_t endpoint[CREDENTIAL_ENDPOINT_MAX], account[ACCOUNT_MAX];
};

static void set_text(json_t *document, const char *name, struct slice text) {
    json_object_set_new(document, name, document_text(text));
}

static void answer(struct developing *d, const struct pki_pair *pair) {
    uint8_t pkcs8_memory[PKI_KEY_MAX + 64], certificate_memory[PKI_PEM_MAX], key_memory[PKI_PEM_MAX],
        ca_memory[PKI_PEM_MAX];
    struct buffer pkcs8 = buffer_over(pkcs8_memory, sizeof pkcs8_memory);
    struct buffer certificate = buffer_over(certificate_memory, sizeof certificate_memory);
    struct buffer key = buffer_over(key_memory, sizeof key_memory), ca = buffer_over(ca_memory, sizeof ca_memory);
    uint8_t *source_memory = malloc(DEVELOPER_SOURCE_MAX);
    struct buffer source = buffer_over(source_memory, DEVELOPER_SOURCE_MAX);
    struct slice authority = slice_of(d->authority, d->authority_len);
    issuer_put_pkcs8(slice_of(pair->key, pair->key_len), &pkcs8);
    const struct developer_facts facts = {.endpoint = slice_of(d->endpoint, d->endpoint_len),
                                          .account = slice_of(d->account, d->account_len),
                                          .uri = slice_of(d->uri, d->uri_len),
                                          .certificate = slice_of(pair->certificate, pair->certificate_len),
                                          .key = buffer_slice(&pkcs8),
                                          .authority = authority};
    bool good = source_memory != NULL && developer_put_source(&facts, &source) &&
                pki_put_certificate_pem(facts.certificate, &certificate) &&
                pki_put_key_pem(slice_of(pair->key, pair->key_len), &key) && pki_put_certificate_pem(authority, &ca);
    if (good) {
        json_t *document = json_object();
        set_text(document, "endpoint", facts.endpoint);
        set_text(document, "account", facts.account);
        set_text(document, "bootstrap_uri", facts.uri);
        set_text(document, "certificate", buffer_slice(&certificate));
        set_text(document, "private_key", buffer_slice(&key));
        set_text(document, "ca", buffer_slice(&ca));
        set_text(document, "security_c", buffer_slice(&source));
        document_ok(d->request, document);
    } else {
        problem_send(d->request, PROBLEM_OVERLOADED, "The server is out of memory.");
    }
    mbedtls_platform_zeroize(pkcs8_memory, sizeof pkcs8_memory);
    mbedtls_platform_zeroize(key_memory, sizeof key_memory);
    if (source_memory != NULL)
        mbedtls_platform_zeroize(source_memory, DEVELOPER_SOURCE_MAX);
    free(source_memory);
}

static void on_made(void *arg, const struct pki_pair *pair, const char *problem) {
    struct developing *d = arg;
    if (pair == NULL)
        problem_send(d->request, PROBLEM_BAD_BODY, "The certificate can't be made: %s.", problem);
    else
        answer(d, pair);
    free(d);
}

/* A string of 1 to `max` bytes, or nothing. */
static bool read_text(const struct call *call, const json_t *body, const char *name, size_t max, struct slice *text) {
    const json_t *value = json_object_get(body, name);
    if (value == NULL)
        return true;
    *text = document_string(value);
    if (json_is_string(value) && text->len >= 1 && text->len <= max)
        return true;
    problem_send(call->request, PROBLEM_BAD_BODY, "%s must be a string of 1 to %zu bytes.", name, max);
    return false;
}

static bool is_word(struct slice text, const char *others) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return true;
}

static bool read_names(struct developing *d, const struct call *call, const json_t *body, struct slice *host) {
    uint8_t random[8];
    struct slice endpoint = SLICE_NONE, account = slice_str("default");
    if (!read_text(call, body, "endpoint", CREDENTIAL_ENDPOINT_MAX, &endpoint) ||
        !read_text(call, body, "account", ACCOUNT_MAX, &account) || !read_text(call, body, "host", HOST_MAX, host))
        return false;
    if ((endpoint.len > 0 && !credential_endpoint_good(endpoint)) || !is_word(account, "-_") ||
        !is_word(*host, "-_.:")) {
        problem_send(call->request, PROBLEM_BAD_BODY,
                     "endpoint is UTF-8 without control characters, account letters, digits, - and _, host a name or "
                     "an address.");
        return false;
    }
    struct buffer name = buffer_over(d->endpoint, sizeof d->endpoint);
    random_bytes(random, sizeof random);
    buffer_put_slice(&name, endpoint);
    if (endpoint.len == 0) {
        buffer_put_str(&name, "dev-");
        text_put_hex(&name, slice_of(random, sizeof random));
    }
    d->endpoint_len = name.len;
    memcpy(d->account, account.data, account.len);
    d->account_len = account.len;
    return true;
}

static bool begin(struct developing *d, const struct call *call, const json_t *body) {
    struct server *server = call->web->server;
    struct slice host = SLICE_NONE;
    struct buffer uri = buffer_over(d->uri, sizeof d->uri), authority = buffer_over(d->authority, sizeof d->authority);
    char error[256];
    if (!read_names(d, call, body, &host))
        return false;
    const struct pki_request request = {.role = PKI_DEVICE,
                                        .name = slice_of(d->endpoint, d->endpoint_len),
                                        .account = slice_of(d->account, d->account_len)};
    if (!developer_put_uri(server, host, request.account, &uri)) {
        problem_send(call->request, PROBLEM_CONFLICT, "No coaps listener of this server bootstraps devices.");
        return false;
    }
    d->uri_len = uri.len;
    if (issuer_put_authority(server->issuer, &authority, error, sizeof error)) {
        d->authority_len = authority.len;
        d->request = call->request;
        if (issuer_make(server->issuer, &request, on_made, d, error, sizeof error) != NULL)
            return true;
    }
    problem_send(call->request, PROBLEM_OVERLOADED, "The certificate can't be made: %s.", error);
    return false;
}

void v1_pki_developer(const struct call *call) {
    static const char *const members[] = {"endpoint", "account", "host", NULL};
    json_t *body = call->request->body.len == 0 ? json_object() : input_body(call, members);
    struct developing *d = body == NULL ? NULL : calloc(1, sizeof *d);
    if (body != NULL && d == NULL)
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
    else if (body != NULL && !begin(d, call, body))
        free(d);
    json_decref(body);
}
