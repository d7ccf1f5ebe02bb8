/* A bounded writer over memory that the caller owns. Writing past the end writes nothing and sets `overflow`, so a
 * caller writes everything and asks once at the end. */
#ifndef BERTH_BASE_BUFFER_H
#define BERTH_BASE_BUFFER_H

#include "common/base/slice.h"

struct buffer {
    uint8_t *data;
    size_t len;
    size_t cap;
    bool overflow; /* something did not fit; `len` then counts what did */
};

static inline struct buffer buffer_over(void *memory, size_t cap) {
    return (struct buffer){.data = (uint8_t *)memory, .len = 0, .cap = cap, .overflow = false};
}

static inline struct slice buffer_slice(const struct buffer *b) {
    return slice_of(b->data, b->len);
}

/* Room for `len` bytes at the end, or NULL (and overflow). The caller fills it. */
static inline uint8_t *buffer_take(struct buffer *b, size_t len) {
    if (b->overflow || len > b->cap - b->len) {
        b->overflow = true;
        return NULL;
    }
    uint8_t *at = b->data + b->len;
    b->len += len;
    return at;
}

static inline void buffer_put(struct buffer *b, const void *data, size_t len) {
    uint8_t *at = buffer_take(b, len);
    if (at != NULL && len > 0)
        memcpy(at, data, len);
}

static inline void buffer_put_slice(struct buffer *b, struct slice s) {
    buffer_put(b, s.data, s.len);
}

static inline void buffer_put_str(struct buffer *b, const char *text) {
    buffer_put(b, text, strlen(text));
}

static inline void buffer_put_u8(struct buffer *b, uint8_t value) {
    buffer_put(b, &value, 1);
}

/* Network byte order. */
static inline void buffer_put_u16(struct buffer *b, uint16_t value) {
    uint8_t *at = buffer_take(b, 2);
    if (at != NULL) {
        at[0] = (uint8_t)(value >> 8);
        at[1] = (uint8_t)value;
    }
}

static inline void buffer_put_u32(struct buffer *b, uint32_t value) {
    uint8_t *at = buffer_take(b, 4);
    if (at != NULL) {
        at[0] = (uint8_t)(value >> 24);
        at[1] = (uint8_t)(value >> 16);
        at[2] = (uint8_t)(value >> 8);
        at[3] = (uint8_t)value;
    }
}

static inline void buffer_put_u64(struct buffer *b, uint64_t value) {
    buffer_put_u32(b, (uint32_t)(value >> 32));
    buffer_put_u32(b, (uint32_t)value);
}

/* Decimal digits of `value`, no padding. */
void buffer_put_decimal(struct buffer *b, uint64_t value);

/* As printf, without a NUL in the buffer. For short texts off the hot path: at most 1023 bytes a call. */
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
