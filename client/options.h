/* The command line of berth-device. Anything wrong is one line on stderr and exit code 2. */
#ifndef BERTH_CLIENT_OPTIONS_H
#define BERTH_CLIENT_OPTIONS_H

#include "common/coap/endpoint.h"
#include "common/net/uri.h"

/* Uri-Query holds 255 bytes (RFC 7252 §5.10), `ep=` three of them. */
enum { OPTIONS_ENDPOINT_MAX = 252, OPTIONS_BINDING_MAX = 8 };

struct options {
    const char *server_text;
    struct uri server; /* points into server_text */
    char endpoint[OPTIONS_ENDPOINT_MAX + 1];
    uint32_t lifetime_s; /* 0: the registration never runs out */
    uint8_t version;     /* LwM2M release times ten: 10, 11, 12 */
    const char *binding; /* at most OPTIONS_BINDING_MAX letters */
    bool has_bind;
    struct address bind; /* where to send from; else the system chooses */
    bool json;
    int send_format; /* Content-Format of Send */
    struct coap_params coap;
};

enum options_action { OPTIONS_RUN, OPTIONS_EXIT_OK, OPTIONS_EXIT_USAGE };

/* --help and --version print and give OPTIONS_EXIT_OK. The options point into `argv`. */
enum options_action options_parse(struct options *options, int argc, char **argv);

/* Letters of Core 1.2 §6.2.1.2, and the Q of 1.0; one to OPTIONS_BINDING_MAX of them. */
bool options_is_binding(struct slice text);

#endif
