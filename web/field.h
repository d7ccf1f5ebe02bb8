/* Values of header fields: lists, parameters and weights (RFC 9110 §5.6, §12.4.2). Quoted strings are not looked into. */
#ifndef BERTH_WEB_FIELD_H
#define BERTH_WEB_FIELD_H

#include "common/base/slice.h"

/* Without spaces and tabs around it. */
struct slice field_trim(struct slice text);

/* What comes before the next `separator`, trimmed; *rest goes on behind it. */
struct slice field_take(struct slice *rest, uint8_t separator);

/* Whether it is that word, in whatever case. */
bool field_is(struct slice text, const char *word);

/* The weight among parameters in thousandths: 500 for `q=0.5`. What is no weight, or there is none, is 1000. */
unsigned field_weight(struct slice parameters);

#endif
