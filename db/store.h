/* What must survive, as verbs. The program keeps everything in memory and writes here; at start it reads everything
 * back once. Behind it stands a backend (backend.h): SQLite in the data directory, or PostgreSQL.
 *
 * All calls come from the loop's thread. Writes are queued, and a writer thread puts everything that arrived while its
 * last transaction ran into the next one (group commit). Completions run on the loop's thread, in the order of the
 * writes. The queue is bounded: a write that finds it full is refused, and the device is told to come again.
 *
 * Durability: a committed write survives the death of the process at any moment; with STORE_FULL also a power loss. */
#ifndef BERTH_DB_STORE_H
#define BERTH_DB_STORE_H

#include <uv.h>

#include "common/base/slice.h"
#include "common/net/address.h"

struct store;

enum store_durability { STORE_NORMAL, STORE_FULL };

enum store_result {
    STORE_OK = 0,
    STORE_QUEUE_FULL = -1, /* not queued; try again later */
    STORE_DISK_FULL = -2,  /* the whole transaction was undone */
    STORE_IO = -3,         /* likewise, for any other reason; store_problem() says which */
    STORE_UNKNOWN = -4,    /* the database was lost on the way: it may have been committed, and nobody will tell */
};

/* Called once for each queued write that asked for it, after its transaction has ended. */
typedef void store_done_fn(void *arg, enum store_result result);

/* A registration as it is kept. Slices are copied by the call, or point into memory valid through the callback. Times
 * are protocol time in Unix milliseconds. */
struct store_registration {
    uint64_t id; /* > 0, never used twice */
    struct slice endpoint;
    struct slice location; /* the segments below /rd, joined by '/': "4Kx9" or "account/0123…" */
    struct slice links;    /* canonical link format */
    struct slice root;     /* alternate path, "" for "/" */
    struct slice query;    /* registration parameters not listed here, joined by '&', raw bytes */
    struct slice sms;
    struct slice identity; /* of the security association, "" in NoSec */
    struct slice address;  /* the bytes of struct address: the peer's */
    struct slice local;    /* the bytes of struct address: ours */
    uint64_t session;      /* DTLS session by which it is reached; 0: none */
    uint32_t listener;     /* number of the listening URI */
    uint32_t lifetime_s;   /* 0: for ever */
    uint32_t flags;        /* bits of server/registration.h: version, binding, queue mode, profile */
    uint64_t registered_at_ms;
    uint64_t updated_at_ms;
    uint64_t expires_at_ms; /* UINT64_MAX: never */
};

/* A refreshed registration: what an Update changes most of the time. */
struct store_refresh {
    uint64_t id;
    uint64_t updated_at_ms;
    uint64_t expires_at_ms;
};

/* An object definition that was loaded over the API. Slices as above. */
struct store_object {
    uint16_t id;
    struct slice version; /* "1.1" */
    struct slice xml;     /* OMA XML */
};

/* An observation that goes on after a restart. Slices and times as above. */
struct store_observation {
    uint64_t id;              /* > 0, never used twice */
    uint64_t registration_id; /* of the registration to which the token was told */
    struct slice endpoint;
    struct slice paths;   /* "/3/0/9"; of a composite one joined by ' ' */
    struct slice token;   /* of CoAP */
    struct slice request; /* a CoAP message */
    uint64_t started_at_ms;
};

/* A request that waits for its device, or its result. Slices as above. */
struct store_request {
    uint64_t id; /* > 0, never used twice */
    struct slice endpoint;
    struct slice job;    /* not empty; its meaning is the business of whoever queued it */
    struct slice result; /* likewise; empty while there is none */
    uint32_t state;      /* enum queue_state of server/queue.h; 0: it waits */
    uint64_t created_at_ms;
    uint64_t expires_at_ms;
    uint64_t completed_at_ms; /* 0: not yet */
};

/* What was set for the queue of one device. */
struct store_queue_settings {
    struct slice endpoint;
    uint32_t awake_window_ms; /* 0: not set */
    uint32_t limit;           /* 0: not set */
};

/* A credential of an endpoint, as server/credential.c seals it. Slices as above. */
struct store_credential {
    struct slice endpoint;
    uint32_t mode, services; /* bits of server/credential.h */
    struct slice sealed;
};

/* What bootstrap gives an endpoint, as server/bootstrap_configs.c seals it; the endpoint "" is every other one. Slices as
 * above. */
struct store_bootstrap {
    struct slice endpoint;
    struct slice sealed;
};

/* What changes of a DTLS session. A restarted server sends from `number_limit` on, so it is written before the numbers
 * below it are used, and never goes back. */
struct store_session_state {
    uint64_t id;
    uint64_t number_limit;
    uint64_t window_top, window_bits; /* replay window */
    uint64_t used_ms;
    struct address peer;
};

/* A DTLS session, as server/dtls_sessions.c seals it. Slices as above. */
struct store_session {
    struct store_session_state state;
    uint32_t listener, flags;
    struct slice local; /* the bytes of struct address */
    struct slice sealed;
};

/* What resumes a session. Slices as above. */
struct store_resumption {
    struct slice session_id;
    uint64_t expires_ms;
    uint64_t identity; /* hashes of whose it is, the owner's business */
    struct slice sealed;
};

/* What outlives a run of an OSCORE context. Slices as above. */
struct store_oscore_context {
    struct slice digest;     /* 16 bytes */
    struct slice id_context; /* of the context that was derived anew; empty: there is none */
    uint64_t static_limit;   /* numbers below it may have been used with the configured context… */
    uint64_t number_limit;   /* …and with that one */
};

/* A firmware image, without its bytes. Slices as above. */
struct store_firmware_image {
    struct slice name;
    struct slice digest; /* SHA-256; empty: the image is to be deleted */
    struct slice url;
    uint64_t size;
    uint64_t created_at_ms;
};

/* A firmware update of a device, as server/firmware_update.c has it. Slices as above. */
struct store_firmware_update {
    struct slice endpoint, image, uri, detail;
    uint64_t flags; /* 0: it is to be deleted */
    uint32_t result;
    uint64_t created_at_ms, deadline_ms, ended_at_ms;
    uint64_t observation, observation_of_result;
};

/* A JSON document that a face of the API keeps: `kind` and `id` are its owner's business. Slices as above. */
struct store_document {
    uint32_t kind;
    struct slice id;
    struct slice text; /* empty: it is to be deleted */
};

/* Events that follow one another, as server/event_row.c has them. Slices as above. */
struct store_events {
    uint64_t first_id, last_id; /* numbers */
    uint64_t oldest_id;         /* to be put: rows that end before this one are to go; 0: none */
    struct slice bytes;         /* to be put: nothing is when it is empty */
};

struct store_options {
    const char *directory; /* made when missing, mode 0700; the files in it are 0600 */
    const char *database;  /* a URI of PostgreSQL; NULL: SQLite, in that directory */
    enum store_durability durability;
    size_t queue_bytes; /* bound of the queue; 0 means 32 MiB */
    uint64_t holder;    /* of a node to which it is given to write into `database` (node.h); 0: it is no node */
};

/* Whether `uri` can be `database`; else one sentence in `problem`. */
bool store_check_uri(const char *uri, char *problem, size_t problem_size);

/* Open or create the database, bring its schema up to date, take the directory for this process alone, and start the
 * writer. On failure returns NULL and writes one line to `error` (what is wrong and what to do): the directory can't be
 * used, another server uses it, the file is corrupt, is no database, is not Berth's, or is of a newer version. The file
 * is then untouched. */
struct store *store_open(uv_loop_t *loop, const struct store_options *options, char *error, size_t error_size);

/* True when the last process that had this store ended without store_close. */
bool store_was_unclean(const struct store *store);

/* The last time told by store_heartbeat before an unclean end; 0 when there is none. */
uint64_t store_last_heartbeat_ms(const struct store *store);

/* "I am alive, and what I acknowledge from now on may not be committed for a second": at most one short write to a file
 * of its own, no transaction. Call before acknowledging a refresh, once a second at most. */
void store_heartbeat(struct store *store, uint64_t now_ms);

/* Every registration, in ascending order of id. Before the first write. False when reading failed, or when a row makes no
 * sense; `error` says why. */
typedef void store_registration_fn(void *arg, const struct store_registration *registration);

/* A registration that will come soon, of which `endpoint`, `location` and `session` are there, so that what it needs can
 * be fetched from memory: told twice, the second time when it is near. Not of all of them. */
typedef void store_expect_fn(void *arg, const struct store_registration *registration, bool is_near);

/* `expect` may be NULL. */
bool store_load_registrations(struct store *store, store_registration_fn *each, store_expect_fn *expect, void *arg,
                              char *error, size_t error_size);

/* Every object definition, in ascending order of id and then of version as text. Otherwise like the above. */
typedef void store_object_fn(void *arg, const struct store_object *object);
bool store_load_objects(struct store *store, store_object_fn *each, void *arg, char *error, size_t error_size);

/* Every observation, in ascending order of id. Otherwise like the above. */
typedef void store_observation_fn(void *arg, const struct store_observation *observation);
bool store_load_observations(struct store *store, store_observation_fn *each, void *arg, char *error,
                             size_t error_size);

/* Every request, in ascending order of id; and the settings of every device's queue. */
typedef void store_request_fn(void *arg, const struct store_request *request);
bool store_load_requests(struct store *store, store_request_fn *each, void *arg, char *error, size_t error_size);
typedef void store_queue_settings_fn(void *arg, const struct store_queue_settings *settings);
bool store_load_queue_settings(struct store *store, store_queue_settings_fn *each, void *arg, char *error,
                               size_t error_size);

/* Every OSCORE context. Otherwise like the above. */
typedef void store_oscore_context_fn(void *arg, const struct store_oscore_context *context);
bool store_load_oscore_contexts(struct store *store, store_oscore_context_fn *each, void *arg, char *error,
                                size_t error_size);

/* Every credential, in the order of endpoints. Otherwise like the above. */
typedef void store_credential_fn(void *arg, const struct store_credential *credential);
bool store_load_credentials(struct store *store, store_credential_fn *each, void *arg, char *error, size_t error_size);

/* Every bootstrap configuration, in the order of endpoints. Otherwise like the above. */
typedef void store_bootstrap_fn(void *arg, const struct store_bootstrap *bootstrap);
bool store_load_bootstraps(struct store *store, store_bootstrap_fn *each, void *arg, char *error, size_t error_size);

/* Every firmware image, and every firmware update, in the order of their names. Otherwise like the above. */
typedef void store_firmware_image_fn(void *arg, const struct store_firmware_image *image);
bool store_load_firmware_images(struct store *store, store_firmware_image_fn *each, void *arg, char *error,
                                size_t error_size);
typedef void store_firmware_update_fn(void *arg, const struct store_firmware_update *update);
bool store_load_firmware_updates(struct store *store, store_firmware_update_fn *each, void *arg, char *error,
                                 size_t error_size);

/* Every document, by kind and then by id. Otherwise like the above. */
typedef void store_document_fn(void *arg, const struct store_document *document);
bool store_load_documents(struct store *store, store_document_fn *each, void *arg, char *error, size_t error_size);

/* Every row of events, in ascending order of their numbers. Otherwise like the above. */
typedef void store_events_fn(void *arg, const struct store_events *events);
bool store_load_events(struct store *store, store_events_fn *each, void *arg, char *error, size_t error_size);

/* Every session, and everything that resumes one, by time of expiry. Otherwise like the above. */
typedef void store_session_fn(void *arg, const struct store_session *session);
bool store_load_sessions(struct store *store, store_session_fn *each, void *arg, char *error, size_t error_size);
/* In the order in which they expire; store_load_resumptions leaves out what is sealed. */
typedef void store_resumption_fn(void *arg, const struct store_resumption *resumption);
bool store_load_resumptions(struct store *store, store_resumption_fn *each, void *arg, char *error, size_t error_size);

/* The committed one of this session ID is handed to `found`, within the call: one indexed lookup, without waiting for the
 * writer. False: there is none, or it can't be read. */
bool store_find_resumption(struct store *store, struct slice session_id, store_resumption_fn *found, void *arg);

/* Settings: small named values. `value` of store_get_setting may be NULL; it gets as much as fits, without a NUL. Returns
 * the whole length, or -1 when there is none. Reading is for the start only: it waits for a transaction under way. */
long store_get_setting(struct store *store, const char *name, char *value, size_t value_size);
enum store_result store_put_setting(struct store *store, const char *name, struct slice value, store_done_fn *done,
                                    void *arg);

/* Insert or replace `registration`, and delete the registrations `replaced` in the same transaction. `done` may be
 * NULL. */
enum store_result store_put_registration(struct store *store, const struct store_registration *registration,
                                         const uint64_t *replaced, size_t replaced_count, store_done_fn *done,
                                         void *arg);

enum store_result store_delete_registrations(struct store *store, const uint64_t *ids, size_t count,
                                             store_done_fn *done, void *arg);

/* Refresh many at once. Unknown ids are passed over. */
enum store_result store_refresh_registrations(struct store *store, const struct store_refresh *refreshes, size_t count,
                                              store_done_fn *done, void *arg);

/* Insert or replace an observation. */
enum store_result store_put_observation(struct store *store, const struct store_observation *observation,
                                        store_done_fn *done, void *arg);

/* Unknown ids are passed over. */
enum store_result store_delete_observations(struct store *store, const uint64_t *ids, size_t count, store_done_fn *done,
                                            void *arg);

/* Delete every registration, every observation, every request, and what was set for devices' queues. */
enum store_result store_clear_registrations(struct store *store, store_done_fn *done, void *arg);

/* Insert an object definition, or replace that of the same id and version. */
enum store_result store_put_object(struct store *store, const struct store_object *object, store_done_fn *done,
                                   void *arg);

/* One that is not there is passed over. */
enum store_result store_delete_object(struct store *store, uint16_t id, struct slice version, store_done_fn *done,
                                      void *arg);

/* Insert a request. */
enum store_result store_put_request(struct store *store, const struct store_request *request, store_done_fn *done,
                                    void *arg);

/* Write state, completed_at_ms and result of the request with this id; the other fields don't count. One that is not
 * there is passed over. */
enum store_result store_finish_request(struct store *store, const struct store_request *request, store_done_fn *done,
                                       void *arg);

enum store_result store_delete_requests(struct store *store, const uint64_t *ids, size_t count, store_done_fn *done,
                                        void *arg);

/* Insert or replace what is set for a device; delete it when nothing is. */
enum store_result store_put_queue_settings(struct store *store, const struct store_queue_settings *settings,
                                           store_done_fn *done, void *arg);

/* The credentials of `endpoint` are these `count` from now on (their endpoint is not looked at); none when `count` is
 * 0. */
enum store_result store_put_credentials(struct store *store, struct slice endpoint,
                                        const struct store_credential *credentials, size_t count, store_done_fn *done,
                                        void *arg);

/* Insert or replace the bootstrap configuration of an endpoint; delete it when nothing is sealed. One that is not there is
 * passed over. */
enum store_result store_put_bootstrap(struct store *store, const struct store_bootstrap *bootstrap, store_done_fn *done,
                                      void *arg);

/* Insert or replace; delete what has no digest, or no flags. What is not there is passed over then. */
enum store_result store_put_firmware_image(struct store *store, const struct store_firmware_image *image,
                                           store_done_fn *done, void *arg);
enum store_result store_put_firmware_update(struct store *store, const struct store_firmware_update *update,
                                            store_done_fn *done, void *arg);

/* Insert or replace; delete one without text. What is not there is passed over then. */
enum store_result store_put_document(struct store *store, const struct store_document *document, store_done_fn *done,
                                     void *arg);

/* Insert events, or replace those that begin with the same number; and forget old ones. */
enum store_result store_put_events(struct store *store, const struct store_events *events, store_done_fn *done,
                                   void *arg);

/* Insert or replace a session. */
enum store_result store_put_session(struct store *store, const struct store_session *session, store_done_fn *done,
                                    void *arg);

/* Refresh many at once. Unknown ids are passed over, and a number_limit below the stored one is not written. */
enum store_result store_refresh_sessions(struct store *store, const struct store_session_state *states, size_t count,
                                         store_done_fn *done, void *arg);

enum store_result store_delete_sessions(struct store *store, const uint64_t *ids, size_t count, store_done_fn *done,
                                        void *arg);

enum store_result store_put_resumption(struct store *store, const struct store_resumption *resumption,
                                       store_done_fn *done, void *arg);

/* Delete the one of this session ID; one that is not there is passed over. */
enum store_result store_delete_resumption(struct store *store, struct slice session_id, store_done_fn *done, void *arg);

/* Insert or replace. */
enum store_result store_put_oscore_context(struct store *store, const struct store_oscore_context *context,
                                           store_done_fn *done, void *arg);

/* Why writes fail now, as a short sentence for a person ("database or disk is full"), or NULL while they succeed. Turns
 * NULL again with the first transaction that succeeds. */
const char *store_problem(const struct store *store);

/* Called ahead of every write but store_refresh_sessions and store_put_events, from within the call: what it writes is in
 * the same transaction or an earlier one. False: the write is refused, as when the queue is full. NULL: nothing comes
 * before. */
typedef bool store_before_fn(void *arg);
void store_set_before(struct store *store, store_before_fn *before, void *arg);

struct store_counters {
    uint64_t transactions, writes, failed_transactions;
    uint64_t commit_ns;     /* spent in transactions altogether */
    uint64_t queued_writes; /* now waiting */
    uint64_t queued_bytes;
};
struct store_counters store_counters(const struct store *store);

/* Give memory back that writes have left, when nothing is expected to be written for a while. */
void store_settle(struct store *store);

/* Commit what is queued, run its completions, mark the end as clean unless the last transaction failed, give the
 * directory free. Not from a completion. The last memory is freed when the loop has run the close callbacks. False: the
 * last transaction failed. */
bool store_close(struct store *store);

#endif
