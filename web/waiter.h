/* A request whose answer waits for an event. While nothing happens a waiter costs its memory and nothing else.
 *
 * Its time-out is protocol time, which never runs slower than real time: a wait of 10 s ends after 10 s, or when the
 * clock is leapt so far. A leap counts as one moment: what happens on its way is seen first, and only then is a wait
 * whose time has been leapt over timed out. So `wait 10s` beside a leap over a lifetime of a day sees the expiry. */
#ifndef BERTH_WEB_WAITER_H
#define BERTH_WEB_WAITER_H

#include "web/http.h"
#include "web/web.h"

enum { WAITER_TIMEOUT_MAX_MS = 600000, WAITER_TIMEOUT_DEFAULT_MS = 30000 };

struct waiter;

/* `event` and `timed_out` may end the wait: they call waiter_stop, answer the request, and free the waiter. */
struct waiter_handlers {
    void (*event)(struct waiter *waiter, const struct event *event);
    void (*timed_out)(struct waiter *waiter);
    void (*free)(struct waiter *waiter); /* the client has hung up: waiting has stopped, free the waiter */
    void (*woken)(struct waiter *waiter); /* after http_wake, as `event`; may be NULL */
    bool strict;                         /* time out at the very moment within a leap, before what comes later */
};

/* First member of whatever waits. */
struct waiter {
    struct web *web;
    struct http_request *request;
    const struct waiter_handlers *handlers;
    struct event_subscriber *subscriber;
    struct timer deadline;
    uint64_t timeout_ms; /* as asked for */
    bool late;           /* the time has been leapt over */
};

/* Fill in the fields and wait. Out of memory: answers the request and frees the waiter. */
void waiter_start(struct waiter *waiter, struct web *web, struct http_request *request,
                  const struct waiter_handlers *handlers, uint64_t timeout_ms);

/* Stop waiting. Returns the request, which must be answered; the waiter is the caller's again, to free. */
struct http_request *waiter_stop(struct waiter *waiter);

#endif
