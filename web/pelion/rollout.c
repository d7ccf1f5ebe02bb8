/* How campaigns bring firmware to devices. One with object 10252 is sent the manifest, and tells the result of what it does
 * with it; one with object 5 is updated by server/firmware_update.c with the image whose URL is in the manifest. A device
 * that is not registered waits until it is. What is so far is in the documents of a campaign's devices (state, outcome,
 * driver: the object, description), so that it goes on after a restart; is_asking, is_waiting (until the device is heard) and
 * told (its last result) among them hold for this run only. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/lwm2m/link_format.h"
#include "common/lwm2m/text.h"
#include "server/firmware_update.h"
#include "web/document.h"
#include "web/pelion/pelion.h"

enum {
    MANIFEST_OBJECT = 10252,
    FIRMWARE_OBJECT = 5,
    MANIFEST_RESOURCE = 1,
    STATE_RESOURCE = 2,
    RESULT_RESOURCE = 3,
    RESULT_UPDATED = 18,
    RESULT_NONE = 255,    /* and -1: not set yet */
    ASKING_MAX = 64,      /* deliveries under way at once, of a campaign */
    ATTEMPTS_MAX = 5,     /* of a delivery that is not answered */
    SEEN_WITHIN_MS = 4000 /* a campaign is active so long, unless somebody has seen it so */
};

/* A campaign that is active, or waits for its time. */
struct pelion_rollout {
    struct pelion_rollout *next;
    struct pelion *pelion;
    struct timer timer; /* for what is to be done next */
    uint64_t started_ms;
    unsigned open, asking; /* devices that are not over; to which the manifest is on its way */
    bool was_seen;
    bool is_loaded; /* from the database, and devices were not asked what has happened meanwhile */
    char id[PELION_ID_LEN + 1];
};

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static void set_text(json_t *item, const char *name, const char *text) {
    set(item, name, json_string(text));
}

static struct slice text_of(const json_t *item, const char *name) {
    return document_string(json_object_get(item, name));
}

static uint64_t number_of(const json_t *item, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(item, name));
}

static uint64_t now_ms(const struct pelion *pelion) {
    return clock_now_ms(&pelion->web->server->clock);
}

static struct pelion_rollout *find(const struct pelion *pelion, struct slice campaign) {
    struct pelion_rollout *rollout = pelion->rollouts;
    while (rollout != NULL && !slice_is(campaign, rollout->id))
        rollout = rollout->next;
    return rollout;
}

static json_t *campaign_of(const struct pelion_rollout *rollout) {
    return pelion_item(rollout->pelion, PELION_CAMPAIGNS, slice_str(rollout->id));
}

/* ---- when something is to be done ---- */

static void on_timer(struct timer *timer, void *arg);

static void wake(struct pelion_rollout *rollout, uint64_t at_ms) {
    if (!timer_is_scheduled(&rollout->timer) || rollout->timer.due_ms > at_ms)
        timer_schedule(&rollout->pelion->web->server->wheel, &rollout->timer, at_ms, on_timer);
}

/* ---- the end of a device, and of a campaign ---- */

static bool is_over(const json_t *device) {
    return json_object_get(device, "outcome") != NULL;
}

static bool is_delivered(const json_t *device) {
    return json_object_get(device, "driver") != NULL;
}

static void write_device(struct pelion *pelion, const char *id, json_t *device) {
    set(device, "updated_at", json_integer((json_int_t)now_ms(pelion)));
    pelion_keep(pelion, PELION_CAMPAIGN_DEVICES, id, device);
}

static void end_device(struct pelion_rollout *rollout, const char *id, json_t *device, const char *state,
                       const char *outcome, const char *description) {
    struct pelion *pelion = rollout->pelion;
    const char *device_id = json_string_value(json_object_get(device, "device_id"));
    json_t *known = pelion_item(pelion, PELION_DEVICES, slice_str(device_id));
    if (is_over(device))
        return;
    set_text(device, "state", state);
    set_text(device, "outcome", outcome);
    set_text(device, "description", description);
    if (slice_is(text_of(pelion->updating, device_id), id))
        json_object_del(pelion->updating, device_id);
    write_device(pelion, id, device);
    rollout->open--;
    if (known != NULL && strcmp(outcome, "success") == 0) {
        set(known, "manifest_at", json_integer((json_int_t)now_ms(pelion)));
        pelion_keep(pelion, PELION_DEVICES, device_id, known);
    }
    if (rollout->open == 0)
        wake(rollout, now_ms(pelion));
}

static void fail(struct pelion_rollout *rollout, const char *id, json_t *device, const char *description) {
    end_device(rollout, id, device, "failed_connector_channel_update", "fail", description);
}

static void rollout_free(struct pelion_rollout *rollout) {
    struct pelion_rollout **link = &rollout->pelion->rollouts;
    while (*link != rollout)
        link = &(*link)->next;
    *link = rollout->next;
    timer_cancel(&rollout->pelion->web->server->wheel, &rollout->timer);
    free(rollout);
}

static void set_phase(const struct pelion *pelion, json_t *campaign, const char *phase, const char *state) {
    set_text(campaign, "phase", phase);
    set_text(campaign, "state", state);
    set(campaign, "updated_at", json_integer((json_int_t)now_ms(pelion)));
    if (strcmp(phase, "stopped") == 0)
        set(campaign, "finished_at", json_integer((json_int_t)now_ms(pelion)));
}

/* Clients that did not see it active take it as not started. */
static void finish_if_done(struct pelion_rollout *rollout) {
    struct pelion *pelion = rollout->pelion;
    json_t *campaign = campaign_of(rollout);
    if (rollout->open > 0)
        return;
    if (!rollout->was_seen && now_ms(pelion) < rollout->started_ms + SEEN_WITHIN_MS) {
        wake(rollout, rollout->started_ms + SEEN_WITHIN_MS);
        return;
    }
    if (campaign != NULL) {
        set_phase(pelion, campaign, "stopped", "autostopped");
        pelion_keep(pelion, PELION_CAMPAIGNS, rollout->id, campaign);
    }
    rollout_free(rollout);
}

/* ---- object 10252 ---- */

/* The calls by which the manifest goes to a device, or the result is asked for: one after the other. */
struct delivery {
    struct pelion *pelion;
    enum { OBSERVE_STATE, OBSERVE_RESULT, DELIVER, READ } step;
    char id[PELION_ID_LEN + 1]; /* of the campaign's device */
};

static void ask_next(struct delivery *delivery);

static bool is_observed_by_itself(const struct registration *r, const struct lwm2m_path *path) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path known;
    struct slice value;
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link)) {
        if (lwm2m_path_parse(link.target, &known, NULL) && lwm2m_path_equal(&known, path))
            return link_format_find(&link, "aobs", &value);
    }
    return false;
}

static void judge_result(struct pelion_rollout *rollout, const char *id, json_t *device, json_int_t result) {
    char why[64];
    snprintf(why, sizeof why, "The device told the result %" JSON_INTEGER_FORMAT ".", result);
    if (!is_delivered(device) || result == RESULT_NONE || result == -1)
        return;
    if (result == RESULT_UPDATED)
        end_device(rollout, id, device, "deployed", "success", "The device was updated.");
    else if (result < 0)
        fail(rollout, id, device, why);
}

static bool read_number(struct slice text, json_int_t *number) {
    bool is_negative = text.len > 0 && text.data[0] == '-';
    uint64_t absolute;
    if (!slice_to_u64(slice_from(text, is_negative), INT32_MAX, &absolute))
        return false;
    *number = is_negative ? -(json_int_t)absolute : (json_int_t)absolute;
    return true;
}

static void on_delivered(struct pelion_rollout *rollout, const char *id, json_t *device, unsigned status,
                         const json_t *body) {
    struct slice code = text_of(body, "code");
    char why[64];
    if (status == 200 && slice_starts_with(code, "2.")) {
        set(device, "driver", json_integer(MANIFEST_OBJECT));
        set_text(device, "state", "updated_connector_channel");
        set_text(device, "description", "The device has the manifest.");
        json_object_del(device, "told");
        write_device(rollout->pelion, id, device);
        return;
    }
    snprintf(why, sizeof why, "The device answered the manifest with %.*s.", (int)(code.len < 8 ? code.len : 8),
             code.len == 0 ? "" : (const char *)code.data);
    if (status == 200) {
        fail(rollout, id, device, why);
        return;
    }
    json_int_t attempts = json_integer_value(json_object_get(device, "attempts")) + (status == 504);
    set(device, "attempts", json_integer(attempts));
    set(device, "is_waiting", json_true());
    if (attempts >= ATTEMPTS_MAX)
        fail(rollout, id, device, "The device did not answer the manifest.");
}

static void on_answer(void *arg, unsigned status, const json_t *body) {
    struct delivery *delivery = arg;
    struct pelion *pelion = delivery->pelion;
    json_t *device = pelion_item(pelion, PELION_CAMPAIGN_DEVICES, slice_str(delivery->id));
    struct pelion_rollout *rollout = device == NULL ? NULL : find(pelion, text_of(device, "campaign"));
    json_int_t result;
    if (status == 0 || rollout == NULL || is_over(device)) {
        free(delivery);
        return;
    }
    if (delivery->step < DELIVER) { /* that it can't be observed is no reason not to update it */
        delivery->step = delivery->step == OBSERVE_STATE ? OBSERVE_RESULT : is_delivered(device) ? READ : DELIVER;
        ask_next(delivery);
        return;
    }
    rollout->asking--;
    json_object_del(device, "is_asking");
    if (delivery->step == DELIVER)
        on_delivered(rollout, delivery->id, device, status, body);
    else if (json_is_integer(json_object_get(body, "value")))
        judge_result(rollout, delivery->id, device, json_integer_value(json_object_get(body, "value")));
    else if (read_number(text_of(body, "value"), &result))
        judge_result(rollout, delivery->id, device, result);
    if (rollout->asking == 0 || rollout->asking == ASKING_MAX / 2) /* others may be asked now */
        wake(rollout, now_ms(pelion));
    free(delivery);
}

/* {"method":"POST",…} with the manifest, to be freed; NULL. Execute takes text (T §6.4), whatever is in it. */
static char *delivery_body(const struct delivery *delivery, const json_t *device) {
    const struct pelion *pelion = delivery->pelion;
    const json_t *campaign = pelion_item(pelion, PELION_CAMPAIGNS, text_of(device, "campaign"));
    const json_t *manifest = pelion_item(pelion, PELION_MANIFESTS, text_of(campaign, "root_manifest_id"));
    json_t *data = json_object_get(manifest, "data");
    json_t *body = data == NULL ? NULL
                                : json_pack("{sssssisO}", "method", "POST", "path", "/10252/0/1", "content_format", 0,
                                            "payload_b64", data);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static void put_requests_path(struct buffer *out, struct slice endpoint) {
    static const struct lwm2m_path root = {.len = 0};
    pelion_put_target(out, endpoint, &root, "requests");
}

static void ask_next(struct delivery *delivery) {
    struct pelion *pelion = delivery->pelion;
    const json_t *device = pelion_item(pelion, PELION_CAMPAIGN_DEVICES, slice_str(delivery->id));
    struct slice endpoint = pelion_endpoint(pelion, text_of(device, "device_id"));
    const struct registration *r = pelion_registration(pelion, text_of(device, "device_id"));
    bool is_observing = delivery->step < DELIVER;
    const struct lwm2m_path path = {
        .len = 3, .ids = {MANIFEST_OBJECT, 0, delivery->step == OBSERVE_STATE ? STATE_RESOURCE : RESULT_RESOURCE}};
    uint8_t memory[1200];
    struct buffer target = buffer_over(memory, sizeof memory);
    if (r == NULL) {
        delivery->step = is_observing ? DELIVER : delivery->step; /* over; it is tried again when it registers */
        on_answer(delivery, 404, NULL);
        return;
    }
    if (is_observing && is_observed_by_itself(r, &path)) {
        on_answer(delivery, 200, NULL);
        return;
    }
    char *body = delivery->step == DELIVER ? delivery_body(delivery, device) : NULL;
    if (delivery->step == DELIVER)
        put_requests_path(&target, endpoint);
    else
        pelion_put_target(&target, endpoint, &path, is_observing ? "/observe" : "");
    pelion_ask(pelion,
               &(struct inner_request){.method = delivery->step == DELIVER ? "POST"
                                                 : is_observing            ? "PUT"
                                                                           : "GET",
                                       .path = buffer_slice(&target),
                                       .body = body == NULL ? SLICE_NONE : slice_str(body),
                                       .content_type = body == NULL ? NULL : "application/json",
                                       .accept = "application/json"},
               on_answer, delivery);
    free(body);
}

static void ask(struct pelion_rollout *rollout, const char *id, json_t *device) {
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (delivery == NULL)
        return;
    delivery->pelion = rollout->pelion;
    snprintf(delivery->id, sizeof delivery->id, "%s", id);
    set(device, "is_asking", json_true());
    rollout->asking++;
    ask_next(delivery);
}

/* ---- object 5 ---- */

static void on_ordered(void *arg, enum store_result result) {
    (void)arg;
    (void)result; /* the update goes on, and is asked for after a restart */
}

static void judge_update(struct pelion_rollout *rollout, const char *id, json_t *device) {
    struct pelion *pelion = rollout->pelion;
    struct firmware_status status;
    struct slice endpoint = pelion_endpoint(pelion, text_of(device, "device_id"));
    if (!firmware_status_of(pelion->web->server, endpoint, &status) || status.created_at_ms < rollout->started_ms)
        fail(rollout, id, device, "The update was forgotten.");
    else if (status.step == FIRMWARE_SUCCEEDED)
        end_device(rollout, id, device, "deployed", "success", "The device was updated.");
    else if (firmware_is_over(status.step))
        fail(rollout, id, device, status.detail[0] == '\0' ? "The update was cancelled." : status.detail);
}

static void order(struct pelion_rollout *rollout, const char *id, json_t *device, const char *image) {
    struct server *server = rollout->pelion->web->server;
    struct slice endpoint = pelion_endpoint(rollout->pelion, text_of(device, "device_id"));
    const struct firmware_order ordered = {.image = slice_str(image),
                                           .method = FIRMWARE_AUTO,
                                           .protocol = FIRMWARE_PROTOCOLS,
                                           .update = true,
                                           .timeout_ms = FIRMWARE_TIMEOUT_MAX_MS};
    struct firmware_status status;
    enum firmware_update_refusal refusal = firmware_update_start(server, endpoint, &ordered, on_ordered, NULL);
    bool is_ours = firmware_status_of(server, endpoint, &status) && slice_is(status.image, image) &&
                   status.created_at_ms >= rollout->started_ms; /* begun ahead of a crash */
    if (refusal == FIRMWARE_UPDATE_NO_IMAGE)
        fail(rollout, id, device, "The firmware image is gone.");
    if (refusal != FIRMWARE_UPDATE_ACCEPTED && !(refusal == FIRMWARE_UPDATE_UNDER_WAY && is_ours))
        return; /* it is tried again when that has changed */
    set(device, "driver", json_integer(FIRMWARE_OBJECT));
    set_text(device, "state", "updated_connector_channel");
    set_text(device, "description", "The update is under way.");
    write_device(rollout->pelion, id, device);
}

/* ---- devices ---- */

static bool has(const struct registration *r, uint16_t object) {
    const struct lwm2m_path path = {.len = 1, .ids = {object}};
    return pelion_has_path(r, &path);
}

static void order_by_manifest(struct pelion_rollout *rollout, const char *id, json_t *device) {
    struct pelion *pelion = rollout->pelion;
    const json_t *campaign = campaign_of(rollout);
    const json_t *manifest = pelion_item(pelion, PELION_MANIFESTS, text_of(campaign, "root_manifest_id"));
    size_t len = 0;
    uint8_t *bytes = manifest == NULL ? NULL : pelion_manifest_bytes(manifest, &len);
    const char *image = bytes == NULL ? "" : pelion_image_of(pelion, slice_of(bytes, len));
    if (*image == '\0')
        fail(rollout, id, device, "The manifest has no URL of a firmware image of this server.");
    else
        order(rollout, id, device, image);
    free(bytes);
}

static void begin_device(struct pelion_rollout *rollout, const char *id, json_t *device) {
    struct pelion *pelion = rollout->pelion;
    const struct registration *r = pelion_registration(pelion, text_of(device, "device_id"));
    uint32_t fake_ms = pelion->web->server->config->pelion_fake_update_ms;
    if (is_over(device) || is_delivered(device) || json_object_get(device, "is_asking") != NULL ||
        json_object_get(device, "is_waiting") != NULL)
        return;
    if (fake_ms != 0 && now_ms(pelion) < rollout->started_ms + fake_ms) {
        wake(rollout, rollout->started_ms + fake_ms);
    } else if (fake_ms != 0) {
        end_device(rollout, id, device, "deployed", "success", "It was not updated: --pelion-fake-update.");
    } else if (r == NULL) {
        return;
    } else if (has(r, MANIFEST_OBJECT)) {
        if (rollout->asking < ASKING_MAX)
            ask(rollout, id, device);
    } else if (has(r, FIRMWARE_OBJECT)) {
        order_by_manifest(rollout, id, device);
    } else {
        end_device(rollout, id, device, "failed_connector_channel_update", "skipped",
                   "The device has neither object 10252 nor object 5.");
    }
}

/* What has happened meanwhile, while the server was not running. */
static void look_again(struct pelion_rollout *rollout, const char *id, json_t *device) {
    if (is_over(device) || !is_delivered(device) || json_object_get(device, "is_asking") != NULL)
        return;
    if (number_of(device, "driver") == FIRMWARE_OBJECT)
        judge_update(rollout, id, device);
    else if (pelion_registration(rollout->pelion, text_of(device, "device_id")) != NULL)
        ask(rollout, id, device);
}

static void turn(struct pelion_rollout *rollout) {
    const char *id;
    json_t *device;
    json_object_foreach(rollout->pelion->tables[PELION_CAMPAIGN_DEVICES], id, device) {
        if (!slice_is(text_of(device, "campaign"), rollout->id))
            continue;
        begin_device(rollout, id, device);
        if (rollout->is_loaded)
            look_again(rollout, id, device);
    }
}

/* ---- the beginning ---- */

static struct pelion_rollout *rollout_new(struct pelion *pelion, const char *id, uint64_t started_ms) {
    struct pelion_rollout *rollout = calloc(1, sizeof *rollout);
    if (rollout == NULL)
        return NULL;
    rollout->pelion = pelion;
    rollout->started_ms = started_ms;
    snprintf(rollout->id, sizeof rollout->id, "%s", id);
    rollout->next = pelion->rollouts;
    pelion->rollouts = rollout;
    return rollout;
}

/* A device can be in one campaign at a time. */
static void add_device(struct pelion_rollout *rollout, const char *device_id) {
    struct pelion *pelion = rollout->pelion;
    char id[PELION_ID_LEN + 1];
    json_int_t now = (json_int_t)now_ms(pelion);
    json_t *device = json_pack("{sssssssssIsI}", "campaign", rollout->id, "device_id", device_id, "state", "pending",
                               "description", "", "created_at", now, "updated_at", now);
    pelion_make_id(pelion, id);
    rollout->open++;
    json_object_set(pelion->tables[PELION_CAMPAIGN_DEVICES], id, device);
    if (json_object_get(pelion->updating, device_id) != NULL) {
        end_device(rollout, id, device, "failed_connector_channel_update", "skipped",
                   "Another campaign updates the device.");
    } else {
        set(pelion->updating, device_id, json_string(id));
        pelion_keep(pelion, PELION_CAMPAIGN_DEVICES, id, device);
    }
    json_decref(device);
}

/* Devices that the filter leaves; false: there are too many. */
static bool add_devices(struct pelion_rollout *rollout, const json_t *campaign, bool *is_any) {
    struct pelion *pelion = rollout->pelion;
    uint8_t decoded[PELION_FILTER_MAX];
    struct buffer memory = buffer_over(decoded, sizeof decoded);
    struct query filter;
    char why[PELION_WHY_MAX];
    const char *id;
    json_t *item;
    size_t room = PELION_CAMPAIGN_DEVICES_MAX - json_object_size(pelion->tables[PELION_CAMPAIGN_DEVICES]), count = 0;
    json_t *chosen = json_array();
    bool good = pelion_read_filter(text_of(campaign, "device_filter"), pelion_device_fields, &memory, &filter, why);
    json_object_foreach(pelion->tables[PELION_DEVICES], id, item) {
        json_t *shown = good ? pelion_device_json(pelion->web, id, item) : NULL;
        if (shown != NULL && pelion_meets(shown, &filter) && ++count <= room)
            json_array_append_new(chosen, json_string(id));
        json_decref(shown);
    }
    for (size_t i = 0; count <= room && i < json_array_size(chosen); i++)
        add_device(rollout, json_string_value(json_array_get(chosen, i)));
    json_decref(chosen);
    *is_any = count > 0;
    return count <= room;
}

/* NULL; or why not, and nothing has changed. */
static const char *begin(struct pelion_rollout *rollout, json_t *campaign) {
    struct pelion *pelion = rollout->pelion;
    rollout->started_ms = now_ms(pelion);
    bool is_any;
    if (!add_devices(rollout, campaign, &is_any))
        return "There would be more devices in campaigns than there may be.";
    set(campaign, "started_at", json_integer((json_int_t)rollout->started_ms));
    if (rollout->open == 0) {
        set_phase(pelion, campaign, "stopped", "autostopped");
        set_text(campaign, "autostop_reason",
                 is_any ? "Other campaigns update the devices." : "No device fulfils the filter.");
        rollout_free(rollout);
    } else {
        set_phase(pelion, campaign, "active", "publishing");
        wake(rollout, now_ms(pelion)); /* when it is in its table */
    }
    return NULL;
}

const char *pelion_rollout_start(struct pelion *pelion, const char *id, json_t *campaign) {
    uint64_t when_ms = number_of(campaign, "when_ms");
    struct pelion_rollout *rollout = rollout_new(pelion, id, now_ms(pelion));
    if (rollout == NULL)
        return "The server is out of memory.";
    if (when_ms > now_ms(pelion)) {
        set_phase(pelion, campaign, "timed", "scheduled");
        wake(rollout, when_ms);
        return NULL;
    }
    const char *why = begin(rollout, campaign);
    if (why != NULL)
        rollout_free(rollout);
    return why;
}

/* Its time has come. */
static void begin_timed(struct pelion_rollout *rollout, json_t *campaign) {
    struct pelion *pelion = rollout->pelion;
    char id[PELION_ID_LEN + 1];
    memcpy(id, rollout->id, sizeof id);
    const char *why = begin(rollout, campaign);
    if (why != NULL) {
        set_phase(pelion, campaign, "stopped", "quotaallocationfailed");
        set_text(campaign, "autostop_reason", why);
        rollout_free(rollout);
    }
    pelion_keep(pelion, PELION_CAMPAIGNS, id, campaign);
}

static void on_timer(struct timer *timer, void *arg) {
    struct pelion_rollout *rollout = TIMER_OWNER(timer, struct pelion_rollout, timer);
    json_t *campaign = campaign_of(rollout);
    (void)arg;
    if (campaign == NULL) {
        rollout_free(rollout);
    } else if (slice_is(text_of(campaign, "phase"), "timed")) {
        begin_timed(rollout, campaign);
    } else {
        turn(rollout);
        rollout->is_loaded = false;
        finish_if_done(rollout);
    }
}

void pelion_rollout_seen(struct pelion *pelion, const char *id) {
    struct pelion_rollout *rollout = find(pelion, slice_str(id));
    if (rollout == NULL || slice_is(text_of(campaign_of(rollout), "phase"), "timed"))
        return;
    rollout->was_seen = true;
    wake(rollout, now_ms(pelion));
}

void pelion_rollout_stop(struct pelion *pelion, const char *id, json_t *campaign) {
    struct pelion_rollout *rollout = find(pelion, slice_str(id));
    const char *device_id;
    json_t *device;
    set_phase(pelion, campaign, "stopped", "userstopped");
    if (rollout == NULL)
        return;
    json_object_foreach(pelion->tables[PELION_CAMPAIGN_DEVICES], device_id, device) {
        if (!slice_is(text_of(device, "campaign"), id) || is_over(device))
            continue;
        if (number_of(device, "driver") == FIRMWARE_OBJECT)
            firmware_update_cancel(pelion->web->server, pelion_endpoint(pelion, text_of(device, "device_id")),
                                   on_ordered, NULL);
        end_device(rollout, device_id, device, "manifestremoved", "skipped", "The campaign was stopped.");
    }
    rollout_free(rollout);
}

/* ---- what devices do ---- */

/* The device of an active campaign; *id and *rollout are its. */
static json_t *device_of(struct pelion *pelion, struct slice endpoint, char id[PELION_ID_LEN + 1],
                         struct pelion_rollout **rollout) {
    struct device_id device_id = device_id_of(endpoint);
    const char *known = json_string_value(json_object_get(pelion->updating, device_id.hex));
    json_t *device = known == NULL ? NULL : pelion_item(pelion, PELION_CAMPAIGN_DEVICES, slice_str(known));
    *rollout = device == NULL ? NULL : find(pelion, text_of(device, "campaign"));
    if (*rollout == NULL)
        return NULL;
    snprintf(id, PELION_ID_LEN + 1, "%s", known);
    return device;
}

void pelion_rollout_registered(struct pelion *pelion, struct slice endpoint, bool is_new) {
    struct pelion_rollout *rollout;
    char id[PELION_ID_LEN + 1];
    json_t *device = device_of(pelion, endpoint, id, &rollout);
    if (device == NULL || json_object_get(device, "is_asking") != NULL)
        return;
    json_object_del(device, "is_waiting");
    if (!is_delivered(device))
        begin_device(rollout, id, device);
    else if (is_new && number_of(device, "driver") == MANIFEST_OBJECT)
        ask(rollout, id, device); /* it has started again, and tells what has become of it */
}

void pelion_rollout_event(struct pelion *pelion, const struct event *event) {
    static const struct lwm2m_path result = {.len = 3, .ids = {MANIFEST_OBJECT, 0, RESULT_RESOURCE}};
    struct pelion_rollout *rollout;
    char id[PELION_ID_LEN + 1];
    if (json_object_size(pelion->updating) == 0 ||
        (event->type == EVENT_NOTIFICATION && !lwm2m_path_equal(&event->node.path, &result)))
        return;
    json_t *device = device_of(pelion, event->endpoint, id, &rollout);
    if (device == NULL)
        return;
    if (event->type == EVENT_NOTIFICATION) {
        uint8_t memory[32];
        struct buffer text = buffer_over(memory, sizeof memory);
        const struct lwm2m_value *value = &event->node.value;
        bool is_bytes = value->type == LWM2M_RAW || value->type == LWM2M_OPAQUE || value->type == LWM2M_STRING;
        json_int_t number;
        if ((!is_bytes && !lwm2m_text_encode(value, &text)) ||
            !read_number(is_bytes ? value->bytes : buffer_slice(&text), &number))
            return;
        set(device, "told", json_integer(number));
    }
    pelion_later(pelion, EVENT_FIRMWARE, event->endpoint, 0, false);
}

void pelion_rollout_told(struct pelion *pelion, struct slice endpoint) {
    struct pelion_rollout *rollout;
    char id[PELION_ID_LEN + 1];
    json_t *device = device_of(pelion, endpoint, id, &rollout);
    if (device == NULL)
        return;
    const json_t *told = json_object_get(device, "told");
    if (number_of(device, "driver") == FIRMWARE_OBJECT)
        judge_update(rollout, id, device);
    else if (told != NULL)
        judge_result(rollout, id, device, json_integer_value(told));
    else
        begin_device(rollout, id, device); /* an update that was in its way is perhaps over */
}

/* ---- start and stop ---- */

void pelion_rollouts_load(struct pelion *pelion) {
    const char *id;
    json_t *item;
    json_object_foreach(pelion->tables[PELION_CAMPAIGNS], id, item) {
        bool is_timed = slice_is(text_of(item, "phase"), "timed");
        struct pelion_rollout *rollout = is_timed || slice_is(text_of(item, "phase"), "active")
                                             ? rollout_new(pelion, id, number_of(item, "started_at"))
                                             : NULL;
        if (rollout == NULL)
            continue;
        rollout->is_loaded = !is_timed;
        wake(rollout, is_timed ? number_of(item, "when_ms") : now_ms(pelion));
    }
    json_object_foreach(pelion->tables[PELION_CAMPAIGN_DEVICES], id, item) {
        struct pelion_rollout *rollout = is_over(item) ? NULL : find(pelion, text_of(item, "campaign"));
        json_object_del(item, "is_asking");
        json_object_del(item, "is_waiting");
        json_object_del(item, "told");
        if (rollout == NULL)
            continue;
        rollout->open++;
        set(pelion->updating, json_string_value(json_object_get(item, "device_id")), json_string(id));
    }
}

void pelion_rollouts_end(struct pelion *pelion) {
    while (pelion->rollouts != NULL)
        rollout_free(pelion->rollouts);
}
