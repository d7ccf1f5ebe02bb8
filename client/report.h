/* What the device tells on standard output: one line an event, for a person or, with --json, a JSON object. Lines are
 * written out at once, so that whoever reads them sees them when they happen. */
#ifndef BERTH_CLIENT_REPORT_H
#define BERTH_CLIENT_REPORT_H

#include <stdio.h>

#include "common/base/clock.h"
#include "common/coap/endpoint.h"
#include "common/lwm2m/node.h"
#include "common/net/dtls_client.h"

struct report {
    FILE *out;
    bool json;
    const struct clock *clock; /* of the time stamps */
};

/* Three lines that scripts written for other clients wait for, word for word. `location` is as in `/rd/4Kx`; what is
 * after its last slash is the device ID. */
void report_registered(const struct report *report, struct slice endpoint, struct slice location);

/* `event` for the JSON, `text` for a person: `updated`, "Registration updated". */
void report_event(const struct report *report, const char *event, const char *text);

/* `event` and `what` ("Registration") failed with this reply; `retry_ms` is when it is tried again, 0 when it is not. */
void report_failure(const struct report *report, const char *event, const char *what, const struct coap_reply *reply,
                    uint64_t retry_ms);

/* A reply that nothing can be done with, though its code is a good one. */
void report_unusable(const struct report *report, const char *event, const char *what, const char *why,
                     uint64_t retry_ms);

/* A DTLS session has begun, or goes on: `Handshake: full, TLS_PSK_WITH_AES_128_CCM_8, CID 0123456789abcdef, 261 bytes up and
 * 163 down`, or `Session restored: …` without bytes. The CID is the one in records to the server. */
void report_handshake(const struct report *report, const struct dtls_client_description *session);

/* `Handshake failed: timeout`, `Handshake failed: alert 115 came`. */
void report_handshake_failure(const struct report *report, const struct dtls_failure *failure);

/* What something costs, in bytes and datagrams of UDP payload. */
struct account_figure {
    const char *what, *session;
    uint64_t up, down, datagrams_up, datagrams_down;
    uint64_t coap_up, coap_down; /* bytes of CoAP messages in it */
};

/* A table, or an event for each. */
void report_account(const struct report *report, const struct account_figure *figures, size_t count);

/* A request of the server's was answered. `path` is as in `/3/0/0`. */
void report_request(const struct report *report, uint8_t method, struct slice path, uint8_t code);

/* The server has taken a Send of these paths: `Sent: 3/0/9 3/0/13 -> 2.04 Changed`. */
void report_sent(const struct report *report, const struct lwm2m_path *paths, size_t count, uint8_t code);

/* It has not: `Send of 3/0/9 3/0/13 failed: 4.04 Not Found`. */
void report_send_failure(const struct report *report, const struct lwm2m_path *paths, size_t count,
                         const struct coap_reply *reply);

/* `Observation of 3/0/9 began`, `Observation of 3/0/9 ended: no acknowledgement`, and, as an answer of the shell,
 * `Observation of 3/0/9: pmin=10`. */
void report_observation_began(const struct report *report, const struct lwm2m_path *paths, size_t count);
void report_observation_ended(const struct report *report, const struct lwm2m_path *paths, size_t count,
                              const char *why);
void report_observation(const struct report *report, const struct lwm2m_path *paths, size_t count, const char *state);

/* A notification was sent, with so many values: `Notified: 3/0/9 (NON, 1 value)`. */
void report_notified(const struct report *report, const struct lwm2m_path *paths, size_t count, enum coap_type type,
                     size_t values);

/* `3/0/0 = value`. */
void report_value(const struct report *report, const struct lwm2m_node *node);

/* A sentence, and what it is about, which may be empty: an answer of the shell. */
void report_text(const struct report *report, const char *event, struct slice about, const char *text);

#endif
