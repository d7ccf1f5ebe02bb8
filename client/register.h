/* The registration interface from the device's side (Core 1.2 §6.2): Register, Update in time, De-register, and what
 * happens when the server does not answer or does not want. It never gives up: between attempts to register it waits
 * 1 s, then twice as long each time up to a minute, and up to half of that more, so that a fleet does not come at once. */
#ifndef BERTH_CLIENT_REGISTER_H
#define BERTH_CLIENT_REGISTER_H

#include "client/options.h"
#include "common/base/timer_wheel.h"

struct device;

enum registration_state {
    REGISTRATION_NONE,        /* nor is one wanted */
    REGISTRATION_WAITING,     /* for the next attempt */
    REGISTRATION_REGISTERING, /* the answer is awaited */
    REGISTRATION_REGISTERED,
    REGISTRATION_UPDATING,      /* likewise */
    REGISTRATION_DEREGISTERING, /* likewise */
};

struct registration {
    struct device *device;
    enum registration_state state;
    struct coap_call *call; /* while an answer is awaited */
    struct timer timer;     /* the next attempt, the next Update, or the end of waiting for the De-register's answer */
    struct timer soon;      /* an Update that something has asked for */
    uint32_t failures;      /* of Register in a row */
    uint32_t announced_lifetime_s; /* what the last Register or Update has told */
    char announced_binding[OPTIONS_BINDING_MAX + 1];
    uint64_t announced_links; /* digest of the object list */
    bool confirmed;           /* and was answered well */
    bool renewed;             /* the last Update was not answered, and goes again in a new DTLS session */
    /* Location-Path: each segment with its length before it. What does not fit into a request cannot be updated. */
    size_t location_len;
    uint8_t location[COAP_MESSAGE_MAX];
    void (*left)(void *arg);
    void *left_arg;
};

void registration_init(struct registration *registration, struct device *device);

/* Register now, whatever there was before. */
void registration_register(struct registration *registration);

/* Register then; until then there is no registration. */
void registration_register_after(struct registration *registration, uint64_t wait_ms);

/* The server knows the device, as far as can be told. */
bool registration_stands(const struct registration *registration);

/* Update now. False when there is no registration. */
bool registration_update(struct registration *registration);

/* Update when what is being done (answering a request, usually) is done; nothing happens when there is no registration
 * by then. */
void registration_update_soon(struct registration *registration);

/* The server is reached over a new connection, and learns that from an Update when the registration stands. */
void registration_reconnected(struct registration *registration);

/* De-register; `left`, which may be NULL, is called when the answer has come or a few seconds are over. False when there
 * is no registration: then any attempt to register has ended, and `left` is not called. */
bool registration_deregister(struct registration *registration, void (*left)(void *arg), void *arg);

/* Stop everything without a word to the server. */
void registration_end(struct registration *registration);

#endif
