/* `berth-server --healthcheck`: asks the server at `http` for /healthz, as a container's health check does. Blocks for
 * two seconds at most. */
#ifndef BERTH_WEB_HEALTHCHECK_H
#define BERTH_WEB_HEALTHCHECK_H

#include "common/net/address.h"

bool healthcheck(const struct address *http);

#endif
