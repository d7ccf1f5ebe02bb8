#include "server/firmware_update.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/lwm2m/format.h"
#include "server/admission.h"
#include "server/dealings.h"
#include "server/definition.h"
#include "server/format_choice.h"
#include "server/observation.h"
#include "server/operation.h"
#include "server/registration.h"

enum {
    BUCKETS = 1024,
    DETAIL_MAX = 200,
    NODES_MAX = 64,          /* of the instance */
    REPORT_MAX = 128 * 1024, /* its bytes: Package can't be read */
    POLL_FIRST_MS = 1000,
    POLL_LAST_MS = 30000,
    TLV_HEAD_MAX = 6,
    PROGRESS_STEPS = 10,
    PATH_MAX_LEN = 24,
    PROTOCOLS = 8, /* these three of object 5 */
    DELIVERY = 9,
    CANCEL = 10,
    UNINSTALL = 6, /* these of object 9 */
    ACTIVATE = 10,
};

/* What is where: in object 5, and in object 9, which firmware_plan.h makes look like it. */
struct kind {
    uint16_t object, package, uri, install, state, result;
};

static const struct kind firmware_kind = {.object = 5, .package = 0, .uri = 1, .install = 2, .state = 3, .result = 5},
                         software_kind = {.object = 9, .package = 2, .uri = 3, .install = 4, .state = 7, .result = 9};

/* How a device is brought back to state Idle: the next is tried when it refuses one. Of object 9 the first is Uninstall. */
enum reset_way { RESET_BY_CANCEL, RESET_BY_PACKAGE, RESET_BY_PACKAGE_IN_TLV, RESET_BY_URI, RESET_WAYS };

struct update {
    struct update *next; /* in its bucket */
    struct server *server;
    struct firmware_image *image; /* while it is under way; NULL: there is none */
    struct operation *operation;  /* under way, or NULL */
    struct timer poll, deadline;
    struct firmware_progress progress;
    const struct kind *kind;
    struct firmware_report report; /* as told of the object */
    struct format_choices formats; /* of what is being asked, and which of them is */
    size_t format;
    uint64_t created_at_ms, deadline_ms, ended_at_ms;
    uint64_t bytes, told_bytes, size;
    uint64_t observations[2]; /* of State and Update Result, made for it; 0: none */
    uint32_t poll_ms;         /* the next pause */
    enum firmware_method ordered_method;
    enum firmware_protocol ordered_protocol, protocol;
    enum reset_way reset_way;
    uint8_t observed;  /* how many of `observations` were asked for */
    uint8_t coap_code; /* with which what was written or executed was refused */
    bool has_report, activate;
    uint16_t instance;
    char path[PATH_MAX_LEN];                      /* of what is being asked */
    struct lwm2m_path observed_path;              /* likewise */
    uint8_t tlv_head[TLV_HEAD_MAX], tlv_head_len; /* before the package that is being written */
    char image_name[FIRMWARE_NAME_MAX + 1];
    char uri[FIRMWARE_URL_MAX + 1];
    char detail[DETAIL_MAX];
    size_t endpoint_len;
    uint8_t endpoint[];
};

struct firmware_updates {
    struct server *server;
    struct event_subscriber *subscriber;
    struct hash_key key;
    size_t count;
    struct update *buckets[BUCKETS];
};

static void ask(struct update *update);
static void perform(struct update *update, struct firmware_decision decision);
static void deliver(struct update *update);

static struct slice endpoint_of(const struct update *update) {
    return slice_of(update->endpoint, update->endpoint_len);
}

static uint64_t now_ms(const struct update *update) {
    return clock_now_ms(&update->server->clock);
}

static bool is_software(const struct update *update) {
    return update->kind == &software_kind;
}

static struct lwm2m_path instance_of(const struct update *update) {
    return (struct lwm2m_path){.ids = {update->kind->object, update->instance}, .len = 2};
}

static struct lwm2m_path path_of(const struct update *update, uint16_t resource) {
    return (struct lwm2m_path){.ids = {update->kind->object, update->instance, resource}, .len = 3};
}

/* The report as one of object 5. */
static struct firmware_report planned(const struct update *update) {
    return is_software(update) ? software_report(&update->report, update->progress.step) : update->report;
}

/* ---- the table ---- */

static struct update **bucket_of(struct firmware_updates *updates, struct slice endpoint) {
    return &updates->buckets[hash_slice(&updates->key, endpoint) % BUCKETS];
}

static struct update *find(const struct server *server, struct slice endpoint) {
    struct firmware_updates *updates = server->firmware_updates;
    if (updates == NULL || updates->count == 0)
        return NULL;
    struct update *update = *bucket_of(updates, endpoint);
    while (update != NULL && !slice_equal(endpoint_of(update), endpoint))
        update = update->next;
    return update;
}

static struct update *add(struct server *server, struct slice endpoint) {
    struct firmware_updates *updates = server->firmware_updates;
    struct update *update = calloc(1, sizeof *update + endpoint.len);
    if (update == NULL)
        return NULL;
    struct update **bucket = bucket_of(updates, endpoint);
    update->server = server;
    update->kind = &firmware_kind;
    update->endpoint_len = endpoint.len;
    if (endpoint.len > 0) /* of a row that somebody else has written */
        memcpy(update->endpoint, endpoint.data, endpoint.len);
    update->next = *bucket;
    *bucket = update;
    updates->count++;
    return update;
}

/* Nothing of it goes on. */
static void let_go(struct update *update) {
    timer_cancel(&update->server->wheel, &update->poll);
    timer_cancel(&update->server->wheel, &update->deadline);
    if (update->operation != NULL)
        operation_cancel(update->operation);
    update->operation = NULL;
    if (update->image != NULL)
        update->image->users--;
    update->image = NULL;
}

static void drop(struct update *update) {
    struct firmware_updates *updates = update->server->firmware_updates;
    struct update **at = bucket_of(updates, endpoint_of(update));
    while (*at != update)
        at = &(*at)->next;
    *at = update->next;
    updates->count--;
    let_go(update);
    free(update);
}

/* ---- what is stored ---- */

enum {
    STEP_BITS = 4,
    METHOD_AT = 4,
    PROTOCOL_AT = 6,
    UPDATE_AT = 9,
    ORDERED_AT = 10,
    CHOSEN_AT = 12,
    STORED = 1 << 16,
    SOFTWARE_AT = 17,
    ACTIVATE_AT = 18,
    INSTANCE_AT = 32 /* 16 bits */
};

static uint64_t flags_of(const struct update *update) {
    return STORED | (uint64_t)is_software(update) << SOFTWARE_AT | (uint64_t)update->activate << ACTIVATE_AT |
           (uint64_t)update->instance << INSTANCE_AT | (uint32_t)update->progress.step |
           (uint32_t)update->progress.method << METHOD_AT | (uint32_t)update->ordered_protocol << PROTOCOL_AT |
           (uint32_t)update->progress.update << UPDATE_AT | (uint32_t)update->ordered_method << ORDERED_AT |
           (uint32_t)update->protocol << CHOSEN_AT;
}

static void store(const struct update *update, store_done_fn *done, void *arg) {
    struct store_firmware_update row = {.endpoint = endpoint_of(update),
                                        .image = slice_str(update->image_name),
                                        .uri = slice_str(update->uri),
                                        .detail = slice_str(update->detail),
                                        .flags = flags_of(update),
                                        .result = update->has_report ? (uint32_t)update->report.result : 0,
                                        .created_at_ms = update->created_at_ms,
                                        .deadline_ms = update->deadline_ms,
                                        .ended_at_ms = update->ended_at_ms,
                                        .observation = update->observations[0],
                                        .observation_of_result = update->observations[1]};
    enum store_result result = store_put_firmware_update(update->server->store, &row, done, arg);
    if (result != STORE_OK && done != NULL)
        done(arg, result);
}

static enum store_result store_deletion(struct server *server, struct slice endpoint, store_done_fn *done, void *arg) {
    return store_put_firmware_update(server->store, &(struct store_firmware_update){.endpoint = endpoint}, done, arg);
}

/* ---- what is told ---- */

static void publish(struct update *update) {
    uint8_t memory[512];
    struct buffer facts = buffer_over(memory, sizeof memory);
    const struct firmware_progress *progress = &update->progress;
    event_fact_put(&facts, EVENT_FACT_STATE, slice_str(firmware_step_name(progress->step)));
    if (update->image_name[0] != '\0')
        event_fact_put(&facts, EVENT_FACT_IMAGE, slice_str(update->image_name));
    if (progress->method != FIRMWARE_AUTO)
        event_fact_put(&facts, EVENT_FACT_METHOD, slice_str(progress->method == FIRMWARE_PUSH ? "push" : "pull"));
    if (update->size > 0) {
        event_fact_put_number(&facts, EVENT_FACT_BYTES, update->bytes);
        event_fact_put_number(&facts, EVENT_FACT_SIZE, update->size);
    }
    if (firmware_is_over(progress->step) && update->has_report && update->report.result >= 0)
        event_fact_put_number(&facts, EVENT_FACT_RESULT, (uint64_t)update->report.result);
    struct event event = {.type = EVENT_FIRMWARE,
                          .endpoint = endpoint_of(update),
                          .detail = slice_str(update->detail),
                          .coap_code = progress->step == FIRMWARE_FAILED ? update->coap_code : 0,
                          .facts = buffer_slice(&facts)};
    update->told_bytes = update->bytes;
    event_publish(update->server->events, &event);
}

static void note_bytes(struct update *update, uint64_t bytes) {
    update->bytes = bytes;
    if (bytes < update->told_bytes) /* it has begun again */
        update->told_bytes = bytes;
    if (update->size > 0 && bytes - update->told_bytes >= update->size / PROGRESS_STEPS && bytes < update->size)
        publish(update);
}

static void enter(struct update *update, enum firmware_step step) {
    if (update->progress.step == step)
        return;
    update->progress.step = step;
    update->progress.idle_reports = 0;
    update->poll_ms = POLL_FIRST_MS;
    store(update, NULL, NULL);
    publish(update);
}

/* ---- observing ---- */

static void on_unobserved(void *arg, const struct operation_result *result) {
    (void)arg;
    (void)result;
}

/* What was made for the update ends with it; when the device can't be told, its next notification is reset. */
static void end_observations(struct update *update) {
    struct server *server = update->server;
    struct registration *r = directory_find(server->directory, endpoint_of(update));
    for (size_t i = 0; i < 2; i++) {
        uint64_t id = update->observations[i];
        enum operation_refusal refusal;
        update->observations[i] = 0;
        struct observation *observation = r == NULL || id == 0 ? NULL : observation_find(r, id);
        struct operation_request request = {
            .accept = COAP_FORMAT_NONE, .content_format = COAP_FORMAT_NONE, .cancels = id};
        if (observation != NULL &&
            operation_start(server, endpoint_of(update), &request, on_unobserved, NULL, &refusal) == NULL) {
            store_delete_observations(server->store, &id, 1, NULL, NULL);
            observation_forget(observation, "the firmware update is over");
        }
    }
}

/* ---- its end ---- */

static void end(struct update *update, enum firmware_step step, const char *detail) {
    snprintf(update->detail, sizeof update->detail, "%s", detail);
    update->ended_at_ms = now_ms(update);
    if (step == FIRMWARE_SUCCEEDED)
        update->bytes = update->size;
    end_observations(update);
    let_go(update);
    enter(update, step);
}

static void fail(struct update *update, const char *why) {
    const char *text = !update->has_report   ? ""
                       : is_software(update) ? software_result_text(update->report.result)
                                             : firmware_result_text(update->report.result);
    char detail[DETAIL_MAX];
    bool is_failure = update->progress.step > FIRMWARE_PREPARING && update->has_report &&
                      planned(update).result > FIRMWARE_RESULT_SUCCESS;
    if (update->coap_code != 0 && !is_failure)
        snprintf(detail, sizeof detail, "the device has refused it with %u.%02u", COAP_CODE_CLASS(update->coap_code),
                 COAP_CODE_DETAIL(update->coap_code));
    else if (is_failure)
        snprintf(detail, sizeof detail, "%s: result %lld%s%s", why, (long long)update->report.result,
                 text[0] == '\0' ? "" : ", ", text);
    else
        snprintf(detail, sizeof detail, "%s", why);
    end(update, FIRMWARE_FAILED, detail);
}

static void on_deadline(struct timer *timer, void *arg) {
    struct update *update = TIMER_OWNER(timer, struct update, deadline);
    (void)arg;
    end(update, FIRMWARE_FAILED, "it was not over in time");
}

/* ---- waiting ---- */

static void on_poll(struct timer *timer, void *arg) {
    (void)arg;
    ask(TIMER_OWNER(timer, struct update, poll));
}

static void ask_after(struct update *update, uint64_t wait_ms) {
    timer_schedule(&update->server->wheel, &update->poll, now_ms(update) + wait_ms, on_poll);
}

static void ask_later(struct update *update) {
    ask_after(update, update->poll_ms);
    update->poll_ms = update->poll_ms >= POLL_LAST_MS / 2 ? POLL_LAST_MS : 2 * update->poll_ms;
}

/* The device may listen now. */
static void ask_soon(struct update *update) {
    if (!firmware_is_over(update->progress.step) && update->operation == NULL)
        ask_after(update, update->server->config->queue_delay_ms);
}

/* Send it. Whoever sleeps or is gone is asked again from the beginning when it is heard. */
static void start(struct update *update, const struct operation_request *request, operation_fn *done) {
    enum operation_refusal refusal;
    timer_cancel(&update->server->wheel, &update->poll);
    update->operation = operation_start(update->server, endpoint_of(update), request, done, update, &refusal);
    if (update->operation == NULL && refusal != OPERATION_ASLEEP && refusal != OPERATION_NOT_REGISTERED)
        ask_later(update);
}

/* The answer that has come, or NULL: it is asked again then. */
static const struct coap_message *answer_of(struct update *update, const struct operation_result *result) {
    update->operation = NULL;
    clock_update(&update->server->clock);
    if (result->outcome == OPERATION_ANSWERED)
        return result->message;
    ask_later(update);
    return NULL;
}

static bool is_success(const struct coap_message *message) {
    return COAP_CODE_CLASS(message->code) == 2;
}

/* Of the instance when `resource` is INSTANCE. */
enum { INSTANCE = -1 };

static struct operation_request request_for(struct update *update, uint8_t method, int resource) {
    int len = snprintf(update->path, sizeof update->path, "%u/%u", update->kind->object, update->instance);
    if (resource != INSTANCE)
        snprintf(update->path + len, sizeof update->path - (size_t)len, "/%d", resource);
    return (struct operation_request){.method = method,
                                      .path = slice_str(update->path),
                                      .accept = COAP_FORMAT_NONE,
                                      .content_format = COAP_FORMAT_NONE};
}

/* ---- reading the device ---- */

static void take_node(struct update *update, const struct lwm2m_node *node) {
    struct firmware_report *report = &update->report;
    const uint16_t *ids = node->path.ids;
    if (node->value.type != LWM2M_INTEGER || node->path.len < 3 || ids[0] != update->kind->object ||
        ids[1] != update->instance)
        return;
    int64_t number = node->value.integer;
    if (ids[2] == update->kind->state) {
        report->has_state = true;
        report->state = number;
    } else if (ids[2] == update->kind->result) {
        report->result = number;
    } else if (ids[2] == DELIVERY && !is_software(update)) {
        report->has_delivery = true;
        report->delivery = number;
    } else if (ids[2] == PROTOCOLS && !is_software(update)) {
        report->has_protocols = true;
        if (number >= 0 && number < FIRMWARE_PROTOCOLS)
            report->protocols |= (uint8_t)(1u << number);
    }
}

static bool read_report(struct update *update, const struct operation_result *result) {
    struct registration *r = directory_find(update->server->directory, endpoint_of(update));
    struct definitions definitions = definitions_of(update->server, r);
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    if (result->body.len > REPORT_MAX)
        return false;
    size_t room = 2 * result->body.len + 64;
    uint8_t *bytes = malloc(room);
    if (bytes == NULL)
        return false;
    struct buffer scratch = buffer_over(bytes, room);
    struct lwm2m_decode_context context = {.base = instance_of(update),
                                           .root = r == NULL ? SLICE_NONE : registration_root(r),
                                           .now_ms = (int64_t)now_ms(update),
                                           .mode = SENML_CONTENT,
                                           .type_of = definition_type_of,
                                           .arg = &definitions};
    int format = coap_content_format(result->message);
    bool good =
        lwm2m_decode(format == COAP_FORMAT_NONE ? LWM2M_FORMAT_TLV : format, result->body, &context, &scratch, &nodes);
    update->report = (struct firmware_report){.has_state = false};
    for (size_t i = 0; good && i < nodes.count; i++)
        take_node(update, &nodes.nodes[i]);
    free(bytes);
    update->has_report = good;
    return good;
}

static void on_report(void *arg, const struct operation_result *result) {
    struct update *update = arg;
    const struct coap_message *message = answer_of(update, result);
    struct registration *r = directory_find(update->server->directory, endpoint_of(update));
    if (message == NULL)
        return;
    if (operation_refuses_format(result) && ++update->format < update->formats.count) {
        ask(update);
        return;
    }
    if (!is_success(message)) {
        update->coap_code = message->code;
        update->has_report = false;
        fail(update, is_software(update) ? "object 9 can't be read" : "object 5 can't be read");
        return;
    }
    if (r != NULL && update->format > 0)
        format_worked_for_read(r, update->formats.formats[update->format]);
    if (!read_report(update, result)) {
        fail(update, is_software(update) ? "what the device tells of object 9 can't be decoded"
                                         : "what the device tells of object 5 can't be decoded");
        return;
    }
    struct firmware_report report = planned(update);
    bool is_blank = report.state == FIRMWARE_STATE_IDLE && report.result == FIRMWARE_RESULT_INITIAL;
    update->progress.idle_reports = is_blank ? update->progress.idle_reports + 1 : 0;
    if (update->coap_code != 0) /* with the result, if there is one, it is known what was wrong */
        fail(update, "the device has refused it");
    else
        perform(update, firmware_decide(&update->progress, &report));
}

/* Every turn begins with what the device tells now. */
static void ask(struct update *update) {
    struct registration *r = directory_find(update->server->directory, endpoint_of(update));
    const struct format_subject subject = {.path = instance_of(update)};
    if (update->operation != NULL || r == NULL || firmware_is_over(update->progress.step))
        return;
    if (update->format == 0 || update->format >= update->formats.count) {
        format_choices_for_read(r, &subject, &update->formats);
        update->format = 0;
    }
    struct operation_request request = request_for(update, COAP_GET, INSTANCE);
    request.accept = update->formats.formats[update->format];
    start(update, &request, on_report);
}

/* ---- back to Idle ---- */

static bool has_cancel(const struct update *update) {
    const struct registration *r = directory_find(update->server->directory, endpoint_of(update));
    struct definitions definitions = definitions_of(update->server, r);
    const struct lwm2m_path path = path_of(update, CANCEL);
    struct catalogue_resource resource;
    return update->progress.step == FIRMWARE_CANCELLING && update->report.state == FIRMWARE_STATE_DOWNLOADED &&
           definition_find(&definitions, &path, &resource);
}

static void reset(struct update *update);

static void on_reset(void *arg, const struct operation_result *result) {
    struct update *update = arg;
    const struct coap_message *message = answer_of(update, result);
    if (message == NULL)
        return;
    if (!is_success(message) && ++update->reset_way < RESET_WAYS) {
        reset(update);
        return;
    }
    if (!is_success(message)) {
        update->coap_code = message->code;
        update->has_report = false;
        fail(update, "the device does not go back to state Idle");
        return;
    }
    update->progress.was_reset = true;
    ask(update);
}

/* ForUpdate: what is installed is to be replaced, not taken away (the argument of 9/x/6). */
static struct operation_request uninstallation(struct update *update) {
    struct operation_request request = request_for(update, COAP_POST, UNINSTALL);
    if (update->report.state != SOFTWARE_STATE_INSTALLED)
        return request;
    request.payload = slice_str("1");
    request.content_format = LWM2M_FORMAT_TEXT;
    return request;
}

static void reset(struct update *update) {
    static const uint8_t nothing[] = {0};
    const uint8_t nothing_in_tlv[] = {0xc1, (uint8_t)update->kind->package, 0x00};
    struct operation_request request = request_for(update, COAP_PUT, update->kind->package);
    if (update->reset_way == RESET_BY_CANCEL && !is_software(update) && !has_cancel(update))
        update->reset_way =
            update->report.has_delivery && update->report.delivery == 0 ? RESET_BY_URI : RESET_BY_PACKAGE;
    switch (update->reset_way) {
    case RESET_BY_CANCEL:
        request = is_software(update) ? uninstallation(update) : request_for(update, COAP_POST, CANCEL);
        break;
    case RESET_BY_PACKAGE:
        request.payload = slice_of(nothing, sizeof nothing);
        request.content_format = LWM2M_FORMAT_OPAQUE;
        break;
    case RESET_BY_PACKAGE_IN_TLV:
        request.payload = slice_of(nothing_in_tlv, sizeof nothing_in_tlv);
        request.content_format = LWM2M_FORMAT_TLV;
        break;
    case RESET_BY_URI:
    case RESET_WAYS:
        request = request_for(update, COAP_PUT, update->kind->uri);
        request.content_format = LWM2M_FORMAT_TEXT;
        break;
    }
    start(update, &request, on_reset);
}

/* ---- push ---- */

static bool read_package(void *arg, size_t offset, uint8_t *out, size_t len) {
    struct update *update = arg;
    size_t head = offset < update->tlv_head_len ? update->tlv_head_len - offset : 0;
    if (head > len)
        head = len;
    if (head > 0)
        memcpy(out, update->tlv_head + offset, head);
    offset += head;
    note_bytes(update, offset - update->tlv_head_len);
    return firmware_image_read(update->image, offset - update->tlv_head_len, out + head, len - head);
}

/* A resource with this many bytes of value and the id of Package, as TLV has it before them (Core 1.2 §7.5.3.1). False:
 * TLV can't tell so many. */
static bool make_tlv_head(struct update *update) {
    struct buffer head = buffer_over(update->tlv_head, sizeof update->tlv_head);
    size_t size = update->image->size;
    uint8_t bytes = size < 8 ? 0 : size < 1 << 8 ? 1 : size < 1 << 16 ? 2 : 3;
    buffer_put_u8(&head, (uint8_t)(0xc0 | bytes << 3 | (bytes == 0 ? (int)size : 0)));
    buffer_put_u8(&head, (uint8_t)update->kind->package);
    while (bytes > 0)
        buffer_put_u8(&head, (uint8_t)(size >> 8 * --bytes));
    update->tlv_head_len = (uint8_t)head.len;
    return size < 1 << 24;
}

/* What was written is there, or refused: the device tells which. */
static void on_delivered(void *arg, const struct operation_result *result) {
    struct update *update = arg;
    const struct coap_message *message = answer_of(update, result);
    if (message == NULL)
        return;
    if (operation_refuses_format(result) && ++update->format < update->formats.count) {
        update->progress.deliveries--;
        deliver(update);
        return;
    }
    update->format = 0;
    if (message->code == COAP_5_03_SERVICE_UNAVAILABLE) {
        ask_after(update, POLL_LAST_MS);
        return;
    }
    if (!is_success(message)) {
        update->coap_code = message->code;
    } else {
        if (update->progress.method == FIRMWARE_PUSH)
            update->bytes = update->size;
        enter(update, FIRMWARE_DOWNLOADING);
    }
    ask(update);
}

static void push(struct update *update) {
    struct coap_source source = {.len = update->image->size, .read = read_package, .arg = update};
    struct operation_request request = request_for(update, COAP_PUT, update->kind->package);
    request.content_format = update->formats.formats[update->format];
    update->tlv_head_len = 0;
    if (request.content_format == LWM2M_FORMAT_TLV && !make_tlv_head(update)) {
        update->coap_code = COAP_4_15_UNSUPPORTED_CONTENT_FORMAT;
        fail(update, "");
        return;
    }
    source.len += update->tlv_head_len;
    request.source = &source;
    update->told_bytes = 0;
    start(update, &request, on_delivered);
}

/* ---- pull ---- */

static const struct {
    const char *scheme;
    enum link_transport transport;
} protocols[FIRMWARE_PROTOCOLS] = {
    [FIRMWARE_COAP] = {"coap", LINK_UDP},         [FIRMWARE_COAPS] = {"coaps", LINK_DTLS},
    [FIRMWARE_HTTP] = {"http", LINK_TCP},         [FIRMWARE_HTTPS] = {"https", LINK_TLS},
    [FIRMWARE_COAP_TCP] = {"coap+tcp", LINK_TCP}, [FIRMWARE_COAPS_TCP] = {"coaps+tcp", LINK_TLS},
};

static bool is_http(enum firmware_protocol protocol) {
    return protocol == FIRMWARE_HTTP || protocol == FIRMWARE_HTTPS;
}

static const struct listener *listener_for(const struct server *server, const struct link *link,
                                           enum firmware_protocol protocol) {
    const struct listener *found = NULL;
    for (size_t i = 0; i < server->config->listener_count; i++) {
        const struct listener *l = &server->listeners[i];
        if (l->role == LISTENER_BOOTSTRAP || is_http(protocol) || l->transport != protocols[protocol].transport)
            continue;
        if (l == link->listener)
            return l;
        if (found == NULL)
            found = l;
    }
    return found;
}

static uint8_t served_protocols(const struct server *server, const struct link *link) {
    uint8_t served = server->http_port != 0 ? 1 << FIRMWARE_HTTP | 1 << FIRMWARE_HTTPS : 0;
    for (unsigned each = 0; each < FIRMWARE_PROTOCOLS; each++) {
        if (listener_for(server, link, (enum firmware_protocol)each) != NULL)
            served |= (uint8_t)(1u << each);
    }
    return served;
}

static enum firmware_protocol own_protocol(const struct link *link) {
    enum link_transport transport = link_carrier(link)->listener->transport;
    enum firmware_protocol protocol = FIRMWARE_COAP;
    while (is_http(protocol) || protocols[protocol].transport != transport)
        protocol++;
    return protocol;
}

/* The address at which the device has reached this server is the one at which it finds it. */
static bool put_uri(const struct update *update, const struct link *link, struct buffer *out) {
    const struct server *server = update->server;
    const struct listener *listener = listener_for(server, link, update->protocol);
    struct address ip = link->local.family != ADDRESS_NONE ? link->local : link->listener->address;
    static const uint8_t any[sizeof ip.ip];
    buffer_printf(out, "%s://", protocols[update->protocol].scheme);
    if (server->config->bootstrap_host != NULL) {
        buffer_put_str(out, server->config->bootstrap_host);
    } else {
        if (ip.family == ADDRESS_NONE || memcmp(ip.ip, any, sizeof any) == 0)
            return false;
        ip.scope = 0; /* a zone means something on this machine only */
        if (ip.family == ADDRESS_IPV6)
            buffer_put_u8(out, '[');
        address_put_ip(out, &ip);
        if (ip.family == ADDRESS_IPV6)
            buffer_put_u8(out, ']');
    }
    buffer_printf(out, ":%u", listener == NULL ? server->http_port : listener->address.port);
    if (listener == NULL)
        buffer_put_str(out, "/v1/firmware/");
    else
        buffer_printf(out, "%s%s/fw/", listener->prefix[0] == '\0' ? "" : "/", listener->prefix);
    buffer_put_str(out, update->image_name);
    return !out->overflow;
}

/* Of the scheme of a URI that was ordered. */
static enum firmware_protocol protocol_of(const char *uri) {
    enum firmware_protocol protocol = FIRMWARE_COAP;
    size_t len = strcspn(uri, ":");
    while (protocol < FIRMWARE_PROTOCOLS &&
           !(strlen(protocols[protocol].scheme) == len && strncmp(protocols[protocol].scheme, uri, len) == 0))
        protocol++;
    return protocol;
}

static void pull(struct update *update) {
    const struct registration *r = directory_find(update->server->directory, endpoint_of(update));
    uint8_t memory[FIRMWARE_URL_MAX], body[FIRMWARE_URL_MAX + 64];
    struct buffer uri = buffer_over(memory, sizeof memory), payload = buffer_over(body, sizeof body);
    const struct lwm2m_encode_context context = {.base = path_of(update, update->kind->uri),
                                                 .root = registration_root(r)};
    if (update->uri[0] != '\0') {
        buffer_put_str(&uri, update->uri);
    } else if (!put_uri(update, r->link, &uri)) {
        fail(update, "the address at which the device reaches this server is not known");
        return;
    }
    struct operation_request request = request_for(update, COAP_PUT, update->kind->uri);
    struct lwm2m_node node = {.path = context.base, .value = lwm2m_bytes(LWM2M_STRING, buffer_slice(&uri))};
    request.content_format = update->formats.formats[update->format];
    if (!lwm2m_encode(request.content_format, &node, 1, &context, &payload)) {
        fail(update, "the URI can't be written");
        return;
    }
    request.payload = buffer_slice(&payload);
    start(update, &request, on_delivered);
}

/* ---- both ---- */

static bool choose(struct update *update) {
    struct firmware_progress *progress = &update->progress;
    const struct registration *r = directory_find(update->server->directory, endpoint_of(update));
    if (update->image == NULL && update->uri[0] == '\0') {
        fail(update, "the image is gone");
        return false;
    }
    enum firmware_method ordered = progress->method != FIRMWARE_AUTO ? progress->method : update->ordered_method;
    struct firmware_report report = planned(update);
    if (!firmware_choose_method(ordered, &report, &progress->method)) {
        fail(update, progress->method == FIRMWARE_PUSH ? "the device can't be pushed a package"
                                                       : "the device fetches no package");
        return false;
    }
    if (progress->method == FIRMWARE_PUSH)
        return true;
    if (update->uri[0] != '\0') {
        update->protocol = protocol_of(update->uri);
        return true;
    }
    if (firmware_choose_protocol(update->ordered_protocol, own_protocol(r->link),
                                 served_protocols(update->server, r->link), &report, &update->protocol))
        return true;
    fail(update, "there is no protocol that both the device and this server have");
    return false;
}

static void deliver(struct update *update) {
    update->progress.deliveries++;
    if (update->progress.method == FIRMWARE_PUSH)
        push(update);
    else
        pull(update);
}

static void begin_delivery(struct update *update) {
    static const int of_package[] = {LWM2M_FORMAT_OPAQUE, LWM2M_FORMAT_TLV},
                     of_uri[] = {LWM2M_FORMAT_TEXT, LWM2M_FORMAT_TLV, LWM2M_FORMAT_SENML_CBOR};
    bool is_push = update->progress.method == FIRMWARE_PUSH;
    update->formats.count = is_push ? sizeof of_package / sizeof of_package[0] : sizeof of_uri / sizeof of_uri[0];
    memcpy(update->formats.formats, is_push ? of_package : of_uri, update->formats.count * sizeof(int));
    update->format = 0;
    update->progress.was_reset = false;
    enter(update, FIRMWARE_DELIVERING);
    deliver(update);
}

/* ---- watching ---- */

static bool is_observed(const struct registration *r, const struct lwm2m_path *path) {
    const struct observation *observation = r->dealings == NULL ? NULL : r->dealings->observations;
    while (observation != NULL && !lwm2m_path_equal(&observation->paths[0], path))
        observation = observation->next;
    return observation != NULL;
}

static void on_observed(void *arg, const struct operation_result *result) {
    struct update *update = arg;
    update->operation = NULL;
    clock_update(&update->server->clock);
    update->observations[update->observed++] = result->observation;
    ask(update); /* it may have taken a while */
}

/* State and Update Result, unless somebody observes them already. False: nothing has to be asked for. */
static bool observe(struct update *update) {
    const uint16_t resources[] = {update->kind->state, update->kind->result};
    const struct lwm2m_path paths[] = {path_of(update, resources[0]), path_of(update, resources[1])};
    const struct registration *r = directory_find(update->server->directory, endpoint_of(update));
    while (update->observed < 2 && is_observed(r, &paths[update->observed]))
        update->observed++;
    if (update->observed == 2)
        return false;
    struct operation_request request = request_for(update, COAP_GET, resources[update->observed]);
    update->observed_path = paths[update->observed];
    request.observed = &update->observed_path;
    request.observed_count = 1;
    start(update, &request, on_observed);
    if (update->operation != NULL)
        return true;
    timer_cancel(&update->server->wheel, &update->poll);
    update->observed = 2; /* asking now and then will do */
    return false;
}

static void on_event(void *arg, const struct event *event) {
    struct firmware_updates *updates = arg;
    if (event->type != EVENT_NOTIFICATION || event->node.path.len < 1)
        return;
    struct update *update = find(updates->server, event->endpoint);
    if (update != NULL && event->node.path.ids[0] == update->kind->object &&
        update->progress.step != FIRMWARE_PREPARING && update->progress.step != FIRMWARE_DELIVERING)
        ask_soon(update);
}

/* ---- what was decided ---- */

static void on_executed(void *arg, const struct operation_result *result) {
    struct update *update = arg;
    const struct coap_message *message = answer_of(update, result);
    if (message == NULL)
        return;
    if (is_success(message))
        enter(update, FIRMWARE_UPDATING);
    else
        update->coap_code = message->code;
    ask_after(update, is_success(message) ? POLL_FIRST_MS : 0);
}

static void on_activated(void *arg, const struct operation_result *result) {
    struct update *update = arg;
    const struct coap_message *message = answer_of(update, result);
    if (message == NULL)
        return;
    if (is_success(message)) {
        end(update, FIRMWARE_SUCCEEDED, "");
        return;
    }
    update->coap_code = message->code;
    fail(update, "");
}

static void perform(struct update *update, struct firmware_decision decision) {
    struct operation_request request;
    switch (decision.action) {
    case FIRMWARE_DO_WAIT:
        enter(update, decision.step);
        ask_later(update);
        return;
    case FIRMWARE_DO_RESET:
        update->progress.resets++;
        update->reset_way = RESET_BY_CANCEL;
        reset(update);
        return;
    case FIRMWARE_DO_DELIVER:
        if (choose(update) && !observe(update))
            begin_delivery(update);
        return;
    case FIRMWARE_DO_UPDATE:
        update->bytes = update->size;
        if (update->progress.step < FIRMWARE_DOWNLOADED)
            enter(update, FIRMWARE_DOWNLOADED);
        enter(update, FIRMWARE_INSTALLING);
        request = request_for(update, COAP_POST, update->kind->install);
        start(update, &request, on_executed);
        return;
    case FIRMWARE_DO_SUCCEED:
        if (update->activate) {
            request = request_for(update, COAP_POST, ACTIVATE);
            start(update, &request, on_activated);
            return;
        }
        end(update, FIRMWARE_SUCCEEDED, "");
        return;
    case FIRMWARE_DO_FAIL:
        fail(update, decision.why);
        return;
    case FIRMWARE_DO_END_CANCELLED:
        end(update, FIRMWARE_CANCELLED, "");
        return;
    }
}

/* ---- what happens to devices ---- */

void firmware_updates_registered(struct server *server, struct registration *r) {
    struct update *update = find(server, registration_endpoint(r));
    if (update == NULL)
        return;
    if (update->progress.step == FIRMWARE_DOWNLOADING) /* what it has not kept by now is lost */
        update->progress.idle_reports = FIRMWARE_IDLE_REPORTS_MAX;
    update->poll_ms = POLL_FIRST_MS;
    ask_soon(update);
}

void firmware_updates_heard(struct server *server, struct registration *r) {
    struct update *update = find(server, registration_endpoint(r));
    if (update != NULL)
        ask_soon(update);
}

void firmware_updates_served(struct server *server, struct link *link, const struct firmware_image *image,
                             uint64_t bytes) {
    const struct registration *r = server_owner_of(server, link);
    struct slice endpoint = r == NULL ? SLICE_NONE : registration_endpoint(r);
    if (r == NULL && link->identity != NULL)
        admission_endpoint(server, link->identity, CREDENTIAL_MANAGEMENT, &endpoint);
    struct update *update = endpoint.len == 0 ? NULL : find(server, endpoint);
    if (update != NULL && update->image == image && update->progress.method == FIRMWARE_PULL)
        note_bytes(update, bytes);
}

/* ---- verbs ---- */

static void begin(struct update *update) {
    timer_schedule(&update->server->wheel, &update->deadline, update->deadline_ms, on_deadline);
    update->poll_ms = POLL_FIRST_MS;
}

/* Room for one more, in the place of the one that ended first. */
static bool make_room(struct firmware_updates *updates) {
    struct update *oldest = NULL;
    if (updates->count < FIRMWARE_UPDATES_MAX)
        return true;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct update *each = updates->buckets[i]; each != NULL; each = each->next) {
            if (each->ended_at_ms != 0 && (oldest == NULL || each->ended_at_ms < oldest->ended_at_ms))
                oldest = each;
        }
    }
    if (oldest == NULL)
        return false;
    store_deletion(updates->server, endpoint_of(oldest), NULL, NULL);
    drop(oldest);
    return true;
}

struct pending_start {
    struct server *server;
    store_done_fn *done;
    void *arg;
    uint64_t created_at_ms;
    size_t endpoint_len;
    uint8_t endpoint[];
};

/* Only now the device is asked. */
static void on_started(void *arg, enum store_result result) {
    struct pending_start *pending = arg;
    clock_update(&pending->server->clock);
    struct update *update = find(pending->server, slice_of(pending->endpoint, pending->endpoint_len));
    if (update != NULL && update->created_at_ms == pending->created_at_ms) {
        if (result == STORE_OK) {
            publish(update);
            ask_soon(update);
        } else {
            drop(update);
        }
    }
    pending->done(pending->arg, result);
    free(pending);
}

enum firmware_update_refusal firmware_update_start(struct server *server, struct slice endpoint,
                                                   const struct firmware_order *order, store_done_fn *done, void *arg) {
    struct update *before = find(server, endpoint);
    struct firmware_image *image =
        order->image.len == 0 ? NULL : firmware_image_find(server->firmware_images, order->image);
    if (directory_find(server->directory, endpoint) == NULL)
        return FIRMWARE_UPDATE_NOT_REGISTERED;
    if (before != NULL && !firmware_is_over(before->progress.step))
        return FIRMWARE_UPDATE_UNDER_WAY;
    if (order->image.len > 0 && (image == NULL || image->leaving))
        return FIRMWARE_UPDATE_NO_IMAGE;
    struct pending_start *pending = malloc(sizeof *pending + endpoint.len);
    if (before != NULL)
        drop(before);
    struct update *update = pending == NULL || !make_room(server->firmware_updates) ? NULL : add(server, endpoint);
    if (update == NULL) {
        free(pending);
        return FIRMWARE_UPDATE_TOO_MANY;
    }
    update->created_at_ms = now_ms(update);
    update->deadline_ms = update->created_at_ms + order->timeout_ms;
    update->progress = (struct firmware_progress){.step = FIRMWARE_PREPARING, .update = order->update};
    update->kind = order->is_software ? &software_kind : &firmware_kind;
    update->instance = order->instance;
    update->activate = order->activate;
    update->ordered_method = order->uri.len > 0                                     ? FIRMWARE_PULL
                             : order->is_software && order->method == FIRMWARE_AUTO ? FIRMWARE_PUSH
                                                                                    : order->method;
    update->ordered_protocol = order->protocol;
    update->protocol = FIRMWARE_PROTOCOLS;
    if (image != NULL) {
        update->image = image;
        image->users++;
        update->size = image->size;
        memcpy(update->image_name, image->name, sizeof update->image_name);
    }
    snprintf(update->uri, sizeof update->uri, "%.*s", (int)order->uri.len, (const char *)order->uri.data);
    *pending = (struct pending_start){.server = server,
                                      .done = done,
                                      .arg = arg,
                                      .created_at_ms = update->created_at_ms,
                                      .endpoint_len = endpoint.len};
    memcpy(pending->endpoint, endpoint.data, endpoint.len);
    begin(update);
    store(update, on_started, pending);
    return FIRMWARE_UPDATE_ACCEPTED;
}

enum firmware_update_refusal firmware_update_cancel(struct server *server, struct slice endpoint, store_done_fn *done,
                                                    void *arg) {
    struct update *update = find(server, endpoint);
    if (update == NULL)
        return FIRMWARE_UPDATE_NONE;
    enum firmware_step step = update->progress.step;
    if (step == FIRMWARE_INSTALLING || step == FIRMWARE_UPDATING)
        return FIRMWARE_UPDATE_TOO_LATE;
    if (firmware_is_over(step)) {
        enum store_result result = store_deletion(server, endpoint, done, arg);
        if (result == STORE_OK)
            drop(update);
        else
            done(arg, result);
        return FIRMWARE_UPDATE_ACCEPTED;
    }
    if (update->operation != NULL)
        operation_cancel(update->operation);
    update->operation = NULL;
    update->coap_code = 0;
    update->format = 0;
    update->progress.resets = 0;
    update->progress.step = FIRMWARE_CANCELLING;
    update->poll_ms = POLL_FIRST_MS;
    publish(update);
    ask_soon(update);
    store(update, done, arg);
    return FIRMWARE_UPDATE_ACCEPTED;
}

bool firmware_status_of(const struct server *server, struct slice endpoint, struct firmware_status *status) {
    const struct update *update = find(server, endpoint);
    if (update == NULL)
        return false;
    *status = (struct firmware_status){.endpoint = endpoint_of(update),
                                       .image = slice_str(update->image_name),
                                       .uri = slice_str(update->uri),
                                       .detail = update->detail,
                                       .step = update->progress.step,
                                       .method = update->progress.method,
                                       .protocol = update->progress.method == FIRMWARE_PULL ? update->protocol
                                                                                            : FIRMWARE_PROTOCOLS,
                                       .update = update->progress.update,
                                       .is_software = is_software(update),
                                       .activate = update->activate,
                                       .instance = update->instance,
                                       .has_report = update->has_report,
                                       .state = update->report.state,
                                       .result = update->report.result,
                                       .coap_code = update->coap_code,
                                       .bytes = update->bytes,
                                       .size = update->size,
                                       .created_at_ms = update->created_at_ms,
                                       .deadline_ms = update->deadline_ms,
                                       .ended_at_ms = update->ended_at_ms};
    return true;
}

/* ---- the start and the end ---- */

struct firmware_updates *firmware_updates_new(struct server *server) {
    struct firmware_updates *updates = calloc(1, sizeof *updates);
    if (updates == NULL)
        return NULL;
    updates->server = server;
    updates->key = hash_key_random();
    updates->subscriber = event_subscribe(server->events, on_event, updates);
    if (updates->subscriber != NULL)
        return updates;
    free(updates);
    return NULL;
}

static void load(void *arg, const struct store_firmware_update *row) {
    struct server *server = arg;
    struct update *update =
        row->image.len > FIRMWARE_NAME_MAX || row->uri.len > FIRMWARE_URL_MAX || row->detail.len >= DETAIL_MAX
            ? NULL
            : add(server, row->endpoint);
    if (update == NULL)
        return;
    uint32_t step = row->flags & ((1u << STEP_BITS) - 1), ordered = (uint32_t)(row->flags >> PROTOCOL_AT & 7);
    update->progress = (struct firmware_progress){.step = step >= 1 && step < FIRMWARE_STEPS ? (enum firmware_step)step
                                                                                             : FIRMWARE_FAILED,
                                                  .method = (enum firmware_method)(row->flags >> METHOD_AT & 3),
                                                  .update = (row->flags >> UPDATE_AT & 1) != 0};
    update->ordered_method = (enum firmware_method)(row->flags >> ORDERED_AT & 3);
    update->ordered_protocol = ordered > FIRMWARE_PROTOCOLS ? FIRMWARE_PROTOCOLS : (enum firmware_protocol)ordered;
    update->protocol = (enum firmware_protocol)(row->flags >> CHOSEN_AT & 7);
    memcpy(update->image_name, row->image.len == 0 ? (const void *)"" : row->image.data, row->image.len);
    memcpy(update->uri, row->uri.len == 0 ? (const void *)"" : row->uri.data, row->uri.len);
    memcpy(update->detail, row->detail.len == 0 ? (const void *)"" : row->detail.data, row->detail.len);
    update->kind = (row->flags >> SOFTWARE_AT & 1) != 0 ? &software_kind : &firmware_kind;
    update->activate = (row->flags >> ACTIVATE_AT & 1) != 0;
    update->instance = (uint16_t)(row->flags >> INSTANCE_AT);
    update->report.result = row->result;
    update->has_report = firmware_is_over(update->progress.step) && row->result > 0;
    update->created_at_ms = row->created_at_ms;
    update->deadline_ms = row->deadline_ms;
    update->ended_at_ms = row->ended_at_ms;
    update->observations[0] = row->observation;
    update->observations[1] = row->observation_of_result;
    update->observed = row->observation != 0 ? 2 : 0;
    struct firmware_image *image = firmware_image_find(server->firmware_images, row->image);
    if (image != NULL)
        update->size = image->size;
    if (firmware_is_over(update->progress.step))
        return;
    update->image = image;
    if (image != NULL)
        image->users++;
    begin(update);
    const struct registration *r = directory_find(server->directory, row->endpoint);
    if (r != NULL)
        ask_soon(update);
}

bool firmware_updates_load(struct server *server, char *error, size_t error_size) {
    return store_load_firmware_updates(server->store, load, server, error, error_size);
}

void firmware_updates_clear(struct server *server) {
    struct firmware_updates *updates = server->firmware_updates;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (updates->buckets[i] != NULL) {
            store_deletion(server, endpoint_of(updates->buckets[i]), NULL, NULL);
            drop(updates->buckets[i]);
        }
    }
}

void firmware_updates_end(struct firmware_updates *updates) {
    if (updates == NULL)
        return;
    event_unsubscribe(updates->server->events, updates->subscriber);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct update *update = updates->buckets[i]; update != NULL; update = update->next)
            let_go(update);
    }
}

void firmware_updates_free(struct firmware_updates *updates) {
    if (updates == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (updates->buckets[i] != NULL)
            drop(updates->buckets[i]);
    }
    free(updates);
}
