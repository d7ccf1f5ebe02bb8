#include "web/problem.h"
#include "web/stored.h"
#include "web/v1/v1.h"
#include "web/web.h"

static bool scopes_of(struct slice name, unsigned *scopes) {
    static const struct {
        const char *name;
        unsigned scopes;
    } known[] = {
        {"devices", SERVER_RESET_DEVICES},
        {"events", SERVER_RESET_EVENTS},
        {"faults", SERVER_RESET_FAULTS},
        {"messages", SERVER_RESET_MESSAGES},
        {"all", SERVER_RESET_DEVICES | SERVER_RESET_EVENTS | SERVER_RESET_FAULTS | SERVER_RESET_MESSAGES},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (slice_is(name, known[i].name)) {
            *scopes = known[i].scopes;
            return true;
        }
    return false;
}

void v1_reset_post(const struct call *call) {
    struct slice scope = query_get(&call->query, "scope");
    unsigned scopes = 0;
    if (!scopes_of(scope.data == NULL ? slice_str("all") : scope, &scopes)) {
        problem_send(call->request, PROBLEM_BAD_PARAMETER,
                     "scope is \"%.*s\"; it must be devices, events, faults, messages or all.", (int)scope.len,
                     (const char *)scope.data);
        return;
    }
    server_reset(call->web->server, scopes, answer_stored, stored_request(call));
}
