/* Queued calls on their way to the device: what was put into a queue by respond_async.h is made a request again, goes
 * through the same routes as if it had just come over HTTP, and its answer becomes the result. So it is judged by what
 * is true when the device gets it: by the version that the device has registered with by then, say. */
#ifndef BERTH_WEB_V1_REPLAY_H
#define BERTH_WEB_V1_REPLAY_H

#include "server/queue.h"
#include "web/http.h"
#include "web/web.h"

/* A queue_run_fn; its argument is the web. */
void replay_run(void *web, const struct queued_request *queued);

bool replay_is(const struct http_request *request);

/* It could not be brought to the device: back into the queue (see queue_put_back). The request is over, unanswered. */
void replay_put_back(struct http_request *request, uint64_t delay_ms);

/* The web stops: those under way are given up, and are run again after the next start. */
void replay_end_all(struct web *web);

#endif
