/* Pieces of JSON (RFC 8259) as devices read it best: raw UTF-8, escapes only where there is no other way, no white
 * space. */
#ifndef BERTH_LWM2M_JSON_WRITER_H
#define BERTH_LWM2M_JSON_WRITER_H

#include "common/lwm2m/node.h"

/* In quotes. False when it is not UTF-8 or does not fit. */
bool json_put_string(struct buffer *out, struct slice text);

/* INTEGER, UNSIGNED, TIME and FLOAT; a Float always has a point, which tells it from an Integer. False for what is no
 * number, a float that is not finite included, or does not fit. */
bool json_put_number(struct buffer *out, const struct lwm2m_value *number);

#endif
