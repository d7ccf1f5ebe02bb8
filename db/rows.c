#include "db/rows.h"

/* ---- reading ---- */

/* One that was stored as unsigned: false when it is none, or greater than `max`. */
static bool read_number(const struct value *value, uint64_t max, uint64_t *number) {
    *number = (uint64_t)value->number;
    return value->kind == VALUE_NUMBER && value->number >= 0 && *number <= max;
}

static bool read_registration(const struct value *row, struct store_registration *r) {
    uint64_t listener, lifetime_s, flags;
    if (!read_number(&row[0], INT64_MAX, &r->id) || !read_number(&row[10], UINT32_MAX, &listener) ||
        !read_number(&row[11], UINT32_MAX, &lifetime_s) || !read_number(&row[12], UINT32_MAX, &flags) ||
        !read_number(&row[13], INT64_MAX, &r->registered_at_ms) || !read_number(&row[14], INT64_MAX, &r->updated_at_ms))
        return false;
    if (row[15].kind == VALUE_NULL)
        r->expires_at_ms = UINT64_MAX;
    else if (!read_number(&row[15], INT64_MAX, &r->expires_at_ms))
        return false;
    r->endpoint = row[1].bytes;
    r->location = row[2].bytes;
    r->links = row[3].bytes;
    r->root = row[4].bytes;
    r->query = row[5].bytes;
    r->sms = row[6].bytes;
    r->identity = row[7].bytes;
    r->address = row[8].bytes;
    r->local = row[9].bytes;
    r->session = (uint64_t)row[16].number;
    r->listener = (uint32_t)listener;
    r->lifetime_s = (uint32_t)lifetime_s;
    r->flags = (uint32_t)flags;
    return r->id > 0 && r->endpoint.len > 0;
}

/* Every row of a query. `what` a row is, for the error. */
static bool load_rows(struct backend *db, const char *sql, const char *what, row_fn *each, void *arg, char *error,
                      size_t error_size) {
    return db->ops->load(db, &(struct backend_query){.sql = sql, .what = what}, each, arg, error, error_size);
}

struct each_registration {
    store_registration_fn *each;
    store_expect_fn *expect;
    void *arg;
};

static bool load_registration(const struct value *row, void *arg) {
    const struct each_registration *to = arg;
    struct store_registration registration;
    if (!read_registration(row, &registration))
        return false;
    to->each(to->arg, &registration);
    return true;
}

static void expect_registration(const struct value *row, bool is_near, void *arg) {
    const struct each_registration *to = arg;
    const struct store_registration registration = {
        .endpoint = row[1].bytes, .location = row[2].bytes, .session = (uint64_t)row[16].number};
    to->expect(to->arg, &registration, is_near);
}

bool rows_load_registrations(struct backend *db, store_registration_fn *each, store_expect_fn *expect, void *arg,
                             char *error, size_t error_size) {
    struct each_registration to = {each, expect, arg};
    const struct backend_query query = {
        .sql = "SELECT id, endpoint, location, links, root, query, sms, identity, address, local, listener,"
               " lifetime_s, flags, registered_at, updated_at, expires_at, session"
               " FROM registration LEFT JOIN lease USING (id) ORDER BY id",
        .what = "a registration",
        .expect = expect == NULL ? NULL : expect_registration,
    };
    return db->ops->load(db, &query, load_registration, &to, error, error_size);
}

static bool read_object(const struct value *row, struct store_object *object) {
    uint64_t id;
    if (!read_number(&row[0], UINT16_MAX, &id))
        return false;
    object->id = (uint16_t)id;
    object->version = row[1].bytes;
    object->xml = row[2].bytes;
    return object->version.len > 0 && object->xml.len > 0;
}

struct each_object {
    store_object_fn *each;
    void *arg;
};

static bool load_object(const struct value *row, void *arg) {
    const struct each_object *to = arg;
    struct store_object object;
    if (!read_object(row, &object))
        return false;
    to->each(to->arg, &object);
    return true;
}

bool rows_load_objects(struct backend *db, store_object_fn *each, void *arg, char *error, size_t error_size) {
    struct each_object to = {each, arg};
    return load_rows(db, "SELECT object_id, version, xml FROM object ORDER BY object_id, version",
                     "an object definition", load_object, &to, error, error_size);
}

static bool read_credential(const struct value *row, struct store_credential *credential) {
    uint64_t mode, services;
    if (!read_number(&row[1], UINT32_MAX, &mode) || !read_number(&row[2], UINT32_MAX, &services))
        return false;
    credential->endpoint = row[0].bytes;
    credential->mode = (uint32_t)mode;
    credential->services = (uint32_t)services;
    credential->sealed = row[3].bytes;
    return credential->endpoint.len > 0;
}

struct each_credential {
    store_credential_fn *each;
    void *arg;
};

static bool load_credential(const struct value *row, void *arg) {
    const struct each_credential *to = arg;
    struct store_credential credential;
    if (!read_credential(row, &credential))
        return false;
    to->each(to->arg, &credential);
    return true;
}

bool rows_load_credentials(struct backend *db, store_credential_fn *each, void *arg, char *error, size_t error_size) {
    struct each_credential to = {each, arg};
    return load_rows(db, "SELECT endpoint, mode, services, sealed FROM credential ORDER BY endpoint, mode, services",
                     "a credential", load_credential, &to, error, error_size);
}

struct each_firmware_image {
    store_firmware_image_fn *each;
    void *arg;
};

static bool load_firmware_image(const struct value *row, void *arg) {
    const struct each_firmware_image *to = arg;
    struct store_firmware_image image = {.name = row[0].bytes,
                                         .digest = row[1].bytes,
                                         .size = (uint64_t)row[2].number,
                                         .url = row[3].bytes,
                                         .created_at_ms = (uint64_t)row[4].number};
    to->each(to->arg, &image);
    return image.digest.len == 32;
}

bool rows_load_firmware_images(struct backend *db, store_firmware_image_fn *each, void *arg, char *error,
                               size_t error_size) {
    struct each_firmware_image to = {each, arg};
    return load_rows(db, "SELECT name, digest, size, url, created_at FROM firmware_image ORDER BY name",
                     "a firmware image", load_firmware_image, &to, error, error_size);
}

struct each_firmware_update {
    store_firmware_update_fn *each;
    void *arg;
};

static bool load_firmware_update(const struct value *row, void *arg) {
    const struct each_firmware_update *to = arg;
    struct store_firmware_update update = {.endpoint = row[0].bytes,
                                           .image = row[1].bytes,
                                           .uri = row[2].bytes,
                                           .detail = row[3].bytes,
                                           .flags = (uint64_t)row[4].number,
                                           .result = (uint32_t)row[5].number,
                                           .created_at_ms = (uint64_t)row[6].number,
                                           .deadline_ms = (uint64_t)row[7].number,
                                           .ended_at_ms = (uint64_t)row[8].number,
                                           .observation = (uint64_t)row[9].number,
                                           .observation_of_result = (uint64_t)row[10].number};
    to->each(to->arg, &update);
    return update.endpoint.len > 0 && update.flags != 0;
}

bool rows_load_firmware_updates(struct backend *db, store_firmware_update_fn *each, void *arg, char *error,
                                size_t error_size) {
    struct each_firmware_update to = {each, arg};
    return load_rows(db,
                     "SELECT endpoint, image, uri, detail, flags, result, created_at, deadline, ended_at, observation,"
                     " observation_of_result FROM firmware_update ORDER BY endpoint",
                     "a firmware update", load_firmware_update, &to, error, error_size);
}

struct each_document {
    store_document_fn *each;
    void *arg;
};

static bool load_document(const struct value *row, void *arg) {
    const struct each_document *to = arg;
    const struct store_document document = {.kind = (uint32_t)row[0].number, .id = row[1].bytes, .text = row[2].bytes};
    to->each(to->arg, &document);
    return document.text.len > 0;
}

bool rows_load_documents(struct backend *db, store_document_fn *each, void *arg, char *error, size_t error_size) {
    struct each_document to = {each, arg};
    return load_rows(db, "SELECT kind, id, text FROM document ORDER BY kind, id", "a document", load_document, &to,
                     error, error_size);
}

struct each_events {
    store_events_fn *each;
    void *arg;
};

static bool load_events(const struct value *row, void *arg) {
    const struct each_events *to = arg;
    struct store_events events = {.bytes = row[2].bytes};
    if (!read_number(&row[0], INT64_MAX, &events.first_id) || !read_number(&row[1], INT64_MAX, &events.last_id))
        return false;
    to->each(to->arg, &events);
    return true;
}

bool rows_load_events(struct backend *db, store_events_fn *each, void *arg, char *error, size_t error_size) {
    struct each_events to = {each, arg};
    return load_rows(db, "SELECT first_id, last_id, events FROM event ORDER BY first_id", "a row of events",
                     load_events, &to, error, error_size);
}

struct each_bootstrap {
    store_bootstrap_fn *each;
    void *arg;
};

static bool load_bootstrap(const struct value *row, void *arg) {
    const struct each_bootstrap *to = arg;
    struct store_bootstrap bootstrap = {.endpoint = row[0].bytes, .sealed = row[1].bytes};
    to->each(to->arg, &bootstrap);
    return bootstrap.sealed.len > 0;
}

bool rows_load_bootstraps(struct backend *db, store_bootstrap_fn *each, void *arg, char *error, size_t error_size) {
    struct each_bootstrap to = {each, arg};
    return load_rows(db, "SELECT endpoint, sealed FROM bootstrap ORDER BY endpoint", "a bootstrap configuration",
                     load_bootstrap, &to, error, error_size);
}

static bool read_address(struct slice bytes, struct address *address) {
    if (bytes.len != sizeof *address)
        return false;
    memcpy(address, bytes.data, sizeof *address);
    return address->family == ADDRESS_IPV4 || address->family == ADDRESS_IPV6;
}

static bool read_session(const struct value *row, struct store_session *session) {
    uint64_t listener, flags;
    struct store_session_state *state = &session->state;
    if (!read_number(&row[1], UINT32_MAX, &listener) || !read_number(&row[3], UINT32_MAX, &flags) ||
        !read_address(row[5].bytes, &state->peer) || !read_number(&row[6], INT64_MAX, &state->number_limit) ||
        !read_number(&row[7], INT64_MAX, &state->window_top) || row[8].kind != VALUE_NUMBER ||
        !read_number(&row[9], INT64_MAX, &state->used_ms))
        return false;
    state->id = (uint64_t)row[0].number;
    state->window_bits = (uint64_t)row[8].number;
    session->listener = (uint32_t)listener;
    session->local = row[2].bytes;
    session->flags = (uint32_t)flags;
    session->sealed = row[4].bytes;
    return state->id != 0 && session->sealed.len > 0;
}

struct each_session {
    store_session_fn *each;
    void *arg;
};

static bool load_session(const struct value *row, void *arg) {
    const struct each_session *to = arg;
    struct store_session session;
    if (!read_session(row, &session))
        return false;
    to->each(to->arg, &session);
    return true;
}

bool rows_load_sessions(struct backend *db, store_session_fn *each, void *arg, char *error, size_t error_size) {
    struct each_session to = {each, arg};
    return load_rows(db,
                     "SELECT id, listener, local, flags, sealed, peer, number_limit, window_top, window_bits, used_at"
                     " FROM session JOIN session_state USING (id)",
                     "a session", load_session, &to, error, error_size);
}

struct each_resumption {
    store_resumption_fn *each;
    void *arg;
};

static bool load_resumption(const struct value *row, void *arg) {
    const struct each_resumption *to = arg;
    struct store_resumption r = {.session_id = row[0].bytes, .identity = (uint64_t)row[2].number};
    if (!read_number(&row[1], INT64_MAX, &r.expires_ms) || r.session_id.len == 0)
        return false;
    to->each(to->arg, &r);
    return true;
}

static bool find_resumption(const struct value *row, void *arg) {
    const struct each_resumption *to = arg;
    struct store_resumption r = {
        .session_id = row[0].bytes, .identity = (uint64_t)row[2].number, .sealed = row[3].bytes};
    if (!read_number(&row[1], INT64_MAX, &r.expires_ms) || r.session_id.len == 0)
        return false;
    to->each(to->arg, &r);
    return true;
}

bool rows_load_resumptions(struct backend *db, store_resumption_fn *each, void *arg, char *error, size_t error_size) {
    struct each_resumption to = {each, arg};
    return load_rows(db, "SELECT session_id, expires_at, identity FROM resumption ORDER BY expires_at", "a resumption",
                     load_resumption, &to, error, error_size);
}

struct each_oscore_context {
    store_oscore_context_fn *each;
    void *arg;
};

static bool load_oscore_context(const struct value *row, void *arg) {
    const struct each_oscore_context *to = arg;
    struct store_oscore_context c = {.digest = row[0].bytes, .id_context = row[1].bytes};
    if (!read_number(&row[2], INT64_MAX, &c.static_limit) || !read_number(&row[3], INT64_MAX, &c.number_limit))
        return false;
    to->each(to->arg, &c);
    return true;
}

bool rows_load_oscore_contexts(struct backend *db, store_oscore_context_fn *each, void *arg, char *error,
                               size_t error_size) {
    struct each_oscore_context to = {each, arg};
    return load_rows(db, "SELECT digest, id_context, static_limit, number_limit FROM oscore_context ORDER BY digest",
                     "an OSCORE context", load_oscore_context, &to, error, error_size);
}

static bool read_observation(const struct value *row, struct store_observation *o) {
    o->endpoint = row[2].bytes;
    o->paths = row[3].bytes;
    o->token = row[4].bytes;
    o->request = row[5].bytes;
    return read_number(&row[0], INT64_MAX, &o->id) && read_number(&row[1], INT64_MAX, &o->registration_id) &&
           read_number(&row[6], INT64_MAX, &o->started_at_ms) && o->id > 0 && o->endpoint.len > 0;
}

struct each_observation {
    store_observation_fn *each;
    void *arg;
};

static bool load_observation(const struct value *row, void *arg) {
    const struct each_observation *to = arg;
    struct store_observation observation;
    if (!read_observation(row, &observation))
        return false;
    to->each(to->arg, &observation);
    return true;
}

bool rows_load_observations(struct backend *db, store_observation_fn *each, void *arg, char *error, size_t error_size) {
    struct each_observation to = {each, arg};
    return load_rows(
        db, "SELECT id, registration_id, endpoint, paths, token, request, started_at FROM observation ORDER BY id",
        "an observation", load_observation, &to, error, error_size);
}

static bool read_request(const struct value *row, struct store_request *request) {
    uint64_t state;
    if (!read_number(&row[0], INT64_MAX, &request->id) || !read_number(&row[3], INT64_MAX, &request->created_at_ms) ||
        !read_number(&row[4], INT64_MAX, &request->expires_at_ms) || !read_number(&row[5], UINT32_MAX, &state) ||
        !read_number(&row[6], INT64_MAX, &request->completed_at_ms))
        return false;
    request->endpoint = row[1].bytes;
    request->job = row[2].bytes;
    request->state = (uint32_t)state;
    request->result = row[7].bytes;
    return request->id > 0 && request->endpoint.len > 0 && request->job.len > 0;
}

struct each_request {
    store_request_fn *each;
    void *arg;
};

static bool load_request(const struct value *row, void *arg) {
    const struct each_request *to = arg;
    struct store_request request;
    if (!read_request(row, &request))
        return false;
    to->each(to->arg, &request);
    return true;
}

bool rows_load_requests(struct backend *db, store_request_fn *each, void *arg, char *error, size_t error_size) {
    struct each_request to = {each, arg};
    return load_rows(
        db, "SELECT id, endpoint, job, created_at, expires_at, state, completed_at, result FROM request ORDER BY id",
        "a queued request", load_request, &to, error, error_size);
}

/* 0 for NULL. */
static bool read_optional(const struct value *value, uint32_t *n) {
    uint64_t wide = 0;
    bool sound = value->kind == VALUE_NULL || read_number(value, UINT32_MAX, &wide);
    *n = (uint32_t)wide;
    return sound;
}

static bool read_queue_settings(const struct value *row, struct store_queue_settings *settings) {
    settings->endpoint = row[0].bytes;
    return settings->endpoint.len > 0 && read_optional(&row[1], &settings->awake_window_ms) &&
           read_optional(&row[2], &settings->limit);
}

struct each_queue_settings {
    store_queue_settings_fn *each;
    void *arg;
};

static bool load_queue_settings(const struct value *row, void *arg) {
    const struct each_queue_settings *to = arg;
    struct store_queue_settings queue_settings;
    if (!read_queue_settings(row, &queue_settings))
        return false;
    to->each(to->arg, &queue_settings);
    return true;
}

bool rows_load_queue_settings(struct backend *db, store_queue_settings_fn *each, void *arg, char *error,
                              size_t error_size) {
    struct each_queue_settings to = {each, arg};
    return load_rows(db, "SELECT endpoint, awake_window_ms, queue_limit FROM queue_setting ORDER BY endpoint",
                     "what is set for a queue", load_queue_settings, &to, error, error_size);
}

/* ---- settings ---- */

struct wanted_setting {
    char *value;
    size_t size;
    long len; /* -1: there is none */
};

static bool read_setting(const struct value *row, void *arg) {
    struct wanted_setting *wanted = arg;
    struct slice found = row[0].bytes;
    size_t copied = found.len < wanted->size ? found.len : wanted->size;
    if (wanted->value != NULL && copied > 0)
        memcpy(wanted->value, found.data, copied);
    wanted->len = (long)found.len;
    return true;
}

long rows_get_setting(struct backend *db, const char *name, char *value, size_t value_size) {
    struct wanted_setting wanted = {.value = value, .size = value_size, .len = -1};
    char error[256];
    const struct value named = {.kind = VALUE_TEXT, .bytes = slice_str(name)};
    const struct backend_query query = {
        .sql = "SELECT value FROM setting WHERE name = ?", .what = "a setting", .values = &named, .value_count = 1};
    return db->ops->load(db, &query, read_setting, &wanted, error, sizeof error) ? wanted.len : -1;
}

/* ---- writing ---- */

static struct value text(struct slice s) {
    return (struct value){.kind = VALUE_TEXT, .bytes = s};
}

static struct value blob(struct slice s) {
    return (struct value){.kind = VALUE_BLOB, .bytes = s};
}

static struct value number(uint64_t n) {
    return (struct value){.kind = VALUE_NUMBER, .number = n > INT64_MAX ? INT64_MAX : (int64_t)n};
}

/* 64 bits that no order is asked of. */
static struct value bits(uint64_t n) {
    return (struct value){.kind = VALUE_NUMBER, .number = (int64_t)n};
}

static struct value expiry(uint64_t expires_at_ms) {
    if (expires_at_ms == UINT64_MAX)
        return (struct value){.kind = VALUE_NULL};
    return number(expires_at_ms);
}

static struct value setting(uint32_t n) {
    if (n == 0)
        return (struct value){.kind = VALUE_NULL};
    return number(n);
}

static struct value address(const struct address *a) {
    return blob(slice_of(a, sizeof *a));
}

#define RUN(db, statement, ...)                                        \
    (db)->ops->run(db, statement, (const struct value[]){__VA_ARGS__}, \
                   sizeof((const struct value[]){__VA_ARGS__}) / sizeof(struct value))

static bool run_bare(struct backend *db, enum statement statement) {
    return db->ops->run(db, statement, NULL, 0);
}

bool rows_put_registration(struct backend *db, const struct store_registration *r) {
    return RUN(db, SQL_PUT_REGISTRATION, number(r->id), text(r->endpoint), text(r->location), text(r->links),
               text(r->root), text(r->query), text(r->sms), blob(r->identity), blob(r->address), blob(r->local),
               number(r->listener), number(r->lifetime_s), number(r->flags), number(r->registered_at_ms),
               bits(r->session)) &&
           RUN(db, SQL_PUT_LEASE, number(r->id), number(r->updated_at_ms), expiry(r->expires_at_ms));
}

bool rows_delete_registration(struct backend *db, uint64_t id) {
    return RUN(db, SQL_DELETE_REGISTRATION, number(id)) && RUN(db, SQL_DELETE_LEASE, number(id));
}

bool rows_refresh_registration(struct backend *db, const struct store_refresh *refresh) {
    return RUN(db, SQL_REFRESH_LEASE, number(refresh->id), number(refresh->updated_at_ms),
               expiry(refresh->expires_at_ms));
}

bool rows_clear_registrations(struct backend *db) {
    return run_bare(db, SQL_CLEAR_REGISTRATIONS) && run_bare(db, SQL_CLEAR_LEASES) &&
           run_bare(db, SQL_CLEAR_REQUESTS) && run_bare(db, SQL_CLEAR_QUEUE_SETTINGS);
}

bool rows_put_setting(struct backend *db, struct slice name, struct slice value) {
    return RUN(db, SQL_PUT_SETTING, text(name), text(value));
}

bool rows_put_object(struct backend *db, const struct store_object *object) {
    return RUN(db, SQL_PUT_OBJECT, number(object->id), text(object->version), blob(object->xml));
}

bool rows_delete_object(struct backend *db, uint16_t id, struct slice version) {
    return RUN(db, SQL_DELETE_OBJECT, number(id), text(version));
}

bool rows_put_observation(struct backend *db, const struct store_observation *o) {
    return RUN(db, SQL_PUT_OBSERVATION, number(o->id), number(o->registration_id), text(o->endpoint), text(o->paths),
               blob(o->token), blob(o->request), number(o->started_at_ms));
}

bool rows_delete_observation(struct backend *db, uint64_t id) {
    return RUN(db, SQL_DELETE_OBSERVATION, number(id));
}

bool rows_clear_observations(struct backend *db) {
    return run_bare(db, SQL_CLEAR_OBSERVATIONS);
}

bool rows_put_request(struct backend *db, const struct store_request *request) {
    return RUN(db, SQL_PUT_REQUEST, number(request->id), text(request->endpoint), blob(request->job),
               number(request->created_at_ms), number(request->expires_at_ms), number(request->state),
               number(request->completed_at_ms), blob(request->result));
}

bool rows_finish_request(struct backend *db, const struct store_request *request) {
    return RUN(db, SQL_FINISH_REQUEST, number(request->id), number(request->state), number(request->completed_at_ms),
               blob(request->result));
}

bool rows_delete_request(struct backend *db, uint64_t id) {
    return RUN(db, SQL_DELETE_REQUEST, number(id));
}

bool rows_put_queue_settings(struct backend *db, const struct store_queue_settings *settings) {
    if (settings->awake_window_ms == 0 && settings->limit == 0)
        return RUN(db, SQL_DELETE_QUEUE_SETTINGS, text(settings->endpoint));
    return RUN(db, SQL_PUT_QUEUE_SETTINGS, text(settings->endpoint), setting(settings->awake_window_ms),
               setting(settings->limit));
}

bool rows_delete_credentials(struct backend *db, struct slice endpoint) {
    return RUN(db, SQL_DELETE_CREDENTIALS, text(endpoint));
}

bool rows_put_credential(struct backend *db, const struct store_credential *credential) {
    return RUN(db, SQL_PUT_CREDENTIAL, text(credential->endpoint), number(credential->mode),
               number(credential->services), blob(credential->sealed));
}

bool rows_put_bootstrap(struct backend *db, const struct store_bootstrap *bootstrap) {
    if (bootstrap->sealed.len == 0)
        return RUN(db, SQL_DELETE_BOOTSTRAP, text(bootstrap->endpoint));
    return RUN(db, SQL_PUT_BOOTSTRAP, text(bootstrap->endpoint), blob(bootstrap->sealed));
}

bool rows_put_firmware_image(struct backend *db, const struct store_firmware_image *image) {
    if (image->digest.len == 0)
        return RUN(db, SQL_DELETE_FIRMWARE_IMAGE, text(image->name));
    return RUN(db, SQL_PUT_FIRMWARE_IMAGE, text(image->name), blob(image->digest), number(image->size),
               text(image->url), number(image->created_at_ms));
}

bool rows_put_firmware_update(struct backend *db, const struct store_firmware_update *update) {
    if (update->flags == 0)
        return RUN(db, SQL_DELETE_FIRMWARE_UPDATE, text(update->endpoint));
    return RUN(db, SQL_PUT_FIRMWARE_UPDATE, text(update->endpoint), text(update->image), text(update->uri),
               text(update->detail), number(update->flags), number(update->result), number(update->created_at_ms),
               number(update->deadline_ms), number(update->ended_at_ms), number(update->observation),
               number(update->observation_of_result));
}

bool rows_put_document(struct backend *db, const struct store_document *document) {
    if (document->text.len == 0)
        return RUN(db, SQL_DELETE_DOCUMENT, number(document->kind), text(document->id));
    return RUN(db, SQL_PUT_DOCUMENT, number(document->kind), text(document->id), text(document->text));
}

bool rows_put_events(struct backend *db, const struct store_events *events) {
    return (events->bytes.len == 0 ||
            RUN(db, SQL_PUT_EVENTS, number(events->first_id), number(events->last_id), blob(events->bytes))) &&
           (events->oldest_id == 0 || RUN(db, SQL_TRIM_EVENTS, number(events->oldest_id)));
}

bool rows_put_session(struct backend *db, const struct store_session *session) {
    const struct store_session_state *state = &session->state;
    return RUN(db, SQL_PUT_SESSION, bits(state->id), number(session->listener), blob(session->local),
               number(session->flags), blob(session->sealed)) &&
           RUN(db, SQL_PUT_SESSION_STATE, bits(state->id), address(&state->peer), number(state->number_limit),
               number(state->window_top), bits(state->window_bits), number(state->used_ms));
}

bool rows_refresh_session(struct backend *db, const struct store_session_state *state) {
    return RUN(db, SQL_REFRESH_SESSION, bits(state->id), address(&state->peer), number(state->number_limit),
               number(state->window_top), bits(state->window_bits), number(state->used_ms));
}

bool rows_delete_session(struct backend *db, uint64_t id) {
    return RUN(db, SQL_DELETE_SESSION, bits(id)) && RUN(db, SQL_DELETE_SESSION_STATE, bits(id));
}

bool rows_put_resumption(struct backend *db, const struct store_resumption *resumption) {
    return RUN(db, SQL_PUT_RESUMPTION, blob(resumption->session_id), number(resumption->expires_ms),
               bits(resumption->identity), blob(resumption->sealed));
}

bool rows_delete_resumption(struct backend *db, struct slice session_id) {
    return RUN(db, SQL_DELETE_RESUMPTION, blob(session_id));
}

bool rows_put_oscore_context(struct backend *db, const struct store_oscore_context *context) {
    return RUN(db, SQL_PUT_OSCORE_CONTEXT, blob(context->digest), blob(context->id_context),
               number(context->static_limit), number(context->number_limit));
}

/* ---- reading beside the writer ---- */

bool rows_find_resumption(struct backend *db, struct slice session_id, store_resumption_fn *found, void *arg) {
    struct each_resumption to = {found, arg};
    const struct value wanted = blob(session_id);
    const struct backend_query query = {
        .sql = statement_find_resumption, .what = "a resumption", .values = &wanted, .value_count = 1};
    return db->ops->look_up(db, &query, find_resumption, &to);
}
