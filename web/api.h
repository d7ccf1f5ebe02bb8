/* Every route, in one table: what is not here does not exist, and the OpenAPI document is made from it. */
#ifndef BERTH_WEB_API_H
#define BERTH_WEB_API_H

#include "web/route.h"

extern const struct route_table api_routes;

#endif
