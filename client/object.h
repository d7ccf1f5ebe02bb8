/* The objects of the device. An object is a table of its resources (a file each in object/); it has the one instance 0. The values are kept in cells, except of resources that have a function to read them. */
#ifndef BERTH_CLIENT_OBJECT_H
#define BERTH_CLIENT_OBJECT_H

#include "common/lwm2m/node.h"

struct device;
struct object;

/* What a server may do with a resource. */
enum operations { OPERATION_R = 1, OPERATION_W = 2, OPERATION_RW = 3, OPERATION_E = 4 };

struct resource {
    uint16_t id;
    enum lwm2m_type type; /* LWM2M_NONE of what is executed */
    uint8_t operations;   /* of enum operations */
    uint8_t since;        /* the release of LwM2M that has it first, times ten; 0: every one */
    bool multiple;
    bool mandatory;                                                        /* a write cannot remove it */
    struct lwm2m_value (*read)(const struct object *object);               /* NULL: from its cells */
    bool (*accepts)(const struct lwm2m_value *value);                      /* NULL: every value of its type */
    void (*write)(struct object *object, const struct lwm2m_value *value); /* NULL: to its cell */
    void (*execute)(struct object *object);
};

/* The value of one resource or resource instance. */
struct cell {
    uint16_t resource, instance; /* instance is 0 of a single resource */
    struct lwm2m_value value;
    uint8_t *owned; /* the bytes of value when it has some */
};

struct object {
    uint16_t id;
    const struct resource *resources; /* ascending by id */
    size_t resource_count;
    struct device *device;
    struct cell *cells; /* ascending by resource, then instance */
    size_t cell_count, cell_cap;
};

/* Make objects 1, 3, 3303 and 3442 with their first values. */
void server_object_init(struct object *object, struct device *device);
void device_object_init(struct object *object, struct device *device);
void temperature_object_init(struct object *object, struct device *device);
void test_object_init(struct object *object, struct device *device);

/* Of object 1: its server does not want to be sent anything (Mute Send). */
bool server_object_is_muted(const struct object *object);

/* Free the cells. */
void object_free(struct object *object);

/* NULL when the object does not have it in the device's release of LwM2M. */
const struct resource *object_resource(const struct object *object, uint16_t id);

/* A value that can be read or a function that can be executed is there. */
bool object_has(const struct object *object, const struct resource *resource);

/* Append the value of a resource (of every instance of a multiple one; a node of type NONE when it has none), whether or
 * not a server may read it. False when the list is full. */
bool object_read(const struct object *object, const struct resource *resource, struct lwm2m_nodes *out);

/* Append everything at and below `path` that a server may read, as object_read does; of a resource instance that is not
 * there, nothing. False when the list is full. */
bool object_collect(const struct object *object, const struct lwm2m_path *path, struct lwm2m_nodes *out);

/* The value is of the resource's type, and one that it takes. */
bool object_accepts(const struct resource *resource, const struct lwm2m_value *value);

/* Set a resource (instance 0 when it is single) to a value that it accepts; bytes are copied. */
void object_write(struct object *object, const struct resource *resource, uint16_t instance,
                  const struct lwm2m_value *value);

/* Put a value into its cell: also of resources whose value nobody else sets. */
void object_store(struct object *object, uint16_t resource, uint16_t instance, struct lwm2m_value value);

/* The value in a cell; NULL when there is none. */
const struct lwm2m_value *object_stored(const struct object *object, uint16_t resource, uint16_t instance);

/* Forget the cells of a resource. */
void object_clear(struct object *object, uint16_t resource);

/* Forget one cell, if it is there. */
void object_remove(struct object *object, uint16_t resource, uint16_t instance);

/* Append `</3>;ver=1.1,</3/0>`, as a registration lists it (Core 1.2 §6.2.1). */
void object_put_links(const struct object *object, uint8_t version, struct buffer *out);

#endif
