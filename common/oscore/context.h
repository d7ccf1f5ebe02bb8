/* A security context (RFC 8613 §3): keys and Common IV derived from a master secret, sender number, replay window. It is
 * what an idle peer costs: at most 200 bytes, no pointers. What it is derived from is the caller's to keep.
 *
 * Sender numbers are never used twice under a key (§7.2.1): those from `number_limit` on are not ours to use yet. Whoever
 * keeps the context writes a higher limit down before raising it, and goes on from the limit after a loss of state. */
#ifndef BERTH_OSCORE_CONTEXT_H
#define BERTH_OSCORE_CONTEXT_H

#include "common/oscore/algorithm.h"
#include "common/oscore/option.h"
#include "common/oscore/replay.h"

enum {
    OSCORE_SECRET_MAX = 64,     /* ours: master secret, master salt */
    OSCORE_ID_CONTEXT_MAX = 64, /* ours: a nonce of Appendix B.2 before two others, all longer than they have to be */
};

#define OSCORE_NUMBER_END ((uint64_t)1 << 40) /* §7.2.1: from here on the context is of no use */

/* What a context is derived from (§3.2). The slices are borrowed for the call. */
struct oscore_secrets {
    struct slice master_secret, master_salt; /* a salt of no bytes is none */
    struct slice sender_id, recipient_id;    /* ours; the peer's */
    struct slice id_context;                 /* of no bytes: none */
    uint8_t aead;                            /* COSE's number */
    enum oscore_hkdf hkdf;
};

struct oscore_context {
    uint64_t next_number, number_limit;
    struct oscore_window window;
    uint8_t sender_key[OSCORE_KEY_MAX], recipient_key[OSCORE_KEY_MAX];
    uint8_t common_iv[OSCORE_NONCE_MAX];
    uint8_t sender_id[OSCORE_ID_MAX], recipient_id[OSCORE_ID_MAX];
    uint8_t id_context[OSCORE_ID_CONTEXT_MAX];
    uint8_t sender_id_len, recipient_id_len, id_context_len;
    uint8_t aead; /* COSE's number */
};

_Static_assert(sizeof(struct oscore_context) <= 200, "an idle context is 200 bytes at most");

/* Derive (§3.2.1). Numbers begin at 0 without limit of use being granted (number_limit 0), and the window is not valid.
 * False, and all zero, when IDs are too long or equal (§3.3), the algorithm is unknown, or the secret has no bytes. */
bool oscore_context_derive(struct oscore_context *context, const struct oscore_secrets *secrets);

/* Zero it. */
void oscore_context_wipe(struct oscore_context *context);

static inline struct slice oscore_context_sender_id(const struct oscore_context *c) {
    return slice_of(c->sender_id, c->sender_id_len);
}

static inline struct slice oscore_context_recipient_id(const struct oscore_context *c) {
    return slice_of(c->recipient_id, c->recipient_id_len);
}

static inline struct slice oscore_context_id_context(const struct oscore_context *c) {
    return slice_of(c->id_context, c->id_context_len);
}

/* §5.2: from the id of whoever made the Partial IV. */
void oscore_nonce(const struct oscore_context *context, struct slice id, struct slice piv,
                  uint8_t nonce[OSCORE_NONCE_MAX]);

#endif
