/* Settings: `--long-options`, the same names as BERTH_… environment variables (`--http` is BERTH_HTTP), options win.
 * Anything wrong is one line on stderr and exit code 2. */
#ifndef BERTH_SERVER_CONFIG_H
#define BERTH_SERVER_CONFIG_H

#include "common/base/log.h"
#include "common/coap/endpoint.h"
#include "common/net/dtls.h"
#include "common/net/link.h"
#include "db/store.h"

enum {
    CONFIG_LISTENERS_MAX = 16,
    CONFIG_HTTP_MAX = 4,
    CONFIG_PSKS_MAX = 64,
    CONFIG_CERTIFICATES_MAX = 16,
    CONFIG_HOSTS_MAX = 16,
};

/* Who may register without security: every name that has no credentials, those with a credential of mode none, nobody. */
enum nosec_policy { NOSEC_OPEN, NOSEC_KNOWN, NOSEC_OFF };

/* Who is bootstrapped: everyone, whoever has a bootstrap configuration or a credential for bootstrap, nobody. */
enum bootstrap_policy { BOOTSTRAP_OPEN, BOOTSTRAP_KNOWN, BOOTSTRAP_OFF };

/* Only the system calls of a server: no, where the system can, or else there is no start. */
enum seccomp_use { SECCOMP_OFF, SECCOMP_TRY, SECCOMP_ON };

/* Where HTTP is served, and for which of the services. */
struct http_listener {
    struct address address;
    enum listener_role role;
};

/* --psk: the endpoint of this name has this identity and key. */
struct config_psk {
    struct slice identity;
    uint8_t key[64]; /* RFC 7925 §4.2 */
    size_t key_len;
};

struct config {
    struct listener listeners[CONFIG_LISTENERS_MAX]; /* default: the four standard ports */
    size_t listener_count;
    uint32_t workers; /* threads for datagrams (common/net/udp_worker.h); 1: none but the loop's */
    struct http_listener http[CONFIG_HTTP_MAX]; /* default: 127.0.0.1:8080 */
    size_t http_count;
    bool http_off;        /* then there is none */
    const char *data;     /* default ./berth-data */
    const char *key_file; /* NULL: berth.key in the data directory */
    enum nosec_policy nosec;
    bool refuse_with_4_00; /* whoever may not register hears 4.00, not 4.03 */
    enum bootstrap_policy bootstrap;
    bool bootstrap_insecure;    /* keys are also given over links without security */
    const char *bootstrap_host; /* in the URIs of this server that devices are given; NULL: by which they came */
    uint32_t max_bootstraps;    /* under way at once; 5.03 beyond: default 2,000 */
    struct config_psk psks[CONFIG_PSKS_MAX];
    size_t psk_count;
    const char *certificates[CONFIG_CERTIFICATES_MAX], *keys[CONFIG_CERTIFICATES_MAX]; /* files, in pairs */
    size_t certificate_count, key_count;
    const char *authorities[CONFIG_CERTIFICATES_MAX]; /* files */
    size_t authority_count;
    const char *hosts[CONFIG_HOSTS_MAX]; /* names and addresses for the server's own certificate */
    size_t host_count;
    struct dtls_params dtls;
    const char *key_log;  /* NULL: none */
    bool close_replaced;  /* sessions of a credential that was replaced end at once */
    const char *objects;  /* directory of object definitions; NULL: none */
    const char *database; /* URI; NULL: in `data` */
    bool cluster;         /* one of several nodes on the database (db/cluster.h) … */
    bool node_given;      /* … with the number in `dtls`; else any that is free */
    struct address node_listen; /* relay port; ADDRESS_NONE: at the address of the first listener, any port */
    enum store_durability durability;
    const char *user; /* to become, after the start as root; NULL: none */
    enum seccomp_use seccomp;
    const char *api_key; /* NULL: none needed */
    bool require_api_key;
    const char *callback_ca; /* file of authorities of https callbacks */
    bool subscribe_is_200;   /* the Device Management API's answer to a subscription; else 202 */
    const char *http_hosts[CONFIG_HOSTS_MAX]; /* names by which HTTP is asked for, besides localhost and addresses */
    size_t http_host_count;
    const char *http_certificate, *http_key; /* files, both or neither; NULL: the server's own certificate */
    enum log_level log_level;
    bool log_json;
    struct coap_params coap;
    uint32_t grace_s;             /* after the lifetime has run out, before the registration goes: default 93 */
    bool grant_lifetime_on_start; /* a registration that ran out while the server was down gets one lifetime more */
    bool lwm2m_version_optional;  /* a Register without lwm2m= is taken as 1.0 */
    bool trust_address_only;      /* a NoSec De-register from another address than the registration's is refused */
    bool max_age_is_lifetime;     /* the 2.01 says the lifetime as Max-Age */
    size_t max_memory;            /* of the process; 0: no limit; common/base/memory_limit.h */
    size_t max_registrations;     /* 5.03 beyond; default 2,000,000 */
    size_t max_observations;      /* refused beyond; default 2,000,000 */
    size_t max_observations_per_device; /* default 256 */
    size_t event_bytes;                 /* bound of the event log: default 4 MiB */
    bool trace;                         /* keep what goes to and from devices: on */
    bool trace_secrets;                 /* and the secrets that open it: on */
    uint32_t trace_messages;            /* entries of a device's trace: default 256 */
    size_t trace_bytes;                 /* bound of all traces: default 16 MiB */
    uint32_t awake_window_ms;      /* how long a device in queue mode listens after its last message: default 93 s */
    uint32_t queue_limit;          /* requests in the queue of a device: default 64 */
    uint32_t queue_expiry_ms;      /* how long a queued request waits when it does not say: default 24 h */
    uint32_t queue_delay_ms;       /* from the answer to a device's message to what waits for it: default 0 */
    uint32_t tcp_max_connections;  /* of devices; one more is closed: default 20,000 */
    uint32_t tcp_idle_ms;          /* a silent one that belongs to no registered device is closed; 0: never */
    uint32_t http_max_connections; /* default 1024 */
    uint32_t http_idle_s;          /* default 60 */
    size_t http_max_body;          /* default 1 MiB */
    uint32_t
        pelion_fake_update_ms; /* campaigns of Device Management update no device, and say so after this; 0: they do */
};

enum config_action { CONFIG_RUN, CONFIG_EXIT_OK, CONFIG_EXIT_USAGE, CONFIG_HEALTHCHECK };

/* Fill `config` from the arguments and the environment. --help and --version print and give CONFIG_EXIT_OK. */
enum config_action config_parse(struct config *config, int argc, char **argv);

/* Whether HTTP is served at an address that is not this machine's own alone. */
bool config_is_reached_by_others(const struct config *config);

#endif
