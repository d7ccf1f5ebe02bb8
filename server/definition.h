/* What is known about the resources of one device: the catalogue's definitions, in the versions of its objects that it
 * announced (Core 1.2 §7.2.3). */
#ifndef BERTH_SERVER_DEFINITION_H
#define BERTH_SERVER_DEFINITION_H

#include "common/lwm2m/catalogue.h"
#include "server/server.h"

/* Valid while neither registration nor catalogue change. Remembers the object that was asked about last. */
struct definitions {
    const struct catalogue *catalogue;
    const struct registration *registration; /* NULL: of any device */
    uint16_t object, version;                /* LWM2M_ID_NONE: none was asked about yet */
};

struct definitions definitions_of(const struct server *server, const struct registration *registration);

/* The definition of the resource at a path of three or four ids; false when there is none. */
bool definition_find(struct definitions *definitions, const struct lwm2m_path *path,
                     struct catalogue_resource *resource);

/* The definition of an object, in the version that the device announced, or the nearest; false when there is none. */
bool definition_of_object(struct definitions *definitions, uint16_t id, struct catalogue_object *object);

/* For decoders: `definitions` is a struct definitions. RAW when the type is not known. */
enum lwm2m_type definition_type_of(void *definitions, const struct lwm2m_path *path);

/* The name of the object (one or two ids) or resource at a path, or NULL. */
const char *definition_name_of(void *definitions, const struct lwm2m_path *path);

/* NULL, or why a node is not what its definition says: several values of a single resource or the reverse, or a number
 * out of its range. */
const char *definition_fault(struct definitions *definitions, const struct lwm2m_node *node);

#endif
