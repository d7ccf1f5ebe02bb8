/* Regular expressions of clients: the first line is a pattern, the rest the text that is searched. Whatever they are, a
 * search ends, and finds the same the second time. */
#include <stdlib.h>

#include "web/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *line_end = size == 0 ? NULL : memchr(data, '\n', size);
    size_t len = line_end == NULL ? size : (size_t)(line_end - data), at;
    struct slice text = slice_from(slice_of(data, size), len + 1);
    char problem[PATTERN_PROBLEM_MAX];
    struct pattern *pattern = pattern_compile(slice_of(data, len), problem, &at);
    if (pattern == NULL)
        return 0;
    bool found = pattern_found(pattern, text);
    if (pattern_found(pattern, text) != found)
        abort();
    pattern_free(pattern);
    return 0;
}
