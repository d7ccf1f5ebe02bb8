#include "web/waiter.h"

#include "web/problem.h"

struct http_request *waiter_stop(struct waiter *waiter) {
    timer_cancel(&waiter->web->server->wheel, &waiter->deadline);
    if (waiter->subscriber != NULL)
        event_unsubscribe(waiter->web->server->events, waiter->subscriber);
    waiter->web->waiting--;
    waiter->request->gone = NULL;
    waiter->request->resume = NULL;
    return waiter->request;
}

static void on_gone(struct http_request *request) {
    struct waiter *waiter = request->arg;
    waiter_stop(waiter);
    waiter->handlers->free(waiter);
}

static void on_event(void *arg, const struct event *event) {
    struct waiter *waiter = arg;
    waiter->handlers->event(waiter, event);
}

static void on_resume(struct http_request *request) {
    struct waiter *waiter = request->arg;
    if (waiter->late && server_is_leaping(waiter->web->server))
        http_wake(request);
    else if (waiter->late)
        waiter->handlers->timed_out(waiter);
    else if (waiter->handlers->woken != NULL)
        waiter->handlers->woken(waiter);
}

static void on_deadline(struct timer *timer, void *arg) {
    struct waiter *waiter = TIMER_OWNER(timer, struct waiter, deadline);
    (void)arg;
    waiter->late = true;
    if (waiter->handlers->strict)
        waiter->handlers->timed_out(waiter);
    else
        http_wake(waiter->request); /* after the leap that may be under way */
}

void waiter_start(struct waiter *waiter, struct web *web, struct http_request *request,
                  const struct waiter_handlers *handlers, uint64_t timeout_ms) {
    waiter->web = web;
    waiter->request = request;
    waiter->handlers = handlers;
    waiter->timeout_ms = timeout_ms;
    web->waiting++;
    request->arg = waiter;
    request->gone = on_gone;
    request->resume = on_resume;
    waiter->subscriber = event_subscribe(web->server->events, on_event, waiter);
    if (waiter->subscriber == NULL) {
        problem_send(waiter_stop(waiter), PROBLEM_OVERLOADED, "The server is out of memory.");
        handlers->free(waiter);
        return;
    }
    timer_schedule(&web->server->wheel, &waiter->deadline, clock_now_ms(&web->server->clock) + timeout_ms, on_deadline);
}
