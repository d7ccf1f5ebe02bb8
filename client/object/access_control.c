/* Object 2, Access Control (Core 1.2 Appendix E.3): what is written is kept. There is one server, so nothing is asked
 * for access rights (§8.2). */
#include "client/device.h"

enum { OBJECT = 0, INSTANCE = 1, ACL = 2, OWNER = 3, ALL_RIGHTS = 31 };

/* The one server may do everything with the Device object. */
static void fill(struct object *object, struct instance *instance) {
    object_store(object, instance, OBJECT, 0, lwm2m_integer(3));
    object_store(object, instance, INSTANCE, 0, lwm2m_integer(0));
    object_store(object, instance, ACL, 1, lwm2m_integer(ALL_RIGHTS));
    object_store(object, instance, OWNER, 0, lwm2m_integer(1));
}

const struct object_kind access_control_kind = {.id = ACCOUNT_ACCESS, .fill = fill};
const struct object_kind given_access_control_kind = {.id = ACCOUNT_ACCESS, .by_bootstrap = true};
