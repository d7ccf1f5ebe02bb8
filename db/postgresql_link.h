/* A connection to PostgreSQL through libpq, used by one thread that may wait: making it, asking, and the schema. Nothing
 * waits longer than it is told; moments are those of uv_hrtime. */
#ifndef BERTH_DB_POSTGRESQL_LINK_H
#define BERTH_DB_POSTGRESQL_LINK_H

#include "db/backend.h"
#include "db/libpq.h"

enum { PG_SQL_MAX = 2048, PG_NUMBER_BYTES = 8 };

/* The lock of who writes, an advisory one ("Berth", and which). */
#define PG_LOCK_OF_WRITER INT64_C(0x4265727468000000)

/* ---- moments ---- */

uint64_t pg_after_ms(uint64_t ms);
int pg_ms_until(uint64_t until_ns);
void pg_pause_ms(int ms);

/* ---- words ---- */

/* The first line of what libpq says. */
void pg_copy_line(char *to, size_t size, const char *text);

/* Why it failed; `result` may be NULL, and `connection` too. */
const char *pg_words_of(PGconn *connection, const PGresult *result);

/* ---- values ---- */

struct pg_parameters {
    int count;
    const char *values[STATEMENT_VALUES_MAX];
    int lengths[STATEMENT_VALUES_MAX], formats[STATEMENT_VALUES_MAX];
    uint8_t numbers[STATEMENT_VALUES_MAX][PG_NUMBER_BYTES];
};

/* They point into `p` and to the bytes of `values`. */
void pg_set_parameters(struct pg_parameters *p, const struct value *values, size_t count);

struct value pg_number(int64_t number);
struct value pg_value_in(const PGresult *result, int row, int column);

/* Parameters as PostgreSQL writes them: $1 for ? and ?1. */
void pg_translate(char out[PG_SQL_MAX], const char *sql);

/* ---- asking ---- */

/* A connection that is made and answers, or NULL. What says who we are may be set otherwise in the URI. */
PGconn *pg_connect(const char *uri, uint64_t until_ns, char *reason, size_t reason_size);

/* Send what is to be sent, and wait until the next result is there. False: the connection is broken, or silent. */
bool pg_await_result(PGconn *connection, uint64_t until_ns);

/* The last result of what was sent, or NULL when the connection is broken or silent. */
PGresult *pg_last_result(PGconn *connection, uint64_t until_ns);

bool pg_is_good(const PGresult *result);

/* Run one or more statements of ours. */
bool pg_execute(PGconn *connection, const char *sql, uint64_t until_ns, char *reason, size_t reason_size);

bool pg_send_query(PGconn *connection, const char *sql, const struct value *values, size_t count);

/* The first number of the first row. False: there is none, or an error; `reason` says it then. */
bool pg_ask_number(PGconn *connection, const char *sql, const struct value *values, size_t count, uint64_t until_ns,
                   int64_t *number, char *reason, size_t reason_size);

/* Bring the schema up to date. */
bool pg_apply_schema(PGconn *connection, char *reason, size_t reason_size);

#endif
