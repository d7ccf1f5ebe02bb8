#include "client/payload.h"

bool payload_encode(struct workspace *workspace, int format, const struct lwm2m_node *nodes, size_t count,
                    const struct lwm2m_path *base, struct buffer *out) {
    const struct lwm2m_encode_context context = {.base = *base};
    for (size_t size = PAYLOAD_USUAL; size <= PAYLOAD_MAX; size *= 2) {
        *out = workspace_take(workspace, size);
        if (lwm2m_encode(format, nodes, count, &context, out))
            return true;
        if (!out->overflow)
            return false;
    }
    return false;
}
