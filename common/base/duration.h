/* Durations and points in time as people write them, on the command line and in the API. */
#ifndef BERTH_BASE_DURATION_H
#define BERTH_BASE_DURATION_H

#include "common/base/buffer.h"

/* "30s", "500ms", "2m", "1h", "1d", or a number of seconds ("30", "1.5s"): a decimal number of at most 12 digits before
 * and 3 after the point, and a unit. False when it is none of these or longer than `max_ms`. */
bool duration_parse(struct slice text, uint64_t max_ms, uint64_t *ms);

/* Unix milliseconds as "2026-11-21T08:00:00.123Z" (RFC 3339, UTC). */
void time_put(struct buffer *out, uint64_t unix_ms);

#endif
