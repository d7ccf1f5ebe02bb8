/* The objects of the device. What resources an object has and what may be done with them is told by its definition
 * (common/lwm2m/catalogue.h), in the version that the device's release of LwM2M has; what it does besides keeping values
 * is told by its kind: a file each in object/. Values are kept in instances, except of resources that have a function to
 * read them. */
#ifndef BERTH_CLIENT_OBJECT_H
#define BERTH_CLIENT_OBJECT_H

#include "client/attributes.h"
#include "client/instance.h"
#include "common/lwm2m/catalogue.h"

struct device;
struct object;

enum {
    OBJECT_INSTANCES_MAX = 64, /* of one object */
    OBJECT_VERSION_1_0 = 1 * 256,
};

/* What a server may do with a resource. */
enum operations { OPERATION_R = CATALOGUE_READ, OPERATION_W = CATALOGUE_WRITE, OPERATION_E = CATALOGUE_EXECUTE };

/* What a resource does besides keeping its value; whatever is NULL it does not. */
struct behaviour {
    uint16_t id;
    struct lwm2m_value (*read)(const struct object *object, const struct instance *instance); /* NULL: from its cells */
    bool (*accepts)(const struct lwm2m_value *value);               /* NULL: every value of its type */
    void (*write)(struct object *object, struct instance *instance, /* NULL: to its cell */
                  const struct lwm2m_value *value);
    const char *(*execute)(struct object *object, struct instance *instance); /* NULL, or why it cannot be done now */
};

struct resource {
    uint16_t id;
    enum lwm2m_type type; /* LWM2M_NONE of what is executed */
    uint8_t operations;   /* of enum operations */
    bool multiple;
    bool mandatory;                    /* a write cannot remove it */
    const struct behaviour *behaviour; /* never NULL */
};

/* What Create and Delete may do. */
enum instances {
    INSTANCES_BY_DEFINITION, /* if it may have several, a server makes and removes them */
    INSTANCES_FIXED,         /* they are not for a server to make or remove */
};

struct object_kind {
    uint16_t id;
    enum instances instances;
    const struct behaviour *behaviours;
    size_t behaviour_count;
    const struct behaviour *others;   /* what every other resource does; NULL: nothing */
    const struct resource *resources; /* of an object that no catalogue has; else NULL */
    size_t resource_count;
    bool by_bootstrap; /* its instances are what accounts are made of: bootstrap writes them, and they are kept */
    bool is_hidden;    /* only bootstrap reaches it */
    void (*fill)(struct object *object, struct instance *instance); /* the values that instance 0 has at first; NULL:
                                                                     * there is no instance then */
    /* Those of an instance that a server creates, before it writes its own; NULL: none. */
    void (*fill_created)(struct object *object, struct instance *instance);
    void (*tick)(struct object *object, struct instance *instance); /* change what changes on its own; may be NULL */
};

struct object {
    uint16_t id, version; /* version as in catalogue.h */
    bool multiple;        /* it may have several instances */
    bool creatable;       /* and a server may make and remove them */
    const struct object_kind *kind;
    struct device *device;
    struct resource *resources; /* ascending by id */
    size_t resource_count;
    struct instance *instances; /* ascending by id */
    size_t instance_count, instance_cap;
};

extern const struct object_kind server_kind, given_server_kind, security_kind, oscore_kind, cose_kind,
    access_control_kind, given_access_control_kind, device_kind, connectivity_kind, firmware_kind, location_kind,
    statistics_kind, software_kind, portfolio_kind, digital_input_kind, digital_output_kind, temperature_kind,
    test_kind, large_kind, component_kind, defined_kind;

/* Make the object that `kind` says, with its instance 0 if it has one at first. `definition` is NULL when the kind has its resources itself. */
void object_init(struct object *object, struct device *device, const struct object_kind *kind,
                 const struct catalogue_object *definition);

/* Back to what object_init makes. */
void object_reset(struct object *object);

void object_free(struct object *object);

/* NULL when there is none. Valid until an instance is made or removed. */
struct instance *object_instance(const struct object *object, uint16_t id);

/* Make an instance, which must not be there, with what the kind fills in; NULL when there are OBJECT_INSTANCES_MAX. */
struct instance *object_create(struct object *object, uint16_t id);

void object_delete(struct object *object, uint16_t id);

/* An id that no instance has; LWM2M_ID_NONE when there are OBJECT_INSTANCES_MAX. */
uint16_t object_free_id(const struct object *object);

/* NULL when the definition does not have it. */
const struct resource *object_resource(const struct object *object, uint16_t id);

/* A value that can be read or a function that can be executed is there. */
bool object_has(const struct instance *instance, const struct resource *resource);

/* Append the value of a resource (of every instance of a multiple one; a node of type NONE when it has none), whether or
 * not a server may read it. False when the list is full. */
bool object_read(const struct object *object, const struct instance *instance, const struct resource *resource,
                 struct lwm2m_nodes *out);

/* Append everything at and below `path` that a server may read, as object_read does; of what is not there, nothing.
 * False when the list is full. */
bool object_collect(const struct object *object, const struct lwm2m_path *path, struct lwm2m_nodes *out);

/* The value is of the resource's type, and one that it takes. */
bool object_accepts(const struct resource *resource, const struct lwm2m_value *value);

/* Set a resource (its instance 0 when it is single) to a value that it accepts. */
void object_write(struct object *object, struct instance *instance, const struct resource *resource,
                  uint16_t resource_instance, const struct lwm2m_value *value);

/* Put a value into its cell: also of resources whose value nobody else sets. */
void object_store(struct object *object, struct instance *instance, uint16_t resource, uint16_t resource_instance,
                  struct lwm2m_value value);

/* The value that a function reads is another one now. */
void object_changed(const struct object *object, const struct instance *instance, uint16_t resource);

/* Forget the cells of a resource, or one of them. */
void object_clear(struct object *object, struct instance *instance, uint16_t resource);
void object_remove(struct object *object, struct instance *instance, uint16_t resource, uint16_t resource_instance);

/* Append `</3>;ver=1.1,</3/0>`, as a registration lists it (Core 1.2 §6.2.1). */
void object_put_links(const struct object *object, struct buffer *out);

/* Append `;ver=1.1` unless it is 1.0. */
void object_put_version(const struct object *object, struct buffer *out);

/* Of object 1: the attributes that hold where nothing is attached (Default Minimum and Maximum Period). */
struct attributes server_object_defaults(const struct object *object);

/* Of object 3: the Serial Number is the endpoint's name. */
void device_object_set_serial(struct object *object, struct slice serial);

/* Of object 3: the Firmware Version is another one now. */
void device_object_set_firmware(struct object *object, struct slice version);

/* Of object 1: the device is to have the lifetime and the binding of the server that it registers with. */
void server_object_take(const struct object *object);

/* Of object 1: its server does not want to be sent anything (Mute Send). */
bool server_object_is_muted(const struct object *object);

/* Of object 1: notifications that cannot be sent now are kept (Notification Storing). */
bool server_object_stores(const struct object *object);

#endif
