/* Waiting for a device on behalf of a call that has asked it for something. */
#ifndef BERTH_WEB_V1_DEVICE_WAIT_H
#define BERTH_WEB_V1_DEVICE_WAIT_H

#include "web/web.h"

/* Answer with the device as soon as it has updated its registration after event number `after`, which may have happened
 * already; with 408 when it has not within `timeout_ms`. `endpoint` is copied. */
void device_wait_for_update(struct web *web, struct http_request *request, struct slice endpoint, uint64_t after,
                            uint64_t timeout_ms);

#endif
