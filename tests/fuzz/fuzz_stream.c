/* Connections on which anything comes: the framing is guessed, messages are cut out and taken by a CoAP endpoint, which
 * asks and answers meanwhile, until connections break.
 *
 * The first byte chooses the endpoint. Then come steps, each two bytes in network order, of which the upper two bits say
 * what and the rest how much:
 *   0, 1  so many bytes follow, on the tolerant or on the strict connection
 *   2     time advances by the square of it, in milliseconds
 *   3     we act: answer what was put off, ask, ping, observe, break a connection and begin another one, move calls
 * Whatever comes, what is sent are whole messages no larger than the peer takes, memory stays within its bounds,
 * questions end exactly once, and nothing is left at the end. */
#include <stdlib.h>

#include "common/coap/observe.h"
#include "common/coap/signal.h"
#include "common/coap/stream.h"
#include "common/net/framing.h"

enum { PEERS = 2, DEFERRED_MAX = 8, CALLS_MAX = 16, BODY = 20000, PARTIAL_MAX = 65536, OURS_MAX = 8192 };

static void require(bool holds) {
    if (!holds)
        abort();
}

struct peer {
    struct world *world;
    struct link link;
    uint32_t takes; /* what its CSMs have said */
    bool is_over;   /* closed by the endpoint, and not begun again */
    size_t len;
    uint8_t partial[PARTIAL_MAX];
};

struct world {
    struct clock clock;
    struct timer_wheel wheel;
    struct coap_endpoint *endpoint;
    struct coap_params params;
    struct listener listeners[PEERS];
    struct peer peers[PEERS];
    struct coap_exchange *deferred[DEFERRED_MAX];
    size_t deferred_count;
    struct asked {
        struct coap_call *call; /* NULL: none, or ended */
    } asked[CALLS_MAX];
    struct coap_observation *observation; /* NULL: none, or over */
    bool defers, answers_body;
};

static uint8_t body[BODY];

static struct peer *peer_of_link(struct link *link) {
    return (struct peer *)(void *)((char *)link - offsetof(struct peer, link));
}

static int take_sent(struct link *link, struct slice bytes) {
    struct coap_message message;
    require(!link->closed);
    if (link->framing == LINK_LENGTH_PREFIXED) {
        require(bytes.len <= COAP_MESSAGE_MAX - FRAMING_PREFIX);
        require(coap_decode(bytes, &message) == COAP_DECODE_OK);
        return 0;
    }
    require(bytes.len <= COAP_STREAM_SENT_MAX && bytes.len <= peer_of_link(link)->takes);
    require(coap_stream_decode(bytes, &message) == COAP_DECODE_OK);
    return 0;
}

static void never_released(struct link *link) {
    (void)link;
    abort(); /* this world holds a reference */
}

static void note_closing(struct link *link, const char *why) {
    require(why[0] != '\0');
    peer_of_link(link)->is_over = true;
}

static const struct link_ops ops = {.send = take_sent, .release = never_released, .close = note_closing};

static void answer(struct world *world, struct coap_exchange *exchange, bool large) {
    struct coap_message response;
    coap_message_init(&response, COAP_ACK, large ? COAP_2_05_CONTENT : COAP_2_04_CHANGED, 0, SLICE_NONE);
    if (large)
        response.payload = slice_of(body, sizeof body);
    coap_respond(world->endpoint, exchange, &response);
}

static void on_request(void *arg, const struct coap_request *request) {
    struct world *world = arg;
    require(request->body.len <= world->params.max_body || request->body.len <= OURS_MAX);
    if (world->defers && world->deferred_count < DEFERRED_MAX)
        world->deferred[world->deferred_count++] = request->exchange;
    else
        answer(world, request->exchange, world->answers_body);
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

static const uint8_t observe_bytes[] = {0x40, COAP_GET, 0, 0, 0x60, 0x51, '3'};

static void on_observe(void *arg, const struct coap_reply *reply, bool observed) {
    struct world *world = arg;
    (void)reply;
    require(world->observation != NULL);
    if (!observed)
        world->observation = NULL;
}

static void on_notification(void *arg, const struct coap_notification *notification) {
    struct world *world = arg;
    require(world->observation != NULL);
    require(!notification->is_stale || coap_observation_link(world->observation)->framing != LINK_STREAM_8323);
    if (notification->is_last)
        world->observation = NULL;
}

/* ---- connections ---- */

static void begin_connection(struct world *world, size_t i) {
    struct peer *peer = &world->peers[i];
    *peer = (struct peer){.world = world, .takes = COAP_STREAM_MESSAGE_MIN};
    peer->link = (struct link){.ops = &ops,
                               .listener = &world->listeners[i],
                               .peer = {.family = ADDRESS_IPV4, .port = 40000, .ip = {127, 0, 0, 1}},
                               .framing = LINK_UNFRAMED,
                               .refs = 1};
}

static void forget_observation(struct world *world) {
    if (world->observation != NULL)
        coap_observation_forget(world->observation);
    world->observation = NULL;
}

/* As net/stream and whoever observes do. */
static void end_connection(struct world *world, struct peer *peer) {
    peer->link.closed = true;
    coap_link_closed(world->endpoint, &peer->link);
    if (world->observation != NULL && coap_observation_link(world->observation) == &peer->link)
        forget_observation(world);
}

/* The endpoint may still be answering something that came over it: then it is not begun again. */
static void begin_again(struct world *world, size_t i) {
    if (world->peers[i].link.refs == 1 && world->peers[i].link.coap == NULL)
        begin_connection(world, i);
}

/* What a CSM says, so that what is sent can be held against it. */
static void note_csm(struct peer *peer, struct slice frame) {
    struct coap_message message;
    struct coap_signal signal;
    if (coap_stream_decode(frame, &message) == COAP_DECODE_OK && message.code == COAP_7_01_CSM &&
        coap_signal_read(&message, &signal) == 0 && signal.max_message_size > peer->takes)
        peer->takes = signal.max_message_size;
}

static void check_codec(struct slice frame) {
    struct coap_message message, again;
    uint8_t *bytes = malloc(frame.len);
    struct buffer out = buffer_over(bytes, frame.len);
    if (coap_stream_decode(frame, &message) == COAP_DECODE_OK && message.code != COAP_EMPTY) {
        require(coap_stream_encode(&message, &out));
        require(coap_stream_decode(buffer_slice(&out), &again) == COAP_DECODE_OK);
        require(again.code == message.code && slice_equal(again.token, message.token) &&
                slice_equal(again.payload, message.payload) && again.option_count == message.option_count);
    }
    free(bytes);
}

/* False when nothing more can be taken from it now. */
static bool take_message(struct world *world, struct peer *peer) {
    struct slice in = slice_of(peer->partial, peer->len), message;
    size_t total;
    if (peer->link.framing == LINK_UNFRAMED) {
        switch (framing_guess(in)) {
        case FRAMING_UNDECIDED:
            require(in.len < FRAMING_GUESS_MAX);
            return false;
        case FRAMING_8323:
            peer->link.framing = LINK_STREAM_8323;
            break;
        case FRAMING_PREFIXED:
            peer->link.framing = LINK_LENGTH_PREFIXED;
            break;
        case FRAMING_TLS:
        case FRAMING_STRANGE:
            coap_link_broken(world->endpoint, &peer->link, "strange");
            return false;
        }
    }
    switch (framing_next(peer->link.framing, in, OURS_MAX, &message, &total)) {
    case FRAMING_PARTIAL:
        require(total > in.len && total <= OURS_MAX);
        return false;
    case FRAMING_TOO_LARGE:
    case FRAMING_BROKEN:
        coap_link_broken(world->endpoint, &peer->link, "broken");
        return false;
    case FRAMING_WHOLE:
        break;
    }
    require(total > 0 && total <= in.len && message.len <= total);
    uint8_t *bytes = malloc(message.len); /* of its own, so that reading past its end is seen */
    if (message.len > 0)
        memcpy(bytes, message.data, message.len);
    struct slice own = slice_of(bytes, message.len);
    if (peer->link.framing == LINK_STREAM_8323) {
        check_codec(own);
        note_csm(peer, own);
    }
    memmove(peer->partial, peer->partial + total, peer->len - total);
    peer->len -= total;
    coap_receive(world->endpoint, &peer->link, own);
    free(bytes);
    return !peer->is_over;
}

static void feed(struct world *world, struct peer *peer, struct slice bytes) {
    if (peer->link.closed || peer->is_over || peer->len + bytes.len > PARTIAL_MAX)
        return;
    if (bytes.len > 0)
        memcpy(peer->partial + peer->len, bytes.data, bytes.len);
    peer->len += bytes.len;
    while (peer->len > 0 && take_message(world, peer))
        ;
    if (peer->is_over)
        end_connection(world, peer);
}

/* ---- acts of ours ---- */

/* Nobody is asked anything before he has said something. */
static bool may_be_asked(const struct peer *peer) {
    return !peer->is_over && (peer->link.closed || peer->link.framing != LINK_UNFRAMED);
}

static void ask(struct world *world, unsigned how) {
    struct asked *asked = world->asked;
    while (asked < world->asked + CALLS_MAX && asked->call != NULL)
        asked++;
    if (asked == world->asked + CALLS_MAX)
        return;
    struct coap_message request;
    coap_message_init(&request, COAP_CON, (uint8_t)(COAP_GET + how % 7), 0, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str("3"));
    if ((how & 8) != 0)
        request.payload = slice_of(body, (how & 16) != 0 ? 8000 : 100);
    struct link *link = &world->peers[how >> 5 & 1].link;
    if (!may_be_asked(&world->peers[how >> 5 & 1]))
        return;
    if ((how & 64) != 0)
        asked->call = coap_ping(world->endpoint, link, on_reply, asked);
    else
        asked->call = coap_call(world->endpoint, link, &request, on_reply, asked);
}

static void observe(struct world *world, struct link *link) {
    const struct coap_observer observer = {on_observe, on_notification, world};
    if (world->observation == NULL)
        world->observation =
            coap_observe(world->endpoint, link, slice_of(observe_bytes, sizeof observe_bytes), &observer);
}

static void act(struct world *world, unsigned how) {
    size_t i = how >> 3 & 1;
    struct peer *peer = &world->peers[i];
    struct asked *asked = &world->asked[how >> 4 & (CALLS_MAX - 1)];
    switch (how & 7) {
    case 0:
        if (world->deferred_count > 0)
            answer(world, world->deferred[--world->deferred_count], (how & 16) != 0);
        return;
    case 1:
        if (asked->call != NULL)
            coap_call_cancel(asked->call);
        asked->call = NULL;
        return;
    case 2:
        if (!peer->link.closed)
            end_connection(world, peer);
        else
            begin_again(world, i);
        return;
    case 3:
        if (!may_be_asked(&world->peers[1 - i]))
            return;
        coap_calls_move(world->endpoint, &peer->link, &world->peers[1 - i].link);
        coap_calls_resume(world->endpoint, &world->peers[1 - i].link);
        return;
    case 4:
        if (!peer->link.closed && may_be_asked(peer))
            observe(world, &peer->link);
        return;
    case 5:
        forget_observation(world);
        return;
    default:
        ask(world, how >> 3);
    }
}

static void start(struct world *world, uint8_t choice) {
    static const struct coap_handlers handlers = {.request = on_request, .oddity = on_oddity};
    memset(world, 0, sizeof *world);
    world->defers = (choice & 1) != 0;
    world->answers_body = (choice & 2) != 0;
    clock_init_still(&world->clock, 1800000000000u);
    timer_wheel_init(&world->wheel, clock_now_ms(&world->clock), NULL);
    coap_params_default(&world->params);
    world->params.csm_optional = (choice & 4) != 0;
    world->params.block_szx = (choice & 8) != 0 ? 6 : (uint8_t)((choice >> 4) % 7);
    world->params.nstart = 1 + (choice >> 7);
    world->params.ack_random_factor = 1.0;
    world->params.max_message_size = OURS_MAX;
    world->params.max_body = 8192;
    world->params.max_transfer_bytes = 32768;
    world->params.max_exchanges_per_peer = 8;
    world->params.max_transfers_per_peer = 4;
    world->params.max_calls_per_peer = 4;
    world->endpoint = coap_endpoint_new(&world->params, &handlers, world, &world->clock, &world->wheel);
    for (size_t i = 0; i < PEERS; i++) {
        world->listeners[i] = (struct listener){.strict = i == 1, .address = {.family = ADDRESS_IPV4, .port = 5683}};
        begin_connection(world, i);
    }
}

static void stop(struct world *world) {
    forget_observation(world);
    coap_endpoint_free(world->endpoint);
    require(world->wheel.count == 0);
    for (size_t i = 0; i < CALLS_MAX; i++)
        require(world->asked[i].call == NULL);
    for (size_t i = 0; i < PEERS; i++)
        require(world->peers[i].link.refs == 1 && world->peers[i].link.coap == NULL);
}

static void check_bounds(const struct world *world) {
    struct coap_counters counters = coap_endpoint_counters(world->endpoint);
    require(counters.transfer_bytes <= world->params.max_transfer_bytes);
    require(counters.observations == (world->observation != NULL));
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
        if (step >> 14 < PEERS) {
            size_t len = how < input.len ? how : input.len;
            feed(&world, &world.peers[step >> 14], slice_of(input.data, len));
            input = slice_from(input, len);
        } else if (step >> 14 == 2) {
            clock_leap(&world.clock, (uint64_t)how * how);
            timer_wheel_advance(&world.wheel, clock_now_ms(&world.clock));
        } else {
            act(&world, how);
        }
        check_bounds(&world);
    }
    stop(&world);
    return 0;
}
