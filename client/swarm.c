#include "client/swarm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/swarm_state.h"
#include "common/coap/option.h"
#include "common/lwm2m/path.h"

enum {
    TICK_MS = 1,
    TURN_MAX = 256, /* what is begun before the loop gets a turn */
    PROGRESS_MS = 1000,
    UPDATES_A_LIFETIME = 3,
    AGAIN_MS = 1000,  /* after a Register that has failed */
    LEAVE_MS = 30000, /* that deregistering may take, with all its retransmissions */
    QUERY_MAX = 5,
    LOCATION_SEGMENTS_MAX = COAP_OPTIONS_MAX - 8,
};

void swarm_put_name(const struct swarm *swarm, size_t device, struct buffer *out) {
    buffer_put_str(out, swarm->options->has_endpoint ? swarm->options->endpoint : "swarm");
    buffer_printf(out, "-%06zu", device);
}

static uint64_t now_ms(const struct swarm *swarm) {
    return clock_now_ms(&swarm->clock);
}

enum turn { TURN_TAKEN, TURN_PASSED, TURN_LATER };

static void advance(struct swarm *swarm);

/* ---- what came of a request ---- */

static void store_location(struct swarm_device *device, const struct coap_message *message) {
    uint8_t bytes[COAP_MESSAGE_MAX];
    struct buffer location = buffer_over(bytes, UINT8_MAX);
    size_t segments = 0;
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number != COAP_LOCATION_PATH)
            continue;
        buffer_put_u8(&location, (uint8_t)message->options[i].value.len);
        buffer_put_slice(&location, message->options[i].value);
        segments++;
    }
    free(device->location);
    device->location = NULL;
    device->location_len = 0;
    if (segments == 0 || segments > LOCATION_SEGMENTS_MAX || location.overflow)
        return;
    device->location = memory_or_exit(malloc(location.len));
    memcpy(device->location, location.data, location.len);
    device->location_len = (uint8_t)location.len;
}

static void set_state(struct swarm_device *device, enum swarm_device_state state) {
    struct swarm *swarm = swarm_of(device);
    swarm->registered += (size_t)(state == SWARM_IDLE) - (size_t)(device->state == SWARM_IDLE);
    device->state = (uint8_t)state;
    if (swarm->registered > swarm->registered_most)
        swarm->registered_most = swarm->registered;
}

/* The first registration has come to its end, or while they leave the last thing. */
static void count_end(struct swarm_device *device) {
    struct swarm *swarm = swarm_of(device);
    bool counts = swarm->phase == SWARM_LEAVING || !device->is_counted;
    device->is_counted = true;
    if (counts)
        swarm->ended++;
}

static bool is_good(enum swarm_kind kind, const struct coap_reply *reply) {
    static const uint8_t expected[SWARM_KINDS] = {[SWARM_REGISTER] = COAP_2_01_CREATED,
                                                  [SWARM_UPDATE] = COAP_2_04_CHANGED,
                                                  [SWARM_SEND] = COAP_2_04_CHANGED,
                                                  [SWARM_DEREGISTER] = COAP_2_02_DELETED};
    return reply->result == COAP_CALL_REPLY && reply->message->code == expected[kind];
}

static void settle(struct swarm_device *device, enum swarm_kind kind, const struct coap_reply *reply, bool good) {
    bool is_unknown = reply->result == COAP_CALL_REPLY && reply->message->code == COAP_4_04_NOT_FOUND;
    if (reply->result == COAP_CALL_NO_ACK)
        swarm_link_renew(device);
    switch (kind) {
    case SWARM_REGISTER:
        if (good)
            store_location(device, reply->message);
        set_state(device, good && device->location != NULL ? SWARM_IDLE : SWARM_NEW);
        count_end(device);
        return;
    case SWARM_UPDATE:
        if (is_unknown) /* it registers with its next turn */
            set_state(device, SWARM_NEW);
        return;
    case SWARM_DEREGISTER:
        swarm_forget_observation(device);
        set_state(device, SWARM_GONE);
        count_end(device);
        return;
    default:
        return;
    }
}

static enum turn act(struct swarm_device *device, enum swarm_kind kind, uint64_t due_us);

/* What became due while another request was under way. */
static void do_wanted(struct swarm_device *device) {
    enum swarm_kind kind = (enum swarm_kind)device->wanted;
    device->wanted = SWARM_HANDSHAKE;
    if (kind != SWARM_HANDSHAKE && swarm_of(device)->phase != SWARM_LEAVING)
        act(device, kind, device->wanted_us);
}

static void on_answer(void *arg, const struct coap_reply *reply) {
    struct swarm_device *device = arg;
    struct swarm *swarm = swarm_of(device);
    enum swarm_kind kind = (enum swarm_kind)device->kind;
    bool good = is_good(kind, reply);
    unsigned outcome =
        reply->result == COAP_CALL_REPLY ? reply->message->code : SWARM_ERROR_FIRST + (unsigned)reply->result;
    device->is_busy = false;
    swarm->under_way--;
    swarm_count_outcome(swarm, kind, device->due_us, outcome, good);
    settle(device, kind, reply, good);
    do_wanted(device);
    advance(swarm);
}

/* ---- requests ---- */

struct query {
    char items[QUERY_MAX][OPTIONS_ENDPOINT_MAX + 16];
    size_t count;
};

static void add_query(struct coap_message *message, struct query *query, const char *name, const char *value) {
    char *item = query->items[query->count++];
    snprintf(item, sizeof query->items[0], "%s%s%s", name, value[0] == '\0' ? "" : "=", value);
    coap_option_add(message, COAP_URI_QUERY, slice_str(item));
}

static void add_registration(const struct swarm *swarm, size_t device, struct coap_message *message,
                             struct query *query, struct coap_uint *format, struct buffer *links) {
    static const char *const versions[] = {"1.0", "1.1", "1.2"};
    const struct options *options = swarm->options;
    char text[OPTIONS_ENDPOINT_MAX + 1];
    struct buffer name = buffer_over(text, sizeof text - 1);
    destination_add_path(&swarm->destination, message, "rd");
    coap_option_add_uint(message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, format);
    swarm_put_name(swarm, device, &name);
    text[name.len] = '\0';
    add_query(message, query, "ep", text);
    snprintf(text, sizeof text, "%u", options->lifetime_s);
    add_query(message, query, "lt", text);
    add_query(message, query, "lwm2m", versions[options->version - 10]);
    add_query(message, query, "b", options->binding);
    if (options->queue && options->version > 10)
        add_query(message, query, "Q", "");
    destination_add_query(&swarm->destination, message);
    swarm_put_links(swarm, links);
    message->payload = buffer_slice(links);
}

static void add_location(const struct swarm_device *device, struct coap_message *message) {
    for (size_t at = 0; at < device->location_len; at += 1u + device->location[at])
        coap_option_add(message, COAP_URI_PATH, slice_of(device->location + at + 1, device->location[at]));
}

static void ask(struct swarm_device *device, enum swarm_kind kind) {
    struct swarm *swarm = swarm_of(device);
    struct coap_message message;
    struct coap_uint format;
    struct query query = {.count = 0};
    struct buffer payload = workspace_take(&swarm->payload, SWARM_PAYLOAD_MAX);
    coap_message_init(&message, COAP_CON, kind == SWARM_DEREGISTER ? COAP_DELETE : COAP_POST, 0, SLICE_NONE);
    switch (kind) {
    case SWARM_REGISTER:
        add_registration(swarm, swarm_number(device), &message, &query, &format, &payload);
        swarm_forget_observation(device); /* Core 1.2 §6.4.1 */
        break;
    case SWARM_SEND:
        destination_add_path(&swarm->destination, &message, "dp");
        coap_option_add_uint(&message, COAP_CONTENT_FORMAT, (uint32_t)swarm->options->send_format, &format);
        swarm_put_values(device, swarm->options->send_format, &payload);
        message.payload = buffer_slice(&payload);
        break;
    default:
        add_location(device, &message);
        break;
    }
    device->kind = (uint8_t)kind;
    device->is_busy = true;
    swarm->under_way++;
    swarm->figures[kind].begun++;
    device->active_ms = now_ms(swarm);
    if (coap_call(swarm->coap, swarm_link_peer(device), &message, on_answer, device) != NULL)
        return;
    const struct coap_reply unsent = {.result = COAP_CALL_CANCELLED};
    device->is_busy = false;
    swarm->under_way--;
    swarm_count_outcome(swarm, kind, device->due_us, SWARM_UNSENT, false);
    settle(device, kind, &unsent, false);
}

/* ---- turns ---- */

/* A device that can't reach the server yet sees to that first, and one that is not registered to that. */
static enum turn act(struct swarm_device *device, enum swarm_kind kind, uint64_t due_us) {
    struct swarm *swarm = swarm_of(device);
    if (device->is_busy && swarm->phase != SWARM_LEAVING && device->wanted == SWARM_HANDSHAKE &&
        (kind == SWARM_SEND || (kind == SWARM_UPDATE && !swarm->options->swarm.closed))) {
        device->wanted = (uint8_t)kind;
        device->wanted_us = due_us;
        return TURN_TAKEN;
    }
    if (device->is_busy || device->state == SWARM_CONNECTING || device->state == SWARM_GONE)
        return TURN_PASSED;
    if (device->state == SWARM_NEW) {
        if (kind == SWARM_DEREGISTER) {
            set_state(device, SWARM_GONE);
            count_end(device);
            return TURN_PASSED;
        }
        if (device->is_counted && now_ms(swarm) - device->active_ms < AGAIN_MS)
            return TURN_PASSED;
        kind = SWARM_REGISTER;
    }
    device->due_us = due_us;
    if (swarm_link_is_ready(device)) {
        ask(device, kind);
        return TURN_TAKEN;
    }
    enum swarm_device_state before = (enum swarm_device_state)device->state;
    if (kind == SWARM_DEREGISTER) { /* not worth a handshake: it leaves without a word */
        swarm_count_outcome(swarm, kind, due_us, SWARM_NO_SESSION, false);
        set_state(device, SWARM_GONE);
        count_end(device);
        return TURN_PASSED;
    }
    set_state(device, SWARM_CONNECTING);
    device->kind = SWARM_HANDSHAKE;
    if (!swarm_link_connect(device)) {
        set_state(device, before);
        return TURN_LATER;
    }
    swarm->figures[SWARM_HANDSHAKE].begun++;
    return TURN_TAKEN;
}

/* A registration that there is goes on over the new session with an Update. */
void swarm_connected(struct swarm_device *device) {
    struct swarm *swarm = swarm_of(device);
    swarm_count_outcome(swarm, SWARM_HANDSHAKE, device->due_us, 0, true);
    set_state(device, device->location != NULL ? SWARM_IDLE : SWARM_NEW);
    device->due_us = swarm_now_us();
    ask(device, device->location != NULL ? SWARM_UPDATE : SWARM_REGISTER);
    advance(swarm);
}

void swarm_unreachable(struct swarm_device *device) {
    struct swarm *swarm = swarm_of(device);
    swarm_count_outcome(swarm, SWARM_HANDSHAKE, device->due_us, SWARM_NO_SESSION, false);
    set_state(device, SWARM_NEW);
    count_end(device);
    advance(swarm);
}

void swarm_update(struct swarm_device *device) {
    if (act(device, SWARM_UPDATE, swarm_now_us()) != TURN_TAKEN)
        swarm_of(device)->passed_over++;
}

static enum turn take_turn(struct swarm *swarm, const struct swarm_pacer *pacer, uint64_t due_us) {
    struct swarm_device *device = &swarm->devices[pacer->next];
    if (pacer->moves) {
        bool moved = swarm->net != NULL && swarm_net_move(swarm->net, pacer->next);
        swarm->moves += moved;
        return moved ? TURN_TAKEN : TURN_PASSED;
    }
    if (pacer->kind == SWARM_NOTIFY) {
        if (device->state != SWARM_IDLE || !swarm_notify(device))
            return TURN_PASSED;
        swarm->figures[SWARM_NOTIFY].begun++;
        swarm->figures[SWARM_NOTIFY].good++;
        swarm->figures[SWARM_NOTIFY].last_us = swarm_now_us();
        if (swarm->figures[SWARM_NOTIFY].first_us == 0)
            swarm->figures[SWARM_NOTIFY].first_us = due_us;
        return TURN_TAKEN;
    }
    /* A device that has not had its first turn waits for it. */
    if (pacer->kind != SWARM_REGISTER && pacer->kind != SWARM_DEREGISTER && !device->is_counted)
        return TURN_PASSED;
    return act(device, pacer->kind, due_us);
}

/* As many turns as are due, or as there is room for. False: there are more. */
static bool run_pacer(struct swarm *swarm, struct swarm_pacer *pacer) {
    uint64_t now = swarm_now_us();
    for (size_t turns = 0; pacer->is_on && pacer->count < pacer->end; turns++) {
        uint64_t due = now;
        if (pacer->per_us > 0)
            due = pacer->start_us + (uint64_t)((double)pacer->count / pacer->per_us);
        else if (swarm->under_way + swarm->connecting >= swarm->options->swarm.window || turns > swarm->count)
            return true;
        if (due > now)
            return true;
        if (turns == TURN_MAX && pacer->per_us > 0)
            return false;
        enum turn turn = take_turn(swarm, pacer, due);
        if (turn == TURN_LATER)
            return true;
        if (turn == TURN_PASSED && pacer->per_us > 0)
            swarm->passed_over++;
        pacer->count++;
        pacer->next = (pacer->next + 1) % swarm->count;
    }
    return true;
}

static void start_pacer(struct swarm *swarm, size_t which, double per_us, uint64_t end) {
    struct swarm_pacer *pacer = &swarm->pacers[which];
    static const enum swarm_kind kinds[PACERS] = {
        [PACER_REGISTER] = SWARM_REGISTER, [PACER_UPDATE] = SWARM_UPDATE, [PACER_SEND] = SWARM_SEND,
        [PACER_NOTIFY] = SWARM_NOTIFY,     [PACER_MOVE] = SWARM_UPDATE,   [PACER_DEREGISTER] = SWARM_DEREGISTER};
    *pacer = (struct swarm_pacer){.kind = kinds[which],
                                  .is_on = true,
                                  .moves = which == PACER_MOVE,
                                  .per_us = per_us,
                                  .start_us = swarm_now_us(),
                                  .end = end};
}

static void start_periodic(struct swarm *swarm, size_t which, uint64_t every_ms) {
    struct swarm_pacer *pacer = &swarm->pacers[which];
    if (every_ms == 0 || pacer->is_on)
        return;
    start_pacer(swarm, which, (double)swarm->count / ((double)every_ms * 1000), UINT64_MAX);
    pacer->start_us += every_ms * 1000 / swarm->count; /* the last device's turn comes when the time is over */
}

/* ---- phases ---- */

static void on_end(struct timer *timer, void *arg);

static uint64_t update_ms(const struct swarm *swarm) {
    const struct options *options = swarm->options;
    return options->swarm.update_ms > 0 ? options->swarm.update_ms
                                        : (uint64_t)options->lifetime_s * 1000 / UPDATES_A_LIFETIME;
}

static void begin_running(struct swarm *swarm) {
    const struct swarm_options *options = &swarm->options->swarm;
    swarm->phase = SWARM_RUNNING;
    swarm->running_us = swarm_now_us();
    if (options->closed)
        start_pacer(swarm, PACER_UPDATE, 0, UINT64_MAX);
    else
        start_periodic(swarm, PACER_UPDATE, update_ms(swarm));
    start_periodic(swarm, PACER_SEND, options->send_ms);
    start_periodic(swarm, PACER_NOTIFY, options->notify_ms);
    start_periodic(swarm, PACER_MOVE, options->move_ms);
    if (options->for_ms > 0)
        timer_schedule(&swarm->wheel, &swarm->end, now_ms(swarm) + options->for_ms, on_end);
}

static void finish(struct swarm *swarm) {
    swarm->phase = SWARM_OVER;
    swarm->over_us = swarm_now_us();
    for (size_t i = 0; i < PACERS; i++)
        swarm->pacers[i].is_on = false;
    uv_stop(&swarm->loop);
}

static void begin_leaving(struct swarm *swarm) {
    if (swarm->options->swarm.stays) {
        finish(swarm);
        return;
    }
    for (size_t i = 0; i < PACERS; i++)
        swarm->pacers[i].is_on = false;
    swarm->phase = SWARM_LEAVING;
    swarm->ended = 0;
    start_pacer(swarm, PACER_DEREGISTER, 0, UINT64_MAX);
    timer_schedule(&swarm->wheel, &swarm->end, now_ms(swarm) + LEAVE_MS, on_end);
}

static void on_end(struct timer *timer, void *arg) {
    struct swarm *swarm = TIMER_OWNER(timer, struct swarm, end);
    (void)arg;
    if (swarm->phase == SWARM_RUNNING)
        begin_leaving(swarm);
    else if (swarm->phase == SWARM_LEAVING)
        finish(swarm);
}

static void advance(struct swarm *swarm) {
    if (swarm->phase == SWARM_REGISTERING && swarm->ended == swarm->count)
        begin_running(swarm);
    if (swarm->phase == SWARM_LEAVING && swarm->ended == swarm->count)
        finish(swarm);
    for (size_t i = 0; i < PACERS; i++)
        run_pacer(swarm, &swarm->pacers[i]);
}

static void on_tick(struct timer *timer, void *arg) {
    struct swarm *swarm = TIMER_OWNER(timer, struct swarm, tick);
    (void)arg;
    if (swarm->phase == SWARM_OVER)
        return;
    swarm_link_settle(swarm);
    /* Those that registered first must not run out before the last one has. */
    if (swarm->phase == SWARM_REGISTERING && !swarm->options->swarm.closed && update_ms(swarm) > 0 &&
        swarm_now_us() - swarm->started_us > update_ms(swarm) * 1000)
        start_periodic(swarm, PACER_UPDATE, update_ms(swarm));
    advance(swarm);
    if (swarm->phase != SWARM_OVER)
        timer_schedule(&swarm->wheel, &swarm->tick, now_ms(swarm) + TICK_MS, on_tick);
}

static void on_progress(struct timer *timer, void *arg) {
    struct swarm *swarm = TIMER_OWNER(timer, struct swarm, progress);
    (void)arg;
    swarm_tell_progress(swarm);
    timer_schedule(&swarm->wheel, &swarm->progress, now_ms(swarm) + PROGRESS_MS, on_progress);
}

/* ---- life ---- */

static void on_request(void *arg, const struct coap_request *request) {
    struct swarm *swarm = arg;
    struct swarm_device *device = swarm->receiving;
    if (device == NULL || request->link != swarm_link_peer(device))
        coap_respond_code(request->endpoint, request->exchange, COAP_4_01_UNAUTHORIZED, "OSCORE is needed");
    else
        swarm_answer(device, request);
}

static void on_signal(uv_signal_t *signal, int number) {
    struct swarm *swarm = signal->data;
    (void)number;
    clock_update(&swarm->clock);
    if (swarm->phase == SWARM_LEAVING)
        finish(swarm);
    else if (swarm->phase != SWARM_OVER)
        begin_leaving(swarm);
}

static void watch_signal(struct swarm *swarm, uv_signal_t *signal, int number) {
    uv_signal_init(&swarm->loop, signal);
    signal->data = swarm;
    uv_signal_start(signal, on_signal, number);
}

static bool open_swarm(struct swarm *swarm, char *error, size_t error_size) {
    static const struct coap_handlers handlers = {.request = on_request};
    const struct options *options = swarm->options;
    const char *why = "";
    swarm->count = options->swarm.devices;
    swarm->devices = calloc(swarm->count, sizeof *swarm->devices);
    if (swarm->devices == NULL) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    if (!destination_set(&swarm->destination, slice_str(options->server_text), LWM2M_ID_NONE, &why) ||
        !uri_resolve(&swarm->destination.uri, options->transport->port, &swarm->server, &why)) {
        snprintf(error, error_size, "%s: %s", options->server_text, why);
        return false;
    }
    swarm->coap = memory_or_exit(coap_endpoint_new(&options->coap, &handlers, swarm, &swarm->clock, &swarm->wheel));
    return swarm_link_open(swarm, error, error_size);
}

static void close_swarm(struct swarm *swarm) {
    for (size_t i = 0; i < swarm->count && swarm->devices != NULL; i++)
        swarm_forget_observation(&swarm->devices[i]);
    if (swarm->coap != NULL)
        coap_endpoint_free(swarm->coap);
    swarm->coap = NULL;
    if (swarm->devices != NULL)
        swarm_link_close(swarm);
    ticker_close(&swarm->ticker);
    uv_close((uv_handle_t *)&swarm->terminate, NULL);
    uv_close((uv_handle_t *)&swarm->interrupt, NULL);
    uv_run(&swarm->loop, UV_RUN_DEFAULT);
    uv_loop_close(&swarm->loop);
    for (size_t i = 0; i < swarm->count && swarm->devices != NULL; i++)
        free(swarm->devices[i].location);
    free(swarm->devices);
    workspace_free(&swarm->payload);
}

int swarm_run(const struct options *options) {
    static struct swarm swarm; /* too large for the stack */
    char error[512];
    swarm = (struct swarm){.options = options};
    uv_loop_init(&swarm.loop);
    watch_signal(&swarm, &swarm.terminate, SIGTERM);
    watch_signal(&swarm, &swarm.interrupt, SIGINT);
    clock_init(&swarm.clock, 0);
    timer_wheel_init(&swarm.wheel, clock_now_ms(&swarm.clock), &swarm);
    ticker_start(&swarm.ticker, &swarm.loop, &swarm.clock, &swarm.wheel);
    bool good = open_swarm(&swarm, error, sizeof error);
    if (good) {
        swarm.started_us = swarm_now_us();
        start_pacer(&swarm, PACER_REGISTER, options->swarm.rate / 1e6, swarm.count);
        timer_schedule(&swarm.wheel, &swarm.tick, now_ms(&swarm), on_tick);
        timer_schedule(&swarm.wheel, &swarm.progress, now_ms(&swarm) + PROGRESS_MS, on_progress);
        uv_run(&swarm.loop, UV_RUN_DEFAULT);
        swarm_tell_report(&swarm);
        good = swarm.figures[SWARM_REGISTER].good > 0;
    } else {
        fprintf(stderr, "berth-device: %s\n", error);
    }
    close_swarm(&swarm);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
