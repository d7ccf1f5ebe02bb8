/* An LwM2M path: object, instance, resource and resource instance id (Core 1.2 §7.4). Ids run from 0 to 65534; 65535
 * means "none" and is legal nowhere. */
#ifndef BERTH_LWM2M_PATH_H
#define BERTH_LWM2M_PATH_H

#include "common/base/buffer.h"

enum { LWM2M_PATH_IDS = 4, LWM2M_ID_MAX = 65534, LWM2M_ID_NONE = 65535 };

struct lwm2m_path {
    uint16_t ids[LWM2M_PATH_IDS];
    uint8_t len; /* how many are set: 0 is the root */
};

/* `/3/0/9` or, with `slashed` false, `3/0/9`. Decimal ids without leading zeros, at most four; "" and "/" are the root;
 * one trailing slash is let pass (OMA's examples have it) and told in *trailing_slash when that is not NULL. */
bool lwm2m_path_parse(struct slice text, struct lwm2m_path *path, bool *trailing_slash);

/* `/3/0/9`; the root is `/`. At most 24 bytes. */
void lwm2m_path_put(struct buffer *out, const struct lwm2m_path *path);

static inline bool lwm2m_path_equal(const struct lwm2m_path *a, const struct lwm2m_path *b) {
    return a->len == b->len && memcmp(a->ids, b->ids, a->len * sizeof a->ids[0]) == 0;
}

/* `path` is `base` or lies below it. */
static inline bool lwm2m_path_contains(const struct lwm2m_path *base, const struct lwm2m_path *path) {
    return base->len <= path->len && memcmp(base->ids, path->ids, base->len * sizeof base->ids[0]) == 0;
}

/* Every id from number `from` on is one: none is LWM2M_ID_NONE, by which a Create leaves the instance to the client. */
static inline bool lwm2m_path_has_ids(const struct lwm2m_path *path, size_t from) {
    for (size_t i = from; i < path->len; i++) {
        if (path->ids[i] == LWM2M_ID_NONE)
            return false;
    }
    return true;
}

/* One id longer; `parent` must have fewer than LWM2M_PATH_IDS. */
static inline struct lwm2m_path lwm2m_path_child(const struct lwm2m_path *parent, uint16_t id) {
    struct lwm2m_path child = *parent;
    child.ids[child.len++] = id;
    return child;
}

#endif
