/* Frames of a WebSocket (RFC 6455 §5), at a server. What the peer says is judged as it comes, byte by byte if need be, and
 * handed over where it is a control frame; data is passed over, since nobody here wants to know it. */
#ifndef BERTH_WEB_WEBSOCKET_H
#define BERTH_WEB_WEBSOCKET_H

#include "common/base/buffer.h"

enum {
    WEBSOCKET_CONTROL_MAX = 125,     /* bytes of a control frame (§5.5) */
    WEBSOCKET_FRAME_MAX = 64 * 1024, /* of a data frame of the peer's */
    WEBSOCKET_HEAD_MAX = 10,         /* of a head of ours */
};

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};

/* §7.4.1 */
enum websocket_status {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_UNEXPECTED = 1011,
    WEBSOCKET_RESTART = 1012,
};

/* What the peer is saying. Zero it before the first byte. */
struct websocket {
    uint8_t head[14];
    uint8_t head_len;
    bool in_payload, is_fragmented; /* within a frame; within a message of several */
    size_t payload_len, payload_at;
    uint8_t control[WEBSOCKET_CONTROL_MAX];
};

enum websocket_event {
    WEBSOCKET_NOTHING,
    WEBSOCKET_WAS_PING,
    WEBSOCKET_WAS_PONG,
    WEBSOCKET_WAS_CLOSE,
    WEBSOCKET_FAULT
};

struct websocket_read {
    enum websocket_event event;
    enum websocket_status status; /* of a fault: with which to close. Of a Close: with which to answer */
    struct slice payload;         /* of a ping; valid until the next call */
};

/* Take bytes up to the next event, or all; how many. Nothing may be read after a fault or a Close. */
size_t websocket_read(struct websocket *socket, struct slice bytes, struct websocket_read *read);

/* The head of a whole, unmasked frame. */
void websocket_put_head(struct buffer *out, enum websocket_opcode opcode, size_t payload_len);

/* §4.2.2: the value of Sec-WebSocket-Accept for that of Sec-WebSocket-Key, which has at most 64 bytes. */
void websocket_put_accept(struct buffer *out, struct slice key);

#endif
