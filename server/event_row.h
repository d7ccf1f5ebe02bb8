/* Events as bytes in a database, the same on every machine: integers in network byte order, texts behind their lengths.
 * The number of an event is not among them: those of a row follow one another. */
#ifndef BERTH_SERVER_EVENT_ROW_H
#define BERTH_SERVER_EVENT_ROW_H

#include "server/event.h"

/* How many bytes event_row_put takes for it. */
size_t event_row_size(const struct event *event);

/* An event of an event log. */
void event_row_put(struct buffer *out, const struct event *event);

/* The next one of `*rows`, which shrinks; slices point into it, and `id` is 0. False: at the end, or when what comes next
 * makes no sense. Whatever comes out can be shown: every number of a type is one of those that there are. */
bool event_row_take(struct slice *rows, struct event *event);

#endif
