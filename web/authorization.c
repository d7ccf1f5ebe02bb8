#include "web/authorization.h"

#include <strings.h>

#include "web/problem.h"

/* Compares every byte, so that how long it takes tells nothing about the key. */
static bool same_secret(struct slice given, struct slice key) {
    unsigned difference = given.len != key.len;
    for (size_t i = 0; i < given.len; i++)
        difference |= given.data[i] ^ (unsigned)key.data[key.len == 0 ? 0 : i % key.len];
    return difference == 0;
}

bool authorization_is_good(const struct config *config, const struct http_request *request) {
    static const char scheme[] = "Bearer ";
    struct slice header = http_header(request, "authorization");
    if (config->api_key == NULL || request->internal != NULL) /* it was authorized when it was queued */
        return true;
    if (header.len < sizeof scheme - 1 || strncasecmp((const char *)header.data, scheme, sizeof scheme - 1) != 0)
        return false;
    return same_secret(slice_from(header, sizeof scheme - 1), slice_str(config->api_key));
}

void authorization_refuse(struct http_request *request) {
    problem_send_with(request, PROBLEM_UNAUTHORIZED, NULL, "WWW-Authenticate: Bearer realm=\"berth\"\r\n",
                      "This server was started with an API key: send it as \"Authorization: Bearer KEY\".");
}
