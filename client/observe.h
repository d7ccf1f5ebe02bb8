/* Observations by the server (RFC 7641; Core 1.2 §6.4.1, §6.4.2, §6.4.4): of one path, or of several (composite). Each has
 * the server's token, what was told last, and one timer for when something may be due; notification_rule.h says when.
 *
 * Notifications are NON, and CON by --notify-con, by the attribute con, and once a day (RFC 7641 §4.5). While one that is
 * CON waits for its acknowledgement, nothing else is told of that observation. A server that resets one, or does not
 * acknowledge it, has lost interest: the observation ends. */
#ifndef BERTH_CLIENT_OBSERVE_H
#define BERTH_CLIENT_OBSERVE_H

#include "client/attributes.h"
#include "common/base/timer_wheel.h"
#include "common/coap/endpoint.h"

struct device;
struct observation;

enum { OBSERVATIONS_MAX = 256 };

struct observer {
    struct device *device;
    struct observation *first; /* in the order in which they began */
    size_t count;
    struct timer settle; /* something has changed: look at it when what is being done is done */
};

/* What is observed. */
struct observed {
    uint8_t method; /* COAP_GET, or COAP_FETCH: a composite */
    const struct lwm2m_path *paths;
    size_t path_count;         /* 1 unless it is a composite */
    int format;                /* of notifications */
    struct attributes asked;   /* by the query; they go before those attached (§6.4.1) */
    struct slice token;        /* of the request */
    struct slice protected_by; /* its OSCORE option, OSCORE_OPTION_MAX bytes at most, or SLICE_NONE */
    bool has_block2;
    uint8_t szx; /* of the request's Block2 option: no block is larger */
    bool is_own; /* the server has not asked for it, and does not end it by a Reset */
};

void observer_init(struct observer *observer, struct device *device);

/* Forget every observation without a word. */
void observer_end(struct observer *observer);

/* Begin to observe; what is there now counts as told. Replaces an observation with that token (RFC 7641 §4.1). False when
 * there are OBSERVATIONS_MAX: then the request is answered as if it did not ask for one. *sequence is the value of the
 * Observe option. */
bool observe_begin(struct observer *observer, const struct observed *what, uint32_t *sequence);

/* What is observed at this path is told in another format from now on. */
void observer_set_format(struct observer *observer, const struct lwm2m_path *path, int format);

/* The server does not want it any more (Observe = 1); nothing happens when there is none with that token. */
void observe_cancel(struct observer *observer, struct slice token);

/* Something at, above or below this path is not what it was: a value, its attributes, or that it is there. */
void observer_changed(struct observer *observer, const struct lwm2m_path *path);

/* The same for everything. */
void observer_changed_all(struct observer *observer);

/* Tell what is to be told now. Called after every request and command, so that no change is missed; else by timer. */
void observer_settle(struct observer *observer);

/* A notification waits for its acknowledgement. */
bool observer_is_waiting(const struct observer *observer);

/* The device is heard again: tell what was kept, and what is to be told now. */
void observer_resume(struct observer *observer);

/* Print a line for each. */
void observer_report(const struct observer *observer);

#endif
