#include "common/net/capture.h"

#include <stdlib.h>

#include "common/base/hash.h"

enum {
    BLOCK_SECTION = 0x0a0d0d0a,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET = 6,
    BLOCK_SECRETS = 10,
    BYTE_ORDER_MAGIC = 0x1a2b3c4d,
    SECRETS_TLS = 0x544c534b,
    LINKTYPE_RAW = 101,
    OPTION_END = 0,
    OPTION_COMMENT = 1,
    OPTION_APPLICATION = 4, /* of a section: shb_userappl */
    OPTION_RESOLUTION = 9,  /* of an interface: if_tsresol */
    OPTION_FLAGS = 2,       /* of a packet: epb_flags */
    RESOLUTION_MS = 3,
    INBOUND = 1,
    OUTBOUND = 2,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    HEADERS_MAX = 40 + 20,
    SEGMENT_MAX = 32768,
    REMARK_MAX = 256,
    SYN = 2,
    PUSH = 8,
    ACK = 16,
};

/* A connection: how many bytes have gone each way. */
struct connection {
    struct address peer, local;
    uint32_t next[2]; /* by direction: [1] sent by us; sequence number of the next byte, less the SYN's */
    bool used;
};

struct capture {
    uint8_t *data;
    size_t len, cap;
    bool failed;
    struct hash_key key;
    struct connection *connections; /* open addressing */
    size_t connection_count, connection_cap;
};

/* ---- memory ---- */

/* Room for `len` more bytes; what was there may be secret, so it is not left behind. NULL when there is none. */
static uint8_t *take(struct capture *capture, size_t len) {
    if (capture->failed)
        return NULL;
    if (len > capture->cap - capture->len) {
        size_t cap = capture->cap == 0 ? 16384 : capture->cap;
        while (cap - capture->len < len)
            cap *= 2;
        uint8_t *grown = malloc(cap);
        if (grown == NULL) {
            capture->failed = true;
            return NULL;
        }
        if (capture->len > 0) {
            memcpy(grown, capture->data, capture->len);
            explicit_bzero(capture->data, capture->len);
        }
        free(capture->data);
        capture->data = grown;
        capture->cap = cap;
    }
    uint8_t *at = capture->data + capture->len;
    capture->len += len;
    return at;
}

static void put(struct capture *capture, const void *bytes, size_t len) {
    uint8_t *at = take(capture, len);
    if (at != NULL && len > 0)
        memcpy(at, bytes, len);
}

/* Blocks have our byte order, which the section says. */
static void put_u32(struct capture *capture, uint32_t value) {
    put(capture, &value, sizeof value);
}

static void put_u16(struct capture *capture, uint16_t value) {
    put(capture, &value, sizeof value);
}

static void pad(struct capture *capture, size_t len) {
    static const uint8_t zeros[4];
    put(capture, zeros, (4 - len % 4) % 4);
}

/* ---- blocks ---- */

static size_t begin_block(struct capture *capture, uint32_t type) {
    size_t at = capture->len;
    put_u32(capture, type);
    put_u32(capture, 0); /* its length, known at the end */
    return at;
}

static void end_block(struct capture *capture, size_t at) {
    uint32_t len = (uint32_t)(capture->len - at + 4);
    put_u32(capture, len);
    if (!capture->failed)
        memcpy(capture->data + at + 4, &len, sizeof len);
}

static void put_option(struct capture *capture, uint16_t code, const void *value, size_t len) {
    put_u16(capture, code);
    put_u16(capture, (uint16_t)len);
    put(capture, value, len);
    pad(capture, len);
}

static void put_section(struct capture *capture, const char *application) {
    size_t at = begin_block(capture, BLOCK_SECTION);
    put_u32(capture, BYTE_ORDER_MAGIC);
    put_u16(capture, 1);
    put_u16(capture, 0);
    put_u32(capture, UINT32_MAX); /* of unknown length, 64 bits */
    put_u32(capture, UINT32_MAX);
    put_option(capture, OPTION_APPLICATION, application, strlen(application));
    put_option(capture, OPTION_END, NULL, 0);
    end_block(capture, at);
}

static void put_interface(struct capture *capture) {
    static const uint8_t resolution = RESOLUTION_MS;
    size_t at = begin_block(capture, BLOCK_INTERFACE);
    put_u16(capture, LINKTYPE_RAW);
    put_u16(capture, 0);
    put_u32(capture, 0); /* nothing is cut off */
    put_option(capture, OPTION_RESOLUTION, &resolution, 1);
    put_option(capture, OPTION_END, NULL, 0);
    end_block(capture, at);
}

void capture_add_secrets(struct capture *capture, struct slice lines) {
    if (lines.len == 0)
        return;
    size_t at = begin_block(capture, BLOCK_SECRETS);
    put_u32(capture, SECRETS_TLS);
    put_u32(capture, (uint32_t)lines.len);
    put(capture, lines.data, lines.len);
    pad(capture, lines.len);
    end_block(capture, at);
}

static void put_packet(struct capture *capture, const struct capture_packet *packet, bool sent, struct slice headers,
                       struct slice content) {
    size_t len = headers.len + content.len;
    uint32_t flags = sent ? OUTBOUND : INBOUND;
    size_t remark = packet->remark.len < REMARK_MAX ? packet->remark.len : REMARK_MAX;
    size_t at = begin_block(capture, BLOCK_PACKET);
    put_u32(capture, 0); /* the interface */
    put_u32(capture, (uint32_t)(packet->time_ms >> 32));
    put_u32(capture, (uint32_t)packet->time_ms);
    put_u32(capture, (uint32_t)len);
    put_u32(capture, (uint32_t)len);
    put(capture, headers.data, headers.len);
    put(capture, content.data, content.len);
    pad(capture, len);
    put_option(capture, OPTION_FLAGS, &flags, sizeof flags);
    if (remark > 0)
        put_option(capture, OPTION_COMMENT, packet->remark.data, remark);
    put_option(capture, OPTION_END, NULL, 0);
    end_block(capture, at);
}

/* ---- packets ---- */

/* RFC 1071; `sum` is what was added before, of an even number of bytes. */
static uint32_t add_up(uint32_t sum, struct slice bytes) {
    for (size_t i = 0; i + 1 < bytes.len; i += 2)
        sum += (uint32_t)bytes.data[i] << 8 | bytes.data[i + 1];
    if (bytes.len % 2 == 1)
        sum += (uint32_t)bytes.data[bytes.len - 1] << 8;
    return (sum & 0xffff) + (sum >> 16);
}

static uint16_t checksum_of(uint32_t sum) {
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static size_t ip_len(const struct address *address) {
    return address->family == ADDRESS_IPV4 ? 4 : 16;
}

static void put_ip(struct buffer *out, const struct address *from, const struct address *to, uint8_t protocol,
                   size_t payload) {
    if (from->family == ADDRESS_IPV6) { /* RFC 8200 §3 */
        buffer_put_u32(out, 6u << 28);
        buffer_put_u16(out, (uint16_t)payload);
        buffer_put_u8(out, protocol);
        buffer_put_u8(out, 64);
    } else { /* RFC 791 §3.1 */
        buffer_put_u16(out, 0x4500);
        buffer_put_u16(out, (uint16_t)(20 + payload));
        buffer_put_u32(out, 0x4000); /* don't fragment */
        buffer_put_u8(out, 64);
        buffer_put_u8(out, protocol);
        buffer_put_u16(out, 0); /* checksum */
    }
    buffer_put(out, from->ip, ip_len(from));
    buffer_put(out, to->ip, ip_len(to));
    if (from->family == ADDRESS_IPV4) {
        uint16_t sum = checksum_of(add_up(0, buffer_slice(out)));
        out->data[10] = (uint8_t)(sum >> 8);
        out->data[11] = (uint8_t)sum;
    }
}

/* Of the transport's header, which begins at `at`, and the content (RFC 768, RFC 9293 §3.1, RFC 8200 §8.1). */
static void set_checksum(struct buffer *headers, size_t at, size_t field, const struct address *from,
                         const struct address *to, uint8_t protocol, struct slice content) {
    size_t len = headers->len - at + content.len;
    uint32_t sum = add_up((uint32_t)(protocol + len), slice_of(from->ip, ip_len(from)));
    sum = add_up(sum, slice_of(to->ip, ip_len(to)));
    sum = add_up(sum, slice_of(headers->data + at, headers->len - at));
    uint16_t value = checksum_of(add_up(sum, content));
    if (value == 0 && protocol == PROTOCOL_UDP)
        value = UINT16_MAX;
    headers->data[at + field] = (uint8_t)(value >> 8);
    headers->data[at + field + 1] = (uint8_t)value;
}

static void add_datagram(struct capture *capture, const struct capture_packet *packet) {
    const struct address *from = packet->sent ? &packet->local : &packet->peer;
    const struct address *to = packet->sent ? &packet->peer : &packet->local;
    uint8_t memory[HEADERS_MAX];
    struct buffer headers = buffer_over(memory, sizeof memory);
    put_ip(&headers, from, to, PROTOCOL_UDP, 8 + packet->bytes.len);
    size_t at = headers.len;
    buffer_put_u16(&headers, from->port);
    buffer_put_u16(&headers, to->port);
    buffer_put_u16(&headers, (uint16_t)(8 + packet->bytes.len));
    buffer_put_u16(&headers, 0);
    set_checksum(&headers, at, 6, from, to, PROTOCOL_UDP, packet->bytes);
    put_packet(capture, packet, packet->sent, buffer_slice(&headers), packet->bytes);
}

static void add_segment(struct capture *capture, const struct capture_packet *packet, bool sent, uint8_t flags,
                        uint32_t sequence, uint32_t acknowledged, struct slice bytes) {
    const struct address *from = sent ? &packet->local : &packet->peer;
    const struct address *to = sent ? &packet->peer : &packet->local;
    uint8_t memory[HEADERS_MAX];
    struct buffer headers = buffer_over(memory, sizeof memory);
    put_ip(&headers, from, to, PROTOCOL_TCP, 20 + bytes.len);
    size_t at = headers.len;
    buffer_put_u16(&headers, from->port);
    buffer_put_u16(&headers, to->port);
    buffer_put_u32(&headers, sequence);
    buffer_put_u32(&headers, acknowledged);
    buffer_put_u8(&headers, 5 << 4); /* words */
    buffer_put_u8(&headers, flags);
    buffer_put_u16(&headers, UINT16_MAX); /* window */
    buffer_put_u32(&headers, 0);          /* checksum, urgent pointer */
    set_checksum(&headers, at, 16, from, to, PROTOCOL_TCP, bytes);
    put_packet(capture, packet, sent, buffer_slice(&headers), bytes);
}

static bool grow_connections(struct capture *capture);

/* The connection's entry, made when there is none; NULL when out of memory. */
static struct connection *connection_of(struct capture *capture, const struct capture_packet *packet, bool *is_new) {
    struct address ends[2] = {packet->peer, packet->local};
    *is_new = false;
    if (capture->connection_count * 2 >= capture->connection_cap && !grow_connections(capture))
        return NULL;
    size_t mask = capture->connection_cap - 1;
    for (size_t at = hash_siphash(&capture->key, ends, sizeof ends) & mask;; at = (at + 1) & mask) {
        struct connection *connection = &capture->connections[at];
        if (connection->used && address_equal(&connection->peer, &ends[0]) &&
            address_equal(&connection->local, &ends[1]))
            return connection;
        if (!connection->used) {
            *is_new = true;
            *connection = (struct connection){.peer = ends[0], .local = ends[1], .used = true};
            capture->connection_count++;
            return connection;
        }
    }
}

static bool grow_connections(struct capture *capture) {
    size_t cap = capture->connection_cap == 0 ? 16 : capture->connection_cap * 2;
    struct connection *fresh = calloc(cap, sizeof *fresh);
    capture->failed = capture->failed || fresh == NULL;
    if (fresh == NULL)
        return false;
    for (size_t i = 0; i < capture->connection_cap; i++) {
        const struct connection *old = &capture->connections[i];
        struct address ends[2] = {old->peer, old->local};
        size_t at = hash_siphash(&capture->key, ends, sizeof ends) & (cap - 1);
        while (old->used && fresh[at].used)
            at = (at + 1) & (cap - 1);
        if (old->used)
            fresh[at] = *old;
    }
    free(capture->connections);
    capture->connections = fresh;
    capture->connection_cap = cap;
    return true;
}

static void add_bytes(struct capture *capture, const struct capture_packet *packet) {
    bool is_new;
    struct connection *connection = connection_of(capture, packet, &is_new);
    struct slice rest = packet->bytes;
    if (connection == NULL)
        return;
    /* An address may be used again: bytes that begin at 0 once more are of another connection. */
    bool begins = packet->has_offset ? packet->offset == 0 && (is_new || connection->next[packet->sent] > 0) : is_new;
    if (begins) {
        connection->next[0] = connection->next[1] = 0;
        add_segment(capture, packet, false, SYN, 0, 0, SLICE_NONE);
        add_segment(capture, packet, true, SYN | ACK, 0, 1, SLICE_NONE);
        add_segment(capture, packet, false, ACK, 1, 1, SLICE_NONE);
    }
    if (packet->has_offset)
        connection->next[packet->sent] = packet->offset;
    while (rest.len > 0) {
        struct slice part = slice_of(rest.data, rest.len < SEGMENT_MAX ? rest.len : SEGMENT_MAX);
        add_segment(capture, packet, packet->sent, PUSH | ACK, 1 + connection->next[packet->sent],
                    1 + connection->next[!packet->sent], part);
        connection->next[packet->sent] += (uint32_t)part.len;
        rest = slice_from(rest, part.len);
    }
}

void capture_add(struct capture *capture, const struct capture_packet *packet) {
    bool fits = packet->is_stream || packet->bytes.len <= 65507;
    if (!fits || packet->peer.family != packet->local.family || packet->peer.family == ADDRESS_NONE)
        return;
    if (packet->is_stream)
        add_bytes(capture, packet);
    else
        add_datagram(capture, packet);
}

/* ---- life ---- */

struct capture *capture_new(const char *application) {
    struct capture *capture = calloc(1, sizeof *capture);
    if (capture == NULL)
        return NULL;
    capture->key = hash_key_random();
    put_section(capture, application);
    put_interface(capture);
    return capture;
}

struct slice capture_bytes(const struct capture *capture) {
    return capture->failed ? SLICE_NONE : slice_of(capture->data, capture->len);
}

void capture_free(struct capture *capture) {
    if (capture->data != NULL)
        explicit_bzero(capture->data, capture->len);
    free(capture->data);
    free(capture->connections);
    free(capture);
}
