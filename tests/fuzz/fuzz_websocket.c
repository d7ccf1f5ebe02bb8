/* Frames of a WebSocket's client: a byte at a time they say the same as all at once, and payloads stay within bounds. */
#include <stdlib.h>

#include "web/websocket.h"

static void require(bool condition) {
    if (!condition)
        abort();
}

/* What is read, one byte for each event and one for a fault's status, and all that pings have. */
struct story {
    uint8_t memory[1 << 16];
    struct buffer text;
};

static void tell(struct slice bytes, size_t step, struct story *story) {
    struct websocket socket = {.head_len = 0};
    struct websocket_read read = {.event = WEBSOCKET_NOTHING};
    story->text = buffer_over(story->memory, sizeof story->memory);
    while (bytes.len > 0 && read.event != WEBSOCKET_FAULT && read.event != WEBSOCKET_WAS_CLOSE) {
        struct slice part = slice_of(bytes.data, bytes.len < step ? bytes.len : step);
        size_t taken = websocket_read(&socket, part, &read);
        require(taken > 0 && taken <= part.len);
        require(read.event != WEBSOCKET_NOTHING || taken == part.len);
        require(read.payload.len <= WEBSOCKET_CONTROL_MAX);
        bytes = slice_from(bytes, taken);
        if (read.event == WEBSOCKET_NOTHING)
            continue;
        buffer_put_u8(&story->text, (uint8_t)read.event);
        buffer_put_u16(&story->text, (uint16_t)read.status);
        buffer_put_slice(&story->text, read.payload);
    }
    buffer_put_u8(&story->text, socket.is_fragmented);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct story whole, bytewise, stepwise;
    tell(slice_of(data, size), SIZE_MAX, &whole);
    tell(slice_of(data, size), 1, &bytewise);
    tell(slice_of(data, size), 7, &stepwise);
    require(slice_equal(buffer_slice(&whole.text), buffer_slice(&bytewise.text)));
    require(slice_equal(buffer_slice(&whole.text), buffer_slice(&stepwise.text)));
    return 0;
}
