/* What programs ask about the server itself. */
#ifndef BERTH_WEB_PROBES_H
#define BERTH_WEB_PROBES_H

#include "web/route.h"

route_fn probes_healthz; /* the loop lives */
route_fn probes_readyz;  /* registrations can be taken */
route_fn metrics_get;    /* Prometheus text format 0.0.4 */
route_fn openapi_get;
route_fn favicon_get;

/* The document as text, which the caller frees; NULL when out of memory. */
char *openapi_write(const struct route_table *const *tables, size_t count);

#endif
