/* For benches: devices that register, as many at once as a server answers, and what is lost on the way comes again. */
#ifndef BERTH_TESTS_BENCH_REGISTERING_H
#define BERTH_TESTS_BENCH_REGISTERING_H

#include "tests/bench/dtls_devices.h"

enum { REGISTERING_MAX = 128 };

struct registering {
    struct secured_devices devices;
    bool *waiting;
    size_t under_way;
};

static inline void acknowledge_from(struct secured_devices *devices, size_t device, uint16_t mid) {
    uint8_t bytes[16];
    struct coap_message message;
    struct buffer out = buffer_over(bytes, sizeof bytes);
    coap_message_init(&message, COAP_ACK, COAP_EMPTY, mid, SLICE_NONE);
    if (coap_encode(&message, &out))
        send_secured(devices, device, buffer_slice(&out));
}

/* The answer to the request of a device whose token is *mid; it may come after its acknowledgement (RFC 7252 §5.2.2). */
static inline bool read_answer(struct secured_devices *devices, size_t device, struct slice bytes,
                               struct coap_message *answer, uint16_t *mid) {
    if (coap_decode(bytes, answer) != COAP_DECODE_OK)
        return false;
    if (answer->type == COAP_CON)
        acknowledge_from(devices, device, answer->mid);
    if (answer->token.len != 2)
        return false;
    *mid = (uint16_t)(answer->token.data[0] << 8 | answer->token.data[1]);
    return true;
}

static inline void take_registered(void *arg, size_t device, struct slice bytes) {
    struct registering *load = arg;
    struct coap_message answer;
    uint16_t mid;
    if (!read_answer(&load->devices, device, bytes, &answer, &mid) || !load->waiting[device] ||
        mid != load->devices.all[device].mid)
        return;
    if (answer.code != COAP_2_01_CREATED)
        fail("a device is refused");
    keep_location(&load->devices.all[device], &answer);
    load->waiting[device] = false;
    load->under_way--;
}

static inline void register_device(struct registering *load, size_t device) {
    uint8_t bytes[DATAGRAM_MAX];
    uint16_t mid = load->devices.all[device].mid;
    send_secured(&load->devices, device, encode_secured(&load->devices, device, SECURED_REGISTER, mid, bytes));
}

static inline void open_registering(struct registering *load, uint16_t port, size_t count) {
    memset(load, 0, sizeof *load);
    open_secured(&load->devices, port, count, take_registered, load);
    load->waiting = calloc(count, sizeof *load->waiting);
    if (load->waiting == NULL)
        fail("memory");
}

static inline void close_registering(struct registering *load) {
    close_secured(&load->devices);
    free(load->waiting);
}

/* All of them register; those on DTLS have a session each. */
static inline void register_all(struct registering *load) {
    uint64_t last = now_ns(CLOCK_MONOTONIC);
    for (size_t next = 0; next < load->devices.count || load->under_way > 0;) {
        for (; next < load->devices.count && load->under_way < REGISTERING_MAX; next++) {
            load->devices.all[next].mid = (uint16_t)next;
            load->waiting[next] = true;
            load->under_way++;
            register_device(load, next);
        }
        if (turn_secured(&load->devices) > 0) {
            last = now_ns(CLOCK_MONOTONIC);
        } else if (now_ns(CLOCK_MONOTONIC) - last > 500000000) { /* what was lost on the way comes again */
            for (size_t i = 0; i < next; i++) {
                if (load->waiting[i])
                    register_device(load, i);
            }
            last = now_ns(CLOCK_MONOTONIC);
        } else {
            wait_readable(load->devices.net.fd, 10);
        }
    }
}

#endif
