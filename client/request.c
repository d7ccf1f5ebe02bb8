#include "client/request.h"

#include "client/device.h"
#include "client/payload.h"
#include "common/coap/block.h"

enum { PATH_TEXT_MAX = 2048, DEPTH_MAX = 3, OBSERVE_BEGIN = 0, OBSERVE_CANCEL = 1 };

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
    if (target->object == NULL || path->len < 2)
        return target->object != NULL;
    target->instance = object_instance(target->object, path->ids[1]);
    if (target->instance == NULL || path->len < 3)
        return target->instance != NULL;
    target->resource = object_resource(target->object, path->ids[2]);
    if (target->resource == NULL || path->len < 4)
        return target->resource != NULL;
    return target->resource->multiple;
}

bool target_is_open(const struct target *target) {
    return target->object == NULL || !target->object->kind->is_hidden;
}

bool target_exists(const struct target *target) {
    if (target->path.len < 3)
        return true;
    if (target->path.len == 3)
        return object_has(target->instance, target->resource);
    return instance_value(target->instance, target->resource->id, target->path.ids[3]) != NULL;
}

enum lwm2m_format_use target_use(const struct target *target) {
    if (target->path.len == 4)
        return LWM2M_USE_RESOURCE_INSTANCE;
    return target->path.len == 3 && !target->resource->multiple ? LWM2M_USE_RESOURCE : LWM2M_USE_INSTANCE;
}

/* The only query of a Discover is depth= (1.2). */
static bool read_depth(const struct coap_message *message, uint8_t version, bool *has_depth, unsigned *depth) {
    *has_depth = false;
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        uint64_t number;
        if (option->number != COAP_URI_QUERY)
            continue;
        if (*has_depth || version < 12 || !slice_starts_with(option->value, "depth=") ||
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

/* ---- Observe ---- */

/* Observe is about the whole: whoever asks for a later block fetches what there is (RFC 7959 §3.4). */
static bool wants_observe(const struct coap_message *message, uint32_t which) {
    uint32_t value;
    struct coap_block block;
    bool is_later = coap_block_get(message, COAP_BLOCK2, &block) && block.num > 0;
    return coap_option_uint(message, COAP_OBSERVE, &value) && value == which && !is_later;
}

static bool has_query(const struct coap_message *message) {
    return coap_option_find(message, COAP_URI_QUERY) != NULL;
}

/* Attributes in the query of an Observe came with 1.2 (§6.4.1). */
static bool read_asked(const struct device *device, const struct coap_message *message, enum lwm2m_type type,
                       struct attributes *asked, const char **why) {
    bool is_observe = wants_observe(message, OBSERVE_BEGIN) || wants_observe(message, OBSERVE_CANCEL);
    *why = "the query is not understood";
    if (has_query(message) && (!is_observe || device->options->version < 12))
        return false;
    for (size_t i = 0; i < message->option_count; i++) {
        enum attribute which;
        unsigned before = asked->set;
        if (message->options[i].number != COAP_URI_QUERY)
            continue;
        if (!attributes_read(asked, message->options[i].value, device->options->version, type, &which, why))
            return false;
        *why = "an attribute of an Observe has a value and comes once";
        if (!attributes_have(asked, which) || (before & 1u << which) != 0)
            return false;
    }
    *why = "the attributes contradict each other";
    return attributes_agree(asked);
}

/* After the answer has been made: it is the first notification, if it is one. */
static void observe(struct device *device, const struct coap_message *message, const struct lwm2m_path *paths,
                    size_t count, const struct attributes *asked, struct answer *answer) {
    struct coap_block block = {.szx = 0};
    struct observed what = {.method = message->code,
                            .paths = paths,
                            .path_count = count,
                            .format = answer->format,
                            .asked = *asked,
                            .token = message->token};
    if (wants_observe(message, OBSERVE_CANCEL))
        observe_cancel(&device->observer, message->token);
    if (!wants_observe(message, OBSERVE_BEGIN) || answer->code != COAP_2_05_CONTENT)
        return;
    const struct coap_option *protected_by = coap_option_find(message, COAP_OSCORE);
    what.protected_by = protected_by == NULL ? SLICE_NONE : protected_by->value;
    what.has_block2 = coap_block_get(message, COAP_BLOCK2, &block);
    what.szx = block.szx;
    answer->has_observe = observe_begin(&device->observer, &what, &answer->observe);
}

/* ---- methods ---- */

static void answer_discover(struct device *device, const struct target *target, const struct coap_message *message,
                            struct answer *answer) {
    bool has_depth;
    unsigned depth = default_depth(device, &target->path);
    if (read_depth(message, device->options->version, &has_depth, &depth))
        discover_answer(device, target, depth, answer);
    else
        answer_with(answer, COAP_4_00_BAD_REQUEST, "the query is not understood");
}

static void answer_get(struct device *device, const struct target *target, const struct coap_message *message,
                       struct answer *answer) {
    uint32_t accept;
    bool has_accept = coap_option_uint(message, COAP_ACCEPT, &accept);
    struct attributes asked = {.set = 0};
    const char *why;
    if (has_accept && accept == COAP_FORMAT_LINK) {
        answer_discover(device, target, message, answer);
        return;
    }
    if (!read_asked(device, message, target->resource == NULL ? LWM2M_NONE : target->resource->type, &asked, &why)) {
        answer_with(answer, COAP_4_00_BAD_REQUEST, why);
        return;
    }
    read_answer(device, target, has_accept ? (int)accept : COAP_FORMAT_NONE, answer);
    observe(device, message, &target->path, 1, &asked, answer);
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
        create_answer(device, target, request, answer);
    else if (target->path.len == 3 && (is_text || (target->resource->operations & OPERATION_E) != 0))
        execute_answer(target, request, answer);
    else if (target->path.len == 4)
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "a resource instance is written with PUT");
    else
        write_answer(device, target, request, false, answer);
}

static void answer_delete(struct device *device, const struct target *target, const struct coap_request *request,
                          struct answer *answer) {
    if (has_query(request->message))
        answer_with(answer, COAP_4_00_BAD_REQUEST, "a query has no meaning here");
    else
        delete_answer(device, target, answer);
}

static void answer_fetch(struct device *device, const struct coap_request *request, struct answer *answer) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes paths = lwm2m_nodes_over(memory, NODES_MAX);
    struct lwm2m_path observed[NODES_MAX];
    struct attributes asked = {.set = 0};
    const char *why;
    if (!read_asked(device, request->message, LWM2M_NONE, &asked, &why)) {
        answer_with(answer, COAP_4_00_BAD_REQUEST, why);
        return;
    }
    read_composite_answer(device, request, &paths, answer);
    for (size_t i = 0; i < paths.count; i++)
        observed[i] = paths.nodes[i].path;
    observe(device, request->message, observed, paths.count, &asked, answer);
}

/* The composite operations came with 1.1 and are about the root. */
static void answer_root(struct device *device, const struct coap_request *request, struct answer *answer) {
    uint8_t method = request->message->code;
    bool is_composite = device->options->version > 10 && (method == COAP_FETCH || method == COAP_IPATCH);
    if (!is_composite)
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, NULL);
    else if (method == COAP_FETCH)
        answer_fetch(device, request, answer);
    else if (has_query(request->message))
        answer_with(answer, COAP_4_00_BAD_REQUEST, "a query has no meaning here");
    else
        write_composite_answer(device, request, answer);
}

/* Requests about resource instances came with 1.1. */
static size_t longest_path(const struct device *device) {
    return device->options->version == 10 ? LWM2M_PATH_IDS - 1 : LWM2M_PATH_IDS;
}

static void route(struct device *device, const struct coap_request *request, struct slice path_text,
                  struct answer *answer) {
    struct target target = {.object = NULL};
    bool is_path = !has_slash(request->message) && lwm2m_path_parse(path_text, &target.path, NULL) &&
                   target.path.len <= longest_path(device);
    if (!is_path || !target_find(device, &target) || !target_is_open(&target)) {
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
    case COAP_DELETE:
        answer_delete(device, &target, request, answer);
        return;
    default:
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, NULL);
        return;
    }
}

static void respond(const struct coap_request *request, const struct answer *answer) {
    struct coap_message response;
    struct coap_uint format, sequence;
    uint8_t segments[LWM2M_PATH_IDS][8];
    coap_message_init(&response, COAP_ACK, answer->code, 0, SLICE_NONE);
    if (answer->has_observe)
        coap_option_add_uint(&response, COAP_OBSERVE, answer->observe, &sequence);
    for (size_t i = 0; i < answer->location.len; i++) {
        struct buffer segment = buffer_over(segments[i], sizeof segments[i]);
        buffer_put_decimal(&segment, answer->location.ids[i]);
        coap_option_add(&response, COAP_LOCATION_PATH, buffer_slice(&segment));
    }
    if (answer->format != COAP_FORMAT_NONE)
        coap_option_add_uint(&response, COAP_CONTENT_FORMAT, (uint32_t)answer->format, &format);
    response.payload = answer->diagnostic != NULL ? slice_str(answer->diagnostic) : buffer_slice(&answer->payload);
    coap_respond(request->endpoint, request->exchange, &response);
}

void request_answer(struct device *device, const struct coap_request *request) {
    uint8_t path_bytes[PATH_TEXT_MAX];
    struct buffer path = buffer_over(path_bytes, sizeof path_bytes);
    struct answer answer = {.format = COAP_FORMAT_NONE, .payload = workspace_take(&device->payload, PAYLOAD_USUAL)};
    uint8_t method = request->message->code;
    enum pelion_verdict verdict = PELION_AS_USUAL;
    put_path(&path, request->message);
    if (device->options->pelion)
        verdict = pelion_judge(&device->pelion, request, buffer_slice(&path), &answer);
    if (verdict == PELION_SILENT) {
        coap_respond_nothing(request->endpoint, request->exchange);
        return;
    }
    if (verdict == PELION_AS_USUAL && bootstrap_is_under_way(&device->bootstrap))
        bootstrap_answer(device, request, has_slash(request->message) ? slice_str("//") : buffer_slice(&path), &answer);
    else if (verdict == PELION_AS_USUAL)
        route(device, request, buffer_slice(&path), &answer);
    device_keep(device);
    if (answer.payload.overflow)
        answer = (struct answer){.code = COAP_5_00_INTERNAL_SERVER_ERROR,
                                 .format = COAP_FORMAT_NONE,
                                 .diagnostic = "the answer is too large"};
    if (device->options->pelion)
        pelion_note_format(&device->pelion, request, &answer);
    if (!device->options->pelion || !pelion_answer_later(&device->pelion, request, buffer_slice(&path), &answer))
        respond(request, &answer);
    report_request(&device->report, method, buffer_slice(&path), answer.code);
    observer_settle(&device->observer);
    workspace_settle(&device->payload);
    workspace_settle(&device->scratch);
}
