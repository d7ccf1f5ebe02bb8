/* An OSCORE security context as the command line gives it (RFC 8613 §3.2), from the device's point of view: its own
 * Sender ID is the Recipient ID that the server knows it by. */
#ifndef BERTH_CLIENT_OSCORE_CREDENTIAL_H
#define BERTH_CLIENT_OSCORE_CREDENTIAL_H

#include "client/security.h"
#include "common/oscore/context.h"

struct oscore_credential {
    bool given;
    uint8_t master_secret[OSCORE_SECRET_MAX], master_salt[OSCORE_SECRET_MAX];
    uint8_t sender_id[OSCORE_ID_MAX], recipient_id[OSCORE_ID_MAX], id_context[OSCORE_ID_CONTEXT_MAX];
    uint8_t master_secret_len, master_salt_len, sender_id_len, recipient_id_len, id_context_len;
    uint8_t aead; /* COSE's number */
    enum oscore_hkdf hkdf;
};

/* `sender=HEX,recipient=HEX,secret=HEX`, and where they are not the usual ones `salt=HEX`, `id-context=HEX`, `aead=NAME`,
 * `hkdf=NAME`, in any order; or @FILE, whose first line is that. False: `problem`. */
bool oscore_credential_read(struct oscore_credential *credential, const char *value,
                            char problem[SECURITY_PROBLEM_MAX]);

struct instance;

/* As an instance of object 21 has it. False: no context can be derived from it. */
bool oscore_credential_take(struct oscore_credential *credential, const struct instance *oscore);

/* What a context is derived from; it points into the credential. */
struct oscore_secrets oscore_credential_secrets(const struct oscore_credential *credential);

#endif
