/* A CoAP message (RFC 7252 §3) in its UDP form: decoding from a datagram and encoding into one are inverses. A decoded
 * message points into the datagram and lives as long as it does; neither direction allocates. */
#ifndef BERTH_COAP_MESSAGE_H
#define BERTH_COAP_MESSAGE_H

#include "common/base/buffer.h"

enum coap_type { COAP_CON = 0, COAP_NON = 1, COAP_ACK = 2, COAP_RST = 3 };

/* Code `class.detail` as the byte on the wire: COAP_CODE(4, 4) is 4.04. */
#define COAP_CODE(class, detail) ((uint8_t)((class) << 5 | (detail)))
#define COAP_CODE_CLASS(code)    ((unsigned)(code) >> 5)
#define COAP_CODE_DETAIL(code)   ((unsigned)(code)&31u)

enum coap_code {
    COAP_EMPTY = 0,
    COAP_GET = 1,
    COAP_POST = 2,
    COAP_PUT = 3,
    COAP_DELETE = 4,
    COAP_FETCH = 5,
    COAP_PATCH = 6,
    COAP_IPATCH = 7,
    COAP_2_01_CREATED = COAP_CODE(2, 1),
    COAP_2_02_DELETED = COAP_CODE(2, 2),
    COAP_2_03_VALID = COAP_CODE(2, 3),
    COAP_2_04_CHANGED = COAP_CODE(2, 4),
    COAP_2_05_CONTENT = COAP_CODE(2, 5),
    COAP_2_31_CONTINUE = COAP_CODE(2, 31),
    COAP_4_00_BAD_REQUEST = COAP_CODE(4, 0),
    COAP_4_01_UNAUTHORIZED = COAP_CODE(4, 1),
    COAP_4_02_BAD_OPTION = COAP_CODE(4, 2),
    COAP_4_03_FORBIDDEN = COAP_CODE(4, 3),
    COAP_4_04_NOT_FOUND = COAP_CODE(4, 4),
    COAP_4_05_METHOD_NOT_ALLOWED = COAP_CODE(4, 5),
    COAP_4_06_NOT_ACCEPTABLE = COAP_CODE(4, 6),
    COAP_4_08_REQUEST_ENTITY_INCOMPLETE = COAP_CODE(4, 8),
    COAP_4_09_CONFLICT = COAP_CODE(4, 9),
    COAP_4_12_PRECONDITION_FAILED = COAP_CODE(4, 12),
    COAP_4_13_REQUEST_ENTITY_TOO_LARGE = COAP_CODE(4, 13),
    COAP_4_15_UNSUPPORTED_CONTENT_FORMAT = COAP_CODE(4, 15),
    COAP_5_00_INTERNAL_SERVER_ERROR = COAP_CODE(5, 0),
    COAP_5_01_NOT_IMPLEMENTED = COAP_CODE(5, 1),
    COAP_5_03_SERVICE_UNAVAILABLE = COAP_CODE(5, 3),
    COAP_5_05_PROXYING_NOT_SUPPORTED = COAP_CODE(5, 5),
};

enum {
    COAP_TOKEN_MAX = 8,      /* RFC 7252 §3: 9 to 15 are reserved */
    COAP_OPTIONS_MAX = 64,   /* ours: a message with more is refused with 4.02 */
    COAP_MESSAGE_MAX = 1152, /* RFC 7252 §4.6: the most we send in one datagram */
    COAP_PAYLOAD_MAX = 1024, /* RFC 7252 §4.6: and in its payload */
};

struct coap_option {
    uint16_t number;
    struct slice value;
};

/* Options stand in ascending order of number; equal numbers keep their order. */
struct coap_message {
    enum coap_type type;
    uint8_t code;
    uint16_t mid; /* Message ID */
    struct slice token;
    struct slice payload; /* empty when there is no payload marker */
    size_t option_count;
    struct coap_option options[COAP_OPTIONS_MAX];
};

/* Why a datagram is no message. `TOO_SHORT` and `VERSION` can't be answered at all: there is no header to answer. */
enum coap_decode_result {
    COAP_DECODE_OK,
    COAP_DECODE_TOO_SHORT,        /* fewer than 4 bytes */
    COAP_DECODE_VERSION,          /* not version 1 */
    COAP_DECODE_TOKEN,            /* token length 9 to 15, or the token is cut off */
    COAP_DECODE_OPTION,           /* reserved nibble, value past the end, number above 65535 */
    COAP_DECODE_PAYLOAD,          /* payload marker with nothing after it */
    COAP_DECODE_EMPTY,            /* code 0.00 with a token or anything after the Message ID (§4.1) */
    COAP_DECODE_EMPTY_TRAILING,   /* the same in an ACK or RST whose first four bytes are those of an Empty message:
                                   * one widespread client ends every empty ACK with c0 */
    COAP_DECODE_TOO_MANY_OPTIONS, /* well-formed, but more than COAP_OPTIONS_MAX; token and header are filled */
};

/* Decode a datagram. When it returns anything but TOO_SHORT or VERSION, type, code and mid are filled. */
enum coap_decode_result coap_decode(struct slice datagram, struct coap_message *message);

/* What is wrong, in words for a person; "ok" for COAP_DECODE_OK. */
const char *coap_decode_text(enum coap_decode_result result);

/* Append the message to `out` in its shortest form. False when it does not fit (out->overflow). */
bool coap_encode(const struct coap_message *message, struct buffer *out);

/* The part behind the token, options and payload, is the same in every form of a message. Decode it from `in`, which
 * begins there; OK, OPTION, PAYLOAD or TOO_MANY_OPTIONS. */
enum coap_decode_result coap_decode_rest(struct slice in, struct coap_message *message);
size_t coap_rest_size(const struct coap_message *message);
void coap_put_rest(struct buffer *out, const struct coap_message *message);

/* Start a message with no options and no payload. */
void coap_message_init(struct coap_message *message, enum coap_type type, uint8_t code, uint16_t mid,
                       struct slice token);

/* `2.05`, `0.01` …: writes up to 5 bytes and a NUL. */
struct coap_code_text {
    char text[6];
};
struct coap_code_text coap_code_text(uint8_t code);

/* The code's name in the registry ("Not Found", "POST"), or "" for one that is not in it. */
const char *coap_code_name(uint8_t code);

static inline bool coap_code_is_request(uint8_t code) {
    return code >= 1 && code <= 31;
}

/* Classes 2, 4 and 5. */
static inline bool coap_code_is_response(uint8_t code) {
    unsigned class = COAP_CODE_CLASS(code);
    return class == 2 || class == 4 || class == 5;
}

#endif
