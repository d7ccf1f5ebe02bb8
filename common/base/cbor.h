/* CBOR (RFC 8949): a pull reader over a slice and a writer into a buffer. Nothing is allocated and nothing recurses.
 *
 * The reader hands out one item after the other. Arrays and maps open a level, and cbor_more tells whether there is
 * another item in the innermost one, closing it when there is none:
 *
 *     if (cbor_read(&reader, &item) && item.type == CBOR_ARRAY)
 *         while (cbor_more(&reader))
 *             cbor_read(&reader, &item);
 *     good = cbor_at_end(&reader);
 *
 * The first thing wrong stays in `fault`, and from then on nothing is read and there is no more: loops end. */
#ifndef BERTH_BASE_CBOR_H
#define BERTH_BASE_CBOR_H

#include "common/base/buffer.h"

enum { CBOR_DEPTH_MAX = 8 };

#define CBOR_NO_TAG UINT64_MAX

enum cbor_type {
    CBOR_UNSIGNED,
    CBOR_NEGATIVE,
    CBOR_BYTES,
    CBOR_TEXT,
    CBOR_ARRAY,
    CBOR_MAP,
    CBOR_SIMPLE,
    CBOR_FLOAT,
};

enum cbor_simple { CBOR_FALSE = 20, CBOR_TRUE = 21, CBOR_NULL = 22, CBOR_UNDEFINED = 23 };

enum cbor_tag { CBOR_TAG_TIME_TEXT = 0, CBOR_TAG_TIME = 1, CBOR_TAG_DECIMAL = 4 };

struct cbor_item {
    enum cbor_type type;
    uint64_t tag;       /* the one next to the item, or CBOR_NO_TAG */
    uint64_t number;    /* UNSIGNED; NEGATIVE: the value is -1 - number; SIMPLE: which */
    double real;        /* FLOAT, of any width */
    struct slice bytes; /* BYTES, TEXT: in the input, or in the scratch when it came in parts */
};

struct cbor_level {
    uint64_t left; /* items, not pairs, of a definite array or map */
    bool indefinite, is_map;
    bool is_odd; /* a map between a key and its value */
};

struct cbor_reader {
    struct slice rest;
    struct buffer *scratch;
    const char *fault; /* in words for a person; NULL: none so far */
    size_t depth;
    struct cbor_level levels[CBOR_DEPTH_MAX];
};

/* Strings of indefinite length are joined in `scratch`; one with room for as many bytes as the input has is enough. NULL:
 * they are a fault, and nothing can be skipped. */
static inline struct cbor_reader cbor_reader_over(struct slice bytes, struct buffer *scratch) {
    return (struct cbor_reader){.rest = bytes, .scratch = scratch};
}

/* Read the next item, with its tags. False: there is none, or the input is no CBOR. */
bool cbor_read(struct cbor_reader *reader, struct cbor_item *item);

/* Whether the innermost open array or map has another item; closes it when not. */
bool cbor_more(struct cbor_reader *reader);

/* Read over the next item and all that is in it. */
bool cbor_skip(struct cbor_reader *reader);

/* Everything was read, nothing is open and nothing was wrong. Bytes that are left become the fault. */
bool cbor_at_end(struct cbor_reader *reader);

/* Set the fault unless there is one. Returns false. */
bool cbor_fail(struct cbor_reader *reader, const char *fault);

/* The item as a signed number; false when it is no integer or does not fit. */
bool cbor_to_int64(const struct cbor_item *item, int64_t *integer);

/* Each writes the shortest form; floats single when that is exact, else double. */
void cbor_put_unsigned(struct buffer *out, uint64_t number);
void cbor_put_integer(struct buffer *out, int64_t integer);
void cbor_put_bytes(struct buffer *out, struct slice bytes);
void cbor_put_text(struct buffer *out, struct slice text);
void cbor_put_array(struct buffer *out, size_t items);
void cbor_put_map(struct buffer *out, size_t pairs);
void cbor_put_tag(struct buffer *out, uint64_t tag);
void cbor_put_simple(struct buffer *out, enum cbor_simple simple);
void cbor_put_float(struct buffer *out, double real);

#endif
