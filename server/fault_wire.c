#include "server/fault_wire.h"

#include <stdlib.h>

#include "common/coap/option.h"
#include "common/coap/stream.h"
#include "server/admission.h"
#include "server/dtls_service.h"
#include "server/fault.h"
#include "server/fault_effect.h"

enum { STALLED_MAX = 256, ENDPOINT_MAX = 256, SEGMENTS_MAX = 8, LOCATION_MAX = 256, DATAGRAM_MAX = 65536 };

/* Where a message comes from or goes to. */
struct way {
    struct link *link;         /* NULL: it is a datagram */
    struct listener *listener; /* of a datagram */
    struct address peer, local;
    bool is_out;
};

/* A message that is held back. It holds a reference to its link. */
struct held {
    struct timer timer;
    struct server *server;
    struct held *next;
    struct way way;
    uint64_t fault;
    bool is_overtaken; /* it goes once another has gone */
    size_t len;
    uint8_t bytes[];
};

struct fault_wire {
    struct message_memory memory;
    struct held *held; /* oldest first */
    size_t held_count, held_bytes;
    struct {
        uint64_t fault;
        struct link *link; /* a reference */
    } stalled[STALLED_MAX];
    size_t stalled_count;
    bool has_faults;
    uint8_t scratch[DATAGRAM_MAX]; /* a datagram on its way in, which is changed */
    uint8_t altered[COAP_STREAM_SENT_MAX + 64];
};

bool fault_wire_start(struct server *server) {
    server->fault_wire = calloc(1, sizeof *server->fault_wire);
    return server->fault_wire != NULL;
}

/* ---- passing on ---- */

static void pass(struct server *server, const struct way *way, struct slice bytes) {
    struct fault_wire *wire = server->fault_wire;
    if (way->link != NULL && way->is_out)
        link_send(way->link, bytes);
    else if (way->link != NULL)
        server_deliver(server, way->link, bytes);
    else if (way->is_out)
        dtls_service_send(server, way->listener, &way->peer, &way->local, bytes);
    else if (server->dtls != NULL && bytes.len <= sizeof wire->scratch) { /* its bytes are changed */
        memmove(wire->scratch, bytes.data, bytes.len);
        dtls_service_receive(server, way->listener, &way->peer, &way->local, wire->scratch, bytes.len);
    }
}

static bool same_way(const struct way *a, const struct way *b) {
    if (a->is_out != b->is_out || a->link != b->link)
        return false;
    return a->link != NULL || (a->listener == b->listener && address_equal(&a->peer, &b->peer));
}

/* ---- holding back ---- */

static void divert(void *arg, struct link *link, struct slice message);

static void attend(struct server *server) {
    const struct fault_wire *wire = server->fault_wire;
    server->provoked = wire->has_faults || wire->held != NULL;
    coap_endpoint_divert(server->coap, server->provoked ? divert : NULL, server);
}

void fault_wire_attend(struct server *server, bool has_faults) {
    server->fault_wire->has_faults = has_faults;
    attend(server);
}

static void free_held(struct held *held) {
    if (held->way.link != NULL)
        link_unref(held->way.link);
    free(held);
}

static void take_out(struct held *held) {
    struct fault_wire *wire = held->server->fault_wire;
    struct held **at = &wire->held;
    while (*at != held)
        at = &(*at)->next;
    *at = held->next;
    wire->held_count--;
    wire->held_bytes -= held->len;
    timer_cancel(&held->server->wheel, &held->timer);
}

static void let_pass(struct held *held) {
    struct server *server = held->server;
    take_out(held);
    clock_update(&server->clock);
    if (held->way.link == NULL || !held->way.link->closed)
        pass(server, &held->way, slice_of(held->bytes, held->len));
    free_held(held);
    attend(server);
}

static void on_held_long_enough(struct timer *timer, void *arg) {
    (void)arg;
    let_pass(TIMER_OWNER(timer, struct held, timer));
}

/* False: there is no room. */
static bool hold(struct server *server, const struct fault *fault, const struct way *way, struct slice bytes) {
    struct fault_wire *wire = server->fault_wire;
    if (wire->held_count >= FAULT_HELD_MAX || wire->held_bytes + bytes.len > FAULT_HELD_BYTES_MAX)
        return false;
    struct held *held = calloc(1, sizeof *held + bytes.len);
    if (held == NULL)
        return false;
    held->server = server;
    held->way = *way;
    held->fault = fault->id;
    held->len = bytes.len;
    held->is_overtaken = fault->order.what == FAULT_REORDER;
    memcpy(held->bytes, bytes.data, bytes.len);
    if (way->link != NULL)
        link_ref(way->link);
    struct held **last = &wire->held;
    while (*last != NULL)
        last = &(*last)->next;
    *last = held;
    wire->held_count++;
    wire->held_bytes += bytes.len;
    uint64_t by_ms = held->is_overtaken ? FAULT_REORDER_MS : fault->order.delay_ms;
    timer_schedule(&server->wheel, &held->timer, clock_now_ms(&server->clock) + by_ms, on_held_long_enough);
    return true;
}

/* Another one has gone this way: those that wait for it follow. */
static void let_overtaken_pass(struct server *server, const struct way *way) {
    for (;;) {
        struct held *held = server->fault_wire->held;
        while (held != NULL && !(held->is_overtaken && same_way(&held->way, way)))
            held = held->next;
        if (held == NULL)
            return;
        let_pass(held);
    }
}

void fault_wire_release(struct server *server, uint64_t fault) {
    for (;;) {
        struct held *held = server->fault_wire->held;
        while (held != NULL && held->fault != fault)
            held = held->next;
        if (held == NULL)
            return;
        let_pass(held);
    }
}

static void pass_and_follow(struct server *server, const struct way *way, struct slice bytes) {
    pass(server, way, bytes);
    if (server->fault_wire->held != NULL)
        let_overtaken_pass(server, way);
}

/* ---- half-open connections ---- */

void fault_wire_stall(struct server *server, uint64_t fault, struct link *link) {
    struct fault_wire *wire = server->fault_wire;
    struct link *carrier = link->base != NULL ? link->base : link;
    if (carrier->ops->close == NULL || carrier->closed || wire->stalled_count == STALLED_MAX)
        return;
    for (size_t i = 0; i < wire->stalled_count; i++) {
        if (wire->stalled[i].link == carrier)
            return;
    }
    wire->stalled[wire->stalled_count].fault = fault;
    wire->stalled[wire->stalled_count++].link = link_ref(carrier);
    stream_stall(carrier, true);
}

void fault_wire_let_go(struct server *server, uint64_t fault) {
    struct fault_wire *wire = server->fault_wire;
    for (size_t i = 0; i < wire->stalled_count;) {
        if (wire->stalled[i].fault != fault) {
            i++;
            continue;
        }
        struct link *link = wire->stalled[i].link;
        wire->stalled[i] = wire->stalled[--wire->stalled_count];
        stream_stall(link, false);
        link_unref(link);
    }
}

void fault_wire_stop(struct server *server) {
    struct fault_wire *wire = server->fault_wire;
    if (wire == NULL)
        return;
    while (wire->held != NULL) {
        struct held *held = wire->held;
        take_out(held);
        free_held(held);
    }
    while (wire->stalled_count > 0)
        link_unref(wire->stalled[--wire->stalled_count].link);
    server->provoked = false;
    if (server->coap != NULL)
        coap_endpoint_divert(server->coap, NULL, NULL);
    free(wire);
    server->fault_wire = NULL;
}

/* ---- changing bytes ---- */

static struct slice corrupt(struct fault *fault, struct slice bytes, uint8_t *out) {
    const struct fault_order *order = &fault->order;
    memcpy(out, bytes.data, bytes.len);
    uint64_t random = fault_random(fault);
    size_t at = order->has_amount ? order->amount : (size_t)(random >> 8) % bytes.len;
    if (at < bytes.len)
        out[at] ^= (uint8_t)(1 + (random & 0xff) % 255);
    return slice_of(out, bytes.len);
}

static bool decode(const struct link *link, struct slice bytes, struct coap_message *message) {
    enum coap_decode_result result =
        link->framing == LINK_STREAM_8323 ? coap_stream_decode(bytes, message) : coap_decode(bytes, message);
    return result == COAP_DECODE_OK || result == COAP_DECODE_EMPTY_TRAILING;
}

/* A message of ours with something wrong; as it is when that can't be. */
static struct slice rewrite(const struct fault_order *order, const struct link *link, struct slice bytes,
                            struct coap_message *message, struct buffer *out) {
    uint8_t token[COAP_TOKEN_MAX] = {0xff};
    switch (order->what) {
    case FAULT_WRONG_TOKEN:
        if (message->token.len > 0)
            memcpy(token, message->token.data, message->token.len);
        token[0] ^= 0x55;
        message->token = slice_of(token, message->token.len > 0 ? message->token.len : 1);
        break;
    case FAULT_WRONG_MID:
        message->mid ^= 0x5555;
        break;
    case FAULT_OPTION:
        coap_option_add(message, (uint16_t)order->amount, SLICE_NONE);
        break;
    default:
        message->code = order->code;
        break;
    }
    bool good = link->framing == LINK_STREAM_8323 ? coap_stream_encode(message, out) : coap_encode(message, out);
    return good ? buffer_slice(out) : bytes;
}

/* ---- whose it is ---- */

static void note(struct buffer *endpoint, struct slice name) {
    if (name.len > 0 && name.len <= endpoint->cap)
        buffer_put_slice(endpoint, name);
}

/* What ep= says. */
static void note_told(const struct coap_message *message, struct buffer *endpoint) {
    for (size_t i = 0; i < message->option_count; i++) {
        struct slice value = message->options[i].value;
        if (message->options[i].number == COAP_URI_QUERY && slice_starts_with(value, "ep=") && endpoint->len == 0)
            note(endpoint, slice_from(value, 3));
    }
}

static void note_location(const struct server *server, const struct link *link, const struct coap_message *message,
                          struct buffer *endpoint) {
    struct slice segments[SEGMENTS_MAX];
    uint8_t text[LOCATION_MAX];
    struct buffer location = buffer_over(text, sizeof text);
    size_t count = message_location(link->listener, message, segments, SEGMENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_put_u8(&location, '/');
        buffer_put_slice(&location, segments[i]);
    }
    struct registration *r =
        location.overflow ? NULL : directory_find_location(server->directory, buffer_slice(&location));
    if (r != NULL)
        note(endpoint, registration_endpoint(r));
}

static void note_owner(const struct server *server, const struct link *link, struct buffer *endpoint) {
    const struct registration *r = server_owner_of(server, link);
    for (const struct link *carried = link->carried; r == NULL && carried != NULL; carried = carried->next_carried)
        r = server_owner_of(server, carried);
    if (r != NULL)
        note(endpoint, registration_endpoint(r));
}

static void note_proven(const struct server *server, const struct link *link, struct buffer *endpoint) {
    struct slice name;
    if (link->identity != NULL && link->identity->security != LINK_NO_SECURITY &&
        admission_endpoint(server, link->identity, CREDENTIAL_EVERY_SERVICE, &name))
        note(endpoint, name);
}

/* The endpoint of a message, by what it says, whose registration it is about, who was last seen on the link, and who the
 * peer has proven to be. Empty: unknown. */
static void find_endpoint(const struct server *server, const struct link *link, const struct coap_message *message,
                          uint32_t kinds, bool is_out, struct buffer *endpoint) {
    if (!is_out && (kinds & MESSAGE_REQUEST) != 0) {
        if ((kinds & (MESSAGE_REGISTER | MESSAGE_BOOTSTRAP)) != 0)
            note_told(message, endpoint);
        else if ((kinds & (MESSAGE_UPDATE | MESSAGE_DEREGISTER)) != 0)
            note_location(server, link, message, endpoint);
        if (endpoint->len == 0 && (kinds & MESSAGE_REGISTER) != 0)
            note_proven(server, link, endpoint);
    }
    if (endpoint->len == 0)
        note_owner(server, link, endpoint);
    if (endpoint->len == 0)
        note_proven(server, link, endpoint);
}

/* ---- messages and datagrams ---- */

static const uint32_t on_bytes = FAULT_BIT(FAULT_DROP) | FAULT_BIT(FAULT_DELAY) | FAULT_BIT(FAULT_DUPLICATE) |
                                 FAULT_BIT(FAULT_CORRUPT) | FAULT_BIT(FAULT_TRUNCATE) | FAULT_BIT(FAULT_REORDER);
static const uint32_t on_arrival =
    FAULT_BIT(FAULT_RESET) | FAULT_BIT(FAULT_FORGET_SESSION) | FAULT_BIT(FAULT_FORGET_CID) |
    FAULT_BIT(FAULT_FORGET_REGISTRATION) | FAULT_BIT(FAULT_FORGET_OBSERVATIONS) | FAULT_BIT(FAULT_EXPIRE) |
    FAULT_BIT(FAULT_CLOSE_FIN) | FAULT_BIT(FAULT_CLOSE_RST) | FAULT_BIT(FAULT_CLOSE_NOTIFY);

/* What any bytes can suffer. */
static void suffer(struct server *server, struct fault *fault, const struct way *way, struct slice bytes) {
    const struct fault_order *order = &fault->order;
    switch (order->what) {
    case FAULT_DELAY:
    case FAULT_REORDER:
        if (!hold(server, fault, way, bytes))
            pass_and_follow(server, way, bytes);
        break;
    case FAULT_DUPLICATE: {
        uint32_t copies = order->amount; /* the fault may be gone after the first */
        for (uint32_t i = 0; i <= copies && (way->link == NULL || !way->link->closed); i++)
            pass_and_follow(server, way, bytes);
        break;
    }
    case FAULT_CORRUPT: {
        uint8_t *copy = bytes.len > 0 ? malloc(bytes.len) : NULL;
        if (copy != NULL)
            pass_and_follow(server, way, corrupt(fault, bytes, copy));
        free(copy);
        break;
    }
    case FAULT_TRUNCATE:
        pass_and_follow(server, way, slice_of(bytes.data, order->amount < bytes.len ? order->amount : bytes.len));
        break;
    default: /* dropped */
        break;
    }
}

static void message_passes(struct server *server, struct link *link, bool is_out, struct slice bytes) {
    struct fault_wire *wire = server->fault_wire;
    struct way way = {.link = link, .is_out = is_out};
    const struct remembered_message *answered;
    struct remembered_message *entry;
    struct coap_message message;
    uint8_t name[ENDPOINT_MAX];
    struct buffer endpoint = buffer_over(name, sizeof name);
    struct fault_subject subject = {.is_out = is_out};
    bool is_message = decode(link, bytes, &message);
    if (!is_message) {
        coap_message_init(&message, COAP_RST, COAP_EMPTY, 0, SLICE_NONE);
        subject.kinds = MESSAGE_OTHER;
        answered = NULL;
        entry = NULL;
    } else {
        subject.kinds = message_memory_judge(&wire->memory, link, is_out, &message, &answered, &entry);
    }
    find_endpoint(server, link, &message, subject.kinds, is_out, &endpoint);
    if (endpoint.len > 0)
        subject.endpoint_hash = fault_hash(server, buffer_slice(&endpoint));
    else if (answered != NULL)
        subject.endpoint_hash = answered->endpoint;
    if (entry != NULL)
        entry->endpoint = subject.endpoint_hash;

    bool has_mid = link->framing != LINK_STREAM_8323;
    bool is_empty = message.code == COAP_EMPTY;
    uint32_t whats = on_bytes | FAULT_BIT(FAULT_HALF_OPEN);
    if (!is_out)
        whats |=
            on_arrival &
            ~(has_mid && (subject.kinds & (MESSAGE_CON | MESSAGE_NON)) != 0 && !is_empty ? 0 : FAULT_BIT(FAULT_RESET));
    if (is_out && !is_empty)
        whats |= FAULT_BIT(FAULT_OPTION) | FAULT_BIT(FAULT_WRONG_TOKEN);
    if (is_out && has_mid)
        whats |= FAULT_BIT(FAULT_WRONG_MID);
    if ((subject.kinds & (MESSAGE_PING | MESSAGE_CONTINUE)) != 0)
        whats |= FAULT_BIT(FAULT_SILENCE);
    if (is_out && (subject.kinds & MESSAGE_CONTINUE) != 0)
        whats |= FAULT_BIT(FAULT_ANSWER);
    struct fault *fault = fault_pick(server, whats, &subject);
    if (fault == NULL) {
        pass_and_follow(server, &way, bytes);
        return;
    }
    fault_tell(server, fault, buffer_slice(&endpoint), &link->peer, subject.kinds, is_out);
    switch (fault->order.what) {
    case FAULT_RESET: {
        const uint8_t reset[4] = {1 << 6 | COAP_RST << 4, COAP_EMPTY, (uint8_t)(message.mid >> 8),
                                  (uint8_t)message.mid};
        link_send(link, slice_of(reset, sizeof reset));
        return;
    }
    case FAULT_OPTION:
    case FAULT_WRONG_TOKEN:
    case FAULT_WRONG_MID:
    case FAULT_ANSWER: {
        struct buffer out = buffer_over(wire->altered, sizeof wire->altered);
        pass_and_follow(server, &way, rewrite(&fault->order, link, bytes, &message, &out));
        return;
    }
    case FAULT_HALF_OPEN:
        if (!fault->has_ended)
            fault_wire_stall(server, fault->id, link);
        return;
    default:
        if ((FAULT_BIT(fault->order.what) & on_arrival) == 0)
            suffer(server, fault, &way, bytes);
        else if (fault_effect_on_message(server, fault, link, buffer_slice(&endpoint)))
            pass_and_follow(server, &way, bytes);
        return;
    }
}

void fault_wire_receive(struct server *server, struct link *link, struct slice message) {
    message_passes(server, link, false, message);
}

/* Sent by the endpoint. */
static void divert(void *arg, struct link *link, struct slice message) {
    struct server *server = arg;
    if (link->is_protected) /* its messages go over the link that carries it, and are seen there */
        link_send(link, message);
    else
        message_passes(server, link, true, message);
}

static void datagram_passes(struct server *server, const struct way *way, struct slice datagram) {
    struct fault_subject subject = {
        .kinds = message_datagram_kind(datagram), .peer = &way->peer, .is_out = way->is_out};
    struct fault *fault = subject.kinds == 0 ? NULL : fault_pick(server, on_bytes, &subject);
    if (fault == NULL) {
        pass_and_follow(server, way, datagram);
        return;
    }
    fault_tell(server, fault, SLICE_NONE, &way->peer, subject.kinds, way->is_out);
    suffer(server, fault, way, datagram);
}

static struct way datagram_way(struct listener *listener, const struct address *peer, const struct address *local,
                               bool is_out) {
    struct way way = {.listener = listener, .peer = *peer, .is_out = is_out};
    if (local != NULL)
        way.local = *local;
    return way;
}

void fault_wire_receive_datagram(struct server *server, struct listener *listener, const struct address *peer,
                                 const struct address *local, struct slice datagram) {
    struct way way = datagram_way(listener, peer, local, false);
    datagram_passes(server, &way, datagram);
}

int fault_wire_send_datagram(struct server *server, struct listener *listener, const struct address *peer,
                             const struct address *local, struct slice datagram) {
    struct way way = datagram_way(listener, peer, local, true);
    datagram_passes(server, &way, datagram);
    return 0;
}

/* ---- answers ---- */

static void answer(struct server *server, const struct coap_request *request, const struct fault_order *order) {
    struct coap_message response;
    struct coap_uint max_age;
    if (order->what == FAULT_SILENCE) {
        coap_respond_nothing(server->coap, request->exchange);
        return;
    }
    coap_message_init(&response, COAP_ACK, order->code, 0, SLICE_NONE);
    if (order->has_max_age)
        coap_option_add_uint(&response, COAP_MAX_AGE, order->max_age_s, &max_age);
    coap_respond(server->coap, request->exchange, &response);
}

bool fault_wire_answer(struct server *server, const struct coap_request *request) {
    uint8_t name[ENDPOINT_MAX];
    struct buffer endpoint = buffer_over(name, sizeof name);
    struct fault_subject subject = {.kinds = message_request_kind(request->link->listener, request->message)};
    if (subject.kinds == 0)
        return false;
    find_endpoint(server, request->link, request->message, subject.kinds | MESSAGE_REQUEST, false, &endpoint);
    if (endpoint.len > 0)
        subject.endpoint_hash = fault_hash(server, buffer_slice(&endpoint));
    struct fault *fault = fault_pick(server, FAULT_BIT(FAULT_ANSWER) | FAULT_BIT(FAULT_SILENCE), &subject);
    if (fault == NULL)
        return false;
    fault_tell(server, fault, buffer_slice(&endpoint), &request->link->peer, subject.kinds, false);
    answer(server, request, &fault->order);
    return true;
}
