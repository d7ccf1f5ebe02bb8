/* The event log: everything worth knowing, numbered, kept in a ring of bounded bytes, replayed from any number that is
 * still there, and told to subscribers as it happens. Numbers rise from 1 and go on rising over restarts. An event is
 * kept as the bytes of its fields; whoever shows it makes the JSON.
 *
 * Numbers of types and facts stand in databases (event_row.h): new ones go to the end. */
#ifndef BERTH_SERVER_EVENT_H
#define BERTH_SERVER_EVENT_H

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/lwm2m/node.h"
#include "common/net/address.h"

enum event_type {
    EVENT_REGISTERED,
    EVENT_UPDATED,
    EVENT_DEREGISTERED,
    EVENT_EXPIRED,
    EVENT_REPLACED,           /* registered again: `location` is the new one, `previous` the old one */
    EVENT_ADDRESS_CHANGED,    /* `address` is the new one, `previous` the old one as text */
    EVENT_REJECTED,           /* a message was refused: `detail` says why, `coap_code` how */
    EVENT_ODDITY,             /* a deviation was tolerated: `detail` says which */
    EVENT_SEND,               /* a device has sent a value: `node` */
    EVENT_NOTIFICATION,       /* a device has told a value of an observation: `node` */
    EVENT_OBSERVE_STARTED,    /* `observation`, and its first path in `node` */
    EVENT_OBSERVE_ENDED,      /* likewise; `detail` says why, `coap_code` what the device said */
    EVENT_AWAKE,              /* a device in queue mode listens from now on */
    EVENT_SLEEPING,           /* it does no longer; `detail` says why when its time was not over */
    EVENT_REQUEST_COMPLETED,  /* a queued request has its result: `request` */
    EVENT_DTLS_HANDSHAKE,     /* a session was made: facts */
    EVENT_DTLS_RESUMED,       /* likewise, with an earlier session's secret */
    EVENT_DTLS_FAILED,        /* a handshake came to nothing: facts */
    EVENT_OSCORE_DERIVED,     /* a context was derived anew (RFC 8613 B.2): facts */
    EVENT_CONNECTION_OPENED,  /* a TCP connection */
    EVENT_CONNECTION_CLOSED,  /* `detail` says why */
    EVENT_PING,               /* a keepalive over a connection (an empty CON, or 7.02) was answered */
    EVENT_BOOTSTRAP_STARTED,  /* a device has asked for it: facts */
    EVENT_BOOTSTRAP_STEP,     /* a command was answered, or not: facts, its path in `node`, the answer in `coap_code` */
    EVENT_BOOTSTRAP_FINISHED, /* the device has what it needs */
    EVENT_BOOTSTRAP_FAILED,   /* `detail` says why; facts */
    EVENT_FAULT,              /* a fault that was ordered has acted: facts, the code it answered with in `coap_code` */
    EVENT_FIRMWARE,           /* an update has come one step further: facts; `detail` says why it has failed */
    EVENT_TYPE_COUNT,
};

/* What became of a queued request. */
struct event_request {
    uint64_t id;     /* 0: the event is not about one */
    uint16_t status; /* of its result, in the words of whoever ran it; 0: it was not run */
    uint8_t state;   /* enum queue_state of server/queue.h */
};

/* What an event tells besides: named values, packed one after the other. */
enum event_fact {
    EVENT_FACT_SECURITY, /* "psk" … */
    EVENT_FACT_IDENTITY,
    EVENT_FACT_CIPHER_SUITE,
    EVENT_FACT_CID, /* hexadecimal; "" when none was agreed on */
    EVENT_FACT_CID_DRAFT,
    EVENT_FACT_REASON,
    EVENT_FACT_ALERT_SENT,
    EVENT_FACT_ALERT_RECEIVED,
    EVENT_FACT_BYTES_IN,
    EVENT_FACT_BYTES_OUT,
    EVENT_FACT_TLS_VERSION, /* of TLS connections: "TLS 1.3" */
    EVENT_FACT_OPERATION, /* of bootstrap: "discover", "delete", "read", "write", "finish", "pack" */
    EVENT_FACT_PROCEDURE, /* "standard", "pelion", "pack" */
    EVENT_FACT_FORMAT,    /* of what is written: "tlv" … */
    EVENT_FACT_QUERY,     /* further parameters of the request, joined by & */
    EVENT_FACT_DIAGNOSTIC,
    EVENT_FACT_RTT_MS,
    EVENT_FACT_FAULT,     /* its number */
    EVENT_FACT_ACTION,    /* "drop" … */
    EVENT_FACT_MESSAGE,   /* "register" … */
    EVENT_FACT_DIRECTION, /* "in", "out" */
    EVENT_FACT_STATE, /* of a firmware update: "downloading" … */
    EVENT_FACT_IMAGE,
    EVENT_FACT_METHOD, /* "push", "pull" */
    EVENT_FACT_BYTES,  /* that the device has got */
    EVENT_FACT_SIZE,   /* of the image */
    EVENT_FACT_RESULT, /* 5/0/5 */
    EVENT_FACT_COUNT,
};

enum event_fact_kind { EVENT_FACT_TEXT, EVENT_FACT_NUMBER, EVENT_FACT_TRUTH };

/* Slices point into the ring and are valid until the next event is published. */
/* All that came with a notification. */
struct event_content {
    int format; /* that its body is taken for */
    struct slice body;
    const struct lwm2m_nodes *values;
};

struct event {
    uint64_t id;    /* set by event_publish */
    uint64_t ts_ms; /* protocol time; set by event_publish */
    enum event_type type;
    struct slice endpoint;  /* "" when no device is known */
    struct slice location;  /* of the registration it is about, segments below /rd; "" when none */
    struct slice previous;  /* see the types */
    struct slice detail;    /* a sentence for a person; "" when none */
    struct address address; /* of the peer; family ADDRESS_NONE when none */
    uint32_t lifetime_s;    /* of the registration, when `location` is set */
    uint8_t coap_code;      /* of the answer to a refused message; 0 when none was sent */
    struct slice facts;     /* see event_fact_put; "" when none */
    bool has_node;
    struct lwm2m_node node; /* a value, its path and its time; of type NONE, the path only */
    uint64_t observation;   /* id; 0 when it is about none, then what follows means nothing */
    uint32_t sequence;      /* of a notification: value of its Observe option */
    bool has_sequence;
    bool is_stale;       /* a newer one came before it */
    bool is_confirmable; /* it came as CON */
    bool is_answer;      /* it is the answer to the request to observe */
    struct event_request request;
    const struct event_content *content; /* of a notification, with the first of its events, as it is published; else NULL */
};

/* Numbers have gaps where a node went on from one that had died. */
enum { EVENT_SPANS_MAX = 64 };

struct event_log;
struct event_subscriber;

/* `first_id` is the number of the first event. Takes up to `max_bytes` of memory, 4 KiB at least and 4 GiB at most, and
 * only as it fills; ends the process when out of memory. */
struct event_log *event_log_new(const struct clock *clock, uint64_t first_id, size_t max_bytes);
/* Frees its subscribers too. */
void event_log_free(struct event_log *log);

/* Number it, keep it, tell every subscriber (in the order they subscribed). Returns its number. Texts that are too long
 * for the log are cut, `detail` first. */
uint64_t event_publish(struct event_log *log, const struct event *event);

/* Numbers go on from `next_id`; one that is not above the last one changes nothing. Events before more than
 * EVENT_SPANS_MAX - 1 such gaps are forgotten. */
void event_log_go_on(struct event_log *log, uint64_t next_id);

/* Keep an event of an earlier time, with its own number and time: nobody is told, and it is not counted. False when its
 * number is not above the last one. Before the first one is published. */
bool event_restore(struct event_log *log, const struct event *event);

/* The number of the last event, one less than the next one's before there was one; and of the oldest one still kept (last
 * + 1 when none is). */
uint64_t event_last_id(const struct event_log *log);
uint64_t event_oldest_id(const struct event_log *log);

/* The first event with a number greater than `after`. False when there is none. O(1), but for the gaps behind it. */
bool event_after(const struct event_log *log, uint64_t after, struct event *event);

/* Forget all events; numbers go on. */
void event_log_clear(struct event_log *log);

/* `fn` runs inside event_publish, for events published after the subscription: it must not publish; it may subscribe and
 * unsubscribe any subscriber. NULL when out of memory. */
typedef void event_fn(void *arg, const struct event *event);
struct event_subscriber *event_subscribe(struct event_log *log, event_fn *fn, void *arg);
void event_unsubscribe(struct event_log *log, struct event_subscriber *subscriber);

/* "registered" …; and back: false when there is no such type. */
const char *event_type_name(enum event_type type);
bool event_type_parse(struct slice name, enum event_type *type);

/* Pack a fact: text of at most 255 bytes (the rest is cut), a number, or a truth. */
void event_fact_put(struct buffer *facts, enum event_fact fact, struct slice text);
void event_fact_put_number(struct buffer *facts, enum event_fact fact, uint64_t number);

/* Unpack the next one; *facts shrinks. Numbers and truths are decimal text. False at the end. */
bool event_fact_next(struct slice *facts, enum event_fact *fact, struct slice *text);

/* "cipher_suite" … */
const char *event_fact_name(enum event_fact fact);
enum event_fact_kind event_fact_kind(enum event_fact fact);

/* Events published of a type since start. */
uint64_t event_count(const struct event_log *log, enum event_type type);

#endif
