/* The database file: one SQLite connection in WAL mode, its schema, and the statements behind the verbs of store.h.
 * Nothing here knows threads or queues; one thread at a time uses it. sqlite_find_resumption is the exception: it has a
 * connection of its own, to read only, and may be called by one other thread at any time.
 *
 * Changes happen between sqlite_begin and sqlite_commit. Each of them is false when it failed: the caller then asks
 * sqlite_failure what happened, and calls sqlite_rollback. */
#ifndef BERTH_DB_SQLITE_H
#define BERTH_DB_SQLITE_H

#include "db/store.h"

struct sqlite;

/* Open `path`, or create it when it is missing or empty, and bring its schema up to date. `check` looks through the
 * whole file for damage. On failure NULL and one line in `error`; the file is as it was. */
struct sqlite *sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
                           size_t error_size);

void sqlite_close(struct sqlite *db);

bool sqlite_load_registrations(struct sqlite *db, store_registration_fn *each, void *arg, char *error,
                               size_t error_size);
bool sqlite_load_objects(struct sqlite *db, store_object_fn *each, void *arg, char *error, size_t error_size);
bool sqlite_load_observations(struct sqlite *db, store_observation_fn *each, void *arg, char *error, size_t error_size);
bool sqlite_load_requests(struct sqlite *db, store_request_fn *each, void *arg, char *error, size_t error_size);
bool sqlite_load_queue_settings(struct sqlite *db, store_queue_settings_fn *each, void *arg, char *error,
                                size_t error_size);
bool sqlite_load_credentials(struct sqlite *db, store_credential_fn *each, void *arg, char *error, size_t error_size);
bool sqlite_load_documents(struct sqlite *db, store_document_fn *each, void *arg, char *error, size_t error_size);
bool sqlite_load_firmware_images(struct sqlite *db, store_firmware_image_fn *each, void *arg, char *error,
                                 size_t error_size);
bool sqlite_load_firmware_updates(struct sqlite *db, store_firmware_update_fn *each, void *arg, char *error,
                                  size_t error_size);
bool sqlite_load_bootstraps(struct sqlite *db, store_bootstrap_fn *each, void *arg, char *error, size_t error_size);
bool sqlite_load_sessions(struct sqlite *db, store_session_fn *each, void *arg, char *error, size_t error_size);
bool sqlite_load_oscore_contexts(struct sqlite *db, store_oscore_context_fn *each, void *arg, char *error,
                                 size_t error_size);
bool sqlite_load_resumptions(struct sqlite *db, store_resumption_fn *each, void *arg, char *error, size_t error_size);
long sqlite_get_setting(struct sqlite *db, const char *name, char *value, size_t value_size);

bool sqlite_begin(struct sqlite *db);
bool sqlite_put_registration(struct sqlite *db, const struct store_registration *registration);
bool sqlite_delete_registration(struct sqlite *db, uint64_t id);
bool sqlite_refresh_registration(struct sqlite *db, const struct store_refresh *refresh);
bool sqlite_clear_registrations(struct sqlite *db);
bool sqlite_put_setting(struct sqlite *db, struct slice name, struct slice value);
bool sqlite_put_object(struct sqlite *db, const struct store_object *object);
bool sqlite_delete_object(struct sqlite *db, uint16_t id, struct slice version);
bool sqlite_put_observation(struct sqlite *db, const struct store_observation *observation);
bool sqlite_delete_observation(struct sqlite *db, uint64_t id);
bool sqlite_clear_observations(struct sqlite *db);
bool sqlite_put_request(struct sqlite *db, const struct store_request *request);
bool sqlite_finish_request(struct sqlite *db, const struct store_request *request);
bool sqlite_delete_request(struct sqlite *db, uint64_t id);
bool sqlite_put_queue_settings(struct sqlite *db, const struct store_queue_settings *settings);
bool sqlite_delete_credentials(struct sqlite *db, struct slice endpoint);
bool sqlite_put_credential(struct sqlite *db, const struct store_credential *credential);
bool sqlite_put_document(struct sqlite *db, const struct store_document *document);
bool sqlite_put_firmware_image(struct sqlite *db, const struct store_firmware_image *image);
bool sqlite_put_firmware_update(struct sqlite *db, const struct store_firmware_update *update);
bool sqlite_put_bootstrap(struct sqlite *db, const struct store_bootstrap *bootstrap);
bool sqlite_put_session(struct sqlite *db, const struct store_session *session);
bool sqlite_refresh_session(struct sqlite *db, const struct store_session_state *state);
bool sqlite_delete_session(struct sqlite *db, uint64_t id);
bool sqlite_put_resumption(struct sqlite *db, const struct store_resumption *resumption);
bool sqlite_put_oscore_context(struct sqlite *db, const struct store_oscore_context *context);
bool sqlite_delete_resumption(struct sqlite *db, struct slice session_id);
bool sqlite_find_resumption(struct sqlite *db, struct slice session_id, store_resumption_fn *found, void *arg);
bool sqlite_commit(struct sqlite *db);
void sqlite_rollback(struct sqlite *db);

/* The kind of the last failure, and a short sentence about it. */
enum store_result sqlite_failure(const struct sqlite *db, char *text, size_t size);

/* Move the write-ahead log into the database file when it has grown long: call after a commit, when nobody waits. */
void sqlite_checkpoint(struct sqlite *db);

#endif
