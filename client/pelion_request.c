/* What the vendor's client makes of requests: of a bootstrap server's, which is to write whole objects, in TLV, and of
 * others what it refuses. */
#include "client/device.h"
#include "client/pelion.h"
#include "client/request.h"

enum {
    LIFETIME_LEAST_S = 60,
    TLV_OLD = 99, /* what drafts of LwM2M had for TLV */
    OBJECT_DEVICE = 3,
    RESOURCE_TRIGGER = 8,
};

/* ---- bootstrap ---- */

/* The client gives a bootstrap up when it can't take what is written. */
static enum pelion_verdict give_up(struct pelion *pelion, struct answer *answer, const char *why) {
    *answer = (struct answer){
        .code = COAP_4_00_BAD_REQUEST, .format = COAP_FORMAT_NONE, .diagnostic = why, .payload = answer->payload};
    bootstrap_give_up_soon(&pelion->device->bootstrap);
    return PELION_ANSWERED;
}

/* Whatever is named, only the server's account goes. It looks at how long the path is: `0`, `0/1`. */
static enum pelion_verdict delete_account(struct pelion *pelion, struct slice path, struct answer *answer) {
    struct object *object = device_object(pelion->device, ACCOUNT_SECURITY);
    struct slice rest = slice_from(path, 1);
    if (rest.len == 2 || rest.len > 3)
        return give_up(pelion, answer, "the path is not one that can be deleted");
    answer->code = COAP_2_02_DELETED;
    if (rest.len > 0 && rest.data[0] != '0')
        return PELION_ANSWERED;
    pelion->is_cleared = true;
    for (size_t i = object->instance_count; i > 0; i--) {
        uint16_t id = object->instances[i - 1].id;
        if (!server_account_is_bootstraps(pelion->device, ACCOUNT_SECURITY, id))
            object_delete(object, id);
    }
    return PELION_ANSWERED;
}

static bool is_written(uint16_t object) {
    return object == ACCOUNT_SECURITY || object == ACCOUNT_SERVER || object == OBJECT_DEVICE;
}

static enum pelion_verdict take_write(struct pelion *pelion, const struct coap_request *request, struct slice path_text,
                                      struct answer *answer) {
    int format = coap_content_format(request->message);
    struct lwm2m_path path;
    if (!lwm2m_path_parse(path_text, &path, NULL) || path.len == 0 || path.len > 2 || !is_written(path.ids[0]))
        return give_up(pelion, answer, "there is no such object");
    if (format != LWM2M_FORMAT_TLV && format != TLV_OLD)
        return give_up(pelion, answer, "only TLV is taken");
    /* A second account gets another instance in the client, and an empty one stays behind. */
    if (path.ids[0] == ACCOUNT_SECURITY && pelion->has_account && !pelion->is_cleared)
        return give_up(pelion, answer, "the account of before has not been deleted");
    bootstrap_answer(pelion->device, request, path_text, answer);
    return answer->code == COAP_2_04_CHANGED ? PELION_ANSWERED : give_up(pelion, answer, answer->diagnostic);
}

static enum pelion_verdict take_finish(struct pelion *pelion, const struct coap_request *request, struct slice path,
                                       struct answer *answer) {
    bootstrap_answer(pelion->device, request, path, answer);
    if (answer->code != COAP_2_04_CHANGED)
        return give_up(pelion, answer, answer->diagnostic);
    pelion->has_account = true;
    pelion->is_cleared = false;
    return PELION_ANSWERED;
}

/* Nothing is answered before the server has answered, nor is a Read or a Discover ever. */
static enum pelion_verdict judge_command(struct pelion *pelion, const struct coap_request *request, struct slice path,
                                         struct answer *answer) {
    const struct bootstrap *bootstrap = &pelion->device->bootstrap;
    if (bootstrap->state != BOOTSTRAP_UNDER_WAY)
        return PELION_SILENT;
    switch (request->message->code) {
    case COAP_DELETE:
        bootstrap_touch(&pelion->device->bootstrap);
        return delete_account(pelion, path, answer);
    case COAP_PUT:
        return take_write(pelion, request, path, answer);
    case COAP_POST:
        return slice_is(path, "/bs") ? take_finish(pelion, request, path, answer)
                                     : give_up(pelion, answer, "there is no such command");
    default:
        return PELION_SILENT;
    }
}

/* ---- device management ---- */

static bool is_accepted(uint32_t format, const struct lwm2m_path *path) {
    if (format == COAP_FORMAT_LINK || format == LWM2M_FORMAT_TLV)
        return true;
    return path->len > 2 && (format == COAP_FORMAT_TEXT || format == COAP_FORMAT_OPAQUE);
}

static enum pelion_verdict refuse(struct answer *answer, uint8_t code) {
    answer_with(answer, code, NULL);
    return PELION_ANSWERED;
}

/* The lifetime is the only value that is looked at: less than a minute is none. */
static bool is_short_lifetime(const struct pelion *pelion, const struct coap_request *request,
                              const struct lwm2m_path *path) {
    int format = coap_content_format(request->message);
    const struct lwm2m_path lifetime = {.ids = {ACCOUNT_SERVER, pelion->device->server_instance, SERVER_LIFETIME},
                                        .len = 3};
    uint64_t seconds;
    return lwm2m_path_equal(path, &lifetime) && (format == COAP_FORMAT_TEXT || format == COAP_FORMAT_NONE) &&
           slice_to_u64(request->body, UINT32_MAX, &seconds) && seconds < LIFETIME_LEAST_S;
}

enum pelion_verdict pelion_judge(struct pelion *pelion, const struct coap_request *request, struct slice path_text,
                                 struct answer *answer) {
    const struct coap_message *message = request->message;
    struct lwm2m_path path;
    uint32_t accept;
    if (bootstrap_is_under_way(&pelion->device->bootstrap))
        return judge_command(pelion, request, path_text, answer);
    if (message->code == COAP_DELETE)
        return refuse(answer, COAP_4_05_METHOD_NOT_ALLOWED);
    if (!lwm2m_path_parse(path_text, &path, NULL))
        return PELION_AS_USUAL;
    if (message->code == COAP_GET && coap_option_uint(message, COAP_ACCEPT, &accept) && !is_accepted(accept, &path))
        return refuse(answer, COAP_4_06_NOT_ACCEPTABLE);
    if (message->code == COAP_PUT && is_short_lifetime(pelion, request, &path))
        return refuse(answer, COAP_4_06_NOT_ACCEPTABLE);
    return PELION_AS_USUAL;
}

void pelion_note_format(struct pelion *pelion, const struct coap_request *request, const struct answer *answer) {
    const struct coap_message *message = request->message;
    uint8_t bytes[64];
    struct buffer text = buffer_over(bytes, sizeof bytes);
    struct lwm2m_path path;
    int format = message->code == COAP_GET ? answer->format : coap_content_format(message);
    bool is_value = format == COAP_FORMAT_TEXT || format == COAP_FORMAT_OPAQUE || format == LWM2M_FORMAT_TLV;
    if ((message->code != COAP_GET && message->code != COAP_PUT) || COAP_CODE_CLASS(answer->code) != 2 || !is_value)
        return;
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number == COAP_URI_PATH) {
            buffer_put_u8(&text, '/');
            buffer_put_slice(&text, message->options[i].value);
        }
    }
    if (!text.overflow && lwm2m_path_parse(buffer_slice(&text), &path, NULL))
        observer_set_format(&pelion->device->observer, &path, format);
}

/* ---- answers that go later ---- */

static void on_later(struct timer *timer, void *arg) {
    struct pelion_later *later = TIMER_OWNER(timer, struct pelion_later, timer);
    struct coap_exchange *exchange = later->exchange;
    (void)arg;
    later->exchange = NULL;
    coap_respond_code(later->pelion->device->coap, exchange, later->code, later->diagnostic);
}

static void note(struct pelion_noted *noted, const struct coap_message *request) {
    *noted =
        (struct pelion_noted){.is_awaited = true, .token_len = (uint8_t)request->token.len, .mid_sent = request->mid};
    if (request->token.len > 0)
        memcpy(noted->token, request->token.data, request->token.len);
}

bool pelion_answer_later(struct pelion *pelion, const struct coap_request *request, struct slice path_text,
                         const struct answer *answer) {
    const struct coap_message *message = request->message;
    struct pelion_later *later = pelion->later, *end = later + PELION_LATER_MAX;
    struct lwm2m_path path;
    if (message->code != COAP_POST || message->type != COAP_CON || answer->payload.len > 0 || answer->location.len > 0)
        return false;
    while (later < end && later->exchange != NULL)
        later++;
    if (later == end)
        return false;
    bool is_good = answer->code == COAP_2_04_CHANGED;
    if (is_good && slice_is(path_text, "/bs"))
        note(&pelion->finish, message);
    if (is_good && lwm2m_path_parse(path_text, &path, NULL) && path.len == 3 && path.ids[0] == ACCOUNT_SERVER &&
        path.ids[2] == RESOURCE_TRIGGER)
        note(&pelion->trigger, message);
    later->pelion = pelion;
    later->exchange = request->exchange;
    later->code = answer->code;
    later->diagnostic = answer->diagnostic;
    timer_schedule(&pelion->device->wheel, &later->timer, clock_now_ms(&pelion->device->clock) + PELION_ANSWER_MS, on_later);
    return true;
}
