#include <stdlib.h>

#include "common/base/memory_limit.h"
#include "common/coap/peer.h"
#include "common/coap/stream.h"

enum { RETRY_AFTER_S = 30 };

/* What makes two requests parts of one transfer (RFC 7959 §2.5, RFC 9175 §3.3): method, Uri-* options and, for what is
 * uploaded, the Request-Tags. */
uint64_t transfer_key(const struct coap_endpoint *endpoint, const struct coap_message *request,
                      enum transfer_kind kind) {
    uint64_t chain = request->code;
    for (size_t i = 0; i < request->option_count; i++) {
        const struct coap_option *option = &request->options[i];
        switch (option->number) {
        case COAP_REQUEST_TAG:
            if (kind == TRANSFER_DOWNLOAD)
                continue;
            break;
        case COAP_URI_HOST:
        case COAP_URI_PORT:
        case COAP_URI_PATH:
        case COAP_URI_QUERY:
        case COAP_PROXY_URI:
            break;
        default:
            continue;
        }
        struct {
            uint64_t chain, number, value;
        } step = {chain, option->number, hash_slice(&endpoint->key, option->value)};
        chain = hash_siphash(&endpoint->key, &step, sizeof step);
    }
    return chain;
}

struct transfer *transfer_find(struct coap_peer *peer, enum transfer_kind kind, uint64_t key) {
    for (struct transfer *t = peer->transfers; t != NULL; t = t->next) {
        if (t->kind == kind && t->key == key)
            return t;
    }
    return NULL;
}

static size_t held_bytes(const struct transfer *transfer) {
    return transfer->cap + (transfer->response == NULL ? 0 : transfer->response->size);
}

static bool is_stranger(const struct coap_peer *peer) {
    return peer->link->owner == 0 && !peer_is_proven(peer);
}

static void leave_strangers(struct transfer *transfer) {
    if (transfer->is_strangers)
        TAILQ_REMOVE(&transfer->peer->endpoint->strangers, transfer, entry);
    transfer->is_strangers = false;
}

static void detach(struct transfer *transfer) {
    struct coap_peer *peer = transfer->peer;
    leave_strangers(transfer);
    struct transfer **at = &peer->transfers;
    while (*at != transfer)
        at = &(*at)->next;
    *at = transfer->next;
    peer->transfer_count--;
    timer_cancel(peer->endpoint->wheel, &transfer->timer);
}

/* For one that is on its peer's list. */
static void drop(struct transfer *transfer) {
    detach(transfer);
    transfer_free(transfer);
}

void transfer_free(struct transfer *transfer) {
    transfer->peer->endpoint->counters.transfer_bytes -= held_bytes(transfer);
    free(transfer->response);
    free(transfer->data);
    free(transfer);
}

void transfers_drop(struct coap_peer *peer) {
    while (peer->transfers != NULL)
        drop(peer->transfers);
}

static void on_idle(struct timer *timer, void *arg) {
    (void)arg;
    struct transfer *transfer = TIMER_OWNER(timer, struct transfer, timer);
    struct coap_peer *peer = transfer->peer;
    drop(transfer);
    peer_settle(peer);
}

static void keep_alive(struct transfer *transfer) {
    struct coap_endpoint *endpoint = transfer->peer->endpoint;
    leave_strangers(transfer);
    transfer->is_strangers = is_stranger(transfer->peer);
    if (transfer->is_strangers)
        TAILQ_INSERT_TAIL(&endpoint->strangers, transfer, entry);
    timer_schedule(endpoint->wheel, &transfer->timer, clock_now_ms(endpoint->clock) + endpoint->params.transfer_idle_ms,
                   on_idle);
}

static struct transfer *add(struct coap_peer *peer, enum transfer_kind kind, uint64_t key) {
    if (peer->transfer_count >= peer->endpoint->params.max_transfers_per_peer)
        return NULL;
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL)
        return NULL;
    transfer->peer = peer;
    transfer->kind = kind;
    transfer->key = key;
    transfer->next = peer->transfers;
    peer->transfers = transfer;
    peer->transfer_count++;
    keep_alive(transfer);
    return transfer;
}

/* The one of a stranger that is idle longest; who was one may have become known meanwhile. */
static struct transfer *find_idle(struct coap_endpoint *endpoint, const struct transfer *growing) {
    struct transfer *next, *transfer = TAILQ_FIRST(&endpoint->strangers);
    for (; transfer != NULL; transfer = next) {
        next = TAILQ_NEXT(transfer, entry);
        if (!is_stranger(transfer->peer))
            leave_strangers(transfer);
        else if (transfer != growing)
            return transfer;
    }
    return NULL;
}

bool transfer_make_room(const struct coap_peer *peer, const struct transfer *growing, size_t more) {
    struct coap_endpoint *endpoint = peer->endpoint;
    size_t most = endpoint->params.max_transfer_bytes;
    while (more <= most && endpoint->counters.transfer_bytes > most - more) {
        struct transfer *idle = find_idle(endpoint, growing);
        if (idle == NULL)
            return false;
        struct coap_peer *owner = idle->peer;
        drop(idle);
        if (owner != peer)
            peer_settle(owner);
    }
    return more <= most;
}

/* Where memory ends, strangers share an eighth: who comes back with many objects still can, and a flood takes little. */
static bool may_hold(const struct coap_peer *peer, const struct transfer *growing, size_t more) {
    enum { SCARCE_PART = 8 };
    const struct coap_endpoint *endpoint = peer->endpoint;
    size_t most = endpoint->params.max_transfer_bytes / SCARCE_PART;
    if (memory_limit_is_reached() && !peer_is_proven(peer))
        return more <= most && endpoint->counters.transfer_bytes <= most - more;
    return transfer_make_room(peer, growing, more);
}

static bool reserve(struct transfer *transfer, size_t len) {
    if (len <= transfer->cap)
        return true;
    struct coap_endpoint *endpoint = transfer->peer->endpoint;
    size_t cap = transfer->cap == 0 ? 1024 : transfer->cap;
    while (cap < len)
        cap *= 2;
    if (!may_hold(transfer->peer, transfer, cap - transfer->cap))
        return false;
    uint8_t *data = realloc(transfer->data, cap);
    if (data == NULL)
        return false;
    endpoint->counters.transfer_bytes += cap - transfer->cap;
    transfer->data = data;
    transfer->cap = cap;
    return true;
}

/* ---- uploads ---- */

static void refuse(struct coap_exchange *exchange, uint8_t code, const char *diagnostic) {
    exchange->open->has_block1 = false;
    peer_oddity(exchange->peer, true, diagnostic);
    coap_respond_code(exchange->peer->endpoint, exchange, code, diagnostic);
}

/* 4.13 with the most that is taken (RFC 7959 §2.9.3). */
static void refuse_size(struct coap_exchange *exchange) {
    struct coap_endpoint *endpoint = exchange->peer->endpoint;
    size_t limit = endpoint->params.max_body;
    struct coap_message response;
    struct coap_uint size1;
    coap_message_init(&response, COAP_ACK, COAP_4_13_REQUEST_ENTITY_TOO_LARGE, 0, SLICE_NONE);
    coap_option_add_uint(&response, COAP_SIZE1, limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit, &size1);
    exchange->open->has_block1 = false;
    peer_oddity(exchange->peer, true, "the body is larger than is taken");
    coap_respond(endpoint, exchange, &response);
}

static void refuse_memory(struct coap_exchange *exchange) {
    const char *why =
        memory_limit_is_reached() ? "the server has as much memory as it may" : "too many transfers at once";
    exchange->open->has_block1 = false;
    peer_oddity(exchange->peer, true, why);
    coap_respond_unavailable(exchange->peer->endpoint, exchange, RETRY_AFTER_S, why);
}

static void answer_continue(struct coap_exchange *exchange) {
    struct coap_message response;
    coap_message_init(&response, COAP_ACK, COAP_2_31_CONTINUE, 0, SLICE_NONE);
    coap_respond(exchange->peer->endpoint, exchange, &response);
}

static uint64_t option_key(const struct coap_endpoint *endpoint, const struct coap_message *request, uint16_t number) {
    const struct coap_option *option = coap_option_find(request, number);
    return option == NULL ? 0 : hash_slice(&endpoint->key, option->value);
}

bool transfer_take_block(struct coap_exchange *exchange, const struct coap_message *request, struct slice *body,
                         struct transfer **finished) {
    struct coap_peer *peer = exchange->peer;
    struct coap_endpoint *endpoint = peer->endpoint;
    struct coap_block block = exchange->open->block1;
    struct slice payload = request->payload;
    *finished = NULL;
    if (!peer_takes_szx(peer, block.szx)) {
        refuse(exchange, COAP_4_00_BAD_REQUEST, "Block1 size exponent 7 needs BERT, which was not agreed on");
        return false;
    }
    size_t size = coap_block_size(block.szx);
    uint64_t offset = (uint64_t)block.num * size;
    uint64_t key = transfer_key(endpoint, request, TRANSFER_UPLOAD);
    if (!peer->link->is_protected) /* the blocks of a ciphertext have the same option (RFC 8613 §4.1.3.4.2) */
        key ^= option_key(endpoint, request, COAP_OSCORE);
    struct transfer *transfer = transfer_find(peer, TRANSFER_UPLOAD, key);

    uint32_t announced = 0;
    coap_option_uint(request, COAP_SIZE1, &announced);
    if (announced > endpoint->params.max_body || offset + payload.len > endpoint->params.max_body) {
        if (transfer != NULL)
            drop(transfer);
        refuse_size(exchange);
        return false;
    }
    bool fits = block.szx == COAP_SZX_BERT ? !block.more || (payload.len > 0 && payload.len % size == 0)
                : block.more               ? payload.len == size
                                           : payload.len <= size;
    if (!fits) {
        refuse(exchange, COAP_4_00_BAD_REQUEST, "payload length does not fit the Block1 size");
        return false;
    }
    if (block.num == 0) {
        if (transfer != NULL)
            drop(transfer);
        if (!block.more) {
            *body = payload;
            return true;
        }
        transfer = add(peer, TRANSFER_UPLOAD, key);
        if (transfer == NULL) {
            refuse_memory(exchange);
            return false;
        }
        transfer->content_format = coap_content_format(request);
    } else if (transfer == NULL) {
        refuse(exchange, COAP_4_08_REQUEST_ENTITY_INCOMPLETE, "no transfer is open: start with block 0");
        return false;
    }
    if (transfer->content_format != coap_content_format(request)) {
        drop(transfer);
        refuse(exchange, COAP_4_08_REQUEST_ENTITY_INCOMPLETE, "Content-Format differs between blocks");
        return false;
    }
    bool repeated = block.more && transfer->len > 0 && offset == transfer->len - transfer->last_len &&
                    payload.len == transfer->last_len &&
                    memcmp(transfer->data + offset, payload.data, payload.len) == 0;
    if (repeated) {
        keep_alive(transfer);
        answer_continue(exchange);
        return false;
    }
    if (offset != transfer->len) {
        drop(transfer);
        refuse(exchange, COAP_4_08_REQUEST_ENTITY_INCOMPLETE, "a block is missing: start again with block 0");
        return false;
    }
    if (!reserve(transfer, transfer->len + payload.len)) {
        drop(transfer);
        refuse_memory(exchange);
        return false;
    }
    if (payload.len > 0)
        memcpy(transfer->data + transfer->len, payload.data, payload.len);
    transfer->len += payload.len;
    transfer->last_len = payload.len;
    if (block.more) {
        keep_alive(transfer);
        answer_continue(exchange);
        return false;
    }
    detach(transfer);
    *body = slice_of(transfer->data, transfer->len);
    *finished = transfer;
    return true;
}

/* ---- downloads ---- */

/* Bytes of payload that the answer may have: for a peer whose address is not proven so few that it is no more than
 * PEER_AMPLIFICATION times the request. */
static size_t payload_room(const struct coap_exchange *exchange) {
    enum { HEAD = 4 + 5 + 3 + 4 + 5 + 1 }; /* beside the token: ETag, Content-Format, Block2, Size2 */
    size_t room = (size_t)PEER_AMPLIFICATION * exchange->asked_len, head = HEAD + exchange->open->token_len;
    if (peer_is_proven(exchange->peer))
        return SIZE_MAX;
    return room > head ? room - head : 0;
}

static uint8_t granted_szx(const struct coap_exchange *exchange) {
    uint8_t szx = peer_szx_max(exchange->peer);
    const struct open_request *request = exchange->open;
    if (request->has_block2 && request->block2.szx < szx)
        szx = request->block2.szx;
    while (szx > 0 && coap_block_size(szx) > payload_room(exchange))
        szx--;
    return szx;
}

/* The block that begins where the one that was asked for does. */
static uint32_t granted_num(const struct coap_exchange *exchange, uint8_t szx) {
    const struct coap_block *asked = &exchange->open->block2;
    if (!exchange->open->has_block2)
        return 0;
    return (uint32_t)((uint64_t)asked->num * coap_block_size(asked->szx) / coap_block_size(szx));
}

/* Our own Block1 option of the answer: the block that was taken, in the size we prefer (RFC 7959 §2.3). */
static void add_block1(const struct coap_exchange *exchange, struct coap_message *message, struct coap_uint *scratch) {
    const struct open_request *request = exchange->open;
    if (!request->has_block1)
        return;
    struct coap_block block = request->block1;
    block.more = message->code == COAP_2_31_CONTINUE;
    uint8_t szx = peer_szx_max(exchange->peer);
    if (block.num == 0 && block.more && szx < block.szx)
        block.szx = szx;
    coap_block_add(message, COAP_BLOCK1, block, scratch);
}

/* Make `part`, which has code and options of a response, its block `num`. The representation has a name (ETag), so that
 * blocks of two are not mixed: `digest`, which is made once for all blocks. */
static void cut_block(const struct coap_peer *peer, struct slice body, uint64_t digest, uint32_t num, uint8_t szx,
                      bool tells_size, struct coap_message *part, struct block_scratch *scratch) {
    size_t size = peer_block_span(peer, szx, RESPONSE_HEAD_MAX);
    part->payload = slice_from(body, num * coap_block_size(szx));
    bool more = part->payload.len > size;
    if (more)
        part->payload.len = size;
    scratch->digest = digest;
    if (coap_option_find(part, COAP_ETAG) == NULL)
        coap_option_add(part, COAP_ETAG, slice_of(&scratch->digest, 4));
    coap_block_add(part, COAP_BLOCK2, (struct coap_block){.num = num, .more = more, .szx = szx}, &scratch->block2);
    if (tells_size)
        coap_option_add_uint(part, COAP_SIZE2, (uint32_t)body.len, &scratch->size2);
}

/* Block `num` of a whole response. */
static void answer_block(struct coap_exchange *exchange, const struct stored_message *whole, uint64_t digest,
                         uint32_t num, uint8_t szx) {
    uint64_t offset = (uint64_t)num * coap_block_size(szx);
    struct coap_message part;
    struct coap_uint block1;
    struct block_scratch scratch;
    if (offset >= whole->payload.len && num > 0) {
        coap_message_init(&part, COAP_ACK, COAP_4_00_BAD_REQUEST, 0, SLICE_NONE);
        part.payload = slice_str("Block2 number past the end");
        exchange_answer(exchange, &part);
        return;
    }
    stored_message_load(whole, &part);
    if (num > 0) /* the later blocks of a notification are plain answers (RFC 7959 §3.4) */
        coap_option_remove(&part, COAP_OBSERVE);
    cut_block(exchange->peer, whole->payload, digest, num, szx, num == 0 || exchange->open->wants_size2, &part,
              &scratch);
    add_block1(exchange, &part, &block1);
    exchange_answer(exchange, &part);
}

void transfer_respond(struct coap_exchange *exchange, const struct coap_message *response) {
    struct coap_peer *peer = exchange->peer;
    struct open_request *request = exchange->open;
    bool has_content = COAP_CODE_CLASS(response->code) == 2 && response->payload.len > 0;
    uint8_t szx = granted_szx(exchange);
    bool large = response->payload.len > (request->has_block2 ? peer_block_span(peer, szx, RESPONSE_HEAD_MAX)
                                                              : peer_payload_max(peer, RESPONSE_HEAD_MAX)) ||
                 response->payload.len > payload_room(exchange);
    if (!has_content || (!large && !request->has_block2)) {
        struct coap_message whole = *response;
        struct coap_uint block1, size2;
        if (has_content && request->wants_size2) /* RFC 7959 §4 */
            coap_option_add_uint(&whole, COAP_SIZE2, (uint32_t)whole.payload.len, &size2);
        if (!has_content && whole.payload.len > COAP_PAYLOAD_MAX) /* the diagnostic text of an error */
            whole.payload.len = COAP_PAYLOAD_MAX;
        add_block1(exchange, &whole, &block1);
        exchange_answer(exchange, &whole);
        return;
    }
    struct stored_message *whole = stored_message_copy(response);
    if (whole == NULL) {
        refuse_memory(exchange);
        return;
    }
    struct transfer *transfer = transfer_find(peer, TRANSFER_DOWNLOAD, request->key);
    if (transfer != NULL)
        drop(transfer);
    transfer = large && may_hold(peer, NULL, whole->size) ? add(peer, TRANSFER_DOWNLOAD, request->key) : NULL;
    uint32_t num = granted_num(exchange, szx);
    uint64_t digest = hash_slice(&peer->endpoint->key, whole->payload);
    if (transfer != NULL) {
        transfer->response = whole;
        transfer->digest = digest;
        peer->endpoint->counters.transfer_bytes += whole->size;
        answer_block(exchange, whole, digest, num, szx);
    } else { /* not kept: a later block makes the handler answer again */
        answer_block(exchange, whole, digest, num, szx);
        free(whole);
    }
}

void transfer_respond_source(struct coap_exchange *exchange, const struct coap_message *response,
                             const struct coap_source *source) {
    const struct open_request *request = exchange->open;
    uint8_t szx = granted_szx(exchange);
    uint32_t num = granted_num(exchange, szx);
    size_t span = peer_block_span(exchange->peer, szx, RESPONSE_HEAD_MAX);
    uint64_t offset = (uint64_t)num * coap_block_size(szx);
    struct coap_message part = *response;
    struct block_scratch scratch;
    uint8_t bytes[COAP_STREAM_SENT_MAX];
    if (offset >= source->len && num > 0) {
        coap_message_init(&part, COAP_ACK, COAP_4_00_BAD_REQUEST, 0, SLICE_NONE);
        part.payload = slice_str("Block2 number past the end");
        exchange_answer(exchange, &part);
        return;
    }
    size_t left = source->len - (size_t)offset;
    size_t len = left < span ? left : span;
    if (len > sizeof bytes || !source->read(source->arg, (size_t)offset, bytes, len)) {
        coap_message_init(&part, COAP_ACK, COAP_5_00_INTERNAL_SERVER_ERROR, 0, SLICE_NONE);
        part.payload = slice_str("it can't be read");
        exchange_answer(exchange, &part);
        return;
    }
    part.payload = slice_of(bytes, len);
    if (left > len || request->has_block2)
        coap_block_add(&part, COAP_BLOCK2, (struct coap_block){.num = num, .more = left > len, .szx = szx},
                       &scratch.block2);
    if ((num == 0 && left > len) || request->wants_size2)
        coap_option_add_uint(&part, COAP_SIZE2, (uint32_t)source->len, &scratch.size2);
    exchange_answer(exchange, &part);
}

bool transfer_begin(struct coap_peer *peer, const struct coap_message *request, struct coap_message *message,
                    struct block_scratch *scratch) {
    const struct coap_endpoint *endpoint = peer->endpoint;
    uint8_t szx = peer_szx_max(peer);
    size_t payload_max = peer_payload_max(peer, RESPONSE_HEAD_MAX);
    struct coap_block asked;
    if (coap_block_get(request, COAP_BLOCK2, &asked)) {
        szx = asked.szx < szx ? asked.szx : szx;
        payload_max = peer_block_span(peer, szx, RESPONSE_HEAD_MAX);
    }
    if (message->payload.len <= payload_max)
        return true;
    uint64_t key = transfer_key(endpoint, request, TRANSFER_DOWNLOAD);
    struct transfer *transfer = transfer_find(peer, TRANSFER_DOWNLOAD, key);
    if (transfer != NULL)
        drop(transfer); /* its blocks are of an older representation */
    struct stored_message *whole = stored_message_copy(message);
    if (whole == NULL)
        return false;
    uint64_t digest = hash_slice(&endpoint->key, message->payload);
    transfer = may_hold(peer, NULL, whole->size) ? add(peer, TRANSFER_DOWNLOAD, key) : NULL;
    if (transfer != NULL) {
        transfer->response = whole;
        transfer->digest = digest;
        peer->endpoint->counters.transfer_bytes += whole->size;
    } else { /* not kept: who asks for the rest makes the handler answer */
        free(whole);
    }
    cut_block(peer, message->payload, digest, 0, szx, true, message, scratch);
    return true;
}

bool transfer_serve(struct coap_exchange *exchange) {
    struct transfer *transfer = transfer_find(exchange->peer, TRANSFER_DOWNLOAD, exchange->open->key);
    if (transfer == NULL)
        return false;
    keep_alive(transfer);
    uint8_t szx = granted_szx(exchange);
    answer_block(exchange, transfer->response, transfer->digest, granted_num(exchange, szx), szx);
    return true;
}
