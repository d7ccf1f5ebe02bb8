/* Requests whose answer waits for a commit. */
#ifndef BERTH_WEB_STORED_H
#define BERTH_WEB_STORED_H

#include "db/store.h"
#include "web/route.h"

/* The argument to give with answer_stored to a verb that stores: the request. */
void *stored_request(const struct call *call);

/* A store_done_fn: answers 204 when it was committed, else a problem that says why not. */
void answer_stored(void *request, enum store_result result);

#endif
