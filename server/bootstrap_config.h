/* What bootstrap gives a device: a configuration. Servers become instances of Security (0), Server (1) and OSCORE (21);
 * whatever else is written comes after them (Core 1.2 §6.1). What a configuration leaves out is filled in for each
 * device: this server's URI, its security, fresh keys. Texts may have {endpoint}, {account} and {id} in them, which stand
 * for the device's name, the account it belongs to and its id. */
#ifndef BERTH_SERVER_BOOTSTRAP_CONFIG_H
#define BERTH_SERVER_BOOTSTRAP_CONFIG_H

#include "common/base/buffer.h"
#include "common/lwm2m/node.h"

enum {
    BOOTSTRAP_ACCOUNTS_MAX = 8,
    BOOTSTRAP_PATHS_MAX = 8,     /* to be discovered, read or deleted: of each kind */
    BOOTSTRAP_WRITES_MAX = 16,   /* targets of further writes */
    BOOTSTRAP_NODES_MAX = 512,   /* values in them */
    BOOTSTRAP_BYTES_MAX = 32768, /* of a configuration as it is stored */
    BOOTSTRAP_URI_MAX = 255,     /* 0/x/0 (C §E.1) */
    BOOTSTRAP_DER_MAX = 8192,    /* a certificate or key */
    BOOTSTRAP_ID_AUTO = LWM2M_ID_NONE,
};

enum bootstrap_security {
    BOOTSTRAP_AS_THIS, /* as the device came to be bootstrapped */
    BOOTSTRAP_NONE,
    BOOTSTRAP_PSK,
    BOOTSTRAP_RPK,
    BOOTSTRAP_X509,
    BOOTSTRAP_SECURITY_COUNT,
};

/* What is left out is "": made, or this server's, as each says. */
struct bootstrap_account {
    bool is_bootstrap;   /* the account of a bootstrap server: no instance of Server, no short id */
    struct slice uri;    /* "": this server */
    uint16_t short_id;   /* 1 to 65534 */
    uint32_t lifetime_s; /* 0: for ever */
    struct slice binding;
    bool keeps_notifications;                                     /* 1/x/6 */
    uint16_t security_instance, server_instance, oscore_instance; /* BOOTSTRAP_ID_AUTO: a free one */
    enum bootstrap_security security;
    struct slice identity;    /* PSK; "": made */
    struct slice key;         /* PSK: the key. RPK and X.509: the private key, DER. "": made */
    struct slice public_key;  /* RPK: SubjectPublicKeyInfo. X.509: the device's certificate, DER. "": made */
    struct slice server_key;  /* RPK and X.509: the server's. "": this server's certificate, or its authority's */
    int8_t certificate_usage; /* 0/x/15; -1: not told, which means 3 (C §E.1) */
    struct slice sni;
    bool has_oscore; /* alone, or over the security above. Seen from the server, as in a credential: */
    struct slice sender_id, recipient_id, secret, salt, id_context; /* secret "": everything is made */
    uint8_t aead;                                                   /* COSE's number */
};

enum bootstrap_sequence {
    BOOTSTRAP_BY_CLIENT, /* as the request tells: the vendor's clients have their own */
    BOOTSTRAP_STANDARD,
    BOOTSTRAP_PELION,
    BOOTSTRAP_PACK, /* only as a Bootstrap-Pack */
    BOOTSTRAP_SEQUENCE_COUNT,
};

/* What happens when a device refuses a command, or does not answer it. */
enum bootstrap_policy_on_error { BOOTSTRAP_DEFAULT, BOOTSTRAP_CONTINUE, BOOTSTRAP_STOP, BOOTSTRAP_RETRY };
enum bootstrap_verb {
    BOOTSTRAP_DISCOVER,
    BOOTSTRAP_READ,
    BOOTSTRAP_DELETE,
    BOOTSTRAP_WRITE,
    BOOTSTRAP_FINISH,
    BOOTSTRAP_VERB_COUNT,
};

struct bootstrap_paths {
    size_t count;
    struct lwm2m_path paths[BOOTSTRAP_WRITES_MAX];
};

struct bootstrap_config {
    struct bootstrap_account accounts[BOOTSTRAP_ACCOUNTS_MAX];
    size_t account_count;
    bool has_discovers, has_deletes; /* false: as the sequence has it */
    struct bootstrap_paths discovers, reads, deletes;
    struct bootstrap_paths writes; /* what of the nodes goes into one message */
    struct lwm2m_node nodes[BOOTSTRAP_NODES_MAX];
    size_t node_count;
    int format; /* COAP_FORMAT_NONE: as the device asks */
    enum bootstrap_sequence sequence;
    uint8_t on_error[BOOTSTRAP_VERB_COUNT]; /* enum bootstrap_policy_on_error */
};

/* An account of this server with short id 1, and nothing else: what a device gets that has no configuration. */
void bootstrap_config_default(struct bootstrap_config *config);

/* An account as it is when nothing is said about it. */
struct bootstrap_account bootstrap_account_default(void);

/* False: it contradicts itself; `problem` says how. */
bool bootstrap_config_check(const struct bootstrap_config *config, char *problem, size_t problem_size);

/* As bytes and back; what is read points into `bytes`. False when it does not fit, or they are no configuration. */
bool bootstrap_config_encode(const struct bootstrap_config *config, struct buffer *out);
bool bootstrap_config_decode(struct slice bytes, struct bootstrap_config *config);

/* Whether a device gets something that is secret. */
bool bootstrap_account_has_secrets(const struct bootstrap_account *account, enum bootstrap_security security);

/* "psk" …, "standard" …, "continue" …, "write" …, and back: false when there is no such name. */
const char *bootstrap_security_name(enum bootstrap_security security);
const char *bootstrap_sequence_name(enum bootstrap_sequence sequence);
const char *bootstrap_on_error_name(unsigned policy);
const char *bootstrap_verb_name(enum bootstrap_verb verb);
bool bootstrap_security_parse(struct slice name, enum bootstrap_security *security);
bool bootstrap_sequence_parse(struct slice name, enum bootstrap_sequence *sequence);
bool bootstrap_on_error_parse(struct slice name, uint8_t *policy);

#endif
