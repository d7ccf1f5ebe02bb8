#include "common/lwm2m/object_version.h"

#include <stddef.h>

static const struct {
    uint16_t object_id;
    const char *versions[3]; /* with LwM2M 1.0, 1.1, 1.2 */
} core_objects[] = {
    {0, {"1.0", "1.1", "1.2"}}, {1, {"1.0", "1.1", "1.2"}}, {2, {"1.0", "1.0", "1.1"}},  {3, {"1.0", "1.1", "1.2"}},
    {4, {"1.0", "1.2", "1.3"}}, {5, {"1.0", "1.0", "1.1"}}, {21, {"1.0", "1.0", "2.0"}},
};

const char *lwm2m_object_version(uint8_t enabler, uint16_t object_id) {
    size_t release = enabler <= 10 ? 0 : enabler == 11 ? 1 : 2;
    for (size_t i = 0; i < sizeof core_objects / sizeof core_objects[0]; i++) {
        if (core_objects[i].object_id == object_id)
            return core_objects[i].versions[release];
    }
    return "1.0";
}
