#include "web/v1/message_json.h"

#include <stdlib.h>

#include "common/base/text.h"
#include "common/coap/block.h"
#include "common/coap/signal.h"
#include "common/coap/stream.h"
#include "common/lwm2m/format.h"
#include "server/definition.h"
#include "web/document.h"
#include "web/v1/record_json.h"
#include "web/v1/value_json.h"

enum {
    ASKED_MAX = 256,     /* requests that are remembered for their responses */
    BOOTSTRAPS_MAX = 64, /* peers that are being bootstrapped */
    STREAMS_MAX = 128,   /* directions of connections */
    NODES_MAX = 4096,
    PATH_MAX_TEXT = 512,
};

const char *entry_kind_name(enum entry_kind kind) {
    static const char *const names[ENTRY_KINDS] = {
        [ENTRY_REGISTER] = "register",
        [ENTRY_UPDATE] = "update",
        [ENTRY_DEREGISTER] = "deregister",
        [ENTRY_BOOTSTRAP_REQUEST] = "bootstrap_request",
        [ENTRY_BOOTSTRAP_PACK] = "bootstrap_pack",
        [ENTRY_BOOTSTRAP_WRITE] = "bootstrap_write",
        [ENTRY_BOOTSTRAP_READ] = "bootstrap_read",
        [ENTRY_BOOTSTRAP_DISCOVER] = "bootstrap_discover",
        [ENTRY_BOOTSTRAP_DELETE] = "bootstrap_delete",
        [ENTRY_BOOTSTRAP_FINISH] = "bootstrap_finish",
        [ENTRY_READ] = "read",
        [ENTRY_DISCOVER] = "discover",
        [ENTRY_WRITE] = "write",
        [ENTRY_WRITE_ATTRIBUTES] = "write_attributes",
        [ENTRY_EXECUTE] = "execute",
        [ENTRY_CREATE] = "create",
        [ENTRY_DELETE] = "delete",
        [ENTRY_READ_COMPOSITE] = "read_composite",
        [ENTRY_WRITE_COMPOSITE] = "write_composite",
        [ENTRY_OBSERVE] = "observe",
        [ENTRY_OBSERVE_COMPOSITE] = "observe_composite",
        [ENTRY_CANCEL_OBSERVATION] = "cancel_observation",
        [ENTRY_NOTIFY] = "notify",
        [ENTRY_SEND] = "send",
        [ENTRY_REQUEST] = "request",
        [ENTRY_RESPONSE] = "response",
        [ENTRY_ACKNOWLEDGEMENT] = "acknowledgement",
        [ENTRY_RESET] = "reset",
        [ENTRY_PING] = "ping",
        [ENTRY_SIGNAL] = "signal",
        [ENTRY_PROTECTED] = "protected",
        [ENTRY_MALFORMED] = "malformed",
        [ENTRY_HANDSHAKE] = "handshake",
        [ENTRY_ALERT] = "alert",
        [ENTRY_RECORD] = "record",
    };
    return names[kind];
}

/* With whom: a device keeps its name over addresses. */
struct party {
    const uint8_t *endpoint; /* compared only; NULL: nobody */
    struct address peer;
};

/* A request, until its place is needed. */
struct asked {
    uint64_t id;
    struct party party;
    bool sent, answered;
    uint8_t kind;
    uint8_t token_len, token[COAP_TOKEN_MAX];
    bool has_path;
    struct lwm2m_path path;
};

/* One direction of a connection: where the next record begins. */
struct direction {
    struct address peer;
    bool sent, used;
    uint32_t next;
    size_t skip;
};

struct message_reader {
    const struct server *server;
    struct asked asked[ASKED_MAX]; /* a ring */
    size_t asked_next;
    struct party bootstraps[BOOTSTRAPS_MAX];
    size_t bootstrap_next;
    struct direction directions[STREAMS_MAX];
    size_t direction_next;
    uint64_t chunk; /* the bytes of a connection that came last, and their records */
    json_t *chunk_records;
    /* The entry that was taken last. */
    const struct trace_entry *entry;
    struct slice inner_bytes;
    enum entry_kind kind;
    bool is_message, has_path, has_inner, is_partial;
    const char *error;
    struct lwm2m_path path;
    uint64_t answers;
    struct coap_message message, inner;
    json_t *records;
};

/* ---- what a request is for ---- */

static struct party party_of(const struct trace_entry *entry) {
    return (struct party){.endpoint = entry->endpoint.len > 0 ? entry->endpoint.data : NULL, .peer = entry->peer};
}

static bool is_same_party(const struct party *a, const struct party *b) {
    return a->endpoint != NULL || b->endpoint != NULL ? a->endpoint == b->endpoint : address_equal(&a->peer, &b->peer);
}

static struct party *bootstrap_of(struct message_reader *reader, const struct party *party) {
    for (size_t i = 0; i < BOOTSTRAPS_MAX; i++) {
        if (reader->bootstraps[i].peer.family != ADDRESS_NONE && is_same_party(&reader->bootstraps[i], party))
            return &reader->bootstraps[i];
    }
    return NULL;
}

static struct slice path_segment(const struct coap_message *message, size_t index) {
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number == COAP_URI_PATH && index-- == 0)
            return message->options[i].value;
    }
    return SLICE_NONE;
}

static size_t segment_count(const struct coap_message *message) {
    size_t count = 0;
    for (size_t i = 0; i < message->option_count; i++)
        count += message->options[i].number == COAP_URI_PATH;
    return count;
}

/* Where the name of an interface stands: first, or behind the prefix of the listener. */
static bool interface_at(const struct message_reader *reader, const struct coap_message *message, const char *name,
                         size_t *at) {
    const struct listener *listener = &reader->server->listeners[reader->entry->listener];
    size_t prefix = listener->prefix[0] != '\0';
    for (const char *c = listener->prefix; *c != '\0'; c++)
        prefix += *c == '/';
    for (size_t i = 0; i <= prefix; i += prefix > 0 ? prefix : 1) {
        if (slice_is(path_segment(message, i), name)) {
            *at = i;
            return true;
        }
    }
    return false;
}

static enum entry_kind kind_of_theirs(struct message_reader *reader, const struct coap_message *message) {
    size_t at, count = segment_count(message);
    if (interface_at(reader, message, "rd", &at)) {
        bool has_more = count > at + 1 && path_segment(message, at + 1).len > 0;
        if (message->code == COAP_DELETE)
            return ENTRY_DEREGISTER;
        if (message->code == COAP_POST || message->code == COAP_PUT)
            return has_more ? ENTRY_UPDATE : ENTRY_REGISTER;
    }
    if (interface_at(reader, message, "bs", &at) && message->code == COAP_POST) {
        struct party party = party_of(reader->entry);
        if (bootstrap_of(reader, &party) == NULL)
            reader->bootstraps[reader->bootstrap_next++ % BOOTSTRAPS_MAX] = party;
        return ENTRY_BOOTSTRAP_REQUEST;
    }
    if (interface_at(reader, message, "bspack", &at) && message->code == COAP_GET)
        return ENTRY_BOOTSTRAP_PACK;
    if (interface_at(reader, message, "dp", &at) && message->code == COAP_POST)
        return ENTRY_SEND;
    return ENTRY_REQUEST;
}

/* The ids at the end of the path: a client may have its objects below an alternate path (Core §6.4.1). */
static bool read_path(const struct coap_message *message, struct lwm2m_path *path) {
    *path = (struct lwm2m_path){.len = 0};
    bool good = true;
    for (size_t i = 0, count = segment_count(message); i < count; i++) {
        uint64_t id;
        struct slice segment = path_segment(message, i);
        bool is_id = slice_to_u64(segment, LWM2M_ID_MAX, &id);
        if (is_id && path->len < LWM2M_PATH_IDS)
            path->ids[path->len++] = (uint16_t)id;
        else if (is_id || (path->len > 0 && segment.len > 0))
            good = false;
    }
    return good;
}

static enum entry_kind kind_of_get(const struct coap_message *message, bool bootstraps) {
    uint32_t observe, accept;
    bool is_composite = message->code == COAP_FETCH;
    if (coap_option_uint(message, COAP_OBSERVE, &observe))
        return observe == 1 ? ENTRY_CANCEL_OBSERVATION : is_composite ? ENTRY_OBSERVE_COMPOSITE : ENTRY_OBSERVE;
    if (is_composite)
        return ENTRY_READ_COMPOSITE;
    if (coap_option_uint(message, COAP_ACCEPT, &accept) && accept == COAP_FORMAT_LINK)
        return bootstraps ? ENTRY_BOOTSTRAP_DISCOVER : ENTRY_DISCOVER;
    return bootstraps ? ENTRY_BOOTSTRAP_READ : ENTRY_READ;
}

static enum entry_kind kind_of_post(struct message_reader *reader, const struct coap_message *message) {
    struct party party = party_of(reader->entry), *bootstrap = bootstrap_of(reader, &party);
    if (segment_count(message) > 0 && slice_is(path_segment(message, segment_count(message) - 1), "bs")) {
        if (bootstrap != NULL)
            *bootstrap = (struct party){0};
        return ENTRY_BOOTSTRAP_FINISH;
    }
    switch (reader->has_path ? reader->path.len : 0) {
    case 1:
        return ENTRY_CREATE;
    case 2:
        return ENTRY_WRITE;
    case 3:
        return ENTRY_EXECUTE;
    default:
        return ENTRY_REQUEST;
    }
}

/* Of a request that we send: Core Table 6.3.-1 and Transport Table 6.5.-1. */
static enum entry_kind kind_of_ours(struct message_reader *reader, const struct coap_message *message) {
    struct party party = party_of(reader->entry);
    bool bootstraps = bootstrap_of(reader, &party) != NULL;
    reader->has_path = read_path(message, &reader->path);
    switch (message->code) {
    case COAP_GET:
    case COAP_FETCH:
        return kind_of_get(message, bootstraps);
    case COAP_PUT:
        if (coap_option_find(message, COAP_CONTENT_FORMAT) == NULL && message->payload.len == 0 &&
            coap_option_find(message, COAP_URI_QUERY) != NULL)
            return ENTRY_WRITE_ATTRIBUTES;
        return bootstraps ? ENTRY_BOOTSTRAP_WRITE : ENTRY_WRITE;
    case COAP_POST:
        return kind_of_post(reader, message);
    case COAP_DELETE:
        return bootstraps ? ENTRY_BOOTSTRAP_DELETE : ENTRY_DELETE;
    case COAP_IPATCH:
        return ENTRY_WRITE_COMPOSITE;
    default:
        return ENTRY_REQUEST;
    }
}

static void remember(struct message_reader *reader, const struct coap_message *message) {
    struct asked *asked = &reader->asked[reader->asked_next++ % ASKED_MAX];
    *asked = (struct asked){.id = reader->entry->id,
                            .party = party_of(reader->entry),
                            .sent = reader->entry->sent,
                            .kind = (uint8_t)reader->kind,
                            .token_len = (uint8_t)message->token.len,
                            .has_path = reader->has_path,
                            .path = reader->path};
    if (message->token.len > 0)
        memcpy(asked->token, message->token.data, message->token.len);
}

/* The newest request that it may answer. */
static struct asked *asked_by(struct message_reader *reader, const struct coap_message *response) {
    struct party party = party_of(reader->entry);
    for (size_t i = 0; i < ASKED_MAX && i < reader->asked_next; i++) {
        struct asked *asked = &reader->asked[(reader->asked_next - 1 - i) % ASKED_MAX];
        if (asked->sent != reader->entry->sent && is_same_party(&asked->party, &party) &&
            slice_equal(slice_of(asked->token, asked->token_len), response->token))
            return asked;
    }
    return NULL;
}

static enum entry_kind kind_of_response(struct message_reader *reader, const struct coap_message *message) {
    struct asked *asked = asked_by(reader, message);
    bool notifies = coap_option_find(message, COAP_OBSERVE) != NULL && !reader->entry->sent;
    if (asked == NULL)
        return notifies ? ENTRY_NOTIFY : ENTRY_RESPONSE;
    bool observes = asked->kind == ENTRY_OBSERVE || asked->kind == ENTRY_OBSERVE_COMPOSITE;
    reader->answers = asked->id;
    reader->has_path = asked->has_path;
    reader->path = asked->path;
    /* What comes first answers the request, also when it comes again as a copy of the same ACK (RFC 7641 §3.2). */
    bool is_further = asked->answered && message->type != COAP_ACK;
    asked->answered = true;
    return observes && is_further && (notifies || COAP_CODE_CLASS(message->code) != 2) ? ENTRY_NOTIFY
                                                                                       : (enum entry_kind)asked->kind;
}

static bool has_part(const struct coap_message *message, uint16_t number) {
    struct coap_block block;
    return coap_block_get(message, number, &block) && (block.num > 0 || block.more);
}

static enum entry_kind kind_of(struct message_reader *reader, const struct coap_message *message) {
    bool is_request = coap_code_is_request(message->code);
    reader->is_partial = has_part(message, is_request ? COAP_BLOCK1 : COAP_BLOCK2);
    if (message->code == COAP_EMPTY)
        return message->type == COAP_ACK ? ENTRY_ACKNOWLEDGEMENT : message->type == COAP_RST ? ENTRY_RESET : ENTRY_PING;
    if (coap_code_is_signal(message->code))
        return message->code == COAP_7_02_PING || message->code == COAP_7_03_PONG ? ENTRY_PING : ENTRY_SIGNAL;
    if (!is_request)
        return kind_of_response(reader, message);
    return reader->entry->sent ? kind_of_ours(reader, message) : kind_of_theirs(reader, message);
}

/* ---- entries ---- */

static bool decode(enum link_framing framing, struct slice bytes, struct coap_message *message, const char **error) {
    enum coap_decode_result result =
        framing == LINK_STREAM_8323 ? coap_stream_decode(bytes, message) : coap_decode(bytes, message);
    *error = result == COAP_DECODE_OK ? NULL : coap_decode_text(result);
    return result == COAP_DECODE_OK || result == COAP_DECODE_EMPTY_TRAILING;
}

static void take_message(struct message_reader *reader) {
    const struct trace_entry *entry = reader->entry;
    const char *ignored;
    reader->is_message = decode((enum link_framing)entry->framing, entry->content, &reader->message, &reader->error);
    if (!reader->is_message) {
        reader->kind = ENTRY_MALFORMED;
        return;
    }
    reader->has_inner =
        reader->inner_bytes.len > 0 && decode(LINK_DATAGRAM, reader->inner_bytes, &reader->inner, &ignored);
    const struct coap_message *message = reader->has_inner ? &reader->inner : &reader->message;
    if (reader->has_inner) /* types and acknowledgements are those of the outer one */
        reader->inner.type = reader->message.type;
    reader->kind = kind_of(reader, message);
    if (coap_code_is_request(message->code))
        remember(reader, message);
    if (!reader->has_inner && coap_option_find(message, COAP_OSCORE) != NULL)
        reader->kind = ENTRY_PROTECTED;
}

static struct direction *direction_of(struct message_reader *reader) {
    const struct trace_entry *entry = reader->entry;
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        struct direction *direction = &reader->directions[i];
        if (direction->used && direction->sent == entry->sent && address_equal(&direction->peer, &entry->peer))
            return direction;
    }
    struct direction *fresh = &reader->directions[reader->direction_next++ % STREAMS_MAX];
    *fresh = (struct direction){.peer = entry->peer, .sent = entry->sent, .used = true, .skip = SIZE_MAX};
    if (entry->offset == 0)
        fresh->skip = 0;
    fresh->next = entry->offset;
    return fresh;
}

static enum record_about take_records(struct message_reader *reader) {
    const struct trace_entry *entry = reader->entry;
    enum record_about about = RECORDS_NONE;
    if (entry->transport == LINK_DTLS && entry->wire.len > 0) {
        reader->records = record_json_datagram(entry->wire, &about);
    } else if (entry->transport == LINK_TLS && entry->wire.len > 0) {
        struct direction *direction = direction_of(reader);
        if (direction->next != entry->offset)
            direction->skip = entry->offset == 0 ? 0 : SIZE_MAX;
        direction->next = entry->offset + (uint32_t)entry->wire.len;
        reader->records = record_json_stream(entry->wire, &direction->skip, &about);
    }
    if (entry->kind == TRACE_WIRE && reader->records != NULL) {
        json_decref(reader->chunk_records);
        reader->chunk = entry->id;
        reader->chunk_records = json_incref(reader->records);
    } else if (reader->records == NULL && entry->of != 0 && entry->of == reader->chunk) {
        reader->records = json_incref(reader->chunk_records);
    }
    return about;
}

bool message_reader_take(struct message_reader *reader, const struct trace_entry *entry, struct slice inner) {
    json_decref(reader->records);
    reader->entry = entry;
    reader->inner_bytes = inner;
    reader->is_message = reader->has_path = reader->has_inner = reader->is_partial = false;
    reader->error = NULL;
    reader->answers = 0;
    reader->records = NULL;
    if (entry->kind == TRACE_INNER || entry->kind == TRACE_SECRET)
        return false;
    enum record_about about = take_records(reader);
    if (entry->kind == TRACE_MESSAGE) {
        take_message(reader);
        return true;
    }
    if (about == RECORDS_HANDSHAKE)
        reader->kind = ENTRY_HANDSHAKE;
    else if (about == RECORDS_ALERT)
        reader->kind = ENTRY_ALERT;
    else
        reader->kind = entry->transport == LINK_DTLS && about == RECORDS_NONE ? ENTRY_MALFORMED : ENTRY_RECORD;
    return entry->transport == LINK_DTLS || about == RECORDS_HANDSHAKE || about == RECORDS_ALERT;
}

enum entry_kind message_reader_kind(const struct message_reader *reader) {
    return reader->kind;
}

/* ---- JSON ---- */

static void set(json_t *json, const char *name, json_t *value) {
    json_object_set_new(json, name, value);
}

static json_t *hex_json(struct slice bytes) {
    size_t cap = 2 * bytes.len + 1;
    uint8_t *memory = malloc(cap);
    if (memory == NULL)
        return json_null();
    struct buffer text = buffer_over(memory, cap);
    text_put_hex(&text, bytes);
    json_t *json = json_stringn((const char *)memory, text.len);
    free(memory);
    return json;
}

static bool is_text_option(uint16_t number) {
    return number == COAP_URI_HOST || number == COAP_LOCATION_PATH || number == COAP_URI_PATH ||
           number == COAP_URI_QUERY || number == COAP_LOCATION_QUERY || number == COAP_PROXY_URI ||
           number == COAP_PROXY_SCHEME;
}

static bool is_number_option(uint16_t number) {
    return number == COAP_OBSERVE || number == COAP_URI_PORT || number == COAP_CONTENT_FORMAT ||
           number == COAP_MAX_AGE || number == COAP_HOP_LIMIT || number == COAP_ACCEPT || number == COAP_SIZE1 ||
           number == COAP_SIZE2 || number == COAP_NO_RESPONSE;
}

static json_t *option_value_json(const struct coap_option *option) {
    uint32_t number = 0;
    for (size_t i = 0; i < option->value.len && i < 4; i++)
        number = number << 8 | option->value.data[i];
    if (is_text_option(option->number))
        return document_text(option->value);
    if (is_number_option(option->number) && option->value.len <= 4)
        return json_integer(number);
    if ((option->number == COAP_BLOCK1 || option->number == COAP_BLOCK2) && option->value.len <= 3) {
        json_t *block = json_object(); /* RFC 7959 §2.2 */
        set(block, "num", json_integer(number >> 4));
        set(block, "more", json_boolean((number & 8) != 0));
        set(block, "size", json_integer((json_int_t)coap_block_size(number & 7)));
        return block;
    }
    return hex_json(option->value);
}

static const char *code_name(uint8_t code) {
    static const char *const signals[] = {"", "CSM", "Ping", "Pong", "Release", "Abort"};
    if (code == COAP_EMPTY)
        return "Empty";
    if (coap_code_is_signal(code))
        return COAP_CODE_DETAIL(code) < sizeof signals / sizeof signals[0] ? signals[COAP_CODE_DETAIL(code)] : "";
    return coap_code_name(code);
}

static json_t *coap_json(const struct coap_message *message, enum link_framing framing) {
    static const char *const types[] = {"CON", "NON", "ACK", "RST"};
    json_t *json = json_object(), *options = json_array();
    bool is_signal = coap_code_is_signal(message->code);
    if (framing != LINK_STREAM_8323) {
        set(json, "type", json_string(types[message->type]));
        set(json, "mid", json_integer(message->mid));
    }
    set(json, "code", json_string(coap_code_text(message->code).text));
    set(json, "name", json_string(code_name(message->code)));
    set(json, "token", hex_json(message->token));
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        const char *name = is_signal ? "" : coap_option_name(option->number); /* signals have numbers of their own */
        json_t *one = json_object();
        set(one, "number", json_integer(option->number));
        if (name[0] != '\0')
            set(one, "name", json_string(name));
        set(one, "value", is_signal ? hex_json(option->value) : option_value_json(option));
        json_array_append_new(options, one);
    }
    set(json, "options", options);
    return json;
}

static enum senml_mode mode_of(enum entry_kind kind, bool is_request) {
    if (!is_request)
        return SENML_CONTENT;
    if (kind == ENTRY_READ_COMPOSITE || kind == ENTRY_OBSERVE_COMPOSITE)
        return SENML_FETCH;
    return kind == ENTRY_WRITE_COMPOSITE ? SENML_PATCH : SENML_CONTENT;
}

static json_t *values_json(const struct lwm2m_path *base, const struct lwm2m_nodes *nodes) {
    const struct value_json_options options = {.oddity = nodes->remark};
    size_t cap = value_json_size(nodes->nodes, nodes->count, &options) + 2;
    uint8_t *memory = malloc(cap);
    struct buffer out = buffer_over(memory, cap);
    if (memory == NULL)
        return NULL;
    value_json_put(&out, base, nodes->nodes, nodes->count, &options);
    buffer_put_str(&out, "}");
    json_t *json = out.overflow ? NULL : json_loadb((const char *)memory, out.len, 0, NULL);
    free(memory);
    return json;
}

/* The values in a payload; NULL: it has none that can be told, and then *why says it if it should have. */
static json_t *data_json(const struct message_reader *reader, const struct coap_message *message, int format,
                         json_t **why) {
    const struct registration *r = directory_find(reader->server->directory, reader->entry->endpoint);
    struct definitions definitions = definitions_of(reader->server, r);
    size_t len = message->payload.len, cap = len + 1 < NODES_MAX ? len + 1 : NODES_MAX;
    struct lwm2m_node *nodes = malloc(cap * sizeof *nodes);
    uint8_t *memory = malloc(2 * len + 64);
    struct buffer scratch = buffer_over(memory, 2 * len + 64);
    struct lwm2m_nodes list = lwm2m_nodes_over(nodes, cap);
    struct lwm2m_decode_context context = {
        .base = reader->path,
        .root = r == NULL ? SLICE_NONE : registration_root(r),
        .now_ms = (int64_t)reader->entry->time_ms,
        .mode = mode_of(reader->kind, coap_code_is_request(message->code)),
        .type_of = definition_type_of,
        .arg = &definitions,
    };
    json_t *json = NULL;
    bool decoded = nodes != NULL && memory != NULL && lwm2m_decode(format, message->payload, &context, &scratch, &list);
    if (!decoded && nodes != NULL && memory != NULL) {
        uint8_t text[LWM2M_FAULT_MAX];
        struct buffer fault = buffer_over(text, sizeof text);
        lwm2m_nodes_put_fault(&fault, &list);
        *why = document_text(buffer_slice(&fault));
        context.type_of = NULL; /* what the format tells, then */
        scratch.len = 0;
        scratch.overflow = false;
        decoded = lwm2m_decode(format, message->payload, &context, &scratch, &list);
    }
    if (decoded)
        json = values_json(&context.base, &list);
    free(nodes);
    free(memory);
    return json;
}

static bool is_readable(struct slice bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.data[i] < 0x20 && bytes.data[i] != '\t' && bytes.data[i] != '\r' && bytes.data[i] != '\n')
            return false;
    }
    return slice_is_utf8(bytes);
}

/* Whether payloads of this kind carry values. */
static bool has_values(enum entry_kind kind, const struct coap_message *message) {
    bool is_request = coap_code_is_request(message->code);
    switch (kind) {
    case ENTRY_READ:
    case ENTRY_BOOTSTRAP_READ:
    case ENTRY_OBSERVE:
    case ENTRY_CANCEL_OBSERVATION:
    case ENTRY_NOTIFY:
        return !is_request && COAP_CODE_CLASS(message->code) == 2;
    case ENTRY_BOOTSTRAP_PACK:
    case ENTRY_READ_COMPOSITE:
    case ENTRY_OBSERVE_COMPOSITE:
        return is_request || COAP_CODE_CLASS(message->code) == 2;
    case ENTRY_WRITE:
    case ENTRY_BOOTSTRAP_WRITE:
    case ENTRY_CREATE:
    case ENTRY_WRITE_COMPOSITE:
    case ENTRY_SEND:
        return is_request;
    default:
        return false;
    }
}

static json_t *payload_json(const struct message_reader *reader, const struct coap_message *message) {
    int number = coap_content_format(message);
    enum lwm2m_format format = lwm2m_format_of(number);
    json_t *json = json_object(), *why = NULL, *data = NULL;
    set(json, "bytes", json_integer((json_int_t)message->payload.len));
    if (number >= 0)
        set(json, "content_format", json_integer(number));
    if (format != LWM2M_FORMAT_NONE)
        set(json, "format", json_string(lwm2m_format_name(format)));
    if (format != LWM2M_FORMAT_NONE && format != LWM2M_FORMAT_LINK && !reader->is_partial &&
        has_values(reader->kind, message))
        data = data_json(reader, message, number, &why);
    if (why != NULL)
        set(json, "error", why);
    if (data != NULL)
        set(json, "data", data);
    else if (is_readable(message->payload))
        set(json, "text", document_text(message->payload));
    else
        set(json, "hex", hex_json(message->payload));
    return json;
}

static json_t *joined_json(const struct coap_message *message, uint16_t number, char separator, bool leads) {
    uint8_t memory[PATH_MAX_TEXT];
    struct buffer text = buffer_over(memory, sizeof memory);
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number != number)
            continue;
        if (leads || text.len > 0)
            buffer_put_u8(&text, (uint8_t)separator);
        buffer_put_slice(&text, message->options[i].value);
    }
    return text.len == 0 ? NULL : document_text(buffer_slice(&text));
}

static void put_message(json_t *json, const struct message_reader *reader, const struct coap_message *message,
                        enum link_framing framing) {
    set(json, "coap", coap_json(message, framing));
    if (message->payload.len > 0)
        set(json, "payload", payload_json(reader, message));
}

/* What it is about, also when a response does not say it. */
static void put_path(json_t *json, const struct message_reader *reader, const struct coap_message *message) {
    json_t *path = joined_json(message, COAP_URI_PATH, '/', true);
    json_t *query = joined_json(message, COAP_URI_QUERY, '&', false);
    if (path == NULL && reader->has_path && reader->answers != 0) {
        uint8_t memory[24];
        struct buffer text = buffer_over(memory, sizeof memory);
        lwm2m_path_put(&text, &reader->path);
        path = document_text(buffer_slice(&text));
    }
    if (path != NULL)
        set(json, "path", path);
    if (query != NULL)
        set(json, "query", query);
}

static void put_coap(json_t *json, struct message_reader *reader) {
    if (!reader->is_message)
        return;
    const struct coap_message *message = reader->has_inner ? &reader->inner : &reader->message;
    if (reader->answers != 0)
        set(json, "answers", json_integer((json_int_t)reader->answers));
    put_path(json, reader, message);
    if (reader->has_inner) {
        json_t *inner = json_object();
        put_message(inner, reader, &reader->inner, LINK_STREAM_8323); /* has neither type nor Message ID of its own */
        set(json, "coap", coap_json(&reader->message, (enum link_framing)reader->entry->framing));
        set(json, "inner", inner);
    } else {
        put_message(json, reader, &reader->message, (enum link_framing)reader->entry->framing);
    }
}

json_t *message_reader_json(struct message_reader *reader, bool raw) {
    const struct trace_entry *entry = reader->entry;
    const char *framing = link_framing_name((enum link_framing)entry->framing);
    json_t *json = json_object();
    set(json, "id", json_integer((json_int_t)entry->id));
    set(json, "ts", document_time(entry->time_ms));
    set(json, "endpoint", entry->endpoint.len > 0 ? document_text(entry->endpoint) : json_null());
    set(json, "direction", json_string(entry->sent ? "out" : "in"));
    set(json, "kind", json_string(entry_kind_name(reader->kind)));
    set(json, "transport", json_string(link_transport_name((enum link_transport)entry->transport)));
    if (framing != NULL && link_transport_connects((enum link_transport)entry->transport))
        set(json, "framing", json_string(framing));
    set(json, "peer", document_address(&entry->peer));
    set(json, "local", document_address(&entry->local));
    set(json, "bytes", json_integer(entry->size));
    if (reader->records != NULL && json_array_size(reader->records) > 0)
        set(json, "records", json_incref(reader->records));
    put_coap(json, reader);
    if (entry->sent && entry->transport == LINK_DTLS && entry->wire.len == 0) /* a fault has its datagram */
        set(json, "withheld", json_true());
    if (reader->error != NULL)
        set(json, "error", json_string(reader->error));
    if (raw && entry->kind == TRACE_MESSAGE)
        set(json, "message_hex", hex_json(entry->content));
    if (raw && entry->wire.len > 0)
        set(json, "wire_hex", hex_json(entry->wire));
    return json;
}

/* ---- life ---- */

struct message_reader *message_reader_new(const struct server *server) {
    struct message_reader *reader = calloc(1, sizeof *reader);
    if (reader != NULL)
        reader->server = server;
    return reader;
}

void message_reader_free(struct message_reader *reader) {
    json_decref(reader->records);
    json_decref(reader->chunk_records);
    free(reader);
}
