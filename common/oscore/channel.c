#include "common/oscore/channel.h"

#include <mbedtls/constant_time.h>

#include "common/base/random.h"

static int send_nothing(struct link *link, struct slice message) {
    (void)link;
    (void)message;
    return -1; /* its messages go over the link that carries it */
}

static void release(struct link *link) {
    struct oscore_channel *channel = oscore_channel_of(link);
    coap_link_carry(channel->service->endpoint, link, NULL);
    oscore_channel_end(channel);
    channel->service->handlers.release(channel->service->arg, channel);
}

static const struct link_ops ops = {.send = send_nothing, .release = release};

/* ---- numbers ---- */

static bool has_numbers(const struct oscore_channel *channel) {
    const struct oscore_context *c = &channel->context;
    return c->aead != 0 && c->next_number < c->number_limit && c->next_number < OSCORE_NUMBER_END;
}

static void refresh(struct oscore_channel *channel) {
    struct link *base = channel->link.base;
    channel->link.closed = base == NULL || base->closed || !has_numbers(channel);
}

/* Ask for more before they run out. */
static void reserve_ahead(struct oscore_channel *channel) {
    struct oscore_context *c = &channel->context;
    uint64_t limit = c->next_number + OSCORE_NUMBERS_AHEAD;
    bool plenty = c->number_limit > c->next_number + OSCORE_NUMBERS_AHEAD / 2;
    if (c->aead == 0 || plenty || channel->reserving != 0 || c->number_limit >= OSCORE_NUMBER_END)
        return;
    channel->reserving = limit < OSCORE_NUMBER_END ? limit : OSCORE_NUMBER_END;
    channel->service->handlers.reserve(channel->service->arg, channel, channel->reserving);
}

void oscore_channel_reserved(struct oscore_channel *channel, uint16_t epoch, uint64_t limit) {
    if (epoch != channel->epoch) /* of a context that is no more */
        return;
    if (channel->reserving == limit)
        channel->reserving = 0;
    if (limit > channel->context.number_limit)
        channel->context.number_limit = limit;
    refresh(channel);
    coap_link_ready(channel->service->endpoint, &channel->link);
}

void oscore_channel_not_reserved(struct oscore_channel *channel, uint16_t epoch) {
    if (epoch == channel->epoch)
        channel->reserving = 0;
}

/* ---- life ---- */

bool oscore_channel_start(struct oscore_channel *channel, struct oscore_service *service,
                          const struct oscore_secrets *secrets, uint64_t first_number, uint64_t limit) {
    struct oscore_context context;
    if (!oscore_context_derive(&context, secrets))
        return false;
    *channel = (struct oscore_channel){
        .link = {.ops = &ops, .refs = 1, .is_protected = true, .closed = true, .verified = true},
        .service = service,
        .context = context,
        .may_rederive = true};
    oscore_context_wipe(&context);
    channel->link.identity = &channel->identity;
    channel->identity =
        (struct link_identity){.security = LINK_OSCORE, .name = oscore_context_recipient_id(&channel->context)};
    channel->context.next_number = first_number;
    channel->context.number_limit = limit;
    if (channel->context.id_context_len > 0)
        channel->tells = OSCORE_TELLS_CONTEXT;
    return true;
}

void oscore_channel_carry(struct oscore_channel *channel, struct link *base) {
    struct link *before = channel->link.base;
    if (before != base) {
        if (before != NULL)
            link_ref(before);
        coap_link_carry(channel->service->endpoint, &channel->link, base);
        refresh(channel);
        if (channel->service->handlers.moved != NULL)
            channel->service->handlers.moved(channel->service->arg, channel, before);
        if (before != NULL)
            link_unref(before);
    }
    reserve_ahead(channel);
    refresh(channel);
}

void oscore_channel_end(struct oscore_channel *channel) {
    uint8_t id[OSCORE_ID_MAX], len = channel->context.recipient_id_len;
    memcpy(id, channel->context.recipient_id, sizeof id); /* the identity outlives the keys */
    oscore_context_wipe(&channel->context);
    memcpy(channel->context.recipient_id, id, sizeof id);
    channel->context.recipient_id_len = len;
    channel->has_r2 = channel->has_echo = false;
    refresh(channel);
}

/* Another context has taken the place of the one that was. */
static void begin_epoch(struct oscore_channel *channel) {
    channel->epoch++;
    channel->has_echo = false;
    channel->has_r2 = false;
    channel->begins = false;
    channel->reserving = 0;
    channel->identity.name = oscore_context_recipient_id(&channel->context);
    if (channel->service->handlers.renewed != NULL)
        channel->service->handlers.renewed(channel->service->arg, channel);
}

bool oscore_channel_rederive(struct oscore_channel *channel, bool as_client) {
    struct oscore_secrets secrets;
    uint8_t r1[OSCORE_R_LEN];
    if (!as_client) {
        channel->wants_rederivation = true;
        return true;
    }
    random_bytes(r1, sizeof r1);
    if (!channel->service->handlers.secrets(channel->service->arg, channel, &secrets) ||
        !oscore_rederive_begin(&channel->context, &secrets, r1))
        return false;
    channel->context.number_limit = OSCORE_NUMBER_END; /* nothing of it outlives this process */
    begin_epoch(channel);
    channel->begins = true;
    channel->tells = OSCORE_TELLS_NONCES;
    refresh(channel);
    return true;
}

/* ---- answers without protection (§8.2) ---- */

static enum coap_opened refuse(struct coap_message *answer, uint8_t code, const char *why) {
    static const uint8_t nothing;
    coap_message_init(answer, COAP_ACK, code, 0, SLICE_NONE);
    coap_option_add(answer, COAP_MAX_AGE, slice_of(&nothing, 0));
    answer->payload = slice_str(why);
    return COAP_NOT_OPENED;
}

static enum coap_opened refuse_result(struct coap_message *answer, enum oscore_result result) {
    switch (result) {
    case OSCORE_MALFORMED:
        return refuse(answer, COAP_4_02_BAD_OPTION, "Failed to decode COSE");
    case OSCORE_REPLAY:
        return refuse(answer, COAP_4_01_UNAUTHORIZED, "Replay detected");
    default:
        return refuse(answer, COAP_4_00_BAD_REQUEST, "Decryption failed");
    }
}

static enum coap_opened refuse_unknown(struct coap_message *answer) {
    return refuse(answer, COAP_4_01_UNAUTHORIZED, "Security context not found");
}

/* ---- requests of theirs ---- */

static void tie(const struct oscore_channel *channel, const struct oscore_request *request,
                struct coap_binding *binding) {
    binding->epoch = channel->epoch;
    binding->piv_len = request->piv_len;
    memcpy(binding->piv, request->piv, sizeof binding->piv);
}

static struct oscore_request request_of(const struct coap_binding *binding) {
    struct oscore_request request = {.piv_len = binding->piv_len};
    memcpy(request.piv, binding->piv, sizeof request.piv);
    return request;
}

/* Whether the kid context is that of the present context, said in one of the two ways. */
static bool is_present(const struct oscore_channel *channel, const struct oscore_option *option) {
    struct slice nonce, present = oscore_context_id_context(&channel->context);
    return !option->has_kid_context || slice_equal(option->kid_context, present) ||
           (present.len > 0 && oscore_rederive_unwrap(option->kid_context, &nonce) && slice_equal(nonce, present));
}

static bool has_run_too_often(struct oscore_channel *channel) {
    uint64_t now_ms = clock_now_ms(channel->service->clock);
    if (now_ms - channel->runs_since_ms > OSCORE_RUNS_MS) {
        channel->runs_since_ms = now_ms;
        channel->runs = 0;
    }
    return channel->runs >= OSCORE_RUNS_MAX;
}

/* Answer a request that verifies under `id_context` with our nonce. It is kept until it comes back: requests that
 * somebody plays again do not spoil what the peer is about. */
static enum coap_opened answer_nonce(struct oscore_channel *channel, const struct oscore_secrets *secrets,
                                     struct slice id_context, const struct oscore_option *option,
                                     const struct coap_message *outer, struct buffer *memory,
                                     struct coap_message *answer) {
    if (has_run_too_often(channel))
        return refuse(answer, COAP_5_03_SERVICE_UNAVAILABLE, "Too many contexts are derived");
    if (!channel->has_r2)
        random_bytes(channel->r2, sizeof channel->r2);
    enum oscore_result result = oscore_rederive_answer(secrets, id_context, channel->r2, option, outer, memory, answer);
    if (result != OSCORE_OK)
        return refuse_result(answer, result);
    channel->has_r2 = true;
    channel->runs++;
    return COAP_NOT_OPENED;
}

/* A request with nonces that are not those of the present context (Appendix B.2). */
static enum coap_opened rederive(struct oscore_channel *channel, struct slice nonces,
                                 const struct oscore_option *option, struct link *base,
                                 const struct coap_message *outer, struct buffer *memory, struct coap_message *inner,
                                 struct coap_binding *binding) {
    struct oscore_secrets secrets;
    struct oscore_request request;
    if (!channel->service->handlers.secrets(channel->service->arg, channel, &secrets))
        return refuse_unknown(inner);
    bool is_second =
        channel->has_r2 && nonces.len > OSCORE_R_LEN && mbedtls_ct_memcmp(nonces.data, channel->r2, OSCORE_R_LEN) == 0;
    if (!is_second)
        return answer_nonce(channel, &secrets, nonces, option, outer, memory, inner);
    enum oscore_result result = oscore_rederive_finish(&channel->context, &secrets, channel->r2, nonces, option, outer,
                                                       memory, inner, &request);
    if (result != OSCORE_OK)
        return refuse_result(inner, result);
    channel->wants_rederivation = false;
    channel->runs = 0;
    channel->tells = OSCORE_TELLS_NOTHING;
    begin_epoch(channel);
    tie(channel, &request, binding);
    oscore_channel_carry(channel, base);
    return COAP_OPENED;
}

/* Whether the request brings back what the challenge has told. */
static bool has_echo(const struct oscore_channel *channel, const struct coap_message *inner) {
    const struct coap_option *echo = coap_option_find(inner, COAP_ECHO);
    return channel->has_echo && echo != NULL && echo->value.len == OSCORE_ECHO_LEN &&
           mbedtls_ct_memcmp(echo->value.data, channel->echo, OSCORE_ECHO_LEN) == 0;
}

/* Mostly the one that came over this link last. */
static struct oscore_channel *find_channel(const struct oscore_service *service, const struct link *base,
                                           const struct oscore_option *option) {
    struct oscore_channel *last = base->carried == NULL ? NULL : oscore_channel_of(base->carried);
    if (last != NULL && last->context.aead != 0 &&
        slice_equal(option->kid, oscore_context_recipient_id(&last->context)))
        return last;
    return service->handlers.find(service->arg, option->kid, option->kid_context);
}

static enum coap_opened open_request(void *arg, struct link *base, const struct coap_message *outer,
                                     struct buffer *memory, struct coap_message *inner, struct link **link,
                                     struct coap_binding *binding) {
    struct oscore_service *service = arg;
    struct oscore_option option;
    struct oscore_request request;
    struct slice nonces;
    if (!oscore_option_decode(coap_option_find(outer, COAP_OSCORE)->value, &option) || !option.has_kid ||
        option.piv.len == 0)
        return refuse_result(inner, OSCORE_MALFORMED);
    struct oscore_channel *channel = find_channel(service, base, &option);
    if (channel == NULL || channel->context.aead == 0)
        return refuse_unknown(inner);
    *link = &channel->link;
    if (!is_present(channel, &option)) {
        if (!channel->may_rederive || !oscore_rederive_unwrap(option.kid_context, &nonces))
            return refuse_unknown(inner);
        return rederive(channel, nonces, &option, base, outer, memory, inner, binding);
    }
    if (channel->wants_rederivation) {
        struct oscore_secrets secrets;
        if (!service->handlers.secrets(service->arg, channel, &secrets))
            return refuse_unknown(inner);
        return answer_nonce(channel, &secrets, oscore_context_id_context(&channel->context), &option, outer, memory,
                            inner);
    }
    enum oscore_result result = oscore_open_request(&channel->context, &option, outer, memory, inner, &request);
    if (result != OSCORE_OK)
        return refuse_result(inner, result);
    tie(channel, &request, binding);
    if (!channel->context.window.valid) {
        if (!has_echo(channel, inner)) {
            reserve_ahead(channel);
            return COAP_OPENED_STALE;
        }
        channel->has_echo = false;
        oscore_window_start(&channel->context.window, oscore_piv_number(option.piv));
        oscore_channel_carry(channel, base);
    } else if (oscore_request_take(&channel->context, &request)) {
        oscore_channel_carry(channel, base); /* the peer is where its newest request comes from */
    }
    return COAP_OPENED;
}

static void challenge(void *arg, struct link *link, struct buffer *memory, struct coap_message *response) {
    struct oscore_channel *channel = oscore_channel_of(link);
    (void)arg;
    if (!channel->has_echo)
        random_bytes(channel->echo, sizeof channel->echo);
    channel->has_echo = true;
    uint8_t *value = buffer_take(memory, OSCORE_ECHO_LEN);
    memcpy(value, channel->echo, OSCORE_ECHO_LEN);
    coap_message_init(response, COAP_ACK, COAP_4_01_UNAUTHORIZED, 0, SLICE_NONE);
    coap_option_add(response, COAP_ECHO, slice_of(value, OSCORE_ECHO_LEN));
}

static bool close_response(void *arg, struct link *link, const struct coap_binding *binding, bool own,
                           const struct coap_message *inner, struct buffer *memory, struct coap_message *outer) {
    struct oscore_channel *channel = oscore_channel_of(link);
    struct oscore_request request = request_of(binding);
    (void)arg;
    if (channel->context.aead == 0 || binding->epoch != channel->epoch)
        return false;
    enum oscore_result result =
        oscore_protect_response(&channel->context, &request, own ? OSCORE_NONCE_OWN : OSCORE_NONCE_OF_REQUEST,
                                SLICE_NONE, inner, memory, outer);
    if (own) {
        reserve_ahead(channel);
        refresh(channel);
    }
    return result == OSCORE_OK;
}

/* ---- requests of ours ---- */

static bool close_request(void *arg, struct link *link, const struct coap_message *inner, struct buffer *memory,
                          struct coap_message *outer, struct coap_binding *binding) {
    struct oscore_channel *channel = oscore_channel_of(link);
    struct slice kid_context = SLICE_NONE, id_context = oscore_context_id_context(&channel->context);
    uint8_t wrapped[OSCORE_KID_CONTEXT_MAX];
    struct buffer out = buffer_over(wrapped, sizeof wrapped);
    struct oscore_request request;
    (void)arg;
    if (channel->context.aead == 0)
        return false;
    if (channel->tells == OSCORE_TELLS_CONTEXT)
        kid_context = id_context;
    if (channel->tells == OSCORE_TELLS_NONCES) {
        oscore_rederive_wrap(id_context, &out);
        kid_context = buffer_slice(&out);
    }
    struct coap_message empty;
    if (channel->begins) { /* the answer is response #1: what the request asks for comes with request #2 */
        coap_message_init(&empty, inner->type, COAP_GET, inner->mid, inner->token);
        inner = &empty;
    }
    enum oscore_result result = oscore_protect_request(&channel->context, kid_context, inner, memory, outer, &request);
    reserve_ahead(channel);
    refresh(channel);
    if (result != OSCORE_OK)
        return false;
    tie(channel, &request, binding);
    return true;
}

/* A response with a nonce of the peer's: derive the context that it asks for. */
static enum coap_opened take_nonce(struct oscore_channel *channel, const struct oscore_request *request,
                                   const struct oscore_option *option, const struct coap_message *outer,
                                   struct buffer *memory) {
    struct oscore_secrets secrets;
    uint8_t r3[OSCORE_R_LEN];
    random_bytes(r3, sizeof r3);
    if (!channel->may_rederive || !channel->service->handlers.secrets(channel->service->arg, channel, &secrets) ||
        oscore_rederive_continue(&channel->context, &secrets, r3, request, option, outer, memory) != OSCORE_OK)
        return COAP_NOT_OPENED;
    begin_epoch(channel);
    channel->tells = OSCORE_TELLS_NONCES;
    reserve_ahead(channel);
    refresh(channel);
    return COAP_ASK_AGAIN;
}

static enum coap_opened open_response(void *arg, struct link *link, const struct coap_binding *binding,
                                      const struct coap_message *outer, struct buffer *memory,
                                      struct coap_message *inner, uint64_t *number) {
    struct oscore_channel *channel = oscore_channel_of(link);
    struct oscore_request request = request_of(binding);
    struct oscore_option option;
    struct oscore_response response;
    (void)arg;
    *number = 0;
    if (channel->context.aead == 0 || binding->epoch != channel->epoch ||
        !oscore_option_decode(coap_option_find(outer, COAP_OSCORE)->value, &option))
        return COAP_NOT_OPENED;
    if (option.has_kid_context && take_nonce(channel, &request, &option, outer, memory) == COAP_ASK_AGAIN)
        return COAP_ASK_AGAIN;
    memory->len = 0;
    if (oscore_open_response(&channel->context, &request, &option, outer, memory, inner, &response) != OSCORE_OK)
        return COAP_NOT_OPENED;
    if (channel->begins) { /* it derives nothing, and has answered what stood for the request */
        channel->begins = false;
        return COAP_ASK_AGAIN;
    }
    if (channel->tells == OSCORE_TELLS_NONCES) /* the peer has the keys: from now on they need no name (B.2) */
        channel->tells = OSCORE_TELLS_NOTHING;
    *number = response.has_number ? response.number + 1 : 0;
    return COAP_OPENED;
}

static bool bind_observation(void *arg, struct link *link, struct slice value, struct coap_binding *binding) {
    const struct oscore_channel *channel = oscore_channel_of(link);
    struct oscore_request request;
    (void)arg;
    if (channel->context.aead == 0 || !oscore_request_of(value, &request))
        return false;
    tie(channel, &request, binding);
    return true;
}

void oscore_service_start(struct oscore_service *service, const struct oscore_handlers *handlers, void *arg,
                          struct coap_endpoint *endpoint, const struct clock *clock) {
    static const struct coap_protection protection = {.open_request = open_request,
                                                      .close_response = close_response,
                                                      .close_request = close_request,
                                                      .open_response = open_response,
                                                      .bind = bind_observation,
                                                      .challenge = challenge};
    *service = (struct oscore_service){.handlers = *handlers, .arg = arg, .endpoint = endpoint, .clock = clock};
    coap_endpoint_protect(endpoint, &protection, service);
}
