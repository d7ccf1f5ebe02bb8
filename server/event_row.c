#include "server/event_row.h"

#include "server/queue.h"

/* u8 type, u8 marks, u8 code, u64 time, u32 lifetime; the address; five texts behind u16 lengths; what the marks say. */
enum {
    HAS_NODE = 1,
    HAS_NODE_TIME = 2,
    HAS_OBSERVATION = 4,
    HAS_SEQUENCE = 8,
    IS_STALE = 16,
    IS_CONFIRMABLE = 32,
    HAS_REQUEST = 64,
};

enum {
    HEAD_BYTES = 15,
    TEXT_COUNT = 5,
    ADDRESS_HEAD_BYTES = 7, /* before the IP: u8 family, u16 port, u32 scope; of none the family alone */
    OBSERVATION_BYTES = 12,
    REQUEST_BYTES = 11,
    SCALAR_BYTES = 8,
    IPV4_BYTES = 4,
    IPV6_BYTES = 16,
};

static size_t ip_bytes(uint16_t family) {
    return family == ADDRESS_IPV4 ? IPV4_BYTES : family == ADDRESS_IPV6 ? IPV6_BYTES : 0;
}

/* ---- putting ---- */

static size_t size_of_node(const struct lwm2m_node *node) {
    size_t size = 1 + node->path.len * 2u + (node->has_time ? 8 : 0) + 1;
    if (node->value.type == LWM2M_NONE)
        return size;
    return size + (lwm2m_type_has_bytes(node->value.type) ? 4 + node->value.bytes.len : SCALAR_BYTES);
}

size_t event_row_size(const struct event *event) {
    size_t ip = ip_bytes(event->address.family);
    return HEAD_BYTES + (ip > 0 ? ADDRESS_HEAD_BYTES + ip : 1) + TEXT_COUNT * 2 + event->endpoint.len +
           event->location.len + event->previous.len + event->detail.len + event->facts.len +
           (event->observation != 0 ? OBSERVATION_BYTES : 0) + (event->has_node ? size_of_node(&event->node) : 0) +
           (event->request.id > 0 ? REQUEST_BYTES : 0);
}

static void put_text(struct buffer *out, struct slice text) {
    buffer_put_u16(out, (uint16_t)text.len);
    buffer_put_slice(out, text);
}

static void put_address(struct buffer *out, const struct address *address) {
    size_t ip = ip_bytes(address->family);
    buffer_put_u8(out, ip > 0 ? (uint8_t)address->family : ADDRESS_NONE);
    if (ip == 0)
        return;
    buffer_put_u16(out, address->port);
    buffer_put_u32(out, address->scope);
    buffer_put(out, address->ip, ip);
}

static void put_node(struct buffer *out, const struct lwm2m_node *node) {
    buffer_put_u8(out, node->path.len);
    for (size_t i = 0; i < node->path.len; i++)
        buffer_put_u16(out, node->path.ids[i]);
    if (node->has_time)
        buffer_put_u64(out, (uint64_t)node->time_ms);
    buffer_put_u8(out, (uint8_t)node->value.type);
    if (lwm2m_type_has_bytes(node->value.type)) {
        buffer_put_u32(out, (uint32_t)node->value.bytes.len);
        buffer_put_slice(out, node->value.bytes);
    } else if (node->value.type != LWM2M_NONE) {
        buffer_put_u64(out, lwm2m_value_bits(&node->value));
    }
}

static uint8_t marks_of(const struct event *event) {
    unsigned marks = 0;
    if (event->has_node)
        marks |= HAS_NODE | (event->node.has_time ? HAS_NODE_TIME : 0u);
    if (event->observation != 0)
        marks |= HAS_OBSERVATION | (event->has_sequence ? HAS_SEQUENCE : 0u) | (event->is_stale ? IS_STALE : 0u) |
                 (event->is_confirmable ? IS_CONFIRMABLE : 0u);
    if (event->request.id > 0)
        marks |= HAS_REQUEST;
    return (uint8_t)marks;
}

void event_row_put(struct buffer *out, const struct event *event) {
    buffer_put_u8(out, (uint8_t)event->type);
    buffer_put_u8(out, marks_of(event));
    buffer_put_u8(out, event->coap_code);
    buffer_put_u64(out, event->ts_ms);
    buffer_put_u32(out, event->lifetime_s);
    put_address(out, &event->address);
    put_text(out, event->endpoint);
    put_text(out, event->location);
    put_text(out, event->previous);
    put_text(out, event->detail);
    put_text(out, event->facts);
    if (event->observation != 0) {
        buffer_put_u64(out, event->observation);
        buffer_put_u32(out, event->sequence);
    }
    if (event->has_node)
        put_node(out, &event->node);
    if (event->request.id > 0) {
        buffer_put_u64(out, event->request.id);
        buffer_put_u16(out, event->request.status);
        buffer_put_u8(out, event->request.state);
    }
}

/* ---- taking ---- */

static bool take(struct slice *from, size_t len, struct slice *out) {
    if (from->len < len)
        return false;
    *out = slice_of(from->data, len);
    *from = slice_from(*from, len);
    return true;
}

static bool take_number(struct slice *from, size_t width, uint64_t *out) {
    struct slice bytes;
    if (!take(from, width, &bytes))
        return false;
    *out = slice_number(bytes);
    return true;
}

static bool take_text(struct slice *from, size_t width, struct slice *out) {
    uint64_t len;
    return take_number(from, width, &len) && take(from, (size_t)len, out);
}

static bool take_address(struct slice *from, struct address *address) {
    uint64_t family, port, scope;
    struct slice ip;
    *address = (struct address){.family = ADDRESS_NONE};
    if (!take_number(from, 1, &family))
        return false;
    if (family == ADDRESS_NONE)
        return true;
    size_t len = ip_bytes((uint16_t)family);
    if (len == 0 || !take_number(from, 2, &port) || !take_number(from, 4, &scope) || !take(from, len, &ip))
        return false;
    *address = (struct address){.family = (uint16_t)family, .port = (uint16_t)port, .scope = (uint32_t)scope};
    memcpy(address->ip, ip.data, len);
    return true;
}

static bool take_path(struct slice *from, struct lwm2m_path *path) {
    uint64_t len, id;
    if (!take_number(from, 1, &len) || len > LWM2M_PATH_IDS)
        return false;
    *path = (struct lwm2m_path){.len = (uint8_t)len};
    for (size_t i = 0; i < len; i++) {
        if (!take_number(from, 2, &id))
            return false;
        path->ids[i] = (uint16_t)id;
    }
    return true;
}

static bool take_value(struct slice *from, struct lwm2m_value *value) {
    uint64_t type, bits;
    if (!take_number(from, 1, &type) || type > LWM2M_RAW)
        return false;
    *value = (struct lwm2m_value){.type = (enum lwm2m_type)type};
    if (value->type == LWM2M_NONE)
        return true;
    if (lwm2m_type_has_bytes(value->type))
        return take_text(from, 4, &value->bytes);
    if (!take_number(from, SCALAR_BYTES, &bits))
        return false;
    lwm2m_value_set_bits(value, bits);
    return true;
}

static bool take_node(struct slice *from, bool has_time, struct lwm2m_node *node) {
    uint64_t time_ms = 0;
    *node = (struct lwm2m_node){.has_time = has_time};
    if (!take_path(from, &node->path) || (has_time && !take_number(from, 8, &time_ms)))
        return false;
    node->time_ms = (int64_t)time_ms;
    return take_value(from, &node->value);
}

static bool take_request(struct slice *from, struct event_request *request) {
    uint64_t status, state;
    if (!take_number(from, 8, &request->id) || !take_number(from, 2, &status) || !take_number(from, 1, &state) ||
        request->id == 0 || state > QUEUE_ENDED)
        return false;
    request->status = (uint16_t)status;
    request->state = (uint8_t)state;
    return true;
}

/* All of them are ones that can be shown. */
static bool are_facts(struct slice facts) {
    enum event_fact fact;
    struct slice text;
    while (event_fact_next(&facts, &fact, &text))
        continue;
    return facts.len == 0;
}

bool event_row_take(struct slice *rows, struct event *event) {
    uint64_t type, marks, code, ts_ms, lifetime_s, sequence = 0;
    struct slice rest = *rows;
    if (!take_number(&rest, 1, &type) || type >= EVENT_TYPE_COUNT || !take_number(&rest, 1, &marks) ||
        !take_number(&rest, 1, &code) || !take_number(&rest, 8, &ts_ms) || !take_number(&rest, 4, &lifetime_s))
        return false;
    *event = (struct event){.ts_ms = ts_ms,
                            .type = (enum event_type)type,
                            .coap_code = (uint8_t)code,
                            .lifetime_s = (uint32_t)lifetime_s,
                            .has_node = (marks & HAS_NODE) != 0};
    if (!take_address(&rest, &event->address) || !take_text(&rest, 2, &event->endpoint) ||
        !take_text(&rest, 2, &event->location) || !take_text(&rest, 2, &event->previous) ||
        !take_text(&rest, 2, &event->detail) || !take_text(&rest, 2, &event->facts) || !are_facts(event->facts))
        return false;
    if ((marks & HAS_OBSERVATION) != 0) {
        if (!take_number(&rest, 8, &event->observation) || !take_number(&rest, 4, &sequence) || event->observation == 0)
            return false;
        event->sequence = (uint32_t)sequence;
        event->has_sequence = (marks & HAS_SEQUENCE) != 0;
        event->is_stale = (marks & IS_STALE) != 0;
        event->is_confirmable = (marks & IS_CONFIRMABLE) != 0;
    }
    if (event->has_node && !take_node(&rest, (marks & HAS_NODE_TIME) != 0, &event->node))
        return false;
    if ((marks & HAS_REQUEST) != 0 && !take_request(&rest, &event->request))
        return false;
    *rows = rest;
    return true;
}
