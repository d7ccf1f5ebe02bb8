/* The verbs: each write becomes a record in the writer's batch, and run_batch makes the records into one transaction. A
 * record is a struct of this file followed by the bytes that it speaks of; both ends are here. */
#include "db/store.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "db/lock_file.h"
#include "db/postgresql.h"
#include "db/rows.h"
#include "db/sqlite.h"
#include "db/writer.h"

enum { QUEUE_BYTES_DEFAULT = 32 * 1024 * 1024, CHECK_ALWAYS_BYTES = 4 * 1024 * 1024 };

struct store {
    struct lock_file lock;
    struct backend *db;
    struct writer *writer;
    uv_mutex_t db_mutex; /* the writer's thread has it while it uses `db` */
    uint64_t last_heartbeat_ms;
    store_before_fn *before;
    void *before_arg;
};

enum record_kind {
    PUT_SETTING,
    PUT_REGISTRATION,
    DELETE_REGISTRATIONS,
    REFRESH_REGISTRATIONS,
    CLEAR_REGISTRATIONS,
    PUT_OBJECT,
    DELETE_OBJECT,
    PUT_OBSERVATION,
    DELETE_OBSERVATIONS,
    PUT_REQUEST,
    FINISH_REQUEST,
    DELETE_REQUESTS,
    PUT_QUEUE_SETTINGS,
    PUT_CREDENTIALS,
    PUT_BOOTSTRAP,
    PUT_SESSION,
    REFRESH_SESSIONS,
    DELETE_SESSIONS,
    PUT_RESUMPTION,
    DELETE_RESUMPTION,
    PUT_OSCORE_CONTEXT,
    PUT_FIRMWARE_IMAGE,
    PUT_FIRMWARE_UPDATE,
    PUT_DOCUMENT,
    PUT_EVENTS,
};

struct record {
    uint32_t size; /* of the whole record, with what follows, up to the next one */
    uint32_t kind; /* enum record_kind */
    uint32_t count;
    uint32_t value_len;
};

/* PUT_SETTING: name (`count` bytes) and value. DELETE_REGISTRATIONS: `count` ids. REFRESH_REGISTRATIONS: `count` struct
 * store_refresh. PUT_REGISTRATION: a struct store_registration, `count` ids that it replaces, and the bytes of its
 * slices one after the other; its pointers mean nothing here. PUT_OBJECT and DELETE_OBJECT: a struct store_object,
 * likewise; to delete, without XML. PUT_OBSERVATION: a struct store_observation, likewise. DELETE_OBSERVATIONS: `count`
 * ids. PUT_REQUEST and FINISH_REQUEST: a struct store_request, likewise, PUT_QUEUE_SETTINGS: a struct
 * store_queue_settings. DELETE_REQUESTS: `count` ids. PUT_CREDENTIALS: `count` struct store_credential, the bytes of the
 * endpoint (`value_len`), and what is sealed of each. PUT_BOOTSTRAP: a struct store_bootstrap, likewise. PUT_SESSION: a struct store_session, likewise. REFRESH_SESSIONS:
 * `count` struct store_session_state. DELETE_SESSIONS: `count` ids. PUT_RESUMPTION and DELETE_RESUMPTION: a struct
 * store_resumption, likewise; to delete, without what is sealed. PUT_OSCORE_CONTEXT: a struct
 * store_oscore_context, likewise. PUT_FIRMWARE_IMAGE: a struct store_firmware_image, likewise. PUT_FIRMWARE_UPDATE: a
 * struct store_firmware_update, likewise. PUT_DOCUMENT: a struct store_document, likewise. PUT_EVENTS:
 * a struct store_events, likewise. */

enum { TEXT_COUNT = 9, OBSERVATION_TEXT_COUNT = 4 };

static void list_texts(struct store_registration *r, struct slice *texts[TEXT_COUNT]) {
    struct slice *list[TEXT_COUNT] = {&r->endpoint, &r->location, &r->links,   &r->root, &r->query,
                                      &r->sms,      &r->identity, &r->address, &r->local};
    memcpy(texts, list, sizeof list);
}

static void list_observation_texts(struct store_observation *o, struct slice *texts[OBSERVATION_TEXT_COUNT]) {
    struct slice *list[OBSERVATION_TEXT_COUNT] = {&o->endpoint, &o->paths, &o->token, &o->request};
    memcpy(texts, list, sizeof list);
}

/* ---- the writer's thread ---- */

static bool apply_put_registration(struct backend *db, const struct record *record) {
    struct store_registration r;
    const uint8_t *at = (const uint8_t *)(record + 1);
    memcpy(&r, at, sizeof r);
    at += sizeof r;
    const uint64_t *replaced = (const uint64_t *)(const void *)at;
    at += record->count * sizeof *replaced;
    struct slice *texts[TEXT_COUNT];
    list_texts(&r, texts);
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        texts[i]->data = at;
        at += texts[i]->len;
    }
    for (size_t i = 0; i < record->count; i++) {
        if (!rows_delete_registration(db, replaced[i]))
            return false;
    }
    return rows_put_registration(db, &r);
}

static bool apply_delete_registrations(struct backend *db, const struct record *record) {
    const uint64_t *ids = (const uint64_t *)(const void *)(record + 1);
    for (size_t i = 0; i < record->count; i++) {
        if (!rows_delete_registration(db, ids[i]))
            return false;
    }
    return true;
}

static int compare_refreshes(const void *left, const void *right) {
    const struct store_refresh *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->updated_at_ms < b->updated_at_ms ? -1 : a->updated_at_ms > b->updated_at_ms;
}

/* In the order of the table, so that each page is visited once: a third less work for thousands of refreshes. */
static bool apply_refresh_registrations(struct backend *db, struct record *record) {
    struct store_refresh *refreshes = (struct store_refresh *)(void *)(record + 1);
    qsort(refreshes, record->count, sizeof *refreshes, compare_refreshes);
    for (size_t i = 0; i < record->count; i++) {
        if (!rows_refresh_registration(db, &refreshes[i]))
            return false;
    }
    return true;
}

static struct store_object object_in(const struct record *record) {
    struct store_object object;
    const uint8_t *at = (const uint8_t *)(record + 1);
    memcpy(&object, at, sizeof object);
    object.version.data = at + sizeof object;
    object.xml.data = object.version.data + object.version.len;
    return object;
}

static bool apply_put_object(struct backend *db, const struct record *record) {
    struct store_object object = object_in(record);
    return rows_put_object(db, &object);
}

static bool apply_delete_object(struct backend *db, const struct record *record) {
    struct store_object object = object_in(record);
    return rows_delete_object(db, object.id, object.version);
}

static bool apply_put_observation(struct backend *db, const struct record *record) {
    struct store_observation o;
    const uint8_t *at = (const uint8_t *)(record + 1);
    memcpy(&o, at, sizeof o);
    at += sizeof o;
    struct slice *texts[OBSERVATION_TEXT_COUNT];
    list_observation_texts(&o, texts);
    for (size_t i = 0; i < OBSERVATION_TEXT_COUNT; i++) {
        texts[i]->data = at;
        at += texts[i]->len;
    }
    return rows_put_observation(db, &o);
}

static bool apply_delete_observations(struct backend *db, const struct record *record) {
    const uint64_t *ids = (const uint64_t *)(const void *)(record + 1);
    for (size_t i = 0; i < record->count; i++) {
        if (!rows_delete_observation(db, ids[i]))
            return false;
    }
    return true;
}

static struct store_request request_in(const struct record *record) {
    struct store_request request;
    const uint8_t *at = (const uint8_t *)(record + 1);
    memcpy(&request, at, sizeof request);
    request.endpoint.data = at + sizeof request;
    request.job.data = request.endpoint.data + request.endpoint.len;
    request.result.data = request.job.data + request.job.len;
    return request;
}

static bool apply_put_request(struct backend *db, const struct record *record) {
    struct store_request request = request_in(record);
    return rows_put_request(db, &request);
}

static bool apply_finish_request(struct backend *db, const struct record *record) {
    struct store_request request = request_in(record);
    return rows_finish_request(db, &request);
}

static bool apply_delete_requests(struct backend *db, const struct record *record) {
    const uint64_t *ids = (const uint64_t *)(const void *)(record + 1);
    for (size_t i = 0; i < record->count; i++) {
        if (!rows_delete_request(db, ids[i]))
            return false;
    }
    return true;
}

static bool apply_put_queue_settings(struct backend *db, const struct record *record) {
    struct store_queue_settings settings;
    const uint8_t *at = (const uint8_t *)(record + 1);
    memcpy(&settings, at, sizeof settings);
    settings.endpoint.data = at + sizeof settings;
    return rows_put_queue_settings(db, &settings);
}

static bool apply_put_credentials(struct backend *db, const struct record *record) {
    const struct store_credential *all = (const struct store_credential *)(const void *)(record + 1);
    const uint8_t *at = (const uint8_t *)(all + record->count);
    struct slice endpoint = slice_of(at, record->value_len);
    at += endpoint.len;
    if (!rows_delete_credentials(db, endpoint))
        return false;
    for (size_t i = 0; i < record->count; i++) {
        struct store_credential credential = all[i];
        credential.endpoint = endpoint;
        credential.sealed.data = at;
        at += credential.sealed.len;
        if (!rows_put_credential(db, &credential))
            return false;
    }
    return true;
}

static bool apply_put_bootstrap(struct backend *db, const struct record *record) {
    struct store_bootstrap bootstrap;
    const uint8_t *at = (const uint8_t *)(record + 1);
    memcpy(&bootstrap, at, sizeof bootstrap);
    bootstrap.endpoint.data = at + sizeof bootstrap;
    bootstrap.sealed.data = bootstrap.endpoint.data + bootstrap.endpoint.len;
    return rows_put_bootstrap(db, &bootstrap);
}

static bool apply_put_session(struct backend *db, struct record *record) {
    struct store_session *session = (struct store_session *)(void *)(record + 1); /* its address lives to the commit */
    session->local.data = (const uint8_t *)(session + 1);
    session->sealed.data = session->local.data + session->local.len;
    return rows_put_session(db, session);
}

static bool apply_refresh_sessions(struct backend *db, const struct record *record) {
    const struct store_session_state *states = (const struct store_session_state *)(const void *)(record + 1);
    for (size_t i = 0; i < record->count; i++) {
        if (!rows_refresh_session(db, &states[i]))
            return false;
    }
    return true;
}

static bool apply_delete_sessions(struct backend *db, const struct record *record) {
    const uint64_t *ids = (const uint64_t *)(const void *)(record + 1);
    for (size_t i = 0; i < record->count; i++) {
        if (!rows_delete_session(db, ids[i]))
            return false;
    }
    return true;
}

static struct store_resumption resumption_in(const struct record *record) {
    struct store_resumption resumption;
    const uint8_t *at = (const uint8_t *)(record + 1);
    memcpy(&resumption, at, sizeof resumption);
    resumption.session_id.data = at + sizeof resumption;
    resumption.sealed.data = resumption.session_id.data + resumption.session_id.len;
    return resumption;
}

static bool apply_put_resumption(struct backend *db, const struct record *record) {
    struct store_resumption resumption = resumption_in(record);
    return rows_put_resumption(db, &resumption);
}

static bool apply_put_oscore_context(struct backend *db, const struct record *record) {
    struct store_oscore_context context;
    const uint8_t *at = (const uint8_t *)(record + 1);
    memcpy(&context, at, sizeof context);
    context.digest.data = at + sizeof context;
    context.id_context.data = context.digest.data + context.digest.len;
    return rows_put_oscore_context(db, &context);
}

enum { IMAGE_TEXT_COUNT = 3, UPDATE_TEXT_COUNT = 4 };

static void list_image_texts(struct store_firmware_image *i, struct slice *texts[IMAGE_TEXT_COUNT]) {
    struct slice *list[IMAGE_TEXT_COUNT] = {&i->name, &i->digest, &i->url};
    memcpy(texts, list, sizeof list);
}

static void list_update_texts(struct store_firmware_update *u, struct slice *texts[UPDATE_TEXT_COUNT]) {
    struct slice *list[UPDATE_TEXT_COUNT] = {&u->endpoint, &u->image, &u->uri, &u->detail};
    memcpy(texts, list, sizeof list);
}

/* The bytes of slices lie one after the other. */
static void place_texts(const uint8_t *at, struct slice **texts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        texts[i]->data = at;
        at += texts[i]->len;
    }
}

static bool apply_put_firmware_image(struct backend *db, const struct record *record) {
    struct store_firmware_image image;
    struct slice *texts[IMAGE_TEXT_COUNT];
    memcpy(&image, record + 1, sizeof image);
    list_image_texts(&image, texts);
    place_texts((const uint8_t *)(record + 1) + sizeof image, texts, IMAGE_TEXT_COUNT);
    return rows_put_firmware_image(db, &image);
}

static bool apply_put_firmware_update(struct backend *db, const struct record *record) {
    struct store_firmware_update update;
    struct slice *texts[UPDATE_TEXT_COUNT];
    memcpy(&update, record + 1, sizeof update);
    list_update_texts(&update, texts);
    place_texts((const uint8_t *)(record + 1) + sizeof update, texts, UPDATE_TEXT_COUNT);
    return rows_put_firmware_update(db, &update);
}

enum { DOCUMENT_TEXT_COUNT = 2 };

static void list_document_texts(struct store_document *d, struct slice *texts[DOCUMENT_TEXT_COUNT]) {
    texts[0] = &d->id;
    texts[1] = &d->text;
}

static bool apply_put_document(struct backend *db, const struct record *record) {
    struct store_document document;
    struct slice *texts[DOCUMENT_TEXT_COUNT];
    memcpy(&document, record + 1, sizeof document);
    list_document_texts(&document, texts);
    place_texts((const uint8_t *)(record + 1) + sizeof document, texts, DOCUMENT_TEXT_COUNT);
    return rows_put_document(db, &document);
}

static bool apply_put_events(struct backend *db, const struct record *record) {
    struct store_events events;
    memcpy(&events, record + 1, sizeof events);
    events.bytes.data = (const uint8_t *)(record + 1) + sizeof events;
    return rows_put_events(db, &events);
}

static bool apply(struct backend *db, struct record *record) {
    switch ((enum record_kind)record->kind) {
    case PUT_SETTING: {
        const uint8_t *name = (const uint8_t *)(record + 1);
        return rows_put_setting(db, slice_of(name, record->count), slice_of(name + record->count, record->value_len));
    }
    case PUT_REGISTRATION:
        return apply_put_registration(db, record);
    case DELETE_REGISTRATIONS:
        return apply_delete_registrations(db, record);
    case REFRESH_REGISTRATIONS:
        return apply_refresh_registrations(db, record);
    case CLEAR_REGISTRATIONS:
        return rows_clear_registrations(db) && rows_clear_observations(db);
    case PUT_OBJECT:
        return apply_put_object(db, record);
    case DELETE_OBJECT:
        return apply_delete_object(db, record);
    case PUT_OBSERVATION:
        return apply_put_observation(db, record);
    case DELETE_OBSERVATIONS:
        return apply_delete_observations(db, record);
    case PUT_REQUEST:
        return apply_put_request(db, record);
    case FINISH_REQUEST:
        return apply_finish_request(db, record);
    case DELETE_REQUESTS:
        return apply_delete_requests(db, record);
    case PUT_QUEUE_SETTINGS:
        return apply_put_queue_settings(db, record);
    case PUT_CREDENTIALS:
        return apply_put_credentials(db, record);
    case PUT_BOOTSTRAP:
        return apply_put_bootstrap(db, record);
    case PUT_SESSION:
        return apply_put_session(db, record);
    case REFRESH_SESSIONS:
        return apply_refresh_sessions(db, record);
    case DELETE_SESSIONS:
        return apply_delete_sessions(db, record);
    case PUT_RESUMPTION:
        return apply_put_resumption(db, record);
    case DELETE_RESUMPTION:
        return rows_delete_resumption(db, resumption_in(record).session_id);
    case PUT_OSCORE_CONTEXT:
        return apply_put_oscore_context(db, record);
    case PUT_FIRMWARE_IMAGE:
        return apply_put_firmware_image(db, record);
    case PUT_FIRMWARE_UPDATE:
        return apply_put_firmware_update(db, record);
    case PUT_DOCUMENT:
        return apply_put_document(db, record);
    case PUT_EVENTS:
        return apply_put_events(db, record);
    }
    return false;
}

static bool apply_all(struct backend *db, uint8_t *records, size_t len) {
    for (size_t at = 0; at < len;) {
        struct record *record = (struct record *)(void *)(records + at);
        if (!apply(db, record))
            return false;
        at += record->size;
    }
    return true;
}

static enum store_result run_batch(void *arg, uint8_t *records, size_t len, char *problem, size_t problem_size) {
    struct store *store = arg;
    struct backend *db = store->db;
    uv_mutex_lock(&store->db_mutex);
    enum store_result result = STORE_OK;
    while (!db->ops->begin(db) || !apply_all(db, records, len) || !db->ops->commit(db)) {
        result = db->ops->failure(db, problem, problem_size);
        if (!db->ops->rollback(db))
            break;
        result = STORE_OK;
    }
    uv_mutex_unlock(&store->db_mutex);
    return result;
}

static void tidy(void *arg) {
    struct store *store = arg;
    uv_mutex_lock(&store->db_mutex);
    store->db->ops->tidy(store->db);
    uv_mutex_unlock(&store->db_mutex);
}

/* ---- the loop's thread ---- */

/* Room for a record whose kind is followed by `size` bytes; NULL when the queue is full. */
static struct record *put_alone(struct store *store, enum record_kind kind, size_t count, size_t size,
                                store_done_fn *done, void *arg) {
    size_t total = sizeof(struct record) + (size + 7) / 8 * 8;
    if (size > UINT32_MAX / 2 || count > UINT32_MAX)
        return NULL;
    struct record *record = (struct record *)(void *)writer_put(store->writer, total, done, arg);
    if (record != NULL)
        *record = (struct record){.size = (uint32_t)total, .kind = kind, .count = (uint32_t)count};
    return record;
}

/* The same, behind what has to be written first. */
static struct record *put(struct store *store, enum record_kind kind, size_t count, size_t size, store_done_fn *done,
                          void *arg) {
    if (store->before != NULL && !store->before(store->before_arg))
        return NULL;
    return put_alone(store, kind, count, size, done, arg);
}

void store_set_before(struct store *store, store_before_fn *before, void *arg) {
    store->before = before;
    store->before_arg = arg;
}

static uint8_t *append(uint8_t *at, const void *data, size_t len) {
    if (len > 0)
        memcpy(at, data, len);
    return at + len;
}

enum store_result store_put_setting(struct store *store, const char *name, struct slice value, store_done_fn *done,
                                    void *arg) {
    size_t name_len = strlen(name);
    struct record *record = put(store, PUT_SETTING, name_len, name_len + value.len, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    record->value_len = (uint32_t)value.len;
    append(append((uint8_t *)(record + 1), name, name_len), value.data, value.len);
    return STORE_OK;
}

enum store_result store_put_registration(struct store *store, const struct store_registration *registration,
                                         const uint64_t *replaced, size_t replaced_count, store_done_fn *done,
                                         void *arg) {
    struct store_registration r = *registration;
    struct slice *texts[TEXT_COUNT];
    list_texts(&r, texts);
    size_t size = sizeof r + replaced_count * sizeof *replaced;
    for (size_t i = 0; i < TEXT_COUNT; i++)
        size += texts[i]->len;
    struct record *record = put(store, PUT_REGISTRATION, replaced_count, size, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), &r, sizeof r);
    at = append(at, replaced, replaced_count * sizeof *replaced);
    for (size_t i = 0; i < TEXT_COUNT; i++)
        at = append(at, texts[i]->data, texts[i]->len);
    return STORE_OK;
}

static enum store_result put_ids(struct store *store, enum record_kind kind, const uint64_t *ids, size_t count,
                                 store_done_fn *done, void *arg) {
    struct record *record = put(store, kind, count, count * sizeof *ids, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    append((uint8_t *)(record + 1), ids, count * sizeof *ids);
    return STORE_OK;
}

enum store_result store_delete_registrations(struct store *store, const uint64_t *ids, size_t count,
                                             store_done_fn *done, void *arg) {
    return put_ids(store, DELETE_REGISTRATIONS, ids, count, done, arg);
}

enum store_result store_refresh_registrations(struct store *store, const struct store_refresh *refreshes, size_t count,
                                              store_done_fn *done, void *arg) {
    struct record *record = put(store, REFRESH_REGISTRATIONS, count, count * sizeof *refreshes, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    append((uint8_t *)(record + 1), refreshes, count * sizeof *refreshes);
    return STORE_OK;
}

enum store_result store_clear_registrations(struct store *store, store_done_fn *done, void *arg) {
    return put(store, CLEAR_REGISTRATIONS, 0, 0, done, arg) == NULL ? STORE_QUEUE_FULL : STORE_OK;
}

static enum store_result put_object_record(struct store *store, enum record_kind kind,
                                           const struct store_object *object, store_done_fn *done, void *arg) {
    struct record *record = put(store, kind, 0, sizeof *object + object->version.len + object->xml.len, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), object, sizeof *object);
    append(append(at, object->version.data, object->version.len), object->xml.data, object->xml.len);
    return STORE_OK;
}

enum store_result store_put_object(struct store *store, const struct store_object *object, store_done_fn *done,
                                   void *arg) {
    return put_object_record(store, PUT_OBJECT, object, done, arg);
}

enum store_result store_delete_object(struct store *store, uint16_t id, struct slice version, store_done_fn *done,
                                      void *arg) {
    return put_object_record(store, DELETE_OBJECT, &(struct store_object){.id = id, .version = version}, done, arg);
}

enum store_result store_put_observation(struct store *store, const struct store_observation *observation,
                                        store_done_fn *done, void *arg) {
    struct store_observation o = *observation;
    struct slice *texts[OBSERVATION_TEXT_COUNT];
    list_observation_texts(&o, texts);
    size_t size = sizeof o;
    for (size_t i = 0; i < OBSERVATION_TEXT_COUNT; i++)
        size += texts[i]->len;
    struct record *record = put(store, PUT_OBSERVATION, 0, size, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), &o, sizeof o);
    for (size_t i = 0; i < OBSERVATION_TEXT_COUNT; i++)
        at = append(at, texts[i]->data, texts[i]->len);
    return STORE_OK;
}

enum store_result store_delete_observations(struct store *store, const uint64_t *ids, size_t count, store_done_fn *done,
                                            void *arg) {
    return put_ids(store, DELETE_OBSERVATIONS, ids, count, done, arg);
}

static enum store_result put_request_record(struct store *store, enum record_kind kind,
                                            const struct store_request *request, store_done_fn *done, void *arg) {
    size_t size = sizeof *request + request->endpoint.len + request->job.len + request->result.len;
    struct record *record = put(store, kind, 0, size, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), request, sizeof *request);
    at = append(at, request->endpoint.data, request->endpoint.len);
    at = append(at, request->job.data, request->job.len);
    append(at, request->result.data, request->result.len);
    return STORE_OK;
}

enum store_result store_put_request(struct store *store, const struct store_request *request, store_done_fn *done,
                                    void *arg) {
    return put_request_record(store, PUT_REQUEST, request, done, arg);
}

enum store_result store_finish_request(struct store *store, const struct store_request *request, store_done_fn *done,
                                       void *arg) {
    struct store_request row = {.id = request->id,
                                .state = request->state,
                                .completed_at_ms = request->completed_at_ms,
                                .result = request->result};
    return put_request_record(store, FINISH_REQUEST, &row, done, arg);
}

enum store_result store_delete_requests(struct store *store, const uint64_t *ids, size_t count, store_done_fn *done,
                                        void *arg) {
    struct record *record = put(store, DELETE_REQUESTS, count, count * sizeof *ids, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    append((uint8_t *)(record + 1), ids, count * sizeof *ids);
    return STORE_OK;
}

enum store_result store_put_queue_settings(struct store *store, const struct store_queue_settings *settings,
                                           store_done_fn *done, void *arg) {
    size_t size = sizeof *settings + settings->endpoint.len;
    struct record *record = put(store, PUT_QUEUE_SETTINGS, 0, size, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), settings, sizeof *settings);
    append(at, settings->endpoint.data, settings->endpoint.len);
    return STORE_OK;
}

enum store_result store_put_credentials(struct store *store, struct slice endpoint,
                                        const struct store_credential *credentials, size_t count, store_done_fn *done,
                                        void *arg) {
    size_t size = count * sizeof *credentials + endpoint.len;
    for (size_t i = 0; i < count; i++)
        size += credentials[i].sealed.len;
    struct record *record = put(store, PUT_CREDENTIALS, count, size, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    record->value_len = (uint32_t)endpoint.len;
    uint8_t *at = append((uint8_t *)(record + 1), credentials, count * sizeof *credentials);
    at = append(at, endpoint.data, endpoint.len);
    for (size_t i = 0; i < count; i++)
        at = append(at, credentials[i].sealed.data, credentials[i].sealed.len);
    return STORE_OK;
}

enum store_result store_put_bootstrap(struct store *store, const struct store_bootstrap *bootstrap, store_done_fn *done,
                                      void *arg) {
    size_t size = sizeof *bootstrap + bootstrap->endpoint.len + bootstrap->sealed.len;
    struct record *record = put(store, PUT_BOOTSTRAP, 0, size, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), bootstrap, sizeof *bootstrap);
    at = append(at, bootstrap->endpoint.data, bootstrap->endpoint.len);
    append(at, bootstrap->sealed.data, bootstrap->sealed.len);
    return STORE_OK;
}

enum store_result store_put_session(struct store *store, const struct store_session *session, store_done_fn *done,
                                    void *arg) {
    size_t size = sizeof *session + session->local.len + session->sealed.len;
    struct record *record = put(store, PUT_SESSION, 0, size, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), session, sizeof *session);
    append(append(at, session->local.data, session->local.len), session->sealed.data, session->sealed.len);
    return STORE_OK;
}

enum store_result store_refresh_sessions(struct store *store, const struct store_session_state *states, size_t count,
                                         store_done_fn *done, void *arg) {
    struct record *record = put_alone(store, REFRESH_SESSIONS, count, count * sizeof *states, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    append((uint8_t *)(record + 1), states, count * sizeof *states);
    return STORE_OK;
}

enum store_result store_delete_sessions(struct store *store, const uint64_t *ids, size_t count, store_done_fn *done,
                                        void *arg) {
    struct record *record = put(store, DELETE_SESSIONS, count, count * sizeof *ids, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    append((uint8_t *)(record + 1), ids, count * sizeof *ids);
    return STORE_OK;
}

static enum store_result put_resumption_record(struct store *store, enum record_kind kind,
                                               const struct store_resumption *r, store_done_fn *done, void *arg) {
    struct record *record = put(store, kind, 0, sizeof *r + r->session_id.len + r->sealed.len, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), r, sizeof *r);
    append(append(at, r->session_id.data, r->session_id.len), r->sealed.data, r->sealed.len);
    return STORE_OK;
}

enum store_result store_put_resumption(struct store *store, const struct store_resumption *resumption,
                                       store_done_fn *done, void *arg) {
    return put_resumption_record(store, PUT_RESUMPTION, resumption, done, arg);
}

enum store_result store_delete_resumption(struct store *store, struct slice session_id, store_done_fn *done,
                                          void *arg) {
    return put_resumption_record(store, DELETE_RESUMPTION, &(struct store_resumption){.session_id = session_id}, done,
                                 arg);
}

enum store_result store_put_oscore_context(struct store *store, const struct store_oscore_context *context,
                                           store_done_fn *done, void *arg) {
    size_t size = sizeof *context + context->digest.len + context->id_context.len;
    struct record *record = put(store, PUT_OSCORE_CONTEXT, 0, size, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), context, sizeof *context);
    append(append(at, context->digest.data, context->digest.len), context->id_context.data, context->id_context.len);
    return STORE_OK;
}

static enum store_result put_with_texts(struct store *store, enum record_kind kind, const void *row, size_t row_size,
                                        struct slice *const *texts, size_t count, store_done_fn *done, void *arg) {
    size_t size = row_size;
    for (size_t i = 0; i < count; i++)
        size += texts[i]->len;
    struct record *record = put(store, kind, 0, size, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    uint8_t *at = append((uint8_t *)(record + 1), row, row_size);
    for (size_t i = 0; i < count; i++)
        at = append(at, texts[i]->data, texts[i]->len);
    return STORE_OK;
}

enum store_result store_put_firmware_image(struct store *store, const struct store_firmware_image *image,
                                           store_done_fn *done, void *arg) {
    struct store_firmware_image row = *image;
    struct slice *texts[IMAGE_TEXT_COUNT];
    list_image_texts(&row, texts);
    return put_with_texts(store, PUT_FIRMWARE_IMAGE, &row, sizeof row, texts, IMAGE_TEXT_COUNT, done, arg);
}

enum store_result store_put_firmware_update(struct store *store, const struct store_firmware_update *update,
                                            store_done_fn *done, void *arg) {
    struct store_firmware_update row = *update;
    struct slice *texts[UPDATE_TEXT_COUNT];
    list_update_texts(&row, texts);
    return put_with_texts(store, PUT_FIRMWARE_UPDATE, &row, sizeof row, texts, UPDATE_TEXT_COUNT, done, arg);
}

enum store_result store_put_document(struct store *store, const struct store_document *document, store_done_fn *done,
                                     void *arg) {
    struct store_document row = *document;
    struct slice *texts[DOCUMENT_TEXT_COUNT];
    list_document_texts(&row, texts);
    return put_with_texts(store, PUT_DOCUMENT, &row, sizeof row, texts, DOCUMENT_TEXT_COUNT, done, arg);
}

enum store_result store_put_events(struct store *store, const struct store_events *events, store_done_fn *done,
                                   void *arg) {
    struct record *record = put_alone(store, PUT_EVENTS, 0, sizeof *events + events->bytes.len, done, arg);
    if (record == NULL)
        return STORE_QUEUE_FULL;
    append(append((uint8_t *)(record + 1), events, sizeof *events), events->bytes.data, events->bytes.len);
    return STORE_OK;
}

bool store_load_registrations(struct store *store, store_registration_fn *each, store_expect_fn *expect, void *arg,
                              char *error, size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_registrations(store->db, each, expect, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_objects(struct store *store, store_object_fn *each, void *arg, char *error, size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_objects(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_observations(struct store *store, store_observation_fn *each, void *arg, char *error,
                             size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_observations(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_requests(struct store *store, store_request_fn *each, void *arg, char *error, size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_requests(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_queue_settings(struct store *store, store_queue_settings_fn *each, void *arg, char *error,
                               size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_queue_settings(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_credentials(struct store *store, store_credential_fn *each, void *arg, char *error, size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_credentials(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_bootstraps(struct store *store, store_bootstrap_fn *each, void *arg, char *error, size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_bootstraps(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_sessions(struct store *store, store_session_fn *each, void *arg, char *error, size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_sessions(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_resumptions(struct store *store, store_resumption_fn *each, void *arg, char *error, size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_resumptions(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_oscore_contexts(struct store *store, store_oscore_context_fn *each, void *arg, char *error,
                                size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_oscore_contexts(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_firmware_images(struct store *store, store_firmware_image_fn *each, void *arg, char *error,
                                size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_firmware_images(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_firmware_updates(struct store *store, store_firmware_update_fn *each, void *arg, char *error,
                                 size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_firmware_updates(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_documents(struct store *store, store_document_fn *each, void *arg, char *error, size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_documents(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_load_events(struct store *store, store_events_fn *each, void *arg, char *error, size_t error_size) {
    uv_mutex_lock(&store->db_mutex);
    bool loaded = rows_load_events(store->db, each, arg, error, error_size);
    uv_mutex_unlock(&store->db_mutex);
    return loaded;
}

bool store_find_resumption(struct store *store, struct slice session_id, store_resumption_fn *found, void *arg) {
    return rows_find_resumption(store->db, session_id, found, arg);
}

long store_get_setting(struct store *store, const char *name, char *value, size_t value_size) {
    uv_mutex_lock(&store->db_mutex);
    long len = rows_get_setting(store->db, name, value, value_size);
    uv_mutex_unlock(&store->db_mutex);
    return len;
}

bool store_was_unclean(const struct store *store) {
    return store->lock.unclean;
}

uint64_t store_last_heartbeat_ms(const struct store *store) {
    return store->last_heartbeat_ms;
}

void store_heartbeat(struct store *store, uint64_t now_ms) {
    lock_file_heartbeat(&store->lock, now_ms);
}

const char *store_problem(const struct store *store) {
    return writer_problem(store->writer);
}

struct store_counters store_counters(const struct store *store) {
    return writer_counters(store->writer);
}

void store_settle(struct store *store) {
    writer_settle(store->writer);
    if (store->db->ops->settle == NULL || uv_mutex_trylock(&store->db_mutex) != 0)
        return;
    store->db->ops->settle(store->db);
    uv_mutex_unlock(&store->db_mutex);
}

/* ---- opening and closing ---- */

static bool make_directory(const char *path, char *error, size_t error_size) {
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return true;
    snprintf(error, error_size, "%s: the data directory can't be made: %s", path, strerror(errno));
    return false;
}

/* A file that was left in an orderly way is sound, and a large one takes seconds to look through; rows that make no
 * sense are found when they are loaded. */
static bool needs_check(const struct lock_file *lock, const char *db_path) {
    struct stat status;
    return stat(db_path, &status) == 0 && (!lock->known || lock->unclean || status.st_size <= CHECK_ALWAYS_BYTES);
}

static struct backend *open_file(const struct store *store, const struct store_options *options, char *error,
                                 size_t error_size) {
    char db_path[PATH_MAX - 16];
    int len = snprintf(db_path, sizeof db_path, "%s/berth.db", options->directory);
    if (len < 0 || (size_t)len >= sizeof db_path) {
        snprintf(error, error_size, "%.100s…: the path is too long", options->directory);
        return NULL;
    }
    return sqlite_open(db_path, options->durability, needs_check(&store->lock, db_path), error, error_size);
}

static bool open_database(struct store *store, const struct store_options *options, char *error, size_t error_size) {
    store->db = options->database == NULL
                    ? open_file(store, options, error, error_size)
                    : postgresql_open(options->database, options->durability, options->holder, error, error_size);
    if (store->db == NULL)
        return false;
    if (lock_file_mark(&store->lock, options->durability == STORE_FULL))
        return true;
    snprintf(error, error_size, "%s: the data directory can't be written: %s", options->directory, strerror(errno));
    store->db->ops->close(store->db);
    return false;
}

bool store_check_uri(const char *uri, char *problem, size_t problem_size) {
    return postgresql_check_uri(uri, problem, problem_size);
}

struct store *store_open(uv_loop_t *loop, const struct store_options *options, char *error, size_t error_size) {
    char lock_path[PATH_MAX];
    snprintf(lock_path, sizeof lock_path, "%s/berth.lock", options->directory);
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    if (!make_directory(options->directory, error, error_size) ||
        !lock_file_take(&store->lock, lock_path, error, error_size)) {
        free(store);
        return NULL;
    }
    store->last_heartbeat_ms = store->lock.heartbeat_ms;
    if (!open_database(store, options, error, error_size)) {
        lock_file_release(&store->lock, false);
        free(store);
        return NULL;
    }
    uv_mutex_init(&store->db_mutex);
    size_t queue_bytes = options->queue_bytes == 0 ? QUEUE_BYTES_DEFAULT : options->queue_bytes;
    store->writer = writer_new(loop, queue_bytes, run_batch, tidy, store);
    if (store->writer == NULL) {
        snprintf(error, error_size, "the database writer can't be started");
        store->db->ops->close(store->db);
        lock_file_release(&store->lock, !store->lock.unclean);
        uv_mutex_destroy(&store->db_mutex);
        free(store);
        return NULL;
    }
    return store;
}

bool store_close(struct store *store) {
    bool clean = writer_close(store->writer);
    store->db->ops->close(store->db);
    lock_file_release(&store->lock, clean);
    uv_mutex_destroy(&store->db_mutex);
    free(store);
    return clean;
}
