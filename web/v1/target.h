/* What a call is about: the device and the LwM2M path in its URL, and whether Berth is told to send what the standard
 * does not allow. */
#ifndef BERTH_WEB_V1_TARGET_H
#define BERTH_WEB_V1_TARGET_H

#include "common/lwm2m/path.h"
#include "server/format_choice.h"
#include "web/route.h"

struct target {
    const struct registration *registration; /* valid through the handler */
    struct lwm2m_path path;
    char text[32]; /* of the path: "/3/0/9" */
    bool force;
};

/* Each of these answers the request when the result is false. */

/* The path in the URL, and the registration of the device. What a server may not touch (/0, /21, /23) and what the
 * device's version of LwM2M does not have (resource instances before 1.1) is refused unless it is forced. */
bool target_read(const struct call *call, struct target *target);

/* Whether a path may be sent to the device; the path need not be the target's. */
bool target_allows_path(const struct call *call, const struct target *target, const struct lwm2m_path *path);

/* Whether the device's version has what is asked for, or it is forced. */
bool target_allows(const struct call *call, const struct target *target, enum lwm2m_version since, const char *what);

/* `format`: a content format by name or number. Unchanged, and *given false, when it is not there. One that the
 * device's version does not have is refused unless it is forced. */
bool target_format(const struct call *call, const struct target *target, int *format, bool *given);

/* The version of LwM2M that a content format came with. */
enum lwm2m_version target_version_with(int format);

/* What is known about what is at the path. */
struct format_subject target_subject(const struct call *call, const struct target *target);

/* The same for what is read or written at the path: one that the standard has no place for there (text for an instance,
 * Opaque for an Integer) is refused unless it is forced. A number that is no format of LwM2M is left to the device. */
bool target_content_format(const struct call *call, const struct target *target, const struct format_subject *subject,
                           int *format, bool *given);

/* A parameter that is 0 or 1. */
bool target_switch(const struct call *call, const char *name, bool *on);

#endif
