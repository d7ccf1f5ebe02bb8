/* The Range header field: whatever comes, a range that is taken lies in the representation. */
#include <stdlib.h>

#include "web/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t sizes[] = {0, 1, 100, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t first = 0, end = 0;
        if (range_read(slice_of(data, size), sizes[i], &first, &end) == RANGE_GOOD && (first >= end || end > sizes[i]))
            abort();
    }
    return 0;
}
