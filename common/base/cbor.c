#include "common/base/cbor.h"

#include <math.h>

/* The upper three bits of an initial byte. */
enum major { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, OTHER };

/* Its lower five bits, when they are more than a small number. */
enum { ONE_BYTE = 24, TWO_BYTES, FOUR_BYTES, EIGHT_BYTES, INDEFINITE = 31 };

enum { BREAK = 0xff };

/* ---- reading ---- */

struct head {
    enum major major;
    unsigned info; /* the lower five bits */
    uint64_t argument;
};

bool cbor_fail(struct cbor_reader *reader, const char *fault) {
    if (reader->fault == NULL)
        reader->fault = fault;
    return false;
}

static bool read_head(struct cbor_reader *reader, struct head *head) {
    if (reader->fault != NULL)
        return false;
    if (reader->rest.len == 0)
        return cbor_fail(reader, "the CBOR is cut off");
    uint8_t first = reader->rest.data[0];
    *head = (struct head){.major = (enum major)(first >> 5), .info = first & 31u};
    reader->rest = slice_from(reader->rest, 1);
    if (head->info < ONE_BYTE) {
        head->argument = head->info;
        return true;
    }
    if (head->info == INDEFINITE)
        return true;
    if (head->info > EIGHT_BYTES)
        return cbor_fail(reader, "a byte begins no CBOR item");
    size_t len = (size_t)1 << (head->info - ONE_BYTE);
    if (reader->rest.len < len)
        return cbor_fail(reader, "the CBOR is cut off");
    head->argument = slice_number(slice_of(reader->rest.data, len));
    reader->rest = slice_from(reader->rest, len);
    return true;
}

static bool take(struct cbor_reader *reader, uint64_t len, struct slice *bytes) {
    if (len > reader->rest.len)
        return cbor_fail(reader, "a CBOR string is longer than what is there");
    *bytes = slice_of(reader->rest.data, (size_t)len);
    reader->rest = slice_from(reader->rest, (size_t)len);
    return true;
}

static bool take_break(struct cbor_reader *reader) {
    if (reader->rest.len == 0 || reader->rest.data[0] != BREAK)
        return false;
    reader->rest = slice_from(reader->rest, 1);
    return true;
}

/* Join the parts of a string, each a definite string of the same kind. */
static bool join(struct cbor_reader *reader, enum major major, struct slice *bytes) {
    struct buffer *scratch = reader->scratch;
    if (scratch == NULL)
        return cbor_fail(reader, "a CBOR string comes in parts");
    size_t start = scratch->len;
    struct head head;
    struct slice part;
    while (!take_break(reader)) {
        if (!read_head(reader, &head))
            return false;
        if (head.major != major || head.info == INDEFINITE)
            return cbor_fail(reader, "a part of a CBOR string is something else");
        if (!take(reader, head.argument, &part))
            return false;
        buffer_put_slice(scratch, part);
        if (scratch->overflow)
            return cbor_fail(reader, "a CBOR string in parts is too long");
    }
    *bytes = slice_of(scratch->data == NULL ? NULL : scratch->data + start, scratch->len - start);
    return true;
}

static bool open_level(struct cbor_reader *reader, const struct head *head) {
    bool is_map = head->major == MAP, indefinite = head->info == INDEFINITE;
    uint64_t per_item = is_map ? 2 : 1;
    if (reader->depth == CBOR_DEPTH_MAX)
        return cbor_fail(reader, "the CBOR is nested too deep");
    if (!indefinite && head->argument > reader->rest.len / per_item) /* each item has a byte */
        return cbor_fail(reader, "the CBOR is cut off");
    reader->levels[reader->depth++] = (struct cbor_level){
        .left = head->argument * per_item,
        .indefinite = indefinite,
        .is_map = is_map,
    };
    return true;
}

static double read_half(uint64_t bits) {
    int exponent = (int)(bits >> 10 & 31), mantissa = (int)(bits & 1023);
    double real = exponent == 0    ? ldexp(mantissa, -24)
                  : exponent != 31 ? ldexp(mantissa + 1024, exponent - 25)
                  : mantissa == 0  ? (double)INFINITY
                                   : (double)NAN;
    return (bits & 0x8000) != 0 ? -real : real;
}

static double read_single(uint64_t bits) {
    uint32_t bits32 = (uint32_t)bits;
    float single;
    memcpy(&single, &bits32, sizeof single);
    return single;
}

static double read_double(uint64_t bits) {
    double real;
    memcpy(&real, &bits, sizeof real);
    return real;
}

static bool read_other(struct cbor_reader *reader, const struct head *head, struct cbor_item *item) {
    item->type = CBOR_FLOAT;
    switch (head->info) {
    case TWO_BYTES:
        item->real = read_half(head->argument);
        return true;
    case FOUR_BYTES:
        item->real = read_single(head->argument);
        return true;
    case EIGHT_BYTES:
        item->real = read_double(head->argument);
        return true;
    case INDEFINITE:
        return cbor_fail(reader, "a CBOR break ends nothing");
    default:
        item->type = CBOR_SIMPLE;
        item->number = head->argument;
        return head->info != ONE_BYTE || head->argument >= 32 || cbor_fail(reader, "a byte begins no CBOR item");
    }
}

/* One item less is to come on the innermost level. */
static bool count_item(struct cbor_reader *reader) {
    if (reader->depth == 0)
        return true;
    struct cbor_level *level = &reader->levels[reader->depth - 1];
    if (!level->indefinite && level->left == 0)
        return cbor_fail(reader, "there is no other item");
    level->left -= !level->indefinite;
    level->is_odd = level->is_map && !level->is_odd;
    return true;
}

bool cbor_read(struct cbor_reader *reader, struct cbor_item *item) {
    struct head head;
    *item = (struct cbor_item){.tag = CBOR_NO_TAG};
    if (reader->fault != NULL || !count_item(reader) || !read_head(reader, &head))
        return false;
    while (head.major == TAG && head.info != INDEFINITE) {
        item->tag = head.argument;
        if (!read_head(reader, &head))
            return false;
    }
    bool indefinite = head.info == INDEFINITE;
    item->number = head.argument;
    switch (head.major) {
    case UNSIGNED:
        item->type = CBOR_UNSIGNED;
        return !indefinite || cbor_fail(reader, "a byte begins no CBOR item");
    case NEGATIVE:
        item->type = CBOR_NEGATIVE;
        return !indefinite || cbor_fail(reader, "a byte begins no CBOR item");
    case BYTES:
    case TEXT:
        item->type = head.major == BYTES ? CBOR_BYTES : CBOR_TEXT;
        return indefinite ? join(reader, head.major, &item->bytes) : take(reader, head.argument, &item->bytes);
    case ARRAY:
    case MAP:
        item->type = head.major == ARRAY ? CBOR_ARRAY : CBOR_MAP;
        return open_level(reader, &head);
    case OTHER:
        return read_other(reader, &head, item);
    case TAG:
        break;
    }
    return cbor_fail(reader, "a byte begins no CBOR item");
}

bool cbor_more(struct cbor_reader *reader) {
    if (reader->fault != NULL || reader->depth == 0)
        return false;
    struct cbor_level *level = &reader->levels[reader->depth - 1];
    if (level->indefinite ? !take_break(reader) : level->left > 0)
        return true;
    if (level->is_odd)
        return cbor_fail(reader, "a CBOR map ends after a key");
    reader->depth--;
    return false;
}

bool cbor_skip(struct cbor_reader *reader) {
    size_t depth = reader->depth, kept = reader->scratch->len;
    struct cbor_item item;
    bool good = cbor_read(reader, &item);
    while (good && reader->depth > depth) {
        if (cbor_more(reader))
            good = cbor_read(reader, &item);
        else
            good = reader->fault == NULL;
        reader->scratch->len = kept;
    }
    reader->scratch->len = kept;
    return good;
}

bool cbor_at_end(struct cbor_reader *reader) {
    if (reader->fault == NULL && (reader->depth > 0 || reader->rest.len > 0))
        return cbor_fail(reader, "there are bytes after the CBOR");
    return reader->fault == NULL;
}

bool cbor_to_int64(const struct cbor_item *item, int64_t *integer) {
    if ((item->type != CBOR_UNSIGNED && item->type != CBOR_NEGATIVE) || item->number > INT64_MAX)
        return false;
    *integer = item->type == CBOR_UNSIGNED ? (int64_t)item->number : -1 - (int64_t)item->number;
    return true;
}

/* ---- writing ---- */

static void put_head(struct buffer *out, enum major major, uint64_t argument) {
    size_t len = argument < ONE_BYTE      ? 0
                 : argument <= 0xff       ? 1
                 : argument <= 0xffff     ? 2
                 : argument <= UINT32_MAX ? 4
                                          : 8;
    static const uint8_t info[] = {[1] = ONE_BYTE, [2] = TWO_BYTES, [4] = FOUR_BYTES, [8] = EIGHT_BYTES};
    uint8_t *at = buffer_take(out, 1 + len);
    if (at == NULL)
        return;
    at[0] = (uint8_t)((unsigned)major << 5 | (len == 0 ? (uint8_t)argument : info[len]));
    for (; len > 0; argument >>= 8)
        at[len--] = (uint8_t)argument;
}

void cbor_put_unsigned(struct buffer *out, uint64_t number) {
    put_head(out, UNSIGNED, number);
}

void cbor_put_integer(struct buffer *out, int64_t integer) {
    if (integer < 0)
        put_head(out, NEGATIVE, (uint64_t)(-1 - integer));
    else
        put_head(out, UNSIGNED, (uint64_t)integer);
}

void cbor_put_bytes(struct buffer *out, struct slice bytes) {
    put_head(out, BYTES, bytes.len);
    buffer_put_slice(out, bytes);
}

void cbor_put_text(struct buffer *out, struct slice text) {
    put_head(out, TEXT, text.len);
    buffer_put_slice(out, text);
}

void cbor_put_array(struct buffer *out, size_t items) {
    put_head(out, ARRAY, items);
}

void cbor_put_map(struct buffer *out, size_t pairs) {
    put_head(out, MAP, pairs);
}

void cbor_put_tag(struct buffer *out, uint64_t tag) {
    put_head(out, TAG, tag);
}

void cbor_put_simple(struct buffer *out, enum cbor_simple simple) {
    put_head(out, OTHER, simple);
}

void cbor_put_float(struct buffer *out, double real) {
    float single = (float)real;
    double again = single;
    if (memcmp(&again, &real, sizeof real) == 0) { /* by their bits: NaN, too, comes back as it was */
        uint32_t bits;
        memcpy(&bits, &single, sizeof bits);
        buffer_put_u8(out, OTHER << 5 | FOUR_BYTES);
        buffer_put_u32(out, bits);
    } else {
        uint64_t bits;
        memcpy(&bits, &real, sizeof bits);
        buffer_put_u8(out, OTHER << 5 | EIGHT_BYTES);
        buffer_put_u32(out, (uint32_t)(bits >> 32));
        buffer_put_u32(out, (uint32_t)bits);
    }
}
