/* Small files that only their owner may read: keys and certificates. */
#ifndef BERTH_SERVER_PRIVATE_FILE_H
#define BERTH_SERVER_PRIVATE_FILE_H

#include "common/base/slice.h"

/* Write the whole file, mode 0600, in the place of an earlier one: after a crash there is the old one or the new one.
 * False: one line in `error`. */
bool private_file_write(const char *path, struct slice bytes, char *error, size_t error_size);

/* Read at most `size` bytes of it into `bytes`; *len is how many there were. Returns 0 or a negative errno; -EFBIG when
 * it is longer. */
int private_file_read(const char *path, uint8_t *bytes, size_t size, size_t *len);

#endif
