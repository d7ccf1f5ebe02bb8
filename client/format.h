/* Which content formats the device speaks: each release of LwM2M has its own (LwM2M 1.0 §6.4, Core 1.1 §7.4, Core 1.2
 * §7.5). */
#ifndef BERTH_CLIENT_FORMAT_H
#define BERTH_CLIENT_FORMAT_H

#include "common/lwm2m/format.h"

/* Whether a device of this release (times ten) takes and gives payloads with this number, and for this use. Numbers from
 * before they were registered are not spoken. */
bool format_is_spoken(int content_format, enum lwm2m_format_use use, uint8_t version);

/* Append the `ct` attribute of the root in a registration (Core 1.2 §6.2.1): `;ct="0 42 60 …"`. */
void format_put_list(uint8_t version, struct buffer *out);

#endif
