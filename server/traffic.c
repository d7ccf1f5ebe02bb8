#include "server/traffic.h"

#include <stdlib.h>

#include "common/base/slab.h"
#include "common/coap/block.h"
#include "common/coap/stream.h"
#include "server/dtls_service.h"
#include "server/trace.h"

enum { COUNT_MAX = (1 << 26) - 1 };

/* What was counted of a kind and way. Most devices have two or three of the 25, so these are not in a table. */
struct tally {
    uint32_t way : 3, kind : 3, count : 26; /* enum traffic_way, enum traffic_kind */
    uint32_t bytes_in, bytes_out;
};

_Static_assert(TRAFFIC_WAYS <= 8 && TRAFFIC_KINDS <= 8, "a way and a kind fit into three bits each");

struct link_traffic {
    uint32_t trace; /* the trace's number for it */
    /* Message IDs of the newest Register and Update, whose acknowledgements are counted with them; over RFC 8323, which
     * has none, what stands for their tokens. */
    uint16_t mids[2];
    uint8_t has_mid : 2; /* bit n: mids[n] */
    uint8_t way : 3;     /* the link's own; others are of those that the device had before */
    uint8_t tally_count;
    struct tally tallies[];
};

const char *traffic_kind_name(enum traffic_kind kind) {
    static const char *const names[] = {"handshake", "resumption", "registration", "update", "other"};
    return kind < TRAFFIC_KINDS ? names[kind] : "unknown";
}

const char *traffic_way_name(enum traffic_way way) {
    static const char *const names[] = {"udp", "dtls", "dtls_cid", "tcp", "tls"};
    return way < TRAFFIC_WAYS ? names[way] : "unknown";
}

/* ---- rows ---- */

static enum traffic_way way_of(const struct link *link) {
    struct dtls_description session;
    if (link->listener->transport == LINK_TCP)
        return TRAFFIC_TCP;
    if (link->listener->transport == LINK_TLS)
        return TRAFFIC_TLS;
    if (link->listener->transport != LINK_DTLS)
        return TRAFFIC_UDP;
    return dtls_service_describe(link, &session) && (session.cid.len > 0 || session.peer_cid.len > 0) ? TRAFFIC_DTLS_CID
                                                                                                      : TRAFFIC_DTLS;
}

static size_t bytes_of(size_t tally_count) {
    return sizeof(struct link_traffic) + tally_count * sizeof(struct tally);
}

static struct slab *slab_of(const struct link *link) {
    const struct server *server = link->listener->watcher->arg;
    return server->traffic;
}

/* The block that counts what goes over a link; NULL when out of memory: then nothing is counted. */
static struct link_traffic *begin(struct link *link) {
    if (link->traffic != NULL)
        return link->traffic;
    struct link_traffic *t = slab_take(slab_of(link), bytes_of(0));
    if (t == NULL)
        return NULL;
    *t = (struct link_traffic){.way = way_of(link) & 7u};
    link->traffic = t;
    return t;
}

/* Likewise; the block may be another one afterwards. */
static struct tally *tally_of(struct link *link, enum traffic_way way, enum traffic_kind kind) {
    struct link_traffic *t = link->traffic;
    for (size_t i = 0; i < t->tally_count; i++) {
        if (t->tallies[i].way == way && t->tallies[i].kind == kind)
            return &t->tallies[i];
    }
    struct link_traffic *larger = slab_take(slab_of(link), bytes_of(t->tally_count + 1u));
    if (larger == NULL)
        return NULL;
    memcpy(larger, t, bytes_of(t->tally_count));
    slab_give(t, bytes_of(t->tally_count));
    link->traffic = larger;
    struct tally *tally = &larger->tallies[larger->tally_count++];
    *tally = (struct tally){.way = way & 7u, .kind = kind & 7u};
    return tally;
}

static void add(struct tally *to, uint32_t count, uint32_t bytes_in, uint32_t bytes_out) {
    if (to == NULL)
        return;
    to->count = (to->count + count) & COUNT_MAX;
    to->bytes_in += bytes_in;
    to->bytes_out += bytes_out;
}

/* ---- what a message is for ---- */

static size_t segments_of(const char *prefix) {
    size_t count = prefix[0] != '\0';
    for (; *prefix != '\0'; prefix++)
        count += *prefix == '/';
    return count;
}

/* By its path alone: whether it is a good one shows later, and what it has cost does not change. */
static enum traffic_kind kind_of_post(const struct link *link, const struct coap_message *message) {
    size_t prefix = segments_of(link->listener->prefix), at = 0, rd = SIZE_MAX;
    bool has_more = false;
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number != COAP_URI_PATH)
            continue;
        if (rd != SIZE_MAX)
            has_more = has_more || message->options[i].value.len > 0;
        else if ((at == 0 || at == prefix) && slice_is(message->options[i].value, "rd"))
            rd = at;
        at++;
    }
    if (rd == SIZE_MAX)
        return TRAFFIC_OTHER;
    if (has_more)
        return TRAFFIC_UPDATE;
    return message->code == COAP_POST ? TRAFFIC_REGISTRATION : TRAFFIC_OTHER;
}

static bool is_request_to_us(struct slice bytes) {
    return bytes.len >= 4 && (bytes.data[0] & 0x20) == 0 && coap_code_is_request(bytes.data[1]);
}

static uint16_t mid_of(struct slice bytes) {
    return (uint16_t)(bytes.data[2] << 8 | bytes.data[3]);
}

/* Of connections that have no Message IDs: two requests that are open at once rarely have the same one. */
static uint16_t mid_of_token(struct slice token) {
    uint16_t mid = (uint16_t)token.len;
    for (size_t i = 0; i < token.len; i++)
        mid = (uint16_t)(mid * 31u + token.data[i]);
    return mid;
}

static bool has_mid(const struct link_traffic *t, enum traffic_kind kind, uint16_t mid) {
    size_t i = kind == TRAFFIC_UPDATE;
    return (t->has_mid >> i & 1u) != 0 && t->mids[i] == mid;
}

static void keep_mid(struct link_traffic *t, enum traffic_kind kind, uint16_t mid) {
    size_t i = kind == TRAFFIC_UPDATE;
    t->has_mid = (t->has_mid | 1u << i) & 3u;
    t->mids[i] = mid;
}

static void forget_mid(struct link_traffic *t, enum traffic_kind kind) {
    t->has_mid = t->has_mid & ~(1u << (kind == TRAFFIC_UPDATE)) & 3u;
}

/* As kind_of_arrival. There are no copies, but a token may come again, with the next block or another request. */
static enum traffic_kind kind_of_frame(struct link *link, struct slice frame, bool *again) {
    struct link_traffic *t = link->traffic;
    struct coap_message message;
    struct coap_block block;
    *again = false;
    if (coap_stream_decode(frame, &message) != COAP_DECODE_OK || !coap_code_is_request(message.code))
        return TRAFFIC_OTHER;
    enum traffic_kind kind = TRAFFIC_OTHER;
    if (message.code == COAP_POST || message.code == COAP_PUT)
        kind = kind_of_post(link, &message);
    uint16_t mid = mid_of_token(message.token);
    for (enum traffic_kind i = TRAFFIC_REGISTRATION; i <= TRAFFIC_UPDATE; i++) {
        if (has_mid(t, i, mid))
            forget_mid(t, i);
    }
    if (kind == TRAFFIC_OTHER)
        return kind;
    *again = coap_block_get(&message, COAP_BLOCK1, &block) && block.num > 0;
    keep_mid(t, kind, mid);
    return kind;
}

/* *again: a copy, or a further block. */
static enum traffic_kind kind_of_arrival(struct link *link, struct slice bytes, bool *again) {
    struct link_traffic *t = link->traffic;
    struct coap_message message;
    struct coap_block block;
    enum traffic_kind kind = TRAFFIC_OTHER;
    *again = false;
    if (link->framing == LINK_STREAM_8323)
        return kind_of_frame(link, bytes, again);
    if (!is_request_to_us(bytes))
        return TRAFFIC_OTHER;
    bool may_be = bytes.data[1] == COAP_POST || bytes.data[1] == COAP_PUT;
    if (may_be && coap_decode(bytes, &message) == COAP_DECODE_OK)
        kind = kind_of_post(link, &message);
    uint16_t mid = mid_of(bytes);
    for (enum traffic_kind i = TRAFFIC_REGISTRATION; i <= TRAFFIC_UPDATE; i++) {
        bool known = has_mid(t, i, mid);
        *again = *again || (known && i == kind);
        if (known && i != kind)
            forget_mid(t, i);
    }
    if (kind == TRAFFIC_OTHER)
        return kind;
    *again = *again || (coap_block_get(&message, COAP_BLOCK1, &block) && block.num > 0);
    keep_mid(t, kind, mid);
    return kind;
}

static enum traffic_kind kind_of_departure(const struct link *link, struct slice bytes) {
    const struct link_traffic *t = link->traffic;
    struct coap_message answer;
    uint16_t mid;
    if (link->framing == LINK_STREAM_8323) {
        if (coap_stream_decode(bytes, &answer) != COAP_DECODE_OK || !coap_code_is_response(answer.code))
            return TRAFFIC_OTHER;
        mid = mid_of_token(answer.token);
    } else {
        if (bytes.len < 4 || (bytes.data[0] & 0x20) == 0) /* neither ACK nor RST */
            return TRAFFIC_OTHER;
        mid = mid_of(bytes);
    }
    for (enum traffic_kind i = TRAFFIC_REGISTRATION; i <= TRAFFIC_UPDATE; i++) {
        if (has_mid(t, i, mid))
            return i;
    }
    return TRAFFIC_OTHER;
}

static void on_seen(void *arg, struct link *link, bool sent, struct slice message, size_t wire) {
    const struct server *server = arg;
    bool again = message.len == 0 || sent;
    const struct link_traffic *t = begin(link);
    if (server->trace != NULL)
        trace_message(server->trace, link, sent, message, wire);
    if (t == NULL)
        return;
    enum traffic_kind kind = TRAFFIC_OTHER;
    if (message.len > 0)
        kind = sent ? kind_of_departure(link, message) : kind_of_arrival(link, message, &again);
    bool counts = kind == TRAFFIC_OTHER ? message.len > 0 : !again;
    add(tally_of(link, (enum traffic_way)t->way, kind), counts, sent ? 0 : (uint32_t)wire, sent ? (uint32_t)wire : 0);
}

static void on_forget(void *arg, struct link *link) {
    (void)arg;
    slab_give(link->traffic, bytes_of(link->traffic->tally_count));
    link->traffic = NULL;
}

/* ---- the interface ---- */

bool traffic_watch(struct server *server) {
    server->traffic = slab_new();
    server->watcher = (struct link_watcher){.seen = on_seen, .forget = on_forget, .arg = server};
    for (size_t i = 0; i < server->config->listener_count; i++)
        server->listeners[i].watcher = &server->watcher;
    return server->traffic != NULL;
}

void traffic_add_handshake(struct link *link, bool resumed, uint32_t bytes_in, uint32_t bytes_out) {
    const struct link_traffic *t = begin(link);
    if (t != NULL)
        add(tally_of(link, (enum traffic_way)t->way, resumed ? TRAFFIC_RESUMPTION : TRAFFIC_HANDSHAKE), 1, bytes_in,
            bytes_out);
}

void traffic_carry(struct link *from, struct link *to) {
    struct link_traffic *t = from->traffic;
    if (from == to || t == NULL || begin(to) == NULL)
        return;
    for (size_t i = 0; i < t->tally_count; i++) {
        const struct tally *tally = &t->tallies[i];
        add(tally_of(to, (enum traffic_way)tally->way, (enum traffic_kind)tally->kind), tally->count, tally->bytes_in,
            tally->bytes_out);
    }
    /* What is left is the link's own: its number in the trace, and what it waits to acknowledge. */
    for (size_t i = 0; i < t->tally_count; i++)
        t->tallies[i] = (struct tally){.way = t->tallies[i].way, .kind = t->tallies[i].kind};
}

uint32_t *traffic_trace_number(const struct link *link) {
    return link->traffic == NULL ? NULL : &link->traffic->trace;
}

void traffic_of(const struct link *link, struct traffic_table *table) {
    const struct link_traffic *t = link->traffic;
    *table = (struct traffic_table){.used = {false}};
    for (size_t i = 0; t != NULL && i < t->tally_count; i++) {
        const struct tally *tally = &t->tallies[i];
        table->used[tally->way] = table->used[tally->way] || (tally->bytes_in | tally->bytes_out) != 0;
        table->counts[tally->way][tally->kind] =
            (struct traffic_count){tally->count, tally->bytes_in, tally->bytes_out};
    }
}
