/* LwM2M CBOR (11544): Core 1.2 §7.5.4. A map of ids to values or maps of ids; a key may be an array of several ids
 * at once. Paths begin with the object, whatever the request is about, and never with the client's alternate path. */
#ifndef BERTH_LWM2M_LWM2M_CBOR_H
#define BERTH_LWM2M_LWM2M_CBOR_H

#include "common/lwm2m/cbor.h"

/* Decode the payload of a message about `base`, the root for composite operations and Send. Values have the type
 * that the format tells (lwm2m_value_convert makes it the resource's) and point into `bytes`, or into `scratch` when
 * they came in parts; room for as many bytes as `bytes` has is enough. An empty map, and null, give a node of type
 * NONE. At object level, and for a base that has it, the instance id may be LWM2M_ID_NONE: the client chooses
 * (§6.3.6). False: out->remark says why; else it says what was tolerated or is NULL. */
bool lwm2m_cbor_decode(struct slice bytes, const struct lwm2m_path *base, struct buffer *scratch,
                       struct lwm2m_nodes *out);

/* Encode what is at or below `base`, definite and in the shortest form: one array of ids for the path of the
 * request, for an object its id; in a composite one for each instance or single resource. Nodes of type NONE are
 * left out: there is no form for them. False when a node is not below `base` or has a time, which the format can't
 * tell, the list is no legal content (a value above resource level, the same path twice, a resource that is single
 * and multiple) or does not fit. */
bool lwm2m_cbor_encode(const struct lwm2m_node *nodes, size_t count, const struct lwm2m_path *base, enum cbor_time time,
                       struct buffer *out);

#endif
