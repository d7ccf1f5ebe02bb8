#include "server/objects.h"

#include <stdlib.h>

#include "common/lwm2m/object_xml.h"

static struct slice version_slice(uint16_t version, char text[CATALOGUE_VERSION_TEXT_MAX]) {
    return slice_str(catalogue_version_text(version, text));
}

/* ---- loading ---- */

/* The definition in a row, or NULL and why not. */
static struct catalogue_definition *definition_of(const struct store_object *row, struct object_xml_error *why) {
    struct catalogue_definition *definition = object_xml_parse(row->xml, why);
    char version[CATALOGUE_VERSION_TEXT_MAX];
    if (definition == NULL || (object_xml_id(definition) == row->id && object_xml_next(definition) == NULL &&
                               slice_equal(version_slice(object_xml_version(definition), version), row->version)))
        return definition;
    *why = (struct object_xml_error){.text = "its XML defines something else"};
    for (struct catalogue_definition *next; definition != NULL; definition = next) {
        next = object_xml_next(definition);
        object_xml_free(definition);
    }
    return NULL;
}

static void load(void *arg, const struct store_object *row) {
    struct server *server = arg;
    struct object_xml_error why = {.text = "there are too many"};
    struct catalogue_definition *definition = definition_of(row, &why);
    if (definition != NULL && catalogue_reserve(server->catalogue, definition)) {
        catalogue_put(server->catalogue, definition, CATALOGUE_STORED);
        return;
    }
    if (definition != NULL)
        object_xml_free(definition);
    log_write(LOG_WARN, "server", "the stored definition of object %u %.*s is left out: %s", row->id,
              (int)row->version.len, (const char *)row->version.data, why.text);
}

bool objects_load(struct server *server, char *error, size_t error_size) {
    return store_load_objects(server->store, load, server, error, error_size);
}

/* ---- verbs ---- */

struct pending {
    struct server *server;
    store_done_fn *done;
    void *arg;
    struct catalogue_definition *definition; /* to put; NULL: to delete what follows */
    uint16_t object_id, version;
};

static void on_put(void *arg, enum store_result result) {
    struct pending *pending = arg;
    struct catalogue *catalogue = pending->server->catalogue;
    if (result == STORE_OK) {
        catalogue_put(catalogue, pending->definition, CATALOGUE_STORED);
    } else {
        catalogue_unreserve(catalogue, pending->definition);
        object_xml_free(pending->definition);
    }
    pending->done(pending->arg, result);
    free(pending);
}

static void on_deleted(void *arg, enum store_result result) {
    struct pending *pending = arg;
    if (result == STORE_OK)
        catalogue_remove(pending->server->catalogue, pending->object_id, pending->version, CATALOGUE_STORED);
    pending->done(pending->arg, result);
    free(pending);
}

bool objects_put(struct server *server, struct catalogue_definition *definition, struct slice xml, store_done_fn *done,
                 void *arg) {
    char version[CATALOGUE_VERSION_TEXT_MAX];
    struct pending *pending = malloc(sizeof *pending);
    if (pending == NULL || !catalogue_reserve(server->catalogue, definition)) {
        free(pending);
        object_xml_free(definition);
        return false;
    }
    *pending = (struct pending){.server = server, .done = done, .arg = arg, .definition = definition};
    struct store_object row = {
        .id = object_xml_id(definition), .version = version_slice(object_xml_version(definition), version), .xml = xml};
    enum store_result result = store_put_object(server->store, &row, on_put, pending);
    if (result != STORE_OK)
        on_put(pending, result);
    return true;
}

bool objects_delete(struct server *server, uint16_t object_id, uint16_t version, store_done_fn *done, void *arg) {
    char text[CATALOGUE_VERSION_TEXT_MAX];
    if (!catalogue_has(server->catalogue, object_id, version, CATALOGUE_STORED))
        return false;
    struct pending *pending = malloc(sizeof *pending);
    if (pending == NULL) {
        done(arg, STORE_IO);
        return true;
    }
    *pending = (struct pending){.server = server, .done = done, .arg = arg, .object_id = object_id, .version = version};
    enum store_result result =
        store_delete_object(server->store, object_id, version_slice(version, text), on_deleted, pending);
    if (result != STORE_OK)
        on_deleted(pending, result);
    return true;
}
