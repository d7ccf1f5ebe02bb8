/* The Prefer header field: whatever comes, an expiry that is taken is one that may be. */
#include <stdlib.h>

#include "web/prefer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct prefer prefer = {0};
    if (prefer_parse(slice_of(data, size), &prefer) && prefer.expires_ms != 0 &&
        (!prefer.respond_async || prefer.expires_ms < PREFER_EXPIRES_MIN_MS ||
         prefer.expires_ms > PREFER_EXPIRES_MAX_MS))
        abort();
    return 0;
}
