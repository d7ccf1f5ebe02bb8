#include <stdlib.h>

#include "web/document.h"
#include "web/input.h"
#include "web/v1/v1.h"
#include "web/web.h"

/* 100 Julian years. */
static const uint64_t LEAP_MAX_MS = 36525ull * 86400 * 1000;

/* Seconds with a fraction only where there is one. */
static json_t *seconds_json(uint64_t ms) {
    return ms % 1000 == 0 ? json_integer((json_int_t)(ms / 1000)) : json_real((double)ms / 1000);
}

/* With milliseconds as they are: 15 digits have all of them for 30,000 years, and none that a double makes up. */
static void answer_rounded(struct http_request *request, json_t *answer) {
    char *text = json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(answer);
    if (text == NULL)
        problem_send(request, PROBLEM_OVERLOADED, "The server is out of memory.");
    else
        http_respond(request, &(struct http_response){
                                  .status = 200, .content_type = "application/json", .body = slice_str(text)});
    free(text);
}

void v1_clock_get(const struct call *call) {
    const struct clock *clock = &call->web->server->clock;
    json_t *answer = json_object();
    json_object_set_new(answer, "now_s", seconds_json(clock_now_ms(clock)));
    json_object_set_new(answer, "now", document_time(clock_now_ms(clock)));
    json_object_set_new(answer, "leapt_s", seconds_json(clock->leapt_ms));
    answer_rounded(call->request, answer);
}

struct leap {
    struct server *server;
    struct http_request *request;
    uint64_t by_ms;
};

static void on_leapt(void *arg, uint64_t fired) {
    struct leap *leap = arg;
    json_t *answer = json_object();
    json_object_set_new(answer, "now_s", seconds_json(clock_now_ms(&leap->server->clock)));
    json_object_set_new(answer, "advanced_s", seconds_json(leap->by_ms));
    json_object_set_new(answer, "fired", json_integer((json_int_t)fired));
    answer_rounded(leap->request, answer);
    free(leap);
}

void v1_clock_advance(const struct call *call) {
    static const char *const members[] = {"advance", NULL};
    struct server *server = call->web->server;
    uint64_t by_ms;
    json_t *body = input_body(call, members);
    if (body == NULL)
        return;
    bool understood = document_duration(json_object_get(body, "advance"), LEAP_MAX_MS, &by_ms);
    json_decref(body);
    if (!understood) {
        problem_send(call->request, PROBLEM_BAD_BODY,
                     "advance must be a duration such as \"86400s\", \"500ms\" or \"1d\", or a number of seconds, from "
                     "0 to 100 years.");
        return;
    }
    struct leap *leap = malloc(sizeof *leap);
    if (leap != NULL) {
        *leap = (struct leap){server, call->request, by_ms};
        if (server_leap(server, by_ms, on_leapt, leap))
            return;
        free(leap);
    }
    problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
}
