/* The command line of berth-device, and its environment: --block-size is BERTH_DEVICE_BLOCK_SIZE, too. Anything wrong is
 * one line on stderr and exit code 2. */
#ifndef BERTH_CLIENT_OPTIONS_H
#define BERTH_CLIENT_OPTIONS_H

#include "client/misbehave.h"
#include "client/oscore_credential.h"
#include "client/security.h"
#include "client/swarm.h"
#include "client/transport.h"
#include "common/coap/endpoint.h"
#include "common/net/uri.h"

/* Uri-Query holds 255 bytes (RFC 7252 §5.10), `ep=` three of them. */
enum {
    OPTIONS_ENDPOINT_MAX = 252,
    OPTIONS_BINDING_MAX = 8,
    OPTIONS_OBJECT_FILES_MAX = 64,
    OPTIONS_LARGE_MAX = 16 * 1024 * 1024,
};

struct options {
    const char *server_text;
    struct uri server;                 /* points into server_text */
    const struct transport *transport; /* of the scheme */
    struct security_options security;
    struct oscore_credential oscore;
    bool oscore_b2; /* its context is derived anew at the start */
    enum link_framing framing;
    uint64_t keepalive_ms; /* 0: no pings */
    char endpoint[OPTIONS_ENDPOINT_MAX + 1];
    uint32_t lifetime_s; /* 0: the registration never runs out */
    uint8_t version;     /* LwM2M release times ten: 10, 11, 12 */
    char binding[OPTIONS_BINDING_MAX + 1];
    bool has_bind;
    struct address bind; /* where to send from; else the system chooses */
    bool json;
    bool account;    /* tell what a session costs, and end */
    int send_format; /* Content-Format of Send */
    bool muted;      /* as the server object has it at first */
    bool notify_con; /* every notification is confirmable */
    bool queue;      /* queue mode */
    uint64_t awake_ms;
    uint64_t tick_ms; /* 0: nothing changes on its own */
    uint64_t seed;
    size_t large; /* bytes of 5000/0/0 */
    struct misbehave_order misbehave;
    bool pelion;          /* --profile: it speaks as one vendor's client does (pelion.h) */
    bool has_server;      /* --server was given */
    bool bootstraps;      /* server_text is a bootstrap server's */
    bool asks_pack;       /* for a Bootstrap-Pack first */
    int bootstrap_format; /* pct; COAP_FORMAT_NONE: none is told */
    bool has_endpoint;    /* --endpoint was given */
    bool developer;       /* another name after a factory reset */
    int firmware_fault;   /* Update Result with which every firmware update ends; 0: they succeed */
    const char *object_files[OPTIONS_OBJECT_FILES_MAX];
    size_t object_file_count;
    char *object_list; /* those that the environment names, which object_files points into; or NULL */
    struct coap_params coap;
    struct swarm_options swarm;
};

enum options_action { OPTIONS_RUN, OPTIONS_EXIT_OK, OPTIONS_EXIT_USAGE };

/* --help and --version print and give OPTIONS_EXIT_OK. The options point into `argv` and the environment. */
enum options_action options_parse(struct options *options, int argc, char **argv);

/* In LwM2M 1.0 queue mode is a part of the binding (§5.3.1.1 there): add it if there is room. */
void options_put_queue(const struct options *options, char binding[OPTIONS_BINDING_MAX + 1]);

/* Letters of Core 1.2 §6.2.1.2, and the Q of 1.0; one to OPTIONS_BINDING_MAX of them. */
bool options_is_binding(struct slice text);

#endif
