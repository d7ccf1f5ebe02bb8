/* The TLV content format (Core 1.2 §7.5.5, application/vnd.oma.lwm2m+tlv).
 *
 * It does not tell types: decoding gives LWM2M_RAW values, and who knows the type of a resource reads them with
 * tlv_value_decode. Decoding is linear in the length of the input and nests no deeper than the three levels there are;
 * a decoder that a length field leads past the end, trailing bytes, ids that come twice and the id 65535 are errors. */
#ifndef BERTH_LWM2M_TLV_H
#define BERTH_LWM2M_TLV_H

#include "common/lwm2m/node.h"

/* Encode what is at or below `base`, the path of the request, in the shortest form. At object level instances are
 * wrapped, at instance level the instance is not. False when a node is not below `base`, the list is no legal content
 * (a value above resource level, the same path twice, a resource that is single and multiple) or does not fit. */
bool tlv_encode(const struct lwm2m_node *nodes, size_t count, const struct lwm2m_path *base, struct buffer *out);

/* Decode the payload of a message about `base` (one to four ids). Values point into `bytes`. An empty object or instance
 * gives one node of type NONE. At instance level a wrapper is let pass when it names that instance; at resource level,
 * instances of the resource alone. The body of a Create without instance id (§6.3.6) is decoded with a base whose second
 * id is LWM2M_ID_NONE. False: out->remark says why. */
bool tlv_decode(struct slice bytes, const struct lwm2m_path *base, struct lwm2m_nodes *out);

/* Read the bytes of a value as `type` (Table C-2). False: *remark says why; else it says what was tolerated or is
 * NULL. */
bool tlv_value_decode(struct slice bytes, enum lwm2m_type type, struct lwm2m_value *value, const char **remark);

#endif
