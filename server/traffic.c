#include "server/traffic.h"

#include <stdlib.h>

#include "common/coap/block.h"
#include "common/coap/stream.h"
#include "server/dtls_service.h"
#include "server/trace.h"

/* Of one way. */
struct traffic_row {
    uint8_t way; /* enum traffic_way */
    struct traffic_count counts[TRAFFIC_KINDS];
};

struct link_traffic {
    uint8_t row_count;
    /* Message IDs of the newest Register and Update, whose acknowledgements are counted with them; over RFC 8323, which
     * has none, what stands for their tokens. */
    bool has_mid[TRAFFIC_KINDS];
    uint16_t mids[TRAFFIC_KINDS];
    uint32_t trace;            /* the trace's number for it */
    struct traffic_row rows[]; /* the first one is of this link, others of those that the device had before */
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

/* NULL when out of memory: then nothing is counted. */
static struct traffic_row *row_of(struct link *link, enum traffic_way way) {
    struct link_traffic *t = link->traffic;
    size_t count = t == NULL ? 0 : t->row_count;
    for (size_t i = 0; i < count; i++) {
        if (t->rows[i].way == way)
            return &t->rows[i];
    }
    struct link_traffic *larger = realloc(t, sizeof *t + (count + 1) * sizeof t->rows[0]);
    if (larger == NULL)
        return NULL;
    if (count == 0)
        *larger = (struct link_traffic){.row_count = 0};
    link->traffic = larger;
    larger->rows[count] = (struct traffic_row){.way = (uint8_t)way};
    larger->row_count = (uint8_t)(count + 1);
    return &larger->rows[count];
}

static struct traffic_row *own_row(struct link *link) {
    return link->traffic != NULL ? &link->traffic->rows[0] : row_of(link, way_of(link));
}

static void add(struct traffic_count *to, const struct traffic_count *more) {
    to->count += more->count;
    to->bytes_in += more->bytes_in;
    to->bytes_out += more->bytes_out;
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
    for (size_t i = TRAFFIC_REGISTRATION; i <= TRAFFIC_UPDATE; i++)
        t->has_mid[i] = t->has_mid[i] && t->mids[i] != mid;
    if (kind == TRAFFIC_OTHER)
        return kind;
    *again = coap_block_get(&message, COAP_BLOCK1, &block) && block.num > 0;
    t->has_mid[kind] = true;
    t->mids[kind] = mid;
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
    for (size_t i = TRAFFIC_REGISTRATION; i <= TRAFFIC_UPDATE; i++) {
        bool known = t->has_mid[i] && t->mids[i] == mid;
        *again = *again || (known && i == kind);
        t->has_mid[i] = t->has_mid[i] && (!known || i == kind);
    }
    if (kind == TRAFFIC_OTHER)
        return kind;
    *again = *again || (coap_block_get(&message, COAP_BLOCK1, &block) && block.num > 0);
    t->has_mid[kind] = true;
    t->mids[kind] = mid;
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
    for (size_t i = TRAFFIC_REGISTRATION; i <= TRAFFIC_UPDATE; i++) {
        if (t->has_mid[i] && t->mids[i] == mid)
            return (enum traffic_kind)i;
    }
    return TRAFFIC_OTHER;
}

static void on_seen(void *arg, struct link *link, bool sent, struct slice message, size_t wire) {
    const struct server *server = arg;
    bool again = message.len == 0 || sent;
    struct traffic_row *row = own_row(link);
    if (server->trace != NULL)
        trace_message(server->trace, link, sent, message, wire);
    if (row == NULL)
        return;
    enum traffic_kind kind = TRAFFIC_OTHER;
    if (message.len > 0)
        kind = sent ? kind_of_departure(link, message) : kind_of_arrival(link, message, &again);
    struct traffic_count *count = &row->counts[kind];
    count->count += kind == TRAFFIC_OTHER ? message.len > 0 : !again;
    if (sent)
        count->bytes_out += (uint32_t)wire;
    else
        count->bytes_in += (uint32_t)wire;
}

/* ---- the interface ---- */

void traffic_watch(struct server *server) {
    server->watcher = (struct link_watcher){.seen = on_seen, .arg = server};
    for (size_t i = 0; i < server->config->listener_count; i++)
        server->listeners[i].watcher = &server->watcher;
}

void traffic_add_handshake(struct link *link, bool resumed, uint32_t bytes_in, uint32_t bytes_out) {
    struct traffic_row *row = own_row(link);
    if (row != NULL)
        add(&row->counts[resumed ? TRAFFIC_RESUMPTION : TRAFFIC_HANDSHAKE],
            &(struct traffic_count){1, bytes_in, bytes_out});
}

void traffic_carry(struct link *from, struct link *to) {
    struct link_traffic *t = from->traffic;
    if (from == to || t == NULL || own_row(to) == NULL)
        return;
    for (size_t i = 0; i < t->row_count; i++) {
        struct traffic_row *row = row_of(to, (enum traffic_way)t->rows[i].way);
        for (size_t kind = 0; row != NULL && kind < TRAFFIC_KINDS; kind++)
            add(&row->counts[kind], &t->rows[i].counts[kind]);
        memset(t->rows[i].counts, 0, sizeof t->rows[i].counts);
    }
}

uint32_t *traffic_trace_number(const struct link *link) {
    return link->traffic == NULL ? NULL : &link->traffic->trace;
}

void traffic_of(const struct link *link, struct traffic_table *table) {
    const struct link_traffic *t = link->traffic;
    *table = (struct traffic_table){.used = {false}};
    for (size_t i = 0; t != NULL && i < t->row_count; i++) {
        const struct traffic_row *row = &t->rows[i];
        for (size_t kind = 0; kind < TRAFFIC_KINDS; kind++) {
            const struct traffic_count *count = &row->counts[kind];
            table->used[row->way] = table->used[row->way] || (count->bytes_in | count->bytes_out) != 0;
            table->counts[row->way][kind] = *count;
        }
    }
}
