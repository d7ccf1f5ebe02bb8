#include "db/postgresql.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "db/postgresql_groups.h"
#include "db/rows_ahead.h"

#define NS_IN_MS UINT64_C(1000000)

enum {
    CONNECT_MS = 3000,  /* to connect, and to make the connection ours */
    PATIENCE_MS = 5000, /* a batch without an answer has failed */
    START_MS = 10000,   /* to wait at the start for a server that is just ending */
    LOAD_MS = 60000,    /* for the next row while everything is read */
    LOOK_UP_MS = 100,   /* the loop waits for it */
    PAUSE_MS = 100,     /* between attempts for a batch that waits */
    BACK_OFF_MS = 250,  /* the first one between attempts afterwards; the others double */
    BACK_OFF_MAX_MS = 4000,
    DRAIN_EVERY = 256,   /* statements: results are read while more of them are sent */
    NAME_MAX_BYTES = 16, /* of a prepared statement */
};

struct postgresql {
    struct backend backend;
    char *uri;
    char place[160]; /* the database's name for people: postgresql://host:port/name */
    enum store_durability durability;
    int64_t holder, connection; /* as in the table `writer` */
    bool is_given;              /* the row is ours already: a node took it (node.h) */

    PGconn *writer; /* NULL while there is none */
    bool is_tuned;  /* it has been told that it will only write */
    struct pg_groups *groups;
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

/* ---- the URI ---- */

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

/* The first row of a result. So many columns it has. */
static int row_values(const PGresult *result, struct value values[ROW_VALUES_MAX]) {
    int count = libpq.nfields(result);
    if (count > ROW_VALUES_MAX)
        count = ROW_VALUES_MAX;
    for (int i = 0; i < count; i++)
        values[i] = pg_value_in(result, 0, i);
    return count;
}

/* ---- connecting ---- */

/* What a connection that died with its transaction leaves behind in the database ends soon. */
static bool set_session(const struct postgresql *db, PGconn *connection, uint64_t until_ns, char *reason,
                        size_t reason_size) {
    return pg_execute(connection,
                      db->durability == STORE_FULL
                          ? "SET idle_in_transaction_session_timeout = '10s'; SET synchronous_commit = on"
                          : "SET idle_in_transaction_session_timeout = '10s'",
                      until_ns, reason, reason_size);
}

/* The lock of who writes, for as long as the connection lasts; whoever has it may be just ending. */
static bool take_lock(PGconn *connection, uint64_t until_ns, char *reason, size_t reason_size) {
    const struct value lock = pg_number(PG_LOCK_OF_WRITER);
    int64_t taken = 0;
    while (pg_ask_number(connection, "SELECT pg_try_advisory_lock(?)::int::bigint", &lock, 1,
                         until_ns + CONNECT_MS * NS_IN_MS, &taken, reason, reason_size)) {
        if (taken == 1)
            return true;
        if (pg_ms_until(until_ns) == 0) {
            snprintf(reason, reason_size, "another server uses it; stop that one, or give another database");
            return false;
        }
        pg_pause_ms(PAUSE_MS);
    }
    return false;
}

static const char fence_text[] = "SELECT 1 / count(*) FROM (SELECT 1 FROM writer WHERE holder = ? AND connection = ?"
                                 " FOR SHARE) AS held";
static const char fence_name[] = "fence";
static const char taken_text[] = "another server has taken the database over; stop one of them";

static void name_statement(char name[NAME_MAX_BYTES], enum statement statement) {
    snprintf(name, NAME_MAX_BYTES, "s%d", (int)statement);
}

static void name_group(char name[NAME_MAX_BYTES], enum statement statement) {
    snprintf(name, NAME_MAX_BYTES, "g%d", (int)statement);
}

static bool send_prepare(PGconn *connection, const char *name, const char *sql) {
    char text[PG_SQL_MAX];
    pg_translate(text, sql);
    return libpq.sendPrepare(connection, name, text, 0, NULL) == 1;
}

/* All in one round trip. */
static bool prepare_statements(PGconn *connection, uint64_t until_ns, char *reason, size_t reason_size) {
    char text[PG_SQL_MAX], name[NAME_MAX_BYTES];
    bool sent = libpq.enterPipelineMode(connection) == 1;
    for (int i = 0; i < STATEMENT_COUNT && sent; i++) {
        name_statement(name, (enum statement)i);
        sent = send_prepare(connection, name, statement_texts[i]);
        name_group(name, (enum statement)i);
        if (sent && pg_group_text((enum statement)i, text))
            sent = send_prepare(connection, name, text);
    }
    sent = sent && send_prepare(connection, fence_name, fence_text) && libpq.pipelineSync(connection) == 1;
    bool prepared = sent;
    while (sent) {
        PGresult *result = pg_await_result(connection, until_ns) ? libpq.getResult(connection) : NULL;
        ExecStatusType status = libpq.resultStatus(result);
        if (result == NULL && (libpq.status(connection) == CONNECTION_BAD || pg_ms_until(until_ns) == 0))
            prepared = sent = false;
        else if (result != NULL && status == PGRES_PIPELINE_SYNC)
            sent = false;
        else if (result != NULL && status != PGRES_COMMAND_OK && prepared) {
            pg_copy_line(reason, reason_size, pg_words_of(connection, result));
            prepared = false;
        }
        libpq.clear(result);
    }
    return prepared && libpq.exitPipelineMode(connection) == 1;
}

/* End what an earlier connection of this process left behind, or of whom the row was taken from: it may hold the lock. */
static bool end_remains(const struct postgresql *db, PGconn *connection, uint64_t until_ns, char *reason,
                        size_t reason_size) {
    const struct value values[] = {pg_number(db->holder), pg_number(PG_LOCK_OF_WRITER)};
    int64_t ended;
    return pg_ask_number(
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
    const struct value holder = pg_number(db->holder);
    return pg_ask_number(connection,
                         "INSERT INTO writer (only_one, holder, connection) VALUES (true, ?, 1) ON CONFLICT (only_one)"
                         " DO UPDATE SET holder = excluded.holder, connection = writer.connection + 1"
                         " RETURNING connection",
                         &holder, 1, until_ns, &db->connection, reason, reason_size);
}

/* The next number for the next connection; `is_taken` when the row is not ours any more. */
static bool keep_row_of_writer(struct postgresql *db, PGconn *connection, uint64_t until_ns, char *reason,
                               size_t reason_size) {
    const struct value holder = pg_number(db->holder);
    bool kept =
        pg_ask_number(connection, "UPDATE writer SET connection = connection + 1 WHERE holder = ? RETURNING connection",
                      &holder, 1, until_ns, &db->connection, reason, reason_size);
    if (!kept && reason[0] == '\0') {
        db->is_taken = true;
        snprintf(reason, reason_size, "%s", taken_text);
    }
    return kept;
}

static bool connect_writer_again(struct postgresql *db, uint64_t until_ns, char *reason, size_t reason_size) {
    PGconn *connection = pg_connect(db->uri, until_ns, reason, reason_size);
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
    db->is_tuned = false;
}

/* ---- writing ---- */

static bool fail(struct postgresql *db, enum store_result result, const char *words) {
    if (db->failure != STORE_OK)
        return false; /* the first one counts: others follow from it */
    db->failure = result;
    pg_copy_line(db->failure_text, sizeof db->failure_text, words);
    return false;
}

static bool lose(struct postgresql *db) {
    char words[160];
    pg_copy_line(words, sizeof words, pg_words_of(db->writer, NULL));
    bool is_silent = libpq.status(db->writer) != CONNECTION_BAD && pg_ms_until(db->answer_until_ns) == 0;
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
        fail(db, strcmp(state, "53100") == 0 ? STORE_DISK_FULL : STORE_IO, pg_words_of(db->writer, result));
    }
}

/* Take the results that are there. */
static void take_results(struct postgresql *db) {
    while (db->in_flight > 0 && libpq.isBusy(db->writer) == 0) {
        PGresult *result = libpq.getResult(db->writer);
        db->answer_until_ns = pg_after_ms(PATIENCE_MS);
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

/* What was sent is under way: take results before there are too many. */
static bool note_sent(struct postgresql *db, bool is_sent) {
    if (!is_sent)
        return lose(db);
    db->in_flight++;
    if (db->in_flight % DRAIN_EVERY != 0)
        return true;
    if (libpq.flush(db->writer) < 0 || libpq.consumeInput(db->writer) == 0)
        return lose(db);
    take_results(db);
    return db->failure == STORE_OK;
}

static bool send_parameters(struct postgresql *db, const char *name, const struct pg_parameters *p) {
    return note_sent(db,
                     libpq.sendQueryPrepared(db->writer, name, p->count, p->values, p->lengths, p->formats, 1) == 1);
}

static bool send_text(void *arg, const char *sql, const struct pg_parameters *p) {
    struct postgresql *db = arg;
    char text[PG_SQL_MAX];
    pg_translate(text, sql);
    return note_sent(
        db, libpq.sendQueryParams(db->writer, text, p->count, NULL, p->values, p->lengths, p->formats, 1) == 1);
}

static bool send_prepared(struct postgresql *db, const char *name, const struct value *values, size_t count) {
    struct pg_parameters p;
    pg_set_parameters(&p, values, count);
    return send_parameters(db, name, &p);
}

static bool send_row(void *arg, enum statement statement, const struct value *values, size_t count) {
    char name[NAME_MAX_BYTES];
    name_statement(name, statement);
    return send_prepared(arg, name, values, count);
}

static bool send_group(void *arg, enum statement statement, const struct pg_parameters *arrays) {
    char name[NAME_MAX_BYTES];
    name_group(name, statement);
    return send_parameters(arg, name, arrays);
}

static bool run(struct backend *backend, enum statement statement, const struct value *values, size_t count) {
    return pg_groups_run(((struct postgresql *)backend)->groups, statement, values, count);
}

/* Plans are made once for tables that grow from nothing to millions of rows: those by which a few rows are found stay
 * good. Reading, which takes whole tables, is over by now. */
static bool tune_writer(struct postgresql *db, char *reason, size_t reason_size) {
    if (!db->is_tuned)
        db->is_tuned = pg_execute(db->writer, "SET enable_seqscan = off; SET jit = off", pg_after_ms(PATIENCE_MS),
                                  reason, reason_size);
    return db->is_tuned;
}

/* After an attempt that failed, with no batch that waits for the next one. */
static void back_off(struct postgresql *db) {
    db->back_off_ms = db->back_off_ms == 0 ? BACK_OFF_MS : db->back_off_ms * 2;
    if (db->back_off_ms > BACK_OFF_MAX_MS)
        db->back_off_ms = BACK_OFF_MAX_MS;
    db->try_at_ns = pg_after_ms(db->back_off_ms);
}

static bool begin(struct backend *backend) {
    struct postgresql *db = (struct postgresql *)backend;
    char reason[160];
    if (db->batch_until_ns == 0) {
        db->batch_until_ns = pg_after_ms(PATIENCE_MS);
        db->in_doubt = false;
    }
    if (db->is_taken || (db->writer == NULL && pg_ms_until(db->try_at_ns) > 0))
        return false; /* as it was said the last time */
    db->failure = STORE_OK;
    if (db->writer == NULL && !connect_writer_again(db, pg_after_ms(CONNECT_MS), reason, sizeof reason)) {
        back_off(db);
        return fail(db, STORE_IO, reason);
    }
    db->is_lost = db->is_again = db->synced = false;
    db->in_flight = 0;
    db->answer_until_ns = pg_after_ms(PATIENCE_MS);
    pg_groups_drop(db->groups);
    if (!tune_writer(db, reason, sizeof reason) || libpq.enterPipelineMode(db->writer) != 1)
        return lose(db);
    const struct value values[] = {pg_number(db->holder), pg_number(db->connection)};
    return send_prepared(db, fence_name, values, 2);
}

/* End the pipeline, which commits unless a statement has failed, and take what is left of the results. False: the
 * connection is broken or silent. */
static bool end_pipeline(struct postgresql *db) {
    if (!db->synced && libpq.pipelineSync(db->writer) != 1)
        return lose(db);
    db->synced = true;
    for (;;) {
        if (!pg_await_result(db->writer, db->answer_until_ns))
            return lose(db);
        PGresult *result = libpq.getResult(db->writer);
        ExecStatusType status = result == NULL ? PGRES_EMPTY_QUERY : libpq.resultStatus(result);
        db->answer_until_ns = pg_after_ms(PATIENCE_MS);
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
    if (!pg_groups_send(db->groups) || !end_pipeline(db) || db->failure != STORE_OK)
        return false;
    db->batch_until_ns = 0;
    return true;
}

/* Until the patience with the batch ends. */
static bool reconnect_for_batch(struct postgresql *db) {
    char reason[160];
    while (!db->is_taken && pg_ms_until(db->batch_until_ns) > 0) {
        uint64_t until_ns = pg_after_ms(CONNECT_MS);
        if (connect_writer_again(db, until_ns < db->batch_until_ns ? until_ns : db->batch_until_ns, reason,
                                 sizeof reason))
            return true;
        pg_copy_line(db->failure_text, sizeof db->failure_text, reason);
        pg_pause_ms(PAUSE_MS);
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
            again = db->is_again && pg_ms_until(db->batch_until_ns) > 0;
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
    pg_copy_line(line, sizeof line, words);
    snprintf(error, error_size, "%s: reading fails: %s", db->place, line);
}

/* Results that come one by one, with a row each: nothing is held but the row that is handed over. */
struct result_source {
    struct rows_source rows; /* first member */
    PGconn *connection;
    PGresult *result; /* the last one, or NULL */
    bool is_broken;   /* the connection, or nothing comes */
};

static enum rows_step next_row(struct rows_source *rows, struct value *values) {
    struct result_source *source = (struct result_source *)rows;
    for (;;) {
        libpq.clear(source->result);
        source->result = NULL;
        source->is_broken = !pg_await_result(source->connection, pg_after_ms(LOAD_MS));
        if (source->is_broken)
            return ROWS_FAILED;
        source->result = libpq.getResult(source->connection);
        if (source->result == NULL)
            return ROWS_END;
        ExecStatusType status = libpq.resultStatus(source->result);
        if (status == PGRES_SINGLE_TUPLE)
            break;
        if (status != PGRES_TUPLES_OK)
            return ROWS_FAILED;
    }
    rows->columns = row_values(source->result, values);
    return ROWS_ROW;
}

/* What is still to come of a query that nobody wants any more; or the connection goes. */
static void end_reading(struct postgresql *db, struct result_source *source) {
    bool is_over = source->is_broken;
    while (!is_over && pg_await_result(db->writer, pg_after_ms(LOAD_MS))) {
        PGresult *result = libpq.getResult(db->writer);
        is_over = result == NULL;
        libpq.clear(result);
    }
    if (source->is_broken || !is_over)
        drop_writer(db);
}

static bool load(struct backend *backend, const struct backend_query *query, row_fn *each, void *arg, char *error,
                 size_t error_size) {
    struct postgresql *db = (struct postgresql *)backend;
    if (db->writer == NULL || !pg_send_query(db->writer, query->sql, query->values, query->value_count) ||
        libpq.setSingleRowMode(db->writer) != 1) {
        say_failed(db, pg_words_of(db->writer, NULL), error, error_size);
        return false;
    }
    bool sound, is_short;
    struct result_source source = {.rows = {next_row, 0}, .connection = db->writer};
    enum rows_step last = rows_take_all(&source.rows, each, query->expect, arg, &sound, &is_short);
    if (!sound)
        snprintf(error, error_size, "%s: the database is damaged (%s makes no sense); restore a copy", db->place,
                 query->what);
    else if (last != ROWS_END)
        say_failed(db, is_short ? "out of memory" : pg_words_of(db->writer, source.result), error, error_size);
    libpq.clear(source.result);
    if (!sound || last != ROWS_END)
        end_reading(db, &source);
    return sound && last == ROWS_END;
}

/* ---- reading beside the writer ---- */

/* A reader that does not answer at once is given up: the writer's thread makes another, and until then nothing is found. */
static bool ask_reader(struct postgresql *db, const struct backend_query *query, row_fn *each, void *arg) {
    PGresult *result = pg_send_query(db->reader, query->sql, query->values, query->value_count)
                           ? pg_last_result(db->reader, pg_after_ms(LOOK_UP_MS))
                           : NULL;
    if (result == NULL || libpq.status(db->reader) == CONNECTION_BAD) {
        libpq.clear(result);
        libpq.finish(db->reader);
        db->reader = NULL;
        return false;
    }
    bool is_there = pg_is_good(result) && libpq.ntuples(result) > 0;
    if (is_there) {
        struct value row[ROW_VALUES_MAX];
        row_values(result, row);
        is_there = each(row, arg);
    }
    libpq.clear(result);
    return is_there;
}

static bool look_up(struct backend *backend, const struct backend_query *query, row_fn *each, void *arg) {
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
    PGconn *reader = pg_connect(db->uri, pg_after_ms(CONNECT_MS), reason, sizeof reason);
    uv_mutex_lock(&db->reader_lock);
    db->reader = reader;
    uv_mutex_unlock(&db->reader_lock);
}

/* ---- opening and closing ---- */

static void close_database(struct backend *backend) {
    struct postgresql *db = (struct postgresql *)backend;
    libpq.finish(db->writer);
    libpq.finish(db->reader);
    pg_groups_free(db->groups);
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
    uint64_t until_ns = pg_after_ms(START_MS);
    db->writer = pg_connect(db->uri, until_ns, reason, sizeof reason);
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
                   pg_apply_schema(db->writer, reason, sizeof reason) &&
                   (!db->is_given || end_remains(db, db->writer, pg_after_ms(CONNECT_MS), reason, sizeof reason)) &&
                   take_lock(db->writer, pg_after_ms(CONNECT_MS), reason, sizeof reason) &&
                   (db->is_given ? keep_row_of_writer : take_row_of_writer)(db, db->writer, pg_after_ms(START_MS),
                                                                            reason, sizeof reason) &&
                   prepare_statements(db->writer, pg_after_ms(START_MS), reason, sizeof reason);
    if (!is_ours)
        snprintf(error, error_size, "%s: %s", db->place, reason);
    return is_ours;
}

struct backend *postgresql_open(const char *uri, enum store_durability durability, uint64_t holder, char *error,
                                size_t error_size) {
    char problem[160];
    if (!libpq_load(problem, sizeof problem)) {
        snprintf(error, error_size, "--database %s", problem);
        return NULL;
    }
    struct postgresql *db = calloc(1, sizeof *db);
    const struct pg_group_sender sender = {send_row, send_group, send_text, db};
    struct pg_groups *groups = db == NULL ? NULL : pg_groups_new(&sender);
    char *own_uri = groups == NULL ? NULL : strdup(uri);
    if (own_uri == NULL) {
        pg_groups_free(groups);
        free(db);
        snprintf(error, error_size, "--database: out of memory");
        return NULL;
    }
    db->backend.ops = &operations;
    db->uri = own_uri;
    db->groups = groups;
    db->durability = durability;
    db->is_given = holder != 0;
    db->holder = (int64_t)(db->is_given ? holder : random_u64());
    uv_mutex_init(&db->reader_lock);
    if (!connect_first(db, error, error_size)) {
        close_database(&db->backend);
        return NULL;
    }
    tidy(&db->backend);
    return &db->backend;
}
