/* SenML CBOR (112) and SenML-ETCH CBOR (322): Core 1.2 §7.5.7, RFC 8428 §6, RFC 8790. */
#ifndef BERTH_LWM2M_SENML_CBOR_H
#define BERTH_LWM2M_SENML_CBOR_H

#include "common/lwm2m/cbor.h"
#include "common/lwm2m/senml.h"

/* Decode a pack. Values have the type that the format tells (lwm2m_value_convert makes it the resource's) and point
 * into `bytes`, or into `scratch` when they came in parts; room for as many bytes as `bytes` has is enough. False:
 * out->remark says why; else it says what was tolerated or is NULL. */
bool senml_cbor_decode(struct slice bytes, const struct senml_context *context, struct buffer *scratch,
                       struct lwm2m_nodes *out);

/* Encode a pack of these nodes, definite and in the shortest form. False when senml_write_begin refuses them, a
 * value has no CBOR form, or it does not fit. */
bool senml_cbor_encode(const struct lwm2m_node *nodes, size_t count, const struct senml_context *context,
                       enum cbor_time time, struct buffer *out);

#endif
