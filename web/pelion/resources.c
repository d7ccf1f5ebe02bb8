/* The resources of devices that have registered instances only: found by Discover when somebody wants to know them, and
 * remembered as long as the registration says the same. */
#include <stdlib.h>

#include "common/lwm2m/link_format.h"
#include "server/awake.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum {
    KNOWN_MAX = 1000,     /* devices */
    DISCOVERIES_MAX = 64, /* under way */
    INSTANCES_MAX = 64,   /* of a device */
    RESOURCES_MAX = 2000, /* of a device */
    PATIENCE_MS = 10000,  /* of a list that waits for it */
    TARGET_MAX = 1200,
};

/* Found, or being looked for: then `inner` or `go` is there. */
struct pelion_resources {
    TAILQ_ENTRY(pelion_resources) entry; /* oldest first */
    struct pelion_resources *next;       /* of the bucket */
    struct pelion *pelion;
    char device[33];
    uint64_t registration;
    size_t links_len; /* of the registration's list: it is another one when it has changed */
    uint64_t links_hash;
    struct inner *inner;
    struct timer go; /* the next step */
    bool is_whole;
    unsigned at; /* the instance that is asked for */
    unsigned instance_count;
    struct lwm2m_path instances[INSTANCES_MAX];
    struct pelion_listing *waiting;
    uint32_t count, cap;
    struct lwm2m_path *paths;
};

/* Somebody who waits for it. */
struct pelion_listing {
    struct pelion_listing *next;
    struct pelion_resources *resources;
    struct http_request *request;
    struct timer patience;
    pelion_listed_fn *listed;
};

/* FNV-1a: it need not resist anybody, since a device can only mislead about itself. */
static uint64_t hash_of(struct slice text) {
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ text.data[i]) * 0x100000001b3;
    return hash;
}

/* ---- the instances of a registration ---- */

static bool has_resources(const struct registration *r, const struct lwm2m_path *instance) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path path;
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link)) {
        if (lwm2m_path_parse(link.target, &path, NULL) && path.len > 2 && lwm2m_path_contains(instance, &path))
            return true;
    }
    return false;
}

/* Those of which nothing more is known; what is nobody's business is left out. Returns how many there are. */
static unsigned bare_instances(const struct registration *r, struct lwm2m_path instances[INSTANCES_MAX]) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path path;
    unsigned count = 0;
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link) && count < INSTANCES_MAX) {
        bool is_bare = lwm2m_path_parse(link.target, &path, NULL) && path.len == 2 && path.ids[0] != 0 &&
                       path.ids[0] != 21 && path.ids[0] != 23 && !has_resources(r, &path);
        if (is_bare)
            instances[count++] = path;
    }
    return count;
}

/* ---- what is known ---- */

static struct pelion_resources **link_of(struct pelion *pelion, const char *device) {
    struct pelion_resources **link = &pelion->resources[pelion_bucket(device)];
    while (*link != NULL && strcmp((*link)->device, device) != 0)
        link = &(*link)->next;
    return link;
}

static bool is_of(const struct pelion_resources *resources, const struct registration *r) {
    struct slice links = registration_links(r);
    return resources->registration == r->id && resources->links_len == links.len &&
           resources->links_hash == hash_of(links);
}

static struct pelion_resources *find(struct pelion *pelion, const struct registration *r) {
    struct device_id id = device_id_of(registration_endpoint(r));
    struct pelion_resources *resources = *link_of(pelion, id.hex);
    return resources != NULL && is_of(resources, r) ? resources : NULL;
}

size_t pelion_resources_of(struct pelion *pelion, const struct registration *r, const struct lwm2m_path *instance,
                           const struct lwm2m_path **paths) {
    const struct pelion_resources *resources = find(pelion, r);
    size_t first = 0, count = 0;
    if (resources == NULL || !resources->is_whole)
        return 0;
    while (first < resources->count && !lwm2m_path_contains(instance, &resources->paths[first]))
        first++;
    while (first + count < resources->count && lwm2m_path_contains(instance, &resources->paths[first + count]))
        count++;
    if (count > 0) /* there is an array, then */
        *paths = resources->paths + first;
    return count;
}

/* ---- waiting ---- */

static struct http_request *listing_end(struct pelion_listing *listing) {
    struct pelion_listing **link = &listing->resources->waiting;
    struct http_request *request = listing->request;
    timer_cancel(&listing->resources->pelion->web->server->wheel, &listing->patience);
    while (*link != listing)
        link = &(*link)->next;
    *link = listing->next;
    request->gone = NULL;
    free(listing);
    return request;
}

static void answer(struct pelion_listing *listing) {
    struct pelion *pelion = listing->resources->pelion;
    pelion_listed_fn *listed = listing->listed;
    char device[33];
    memcpy(device, listing->resources->device, sizeof device);
    listed(pelion, listing_end(listing), slice_str(device));
}

static void on_impatient(struct timer *timer, void *arg) {
    (void)arg;
    answer(TIMER_OWNER(timer, struct pelion_listing, patience));
}

static void on_gone(struct http_request *request) {
    listing_end(request->arg);
}

static bool wait_for(struct pelion_resources *resources, struct http_request *request, pelion_listed_fn *listed) {
    struct server *server = resources->pelion->web->server;
    struct pelion_listing *listing = calloc(1, sizeof *listing);
    if (listing == NULL)
        return false;
    *listing = (struct pelion_listing){
        .resources = resources, .request = request, .listed = listed, .next = resources->waiting};
    resources->waiting = listing;
    request->arg = listing;
    request->gone = on_gone;
    timer_schedule(&server->wheel, &listing->patience, clock_now_ms(&server->clock) + PATIENCE_MS, on_impatient);
    return true;
}

/* ---- looking for them ---- */

static void resources_free(struct pelion_resources *resources) {
    struct pelion *pelion = resources->pelion;
    *link_of(pelion, resources->device) = resources->next;
    TAILQ_REMOVE(&pelion->known, resources, entry);
    pelion->known_count--;
    pelion->discoveries -= !resources->is_whole;
    timer_cancel(&pelion->web->server->wheel, &resources->go);
    if (resources->inner != NULL)
        inner_cancel(resources->inner);
    while (resources->waiting != NULL)
        answer(resources->waiting);
    free(resources->paths);
    free(resources);
}

static bool add_path(struct pelion_resources *resources, const struct lwm2m_path *path) {
    if (resources->count == resources->cap) {
        uint32_t cap = resources->cap == 0 ? 32 : 2 * resources->cap;
        struct lwm2m_path *grown =
            resources->count >= RESOURCES_MAX ? NULL : realloc(resources->paths, cap * sizeof *grown);
        if (grown == NULL)
            return false;
        resources->paths = grown;
        resources->cap = cap;
    }
    resources->paths[resources->count++] = *path;
    return true;
}

static void take_links(struct pelion_resources *resources, const json_t *links) {
    const struct lwm2m_path *instance = &resources->instances[resources->at];
    const json_t *link;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)links, i, link) {
        struct lwm2m_path path;
        if (lwm2m_path_parse(document_string(json_object_get(link, "path")), &path, NULL) && path.len == 3 &&
            lwm2m_path_contains(instance, &path) && !add_path(resources, &path))
            return;
    }
}

static void finish(struct pelion_resources *resources) {
    struct pelion *pelion = resources->pelion;
    struct registration *r = pelion_registration(pelion, slice_str(resources->device));
    resources->is_whole = true;
    pelion->discoveries--;
    while (resources->waiting != NULL)
        answer(resources->waiting);
    for (struct pelion_app *app = pelion->apps; r != NULL && app != NULL; app = app->next)
        pelion_presubscribe(app, r);
}

static void on_go(struct timer *timer, void *arg);

/* A device that says no to one instance says something of the next. */
static void on_answered(void *arg, const struct http_response *response) {
    struct pelion_resources *resources = arg;
    struct server *server = resources->pelion->web->server;
    resources->inner = NULL;
    json_t *document = json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
    bool is_answer = response->status == 200 || json_object_get(document, "coap_code") != NULL;
    if (response->status == 200)
        take_links(resources, json_object_get(document, "links"));
    json_decref(document);
    resources->at = is_answer ? resources->at + 1 : UINT32_MAX;
    timer_schedule(&server->wheel, &resources->go, clock_now_ms(&server->clock), on_go);
}

static void ask(struct pelion_resources *resources, const struct registration *r) {
    uint8_t memory[TARGET_MAX];
    struct buffer target = buffer_over(memory, sizeof memory);
    pelion_put_target(&target, registration_endpoint(r), &resources->instances[resources->at], "/discover");
    struct inner *inner = inner_start(
        resources->pelion->web,
        &(struct inner_request){.method = "GET", .path = buffer_slice(&target), .accept = "application/json"},
        on_answered, resources);
    if (inner != NULL)
        resources->inner = inner;
}

static void on_go(struct timer *timer, void *arg) {
    struct pelion_resources *resources = TIMER_OWNER(timer, struct pelion_resources, go);
    const struct registration *r = pelion_registration(resources->pelion, slice_str(resources->device));
    (void)arg;
    if (r == NULL || !is_of(resources, r) || resources->at == UINT32_MAX)
        resources_free(resources); /* it is to be looked for anew when somebody asks */
    else if (resources->at == resources->instance_count)
        finish(resources);
    else
        ask(resources, r);
}

/* NULL: there is no memory, or enough is under way. */
static struct pelion_resources *begin(struct pelion *pelion, const struct registration *r) {
    struct device_id id = device_id_of(registration_endpoint(r));
    struct pelion_resources **link = link_of(pelion, id.hex);
    if (*link != NULL) /* of an earlier registration, or list */
        resources_free(*link);
    struct pelion_resources *oldest = TAILQ_FIRST(&pelion->known);
    if (pelion->known_count >= KNOWN_MAX && oldest->is_whole)
        resources_free(oldest);
    struct pelion_resources *resources = pelion->discoveries < DISCOVERIES_MAX ? calloc(1, sizeof *resources) : NULL;
    if (resources == NULL)
        return NULL;
    resources->pelion = pelion;
    memcpy(resources->device, id.hex, sizeof resources->device);
    resources->registration = r->id;
    resources->links_len = registration_links(r).len;
    resources->links_hash = hash_of(registration_links(r));
    resources->instance_count = bare_instances(r, resources->instances);
    link = link_of(pelion, id.hex);
    *link = resources;
    TAILQ_INSERT_TAIL(&pelion->known, resources, entry);
    pelion->known_count++;
    pelion->discoveries++;
    timer_schedule(&pelion->web->server->wheel, &resources->go, clock_now_ms(&pelion->web->server->clock), on_go);
    return resources;
}

/* Those that are being looked for; NULL when there is nothing to look for, or to wait for. */
static struct pelion_resources *look_for(struct pelion *pelion, const struct registration *r) {
    struct lwm2m_path instances[INSTANCES_MAX];
    struct pelion_resources *resources = find(pelion, r);
    if (resources != NULL)
        return resources->is_whole ? NULL : resources;
    if ((r->queue_mode && !awake_is(r)) || bare_instances(r, instances) == 0)
        return NULL;
    return begin(pelion, r);
}

void pelion_resources_want(struct pelion *pelion, const struct registration *r) {
    look_for(pelion, r);
}

void pelion_resources_list(struct pelion *pelion, const struct registration *r, struct http_request *request,
                           pelion_listed_fn *listed) {
    struct pelion_resources *resources = look_for(pelion, r);
    struct device_id id = device_id_of(registration_endpoint(r));
    if (resources == NULL || !wait_for(resources, request, listed))
        listed(pelion, request, slice_str(id.hex));
}

void pelion_resources_end(struct pelion *pelion) {
    struct pelion_resources *resources;
    while ((resources = TAILQ_FIRST(&pelion->known)) != NULL)
        resources_free(resources);
}
