/* When a notification is due (Core 1.2 §6.4.2, §7.3.2): pure functions of attributes, values and times.
 *
 * A change of a value counts when it is different from what was told last; of a number that has gt, lt or st, when it has
 * crossed a threshold, in either direction, or has moved by st at least since then; of a Boolean that has edge, when it
 * has turned that way. A change that counts is told pmin after the last notification at the earliest, and without one a
 * notification goes when pmax is over. */
#ifndef BERTH_CLIENT_NOTIFICATION_RULE_H
#define BERTH_CLIENT_NOTIFICATION_RULE_H

#include "client/attributes.h"

/* What is remembered of a value that was told. */
struct sample {
    struct lwm2m_path path;
    enum lwm2m_type type;
    uint64_t digest;    /* equal values have equal ones, and different ones hardly ever */
    long double number; /* of a number: has all of the 64 bits of an integer */
    bool truth;         /* of a Boolean */
};

struct sample sample_of(const struct lwm2m_node *node);

/* Whether the change from `told` to `now`, two samples of one path, counts. A turn by edge does not count here. */
bool notification_rule_counts(const struct attributes *attributes, const struct sample *told, const struct sample *now);

/* Whether the turn of a Boolean from `before`, which need not have been told, to `now` counts. */
bool notification_rule_turns(const struct attributes *attributes, bool before, bool now);

/* The attributes as far as they decide about time: those of a composite observation hold for all of its paths, so that
 * none is told more often than it may be (greatest pmin) or less often than it has to be (least pmax). */
void notification_rule_combine(struct attributes *all, const struct attributes *one);

enum { NOTIFICATION_NEVER_DUE = -1 };

/* When the next notification is due, in milliseconds after the last one, when a change that counts waits to be told
 * (`changed`) or not; or NOTIFICATION_NEVER_DUE. */
int64_t notification_rule_due_ms(const struct attributes *attributes, bool changed);

#endif
