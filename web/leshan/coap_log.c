/* COAPLOG: the messages of a device, from its trace (server/trace.h). */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "common/coap/message.h"
#include "common/coap/option.h"
#include "common/coap/stream.h"
#include "web/document.h"
#include "web/leshan/leshan.h"

enum { HEX_MAX = 4096 }; /* bytes of a payload that are shown when it is no text */

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static bool is_readable(struct slice bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.data[i] < 0x20 && bytes.data[i] != '\t' && bytes.data[i] != '\r' && bytes.data[i] != '\n')
            return false;
    }
    return slice_is_utf8(bytes);
}

static json_t *hex_json(const char *prefix, struct slice bytes) {
    uint8_t memory[2 * HEX_MAX + 8];
    struct buffer text = buffer_over(memory, sizeof memory);
    bytes.len = bytes.len > HEX_MAX ? HEX_MAX : bytes.len;
    buffer_put_str(&text, prefix);
    text_put_hex(&text, bytes);
    return document_text(buffer_slice(&text));
}

/* A number where the option has one, else text where it is some. */
static json_t *option_json(const struct coap_option *option) {
    uint32_t number = 0;
    for (size_t i = 0; i < option->value.len && i < 4; i++)
        number = number << 8 | option->value.data[i];
    switch (option->number) {
    case COAP_OBSERVE:
    case COAP_URI_PORT:
    case COAP_CONTENT_FORMAT:
    case COAP_MAX_AGE:
    case COAP_ACCEPT:
    case COAP_SIZE1:
    case COAP_SIZE2:
    case COAP_BLOCK1:
    case COAP_BLOCK2:
        return json_integer(number);
    case COAP_URI_HOST:
    case COAP_URI_PATH:
    case COAP_URI_QUERY:
    case COAP_LOCATION_PATH:
    case COAP_LOCATION_QUERY:
        return document_text(option->value);
    default:
        return hex_json("0x", option->value);
    }
}

/* {"Uri-Path":["rd","x1"],"Content-Format":40} as text; an option that comes again makes a list. */
static json_t *options_json(const struct coap_message *message) {
    json_t *options = json_object();
    for (size_t i = 0; i < message->option_count; i++) {
        const char *known = coap_option_name(message->options[i].number);
        char name[32];
        if (known[0] != '\0')
            snprintf(name, sizeof name, "%s", known);
        else
            snprintf(name, sizeof name, "Unknown (%u)", (unsigned)message->options[i].number);
        json_t *before = json_object_get(options, name), *value = option_json(&message->options[i]);
        if (before == NULL)
            set(options, name, value);
        else if (json_is_array(before))
            json_array_append_new(before, value);
        else
            set(options, name, json_pack("[Oo]", before, value));
    }
    char *text = json_dumps(options, JSON_COMPACT);
    json_t *json = json_string(text == NULL ? "" : text);
    free(text);
    json_decref(options);
    return json;
}

static json_t *code_json(uint8_t code) {
    if (code == COAP_EMPTY)
        return json_null();
    return json_string(coap_code_is_request(code) ? coap_code_name(code) : coap_code_text(code).text);
}

json_t *leshan_coap_log_json(const struct trace_entry *entry) {
    static const char *const types[] = {"CON", "NON", "ACK", "RST"};
    struct coap_message message;
    bool is_stream = entry->framing == LINK_STREAM_8323;
    enum coap_decode_result result =
        is_stream ? coap_stream_decode(entry->content, &message) : coap_decode(entry->content, &message);
    if (entry->kind != TRACE_MESSAGE || (result != COAP_DECODE_OK && result != COAP_DECODE_EMPTY_TRAILING))
        return NULL;
    json_t *json = json_object();
    set(json, "timestamp", json_integer((json_int_t)entry->time_ms));
    set(json, "incoming", json_boolean(!entry->sent));
    set(json, "type", is_stream ? json_null() : json_string(types[message.type]));
    set(json, "code", code_json(message.code));
    set(json, "mId", is_stream ? json_null() : json_integer(message.mid));
    set(json, "token", hex_json("", message.token));
    set(json, "options", options_json(&message));
    if (message.payload.len > 0)
        set(json, "payload",
            is_readable(message.payload) ? document_text(message.payload) : hex_json("Hex:", message.payload));
    set(json, "ep", document_text(entry->endpoint));
    return json;
}
