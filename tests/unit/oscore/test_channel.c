/* Two CoAP endpoints that speak OSCORE with each other, over datagrams and over a connection: challenges, replays,
 * contexts derived anew, blocks, observations, and every answer that has no protection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/coap/block.h"
#include "common/coap/observe.h"
#include "common/oscore/channel.h"
#include "tests/unit/oscore/kit.h"

enum { QUEUE = 256, BYTES = 2048 };

struct wire {
    size_t to; /* which side hears it */
    size_t len;
    uint8_t bytes[BYTES];
};

struct side {
    struct link link;      /* to the other one */
    struct link elsewhere; /* another address of the other one */
    struct coap_endpoint *endpoint;
    struct oscore_service service;
    struct oscore_channel channel;
    struct oscore_secrets secrets;
    bool is_unknown;      /* finds no channel */
    bool is_slow;         /* reserves when told (`finish_reserving`) */
    uint64_t asked_limit; /* by the last reserve */
    size_t reservations, moves, releases;
    /* What it does with requests, and what it has heard. */
    struct slice body;
    struct slice notify;
    size_t requests;
    struct link *from;
    uint8_t code;
    char path[32];
    uint8_t request_body[8192];
    size_t request_len;
    struct coap_message observing; /* the request that began an observation */
    uint8_t observing_option[64];
    uint8_t observing_token[8];
    size_t oddities;
};

static struct side sides[2]; /* 0 is the client, or device; 1 the server */
static struct wire queue[QUEUE];
static size_t queued, heard, bytes_sent, messages_sent;
static struct listener listener;
static struct clock the_clock;
static struct timer_wheel wheel;
static struct coap_reply last;
static uint8_t last_code;
static uint8_t last_body[8192];
static size_t last_len, replies;
static bool is_lost; /* what is sent is lost */

/* ---- the wire ---- */

static int fake_send(struct link *link, struct slice message) {
    size_t me = link == &sides[0].link || link == &sides[0].elsewhere ? 0 : 1;
    assert_true(queued < QUEUE && message.len <= BYTES);
    bytes_sent += message.len;
    messages_sent++;
    if (is_lost)
        return 0;
    queue[queued].to = 1 - me;
    queue[queued].len = message.len;
    memcpy(queue[queued++].bytes, message.data, message.len);
    return 0;
}

static void fake_release(struct link *link) {
    (void)link;
}

static const struct link_ops fake_ops = {.send = fake_send, .release = fake_release};

static void deliver(void) {
    while (heard < queued) {
        struct wire *wire = &queue[heard++];
        coap_receive(sides[wire->to].endpoint, &sides[wire->to].link, slice_of(wire->bytes, wire->len));
    }
}

/* ---- what each side does ---- */

static void on_request(void *arg, const struct coap_request *request) {
    struct side *side = arg;
    struct coap_message response;
    struct coap_uint observe;
    const struct coap_option *path = coap_option_find(request->message, COAP_URI_PATH);
    side->requests++;
    side->from = request->link;
    side->code = request->message->code;
    side->request_len = request->body.len;
    assert_true(request->body.len <= sizeof side->request_body);
    if (request->body.len > 0)
        memcpy(side->request_body, request->body.data, request->body.len);
    memset(side->path, 0, sizeof side->path);
    if (path != NULL && path->value.len < sizeof side->path && path->value.len > 0)
        memcpy(side->path, path->value.data, path->value.len);
    coap_message_init(&response, COAP_ACK, side->code == COAP_GET ? COAP_2_05_CONTENT : COAP_2_04_CHANGED, 0,
                      SLICE_NONE);
    if (slice_is(slice_str(side->path), "missing"))
        response.code = COAP_4_04_NOT_FOUND;
    else if (side->code == COAP_GET)
        response.payload = side->body;
    if (coap_option_find(request->message, COAP_OBSERVE) != NULL) {
        const struct coap_option *option = coap_option_find(request->message, COAP_OSCORE);
        coap_message_init(&side->observing, COAP_CON, COAP_GET, 0,
                          slice_of(side->observing_token, request->message->token.len));
        memcpy(side->observing_token, request->message->token.data, request->message->token.len);
        memcpy(side->observing_option, option->value.data, option->value.len);
        coap_option_add(&side->observing, COAP_OSCORE, slice_of(side->observing_option, option->value.len));
        coap_option_add_uint(&response, COAP_OBSERVE, 1, &observe);
    }
    coap_respond(request->endpoint, request->exchange, &response);
}

static void on_oddity(void *arg, struct link *link, bool rejected, const char *what) {
    (void)link;
    (void)rejected;
    (void)what;
    ((struct side *)arg)->oddities++;
}

static struct oscore_channel *find(void *arg, struct slice kid, struct slice kid_context) {
    struct side *side = arg;
    (void)kid_context;
    bool known = !side->is_unknown && slice_equal(kid, side->secrets.recipient_id);
    return known ? &side->channel : NULL;
}

static bool secrets_of(void *arg, const struct oscore_channel *channel, struct oscore_secrets *secrets) {
    (void)channel;
    *secrets = ((struct side *)arg)->secrets;
    return true;
}

static void reserve(void *arg, struct oscore_channel *channel, uint64_t limit) {
    struct side *side = arg;
    side->reservations++;
    side->asked_limit = limit;
    if (!side->is_slow)
        oscore_channel_reserved(channel, channel->epoch, limit);
}

static void moved(void *arg, struct oscore_channel *channel, struct link *before) {
    (void)channel;
    (void)before;
    ((struct side *)arg)->moves++;
}

static void released(void *arg, struct oscore_channel *channel) {
    (void)channel;
    ((struct side *)arg)->releases++;
}

static void start_side(size_t i, enum link_framing framing) {
    static const struct coap_handlers coap_handlers = {.request = on_request, .oddity = on_oddity};
    static const struct oscore_handlers handlers = {
        .find = find, .secrets = secrets_of, .reserve = reserve, .moved = moved, .release = released};
    struct side *side = &sides[i];
    struct coap_params params;
    coap_params_default(&params);
    *side = (struct side){.link = {.ops = &fake_ops, .refs = 1, .listener = &listener, .framing = framing},
                          .elsewhere = {.ops = &fake_ops, .refs = 1, .listener = &listener}};
    side->elsewhere.peer.port = 4711;
    side->endpoint = coap_endpoint_new(&params, &coap_handlers, side, &the_clock, &wheel);
    assert_non_null(side->endpoint);
    oscore_service_start(&side->service, &handlers, side, side->endpoint, &the_clock);
    side->secrets = kit_secrets(KIT_C1, i == 1);
}

static void start_channel(size_t i, uint64_t first) {
    struct side *side = &sides[i];
    assert_true(oscore_channel_start(&side->channel, &side->service, &side->secrets, first, first));
}

static void start_over(enum link_framing framing) {
    clock_init_still(&the_clock, 1800000000000u);
    timer_wheel_init(&wheel, clock_now_ms(&the_clock), NULL);
    queued = heard = bytes_sent = messages_sent = replies = 0;
    is_lost = false;
    listener = (struct listener){.address = {.family = ADDRESS_IPV4, .port = 5683}};
    for (size_t i = 0; i < 2; i++) {
        start_side(i, framing);
        start_channel(i, 0);
    }
    oscore_channel_carry(&sides[0].channel, &sides[0].link);
    oscore_window_fresh(&sides[0].channel.context.window); /* it is the one that begins */
    if (framing == LINK_STREAM_8323) {
        coap_link_opened(sides[0].endpoint, &sides[0].link);
        coap_link_opened(sides[1].endpoint, &sides[1].link);
        deliver();
    }
}

static int start(void **state) {
    (void)state;
    start_over(LINK_DATAGRAM);
    return 0;
}

static int start_connected(void **state) {
    (void)state;
    start_over(LINK_STREAM_8323);
    return 0;
}

static int stop(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct side *side = &sides[i];
        coap_link_closed(side->endpoint, &side->link);
        coap_end_calls(side->endpoint);
        coap_link_carry(side->endpoint, &side->channel.link, NULL);
        coap_endpoint_free(side->endpoint);
        assert_int_equal(side->channel.link.refs, 1);
        assert_int_equal(side->link.refs, 1);
        assert_int_equal(side->elsewhere.refs, 1);
    }
    assert_int_equal(wheel.count, 0);
    return 0;
}

static void on_reply(void *arg, const struct coap_reply *reply) {
    (void)arg;
    last = *reply;
    replies++;
    last_code = reply->message == NULL ? 0 : reply->message->code;
    last_len = reply->body.len;
    assert_true(last_len <= sizeof last_body);
    if (last_len > 0)
        memcpy(last_body, reply->body.data, last_len);
}

/* Side `from` asks the other one, and what is sent is delivered. */
static void ask(size_t from, uint8_t code, const char *path, struct slice payload) {
    struct coap_message request;
    coap_message_init(&request, COAP_CON, code, 0, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str(path));
    request.payload = payload;
    assert_non_null(coap_call(sides[from].endpoint, &sides[from].channel.link, &request, on_reply, NULL));
    deliver();
}

static void advance(uint64_t ms) {
    clock_leap(&the_clock, ms);
    timer_wheel_advance(&wheel, clock_now_ms(&the_clock));
    deliver();
}

/* The first message of the wire, as one message of the server's answer to `hex`, a request from nowhere. */
static struct coap_message answer_to(const char *hex) {
    struct coap_message message;
    size_t before = queued;
    coap_receive(sides[1].endpoint, &sides[1].link, kit_bytes(hex));
    assert_int_equal(queued, before + 1);
    heard = queued;
    assert_int_equal(coap_decode(slice_of(queue[before].bytes, queue[before].len), &message), COAP_DECODE_OK);
    return message;
}

static void assert_refused(const struct coap_message *answer, uint8_t code, const char *why) {
    uint32_t max_age;
    assert_int_equal(answer->code, code);
    assert_true(slice_is(answer->payload, why));
    assert_true(coap_option_uint(answer, COAP_MAX_AGE, &max_age) && max_age == 0);
    assert_null(coap_option_find(answer, COAP_OSCORE));
    assert_int_equal(sides[1].requests, 0);
}

/* ---- tests ---- */

static void test_OSC_10_EXT_03_the_first_request_is_challenged_and_then_taken(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", slice_str("hello"));
    assert_int_equal(replies, 1);
    assert_int_equal(last_code, COAP_2_04_CHANGED);
    assert_int_equal(sides[1].requests, 1);
    assert_ptr_equal(sides[1].from, &sides[1].channel.link);
    assert_string_equal(sides[1].path, "rd");
    assert_int_equal(sides[1].code, COAP_POST);
    assert_true(slice_is(slice_of(sides[1].request_body, sides[1].request_len), "hello"));
    assert_int_equal(messages_sent, 4);                        /* request, challenge, request with Echo, response */
    assert_int_equal(sides[1].channel.context.next_number, 1); /* the challenge's own */
    assert_int_equal(sides[1].channel.context.window.top, 1);
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(messages_sent, 6);                        /* once is enough */
    assert_int_equal(sides[1].channel.context.next_number, 1); /* the request's nonce serves the response */
}

static void test_OSC_18_every_message_has_the_option_and_nothing_readable(void **state) {
    (void)state;
    sides[1].body = slice_str("readable");
    ask(0, COAP_POST, "readable", slice_str("readable"));
    ask(0, COAP_GET, "readable", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_05_CONTENT);
    for (size_t i = 0; i < queued; i++) {
        struct coap_message message;
        assert_int_equal(coap_decode(slice_of(queue[i].bytes, queue[i].len), &message), COAP_DECODE_OK);
        assert_non_null(coap_option_find(&message, COAP_OSCORE));
        assert_true(message.code == COAP_POST || message.code == COAP_2_04_CHANGED);
        assert_null(memmem(queue[i].bytes, queue[i].len, "readable", 8));
    }
}

static void test_OSC_08_errors_of_the_handler_are_protected(void **state) {
    (void)state;
    ask(0, COAP_GET, "missing", SLICE_NONE);
    assert_int_equal(last_code, COAP_4_04_NOT_FOUND);
    assert_int_equal(queue[queued - 1].bytes[1], COAP_2_04_CHANGED);
}

static void test_OSC_15_the_server_asks_with_the_same_context(void **state) {
    (void)state;
    sides[0].body = slice_str("42");
    ask(0, COAP_POST, "rd", SLICE_NONE);
    ask(1, COAP_GET, "3", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_05_CONTENT);
    assert_true(slice_is(slice_of(last_body, last_len), "42"));
    assert_ptr_equal(sides[0].from, &sides[0].channel.link);
    assert_int_equal(sides[1].channel.context.next_number, 2); /* 0 was the challenge's */
}

static void test_OSC_04_options_that_are_none_get_4_02(void **state) {
    (void)state;
    static const char *const options[] = {"922900", "970e000000000000", "931900ff", "9100", "9108", "90"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        char hex[128] = "40020001";
        hex[7] = (char)('1' + i);
        strcat(hex, options[i]);
        strcat(hex, "ff612f1092f1776f1c1668b3825e");
        struct coap_message answer = answer_to(hex);
        assert_refused(&answer, COAP_4_02_BAD_OPTION, "Failed to decode COSE");
    }
}

static void test_OSC_05_an_unknown_peer_gets_4_01(void **state) {
    (void)state;
    struct coap_message answer = answer_to("400200019309147fff612f1092f1776f1c1668b3825e");
    assert_refused(&answer, COAP_4_01_UNAUTHORIZED, "Security context not found");
    sides[1].channel.may_rederive = false;
    answer = answer_to("400200029c19000948111111111111111"
                       "1ff612f1092f1776f1c1668b3825e");
    assert_refused(&answer, COAP_4_01_UNAUTHORIZED, "Security context not found");
}

static void test_OSC_07_what_does_not_decrypt_gets_4_00_and_changes_nothing(void **state) {
    (void)state;
    struct coap_message answer = answer_to("40020001920914ff612f1092f1776f1c1668b3825f");
    assert_refused(&answer, COAP_4_00_BAD_REQUEST, "Decryption failed");
    assert_false(sides[1].channel.context.window.valid);
    assert_null(sides[1].channel.link.base);
}

static void test_OSC_06_a_replay_gets_4_01_and_a_copy_its_answer(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    struct wire request = queue[2], response = queue[3];
    assert_int_equal(request.to, 1);
    size_t before = queued;
    coap_receive(sides[1].endpoint, &sides[1].link, slice_of(request.bytes, request.len));
    assert_int_equal(queued, before + 1);
    assert_memory_equal(queue[before].bytes, response.bytes, response.len); /* a copy */
    request.bytes[3] ^= 0x55;                                               /* another Message ID */
    coap_receive(sides[1].endpoint, &sides[1].link, slice_of(request.bytes, request.len));
    struct coap_message answer;
    assert_int_equal(coap_decode(slice_of(queue[before + 1].bytes, queue[before + 1].len), &answer), COAP_DECODE_OK);
    heard = queued;
    assert_int_equal(answer.code, COAP_4_01_UNAUTHORIZED);
    assert_true(slice_is(answer.payload, "Replay detected"));
    assert_int_equal(sides[1].requests, 1);
}

static void test_OSC_12_after_a_restart_numbers_jump_and_the_first_request_is_challenged(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    uint64_t limit = sides[1].asked_limit;
    coap_link_carry(sides[1].endpoint, &sides[1].channel.link, NULL);
    start_channel(1, limit);
    size_t before = messages_sent;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_04_CHANGED);
    assert_int_equal(messages_sent - before, 4);
    assert_int_equal(sides[1].channel.context.next_number, limit + 1);
    assert_true(sides[1].asked_limit > limit);
}

static void test_OSC_12_nothing_is_sent_before_its_number_is_reserved(void **state) {
    (void)state;
    sides[1].is_slow = true;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(messages_sent, 1);
    assert_int_equal(sides[1].reservations, 1);
    oscore_channel_reserved(&sides[1].channel, sides[1].channel.epoch, sides[1].asked_limit);
    deliver();
    assert_int_equal(messages_sent, 4);
    assert_int_equal(last_code, COAP_2_04_CHANGED);
}

static void test_OSC_12_calls_wait_for_numbers(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    sides[1].is_slow = true;
    sides[1].channel.context.next_number = sides[1].channel.context.number_limit - 1;
    ask(1, COAP_GET, "3", SLICE_NONE); /* the last one */
    assert_int_equal(replies, 2);
    size_t before = messages_sent;
    ask(1, COAP_GET, "3", SLICE_NONE);
    assert_int_equal(messages_sent, before);
    oscore_channel_reserved(&sides[1].channel, sides[1].channel.epoch, sides[1].asked_limit);
    deliver();
    assert_int_equal(replies, 3);
}

static void test_OSC_14_a_context_without_numbers_left_is_of_no_use(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    sides[1].channel.context.next_number = OSCORE_NUMBER_END - 1;
    sides[1].channel.context.number_limit = OSCORE_NUMBER_END;
    ask(1, COAP_GET, "3", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_05_CONTENT);
    size_t before = messages_sent;
    ask(1, COAP_GET, "3", SLICE_NONE);
    assert_int_equal(messages_sent, before);
    advance(300000);
    assert_int_equal(last.result, COAP_CALL_CLOSED);
}

static void test_OSC_13_the_client_derives_anew_in_four_messages(void **state) {
    (void)state;
    assert_true(oscore_channel_rederive(&sides[0].channel, true));
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_04_CHANGED);
    assert_int_equal(messages_sent, 4);
    assert_int_equal(sides[1].requests, 1);
    assert_int_equal(sides[1].channel.context.id_context_len, 16);
    assert_memory_equal(sides[0].channel.context.id_context, sides[1].channel.context.id_context, 16);
    assert_int_equal(sides[0].channel.tells, OSCORE_TELLS_NOTHING);
    assert_false(sides[1].channel.has_r2);
    sides[0].body = slice_str("x");
    ask(0, COAP_POST, "rd", SLICE_NONE); /* without kid context now */
    assert_int_equal(sides[1].requests, 2);
    assert_int_equal(messages_sent, 6);
    ask(1, COAP_GET, "3", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_05_CONTENT);
    ask(0, COAP_POST, "rd", SLICE_NONE);
    /* And again, at will. */
    assert_true(oscore_channel_rederive(&sides[0].channel, true));
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_04_CHANGED);
}

static void test_OSC_13_the_first_request_of_the_client_is_short(void **state) {
    (void)state;
    static const uint8_t bytes[400];
    assert_true(oscore_channel_rederive(&sides[0].channel, true));
    ask(0, COAP_POST, "rd", slice_of(bytes, sizeof bytes));
    assert_int_equal(last_code, COAP_2_04_CHANGED);
    assert_int_equal(sides[1].requests, 1);
    assert_int_equal(sides[1].request_len, sizeof bytes);
    assert_true(queue[0].len <= 30);
    assert_true(queue[2].len > sizeof bytes);
}

static void test_OSC_13_a_server_that_derives_nothing_gets_the_request_all_the_same(void **state) {
    (void)state;
    assert_true(oscore_channel_rederive(&sides[0].channel, true));
    struct oscore_secrets secrets = sides[1].secrets;
    secrets.id_context = oscore_context_id_context(&sides[0].channel.context);
    assert_true(oscore_channel_start(&sides[1].channel, &sides[1].service, &secrets, 0, 0));
    sides[1].channel.may_rederive = false;
    ask(0, COAP_POST, "rd", slice_str("hello"));
    assert_int_equal(last_code, COAP_2_04_CHANGED);
    assert_string_equal(sides[1].path, "rd");
    assert_true(slice_is(slice_of(sides[1].request_body, sides[1].request_len), "hello"));
}

static void test_OSC_13_the_server_derives_anew_with_the_next_request(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(sides[1].channel.context.id_context_len, 0);
    assert_true(oscore_channel_rederive(&sides[1].channel, false));
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_04_CHANGED);
    assert_int_equal(sides[1].requests, 2);
    assert_int_equal(sides[1].channel.context.id_context_len, 16);
}

static void test_OSC_13_a_server_that_has_lost_the_context_begins_again(void **state) {
    (void)state;
    assert_true(oscore_channel_rederive(&sides[0].channel, true));
    ask(0, COAP_POST, "rd", SLICE_NONE);
    coap_link_carry(sides[1].endpoint, &sides[1].channel.link, NULL);
    start_channel(1, 0);
    sides[0].channel.tells = OSCORE_TELLS_NONCES; /* as it does until it has an answer */
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_04_CHANGED);
    assert_memory_equal(sides[0].channel.context.id_context, sides[1].channel.context.id_context, 16);
}

static void test_OSC_13_a_replayed_first_request_spoils_nothing(void **state) {
    (void)state;
    assert_true(oscore_channel_rederive(&sides[0].channel, true));
    is_lost = false;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    struct wire first = queue[0];
    struct oscore_context before = sides[1].channel.context;
    first.bytes[3] ^= 0x55;
    coap_receive(sides[1].endpoint, &sides[1].link, slice_of(first.bytes, first.len));
    heard = queued;
    assert_memory_equal(&before, &sides[1].channel.context, sizeof before);
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(last_code, COAP_2_04_CHANGED);
    assert_int_equal(sides[1].requests, 2);
}

static void test_OSC_13_too_many_runs_get_5_03(void **state) {
    (void)state;
    assert_true(oscore_channel_rederive(&sides[0].channel, true));
    ask(0, COAP_POST, "rd", SLICE_NONE);
    struct wire first = queue[0];
    struct coap_message answer;
    for (size_t i = 0; i <= OSCORE_RUNS_MAX; i++) {
        first.bytes[2] = queue[0].bytes[2] ^ (uint8_t)(i + 1); /* other Message IDs */
        coap_receive(sides[1].endpoint, &sides[1].link, slice_of(first.bytes, first.len));
    }
    heard = queued;
    assert_int_equal(coap_decode(slice_of(queue[queued - 1].bytes, queue[queued - 1].len), &answer), COAP_DECODE_OK);
    assert_int_equal(answer.code, COAP_5_03_SERVICE_UNAVAILABLE);
    assert_int_equal(queue[queued - 2].bytes[1], COAP_2_04_CHANGED);
    advance(OSCORE_RUNS_MS + 1);
    first.bytes[2] = queue[0].bytes[2] ^ 0x70;
    coap_receive(sides[1].endpoint, &sides[1].link, slice_of(first.bytes, first.len));
    assert_int_equal(queue[queued - 1].bytes[1], COAP_2_04_CHANGED);
    heard = queued;
}

static void fill(uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7);
}

static void test_OSC_17_bodies_go_in_blocks_within(void **state) {
    (void)state;
    static uint8_t bytes[5000];
    fill(bytes, sizeof bytes);
    ask(0, COAP_PUT, "5", slice_of(bytes, sizeof bytes));
    assert_int_equal(last_code, COAP_2_04_CHANGED);
    assert_int_equal(sides[1].request_len, sizeof bytes);
    assert_memory_equal(sides[1].request_body, bytes, sizeof bytes);
    sides[0].body = slice_of(bytes, sizeof bytes);
    ask(1, COAP_GET, "5", SLICE_NONE);
    assert_int_equal(last_len, sizeof bytes);
    assert_memory_equal(last_body, bytes, sizeof bytes);
    for (size_t i = 0; i < queued; i++) {
        struct coap_message message;
        if (sides[0].link.framing != LINK_DATAGRAM)
            break;
        assert_true(queue[i].len <= COAP_MESSAGE_MAX);
        assert_int_equal(coap_decode(slice_of(queue[i].bytes, queue[i].len), &message), COAP_DECODE_OK);
        assert_null(coap_option_find(&message, COAP_BLOCK1));
        assert_null(coap_option_find(&message, COAP_BLOCK2));
    }
}

static void test_OSC_17_a_ciphertext_may_come_in_blocks_from_outside(void **state) {
    (void)state;
    struct oscore_context client = kit_context(KIT_C1, false, 77);
    static uint8_t bytes[300], memory_bytes[1024];
    struct coap_message inner, outer, part;
    struct oscore_request request;
    struct buffer memory = buffer_over(memory_bytes, sizeof memory_bytes);
    fill(bytes, sizeof bytes);
    oscore_window_fresh(&sides[1].channel.context.window);
    coap_message_init(&inner, COAP_CON, COAP_PUT, 0, SLICE_NONE);
    coap_option_add(&inner, COAP_URI_PATH, slice_str("fw"));
    inner.payload = slice_of(bytes, sizeof bytes);
    assert_int_equal(oscore_protect_request(&client, SLICE_NONE, &inner, &memory, &outer, &request), OSCORE_OK);
    struct slice sealed = outer.payload;
    for (uint32_t num = 0; num * 128 < sealed.len; num++) {
        struct coap_uint block1;
        uint8_t datagram[512];
        struct buffer out = buffer_over(datagram, sizeof datagram);
        part = outer;
        part.mid = (uint16_t)(900 + num);
        part.payload = slice_from(sealed, num * 128);
        bool more = part.payload.len > 128;
        if (more)
            part.payload.len = 128;
        coap_block_add(&part, COAP_BLOCK1, (struct coap_block){.num = num, .more = more, .szx = 3}, &block1);
        assert_true(coap_encode(&part, &out));
        coap_receive(sides[1].endpoint, &sides[1].link, buffer_slice(&out));
        assert_int_equal(queue[queued - 1].bytes[1], more ? COAP_2_31_CONTINUE : COAP_2_04_CHANGED);
    }
    heard = queued;
    assert_int_equal(sides[1].requests, 1);
    assert_int_equal(sides[1].request_len, sizeof bytes);
    assert_memory_equal(sides[1].request_body, bytes, sizeof bytes);
    struct coap_message answer;
    struct coap_block block;
    assert_int_equal(coap_decode(slice_of(queue[queued - 1].bytes, queue[queued - 1].len), &answer), COAP_DECODE_OK);
    assert_true(coap_block_get(&answer, COAP_BLOCK1, &block) && !block.more && block.num == 2);
}

static size_t notifications;
static char told[64];
static bool told_stale;

static void on_started(void *arg, const struct coap_reply *reply, bool observed) {
    (void)arg;
    on_reply(arg, reply);
    assert_true(observed);
}

static void on_notified(void *arg, const struct coap_notification *notification) {
    (void)arg;
    notifications++;
    told_stale = notification->is_stale;
    memset(told, 0, sizeof told);
    if (notification->body.len < sizeof told && notification->body.len > 0)
        memcpy(told, notification->body.data, notification->body.len);
}

static void on_delivered(void *arg, enum coap_notify_result result) {
    *(enum coap_notify_result *)arg = result;
}

static enum coap_notify_result delivered;

static void notify(const char *text, enum coap_type type) {
    struct coap_message message;
    struct coap_uint observe;
    coap_message_init(&message, type, COAP_2_05_CONTENT, 0, sides[0].observing.token);
    coap_option_add_uint(&message, COAP_OBSERVE, 5, &observe);
    message.payload = slice_str(text);
    delivered = (enum coap_notify_result)99;
    assert_true(coap_notify(sides[0].endpoint, &sides[0].channel.link, &message, &sides[0].observing, type,
                            on_delivered, &delivered));
}

static struct coap_observation *observe(void) {
    static uint8_t bytes[32];
    static const struct coap_observer observer = {.started = on_started, .notified = on_notified};
    struct coap_message request;
    struct coap_uint zero;
    struct buffer out = buffer_over(bytes, sizeof bytes);
    notifications = 0;
    sides[0].body = slice_str("first");
    ask(0, COAP_POST, "rd", SLICE_NONE);
    coap_message_init(&request, COAP_CON, COAP_GET, 0, SLICE_NONE);
    coap_option_add_uint(&request, COAP_OBSERVE, 0, &zero);
    coap_option_add(&request, COAP_URI_PATH, slice_str("3"));
    assert_true(coap_encode(&request, &out));
    struct coap_observation *observation =
        coap_observe(sides[1].endpoint, &sides[1].channel.link, buffer_slice(&out), &observer);
    assert_non_null(observation);
    deliver();
    assert_true(slice_is(slice_of(last_body, last_len), "first"));
    return observation;
}

static void test_OSC_09_notifications_are_protected_and_acknowledged(void **state) {
    (void)state;
    struct coap_observation *observation = observe();
    bool over_datagrams = sides[0].link.framing == LINK_DATAGRAM;
    notify("second", COAP_CON);
    struct wire sent = queue[queued - 1];
    deliver();
    advance(1);
    assert_int_equal(notifications, 1);
    assert_string_equal(told, "second");
    assert_int_equal(delivered, COAP_NOTIFY_ACKNOWLEDGED);
    notify("third", COAP_NON);
    deliver();
    assert_string_equal(told, "third");
    assert_false(told_stale);
    if (over_datagrams) { /* an old one with another Message ID is acknowledged and not told */
        assert_int_equal(sent.bytes[1], COAP_2_05_CONTENT);
        sent.bytes[3] ^= 0x55;
        coap_receive(sides[1].endpoint, &sides[1].link, slice_of(sent.bytes, sent.len));
        assert_int_equal(notifications, 2);
        assert_int_equal(queue[queued - 1].bytes[0] >> 4 & 3, COAP_ACK);
        /* One that is not authentic is reset, and the observation stays. */
        sent.bytes[3] ^= 0x22;
        sent.bytes[sent.len - 1] ^= 1;
        coap_receive(sides[1].endpoint, &sides[1].link, slice_of(sent.bytes, sent.len));
        assert_int_equal(queue[queued - 1].bytes[0] >> 4 & 3, COAP_RST);
        heard = queued;
        notify("fourth", COAP_CON);
        deliver();
        assert_string_equal(told, "fourth");
    }
    coap_observation_forget(observation);
    notify("fifth", COAP_CON);
    deliver();
    assert_int_equal(delivered, over_datagrams ? COAP_NOTIFY_RESET : (enum coap_notify_result)99);
}

static void test_OSC_09_OSC_13_notifications_with_a_derived_context(void **state) {
    (void)state;
    assert_true(oscore_channel_rederive(&sides[0].channel, true));
    struct coap_observation *observation = observe();
    notify("second", COAP_NON);
    deliver();
    assert_int_equal(notifications, 1);
    assert_string_equal(told, "second");
    coap_observation_forget(observation);
}

/* A notification of the carried peer's is a transmission of its carrier's. */
static void test_what_is_under_way_goes_with_the_endpoint(void **state) {
    (void)state;
    static const struct coap_handlers nobody = {.request = NULL};
    struct coap_params params;
    coap_params_default(&params);
    struct coap_observation *observation = observe();
    advance(
        300000); /* what the carrier remembered is forgotten: it is made after the carried one, and goes before it */
    notify("second", COAP_CON);
    coap_endpoint_free(sides[0].endpoint);
    assert_int_equal(sides[0].link.refs, 2); /* the channel is carried still */
    sides[0].endpoint = coap_endpoint_new(&params, &nobody, NULL, &the_clock, &wheel);
    coap_observation_forget(observation);
}

static void test_a_lost_request_is_sent_again_and_a_separate_answer_taken(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    is_lost = true;
    ask(1, COAP_GET, "3", SLICE_NONE);
    is_lost = false;
    advance(3001);
    assert_int_equal(replies, 2);
    assert_int_equal(last_code, COAP_2_05_CONTENT);
    assert_int_equal(sides[0].requests, 1);
}

static void test_a_call_without_answer_ends(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    is_lost = true;
    ask(1, COAP_GET, "3", SLICE_NONE);
    for (size_t i = 0; i < 100; i++)
        advance(1000);
    assert_int_equal(last.result, COAP_CALL_NO_ACK);
}

static void test_the_peer_is_where_its_newest_request_comes_from(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    size_t moves = sides[1].moves;
    struct coap_message request;
    coap_message_init(&request, COAP_CON, COAP_POST, 0, SLICE_NONE);
    assert_non_null(coap_call(sides[0].endpoint, &sides[0].channel.link, &request, on_reply, NULL));
    coap_receive(sides[1].endpoint, &sides[1].elsewhere, slice_of(queue[heard].bytes, queue[heard].len));
    heard++;
    assert_ptr_equal(sides[1].channel.link.base, &sides[1].elsewhere);
    assert_int_equal(sides[1].channel.link.peer.port, 4711);
    assert_int_equal(sides[1].moves, moves + 1);
    deliver();
    assert_int_equal(replies, 2);
    /* One that does not verify moves nothing. */
    coap_receive(sides[1].endpoint, &sides[1].link, kit_bytes("40020001920914ff612f1092f1776f1c1668b3825f"));
    heard = queued;
    assert_ptr_equal(sides[1].channel.link.base, &sides[1].elsewhere);
}

static void test_an_error_without_protection_is_an_answer_and_a_success_is_not(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    sides[0].is_unknown = true;
    coap_link_carry(sides[0].endpoint, &sides[0].channel.link, NULL);
    ask(1, COAP_GET, "3", SLICE_NONE);
    assert_int_equal(last_code, COAP_4_01_UNAUTHORIZED);
    assert_int_equal(sides[1].oddities, 1);
    is_lost = true;
    ask(1, COAP_GET, "3", SLICE_NONE);
    is_lost = false;
    size_t before = replies;
    uint8_t forged[16] = {0x60, COAP_2_05_CONTENT};
    struct coap_message sent;
    (void)sent;
    memcpy(forged + 2, queue[queued].bytes + 2, 2); /* not delivered, but there */
    coap_receive(sides[1].endpoint, &sides[1].link, slice_of(forged, 4));
    assert_int_equal(replies, before);
}

/* What was sent there is not acknowledged any more. */
static void test_a_call_ends_with_the_link_that_its_channel_has_left(void **state) {
    (void)state;
    struct side *side = &sides[0];
    size_t before = replies;
    is_lost = true;
    ask(0, COAP_GET, "3", SLICE_NONE);
    is_lost = false;
    coap_link_carry(side->endpoint, &side->channel.link, &side->elsewhere);
    coap_link_closed(side->endpoint, &side->link);
    assert_int_equal(replies, before + 1);
    assert_int_equal(last.result, COAP_CALL_CLOSED);
}

static void test_a_context_that_has_ended_opens_nothing(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    oscore_channel_end(&sides[1].channel);
    ask(0, COAP_POST, "rd", SLICE_NONE);
    assert_int_equal(last_code, COAP_4_01_UNAUTHORIZED);
    assert_int_equal(sides[1].requests, 1);
    assert_true(sides[1].channel.link.closed);
    assert_hex(sides[1].channel.identity.name, "");
}

static void test_a_connection_that_closes_ends_calls_and_the_next_one_carries_on(void **state) {
    (void)state;
    ask(0, COAP_POST, "rd", SLICE_NONE);
    is_lost = true;
    ask(1, COAP_GET, "3", SLICE_NONE);
    is_lost = false;
    sides[1].link.closed = true;
    coap_link_closed(sides[1].endpoint, &sides[1].link);
    assert_int_equal(last.result, COAP_CALL_CLOSED);
    assert_true(sides[1].channel.link.closed);
    sides[1].link.closed = false;
}

#define over_datagrams(test) cmocka_unit_test_setup_teardown(test, start, stop)
#define over_connection(test) \
    { "over a connection: " #test, test, start_connected, stop, NULL }

int main(void) {
    const struct CMUnitTest tests[] = {
        over_datagrams(test_OSC_10_EXT_03_the_first_request_is_challenged_and_then_taken),
        over_datagrams(test_OSC_18_every_message_has_the_option_and_nothing_readable),
        over_datagrams(test_OSC_08_errors_of_the_handler_are_protected),
        over_datagrams(test_OSC_15_the_server_asks_with_the_same_context),
        over_datagrams(test_OSC_04_options_that_are_none_get_4_02),
        over_datagrams(test_OSC_05_an_unknown_peer_gets_4_01),
        over_datagrams(test_OSC_07_what_does_not_decrypt_gets_4_00_and_changes_nothing),
        over_datagrams(test_OSC_06_a_replay_gets_4_01_and_a_copy_its_answer),
        over_datagrams(test_OSC_12_after_a_restart_numbers_jump_and_the_first_request_is_challenged),
        over_datagrams(test_OSC_12_nothing_is_sent_before_its_number_is_reserved),
        over_datagrams(test_OSC_12_calls_wait_for_numbers),
        over_datagrams(test_OSC_14_a_context_without_numbers_left_is_of_no_use),
        over_datagrams(test_OSC_13_the_client_derives_anew_in_four_messages),
        over_datagrams(test_OSC_13_the_first_request_of_the_client_is_short),
        over_datagrams(test_OSC_13_a_server_that_derives_nothing_gets_the_request_all_the_same),
        over_datagrams(test_OSC_13_the_server_derives_anew_with_the_next_request),
        over_datagrams(test_OSC_13_a_server_that_has_lost_the_context_begins_again),
        over_datagrams(test_OSC_13_a_replayed_first_request_spoils_nothing),
        over_datagrams(test_OSC_13_too_many_runs_get_5_03),
        over_datagrams(test_OSC_17_bodies_go_in_blocks_within),
        over_datagrams(test_OSC_17_a_ciphertext_may_come_in_blocks_from_outside),
        over_datagrams(test_OSC_09_notifications_are_protected_and_acknowledged),
        over_datagrams(test_OSC_09_OSC_13_notifications_with_a_derived_context),
        over_datagrams(test_what_is_under_way_goes_with_the_endpoint),
        over_datagrams(test_a_lost_request_is_sent_again_and_a_separate_answer_taken),
        over_datagrams(test_a_call_without_answer_ends),
        over_datagrams(test_the_peer_is_where_its_newest_request_comes_from),
        over_datagrams(test_an_error_without_protection_is_an_answer_and_a_success_is_not),
        over_datagrams(test_a_call_ends_with_the_link_that_its_channel_has_left),
        over_datagrams(test_a_context_that_has_ended_opens_nothing),
        over_connection(test_OSC_15_the_server_asks_with_the_same_context),
        over_connection(test_OSC_13_the_server_derives_anew_with_the_next_request),
        over_connection(test_OSC_17_bodies_go_in_blocks_within),
        over_connection(test_OSC_09_notifications_are_protected_and_acknowledged),
        over_connection(test_a_connection_that_closes_ends_calls_and_the_next_one_carries_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
