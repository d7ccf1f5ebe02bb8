#include "common/oscore/protect.h"

#include <mbedtls/platform_util.h>

enum { AAD_MAX = 48, HEADER = 4 };

/* ---- classes of options (§4.1) ---- */

static bool is_outer_only(uint16_t number) {
    return number == COAP_URI_HOST || number == COAP_URI_PORT || number == COAP_HOP_LIMIT ||
           number == COAP_PROXY_SCHEME || number == COAP_PROXY_URI;
}

/* ---- the AEAD's input (§5.3, §5.4) ---- */

static uint8_t *put_string(uint8_t *at, struct slice bytes) {
    *at++ = (uint8_t)(0x40 | bytes.len);
    if (bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

/* Enc_structure ["Encrypt0", h'', external_aad], where external_aad = [1, [alg_aead], request_kid, request_piv, options]
 * and there are no Class I options. It is made for every message, and nothing in it is longer than 23 bytes but an
 * algorithm's number: so it is written byte by byte. */
static struct slice make_aad(const struct oscore_context *c, struct slice request_kid, struct slice request_piv,
                             uint8_t memory[AAD_MAX]) {
    static const uint8_t head[] = {0x83, 0x68, 'E', 'n', 'c', 'r', 'y', 'p', 't', '0', 0x40};
    uint8_t *length = memory + sizeof head, *at = length + 1;
    memcpy(memory, head, sizeof head);
    *at++ = 0x85;
    *at++ = 1;
    *at++ = 0x81;
    if (c->aead >= 24)
        *at++ = 0x18;
    *at++ = c->aead;
    at = put_string(at, request_kid);
    at = put_string(at, request_piv);
    *at++ = 0x40;
    *length = (uint8_t)(0x40 | (at - length - 1));
    return slice_of(memory, (size_t)(at - memory));
}

_Static_assert(3 + 2 + 2 + OSCORE_ID_MAX + 1 + OSCORE_PIV_MAX + 1 < 24, "the length of external_aad is in one byte");

/* One message to seal or open: whose key, whose nonce, and for which request. */
struct cover {
    const uint8_t *key;
    struct slice nonce_id, nonce_piv;
    struct slice request_kid, request_piv;
};

/* ---- the inner message as bytes: code, options, payload ---- */

static void empty_observe(struct coap_message *message) {
    static const uint8_t nothing;
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number == COAP_OBSERVE)
            message->options[i].value = slice_of(&nothing, 0);
    }
}

/* coap_encode writes a header before the options whose last byte is not needed: the code stands there. */
static bool put_plain(const struct coap_message *inner, bool empties_observe, struct buffer *memory, uint8_t **text,
                      size_t *len) {
    struct coap_message plain; /* most of a message is room for options: not copied */
    coap_message_init(&plain, inner->type, inner->code, 0, SLICE_NONE);
    plain.payload = inner->payload;
    for (size_t i = 0; i < inner->option_count; i++) {
        uint16_t number = inner->options[i].number;
        if (number != COAP_OSCORE && !is_outer_only(number))
            plain.options[plain.option_count++] = inner->options[i];
    }
    if (empties_observe) /* §4.1.3.5.2: within a notification, its value is empty */
        empty_observe(&plain);
    size_t start = memory->len;
    if (memory->cap - memory->len <= OSCORE_TAG_MAX)
        return false;
    struct buffer part = buffer_over(memory->data + start, memory->cap - start - OSCORE_TAG_MAX);
    if (!coap_encode(&plain, &part))
        return false;
    *text = part.data + HEADER - 1;
    *len = part.len - (HEADER - 1);
    **text = inner->code;
    return true;
}

/* The inverse: `start` has HEADER - 1 bytes to spare before the code. */
static bool read_plain(uint8_t *start, size_t len, struct coap_message *inner) {
    uint8_t code = start[HEADER - 1];
    start[0] = 1 << 6;
    start[1] = code;
    start[2] = 0;
    start[3] = 0;
    return coap_decode(slice_of(start, len), inner) == COAP_DECODE_OK && code != COAP_EMPTY;
}

/* Seal `inner` behind what is in `memory`. */
static bool seal(const struct oscore_context *c, const struct cover *cover, const struct coap_message *inner,
                 struct buffer *memory, struct slice *sealed) {
    const struct oscore_aead *aead = oscore_aead_of(c->aead);
    uint8_t nonce[OSCORE_NONCE_MAX], aad_memory[AAD_MAX], *text;
    size_t len;
    if (!put_plain(inner, !coap_code_is_request(inner->code), memory, &text, &len))
        return false;
    oscore_nonce(c, cover->nonce_id, cover->nonce_piv, nonce);
    struct slice aad = make_aad(c, cover->request_kid, cover->request_piv, aad_memory);
    if (!oscore_seal(aead, cover->key, nonce, aad, text, len)) {
        mbedtls_platform_zeroize(text, len);
        return false;
    }
    *sealed = slice_of(text, len + aead->tag_len);
    buffer_take(memory, HEADER - 1 + sealed->len);
    return true;
}

static enum oscore_result open(const struct oscore_context *c, const struct cover *cover, struct slice sealed,
                               struct buffer *memory, struct coap_message *inner) {
    const struct oscore_aead *aead = oscore_aead_of(c->aead);
    uint8_t nonce[OSCORE_NONCE_MAX], aad_memory[AAD_MAX];
    if (sealed.len < 1U + aead->tag_len)
        return OSCORE_BAD;
    uint8_t *start = buffer_take(memory, HEADER - 1 + sealed.len);
    if (start == NULL)
        return OSCORE_TOO_LARGE;
    size_t len = sealed.len - aead->tag_len;
    memcpy(start + HEADER - 1, sealed.data, sealed.len);
    oscore_nonce(c, cover->nonce_id, cover->nonce_piv, nonce);
    struct slice aad = make_aad(c, cover->request_kid, cover->request_piv, aad_memory);
    if (!oscore_open(aead, cover->key, nonce, aad, start + HEADER - 1, len) ||
        !read_plain(start, HEADER - 1 + len, inner))
        return OSCORE_BAD;
    return OSCORE_OK;
}

/* ---- the outer message ---- */

/* Class U options, and Observe, which is outside too (§4.1.3.5). */
static void start_outer(const struct coap_message *inner, uint8_t code, struct coap_message *outer) {
    coap_message_init(outer, inner->type, code, inner->mid, inner->token);
    for (size_t i = 0; i < inner->option_count; i++) {
        const struct coap_option *option = &inner->options[i];
        if (is_outer_only(option->number) || option->number == COAP_OBSERVE)
            coap_option_add(outer, option->number, option->value);
    }
}

static bool add_option(struct coap_message *outer, const struct oscore_option *option, struct buffer *memory) {
    size_t at = memory->len;
    return oscore_option_encode(option, memory) &&
           coap_option_add(outer, COAP_OSCORE, slice_of(memory->data + at, memory->len - at));
}

/* §8.2, §8.4: from the outside come Class U options, and from the inside all others. */
static bool merge_options(const struct coap_message *outer, struct coap_message *inner) {
    size_t kept = 0;
    for (size_t i = 0; i < inner->option_count; i++) {
        uint16_t number = inner->options[i].number;
        if (!is_outer_only(number) && number != COAP_OSCORE)
            inner->options[kept++] = inner->options[i];
    }
    inner->option_count = kept;
    inner->type = outer->type;
    inner->mid = outer->mid;
    inner->token = outer->token;
    for (size_t i = 0; i < outer->option_count; i++) {
        const struct coap_option *option = &outer->options[i];
        if (is_outer_only(option->number) && !coap_option_add(inner, option->number, option->value))
            return false;
    }
    return true;
}

static bool take_number(struct oscore_context *c, uint64_t *number) {
    if (c->next_number >= c->number_limit || c->next_number >= OSCORE_NUMBER_END)
        return false;
    *number = c->next_number++;
    return true;
}

/* ---- requests ---- */

static struct slice piv_of(const struct oscore_request *request) {
    return slice_of(request->piv, request->piv_len);
}

static void set_piv(struct oscore_request *request, struct slice piv) {
    memset(request, 0, sizeof *request);
    if (piv.len > 0)
        memcpy(request->piv, piv.data, piv.len);
    request->piv_len = (uint8_t)piv.len;
}

enum oscore_result oscore_protect_request(struct oscore_context *c, struct slice kid_context,
                                          const struct coap_message *inner, struct buffer *memory,
                                          struct coap_message *outer, struct oscore_request *request) {
    uint64_t number;
    uint8_t piv_memory[OSCORE_PIV_MAX];
    if (!take_number(c, &number))
        return OSCORE_NO_NUMBERS;
    set_piv(request, oscore_piv_bytes(number, piv_memory));
    struct slice kid = oscore_context_sender_id(c), piv = piv_of(request);
    const struct oscore_option option = {.has_kid = true,
                                         .kid = kid,
                                         .piv = piv,
                                         .has_kid_context = kid_context.data != NULL,
                                         .kid_context = kid_context};
    const struct cover cover = {
        .key = c->sender_key, .nonce_id = kid, .nonce_piv = piv, .request_kid = kid, .request_piv = piv};
    start_outer(inner, coap_option_find(inner, COAP_OBSERVE) != NULL ? COAP_FETCH : COAP_POST, outer);
    if (!add_option(outer, &option, memory) || !seal(c, &cover, inner, memory, &outer->payload))
        return OSCORE_TOO_LARGE;
    return OSCORE_OK;
}

enum oscore_result oscore_open_request(const struct oscore_context *c, const struct oscore_option *option,
                                       const struct coap_message *outer, struct buffer *memory,
                                       struct coap_message *inner, struct oscore_request *request) {
    struct slice kid = oscore_context_recipient_id(c);
    if (option->piv.len == 0)
        return OSCORE_MALFORMED;
    set_piv(request, option->piv);
    if (c->window.valid && !oscore_window_permits(&c->window, oscore_piv_number(option->piv)))
        return OSCORE_REPLAY;
    const struct cover cover = {.key = c->recipient_key,
                                .nonce_id = kid,
                                .nonce_piv = option->piv,
                                .request_kid = kid,
                                .request_piv = option->piv};
    enum oscore_result result = open(c, &cover, outer->payload, memory, inner);
    if (result != OSCORE_OK)
        return result;
    const struct coap_option *own = coap_option_find(outer, COAP_OSCORE);
    if (!coap_code_is_request(inner->code) || !merge_options(outer, inner) ||
        !coap_option_add(inner, COAP_OSCORE, own == NULL ? SLICE_NONE : own->value))
        return OSCORE_BAD;
    if (coap_option_find(outer, COAP_OBSERVE) == NULL) /* §4.1.3.5.1: somebody on the way does not know it */
        coap_option_remove(inner, COAP_OBSERVE);
    return OSCORE_OK;
}

bool oscore_request_take(struct oscore_context *c, const struct oscore_request *request) {
    return oscore_window_take(&c->window, oscore_piv_number(piv_of(request)));
}

bool oscore_request_of(struct slice value, struct oscore_request *request) {
    struct oscore_option option;
    if (!oscore_option_decode(value, &option) || option.piv.len == 0)
        return false;
    set_piv(request, option.piv);
    return true;
}

/* ---- responses ---- */

enum oscore_result oscore_protect_response(struct oscore_context *c, const struct oscore_request *request,
                                           enum oscore_nonce_source nonce, struct slice kid_context,
                                           const struct coap_message *inner, struct buffer *memory,
                                           struct coap_message *outer) {
    bool is_own = nonce == OSCORE_NONCE_OWN, observes = coap_option_find(inner, COAP_OBSERVE) != NULL;
    struct oscore_option option = {.has_kid_context = kid_context.data != NULL, .kid_context = kid_context};
    uint8_t piv_memory[OSCORE_PIV_MAX];
    uint64_t number;
    struct slice kid = oscore_context_recipient_id(c);
    struct cover cover = {.key = c->sender_key,
                          .nonce_id = kid,
                          .nonce_piv = piv_of(request),
                          .request_kid = kid,
                          .request_piv = piv_of(request)};
    if (is_own && !take_number(c, &number))
        return OSCORE_NO_NUMBERS;
    if (is_own) {
        option.piv = oscore_piv_bytes(number, piv_memory);
        cover.nonce_id = oscore_context_sender_id(c);
        cover.nonce_piv = option.piv;
    }
    start_outer(inner, observes ? COAP_2_05_CONTENT : COAP_2_04_CHANGED, outer);
    if (!add_option(outer, &option, memory) || !seal(c, &cover, inner, memory, &outer->payload))
        return OSCORE_TOO_LARGE;
    return OSCORE_OK;
}

/* The Observe value of a notification, in `memory`. */
static bool number_notification(const struct oscore_context *c, const struct oscore_response *response,
                                struct buffer *memory, struct coap_message *inner) {
    if (coap_option_find(inner, COAP_OBSERVE) == NULL)
        return true;
    uint64_t number = response->has_number ? response->number : c->window.top;
    uint8_t *value = buffer_take(memory, 3);
    if (value == NULL)
        return false;
    for (size_t i = 0; i < 3; i++)
        value[i] = (uint8_t)(number >> (8 * (2 - i)));
    coap_option_remove(inner, COAP_OBSERVE);
    return coap_option_add(inner, COAP_OBSERVE, slice_of(value, 3));
}

enum oscore_result oscore_open_response(const struct oscore_context *c, const struct oscore_request *request,
                                        const struct oscore_option *option, const struct coap_message *outer,
                                        struct buffer *memory, struct coap_message *inner,
                                        struct oscore_response *response) {
    struct slice kid = oscore_context_sender_id(c);
    struct cover cover = {.key = c->recipient_key,
                          .nonce_id = kid,
                          .nonce_piv = piv_of(request),
                          .request_kid = kid,
                          .request_piv = piv_of(request)};
    *response = (struct oscore_response){.has_number = option->piv.len > 0};
    if (response->has_number) {
        response->number = oscore_piv_number(option->piv);
        cover.nonce_id = oscore_context_recipient_id(c);
        cover.nonce_piv = option->piv;
    }
    enum oscore_result result = open(c, &cover, outer->payload, memory, inner);
    if (result != OSCORE_OK)
        return result;
    if (!coap_code_is_response(inner->code) || !merge_options(outer, inner) ||
        !number_notification(c, response, memory, inner))
        return OSCORE_BAD;
    return OSCORE_OK;
}
