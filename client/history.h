/* Notifications that wait for the device to be heard again (Core 1.2 Appendix E.2, Notification Storing): the values of
 * each, and when they were so. The oldest ones go when there are too many. */
#ifndef BERTH_CLIENT_HISTORY_H
#define BERTH_CLIENT_HISTORY_H

#include "common/lwm2m/node.h"

enum {
    HISTORY_DEFAULT_MAX = 100,       /* notifications kept when no hqmax says otherwise */
    HISTORY_BYTES_MAX = 1024 * 1024, /* that one history may take */
};

struct kept_notification;

/* All zero is an empty one. */
struct history {
    struct kept_notification *first, *last; /* oldest first */
    size_t count, bytes;
    int64_t last_ms; /* the time of the last one */
};

/* Keep copies of these values, `max` notifications at most. Each has a later time than the one before, also within a
 * millisecond. */
void history_add(struct history *history, const struct lwm2m_nodes *nodes, int64_t time_ms, size_t max);

/* Append the values of the oldest notification, with its time. Their bytes are in what moves to `taken`, to be freed with
 * history_free after use. False when there is none or it does not fit any more. */
bool history_take(struct history *history, struct lwm2m_nodes *out, struct history *taken);

void history_free(struct history *history);

#endif
