/* Credentials: by what a device proves who it is (Core 1.2 §6.1, T §5.2). An endpoint has at most one of each mode and
 * service; one that is put for both services takes the place of those of either.
 *
 * They are in memory, found by PSK identity, certificate or endpoint, and in the database, sealed (seal.h). A change is in
 * force when it is committed. */
#ifndef BERTH_SERVER_CREDENTIAL_H
#define BERTH_SERVER_CREDENTIAL_H

#include "common/net/link.h"
#include "common/oscore/algorithm.h"
#include "db/store.h"
#include "server/seal.h"

enum credential_mode { CREDENTIAL_NONE, CREDENTIAL_PSK, CREDENTIAL_X509, CREDENTIAL_OSCORE, CREDENTIAL_MODE_COUNT };

/* Bits: the LwM2M server, the bootstrap server. */
enum credential_service { CREDENTIAL_MANAGEMENT = 1, CREDENTIAL_BOOTSTRAP = 2, CREDENTIAL_EVERY_SERVICE = 3 };

enum {
    CREDENTIAL_ENDPOINT_MAX = 252, /* a Uri-Query of 255 bytes */
    CREDENTIAL_IDENTITY_MAX = 128, /* RFC 7925 §4.2 */
    CREDENTIAL_KEY_MAX = 64,       /* likewise */
    CREDENTIAL_OSCORE_ID_MAX = 7,  /* RFC 8613 §3.3: nonce length minus 6 */
    CREDENTIAL_SECRET_MAX = 64,    /* OSCORE master secret, master salt */
    CREDENTIAL_CONTEXT_MAX = 64,   /* OSCORE ID context */
    CREDENTIAL_FINGERPRINT = 32,   /* SHA-256 */
    CREDENTIALS_MAX = 1000000,
};

/* Slices are copied by calls, and lie in the credential's memory in what calls return. */
struct credential {
    struct slice endpoint;
    enum credential_mode mode;
    unsigned services; /* bits of enum credential_service */
    struct slice
        identity;     /* PSK: the identity. X.509: the name (CN, or SAN without one) that a certificate must have; ""
                            * when that does not matter. OSCORE: the recipient ID, by which the device is known */
    struct slice key; /* PSK: the key. OSCORE: the master secret */
    bool has_fingerprint; /* X.509: only the certificate of this fingerprint, whoever signed it */
    uint8_t fingerprint[CREDENTIAL_FINGERPRINT];
    struct slice sender_id, salt, id_context; /* OSCORE */
    uint8_t aead;                             /* OSCORE: COSE's number of the algorithm: 10 is AES-CCM-16-64-128 */
    enum oscore_hkdf hkdf;                    /* OSCORE */
    bool given;                               /* by an option of the program (--psk), and not stored */
    /* Handed on to what takes its place, and drawn anew (31 bits, not 0) where there was none: what rested on one that
     * was deleted does not rest on another that comes later. 0: given, or older than lineages. Set by credentials_put. */
    uint32_t lineage;
};

struct credentials;

/* What is in force from now on. */
typedef void credential_put_fn(void *arg, const struct credential *credential);

/* What was in force and is no more, altogether or for some services: sessions that rest on it shall go when `removed`, and
 * may stay when another took its place. */
typedef void credential_gone_fn(void *arg, const struct credential *credential, bool removed);

/* `store` and `seal` outlive it. NULL when out of memory. */
struct credentials *credentials_new(struct store *store, struct seal *seal, credential_gone_fn *gone, void *arg);
void credentials_free(struct credentials *credentials); /* zeroes the keys; not while a change is under way */

/* Call `put` with the argument of `gone`. */
void credentials_watch(struct credentials *credentials, credential_put_fn *put);

/* Bring back what is stored. False: one line in `error`. */
bool credentials_load(struct credentials *credentials, char *error, size_t error_size);

/* Have a credential that is not stored. It goes before a stored one, which is deleted with the next change of its endpoint.
 * False: the identity is another endpoint's, or out of memory. */
bool credentials_give(struct credentials *credentials, const struct credential *credential);

enum credential_result {
    CREDENTIAL_ACCEPTED, /* `done` is called, perhaps at once */
    CREDENTIAL_MISSING,  /* there is none to delete */
    CREDENTIAL_CONFLICT, /* the identity or certificate belongs to another endpoint */
    CREDENTIAL_BUSY,     /* another change of this endpoint waits for its commit */
    CREDENTIAL_TOO_MANY, /* CREDENTIALS_MAX, or out of memory */
};

/* Have `credential`, which keeps the limits above, in the place of those of its endpoint, mode and services. */
enum credential_result credentials_put(struct credentials *credentials, const struct credential *credential,
                                       store_done_fn *done, void *arg);

/* Whether the endpoint has none of this mode for any of these services now. */
bool credentials_would_create(const struct credentials *credentials, const struct credential *credential);

/* Delete the credentials of `endpoint` in a mode (CREDENTIAL_MODE_COUNT: in all) for these services. */
enum credential_result credentials_delete(struct credentials *credentials, struct slice endpoint,
                                          enum credential_mode mode, unsigned services, store_done_fn *done, void *arg);

/* ---- finding; what is returned is good until the credential changes, and for a few more calls at least ---- */

/* credentials_find_psk will be asked for this identity soon: when that is so for many, one after the other, tell of each
 * twice and go on with others in between, so that it comes from memory meanwhile. */
void credentials_expect_psk(const struct credentials *credentials, struct slice identity, bool is_near);

/* For one of these services, the one for management first; NULL: none. By PSK identity; by the fingerprint of a
 * certificate; by a certificate's name, where no fingerprint is asked for. */
const struct credential *credentials_find_psk(const struct credentials *credentials, struct slice identity,
                                              unsigned services);
const struct credential *credentials_find_fingerprint(const struct credentials *credentials,
                                                      const uint8_t fingerprint[CREDENTIAL_FINGERPRINT],
                                                      unsigned services);
const struct credential *credentials_find_subject(const struct credentials *credentials, struct slice name,
                                                  unsigned services);

/* An OSCORE credential by its recipient ID. */
const struct credential *credentials_find_recipient(const struct credentials *credentials, struct slice recipient_id,
                                                    unsigned services);

/* Those of an endpoint, one after the other; start with NULL. */
const struct credential *credentials_of(const struct credentials *credentials, struct slice endpoint,
                                        const struct credential *before);

/* Every credential with slot >= *slot: advances *slot past the one returned. NULL at the end. */
const struct credential *credentials_next(const struct credentials *credentials, uint32_t *slot);

size_t credentials_count(const struct credentials *credentials);

/* Another number after every change of what is in force: as long as it stays, so does every answer that was given. Never
 * 0; comes again after 2^32 changes. */
uint32_t credentials_generation(const struct credentials *credentials);

/* "psk" …, "management", "bootstrap" or "both"; and back: false when there is no such name. */
const char *credential_mode_name(enum credential_mode mode);
bool credential_mode_parse(struct slice name, enum credential_mode *mode);
const char *credential_services_name(unsigned services);
bool credential_services_parse(struct slice name, unsigned *services);

/* Endpoint names are UTF-8 without control characters (C §7.4.1), 1 to CREDENTIAL_ENDPOINT_MAX bytes. */
bool credential_endpoint_good(struct slice endpoint);

#endif
