/* The answer to what has been done and has nothing to tell: 204. */
#ifndef BERTH_WEB_V1_DONE_H
#define BERTH_WEB_V1_DONE_H

#include "web/v1/device_call.h"

void done_answer(struct device_call *call, const struct operation_result *result);

#endif
