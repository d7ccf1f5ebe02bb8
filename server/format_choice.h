/* Which content format a request to a device asks for or is written in, when nobody says (Core 1.2 §7.5): by the
 * version of LwM2M that the device speaks, what it announced with `ct=`, and what is read or written. The best comes
 * first; the next is tried when the device refuses one (4.06 and 4.15: clients mean the same by both). What worked then
 * is remembered for as long as the device is registered, and comes first the next time. */
#ifndef BERTH_SERVER_FORMAT_CHOICE_H
#define BERTH_SERVER_FORMAT_CHOICE_H

#include "common/lwm2m/format.h"
#include "server/registration.h"

enum { FORMAT_CHOICES_MAX = 6 };

struct format_choices {
    int formats[FORMAT_CHOICES_MAX]; /* COAP_FORMAT_NONE: ask for none, the device chooses */
    size_t count;
};

/* What is read or written. */
struct format_subject {
    struct lwm2m_path path;
    enum lwm2m_type type; /* of a resource; RAW when it is not known */
    bool is_single;       /* one value: a resource instance, or a resource that is known to be single */
    bool is_known;        /* whether `is_single` is more than a guess */
};

void format_choices_for_read(const struct registration *registration, const struct format_subject *subject,
                             struct format_choices *out);

/* `partial`: a POST, which for one value as text would be an Execute (Transport 1.2 Table 6.4.4-1). `needs_no_id`: what
 * is created has no instance id, which SenML can't tell (§6.3.6). */
void format_choices_for_write(const struct registration *registration, const struct format_subject *subject,
                              bool partial, bool needs_no_id, struct format_choices *out);

/* For the body of a composite operation and its answer. */
void format_choices_for_composite(const struct registration *registration, struct format_choices *out);

/* The device has taken this format after it had refused those before it. */
void format_worked_for_read(struct registration *registration, int format);
void format_worked_for_write(struct registration *registration, int format);
void format_worked_for_composite(struct registration *registration, int format);

/* Whether the device announced the format. */
bool format_announced(const struct registration *registration, int format);

#endif
