/* What makes looking up in a table of routes quick: most have more segments than a path, or fewer. */
#ifndef BERTH_WEB_ROUTE_INDEX_H
#define BERTH_WEB_ROUTE_INDEX_H

#include <stdint.h>

enum { ROUTE_COUNT_MAX = 192 };

struct route_table;

struct route_index {
    const struct route_table *table;
    uint8_t segments[ROUTE_COUNT_MAX]; /* of each route's path */
};

/* The table, which lives as long, has at most ROUTE_COUNT_MAX routes. */
void route_index_make(struct route_index *index, const struct route_table *table);

#endif
