#include "web/websocket.h"

#include <mbedtls/sha1.h>

#include "common/base/text.h"

enum { FIN = 0x80, RESERVED = 0x70, MASKED = 0x80, KEY_LEN_MAX = 64 };

/* ---- heads ---- */

static unsigned length_bytes(const struct websocket *socket) {
    unsigned len = socket->head[1] & 0x7f;
    return len == 126 ? 2 : len == 127 ? 8 : 0;
}

static size_t head_size(const struct websocket *socket) {
    return socket->head_len < 2 ? 2 : 2 + length_bytes(socket) + 4;
}

static uint64_t length_of(const struct websocket *socket) {
    unsigned bytes = length_bytes(socket);
    uint64_t length = bytes == 0 ? socket->head[1] & 0x7f : 0;
    for (unsigned i = 0; i < bytes; i++)
        length = length << 8 | socket->head[2 + i];
    return length;
}

static bool is_control(const struct websocket *socket) {
    return (socket->head[0] & 8) != 0;
}

/* Whether the frame may come now, as far as its first byte says. */
static bool is_in_order(const struct websocket *socket) {
    bool is_final = (socket->head[0] & FIN) != 0;
    switch (socket->head[0] & 0xf) {
    case WEBSOCKET_CONTINUATION:
        return socket->is_fragmented;
    case WEBSOCKET_TEXT:
    case WEBSOCKET_BINARY:
        return !socket->is_fragmented;
    case WEBSOCKET_CLOSE:
    case WEBSOCKET_PING:
    case WEBSOCKET_PONG:
        return is_final;
    default:
        return false;
    }
}

/* 0: the head is good. */
static unsigned judge_head(struct websocket *socket) {
    uint64_t length = length_of(socket);
    unsigned bytes = length_bytes(socket);
    bool is_minimal = bytes == 0 || length > (bytes == 2 ? 125 : UINT16_MAX);
    if ((socket->head[0] & RESERVED) != 0 || !is_in_order(socket) || !is_minimal ||
        length > INT64_MAX || (is_control(socket) && length > WEBSOCKET_CONTROL_MAX))
        return WEBSOCKET_PROTOCOL_ERROR;
    if (length > WEBSOCKET_FRAME_MAX)
        return WEBSOCKET_TOO_BIG;
    if (!is_control(socket))
        socket->is_fragmented = (socket->head[0] & FIN) == 0;
    socket->payload_len = (size_t)length;
    socket->payload_at = 0;
    socket->in_payload = true;
    return 0;
}

static void take_head_byte(struct websocket *socket, uint8_t byte, struct websocket_read *read) {
    socket->head[socket->head_len++] = byte;
    unsigned fault = socket->head_len == head_size(socket) ? judge_head(socket) : 0;
    if (socket->head_len == 2 && (byte & MASKED) == 0) /* §5.1: there is no key to wait for */
        fault = WEBSOCKET_PROTOCOL_ERROR;
    if (fault != 0)
        *read = (struct websocket_read){.event = WEBSOCKET_FAULT, .status = fault};
}

/* ---- payloads ---- */

static size_t take_payload(struct websocket *socket, struct slice bytes) {
    const uint8_t *mask = socket->head + head_size(socket) - 4;
    size_t len = socket->payload_len - socket->payload_at;
    len = bytes.len < len ? bytes.len : len;
    for (size_t i = 0; i < len && is_control(socket); i++)
        socket->control[socket->payload_at + i] = bytes.data[i] ^ mask[(socket->payload_at + i) % 4];
    socket->payload_at += len;
    return len;
}

/* §7.4: a Close is answered with the status it has, if that may stand in one. */
static void read_close(const struct websocket *socket, struct websocket_read *read) {
    unsigned status = (unsigned)socket->control[0] << 8 | socket->control[1];
    bool may_be_sent = (status >= 1000 && status <= 1014 && status != 1004 && status != 1005 && status != 1006) ||
                       (status >= 3000 && status <= 4999);
    read->event = WEBSOCKET_WAS_CLOSE;
    read->status = socket->payload_len == 0 ? WEBSOCKET_NORMAL : (enum websocket_status)status;
    if (socket->payload_len == 1 || (socket->payload_len > 1 && !may_be_sent))
        *read = (struct websocket_read){.event = WEBSOCKET_FAULT, .status = WEBSOCKET_PROTOCOL_ERROR};
}

static void end_frame(struct websocket *socket, struct websocket_read *read) {
    socket->in_payload = false;
    socket->head_len = 0;
    switch (socket->head[0] & 0xf) {
    case WEBSOCKET_CLOSE:
        read_close(socket, read);
        break;
    case WEBSOCKET_PING:
        read->event = WEBSOCKET_WAS_PING;
        read->payload = slice_of(socket->control, socket->payload_len);
        break;
    case WEBSOCKET_PONG:
        read->event = WEBSOCKET_WAS_PONG;
        break;
    default:
        break;
    }
}

size_t websocket_read(struct websocket *socket, struct slice bytes, struct websocket_read *read) {
    size_t all = bytes.len;
    *read = (struct websocket_read){.event = WEBSOCKET_NOTHING};
    while (bytes.len > 0 && read->event == WEBSOCKET_NOTHING) {
        if (socket->in_payload) {
            bytes = slice_from(bytes, take_payload(socket, bytes));
        } else {
            take_head_byte(socket, bytes.data[0], read);
            bytes = slice_from(bytes, 1);
        }
        if (socket->in_payload && socket->payload_at == socket->payload_len)
            end_frame(socket, read);
    }
    return all - bytes.len;
}

/* ---- what we say ---- */

void websocket_put_head(struct buffer *out, enum websocket_opcode opcode, size_t payload_len) {
    buffer_put_u8(out, (uint8_t)(FIN | opcode));
    if (payload_len < 126) {
        buffer_put_u8(out, (uint8_t)payload_len);
        return;
    }
    unsigned bytes = payload_len <= UINT16_MAX ? 2 : 8;
    buffer_put_u8(out, bytes == 2 ? 126 : 127);
    for (unsigned i = bytes; i-- > 0;)
        buffer_put_u8(out, (uint8_t)((uint64_t)payload_len >> (8 * i)));
}

void websocket_put_accept(struct buffer *out, struct slice key) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[KEY_LEN_MAX + sizeof guid], digest[20];
    struct buffer both = buffer_over(text, sizeof text);
    buffer_put_slice(&both, key);
    buffer_put(&both, guid, sizeof guid - 1);
    mbedtls_sha1(text, both.len, digest);
    text_put_base64(out, slice_of(digest, sizeof digest));
}
