#include "web/stored.h"

#include "web/web.h"

void *stored_request(const struct call *call) {
    call->request->arg = call->web;
    return call->request;
}

static const char *failure_text(const struct web *web, enum store_result result) {
    const char *problem = store_problem(web->server->store);
    if (result == STORE_QUEUE_FULL)
        return "too many changes wait for the database";
    if (problem != NULL)
        return problem;
    return result == STORE_DISK_FULL ? "database or disk is full" : "the database could not be written";
}

void answer_stored(void *arg, enum store_result result) {
    struct http_request *request = arg;
    if (result == STORE_OK)
        http_respond(request, &(struct http_response){.status = 204});
    else
        problem_send(request, PROBLEM_STORE, "Nothing has changed: %s. Try again later.",
                     failure_text(request->arg, result));
}
