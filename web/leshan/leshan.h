/* The HTTP API of the Eclipse Leshan demo servers (docs/leshan-api.md), which test scripts speak, under /api: their shapes
 * over what /v1 does. Its routes are a table of their own, in which parameters that nobody knows are passed over. */
#ifndef BERTH_WEB_LESHAN_LESHAN_H
#define BERTH_WEB_LESHAN_LESHAN_H

#include <jansson.h>

#include "server/directory.h"
#include "server/queue.h"
#include "server/trace.h"
#include "web/route.h"
#include "web/web.h"

extern const struct route_table leshan_routes;

/* Whether a path belongs to them; then its empty segments are taken out, which count for nothing there. */
bool leshan_has(struct route_path *path);

route_fn leshan_clients_list, leshan_clients_get;
route_fn leshan_read, leshan_discover, leshan_write, leshan_write_attributes, leshan_create, leshan_execute;
route_fn leshan_delete, leshan_observe, leshan_cancel, leshan_refuse_object;
route_fn leshan_composite_read, leshan_composite_write, leshan_composite_observe, leshan_composite_cancel;
route_fn leshan_events_get, leshan_objectspecs_get;
route_fn leshan_security_list, leshan_security_put, leshan_security_delete;
route_fn leshan_server_security, leshan_server_endpoints;
route_fn leshan_bootstrap_list, leshan_bootstrap_get, leshan_bootstrap_post, leshan_bootstrap_delete;

/* A registration as the demo server shows it. */
json_t *leshan_registration_json(const struct registration *registration);

/* Answer with plain text, formatted as printf does: errors are no more than that there. */
void leshan_send_text(struct http_request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Append a segment of a path: what is not unreserved (RFC 3986 §2.3) gets its '%'. */
void leshan_put_encoded(struct buffer *out, struct slice text);

/* A queued request that is over, as the event REQUEST_RESPONSE tells it; NULL: it was not asked for here. */
json_t *leshan_queued_json(const struct queued_request *request);

/* The message of an entry, as COAPLOG tells it; NULL: there is none in it. */
json_t *leshan_coap_log_json(const struct trace_entry *entry);

#endif
