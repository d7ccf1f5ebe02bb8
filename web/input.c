#include "web/input.h"

#include <inttypes.h>

#include "common/base/duration.h"
#include "web/document.h"
#include "web/waiter.h"

bool input_given(const struct call *call, const char *name) {
    return query_get(&call->query, name).data != NULL;
}

bool input_number(const struct call *call, const char *name, uint64_t min, uint64_t max, uint64_t *value) {
    struct slice text = query_get(&call->query, name);
    uint64_t number;
    if (text.data == NULL)
        return true;
    if (!slice_to_u64(text, max, &number) || number < min) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER,
                     "%s is \"%.*s\"; it must be a number from %" PRIu64 " to %" PRIu64 ".", name, (int)text.len,
                     (const char *)text.data, min, max);
        return false;
    }
    *value = number;
    return true;
}

bool input_timeout(const struct call *call, uint64_t *ms) {
    struct slice text = query_get(&call->query, "timeout");
    *ms = WAITER_TIMEOUT_DEFAULT_MS;
    if (text.data == NULL || duration_parse(text, WAITER_TIMEOUT_MAX_MS, ms))
        return true;
    problem_send(call->request, PROBLEM_BAD_PARAMETER,
                 "timeout is \"%.*s\"; it must be a duration such as 30s, 500ms or 2m, of at most 10 minutes.",
                 (int)text.len, (const char *)text.data);
    return false;
}

json_t *input_body(const struct call *call, const char *const *members) {
    char error[512];
    json_t *body = document_read(call->request->body, error, sizeof error);
    if (body == NULL) {
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", error);
        return NULL;
    }
    const char *unknown = document_unknown_member(body, members);
    if (unknown == NULL)
        return body;
    problem_send(call->request, PROBLEM_BAD_BODY, "There is no member \"%s\" here.", unknown);
    json_decref(body);
    return NULL;
}

void input_refuse(const struct call *call, const struct document_error *error) {
    json_t *members = json_object();
    json_object_set_new(members, "pointer", document_text(slice_str(error->pointer)));
    json_object_set_new(members, "expected", document_text(slice_str(error->expected)));
    problem_send_with(call->request, PROBLEM_INVALID_DOCUMENT, members, NULL, "At \"%s\": %s.", error->pointer,
                      error->expected);
}
