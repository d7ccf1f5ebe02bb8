/* /v3/device-events: what has become of devices, the last ones of them. */
#include <stdio.h>
#include <stdlib.h>

#include "web/document.h"
#include "web/pelion/pelion.h"

static const char fields[] = "id device_id date_time event_type state_change description created_at etag";

void pelion_add_event(struct pelion *pelion, const char *device, const char *type, const char *description,
                      bool is_state_change, json_t *changes) {
    json_t *events = pelion->tables[PELION_EVENTS];
    char id[PELION_ID_LEN + 1];
    while (json_object_size(events) >= PELION_EVENTS_MAX) {
        char oldest[PELION_ITEM_ID_MAX + 1];
        snprintf(oldest, sizeof oldest, "%s", json_object_iter_key(json_object_iter(events)));
        pelion_forget(pelion, PELION_EVENTS, oldest);
    }
    pelion_make_id(pelion, id);
    pelion_keep(pelion, PELION_EVENTS, id,
                json_pack("{sIsssssssbso}", "created_at", (json_int_t)clock_now_ms(&pelion->web->server->clock),
                          "device_id", device, "event_type", type, "description", description, "state_change",
                          (int)is_state_change, "changes", changes == NULL ? json_object() : changes));
}

static json_t *show(const struct call *call, const char *id, const json_t *item) {
    static const char *const kept[] = {"device_id", "event_type", "description", "state_change", "changes"};
    json_t *json = json_pack("{sssss{}so}", "object", "device-event", "id", id, "data", "date_time",
                             pelion_item_time(item, "created_at"));
    (void)call;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        json_object_set(json, kept[i], json_object_get(item, kept[i]));
    json_object_set_new(json, "created_at", pelion_item_time(item, "created_at"));
    json_object_set_new(json, "etag", pelion_item_time(item, "created_at"));
    return json;
}

void pelion_events_list(const struct call *call) {
    pelion_send_list(
        call, &(struct pelion_list){.items = call->web->pelion->tables[PELION_EVENTS], .show = show, .fields = fields});
}

void pelion_events_get(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_EVENTS, id);
    if (item != NULL)
        pelion_send_json(call->request, 200, show(call, id, item));
}
