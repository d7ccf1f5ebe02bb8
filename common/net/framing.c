#include "common/net/framing.h"

enum {
    CODE_CSM = 0xe1, /* 7.01 */
    CODE_METHOD_MAX = 31,
    TLS_HANDSHAKE = 0x16,
    TLS_MAJOR = 3,
    MESSAGE_HEADER = 4, /* RFC 7252 §3 */
    MESSAGE_VERSION = 1,
    TOKEN_MAX = 8, /* RFC 8323 §3.2: 9 to 15 are reserved */
};

/* Bytes of the extended length (§3.2), by the upper half of the first byte. */
static size_t extension_of(uint8_t first) {
    unsigned nibble = first >> 4;
    return nibble < 13 ? 0 : nibble == 13 ? 1 : nibble == 14 ? 2 : 4;
}

enum framing_guess framing_guess(struct slice begin) {
    if (begin.len < 2)
        return FRAMING_UNDECIDED;
    uint8_t first = begin.data[0], second = begin.data[1];
    if (first == 0 && second == 0)
        return FRAMING_PREFIXED;
    if (first == TLS_HANDSHAKE && second == TLS_MAJOR)
        return FRAMING_TLS;
    size_t at = 1 + extension_of(first);
    if ((first & 15) > TOKEN_MAX)
        return FRAMING_STRANGE;
    if (begin.len <= at)
        return FRAMING_UNDECIDED;
    uint8_t code = begin.data[at];
    bool is_signal = code >= CODE_CSM - 1;
    return is_signal || (code >= 1 && code <= CODE_METHOD_MAX) ? FRAMING_8323 : FRAMING_STRANGE;
}

enum framing_guess framing_guess_record(struct slice content) {
    bool is_message = content.len >= MESSAGE_HEADER && content.data[0] >> 6 == MESSAGE_VERSION &&
                      (content.data[0] & 15) <= TOKEN_MAX && content.data[1] <= CODE_METHOD_MAX;
    return is_message ? FRAMING_RECORD : framing_guess(content);
}

static enum framing_result next_8323(struct slice in, size_t max, struct slice *message, size_t *total) {
    *total = 2;
    if (in.len == 0)
        return FRAMING_PARTIAL;
    size_t extension = extension_of(in.data[0]), token = in.data[0] & 15;
    if (token > TOKEN_MAX)
        return FRAMING_BROKEN;
    *total = 1 + extension + 1 + token;
    if (in.len < 1 + extension)
        return FRAMING_PARTIAL;
    uint64_t extended = slice_number(slice_of(in.data + 1, extension));
    static const uint32_t offsets[] = {[1] = 13, [2] = 269, [4] = 65805};
    uint64_t len = *total + (extension == 0 ? (uint64_t)in.data[0] >> 4 : extended + offsets[extension]);
    if (len > max)
        return FRAMING_TOO_LARGE;
    *total = (size_t)len;
    *message = slice_of(in.data, *total);
    return in.len < *total ? FRAMING_PARTIAL : FRAMING_WHOLE;
}

static enum framing_result next_prefixed(struct slice in, size_t max, struct slice *message, size_t *total) {
    *total = FRAMING_PREFIX;
    if (in.len < FRAMING_PREFIX)
        return FRAMING_PARTIAL;
    if (in.data[0] != 0 || in.data[1] != 0)
        return FRAMING_BROKEN;
    *total = FRAMING_PREFIX + ((size_t)in.data[2] << 8 | in.data[3]);
    if (*total > max)
        return FRAMING_TOO_LARGE;
    *message = slice_of(in.data + FRAMING_PREFIX, *total - FRAMING_PREFIX);
    return in.len < *total ? FRAMING_PARTIAL : FRAMING_WHOLE;
}

enum framing_result framing_next(enum link_framing framing, struct slice in, size_t max, struct slice *message,
                                 size_t *total) {
    switch (framing) {
    case LINK_STREAM_8323:
        return next_8323(in, max, message, total);
    case LINK_LENGTH_PREFIXED:
        return next_prefixed(in, max, message, total);
    case LINK_DATAGRAM:
    case LINK_RECORD:
    case LINK_UNFRAMED:
        break;
    }
    return FRAMING_BROKEN;
}
