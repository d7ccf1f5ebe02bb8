#include "tests/unit/coap/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* after the four headers it needs */
#include <cmocka.h>

#include "common/base/text.h"

static struct rig *current;

static int fake_send(struct link *link, struct slice message) {
    assert_true(current->sent_count < RIG_SENT_MAX);
    struct rig_datagram *datagram = &current->sent[current->sent_count++];
    datagram->link = link;
    datagram->at_ms = clock_now_ms(&current->clock);
    datagram->len = message.len;
    assert_true(message.len <= sizeof datagram->bytes);
    memcpy(datagram->bytes, message.data, message.len);
    return 0;
}

static void fake_release(struct link *link) {
    (void)link;
    current->released++;
}

static void fake_close(struct link *link, const char *why) {
    (void)link;
    current->closings++;
    snprintf(current->closed_why, sizeof current->closed_why, "%s", why);
}

static const struct link_ops fake_ops = {.send = fake_send, .release = fake_release, .close = fake_close};

bool rig_read(void *arg, size_t offset, uint8_t *out, size_t len) {
    struct rig *rig = arg;
    rig->source_reads++;
    rig->source_offset = offset;
    assert_true(offset + len <= rig->body.len);
    memcpy(out, rig->body.data + offset, len);
    return !rig->source_breaks;
}

static bool on_block(void *arg, const struct coap_message *message) {
    (void)message;
    return ((struct rig *)arg)->takes_blocks;
}

static bool on_proxy_uri(void *arg, struct link *link, struct slice uri) {
    (void)link;
    (void)uri;
    return ((struct rig *)arg)->forwards;
}

static void on_request(void *arg, const struct coap_request *request) {
    struct rig *rig = arg;
    rig->requests++;
    rig->request_code = request->message->code;
    rig->request_len = request->body.len;
    assert_true(request->body.len <= sizeof rig->request_body);
    if (request->body.len > 0)
        memcpy(rig->request_body, request->body.data, request->body.len);
    if (rig->answer == RIG_DEFERS) {
        rig->deferred = request->exchange;
        return;
    }
    struct coap_message response;
    struct coap_block block;
    coap_message_init(&response, COAP_ACK, rig->code, 0, SLICE_NONE);
    if (rig->takes_blocks && coap_block_get(request->message, COAP_BLOCK1, &block) && block.more)
        response.code = COAP_2_31_CONTINUE;
    if (rig->answer == RIG_ANSWERS_SOURCE) {
        response.code = COAP_2_05_CONTENT;
        coap_option_add(&response, COAP_ETAG, slice_str("etag"));
        coap_respond_source(request->endpoint, request->exchange, &response,
                            &(struct coap_source){.len = rig->body.len, .read = rig_read, .arg = rig});
        return;
    }
    if (rig->answer == RIG_ANSWERS_BODY) {
        response.code = COAP_2_05_CONTENT;
        response.payload = rig->body;
    }
    coap_respond(request->endpoint, request->exchange, &response);
}

static bool on_stray(void *arg, struct link *link, const struct coap_message *message) {
    struct rig *rig = arg;
    (void)link;
    (void)message;
    rig->strays++;
    return rig->wants_strays;
}

static void on_oddity(void *arg, struct link *link, bool rejected, const char *what) {
    struct rig *rig = arg;
    (void)link;
    rig->oddities += !rejected;
    rig->rejections += rejected;
    snprintf(rig->last_oddity, sizeof rig->last_oddity, "%s", what);
}

static void on_ping(void *arg, struct link *link) {
    (void)link;
    ((struct rig *)arg)->pings++;
}

void rig_start(struct rig *rig, void (*tune)(struct coap_params *)) {
    static const struct coap_handlers handlers = {.request = on_request,
                                                  .stray_response = on_stray,
                                                  .oddity = on_oddity,
                                                  .ping = on_ping,
                                                  .takes_blocks = on_block,
                                                  .forwards = on_proxy_uri};
    memset(rig, 0, sizeof *rig);
    current = rig;
    clock_init_still(&rig->clock, 1800000000000u);
    timer_wheel_init(&rig->wheel, clock_now_ms(&rig->clock), NULL);
    struct coap_params params;
    coap_params_default(&params);
    if (tune != NULL)
        tune(&params);
    rig->endpoint = coap_endpoint_new(&params, &handlers, rig, &rig->clock, &rig->wheel);
    assert_non_null(rig->endpoint);
    rig->listener.address = (struct address){.family = ADDRESS_IPV4, .port = 5683};
    for (size_t i = 0; i < RIG_PEERS; i++) {
        rig->links[i].ops = &fake_ops;
        rig->links[i].listener = &rig->listener;
        rig->links[i].peer =
            (struct address){.family = ADDRESS_IPV4, .port = (uint16_t)(40000 + i), .ip = {127, 0, 0, 1}};
        rig->links[i].local = (struct address){.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}};
        rig->links[i].refs = 1;
    }
    rig->code = COAP_2_04_CHANGED;
}

void rig_stop(struct rig *rig) {
    if (rig->endpoint == NULL)
        return;
    coap_endpoint_free(rig->endpoint);
    assert_int_equal(rig->wheel.count, 0);
    for (size_t i = 0; i < RIG_PEERS; i++) {
        assert_int_equal(rig->links[i].refs, 1);
        assert_null(rig->links[i].coap);
    }
    current = NULL;
}

void rig_hear_from(struct rig *rig, size_t peer, const char *hex) {
    uint8_t bytes[2 * COAP_STREAM_SENT_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(text_get_hex(slice_str(hex), &out));
    coap_receive(rig->endpoint, &rig->links[peer], buffer_slice(&out));
}

void rig_hear(struct rig *rig, const char *hex) {
    rig_hear_from(rig, 0, hex);
}

void rig_hear_bytes(struct rig *rig, struct slice datagram) {
    coap_receive(rig->endpoint, &rig->links[0], datagram);
}

void rig_hear_message_from(struct rig *rig, size_t peer, const struct coap_message *message) {
    uint8_t bytes[2048];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(coap_encode(message, &out));
    coap_receive(rig->endpoint, &rig->links[peer], buffer_slice(&out));
}

void rig_hear_message(struct rig *rig, const struct coap_message *message) {
    rig_hear_message_from(rig, 0, message);
}

void rig_connect(struct rig *rig) {
    rig->links[0].framing = LINK_STREAM_8323;
}

void rig_disconnect(struct rig *rig) {
    rig->links[0].closed = true;
    coap_link_closed(rig->endpoint, &rig->links[0]);
}

void rig_next_frame(struct rig *rig, struct coap_message *message) {
    const struct rig_datagram *frame = rig_next(rig);
    assert_int_equal(coap_stream_decode(slice_of(frame->bytes, frame->len), message), COAP_DECODE_OK);
}

void rig_hear_frame(struct rig *rig, const struct coap_message *message) {
    uint8_t bytes[2 * COAP_STREAM_SENT_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(coap_stream_encode(message, &out));
    rig_hear_bytes(rig, buffer_slice(&out));
}

/* Millisecond by millisecond where timers are, so that what is sent carries its own time. */
void rig_advance(struct rig *rig, uint64_t ms) {
    uint64_t end_ms = clock_now_ms(&rig->clock) + ms;
    for (;;) {
        uint64_t next_ms = timer_wheel_next_ms(&rig->wheel);
        uint64_t to_ms = next_ms < end_ms ? next_ms : end_ms;
        if (to_ms > clock_now_ms(&rig->clock))
            clock_leap(&rig->clock, to_ms - clock_now_ms(&rig->clock));
        timer_wheel_advance(&rig->wheel, to_ms);
        if (to_ms == end_ms)
            return;
    }
}

const struct rig_datagram *rig_next(struct rig *rig) {
    assert_true(rig->seen < rig->sent_count);
    return &rig->sent[rig->seen++];
}

struct coap_exchange *rig_deferred(struct rig *rig) {
    struct coap_exchange *exchange = rig->deferred;
    assert_non_null(exchange);
    rig->deferred = NULL;
    return exchange;
}

void rig_next_is(struct rig *rig, const char *hex) {
    const struct rig_datagram *datagram = rig_next(rig);
    char text[2 * sizeof datagram->bytes + 1];
    struct buffer out = buffer_over(text, sizeof text);
    text_put_hex(&out, slice_of(datagram->bytes, datagram->len));
    text[out.len] = '\0';
    assert_string_equal(text, hex);
}

void rig_next_message(struct rig *rig, struct coap_message *message) {
    const struct rig_datagram *datagram = rig_next(rig);
    assert_int_equal(coap_decode(slice_of(datagram->bytes, datagram->len), message), COAP_DECODE_OK);
}

void rig_silent(struct rig *rig) {
    if (rig->seen < rig->sent_count)
        rig_next_is(rig, "(silence)");
}

void rig_reply_fn(void *arg, const struct coap_reply *reply) {
    struct rig *rig = arg;
    rig->replies++;
    rig->reply = *reply;
    rig->reply_code = reply->message == NULL ? 0 : reply->message->code;
    rig->reply_len = reply->body.len;
    assert_true(reply->body.len <= sizeof rig->reply_body);
    if (reply->body.len > 0)
        memcpy(rig->reply_body, reply->body.data, reply->body.len);
    rig->reply.message = NULL;
}

struct coap_call *rig_call(struct rig *rig, uint8_t code, struct slice body) {
    struct coap_message request;
    coap_message_init(&request, COAP_CON, code, 0, SLICE_NONE);
    coap_option_add(&request, COAP_URI_PATH, slice_str("a"));
    request.payload = body;
    return coap_call(rig->endpoint, &rig->links[0], &request, rig_reply_fn, rig);
}
