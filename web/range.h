/* The Range header field (RFC 9110 §14.1.2, §14.2): one range of bytes. Other units, several ranges and what makes no
 * sense are passed over, as the standard lets a server do. */
#ifndef BERTH_WEB_RANGE_H
#define BERTH_WEB_RANGE_H

#include "common/base/slice.h"

enum range { RANGE_NONE, RANGE_GOOD, RANGE_UNSATISFIABLE };

/* RANGE_GOOD: bytes from *first on, before *end, of a representation of `size` bytes. Else they are left alone. */
enum range range_read(struct slice field, size_t size, size_t *first, size_t *end);

#endif
