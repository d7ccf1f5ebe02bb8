/* Object 14, LwM2M Software Component, of --profile pelion: what the vendor's client tells of its firmware. */
#include "client/device.h"

enum { IDENTITY = 0, VERSION = 2 };

static void fill(struct object *object, struct instance *instance) {
    object_store(object, instance, IDENTITY, 0, lwm2m_string("MAIN"));
    object_store(object, instance, VERSION, 0, lwm2m_string("1.2.3"));
}

static const struct resource resources[] = {
    {.id = IDENTITY, .type = LWM2M_STRING, .operations = OPERATION_R, .mandatory = true},
    {.id = VERSION, .type = LWM2M_STRING, .operations = OPERATION_R, .mandatory = true},
};

const struct object_kind component_kind = {.id = 14,
                                           .instances = INSTANCES_FIXED,
                                           .resources = resources,
                                           .resource_count = sizeof resources / sizeof resources[0],
                                           .fill = fill};
