#include "common/oscore/rederive.h"

#include "common/base/cbor.h"

bool oscore_rederive_wrap(struct slice nonce, struct buffer *out) {
    cbor_put_bytes(out, nonce);
    return !out->overflow;
}

bool oscore_rederive_unwrap(struct slice kid_context, struct slice *nonce) {
    struct cbor_reader reader = cbor_reader_over(kid_context, NULL);
    struct cbor_item item;
    /* A byte string without tag, whose length is definite: another one would need memory to be joined in. */
    if (kid_context.len == 0 || kid_context.data[0] >> 5 != 2 || kid_context.data[0] == 0x5f ||
        !cbor_read(&reader, &item) || !cbor_at_end(&reader) || item.bytes.len > OSCORE_ID_CONTEXT_MAX)
        return false;
    *nonce = item.bytes;
    return true;
}

static bool derive(struct oscore_context *context, const struct oscore_secrets *secrets, struct slice first,
                   struct slice second) {
    uint8_t memory[OSCORE_ID_CONTEXT_MAX];
    struct buffer id_context = buffer_over(memory, sizeof memory);
    struct oscore_secrets with = *secrets;
    buffer_put_slice(&id_context, first);
    buffer_put_slice(&id_context, second);
    with.id_context = buffer_slice(&id_context);
    return !id_context.overflow && oscore_context_derive(context, &with);
}

bool oscore_rederive_begin(struct oscore_context *context, const struct oscore_secrets *secrets,
                           const uint8_t r1[OSCORE_R_LEN]) {
    return derive(context, secrets, slice_of(r1, OSCORE_R_LEN), SLICE_NONE);
}

enum oscore_result oscore_rederive_continue(struct oscore_context *context, const struct oscore_secrets *secrets,
                                            const uint8_t r3[OSCORE_R_LEN], const struct oscore_request *request,
                                            const struct oscore_option *option, const struct coap_message *response,
                                            struct buffer *memory) {
    struct oscore_context second;
    struct oscore_response about;
    struct coap_message inner;
    struct slice r2;
    enum oscore_result result = OSCORE_MALFORMED;
    if (!option->has_kid_context || !oscore_rederive_unwrap(option->kid_context, &r2) || r2.len < OSCORE_R_LEN ||
        !derive(&second, secrets, r2, oscore_context_id_context(context)))
        return result;
    size_t before = memory->len;
    result = oscore_open_response(&second, request, option, response, memory, &inner, &about);
    if (result == OSCORE_BAD && option->piv.len == 0) { /* libcoap has the nonce of the request in every respect */
        memcpy(second.common_iv, context->common_iv, sizeof second.common_iv);
        memory->len = before;
        result = oscore_open_response(&second, request, option, response, memory, &inner, &about);
    }
    oscore_context_wipe(&second);
    if (result != OSCORE_OK)
        return result;
    if (!derive(&second, secrets, r2, slice_of(r3, OSCORE_R_LEN)))
        return OSCORE_MALFORMED;
    *context = second;
    oscore_window_fresh(&context->window); /* r3 is: nothing was ever protected with these keys */
    oscore_context_wipe(&second);
    return OSCORE_OK;
}

/* Response #1 has a Partial IV of its own: that of the request, since that one is never used twice with these nonces. A
 * request that is played again gets what it got before. */
static enum oscore_result protect_first(struct oscore_context *second, const struct oscore_request *request,
                                        const uint8_t r2[OSCORE_R_LEN], const struct coap_message *to,
                                        struct buffer *memory, struct coap_message *response) {
    uint8_t wrapped[OSCORE_R_LEN + 2];
    struct buffer kid_context = buffer_over(wrapped, sizeof wrapped);
    struct coap_message inner;
    oscore_rederive_wrap(slice_of(r2, OSCORE_R_LEN), &kid_context);
    coap_message_init(&inner, to->type, COAP_4_01_UNAUTHORIZED, to->mid, to->token);
    second->next_number = oscore_piv_number(slice_of(request->piv, request->piv_len));
    second->number_limit = second->next_number + 1;
    return oscore_protect_response(second, request, OSCORE_NONCE_OWN, buffer_slice(&kid_context), &inner, memory,
                                   response);
}

enum oscore_result oscore_rederive_answer(const struct oscore_secrets *secrets, struct slice id_context,
                                          const uint8_t r2[OSCORE_R_LEN], const struct oscore_option *option,
                                          const struct coap_message *request, struct buffer *memory,
                                          struct coap_message *response) {
    struct oscore_context context;
    struct coap_message inner;
    struct oscore_request about;
    if (!derive(&context, secrets, id_context, SLICE_NONE))
        return OSCORE_BAD;
    size_t before = memory->len;
    enum oscore_result result = oscore_open_request(&context, option, request, memory, &inner, &about);
    memory->len = before;
    if (result == OSCORE_OK && !derive(&context, secrets, slice_of(r2, OSCORE_R_LEN), id_context))
        result = OSCORE_BAD;
    if (result == OSCORE_OK)
        result = protect_first(&context, &about, r2, request, memory, response);
    oscore_context_wipe(&context);
    return result;
}

enum oscore_result oscore_rederive_finish(struct oscore_context *context, const struct oscore_secrets *secrets,
                                          const uint8_t r2[OSCORE_R_LEN], struct slice nonces,
                                          const struct oscore_option *option, const struct coap_message *outer,
                                          struct buffer *memory, struct coap_message *inner,
                                          struct oscore_request *request) {
    struct oscore_context third;
    if (nonces.len < OSCORE_R_LEN + 1 || memcmp(nonces.data, r2, OSCORE_R_LEN) != 0 ||
        !derive(&third, secrets, nonces, SLICE_NONE))
        return OSCORE_BAD;
    enum oscore_result result = oscore_open_request(&third, option, outer, memory, inner, request);
    if (result == OSCORE_OK) {
        *context = third;
        oscore_window_start(&context->window, oscore_piv_number(slice_of(request->piv, request->piv_len)));
    }
    oscore_context_wipe(&third);
    return result;
}
