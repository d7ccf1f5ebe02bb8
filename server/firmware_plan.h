/* What to do next in a firmware update: the state machine of object 5 (Core 1.2 Appendix E.6) seen from the server, as a
 * function of how far the update is and what the device tells; object 9 is seen as an object 5. It keeps nothing, so an update goes on after a restart of
 * either side with what the device tells then. */
#ifndef BERTH_SERVER_FIRMWARE_PLAN_H
#define BERTH_SERVER_FIRMWARE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* How far it is. The numbers are stored: they stay as they are. */
enum firmware_step {
    FIRMWARE_PREPARING = 1,   /* the device is asked what it can, and brought to state Idle */
    FIRMWARE_DELIVERING = 2,  /* the package, or its URI, is being written */
    FIRMWARE_DOWNLOADING = 3, /* it was: the device fetches or unpacks it */
    FIRMWARE_DOWNLOADED = 4,  /* the device has it */
    FIRMWARE_INSTALLING = 5,  /* the Update is being executed */
    FIRMWARE_UPDATING = 6,    /* it was */
    FIRMWARE_CANCELLING = 7,
    FIRMWARE_SUCCEEDED = 8, /* from here on it is over */
    FIRMWARE_FAILED = 9,
    FIRMWARE_CANCELLED = 10,
    FIRMWARE_STEPS,
};

static inline bool firmware_is_over(enum firmware_step step) {
    return step >= FIRMWARE_SUCCEEDED;
}

/* "preparing" …, as the API names it. */
const char *firmware_step_name(enum firmware_step step);

enum firmware_method { FIRMWARE_AUTO, FIRMWARE_PUSH, FIRMWARE_PULL };

/* Package URI protocols: the numbers of 5/0/8. */
enum firmware_protocol {
    FIRMWARE_COAP = 0,
    FIRMWARE_COAPS = 1,
    FIRMWARE_HTTP = 2,
    FIRMWARE_HTTPS = 3,
    FIRMWARE_COAP_TCP = 4,
    FIRMWARE_COAPS_TCP = 5,
    FIRMWARE_PROTOCOLS,
};

/* State (5/0/3) and Update Result (5/0/5). */
enum { FIRMWARE_STATE_IDLE, FIRMWARE_STATE_DOWNLOADING, FIRMWARE_STATE_DOWNLOADED, FIRMWARE_STATE_UPDATING };
enum {
    FIRMWARE_RESULT_INITIAL = 0,
    FIRMWARE_RESULT_SUCCESS = 1,
    FIRMWARE_RESULT_CANCELLED = 10,
    FIRMWARE_RESULT_DEFERRED = 11
};

/* "integrity check failed" …; "" for one without a name. */
const char *firmware_result_text(int64_t result);

/* What the device tells of object 5. */
struct firmware_report {
    bool has_state;
    int64_t state, result;
    bool has_protocols;
    uint8_t protocols; /* bits 1 << enum firmware_protocol; others that it lists are left out */
    bool has_delivery;
    int64_t delivery; /* 0 pull, 1 push, 2 both */
};

/* Software Management, object 9: its Update State (9/x/7) and Update Result (9/x/9). A package that was checked is
 * DELIVERED. Failures are results from 50 on. */
enum {
    SOFTWARE_STATE_INITIAL,
    SOFTWARE_STATE_DOWNLOAD_STARTED,
    SOFTWARE_STATE_DOWNLOADED,
    SOFTWARE_STATE_DELIVERED,
    SOFTWARE_STATE_INSTALLED
};
enum {
    SOFTWARE_RESULT_INITIAL = 0,
    SOFTWARE_RESULT_DOWNLOADING = 1,
    SOFTWARE_RESULT_INSTALLED = 2,
    SOFTWARE_RESULT_DOWNLOADED = 3,
    SOFTWARE_FIRST_FAILURE = 50
};

const char *software_result_text(int64_t result);

/* What a device that tells this of object 9 would tell of object 5, when the update is in this step. Object 9 lists no
 * protocols, so whichever fits will do. */
struct firmware_report software_report(const struct firmware_report *told, enum firmware_step step);

/* What was ordered, and what has happened since this run of the server began. */
struct firmware_progress {
    enum firmware_step step;
    enum firmware_method method; /* PUSH or PULL once it was chosen */
    bool update;                 /* execute Update, or stop when it is downloaded */
    bool was_reset;              /* since PREPARING began */
    uint32_t resets;             /* altogether */
    uint32_t deliveries;         /* of package or URI, altogether */
    uint32_t idle_reports;       /* one after the other, in which the device has forgotten everything */
};

enum firmware_action {
    FIRMWARE_DO_WAIT,    /* and ask again */
    FIRMWARE_DO_RESET,   /* write an empty package */
    FIRMWARE_DO_DELIVER, /* write the package, or the URI */
    FIRMWARE_DO_UPDATE,  /* execute Update, or Install */
    FIRMWARE_DO_SUCCEED,
    FIRMWARE_DO_FAIL,
    FIRMWARE_DO_END_CANCELLED,
};

enum { FIRMWARE_RESETS_MAX = 8, FIRMWARE_DELIVERIES_MAX = 10, FIRMWARE_IDLE_REPORTS_MAX = 3 };

struct firmware_decision {
    enum firmware_action action;
    enum firmware_step step; /* from now on */
    const char *why;         /* of FIRMWARE_DO_FAIL */
};

struct firmware_decision firmware_decide(const struct firmware_progress *progress,
                                         const struct firmware_report *report);

/* Push or pull, as the device can (5/0/9) and was ordered. False: it can't. */
bool firmware_choose_method(enum firmware_method ordered, const struct firmware_report *report,
                            enum firmware_method *method);

/* By which protocol the device is to fetch: the one that was ordered (FIRMWARE_PROTOCOLS: none), else `own`, by which it
 * has registered, or another that it lists; among `served`, bits that the server has. HTTPS comes last. False: there is
 * none. A device that lists none takes CoAP with and without DTLS. */
bool firmware_choose_protocol(enum firmware_protocol ordered, enum firmware_protocol own, uint8_t served,
                              const struct firmware_report *report, enum firmware_protocol *protocol);

#endif
