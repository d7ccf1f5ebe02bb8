/* The value of the OSCORE option (RFC 8613 §6.1): flags, Partial IV, kid context, kid. */
#ifndef BERTH_OSCORE_OPTION_H
#define BERTH_OSCORE_OPTION_H

#include "common/base/buffer.h"

enum {
    OSCORE_PIV_MAX = 5,
    OSCORE_OPTION_MAX = 255,
};

struct oscore_option {
    bool has_kid, has_kid_context;
    struct slice piv; /* empty: there is none */
    struct slice kid, kid_context;
};

/* False when it is none: reserved flags or lengths, cut off, bytes too many, or a lone zero, which must be empty (§6.1). */
bool oscore_option_decode(struct slice value, struct oscore_option *option);

/* Append the value. False when it does not fit. */
bool oscore_option_encode(const struct oscore_option *option, struct buffer *out);

/* A Partial IV as a number, and back in its shortest form: one to five bytes (§6.1). */
uint64_t oscore_piv_number(struct slice piv);
struct slice oscore_piv_bytes(uint64_t number, uint8_t memory[OSCORE_PIV_MAX]);

#endif
