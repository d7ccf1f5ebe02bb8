#include "server/admission.h"

#include "common/coap/message.h"
#include "server/bootstrap_configs.h"

static struct admission refusal(uint8_t code, const char *why) {
    return (struct admission){.code = code, .why = why};
}

/* By policy (T Table 6.7-2): some clients bootstrap again when they hear 4.03, and others go on trying. */
static struct admission forbidden(const struct server *server, const char *why) {
    return refusal(server->config->refuse_with_4_00 ? COAP_4_00_BAD_REQUEST : COAP_4_03_FORBIDDEN, why);
}

struct slice admission_identity(const struct link *link) {
    return link->identity == NULL ? slice_str("") : link->identity->name;
}

enum link_security admission_security(const struct link *link) {
    return link->identity == NULL ? LINK_NO_SECURITY : link->identity->security;
}

/* What credentials an endpoint has for a service. */
struct possession {
    bool none;   /* it may do without security */
    bool secure; /* it has some that prove something */
};

static struct possession possession_of(const struct server *server, struct slice endpoint, unsigned services) {
    struct possession possession = {0};
    for (const struct credential *c = NULL; (c = credentials_of(server->credentials, endpoint, c)) != NULL;) {
        if ((c->services & services) == 0)
            continue;
        possession.none = possession.none || c->mode == CREDENTIAL_NONE;
        possession.secure = possession.secure || c->mode != CREDENTIAL_NONE;
    }
    return possession;
}

/* Whether the endpoint's own X.509 credential, where it has one, asks for another certificate. */
static bool wants_another(const struct server *server, struct slice endpoint, unsigned services) {
    for (const struct credential *c = NULL; (c = credentials_of(server->credentials, endpoint, c)) != NULL;) {
        if (c->mode == CREDENTIAL_X509 && (c->services & services) != 0)
            return c->has_fingerprint || (c->identity.len > 0 && !slice_equal(c->identity, endpoint));
    }
    return false;
}

/* A pinned certificate is its endpoint's and nobody else's; one with a name that a credential knows likewise. Any other,
 * which an authority has signed, is the endpoint of its name (T §5.2.9.3). */
static bool endpoint_of_certificate(const struct server *server, const struct link_identity *identity,
                                    unsigned services, struct slice *endpoint) {
    const struct credential *pin =
        credentials_find_fingerprint(server->credentials, identity->fingerprint, CREDENTIAL_EVERY_SERVICE);
    const struct credential *c =
        pin != NULL ? credentials_find_fingerprint(server->credentials, identity->fingerprint, services)
                    : credentials_find_subject(server->credentials, identity->name, services);
    bool fits = c != NULL && (pin == NULL || c->identity.len == 0 || slice_equal(c->identity, identity->name));
    if (pin != NULL && !fits)
        return false;
    *endpoint = c != NULL ? c->endpoint : identity->name;
    return c != NULL || (identity->name.len > 0 && !wants_another(server, identity->name, services));
}

bool admission_endpoint(const struct server *server, const struct link_identity *identity, unsigned services,
                        struct slice *endpoint) {
    const struct credential *c;
    switch (identity->security) {
    case LINK_PSK:
        c = credentials_find_psk(server->credentials, identity->name, services);
        if (c != NULL)
            *endpoint = c->endpoint;
        return c != NULL;
    case LINK_X509:
        return endpoint_of_certificate(server, identity, services, endpoint);
    case LINK_OSCORE:
        c = credentials_find_recipient(server->credentials, identity->name, services);
        if (c != NULL)
            *endpoint = c->endpoint;
        return c != NULL;
    case LINK_NO_SECURITY:
        break;
    }
    return false;
}

static struct admission admit_without_security(const struct server *server, struct slice endpoint) {
    if (endpoint.data == NULL)
        return refusal(COAP_4_00_BAD_REQUEST, "ep is missing");
    struct possession possession = possession_of(server, endpoint, CREDENTIAL_MANAGEMENT);
    if (server->config->nosec == NOSEC_OFF)
        return forbidden(server, "devices without security are not served");
    if (server->config->nosec == NOSEC_KNOWN && !possession.none)
        return forbidden(server, "this endpoint may not register without security");
    if (possession.secure && !possession.none)
        return forbidden(server, "this endpoint has credentials and must register with them");
    const struct registration *r = directory_find_newest(server->directory, endpoint);
    if (r != NULL && r->security != LINK_NO_SECURITY && !possession.none)
        return refusal(COAP_4_00_BAD_REQUEST, "this endpoint has registered with another identity");
    return (struct admission){.endpoint = endpoint};
}

struct admission admission_of_register(const struct server *server, const struct link *link, struct slice endpoint) {
    struct slice own;
    if (link->identity == NULL)
        return admit_without_security(server, endpoint);
    if (!admission_endpoint(server, link->identity, CREDENTIAL_MANAGEMENT, &own))
        return forbidden(server, "this identity may not register");
    if (endpoint.data != NULL && !slice_equal(endpoint, own))
        return refusal(COAP_4_00_BAD_REQUEST, "ep is not the endpoint of this identity");
    if (!credential_endpoint_good(own))
        return refusal(COAP_4_00_BAD_REQUEST, "the name in the certificate can't be an endpoint's");
    return (struct admission){.endpoint = own};
}

/* --bootstrap known: whoever was configured. */
static bool is_configured(const struct server *server, struct slice endpoint) {
    struct possession possession = possession_of(server, endpoint, CREDENTIAL_BOOTSTRAP);
    return possession.none || possession.secure ||
           bootstrap_configs_find(server->bootstrap_configs, endpoint).data != NULL;
}

static struct admission admit_bootstrap_without_security(const struct server *server, struct slice endpoint) {
    if (endpoint.data == NULL)
        return refusal(COAP_4_00_BAD_REQUEST, "ep is missing");
    struct possession possession = possession_of(server, endpoint, CREDENTIAL_BOOTSTRAP);
    if (server->config->nosec == NOSEC_OFF)
        return refusal(COAP_4_00_BAD_REQUEST, "devices without security are not served");
    if (server->config->nosec == NOSEC_KNOWN && !possession.none)
        return refusal(COAP_4_00_BAD_REQUEST, "this endpoint may not be bootstrapped without security");
    if (possession.secure && !possession.none)
        return refusal(COAP_4_00_BAD_REQUEST, "this endpoint has credentials for bootstrap and must come with them");
    return (struct admission){.endpoint = endpoint};
}

struct admission admission_of_bootstrap(const struct server *server, const struct link *link, struct slice endpoint) {
    struct slice own;
    struct admission admission;
    if (link->identity == NULL) {
        admission = admit_bootstrap_without_security(server, endpoint);
        if (admission.code != COAP_EMPTY)
            return admission;
    } else {
        if (!admission_endpoint(server, link->identity, CREDENTIAL_BOOTSTRAP, &own))
            return refusal(COAP_4_00_BAD_REQUEST, "this identity may not be bootstrapped");
        if (endpoint.data != NULL && !slice_equal(endpoint, own))
            return refusal(COAP_4_00_BAD_REQUEST, "ep is not the endpoint of this identity");
        if (!credential_endpoint_good(own))
            return refusal(COAP_4_00_BAD_REQUEST, "the name in the certificate can't be an endpoint's");
        admission = (struct admission){.endpoint = own};
    }
    if (server->config->bootstrap == BOOTSTRAP_KNOWN && !is_configured(server, admission.endpoint))
        return refusal(COAP_4_00_BAD_REQUEST, "nothing is configured for this endpoint");
    return admission;
}

struct admission admission_of_change(const struct server *server, const struct link *link,
                                     const struct registration *r) {
    struct slice own;
    if (link->identity == NULL) {
        struct possession possession = possession_of(server, registration_endpoint(r), CREDENTIAL_MANAGEMENT);
        bool open = server->config->nosec == NOSEC_OPEN && !possession.secure && r->security == LINK_NO_SECURITY;
        if (server->config->nosec == NOSEC_OFF || (!open && !possession.none))
            return refusal(COAP_4_00_BAD_REQUEST, "the registration belongs to another identity");
    } else if (!admission_endpoint(server, link->identity, CREDENTIAL_MANAGEMENT, &own) ||
               !slice_equal(own, registration_endpoint(r))) {
        return refusal(COAP_4_00_BAD_REQUEST, "the registration belongs to another identity");
    }
    return (struct admission){.endpoint = registration_endpoint(r)};
}
