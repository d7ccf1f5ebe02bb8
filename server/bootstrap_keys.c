#include "server/bootstrap_keys.h"

#include <mbedtls/sha256.h>
#include <string.h>

#include "common/base/random.h"
#include "common/base/text.h"

enum {
    PSK_BYTES = 16, /* as AES-128 has */
    OSCORE_SECRET_BYTES = 16,
    OSCORE_SALT_BYTES = 8,
    OSCORE_ID_BYTES = 6,
    CERTIFICATE_BYTES = PKI_CERTIFICATE_MAX + PKI_KEY_MAX + 64 + 4096, /* and the server's */
    OTHER_BYTES = BOOTSTRAP_URI_MAX + 64 + 256,
};

/* ---- settling ---- */

static bool is_secure_scheme(const char *uri) {
    return strncmp(uri, "coaps", 5) == 0;
}

static size_t scheme_len(const char *uri) {
    return strcspn(uri, ":");
}

static bool same_scheme(const struct listener *a, const struct listener *b) {
    return scheme_len(a->uri) == scheme_len(b->uri) && strncmp(a->uri, b->uri, scheme_len(a->uri)) == 0;
}

/* The listener at which the device is to register: the one by which it came, one of its kind, any as secure. */
static const struct listener *home_of(const struct server *server, const struct link *link, bool secure) {
    const struct listener *best = NULL;
    for (size_t i = 0; i < server->config->listener_count; i++) {
        const struct listener *l = &server->listeners[i];
        if (l->role == LISTENER_BOOTSTRAP || is_secure_scheme(l->uri) != secure)
            continue;
        if (l == link->listener)
            return l;
        if (best == NULL || (!same_scheme(best, link->listener) && same_scheme(l, link->listener)))
            best = l;
    }
    return best;
}

static const struct listener *home_for(const struct server *server, const struct link *link,
                                       const struct bootstrap_account *account) {
    bool secure = account->security != BOOTSTRAP_NONE;
    if (!account->is_bootstrap)
        return home_of(server, link, secure);
    return is_secure_scheme(link->listener->uri) == secure ? link->listener : NULL; /* where it has come to */
}

static enum link_security security_of(const struct link *link) {
    return link->identity == NULL ? LINK_NO_SECURITY : link->identity->security;
}

static const char *settle_account(const struct link *link, struct bootstrap_account *account) {
    bool wants_security = account->uri.len > 0 && slice_starts_with(account->uri, "coaps");
    if (account->security != BOOTSTRAP_AS_THIS)
        return NULL;
    account->security = BOOTSTRAP_NONE;
    if (account->uri.len > 0 && !wants_security)
        return NULL;
    switch (security_of(link)) {
    case LINK_PSK:
        account->security = BOOTSTRAP_PSK;
        return NULL;
    case LINK_X509:
        account->security = BOOTSTRAP_X509;
        return NULL;
    case LINK_OSCORE:
        account->has_oscore = true;
        break;
    case LINK_NO_SECURITY:
        break;
    }
    return wants_security ? "the device came without the security that its server's URI asks for" : NULL;
}

/* Registering without security would be refused (admission.h). */
static bool must_be_secure(const struct server *server, struct slice endpoint) {
    bool none = false, secure = false;
    for (const struct credential *c = NULL; (c = credentials_of(server->credentials, endpoint, c)) != NULL;) {
        if ((c->services & CREDENTIAL_MANAGEMENT) == 0)
            continue;
        none = none || c->mode == CREDENTIAL_NONE;
        secure = secure || c->mode != CREDENTIAL_NONE;
    }
    return secure && !none;
}

/* Security, OSCORE and COSE hold keys. */
static bool writes_secrets(const struct bootstrap_config *config) {
    for (size_t i = 0; i < config->writes.count; i++) {
        uint16_t object = config->writes.paths[i].ids[0];
        if (object == 0 || object == 21 || object == 23)
            return true;
    }
    return false;
}

const char *bootstrap_keys_settle(const struct server *server, const struct link *link, struct slice endpoint,
                                  struct bootstrap_config *config, struct bootstrap_origin *origins) {
    bool secrets = writes_secrets(config);
    for (size_t i = 0; i < config->account_count; i++) {
        struct bootstrap_account *account = &config->accounts[i];
        bool is_this = account->uri.len == 0;
        const char *why = settle_account(link, account);
        if (why != NULL)
            return why;
        secrets = secrets || bootstrap_account_has_secrets(account, account->security);
        bool makes =
            (account->security == BOOTSTRAP_PSK || account->security == BOOTSTRAP_X509) && account->key.len == 0;
        origins[i] = (struct bootstrap_origin){
            .is_ours = is_this || makes || (account->has_oscore && account->secret.len == 0),
            .needs_certificate = account->security == BOOTSTRAP_X509 && account->key.len == 0,
        };
        if (is_this && home_for(server, link, account) == NULL)
            return account->security == BOOTSTRAP_NONE ? "no listener serves devices without security"
                                                       : "no listener serves devices with this security";
        if (is_this && account->security == BOOTSTRAP_NONE && !account->has_oscore && !account->is_bootstrap &&
            must_be_secure(server, endpoint))
            return "this endpoint has credentials, and would be sent to register without";
    }
    if (secrets && security_of(link) == LINK_NO_SECURITY && !server->config->bootstrap_insecure)
        return "keys are not given to a device that comes without security";
    return NULL;
}

/* ---- making ---- */

size_t bootstrap_keys_size(const struct bootstrap_config *config, const struct bootstrap_facts *facts) {
    size_t names = facts->endpoint.len + facts->account.len + facts->device_id.len, size = 0;
    for (size_t i = 0; i < config->account_count; i++) {
        const struct bootstrap_account *a = &config->accounts[i];
        size_t templates = a->uri.len + a->identity.len + a->sni.len;
        size += CERTIFICATE_BYTES + OTHER_BYTES + templates * (1 + names / 4) + 2 * CREDENTIAL_ENDPOINT_MAX;
    }
    return size;
}

static struct slice taken_since(const struct buffer *room, size_t at) {
    return slice_of(room->data + at, room->len - at);
}

static struct slice draw(struct buffer *room, size_t len) {
    size_t at = room->len;
    uint8_t *bytes = buffer_take(room, len);
    if (bytes != NULL)
        random_bytes(bytes, len);
    return taken_since(room, at);
}

static void expand(struct slice *text, const struct bootstrap_facts *facts, struct buffer *room) {
    size_t at = room->len;
    if (text->len == 0 || memchr(text->data, '{', text->len) == NULL)
        return;
    bootstrap_expand(room, *text, facts);
    *text = taken_since(room, at);
}

/* How the device reaches this server: by the name with which it has come, else by the address. */
static bool put_host(const struct server *server, const struct link *link, struct slice host, struct buffer *room) {
    struct address ip;
    if (server->config->bootstrap_host != NULL)
        host = slice_str(server->config->bootstrap_host);
    if (host.len > 0 && !address_parse_ip(host, &ip)) {
        buffer_put_slice(room, host);
        return true;
    }
    if (host.len == 0)
        ip = link->local.family != ADDRESS_NONE ? link->local : link->listener->address;
    static const uint8_t any[16];
    if (ip.family == ADDRESS_NONE || memcmp(ip.ip, any, sizeof any) == 0)
        return false;
    if (ip.family == ADDRESS_IPV6)
        buffer_put_u8(room, '[');
    ip.scope = 0; /* a zone means something on this machine only */
    address_put_ip(room, &ip);
    if (ip.family == ADDRESS_IPV6)
        buffer_put_u8(room, ']');
    return true;
}

/* The vendor's clients want to be told their account with the server (B3). */
static bool make_uri(const struct server *server, const struct link *link, struct slice host,
                     const struct bootstrap_facts *facts, enum bootstrap_sequence sequence,
                     struct bootstrap_account *account, struct buffer *room) {
    size_t at = room->len;
    const struct listener *home = home_for(server, link, account);
    if (home == NULL)
        return false;
    buffer_put(room, home->uri, scheme_len(home->uri));
    buffer_put_str(room, "://");
    if (!put_host(server, link, host, room))
        return false;
    buffer_put_u8(room, ':');
    buffer_put_decimal(room, home->address.port);
    if (sequence == BOOTSTRAP_PELION) {
        buffer_put_str(room, "?aid=");
        buffer_put_slice(room, facts->account);
    }
    account->uri = taken_since(room, at);
    return true;
}

/* The endpoint's name, or where that is another key's identity, with something behind it that nobody has. */
static struct slice make_identity(const struct server *server, const struct bootstrap_account *account,
                                  struct slice endpoint, struct buffer *room) {
    const struct credential *c = credentials_find_psk(server->credentials, endpoint, CREDENTIAL_EVERY_SERVICE);
    bool is_replaced =
        c != NULL && slice_equal(c->endpoint, endpoint) && c->services == CREDENTIAL_MANAGEMENT && !c->given;
    if (endpoint.len <= CREDENTIAL_IDENTITY_MAX && !account->is_bootstrap && (c == NULL || is_replaced))
        return endpoint;
    size_t at = room->len;
    uint8_t bytes[8];
    random_bytes(bytes, sizeof bytes);
    if (endpoint.len + 1 + 2 * sizeof bytes <= CREDENTIAL_IDENTITY_MAX) {
        buffer_put_slice(room, endpoint);
        buffer_put_u8(room, '.');
    }
    text_put_hex(room, slice_of(bytes, sizeof bytes));
    return taken_since(room, at);
}

static void make_oscore(struct bootstrap_account *account, struct buffer *room) {
    if (!account->has_oscore || account->secret.len > 0)
        return;
    account->secret = draw(room, OSCORE_SECRET_BYTES);
    account->salt = draw(room, OSCORE_SALT_BYTES);
    account->recipient_id = draw(room, OSCORE_ID_BYTES);
    account->sender_id = draw(room, 1); /* a shorter one is another one */
}

static bool make_account(const struct server *server, const struct link *link, struct slice host,
                         const struct bootstrap_facts *facts, enum bootstrap_sequence sequence,
                         struct bootstrap_account *account, struct buffer *room, const char **problem) {
    size_t at;
    *problem = "the address by which the device has come is not known: set --bootstrap-host";
    if (account->uri.len == 0 && !make_uri(server, link, host, facts, sequence, account, room))
        return false;
    expand(&account->uri, facts, room);
    expand(&account->identity, facts, room);
    expand(&account->sni, facts, room);
    if (account->security == BOOTSTRAP_PSK && account->identity.len == 0)
        account->identity = make_identity(server, account, facts->endpoint, room);
    if (account->security == BOOTSTRAP_PSK && account->key.len == 0)
        account->key = draw(room, PSK_BYTES);
    make_oscore(account, room);
    /* Usage 3 is the server's certificate itself, the others are an authority's, or may be; the vendor's clients want the
     * authority (C §E.1, MCC §4). */
    *problem = "this server's certificate is not known: give server_certificate";
    at = room->len;
    bool is_authority =
        sequence == BOOTSTRAP_PELION || account->certificate_usage == 0 || account->certificate_usage == 2;
    if (account->security == BOOTSTRAP_X509 && account->server_key.len == 0) {
        if (!issuer_put_server(server->issuer, is_authority, room))
            return false;
        account->server_key = taken_since(room, at);
    }
    *problem = "what a template stands for is too long";
    return account->uri.len <= BOOTSTRAP_URI_MAX && account->identity.len <= CREDENTIAL_IDENTITY_MAX && !room->overflow;
}

bool bootstrap_keys_make(const struct server *server, const struct link *link, struct slice host,
                         const struct bootstrap_facts *facts, struct bootstrap_config *config,
                         enum bootstrap_sequence sequence, struct buffer *room, const char **problem) {
    for (size_t i = 0; i < config->account_count; i++) {
        struct bootstrap_account *account = &config->accounts[i];
        if (!make_account(server, link, host, facts, sequence, account, room, problem))
            return false;
        /* C §E.2: T for a server over TCP; before 1.1, and for the vendor's clients, U is all there is. */
        bool is_tcp = slice_starts_with(account->uri, "coap+tcp") || slice_starts_with(account->uri, "coaps+tcp");
        if (account->binding.len == 0)
            account->binding = slice_str(is_tcp && !facts->is_1_0 && sequence != BOOTSTRAP_PELION ? "T" : "U");
    }
    return true;
}

bool bootstrap_keys_certify(struct bootstrap_account *account, const struct pki_pair *pair, struct buffer *room) {
    size_t at = room->len;
    buffer_put(room, pair->certificate, pair->certificate_len);
    account->public_key = taken_since(room, at);
    at = room->len;
    issuer_put_pkcs8(slice_of(pair->key, pair->key_len), room);
    account->key = taken_since(room, at);
    return !room->overflow;
}

/* ---- credentials ---- */

static struct credential transport_credential(const struct bootstrap_account *account) {
    struct credential c = {.mode = CREDENTIAL_PSK, .identity = account->identity, .key = account->key};
    if (account->security == BOOTSTRAP_PSK)
        return c;
    c = (struct credential){.mode = CREDENTIAL_X509, .has_fingerprint = true};
    mbedtls_sha256(account->public_key.data, account->public_key.len, c.fingerprint, 0);
    return c;
}

static struct credential oscore_credential(const struct bootstrap_account *account) {
    return (struct credential){.mode = CREDENTIAL_OSCORE,
                               .identity = account->recipient_id,
                               .key = account->secret,
                               .sender_id = account->sender_id,
                               .salt = account->salt,
                               .id_context = account->id_context,
                               .aead = account->aead};
}

bool bootstrap_keys_credential(const struct bootstrap_config *config, const struct bootstrap_origin *origins,
                               struct slice endpoint, size_t number, struct credential *credential) {
    for (size_t i = 0; i < config->account_count; i++) {
        const struct bootstrap_account *account = &config->accounts[i];
        bool has_keys = account->security == BOOTSTRAP_PSK || account->security == BOOTSTRAP_X509;
        if (!origins[i].is_ours)
            continue;
        bool found = (has_keys && number-- == 0);
        if (found)
            *credential = transport_credential(account);
        else if (account->has_oscore && number-- == 0)
            *credential = oscore_credential(account);
        else
            continue;
        credential->endpoint = endpoint;
        credential->services = account->is_bootstrap ? CREDENTIAL_BOOTSTRAP : CREDENTIAL_MANAGEMENT;
        return true;
    }
    return false;
}
