/* Forms of clients: the first line is the Content-Type, the second says how long the pieces are in which the rest comes.
 * The parts are the same however it is cut. */
#include <stdlib.h>

#include "web/multipart.h"

struct seen {
    size_t begun, ended, bytes;
    uint32_t sum;
};

static void sum_up(struct seen *seen, struct slice bytes) {
    for (size_t i = 0; i < bytes.len; i++)
        seen->sum = seen->sum * 31 + bytes.data[i];
}

static bool on_begin(void *arg, struct slice name) {
    struct seen *seen = arg;
    seen->begun++;
    sum_up(seen, name);
    return true;
}

static bool on_data(void *arg, struct slice bytes) {
    struct seen *seen = arg;
    if (bytes.len == 0 || seen->begun != seen->ended + 1)
        abort();
    seen->bytes += bytes.len;
    sum_up(seen, bytes);
    return true;
}

static bool on_end(void *arg) {
    struct seen *seen = arg;
    seen->ended++;
    return true;
}

static const struct multipart_handlers handlers = {.begin = on_begin, .data = on_data, .end = on_end};

static enum multipart_state run(struct slice type, struct slice body, size_t piece, struct seen *seen) {
    struct multipart m;
    memset(seen, 0, sizeof *seen);
    if (!multipart_start(&m, type, &handlers, seen))
        return MULTIPART_BROKEN;
    for (size_t at = 0; at < body.len; at += piece) {
        if (!multipart_add(&m, slice_of(body.data + at, body.len - at < piece ? body.len - at : piece)))
            break;
    }
    if (multipart_is_done(&m) && seen->begun != seen->ended)
        abort();
    return m.state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *line_end = size == 0 ? NULL : memchr(data, '\n', size);
    size_t len = line_end == NULL ? size : (size_t)(line_end - data);
    struct slice rest = slice_from(slice_of(data, size), len + 1);
    struct seen whole, cut;
    if (rest.len < 2)
        return 0;
    size_t piece = 1 + rest.data[0] % 64;
    rest = slice_from(rest, 1);
    enum multipart_state state = run(slice_of(data, len), rest, rest.len, &whole);
    if (run(slice_of(data, len), rest, piece, &cut) != state || memcmp(&whole, &cut, sizeof whole) != 0)
        abort();
    return 0;
}
