#include "db/postgresql.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "db/libpq.h"
#include "db/schema_steps.h"

#define NS_IN_MS UINT64_C(1000000)

/* Advisory locks: "Berth", and which one. */
#define LOCK_OF_WRITER INT64_C(0x4265727468000000)
#define LOCK_OF_SCHEMA INT64_C(0x4265727468000001)

enum {
    CONNECT_MS = 3000,  /* to connect, and to make the connection ours */
    PATIENCE_MS = 5000, /* a batch without an answer has failed */
    START_MS = 10000,   /* to wait at the start for a server that is just ending */
    LOAD_MS = 60000,    /* for the next row while everything is read */
    LOOK_UP_MS = 100,   /* the loop waits for it */
    PAUSE_MS = 100,     /* between attempts for a batch that waits */
    BACK_OFF_MS = 250,  /* the first one between attempts afterwards; the others double */
    BACK_OFF_MAX_MS = 4000,
    DRAIN_EVERY = 256, /* statements: results are read while more of them are sent */
    SQL_MAX = 2048,
    NAME_MAX_BYTES = 16, /* of a prepared statement */
    NUMBER_BYTES = 8,
    TYPE_INT8 = 20, /* pg_type.oid; fixed for all time */
};

struct postgresql {
    struct backend backend;
    char *uri;
    char place[160]; /* the database's name for people: postgresql://host:port/name */
    enum store_durability durability;
    int64_t holder, connection; /* as in the table `writer` */

    PGconn *writer; /* NULL while there is none */
    uint64_t try_at_ns, back_off_ms;
    uint64_t batch_until_ns;  /* when the patience with the batch that runs ends; 0: none runs */
    uint64_t answer_until_ns; /* likewise with the database's next word */
    size_t in_flight;         /* statements whose results have not been read */
    bool synced;              /* the end of the pipeline has been sent */

    enum store_result failure;
    bool in_doubt; /* the batch was sent whole once, and its end was not seen */
    bool is_lost;  /* the failure: the connection is gone, or the database is silent */
    bool is_again; /* the failure: the same transaction may succeed next time */
    bool is_taken; /* another process has our row; for ever */
    char failure_text[160];

    uv_mutex_t reader_lock; /* the writer's thread connects, the loop's asks */
    PGconn *reader;
};

/* ---- words ---- */

/* The first line of what libpq says. */
static void copy_line(char *to, size_t size, const char *text) {
    snprintf(to, size, "%.*s", (int)strcspn(text, "\n"), text);
}

static const char *words_of(PGconn *connection, const PGresult *result) {
    const char *primary = result == NULL ? NULL : libpq.resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (primary != NULL)
        return primary;
    const char *words = connection == NULL ? "out of memory" : libpq.errorMessage(connection);
    return words[0] == '\0' ? "no answer in time" : words;
}

static void name_place(struct postgresql *db, PGconn *connection) {
    const char *host = libpq.host(connection), *port = libpq.port(connection), *name = libpq.db(connection);
    snprintf(db->place, sizeof db->place, "postgresql://%s%s%s/%s", host == NULL ? "" : host,
             port == NULL || port[0] == '\0' ? "" : ":", port == NULL ? "" : port, name == NULL ? "" : name);
}

bool postgresql_check_uri(const char *uri, char *problem, size_t problem_size) {
    char *words = NULL;
    if (strncmp(uri, "postgresql://", 13) != 0 && strncmp(uri, "postgres://", 11) != 0) {
        snprintf(problem, problem_size, "must be like postgresql://USER@HOST/NAME");
        return false;
    }
    if (!libpq_load(problem, problem_size))
        return false;
    PQconninfoOption *options = libpq.conninfoParse(uri, &words);
    bool is_sound = options != NULL;
    if (!is_sound) /* libpq's words may quote the URI, and with it a password */
        snprintf(problem, problem_size, "is no URI that PostgreSQL knows: postgresql://USER@HOST/NAME?OPTION=VALUE");
    libpq.conninfoFree(options);
    libpq.freemem(words);
    return is_sound;
}

/* ---- waiting ---- */

static uint64_t after_ms(uint64_t ms) {
    return uv_hrtime() + ms * NS_IN_MS;
}

static int ms_until(uint64_t until_ns) {
    uint64_t now_ns = uv_hrtime();
    return until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / NS_IN_MS + 1);
}

static void pause_ms(int ms) {
    poll(NULL, 0, ms);
}

/* Wait for one of `events`, with errors among them. False: it is too late. */
static bool wait_socket(PGconn *connection, short events, uint64_t until_ns) {
    for (;;) {
        struct pollfd fd = {.fd = libpq.socket(connection), .events = events};
        int ms = ms_until(until_ns);
        int count = poll(&fd, 1, ms);
        if (count > 0)
            return true;
        if (ms == 0 || (count < 0 && errno != EINTR))
            return false;
    }
}

/* Send what is to be sent, and wait until the next result is there. False: the connection is broken, or silent. */
static bool await_result(PGconn *connection, uint64_t until_ns) {
    for (;;) {
        int unsent = libpq.flush(connection);
        if (unsent < 0)
            return false;
        if (unsent == 0 && libpq.isBusy(connection) == 0)
            return true;
        if (!wait_socket(connection, unsent == 0 ? POLLIN : POLLIN | POLLOUT, until_ns) ||
            libpq.consumeInput(connection) == 0)
            return false;
        if (libpq.isBusy(connection) == 0)
            return true;
    }
}

/* The last result of what was sent, or NULL when the connection is broken or silent. */
static PGresult *last_result(PGconn *connection, uint64_t until_ns) {
    PGresult *last = NULL;
    for (;;) {
        if (!await_result(connection, until_ns)) {
            libpq.clear(last);
            return NULL;
        }
        PGresult *next = libpq.getResult(connection);
        if (next == NULL)
            return last;
        libpq.clear(last);
        last = next;
        if (libpq.resultStatus(last) == PGRES_FATAL_ERROR && libpq.status(connection) == CONNECTION_BAD)
            return last;
    }
}

static bool is_good(const PGresult *result) {
    return libpq.resultStatus(result) == PGRES_COMMAND_OK || libpq.resultStatus(result) == PGRES_TUPLES_OK;
}

/* Run one or more statements of ours. */
static bool execute(PGconn *connection, const char *sql, uint64_t until_ns, char *reason, size_t reason_size) {
    PGresult *result = libpq.sendQuery(connection, sql) == 1 ? last_result(connection, until_ns) : NULL;
    bool done = result != NULL && is_good(result);
    if (!done)
        copy_line(reason, reason_size, words_of(connection, result));
    libpq.clear(result);
    return done;
}

/* ---- values ---- */

struct parameters {
    int count;
    const char *values[STATEMENT_VALUES_MAX];
    int lengths[STATEMENT_VALUES_MAX], formats[STATEMENT_VALUES_MAX];
    uint8_t numbers[STATEMENT_VALUES_MAX][NUMBER_BYTES];
};

static void set_parameters(struct parameters *p, const struct value *values, size_t count) {
    p->count = (int)count;
    for (size_t i = 0; i < count; i++) {
        p->formats[i] = 1; /* as bytes, not as text */
        if (values[i].kind == VALUE_NULL) {
            p->values[i] = NULL;
            p->lengths[i] = 0;
        } else if (values[i].kind == VALUE_NUMBER) {
            for (int j = 0; j < NUMBER_BYTES; j++)
                p->numbers[i][j] = (uint8_t)((uint64_t)values[i].number >> (8 * (NUMBER_BYTES - 1 - j)));
            p->values[i] = (const char *)p->numbers[i];
            p->lengths[i] = NUMBER_BYTES;
        } else {
            p->values[i] = values[i].bytes.len == 0 ? "" : (const char *)values[i].bytes.data;
            p->lengths[i] = (int)values[i].bytes.len;
        }
    }
}

static struct value value_in(const PGresult *result, int row, int column) {
    const uint8_t *bytes = (const uint8_t *)libpq.getvalue(result, row, column);
    size_t len = (size_t)libpq.getlength(result, row, column);
    if (libpq.getisnull(result, row, column) == 1)
        return (struct value){.kind = VALUE_NULL};
    if (libpq.ftype(result, column) != TYPE_INT8 || len != NUMBER_BYTES)
        return (struct value){.kind = VALUE_BLOB, .bytes = slice_of(bytes, len)};
    uint64_t number = 0;
    for (int i = 0; i < NUMBER_BYTES; i++)
        number = number << 8 | bytes[i];
    return (struct value){.kind = VALUE_NUMBER, .number = (int64_t)number};
}

static bool take_row(const PGresult *result, row_fn *each, void *arg) {
    struct value values[ROW_VALUES_MAX];
    int count = libpq.nfields(result);
    for (int i = 0; i < count && i < ROW_VALUES_MAX; i++)
        values[i] = value_in(result, 0, i);
    return each(values, arg);
}

/* Parameters as PostgreSQL writes them: $1 for ? and ?1. */
static void translate(char out[SQL_MAX], const char *sql) {
    size_t len = 0;
    int next = 1;
    for (const char *at = sql; *at != '\0' && len < SQL_MAX - 8; at++) {
        if (*at != '?') {
            out[len++] = *at;
        } else if (at[1] >= '1' && at[1] <= '9') {
            out[len++] = '$';
        } else {
            len += (size_t)snprintf(out + len, 8, "$%d", next++);
        }
    }
    out[len] = '\0';
}

static bool send_query(PGconn *connection, const char *sql, const struct value *values, size_t count) {
    char text[SQL_MAX];
    struct parameters p;
    translate(text, sql);
    set_parameters(&p, values, count);
    return libpq.sendQueryParams(connection, text, p.count, NULL, p.values, p.lengths, p.formats, 1) == 1;
}

/* The first number of the first row. False: there is none, or an error; `reason` says it then. */
static bool ask_number(PGconn *connection, const char *sql, const struct value *values, size_t count, uint64_t until_ns,
                       int64_t *number, char *reason, size_t reason_size) {
    PGresult *result = send_query(connection, sql, values, count) ? last_result(connection, until_ns) : NULL;
    bool done = result != NULL && is_good(result);
    reason[0] = '\0';
    if (!done)
        copy_line(reason, reason_size, words_of(connection, result));
    bool found = done && libpq.ntuples(result) > 0;
    if (found)
        *number = value_in(result, 0, 0).number;
    libpq.clear(result);
    return found;
}

static struct value number_value(int64_t number) {
    return (struct value){.kind = VALUE_NUMBER, .number = number};
}

/* ---- connecting ---- */

static void ignore_notice(void *arg, const char *message) {
    (void)arg;
    (void)message;
}

/* A connection that is made and answers, or NULL. What stands before `dbname` may be set otherwise in the URI. */
static PGconn *make_connection(const char *uri, uint64_t until_ns, char *reason, size_t reason_size) {
    static const char *const keys[] = {"application_name",
                                       "keepalives_idle",
                                       "keepalives_interval",
                                       "keepalives_count",
                                       "tcp_user_timeout",
                                       "dbname",
                                       NULL};
    const char *const values[] = {"berth-server", "10", "5", "3", "15000", uri, NULL};
    PGconn *connection = libpq.connectStartParams(keys, values, 1);
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (connection != NULL && libpq.status(connection) != CONNECTION_BAD && status != PGRES_POLLING_OK &&
           status != PGRES_POLLING_FAILED &&
           wait_socket(connection, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, until_ns))
        status = libpq.connectPoll(connection);
    if (connection != NULL && status == PGRES_POLLING_OK && libpq.setnonblocking(connection, 1) == 0) {
        libpq.setNoticeProcessor(connection, ignore_notice, NULL);
        return connection;
    }
    copy_line(reason, reason_size, words_of(connection, NULL));
    libpq.finish(connection);
    return NULL;
}

/* What a connection that died with its transaction leaves behind in the database ends soon. */
static bool set_session(const struct postgresql *db, PGconn *connection, uint64_t until_ns, char *reason,
                        size_t reason_size) {
    return execute(connection,
                   db->durability == STORE_FULL
                       ? "SET idle_in_transaction_session_timeout = '10s'; SET synchronous_commit = on"
                       : "SET idle_in_transaction_session_timeout = '10s'",
                   until_ns, reason, reason_size);
}

/* The lock of who writes, for as long as the connection lasts; whoever has it may be just ending. */
static bool take_lock(PGconn *connection, uint64_t until_ns, char *reason, size_t reason_size) {
    const struct value lock = number_value(LOCK_OF_WRITER);
    int64_t taken = 0;
    while (ask_number(connection, "SELECT pg_try_advisory_lock(?)::int::bigint", &lock, 1,
                      until_ns + CONNECT_MS * NS_IN_MS, &taken, reason, reason_size)) {
        if (taken == 1)
            return true;
        if (ms_until(until_ns) == 0) {
            snprintf(reason, reason_size, "another server uses it; stop that one, or give another database");
            return false;
        }
        pause_ms(PAUSE_MS);
    }
    return false;
}

/* In one transaction, for one server at a time. */
static bool apply_steps(PGconn *connection, const char *part, const struct schema_step *steps, size_t count,
                        char *reason, size_t reason_size) {
    char set_version[160];
    int64_t version = 0;
    const struct value name = {.kind = VALUE_TEXT, .bytes = slice_str(part)};
    if (!ask_number(connection, "SELECT version FROM berth_schema WHERE part = convert_from(?, 'UTF8')", &name, 1,
                    after_ms(START_MS), &version, reason, reason_size) &&
        reason[0] != '\0')
        return false;
    if (version > (int64_t)count) {
        snprintf(reason, reason_size, "written by a newer version of Berth (%s %" PRId64 ", this one knows %zu)", part,
                 version, count);
        return false;
    }
    for (size_t i = (size_t)version; i < count; i++) {
        if (!execute(connection, steps[i].postgresql, after_ms(LOAD_MS), reason, reason_size))
            return false;
    }
    snprintf(set_version, sizeof set_version,
             "INSERT INTO berth_schema VALUES ('%s', %zu) ON CONFLICT (part) DO UPDATE SET version = excluded.version",
             part, count);
    return (size_t)version == count || execute(connection, set_version, after_ms(START_MS), reason, reason_size);
}

static bool apply_schema(PGconn *connection, char *reason, size_t reason_size) {
    char begin[200];
    snprintf(begin, sizeof begin,
             "BEGIN; SELECT pg_advisory_xact_lock(%" PRId64 ");"
             " CREATE TABLE IF NOT EXISTS berth_schema (part TEXT PRIMARY KEY, version BIGINT NOT NULL)",
             LOCK_OF_SCHEMA);
    return execute(connection, begin, after_ms(LOAD_MS), reason, reason_size) &&
           apply_steps(connection, "schema", schema_steps, schema_step_count, reason, reason_size) &&
           apply_steps(connection, "postgresql", postgresql_steps, postgresql_step_count, reason, reason_size) &&
           execute(connection, "COMMIT", after_ms(LOAD_MS), reason, reason_size);
}

static const char fence_text[] = "SELECT 1 / count(*) FROM (SELECT 1 FROM writer WHERE holder = ? AND connection = ?"
                                 " FOR SHARE) AS held";
static const char fence_name[] = "fence";
static const char taken_text[] = "another server has taken the database over; stop one of them";

static void name_statement(char name[NAME_MAX_BYTES], enum statement statement) {
    snprintf(name, NAME_MAX_BYTES, "s%d", (int)statement);
}

/* All in one round trip. */
static bool prepare_statements(PGconn *connection, uint64_t until_ns, char *reason, size_t reason_size) {
    char text[SQL_MAX], name[NAME_MAX_BYTES];
    bool sent = libpq.enterPipelineMode(connection) == 1;
    for (int i = 0; i < STATEMENT_COUNT && sent; i++) {
        name_statement(name, (enum statement)i);
        translate(text, statement_texts[i]);
        sent = libpq.sendPrepare(connection, name, text, 0, NULL) == 1;
    }
    translate(text, fence_text);
    sent = sent && libpq.sendPrepare(connection, fence_name, text, 0, NULL) == 1 && libpq.pipelineSync(connection) == 1;
    bool prepared = sent;
    while (sent) {
        PGresult *result = await_result(connection, until_ns) ? libpq.getResult(connection) : NULL;
        ExecStatusType status = libpq.resultStatus(result);
        if (result == NULL && (libpq.status(connection) == CONNECTION_BAD || ms_until(until_ns) == 0))
            prepared = sent = false;
        else if (result != NULL && status == PGRES_PIPELINE_SYNC)
            sent = false;
        else if (result != NULL && status != PGRES_COMMAND_OK && prepared) {
            copy_line(reason, reason_size, words_of(connection, result));
            prepared = false;
        }
        libpq.clear(result);
    }
    return prepared && libpq.exitPipelineMode(connection) == 1;
}

/* End what an earlier connection of this process left behind, which may hold the lock and the row. */
static bool end_remains(const struct postgresql *db, PGconn *connection, uint64_t until_ns, char *reason,
                        size_t reason_size) {
    const struct value values[] = {number_value(db->holder), number_value(LOCK_OF_WRITER)};
    int64_t ended;
    return ask_number(
        connection,
        "SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l, writer w"
        " WHERE w.holder = ? AND l.locktype = 'advisory' AND l.objsubid = 1"
        " AND l.classid::bigint << 32 | l.objid::bigint = ? AND l.pid <> pg_backend_pid() AND l.database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())",
        values, 2, until_ns, &ended, reason, reason_size);
}

/* Write into the row for the first time: whoever had it may not write from now on. */
static bool take_row_of_writer(struct postgresql *db, PGconn *connection, uint64_t until_ns, char *reason,
                               size_t reason_size) {
    const struct value holder = number_value(db->holder);
    return ask_number(connection,
                      "INSERT INTO writer (only_one, holder, connection) VALUES (true, ?, 1) ON CONFLICT (only_one)"
                      " DO UPDATE SET holder = excluded.holder, connection = writer.connection + 1"
                      " RETURNING connection",
                      &holder, 1, until_ns, &db->connection, reason, reason_size);
}

/* The next number for the next connection; `is_taken` when the row is not ours any more. */
static bool keep_row_of_writer(struct postgresql *db, PGconn *connection, uint64_t until_ns, char *reason,
                               size_t reason_size) {
    const struct value holder = number_value(db->holder);
    bool kept =
        ask_number(connection, "UPDATE writer SET connection = connection + 1 WHERE holder = ? RETURNING connection",
                   &holder, 1, until_ns, &db->connection, reason, reason_size);
    if (!kept && reason[0] == '\0') {
        db->is_taken = true;
        snprintf(reason, reason_size, "%s", taken_text);
    }
    return kept;
}

static bool connect_writer_again(struct postgresql *db, uint64_t until_ns, char *reason, size_t reason_size) {
    PGconn *connection = make_connection(db->uri, until_ns, reason, reason_size);
    if (connection == NULL)
        return false;
    if (set_session(db, connection, until_ns, reason, reason_size) &&
        end_remains(db, connection, until_ns, reason, reason_size) &&
        take_lock(connection, until_ns, reason, reason_size) &&
        keep_row_of_writer(db, connection, until_ns, reason, reason_size) &&
        prepare_statements(connection, until_ns, reason, reason_size)) {
        db->writer = connection;
        db->back_off_ms = 0;
        return true;
    }
    libpq.finish(connection);
    return false;
}

static void drop_writer(struct postgresql *db) {
    libpq.finish(db->writer);
    db->writer = NULL;
}

/* ---- writing ---- */

static bool fail(struct postgresql *db, enum store_result result, const char *words) {
    if (db->failure != STORE_OK)
        return false; /* the first one counts: others follow from it */
    db->failure = result;
    copy_line(db->failure_text, sizeof db->failure_text, words);
    return false;
}

static bool lose(struct postgresql *db) {
    char words[160];
    copy_line(words, sizeof words, words_of(db->writer, NULL));
    bool is_silent = libpq.status(db->writer) != CONNECTION_BAD && ms_until(db->answer_until_ns) == 0;
    db->is_lost = true;
    db->in_doubt |= db->synced;
    return fail(db, STORE_IO, is_silent ? "the database does not answer" : words);
}

/* SQLSTATEs, PostgreSQL's documentation, appendix A. */
static void note_error(struct postgresql *db, const PGresult *result) {
    const char *state = libpq.resultErrorField(result, PG_DIAG_SQLSTATE);
    if (state == NULL)
        state = "08000"; /* libpq itself */
    if (db->failure != STORE_OK)
        return;
    /* As long as the database says something, it says that nothing was committed. */
    db->is_lost = strncmp(state, "08", 2) == 0 || strncmp(state, "57P", 3) == 0; /* it is being shut down */
    db->is_again = strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0; /* it lost against another transaction */
    if (strcmp(state, "22012") == 0) {                                         /* of the fence, the only division */
        db->is_taken = true;
        fail(db, STORE_IO, taken_text);
    } else {
        fail(db, strcmp(state, "53100") == 0 ? STORE_DISK_FULL : STORE_IO, words_of(db->writer, result));
    }
}

/* Take the results that are there. */
static void take_results(struct postgresql *db) {
    while (db->in_flight > 0 && libpq.isBusy(db->writer) == 0) {
        PGresult *result = libpq.getResult(db->writer);
        db->answer_until_ns = after_ms(PATIENCE_MS);
        if (result == NULL)
            db->in_flight--;
        else if (libpq.resultStatus(result) == PGRES_FATAL_ERROR)
            note_error(db, result);
        bool is_broken = result != NULL && libpq.status(db->writer) == CONNECTION_BAD;
        libpq.clear(result);
        if (is_broken)
            return;
    }
}

static bool send_prepared(struct postgresql *db, const char *name, const struct value *values, size_t count) {
    struct parameters p;
    set_parameters(&p, values, count);
    if (libpq.sendQueryPrepared(db->writer, name, p.count, p.values, p.lengths, p.formats, 1) != 1)
        return lose(db);
    db->in_flight++;
    if (db->in_flight % DRAIN_EVERY != 0)
        return true;
    if (libpq.flush(db->writer) < 0 || libpq.consumeInput(db->writer) == 0)
        return lose(db);
    take_results(db);
    return db->failure == STORE_OK;
}

static bool run(struct backend *backend, enum statement statement, const struct value *values, size_t count) {
    char name[NAME_MAX_BYTES];
    name_statement(name, statement);
    return send_prepared((struct postgresql *)backend, name, values, count);
}

/* After an attempt that failed, with no batch that waits for the next one. */
static void back_off(struct postgresql *db) {
    db->back_off_ms = db->back_off_ms == 0 ? BACK_OFF_MS : db->back_off_ms * 2;
    if (db->back_off_ms > BACK_OFF_MAX_MS)
        db->back_off_ms = BACK_OFF_MAX_MS;
    db->try_at_ns = after_ms(db->back_off_ms);
}

static bool begin(struct backend *backend) {
    struct postgresql *db = (struct postgresql *)backend;
    char reason[160];
    if (db->batch_until_ns == 0) {
        db->batch_until_ns = after_ms(PATIENCE_MS);
        db->in_doubt = false;
    }
    if (db->is_taken || (db->writer == NULL && ms_until(db->try_at_ns) > 0))
        return false; /* as it was said the last time */
    db->failure = STORE_OK;
    if (db->writer == NULL && !connect_writer_again(db, after_ms(CONNECT_MS), reason, sizeof reason)) {
        back_off(db);
        return fail(db, STORE_IO, reason);
    }
    db->is_lost = db->is_again = db->synced = false;
    db->in_flight = 0;
    db->answer_until_ns = after_ms(PATIENCE_MS);
    if (libpq.enterPipelineMode(db->writer) != 1)
        return lose(db);
    const struct value values[] = {number_value(db->holder), number_value(db->connection)};
    return send_prepared(db, fence_name, values, 2);
}

/* End the pipeline, which commits unless a statement has failed, and take what is left of the results. False: the
 * connection is broken or silent. */
static bool end_pipeline(struct postgresql *db) {
    if (!db->synced && libpq.pipelineSync(db->writer) != 1)
        return lose(db);
    db->synced = true;
    for (;;) {
        if (!await_result(db->writer, db->answer_until_ns))
            return lose(db);
        PGresult *result = libpq.getResult(db->writer);
        ExecStatusType status = result == NULL ? PGRES_EMPTY_QUERY : libpq.resultStatus(result);
        db->answer_until_ns = after_ms(PATIENCE_MS);
        if (status == PGRES_FATAL_ERROR)
            note_error(db, result);
        libpq.clear(result);
        if (status == PGRES_PIPELINE_SYNC)
            return libpq.exitPipelineMode(db->writer) == 1 || lose(db);
        if (libpq.status(db->writer) == CONNECTION_BAD)
            return lose(db);
    }
}

static bool commit(struct backend *backend) {
    struct postgresql *db = (struct postgresql *)backend;
    if (!end_pipeline(db) || db->failure != STORE_OK)
        return false;
    db->batch_until_ns = 0;
    return true;
}

/* Until the patience with the batch ends. */
static bool reconnect_for_batch(struct postgresql *db) {
    char reason[160];
    while (!db->is_taken && ms_until(db->batch_until_ns) > 0) {
        uint64_t until_ns = after_ms(CONNECT_MS);
        if (connect_writer_again(db, until_ns < db->batch_until_ns ? until_ns : db->batch_until_ns, reason,
                                 sizeof reason))
            return true;
        copy_line(db->failure_text, sizeof db->failure_text, reason);
        pause_ms(PAUSE_MS);
    }
    if (!db->is_taken)
        back_off(db);
    return false;
}

static bool roll_back(struct backend *backend) {
    struct postgresql *db = (struct postgresql *)backend;
    bool again = false;
    if (db->writer != NULL) {
        bool is_usable = !db->is_lost && libpq.pipelineStatus(db->writer) == PQ_PIPELINE_OFF;
        if (!is_usable && !db->is_lost)
            is_usable = end_pipeline(db) && !db->is_lost;
        if (is_usable) {
            again = db->is_again && ms_until(db->batch_until_ns) > 0;
        } else {
            drop_writer(db);
            again = reconnect_for_batch(db);
        }
    }
    if (!again)
        db->batch_until_ns = 0;
    return again;
}

static enum store_result failure(const struct backend *backend, char *text, size_t size) {
    const struct postgresql *db = (const struct postgresql *)backend;
    snprintf(text, size, "%s", db->failure_text);
    return db->in_doubt ? STORE_UNKNOWN : db->failure;
}

/* ---- reading ---- */

static void say_failed(const struct postgresql *db, const char *words, char *error, size_t error_size) {
    char line[160];
    copy_line(line, sizeof line, words);
    snprintf(error, error_size, "%s: reading fails: %s", db->place, line);
}

/* Row by row: nothing is held but the one that is handed over. */
static bool load(struct backend *backend, const struct query *query, row_fn *each, void *arg, char *error,
                 size_t error_size) {
    struct postgresql *db = (struct postgresql *)backend;
    if (db->writer == NULL || !send_query(db->writer, query->sql, query->values, query->value_count) ||
        libpq.setSingleRowMode(db->writer) != 1) {
        say_failed(db, words_of(db->writer, NULL), error, error_size);
        return false;
    }
    bool sound = true, failed = false;
    for (;;) {
        if (!await_result(db->writer, after_ms(LOAD_MS))) {
            say_failed(db, words_of(db->writer, NULL), error, error_size);
            drop_writer(db);
            return false;
        }
        PGresult *result = libpq.getResult(db->writer);
        if (result == NULL)
            return sound && !failed;
        ExecStatusType status = libpq.resultStatus(result);
        if (status == PGRES_SINGLE_TUPLE && sound && !take_row(result, each, arg)) {
            sound = false;
            snprintf(error, error_size, "%s: the database is damaged (%s makes no sense); restore a copy", db->place,
                     query->what);
        } else if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK) {
            failed = true;
            say_failed(db, words_of(db->writer, result), error, error_size);
        }
        libpq.clear(result);
    }
}

/* ---- reading beside the writer ---- */

/* A reader that does not answer at once is given up: the writer's thread makes another, and until then nothing is found. */
static bool ask_reader(struct postgresql *db, const struct query *query, row_fn *each, void *arg) {
    PGresult *result = send_query(db->reader, query->sql, query->values, query->value_count)
                           ? last_result(db->reader, after_ms(LOOK_UP_MS))
                           : NULL;
    if (result == NULL || libpq.status(db->reader) == CONNECTION_BAD) {
        libpq.clear(result);
        libpq.finish(db->reader);
        db->reader = NULL;
        return false;
    }
    bool is_there = is_good(result) && libpq.ntuples(result) > 0 && take_row(result, each, arg);
    libpq.clear(result);
    return is_there;
}

static bool look_up(struct backend *backend, const struct query *query, row_fn *each, void *arg) {
    struct postgresql *db = (struct postgresql *)backend;
    if (uv_mutex_trylock(&db->reader_lock) != 0)
        return false;
    bool is_there = db->reader != NULL && ask_reader(db, query, each, arg);
    uv_mutex_unlock(&db->reader_lock);
    return is_there;
}

static void tidy(struct backend *backend) {
    struct postgresql *db = (struct postgresql *)backend;
    char reason[160];
    uv_mutex_lock(&db->reader_lock);
    bool is_missing = db->reader == NULL;
    uv_mutex_unlock(&db->reader_lock);
    if (!is_missing || db->writer == NULL)
        return;
    PGconn *reader = make_connection(db->uri, after_ms(CONNECT_MS), reason, sizeof reason);
    uv_mutex_lock(&db->reader_lock);
    db->reader = reader;
    uv_mutex_unlock(&db->reader_lock);
}

/* ---- opening and closing ---- */

static void close_database(struct backend *backend) {
    struct postgresql *db = (struct postgresql *)backend;
    libpq.finish(db->writer);
    libpq.finish(db->reader);
    uv_mutex_destroy(&db->reader_lock);
    free(db->uri);
    free(db);
}

static const struct backend_ops operations = {.begin = begin,
                                              .run = run,
                                              .commit = commit,
                                              .rollback = roll_back,
                                              .failure = failure,
                                              .load = load,
                                              .look_up = look_up,
                                              .tidy = tidy,
                                              .close = close_database};

static bool connect_first(struct postgresql *db, char *error, size_t error_size) {
    char reason[200];
    uint64_t until_ns = after_ms(START_MS);
    db->writer = make_connection(db->uri, until_ns, reason, sizeof reason);
    if (db->writer == NULL) {
        snprintf(error, error_size, "--database: %s", reason);
        return false;
    }
    name_place(db, db->writer);
    if (libpq.serverVersion(db->writer) < 130000) {
        snprintf(error, error_size, "%s: PostgreSQL 13 or newer is needed", db->place);
        return false;
    }
    bool is_ours = set_session(db, db->writer, until_ns, reason, sizeof reason) &&
                   apply_schema(db->writer, reason, sizeof reason) &&
                   take_lock(db->writer, after_ms(CONNECT_MS), reason, sizeof reason) &&
                   take_row_of_writer(db, db->writer, after_ms(START_MS), reason, sizeof reason) &&
                   prepare_statements(db->writer, after_ms(START_MS), reason, sizeof reason);
    if (!is_ours)
        snprintf(error, error_size, "%s: %s", db->place, reason);
    return is_ours;
}

struct backend *postgresql_open(const char *uri, enum store_durability durability, char *error, size_t error_size) {
    char problem[160];
    if (!libpq_load(problem, sizeof problem)) {
        snprintf(error, error_size, "--database %s", problem);
        return NULL;
    }
    struct postgresql *db = calloc(1, sizeof *db);
    char *own_uri = db == NULL ? NULL : strdup(uri);
    if (own_uri == NULL) {
        free(db);
        snprintf(error, error_size, "--database: out of memory");
        return NULL;
    }
    db->backend.ops = &operations;
    db->uri = own_uri;
    db->durability = durability;
    db->holder = (int64_t)random_u64();
    uv_mutex_init(&db->reader_lock);
    if (!connect_first(db, error, error_size)) {
        close_database(&db->backend);
        return NULL;
    }
    tidy(&db->backend);
    return &db->backend;
}
