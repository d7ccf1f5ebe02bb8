/* /v3/accounts/me, policy groups, applications: what client code looks up before it begins. Nobody is restricted by them. */
#include <stdio.h>

#include "web/document.h"
#include "web/pelion/pelion.h"

enum { NAME_MAX_LEN = 100 };

static const struct pelion_field name_fields[] = {{"name", PELION_TEXT, NAME_MAX_LEN, true},
                                                  {"description", PELION_TEXT, 500, false},
                                                  {"groups", PELION_ANY, 0, false},
                                                  {NULL, PELION_TEXT, 0, false}};

void pelion_account_get(const struct call *call) {
    json_t *json = json_pack("{sssssssssssss[]}", "object", "account", "id", PELION_ACCOUNT, "status", "ACTIVE", "tier",
                             "1", "end_market", "", "display_name", "Berth", "aliases");
    struct slice include = query_get(&call->query, "include");
    if (include.len > 0 && memmem(include.data, include.len, "limits", 6) != NULL)
        json_object_set_new(json, "limits", json_object());
    if (include.len > 0 && memmem(include.data, include.len, "policies", 8) != NULL)
        json_object_set_new(json, "policies", json_array());
    json_object_set_new(json, "etag", pelion_time_json(call->web->started_s * 1000));
    json_object_set_new(json, "created_at", pelion_time_json(call->web->started_s * 1000));
    pelion_send_json(call->request, 200, json);
}

/* Made of a body with a name, if there is room for one more and the name is free; NULL: the request is answered. */
static json_t *make(const struct call *call, enum pelion_table table, size_t max, char id[PELION_ID_LEN + 1]) {
    struct pelion *pelion = call->web->pelion;
    const char *other_id;
    json_t *item = pelion_read_body(call, name_fields), *other;
    const char *name = json_string_value(json_object_get(item, "name"));
    if (item == NULL)
        return NULL;
    json_object_foreach(pelion->tables[table], other_id, other) {
        if (slice_is(document_string(json_object_get(other, "name")), name)) {
            pelion_send_error(call->request, 409, "There is one of this name.");
            json_decref(item);
            return NULL;
        }
    }
    if (json_object_size(pelion->tables[table]) >= max) {
        pelion_send_error(call->request, 503, "There are as many as there may be.");
        json_decref(item);
        return NULL;
    }
    pelion_make_id(pelion, id);
    json_object_set_new(item, "created_at", json_integer((json_int_t)clock_now_ms(&call->web->server->clock)));
    return item;
}

static json_t *item_json(const char *object, const char *id, const json_t *item) {
    json_t *groups = json_object_get(item, "groups");
    json_t *json = json_pack("{sssssssOsoso}", "object", object, "id", id, "account_id", PELION_ACCOUNT, "name",
                             json_object_get(item, "name"), "created_at", pelion_item_time(item, "created_at"), "etag",
                             pelion_item_time(item, "created_at"));
    json_object_set_new(json, "groups", json_is_array(groups) ? json_incref(groups) : json_array());
    return json;
}

/* ---- groups ---- */

static json_t *show_group(const struct call *call, const char *id, const json_t *item) {
    json_t *json = item_json("policy-group", id, item);
    (void)call;
    json_object_del(json, "groups");
    json_object_set_new(json, "apikey_count", json_integer(0));
    json_object_set_new(json, "user_count", json_integer(0));
    return json;
}

bool pelion_add_groups(struct pelion *pelion) {
    static const char *const names[] = {"Administrators", "Developers"};
    for (unsigned i = 0; i < 2; i++) {
        char id[PELION_ID_LEN + 1];
        snprintf(id, sizeof id, "%032x", 0x10 + i);
        json_object_set_new(
            pelion->tables[PELION_GROUPS], id,
            json_pack("{sssI}", "name", names[i], "created_at", (json_int_t)(pelion->web->started_s * 1000)));
    }
    return json_object_size(pelion->tables[PELION_GROUPS]) == 2;
}

void pelion_groups_list(const struct call *call) {
    pelion_send_list(call, &(struct pelion_list){.items = call->web->pelion->tables[PELION_GROUPS],
                                                 .show = show_group,
                                                 .fields = "id name created_at"});
}

void pelion_groups_get(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_GROUPS, id);
    if (item != NULL)
        pelion_send_json(call->request, 200, show_group(call, id, item));
}

void pelion_groups_post(const struct call *call) {
    char id[PELION_ID_LEN + 1];
    json_t *item = make(call, PELION_GROUPS, PELION_GROUPS_MAX, id);
    if (item != NULL)
        pelion_keep_and_answer(call->web->pelion, call->request, PELION_GROUPS, id, item, 200,
                               show_group(call, id, item));
}

/* ---- applications ---- */

static json_t *show_application(const struct call *call, const char *id, const json_t *item) {
    json_t *json = item_json("application", id, item);
    (void)call;
    json_object_set_new(json, "status", json_string("ACTIVE"));
    return json;
}

void pelion_applications_list(const struct call *call) {
    pelion_send_list(call, &(struct pelion_list){.items = call->web->pelion->tables[PELION_APPLICATIONS],
                                                 .show = show_application,
                                                 .fields = "id name created_at status"});
}

void pelion_applications_get(const struct call *call) {
    const json_t *item = pelion_item(call->web->pelion, PELION_APPLICATIONS, call->args[1]);
    char id[PELION_ID_LEN + 1];
    if (item == NULL) {
        pelion_send_error(call->request, 404, "There is no such application.");
        return;
    }
    memcpy(id, call->args[1].data, PELION_ID_LEN);
    id[PELION_ID_LEN] = '\0';
    pelion_send_json(call->request, 200, show_application(call, id, item));
}

void pelion_applications_post(const struct call *call) {
    char id[PELION_ID_LEN + 1];
    json_t *item = make(call, PELION_APPLICATIONS, PELION_APPLICATIONS_MAX, id);
    if (item != NULL)
        pelion_keep_and_answer(call->web->pelion, call->request, PELION_APPLICATIONS, id, item, 201,
                               show_application(call, id, item));
}
