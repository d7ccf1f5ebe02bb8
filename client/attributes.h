/* Notification attributes (Core 1.2 §7.3.2): what a server has attached to objects, instances, resources and resource
 * instances. When they make a notification due is the matter of notification_rule.h. */
#ifndef BERTH_CLIENT_ATTRIBUTES_H
#define BERTH_CLIENT_ATTRIBUTES_H

#include "common/lwm2m/node.h"

enum attribute {
    ATTRIBUTE_PMIN, /* seconds, as the next three */
    ATTRIBUTE_PMAX,
    ATTRIBUTE_EPMIN,
    ATTRIBUTE_EPMAX,
    ATTRIBUTE_GT,
    ATTRIBUTE_LT,
    ATTRIBUTE_ST,
    ATTRIBUTE_EDGE,
    ATTRIBUTE_CON,
    ATTRIBUTE_HQMAX,
    ATTRIBUTE_COUNT,
};

struct attributes {
    uint16_t set; /* 1 << ATTRIBUTE_x of those that have a value */
    double values[ATTRIBUTE_COUNT];
};

/* What is attached to which path; all zero: nothing. */
struct attribute_list {
    struct attribute_entry *entries;
    size_t count, cap;
};

static inline bool attributes_have(const struct attributes *attributes, enum attribute which) {
    return (attributes->set & 1u << which) != 0;
}

/* The value; 0 when there is none. */
static inline double attributes_get(const struct attributes *attributes, enum attribute which) {
    return attributes_have(attributes, which) ? attributes->values[which] : 0;
}

static inline void attributes_set(struct attributes *attributes, enum attribute which, double value) {
    attributes->set = (uint16_t)(attributes->set | 1u << which);
    attributes->values[which] = value;
}

/* Take from `above` what `attributes` does not have. */
void attributes_inherit(struct attributes *attributes, const struct attributes *above);

void attribute_list_free(struct attribute_list *list);

/* What is attached to this very path. */
struct attributes attribute_list_at(const struct attribute_list *list, const struct lwm2m_path *path);

/* What holds for it: where it has no value of its own, the next path above it that has one gives it. */
struct attributes attribute_list_effective(const struct attribute_list *list, const struct lwm2m_path *path);

/* Detach everything from the path and what is below it. */
void attribute_list_remove(struct attribute_list *list, const struct lwm2m_path *path);

/* Attach these and nothing else. False when there is no memory. */
bool attribute_list_set(struct attribute_list *list, const struct lwm2m_path *path,
                        const struct attributes *attributes);

/* One query item of a Write-Attributes, `pmin=10` or, to remove it, `pmin`, for a device of this release (times ten) and a
 * resource of type `type`; NONE for what is above resources. False: *why says what is wrong. */
bool attributes_read(struct attributes *attributes, struct slice item, uint8_t version, enum lwm2m_type type,
                     enum attribute *which, const char **why);

/* Whether they can hold together (§7.3.2): lt < gt, lt + 2 st < gt, epmin < epmax. */
bool attributes_agree(const struct attributes *attributes);

/* `;pmin=10;gt=50.5`. */
void attributes_put(const struct attributes *attributes, struct buffer *out);

#endif
