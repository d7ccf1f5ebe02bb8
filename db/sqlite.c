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

#include "db/rows_ahead.h"
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

enum { BEGIN = STATEMENT_COUNT, COMMIT, ROLLBACK, ALL_STATEMENT_COUNT };

static const char *const transaction_texts[] = {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"};

struct sqlite {
    struct backend backend;
    sqlite3 *connection;
    sqlite3_stmt *statements[ALL_STATEMENT_COUNT];
    int wal_pages;        /* in the write-ahead log after the last commit */
    int checkpoint_at;    /* with that many pages it is time */
    sqlite3 *reader;      /* made with its first use */
    sqlite3_stmt *wanted; /* what is looked up */
    enum store_result failure;
    char failure_text[160];
    bool is_damaged; /* found while it runs: what is there stays as it is */
};

/* ---- opening ---- */

enum file_kind { FILE_NEW, FILE_OURS, FILE_REFUSED };

static uint32_t big_endian(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int known_version(void) {
    return schema_step_count == 0 ? 0 : schema_steps[schema_step_count - 1].version;
}

/* What can't be read for want of memory may be sound. */
static void say_damaged(const char *path, const char *what, char *error, size_t error_size) {
    const char *line = strrchr(what, '\n'); /* a check answers with a headline above */
    if (strcmp(what, sqlite3_errstr(SQLITE_NOMEM)) == 0) {
        snprintf(error, error_size, "%s: there is not enough memory to read the database", path);
        return;
    }
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
    if (fd >= 0) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED); /* all of it will be read, and not in order */
        close(fd);
    }
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
    for (int i = 0; i < ALL_STATEMENT_COUNT; i++) {
        const char *text = i < STATEMENT_COUNT ? statement_texts[i] : transaction_texts[i - STATEMENT_COUNT];
        if (sqlite3_prepare_v3(db->connection, text, -1, SQLITE_PREPARE_PERSISTENT, &db->statements[i], NULL) !=
            SQLITE_OK)
            return false;
    }
    db->checkpoint_at = CHECKPOINT_PAGES;
    sqlite3_wal_hook(db->connection, on_commit, db);
    return true;
}

static void close_connection(struct sqlite *db, bool checkpoint) {
    sqlite3_finalize(db->wanted);
    sqlite3_close(db->reader);
    for (int i = 0; i < ALL_STATEMENT_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    if (db->connection != NULL) /* there was no memory even for that */
        sqlite3_db_config(db->connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !checkpoint, NULL);
    sqlite3_close(db->connection);
    free(db);
}

static void close_file(struct backend *backend) {
    struct sqlite *db = (struct sqlite *)backend;
    close_connection(db, !db->is_damaged);
}

/* ---- values ---- */

/* Parameters are bound without copying: they need to live until the statement has run. */
static void bind_value(sqlite3_stmt *statement, int parameter, const struct value *value) {
    const void *bytes = value->bytes.len == 0 ? "" : (const void *)value->bytes.data;
    switch (value->kind) {
    case VALUE_NULL:
        sqlite3_bind_null(statement, parameter);
        break;
    case VALUE_NUMBER:
        sqlite3_bind_int64(statement, parameter, value->number);
        break;
    case VALUE_TEXT:
        sqlite3_bind_text64(statement, parameter, bytes, value->bytes.len, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case VALUE_BLOB:
        sqlite3_bind_blob64(statement, parameter, bytes, value->bytes.len, SQLITE_STATIC);
        break;
    }
}

static void bind_all(sqlite3_stmt *statement, const struct value *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        bind_value(statement, (int)i + 1, &values[i]);
}

/* ---- reading ---- */

static int columns_of(sqlite3_stmt *row) {
    int count = sqlite3_column_count(row);
    return count < ROW_VALUES_MAX ? count : ROW_VALUES_MAX;
}

static struct value value_in(sqlite3_stmt *row, int column) {
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER:
        return (struct value){.kind = VALUE_NUMBER, .number = sqlite3_column_int64(row, column)};
    case SQLITE_NULL:
        return (struct value){.kind = VALUE_NULL};
    default: {
        const void *data = sqlite3_column_blob(row, column);
        return (struct value){.kind = VALUE_BLOB, .bytes = slice_of(data, (size_t)sqlite3_column_bytes(row, column))};
    }
    }
}

struct statement_source {
    struct rows_source rows; /* first member */
    sqlite3_stmt *row;
    int result; /* of the last step */
};

static enum rows_step next_row(struct rows_source *rows, struct value *values) {
    struct statement_source *source = (struct statement_source *)rows;
    source->result = sqlite3_step(source->row);
    if (source->result != SQLITE_ROW)
        return source->result == SQLITE_DONE ? ROWS_END : ROWS_FAILED;
    for (int i = 0; i < rows->columns; i++)
        values[i] = value_in(source->row, i);
    return ROWS_ROW;
}

static bool load(struct backend *backend, const struct backend_query *query, row_fn *each, void *arg, char *error,
                 size_t error_size) {
    struct sqlite *db = (struct sqlite *)backend;
    const char *path = sqlite3_db_filename(db->connection, "main");
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db->connection, query->sql, -1, &row, NULL) != SQLITE_OK) {
        say_damaged(path, sqlite3_errmsg(db->connection), error, error_size);
        return false;
    }
    bind_all(row, query->values, query->value_count);
    bool sound, is_short;
    struct statement_source source = {.rows = {next_row, columns_of(row)}, .row = row};
    enum rows_step last = rows_take_all(&source.rows, each, query->expect, arg, &sound, &is_short);
    if (!sound) {
        char text[80];
        snprintf(text, sizeof text, "%s makes no sense", query->what);
        say_damaged(path, text, error, error_size);
    }
    if (sound && last != ROWS_END) {
        const char *what =
            is_short || source.result == SQLITE_NOMEM ? sqlite3_errstr(SQLITE_NOMEM) : sqlite3_errmsg(db->connection);
        say_damaged(path, what, error, error_size);
        sound = false;
    }
    sqlite3_finalize(row);
    sqlite3_db_release_memory(db->connection);
    return sound;
}

/* ---- reading beside the writer ---- */

static bool open_reader(struct sqlite *db, const struct backend_query *query) {
    char pragmas[64];
    const char *path = sqlite3_db_filename(db->connection, "main");
    snprintf(pragmas, sizeof pragmas, "PRAGMA cache_size = -%d; PRAGMA query_only = 1", READER_CACHE_KIB);
    bool opened =
        sqlite3_open_v2(path, &db->reader, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
        execute(db->reader, pragmas) &&
        sqlite3_prepare_v3(db->reader, query->sql, -1, SQLITE_PREPARE_PERSISTENT, &db->wanted, NULL) == SQLITE_OK;
    if (opened)
        return true;
    sqlite3_close(db->reader);
    db->reader = NULL;
    return false;
}

static bool look_up(struct backend *backend, const struct backend_query *query, row_fn *each, void *arg) {
    struct sqlite *db = (struct sqlite *)backend;
    if (db->reader == NULL && !open_reader(db, query))
        return false;
    bind_all(db->wanted, query->values, query->value_count);
    struct value values[ROW_VALUES_MAX];
    struct statement_source source = {.rows = {next_row, columns_of(db->wanted)}, .row = db->wanted};
    bool is_there = next_row(&source.rows, values) == ROWS_ROW && each(values, arg);
    sqlite3_reset(db->wanted); /* a read that lasts would keep the log from being moved */
    return is_there;
}

/* ---- writing ---- */

/* `system` is errno; SQLite itself tells ENOSPC from other errors only. */
static bool fail(struct sqlite *db, int code, int system) {
    bool io = (code & 0xff) == SQLITE_IOERR;
    bool full = code == SQLITE_FULL || (io && (system == ENOSPC || system == EDQUOT || system == EFBIG));
    db->failure = full ? STORE_DISK_FULL : STORE_IO;
    db->is_damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
    if (db->is_damaged)
        snprintf(db->failure_text, sizeof db->failure_text,
                 "the database is damaged (%s); stop the server, restore a copy, or move it away to begin anew",
                 sqlite3_errmsg(db->connection));
    else if (io && system != 0)
        snprintf(db->failure_text, sizeof db->failure_text, "%s: %s", sqlite3_errmsg(db->connection), strerror(system));
    else
        snprintf(db->failure_text, sizeof db->failure_text, "%s", sqlite3_errmsg(db->connection));
    return false;
}

static bool step(struct sqlite *db, int statement) {
    errno = 0;
    int code = sqlite3_step(db->statements[statement]);
    bool done = code == SQLITE_DONE || fail(db, code, errno);
    sqlite3_reset(db->statements[statement]);
    return done;
}

static bool run(struct backend *backend, enum statement statement, const struct value *values, size_t count) {
    struct sqlite *db = (struct sqlite *)backend;
    bind_all(db->statements[statement], values, count);
    return step(db, (int)statement);
}

/* Nothing is acknowledged that lies in a damaged database: the next start would refuse it with all that is there. */
static bool begin(struct backend *backend) {
    struct sqlite *db = (struct sqlite *)backend;
    return !db->is_damaged && step(db, BEGIN);
}

static bool commit(struct backend *backend) {
    return step((struct sqlite *)backend, COMMIT);
}

static bool roll_back(struct backend *backend) {
    struct sqlite *db = (struct sqlite *)backend;
    if (sqlite3_get_autocommit(db->connection))
        return false; /* SQLite has rolled back by itself */
    sqlite3_step(db->statements[ROLLBACK]);
    sqlite3_reset(db->statements[ROLLBACK]);
    return false;
}

static enum store_result failure(const struct backend *backend, char *text, size_t size) {
    const struct sqlite *db = (const struct sqlite *)backend;
    snprintf(text, size, "%s", db->failure_text);
    return db->failure;
}

/* Move the write-ahead log into the database file when it has grown long. */
static void checkpoint(struct backend *backend) {
    struct sqlite *db = (struct sqlite *)backend;
    if (db->wal_pages < db->checkpoint_at || db->is_damaged)
        return;
    /* When somebody reads an old state, or the disk is full, the log goes on growing and the next try comes later. */
    int in_log = 0, moved = 0;
    int code = sqlite3_wal_checkpoint_v2(db->connection, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
    bool complete = code == SQLITE_OK && moved == in_log;
    db->checkpoint_at = complete ? CHECKPOINT_PAGES : db->wal_pages + CHECKPOINT_PAGES;
    if (complete)
        db->wal_pages = 0;
}

static void settle(struct backend *backend) {
    sqlite3_db_release_memory(((struct sqlite *)backend)->connection);
}

/* ---- the backend ---- */

static const struct backend_ops operations = {.begin = begin,
                                              .run = run,
                                              .commit = commit,
                                              .rollback = roll_back,
                                              .failure = failure,
                                              .load = load,
                                              .look_up = look_up,
                                              .tidy = checkpoint,
                                              .settle = settle,
                                              .close = close_file};

struct backend *sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
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
    db->backend.ops = &operations;
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
        return &db->backend;
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
