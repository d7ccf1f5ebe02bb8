/* OSCORE: the first byte picks what the rest is. An option value that decodes is encoded to the same bytes. No message
 * opens that was not sealed with the key; what is sealed from the input comes back; request and response of Appendix B.2
 * with nonces from the input change nothing. */
#include <stdlib.h>

#include "common/oscore/rederive.h"

static void require(bool condition) {
    if (!condition)
        abort();
}

static uint8_t memory_a[1 << 13], memory_b[1 << 13];

static struct oscore_secrets secrets(bool server, uint8_t choice) {
    static const uint8_t ids[2] = {1, 2};
    const struct oscore_aead *aead = oscore_aead_at(choice % 11U);
    return (struct oscore_secrets){.master_secret = slice_str("fuzz"),
                                   .sender_id = slice_of(ids + server, 1),
                                   .recipient_id = slice_of(ids + !server, 1),
                                   .aead = aead->number,
                                   .hkdf = (enum oscore_hkdf)(choice >> 7)};
}

static struct oscore_context context(const struct oscore_secrets *s) {
    struct oscore_context c;
    require(oscore_context_derive(&c, s));
    c.number_limit = OSCORE_NUMBER_END;
    oscore_window_fresh(&c.window);
    return c;
}

static void decode_option(struct slice value) {
    struct oscore_option option;
    struct slice nonce;
    if (!oscore_option_decode(value, &option))
        return;
    struct buffer out = buffer_over(memory_a, sizeof memory_a);
    require(oscore_option_encode(&option, &out) && slice_equal(buffer_slice(&out), value));
    if (option.has_kid_context && oscore_rederive_unwrap(option.kid_context, &nonce))
        require(nonce.len <= OSCORE_ID_CONTEXT_MAX);
}

/* Nobody has the key: nothing opens. */
static void open_forged(struct coap_message *outer, uint8_t choice) {
    struct oscore_secrets ours = secrets(true, choice);
    struct oscore_context server = context(&ours), before = server;
    struct coap_message inner;
    struct oscore_option option;
    struct oscore_request request = {.piv = {7}, .piv_len = 1};
    struct oscore_response about;
    struct slice nonce;
    const uint8_t r[OSCORE_R_LEN] = {0};
    const struct coap_option *found = coap_option_find(outer, COAP_OSCORE);
    if (found == NULL || !oscore_option_decode(found->value, &option))
        return;
    struct buffer memory = buffer_over(memory_a, sizeof memory_a);
    require(oscore_open_request(&server, &option, outer, &memory, &inner, &request) != OSCORE_OK);
    memory = buffer_over(memory_a, sizeof memory_a);
    require(oscore_open_response(&server, &request, &option, outer, &memory, &inner, &about) != OSCORE_OK);
    memory = buffer_over(memory_a, sizeof memory_a);
    require(oscore_rederive_continue(&server, &ours, r, &request, &option, outer, &memory) != OSCORE_OK);
    memory = buffer_over(memory_a, sizeof memory_a);
    if (oscore_rederive_unwrap(option.kid_context, &nonce)) {
        require(oscore_rederive_answer(&ours, nonce, r, &option, outer, &memory, &inner) != OSCORE_OK);
        memory = buffer_over(memory_a, sizeof memory_a);
        require(oscore_rederive_finish(&server, &ours, nonce.len >= sizeof r ? nonce.data : r, nonce, &option, outer,
                                       &memory, &inner, &request) != OSCORE_OK);
    }
    require(memcmp(&server, &before, sizeof server) == 0);
}

/* What is sealed comes back as it was, less what is not Class E. */
static void there_and_back(struct coap_message *message, uint8_t choice) {
    struct oscore_secrets ours = secrets(true, choice), theirs = secrets(false, choice);
    struct oscore_context server = context(&ours), client = context(&theirs);
    struct coap_message outer, inner;
    struct oscore_option option;
    struct oscore_request request, seen;
    if (!coap_code_is_request(message->code) || message->option_count > 30)
        return;
    struct buffer memory = buffer_over(memory_a, sizeof memory_a), more = buffer_over(memory_b, sizeof memory_b);
    require(oscore_protect_request(&client, SLICE_NONE, message, &memory, &outer, &request) == OSCORE_OK);
    require(oscore_option_decode(coap_option_find(&outer, COAP_OSCORE)->value, &option));
    require(oscore_open_request(&server, &option, &outer, &more, &inner, &seen) == OSCORE_OK);
    require(inner.code == message->code && slice_equal(inner.payload, message->payload));
    coap_option_remove(&inner, COAP_OSCORE);
    coap_option_remove(message, COAP_OSCORE);
    require(inner.option_count == message->option_count);
    for (size_t i = 0; i < inner.option_count; i++)
        require(inner.options[i].number == message->options[i].number &&
                slice_equal(inner.options[i].value, message->options[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct coap_message message;
    if (size < 2 || size > 2048)
        return 0;
    struct slice input = slice_of(data + 2, size - 2);
    switch (data[0] % 3) {
    case 0:
        decode_option(input);
        break;
    case 1:
        if (coap_decode(input, &message) == COAP_DECODE_OK)
            open_forged(&message, data[1]);
        break;
    default:
        if (coap_decode(input, &message) == COAP_DECODE_OK)
            there_and_back(&message, data[1]);
        break;
    }
    return 0;
}
