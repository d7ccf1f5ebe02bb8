/* What the server asks of a device (Core 1.2 §6.3): one CoAP request to a registered device, and its answer. Requests to
 * one device go out in order, NSTART of them at a time. A device that registers anew, deregisters or runs out ends what
 * is under way. One in queue mode is asked nothing while it sleeps; when it leaves a request without an ACK it counts as
 * asleep, and what was to go out next is not sent (T §6.5). */
#ifndef BERTH_SERVER_OPERATION_H
#define BERTH_SERVER_OPERATION_H

#include "server/server.h"

struct operation;
struct registration;

/* Everything is copied by operation_start. */
struct operation_request {
    uint8_t method;     /* enum coap_code */
    struct slice path;  /* "3/0/9"; below the device's alternate path unless `is_absolute` */
    struct slice query; /* "pmin=1&pmax=60": raw items joined by '&' */
    struct slice payload;
    const struct coap_source *source; /* the payload, when it is read piece by piece; else NULL */
    int accept;                       /* content format, or COAP_FORMAT_NONE */
    int content_format;               /* of the payload, or COAP_FORMAT_NONE */
    bool is_absolute;
    bool even_asleep;                  /* send it to a sleeping device, too */
    bool is_non_confirmable;           /* sent once as NON (RFC 7252 §4.3) */
    uint32_t response_timeout_ms;      /* from the ACK, or a NON, to the response; 0: as configured */
    const struct coap_option *options; /* further ones */
    size_t option_count;
    const struct lwm2m_path *observed; /* observe with this GET or FETCH what is at these paths; NULL: nothing */
    size_t observed_count;             /* 1 to OBSERVATION_PATHS_MAX */
    uint64_t cancels; /* end the observation of this number: its own request is sent, not this one (OB-14); or 0 */
};

enum operation_outcome {
    OPERATION_ANSWERED,    /* with whatever code */
    OPERATION_NO_ACK,      /* nothing came back, after all retransmissions */
    OPERATION_NO_RESPONSE, /* acknowledged, but no response in time */
    OPERATION_RESET,       /* the device answered with a Reset */
    OPERATION_UNFINISHED,  /* a body in blocks is too large, or changed while it was fetched */
    OPERATION_UNREACHABLE, /* its connection ended, and it did not come back in time */
    OPERATION_GONE,        /* the registration ended, or the server stops */
    OPERATION_ENDED,       /* an observation that waited to be begun again is over; nobody had to be asked */
    OPERATION_NOT_STORED,  /* the device has answered, but its observation (or the end of it) could not be stored */
    OPERATION_NOT_SENT,    /* the device fell asleep before its turn came */
    OPERATION_NO_ROOM,     /* its connection takes smaller messages only, so it was not sent (RFC 8323 §5.3.1) */
};

struct operation_result {
    enum operation_outcome outcome;
    const struct coap_message *message; /* of the answer; NULL when there is none */
    struct slice body;                  /* whole */
    uint32_t rtt_ms, retransmissions;
    bool asked_to_observe;
    uint64_t observation; /* that there is now, and that is stored; 0: none */
};

/* 4.06, and as some clients say it, 4.15: a content format is refused, not what was asked for. */
bool operation_refuses_format(const struct operation_result *result);

/* Called once, never from within operation_start. With OPERATION_ENDED there is no message. The result lives through the call. */
typedef void operation_fn(void *arg, const struct operation_result *result);

enum operation_refusal {
    OPERATION_ACCEPTED,
    OPERATION_NOT_REGISTERED,
    OPERATION_ASLEEP,     /* the device is in queue mode and does not listen now */
    OPERATION_QUEUE_FULL, /* too many requests wait for this device */
    OPERATION_MALFORMED,  /* path, query or options don't fit into a message */
    OPERATION_TOO_MANY_OBSERVATIONS,
    OPERATION_NOT_OBSERVED, /* there is no observation to be cancelled */
};

/* The device was not heard: a request has got neither an answer nor anything else that shows that it listens. RFC 8323
 * knows no acknowledgements, so there it is any request without a response. */
bool operation_is_silence(const struct registration *registration, enum operation_outcome outcome);

/* What operation_start would say now, but for OPERATION_ASLEEP and OPERATION_QUEUE_FULL, which pass. */
enum operation_refusal operation_check(const struct server *server, struct slice endpoint,
                                       const struct operation_request *request);

/* NULL: *refusal says why. */
struct operation *operation_start(struct server *server, struct slice endpoint, const struct operation_request *request,
                                  operation_fn *done, void *arg, enum operation_refusal *refusal);

/* Ask whether the device is there: a CoAP ping (RFC 7252 §4.3, RFC 8323 §5.4). Its answer is OPERATION_ANSWERED without
 * message. One vendor's clients report it as an error to their application, so only on request. */
struct operation *operation_ping(struct server *server, struct slice endpoint, operation_fn *done, void *arg,
                                 enum operation_refusal *refusal);

/* Nobody wants the answer any more: `done` is not called. An observation of which the device has told the first value
 * stays. */
void operation_cancel(struct operation *operation);

/* The message for a request; values of options lie in `scratch`, or where the request and the registration have them.
 * False when it can't be told in a message. */
bool operation_compose(const struct registration *registration, const struct operation_request *request,
                       struct coap_message *message, struct coap_uint scratch[2]);

/* End what is under way to the device behind `registration` with OPERATION_GONE; but nothing when another device has
 * registered from its address, which that would be about. */
void operation_end_all(struct server *server, const struct registration *registration);

#endif
