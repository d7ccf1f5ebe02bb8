/* What lies in the database: rows of every table with any values, and a server that starts with them. It starts, or says
 * in a line why it does not; then everything that lists or shows is asked for, time goes on, and it ends properly.
 *
 * The input is rows: a byte that chooses the table, then each column by its type. What should be sealed and does not open
 * is taken for what was sealed, else no input would come as far as the readers. */
#include "server/seal.h"
#include "tests/fuzz/started.h"

enum { ROWS_MAX = 64, COLUMNS_MAX = 24, WIDE = 255, SMALL = 200, SHOWN_MAX = 4, LEAP_MS = 100000 };

bool __real_seal_open(struct seal *seal, struct slice context, struct slice sealed, struct buffer *out);
bool __wrap_seal_open(struct seal *seal, struct slice context, struct slice sealed, struct buffer *out);

static struct columns {
    sqlite3_stmt *insert;
    char types[COLUMNS_MAX]; /* first letters: INTEGER, TEXT or BLOB */
    int count;
} columns_of[TABLES_MAX]; /* as `started.tables` */

bool __wrap_seal_open(struct seal *seal, struct slice context, struct slice sealed, struct buffer *out) {
    if (__real_seal_open(seal, context, sealed, out))
        return true;
    if (out->cap - out->len < sealed.len)
        return false;
    buffer_put_slice(out, sealed);
    return true;
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

static void show_everything(struct web *web) {
    show_lists(web);
    show_devices(web);
    server_leap(web->server, LEAP_MS, NULL, NULL);
    turn();
}

/* ---- the database ---- */

static void learn_columns(struct columns *columns, const char *table) {
    char sql[SQL_MAX], marks[2 * COLUMNS_MAX] = "";
    snprintf(sql, sizeof sql, "PRAGMA table_info(%s)", table);
    sqlite3_stmt *rows = prepare(sql);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        require(columns->count < COLUMNS_MAX);
        columns->types[columns->count++] = (char)sqlite3_column_text(rows, 2)[0];
        strcat(marks, marks[0] == '\0' ? "?" : ",?");
    }
    sqlite3_finalize(rows);
    snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO %s VALUES (%s)", table, marks);
    columns->insert = prepare(sql);
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
    empty_tables();
    for (size_t row = 0; row < ROWS_MAX && input.len > 0; row++) {
        const struct columns *columns = &columns_of[take_byte(&input) % started.table_count];
        for (int column = 0; column < columns->count; column++)
            bind_column(columns->insert, column + 1, columns->types[column], &input);
        run(columns->insert);
    }
    execute("COMMIT");
}

/* ---- */

static void start_rows(void) {
    static const char *const argv[] = {
        "berth-server",        "--listen=coap://127.0.0.1:0", "--listen=coaps://127.0.0.1:0", "--http=off",
        "--trace-memory=256K", "--event-memory=64K",          "--hostname=localhost",         NULL};
    start("fuzz_rows", sizeof argv / sizeof argv[0] - 1, argv, show_everything);
    for (size_t i = 0; i < started.table_count; i++)
        learn_columns(&columns_of[i], started.tables[i].name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char error[512] = "";
    if (started.db == NULL)
        start_rows();
    put_rows(slice_of(data, size));
    require(run_server(show_everything, error) || (error[0] != '\0' && strchr(error, '\n') == NULL));
    return 0;
}
