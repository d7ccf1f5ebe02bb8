#include "server/operation.h"

#include <stdlib.h>

#include "common/coap/option.h"

struct operation {
    struct coap_call *call;
    operation_fn *done;
    void *arg;
};

static enum operation_outcome outcome_of(enum coap_call_result result) {
    switch (result) {
    case COAP_CALL_REPLY:
        return OPERATION_ANSWERED;
    case COAP_CALL_NO_ACK:
        return OPERATION_NO_ACK;
    case COAP_CALL_NO_RESPONSE:
        return OPERATION_NO_RESPONSE;
    case COAP_CALL_RESET:
        return OPERATION_RESET;
    case COAP_CALL_TOO_LARGE:
    case COAP_CALL_INCOMPLETE:
        return OPERATION_UNFINISHED;
    case COAP_CALL_CANCELLED:
        return OPERATION_GONE;
    }
    return OPERATION_GONE;
}

bool operation_refuses_format(const struct operation_result *result) {
    return result->outcome == OPERATION_ANSWERED && (result->message->code == COAP_4_06_NOT_ACCEPTABLE ||
                                                     result->message->code == COAP_4_15_UNSUPPORTED_CONTENT_FORMAT);
}

static void on_reply(void *arg, const struct coap_reply *reply) {
    struct operation *operation = arg;
    struct operation_result result = {.outcome = outcome_of(reply->result),
                                      .message = reply->message,
                                      .body = reply->body,
                                      .rtt_ms = reply->rtt_ms,
                                      .retransmissions = reply->retransmissions};
    operation_fn *done = operation->done;
    void *done_arg = operation->arg;
    free(operation);
    done(done_arg, &result);
}

/* An option for each part between separators; an empty text has none. */
static bool add_parts(struct coap_message *message, uint16_t number, struct slice text, uint8_t separator) {
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, separator, text.len);
        struct slice part = end == NULL ? text : slice_of(text.data, (size_t)(end - text.data));
        if (part.len > 255 || !coap_option_add(message, number, part))
            return false;
        text = slice_from(text, part.len + 1);
    }
    return true;
}

static struct slice without_slash_at_start(struct slice path) {
    return path.len > 0 && path.data[0] == '/' ? slice_from(path, 1) : path;
}

static bool compose(const struct registration *r, const struct operation_request *request, struct coap_message *message,
                    struct coap_uint scratch[2]) {
    coap_message_init(message, COAP_CON, request->method, 0, SLICE_NONE);
    message->payload = request->payload;
    if (!request->is_absolute && !add_parts(message, COAP_URI_PATH, without_slash_at_start(registration_root(r)), '/'))
        return false;
    if (!add_parts(message, COAP_URI_PATH, without_slash_at_start(request->path), '/') ||
        !add_parts(message, COAP_URI_QUERY, request->query, '&'))
        return false;
    if (request->accept >= 0 && !coap_option_add_uint(message, COAP_ACCEPT, (uint32_t)request->accept, &scratch[0]))
        return false;
    if (request->content_format >= 0 &&
        !coap_option_add_uint(message, COAP_CONTENT_FORMAT, (uint32_t)request->content_format, &scratch[1]))
        return false;
    for (size_t i = 0; i < request->option_count; i++) {
        if (!coap_option_add(message, request->options[i].number, request->options[i].value))
            return false;
    }
    return true;
}

struct operation *operation_start(struct server *server, struct slice endpoint, const struct operation_request *request,
                                  operation_fn *done, void *arg, enum operation_refusal *refusal) {
    struct coap_message message;
    struct coap_uint scratch[2];
    const struct registration *r = directory_find(server->directory, endpoint);
    *refusal = OPERATION_NOT_REGISTERED;
    if (r == NULL)
        return NULL;
    *refusal = OPERATION_MALFORMED;
    if (!compose(r, request, &message, scratch) || !coap_call_fits(server->coap, &message))
        return NULL;
    *refusal = OPERATION_QUEUE_FULL;
    struct operation *operation = malloc(sizeof *operation);
    if (operation == NULL)
        return NULL;
    *operation = (struct operation){.done = done, .arg = arg};
    const struct coap_call_options options = {.type = request->is_non_confirmable ? COAP_NON : COAP_CON,
                                              .response_timeout_ms = request->response_timeout_ms};
    operation->call = coap_call_with(server->coap, r->link, &message, &options, on_reply, operation);
    if (operation->call == NULL) {
        free(operation);
        return NULL;
    }
    *refusal = OPERATION_ACCEPTED;
    return operation;
}

void operation_cancel(struct operation *operation) {
    coap_call_cancel(operation->call);
    free(operation);
}

void operation_end_all(struct server *server, const struct registration *r) {
    coap_cancel_calls(server->coap, r->link);
}
