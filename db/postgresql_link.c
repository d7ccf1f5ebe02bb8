#include "db/postgresql_link.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <uv.h>

#include "db/schema_steps.h"

#define NS_IN_MS UINT64_C(1000000)

/* As PG_LOCK_OF_WRITER. */
#define LOCK_OF_SCHEMA INT64_C(0x4265727468000001)

enum {
    SCHEMA_MS = 60000, /* a step may rewrite a table */
    ANSWER_MS = 10000,
    TYPE_INT8 = 20, /* pg_type.oid; fixed for all time */
};

/* ---- words ---- */

/* The first line of what libpq says. */
void pg_copy_line(char *to, size_t size, const char *text) {
    snprintf(to, size, "%.*s", (int)strcspn(text, "\n"), text);
}

const char *pg_words_of(PGconn *connection, const PGresult *result) {
    const char *primary = result == NULL ? NULL : libpq.resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (primary != NULL)
        return primary;
    const char *words = connection == NULL ? "out of memory" : libpq.errorMessage(connection);
    return words[0] == '\0' ? "no answer in time" : words;
}

/* ---- waiting ---- */

uint64_t pg_after_ms(uint64_t ms) {
    return uv_hrtime() + ms * NS_IN_MS;
}

int pg_ms_until(uint64_t until_ns) {
    uint64_t now_ns = uv_hrtime();
    return until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / NS_IN_MS + 1);
}

void pg_pause_ms(int ms) {
    poll(NULL, 0, ms);
}

/* Wait for one of `events`, with errors among them. False: it is too late. */
static bool wait_socket(PGconn *connection, short events, uint64_t until_ns) {
    for (;;) {
        struct pollfd fd = {.fd = libpq.socket(connection), .events = events};
        int ms = pg_ms_until(until_ns);
        int count = poll(&fd, 1, ms);
        if (count > 0)
            return true;
        if (ms == 0 || (count < 0 && errno != EINTR))
            return false;
    }
}

/* Send what is to be sent, and wait until the next result is there. False: the connection is broken, or silent. */
bool pg_await_result(PGconn *connection, uint64_t until_ns) {
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
PGresult *pg_last_result(PGconn *connection, uint64_t until_ns) {
    PGresult *last = NULL;
    for (;;) {
        if (!pg_await_result(connection, until_ns)) {
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

bool pg_is_good(const PGresult *result) {
    return libpq.resultStatus(result) == PGRES_COMMAND_OK || libpq.resultStatus(result) == PGRES_TUPLES_OK;
}

/* Run one or more statements of ours. */
bool pg_execute(PGconn *connection, const char *sql, uint64_t until_ns, char *reason, size_t reason_size) {
    PGresult *result = libpq.sendQuery(connection, sql) == 1 ? pg_last_result(connection, until_ns) : NULL;
    bool done = result != NULL && pg_is_good(result);
    if (!done)
        pg_copy_line(reason, reason_size, pg_words_of(connection, result));
    libpq.clear(result);
    return done;
}

/* ---- values ---- */

void pg_set_parameters(struct pg_parameters *p, const struct value *values, size_t count) {
    p->count = (int)count;
    for (size_t i = 0; i < count; i++) {
        p->formats[i] = 1; /* as bytes, not as text */
        if (values[i].kind == VALUE_NULL) {
            p->values[i] = NULL;
            p->lengths[i] = 0;
        } else if (values[i].kind == VALUE_NUMBER) {
            struct buffer number = buffer_over(p->numbers[i], PG_NUMBER_BYTES);
            buffer_put_u64(&number, (uint64_t)values[i].number);
            p->values[i] = (const char *)p->numbers[i];
            p->lengths[i] = PG_NUMBER_BYTES;
        } else {
            p->values[i] = values[i].bytes.len == 0 ? "" : (const char *)values[i].bytes.data;
            p->lengths[i] = (int)values[i].bytes.len;
        }
    }
}

struct value pg_value_in(const PGresult *result, int row, int column) {
    const uint8_t *bytes = (const uint8_t *)libpq.getvalue(result, row, column);
    size_t len = (size_t)libpq.getlength(result, row, column);
    if (libpq.getisnull(result, row, column) == 1)
        return (struct value){.kind = VALUE_NULL};
    if (libpq.ftype(result, column) != TYPE_INT8 || len != PG_NUMBER_BYTES)
        return (struct value){.kind = VALUE_BLOB, .bytes = slice_of(bytes, len)};
    return pg_number((int64_t)slice_number(slice_of(bytes, len)));
}

/* Parameters as PostgreSQL writes them: $1 for ? and ?1. */
void pg_translate(char out[PG_SQL_MAX], const char *sql) {
    size_t len = 0;
    int next = 1;
    for (const char *at = sql; *at != '\0' && len < PG_SQL_MAX - 8; at++) {
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

bool pg_send_query(PGconn *connection, const char *sql, const struct value *values, size_t count) {
    char text[PG_SQL_MAX];
    struct pg_parameters p;
    pg_translate(text, sql);
    pg_set_parameters(&p, values, count);
    return libpq.sendQueryParams(connection, text, p.count, NULL, p.values, p.lengths, p.formats, 1) == 1;
}

/* The first number of the first row. False: there is none, or an error; `reason` says it then. */
bool pg_ask_number(PGconn *connection, const char *sql, const struct value *values, size_t count, uint64_t until_ns,
                   int64_t *number, char *reason, size_t reason_size) {
    PGresult *result = pg_send_query(connection, sql, values, count) ? pg_last_result(connection, until_ns) : NULL;
    bool done = result != NULL && pg_is_good(result);
    reason[0] = '\0';
    if (!done)
        pg_copy_line(reason, reason_size, pg_words_of(connection, result));
    bool found = done && libpq.ntuples(result) > 0;
    if (found)
        *number = pg_value_in(result, 0, 0).number;
    libpq.clear(result);
    return found;
}

struct value pg_number(int64_t number) {
    return (struct value){.kind = VALUE_NUMBER, .number = number};
}

/* ---- connecting ---- */

static void ignore_notice(void *arg, const char *message) {
    (void)arg;
    (void)message;
}

/* A connection that is made and answers, or NULL. What stands before `dbname` may be set otherwise in the URI. */
PGconn *pg_connect(const char *uri, uint64_t until_ns, char *reason, size_t reason_size) {
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
    pg_copy_line(reason, reason_size, pg_words_of(connection, NULL));
    libpq.finish(connection);
    return NULL;
}

/* ---- the schema ---- */

/* In one transaction, for one server at a time. */
static bool apply_steps(PGconn *connection, const char *part, const struct schema_step *steps, size_t count,
                        char *reason, size_t reason_size) {
    char set_version[160];
    int64_t version = 0;
    const struct value name = {.kind = VALUE_TEXT, .bytes = slice_str(part)};
    if (!pg_ask_number(connection, "SELECT version FROM berth_schema WHERE part = convert_from(?, 'UTF8')", &name, 1,
                       pg_after_ms(ANSWER_MS), &version, reason, reason_size) &&
        reason[0] != '\0')
        return false;
    if (version > (int64_t)count) {
        snprintf(reason, reason_size, "written by a newer version of Berth (%s %" PRId64 ", this one knows %zu)", part,
                 version, count);
        return false;
    }
    for (size_t i = (size_t)version; i < count; i++) {
        if (!pg_execute(connection, steps[i].postgresql, pg_after_ms(SCHEMA_MS), reason, reason_size))
            return false;
    }
    snprintf(set_version, sizeof set_version,
             "INSERT INTO berth_schema VALUES ('%s', %zu) ON CONFLICT (part) DO UPDATE SET version = excluded.version",
             part, count);
    return (size_t)version == count || pg_execute(connection, set_version, pg_after_ms(ANSWER_MS), reason, reason_size);
}

bool pg_apply_schema(PGconn *connection, char *reason, size_t reason_size) {
    char begin[200];
    snprintf(begin, sizeof begin,
             "BEGIN; SELECT pg_advisory_xact_lock(%" PRId64 ");"
             " CREATE TABLE IF NOT EXISTS berth_schema (part TEXT PRIMARY KEY, version BIGINT NOT NULL)",
             LOCK_OF_SCHEMA);
    return pg_execute(connection, begin, pg_after_ms(SCHEMA_MS), reason, reason_size) &&
           apply_steps(connection, "schema", schema_steps, schema_step_count, reason, reason_size) &&
           apply_steps(connection, "postgresql", postgresql_steps, postgresql_step_count, reason, reason_size) &&
           pg_execute(connection, "COMMIT", pg_after_ms(SCHEMA_MS), reason, reason_size);
}
