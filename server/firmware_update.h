/* Firmware updates of devices over object 5 (Core 1.2 Appendix E.6), and of their software over object 9: the device is read, brought to state Idle, sent the
 * package (push) or its URI (pull), watched while it downloads, told to update, and watched until it tells the result.
 * One update for a device at a time; what it was ordered and how far it is are in the store, so it goes on after a
 * restart with what the device tells then (firmware_plan.h). A device in queue mode is asked when it is awake; one that
 * is gone, when it registers again, until the update's time is over.
 *
 * The server observes State and Update Result while it lasts, and asks from time to time, too. Each step is an event
 * (EVENT_FIRMWARE), and each tenth of the image. */
#ifndef BERTH_SERVER_FIRMWARE_UPDATE_H
#define BERTH_SERVER_FIRMWARE_UPDATE_H

#include "server/firmware_image.h"
#include "server/firmware_plan.h"
#include "server/server.h"

struct registration;

enum { FIRMWARE_UPDATES_MAX = 10000 /* those that are over included: the oldest of them go first */ };
#define FIRMWARE_TIMEOUT_DEFAULT_MS (24ull * 3600 * 1000)
#define FIRMWARE_TIMEOUT_MAX_MS     (30ull * 86400 * 1000)

/* NULL when out of memory. */
struct firmware_updates *firmware_updates_new(struct server *server);

/* After the registrations and images. False: one line in `error`. */
bool firmware_updates_load(struct server *server, char *error, size_t error_size);

/* Let go of calls and timers, while there still are some; then free. Each may get NULL. */
void firmware_updates_end(struct firmware_updates *updates);
void firmware_updates_free(struct firmware_updates *updates);

struct firmware_order {
    struct slice image; /* "": what is at `uri` */
    struct slice uri;   /* that the device is told; "": the image's on this server */
    enum firmware_method method;
    enum firmware_protocol protocol; /* of a pull; FIRMWARE_PROTOCOLS: whichever fits */
    bool update;                     /* install what was downloaded */
    bool is_software, activate;      /* object 9 in place of 5; and Activate what was installed */
    uint16_t instance;               /* of object 9; 0 of object 5 */
    uint64_t timeout_ms;             /* then it has failed */
};

enum firmware_update_refusal {
    FIRMWARE_UPDATE_ACCEPTED,
    FIRMWARE_UPDATE_NOT_REGISTERED,
    FIRMWARE_UPDATE_NO_IMAGE,
    FIRMWARE_UPDATE_UNDER_WAY, /* another one */
    FIRMWARE_UPDATE_TOO_MANY,
    FIRMWARE_UPDATE_NONE,     /* there is nothing to cancel */
    FIRMWARE_UPDATE_TOO_LATE, /* it is being installed */
};

/* Begin one; `done` gets the result of its commit, from within the call when it can't be queued. When refused, `done` is
 * not called. */
enum firmware_update_refusal firmware_update_start(struct server *server, struct slice endpoint,
                                                   const struct firmware_order *order, store_done_fn *done, void *arg);

/* Cancel what is under way: the device is told when it can be (and `done` is called when that intention is stored); or
 * forget one that is over. */
enum firmware_update_refusal firmware_update_cancel(struct server *server, struct slice endpoint, store_done_fn *done,
                                                    void *arg);

/* Valid until the loop goes on. */
struct firmware_status {
    struct slice endpoint, image, uri;
    const char *detail; /* why it has failed; "" */
    enum firmware_step step;
    enum firmware_method method;     /* AUTO until it is known */
    enum firmware_protocol protocol; /* FIRMWARE_PROTOCOLS until it is known, and of a push */
    bool update, is_software, activate;
    uint16_t instance;
    bool has_report;
    int64_t state, result; /* as last told */
    uint8_t coap_code;     /* with which the device has refused; 0 */
    uint64_t bytes, size;  /* that have gone to the device, of the whole; 0 when they are not known */
    uint64_t created_at_ms, deadline_ms, ended_at_ms;
};

/* False: there is none. */
bool firmware_status_of(const struct server *server, struct slice endpoint, struct firmware_status *status);

/* Forget them all, without a word (a reset). */
void firmware_updates_clear(struct server *server);

/* A device has got bytes of an image, up to here. */
void firmware_updates_served(struct server *server, struct link *link, const struct firmware_image *image,
                             uint64_t bytes);

/* ---- for contact.c ---- */

void firmware_updates_registered(struct server *server, struct registration *registration);
void firmware_updates_heard(struct server *server, struct registration *registration);

#endif
