/* Rows of events from a database: what is taken can be shown, and makes the same bytes again. */
#include <stdlib.h>

#include "server/event_row.h"
#include "web/v1/event_json.h"

static void require(bool holds) {
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice rows = slice_of(data, size);
    struct event event, again;
    uint8_t *memory = malloc(size + 1);
    require(memory != NULL);
    while (event_row_take(&rows, &event)) {
        struct buffer out = buffer_over(memory, event_row_size(&event));
        require(out.cap <= size);
        event_row_put(&out, &event);
        require(!out.overflow && out.len == out.cap);
        struct slice row = buffer_slice(&out);
        require(event_row_take(&row, &again) && row.len == 0 && event_row_size(&again) == out.len);
        json_decref(event_json(&event));
    }
    free(memory);
    return 0;
}
