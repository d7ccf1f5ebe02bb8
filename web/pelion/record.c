/* What the facade keeps: documents in tables, by their ids, in memory and in the store. Ids begin with the time, so that
 * their order is that in which documents were made. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/random.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

void pelion_make_id(struct pelion *pelion, char id[PELION_ID_LEN + 1]) {
    uint64_t now = clock_now_ms(&pelion->web->server->clock);
    snprintf(id, PELION_ID_LEN + 1, "%012" PRIx64 "%08" PRIx32 "%012" PRIx64, now & 0xffffffffffff, pelion->ids_made++,
             random_u64() & 0xffffffffffff);
}

json_t *pelion_item(const struct pelion *pelion, enum pelion_table table, struct slice id) {
    return id.len == 0 ? NULL : json_object_getn(pelion->tables[table], (const char *)id.data, id.len);
}

json_t *pelion_tables_new(struct pelion *pelion) {
    for (size_t i = 0; i < PELION_TABLE_COUNT; i++) {
        pelion->tables[i] = json_object();
        if (pelion->tables[i] == NULL)
            return NULL;
    }
    pelion->updating = json_object();
    return pelion->updating != NULL && pelion_add_groups(pelion) ? pelion->tables[0] : NULL;
}

void pelion_tables_free(struct pelion *pelion) {
    json_decref(pelion->updating);
    pelion->updating = NULL;
    for (size_t i = 0; i < PELION_TABLE_COUNT; i++) {
        json_decref(pelion->tables[i]);
        pelion->tables[i] = NULL; /* commits are still to come */
    }
}

/* ---- the store ---- */

/* There is no facade before there is something of it. */
static void on_document(void *arg, const struct store_document *document) {
    struct web *web = arg;
    struct pelion *pelion = web->pelion == NULL ? pelion_new(web) : web->pelion;
    json_t *item = pelion == NULL || document->kind >= PELION_TABLE_COUNT
                       ? NULL
                       : json_loadb((const char *)document->text.data, document->text.len, 0, NULL);
    if (item != NULL)
        json_object_setn_new(pelion->tables[document->kind], (const char *)document->id.data, document->id.len, item);
}

static int compare_times(const void *left, const void *right) {
    json_int_t a = json_integer_value(json_object_get(json_object_iter_value(*(void *const *)left), "created_at"));
    json_int_t b = json_integer_value(json_object_get(json_object_iter_value(*(void *const *)right), "created_at"));
    return a < b ? -1 : a > b;
}

/* The ids of devices do not begin with the time. */
static void sort_devices(struct pelion *pelion) {
    json_t *devices = pelion->tables[PELION_DEVICES], *sorted = json_object();
    size_t count = json_object_size(devices), at = 0;
    void **order = calloc(count + 1, sizeof *order);
    if (order == NULL || sorted == NULL) {
        free(order);
        json_decref(sorted);
        return;
    }
    for (void *i = json_object_iter(devices); i != NULL; i = json_object_iter_next(devices, i))
        order[at++] = i;
    qsort(order, count, sizeof *order, compare_times);
    for (at = 0; at < count; at++)
        json_object_set(sorted, json_object_iter_key(order[at]), json_object_iter_value(order[at]));
    free(order);
    json_decref(devices);
    pelion->tables[PELION_DEVICES] = sorted;
}

bool pelion_tables_load(struct web *web, char *error, size_t error_size) {
    if (!store_load_documents(web->server->store, on_document, web, error, error_size))
        return false;
    if (web->pelion != NULL) {
        sort_devices(web->pelion);
        pelion_count_devices(web->pelion);
        pelion_rollouts_load(web->pelion);
    }
    return web->pelion == NULL || pelion_trust(web->pelion, error, error_size);
}

static enum store_result write_item(const struct pelion *pelion, enum pelion_table table, const char *id,
                                    const json_t *item, store_done_fn *done, void *arg) {
    char *text = item == NULL ? NULL : json_dumps(item, JSON_COMPACT);
    const struct store_document document = {
        .kind = table, .id = slice_str(id), .text = text == NULL ? SLICE_NONE : slice_str(text)};
    enum store_result result = item != NULL && text == NULL
                                   ? STORE_QUEUE_FULL
                                   : store_put_document(pelion->web->server->store, &document, done, arg);
    free(text);
    return result;
}

void pelion_keep(struct pelion *pelion, enum pelion_table table, const char *id, json_t *item) {
    if (item != json_object_get(pelion->tables[table], id))
        json_object_set_new(pelion->tables[table], id, item);
    write_item(pelion, table, id, item, NULL, NULL);
}

void pelion_keep_then(struct pelion *pelion, enum pelion_table table, const char *id, json_t *item, store_done_fn *done,
                      void *arg) {
    json_object_set_new(pelion->tables[table], id, item);
    enum store_result result = write_item(pelion, table, id, item, done, arg);
    if (result != STORE_OK)
        done(arg, result);
}

void pelion_forget(struct pelion *pelion, enum pelion_table table, const char *id) {
    write_item(pelion, table, id, NULL, NULL, NULL);
    json_object_del(pelion->tables[table], id);
}

/* ---- for a request ---- */

/* A change that waits for its commit. */
struct saving {
    struct pelion *pelion;
    struct http_request *request;
    enum pelion_table table;
    unsigned status;
    json_t *before, *after; /* NULL: there was none, there is none */
    json_t *answer;         /* NULL: there is no body */
    char id[PELION_ITEM_ID_MAX + 1];
};

/* Unless it was changed meanwhile. */
static void take_back(struct saving *s) {
    json_t *items = s->pelion->tables[s->table];
    if (json_object_get(items, s->id) != s->after)
        return;
    if (s->before == NULL)
        json_object_del(items, s->id);
    else
        json_object_set(items, s->id, s->before);
    if (s->table == PELION_DEVICES)
        pelion_count_devices(s->pelion);
}

static void on_saved(void *arg, enum store_result result) {
    struct saving *s = arg;
    if (result != STORE_OK) {
        take_back(s);
        json_decref(s->answer);
        pelion_send_error(s->request, 503, "The database could not be written. Try again later.");
    } else if (s->answer == NULL) {
        pelion_send_text(s->request, s->status, "");
    } else {
        pelion_send_json(s->request, s->status, s->answer);
    }
    json_decref(s->before);
    json_decref(s->after);
    free(s);
}

static void save(struct pelion *pelion, struct http_request *request, enum pelion_table table, const char *id,
                 json_t *item, unsigned status, json_t *answer) {
    struct saving *s = calloc(1, sizeof *s);
    json_t *items = pelion->tables[table];
    if (s == NULL) {
        json_decref(item);
        json_decref(answer);
        pelion_send_error(request, 503, "The server is out of memory.");
        return;
    }
    *s = (struct saving){.pelion = pelion,
                         .request = request,
                         .table = table,
                         .status = status,
                         .before = json_incref(json_object_get(items, id)),
                         .after = item,
                         .answer = answer};
    snprintf(s->id, sizeof s->id, "%s", id);
    if (item == NULL)
        json_object_del(items, id);
    else
        json_object_set(items, id, item);
    enum store_result result = write_item(pelion, table, id, item, on_saved, s);
    if (result != STORE_OK)
        on_saved(s, result);
}

void pelion_keep_and_answer(struct pelion *pelion, struct http_request *request, enum pelion_table table,
                            const char *id, json_t *item, unsigned status, json_t *answer) {
    save(pelion, request, table, id, item, status, answer);
}

void pelion_forget_and_answer(struct pelion *pelion, struct http_request *request, enum pelion_table table,
                              const char *id) {
    save(pelion, request, table, id, NULL, 204, NULL);
}

json_t *pelion_find(const struct call *call, enum pelion_table table, char id[PELION_ITEM_ID_MAX + 1]) {
    json_t *item = pelion_item(call->web->pelion, table, call->args[0]);
    if (item == NULL) {
        pelion_send_error(call->request, 404, "There is no such thing.");
        return NULL;
    }
    memcpy(id, call->args[0].data, call->args[0].len);
    id[call->args[0].len] = '\0';
    return item;
}
