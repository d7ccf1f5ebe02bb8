/* Values as a payload, of whatever size it becomes. */
#ifndef BERTH_CLIENT_PAYLOAD_H
#define BERTH_CLIENT_PAYLOAD_H

#include "client/memory.h"
#include "common/lwm2m/format.h"

enum {
    PAYLOAD_USUAL = 64 * 1024,
    PAYLOAD_MAX = 64 * 1024 * 1024,
};

/* Encode as lwm2m_encode does, into the workspace. False when the format can't tell it, or it is larger than
 * PAYLOAD_MAX. */
bool payload_encode(struct workspace *workspace, int format, const struct lwm2m_node *nodes, size_t count,
                    const struct lwm2m_path *base, struct buffer *out);

#endif
