/* The version of an object when a registration names none (Core 1.2 §7.2.3, Table E-1): that of the LwM2M release which
 * the client announced, and 1.0 for objects that are not part of it. */
#ifndef BERTH_LWM2M_OBJECT_VERSION_H
#define BERTH_LWM2M_OBJECT_VERSION_H

#include <stdint.h>

/* `enabler` is the announced release times ten: 10, 11 or 12; any other is taken as the nearest of them. */
const char *lwm2m_object_version(uint8_t enabler, uint16_t object_id);

#endif
