#include "server/message_kind.h"

#include "common/coap/option.h"
#include "common/coap/signal.h"

enum { CONTENT_TYPE_CCS = 20, CONTENT_TYPE_ALERT, CONTENT_TYPE_HANDSHAKE, EPOCH_AT = 3 };

static const struct {
    const char *name;
    uint32_t kind;
} names[] = {
    /* What says most comes first. */
    {"continue", MESSAGE_CONTINUE},
    {"register", MESSAGE_REGISTER},
    {"update", MESSAGE_UPDATE},
    {"deregister", MESSAGE_DEREGISTER},
    {"bootstrap", MESSAGE_BOOTSTRAP},
    {"send", MESSAGE_SEND},
    {"notify", MESSAGE_NOTIFY},
    {"read", MESSAGE_READ},
    {"write", MESSAGE_WRITE},
    {"execute", MESSAGE_EXECUTE},
    {"create", MESSAGE_CREATE},
    {"delete", MESSAGE_DELETE},
    {"discover", MESSAGE_DISCOVER},
    {"observe", MESSAGE_OBSERVE},
    {"ping", MESSAGE_PING},
    {"request", MESSAGE_REQUEST},
    {"response", MESSAGE_RESPONSE},
    {"con", MESSAGE_CON},
    {"non", MESSAGE_NON},
    {"ack", MESSAGE_ACK},
    {"rst", MESSAGE_RST},
    {"handshake", MESSAGE_HANDSHAKE},
    {"record", MESSAGE_RECORD},
};

const char *message_kind_name(uint32_t kinds) {
    if (kinds == MESSAGE_ANY)
        return "any";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if ((kinds & names[i].kind) != 0)
            return names[i].name;
    }
    return "any";
}

bool message_kind_parse(struct slice name, uint32_t *kind) {
    *kind = MESSAGE_ANY;
    if (slice_is(name, "any"))
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_is(name, names[i].name)) {
            *kind = names[i].kind;
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

static size_t segments_of(const char *prefix) {
    size_t count = prefix[0] != '\0';
    for (; *prefix != '\0'; prefix++)
        count += *prefix == '/';
    return count;
}

/* A listening URI may have a path before /rd, which a device may leave out. The index of the option behind that of the
 * first segment that is `name`, 0 when there is none. */
static size_t behind(const struct listener *listener, const struct coap_message *request, const char *name) {
    size_t prefix = segments_of(listener->prefix), at = 0;
    for (size_t i = 0; i < request->option_count; i++) {
        if (request->options[i].number != COAP_URI_PATH)
            continue;
        if ((at == 0 || at == prefix) && slice_is(request->options[i].value, name))
            return i + 1;
        at++;
    }
    return 0;
}

size_t message_location(const struct listener *listener, const struct coap_message *request, struct slice *segments,
                        size_t max) {
    size_t at = behind(listener, request, "rd"), count = 0;
    for (size_t i = at; at > 0 && i < request->option_count && count < max; i++) {
        if (request->options[i].number == COAP_URI_PATH && request->options[i].value.len > 0)
            segments[count++] = request->options[i].value;
    }
    return count;
}

uint32_t message_request_kind(const struct listener *listener, const struct coap_message *request) {
    struct slice location;
    bool is_post = request->code == COAP_POST;
    if (behind(listener, request, "rd") > 0) {
        if (message_location(listener, request, &location, 1) == 0)
            return is_post ? MESSAGE_REGISTER : 0;
        if (is_post || request->code == COAP_PUT)
            return MESSAGE_UPDATE;
        return request->code == COAP_DELETE ? MESSAGE_DEREGISTER : 0;
    }
    if (is_post && behind(listener, request, "dp") > 0)
        return MESSAGE_SEND;
    bool is_bootstrap = is_post ? behind(listener, request, "bs") > 0
                                : request->code == COAP_GET && behind(listener, request, "bspack") > 0;
    return is_bootstrap ? MESSAGE_BOOTSTRAP : 0;
}

static bool is_id(struct slice segment) {
    uint64_t id;
    return slice_to_u64(segment, UINT16_MAX, &id);
}

/* Of ours, by method, options and how many ids its path has (Core 1.2 §6.3). */
static uint32_t kind_of_ours(const struct coap_message *request) {
    size_t ids = 0, segments = 0;
    bool is_finish = false;
    uint32_t accept = 0;
    for (size_t i = 0; i < request->option_count; i++) {
        if (request->options[i].number != COAP_URI_PATH)
            continue;
        is_finish = segments == 0 && slice_is(request->options[i].value, "bs");
        ids += is_id(request->options[i].value);
        segments++;
    }
    bool observes = coap_option_find(request, COAP_OBSERVE) != NULL;
    switch (request->code) {
    case COAP_GET:
        if (observes)
            return MESSAGE_OBSERVE;
        return coap_option_uint(request, COAP_ACCEPT, &accept) && accept == COAP_FORMAT_LINK ? MESSAGE_DISCOVER
                                                                                             : MESSAGE_READ;
    case COAP_FETCH:
        return observes ? MESSAGE_OBSERVE : MESSAGE_READ;
    case COAP_POST:
        if (is_finish && segments == 1)
            return MESSAGE_BOOTSTRAP;
        return ids == 1 ? MESSAGE_CREATE : ids == 2 ? MESSAGE_WRITE : MESSAGE_EXECUTE;
    case COAP_PUT:
    case COAP_PATCH:
    case COAP_IPATCH:
        return MESSAGE_WRITE;
    case COAP_DELETE:
        return MESSAGE_DELETE;
    default:
        return 0;
    }
}

/* ---- datagrams of DTLS (RFC 6347 §4.1) ---- */

uint32_t message_datagram_kind(struct slice datagram) {
    if (datagram.len <= EPOCH_AT + 1)
        return 0;
    switch (datagram.data[0]) {
    case CONTENT_TYPE_CCS:
    case CONTENT_TYPE_HANDSHAKE:
        return MESSAGE_HANDSHAKE;
    case CONTENT_TYPE_ALERT:
        return datagram.data[EPOCH_AT] == 0 && datagram.data[EPOCH_AT + 1] == 0 ? MESSAGE_HANDSHAKE : MESSAGE_RECORD;
    default:
        return MESSAGE_RECORD;
    }
}

/* ---- what answers what ---- */

static bool has_token(const struct remembered_message *entry, struct slice token) {
    return slice_equal(slice_of(entry->token, entry->token_len), token);
}

/* The newest message in the other direction that `message` may belong to: an ACK and a RST by Message ID, a response by its
 * token. */
static struct remembered_message *find_answered(struct message_memory *memory, const struct link *link, bool is_sent,
                                                const struct coap_message *message) {
    bool is_reliable = link->framing == LINK_STREAM_8323;
    bool by_mid = !is_reliable && (message->type == COAP_ACK || message->type == COAP_RST);
    for (size_t i = 1; i <= MESSAGES_REMEMBERED; i++) {
        struct remembered_message *entry =
            &memory->entries[(memory->next + MESSAGES_REMEMBERED - i) % MESSAGES_REMEMBERED];
        if (entry->link != link || entry->is_sent == is_sent)
            continue;
        if (by_mid ? entry->mid == message->mid
                   : (entry->kinds & (MESSAGE_REQUEST | MESSAGE_PING)) != 0 && has_token(entry, message->token))
            return entry;
    }
    return NULL;
}

static struct remembered_message *remember(struct message_memory *memory, const struct link *link, bool is_sent,
                                           const struct coap_message *message, uint32_t kinds) {
    struct remembered_message *entry = &memory->entries[memory->next];
    memory->next = (memory->next + 1) % MESSAGES_REMEMBERED;
    *entry = (struct remembered_message){.link = link,
                                         .kinds = kinds,
                                         .mid = message->mid,
                                         .token_len = (uint8_t)message->token.len,
                                         .is_sent = is_sent};
    if (message->token.len > 0)
        memcpy(entry->token, message->token.data, message->token.len);
    return entry;
}

static uint32_t type_of(const struct link *link, const struct coap_message *message) {
    return link->framing == LINK_STREAM_8323 ? 0 : 1u << message->type;
}

static uint32_t judge(struct message_memory *memory, const struct link *link, bool is_sent,
                      const struct coap_message *message, const struct remembered_message **answered,
                      struct remembered_message **entry) {
    uint32_t kinds = type_of(link, message);
    *answered = NULL;
    *entry = NULL;
    if (coap_code_is_request(message->code)) {
        kinds |= MESSAGE_REQUEST | (is_sent ? kind_of_ours(message) : message_request_kind(link->listener, message));
        *entry = remember(memory, link, is_sent, message, kinds);
        return kinds;
    }
    bool is_ping = message->code == COAP_7_02_PING ||
                   (message->code == COAP_EMPTY && message->type == COAP_CON && link->framing != LINK_STREAM_8323);
    if (is_ping) {
        *entry = remember(memory, link, is_sent, message, kinds | MESSAGE_PING);
        return kinds | MESSAGE_PING;
    }
    struct remembered_message *question = find_answered(memory, link, is_sent, message);
    *answered = question;
    const uint32_t meaning = ~(uint32_t)(MESSAGE_CON | MESSAGE_NON | MESSAGE_ACK | MESSAGE_RST | MESSAGE_REQUEST |
                                         MESSAGE_RESPONSE | MESSAGE_CONTINUE);
    if (!coap_code_is_response(message->code))
        return kinds | (question == NULL ? 0 : question->kinds & meaning);
    kinds |= MESSAGE_RESPONSE;
    bool observed = coap_option_find(message, COAP_OBSERVE) != NULL;
    /* The first answer to an Observe is its own, the later ones are notifications; so are those nobody has asked for. */
    bool is_notification = observed && (question == NULL || question->is_answered);
    if (is_notification)
        kinds |= MESSAGE_NOTIFY;
    else if (question != NULL)
        kinds |= question->kinds & meaning;
    if (message->code == COAP_2_31_CONTINUE)
        kinds |= MESSAGE_CONTINUE;
    uint64_t endpoint = question == NULL ? 0 : question->endpoint;
    if (question != NULL && !is_notification)
        question->is_answered = true;
    if ((kinds & (MESSAGE_CON | MESSAGE_NON)) != 0) { /* it may be acknowledged or reset: `question` goes on in it */
        *entry = remember(memory, link, is_sent, message, kinds);
        (*entry)->endpoint = endpoint;
    }
    return kinds;
}

uint32_t message_memory_judge(struct message_memory *memory, const struct link *link, bool is_sent,
                              const struct coap_message *message, const struct remembered_message **answered,
                              struct remembered_message **entry) {
    uint32_t kinds = judge(memory, link, is_sent, message, answered, entry);
    return kinds == 0 ? MESSAGE_OTHER : kinds;
}
