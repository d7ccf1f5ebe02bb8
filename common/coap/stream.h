/* Messages as frames of a connection (RFC 8323 §3.2): no version, type and Message ID, a length instead. Decoding and
 * encoding are inverses; a decoded message points into the frame, counts as confirmable (there is no other kind), and has
 * the Message ID 0. Where a frame ends is told by common/net/framing.h. */
#ifndef BERTH_COAP_STREAM_H
#define BERTH_COAP_STREAM_H

#include "common/coap/message.h"

enum {
    COAP_STREAM_MESSAGE_MIN = 1152, /* RFC 8323 §5.3.1: what a peer takes that has not said otherwise */
    COAP_STREAM_SENT_MAX = 16384,   /* ours: the largest frame we send, whatever a peer takes */
};

/* Decode one whole frame. OK, TOO_SHORT (the length says otherwise), TOKEN, OPTION, PAYLOAD or TOO_MANY_OPTIONS; the
 * code is filled whenever it is not TOO_SHORT. An Empty message (code 0.00) is OK, whatever is in it (§3.4). */
enum coap_decode_result coap_stream_decode(struct slice frame, struct coap_message *message);

/* Append the message in its shortest form. False when it does not fit (out->overflow). */
bool coap_stream_encode(const struct coap_message *message, struct buffer *out);

/* What options and payload (coap_rest_size) may take in a frame of `frame_max` bytes, itself COAP_STREAM_SENT_MAX at
 * most. */
size_t coap_stream_rest_max(size_t frame_max, size_t token_len);

#endif
