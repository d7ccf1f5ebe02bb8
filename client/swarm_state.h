/* What the files of a swarm share: swarm.c says who does what when, swarm_link.c how the server is reached, swarm_answer.c
 * what the server is answered and told, swarm_report.c what came of it. */
#ifndef BERTH_CLIENT_SWARM_STATE_H
#define BERTH_CLIENT_SWARM_STATE_H

#include "client/destination.h"
#include "client/histogram.h"
#include "client/memory.h"
#include "client/options.h"
#include "client/swarm_net.h"
#include "common/net/dtls_client.h"
#include "common/net/stream.h"
#include "common/net/ticker.h"
#include "common/oscore/channel.h"

enum {
    SWARM_SHAKING_MAX = 64,    /* handshakes over DTLS under way at once */
    SWARM_CONNECTING_MAX = 64, /* likewise connections */
    SWARM_OPTION_MAX = 16,     /* bytes of an OSCORE option that is kept */
    SWARM_PAYLOAD_MAX = 1024,
};

enum swarm_kind {
    SWARM_HANDSHAKE, /* of DTLS, or making a connection */
    SWARM_REGISTER,
    SWARM_UPDATE,
    SWARM_SEND,
    SWARM_NOTIFY,
    SWARM_DEREGISTER,
    SWARM_ANSWER, /* to a request of the server's */
    SWARM_KINDS,
};

/* Why there was no answer, in the places of codes that no response has. */
enum { SWARM_ERROR_FIRST = 1, SWARM_UNSENT = 30, SWARM_NO_SESSION = 31 };

struct swarm_figure {
    uint64_t begun, good, failed;
    uint64_t first_us, last_us; /* of those that ended; 0: none */
    uint64_t bytes_up, bytes_down, messages_up, messages_down;
    uint64_t outcomes[256];   /* by code; below 32: by 1 + enum coap_call_result, or SWARM_UNSENT and so on */
    struct histogram latency; /* µs */
};

/* What a server observes. */
struct swarm_observation {
    uint8_t token[COAP_TOKEN_MAX], token_len;
    uint8_t path;                                 /* its place among the values */
    uint8_t option_len, option[SWARM_OPTION_MAX]; /* the OSCORE option that it began with */
    uint16_t mid;                                 /* of the last NON */
    uint32_t sequence;
    bool waits; /* for an acknowledgement */
};

enum swarm_device_state {
    SWARM_NEW,        /* not registered */
    SWARM_CONNECTING, /* over TCP or TLS, or handshaking over DTLS */
    SWARM_IDLE,       /* registered */
    SWARM_GONE,       /* has deregistered */
};

/* Made a hundred thousand times: what only some need is behind pointers. */
struct swarm_device {
    struct link link;    /* over UDP and DTLS; else only its listener counts */
    struct link *stream; /* over TCP and TLS: the connection, or NULL */
    struct tls *tls;     /* over TLS: who the device is */
    struct oscore_channel *channel;
    struct dtls_keys *keys; /* over DTLS: of the session, or NULL */
    struct swarm_observation *observation;
    uint8_t *location;  /* segments of the registration's path, a length before each; NULL: none */
    uint64_t due_us;    /* since when what is under way should be */
    uint64_t wanted_us; /* and what waits for its end */
    uint64_t active_ms; /* when it last said or heard something */
    uint8_t location_len;
    uint8_t state;   /* enum swarm_device_state */
    uint8_t kind;    /* enum swarm_kind of what is under way */
    uint8_t wanted;  /* what waits for its end; SWARM_HANDSHAKE: nothing */
    uint8_t shaking; /* its place among the handshakes plus one; 0: none */
    bool is_busy;    /* a request is under way */
    bool is_counted; /* among those whose first registration has come to an end, whatever that was */
};

/* A handshake of DTLS under way. */
struct swarm_shaking {
    struct swarm *swarm;
    struct dtls_client *client; /* NULL: free */
    size_t device;
    bool has_failed;
};

/* One thing that is done again and again, by one device after the other. */
struct swarm_pacer {
    enum swarm_kind kind;
    bool is_on, moves;             /* moves: no request, but another address */
    double per_us;                 /* how often in all; 0: as fast as answers come */
    uint64_t start_us, count, end; /* of times; stops at `end` */
    size_t next;                   /* the device whose turn it is */
};

enum swarm_phase { SWARM_REGISTERING, SWARM_RUNNING, SWARM_LEAVING, SWARM_OVER };

enum { PACER_REGISTER, PACER_UPDATE, PACER_SEND, PACER_NOTIFY, PACER_MOVE, PACER_DEREGISTER, PACERS };

struct swarm {
    const struct options *options;
    uv_loop_t loop;
    uv_signal_t terminate, interrupt;
    struct clock clock;
    struct timer_wheel wheel;
    struct ticker ticker;
    struct timer tick, progress;
    struct destination destination;
    struct address server;
    struct listener listener; /* that all links show */
    struct swarm_net *net;    /* over UDP and DTLS */
    struct streams *streams;  /* over TCP and TLS */
    struct coap_endpoint *coap;
    struct oscore_service service;
    struct security_params security;
    struct swarm_shaking shaking[SWARM_SHAKING_MAX];
    size_t connecting;                        /* connections and handshakes under way */
    struct swarm_device *devices, *receiving; /* whose message is being taken, or NULL */
    size_t count, registered, registered_most, under_way,
        ended; /* ended: first registrations, or at the end those that have left */
    enum swarm_phase phase;
    struct swarm_pacer pacers[PACERS];
    struct timer end;
    uint64_t started_us, running_us, over_us;
    uint64_t passed_over;   /* turns that were due, of devices that could not take them */
    uint64_t slept_through; /* datagrams that came to devices asleep */
    uint64_t moves, connections_lost;
    struct swarm_figure figures[SWARM_KINDS];
    uint8_t sender[OSCORE_ID_MAX]; /* a device's Sender ID, while its context is derived */
    struct workspace payload;
};

static inline uint64_t swarm_now_us(void) {
    return uv_hrtime() / 1000;
}

static inline struct swarm *swarm_of(const struct swarm_device *device) {
    return TIMER_OWNER(device->link.listener, struct swarm, listener);
}

static inline size_t swarm_number(const struct swarm_device *device) {
    return (size_t)(device - swarm_of(device)->devices);
}

/* ---- swarm.c ---- */

/* Its name: the endpoint's, and its number. */
void swarm_put_name(const struct swarm *swarm, size_t device, struct buffer *out);

/* The device can reach the server now, or can't: go on with what it wanted to do. */
void swarm_connected(struct swarm_device *device);
void swarm_unreachable(struct swarm_device *device);

/* The server asks for an Update (1/0/8). */
void swarm_update(struct swarm_device *device);

/* ---- swarm_link.c ---- */

/* What all of them share. False: one line in `error`. */
bool swarm_link_open(struct swarm *swarm, char *error, size_t error_size);
void swarm_link_close(struct swarm *swarm);

/* There is what messages need to reach the server. */
bool swarm_link_is_ready(const struct swarm_device *device);

/* Make it: swarm_connected or swarm_unreachable follows, later. False: too much is under way. */
bool swarm_link_connect(struct swarm_device *device);

/* The server seems to have lost its session: the next message makes another. */
void swarm_link_renew(struct swarm_device *device);

/* Whom requests go to. */
struct link *swarm_link_peer(struct swarm_device *device);

bool swarm_is_asleep(const struct swarm_device *device);

/* Handshakes that have ended outside of a datagram. */
void swarm_link_settle(struct swarm *swarm);

/* ---- swarm_answer.c ---- */

void swarm_answer(struct swarm_device *device, const struct coap_request *request);

/* The object list of a Register. */
void swarm_put_links(const struct swarm *swarm, struct buffer *out);

/* Tell what is observed. False: nothing is, or the last CON is not acknowledged. */
bool swarm_notify(struct swarm_device *device);

/* The values of a Send. */
bool swarm_put_values(struct swarm_device *device, int format, struct buffer *out);

void swarm_forget_observation(struct swarm_device *device);

/* ---- swarm_report.c ---- */

void swarm_count_message(struct swarm_device *device, bool up, struct slice message, size_t wire);
void swarm_count_outcome(struct swarm *swarm, enum swarm_kind kind, uint64_t due_us, unsigned outcome, bool good);
void swarm_tell_progress(const struct swarm *swarm);
void swarm_tell_report(const struct swarm *swarm);

#endif
