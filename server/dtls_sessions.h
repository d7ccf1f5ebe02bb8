/* Keeps DTLS sessions over restarts (common/net/dtls.h says when what must be written). Keys are sealed once, when a
 * session has them; what moves with every message, record numbers and replay windows, is written in the open beside them.
 *
 * A window that has moved is noted in a journal before its message is handed on (db/window_journal.h), so that the death of
 * the process brings no record back. What a power loss leaves is in the database, too: windows are written there ahead of
 * what their messages change, in the same transaction, and otherwise once a minute while they move; with --durability full
 * within half a second. */
#ifndef BERTH_SERVER_DTLS_SESSIONS_H
#define BERTH_SERVER_DTLS_SESSIONS_H

#include "common/net/dtls.h"
#include "server/server.h"

struct dtls_sessions;

/* The part of the handlers that keeps sessions and what resumes them; `sessions` is their argument's, see
 * dtls_service.c. NULL: one line in `error`. */
struct dtls_sessions *dtls_sessions_new(struct server *server, char *error, size_t error_size);
/* After the store was closed. */
void dtls_sessions_free(struct dtls_sessions *sessions);

/* Before anything else is called; without coaps listeners never: rows of sessions are deleted when they are loaded. */
void dtls_sessions_serve(struct dtls_sessions *sessions, struct dtls *dtls);

/* Bring everything back; sessions and resumptions that rest on a credential that is gone are forgotten. False: one line in
 * `error`. */
bool dtls_sessions_load(struct dtls_sessions *sessions, char *error, size_t error_size);

/* Write the windows that are to be in the database by now. False: not all of them, the queue is full. */
bool dtls_sessions_write(struct dtls_sessions *sessions);

/* Nothing resumes with this identity any more. */
void dtls_sessions_forget_identity(struct dtls_sessions *sessions, const struct link_identity *identity);

/* ---- handlers of struct dtls_handlers ---- */

void dtls_sessions_save(struct dtls_sessions *sessions, struct link *link);
void dtls_sessions_reserve(struct dtls_sessions *sessions, struct link *link, uint64_t id, uint64_t number_limit);
void dtls_sessions_touched(struct dtls_sessions *sessions, struct link *link);
void dtls_sessions_moved(struct dtls_sessions *sessions, struct link *link);
void dtls_sessions_forget(struct dtls_sessions *sessions, struct link *link, uint64_t id);
void dtls_sessions_resume_put(struct dtls_sessions *sessions, struct slice session_id,
                              const struct link_identity *identity, struct slice secret, uint64_t expires_ms);
bool dtls_sessions_resume_get(struct dtls_sessions *sessions, struct slice session_id, struct buffer *secret);

bool dtls_sessions_permitted(struct dtls_sessions *sessions, const struct link_identity *identity, bool chain_trusted);

/* How many can be resumed now. */
size_t dtls_sessions_resumable(const struct dtls_sessions *sessions);

#endif
