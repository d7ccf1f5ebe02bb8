/* CBOR: reading item by item and skipping agree on what is CBOR, and a value that application/cbor is taken for
 * comes back when it is written and read again. */
#include <stdlib.h>

#include "common/lwm2m/cbor.h"

enum { BYTES_MAX = 1 << 15 };

static void require(bool condition) {
    if (!condition)
        abort();
}

/* Read all of the first item; the number of items in it. */
static size_t walk(struct cbor_reader *reader) {
    struct cbor_item item;
    size_t items = 0;
    do {
        while (reader->depth > 0 && !cbor_more(reader)) {
            if (reader->fault != NULL || reader->depth == 0)
                return items;
        }
        if (!cbor_read(reader, &item))
            return items;
        items++;
    } while (reader->depth > 0);
    return items;
}

static void read_twice(struct slice bytes, struct buffer *scratch) {
    struct cbor_reader walked = cbor_reader_over(bytes, scratch), skipped = cbor_reader_over(bytes, scratch);
    require(walk(&walked) <= bytes.len);
    scratch->len = 0;
    bool good = cbor_skip(&skipped);
    require(scratch->len == 0 && good == (skipped.fault == NULL) && good == (walked.fault == NULL));
    require(!good || walked.rest.len == skipped.rest.len);
}

static bool is_sendable(const struct lwm2m_value *value) {
    bool is_text = value->type == LWM2M_STRING || value->type == LWM2M_CORELNK;
    return !is_text || slice_is_utf8(value->bytes);
}

static void write_and_read(const struct lwm2m_value *value, enum cbor_time time) {
    static uint8_t bytes[BYTES_MAX + 16], joined[16];
    struct buffer out = buffer_over(bytes, sizeof bytes), scratch = buffer_over(joined, sizeof joined);
    struct lwm2m_value again;
    const char *remark;
    bool good = cbor_value_encode(value, time, &out);
    require(good == is_sendable(value));
    if (!good)
        return;
    require(cbor_value_decode(buffer_slice(&out), value->type, &scratch, &again, &remark));
    require(lwm2m_value_equal(value, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t joined[BYTES_MAX];
    struct buffer scratch = buffer_over(joined, size);
    if (size > BYTES_MAX)
        return 0;
    read_twice(slice_of(data, size), &scratch);
    for (int type = LWM2M_STRING; type <= LWM2M_RAW; type++) {
        struct lwm2m_value value;
        const char *remark;
        scratch = buffer_over(joined, size);
        if (!cbor_value_decode(slice_of(data, size), (enum lwm2m_type)type, &scratch, &value, &remark)) {
            require(remark != NULL);
            continue;
        }
        require(value.type == (enum lwm2m_type)type || type == LWM2M_RAW);
        write_and_read(&value, CBOR_TIME_PLAIN);
        write_and_read(&value, CBOR_TIME_TAGGED);
    }
    return 0;
}
