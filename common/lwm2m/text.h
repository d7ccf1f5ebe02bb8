/* text/plain (Core 1.2 §7.5.1): one value of a resource or resource instance, as Appendix C writes it. */
#ifndef BERTH_LWM2M_TEXT_H
#define BERTH_LWM2M_TEXT_H

#include "common/lwm2m/node.h"

/* False when the value has no text form (NONE, RAW, a float that is not finite) or does not fit. */
bool lwm2m_text_encode(const struct lwm2m_value *value, struct buffer *out);

/* Read a value of `type`. Strings point into `text`; the bytes of an Opaque are written to `scratch`. False: *remark
 * says why; else it says what was tolerated or is NULL. */
bool lwm2m_text_decode(struct slice text, enum lwm2m_type type, struct buffer *scratch, struct lwm2m_value *value,
                       const char **remark);

#endif
