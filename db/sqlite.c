/* Files: `berth.db` and, while it is open or after a crash, `berth.db-wal` and `berth.db-shm`.
 *
 * A new database is made whole under another name and then renamed, so `berth.db` always has our application id in its
 * first 100 bytes, and a file that has not can be refused before SQLite touches it. What else can be wrong with a file,
 * SQLite tells by reading: until all is known to be well, the connection leaves the file and the log as they are. */
#include "db/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/schema_steps.h"

enum {
    APPLICATION_ID = 0x42727468, /* "Brth" */
    HEADER_BYTES = 100,          /* https://www.sqlite.org/fileformat.html §1.3 */
    HEADER_APPLICATION_ID = 68,
    CACHE_KIB = 2048,
    READER_CACHE_KIB = 256,
    CHECKPOINT_PAGES = 2048,
    LOG_BYTES_KEPT = 16 * 1024 * 1024, /* a log that had to grow larger is cut after its checkpoint */
    BUSY_MS = 5000,                    /* somebody looks in with sqlite3(1) */
};

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    PUT_REGISTRATION,
    PUT_LEASE,
    DELETE_REGISTRATION,
    DELETE_LEASE,
    REFRESH_LEASE,
    CLEAR_REGISTRATIONS,
    CLEAR_LEASES,
    PUT_SETTING,
    PUT_OBJECT,
    DELETE_OBJECT,
    PUT_OBSERVATION,
    DELETE_OBSERVATION,
    CLEAR_OBSERVATIONS,
    PUT_REQUEST,
    FINISH_REQUEST,
    DELETE_REQUEST,
    CLEAR_REQUESTS,
    PUT_QUEUE_SETTINGS,
    DELETE_QUEUE_SETTINGS,
    CLEAR_QUEUE_SETTINGS,
    DELETE_CREDENTIALS,
    PUT_CREDENTIAL,
    PUT_BOOTSTRAP,
    DELETE_BOOTSTRAP,
    PUT_SESSION,
    PUT_SESSION_STATE,
    REFRESH_SESSION,
    DELETE_SESSION,
    DELETE_SESSION_STATE,
    PUT_RESUMPTION,
    DELETE_RESUMPTION,
    PUT_OSCORE_CONTEXT,
    PUT_FIRMWARE_IMAGE,
    DELETE_FIRMWARE_IMAGE,
    PUT_FIRMWARE_UPDATE,
    DELETE_FIRMWARE_UPDATE,
    PUT_DOCUMENT,
    DELETE_DOCUMENT,
    STATEMENT_COUNT,
};

static const char *const statement_texts[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT_REGISTRATION] = "INSERT OR REPLACE INTO registration (id, endpoint, location, links, root, query, sms,"
                         " identity, address, local, listener, lifetime_s, flags, registered_at, session)"
                         " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_LEASE] = "INSERT OR REPLACE INTO lease (id, updated_at, expires_at) VALUES (?, ?, ?)",
    [DELETE_REGISTRATION] = "DELETE FROM registration WHERE id = ?",
    [DELETE_LEASE] = "DELETE FROM lease WHERE id = ?",
    [REFRESH_LEASE] = "UPDATE lease SET updated_at = ?2, expires_at = ?3 WHERE id = ?1",
    [CLEAR_REGISTRATIONS] = "DELETE FROM registration",
    [CLEAR_LEASES] = "DELETE FROM lease",
    [PUT_SETTING] = "INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)",
    [PUT_OBJECT] = "INSERT OR REPLACE INTO object (object_id, version, xml) VALUES (?, ?, ?)",
    [DELETE_OBJECT] = "DELETE FROM object WHERE object_id = ? AND version = ?",
    [PUT_OBSERVATION] = "INSERT OR REPLACE INTO observation (id, registration_id, endpoint, paths, token,"
                        " request, started_at)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?)",
    [DELETE_OBSERVATION] = "DELETE FROM observation WHERE id = ?",
    [CLEAR_OBSERVATIONS] = "DELETE FROM observation",
    [PUT_REQUEST] = "INSERT INTO request (id, endpoint, job, created_at, expires_at,"
                    " state, completed_at, result)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [FINISH_REQUEST] = "UPDATE request SET state = ?2, completed_at = ?3, result = ?4 WHERE id = ?1",
    [DELETE_REQUEST] = "DELETE FROM request WHERE id = ?",
    [CLEAR_REQUESTS] = "DELETE FROM request",
    [PUT_QUEUE_SETTINGS] =
        "INSERT OR REPLACE INTO queue_setting (endpoint, awake_window_ms, queue_limit) VALUES (?, ?, ?)",
    [DELETE_QUEUE_SETTINGS] = "DELETE FROM queue_setting WHERE endpoint = ?",
    [CLEAR_QUEUE_SETTINGS] = "DELETE FROM queue_setting",
    [DELETE_CREDENTIALS] = "DELETE FROM credential WHERE endpoint = ?",
    [PUT_CREDENTIAL] = "INSERT OR REPLACE INTO credential (endpoint, mode, services, sealed) VALUES (?, ?, ?, ?)",
    [PUT_BOOTSTRAP] = "INSERT OR REPLACE INTO bootstrap (endpoint, sealed) VALUES (?, ?)",
    [DELETE_BOOTSTRAP] = "DELETE FROM bootstrap WHERE endpoint = ?",
    [PUT_SESSION] = "INSERT OR REPLACE INTO session (id, listener, local, flags, sealed) VALUES (?, ?, ?, ?, ?)",
    [PUT_SESSION_STATE] =
        "INSERT OR REPLACE INTO session_state (id, peer, number_limit, window_top, window_bits, used_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
    [REFRESH_SESSION] = "UPDATE session_state SET peer = ?2, number_limit = max(number_limit, ?3), window_top = ?4,"
                        " window_bits = ?5, used_at = ?6 WHERE id = ?1",
    [DELETE_SESSION] = "DELETE FROM session WHERE id = ?",
    [DELETE_SESSION_STATE] = "DELETE FROM session_state WHERE id = ?",
    [PUT_RESUMPTION] = "INSERT OR REPLACE INTO resumption (session_id, expires_at, identity, sealed)"
                       " VALUES (?, ?, ?, ?)",
    [DELETE_RESUMPTION] = "DELETE FROM resumption WHERE session_id = ?",
    [PUT_OSCORE_CONTEXT] = "INSERT OR REPLACE INTO oscore_context (digest, id_context, static_limit, number_limit)"
                           " VALUES (?, ?, ?, ?)",
    [PUT_FIRMWARE_IMAGE] = "INSERT OR REPLACE INTO firmware_image (name, digest, size, url, created_at)"
                           " VALUES (?, ?, ?, ?, ?)",
    [DELETE_FIRMWARE_IMAGE] = "DELETE FROM firmware_image WHERE name = ?",
    [PUT_FIRMWARE_UPDATE] = "INSERT OR REPLACE INTO firmware_update (endpoint, image, uri, detail, flags, result,"
                            " created_at, deadline, ended_at, observation, observation_of_result)"
                            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [DELETE_FIRMWARE_UPDATE] = "DELETE FROM firmware_update WHERE endpoint = ?",
    [PUT_DOCUMENT] = "INSERT OR REPLACE INTO document (kind, id, text) VALUES (?, ?, ?)",
    [DELETE_DOCUMENT] = "DELETE FROM document WHERE kind = ? AND id = ?",
};

struct sqlite {
    sqlite3 *connection;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int wal_pages;     /* in the write-ahead log after the last commit */
    int checkpoint_at; /* with that many pages it is time */
    sqlite3 *reader;   /* made with its first use */
    sqlite3_stmt *find_resumption;
    enum store_result failure;
    char failure_text[120];
};

/* ---- opening ---- */

enum file_kind { FILE_NEW, FILE_OURS, FILE_REFUSED };

static uint32_t big_endian(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int known_version(void) {
    return schema_step_count == 0 ? 0 : schema_steps[schema_step_count - 1].version;
}

static void say_damaged(const char *path, const char *what, char *error, size_t error_size) {
    const char *line = strrchr(what, '\n'); /* a check answers with a headline above */
    what = line == NULL ? what : line + 1;
    snprintf(error, error_size, "%s: the database is damaged (%s); restore a copy, or move it away to begin anew", path,
             what);
}

static long size_of_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (long)status.st_size : -1;
}

/* Look at the first bytes without SQLite, which would write to what it takes for its own. */
static enum file_kind look_at_file(const char *path, const char *wal_path, char *error, size_t error_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        snprintf(error, error_size, "%s: %s; make it readable and writable for this user", path, strerror(errno));
        return FILE_REFUSED;
    }
    uint8_t header[HEADER_BYTES];
    ssize_t len = fd < 0 ? 0 : pread(fd, header, sizeof header, 0);
    int read_error = errno;
    if (fd >= 0)
        close(fd);
    if (len < 0) {
        snprintf(error, error_size, "%s: %s", path, strerror(read_error));
        return FILE_REFUSED;
    }
    if (len == 0) {
        if (size_of_file(wal_path) <= 0)
            return FILE_NEW;
        snprintf(error, error_size, "%s: belongs to a database that is not here; bring back %s or move this away too",
                 wal_path, path);
        return FILE_REFUSED;
    }
    if (len < (ssize_t)sizeof header || memcmp(header, "SQLite format 3", 16) != 0 ||
        big_endian(header + HEADER_APPLICATION_ID) != APPLICATION_ID) {
        snprintf(error, error_size, "%s: not a database of Berth; move it away or give another data directory", path);
        return FILE_REFUSED;
    }
    return FILE_OURS;
}

static bool execute(sqlite3 *connection, const char *sql) {
    return sqlite3_exec(connection, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* The first column of the first row; -1 when it fails. */
static long query_number(sqlite3 *connection, const char *sql) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(connection, sql, -1, &statement, NULL) != SQLITE_OK)
        return -1;
    long number = sqlite3_step(statement) == SQLITE_ROW ? (long)sqlite3_column_int64(statement, 0) : -1;
    return sqlite3_finalize(statement) == SQLITE_OK ? number : -1;
}

/* Apply the steps above `version`, each in a transaction of its own. */
static bool apply_schema(sqlite3 *connection, long version) {
    for (size_t i = 0; i < schema_step_count; i++) {
        char set_version[48];
        snprintf(set_version, sizeof set_version, "PRAGMA user_version = %d", schema_steps[i].version);
        if (schema_steps[i].version > version &&
            !(execute(connection, "BEGIN IMMEDIATE") && execute(connection, schema_steps[i].sql) &&
              execute(connection, set_version) && execute(connection, "COMMIT")))
            return false;
    }
    return true;
}

static bool sync_path(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool synced = fsync(fd) == 0;
    close(fd);
    return synced;
}

/* Make the whole database at `path`. On failure `reason` says why. */
static bool fill_new_file(const char *path, char *reason, size_t size) {
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(reason, size, "%s", strerror(errno));
        return false;
    }
    close(fd);
    char set_id[48];
    snprintf(set_id, sizeof set_id, "PRAGMA application_id = %d", APPLICATION_ID);
    sqlite3 *connection = NULL;
    bool filled = sqlite3_open_v2(path, &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
                  execute(connection, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF") &&
                  execute(connection, set_id) && apply_schema(connection, 0);
    if (!filled)
        snprintf(reason, size, "%s", sqlite3_errmsg(connection));
    sqlite3_close(connection);
    if (filled && !sync_path(path, O_RDWR)) {
        snprintf(reason, size, "%s", strerror(errno));
        return false;
    }
    return filled;
}

static bool create_file(const char *path, char *error, size_t error_size) {
    char new_path[PATH_MAX], directory[PATH_MAX], reason[120];
    snprintf(new_path, sizeof new_path, "%s.new", path);
    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(path, '/') - path), path);
    unlink(new_path);
    bool filled = fill_new_file(new_path, reason, sizeof reason);
    if (filled && rename(new_path, path) == 0 && sync_path(directory, O_RDONLY | O_DIRECTORY))
        return true;
    if (filled)
        snprintf(reason, sizeof reason, "%s", strerror(errno));
    snprintf(error, error_size, "%s: the database can't be made: %s", path, reason);
    unlink(new_path);
    return false;
}

static bool passes_check(sqlite3 *connection, const char *path, char *error, size_t error_size) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(connection, "PRAGMA quick_check(1)", -1, &statement, NULL) != SQLITE_OK) {
        say_damaged(path, sqlite3_errmsg(connection), error, error_size);
        return false;
    }
    bool row = sqlite3_step(statement) == SQLITE_ROW;
    const char *answer = row ? (const char *)sqlite3_column_text(statement, 0) : sqlite3_errmsg(connection);
    bool passed = answer != NULL && strcmp(answer, "ok") == 0;
    if (!passed)
        say_damaged(path, answer == NULL ? "no answer" : answer, error, error_size);
    sqlite3_finalize(statement);
    return passed;
}

static int on_commit(void *arg, sqlite3 *connection, const char *name, int pages) {
    (void)connection;
    (void)name;
    struct sqlite *db = arg;
    db->wal_pages = pages;
    return SQLITE_OK;
}

/* Read what needs no writing: is the file sound, and of a version that we know? */
static bool inspect(sqlite3 *connection, const char *path, bool check, long *version, char *error, size_t error_size) {
    *version = query_number(connection, "PRAGMA user_version");
    if (*version < 0 || query_number(connection, "SELECT count(*) FROM sqlite_schema") < 0) {
        say_damaged(path, sqlite3_errmsg(connection), error, error_size);
        return false;
    }
    if (*version > known_version()) {
        snprintf(error, error_size,
                 "%s: written by a newer version of Berth (schema %ld, this one knows %d); use that version or another "
                 "data directory",
                 path, *version, known_version());
        return false;
    }
    return !check || passes_check(connection, path, error, error_size);
}

/* SQLite stays with another journal where the file system has no shared memory, and says so only in its answer. */
static bool use_wal(sqlite3 *connection) {
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(connection, "PRAGMA journal_mode = WAL", -1, &statement, NULL) != SQLITE_OK)
        return false;
    bool answered = sqlite3_step(statement) == SQLITE_ROW;
    bool wal = answered && strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
    return sqlite3_finalize(statement) == SQLITE_OK && wal;
}

static bool prepare_to_write(struct sqlite *db, long version, enum store_durability durability) {
    char pragmas[160];
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA synchronous = %s; PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY;"
             " PRAGMA journal_size_limit = %d",
             durability == STORE_FULL ? "FULL" : "NORMAL", CACHE_KIB, LOG_BYTES_KEPT);
    if (sqlite3_db_readonly(db->connection, "main") != 0 || !use_wal(db->connection) ||
        !execute(db->connection, pragmas) || !apply_schema(db->connection, version))
        return false;
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        if (sqlite3_prepare_v3(db->connection, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT, &db->statements[i],
                               NULL) != SQLITE_OK)
            return false;
    }
    db->checkpoint_at = CHECKPOINT_PAGES;
    sqlite3_wal_hook(db->connection, on_commit, db);
    return true;
}

static void close_connection(struct sqlite *db, bool checkpoint) {
    sqlite3_finalize(db->find_resumption);
    sqlite3_close(db->reader);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_db_config(db->connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !checkpoint, NULL);
    sqlite3_close(db->connection);
    free(db);
}

struct sqlite *sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
                           size_t error_size) {
    char wal_path[PATH_MAX], shm_path[PATH_MAX];
    snprintf(wal_path, sizeof wal_path, "%s-wal", path);
    snprintf(shm_path, sizeof shm_path, "%s-shm", path);
    enum file_kind kind = look_at_file(path, wal_path, error, error_size);
    if (kind == FILE_REFUSED || (kind == FILE_NEW && !create_file(path, error, error_size)))
        return NULL;
    bool had_wal = size_of_file(wal_path) >= 0;

    struct sqlite *db = calloc(1, sizeof *db);
    if (db == NULL) {
        snprintf(error, error_size, "%s: out of memory", path);
        return NULL;
    }
    long version = 0;
    bool usable = false;
    if (sqlite3_open_v2(path, &db->connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        snprintf(error, error_size, "%s: %s", path, sqlite3_errmsg(db->connection));
    } else {
        sqlite3_extended_result_codes(db->connection, 1);
        sqlite3_busy_timeout(db->connection, BUSY_MS);
        usable = inspect(db->connection, path, check, &version, error, error_size);
    }
    if (usable && prepare_to_write(db, version, durability))
        return db;
    if (usable)
        snprintf(error, error_size,
                 "%s: the database can't be written (%s); make the file and its directory writable, on a local disk",
                 path, sqlite3_errmsg(db->connection));
    close_connection(db, false);
    if (!had_wal && size_of_file(wal_path) == 0) { /* SQLite made them only to look */
        unlink(wal_path);
        unlink(shm_path);
    }
    return NULL;
}

void sqlite_close(struct sqlite *db) {
    close_connection(db, true);
}

/* ---- reading ---- */

static struct slice column_slice(sqlite3_stmt *row, int column) {
    const void *data = sqlite3_column_blob(row, column);
    return slice_of(data, (size_t)sqlite3_column_bytes(row, column));
}

/* A number that was stored as unsigned: false when it is none, or greater than `max`. */
static bool column_number(sqlite3_stmt *row, int column, uint64_t max, uint64_t *number) {
    sqlite3_int64 value = sqlite3_column_int64(row, column);
    *number = (uint64_t)value;
    return sqlite3_column_type(row, column) == SQLITE_INTEGER && value >= 0 && *number <= max;
}

static bool read_registration(sqlite3_stmt *row, struct store_registration *r) {
    uint64_t listener, lifetime_s, flags;
    if (!column_number(row, 0, INT64_MAX, &r->id) || !column_number(row, 10, UINT32_MAX, &listener) ||
        !column_number(row, 11, UINT32_MAX, &lifetime_s) || !column_number(row, 12, UINT32_MAX, &flags) ||
        !column_number(row, 13, INT64_MAX, &r->registered_at_ms) ||
        !column_number(row, 14, INT64_MAX, &r->updated_at_ms))
        return false;
    if (sqlite3_column_type(row, 15) == SQLITE_NULL)
        r->expires_at_ms = UINT64_MAX;
    else if (!column_number(row, 15, INT64_MAX, &r->expires_at_ms))
        return false;
    r->endpoint = column_slice(row, 1);
    r->location = column_slice(row, 2);
    r->links = column_slice(row, 3);
    r->root = column_slice(row, 4);
    r->query = column_slice(row, 5);
    r->sms = column_slice(row, 6);
    r->identity = column_slice(row, 7);
    r->address = column_slice(row, 8);
    r->local = column_slice(row, 9);
    r->session = (uint64_t)sqlite3_column_int64(row, 16);
    r->listener = (uint32_t)listener;
    r->lifetime_s = (uint32_t)lifetime_s;
    r->flags = (uint32_t)flags;
    return r->id > 0 && r->endpoint.len > 0;
}

/* A function that reads a row and hands it on; false when the row makes no sense. */
typedef bool row_fn(sqlite3_stmt *row, void *arg);

/* Every row of a query. `what` a row is, for the error. */
static bool load_rows(struct sqlite *db, const char *sql, const char *what, row_fn *each, void *arg, char *error,
                      size_t error_size) {
    const char *path = sqlite3_db_filename(db->connection, "main");
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db->connection, sql, -1, &row, NULL) != SQLITE_OK) {
        say_damaged(path, sqlite3_errmsg(db->connection), error, error_size);
        return false;
    }
    int result;
    bool sound = true;
    while (sound && (result = sqlite3_step(row)) == SQLITE_ROW) {
        sound = each(row, arg);
        if (!sound) {
            char text[80];
            snprintf(text, sizeof text, "%s makes no sense", what);
            say_damaged(path, text, error, error_size);
        }
    }
    if (sound && result != SQLITE_DONE) {
        say_damaged(path, sqlite3_errmsg(db->connection), error, error_size);
        sound = false;
    }
    sqlite3_finalize(row);
    sqlite3_db_release_memory(db->connection);
    return sound;
}

struct each_registration {
    store_registration_fn *each;
    void *arg;
};

static bool load_registration(sqlite3_stmt *row, void *arg) {
    const struct each_registration *to = arg;
    struct store_registration registration;
    if (!read_registration(row, &registration))
        return false;
    to->each(to->arg, &registration);
    return true;
}

bool sqlite_load_registrations(struct sqlite *db, store_registration_fn *each, void *arg, char *error,
                               size_t error_size) {
    struct each_registration to = {each, arg};
    return load_rows(db,
                     "SELECT id, endpoint, location, links, root, query, sms, identity, address, local, listener,"
                     " lifetime_s, flags, registered_at, updated_at, expires_at, session"
                     " FROM registration LEFT JOIN lease USING (id) ORDER BY id",
                     "a registration", load_registration, &to, error, error_size);
}

static bool read_object(sqlite3_stmt *row, struct store_object *object) {
    uint64_t id;
    if (!column_number(row, 0, UINT16_MAX, &id))
        return false;
    object->id = (uint16_t)id;
    object->version = column_slice(row, 1);
    object->xml = column_slice(row, 2);
    return object->version.len > 0 && object->xml.len > 0;
}

struct each_object {
    store_object_fn *each;
    void *arg;
};

static bool load_object(sqlite3_stmt *row, void *arg) {
    const struct each_object *to = arg;
    struct store_object object;
    if (!read_object(row, &object))
        return false;
    to->each(to->arg, &object);
    return true;
}

bool sqlite_load_objects(struct sqlite *db, store_object_fn *each, void *arg, char *error, size_t error_size) {
    struct each_object to = {each, arg};
    return load_rows(db, "SELECT object_id, version, xml FROM object ORDER BY object_id, version",
                     "an object definition", load_object, &to, error, error_size);
}

static bool read_credential(sqlite3_stmt *row, struct store_credential *credential) {
    uint64_t mode, services;
    if (!column_number(row, 1, UINT32_MAX, &mode) || !column_number(row, 2, UINT32_MAX, &services))
        return false;
    credential->endpoint = column_slice(row, 0);
    credential->mode = (uint32_t)mode;
    credential->services = (uint32_t)services;
    credential->sealed = column_slice(row, 3);
    return credential->endpoint.len > 0;
}

struct each_credential {
    store_credential_fn *each;
    void *arg;
};

static bool load_credential(sqlite3_stmt *row, void *arg) {
    const struct each_credential *to = arg;
    struct store_credential credential;
    if (!read_credential(row, &credential))
        return false;
    to->each(to->arg, &credential);
    return true;
}

bool sqlite_load_credentials(struct sqlite *db, store_credential_fn *each, void *arg, char *error, size_t error_size) {
    struct each_credential to = {each, arg};
    return load_rows(db, "SELECT endpoint, mode, services, sealed FROM credential ORDER BY endpoint, mode, services",
                     "a credential", load_credential, &to, error, error_size);
}

struct each_firmware_image {
    store_firmware_image_fn *each;
    void *arg;
};

static bool load_firmware_image(sqlite3_stmt *row, void *arg) {
    const struct each_firmware_image *to = arg;
    struct store_firmware_image image = {.name = column_slice(row, 0),
                                         .digest = column_slice(row, 1),
                                         .size = (uint64_t)sqlite3_column_int64(row, 2),
                                         .url = column_slice(row, 3),
                                         .created_at_ms = (uint64_t)sqlite3_column_int64(row, 4)};
    to->each(to->arg, &image);
    return image.digest.len == 32;
}

bool sqlite_load_firmware_images(struct sqlite *db, store_firmware_image_fn *each, void *arg, char *error,
                                 size_t error_size) {
    struct each_firmware_image to = {each, arg};
    return load_rows(db, "SELECT name, digest, size, url, created_at FROM firmware_image ORDER BY name",
                     "a firmware image", load_firmware_image, &to, error, error_size);
}

struct each_document {
    store_document_fn *each;
    void *arg;
};

static bool load_document(sqlite3_stmt *row, void *arg) {
    const struct each_document *to = arg;
    const struct store_document document = {
        .kind = (uint32_t)sqlite3_column_int64(row, 0), .id = column_slice(row, 1), .text = column_slice(row, 2)};
    to->each(to->arg, &document);
    return document.text.len > 0;
}

bool sqlite_load_documents(struct sqlite *db, store_document_fn *each, void *arg, char *error, size_t error_size) {
    struct each_document to = {each, arg};
    return load_rows(db, "SELECT kind, id, text FROM document ORDER BY kind, id", "a document", load_document, &to,
                     error, error_size);
}

struct each_firmware_update {
    store_firmware_update_fn *each;
    void *arg;
};

static bool load_firmware_update(sqlite3_stmt *row, void *arg) {
    const struct each_firmware_update *to = arg;
    struct store_firmware_update update = {.endpoint = column_slice(row, 0),
                                           .image = column_slice(row, 1),
                                           .uri = column_slice(row, 2),
                                           .detail = column_slice(row, 3),
                                           .flags = (uint64_t)sqlite3_column_int64(row, 4),
                                           .result = (uint32_t)sqlite3_column_int64(row, 5),
                                           .created_at_ms = (uint64_t)sqlite3_column_int64(row, 6),
                                           .deadline_ms = (uint64_t)sqlite3_column_int64(row, 7),
                                           .ended_at_ms = (uint64_t)sqlite3_column_int64(row, 8),
                                           .observation = (uint64_t)sqlite3_column_int64(row, 9),
                                           .observation_of_result = (uint64_t)sqlite3_column_int64(row, 10)};
    to->each(to->arg, &update);
    return update.endpoint.len > 0 && update.flags != 0;
}

bool sqlite_load_firmware_updates(struct sqlite *db, store_firmware_update_fn *each, void *arg, char *error,
                                  size_t error_size) {
    struct each_firmware_update to = {each, arg};
    return load_rows(db,
                     "SELECT endpoint, image, uri, detail, flags, result, created_at, deadline, ended_at, observation,"
                     " observation_of_result FROM firmware_update ORDER BY endpoint",
                     "a firmware update", load_firmware_update, &to, error, error_size);
}

struct each_bootstrap {
    store_bootstrap_fn *each;
    void *arg;
};

static bool load_bootstrap(sqlite3_stmt *row, void *arg) {
    const struct each_bootstrap *to = arg;
    struct store_bootstrap bootstrap = {.endpoint = column_slice(row, 0), .sealed = column_slice(row, 1)};
    to->each(to->arg, &bootstrap);
    return bootstrap.sealed.len > 0;
}

bool sqlite_load_bootstraps(struct sqlite *db, store_bootstrap_fn *each, void *arg, char *error, size_t error_size) {
    struct each_bootstrap to = {each, arg};
    return load_rows(db, "SELECT endpoint, sealed FROM bootstrap ORDER BY endpoint", "a bootstrap configuration",
                     load_bootstrap, &to, error, error_size);
}

static bool column_address(sqlite3_stmt *row, int column, struct address *address) {
    struct slice bytes = column_slice(row, column);
    if (bytes.len != sizeof *address)
        return false;
    memcpy(address, bytes.data, sizeof *address);
    return address->family == ADDRESS_IPV4 || address->family == ADDRESS_IPV6;
}

static bool read_session(sqlite3_stmt *row, struct store_session *session) {
    uint64_t listener, flags;
    struct store_session_state *state = &session->state;
    if (!column_number(row, 1, UINT32_MAX, &listener) || !column_number(row, 3, UINT32_MAX, &flags) ||
        !column_address(row, 5, &state->peer) || !column_number(row, 6, INT64_MAX, &state->number_limit) ||
        !column_number(row, 7, INT64_MAX, &state->window_top) || sqlite3_column_type(row, 8) != SQLITE_INTEGER ||
        !column_number(row, 9, INT64_MAX, &state->used_ms))
        return false;
    state->id = (uint64_t)sqlite3_column_int64(row, 0);
    state->window_bits = (uint64_t)sqlite3_column_int64(row, 8);
    session->listener = (uint32_t)listener;
    session->local = column_slice(row, 2);
    session->flags = (uint32_t)flags;
    session->sealed = column_slice(row, 4);
    return state->id != 0 && session->sealed.len > 0;
}

struct each_session {
    store_session_fn *each;
    void *arg;
};

static bool load_session(sqlite3_stmt *row, void *arg) {
    const struct each_session *to = arg;
    struct store_session session;
    if (!read_session(row, &session))
        return false;
    to->each(to->arg, &session);
    return true;
}

bool sqlite_load_sessions(struct sqlite *db, store_session_fn *each, void *arg, char *error, size_t error_size) {
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

static bool load_resumption(sqlite3_stmt *row, void *arg) {
    const struct each_resumption *to = arg;
    struct store_resumption r = {.session_id = column_slice(row, 0),
                                 .identity = (uint64_t)sqlite3_column_int64(row, 2)};
    if (!column_number(row, 1, INT64_MAX, &r.expires_ms) || r.session_id.len == 0)
        return false;
    if (sqlite3_column_count(row) > 3)
        r.sealed = column_slice(row, 3);
    to->each(to->arg, &r);
    return true;
}

bool sqlite_load_resumptions(struct sqlite *db, store_resumption_fn *each, void *arg, char *error, size_t error_size) {
    struct each_resumption to = {each, arg};
    return load_rows(db, "SELECT session_id, expires_at, identity FROM resumption ORDER BY expires_at", "a resumption",
                     load_resumption, &to, error, error_size);
}

struct each_oscore_context {
    store_oscore_context_fn *each;
    void *arg;
};

static bool load_oscore_context(sqlite3_stmt *row, void *arg) {
    const struct each_oscore_context *to = arg;
    struct store_oscore_context c = {.digest = column_slice(row, 0), .id_context = column_slice(row, 1)};
    if (!column_number(row, 2, INT64_MAX, &c.static_limit) || !column_number(row, 3, INT64_MAX, &c.number_limit))
        return false;
    to->each(to->arg, &c);
    return true;
}

bool sqlite_load_oscore_contexts(struct sqlite *db, store_oscore_context_fn *each, void *arg, char *error,
                                 size_t error_size) {
    struct each_oscore_context to = {each, arg};
    return load_rows(db, "SELECT digest, id_context, static_limit, number_limit FROM oscore_context",
                     "an OSCORE context", load_oscore_context, &to, error, error_size);
}

static bool read_observation(sqlite3_stmt *row, struct store_observation *o) {
    o->endpoint = column_slice(row, 2);
    o->paths = column_slice(row, 3);
    o->token = column_slice(row, 4);
    o->request = column_slice(row, 5);
    return column_number(row, 0, INT64_MAX, &o->id) && column_number(row, 1, INT64_MAX, &o->registration_id) &&
           column_number(row, 6, INT64_MAX, &o->started_at_ms) && o->id > 0 && o->endpoint.len > 0;
}

bool sqlite_load_observations(struct sqlite *db, store_observation_fn *each, void *arg, char *error,
                              size_t error_size) {
    const char *path = sqlite3_db_filename(db->connection, "main");
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db->connection,
                           "SELECT id, registration_id, endpoint, paths, token, request, started_at FROM observation"
                           " ORDER BY id",
                           -1, &row, NULL) != SQLITE_OK) {
        say_damaged(path, sqlite3_errmsg(db->connection), error, error_size);
        return false;
    }
    int result;
    bool sound = true;
    while (sound && (result = sqlite3_step(row)) == SQLITE_ROW) {
        struct store_observation observation;
        sound = read_observation(row, &observation);
        if (sound)
            each(arg, &observation);
        else
            say_damaged(path, "an observation makes no sense", error, error_size);
    }
    if (sound && result != SQLITE_DONE) {
        say_damaged(path, sqlite3_errmsg(db->connection), error, error_size);
        sound = false;
    }
    sqlite3_finalize(row);
    sqlite3_db_release_memory(db->connection);
    return sound;
}

static bool read_request(sqlite3_stmt *row, struct store_request *request) {
    uint64_t state;
    if (!column_number(row, 0, INT64_MAX, &request->id) || !column_number(row, 3, INT64_MAX, &request->created_at_ms) ||
        !column_number(row, 4, INT64_MAX, &request->expires_at_ms) || !column_number(row, 5, UINT32_MAX, &state) ||
        !column_number(row, 6, INT64_MAX, &request->completed_at_ms))
        return false;
    request->endpoint = column_slice(row, 1);
    request->job = column_slice(row, 2);
    request->state = (uint32_t)state;
    request->result = column_slice(row, 7);
    return request->id > 0 && request->endpoint.len > 0 && request->job.len > 0;
}

bool sqlite_load_requests(struct sqlite *db, store_request_fn *each, void *arg, char *error, size_t error_size) {
    const char *path = sqlite3_db_filename(db->connection, "main");
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db->connection,
                           "SELECT id, endpoint, job, created_at, expires_at, state, completed_at, result"
                           " FROM request ORDER BY id",
                           -1, &row, NULL) != SQLITE_OK) {
        say_damaged(path, sqlite3_errmsg(db->connection), error, error_size);
        return false;
    }
    int result;
    bool sound = true;
    while (sound && (result = sqlite3_step(row)) == SQLITE_ROW) {
        struct store_request request;
        sound = read_request(row, &request);
        if (sound)
            each(arg, &request);
        else
            say_damaged(path, "a queued request makes no sense", error, error_size);
    }
    if (sound && result != SQLITE_DONE) {
        say_damaged(path, sqlite3_errmsg(db->connection), error, error_size);
        sound = false;
    }
    sqlite3_finalize(row);
    sqlite3_db_release_memory(db->connection);
    return sound;
}

/* 0 for NULL. */
static bool column_setting(sqlite3_stmt *row, int column, uint32_t *number) {
    uint64_t value = 0;
    bool sound = sqlite3_column_type(row, column) == SQLITE_NULL || column_number(row, column, UINT32_MAX, &value);
    *number = (uint32_t)value;
    return sound;
}

bool sqlite_load_queue_settings(struct sqlite *db, store_queue_settings_fn *each, void *arg, char *error,
                                size_t error_size) {
    const char *path = sqlite3_db_filename(db->connection, "main");
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db->connection, "SELECT endpoint, awake_window_ms, queue_limit FROM queue_setting", -1, &row,
                           NULL) != SQLITE_OK) {
        say_damaged(path, sqlite3_errmsg(db->connection), error, error_size);
        return false;
    }
    int result;
    bool sound = true;
    while (sound && (result = sqlite3_step(row)) == SQLITE_ROW) {
        struct store_queue_settings settings = {.endpoint = column_slice(row, 0)};
        sound = settings.endpoint.len > 0 && column_setting(row, 1, &settings.awake_window_ms) &&
                column_setting(row, 2, &settings.limit);
        if (sound)
            each(arg, &settings);
        else
            say_damaged(path, "the settings of a queue make no sense", error, error_size);
    }
    if (sound && result != SQLITE_DONE) {
        say_damaged(path, sqlite3_errmsg(db->connection), error, error_size);
        sound = false;
    }
    sqlite3_finalize(row);
    return sound;
}

long sqlite_get_setting(struct sqlite *db, const char *name, char *value, size_t value_size) {
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db->connection, "SELECT value FROM setting WHERE name = ?", -1, &row, NULL) != SQLITE_OK)
        return -1;
    sqlite3_bind_text(row, 1, name, -1, SQLITE_STATIC);
    long len = -1;
    if (sqlite3_step(row) == SQLITE_ROW) {
        struct slice found = column_slice(row, 0);
        len = (long)found.len;
        size_t copied = found.len < value_size ? found.len : value_size;
        if (value != NULL && copied > 0)
            memcpy(value, found.data, copied);
    }
    sqlite3_finalize(row);
    return len;
}

/* ---- writing ---- */

/* `system` is errno; SQLite itself tells ENOSPC from other errors only. */
static bool fail(struct sqlite *db, int code, int system) {
    bool io = (code & 0xff) == SQLITE_IOERR;
    bool full = code == SQLITE_FULL || (io && (system == ENOSPC || system == EDQUOT || system == EFBIG));
    db->failure = full ? STORE_DISK_FULL : STORE_IO;
    if (io && system != 0)
        snprintf(db->failure_text, sizeof db->failure_text, "%s: %s", sqlite3_errmsg(db->connection), strerror(system));
    else
        snprintf(db->failure_text, sizeof db->failure_text, "%s", sqlite3_errmsg(db->connection));
    return false;
}

static bool run(struct sqlite *db, enum statement statement) {
    errno = 0;
    int code = sqlite3_step(db->statements[statement]);
    bool done = code == SQLITE_DONE || fail(db, code, errno);
    sqlite3_reset(db->statements[statement]);
    return done;
}

/* Parameters are bound without copying: they need to live until the statement has run. */
static void bind_text(sqlite3_stmt *statement, int parameter, struct slice s) {
    sqlite3_bind_text64(statement, parameter, s.len == 0 ? "" : (const char *)s.data, s.len, SQLITE_STATIC,
                        SQLITE_UTF8);
}

static void bind_blob(sqlite3_stmt *statement, int parameter, struct slice s) {
    sqlite3_bind_blob64(statement, parameter, s.len == 0 ? "" : (const void *)s.data, s.len, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *statement, int parameter, uint64_t number) {
    sqlite3_bind_int64(statement, parameter, number > INT64_MAX ? INT64_MAX : (sqlite3_int64)number);
}

/* 64 bits that no order is asked of. */
static void bind_bits(sqlite3_stmt *statement, int parameter, uint64_t bits) {
    sqlite3_bind_int64(statement, parameter, (sqlite3_int64)bits);
}

static void bind_expiry(sqlite3_stmt *statement, int parameter, uint64_t expires_at_ms) {
    if (expires_at_ms == UINT64_MAX)
        sqlite3_bind_null(statement, parameter);
    else
        bind_number(statement, parameter, expires_at_ms);
}

bool sqlite_begin(struct sqlite *db) {
    return run(db, BEGIN);
}

bool sqlite_commit(struct sqlite *db) {
    return run(db, COMMIT);
}

void sqlite_rollback(struct sqlite *db) {
    if (sqlite3_get_autocommit(db->connection))
        return; /* SQLite has rolled back by itself */
    sqlite3_step(db->statements[ROLLBACK]);
    sqlite3_reset(db->statements[ROLLBACK]);
}

bool sqlite_put_registration(struct sqlite *db, const struct store_registration *r) {
    sqlite3_stmt *wide = db->statements[PUT_REGISTRATION], *narrow = db->statements[PUT_LEASE];
    bind_number(wide, 1, r->id);
    bind_text(wide, 2, r->endpoint);
    bind_text(wide, 3, r->location);
    bind_text(wide, 4, r->links);
    bind_text(wide, 5, r->root);
    bind_text(wide, 6, r->query);
    bind_text(wide, 7, r->sms);
    bind_blob(wide, 8, r->identity);
    bind_blob(wide, 9, r->address);
    bind_blob(wide, 10, r->local);
    bind_number(wide, 11, r->listener);
    bind_number(wide, 12, r->lifetime_s);
    bind_number(wide, 13, r->flags);
    bind_number(wide, 14, r->registered_at_ms);
    bind_bits(wide, 15, r->session);
    bind_number(narrow, 1, r->id);
    bind_number(narrow, 2, r->updated_at_ms);
    bind_expiry(narrow, 3, r->expires_at_ms);
    return run(db, PUT_REGISTRATION) && run(db, PUT_LEASE);
}

bool sqlite_delete_registration(struct sqlite *db, uint64_t id) {
    bind_number(db->statements[DELETE_REGISTRATION], 1, id);
    bind_number(db->statements[DELETE_LEASE], 1, id);
    return run(db, DELETE_REGISTRATION) && run(db, DELETE_LEASE);
}

bool sqlite_refresh_registration(struct sqlite *db, const struct store_refresh *refresh) {
    sqlite3_stmt *statement = db->statements[REFRESH_LEASE];
    bind_number(statement, 1, refresh->id);
    bind_number(statement, 2, refresh->updated_at_ms);
    bind_expiry(statement, 3, refresh->expires_at_ms);
    return run(db, REFRESH_LEASE);
}

bool sqlite_clear_registrations(struct sqlite *db) {
    return run(db, CLEAR_REGISTRATIONS) && run(db, CLEAR_LEASES) && run(db, CLEAR_REQUESTS) &&
           run(db, CLEAR_QUEUE_SETTINGS);
}

bool sqlite_put_setting(struct sqlite *db, struct slice name, struct slice value) {
    bind_text(db->statements[PUT_SETTING], 1, name);
    bind_text(db->statements[PUT_SETTING], 2, value);
    return run(db, PUT_SETTING);
}

bool sqlite_put_object(struct sqlite *db, const struct store_object *object) {
    bind_number(db->statements[PUT_OBJECT], 1, object->id);
    bind_text(db->statements[PUT_OBJECT], 2, object->version);
    bind_blob(db->statements[PUT_OBJECT], 3, object->xml);
    return run(db, PUT_OBJECT);
}

bool sqlite_delete_object(struct sqlite *db, uint16_t id, struct slice version) {
    bind_number(db->statements[DELETE_OBJECT], 1, id);
    bind_text(db->statements[DELETE_OBJECT], 2, version);
    return run(db, DELETE_OBJECT);
}

bool sqlite_put_observation(struct sqlite *db, const struct store_observation *o) {
    sqlite3_stmt *statement = db->statements[PUT_OBSERVATION];
    bind_number(statement, 1, o->id);
    bind_number(statement, 2, o->registration_id);
    bind_text(statement, 3, o->endpoint);
    bind_text(statement, 4, o->paths);
    bind_blob(statement, 5, o->token);
    bind_blob(statement, 6, o->request);
    bind_number(statement, 7, o->started_at_ms);
    return run(db, PUT_OBSERVATION);
}

bool sqlite_delete_observation(struct sqlite *db, uint64_t id) {
    bind_number(db->statements[DELETE_OBSERVATION], 1, id);
    return run(db, DELETE_OBSERVATION);
}

bool sqlite_clear_observations(struct sqlite *db) {
    return run(db, CLEAR_OBSERVATIONS);
}

bool sqlite_put_request(struct sqlite *db, const struct store_request *request) {
    sqlite3_stmt *statement = db->statements[PUT_REQUEST];
    bind_number(statement, 1, request->id);
    bind_text(statement, 2, request->endpoint);
    bind_blob(statement, 3, request->job);
    bind_number(statement, 4, request->created_at_ms);
    bind_number(statement, 5, request->expires_at_ms);
    bind_number(statement, 6, request->state);
    bind_number(statement, 7, request->completed_at_ms);
    bind_blob(statement, 8, request->result);
    return run(db, PUT_REQUEST);
}

bool sqlite_finish_request(struct sqlite *db, const struct store_request *request) {
    sqlite3_stmt *statement = db->statements[FINISH_REQUEST];
    bind_number(statement, 1, request->id);
    bind_number(statement, 2, request->state);
    bind_number(statement, 3, request->completed_at_ms);
    bind_blob(statement, 4, request->result);
    return run(db, FINISH_REQUEST);
}

bool sqlite_delete_request(struct sqlite *db, uint64_t id) {
    bind_number(db->statements[DELETE_REQUEST], 1, id);
    return run(db, DELETE_REQUEST);
}

static void bind_setting(sqlite3_stmt *statement, int parameter, uint32_t number) {
    if (number == 0)
        sqlite3_bind_null(statement, parameter);
    else
        bind_number(statement, parameter, number);
}

bool sqlite_put_queue_settings(struct sqlite *db, const struct store_queue_settings *settings) {
    sqlite3_stmt *statement = db->statements[PUT_QUEUE_SETTINGS];
    if (settings->awake_window_ms == 0 && settings->limit == 0) {
        bind_text(db->statements[DELETE_QUEUE_SETTINGS], 1, settings->endpoint);
        return run(db, DELETE_QUEUE_SETTINGS);
    }
    bind_text(statement, 1, settings->endpoint);
    bind_setting(statement, 2, settings->awake_window_ms);
    bind_setting(statement, 3, settings->limit);
    return run(db, PUT_QUEUE_SETTINGS);
}

bool sqlite_delete_credentials(struct sqlite *db, struct slice endpoint) {
    bind_text(db->statements[DELETE_CREDENTIALS], 1, endpoint);
    return run(db, DELETE_CREDENTIALS);
}

bool sqlite_put_credential(struct sqlite *db, const struct store_credential *credential) {
    sqlite3_stmt *statement = db->statements[PUT_CREDENTIAL];
    bind_text(statement, 1, credential->endpoint);
    bind_number(statement, 2, credential->mode);
    bind_number(statement, 3, credential->services);
    bind_blob(statement, 4, credential->sealed);
    return run(db, PUT_CREDENTIAL);
}

bool sqlite_put_bootstrap(struct sqlite *db, const struct store_bootstrap *bootstrap) {
    bool is_deletion = bootstrap->sealed.len == 0;
    sqlite3_stmt *statement = db->statements[is_deletion ? DELETE_BOOTSTRAP : PUT_BOOTSTRAP];
    bind_text(statement, 1, bootstrap->endpoint);
    if (is_deletion)
        return run(db, DELETE_BOOTSTRAP);
    bind_blob(statement, 2, bootstrap->sealed);
    return run(db, PUT_BOOTSTRAP);
}

bool sqlite_put_firmware_image(struct sqlite *db, const struct store_firmware_image *image) {
    bool is_deletion = image->digest.len == 0;
    sqlite3_stmt *statement = db->statements[is_deletion ? DELETE_FIRMWARE_IMAGE : PUT_FIRMWARE_IMAGE];
    bind_text(statement, 1, image->name);
    if (is_deletion)
        return run(db, DELETE_FIRMWARE_IMAGE);
    bind_blob(statement, 2, image->digest);
    bind_number(statement, 3, image->size);
    bind_text(statement, 4, image->url);
    bind_number(statement, 5, image->created_at_ms);
    return run(db, PUT_FIRMWARE_IMAGE);
}

bool sqlite_put_document(struct sqlite *db, const struct store_document *document) {
    bool is_deletion = document->text.len == 0;
    sqlite3_stmt *statement = db->statements[is_deletion ? DELETE_DOCUMENT : PUT_DOCUMENT];
    bind_number(statement, 1, document->kind);
    bind_text(statement, 2, document->id);
    if (is_deletion)
        return run(db, DELETE_DOCUMENT);
    bind_text(statement, 3, document->text);
    return run(db, PUT_DOCUMENT);
}

bool sqlite_put_firmware_update(struct sqlite *db, const struct store_firmware_update *update) {
    bool is_deletion = update->flags == 0;
    sqlite3_stmt *statement = db->statements[is_deletion ? DELETE_FIRMWARE_UPDATE : PUT_FIRMWARE_UPDATE];
    bind_text(statement, 1, update->endpoint);
    if (is_deletion)
        return run(db, DELETE_FIRMWARE_UPDATE);
    bind_text(statement, 2, update->image);
    bind_text(statement, 3, update->uri);
    bind_text(statement, 4, update->detail);
    bind_number(statement, 5, update->flags);
    bind_number(statement, 6, update->result);
    bind_number(statement, 7, update->created_at_ms);
    bind_number(statement, 8, update->deadline_ms);
    bind_number(statement, 9, update->ended_at_ms);
    bind_number(statement, 10, update->observation);
    bind_number(statement, 11, update->observation_of_result);
    return run(db, PUT_FIRMWARE_UPDATE);
}

static void bind_state(sqlite3_stmt *statement, const struct store_session_state *state) {
    bind_bits(statement, 1, state->id);
    bind_blob(statement, 2, slice_of(&state->peer, sizeof state->peer));
    bind_number(statement, 3, state->number_limit);
    bind_number(statement, 4, state->window_top);
    bind_bits(statement, 5, state->window_bits);
    bind_number(statement, 6, state->used_ms);
}

bool sqlite_put_session(struct sqlite *db, const struct store_session *session) {
    sqlite3_stmt *wide = db->statements[PUT_SESSION];
    bind_bits(wide, 1, session->state.id);
    bind_number(wide, 2, session->listener);
    bind_blob(wide, 3, session->local);
    bind_number(wide, 4, session->flags);
    bind_blob(wide, 5, session->sealed);
    bind_state(db->statements[PUT_SESSION_STATE], &session->state);
    return run(db, PUT_SESSION) && run(db, PUT_SESSION_STATE);
}

bool sqlite_refresh_session(struct sqlite *db, const struct store_session_state *state) {
    bind_state(db->statements[REFRESH_SESSION], state);
    return run(db, REFRESH_SESSION);
}

bool sqlite_delete_session(struct sqlite *db, uint64_t id) {
    bind_bits(db->statements[DELETE_SESSION], 1, id);
    bind_bits(db->statements[DELETE_SESSION_STATE], 1, id);
    return run(db, DELETE_SESSION) && run(db, DELETE_SESSION_STATE);
}

bool sqlite_put_resumption(struct sqlite *db, const struct store_resumption *resumption) {
    sqlite3_stmt *statement = db->statements[PUT_RESUMPTION];
    bind_blob(statement, 1, resumption->session_id);
    bind_number(statement, 2, resumption->expires_ms);
    bind_bits(statement, 3, resumption->identity);
    bind_blob(statement, 4, resumption->sealed);
    return run(db, PUT_RESUMPTION);
}

bool sqlite_put_oscore_context(struct sqlite *db, const struct store_oscore_context *context) {
    sqlite3_stmt *statement = db->statements[PUT_OSCORE_CONTEXT];
    bind_blob(statement, 1, context->digest);
    bind_blob(statement, 2, context->id_context);
    bind_number(statement, 3, context->static_limit);
    bind_number(statement, 4, context->number_limit);
    return run(db, PUT_OSCORE_CONTEXT);
}

bool sqlite_delete_resumption(struct sqlite *db, struct slice session_id) {
    bind_blob(db->statements[DELETE_RESUMPTION], 1, session_id);
    return run(db, DELETE_RESUMPTION);
}

/* ---- reading beside the writer ---- */

static bool open_reader(struct sqlite *db) {
    char pragmas[64];
    const char *path = sqlite3_db_filename(db->connection, "main");
    snprintf(pragmas, sizeof pragmas, "PRAGMA cache_size = -%d; PRAGMA query_only = 1", READER_CACHE_KIB);
    bool opened =
        sqlite3_open_v2(path, &db->reader, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
        execute(db->reader, pragmas) &&
        sqlite3_prepare_v3(db->reader,
                           "SELECT session_id, expires_at, identity, sealed FROM resumption WHERE session_id = ?", -1,
                           SQLITE_PREPARE_PERSISTENT, &db->find_resumption, NULL) == SQLITE_OK;
    if (opened)
        return true;
    sqlite3_close(db->reader);
    db->reader = NULL;
    return false;
}

bool sqlite_find_resumption(struct sqlite *db, struct slice session_id, store_resumption_fn *found, void *arg) {
    struct each_resumption to = {found, arg};
    if (db->reader == NULL && !open_reader(db))
        return false;
    bind_blob(db->find_resumption, 1, session_id);
    bool is_there = sqlite3_step(db->find_resumption) == SQLITE_ROW && load_resumption(db->find_resumption, &to);
    sqlite3_reset(db->find_resumption); /* a read that lasts would keep the log from being moved */
    return is_there;
}

enum store_result sqlite_failure(const struct sqlite *db, char *text, size_t size) {
    snprintf(text, size, "%s", db->failure_text);
    return db->failure;
}

void sqlite_checkpoint(struct sqlite *db) {
    if (db->wal_pages < db->checkpoint_at)
        return;
    /* When somebody reads an old state, or the disk is full, the log goes on growing and the next try comes later. */
    int in_log = 0, moved = 0;
    int code = sqlite3_wal_checkpoint_v2(db->connection, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
    bool complete = code == SQLITE_OK && moved == in_log;
    db->checkpoint_at = complete ? CHECKPOINT_PAGES : db->wal_pages + CHECKPOINT_PAGES;
    if (complete)
        db->wal_pages = 0;
}
