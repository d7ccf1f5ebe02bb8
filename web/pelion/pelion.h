/* The Device Management facade (docs/pelion-api.md): the calls under /v2 and /v3 that client code of Pelion and Izuma
 * sends, over what /v1 does. Its routes are a table of their own.
 *
 * An API key is an application: it has a channel, by which it is told what happens, and subscriptions. What is kept of a
 * key is a hash of it. Nothing of this exists before the first call, unless pre-subscriptions were stored. */
#ifndef BERTH_WEB_PELION_PELION_H
#define BERTH_WEB_PELION_PELION_H

#include <jansson.h>
#include <sys/queue.h>

#include "server/observation.h"
#include "web/inner.h"
#include "web/route.h"
#include "web/web.h"

enum {
    PELION_APPS_MAX = 2000,
    PELION_APP_BUCKETS = 256,                 /* of a hash table */
    PELION_KEYS_MAX = 1024,                   /* made here, and those that were deleted */
    PELION_QUEUE_BYTES_MAX = 8 * 1024 * 1024, /* of a channel; the oldest messages go first */
    PELION_EARLY_BYTES_MAX = 64 * 1024,       /* of what comes before there is a channel … */
    PELION_EARLY_MS = 10000,                  /* … and how soon before it */
    PELION_PULL_MS = 30000,
    PELION_REQUESTS_MAX = 10000,        /* under way, of all devices … */
    PELION_REQUESTS_OF_DEVICE_MAX = 20, /* … and of one */
    PELION_LINES = 1024,                /* buckets of a hash table */
    PELION_SUBSCRIPTIONS_MAX = 10000,   /* in all */
    PELION_PRESUBSCRIPTIONS_MAX = 1024, /* of an application */
    PELION_IDS_SPARE = 10000,           /* devices that are registered no more, and still known by their ids */
    PELION_ASYNC_ID_MAX = 40,
    PELION_STYLE_MAX = 1024, /* bytes of what an application says about serialization */
    PELION_KEY_LEN = 32,     /* hexadecimal digits of a hash of the API key */
    PELION_ID_LEN = 32,      /* hexadecimal digits of an id that is made here */
    PELION_ITEM_ID_MAX = 64,
    PELION_FILTER_MAX = 1024,
    PELION_WHY_MAX = 192,
    PELION_DEVICES_SET_MAX = 10000, /* devices of which something was put, or that were made by a call */
    PELION_ATTRIBUTES_MAX = 5,      /* custom attributes of a device */
    PELION_CERTIFICATES_MAX = 200,
    PELION_ENROLLMENTS_MAX = 10000,
    PELION_GROUPS_MAX = 200,
    PELION_MANIFESTS_MAX = 1000,
    PELION_MANIFEST_MAX = 16384, /* bytes */
    PELION_CAMPAIGNS_MAX = 1000,
    PELION_CAMPAIGN_DEVICES_MAX = 20000, /* of all campaigns */
    PELION_APPLICATIONS_MAX = 200,
    PELION_EVENTS_MAX = 5000, /* device events; the oldest go first */
};
#define PELION_ACCOUNT "00000000000000000000000000000001"

/* What is kept, each kind by ids; the numbers are in the database. */
enum pelion_table {
    PELION_DEVICES,      /* that are known: {endpoint_name, created_at …}; directory.c says what else */
    PELION_EVENTS,       /* of devices */
    PELION_CERTIFICATES, /* trusted ones and developer's */
    PELION_ENROLLMENTS,
    PELION_GROUPS,    /* of policies */
    PELION_IMAGES,    /* firmware */
    PELION_MANIFESTS, /* of firmware */
    PELION_CAMPAIGNS,
    PELION_CAMPAIGN_DEVICES,
    PELION_APPLICATIONS, /* as later clients have them: access keys belong to one */
    PELION_SINGLES,      /* subscriptions of single paths */
    PELION_TABLE_COUNT,
};

enum pelion_kind {
    PELION_REGISTRATIONS,
    PELION_UPDATES,
    PELION_DEREGISTRATIONS,
    PELION_EXPIRED,
    PELION_NOTIFICATIONS,
    PELION_RESPONSES,
    PELION_KIND_COUNT,
};

enum pelion_channel { PELION_NO_CHANNEL, PELION_PULL, PELION_SOCKET, PELION_CALLBACK };

/* A message that waits in a channel. */
struct pelion_message {
    STAILQ_ENTRY(pelion_message) entry;
    enum pelion_kind kind;
    uint64_t ts_ms; /* when it was put there */
    size_t size;
    json_t *json;
};

struct pelion_socket;
struct pelion_callback;

/* How messages are written, as an application has asked for. */
struct pelion_style {
    uint64_t chunk; /* entries in a message; 0: as many as there are */
    bool has_uid, has_timestamp, has_endpoint, deregistrations_as_object;
};

struct pelion_app {
    struct pelion_app *next;
    struct pelion_app *bucket_next;
    struct pelion *pelion;
    char key[PELION_KEY_LEN + 1];
    enum pelion_channel channel;
    STAILQ_HEAD(, pelion_message) queue;
    size_t queue_bytes;
    uint64_t dropped;                         /* messages for which there was no room, and which nobody was told of */
    struct http_request *poll;                /* held until there is a message; NULL: none */
    struct pelion_socket *socket;             /* NULL: none is open */
    struct pelion_callback *callback, *trial; /* in use; being tried. NULL: none */
    struct pelion_style style;
    json_t *serialization; /* the words for that; NULL: none */
    struct timer poll_end; /* its time-out */
    bool poll_late;
    json_t *presubscriptions; /* as they were put */
};

/* A path of a device that an application is told of. */
struct pelion_subscription {
    struct pelion_subscription *next;
    struct pelion_app *app;
    struct inner *inner; /* while it is begun */
    char device[33];
    char async_id[PELION_ASYNC_ID_MAX + 1]; /* of the answer; "": none is given */
    struct lwm2m_path path;
    uint64_t observation;           /* 0: not known (yet); then any of that path is it */
    bool is_pre;                    /* made by a pre-subscription */
    bool is_loaded;                 /* of an earlier run, and perhaps not begun */
    char stored[PELION_ID_LEN + 1]; /* its id in the store; "": it is not there */
};

struct pelion_line;
struct pelion_resources;

/* What an event leaves to be done when the loop goes on: events tell of it in the midst of other things. */
struct pelion_task {
    STAILQ_ENTRY(pelion_task) entry;
    enum event_type type;
    uint64_t number; /* of the observation, or the queued request */
    bool is_new;     /* a registration that begins anew; a notification that answers */
    size_t endpoint_len;
    uint8_t endpoint[];
};

struct pelion {
    struct web *web;
    struct event_subscriber *subscriber;
    uv_idle_t idle; /* runs while there are tasks */
    STAILQ_HEAD(, pelion_task) tasks;
    json_t *keys;                       /* made here, by their ids: {name, hash, created_at, is_deleted} */
    json_t *tables[PELION_TABLE_COUNT]; /* in the order in which what is in them was made */
    struct pelion_rollout *rollouts;    /* campaigns that go on */
    unsigned identifying;               /* devices that are being asked for vendor and class */
    json_t *updating;                   /* devices of them that are not over: their documents' ids by device id */
    struct pelion_asking *askings;      /* calls of /v1 from within */
    uint32_t ids_made;
    size_t devices_set; /* how many of the devices have is_set */
    struct pelion_app *apps;
    struct pelion_app *app_buckets[PELION_APP_BUCKETS]; /* by their keys */
    unsigned app_count;
    struct pelion_line *lines[PELION_LINES]; /* of devices of which something is asked */
    unsigned request_count;
    struct pelion_resources *resources[PELION_LINES]; /* of devices that have registered instances only */
    TAILQ_HEAD(pelion_known, pelion_resources) known;
    unsigned known_count, discoveries;
    struct pelion_subscription *subscriptions;
    unsigned subscription_count;
    bool is_loading; /* pre-subscriptions find what they had begun, and begin nothing */
};

/* ---- state ---- */

/* After the devices are loaded: take up what was stored. False: one line in `error`. */
bool pelion_start(struct web *web, char *error, size_t error_size);

/* It is web->pelion then. NULL when out of memory. */
struct pelion *pelion_new(struct web *web);

/* Ahead of inner_end_all. */
void pelion_stop(struct web *web);

/* Whether a path is the facade's. */
bool pelion_has(const struct route_path *path);

/* Answer a request. `memory` has what is in `path`, and room for the query. */
void pelion_handle(struct call *call, struct route_path *path, struct buffer *memory);

/* The head of a request with a body has come: http_options.begin. */
void pelion_begin(struct call *call, struct route_path *path);

extern const struct route_table pelion_routes;

/* That of the key that came with a request; NULL: the request is answered. */
struct pelion_app *pelion_app_of(const struct call *call);

/* By the hash of its key, which has been stored; NULL: it is none, or there are too many. */
struct pelion_app *pelion_app_stored(struct pelion *pelion, const char *key);
/* By the hash of its key; NULL: nobody has used it. */
struct pelion_app *pelion_app_find(const struct pelion *pelion, struct slice key);

/* The endpoint name of a device id; "" when it is not known. Valid until the loop goes on. */
struct slice pelion_endpoint(const struct pelion *pelion, struct slice id);

/* The registration of a device id, NULL: none. */
struct registration *pelion_registration(const struct pelion *pelion, struct slice id);

/* Whether a key was made here and is good; *is_known: it was made here, and may be deleted now. */
bool pelion_key_is_good(const struct pelion *pelion, const char *hash, bool *is_known);
/* What is kept of a key: PELION_KEY_LEN digits, and a NUL. */
void pelion_put_hash(struct slice key, char hash[PELION_KEY_LEN + 1]);
/* Its key is no more: all that it has ends. */
void pelion_app_end(struct pelion_app *app);

/* Commit keys and pre-subscriptions; `done` is called once. */
void pelion_store(struct pelion *pelion, store_done_fn *done, void *arg);

/* Commit all that is stored, and answer a request with 204. */
void pelion_store_and_answer(struct pelion *pelion, struct http_request *request);
/* Likewise, with `json`, which is given up. */
void pelion_store_and_send(struct pelion *pelion, struct http_request *request, unsigned status, json_t *json);

/* ---- answers ---- */

/* `json` is given up. */
void pelion_send_json(struct http_request *request, unsigned status, json_t *json);
/* Text without quotes, as the calls of /v2 have it for errors; "": no body. */
void pelion_send_text(struct http_request *request, unsigned status, const char *text);
/* The error document of /v3. */
void pelion_send_error(struct http_request *request, unsigned status, const char *message);
/* The id of an answer that is to come: a UUID. */
void pelion_put_id(char id[PELION_ASYNC_ID_MAX + 1]);
/* 202, and the id. */
void pelion_send_id(struct http_request *request, const char *id);

/* Likewise, 400: this field is wrong, and why. */
void pelion_send_invalid(struct http_request *request, const char *field, const char *message);

/* ---- what is kept ---- */

/* NULL when out of memory. */
json_t *pelion_tables_new(struct pelion *pelion);
void pelion_tables_free(struct pelion *pelion);
/* False: one line in `error`. */
bool pelion_tables_load(struct web *web, char *error, size_t error_size);

/* An id that nothing has. */
void pelion_make_id(struct pelion *pelion, char id[PELION_ID_LEN + 1]);

/* NULL: there is none. It is the table's. */
json_t *pelion_item(const struct pelion *pelion, enum pelion_table table, struct slice id);
/* That of the first argument of a call; NULL: the request is answered, 404. */
json_t *pelion_find(const struct call *call, enum pelion_table table, char id[PELION_ITEM_ID_MAX + 1]);

/* Put, or write again what was changed in place, without awaiting the commit; `item` is given up. */
void pelion_keep(struct pelion *pelion, enum pelion_table table, const char *id, json_t *item);
void pelion_forget(struct pelion *pelion, enum pelion_table table, const char *id);
/* Put, and have `done` called once when it is committed, or can't be. */
void pelion_keep_then(struct pelion *pelion, enum pelion_table table, const char *id, json_t *item, store_done_fn *done,
                      void *arg);

/* Put or delete, and answer when it is committed; the change is undone when it can't be. `item` and `answer` are given
 * up; an item that is changed is a copy. */
void pelion_keep_and_answer(struct pelion *pelion, struct http_request *request, enum pelion_table table,
                            const char *id, json_t *item, unsigned status, json_t *answer);
void pelion_forget_and_answer(struct pelion *pelion, struct http_request *request, enum pelion_table table,
                              const char *id);

/* ---- calls of /v1 ---- */

/* `done` is called once, perhaps at once: with the status and JSON of the answer (NULL: it has none), or 0 when the facade
 * stops. */
typedef void pelion_answer_fn(void *arg, unsigned status, const json_t *body);
void pelion_ask(struct pelion *pelion, const struct inner_request *request, pelion_answer_fn *done, void *arg);
void pelion_askings_end(struct pelion *pelion);

/* ---- lists ---- */

/* A list of /v3, which has pages and can be filtered. */
struct pelion_list {
    const json_t *items; /* by id */
    /* What is told of an item; NULL: nothing, it is not in this list. */
    json_t *(*show)(const struct call *call, const char *id, const json_t *item);
    const char *fields; /* by which it can be filtered: words */
};
void pelion_send_list(const struct call *call, const struct pelion_list *list);

/* "state__eq=registered&…" into `filter`, whose slices are in `memory`. False: why. */
bool pelion_read_filter(struct slice text, const char *fields, struct buffer *memory, struct query *filter,
                        char why[PELION_WHY_MAX]);
/* "2030-01-01T00:00:00.5Z", of which the time may be cut. False: it is no time. */
bool pelion_parse_time(struct slice text, uint64_t *unix_ms);
/* Whether what is told of an item fulfils all conditions. */
bool pelion_meets(const json_t *shown, const struct query *filter);

/* A field of a body: what it must be. */
struct pelion_field {
    const char *name; /* NULL ends a list */
    enum { PELION_TEXT, PELION_BOOLEAN, PELION_NUMBER, PELION_ATTRIBUTES, PELION_ANY } type;
    size_t max;       /* bytes of a text */
    bool is_required; /* and not empty */
};
/* Take the fields of the request's body that are listed, others are passed over; null ones stay null. NULL: the request is
 * answered. */
json_t *pelion_read_body(const struct call *call, const struct pelion_field *fields);

/* ---- messages ---- */

/* Put into the channel, if there is one; `json` is given up. */
void pelion_tell(struct pelion_app *app, enum pelion_kind kind, json_t *json);
void pelion_tell_all(struct pelion *pelion, enum pelion_kind kind, json_t *json);
/* {payload, ct, max-age} into `json`. */
void pelion_set_payload(json_t *json, struct slice payload, const char *type);
/* The answer to what was asked for with `async_id`. */
void pelion_tell_response(struct pelion_app *app, const char *async_id, const struct http_response *response);
/* That there will be none. */
void pelion_tell_failure(struct pelion_app *app, const char *async_id, int status, const char *error);
/* The next message for a socket or callback, entries of one kind, of about `max_bytes`; NULL: there is none. */
json_t *pelion_take_some(struct pelion_app *app, size_t max_bytes);

/* A message for its channel is lost, which is told. */
void pelion_lose(struct pelion_app *app);
#define PELION_STYLE_FAULT \
    "serialization must be an object {type: v2, max_chunk_size: 100 to 10000, cfg: an object of truths}."
/* Whether `serialization` may be what an application says about it; NULL is good. */
bool pelion_style_is_good(const json_t *serialization);
void pelion_set_style(struct pelion_app *app, json_t *serialization);
/* There is a channel of that kind now. It is told what came just before: client code that begins a poll and asks something
 * does not know which of the two arrives first. */
void pelion_open_channel(struct pelion_app *app, enum pelion_channel channel);
/* Close the channel: what waits in it is lost. */
void pelion_close_channel(struct pelion_app *app);

/* ---- sockets ---- */

/* There is something to send. */
void pelion_socket_wake(struct pelion_socket *socket);
/* End it with this status code (RFC 6455 §7.4). */
void pelion_socket_close(struct pelion_socket *socket, unsigned code);

/* Close those of all applications: the server ends. */
void pelion_sockets_end(struct web *web);

/* ---- callbacks ---- */

/* There is something to send. */
void pelion_callback_wake(struct pelion_callback *callback);
/* End what an application has of them. */
void pelion_callback_end(struct pelion_app *app);
/* As it is stored, sealed; NULL when it can't be. */
json_t *pelion_callback_sealed(const struct pelion_app *app);
void pelion_callback_open(struct pelion_app *app, const json_t *stored);

/* ---- devices ---- */

/* As client code parses it: the fraction must be there. */
json_t *pelion_time_json(uint64_t unix_ms);

/* The endpoint type that the device told (`et`), "default" when it did not. */
json_t *pelion_type_json(const struct registration *r);

/* Of a number of an item; null when it is not there. */
json_t *pelion_item_time(const json_t *item, const char *name);

/* By which lists of devices, and campaigns, can be filtered. */
extern const char pelion_device_fields[];
json_t *pelion_device_json(const struct web *web, const char *id, const json_t *item);

/* There is such a device: at `now_ms` when it is new. True when it is. */
bool pelion_know(struct pelion *pelion, struct slice endpoint, uint64_t now_ms);
/* What is in a table of devices, read at the start. */
void pelion_count_devices(struct pelion *pelion);
/* Of an event of its registration or bootstrap. */
void pelion_device_changed(struct pelion *pelion, const struct event *event);

/* Ask a device with object 10255 once for its vendor and class. */
void pelion_identify(struct pelion *pelion, struct slice endpoint);

/* Devices come and go: those that are gone are forgotten when they are too many. */
void pelion_forget_strangers(struct pelion *pelion);

/* "registered", "deregistered", "bootstrapped" …, and what else has changed (NULL: nothing); given up. */
void pelion_add_event(struct pelion *pelion, const char *device, const char *type, const char *description,
                      bool is_state_change, json_t *changes);

/* As the registration message has it. */
json_t *pelion_registration_json(struct pelion *pelion, const struct registration *r);

/* Of a hash table of PELION_LINES, by a device id. */
unsigned pelion_bucket(const char *device);

/* ---- resources of instances that were registered as such ---- */

/* Those that are known of one; how many. Valid until the loop goes on. */
size_t pelion_resources_of(struct pelion *pelion, const struct registration *r, const struct lwm2m_path *instance,
                           const struct lwm2m_path **paths);

/* Answer `request` with `listed` when they are known, or that has taken too long, at once when there is nothing to look for. */
typedef void pelion_listed_fn(struct pelion *pelion, struct http_request *request, struct slice device);
void pelion_resources_list(struct pelion *pelion, const struct registration *r, struct http_request *request,
                           pelion_listed_fn *listed);

/* Look for them; then pre-subscriptions are applied again. */
void pelion_resources_want(struct pelion *pelion, const struct registration *r);
void pelion_resources_end(struct pelion *pelion);

/* Whether there may be such a resource: it, or what it lies in, or something in it, is in the registration. */
bool pelion_has_path(const struct registration *r, const struct lwm2m_path *path);

/* The path behind the device id of a route. False: it is none. */
bool pelion_read_path(const struct call *call, struct lwm2m_path *path);

/* As client code is told a value: as text, or the bytes of an Opaque. False when it has no text. */
bool pelion_put_value(struct buffer *out, const struct lwm2m_value *value, const char **type);
/* Of a content format. */
const char *pelion_media_type(int format);
/* What an observation has told last, in the same way; several values are TLV whatever the device has sent. False when it does
 * not fit into PELION_LAST_MAX. What a device has sent takes PELION_GROWTH times the bytes at most, or is told as it came. */
enum { PELION_GROWTH = 4, PELION_LAST_MAX = PELION_GROWTH * OBSERVATION_LAST_MAX };
bool pelion_put_last(struct buffer *out, const struct observation *observation, const char **type);

/* "/v1/devices/ENDPOINT/3/0/1" and `suffix`. */
void pelion_put_target(struct buffer *out, struct slice endpoint, const struct lwm2m_path *path, const char *suffix);

/* What /v1 is to answer; by the parameters the answer finds back when it comes from the device's queue. */
enum { PELION_ACCEPT_MAX = 160 };
void pelion_put_accept(char text[PELION_ACCEPT_MAX], const struct pelion_app *app, const char *async_id);

/* ---- requests ---- */

/* What is asked of a device; slices are copied. */
struct pelion_asked {
    const char *method; /* of CoAP: "GET" */
    struct slice path, query, body;
    const char *content_type; /* NULL: text */
    const char *async_id;     /* "": nobody wants to know the answer */
    uint64_t retries, expiry_s;
};

/* Put into the device's line, which `r` is registered with. NULL, or the word with which it is refused:
 * RESOURCE_NOT_FOUND, MALFORMED_JSON_CONTENT, QUEUE_IS_FULL, or OUT_OF_MEMORY. Nothing is told before this returns, and pelion_ask_go is called. */
struct pelion_request;
const char *pelion_ask_device(struct pelion_app *app, const struct registration *r, const struct pelion_asked *asked,
                              struct pelion_request **request);
/* Ask it when it is first in line. */
void pelion_ask_go(struct pelion_request *request);
/* How often and how long something is asked of this device when nobody says. */
void pelion_ask_defaults(const struct registration *r, struct pelion_asked *asked);

/* A queued request is over: tell whoever had asked for it here. */
void pelion_request_completed(struct pelion *pelion, uint64_t id);
/* Of one application; NULL: of all. */
void pelion_requests_end(struct pelion *pelion, const struct pelion_app *app);

/* ---- subscriptions ---- */

/* Take it out, and end its observation unless `device_forgot` it. */
void pelion_unsubscribe(struct pelion *pelion, struct pelion_subscription *subscription, bool device_forgot);

/* A device has registered: its subscriptions end when that is `is_new`, and pre-subscriptions begin. */
void pelion_registered(struct pelion *pelion, struct slice endpoint, bool is_new);
void pelion_presubscribe(struct pelion_app *app, struct registration *r);
void pelion_deregistered(struct pelion *pelion, struct slice endpoint);

/* Of an event of an observation. */
void pelion_notified(struct pelion *pelion, const struct event *event);
void pelion_observation_ended(struct pelion *pelion, struct slice endpoint, uint64_t observation);

/* What pre-subscriptions had begun when the server was running before goes on. */
void pelion_readopt(struct pelion *pelion);
bool pelion_presubscriptions_good(const json_t *list);
/* Those of single paths, which are stored. */
void pelion_subscriptions_load(struct pelion *pelion);

/* The groups that client code looks for by their names. False when out of memory. */
bool pelion_add_groups(struct pelion *pelion);

/* ---- firmware ---- */

/* The bytes of a manifest, in memory that the caller frees; NULL: out of memory. */
uint8_t *pelion_manifest_bytes(const json_t *manifest, size_t *len);

/* Start a campaign that is a draft, and change it so that it says so; it is put into its table afterwards. NULL; or why not,
 * and nothing has changed. */
const char *pelion_rollout_start(struct pelion *pelion, const char *id, json_t *campaign);
/* Likewise, stop one that goes on. */
void pelion_rollout_stop(struct pelion *pelion, const char *id, json_t *campaign);
/* Somebody was told that it is active. */
void pelion_rollout_seen(struct pelion *pelion, const char *id);
/* A device has registered (anew), or updated its registration. */
void pelion_rollout_registered(struct pelion *pelion, struct slice endpoint, bool is_new);
/* A notification, or a step of a firmware update; and what that leaves to be done when the loop goes on. */
void pelion_rollout_event(struct pelion *pelion, const struct event *event);
void pelion_rollout_told(struct pelion *pelion, struct slice endpoint);
/* When the tables are loaded; and ahead of their end. */
void pelion_rollouts_load(struct pelion *pelion);
void pelion_rollouts_end(struct pelion *pelion);

/* The image that a manifest is about: the one whose URL is in it; "" when there is none. */
const char *pelion_image_of(const struct pelion *pelion, struct slice manifest);

/* ---- certificates ---- */

/* Those that were put are authorities of devices' certificates from the start on. False: one line in `error`. */
bool pelion_trust(struct pelion *pelion, char *error, size_t error_size);

/* ---- tasks ---- */

void pelion_later(struct pelion *pelion, enum event_type type, struct slice endpoint, uint64_t number, bool is_new);

/* ---- handlers ---- */

route_fn pelion_devices_list, pelion_devices_get, pelion_endpoints_list, pelion_endpoints_get;
route_fn pelion_devices_post, pelion_devices_put, pelion_devices_delete;
route_fn pelion_events_list, pelion_events_get;
route_fn pelion_device_request, pelion_endpoint_read, pelion_endpoint_ask;
route_fn pelion_pull, pelion_pull_delete, pelion_channel_get;
route_fn pelion_callback_put, pelion_callback_get, pelion_callback_delete;
route_fn pelion_websocket_put, pelion_websocket_get, pelion_websocket_delete, pelion_websocket_connect;
route_fn pelion_subscription_put, pelion_subscription_get, pelion_subscription_delete;
route_fn pelion_subscriptions_of_device, pelion_subscriptions_of_device_delete;
route_fn pelion_presubscriptions_get, pelion_presubscriptions_put, pelion_presubscriptions_delete;
route_fn pelion_account_get;
route_fn pelion_keys_list, pelion_keys_post, pelion_keys_get, pelion_keys_delete;
route_fn pelion_keys_me, pelion_keys_put;
route_fn pelion_groups_list, pelion_groups_get, pelion_groups_post;
route_fn pelion_applications_list, pelion_applications_get, pelion_applications_post, pelion_applications_delete;
route_fn pelion_access_keys_list, pelion_access_keys_post, pelion_access_keys_get, pelion_access_keys_delete;
route_fn pelion_shared_keys_list, pelion_shared_keys_get, pelion_shared_keys_post, pelion_shared_keys_delete;
route_fn pelion_enrollments_list, pelion_enrollments_get, pelion_enrollments_post, pelion_enrollments_delete;
route_fn pelion_certificates_list, pelion_certificates_get, pelion_certificates_post, pelion_certificates_put;
route_fn pelion_certificates_delete, pelion_developer_post, pelion_developer_get;
route_fn pelion_images_list, pelion_images_get, pelion_images_begin, pelion_images_post, pelion_images_delete;
route_fn pelion_images_data;
route_fn pelion_manifests_list, pelion_manifests_get, pelion_manifests_post, pelion_manifests_delete;
route_fn pelion_manifests_data;
route_fn pelion_campaigns_list, pelion_campaigns_get, pelion_campaigns_post, pelion_campaigns_put;
route_fn pelion_campaigns_delete, pelion_campaigns_start, pelion_campaigns_stop, pelion_campaigns_archive;
route_fn pelion_campaign_devices_list, pelion_campaign_devices_get, pelion_campaign_metrics;
route_fn pelion_statistics_list, pelion_statistics_get, pelion_statistics_events;
route_fn pelion_server_credentials, pelion_bootstrap_credentials, pelion_management_credentials;

#endif
