/* `Prefer: respond-async` (RFC 7240 §4.1): a call to a device is put into the device's queue, and answered with 202 when
 * that is stored. */
#ifndef BERTH_WEB_V1_RESPOND_ASYNC_H
#define BERTH_WEB_V1_RESPOND_ASYNC_H

#include "web/v1/device_call.h"

/* End the call so. `expires_ms`: how long it may wait; 0: as --queue-expiry says. */
void respond_async(struct device_call *call, uint64_t expires_ms);

#endif
