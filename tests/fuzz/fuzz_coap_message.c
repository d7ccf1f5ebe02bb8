/* The CoAP message parser: what it takes for a message is encoded again to the same bytes, judged option by option, and
 * still a message then. */
#include <stdlib.h>

#include "common/coap/block.h"
#include "common/coap/peer.h"

static void require(bool holds) {
    if (!holds)
        abort();
}

static void require_same(const struct coap_message *a, const struct coap_message *b) {
    require(a->type == b->type && a->code == b->code && a->mid == b->mid && slice_equal(a->token, b->token));
    require(slice_equal(a->payload, b->payload) && a->option_count == b->option_count);
    for (size_t i = 0; i < a->option_count; i++)
        require(a->options[i].number == b->options[i].number && slice_equal(a->options[i].value, b->options[i].value));
}

static void require_inside(struct slice part, struct slice whole) {
    require(part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len));
}

static void encode_and_compare(const struct coap_message *message, struct slice expected) {
    uint8_t *bytes = malloc(expected.len);
    struct buffer out = buffer_over(bytes, expected.len);
    struct coap_message again;
    require(coap_encode(message, &out));
    require(slice_equal(buffer_slice(&out), expected));
    require(coap_decode(buffer_slice(&out), &again) == COAP_DECODE_OK);
    require_same(message, &again);
    out = buffer_over(bytes, expected.len - 1); /* a byte too few */
    require(!coap_encode(message, &out));
    free(bytes);
}

static void look_at_options(const struct coap_message *message, struct slice datagram) {
    struct coap_block block;
    uint32_t value;
    for (size_t i = 0; i < message->option_count; i++) {
        require(i == 0 || message->options[i].number >= message->options[i - 1].number);
        require_inside(message->options[i].value, datagram);
        require(coap_option_find(message, message->options[i].number) != NULL);
        coap_option_name(message->options[i].number);
    }
    if (coap_block_get(message, COAP_BLOCK1, &block))
        require(block.szx <= 7);
    if (coap_option_uint(message, COAP_ACCEPT, &value))
        require(coap_option_find(message, COAP_ACCEPT)->value.len <= 4);
}

static void judge(struct coap_message *message, bool oscore) {
    struct coap_option_rules rules = {.oscore = oscore};
    size_t before = message->option_count;
    uint16_t critical = coap_options_judge(message, &rules);
    require(message->option_count <= before);
    if (critical != 0) {
        require(coap_option_is_critical(critical));
        return;
    }
    int format = coap_content_format(message);
    require(format >= COAP_FORMAT_NONE && format <= UINT16_MAX);
    size_t kept = message->option_count;
    require(coap_options_judge(message, &rules) == 0 && message->option_count == kept); /* nothing left to judge */
}

static void resolve_proxy(struct coap_message *message) {
    static struct listener listener = {.address = {.family = ADDRESS_IPV4, .port = 5683}};
    static struct link link = {.listener = &listener, .local = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}}};
    uint8_t scratch[PROXY_SCRATCH];
    if (proxy_resolve(message, &link, scratch))
        require(coap_option_find(message, COAP_PROXY_URI) == NULL &&
                coap_option_find(message, COAP_PROXY_SCHEME) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice datagram = slice_of(data, size);
    struct coap_message message, judged;
    enum coap_decode_result result = coap_decode(datagram, &message);
    require(coap_decode_text(result)[0] != '\0');
    if (result != COAP_DECODE_OK)
        return 0;
    require_inside(message.token, datagram);
    require_inside(message.payload, datagram);
    coap_code_name(message.code);
    encode_and_compare(&message, datagram);
    look_at_options(&message, datagram);
    judged = message;
    judge(&judged, true);
    judged = message;
    judge(&judged, false);
    resolve_proxy(&judged);
    return 0;
}
