#include "server/firmware_plan.h"

#include <stddef.h>

const char *firmware_step_name(enum firmware_step step) {
    static const char *const names[FIRMWARE_STEPS] = {
        [FIRMWARE_PREPARING] = "preparing",     [FIRMWARE_DELIVERING] = "delivering",
        [FIRMWARE_DOWNLOADING] = "downloading", [FIRMWARE_DOWNLOADED] = "downloaded",
        [FIRMWARE_INSTALLING] = "installing",   [FIRMWARE_UPDATING] = "updating",
        [FIRMWARE_CANCELLING] = "cancelling",   [FIRMWARE_SUCCEEDED] = "succeeded",
        [FIRMWARE_FAILED] = "failed",           [FIRMWARE_CANCELLED] = "cancelled",
    };
    return (unsigned)step < FIRMWARE_STEPS && names[step] != NULL ? names[step] : "";
}

const char *firmware_result_text(int64_t result) {
    static const char *const texts[] = {
        "initial",
        "updated successfully",
        "not enough flash memory",
        "out of RAM",
        "connection lost during the download",
        "integrity check failed",
        "unsupported package type",
        "invalid URI",
        "update failed",
        "unsupported protocol",
        "cancelled",
        "deferred",
    };
    return result >= 0 && result < (int64_t)(sizeof texts / sizeof texts[0]) ? texts[result] : "";
}

const char *software_result_text(int64_t result) {
    static const char *const successes[] = {"initial", "downloading", "installed successfully",
                                            "downloaded and its integrity verified"};
    static const char *const failures[] = {
        "not enough storage",
        "out of memory",
        "connection lost during the download",
        "integrity check failed",
        "unsupported package type",
        "",
        "invalid URI",
        "update error of the device's own",
        "installation failed",
        "uninstallation failed",
    };
    if (result >= 0 && result < (int64_t)(sizeof successes / sizeof successes[0]))
        return successes[result];
    bool has_text = result >= SOFTWARE_FIRST_FAILURE &&
                    result < SOFTWARE_FIRST_FAILURE + (int64_t)(sizeof failures / sizeof failures[0]);
    return has_text ? failures[result - SOFTWARE_FIRST_FAILURE] : "";
}

/* What is installed when an update begins is an earlier package, and has to go first. */
static int64_t state_when_installed(enum firmware_step step) {
    switch (step) {
    case FIRMWARE_PREPARING:
        return FIRMWARE_STATE_DOWNLOADED;
    case FIRMWARE_DELIVERING: /* the device has installed it by itself: the next look finds that it is done */
        return FIRMWARE_STATE_UPDATING;
    default:
        return FIRMWARE_STATE_IDLE;
    }
}

struct firmware_report software_report(const struct firmware_report *told, enum firmware_step step) {
    struct firmware_report report = {.has_state = told->has_state,
                                     .state = told->state,
                                     .result = told->result,
                                     .has_protocols = true,
                                     .protocols = (1u << FIRMWARE_PROTOCOLS) - 1};
    switch (told->state) {
    case SOFTWARE_STATE_INITIAL:
        report.state = FIRMWARE_STATE_IDLE;
        break;
    case SOFTWARE_STATE_DOWNLOAD_STARTED:
    case SOFTWARE_STATE_DOWNLOADED: /* and not verified yet */
        report.state = FIRMWARE_STATE_DOWNLOADING;
        break;
    case SOFTWARE_STATE_DELIVERED:
        report.state = FIRMWARE_STATE_DOWNLOADED;
        break;
    case SOFTWARE_STATE_INSTALLED:
        report.state = state_when_installed(step);
        break;
    default:
        report.state = -1;
    }
    if (told->result < SOFTWARE_FIRST_FAILURE)
        report.result = told->state == SOFTWARE_STATE_INSTALLED ? FIRMWARE_RESULT_SUCCESS : FIRMWARE_RESULT_INITIAL;
    return report;
}

bool firmware_choose_method(enum firmware_method ordered, const struct firmware_report *report,
                            enum firmware_method *method) {
    bool pulls = !report->has_delivery || report->delivery != 1,
         pushes = !report->has_delivery || report->delivery != 0;
    *method = ordered != FIRMWARE_AUTO ? ordered : pulls ? FIRMWARE_PULL : FIRMWARE_PUSH;
    return *method == FIRMWARE_PULL ? pulls : pushes;
}

bool firmware_choose_protocol(enum firmware_protocol ordered, enum firmware_protocol own, uint8_t served,
                              const struct firmware_report *report, enum firmware_protocol *protocol) {
    uint8_t listed = report->has_protocols ? report->protocols : 1 << FIRMWARE_COAP | 1 << FIRMWARE_COAPS;
    if (ordered != FIRMWARE_PROTOCOLS) { /* who orders may know better than the list */
        *protocol = ordered;
        return (served >> ordered & 1) != 0;
    }
    *protocol = own;
    if ((served & listed) == 0)
        return false;
    if ((served & listed & 1u << own) != 0)
        return true;
    *protocol = FIRMWARE_HTTPS; /* the last resort: nobody knows which authorities the device trusts there */
    for (unsigned each = 0; each < FIRMWARE_PROTOCOLS; each++) {
        if (each != FIRMWARE_HTTPS && (served & listed & 1u << each) != 0)
            *protocol = (enum firmware_protocol)each;
    }
    return true;
}

static struct firmware_decision wait_in(enum firmware_step step) {
    return (struct firmware_decision){FIRMWARE_DO_WAIT, step, NULL};
}

static struct firmware_decision fail(const char *why) {
    return (struct firmware_decision){FIRMWARE_DO_FAIL, FIRMWARE_FAILED, why};
}

static struct firmware_decision reset(const struct firmware_progress *progress) {
    if (progress->resets >= FIRMWARE_RESETS_MAX)
        return fail("the device does not go back to state Idle");
    return (struct firmware_decision){FIRMWARE_DO_RESET, progress->step, NULL};
}

static struct firmware_decision deliver(const struct firmware_progress *progress) {
    if (progress->deliveries >= FIRMWARE_DELIVERIES_MAX)
        return fail("the device has lost the package time and again");
    return (struct firmware_decision){FIRMWARE_DO_DELIVER, FIRMWARE_DELIVERING, NULL};
}

static struct firmware_decision downloaded(const struct firmware_progress *progress) {
    if (progress->update)
        return (struct firmware_decision){FIRMWARE_DO_UPDATE, FIRMWARE_INSTALLING, NULL};
    return (struct firmware_decision){FIRMWARE_DO_SUCCEED, FIRMWARE_SUCCEEDED, NULL};
}

static bool is_failure(int64_t result) {
    return result > FIRMWARE_RESULT_SUCCESS && result != FIRMWARE_RESULT_DEFERRED;
}

/* A result of an earlier update is cleared by the reset (E.6: writing the package or URI sets it to its initial value). */
static struct firmware_decision prepare(const struct firmware_progress *progress,
                                        const struct firmware_report *report) {
    if (report->state == FIRMWARE_STATE_UPDATING)
        return wait_in(FIRMWARE_PREPARING); /* with another package */
    if (report->state != FIRMWARE_STATE_IDLE || (report->result != FIRMWARE_RESULT_INITIAL && !progress->was_reset))
        return reset(progress);
    return deliver(progress);
}

/* Writing was interrupted: nobody knows how far it has come. */
static struct firmware_decision resume_delivery(const struct firmware_progress *progress,
                                                const struct firmware_report *report) {
    switch (report->state) {
    case FIRMWARE_STATE_IDLE:
        return is_failure(report->result) ? fail("the device has given up") : deliver(progress);
    case FIRMWARE_STATE_DOWNLOADING: /* of a push only a part has come */
        return progress->method == FIRMWARE_PUSH ? reset(progress) : wait_in(FIRMWARE_DOWNLOADING);
    case FIRMWARE_STATE_DOWNLOADED:
        return downloaded(progress);
    default:
        return wait_in(FIRMWARE_UPDATING);
    }
}

static struct firmware_decision watch_download(const struct firmware_progress *progress,
                                               const struct firmware_report *report) {
    if (is_failure(report->result))
        return fail("the device has given up");
    switch (report->state) {
    case FIRMWARE_STATE_IDLE: /* it has not begun, or has forgotten all about it */
        if (report->result == FIRMWARE_RESULT_SUCCESS)
            return (struct firmware_decision){FIRMWARE_DO_SUCCEED, FIRMWARE_SUCCEEDED, NULL};
        return progress->idle_reports >= FIRMWARE_IDLE_REPORTS_MAX ? deliver(progress) : wait_in(FIRMWARE_DOWNLOADING);
    case FIRMWARE_STATE_DOWNLOADING:
        return wait_in(FIRMWARE_DOWNLOADING);
    case FIRMWARE_STATE_DOWNLOADED:
        return downloaded(progress);
    default:
        return wait_in(FIRMWARE_UPDATING); /* it updates by itself */
    }
}

static struct firmware_decision watch_update(const struct firmware_progress *progress,
                                             const struct firmware_report *report) {
    if (is_failure(report->result))
        return fail("the device has given up");
    if (report->state == FIRMWARE_STATE_IDLE && report->result == FIRMWARE_RESULT_SUCCESS)
        return (struct firmware_decision){FIRMWARE_DO_SUCCEED, FIRMWARE_SUCCEEDED, NULL};
    if (report->state == FIRMWARE_STATE_IDLE && progress->idle_reports >= FIRMWARE_IDLE_REPORTS_MAX)
        return fail("the device is back in state Idle and tells no result");
    bool unheard = progress->step != FIRMWARE_UPDATING && report->state == FIRMWARE_STATE_DOWNLOADED &&
                   report->result == FIRMWARE_RESULT_INITIAL;
    return unheard ? downloaded(progress)
                   : wait_in(report->state == FIRMWARE_STATE_UPDATING ? FIRMWARE_UPDATING : progress->step);
}

static struct firmware_decision cancel(const struct firmware_progress *progress, const struct firmware_report *report) {
    switch (report->state) {
    case FIRMWARE_STATE_IDLE:
        return (struct firmware_decision){FIRMWARE_DO_END_CANCELLED, FIRMWARE_CANCELLED, NULL};
    case FIRMWARE_STATE_UPDATING:
        return fail("it was too late to cancel: the device is updating");
    default:
        return reset(progress);
    }
}

struct firmware_decision firmware_decide(const struct firmware_progress *progress,
                                         const struct firmware_report *report) {
    if (!report->has_state)
        return fail("the device tells no state");
    if (report->state < FIRMWARE_STATE_IDLE || report->state > FIRMWARE_STATE_UPDATING)
        return fail("the device tells a state that there is not");
    switch (progress->step) {
    case FIRMWARE_PREPARING:
        return prepare(progress, report);
    case FIRMWARE_DELIVERING:
        return resume_delivery(progress, report);
    case FIRMWARE_DOWNLOADING:
        return watch_download(progress, report);
    case FIRMWARE_DOWNLOADED:
    case FIRMWARE_INSTALLING:
    case FIRMWARE_UPDATING:
        return watch_update(progress, report);
    case FIRMWARE_CANCELLING:
        return cancel(progress, report);
    case FIRMWARE_SUCCEEDED:
    case FIRMWARE_FAILED:
    case FIRMWARE_CANCELLED:
    case FIRMWARE_STEPS:
        break;
    }
    return wait_in(progress->step);
}
