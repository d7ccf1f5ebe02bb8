/* The query of a request: `name=value` pairs joined by '&' (the form of HTML forms: '+' is a space). */
#ifndef BERTH_WEB_QUERY_H
#define BERTH_WEB_QUERY_H

#include "common/base/buffer.h"

enum { QUERY_ITEMS_MAX = 16 };

struct query {
    struct {
        struct slice name, value;
    } items[QUERY_ITEMS_MAX];
    size_t count;
};

/* Undo percent-encoding; `plus` also turns '+' into a space. The result lies in `out`. False when a '%' is not followed
 * by two hexadecimal digits, or the room does not suffice. */
bool percent_decode(struct slice text, bool plus, struct buffer *out, struct slice *decoded);

/* Items point into `memory`. NULL, or what is wrong with it. */
const char *query_parse(struct slice text, struct buffer *memory, struct query *query);

/* The value of a name; data is NULL when it is not there. */
struct slice query_get(const struct query *query, const char *name);

#endif
