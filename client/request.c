#include "client/request.h"

#include "client/device.h"

enum { PAYLOAD_MAX = 65536, PATH_TEXT_MAX = 2048, DEPTH_MAX = 3 };

/* `/3/0/0`. */
static void put_path(struct buffer *out, const struct coap_message *message) {
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number == COAP_URI_PATH) {
            buffer_put_u8(out, '/');
            buffer_put_slice(out, message->options[i].value);
        }
    }
    if (out->len == 0)
        buffer_put_u8(out, '/');
}

/* A slash within a segment separates nothing. */
static bool has_slash(const struct coap_message *message) {
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        if (option->number == COAP_URI_PATH && option->value.len > 0 &&
            memchr(option->value.data, '/', option->value.len) != NULL)
            return true;
    }
    return false;
}

bool target_find(struct device *device, struct target *target) {
    const struct lwm2m_path *path = &target->path;
    if (path->len == 0)
        return true;
    target->object = device_object(device, path->ids[0]);
    if (target->object == NULL || (path->len > 1 && path->ids[1] != 0))
        return false;
    if (path->len < 3)
        return true;
    target->resource = object_resource(target->object, path->ids[2]);
    return target->resource != NULL && (path->len < 4 || target->resource->multiple);
}

enum lwm2m_format_use target_use(const struct target *target) {
    if (target->path.len == 4)
        return LWM2M_USE_RESOURCE_INSTANCE;
    return target->path.len == 3 && !target->resource->multiple ? LWM2M_USE_RESOURCE : LWM2M_USE_INSTANCE;
}

/* The only query that a request for data may have is depth=, of a Discover (1.2). */
static bool read_query(const struct coap_message *message, bool *has_depth, unsigned *depth) {
    *has_depth = false;
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        uint64_t number;
        if (option->number != COAP_URI_QUERY)
            continue;
        if (*has_depth || !slice_starts_with(option->value, "depth=") ||
            !slice_to_u64(slice_from(option->value, strlen("depth=")), DEPTH_MAX, &number))
            return false;
        *has_depth = true;
        *depth = (unsigned)number;
    }
    return true;
}

/* How deep a Discover goes by itself: two levels below an object, one below an instance or resource. Only 1.2 lists the
 * instances of a resource. */
static unsigned default_depth(const struct device *device, const struct lwm2m_path *path) {
    if (path->len == 3 && device->options->version < 12)
        return 0;
    return path->len == 1 ? 2 : 1;
}

static void answer_get(struct device *device, const struct target *target, const struct coap_message *message,
                       struct answer *answer) {
    uint32_t accept;
    bool has_accept = coap_option_uint(message, COAP_ACCEPT, &accept), has_depth;
    bool is_discover = has_accept && accept == COAP_FORMAT_LINK;
    unsigned depth = default_depth(device, &target->path);
    if (!read_query(message, &has_depth, &depth) || (has_depth && !is_discover))
        answer_with(answer, COAP_4_00_BAD_REQUEST, "the query is not understood");
    else if (is_discover)
        discover_answer(device, target, depth, answer);
    else
        read_answer(device, target, has_accept ? (int)accept : COAP_FORMAT_NONE, answer);
}

/* PUT with a query is Write-Attributes. */
static void answer_put(struct device *device, const struct target *target, const struct coap_request *request,
                       struct answer *answer) {
    if (coap_option_find(request->message, COAP_URI_QUERY) != NULL)
        write_attributes_answer(device, target, request, answer);
    else if (target->path.len < 2)
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "an object cannot be replaced");
    else
        write_answer(device, target, request, true, answer);
}

/* POST is Execute on a resource without payload or with arguments in text, and else adds to what is there. */
static void answer_post(struct device *device, const struct target *target, const struct coap_request *request,
                        struct answer *answer) {
    int format = coap_content_format(request->message);
    bool is_text = format == COAP_FORMAT_NONE || format == COAP_FORMAT_TEXT;
    if (coap_option_find(request->message, COAP_URI_QUERY) != NULL)
        answer_with(answer, COAP_4_00_BAD_REQUEST, "a query has no meaning here");
    else if (target->path.len == 1)
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "instances cannot be created");
    else if (target->path.len == 3 && (is_text || (target->resource->operations & OPERATION_E) != 0))
        execute_answer(target, request, answer);
    else if (target->path.len == 4)
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "a resource instance is written with PUT");
    else
        write_answer(device, target, request, false, answer);
}

/* The composite operations came with 1.1, are about the root and have no query. */
static void answer_root(struct device *device, const struct coap_request *request, struct answer *answer) {
    uint8_t method = request->message->code;
    bool is_composite = device->options->version > 10 && (method == COAP_FETCH || method == COAP_IPATCH);
    if (!is_composite)
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, NULL);
    else if (coap_option_find(request->message, COAP_URI_QUERY) != NULL)
        answer_with(answer, COAP_4_00_BAD_REQUEST, "a query has no meaning here");
    else if (method == COAP_FETCH)
        read_composite_answer(device, request, answer);
    else
        write_composite_answer(device, request, answer);
}

static void route(struct device *device, const struct coap_request *request, struct slice path_text,
                  struct answer *answer) {
    struct target target = {.object = NULL};
    if (has_slash(request->message) || !lwm2m_path_parse(path_text, &target.path, NULL) ||
        !target_find(device, &target)) {
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
        return;
    }
    if (target.path.len == 0) {
        answer_root(device, request, answer);
        return;
    }
    switch (request->message->code) {
    case COAP_GET:
        answer_get(device, &target, request->message, answer);
        return;
    case COAP_PUT:
        answer_put(device, &target, request, answer);
        return;
    case COAP_POST:
        answer_post(device, &target, request, answer);
        return;
    default:
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, NULL);
        return;
    }
}

static void respond(const struct coap_request *request, const struct answer *answer) {
    struct coap_message response;
    struct coap_uint format;
    coap_message_init(&response, COAP_ACK, answer->code, 0, SLICE_NONE);
    if (answer->format != COAP_FORMAT_NONE)
        coap_option_add_uint(&response, COAP_CONTENT_FORMAT, (uint32_t)answer->format, &format);
    response.payload = answer->diagnostic != NULL ? slice_str(answer->diagnostic) : buffer_slice(&answer->payload);
    coap_respond(request->endpoint, request->exchange, &response);
}

void request_answer(struct device *device, const struct coap_request *request) {
    uint8_t path_bytes[PATH_TEXT_MAX], payload[PAYLOAD_MAX];
    struct buffer path = buffer_over(path_bytes, sizeof path_bytes);
    struct answer answer = {.format = COAP_FORMAT_NONE, .payload = buffer_over(payload, sizeof payload)};
    uint8_t method = request->message->code;
    put_path(&path, request->message);
    route(device, request, buffer_slice(&path), &answer);
    if (answer.payload.overflow)
        answer = (struct answer){.code = COAP_5_00_INTERNAL_SERVER_ERROR,
                                 .format = COAP_FORMAT_NONE,
                                 .diagnostic = "the answer is too large"};
    respond(request, &answer);
    report_request(&device->report, method, buffer_slice(&path), answer.code);
}
