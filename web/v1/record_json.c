#include "web/v1/record_json.h"

#include "common/base/text.h"
#include "common/net/cipher_suite.h"
#include "common/net/record.h"

enum { TLS_HEADER = 5, TLS_RECORD_MAX = 16384 + 2048, CID_MAX = 32, RECORDS_MAX = 64, NAMES_MAX = 16, SUITES_MAX = 64 };

static uint32_t number_at(const uint8_t *bytes, size_t len) {
    uint32_t number = 0;
    for (size_t i = 0; i < len; i++)
        number = number << 8 | bytes[i];
    return number;
}

static bool is_type(uint8_t type, bool datagram) {
    return (type >= RECORD_CHANGE_CIPHER_SPEC && type <= RECORD_APPLICATION_DATA) ||
           (datagram && type == RECORD_TLS12_CID);
}

static const char *type_name(uint8_t type) {
    switch (type) {
    case RECORD_CHANGE_CIPHER_SPEC:
        return "change_cipher_spec";
    case RECORD_ALERT:
        return "alert";
    case RECORD_HANDSHAKE:
        return "handshake";
    case RECORD_APPLICATION_DATA:
        return "application_data";
    default:
        return "tls12_cid";
    }
}

static const char *version_name(const uint8_t *version) {
    static const char *const tls[] = {"SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"};
    if (version[0] == 0xfe)
        return version[1] == 0xff ? "DTLS 1.0" : version[1] == 0xfd ? "DTLS 1.2" : "DTLS";
    return version[1] < sizeof tls / sizeof tls[0] ? tls[version[1]] : "TLS";
}

/* RFC 5246 §7.4, RFC 6347 §4.2, RFC 8446 §4; NULL: none. */
static const char *handshake_name(uint8_t type) {
    static const char *const names[] = {[0] = "hello_request",
                                        [1] = "client_hello",
                                        [2] = "server_hello",
                                        [3] = "hello_verify_request",
                                        [4] = "new_session_ticket",
                                        [8] = "encrypted_extensions",
                                        [11] = "certificate",
                                        [12] = "server_key_exchange",
                                        [13] = "certificate_request",
                                        [14] = "server_hello_done",
                                        [15] = "certificate_verify",
                                        [16] = "client_key_exchange",
                                        [20] = "finished"};
    return type < sizeof names / sizeof names[0] ? names[type] : NULL;
}

/* The handshake messages in a record, or what of them is there. One that can't be is encrypted. */
static json_t *handshake_json(struct slice fragment, size_t header) {
    json_t *names = json_array();
    size_t at = 0, count = 0;
    while (at < fragment.len && count++ < NAMES_MAX) {
        const uint8_t *bytes = fragment.data + at;
        bool whole = fragment.len - at >= header;
        const char *name = whole ? handshake_name(bytes[0]) : NULL;
        size_t len = whole ? number_at(bytes + (header == 12 ? 9 : 1), 3) : 0;
        /* Over TLS a message may go on in the next record, and only the first in a record can be known. */
        if (name == NULL || len > TLS_RECORD_MAX || (header == 12 && len > fragment.len - at - header)) {
            json_array_append_new(names, json_string("encrypted"));
            break;
        }
        json_array_append_new(names, json_string(name));
        at += header + len;
    }
    return names;
}

static json_t *suite_json(uint16_t id) {
    const char *name = cipher_suite_name(id);
    return strcmp(name, "unknown") == 0 ? json_sprintf("0x%04x", id) : json_string(name);
}

/* Pass a vector whose length takes `width` bytes. False: it does not end within `rest`. */
static bool pass_vector(struct slice *rest, size_t width, struct slice *content) {
    size_t len = rest->len < width ? SIZE_MAX : number_at(rest->data, width);
    if (len == SIZE_MAX || len > rest->len - width)
        return false;
    *content = slice_of(rest->data + width, len);
    *rest = slice_from(*rest, width + len);
    return true;
}

/* The cipher suites that a ClientHello offers (RFC 5246 §7.4.1.2, RFC 6347 §4.2.1, RFC 8446 §4.1.2), which begins a record;
 * NULL: it is none, or goes on elsewhere. */
static json_t *offered_json(struct slice fragment, bool datagram) {
    size_t header = datagram ? 12 : 4;
    struct slice rest = slice_from(fragment, header + 2 + 32), skipped, suites; /* past version and random */
    if (fragment.len < header + 2 + 32 || fragment.data[0] != 1 || (datagram && number_at(fragment.data + 6, 3) != 0) ||
        !pass_vector(&rest, 1, &skipped) || (datagram && !pass_vector(&rest, 1, &skipped)) ||
        !pass_vector(&rest, 2, &suites))
        return NULL;
    json_t *names = json_array();
    for (size_t i = 0; i + 1 < suites.len && json_array_size(names) < SUITES_MAX; i += 2)
        json_array_append_new(names, suite_json((uint16_t)number_at(suites.data + i, 2)));
    return names;
}

static enum record_about about_of(uint8_t type) {
    if (type == RECORD_HANDSHAKE || type == RECORD_CHANGE_CIPHER_SPEC)
        return RECORDS_HANDSHAKE;
    return type == RECORD_ALERT ? RECORDS_ALERT : RECORDS_CONTENT;
}

static void put_content(json_t *json, uint8_t type, struct slice fragment, bool datagram, bool encrypted) {
    if (encrypted)
        return;
    if (type == RECORD_HANDSHAKE)
        json_object_set_new(json, "messages", handshake_json(fragment, datagram ? 12 : 4));
    json_t *offered = type == RECORD_HANDSHAKE ? offered_json(fragment, datagram) : NULL;
    if (offered != NULL)
        json_object_set_new(json, "cipher_suites", offered);
    if (type == RECORD_ALERT && fragment.len == 2) { /* RFC 5246 §7.2 */
        json_object_set_new(json, "alert", json_integer(fragment.data[1]));
        json_object_set_new(json, "fatal", json_boolean(fragment.data[0] == 2));
    }
}

/* ---- DTLS ---- */

static size_t fragment_len(const uint8_t *header, size_t cid) {
    return number_at(header + RECORD_HEADER - 2 + cid, 2);
}

static bool begins_record(struct slice rest) {
    return rest.len >= RECORD_HEADER && is_type(rest.data[0], true) && rest.data[1] == 0xfe;
}

/* How long the connection ID is does not stand in the record: as long as it must be for the record to end where the datagram
 * does, or another one begins. Ours have 8 bytes unless told otherwise, so that is tried first. False: no length fits. */
static bool find_cid(struct slice rest, size_t *len) {
    for (size_t i = 0; i <= CID_MAX + 1; i++) {
        size_t cid = i == 0 ? 8 : i - 1;
        if (rest.len < RECORD_HEADER + cid)
            continue;
        size_t end = RECORD_HEADER + cid + fragment_len(rest.data, cid);
        if (end == rest.len || (end < rest.len && begins_record(slice_from(rest, end)))) {
            *len = cid;
            return true;
        }
    }
    return false;
}

static json_t *hex_json(struct slice bytes) {
    uint8_t memory[2 * CID_MAX];
    struct buffer text = buffer_over(memory, sizeof memory);
    text_put_hex(&text, bytes);
    return json_stringn((const char *)memory, text.len);
}

json_t *record_json_datagram(struct slice datagram, enum record_about *about) {
    json_t *list = json_array();
    struct slice rest = datagram;
    *about = RECORDS_NONE;
    while (begins_record(rest) && json_array_size(list) < RECORDS_MAX) {
        uint8_t type = rest.data[0];
        size_t cid = 0;
        if (type == RECORD_TLS12_CID && !find_cid(rest, &cid))
            break;
        size_t len = fragment_len(rest.data, cid), header = RECORD_HEADER + cid;
        uint32_t epoch = number_at(rest.data + 3, 2);
        if (rest.len - header < len)
            break;
        json_t *json = json_object();
        json_object_set_new(json, "type", json_string(type_name(type)));
        json_object_set_new(json, "version", json_string(version_name(rest.data + 1)));
        json_object_set_new(json, "epoch", json_integer(epoch));
        uint64_t number = (uint64_t)number_at(rest.data + 5, 2) << 32 | number_at(rest.data + 7, 4);
        json_object_set_new(json, "sequence", json_integer((json_int_t)number));
        if (type == RECORD_TLS12_CID)
            json_object_set_new(json, "cid", hex_json(slice_of(rest.data + RECORD_HEADER - 2, cid)));
        json_object_set_new(json, "bytes", json_integer((json_int_t)(header + len)));
        put_content(json, type, slice_of(rest.data + header, len), true, epoch > 0);
        json_array_append_new(list, json);
        if (*about == RECORDS_NONE)
            *about = about_of(type);
        rest = slice_from(rest, header + len);
    }
    return list;
}

/* ---- TLS ---- */

json_t *record_json_stream(struct slice bytes, size_t *skip, enum record_about *about) {
    json_t *list = json_array();
    struct slice rest = slice_from(bytes, *skip == SIZE_MAX ? 0 : *skip);
    *about = RECORDS_NONE;
    *skip = *skip != SIZE_MAX && *skip > bytes.len ? *skip - bytes.len : 0;
    while (rest.len > 0 && *skip == 0) {
        bool good = rest.len >= TLS_HEADER && is_type(rest.data[0], false) && rest.data[1] == 3;
        size_t len = good ? number_at(rest.data + 3, 2) : 0;
        if (!good || len > TLS_RECORD_MAX || json_array_size(list) == RECORDS_MAX) {
            *skip = SIZE_MAX;
            break;
        }
        uint8_t type = rest.data[0];
        size_t total = TLS_HEADER + len, here = total < rest.len ? total : rest.len;
        json_t *json = json_object();
        json_object_set_new(json, "type", json_string(type_name(type)));
        json_object_set_new(json, "version", json_string(version_name(rest.data + 1)));
        json_object_set_new(json, "bytes", json_integer((json_int_t)total));
        put_content(json, type, slice_of(rest.data + TLS_HEADER, here - TLS_HEADER), false, false);
        json_array_append_new(list, json);
        if (*about == RECORDS_NONE || (*about == RECORDS_CONTENT && type != RECORD_APPLICATION_DATA))
            *about = about_of(type);
        *skip = total - here;
        rest = slice_from(rest, here);
    }
    return list;
}
