/* What a device tells of an observation (Core 1.2 §6.4.5): decoded by its own content format, typed by the definitions,
 * published as one event for each value. */
#ifndef BERTH_SERVER_NOTIFICATION_H
#define BERTH_SERVER_NOTIFICATION_H

#include "server/observation.h"

/* Where values are decoded; grows to what was needed, and is used again. All zero at first. */
struct notification_memory {
    struct lwm2m_node *nodes;
    size_t node_cap;
    uint8_t *scratch;
    size_t scratch_cap;
};
void notification_memory_free(struct notification_memory *memory);

/* Room for the values of a payload of so many bytes; false when out of memory. */
bool notification_reserve(struct notification_memory *memory, size_t body_len);

/* Decode what the device has told; `content_format` is COAP_FORMAT_NONE when it did not say. The values are in the
 * memory, for which there must be room, or in the body. NULL, or why they can't be taken: nothing is told unless all of
 * it can be. */
const char *notification_read(const struct observation *observation, int content_format, struct slice body,
                              struct notification_memory *memory, struct lwm2m_nodes *list);

/* Publish the values of a notification with a message of class 2, or, when they can't be decoded, why not (OB-05).
 * Unless it is stale it is the observation's last value from now on. `is_answer`: the first one, which answers. */
void notification_take(struct observation *observation, struct notification_memory *memory,
                       const struct coap_notification *notification, bool is_answer);

/* `rejected`: the notification is of no use. `why` is a clause. */
void notification_reject(const struct observation *observation, const char *why);

/* The beginning of an event about an observation. */
struct event notification_event(const struct observation *observation, enum event_type type);

#endif
