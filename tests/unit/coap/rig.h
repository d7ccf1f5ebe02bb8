/* A CoAP endpoint with one or two fake peers and a clock that stands still: what it sends is kept, what it hears is
 * given in hex, time moves when the test says so. */
#ifndef BERTH_TESTS_COAP_RIG_H
#define BERTH_TESTS_COAP_RIG_H

#include "common/coap/block.h"
#include "common/coap/endpoint.h"
#include "common/coap/stream.h"

enum { RIG_SENT_MAX = 512, RIG_PEERS = 3 };

struct rig_datagram {
    struct link *link;
    uint64_t at_ms;
    size_t len;
    uint8_t bytes[COAP_STREAM_SENT_MAX];
};

enum rig_answer {
    RIG_ANSWERS,        /* at once, with `response` */
    RIG_DEFERS,         /* keeps the exchange in `deferred` */
    RIG_ANSWERS_BODY,   /* 2.05 with `body` */
    RIG_ANSWERS_SOURCE, /* likewise, read piece by piece */
};

struct rig {
    struct clock clock;
    struct timer_wheel wheel;
    struct coap_endpoint *endpoint;
    struct listener listener;
    struct link links[RIG_PEERS];
    size_t closings; /* of links, by the endpoint */
    char closed_why[128];
    size_t released; /* links whose last reference has gone */

    struct rig_datagram sent[RIG_SENT_MAX];
    size_t sent_count;
    size_t seen; /* of them, taken by rig_next */

    enum rig_answer answer;
    uint8_t code;
    struct slice body;
    struct coap_exchange *deferred;
    size_t requests;      /* handler calls */
    uint8_t request_code; /* of the last one */
    size_t request_len;
    uint8_t request_body[200000];

    size_t oddities, rejections, strays, pings;
    char last_oddity[128];
    bool wants_strays;
    bool takes_blocks;  /* of request bodies, one by one */
    bool forwards;      /* takes every Proxy-Uri */
    bool source_breaks; /* RIG_ANSWERS_SOURCE: nothing can be read */
    size_t source_reads, source_offset;

    size_t replies; /* of calls */
    struct coap_reply reply;
    uint8_t reply_code;
    size_t reply_len;
    uint8_t reply_body[200000];
};

/* `tune` may change the parameters; may be NULL. */
void rig_start(struct rig *rig, void (*tune)(struct coap_params *));
void rig_stop(struct rig *rig);

/* The first peer is an RFC 8323 connection from now on; what the rig hears from it are frames. */
void rig_connect(struct rig *rig);

/* Its connection has ended. */
void rig_disconnect(struct rig *rig);
void rig_next_frame(struct rig *rig, struct coap_message *message);
void rig_hear_frame(struct rig *rig, const struct coap_message *message);

void rig_hear_from(struct rig *rig, size_t peer, const char *hex);
void rig_hear(struct rig *rig, const char *hex);
void rig_hear_bytes(struct rig *rig, struct slice datagram);

void rig_hear_message_from(struct rig *rig, size_t peer, const struct coap_message *message);
/* An encoded message of the first peer. */
void rig_hear_message(struct rig *rig, const struct coap_message *message);

void rig_advance(struct rig *rig, uint64_t ms);

/* The next thing that was sent; fails the test when there is none. */
const struct rig_datagram *rig_next(struct rig *rig);
void rig_next_is(struct rig *rig, const char *hex);

/* The exchange that was deferred last, once; fails the test when there is none. */
struct coap_exchange *rig_deferred(struct rig *rig);
void rig_next_message(struct rig *rig, struct coap_message *message);
void rig_silent(struct rig *rig); /* nothing more was sent */

/* A call to the first peer: method on /a, with a body. */
struct coap_call *rig_call(struct rig *rig, uint8_t code, struct slice body);

/* Of a source whose argument is the rig, and whose bytes are `body`. */
bool rig_read(void *rig, size_t offset, uint8_t *out, size_t len);
void rig_reply_fn(void *arg, const struct coap_reply *reply);

#endif
