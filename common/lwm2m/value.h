/* From the type that a format tells to the type that the definition of the resource tells (Core 1.2 Appendix C). */
#ifndef BERTH_LWM2M_VALUE_H
#define BERTH_LWM2M_VALUE_H

#include "common/lwm2m/node.h"

/* Make `value`, as a decoder gave it, a value of `type`:
 *
 *     RAW (of TLV)               any type, by its bytes
 *     INTEGER, UNSIGNED, FLOAT   each other, TIME; a float only when it is integral
 *     TIME (tagged in CBOR)      INTEGER, UNSIGNED
 *     STRING                     CORELNK, OBJLNK, OPAQUE
 *     CORELNK                    STRING
 *
 * all within the range of `type`. Where the format writes an Opaque as Base64 text (OMA JSON) its bytes are written to
 * `scratch`; where it does not, `scratch` is NULL and text is no Opaque. NONE has nothing to convert, and RAW as `type`
 * leaves everything as it is. False: *remark says why and `value` is unchanged; else it says what was tolerated or is
 * NULL. */
bool lwm2m_value_convert(struct lwm2m_value *value, enum lwm2m_type type, struct buffer *scratch, const char **remark);

#endif
