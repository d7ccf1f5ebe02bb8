/* Queued requests as the API shows them. */
#ifndef BERTH_WEB_V1_QUEUED_JSON_H
#define BERTH_WEB_V1_QUEUED_JSON_H

#include <jansson.h>

#include "server/queue.h"
#include "web/v1/job.h"

/* {id, endpoint, method, path, state, attempts, created_at, expires_at, completed_at}, without its response. */
json_t *queued_json(const struct queued_request *request);

/* What a request that is over has to tell: its result, or a problem that says why there is none. Freed with
 * queued_answer_free, while the request is there. */
struct queued_answer {
    struct job_result result;
    char *owned;
};
void queued_answer_of(const struct queued_request *request, struct queued_answer *answer);
void queued_answer_free(struct queued_answer *answer);

/* The text of queued_json with the member response added: {status, headers, content_type, body}. A JSON body is in it
 * as it is, to the last digit; another is a string when it is text, else body_b64. Allocated; NULL without memory. */
char *queued_json_with_response(const struct queued_request *request);

#endif
