/* What a device sends to be bootstrapped: a message whose query is read, and whose payload is what a Discover was
 * answered; and a configuration's bytes, which make the same bytes again, whose plans are within their memory. */
#include <stdlib.h>

#include "server/bootstrap_plan.h"
#include "server/bootstrap_request.h"

static void require(bool holds) {
    if (!holds)
        abort();
}

static void read_message(struct slice bytes, struct bootstrap_facts *facts) {
    static struct bootstrap_request request;
    struct coap_message message;
    if (coap_decode(bytes, &message) != COAP_DECODE_OK)
        return;
    bool good = bootstrap_request_read(&request, &message);
    require(good || (request.code != COAP_EMPTY && request.error != NULL));
    require(request.query_len <= sizeof request.query && request.occupied_count <= BOOTSTRAP_OCCUPIED_MAX);
    require(!request.has_format || request.format < 0 || bootstrap_format_good(request.format, false));
    bootstrap_discovered(message.payload, facts);
    require(facts->occupied_count <= BOOTSTRAP_DISCOVERED_MAX);
    facts->endpoint = request.endpoint;
    facts->account = request.account;
}

static void plan(const struct bootstrap_config *config, enum bootstrap_sequence sequence,
                 const struct bootstrap_facts *facts) {
    static const int formats[] = {110, 112, 11542, 11544};
    const char *problem;
    struct bootstrap_plan *look = bootstrap_plan_look(config, sequence);
    struct bootstrap_plan *give = bootstrap_plan_give(config, sequence, facts, &problem);
    require(look != NULL && (give != NULL || problem != NULL));
    for (size_t i = 0; give != NULL && i < give->step_count; i++) {
        const struct bootstrap_step *step = &give->steps[i];
        for (size_t f = 0; step->verb == BOOTSTRAP_WRITE && f < sizeof formats / sizeof formats[0]; f++) {
            struct buffer payload;
            bootstrap_plan_encode(give, step, formats[f], &payload);
            free(payload.data);
        }
    }
    bootstrap_plan_free(look);
    bootstrap_plan_free(give);
}

static void read_config(struct slice bytes, const struct bootstrap_facts *facts) {
    static struct bootstrap_config config, again;
    static uint8_t memory[2 * BOOTSTRAP_BYTES_MAX], memory_again[2 * BOOTSTRAP_BYTES_MAX];
    char problem[300];
    if (!bootstrap_config_decode(bytes, &config) || !bootstrap_config_check(&config, problem, sizeof problem))
        return;
    struct buffer out = buffer_over(memory, sizeof memory), out_again = buffer_over(memory_again, sizeof memory_again);
    if (!bootstrap_config_encode(&config, &out))
        return;
    require(bootstrap_config_decode(buffer_slice(&out), &again));
    require(bootstrap_config_encode(&again, &out_again) && slice_equal(buffer_slice(&out), buffer_slice(&out_again)));
    for (enum bootstrap_sequence s = BOOTSTRAP_STANDARD; s < BOOTSTRAP_SEQUENCE_COUNT; s++)
        plan(&config, s, facts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bootstrap_facts facts = {.device_id = slice_str("0123")};
    if (size == 0)
        return 0;
    /* The first byte tells how much of it is the message. */
    size_t len = (size - 1) * data[0] / 255;
    read_message(slice_of(data + 1, len), &facts);
    read_config(slice_of(data + 1 + len, size - 1 - len), &facts);
    return 0;
}
