/* What lies in the database: rows of every table with any values, and a server that starts with them. It starts, or says
 * in a line why it does not; then everything that lists or shows is asked for, time goes on, and it ends properly.
 *
 * The input is rows: a byte that chooses the table, then each column by its type. For the sake of speed the database is
 * opened once, and emptied for each input; nothing is asked of the network. What should be sealed and does not open is
 * taken for what was sealed, else no input would come as far as the readers. (CMakeLists.txt has the linker wrap what
 * __wrap_ stands before.) */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "db/sqlite.h"
#include "server/seal.h"
#include "server/server.h"
#include "web/http.h"
#include "web/web.h"

enum { ROWS_MAX = 64, TABLES_MAX = 32, COLUMNS_MAX = 24, TURNS = 3, WIDE = 255, SMALL = 200, SHOWN_MAX = 4 };
static const uint64_t NOW_MS = 1800000000000; /* 2027-01-15 */

enum { LEAP_MS = 100000, SQL_MAX = 256 };

const char *__asan_default_options(void);
struct backend *__real_sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
                                   size_t error_size);
struct backend *__wrap_sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
                                   size_t error_size);
bool __real_seal_open(struct seal *seal, struct slice context, struct slice sealed, struct buffer *out);
bool __wrap_seal_open(struct seal *seal, struct slice context, struct slice sealed, struct buffer *out);
void __wrap_clock_init(struct clock *clock, uint64_t leapt_ms);
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb done, const char *node,
                          const char *service, const struct addrinfo *hints);
int __wrap_uv_tcp_connect(uv_connect_t *request, uv_tcp_t *handle, const struct sockaddr *address, uv_connect_cb done);
int __wrap_mbedtls_pk_check_pair(const void *public, const void *private, void *draw, void *arg);

struct table {
    char name[32];
    sqlite3_stmt *insert, *empty;
    char types[COLUMNS_MAX]; /* first letters: INTEGER, TEXT or BLOB */
    int columns;
};

static struct {
    uv_loop_t loop;
    struct config config;
    char directory[256];
    struct backend *backend; /* opened once */
    struct backend_ops ops;  /* its own, but for `close` */
    sqlite3 *db;             /* rows are put through this one */
    sqlite3_stmt *settle;
    struct table tables[TABLES_MAX];
    size_t table_count;
} f;

/* What is freed is overwritten soon: so it stays in the processor's cache. */
const char *__asan_default_options(void) {
    return "quarantine_size_mb=8";
}

static void require(bool holds) {
    if (!holds)
        abort();
}

/* ---- what is wrapped ---- */

static void keep_open(struct backend *backend) {
    (void)backend;
}

struct backend *__wrap_sqlite_open(const char *path, enum store_durability durability, bool check, char *error,
                                   size_t error_size) {
    if (f.backend == NULL) {
        f.backend = __real_sqlite_open(path, durability, check, error, error_size);
        require(f.backend != NULL);
        f.ops = *f.backend->ops;
        f.ops.close = keep_open;
        f.backend->ops = &f.ops;
    }
    return f.backend;
}

bool __wrap_seal_open(struct seal *seal, struct slice context, struct slice sealed, struct buffer *out) {
    if (__real_seal_open(seal, context, sealed, out))
        return true;
    if (out->cap - out->len < sealed.len)
        return false;
    buffer_put_slice(out, sealed);
    return true;
}

/* So that rows are as old each time as when they were made. */
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

static struct slice header_of(const struct http_request *request, const char *name) {
    (void)request;
    return strcmp(name, "authorization") == 0 ? slice_str("Bearer ak_test") : SLICE_NONE;
}

static void on_answer(struct http_request *request, const struct http_response *response) {
    require(response->status != 0);
    request->arg = NULL;
}

/* What is only looked at is answered at once. */
static void show(struct web *web, const char *path) {
    static const struct http_internal internal = {.header = header_of, .respond = on_answer};
    struct http_request request = {
        .method = "GET", .path = slice_str(path), .internal = &internal, .arg = (void *)(uintptr_t)path};
    web_handle(web, LISTENER_EVERYTHING, &request);
    require(request.arg == NULL);
}

static void show_lists(struct web *web) {
    static const char *const paths[] = {"/v1/devices",
                                        "/v1/credentials",
                                        "/v1/bootstrap",
                                        "/v1/firmware",
                                        "/v1/server",
                                        "/metrics",
                                        "/v3/devices",
                                        "/v3/device-events",
                                        "/v3/api-keys",
                                        "/v3/policy-groups",
                                        "/v2/device-shared-keys",
                                        "/v3/device-enrollments",
                                        "/v3/trusted-certificates",
                                        "/v3/firmware-images",
                                        "/v3/firmware-manifests",
                                        "/v3/update-campaigns",
                                        "/v2/endpoints",
                                        "/v2/notification/callback",
                                        "/v2/subscriptions",
                                        "/api/clients",
                                        "/api/security/clients",
                                        "/api/bootstrap"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        show(web, paths[i]);
}

static void show_device(struct web *web, const char *before, struct slice endpoint, const char *after) {
    uint8_t text[1024];
    struct buffer path = buffer_over(text, sizeof text);
    buffer_put_str(&path, before);
    for (size_t i = 0; i < endpoint.len; i++)
        buffer_printf(&path, "%%%02x", endpoint.data[i]);
    buffer_put_str(&path, after);
    buffer_put_u8(&path, 0);
    if (!path.overflow)
        show(web, (const char *)text);
}

static void show_devices(struct web *web) {
    uint32_t slot = 0;
    struct registration *r;
    for (int i = 0; i < SHOWN_MAX && (r = directory_next(web->server->directory, &slot)) != NULL; i++) {
        struct slice endpoint = registration_endpoint(r);
        show_device(web, "/v1/devices/", endpoint, "");
        show_device(web, "/v1/devices/", endpoint, "/queue");
        show_device(web, "/v1/devices/", endpoint, "/firmware");
        show_device(web, "/v1/devices/", endpoint, "/observations");
        show_device(web, "/v1/bootstrap/", endpoint, "");
        show_device(web, "/v1/credentials/", endpoint, "");
        show_device(web, "/v2/endpoints/", endpoint, "");
        show_device(web, "/api/clients/", endpoint, "");
    }
}

static void turn(void) {
    for (int i = 0; i < TURNS; i++)
        uv_run(&f.loop, UV_RUN_NOWAIT);
}

static bool run_server(char error[512]) {
    struct catalogue catalogue = {0};
    struct server *server = server_start(&f.loop, &f.config, &catalogue, error, 512);
    struct web *web = server == NULL ? NULL : web_start(server, error, 512);
    if (web != NULL) {
        turn();
        show_lists(web);
        show_devices(web);
        server_leap(server, LEAP_MS, NULL, NULL);
        turn();
        web_stop(web);
    }
    if (server != NULL)
        server_stop(server);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    catalogue_free(&catalogue);
    return web != NULL;
}

/* ---- the database ---- */

static sqlite3_stmt *prepare(const char *sql) {
    sqlite3_stmt *statement;
    require(sqlite3_prepare_v3(f.db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) == SQLITE_OK);
    return statement;
}

static void execute(const char *sql) {
    require(sqlite3_exec(f.db, sql, NULL, NULL, NULL) == SQLITE_OK);
}

static void run(sqlite3_stmt *statement) {
    sqlite3_step(statement); /* what a constraint refuses is not there */
    sqlite3_reset(statement);
}

static void learn_table(struct table *table) {
    char sql[SQL_MAX], marks[2 * COLUMNS_MAX] = "";
    snprintf(sql, sizeof sql, "PRAGMA table_info(%s)", table->name);
    sqlite3_stmt *columns = prepare(sql);
    while (sqlite3_step(columns) == SQLITE_ROW) {
        require(table->columns < COLUMNS_MAX);
        table->types[table->columns++] = (char)sqlite3_column_text(columns, 2)[0];
        strcat(marks, marks[0] == '\0' ? "?" : ",?");
    }
    sqlite3_finalize(columns);
    snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO %s VALUES (%s)", table->name, marks);
    table->insert = prepare(sql);
    snprintf(sql, sizeof sql, "DELETE FROM %s", table->name);
    table->empty = prepare(sql);
}

static void learn_tables(void) {
    sqlite3_stmt *names = prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name");
    while (sqlite3_step(names) == SQLITE_ROW) {
        struct table *table = &f.tables[f.table_count++];
        require(f.table_count <= TABLES_MAX);
        snprintf(table->name, sizeof table->name, "%s", (const char *)sqlite3_column_text(names, 0));
        learn_table(table);
    }
    sqlite3_finalize(names);
    require(f.table_count > 10);
}

/* ---- the input ---- */

static struct slice take(struct slice *input, size_t len) {
    struct slice taken = slice_of(input->data, len < input->len ? len : input->len);
    *input = slice_from(*input, taken.len);
    return taken;
}

static uint8_t take_byte(struct slice *input) {
    struct slice byte = take(input, 1);
    return byte.len == 0 ? 0 : byte.data[0];
}

static int64_t take_number(struct slice *input) {
    uint8_t first = take_byte(input);
    if (first < SMALL)
        return first;
    uint64_t number = 0;
    struct slice bytes = take(input, (size_t)(first - SMALL) % 8 + 1);
    for (size_t i = 0; i < bytes.len; i++)
        number = number << 8 | bytes.data[i];
    return (int64_t)number;
}

static struct slice take_bytes(struct slice *input) {
    size_t len = take_byte(input);
    if (len == WIDE)
        len += (size_t)take_byte(input) << 4;
    return take(input, len);
}

static void bind_column(sqlite3_stmt *statement, int column, char type, struct slice *input) {
    if (type == 'I' && input->len > 0 && input->data[0] == WIDE) {
        take_byte(input);
        sqlite3_bind_null(statement, column);
        return;
    }
    if (type == 'I') {
        sqlite3_bind_int64(statement, column, take_number(input));
        return;
    }
    struct slice bytes = take_bytes(input);
    const char *data = bytes.len == 0 ? "" : (const char *)bytes.data;
    if (type == 'T')
        sqlite3_bind_text(statement, column, data, (int)bytes.len, SQLITE_STATIC);
    else
        sqlite3_bind_blob(statement, column, data, (int)bytes.len, SQLITE_STATIC);
}

static void put_rows(struct slice input) {
    execute("BEGIN IMMEDIATE");
    for (size_t i = 0; i < f.table_count; i++)
        run(f.tables[i].empty);
    run(f.settle);
    for (size_t row = 0; row < ROWS_MAX && input.len > 0; row++) {
        const struct table *table = &f.tables[take_byte(&input) % f.table_count];
        for (int column = 0; column < table->columns; column++)
            bind_column(table->insert, column + 1, table->types[column], &input);
        run(table->insert);
    }
    execute("COMMIT");
}

/* ---- */

static void start(void) {
    static const char *const argv[] = {
        "berth-server",        "--listen=coap://127.0.0.1:0", "--listen=coaps://127.0.0.1:0", "--http=off",
        "--trace-memory=256K", "--event-memory=64K",          "--hostname=localhost",         NULL};
    char error[512], path[300];
    const char *place = getenv("TMPDIR");
    snprintf(f.directory, sizeof f.directory, "%s/fuzz_rows.XXXXXX", place == NULL ? "/tmp" : place);
    require(mkdtemp(f.directory) != NULL);
    require(config_parse(&f.config, sizeof argv / sizeof argv[0] - 1, (char **)(uintptr_t)argv) == CONFIG_RUN);
    f.config.data = f.directory;
    log_configure(LOG_ERROR, false);
    uv_loop_init(&f.loop);
    require(run_server(error));
    snprintf(path, sizeof path, "%s/berth.db", f.directory);
    require(sqlite3_open_v2(path, &f.db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK);
    execute("PRAGMA synchronous = OFF; CREATE TEMP TABLE settled AS SELECT * FROM setting");
    f.settle = prepare("INSERT INTO setting SELECT * FROM settled");
    learn_tables();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char error[512] = "";
    if (f.db == NULL)
        start();
    put_rows(slice_of(data, size));
    require(run_server(error) || (error[0] != '\0' && strchr(error, '\n') == NULL));
    return 0;
}
