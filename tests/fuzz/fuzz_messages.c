/* What lies in a trace came from anybody: entries are told as they are. Each is a byte of kind, direction and inner message
 * (7: sent, 6: it has one, 3 to 2: kind), a byte of transport and framing, two bytes of length, and so many bytes: half of
 * an inner message's, if there is one, are its own. Whatever it is, it is shown as JSON that can be written. */
#include <stdlib.h>

#include "web/v1/message_json.h"

static void require(bool holds) {
    if (!holds)
        abort();
}

static struct server *server(void) {
    static struct server one;
    static struct listener listener = {.prefix = "some/where"};
    static struct catalogue catalogue;
    if (one.directory == NULL) {
        one.directory = directory_new();
        one.listeners = &listener;
        one.catalogue = &catalogue;
        require(one.directory != NULL);
    }
    return &one;
}

static struct trace_entry entry_of(const uint8_t head[4], uint64_t id, struct slice bytes) {
    static const enum link_framing framings[] = {LINK_DATAGRAM, LINK_STREAM_8323, LINK_LENGTH_PREFIXED, LINK_RECORD};
    struct trace_entry entry = {
        .id = id,
        .time_ms = 1780000000000,
        .of = id - 1,
        .kind = head[0] >> 2 & 3,
        .transport = head[1] & 3,
        .framing = (uint8_t)framings[head[1] >> 2 & 3],
        .sent = (head[0] & 0x80) != 0,
        .offset = head[1] >> 4,
        .peer = {.family = ADDRESS_IPV4, .port = (uint16_t)(head[0] & 3), .ip = {192, 0, 2, 1}},
        .wire = bytes,
        .endpoint = (head[0] & 1) != 0 ? slice_str("dev1") : SLICE_NONE,
    };
    if (entry.kind != TRACE_WIRE)
        entry.content = bytes;
    return entry;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct message_reader *reader = message_reader_new(server());
    struct slice rest = slice_of(data, size);
    require(reader != NULL);
    for (uint64_t id = 1; rest.len >= 4; id++) {
        size_t len = (size_t)(rest.data[2] << 8 | rest.data[3]) & 0x3fff;
        struct slice bytes = slice_from(rest, 4), inner = SLICE_NONE;
        bytes.len = len < bytes.len ? len : bytes.len;
        struct trace_entry entry = entry_of(rest.data, id, bytes);
        rest = slice_from(rest, 4 + bytes.len);
        if ((data[0] & 0x40) != 0) {
            inner = slice_from(bytes, bytes.len / 2);
            entry.content.len = entry.content.len / 2;
        }
        if (!message_reader_take(reader, &entry, inner))
            continue;
        require(message_reader_kind(reader) < ENTRY_KINDS);
        json_t *json = message_reader_json(reader, true);
        char *text = json_dumps(json, JSON_COMPACT);
        require(text != NULL);
        free(text);
        json_decref(json);
    }
    message_reader_free(reader);
    return 0;
}
