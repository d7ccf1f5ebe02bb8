/* Observations (Core 1.2 §6.4): what a device was asked to tell whenever it changes, a path or several of them. An
 * observation belongs to a registration; it goes on over a restart of the server and is begun again when its device
 * registers anew (§6.4.1). Values become events.
 *
 * Some clients make observations by themselves (announced_observation.h).
 *
 * An observation costs about 250 bytes, its part in common/coap included, and the last value. */
#ifndef BERTH_SERVER_OBSERVATION_H
#define BERTH_SERVER_OBSERVATION_H

#include "common/coap/observe.h"
#include "server/server.h"

enum {
    OBSERVATION_PATHS_MAX = 1000, /* of a composite one */
    OBSERVATION_LAST_MAX = 4096,  /* bytes of the last payload that are kept; of a larger one nothing is */
};

enum observation_state {
    OBSERVATION_STARTING, /* the device has been asked, and has not answered */
    OBSERVATION_ACTIVE,
    OBSERVATION_WAITING, /* is begun again when the device is heard */
};

struct observation;

/* The first answer: `observation` is NULL when there is none, and `reply` says why. The value has been published. */
typedef void observation_fn(void *arg, const struct coap_reply *reply, struct observation *observation);

/* For others to read. */
struct observation {
    struct observation *next; /* of the same device */
    struct server *server;
    struct registration *registration;
    struct coap_observation *coap; /* NULL while it waits */
    observation_fn *started;       /* until the first answer; NULL when nobody waits for it */
    void *arg;
    uint64_t id; /* rises, and is never used twice */
    uint64_t started_at_ms;
    uint64_t last_at_ms;    /* of the last notification, 0: there was none */
    uint64_t notifications; /* the first answer is one */
    uint8_t *last;
    uint32_t last_len, last_cap;
    int32_t last_format;  /* its content format; COAP_FORMAT_NONE: none */
    uint32_t request_len; /* of the CoAP message that lies behind the paths */
    uint16_t path_count;  /* 1 to OBSERVATION_PATHS_MAX */
    uint8_t state;        /* enum observation_state */
    bool is_composite;
    bool is_auto;  /* the device makes it by itself */
    bool has_last; /* `last` is the newest payload */
    struct lwm2m_path paths[];
};

enum observation_refusal {
    OBSERVATION_ACCEPTED,
    OBSERVATION_TOO_MANY,   /* of this device, or in all */
    OBSERVATION_QUEUE_FULL, /* too many requests wait for the device, or out of memory */
};

struct observing; /* what all observations share */

/* NULL when out of memory. */
struct observing *observing_new(void);
void observing_free(struct observing *observing);

struct observation_counters {
    uint64_t observations;  /* now */
    uint64_t notifications; /* since the start */
};
struct observation_counters observation_counters(const struct server *server);

/* Bring back what is stored, after the registrations. What has no registration any more is deleted. False: one line in
 * `error`. */
bool observations_load(struct server *server, char *error, size_t error_size);

/* Ask the device to tell about `paths` with `request`, a GET or FETCH with Observe 0. `started` is called once, never
 * from within this call. NULL: *refusal says why. */
struct observation *observation_begin(struct server *server, struct registration *registration,
                                      const struct coap_message *request, const struct lwm2m_path *paths, size_t count,
                                      observation_fn *started, void *arg, enum observation_refusal *refusal);

/* Nobody waits for the first answer any more, which has not come yet: there will be no observation. */
void observation_abandon(struct observation *observation);

/* Write it to the store; `done` may be NULL. When that fails the observation has ended by the time `done` is called. */
void observation_store(struct observation *observation, store_done_fn *done, void *arg);

/* End it, and tell the device (OB-14): as coap_observation_cancel. It is gone at once in any case, and its row soon.
 * One that waits has nobody to be told: then NULL too. */
struct coap_call *observation_cancel(struct observation *observation, coap_call_fn *done, void *arg);

/* End it and tell nobody: the next notification is answered with a Reset (OB-15). `detail` is for the event. */
void observation_forget(struct observation *observation, const char *detail);

/* Of a device, by its id: NULL when there is none. */
struct observation *observation_find(const struct registration *registration, uint64_t id);

/* The request, as coap_encode has written it. */
struct slice observation_request(const struct observation *observation);

/* What to take the payload for: `format` as its Content-Format says (COAP_FORMAT_NONE: it does not). */
int observation_format(const struct observation *observation, int format);

/* What its values lie below: its path, or the root. */
struct lwm2m_path observation_base(const struct observation *observation);

/* The device tells `path` by itself, with this token, as if `request` had been sent. NULL when the token is in use, or
 * out of memory. */
struct observation *observation_resume(struct server *server, struct registration *registration,
                                       const struct coap_message *request, const struct lwm2m_path *path,
                                       struct slice token);

/* Forget it without a word, to anybody. */
void observation_drop(struct observation *observation);

/* ---- what happens to the registration (contact.h) ---- */

/* It has the dealings of another one, whose place it takes. */
void observations_hand_over(struct registration *registration);

/* It has taken the place: the device has forgotten its observations. */
void observations_replaced(struct registration *registration);

/* The device listens: what waits is begun again. */
void observations_revive(struct registration *registration);

void observations_moved(struct registration *registration);

/* The device has forgotten them: its connection has ended (RFC 8323 §7.4). They are begun again when it is heard. */
void observations_lost(struct registration *registration);

/* `why` is as for contact_ended. */
void observations_ended(struct registration *registration, enum event_type why);

#endif
