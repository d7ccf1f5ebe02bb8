/* `--profile pelion`: the device speaks as the client of one vendor does, which shipped devices run and which follows no
 * standard in many things: what its messages look like, what it refuses and passes over, and when it tries again. Tests of
 * servers need such a device. docs/device.md lists what is imitated; what its options are is in options.c.
 *
 * It stands between the CoAP endpoint and the link, as misbehave.h does, and is asked at the few places where the device
 * would do something else. */
#ifndef BERTH_CLIENT_PELION_H
#define BERTH_CLIENT_PELION_H

#include "common/base/timer_wheel.h"
#include "common/coap/endpoint.h"
#include "common/lwm2m/path.h"

struct answer;
struct device;

enum {
    PELION_LATER_MAX = 8, /* answers that go as messages of their own; more go at once */
    PELION_TOKEN_LEN = 4, /* of requests */
    PELION_DEVICE_ID_MAX = 255,
    PELION_LIFETIME_S = 7200,
    PELION_KEEPALIVE_MS = 540000,
    PELION_AWAKE_MS = 4500,
    PELION_ANSWER_MS = 45, /* from the empty ACK to the answer */
    PELION_HANGS_MS = 1800000, /* until a bootstrap, or a handshake of TLS, of which nothing comes is given up */
    PELION_HELLO_FIRST_MS = 4000, /* retransmissions of a flight of DTLS: doubled from one to the other */
    PELION_HELLO_LAST_MS = 32000,
};

/* The answer to a POST, which the empty ACK goes before. */
struct pelion_later {
    struct pelion *pelion;
    struct timer timer;
    struct coap_exchange *exchange; /* NULL: free */
    uint8_t code;
    const char *diagnostic;
};

/* A message of ours that is known by its token, and whose acknowledgement matters. */
struct pelion_noted {
    bool is_awaited, is_sent; /* its acknowledgement is, and it is under way */
    uint8_t token_len, token[COAP_TOKEN_MAX];
    uint16_t mid, mid_sent; /* as the endpoint has it, and as it is sent */
};

struct pelion {
    struct device *device;
    struct pelion_later later[PELION_LATER_MAX];
    struct pelion_noted finish;               /* the answer to a Bootstrap-Finish */
    struct pelion_noted trigger;              /* the answer to 1/x/8, sent with the Message ID of the request */
    struct timer wake;                        /* the Update after the server's goodbye */
    char device_id[PELION_DEVICE_ID_MAX + 1]; /* the last segment of the location: it has been registered once */
    uint32_t granted_s;                       /* Max-Age of the 2.01, from 60 on; 0: it did not say */
    uint32_t refusals;                        /* Registers that led to another bootstrap, in a row */
    bool has_account, is_cleared; /* a bootstrap has been good in this process; this one has deleted what that gave */
    uint16_t first_number;        /* of what is observed unasked, 1 to 1023 */
    uint8_t *announced;           /* the links of the last Register or Update, without values; NULL: none */
    size_t announced_len;
};

void pelion_init(struct pelion *pelion, struct device *device);
void pelion_free(struct pelion *pelion);

/* The network goes: what was to be sent later is not. */
void pelion_pause(struct pelion *pelion);

/* Of the objects that every device has, the client has this one. */
bool pelion_has(uint16_t object);

/* Retransmission after 3, 10 and 25 s, given up after 52; blocks of 512 bytes; what is not answered at once is announced. */
void pelion_set_params(struct coap_params *params);

/* What the profile changes in the hello of DTLS and TLS. */
struct security_params;
void pelion_alter_hello(struct security_params *params);

/* ---- messages ---- */

/* A message has come from the server: true when it is passed over, or answered here. `message` may be another one after
 * that, in `memory`. */
bool pelion_heard(struct pelion *pelion, struct link *link, struct slice *message, uint8_t memory[4]);

/* Send what the endpoint has made, as the client would have made it. */
void pelion_send(struct pelion *pelion, struct link *link, struct slice message);

/* The same, as the endpoint's diversion. */
void pelion_divert(void *arg, struct link *link, struct slice message);

/* ---- the server's requests ---- */

enum pelion_verdict {
    PELION_AS_USUAL, /* the device answers */
    PELION_ANSWERED, /* `answer` says what */
    PELION_SILENT,   /* there is no answer */
};

enum pelion_verdict pelion_judge(struct pelion *pelion, const struct coap_request *request, struct slice path,
                                 struct answer *answer);

/* A request was answered: what is observed is told in its format from now on. */
void pelion_note_format(struct pelion *pelion, const struct coap_request *request, const struct answer *answer);

/* False when the answer is to go at once: it is no POST's. */
bool pelion_answer_later(struct pelion *pelion, const struct coap_request *request, struct slice path,
                         const struct answer *answer);

/* ---- registering ---- */

/* Links to resources, in `out`; with their values or, to be compared, without. */
void pelion_put_links(const struct pelion *pelion, bool has_values, struct buffer *out);

/* What of `links` was not announced, and with ";d" what is not there any more. */
void pelion_put_delta(const struct pelion *pelion, struct slice links, struct buffer *out);

/* `links` (without values) are what is announced now. */
void pelion_announce(struct pelion *pelion, struct slice links);

/* Query items of requests, which point into `text`. */
struct pelion_query {
    char text[4][272];
};
void pelion_add_register_query(const struct pelion *pelion, struct coap_message *message, struct pelion_query *query);
void pelion_add_update_query(const struct pelion *pelion, struct coap_message *message, bool has_lifetime,
                             struct pelion_query *query);
void pelion_add_bootstrap_query(const struct pelion *pelion, struct coap_message *message, struct pelion_query *query);

/* The server has answered a Register well. */
void pelion_registered(struct pelion *pelion, const struct coap_message *answer, struct slice device_id);

/* When to update: at three quarters of what the server has granted, or of 1/x/1. */
uint64_t pelion_update_after_ms(const struct pelion *pelion);

/* ---- trying again ---- */

/* After so many failures in a row before this one: 12 to 13 s, then twice as long each time, a tenth less or more, four
 * hours at most. */
uint64_t pelion_back_off_ms(uint32_t failures);

/* A Register was refused, or no session could be had: how long it is until the next bootstrap. */
uint64_t pelion_refused_ms(struct pelion *pelion);

/* The server is to be reached anew: the connection is closed, datagrams come from another port. */
void pelion_close(struct pelion *pelion);

/* The server has said goodbye to a DTLS session, which goes on all the same: from another port, with an Update. */
void pelion_session_closed(struct pelion *pelion);

#endif
