/* What is kept, as rows: the verbs of store.h in terms of statements (statements.h) and values, whatever backend runs
 * them. Those that write belong between the backend's begin and commit, and are false when it failed. */
#ifndef BERTH_DB_ROWS_H
#define BERTH_DB_ROWS_H

#include "db/backend.h"

bool rows_load_registrations(struct backend *db, store_registration_fn *each, store_expect_fn *expect, void *arg,
                             char *error, size_t error_size);
bool rows_load_objects(struct backend *db, store_object_fn *each, void *arg, char *error, size_t error_size);
bool rows_load_observations(struct backend *db, store_observation_fn *each, void *arg, char *error, size_t error_size);
bool rows_load_requests(struct backend *db, store_request_fn *each, void *arg, char *error, size_t error_size);
bool rows_load_queue_settings(struct backend *db, store_queue_settings_fn *each, void *arg, char *error,
                              size_t error_size);
bool rows_load_credentials(struct backend *db, store_credential_fn *each, void *arg, char *error, size_t error_size);
bool rows_load_firmware_images(struct backend *db, store_firmware_image_fn *each, void *arg, char *error,
                               size_t error_size);
bool rows_load_firmware_updates(struct backend *db, store_firmware_update_fn *each, void *arg, char *error,
                                size_t error_size);
bool rows_load_bootstraps(struct backend *db, store_bootstrap_fn *each, void *arg, char *error, size_t error_size);
bool rows_load_documents(struct backend *db, store_document_fn *each, void *arg, char *error, size_t error_size);
bool rows_load_events(struct backend *db, store_events_fn *each, void *arg, char *error, size_t error_size);
bool rows_load_sessions(struct backend *db, store_session_fn *each, void *arg, char *error, size_t error_size);
bool rows_load_oscore_contexts(struct backend *db, store_oscore_context_fn *each, void *arg, char *error,
                               size_t error_size);
bool rows_load_resumptions(struct backend *db, store_resumption_fn *each, void *arg, char *error, size_t error_size);
long rows_get_setting(struct backend *db, const char *name, char *value, size_t value_size);

bool rows_put_registration(struct backend *db, const struct store_registration *registration);
bool rows_delete_registration(struct backend *db, uint64_t id);
bool rows_refresh_registration(struct backend *db, const struct store_refresh *refresh);
bool rows_clear_registrations(struct backend *db);
bool rows_put_setting(struct backend *db, struct slice name, struct slice value);
bool rows_put_object(struct backend *db, const struct store_object *object);
bool rows_delete_object(struct backend *db, uint16_t id, struct slice version);
bool rows_put_observation(struct backend *db, const struct store_observation *observation);
bool rows_delete_observation(struct backend *db, uint64_t id);
bool rows_clear_observations(struct backend *db);
bool rows_put_request(struct backend *db, const struct store_request *request);
bool rows_finish_request(struct backend *db, const struct store_request *request);
bool rows_delete_request(struct backend *db, uint64_t id);
bool rows_put_queue_settings(struct backend *db, const struct store_queue_settings *settings);
bool rows_delete_credentials(struct backend *db, struct slice endpoint);
bool rows_put_credential(struct backend *db, const struct store_credential *credential);
bool rows_put_firmware_image(struct backend *db, const struct store_firmware_image *image);
bool rows_put_firmware_update(struct backend *db, const struct store_firmware_update *update);
bool rows_put_document(struct backend *db, const struct store_document *document);
bool rows_put_events(struct backend *db, const struct store_events *events);
bool rows_put_bootstrap(struct backend *db, const struct store_bootstrap *bootstrap);
bool rows_put_session(struct backend *db, const struct store_session *session);
bool rows_refresh_session(struct backend *db, const struct store_session_state *state);
bool rows_delete_session(struct backend *db, uint64_t id);
bool rows_put_resumption(struct backend *db, const struct store_resumption *resumption);
bool rows_put_oscore_context(struct backend *db, const struct store_oscore_context *context);
bool rows_delete_resumption(struct backend *db, struct slice session_id);
bool rows_find_resumption(struct backend *db, struct slice session_id, store_resumption_fn *found, void *arg);

#endif
