/* /v3/update-campaigns: what is told of campaigns and their devices, and what can be ordered; rollout.c does the rest. */
#include <stdio.h>
#include <stdlib.h>

#include "web/document.h"
#include "web/pelion/pelion.h"

enum { NAME_MAX_LEN = 128, DESCRIPTION_MAX = 2000 };

static const char fields[] = "id name description device_filter root_manifest_id phase state created_at updated_at "
                             "started_at finished when etag";
static const char device_fields[] =
    "id campaign device_id deployment_state name description mechanism created_at updated_at etag";
static const struct pelion_field post_fields[] = {{"name", PELION_TEXT, NAME_MAX_LEN, true},
                                                  {"description", PELION_TEXT, DESCRIPTION_MAX, false},
                                                  {"device_filter", PELION_TEXT, PELION_FILTER_MAX, true},
                                                  {"root_manifest_id", PELION_TEXT, PELION_ITEM_ID_MAX, false},
                                                  {"when", PELION_TEXT, 40, false},
                                                  {"campaign_strategy", PELION_TEXT, 32, false},
                                                  {NULL, PELION_TEXT, 0, false}};
static const struct pelion_field put_fields[] = {{"name", PELION_TEXT, NAME_MAX_LEN, false},
                                                 {"description", PELION_TEXT, DESCRIPTION_MAX, false},
                                                 {"device_filter", PELION_TEXT, PELION_FILTER_MAX, false},
                                                 {"root_manifest_id", PELION_TEXT, PELION_ITEM_ID_MAX, false},
                                                 {"when", PELION_TEXT, 40, false},
                                                 {"campaign_strategy", PELION_TEXT, 32, false},
                                                 {"state", PELION_TEXT, 32, false},
                                                 {NULL, PELION_TEXT, 0, false}};

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static struct slice text_of(const json_t *item, const char *name) {
    return document_string(json_object_get(item, name));
}

static bool is_phase(const json_t *item, const char *phase) {
    return slice_is(text_of(item, "phase"), phase);
}

/* ---- as they are told ---- */

static json_t *text_json(const json_t *item, const char *name) {
    json_t *value = json_object_get(item, name);
    return json_is_string(value) ? json_incref(value) : json_string("");
}

static json_t *show(const struct call *call, const char *id, const json_t *item) {
    static const char *const texts[] = {
        "name",  "description", "device_filter",  "root_manifest_id", "campaign_strategy",
        "phase", "state",       "autostop_reason"};
    json_t *json = json_pack("{ssss}", "object", "update-campaign", "id", id);
    const json_t *when = json_object_get(item, "when");
    const json_t *manifest = pelion_item(call->web->pelion, PELION_MANIFESTS, text_of(item, "root_manifest_id"));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        set(json, texts[i], text_json(item, texts[i]));
    set(json, "root_manifest_url", text_json(manifest, "url"));
    set(json, "created_at", pelion_item_time(item, "created_at"));
    set(json, "updated_at", pelion_item_time(item, "updated_at"));
    set(json, "etag", pelion_item_time(item, "updated_at"));
    set(json, "started_at", pelion_item_time(item, "started_at"));
    set(json, "finished", pelion_item_time(item, "finished_at"));
    set(json, "when", json_is_string(when) ? pelion_item_time(item, "when_ms") : json_null());
    return json;
}

void pelion_campaigns_list(const struct call *call) {
    pelion_send_list(call, &(struct pelion_list){
                               .items = call->web->pelion->tables[PELION_CAMPAIGNS], .show = show, .fields = fields});
}

void pelion_campaigns_get(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_CAMPAIGNS, id);
    if (item == NULL)
        return;
    pelion_send_json(call->request, 200, show(call, id, item));
    pelion_rollout_seen(call->web->pelion, id);
}

/* ---- making and changing ---- */

/* The filter, the manifest and the time are such that it can be started with them. */
static bool check(const struct call *call, json_t *item) {
    uint8_t decoded[PELION_FILTER_MAX];
    struct buffer memory = buffer_over(decoded, sizeof decoded);
    struct query filter;
    char why[PELION_WHY_MAX];
    uint64_t when_ms = 0;
    struct slice manifest = text_of(item, "root_manifest_id"), when = text_of(item, "when");
    if (!pelion_read_filter(text_of(item, "device_filter"), pelion_device_fields, &memory, &filter, why))
        pelion_send_invalid(call->request, "device_filter", why);
    else if (manifest.len > 0 && pelion_item(call->web->pelion, PELION_MANIFESTS, manifest) == NULL)
        pelion_send_invalid(call->request, "root_manifest_id", "There is no such manifest.");
    else if (when.len > 0 && !pelion_parse_time(when, &when_ms))
        pelion_send_invalid(call->request, "when", "It is a time like 2030-01-01T00:00:00Z.");
    else {
        set(item, "when_ms", json_integer((json_int_t)when_ms));
        return true;
    }
    return false;
}

void pelion_campaigns_post(const struct call *call) {
    struct pelion *pelion = call->web->pelion;
    json_int_t now = (json_int_t)clock_now_ms(&call->web->server->clock);
    char id[PELION_ID_LEN + 1];
    json_t *item = pelion_read_body(call, post_fields);
    if (item == NULL)
        return;
    if (!check(call, item)) {
        json_decref(item);
    } else if (json_object_size(pelion->tables[PELION_CAMPAIGNS]) >= PELION_CAMPAIGNS_MAX) {
        json_decref(item);
        pelion_send_error(call->request, 503, "There are as many campaigns as there may be.");
    } else {
        pelion_make_id(pelion, id);
        set(item, "phase", json_string("draft"));
        set(item, "state", json_string("draft"));
        set(item, "created_at", json_integer(now));
        set(item, "updated_at", json_integer(now));
        pelion_keep_and_answer(pelion, call->request, PELION_CAMPAIGNS, id, item, 201, show(call, id, item));
    }
}

static bool may_start(const struct call *call, const json_t *item) {
    if (!is_phase(item, "draft"))
        pelion_send_error(call->request, 409, "It was started before.");
    else if (pelion_item(call->web->pelion, PELION_MANIFESTS, text_of(item, "root_manifest_id")) == NULL)
        pelion_send_error(call->request, 409, "It has no manifest.");
    else
        return true;
    return false;
}

static void change(const struct call *call, const char *id, const json_t *item, json_t *body) {
    struct pelion *pelion = call->web->pelion;
    bool is_start = slice_is(text_of(body, "state"), "scheduled") && is_phase(item, "draft");
    json_t *changed = json_copy((json_t *)(uintptr_t)item);
    const char *name;
    json_t *value;
    json_object_del(body, "state");
    json_object_foreach(body, name, value) {
        if (!is_phase(item, "draft") && strcmp(name, "name") != 0 && strcmp(name, "description") != 0)
            continue; /* clients send what they were told */
        if (json_is_null(value))
            json_object_del(changed, name);
        else
            json_object_set(changed, name, value);
    }
    set(changed, "updated_at", json_integer((json_int_t)clock_now_ms(&call->web->server->clock)));
    if ((is_phase(item, "draft") && !check(call, changed)) || (is_start && !may_start(call, changed))) {
        json_decref(changed);
        return;
    }
    const char *why = is_start ? pelion_rollout_start(pelion, id, changed) : NULL;
    if (why != NULL) {
        json_decref(changed);
        pelion_send_error(call->request, 503, why);
        return;
    }
    pelion_keep_and_answer(pelion, call->request, PELION_CAMPAIGNS, id, changed, 200, show(call, id, changed));
}

void pelion_campaigns_put(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_CAMPAIGNS, id);
    json_t *body = item == NULL ? NULL : pelion_read_body(call, put_fields);
    if (body != NULL)
        change(call, id, item, body);
    json_decref(body);
}

void pelion_campaigns_delete(const struct call *call) {
    struct pelion *pelion = call->web->pelion;
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_CAMPAIGNS, id);
    const char *device_id;
    json_t *device;
    void *next;
    if (item == NULL)
        return;
    if (is_phase(item, "active") || is_phase(item, "timed")) {
        pelion_send_error(call->request, 409, "It is running; stop it first.");
        return;
    }
    json_object_foreach_safe(pelion->tables[PELION_CAMPAIGN_DEVICES], next, device_id, device) {
        if (slice_is(text_of(device, "campaign"), id))
            pelion_forget(pelion, PELION_CAMPAIGN_DEVICES, device_id);
    }
    pelion_forget_and_answer(pelion, call->request, PELION_CAMPAIGNS, id);
}

/* ---- orders ---- */

static void answer_order(const struct call *call, const char *id, json_t *changed) {
    pelion_keep_and_answer(call->web->pelion, call->request, PELION_CAMPAIGNS, id, changed, 202, NULL);
}

void pelion_campaigns_start(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_CAMPAIGNS, id);
    if (item == NULL || !may_start(call, item))
        return;
    json_t *changed = json_copy((json_t *)(uintptr_t)item);
    const char *why = pelion_rollout_start(call->web->pelion, id, changed);
    if (why == NULL) {
        answer_order(call, id, changed);
        return;
    }
    json_decref(changed);
    pelion_send_error(call->request, 503, why);
}

void pelion_campaigns_stop(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_CAMPAIGNS, id);
    if (item == NULL)
        return;
    if (!is_phase(item, "active") && !is_phase(item, "timed")) {
        pelion_send_error(call->request, 409, "It is not running.");
        return;
    }
    json_t *changed = json_copy((json_t *)(uintptr_t)item);
    pelion_rollout_stop(call->web->pelion, id, changed);
    answer_order(call, id, changed);
}

void pelion_campaigns_archive(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_CAMPAIGNS, id);
    if (item == NULL)
        return;
    if (!is_phase(item, "stopped")) {
        pelion_send_error(call->request, 409, "It is not stopped.");
        return;
    }
    json_t *changed = json_copy((json_t *)(uintptr_t)item);
    set(changed, "phase", json_string("archived"));
    set(changed, "updated_at", json_integer((json_int_t)clock_now_ms(&call->web->server->clock)));
    answer_order(call, id, changed);
}

/* ---- devices ---- */

/* Of the campaign that the call is about. */
static json_t *show_device(const struct call *call, const char *id, const json_t *item) {
    if (!slice_equal(text_of(item, "campaign"), call->args[0]))
        return NULL;
    json_t *json = json_pack("{sssssOsOsOsssOsssssososo}", "object", "update-campaign-device-metadata", "id", id,
                             "campaign", json_object_get(item, "campaign"), "device_id",
                             json_object_get(item, "device_id"), "deployment_state", json_object_get(item, "state"),
                             "name", "", "description", json_object_get(item, "description"), "mechanism", "connector",
                             "mechanism_url", "", "created_at", pelion_item_time(item, "created_at"), "updated_at",
                             pelion_item_time(item, "updated_at"), "etag", pelion_item_time(item, "updated_at"));
    return json;
}

void pelion_campaign_devices_list(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    if (pelion_find(call, PELION_CAMPAIGNS, id) != NULL)
        pelion_send_list(call, &(struct pelion_list){.items = call->web->pelion->tables[PELION_CAMPAIGN_DEVICES],
                                                     .show = show_device,
                                                     .fields = device_fields});
}

void pelion_campaign_devices_get(const struct call *call) {
    const json_t *item = pelion_item(call->web->pelion, PELION_CAMPAIGN_DEVICES, call->args[1]);
    char id[PELION_ITEM_ID_MAX + 1] = "";
    if (item != NULL)
        memcpy(id, call->args[1].data, call->args[1].len);
    json_t *json = item == NULL ? NULL : show_device(call, id, item);
    if (json != NULL)
        pelion_send_json(call->request, 200, json);
    else
        pelion_send_error(call->request, 404, "There is no such device in this campaign.");
}

/* ---- statistics ---- */

static const struct {
    const char *id, *status;
} summaries[] = {{"fail", "FAIL"}, {"success", "SUCCESS"}, {"info", "INFO"}, {"skipped", "SKIPPED"}};
enum { SUMMARIES = sizeof summaries / sizeof summaries[0], INFO = 2 };

/* Which of them a device counts for. */
static size_t summary_of(const json_t *device) {
    for (size_t i = 0; i < SUMMARIES; i++) {
        if (slice_is(text_of(device, "outcome"), summaries[i].id))
            return i;
    }
    return INFO;
}

static json_int_t count(const struct call *call, size_t summary) {
    const char *id;
    json_t *device;
    json_int_t found = 0;
    json_object_foreach(call->web->pelion->tables[PELION_CAMPAIGN_DEVICES], id, device) {
        found += slice_equal(text_of(device, "campaign"), call->args[0]) &&
                 (summary == SUMMARIES || summary_of(device) == summary);
    }
    return found;
}

static json_t *show_summary(const struct call *call, const char *id, const json_t *item) {
    size_t summary = (size_t)json_integer_value(json_object_get(item, "summary"));
    const json_t *campaign = pelion_item(call->web->pelion, PELION_CAMPAIGNS, call->args[0]);
    return json_pack("{sssssIsossso}", "object", "summary_status", "id", id, "count", count(call, summary),
                     "campaign_id", document_text(call->args[0]), "summary_status", summaries[summary].status,
                     "created_at", pelion_item_time(campaign, "created_at"));
}

/* The four, as items of a list. */
static json_t *summary_items(void) {
    json_t *items = json_object();
    for (size_t i = 0; i < SUMMARIES; i++)
        set(items, summaries[i].id, json_pack("{sI}", "summary", (json_int_t)i));
    return items;
}

void pelion_statistics_list(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    if (pelion_find(call, PELION_CAMPAIGNS, id) == NULL)
        return;
    json_t *items = summary_items();
    pelion_send_list(call, &(struct pelion_list){
                               .items = items, .show = show_summary, .fields = "id count summary_status created_at"});
    json_decref(items);
}

/* SUMMARIES: the request is answered. */
static size_t find_summary(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    if (pelion_find(call, PELION_CAMPAIGNS, id) == NULL)
        return SUMMARIES;
    for (size_t i = 0; i < SUMMARIES; i++) {
        if (slice_is(call->args[1], summaries[i].id))
            return i;
    }
    pelion_send_error(call->request, 404, "There are fail, success, info and skipped.");
    return SUMMARIES;
}

void pelion_statistics_get(const struct call *call) {
    size_t summary = find_summary(call);
    if (summary == SUMMARIES)
        return;
    json_t *item = json_pack("{sI}", "summary", (json_int_t)summary);
    pelion_send_json(call->request, 200, show_summary(call, summaries[summary].id, item));
    json_decref(item);
}

static json_t *show_event_type(const struct call *call, const char *id, const json_t *item) {
    json_t *json = json_copy((json_t *)(uintptr_t)item);
    (void)call;
    set(json, "id", json_string(id));
    return json;
}

/* What has become of devices, in the words of which each stands for some. */
void pelion_statistics_events(const struct call *call) {
    size_t summary = find_summary(call);
    json_t *items = json_object(), *device;
    const char *id;
    const json_t *campaign = pelion_item(call->web->pelion, PELION_CAMPAIGNS, call->args[0]);
    json_object_foreach(call->web->pelion->tables[PELION_CAMPAIGN_DEVICES], id, device) {
        const char *text = json_string_value(json_object_get(device, "description"));
        if (summary == SUMMARIES || text == NULL || !slice_equal(text_of(device, "campaign"), call->args[0]) ||
            summary_of(device) != summary)
            continue;
        json_t *item = json_object_get(items, text);
        if (item == NULL) {
            item = json_pack("{sssIsosssOssso}", "object", "event_type", "count", (json_int_t)0, "campaign_id",
                             document_text(call->args[0]), "summary_status", summaries[summary].status, "event_type",
                             json_object_get(device, "state"), "description", text, "created_at",
                             pelion_item_time(campaign, "created_at"));
            set(items, text, item);
        }
        set(item, "count", json_integer(json_integer_value(json_object_get(item, "count")) + 1));
    }
    if (summary != SUMMARIES)
        pelion_send_list(call, &(struct pelion_list){.items = items,
                                                     .show = show_event_type,
                                                     .fields = "id count event_type description created_at"});
    json_decref(items);
}

void pelion_campaign_metrics(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *campaign = pelion_find(call, PELION_CAMPAIGNS, id);
    if (campaign != NULL)
        pelion_send_json(call->request, 200,
                         json_pack("{sssIsIsIsIsIso}", "object", "update-campaign-metrics", "total_count",
                                   count(call, SUMMARIES), "success_count", count(call, 1), "failed_count",
                                   count(call, 0), "pending_count", count(call, INFO), "skipped_count", count(call, 3),
                                   "created_at", pelion_item_time(campaign, "created_at")));
}
