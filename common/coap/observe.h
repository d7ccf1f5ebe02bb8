/* Observations of ours (RFC 7641; RFC 8323 §7): what a peer was asked to tell whenever it changes. An observation is a token on a
 * link; it begins with a request of ours (GET or FETCH) and ends when the peer says so, or we do. Notifications are
 * found by link and token, put in order, fetched to their end when they come in blocks (RFC 7959 §2.6), acknowledged at
 * once and handed over whole. What they mean is the business of whoever observes.
 *
 * An observation costs about 100 bytes and a reference to its link; its request is kept by whoever observes. */
#ifndef BERTH_COAP_OBSERVE_H
#define BERTH_COAP_OBSERVE_H

#include "common/coap/endpoint.h"

struct coap_observation;

/* What a peer has told. */
struct coap_notification {
    enum coap_call_result result;       /* COAP_CALL_REPLY, or why the rest of a body in blocks could not be had */
    const struct coap_message *message; /* its code and Content-Format are the notification's; NULL unless REPLY */
    struct slice body;                  /* whole */
    uint32_t sequence;                  /* value of the Observe option, when there is one */
    bool has_sequence;
    bool is_stale;       /* something newer has been told before it (§3.4) */
    bool is_last;        /* an error, or no Observe option (§3.2): the observation is over, and has been freed */
    bool is_confirmable; /* it came as CON, and has been acknowledged */
};

/* May end this observation and others, and may ask. */
typedef void coap_notification_fn(void *arg, const struct coap_notification *notification);

/* The first answer, or why there is none. `observed`: it had an Observe option and a code of class 2, so there is an
 * observation now, and `reply` is its first notification. Else there is none, and it has been freed. */
typedef void coap_observe_fn(void *arg, const struct coap_reply *reply, bool observed);

/* Who observes. */
struct coap_observer {
    coap_observe_fn *started; /* called once, never from within coap_observe; not after coap_observation_forget */
    coap_notification_fn *notified;
    void *arg;
};

/* Ask `link` with `request`, the bytes of a message that coap_encode has written: its type, Message ID and token mean
 * nothing, and it has an Observe option of value 0. The bytes must stay as long as the observation. The token is drawn,
 * and is the observation's from now on. NULL when the peer's queue is full, the bytes are no request that fits, or out
 * of memory. */
struct coap_observation *coap_observe(struct coap_endpoint *endpoint, struct link *link, struct slice request,
                                      const struct coap_observer *observer);

/* Nothing is sent: the peer observes already for us, with this token. Its next notification counts as fresh. `request`
 * is as above. NULL when the token is in use on the link, the bytes are no request, or out of memory. */
struct coap_observation *coap_observation_resume(struct coap_endpoint *endpoint, struct link *link, struct slice token,
                                                 struct slice request, const struct coap_observer *observer);

/* End it here and say nothing: a first answer that is under way is not awaited, and the next notification is answered
 * with a Reset, as one whose token is not known (§3.6). Over RFC 8323 there is no Reset, and only
 * coap_observation_cancel makes the peer stop. */
void coap_observation_forget(struct coap_observation *observation);

/* End it here and tell the peer: the same request with the same token and Observe 1 (§3.6). `done` is that of coap_call;
 * an Observe option in the answer means nothing. NULL when it could not be sent: the peer's queue is full. The
 * observation has ended in any case. */
struct coap_call *coap_observation_cancel(struct coap_observation *observation, coap_call_fn *done, void *arg);

/* The peer is reached over another link from now on; a notification that is being fetched is fetched there again. Not
 * before the first answer. False, and nothing has changed, when the token is in use on that link. */
bool coap_observation_move(struct coap_observation *observation, struct link *link);

struct slice coap_observation_token(const struct coap_observation *observation);
struct link *coap_observation_link(const struct coap_observation *observation);

/* §3.4: whether an Observe value `value` that came at `at_ms` is newer than `before`, which came at `before_ms`. */
bool coap_observe_is_fresh(uint32_t before, uint64_t before_ms, uint32_t value, uint64_t at_ms);

#endif
