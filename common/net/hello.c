#include "common/net/hello.h"

#include "common/net/record.h"

enum {
    HANDSHAKE_HEADER = 12,
    CLIENT_HELLO = 1,
    HELLO_VERIFY_REQUEST = 3,
    TLS_RECORD_HEADER = 5,
    TLS_1_3 = 0x0304,
    EXTENSION_SERVER_NAME = 0,
    EXTENSION_SUPPORTED_VERSIONS = 43,
    EXTENSION_CID = 54,
    EXTENSION_DRAFT_CID = 254,
};

/* ---- reading, with a bound in sight ---- */

static bool take(struct slice *from, size_t len, struct slice *out) {
    if (from->len < len)
        return false;
    *out = slice_of(from->data, len);
    *from = slice_from(*from, len);
    return true;
}

static bool take_number(struct slice *from, size_t width, uint32_t *out) {
    struct slice bytes;
    if (!take(from, width, &bytes))
        return false;
    *out = (uint32_t)slice_number(bytes);
    return true;
}

/* A vector whose length stands before it in `width` bytes. */
static bool take_vector(struct slice *from, size_t width, struct slice *out) {
    uint32_t len;
    return take_number(from, width, &len) && take(from, len, out);
}

bool hello_read_fragment(struct slice datagram, struct hello_fragment *fragment) {
    struct record_header record;
    if (!record_read_header(datagram, 0, &record) || record.type != RECORD_HANDSHAKE || record.epoch != 0 ||
        record.version >> 8 != 0xfe)
        return false;
    struct slice rest = slice_of(datagram.data + record.header_len, record.len);
    uint32_t type, message_seq, len;
    *fragment = (struct hello_fragment){.record_number = record.number};
    if (!take_number(&rest, 1, &type) || type != CLIENT_HELLO || !take_number(&rest, 3, &fragment->message_len) ||
        !take_number(&rest, 2, &message_seq) || !take_number(&rest, 3, &fragment->offset) ||
        !take_number(&rest, 3, &len) || !take(&rest, len, &fragment->bytes))
        return false;
    fragment->message_seq = (uint16_t)message_seq;
    return fragment->offset <= fragment->message_len && len <= fragment->message_len - fragment->offset && len > 0;
}

/* RFC 6066 §3: a list, of which the first host name counts. */
static bool read_server_name(struct slice data, struct slice *name) {
    struct slice list, host;
    if (!take_vector(&data, 2, &list) || data.len > 0)
        return false;
    while (list.len > 0) {
        uint32_t type;
        if (!take_number(&list, 1, &type) || !take_vector(&list, 2, &host))
            return false;
        if (type == 0 && name->len == 0)
            *name = host;
    }
    return true;
}

static bool read_extensions(struct slice rest, struct client_hello *hello) {
    while (rest.len > 0) {
        uint32_t type;
        struct slice data;
        if (!take_number(&rest, 2, &type) || !take_vector(&rest, 2, &data))
            return false;
        if (type == EXTENSION_CID)
            hello->has_cid = true;
        if (type == EXTENSION_DRAFT_CID)
            hello->has_draft_cid = true;
        if (type == EXTENSION_CID || type == EXTENSION_DRAFT_CID) {
            struct slice cid;
            if (!take_vector(&data, 1, &cid) || data.len > 0)
                return false;
            hello->cid_len = cid.len > hello->cid_len ? (uint8_t)cid.len : hello->cid_len;
        }
        if (type == EXTENSION_SERVER_NAME && !read_server_name(data, &hello->server_name))
            return false;
    }
    return true;
}

bool hello_read(struct slice body, bool whole, struct client_hello *hello) {
    uint32_t version;
    *hello = (struct client_hello){.version = 0};
    if (!take_number(&body, 2, &version) || version >> 8 != 0xfe || !take(&body, 32, &hello->random) ||
        !take_vector(&body, 1, &hello->session_id) || hello->session_id.len > 32 ||
        !take_vector(&body, 1, &hello->cookie))
        return false;
    hello->version = (uint16_t)version;
    if (!whole)
        return true;
    struct slice compression, extensions;
    if (!take_vector(&body, 2, &hello->cipher_suites) || hello->cipher_suites.len < 2 ||
        hello->cipher_suites.len % 2 != 0 || !take_vector(&body, 1, &compression) || compression.len == 0)
        return false;
    if (body.len == 0)
        return true;
    return take_vector(&body, 2, &extensions) && body.len == 0 && read_extensions(extensions, hello);
}

bool hello_offers_tls13(struct slice record) {
    uint32_t type, version;
    struct slice body, random, skipped, extensions, data, versions;
    if (record.len < TLS_RECORD_HEADER || record.data[0] != RECORD_HANDSHAKE)
        return false;
    record = slice_from(record, TLS_RECORD_HEADER);
    if (!take_number(&record, 1, &type) || type != CLIENT_HELLO || !take_vector(&record, 3, &body) ||
        !take_number(&body, 2, &version) || !take(&body, 32, &random) || !take_vector(&body, 1, &skipped) ||
        !take_vector(&body, 2, &skipped) || !take_vector(&body, 1, &skipped) || !take_vector(&body, 2, &extensions))
        return false;
    while (take_number(&extensions, 2, &type) && take_vector(&extensions, 2, &data)) {
        if (type != EXTENSION_SUPPORTED_VERSIONS || !take_vector(&data, 1, &versions))
            continue;
        while (take_number(&versions, 2, &version)) {
            if (version == TLS_1_3)
                return true;
        }
    }
    return false;
}

bool hello_offers(const struct client_hello *hello, uint16_t cipher_suite) {
    for (size_t i = 0; i + 1 < hello->cipher_suites.len; i += 2) {
        if ((hello->cipher_suites.data[i] << 8 | hello->cipher_suites.data[i + 1]) == cipher_suite)
            return true;
    }
    return false;
}

bool hello_assemble(struct hello_assembly *assembly, const struct hello_fragment *fragment) {
    if (fragment->message_len > HELLO_MAX || fragment->message_len == 0 ||
        (assembly->message_len != 0 && assembly->message_len != fragment->message_len))
        return false;
    assembly->message_len = fragment->message_len;
    for (size_t i = 0; i < fragment->bytes.len; i++) {
        size_t at = fragment->offset + i;
        uint8_t bit = (uint8_t)(1 << at % 8);
        if ((assembly->there[at / 8] & bit) != 0)
            continue;
        assembly->there[at / 8] |= bit;
        assembly->body[at] = fragment->bytes.data[i];
        assembly->have++;
    }
    return true;
}

bool hello_has(const struct hello_assembly *assembly, const struct hello_fragment *fragment) {
    if (fragment->message_len != assembly->message_len)
        return false;
    for (size_t at = fragment->offset; at < fragment->offset + fragment->bytes.len; at++) {
        if ((assembly->there[at / 8] & 1 << at % 8) == 0)
            return false;
    }
    return true;
}

static void put_u24(struct buffer *out, uint32_t value) {
    buffer_put_u8(out, (uint8_t)(value >> 16));
    buffer_put_u16(out, (uint16_t)value);
}

void hello_put_verify_request(struct buffer *out, const struct hello_fragment *fragment,
                              const uint8_t cookie[HELLO_COOKIE_LEN]) {
    enum { BODY = 2 + 1 + HELLO_COOKIE_LEN };
    buffer_put_u8(out, RECORD_HANDSHAKE);
    buffer_put_u16(out, 0xfefd);
    buffer_put_u16(out, 0);
    /* The number of the hello's record, so that nothing need be remembered for the ones that follow. */
    buffer_put_u16(out, (uint16_t)(fragment->record_number >> 32));
    buffer_put_u32(out, (uint32_t)fragment->record_number);
    buffer_put_u16(out, HANDSHAKE_HEADER + BODY);
    buffer_put_u8(out, HELLO_VERIFY_REQUEST);
    put_u24(out, BODY);
    buffer_put_u16(out, 0);
    put_u24(out, 0);
    put_u24(out, BODY);
    buffer_put_u16(out, 0xfeff); /* DTLS 1.0 here whatever follows (RFC 6347 §4.2.1) */
    buffer_put_u8(out, HELLO_COOKIE_LEN);
    buffer_put(out, cookie, HELLO_COOKIE_LEN);
}
