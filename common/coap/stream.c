#include "common/coap/stream.h"

#include "common/net/framing.h"

enum coap_decode_result coap_stream_decode(struct slice frame, struct coap_message *message) {
    struct slice whole;
    size_t total;
    if (frame.len < 2 || framing_next(LINK_STREAM_8323, frame, frame.len, &whole, &total) != FRAMING_WHOLE ||
        total != frame.len)
        return frame.len > 0 && (frame.data[0] & 15) > COAP_TOKEN_MAX ? COAP_DECODE_TOKEN : COAP_DECODE_TOO_SHORT;
    unsigned nibble = frame.data[0] >> 4;
    size_t code_at = nibble < 13 ? 1 : nibble == 13 ? 2 : nibble == 14 ? 3 : 5, token_len = frame.data[0] & 15;
    coap_message_init(message, COAP_CON, frame.data[code_at], 0, slice_of(frame.data + code_at + 1, token_len));
    if (message->code == COAP_EMPTY)
        return COAP_DECODE_OK;
    return coap_decode_rest(slice_from(frame, code_at + 1 + token_len), message);
}

bool coap_stream_encode(const struct coap_message *message, struct buffer *out) {
    size_t len = coap_rest_size(message);
    unsigned nibble = len < 13 ? (unsigned)len : len < 269 ? 13 : len < 65805 ? 14 : 15;
    buffer_put_u8(out, (uint8_t)(nibble << 4 | (unsigned)message->token.len));
    if (nibble == 13)
        buffer_put_u8(out, (uint8_t)(len - 13));
    else if (nibble == 14)
        buffer_put_u16(out, (uint16_t)(len - 269));
    else if (nibble == 15)
        buffer_put_u32(out, (uint32_t)(len - 65805));
    buffer_put_u8(out, message->code);
    buffer_put_slice(out, message->token);
    coap_put_rest(out, message);
    return !out->overflow;
}

size_t coap_stream_rest_max(size_t frame_max, size_t token_len) {
    size_t bare = 2 + token_len, left = frame_max > bare ? frame_max - bare : 0;
    return left - (left < 13 ? 0 : left < 270 ? 1 : 2);
}
