/* What a device does wrong when it is told to (--misbehave, and the command): for tests of servers, which meet such devices.
 * It stands between the CoAP endpoint and the link, and changes, holds back, repeats or makes up what goes to the server;
 * what is told of each act is a line, `Misbehaved: wrong-mid`. docs/device.md says what each does. */
#ifndef BERTH_CLIENT_MISBEHAVE_H
#define BERTH_CLIENT_MISBEHAVE_H

#include "common/base/timer_wheel.h"
#include "common/coap/endpoint.h"

struct device;

enum misbehaviour {
    MISBEHAVE_WRONG_MID,
    MISBEHAVE_WRONG_TOKEN,
    MISBEHAVE_NO_ACK,
    MISBEHAVE_LATE_ACK,
    MISBEHAVE_DUPLICATE,
    MISBEHAVE_RESET,
    MISBEHAVE_GARBAGE,
    MISBEHAVE_CRITICAL_OPTION,
    MISBEHAVE_ENDLESS_BLOCKS,
    MISBEHAVE_WRONG_BLOCK_SIZE,
    MISBEHAVE_WRONG_FORMAT,
    MISBEHAVE_ENDLESS_REGISTER,
    MISBEHAVE_NOTIFY_AFTER_CANCEL,
    MISBEHAVE_OUT_OF_ORDER,
    MISBEHAVE_UPDATE_FIRST,
    MISBEHAVE_FORGET_SESSION,
    MISBEHAVE_STALE_CID,
    MISBEHAVIOURS,
};

enum { MISBEHAVE_ALWAYS = UINT32_MAX, MISBEHAVE_HELD_MAX = 64, MISBEHAVE_PROBLEM_MAX = 160 };

/* How often each is done yet. All zero: the device behaves. */
struct misbehave_order {
    uint32_t left[MISBEHAVIOURS];
    uint64_t late_ms; /* of MISBEHAVE_LATE_ACK */
};

/* `wrong-mid,late-ack=5s:2`: names with commas between, each with how often behind a colon, else always. Adds to `order`.
 * False: `problem` says what is expected. */
bool misbehave_parse(struct slice text, struct misbehave_order *order, char problem[MISBEHAVE_PROBLEM_MAX]);

/* The names, with commas between. */
void misbehave_put_names(struct buffer *out);

struct held_back;

struct misbehave {
    struct device *device;
    struct misbehave_order order;
    struct held_back *held; /* messages that go later */
    size_t held_count;
    struct timer soon;      /* what is done behind the message of now … */
    bool forgets, notifies; /* … and what that is */
    bool is_overtaking;     /* the first of `held` waits for the next notification */
    uint32_t asked_block;   /* Block2 of the server's last request: its number … */
    uint8_t asked_szx;      /* … and size; 0xff: it had none */
    uint8_t token_len, endless_token_len;
    uint8_t token[COAP_TOKEN_MAX]; /* of the observation that was cancelled */
    uint8_t endless_token[COAP_TOKEN_MAX];
    uint8_t *endless; /* the Register that never ends, as it was to be sent; NULL: there is none */
    size_t endless_len;
    uint32_t endless_block;
};

void misbehave_init(struct misbehave *misbehave, struct device *device, const struct misbehave_order *order);

/* The device has an endpoint of CoAP now; and soon it has none any more: what was held back is gone. The order stays. */
void misbehave_resume(struct misbehave *misbehave);
void misbehave_pause(struct misbehave *misbehave);

/* From now on; an order that is all zero ends it, and what was held back goes. */
void misbehave_set(struct misbehave *misbehave, const struct misbehave_order *order);

/* A message has come from the server. True: it is answered here, and the device does not hear of it. */
bool misbehave_heard(struct misbehave *misbehave, struct link *link, struct slice message);

/* A datagram of DTLS is to be sent: gives what goes in its place, in `memory`, or the same. */
struct slice misbehave_datagram(struct misbehave *misbehave, struct slice datagram, struct buffer *memory);

#endif
