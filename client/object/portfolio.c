/* Object 16, Portfolio: strings in the instances of a multiple resource. */
#include "client/device.h"

enum { IDENTITY = 0 };

static void fill(struct object *object, struct instance *instance) {
    static const char *const identities[] = {"Host Device ID #1", "Host Device Manufacturer #1", "Host Device Model #1",
                                             "Host Device Software Version #1"};
    for (uint16_t i = 0; i < sizeof identities / sizeof identities[0]; i++)
        object_store(object, instance, IDENTITY, i, lwm2m_string(identities[i]));
}

const struct object_kind portfolio_kind = {.id = 16, .fill = fill};
