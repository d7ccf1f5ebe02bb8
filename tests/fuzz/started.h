/* A whole server, made anew for each input of a target: its database is opened once, and emptied before each input but
 * for what was kept; its clock stands still, and nothing is asked of the network. (CMakeLists.txt has the linker wrap
 * what __wrap_ stands before.) */
#ifndef BERTH_FUZZ_STARTED_H
#define BERTH_FUZZ_STARTED_H

#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "db/sqlite.h"
#include "server/server.h"
#include "web/http.h"
#include "web/web.h"

enum { TABLES_MAX = 32, TURNS = 3, SQL_MAX = 256 };
static const uint64_t NOW_MS = 1800000000000; /* 2027-01-15 */

const char *__asan_default_options(void);
struct backend *__real_sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
                                   size_t error_size);
struct backend *__wrap_sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
                                   size_t error_size);
void __wrap_clock_init(struct clock *clock, uint64_t leapt_ms);
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb done, const char *node,
                          const char *service, const struct addrinfo *hints);
int __wrap_uv_tcp_connect(uv_connect_t *request, uv_tcp_t *handle, const struct sockaddr *address, uv_connect_cb done);
int __wrap_mbedtls_pk_check_pair(const void *public, const void *private, void *draw, void *arg);

static struct {
    uv_loop_t loop;
    struct config config;
    char directory[256];
    struct backend *backend; /* opened once */
    struct backend_ops ops;  /* its own, but for `close` */
    sqlite3 *db;             /* another connection, by which it is emptied and filled */
    struct kept_table {
        char name[32];
        sqlite3_stmt *empty, *fill;
    } tables[TABLES_MAX];
    size_t table_count;
} started;

/* What is freed is overwritten soon: so it stays in the processor's cache. */
const char *__asan_default_options(void) {
    return "quarantine_size_mb=8";
}

#define require(holds) require_that((holds), #holds)

static void require_that(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "this does not hold: %s\n", what);
    abort();
}

/* ---- what is wrapped ---- */

static void keep_open(struct backend *backend) {
    (void)backend;
}

struct backend *__wrap_sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
                                   size_t error_size) {
    if (started.backend == NULL) {
        started.backend = __real_sqlite_open(path, durability, check, error, error_size);
        require(started.backend != NULL);
        started.ops = *started.backend->ops;
        started.ops.close = keep_open;
        started.backend->ops = &started.ops;
    }
    return started.backend;
}

/* So that what was kept is as old each time as when it was made. */
void __wrap_clock_init(struct clock *clock, uint64_t leapt_ms) {
    clock_init_still(clock, NOW_MS + leapt_ms);
    clock->leapt_ms = leapt_ms;
}

/* Callbacks to somebody's server. */
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb done, const char *node,
                          const char *service, const struct addrinfo *hints) {
    (void)loop, (void)request, (void)done, (void)node, (void)service, (void)hints;
    return UV_ENETUNREACH;
}

int __wrap_uv_tcp_connect(uv_connect_t *request, uv_tcp_t *handle, const struct sockaddr *address, uv_connect_cb done) {
    (void)request, (void)handle, (void)address, (void)done;
    return UV_ENETUNREACH;
}

/* The server's own pair: a millisecond each time. */
int __wrap_mbedtls_pk_check_pair(const void *public, const void *private, void *draw, void *arg) {
    (void)public, (void)private, (void)draw, (void)arg;
    return 0;
}

/* ---- the server ---- */

static void turn(void) {
    for (int i = 0; i < TURNS; i++)
        uv_run(&started.loop, UV_RUN_NOWAIT);
}

/* Start a server, have `use` do what it is for, and stop it. False, with a line in `error`: it did not start. */
static bool run_server(void (*use)(struct web *web), char error[512]) {
    struct catalogue catalogue = {0};
    struct server *server = server_start(&started.loop, &started.config, &catalogue, error, 512);
    struct web *web = server == NULL ? NULL : web_start(server, error, 512);
    if (web != NULL) {
        turn();
        use(web);
        web_stop(web);
    }
    if (server != NULL)
        server_stop(server);
    uv_run(&started.loop, UV_RUN_DEFAULT);
    catalogue_free(&catalogue);
    return web != NULL;
}

/* ---- the database ---- */

static sqlite3_stmt *prepare(const char *sql) {
    sqlite3_stmt *statement;
    require(sqlite3_prepare_v3(started.db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) == SQLITE_OK);
    return statement;
}

static void execute(const char *sql) {
    require(sqlite3_exec(started.db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static void run(sqlite3_stmt *statement) {
    sqlite3_step(statement); /* what a constraint refuses is not there */
    sqlite3_reset(statement);
}

static bool is_empty(const char *table) {
    char sql[SQL_MAX];
    snprintf(sql, sizeof sql, "SELECT 1 FROM %s LIMIT 1", table);
    sqlite3_stmt *one = prepare(sql);
    bool empty = sqlite3_step(one) != SQLITE_ROW;
    sqlite3_finalize(one);
    return empty;
}

static void keep_table(struct kept_table *table) {
    char sql[SQL_MAX];
    snprintf(sql, sizeof sql, "DELETE FROM main.%s", table->name);
    table->empty = prepare(sql);
    if (is_empty(table->name))
        return;
    snprintf(sql, sizeof sql, "CREATE TEMP TABLE kept_%s AS SELECT * FROM main.%s", table->name, table->name);
    execute(sql);
    snprintf(sql, sizeof sql, "INSERT INTO main.%s SELECT * FROM temp.kept_%s", table->name, table->name);
    table->fill = prepare(sql);
}

/* What the first server has left is there again for each input. */
static void keep_tables(void) {
    sqlite3_stmt *names = prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name");
    while (sqlite3_step(names) == SQLITE_ROW) {
        require(started.table_count < TABLES_MAX);
        struct kept_table *table = &started.tables[started.table_count++];
        snprintf(table->name, sizeof table->name, "%s", (const char *)sqlite3_column_text(names, 0));
    }
    sqlite3_finalize(names);
    for (size_t i = 0; i < started.table_count; i++)
        keep_table(&started.tables[i]);
    require(started.table_count > 10);
}

/* Within a transaction. */
static void empty_tables(void) {
    for (size_t i = 0; i < started.table_count; i++)
        run(started.tables[i].empty);
    for (size_t i = 0; i < started.table_count; i++) {
        if (started.tables[i].fill != NULL)
            run(started.tables[i].fill);
    }
}

/* ---- the first server ---- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place) {
    (void)status, (void)type, (void)place;
    return remove(path);
}

static void remove_directory(void) {
    nftw(started.directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* With the options of the command line `argv`; `use` has it store what each input finds. */
static void start(const char *name, int argc, const char *const *argv, void (*use)(struct web *web)) {
    char error[512], path[300];
    const char *place = getenv("TMPDIR");
    snprintf(started.directory, sizeof started.directory, "%s/%s.XXXXXX", place == NULL ? "/tmp" : place, name);
    require(mkdtemp(started.directory) != NULL);
    atexit(remove_directory);
    require(config_parse(&started.config, argc, (char **)(uintptr_t)argv) == CONFIG_RUN);
    started.config.data = started.directory;
    log_configure(LOG_ERROR, false);
    uv_loop_init(&started.loop);
    require(run_server(use, error));
    snprintf(path, sizeof path, "%s/berth.db", started.directory);
    require(sqlite3_open_v2(path, &started.db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    execute("PRAGMA synchronous = OFF");
    keep_tables();
}

#endif
