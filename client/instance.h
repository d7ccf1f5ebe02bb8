/* One instance of an object: its values, in cells sorted by resource and resource instance. Bytes of values are owned
 * by their cells. Nothing here knows definitions. The program ends when there is no memory. */
#ifndef BERTH_CLIENT_INSTANCE_H
#define BERTH_CLIENT_INSTANCE_H

#include "common/lwm2m/node.h"

struct cell {
    uint16_t resource, instance; /* instance is 0 of a single resource */
    struct lwm2m_value value;
    uint8_t *owned; /* the bytes of the value when it has some */
};

struct instance {
    uint16_t id;
    bool is_kept; /* bootstrap has written it (kept.h) */
    struct cell *cells;
    size_t cell_count, cell_cap;
    size_t bytes; /* owned by cells */
};

void instance_free(struct instance *instance);

/* The value in a cell; NULL when there is none. Valid until the instance is changed. */
const struct lwm2m_value *instance_value(const struct instance *instance, uint16_t resource,
                                         uint16_t resource_instance);

/* The cells of a resource; NULL and 0 when it has none. */
const struct cell *instance_cells(const struct instance *instance, uint16_t resource, size_t *count);

/* Put a value into its cell; its bytes are copied. False when it was that value already. */
bool instance_set(struct instance *instance, uint16_t resource, uint16_t resource_instance, struct lwm2m_value value);

/* Forget every cell of a resource; false when there was none. */
bool instance_clear(struct instance *instance, uint16_t resource);

/* Forget one cell; false when it was not there. */
bool instance_remove(struct instance *instance, uint16_t resource, uint16_t resource_instance);

#endif
