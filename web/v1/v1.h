/* The handlers of /v1, a file each. What they do is said in web/api.c and docs/http-api.md. */
#ifndef BERTH_WEB_V1_V1_H
#define BERTH_WEB_V1_V1_H

#include "web/route.h"

route_fn v1_devices_list, v1_devices_get, v1_devices_forget;
route_fn v1_events_get, v1_events_last;
route_fn v1_wait_post;
route_fn v1_clock_get, v1_clock_advance;
route_fn v1_reset_post;

#endif
