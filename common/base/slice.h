/* Bytes that someone else owns. Nothing that comes from outside is a C string: it has a length, may hold NUL, and lives
 * as long as the datagram, row or request it points into. */
#ifndef BERTH_BASE_SLICE_H
#define BERTH_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data; /* may be NULL when len is 0 */
    size_t len;
};

#define SLICE_NONE ((struct slice){NULL, 0})

static inline struct slice slice_of(const void *data, size_t len) {
    return (struct slice){(const uint8_t *)data, len};
}

/* The bytes of a NUL-terminated string of our own, without the NUL. */
static inline struct slice slice_str(const char *text) {
    return slice_of(text, strlen(text));
}

static inline bool slice_equal(struct slice a, struct slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_is(struct slice a, const char *text) {
    return slice_equal(a, slice_str(text));
}

static inline bool slice_starts_with(struct slice a, const char *prefix) {
    size_t len = strlen(prefix);
    return a.len >= len && (len == 0 || memcmp(a.data, prefix, len) == 0);
}

/* The part from `offset` on; empty when `offset` is past the end. */
static inline struct slice slice_from(struct slice a, size_t offset) {
    return offset >= a.len ? SLICE_NONE : slice_of(a.data + offset, a.len - offset);
}

/* An unsigned number in network byte order; of more than eight bytes the last eight. */
static inline uint64_t slice_number(struct slice s) {
    uint64_t number = 0;
    for (size_t i = 0; i < s.len; i++)
        number = number << 8 | s.data[i];
    return number;
}

/* A decimal number of 1 to 20 digits and nothing else. False when it is none, or greater than `max`. */
bool slice_to_u64(struct slice text, uint64_t max, uint64_t *value);

/* True when the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). */
bool slice_is_utf8(struct slice text);

#endif
