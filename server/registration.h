/* A registration: what the standard calls the server's knowledge of one client (Core 1.2 §6.2.1). It exists a million
 * times, so it is two pieces of memory: this struct in a slab slot of the directory, and one block with every text of
 * it. The object list is kept as canonical link format and parsed when somebody asks.
 *
 * Bytes for a device with four object links: 136 here + 56 text block + 144 link + 20 to 30 in hash tables. */
#ifndef BERTH_SERVER_REGISTRATION_H
#define BERTH_SERVER_REGISTRATION_H

#include "common/base/timer_wheel.h"
#include "common/net/link.h"
#include "server/slot_table.h"

enum lwm2m_version { LWM2M_1_0 = 10, LWM2M_1_1 = 11, LWM2M_1_2 = 12 };

/* Transport bindings announced with `b=` (Core 1.2 §6.2.1.2), in the order in which they are written. */
enum lwm2m_binding {
    BINDING_U = 1 << 0, /* UDP */
    BINDING_M = 1 << 1, /* MQTT */
    BINDING_H = 1 << 2, /* HTTP */
    BINDING_T = 1 << 3, /* TCP */
    BINDING_S = 1 << 4, /* SMS */
    BINDING_N = 1 << 5, /* non-IP */
};

enum client_profile { PROFILE_STANDARD, PROFILE_PELION };

enum registration_state {
    REGISTRATION_PENDING,    /* waits for its commit: not shown, not addressed */
    REGISTRATION_REGISTERED, /* acknowledged */
};

/* The content format that a device took after it had refused others. */
enum learned_format {
    LEARNED_NOTHING,
    LEARNED_NONE, /* no format: the device chooses */
    LEARNED_TLV,
    LEARNED_SENML_JSON,
    LEARNED_SENML_CBOR,
    LEARNED_LWM2M_CBOR,
};

/* What the store does not have yet. */
enum registration_unsaved { UNSAVED_NOTHING, UNSAVED_LEASE, UNSAVED_ALL };

/* Where a text of the block lies. */
struct text_span {
    uint16_t at, len;
};

struct dealings; /* server/contact.h */

struct registration {
    struct timer expiry;       /* first member: see registration_of_expiry */
    struct link *link;         /* how it is reached; a reference */
    struct dealings *dealings; /* what is under way with the device; NULL mostly */
    uint8_t *text;             /* one block with all spans and then the links */
    uint64_t id;               /* number of the registration, never used twice; the key in the store */
    uint64_t registered_at_ms;
    uint64_t updated_at_ms;
    uint64_t expires_at_ms; /* UINT64_MAX: never */
    uint32_t lifetime_s;    /* 0: for ever */
    uint32_t slot;          /* its place in the directory */
    uint32_t older;         /* slot of the registration of the same endpoint that this one replaces, or SLOT_NONE */
    uint32_t links_len;     /* at the end of `text`, behind the spans, of which `sms` is the last */
    /* `identity` is mostly `endpoint`, and is there once then. */
    struct text_span endpoint, location, root, query, identity, sms;
    uint8_t version;  /* enum lwm2m_version */
    uint8_t binding;  /* bits of enum lwm2m_binding */
    uint8_t profile;  /* enum client_profile */
    uint8_t state;    /* enum registration_state */
    uint8_t unsaved;  /* enum registration_unsaved */
    uint8_t security; /* enum link_security: with which it was made or last updated */
    bool queue_mode : 1;
    bool leaving : 1; /* its deletion is on the way to the store: nothing of it is written any more */
    /* What the device was seen to take and to refuse (format_choice.h); forgotten with the registration. */
    uint8_t composite_in_json : 1;
    uint8_t composite_unanswered : 1;
    uint8_t read_format : 3, write_format : 3; /* enum learned_format */
};

static inline struct slice registration_span(const struct registration *r, struct text_span span) {
    return slice_of(r->text + span.at, span.len);
}
static inline struct slice registration_endpoint(const struct registration *r) {
    return registration_span(r, r->endpoint);
}
/* Below /rd, segments joined by '/'. */
static inline struct slice registration_location(const struct registration *r) {
    return registration_span(r, r->location);
}
/* Alternate path, "" when the objects are at the root. */
static inline struct slice registration_root(const struct registration *r) {
    return registration_span(r, r->root);
}
/* Parameters of the registration that Berth has no field for, joined by '&', with % and & inside them as %25 and %26. */
static inline struct slice registration_query(const struct registration *r) {
    return registration_span(r, r->query);
}
static inline struct slice registration_sms(const struct registration *r) {
    return registration_span(r, r->sms);
}
/* The name that its security association proved (PSK identity, name in the certificate); "" without security. */
static inline struct slice registration_identity(const struct registration *r) {
    return registration_span(r, r->identity);
}
static inline struct slice registration_links(const struct registration *r) {
    return slice_of(r->text + r->sms.at + r->sms.len, r->links_len);
}

/* "1.1". */
const char *registration_version_text(const struct registration *r);

/* The letters, 'U' first: "U", "UT"; queue mode is not among them. At most 6 bytes. */
void registration_put_binding(struct buffer *out, const struct registration *r);

/* The device id: 32 lower-case hex digits that belong to the endpoint name once and for all (the first 128 bits of its
 * SHA-256, so that every server gives the same). */
struct device_id {
    char hex[33];
};
struct device_id device_id_of(struct slice endpoint);

#endif
