/* Two CoAP endpoints that speak OSCORE with each other, over a path that does anything to their messages.
 *
 * The first byte chooses how requests are answered, and whether numbers are reserved at once. Then come steps of two bytes
 * in network order, of which the upper two bits say what and the rest how much:
 *   0  what was sent goes on: the next message arrives, twice, is lost, cut short or changed
 *   1  a datagram of so many bytes follows, for one of them, from nobody
 *   2  time advances by the square of it, in milliseconds; or numbers are reserved that were waited for
 *   3  one of them acts: asks, observes, notifies, derives its context anew, loses it, moves; or sends, protected, an inner
 *      message that follows
 * Whatever comes, nothing that nobody could have protected is taken for the other's, messages keep their sizes, memory
 * stays within its bounds, questions end exactly once, and nothing is left at the end. */
#include <stdlib.h>

#include "common/coap/observe.h"
#include "common/oscore/channel.h"

enum { SIDES = 2, QUEUE = 32, DEFERRED_MAX = 4, CALLS_MAX = 8, BODY = 3000, NUMBERS_MAX = 1 << 20 };

static void require(bool holds) {
    if (!holds)
        abort();
}

struct asked {
    struct coap_call *call; /* NULL: none, or ended */
};

struct side {
    struct world *world;
    struct link link, elsewhere; /* to the other one, and another address of it */
    struct coap_endpoint *endpoint;
    struct oscore_service service;
    struct oscore_channel channel;
    struct oscore_secrets secrets;
    uint64_t first_number, waiting_limit;
    uint16_t waiting_epoch;
    struct coap_exchange *deferred[DEFERRED_MAX];
    size_t deferred_count;
    struct asked asked[CALLS_MAX];
    struct coap_observation *observation; /* NULL: none, or over */
    uint8_t observed_by[OSCORE_OPTION_MAX], observed_by_len;
};

struct message {
    uint8_t to, bytes[COAP_MESSAGE_MAX];
    size_t len;
};

struct world {
    struct clock clock;
    struct timer_wheel wheel;
    struct listener listener;
    struct coap_params params;
    struct side sides[SIDES];
    struct message queue[QUEUE];
    size_t queued;
    bool defers, answers_body, is_slow, is_forged;
};

static uint8_t body[BODY];

/* ---- the path ---- */

static int take_sent(struct link *link, struct slice bytes) {
    struct world *world = link->listener->watcher->arg;
    struct coap_message message;
    require(bytes.len <= COAP_MESSAGE_MAX && coap_decode(bytes, &message) == COAP_DECODE_OK);
    if (world->queued == QUEUE)
        return 0; /* lost */
    struct message *sent = &world->queue[world->queued++];
    sent->to = link == &world->sides[0].link || link == &world->sides[0].elsewhere;
    sent->len = bytes.len;
    memcpy(sent->bytes, bytes.data, bytes.len);
    return 0;
}

static void never_released(struct link *link) {
    (void)link;
    abort(); /* this world holds a reference */
}

static const struct link_ops ops = {.send = take_sent, .release = never_released};

static void nothing_seen(void *arg, struct link *link, bool sent, struct slice message, size_t wire) {
    (void)arg, (void)link, (void)sent, (void)message, (void)wire;
}

static void receive(struct side *side, struct slice bytes, bool elsewhere) {
    uint8_t *datagram = malloc(bytes.len); /* of its own, so that reading past its end is seen */
    if (bytes.len > 0)
        memcpy(datagram, bytes.data, bytes.len);
    clock_update(&side->world->clock);
    coap_receive(side->endpoint, elsewhere ? &side->elsewhere : &side->link, slice_of(datagram, bytes.len));
    free(datagram);
}

static void go_on(struct world *world, unsigned how) {
    if (world->queued == 0)
        return;
    struct message message = world->queue[0];
    memmove(world->queue, world->queue + 1, --world->queued * sizeof *world->queue);
    bool elsewhere = (how & 8) != 0;
    size_t at = (how >> 4) % (message.len + 1);
    switch (how & 7) {
    case 0:
        return;
    case 1:
        receive(&world->sides[message.to], slice_of(message.bytes, message.len), elsewhere);
        break;
    case 2:
        message.len = at;
        break;
    case 3:
        if (at < message.len)
            message.bytes[at] ^= (uint8_t)(1 + (how >> 9));
        break;
    default:
        break;
    }
    receive(&world->sides[message.to], slice_of(message.bytes, message.len), elsewhere);
}

/* ---- what each does ---- */

static void answer(struct side *side, struct coap_exchange *exchange, const struct coap_message *request) {
    struct coap_message response;
    struct coap_uint observe;
    bool large = side->world->answers_body;
    coap_message_init(&response, COAP_ACK, large ? COAP_2_05_CONTENT : COAP_2_04_CHANGED, 0, SLICE_NONE);
    if (large)
        response.payload = slice_of(body, sizeof body);
    const struct coap_option *option = request == NULL ? NULL : coap_option_find(request, COAP_OSCORE);
    if (option != NULL && coap_option_find(request, COAP_OBSERVE) != NULL) {
        side->observed_by_len = (uint8_t)option->value.len;
        memcpy(side->observed_by, option->value.data, option->value.len);
        coap_option_add_uint(&response, COAP_OBSERVE, 1, &observe);
    }
    coap_respond(side->endpoint, exchange, &response);
}

static void on_request(void *arg, const struct coap_request *request) {
    struct side *side = arg;
    const struct world *world = side->world;
    require(request->link == &side->channel.link || !request->link->is_protected);
    require(!world->is_forged || !request->link->is_protected);
    require(request->body.len <= world->params.max_body || request->body.len <= UINT16_MAX);
    if (world->defers && side->deferred_count < DEFERRED_MAX)
        side->deferred[side->deferred_count++] = request->exchange;
    else
        answer(side, request->exchange, request->message);
}

static void on_oddity(void *arg, struct link *link, bool rejected, const char *what) {
    (void)arg, (void)link, (void)rejected;
    require(what[0] != '\0');
}

static void on_reply(void *arg, const struct coap_reply *reply) {
    struct asked *asked = arg;
    require(asked->call != NULL && (reply->message != NULL) == (reply->result == COAP_CALL_REPLY));
    asked->call = NULL;
}

static void on_observe(void *arg, const struct coap_reply *reply, bool observed) {
    struct side *side = arg;
    require(side->observation != NULL && (!observed || reply->result == COAP_CALL_REPLY));
    if (!observed)
        side->observation = NULL;
}

static void on_notification(void *arg, const struct coap_notification *notification) {
    struct side *side = arg;
    require(side->observation != NULL && !(side->world->is_forged && notification->message != NULL));
    if (notification->is_last)
        side->observation = NULL;
}

static void on_notified(void *arg, enum coap_notify_result result) {
    require(arg != NULL && result <= COAP_NOTIFY_NO_ACK);
}

/* ---- contexts ---- */

static struct oscore_channel *find(void *arg, struct slice kid, struct slice kid_context) {
    struct side *side = arg;
    (void)kid_context;
    return slice_equal(kid, side->secrets.recipient_id) ? &side->channel : NULL;
}

static bool secrets_of(void *arg, const struct oscore_channel *channel, struct oscore_secrets *secrets) {
    (void)channel;
    *secrets = ((struct side *)arg)->secrets;
    return true;
}

static void reserve(void *arg, struct oscore_channel *channel, uint64_t limit) {
    struct side *side = arg;
    require(limit > channel->context.next_number);
    if (!side->world->is_slow) {
        oscore_channel_reserved(channel, channel->epoch, limit);
        return;
    }
    side->waiting_limit = limit;
    side->waiting_epoch = channel->epoch;
}

static void released(void *arg, struct oscore_channel *channel) {
    (void)arg, (void)channel;
}

static void start_channel(struct side *side) {
    uint64_t first = side->first_number;
    side->first_number += NUMBERS_MAX; /* none is used twice */
    require(oscore_channel_start(&side->channel, &side->service, &side->secrets, first, first));
    side->waiting_limit = 0;
}

static void start(struct world *world, uint8_t choice) {
    static const struct coap_handlers coap_handlers = {.request = on_request, .oddity = on_oddity};
    static const struct oscore_handlers handlers = {
        .find = find, .secrets = secrets_of, .reserve = reserve, .release = released};
    static struct link_watcher watcher = {.seen = nothing_seen};
    static const uint8_t ids[SIDES] = {1, 2};
    watcher.arg = world;
    *world = (struct world){.defers = (choice & 1) != 0, .answers_body = (choice & 2) != 0, .is_slow = choice & 4};
    clock_init_still(&world->clock, 1800000000000u);
    timer_wheel_init(&world->wheel, clock_now_ms(&world->clock), NULL);
    coap_params_default(&world->params);
    world->params.ack_random_factor = 1.0;
    world->params.max_body = 8192;
    world->params.max_transfer_bytes = 32768;
    world->params.max_exchanges = 24;
    world->params.max_exchanges_per_peer = 8;
    world->params.max_transfers_per_peer = 4;
    world->params.max_calls_per_peer = 4;
    world->listener = (struct listener){.watcher = &watcher, .address = {.family = ADDRESS_IPV4, .port = 5683}};
    for (size_t i = 0; i < SIDES; i++) {
        struct side *side = &world->sides[i];
        side->world = world;
        side->link = (struct link){.ops = &ops,
                                   .listener = &world->listener,
                                   .peer = {.family = ADDRESS_IPV4, .port = 40000, .ip = {127, 0, 0, 1}},
                                   .refs = 1,
                                   .next_mid = 1,
                                   .next_token = 1,
                                   .mid_drawn = true};
        side->elsewhere = side->link;
        side->elsewhere.peer.port = 40001;
        side->endpoint = coap_endpoint_new(&world->params, &coap_handlers, side, &world->clock, &world->wheel);
        oscore_service_start(&side->service, &handlers, side, side->endpoint, &world->clock);
        side->secrets = (struct oscore_secrets){.master_secret = slice_str("fuzz"),
                                                .sender_id = slice_of(&ids[i], 1),
                                                .recipient_id = slice_of(&ids[1 - i], 1),
                                                .aead = 10};
        start_channel(side);
    }
    oscore_channel_carry(&world->sides[0].channel, &world->sides[0].link);
}

static void stop(struct world *world) {
    for (size_t i = 0; i < SIDES; i++) {
        struct side *side = &world->sides[i];
        coap_end_calls(side->endpoint);
        oscore_channel_end(&side->channel);
        coap_link_carry(side->endpoint, &side->channel.link, NULL);
        coap_endpoint_free(side->endpoint);
        for (size_t k = 0; k < CALLS_MAX; k++)
            require(side->asked[k].call == NULL);
        require(side->channel.link.refs == 1 && side->link.refs == 1 && side->elsewhere.refs == 1);
    }
    require(world->wheel.count == 0);
}

static void check_bounds(const struct world *world) {
    for (size_t i = 0; i < SIDES; i++) {
        const struct side *side = &world->sides[i];
        struct coap_counters counters = coap_endpoint_counters(side->endpoint);
        require(counters.transfer_bytes <= world->params.max_transfer_bytes);
        require(counters.exchanges <= world->params.max_exchanges + 2 * (DEFERRED_MAX + COAP_CHALLENGES_MAX));
        require(counters.observations == (side->observation != NULL));
        require(side->channel.context.aead == 0 ||
                side->channel.context.next_number <= side->channel.context.number_limit);
    }
}

/* ---- steps ---- */

static void advance(struct world *world, unsigned how) {
    if ((how & 0x2000) == 0) {
        clock_leap(&world->clock, (uint64_t)how * how);
        timer_wheel_advance(&world->wheel, clock_now_ms(&world->clock));
        return;
    }
    struct side *side = &world->sides[how & 1];
    uint64_t limit = side->waiting_limit;
    side->waiting_limit = 0;
    if (limit == 0)
        return;
    if ((how & 2) != 0)
        oscore_channel_reserved(&side->channel, side->waiting_epoch, limit);
    else
        oscore_channel_not_reserved(&side->channel, side->waiting_epoch);
}

static void ask(struct side *side, unsigned how) {
    struct asked *asked = side->asked;
    while (asked < side->asked + CALLS_MAX && asked->call != NULL)
        asked++;
    if (asked == side->asked + CALLS_MAX)
        return;
    struct coap_message request;
    coap_message_init(&request, COAP_CON, (uint8_t)(COAP_GET + how % 7), 0, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str("3"));
    if ((how & 8) != 0)
        request.payload = slice_of(body, sizeof body / (how & 16 ? 1 : 50));
    if ((how & 32) != 0)
        asked->call = coap_ping(side->endpoint, &side->channel.link, on_reply, asked);
    else
        asked->call = coap_call(side->endpoint, &side->channel.link, &request, on_reply, asked);
}

static void observe(struct side *side) {
    static const uint8_t get_bytes[] = {0x40, COAP_GET, 0, 0, 0x60, 0x51, '3'};
    const struct coap_observer observer = {on_observe, on_notification, side};
    if (side->observation != NULL) {
        coap_observation_forget(side->observation);
        side->observation = NULL;
        return;
    }
    side->observation =
        coap_observe(side->endpoint, &side->channel.link, slice_of(get_bytes, sizeof get_bytes), &observer);
}

static void notify(struct side *side, unsigned how) {
    static const uint8_t token = 1;
    struct coap_message message, request;
    struct coap_uint sequence;
    if (side->observed_by_len == 0)
        return;
    if ((how & 4) != 0) {
        coap_notify_forget(side->endpoint, &side->channel.link, side);
        return;
    }
    coap_message_init(&message, COAP_NON, COAP_2_05_CONTENT, 0, slice_of(&token, 1));
    coap_option_add_uint(&message, COAP_OBSERVE, 2, &sequence);
    message.payload = slice_of(body, sizeof body / (how & 8 ? 1 : 50));
    coap_message_init(&request, COAP_CON, COAP_GET, 0, SLICE_NONE);
    coap_option_add(&request, COAP_OSCORE, slice_of(side->observed_by, side->observed_by_len));
    coap_notify(side->endpoint, &side->channel.link, &message, &request, (how & 16) != 0 ? COAP_NON : COAP_CON,
                on_notified, side);
}

/* A message of the other side's that its own CoAP layer would never send: any inner one. */
static void inject(struct side *side, struct slice bytes) {
    struct oscore_channel *other = &side->world->sides[side == side->world->sides].channel;
    uint8_t memory_bytes[2 * COAP_MESSAGE_MAX], datagram[2 * COAP_MESSAGE_MAX];
    struct buffer memory = buffer_over(memory_bytes, sizeof memory_bytes), out = buffer_over(datagram, sizeof datagram);
    struct coap_message inner, outer;
    struct oscore_request request;
    if (coap_decode(bytes, &inner) != COAP_DECODE_OK || !coap_code_is_request(inner.code) || other->context.aead == 0)
        return;
    if (oscore_protect_request(&other->context, SLICE_NONE, &inner, &memory, &outer, &request) == OSCORE_OK &&
        coap_encode(&outer, &out))
        receive(side, buffer_slice(&out), false);
}

static void act(struct world *world, unsigned how, struct slice *input) {
    struct side *side = &world->sides[how & 1];
    size_t len = how >> 4 < input->len ? how >> 4 : input->len;
    struct asked *asked = &side->asked[how >> 5 & (CALLS_MAX - 1)];
    switch (how >> 1 & 7) {
    case 0:
        ask(side, how >> 4);
        return;
    case 1:
        inject(side, slice_of(input->data, len));
        *input = slice_from(*input, len);
        return;
    case 2:
        if (side->channel.context.aead != 0)
            oscore_channel_rederive(&side->channel, (how & 16) != 0);
        return;
    case 3:
        observe(side);
        return;
    case 4:
        notify(side, how >> 4);
        return;
    case 5:
        if (side->deferred_count > 0 && (how & 16) != 0)
            answer(side, side->deferred[--side->deferred_count], NULL);
        else if (side->deferred_count > 0)
            coap_respond_nothing(side->endpoint, side->deferred[--side->deferred_count]);
        return;
    case 6:
        if ((how & 16) != 0)
            oscore_channel_carry(&side->channel, (how & 32) != 0 ? &side->link : &side->elsewhere);
        else if (asked->call != NULL) {
            coap_call_cancel(asked->call);
            asked->call = NULL;
        }
        return;
    default: /* what was under way is answered by nobody any more */
        oscore_channel_end(&side->channel);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct world world;
    struct slice input = slice_of(data, size);
    if (input.len == 0)
        return 0;
    start(&world, input.data[0]);
    input = slice_from(input, 1);
    while (input.len >= 2) {
        unsigned step = (unsigned)input.data[0] << 8 | input.data[1], how = step & 0x3fff;
        input = slice_from(input, 2);
        switch (step >> 14) {
        case 0:
            go_on(&world, how);
            break;
        case 1: {
            size_t len = how >> 2 < input.len ? how >> 2 : input.len;
            world.is_forged = true;
            receive(&world.sides[how & 1], slice_of(input.data, len), (how & 2) != 0);
            world.is_forged = false;
            input = slice_from(input, len);
            break;
        }
        case 2:
            advance(&world, how);
            break;
        default:
            act(&world, how, &input);
            break;
        }
        check_bounds(&world);
    }
    stop(&world);
    return 0;
}
