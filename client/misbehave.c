#include "client/misbehave.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/device.h"
#include "client/memory.h"
#include "common/base/duration.h"
#include "common/coap/block.h"
#include "common/coap/stream.h"

enum {
    CRITICAL = 65001, /* no option has this number, and it is odd */
    NO_FORMAT = 65001,
    LATE_MS = 5000,
    LATE_MAX_MS = 86400000,
    RECORD_TLS12_CID_TYPE = 25,
    CID_AT = 11, /* RFC 9146 §4: type, version, epoch and sequence number come before it */
    NO_BLOCK = 0xff,
};

static const char *const names[MISBEHAVIOURS] = {
    [MISBEHAVE_WRONG_MID] = "wrong-mid",
    [MISBEHAVE_WRONG_TOKEN] = "wrong-token",
    [MISBEHAVE_NO_ACK] = "no-ack",
    [MISBEHAVE_LATE_ACK] = "late-ack",
    [MISBEHAVE_DUPLICATE] = "duplicate",
    [MISBEHAVE_RESET] = "reset",
    [MISBEHAVE_GARBAGE] = "garbage",
    [MISBEHAVE_CRITICAL_OPTION] = "critical-option",
    [MISBEHAVE_ENDLESS_BLOCKS] = "endless-blocks",
    [MISBEHAVE_WRONG_BLOCK_SIZE] = "wrong-block-size",
    [MISBEHAVE_WRONG_FORMAT] = "wrong-format",
    [MISBEHAVE_ENDLESS_REGISTER] = "endless-register",
    [MISBEHAVE_NOTIFY_AFTER_CANCEL] = "notify-after-cancel",
    [MISBEHAVE_OUT_OF_ORDER] = "out-of-order",
    [MISBEHAVE_UPDATE_FIRST] = "update-first",
    [MISBEHAVE_FORGET_SESSION] = "forget-session",
    [MISBEHAVE_STALE_CID] = "stale-cid",
};

/* A message that goes later; when its timer is not set, behind another one. */
struct held_back {
    struct timer timer;
    struct misbehave *misbehave;
    struct held_back *next;
    struct link *link; /* a reference */
    size_t len;
    uint8_t bytes[];
};

/* ---- what is ordered ---- */

void misbehave_put_names(struct buffer *out) {
    for (size_t i = 0; i < MISBEHAVIOURS; i++)
        buffer_printf(out, "%s%s", i > 0 ? ", " : "", names[i]);
}

static struct slice cut(struct slice *text, char at) {
    const uint8_t *end = text->len == 0 ? NULL : memchr(text->data, at, text->len);
    struct slice first = slice_of(text->data, end == NULL ? text->len : (size_t)(end - text->data));
    *text = end == NULL ? SLICE_NONE : slice_from(*text, first.len + 1);
    return first;
}

static bool refuse(char problem[MISBEHAVE_PROBLEM_MAX], struct slice word, const char *why) {
    int len = word.len < 40 ? (int)word.len : 40;
    snprintf(problem, MISBEHAVE_PROBLEM_MAX, "%.*s: %s", len, (const char *)word.data, why);
    return false;
}

static bool parse_one(struct slice word, struct misbehave_order *order, char problem[MISBEHAVE_PROBLEM_MAX]) {
    struct slice times = word, name = cut(&times, ':'), late = name;
    uint64_t count = MISBEHAVE_ALWAYS;
    bool has_times = name.len < word.len;
    name = cut(&late, '=');
    size_t what = 0;
    while (what < MISBEHAVIOURS && !slice_is(name, names[what]))
        what++;
    if (what == MISBEHAVIOURS)
        return refuse(problem, name, "is no misbehaviour; --help lists them");
    if (has_times && (!slice_to_u64(times, MISBEHAVE_ALWAYS - 1, &count) || count == 0))
        return refuse(problem, word, "how often is expected behind the colon, a number from 1");
    if (late.len > 0 && (what != MISBEHAVE_LATE_ACK || !duration_parse(late, LATE_MAX_MS, &order->late_ms)))
        return refuse(problem, word, "a duration is expected, of late-ack only, like late-ack=5s");
    if (order->late_ms == 0)
        order->late_ms = LATE_MS;
    order->left[what] = (uint32_t)count;
    return true;
}

bool misbehave_parse(struct slice text, struct misbehave_order *order, char problem[MISBEHAVE_PROBLEM_MAX]) {
    do {
        if (!parse_one(cut(&text, ','), order, problem))
            return false;
    } while (text.len > 0);
    return true;
}

static bool is_ordered(const struct misbehave *misbehave) {
    for (size_t i = 0; i < MISBEHAVIOURS; i++) {
        if (misbehave->order.left[i] > 0)
            return true;
    }
    return false;
}

/* It is done once more, and told. False: not any more, or not at all. */
static bool does(struct misbehave *misbehave, enum misbehaviour what) {
    uint32_t *left = &misbehave->order.left[what];
    if (*left == 0)
        return false;
    if (*left != MISBEHAVE_ALWAYS)
        --*left;
    report_text(&misbehave->device->report, "misbehaved", slice_str("Misbehaved"), names[what]);
    return true;
}

/* ---- messages in both framings ---- */

static bool decode(const struct link *link, struct slice bytes, struct coap_message *message) {
    enum coap_decode_result result =
        link->framing == LINK_STREAM_8323 ? coap_stream_decode(bytes, message) : coap_decode(bytes, message);
    return result == COAP_DECODE_OK;
}

static void send_message(const struct misbehave *misbehave, struct link *link, const struct coap_message *message) {
    uint8_t bytes[COAP_STREAM_SENT_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    if (link->framing == LINK_STREAM_8323 ? coap_stream_encode(message, &out) : coap_encode(message, &out))
        device_send(misbehave->device, link, buffer_slice(&out));
}

static bool has_segment(const struct coap_message *message, const char *segment) {
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number == COAP_URI_PATH && slice_is(message->options[i].value, segment))
            return true;
    }
    return false;
}

/* A Register has what an Update has not: the endpoint's name. */
static bool is_register(const struct coap_message *message) {
    bool names_endpoint = false;
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        names_endpoint =
            names_endpoint || (option->number == COAP_URI_QUERY && slice_starts_with(option->value, "ep="));
    }
    return message->code == COAP_POST && names_endpoint && has_segment(message, "rd");
}

/* ---- holding back ---- */

static void let_go(struct held_back *held, bool send) {
    struct misbehave *misbehave = held->misbehave;
    struct held_back **at = &misbehave->held;
    while (*at != held)
        at = &(*at)->next;
    *at = held->next;
    misbehave->held_count--;
    timer_cancel(&misbehave->device->wheel, &held->timer);
    if (send && !held->link->closed)
        device_send(misbehave->device, held->link, slice_of(held->bytes, held->len));
    link_unref(held->link);
    free(held);
}

static void on_late(struct timer *timer, void *arg) {
    (void)arg;
    let_go(TIMER_OWNER(timer, struct held_back, timer), true);
}

/* `by_ms` 0: until somebody lets it go. */
static bool hold_back(struct misbehave *misbehave, struct link *link, struct slice bytes, uint64_t by_ms) {
    struct device *device = misbehave->device;
    if (misbehave->held_count == MISBEHAVE_HELD_MAX)
        return false;
    struct held_back *held = memory_or_exit(calloc(1, sizeof *held + bytes.len));
    held->misbehave = misbehave;
    held->link = link_ref(link);
    held->len = bytes.len;
    memcpy(held->bytes, bytes.data, bytes.len);
    held->next = misbehave->held;
    misbehave->held = held;
    misbehave->held_count++;
    if (by_ms > 0)
        timer_schedule(&device->wheel, &held->timer, clock_now_ms(&device->clock) + by_ms, on_late);
    return true;
}

/* ---- what is made up ---- */

static uint16_t next_mid(struct link *link) {
    return link->next_mid++;
}

static void send_update_of_nothing(struct misbehave *misbehave, struct link *link) {
    struct coap_message message;
    coap_message_init(&message, COAP_CON, COAP_POST, next_mid(link), slice_str("early"));
    destination_add_path(&misbehave->device->destination, &message, "rd");
    coap_option_add(&message, COAP_URI_PATH, slice_str("never-registered"));
    send_message(misbehave, link, &message);
}

static void send_notification(struct misbehave *misbehave, struct link *link) {
    struct coap_message message;
    struct coap_uint observe, format;
    coap_message_init(&message, COAP_CON, COAP_2_05_CONTENT, next_mid(link),
                      slice_of(misbehave->token, misbehave->token_len));
    coap_option_add_uint(&message, COAP_OBSERVE, 0xffff, &observe);
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_TEXT, &format);
    message.payload = slice_str("1");
    send_message(misbehave, link, &message);
}

/* Block `endless_block` of a Register that always has another one. */
static void send_endless_block(struct misbehave *misbehave, struct link *link) {
    static const char filler[] = ",</33000/0>";
    struct coap_message message;
    struct coap_uint block1;
    uint8_t links[COAP_PAYLOAD_MAX];
    if (!decode(link, slice_of(misbehave->endless, misbehave->endless_len), &message))
        return;
    for (size_t i = 0; i < sizeof links; i++)
        links[i] = (uint8_t)filler[i % (sizeof filler - 1)];
    coap_option_remove(&message, COAP_BLOCK1);
    coap_option_remove(&message, COAP_SIZE1);
    coap_option_add_uint(&message, COAP_BLOCK1, misbehave->endless_block << 4 | 8 | COAP_SZX_MAX, &block1);
    message.mid = next_mid(link);
    message.payload = slice_of(links, sizeof links);
    send_message(misbehave, link, &message);
}

static void begin_endless_register(struct misbehave *misbehave, struct link *link, const struct coap_message *message,
                                   struct slice bytes) {
    free(misbehave->endless);
    misbehave->endless = memory_or_exit(malloc(bytes.len));
    memcpy(misbehave->endless, bytes.data, bytes.len);
    misbehave->endless_len = bytes.len;
    misbehave->endless_block = 0;
    misbehave->endless_token_len = (uint8_t)message->token.len;
    memcpy(misbehave->endless_token, message->token.data, message->token.len);
    send_endless_block(misbehave, link);
}

static void on_soon(struct timer *timer, void *arg) {
    struct misbehave *misbehave = TIMER_OWNER(timer, struct misbehave, soon);
    struct device *device = misbehave->device;
    (void)arg;
    if (misbehave->forgets)
        session_forget(&device->session);
    if (misbehave->notifies && device->server != NULL)
        send_notification(misbehave, device->server);
    misbehave->forgets = misbehave->notifies = false;
}

static void do_soon(struct misbehave *misbehave) {
    struct device *device = misbehave->device;
    timer_schedule(&device->wheel, &misbehave->soon, clock_now_ms(&device->clock), on_soon);
}

/* ---- what comes ---- */

static void note_block(struct misbehave *misbehave, const struct coap_message *message) {
    struct coap_block block;
    misbehave->asked_szx = NO_BLOCK;
    misbehave->asked_block = 0;
    if (!coap_block_get(message, COAP_BLOCK2, &block))
        return;
    misbehave->asked_szx = block.szx;
    misbehave->asked_block = block.num;
}

static void note_cancel(struct misbehave *misbehave, const struct coap_message *message) {
    uint32_t observe;
    if (!coap_option_uint(message, COAP_OBSERVE, &observe) || observe != 1 ||
        !does(misbehave, MISBEHAVE_NOTIFY_AFTER_CANCEL))
        return;
    misbehave->token_len = (uint8_t)message->token.len;
    if (message->token.len > 0)
        memcpy(misbehave->token, message->token.data, message->token.len);
    misbehave->notifies = true;
    do_soon(misbehave);
}

/* True: it goes on with another block. */
static bool goes_on(struct misbehave *misbehave, struct link *link, const struct coap_message *message) {
    if (misbehave->endless == NULL || message->code != COAP_2_31_CONTINUE ||
        !slice_equal(message->token, slice_of(misbehave->endless_token, misbehave->endless_token_len)))
        return false;
    misbehave->endless_block++;
    send_endless_block(misbehave, link);
    return true;
}

bool misbehave_heard(struct misbehave *misbehave, struct link *link, struct slice bytes) {
    struct coap_message message;
    if (!is_ordered(misbehave) && misbehave->endless == NULL)
        return false;
    if (!decode(link, bytes, &message))
        return false;
    if (coap_code_is_request(message.code)) {
        note_block(misbehave, &message);
        note_cancel(misbehave, &message);
        return false;
    }
    bool is_done = message.code == COAP_2_01_CREATED || message.code == COAP_2_04_CHANGED;
    if (is_done && misbehave->device->session.client != NULL && does(misbehave, MISBEHAVE_FORGET_SESSION)) {
        misbehave->forgets = true;
        do_soon(misbehave);
    }
    return goes_on(misbehave, link, &message);
}

/* ---- what goes ---- */

static void make_garbage(struct coap_message *message, uint8_t bytes[COAP_STREAM_SENT_MAX]) {
    for (size_t i = 0; i < message->payload.len && i < COAP_STREAM_SENT_MAX; i++)
        bytes[i] = (uint8_t)(0xff - i % 3); /* UTF-8 never, CBOR and TLV neither */
    message->payload = slice_of(bytes, message->payload.len);
}

/* True when the answer is another one now. */
static bool spoil_answer(struct misbehave *misbehave, struct coap_message *message,
                         uint8_t payload[COAP_STREAM_SENT_MAX], struct coap_uint scratch[3], uint8_t token[1]) {
    struct coap_block block;
    bool spoilt = false, has_payload = message->payload.len > 0;
    /* What the device itself says of a block past the end of its value is 4.00. */
    bool is_content =
        message->code == COAP_2_05_CONTENT || (message->code == COAP_4_00_BAD_REQUEST && misbehave->asked_block > 0);
    if (has_payload && is_content && does(misbehave, MISBEHAVE_ENDLESS_BLOCKS)) {
        message->code = COAP_2_05_CONTENT;
        uint8_t szx = misbehave->asked_szx > COAP_SZX_MAX ? COAP_SZX_MAX : misbehave->asked_szx;
        memset(payload, 'x', COAP_PAYLOAD_MAX);
        message->payload = slice_of(payload, coap_block_size(szx));
        coap_option_remove(message, COAP_BLOCK2);
        coap_option_remove(message, COAP_SIZE2);
        coap_option_add_uint(message, COAP_BLOCK2, misbehave->asked_block << 4 | 8 | szx, &scratch[0]);
        spoilt = true;
    }
    if (coap_block_get(message, COAP_BLOCK2, &block) && does(misbehave, MISBEHAVE_WRONG_BLOCK_SIZE)) {
        coap_option_remove(message, COAP_BLOCK2);
        coap_option_add_uint(message, COAP_BLOCK2,
                             block.num << 4 | (block.more ? 8u : 0u) | (block.szx > 0 ? block.szx - 1u : 1u),
                             &scratch[0]);
        spoilt = true;
    }
    if (has_payload && does(misbehave, MISBEHAVE_GARBAGE)) {
        make_garbage(message, payload);
        spoilt = true;
    }
    if (has_payload && does(misbehave, MISBEHAVE_WRONG_FORMAT)) {
        coap_option_remove(message, COAP_CONTENT_FORMAT);
        coap_option_add_uint(message, COAP_CONTENT_FORMAT, NO_FORMAT, &scratch[1]);
        spoilt = true;
    }
    if (message->token.len > 0 && does(misbehave, MISBEHAVE_WRONG_TOKEN)) {
        token[0] = message->token.data[0] ^ 0x55;
        message->token = slice_of(token, 1);
        spoilt = true;
    }
    return spoilt;
}

static bool is_notification(const struct coap_message *message) {
    return coap_code_is_response(message->code) && message->type != COAP_ACK &&
           coap_option_find(message, COAP_OBSERVE) != NULL;
}

/* The first of two goes behind the second. True: it has been seen to. */
static bool reverse(struct misbehave *misbehave, struct link *link, struct slice bytes) {
    if (misbehave->is_overtaking) {
        misbehave->is_overtaking = false;
        device_send(misbehave->device, link, bytes);
        for (struct held_back *held = misbehave->held; held != NULL; held = held->next) {
            if (timer_is_scheduled(&held->timer))
                continue;
            let_go(held, true);
            break;
        }
        return true;
    }
    if (!does(misbehave, MISBEHAVE_OUT_OF_ORDER))
        return false;
    misbehave->is_overtaking = hold_back(misbehave, link, bytes, 0);
    return misbehave->is_overtaking;
}

/* An ACK, empty or with an answer: its fate. True: it has been seen to. */
static bool fail_to_acknowledge(struct misbehave *misbehave, struct link *link, struct coap_message *message,
                                struct slice bytes) {
    if (does(misbehave, MISBEHAVE_NO_ACK))
        return true;
    if (does(misbehave, MISBEHAVE_RESET)) {
        coap_message_init(message, COAP_RST, COAP_EMPTY, message->mid, SLICE_NONE);
        send_message(misbehave, link, message);
        return true;
    }
    return misbehave->order.left[MISBEHAVE_LATE_ACK] > 0 &&
           hold_back(misbehave, link, bytes, misbehave->order.late_ms) && does(misbehave, MISBEHAVE_LATE_ACK);
}

static void divert(void *arg, struct link *link, struct slice bytes) {
    struct misbehave *misbehave = arg;
    struct coap_message message;
    struct coap_uint scratch[3];
    uint8_t payload[COAP_STREAM_SENT_MAX], token[1];
    if (link->is_protected || !decode(link, bytes, &message)) {
        device_send(misbehave->device, link, bytes);
        return;
    }
    bool is_datagram = link->framing != LINK_STREAM_8323, spoilt = false;
    bool is_request = coap_code_is_request(message.code), is_answer = coap_code_is_response(message.code);
    if (is_request && is_register(&message)) {
        if (does(misbehave, MISBEHAVE_UPDATE_FIRST))
            send_update_of_nothing(misbehave, link);
        if (misbehave->endless != NULL || does(misbehave, MISBEHAVE_ENDLESS_REGISTER)) {
            if (misbehave->endless == NULL) /* else the same one again: its blocks are on their way */
                begin_endless_register(misbehave, link, &message, bytes);
            return;
        }
    }
    if (is_notification(&message) && reverse(misbehave, link, bytes))
        return;
    if (is_datagram && message.type == COAP_ACK && fail_to_acknowledge(misbehave, link, &message, bytes))
        return;
    if (is_answer)
        spoilt = spoil_answer(misbehave, &message, payload, scratch, token);
    if ((is_request || is_answer) && does(misbehave, MISBEHAVE_CRITICAL_OPTION))
        spoilt = coap_option_add(&message, CRITICAL, SLICE_NONE);
    if (is_datagram && message.type == COAP_ACK && does(misbehave, MISBEHAVE_WRONG_MID)) {
        message.mid ^= 0x5555;
        spoilt = true;
    }
    if (spoilt)
        send_message(misbehave, link, &message);
    else
        device_send(misbehave->device, link, bytes);
    if (is_request && does(misbehave, MISBEHAVE_DUPLICATE))
        device_send(misbehave->device, link, bytes);
}

struct slice misbehave_datagram(struct misbehave *misbehave, struct slice datagram, struct buffer *memory) {
    bool has_cid = datagram.len > CID_AT && datagram.data[0] == RECORD_TLS12_CID_TYPE;
    if (!has_cid || datagram.len > memory->cap || !does(misbehave, MISBEHAVE_STALE_CID))
        return datagram;
    buffer_put_slice(memory, datagram);
    memory->data[CID_AT] ^= 0x55;
    return buffer_slice(memory);
}

/* ---- life ---- */

static void attend(struct misbehave *misbehave) {
    if (misbehave->device->coap != NULL) {
        struct device *device = misbehave->device;
        if (is_ordered(misbehave))
            coap_endpoint_divert(device->coap, divert, misbehave);
        else
            coap_endpoint_divert(device->coap, device->options->pelion ? pelion_divert : NULL, &device->pelion);
    }
}

void misbehave_init(struct misbehave *misbehave, struct device *device, const struct misbehave_order *order) {
    *misbehave = (struct misbehave){.device = device, .order = *order, .asked_szx = NO_BLOCK};
}

void misbehave_resume(struct misbehave *misbehave) {
    attend(misbehave);
}

static void forget_endless(struct misbehave *misbehave) {
    free(misbehave->endless);
    misbehave->endless = NULL;
}

void misbehave_set(struct misbehave *misbehave, const struct misbehave_order *order) {
    misbehave->order = *order;
    misbehave->is_overtaking = false;
    forget_endless(misbehave);
    while (misbehave->held != NULL)
        let_go(misbehave->held, true);
    attend(misbehave);
}

void misbehave_pause(struct misbehave *misbehave) {
    if (misbehave->device == NULL || misbehave->device->coap == NULL)
        return;
    timer_cancel(&misbehave->device->wheel, &misbehave->soon);
    coap_endpoint_divert(misbehave->device->coap, NULL, NULL);
    forget_endless(misbehave);
    while (misbehave->held != NULL)
        let_go(misbehave->held, false);
}
