/* Calls of /v1 from within whose answers are JSON; each is answered, also when the facade stops before. */
#include <stdlib.h>

#include "web/pelion/pelion.h"

struct pelion_asking {
    struct pelion_asking *next;
    struct pelion *pelion;
    struct inner *inner;
    pelion_answer_fn *done;
    void *arg;
    bool is_starting, is_over;
};

static void end(struct pelion_asking *asking, unsigned status, const json_t *body) {
    struct pelion_asking **link = &asking->pelion->askings;
    while (*link != asking)
        link = &(*link)->next;
    *link = asking->next;
    asking->is_over = true;
    asking->done(asking->arg, status, body);
    if (!asking->is_starting)
        free(asking);
}

static void on_answer(void *arg, const struct http_response *response) {
    json_t *body = response->body.len == 0
                       ? NULL
                       : json_loadb((const char *)response->body.data, response->body.len, JSON_DECODE_ANY, NULL);
    end(arg, response->status, body);
    json_decref(body);
}

void pelion_ask(struct pelion *pelion, const struct inner_request *request, pelion_answer_fn *done, void *arg) {
    struct pelion_asking *asking = calloc(1, sizeof *asking);
    if (asking == NULL) {
        done(arg, 503, NULL);
        return;
    }
    *asking = (struct pelion_asking){
        .next = pelion->askings, .pelion = pelion, .done = done, .arg = arg, .is_starting = true};
    pelion->askings = asking;
    struct inner *inner = inner_start(pelion->web, request, on_answer, asking);
    asking->is_starting = false;
    if (asking->is_over)
        free(asking);
    else
        asking->inner = inner;
}

void pelion_askings_end(struct pelion *pelion) {
    while (pelion->askings != NULL) {
        struct pelion_asking *asking = pelion->askings;
        if (asking->inner != NULL)
            inner_cancel(asking->inner);
        end(asking, 0, NULL);
    }
}
