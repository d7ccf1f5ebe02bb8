/* SenML JSON (RFC 8428 §5, Core 1.2 §7.5.6: application/senml+json) and, by the mode of the context, its use in FETCH and
 * iPATCH (RFC 8790: application/senml-etch+json). What a pack means is senml.h's to say; this is how it is written. */
#ifndef BERTH_LWM2M_SENML_JSON_H
#define BERTH_LWM2M_SENML_JSON_H

#include "common/lwm2m/senml.h"

/* Encode nodes at or below the base of the context, without white space. False as senml_write_begin, when a string is
 * not UTF-8, a float is not finite, or it does not fit. */
bool senml_json_encode(const struct lwm2m_node *nodes, size_t count, const struct senml_context *context,
                       struct buffer *out);

/* Decode a pack. Values have the types that JSON tells: a number is INTEGER, UNSIGNED or FLOAT as json_number says, `vs`
 * is STRING. Values point into `text` or into `scratch`, which has room enough when it has twice as many bytes free as
 * the text. False: out->remark says why; else it says what was tolerated or is NULL. */
bool senml_json_decode(struct slice text, const struct senml_context *context, struct buffer *scratch,
                       struct lwm2m_nodes *out);

#endif
