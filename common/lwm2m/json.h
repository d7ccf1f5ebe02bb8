/* OMA JSON (LwM2M 1.0 §6.4.4, application/vnd.oma.lwm2m+json), the JSON of clients that know no SenML:
 *
 *     {"bn":"/3/0/","e":[{"n":"9","v":100},{"n":"14","sv":"+02:00"}],"bt":1367491215}
 *
 * `v` is a number, `sv` a string or the Base64 of an Opaque, `bv` a boolean, `ov` an object link. Unlike in SenML the
 * base name holds for all entries and may stand behind them, and the time bt + t is absolute when it is positive,
 * relative to now when it is negative, and now when it is 0 (draft-jennings-senml-08 §4, which this format is made
 * from). */
#ifndef BERTH_LWM2M_JSON_H
#define BERTH_LWM2M_JSON_H

#include "common/lwm2m/node.h"

struct lwm2m_json_context {
    struct lwm2m_path base; /* path of the request */
    struct slice root;      /* the client's alternate path, `/lwm2m`; empty or `/` when it has none */
    int64_t now_ms;         /* when the text was received, in milliseconds since 1970 */
};

/* Encode nodes at or below the base: `bn` is the object instance, or what of it the base has, and ends in a slash; every
 * entry has its `n`, for there are clients that do not take less. Nodes of type NONE are nothing to tell. False when a
 * node is outside the base, is RAW, has a value above resource level or a time before 1970; when a string is not UTF-8,
 * a float is not finite, or it does not fit. */
bool lwm2m_json_encode(const struct lwm2m_node *nodes, size_t count, const struct lwm2m_json_context *context,
                       struct buffer *out);

/* Decode a text about the base. Values have the types that JSON tells: `v` as json_number says, `sv` is STRING. They
 * point into `text` or into `scratch`, which has room enough when it has twice as many bytes free as the text. Names are
 * taken as clients write them: a base name with or without slash at its end or none at all, an entry without name,
 * with or without the alternate path. False: out->remark says why; else it says what was tolerated or is NULL. */
bool lwm2m_json_decode(struct slice text, const struct lwm2m_json_context *context, struct buffer *scratch,
                       struct lwm2m_nodes *out);

#endif
