/* /v3/accounts/me, policy groups: what client code looks up before it begins. */
#include "web/document.h"
#include "web/pelion/pelion.h"

void pelion_account_get(const struct call *call) {
    json_t *json = json_pack("{sssssssssssss[]}", "object", "account", "id", PELION_ACCOUNT, "status", "ACTIVE", "tier",
                             "1", "end_market", "", "display_name", "Berth", "aliases");
    json_object_set_new(json, "etag", pelion_time_json(call->web->started_s * 1000));
    json_object_set_new(json, "created_at", pelion_time_json(call->web->started_s * 1000));
    pelion_send_json(call->request, 200, json);
}
