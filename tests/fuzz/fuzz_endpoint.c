/* A CoAP endpoint that hears anything, from two peers, while time passes.
 *
 * The first byte chooses the endpoint: block size, whether it challenges, how it answers. Then come steps, each two
 * bytes in network order, of which the upper two bits say what and the rest how much:
 *   0, 1  a datagram of so many bytes follows, from a peer of the tolerant or of the strict listener
 *   2     time advances by the square of it, in milliseconds
 *   3     we act: answer what was put off, ask a peer, forget a question, observe, end observations and move them
 * Whatever comes, what is sent are messages of at most 1152 bytes, memory stays within its bounds, questions end exactly
 * once, and nothing is left at the end. */
#include <stdlib.h>

#include "common/coap/observe.h"

enum { PEERS = 2, DEFERRED_MAX = 8, CALLS_MAX = 16, OBSERVED_MAX = 8, BODY = 5000, SENT_MAX = COAP_MESSAGE_MAX };

static void require(bool holds) {
    if (!holds)
        abort();
}

struct world {
    struct clock clock;
    struct timer_wheel wheel;
    struct coap_endpoint *endpoint;
    struct coap_params params;
    struct link links[PEERS];
    struct listener listeners[PEERS];
    struct coap_exchange *deferred[DEFERRED_MAX];
    size_t deferred_count;
    struct asked {
        struct coap_call *call; /* NULL: none, or ended */
    } asked[CALLS_MAX];
    struct observed {
        struct world *world;
        struct coap_observation *observation; /* NULL: none, or over */
        bool started;
    } observed[OBSERVED_MAX];
    size_t reads; /* of sources */
    bool defers, answers_body, has_sources;
};

static uint8_t body[BODY];

static int take_sent(struct link *link, struct slice bytes) {
    struct coap_message message;
    (void)link;
    require(bytes.len <= SENT_MAX);
    require(coap_decode(bytes, &message) == COAP_DECODE_OK);
    require(message.payload.len <= COAP_PAYLOAD_MAX);
    return 0;
}

static void never_released(struct link *link) {
    (void)link;
    abort(); /* this world holds a reference */
}

static const struct link_ops ops = {.send = take_sent, .release = never_released};

static void answer(struct world *world, struct coap_exchange *exchange, bool large) {
    struct coap_message response;
    coap_message_init(&response, COAP_ACK, large ? COAP_2_05_CONTENT : COAP_2_04_CHANGED, 0, SLICE_NONE);
    if (large)
        response.payload = slice_of(body, sizeof body);
    coap_respond(world->endpoint, exchange, &response);
}

/* Sources fail now and then. */
static bool read_body(void *arg, size_t offset, uint8_t *out, size_t len) {
    struct world *world = arg;
    require(offset <= sizeof body && len <= sizeof body - offset);
    memcpy(out, body + offset, len);
    return ++world->reads % 8 != 0;
}

static bool takes_blocks(void *arg, const struct coap_message *message) {
    (void)message;
    return ((struct world *)arg)->has_sources;
}

static bool forwards(void *arg, struct link *link, struct slice uri) {
    (void)link;
    require(uri.len > 0);
    return ((struct world *)arg)->has_sources;
}

static void answer_from_source(struct world *world, const struct coap_request *request) {
    struct coap_message response;
    const struct coap_source source = {.len = sizeof body, .read = read_body, .arg = world};
    coap_message_init(&response, COAP_ACK, COAP_2_05_CONTENT, 0, SLICE_NONE);
    coap_option_add(&response, COAP_ETAG, slice_str("etag"));
    coap_respond_source(world->endpoint, request->exchange, &response, &source);
}

static void on_request(void *arg, const struct coap_request *request) {
    struct world *world = arg;
    if (world->has_sources && request->message->code == COAP_GET) {
        answer_from_source(world, request);
        return;
    }
    require(request->body.len <= world->params.max_body || request->body.len <= UINT16_MAX);
    if (world->defers && world->deferred_count < DEFERRED_MAX)
        world->deferred[world->deferred_count++] = request->exchange;
    else
        answer(world, request->exchange, world->answers_body);
}

/* GET /3 with Observe 0, and FETCH with a body. */
static const uint8_t get_bytes[] = {0x40, COAP_GET, 0, 0, 0x60, 0x51, '3'};
static const uint8_t fetch_bytes[] = {0x40, COAP_FETCH, 0, 0, 0x60, 0xff, 'p'};

static void on_observe(void *arg, const struct coap_reply *reply, bool observed) {
    struct observed *o = arg;
    require(o->observation != NULL && !o->started);
    require(!observed || (reply->result == COAP_CALL_REPLY && reply->has_observe));
    o->started = true;
    if (!observed)
        o->observation = NULL;
}

static void on_notification(void *arg, const struct coap_notification *notification) {
    struct observed *o = arg;
    require(o->observation != NULL && o->started);
    require((notification->message != NULL) == (notification->result == COAP_CALL_REPLY));
    require(notification->body.len <= o->world->params.max_body || notification->body.len <= UINT16_MAX);
    if (notification->is_last)
        o->observation = NULL;
    else if (notification->body.len == 3) {
        coap_observation_forget(o->observation);
        o->observation = NULL;
    }
}

static struct observed *free_observed(struct world *world) {
    for (size_t i = 0; i < OBSERVED_MAX; i++) {
        if (world->observed[i].observation == NULL)
            return &world->observed[i];
    }
    return NULL;
}

static void resume(struct world *world, struct link *link, struct slice token) {
    struct observed *o = free_observed(world);
    const struct coap_observer observer = {on_observe, on_notification, o};
    if (o == NULL)
        return;
    *o = (struct observed){.world = world, .started = true};
    o->observation =
        coap_observation_resume(world->endpoint, link, token, slice_of(get_bytes, sizeof get_bytes), &observer);
}

static void observe(struct world *world, unsigned how) {
    struct observed *o = free_observed(world);
    const struct coap_observer observer = {on_observe, on_notification, o};
    struct slice request =
        (how & 1) != 0 ? slice_of(fetch_bytes, sizeof fetch_bytes) : slice_of(get_bytes, sizeof get_bytes);
    if (o == NULL)
        return;
    *o = (struct observed){.world = world};
    o->observation = coap_observe(world->endpoint, &world->links[how >> 1 & 1], request, &observer);
}

static bool on_stray_response(void *arg, struct link *link, const struct coap_message *message) {
    if (message->token.len == 2)
        resume(arg, link, message->token);
    return message->token.len == 2;
}

static void on_oddity(void *arg, struct link *link, bool rejected, const char *what) {
    (void)arg, (void)link, (void)rejected;
    require(what[0] != '\0');
}

static void on_reply(void *arg, const struct coap_reply *reply) {
    struct asked *asked = arg;
    require(asked->call != NULL && (reply->message != NULL) == (reply->result == COAP_CALL_REPLY));
    require(coap_call_result_text(reply->result)[0] != '\0');
    asked->call = NULL;
}

static void start(struct world *world, uint8_t choice) {
    static const struct coap_handlers handlers = {.request = on_request,
                                                  .stray_response = on_stray_response,
                                                  .oddity = on_oddity,
                                                  .takes_blocks = takes_blocks,
                                                  .forwards = forwards};
    *world =
        (struct world){.defers = (choice & 1) != 0, .answers_body = (choice & 2) != 0, .has_sources = choice >= 192};
    clock_init_still(&world->clock, 1800000000000u);
    timer_wheel_init(&world->wheel, clock_now_ms(&world->clock), NULL);
    coap_params_default(&world->params);
    world->params.echo_challenge = (choice & 4) != 0;
    world->params.block_szx = (uint8_t)((choice >> 3) % 7);
    world->params.ack_random_factor = 1.0;
    world->params.max_body = 8192;
    world->params.max_transfer_bytes = 32768;
    world->params.max_exchanges = 24;
    world->params.max_exchanges_per_peer = 8;
    world->params.max_transfers_per_peer = 4;
    world->params.max_calls_per_peer = 4;
    world->endpoint = coap_endpoint_new(&world->params, &handlers, world, &world->clock, &world->wheel);
    for (size_t i = 0; i < PEERS; i++) {
        world->listeners[i] = (struct listener){.strict = i == 1, .address = {.family = ADDRESS_IPV4, .port = 5683}};
        world->links[i] = (struct link){.ops = &ops,
                                        .listener = &world->listeners[i],
                                        .peer = {.family = ADDRESS_IPV4, .port = 40000, .ip = {127, 0, 0, 1}},
                                        .local = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}},
                                        .refs = 1,
                                        .next_mid = 1,
                                        .next_token = 1,
                                        .mid_drawn = true};
    }
}

static void stop(struct world *world) {
    coap_endpoint_free(world->endpoint);
    require(world->wheel.count == 0);
    for (size_t i = 0; i < CALLS_MAX; i++)
        require(world->asked[i].call == NULL);
    for (size_t i = 0; i < PEERS; i++)
        require(world->links[i].refs == 1 && world->links[i].coap == NULL);
}

static size_t count_observed(const struct world *world) {
    size_t count = 0;
    for (size_t i = 0; i < OBSERVED_MAX; i++)
        count += world->observed[i].observation != NULL;
    return count;
}

static void check_bounds(const struct world *world) {
    struct coap_counters counters = coap_endpoint_counters(world->endpoint);
    require(counters.transfer_bytes <= world->params.max_transfer_bytes);
    require(counters.exchanges <= world->params.max_exchanges + DEFERRED_MAX);
    require(counters.observations == count_observed(world));
}

static void advance(struct world *world, uint64_t by_ms) {
    clock_leap(&world->clock, by_ms);
    timer_wheel_advance(&world->wheel, clock_now_ms(&world->clock));
}

static void ask(struct world *world, unsigned how) {
    struct asked *asked = world->asked;
    while (asked < world->asked + CALLS_MAX && asked->call != NULL)
        asked++;
    if (asked == world->asked + CALLS_MAX)
        return;
    const struct coap_source source = {.len = sizeof body, .read = read_body, .arg = world};
    struct coap_message request;
    coap_message_init(&request, COAP_CON, (uint8_t)(COAP_GET + how % 7), 0, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str("3"));
    if ((how & 8) != 0)
        request.payload = slice_of(body, sizeof body / (how & 16 ? 1 : 50));
    struct link *link = &world->links[how >> 5 & 1];
    if ((how & 64) != 0)
        asked->call = coap_ping(world->endpoint, link, on_reply, asked);
    else
        asked->call = coap_call_with(world->endpoint, link, &request,
                                     &(struct coap_call_options){.type = (how & 128) != 0 ? COAP_NON : COAP_CON,
                                                                 .one_block = world->has_sources && (how & 4) != 0,
                                                                 .source = world->has_sources ? &source : NULL},
                                     on_reply, asked);
}

static void on_cancelled(void *arg, const struct coap_reply *reply) {
    (void)arg;
    require(coap_call_result_text(reply->result)[0] != '\0');
}

static void end_or_move(struct world *world, unsigned how) {
    struct observed *o = &world->observed[how >> 2 & (OBSERVED_MAX - 1)];
    if (o->observation == NULL)
        return;
    if ((how & 3) == 0 && o->started) {
        coap_observation_move(o->observation, &world->links[how >> 5 & 1]);
        return;
    }
    if ((how & 3) == 1)
        coap_observation_cancel(o->observation, on_cancelled, NULL);
    else
        coap_observation_forget(o->observation);
    o->observation = NULL;
}

static void on_notified(void *arg, enum coap_notify_result result) {
    require(arg != NULL && result <= COAP_NOTIFY_NO_ACK);
}

/* Notify, of two observations, or forget what was sent for one of them. */
static void notify(struct world *world, unsigned how) {
    static const uint8_t tokens[2] = {1, 2};
    struct link *link = &world->links[how & 1];
    void *observation = &world->asked[how >> 1 & 1];
    struct coap_message message, request;
    if ((how & 4) != 0) {
        coap_notify_forget(world->endpoint, link, observation);
        return;
    }
    coap_message_init(&message, COAP_NON, COAP_2_05_CONTENT, 0, slice_of(&tokens[how >> 1 & 1], 1));
    message.payload = slice_of(body, sizeof body / (how & 8 ? 1 : 50));
    coap_message_init(&request, COAP_CON, COAP_GET, 0, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str("3"));
    coap_notify(world->endpoint, link, &message, &request, (how & 16) != 0 ? COAP_NON : COAP_CON, on_notified,
                observation);
}

static void act(struct world *world, unsigned how) {
    if ((how & 0x2000) != 0) {
        if ((how & 1) != 0)
            observe(world, how >> 1);
        else
            end_or_move(world, how >> 1);
        return;
    }
    if ((how & 0x1000) != 0) {
        notify(world, how);
        return;
    }
    struct asked *asked = &world->asked[how >> 3 & 15];
    switch (how & 3) {
    case 0:
        if (world->deferred_count > 0)
            answer(world, world->deferred[--world->deferred_count], (how & 4) != 0);
        return;
    case 1:
        if (asked->call != NULL)
            coap_call_cancel(asked->call);
        asked->call = NULL;
        return;
    case 2:
        if ((how & 4) != 0)
            coap_cancel_calls(world->endpoint, &world->links[how >> 3 & 1]);
        else if (world->deferred_count > 0)
            coap_respond_nothing(world->endpoint, world->deferred[--world->deferred_count]);
        return;
    default:
        ask(world, how >> 2);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world world;
    struct slice input = slice_of(data, size);
    if (input.len == 0)
        return 0;
    start(&world, input.data[0]);
    input = slice_from(input, 1);
    while (input.len >= 2) {
        unsigned step = (unsigned)input.data[0] << 8 | input.data[1], how = step & 0x3fff;
        input = slice_from(input, 2);
        if (step >> 14 < PEERS) {
            size_t len = how < input.len ? how : input.len;
            uint8_t *datagram = malloc(len); /* of its own, so that reading past its end is seen */
            if (len > 0)
                memcpy(datagram, input.data, len);
            clock_update(&world.clock);
            coap_receive(world.endpoint, &world.links[step >> 14], slice_of(datagram, len));
            free(datagram);
            input = slice_from(input, len);
        } else if (step >> 14 == 2) {
            advance(&world, (uint64_t)how * how);
        } else {
            act(&world, how);
        }
        check_bounds(&world);
    }
    stop(&world);
    return 0;
}
