/* Strings of JSON: whatever comes, the text is what Jansson writes of the same bytes as a tree. */
#include <stdlib.h>
#include <string.h>

#include "web/document.h"
#include "web/json_text.h"

enum { BYTES_MAX = 512, TEXT_MAX = 6 * BYTES_MAX + 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t text_memory[TEXT_MAX];
    static char tree_text[TEXT_MAX];
    struct buffer text = buffer_over(text_memory, sizeof text_memory);
    if (size > BYTES_MAX)
        return 0;
    json_text_string(&text, slice_of(data, size));
    json_t *tree = document_text(slice_of(data, size));
    size_t len = json_dumpb(tree, tree_text, sizeof tree_text, JSON_ENCODE_ANY | JSON_COMPACT);
    json_decref(tree);
    if (text.overflow || text.len != len || memcmp(text.data, tree_text, len) != 0)
        abort();
    return 0;
}
