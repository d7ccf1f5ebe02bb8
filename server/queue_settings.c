#include "server/queue_settings.h"

#include <stdlib.h>

#include "server/awake.h"

struct device_settings {
    uint8_t *endpoint;
    size_t endpoint_len;
    struct queue_settings settings;
};

struct queue_settings_table {
    struct device_settings *items; /* in order of names */
    size_t count, cap;
};

static int compare(struct slice a, struct slice b) {
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* Where the endpoint's settings are, or would be. */
static size_t place_of(const struct queue_settings_table *table, struct slice endpoint, bool *found) {
    size_t low = 0, high = table == NULL ? 0 : table->count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        const struct device_settings *item = &table->items[middle];
        int order = compare(slice_of(item->endpoint, item->endpoint_len), endpoint);
        *found = order == 0;
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return high;
}

bool queue_settings_find(const struct server *server, struct slice endpoint, struct queue_settings *settings) {
    bool found;
    size_t at = place_of(server->queue_settings, endpoint, &found);
    if (found)
        *settings = server->queue_settings->items[at].settings;
    return found;
}

struct queue_settings queue_settings_of(const struct server *server, struct slice endpoint) {
    struct queue_settings settings = {0};
    queue_settings_find(server, endpoint, &settings);
    if (settings.awake_window_ms == 0)
        settings.awake_window_ms = server->config->awake_window_ms;
    if (settings.limit == 0)
        settings.limit = server->config->queue_limit;
    return settings;
}

/* Room for one more. */
static struct queue_settings_table *reserve(struct server *server) {
    struct queue_settings_table *table = server->queue_settings;
    if (table == NULL)
        table = server->queue_settings = calloc(1, sizeof *table);
    if (table == NULL || table->count == QUEUE_SETTINGS_MAX)
        return NULL;
    if (table->count == table->cap) {
        size_t cap = table->cap == 0 ? 16 : table->cap * 2;
        struct device_settings *grown = realloc(table->items, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        table->items = grown;
        table->cap = cap;
    }
    return table;
}

static bool add(struct server *server, struct slice endpoint, const struct queue_settings *settings) {
    bool found;
    size_t at = place_of(server->queue_settings, endpoint, &found);
    if (found) {
        server->queue_settings->items[at].settings = *settings;
        return true;
    }
    struct queue_settings_table *table = reserve(server);
    uint8_t *name = table == NULL ? NULL : malloc(endpoint.len + 1);
    if (name == NULL)
        return false;
    memcpy(name, endpoint.data, endpoint.len);
    memmove(table->items + at + 1, table->items + at, (table->count - at) * sizeof *table->items);
    table->items[at] = (struct device_settings){name, endpoint.len, *settings};
    table->count++;
    return true;
}

static void remove_from(struct queue_settings_table *table, struct slice endpoint) {
    bool found;
    size_t at = place_of(table, endpoint, &found);
    if (!found)
        return;
    free(table->items[at].endpoint);
    table->count--;
    memmove(table->items + at, table->items + at + 1, (table->count - at) * sizeof *table->items);
}

/* ---- setting ---- */

struct pending {
    struct server *server;
    store_done_fn *done;
    void *arg;
    struct queue_settings settings;
    size_t endpoint_len;
    uint8_t endpoint[];
};

static void apply(struct server *server, struct slice endpoint, const struct queue_settings *settings) {
    uint32_t before_ms = queue_settings_of(server, endpoint).awake_window_ms;
    if (settings->awake_window_ms == 0 && settings->limit == 0)
        remove_from(server->queue_settings, endpoint);
    else if (!add(server, endpoint, settings))
        log_write(LOG_WARN, "server", "settings of a queue are stored, but hold only after the next start");
    struct registration *r = directory_find(server->directory, endpoint);
    if (r != NULL)
        awake_window_changed(server, r, before_ms);
}

static void on_stored(void *arg, enum store_result result) {
    struct pending *pending = arg;
    clock_update(&pending->server->clock);
    if (result == STORE_OK)
        apply(pending->server, slice_of(pending->endpoint, pending->endpoint_len), &pending->settings);
    pending->done(pending->arg, result);
    free(pending);
}

bool queue_settings_put(struct server *server, struct slice endpoint, const struct queue_settings *settings,
                        store_done_fn *done, void *arg) {
    struct queue_settings before;
    bool unset = settings->awake_window_ms == 0 && settings->limit == 0;
    if (!unset && !queue_settings_find(server, endpoint, &before) && reserve(server) == NULL)
        return false;
    struct pending *pending = malloc(sizeof *pending + endpoint.len);
    if (pending == NULL)
        return false;
    *pending = (struct pending){
        .server = server, .done = done, .arg = arg, .settings = *settings, .endpoint_len = endpoint.len};
    memcpy(pending->endpoint, endpoint.data, endpoint.len);
    struct store_queue_settings row = {
        .endpoint = endpoint, .awake_window_ms = settings->awake_window_ms, .limit = settings->limit};
    enum store_result result = store_put_queue_settings(server->store, &row, on_stored, pending);
    if (result != STORE_OK)
        on_stored(pending, result);
    return true;
}

/* ---- loading ---- */

static void load(void *arg, const struct store_queue_settings *row) {
    struct queue_settings settings = {.awake_window_ms = row->awake_window_ms, .limit = row->limit};
    if (!add(arg, row->endpoint, &settings))
        log_write(LOG_WARN, "server", "stored settings of a queue are left out: there are too many");
}

bool queue_settings_load(struct server *server, char *error, size_t error_size) {
    return store_load_queue_settings(server->store, load, server, error, error_size);
}

void queue_settings_clear(struct server *server) {
    struct queue_settings_table *table = server->queue_settings;
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->items[i].endpoint);
    free(table->items);
    free(table);
    server->queue_settings = NULL;
}
