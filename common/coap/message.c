#include "common/coap/message.h"

#include <stdio.h>

enum { VERSION_1 = 1, PAYLOAD_MARKER = 0xff, NIBBLE_8BIT = 13, NIBBLE_16BIT = 14, NIBBLE_RESERVED = 15 };

/* An option's delta or length (§3.1): the nibble, and one or two more bytes when it says so. */
static bool read_extended(struct slice in, size_t *at, unsigned nibble, uint32_t *value) {
    switch (nibble) {
    case NIBBLE_8BIT:
        if (in.len - *at < 1)
            return false;
        *value = 13u + in.data[*at];
        *at += 1;
        return true;
    case NIBBLE_16BIT:
        if (in.len - *at < 2)
            return false;
        *value = 269u + ((uint32_t)in.data[*at] << 8 | in.data[*at + 1]);
        *at += 2;
        return true;
    case NIBBLE_RESERVED:
        return false;
    default:
        *value = nibble;
        return true;
    }
}

enum coap_decode_result coap_decode_rest(struct slice in, struct coap_message *message) {
    uint32_t number = 0;
    size_t at = 0, count = 0;
    while (at < in.len) {
        uint8_t head = in.data[at];
        if (head == PAYLOAD_MARKER) {
            at++;
            if (at == in.len)
                return COAP_DECODE_PAYLOAD;
            message->payload = slice_of(in.data + at, in.len - at);
            break;
        }
        at++;
        uint32_t delta, len;
        if (!read_extended(in, &at, head >> 4, &delta) || !read_extended(in, &at, head & 15, &len))
            return COAP_DECODE_OPTION;
        number += delta;
        if (number > 65535 || len > in.len - at)
            return COAP_DECODE_OPTION;
        if (count < COAP_OPTIONS_MAX)
            message->options[count] = (struct coap_option){(uint16_t)number, slice_of(in.data + at, len)};
        count++;
        at += len;
    }
    if (count > COAP_OPTIONS_MAX)
        return COAP_DECODE_TOO_MANY_OPTIONS;
    message->option_count = count;
    return COAP_DECODE_OK;
}

enum coap_decode_result coap_decode(struct slice datagram, struct coap_message *message) {
    if (datagram.len < 4)
        return COAP_DECODE_TOO_SHORT;
    const uint8_t *in = datagram.data;
    if (in[0] >> 6 != VERSION_1)
        return COAP_DECODE_VERSION;
    coap_message_init(message, (enum coap_type)(in[0] >> 4 & 3), in[1], (uint16_t)(in[2] << 8 | in[3]), SLICE_NONE);
    size_t token_len = in[0] & 15;
    if (message->code == COAP_EMPTY && (token_len > 0 || datagram.len > 4)) {
        bool answers_us = message->type == COAP_ACK || message->type == COAP_RST;
        return token_len == 0 && answers_us ? COAP_DECODE_EMPTY_TRAILING : COAP_DECODE_EMPTY;
    }
    if (token_len > COAP_TOKEN_MAX || token_len > datagram.len - 4)
        return COAP_DECODE_TOKEN;
    message->token = slice_of(in + 4, token_len);
    return coap_decode_rest(slice_from(datagram, 4 + token_len), message);
}

const char *coap_decode_text(enum coap_decode_result result) {
    switch (result) {
    case COAP_DECODE_OK:
        return "ok";
    case COAP_DECODE_TOO_SHORT:
        return "shorter than a CoAP header";
    case COAP_DECODE_VERSION:
        return "not CoAP version 1";
    case COAP_DECODE_TOKEN:
        return "token length is reserved or past the end";
    case COAP_DECODE_OPTION:
        return "malformed option";
    case COAP_DECODE_PAYLOAD:
        return "payload marker without a payload";
    case COAP_DECODE_EMPTY:
    case COAP_DECODE_EMPTY_TRAILING:
        return "empty message with bytes after the Message ID";
    case COAP_DECODE_TOO_MANY_OPTIONS:
        return "more than 64 options";
    }
    return "malformed";
}

static unsigned nibble_for(uint32_t value) {
    return value < 13 ? value : value < 269 ? NIBBLE_8BIT : NIBBLE_16BIT;
}

static void put_extended(struct buffer *out, uint32_t value) {
    if (value >= 269)
        buffer_put_u16(out, (uint16_t)(value - 269));
    else if (value >= 13)
        buffer_put_u8(out, (uint8_t)(value - 13));
}

static size_t extension_size(uint32_t value) {
    return value < 13 ? 0 : value < 269 ? 1 : 2;
}

size_t coap_rest_size(const struct coap_message *message) {
    size_t size = message->payload.len > 0 ? 1 + message->payload.len : 0;
    uint32_t number = 0;
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        size += 1 + extension_size(option->number - number) + extension_size((uint32_t)option->value.len) +
                option->value.len;
        number = option->number;
    }
    return size;
}

void coap_put_rest(struct buffer *out, const struct coap_message *message) {
    uint32_t number = 0;
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        uint32_t delta = option->number - number;
        uint32_t len = (uint32_t)option->value.len;
        buffer_put_u8(out, (uint8_t)(nibble_for(delta) << 4 | nibble_for(len)));
        put_extended(out, delta);
        put_extended(out, len);
        buffer_put_slice(out, option->value);
        number = option->number;
    }
    if (message->payload.len > 0) {
        buffer_put_u8(out, PAYLOAD_MARKER);
        buffer_put_slice(out, message->payload);
    }
}

bool coap_encode(const struct coap_message *message, struct buffer *out) {
    buffer_put_u8(out, (uint8_t)(VERSION_1 << 6 | (unsigned)message->type << 4 | (unsigned)message->token.len));
    buffer_put_u8(out, message->code);
    buffer_put_u16(out, message->mid);
    buffer_put_slice(out, message->token);
    coap_put_rest(out, message);
    return !out->overflow;
}

void coap_message_init(struct coap_message *message, enum coap_type type, uint8_t code, uint16_t mid,
                       struct slice token) {
    message->type = type;
    message->code = code;
    message->mid = mid;
    message->token = token;
    message->payload = SLICE_NONE;
    message->option_count = 0;
}

struct coap_code_text coap_code_text(uint8_t code) {
    struct coap_code_text out;
    snprintf(out.text, sizeof out.text, "%u.%02u", COAP_CODE_CLASS(code) & 7u, COAP_CODE_DETAIL(code));
    return out;
}

const char *coap_code_name(uint8_t code) {
    switch ((enum coap_code)code) {
    case COAP_EMPTY:
        return "Empty";
    case COAP_GET:
        return "GET";
    case COAP_POST:
        return "POST";
    case COAP_PUT:
        return "PUT";
    case COAP_DELETE:
        return "DELETE";
    case COAP_FETCH:
        return "FETCH";
    case COAP_PATCH:
        return "PATCH";
    case COAP_IPATCH:
        return "iPATCH";
    case COAP_2_01_CREATED:
        return "Created";
    case COAP_2_02_DELETED:
        return "Deleted";
    case COAP_2_03_VALID:
        return "Valid";
    case COAP_2_04_CHANGED:
        return "Changed";
    case COAP_2_05_CONTENT:
        return "Content";
    case COAP_2_31_CONTINUE:
        return "Continue";
    case COAP_4_00_BAD_REQUEST:
        return "Bad Request";
    case COAP_4_01_UNAUTHORIZED:
        return "Unauthorized";
    case COAP_4_02_BAD_OPTION:
        return "Bad Option";
    case COAP_4_03_FORBIDDEN:
        return "Forbidden";
    case COAP_4_04_NOT_FOUND:
        return "Not Found";
    case COAP_4_05_METHOD_NOT_ALLOWED:
        return "Method Not Allowed";
    case COAP_4_06_NOT_ACCEPTABLE:
        return "Not Acceptable";
    case COAP_4_08_REQUEST_ENTITY_INCOMPLETE:
        return "Request Entity Incomplete";
    case COAP_4_09_CONFLICT:
        return "Conflict";
    case COAP_4_12_PRECONDITION_FAILED:
        return "Precondition Failed";
    case COAP_4_13_REQUEST_ENTITY_TOO_LARGE:
        return "Request Entity Too Large";
    case COAP_4_15_UNSUPPORTED_CONTENT_FORMAT:
        return "Unsupported Content-Format";
    case COAP_5_00_INTERNAL_SERVER_ERROR:
        return "Internal Server Error";
    case COAP_5_01_NOT_IMPLEMENTED:
        return "Not Implemented";
    case COAP_5_03_SERVICE_UNAVAILABLE:
        return "Service Unavailable";
    case COAP_5_05_PROXYING_NOT_SUPPORTED:
        return "Proxying Not Supported";
    }
    return "";
}
