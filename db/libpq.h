/* PostgreSQL's client library, loaded when a database of PostgreSQL is named: a score of libraries come with it, and 5 MB of
 * memory that nobody else shall pay. */
#ifndef BERTH_DB_LIBPQ_H
#define BERTH_DB_LIBPQ_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

/* Those that postgresql.c calls, without their PQ. */
/* clang-format off */
#define LIBPQ_FUNCTIONS(X) \
    X(clear) X(connectPoll) X(connectStartParams) X(conninfoFree) X(conninfoParse) X(consumeInput) X(db) \
    X(enterPipelineMode) X(errorMessage) X(exitPipelineMode) X(finish) X(flush) X(freemem) X(ftype) X(getResult) \
    X(getisnull) X(getlength) X(getvalue) X(host) X(isBusy) X(nfields) X(notifies) X(ntuples) X(pipelineStatus) \
    X(pipelineSync) X(port) X(resultErrorField) X(resultStatus) X(sendPrepare) X(sendQuery) X(sendQueryParams) X(sendQueryPrepared) \
    X(serverVersion) X(setNoticeProcessor) X(setSingleRowMode) X(setnonblocking) X(socket) X(status)
/* clang-format on */

struct libpq {
#define LIBPQ_MEMBER(name) __typeof__(PQ##name) *name;
    LIBPQ_FUNCTIONS(LIBPQ_MEMBER)
#undef LIBPQ_MEMBER
};

/* Whole after libpq_load. */
extern struct libpq libpq;

/* Not thread-safe; it stays loaded. False: one sentence in `problem`. */
bool libpq_load(char *problem, size_t problem_size);

#endif
