/* The query of a Bootstrap-Request (POST /bs, Core 1.2 §6.1.3.3) or Bootstrap-Pack-Request (GET /bspack, §6.1.7.7), read
 * option by option. */
#ifndef BERTH_SERVER_BOOTSTRAP_REQUEST_H
#define BERTH_SERVER_BOOTSTRAP_REQUEST_H

#include "common/coap/message.h"
#include "common/lwm2m/format.h"

enum {
    BOOTSTRAP_QUERY_MAX = 1024,  /* of parameters that are kept; more are passed over */
    BOOTSTRAP_OCCUPIED_MAX = 16, /* instances in acc= */
};

struct bootstrap_request {
    struct slice endpoint;                              /* data NULL: not told. Of the request, as is the account */
    struct slice account;                               /* aid= */
    bool is_pelion;                                     /* mccv= or aid= was there */
    bool has_format;                                    /* pct=, with which LwM2M 1.1 began */
    int format;                                         /* its number; NONE and has_format: one that is not served */
    struct lwm2m_path occupied[BOOTSTRAP_OCCUPIED_MAX]; /* acc=: instances that belong to the bootstrap account */
    size_t occupied_count;
    const char *oddity; /* a deviation that can be tolerated, or NULL */
    uint8_t code;       /* of the refusal when reading failed… */
    const char *error;  /* …and why */
    size_t query_len;
    uint8_t query[BOOTSTRAP_QUERY_MAX]; /* parameters without a field here, and those of the vendor's clients, joined by
                                         * '&', with & and % in them as %26 and %25 */
};

/* False when a parameter makes no sense: code and error say which answer is due. */
bool bootstrap_request_read(struct bootstrap_request *request, const struct coap_message *message);

/* Whether Bootstrap-Writes (`is_pack`: Bootstrap-Packs) may have the format, a number of a content format. */
bool bootstrap_format_good(int format, bool is_pack);

#endif
