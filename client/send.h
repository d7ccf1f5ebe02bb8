/* Send (Core 1.2 §6.4.6): the device tells values unasked. */
#ifndef BERTH_CLIENT_SEND_H
#define BERTH_CLIENT_SEND_H

#include "common/lwm2m/node.h"

struct device;

enum { SEND_PATHS_MAX = 32 };

/* What to send: everything that can be read at and below some paths, as it is now. */
struct send {
    struct lwm2m_path paths[SEND_PATHS_MAX];
    size_t count;
    bool has_time;
    int64_t time_ms; /* when the values are said to have been so; without it, the server takes it for now */
};

/* Send; how it went is reported later. NULL, or why nothing is sent, in words for a person. */
const char *send_values(struct device *device, const struct send *send);

#endif
