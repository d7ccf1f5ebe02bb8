/* Times of many events, in the memory of a few: 32 buckets for each doubling, so that a percentile is told to 3 %. */
#ifndef BERTH_CLIENT_HISTOGRAM_H
#define BERTH_CLIENT_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB = 32,                     /* buckets for a doubling */
    HISTOGRAM_BUCKETS = 60 * HISTOGRAM_SUB, /* up to 2^64 */
};

/* All zero is an empty one. */
struct histogram {
    uint64_t count, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Any unit, as long as it is the same one. */
void histogram_add(struct histogram *histogram, uint64_t value);

/* The value that `share` (0 to 1) of all are not above: the upper end of its bucket, but never more than the largest one
 * that came. 0 when there is none. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

#endif
