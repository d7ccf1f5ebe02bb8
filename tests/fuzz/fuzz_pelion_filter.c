/* Filters of Device Management lists: whatever they are, they are refused, or hold for a device or not, the same each time. */
#include <stdlib.h>

#include "web/pelion/pelion.h"

static const char device[] =
    "{\"id\":\"0172\",\"state\":\"registered\",\"name\":\"Lamp\",\"created_at\":\"2030-01-01T00:00:00.5Z\","
    "\"device_execution_mode\":1,\"auto_update\":true,\"manifest_timestamp\":null,\"groups\":[\"a\"],"
    "\"custom_attributes\":{\"room\":\"4\",\"my__floor\":\"1\"}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t decoded[PELION_FILTER_MAX];
    struct buffer memory = buffer_over(decoded, sizeof decoded);
    struct query filter;
    char why[PELION_WHY_MAX];
    json_t *shown = json_loads(device, 0, NULL);
    if (pelion_read_filter(slice_of(data, size), pelion_device_fields, &memory, &filter, why)) {
        if (pelion_meets(shown, &filter) != pelion_meets(shown, &filter))
            abort();
    } else if (why[0] == '\0') {
        abort();
    }
    json_decref(shown);
    return 0;
}
