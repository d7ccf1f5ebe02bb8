#include "server/trace.h"

#include <stdlib.h>

#include "common/coap/option.h"
#include "common/coap/stream.h"
#include "common/net/record.h"
#include "server/traffic.h"

/* Of a datagram that has come, until it is known whose it is. */
struct arriving {
    bool is_open; /* between _came and _taken */
    uint64_t id;  /* its entry; 0: none yet */
    struct trace_entry entry;
    uint8_t bytes[TRACE_BYTES_MAX];
};

/* Of something that leaves: the message is told before the datagram, or the other way round. It waits for the other half,
 * which follows at once if there is one. */
struct leaving {
    bool is_open;
    struct trace_tape *tape; /* good as long as nothing else is told: everything else makes an entry of it first */
    const struct link *link;
    struct trace_entry entry;
    uint8_t bytes[TRACE_BYTES_MAX];
};

struct trace {
    struct server *server;
    struct trace_store *store;
    struct arriving in;
    struct leaving out;
    /* The message or bytes that came last, by which an inner message, or a message in those bytes, is known. */
    uint64_t last_in;
    struct {
        const struct link *link; /* compared, never looked at */
        uint64_t id;
    } stream;
    size_t inner_len; /* of the inner message whose outer one is about to leave; 0: none */
    uint8_t inner[COAP_STREAM_SENT_MAX + 512];
    uint8_t joined[TRACE_BYTES_MAX]; /* what leaves in parts */
    struct trace_watcher *watchers;
};

/* ---- entries ---- */

static uint64_t append(struct trace *trace, struct trace_tape *tape, const struct trace_entry *entry, bool pinned) {
    uint64_t id = tape == NULL ? 0 : trace_append(trace->store, tape, entry, pinned);
    for (struct trace_watcher *watcher = trace->watchers, *next; watcher != NULL; watcher = next) {
        next = watcher->next;
        watcher->told(watcher);
    }
    return id;
}

static struct trace_entry entry_at(const struct trace *trace, enum trace_kind kind, const struct listener *listener,
                                   const struct address *peer, const struct address *local, bool sent) {
    struct trace_entry entry = {
        .time_ms = clock_now_ms(&trace->server->clock),
        .kind = (uint8_t)kind,
        .transport = (uint8_t)listener->transport,
        .listener = (uint8_t)listener->number,
        .sent = sent,
        .peer = *peer,
        .local = listener->address,
    };
    if (local != NULL && local->family != ADDRESS_NONE)
        entry.local = *local;
    entry.local.port = listener->address.port;
    return entry;
}

static struct trace_entry entry_on(const struct trace *trace, enum trace_kind kind, const struct link *link,
                                   bool sent) {
    struct trace_entry entry = entry_at(trace, kind, link->listener, &link->peer, &link->local, sent);
    entry.framing = link->framing;
    return entry;
}

static bool decode(enum link_framing framing, struct slice bytes, struct coap_message *message) {
    return framing == LINK_STREAM_8323 ? coap_stream_decode(bytes, message) == COAP_DECODE_OK
                                       : coap_decode(bytes, message) == COAP_DECODE_OK;
}

/* The inner message of what has just become an entry, if it is that: the tokens are the same. */
static void append_inner(struct trace *trace, struct trace_tape *tape, const struct trace_entry *outer, uint64_t id) {
    struct coap_message message, inner;
    struct slice bytes = slice_of(trace->inner, trace->inner_len);
    trace->inner_len = 0;
    if (id == 0 || !decode((enum link_framing)outer->framing, outer->content, &message) ||
        coap_option_find(&message, COAP_OSCORE) == NULL || coap_decode(bytes, &inner) != COAP_DECODE_OK ||
        !slice_equal(message.token, inner.token))
        return;
    struct trace_entry entry = *outer;
    entry.kind = TRACE_INNER;
    entry.of = id;
    entry.is_plain = false;
    entry.wire = SLICE_NONE;
    entry.content = bytes;
    append(trace, tape, &entry, false);
}

static void append_sent(struct trace *trace, struct trace_tape *tape, const struct trace_entry *entry, bool pinned) {
    uint64_t id = append(trace, tape, entry, pinned);
    if (trace->inner_len > 0 && entry->kind == TRACE_MESSAGE)
        append_inner(trace, tape, entry, id);
}

/* The other half did not come. */
static void settle(struct trace *trace) {
    struct leaving *out = &trace->out;
    if (!out->is_open)
        return;
    out->is_open = false;
    if (out->entry.content.len > 0 || out->entry.wire.len > 0)
        append_sent(trace, out->tape, &out->entry, false);
}

static void hold(struct trace *trace, struct trace_tape *tape, const struct link *link,
                 const struct trace_entry *entry) {
    struct leaving *out = &trace->out;
    bool is_message = entry->content.len > 0;
    struct slice bytes = is_message ? entry->content : entry->wire;
    size_t len = bytes.len < sizeof out->bytes ? bytes.len : sizeof out->bytes;
    if (len > 0)
        memcpy(out->bytes, bytes.data, len);
    out->is_open = true;
    out->tape = tape;
    out->link = link;
    out->entry = *entry;
    *(is_message ? &out->entry.content : &out->entry.wire) = slice_of(out->bytes, len);
}

/* ---- tapes ---- */

/* The device that is there; of peers whose messages travel inside of others, when it is one only. */
static const struct registration *device_on(const struct trace *trace, const struct link *link) {
    const struct registration *device = server_owner_of(trace->server, link);
    if (device != NULL)
        return device;
    for (const struct link *carried = link->carried; carried != NULL; carried = carried->next_carried) {
        const struct registration *one = server_owner_of(trace->server, carried);
        if (one != NULL && device != NULL)
            return NULL;
        device = one != NULL ? one : device;
    }
    return device;
}

/* The name under which somebody registers or asks to be bootstrapped; data is NULL when it is nothing of that kind. */
static struct slice claimed_name(const struct link *link, struct slice bytes) {
    struct coap_message message;
    struct slice name = SLICE_NONE;
    bool is_datagram = link->framing != LINK_STREAM_8323, claims = false;
    size_t at = 0, prefix = link->listener->prefix[0] != '\0';
    for (const char *c = link->listener->prefix; *c != '\0'; c++)
        prefix += *c == '/';
    if ((is_datagram && (bytes.len < 4 || bytes.data[1] != COAP_POST)) ||
        memmem(bytes.data, bytes.len, "ep=", 3) == NULL || !decode((enum link_framing)link->framing, bytes, &message) ||
        message.code != COAP_POST)
        return SLICE_NONE;
    for (size_t i = 0; i < message.option_count; i++) {
        const struct coap_option *option = &message.options[i];
        if (option->number == COAP_URI_PATH) {
            bool is_first = at == 0 || at == prefix;
            bool is_name = is_first && (slice_is(option->value, "rd") || slice_is(option->value, "bs"));
            claims = is_name || (claims && option->value.len == 0);
            at++;
        } else if (option->number == COAP_URI_QUERY && slice_starts_with(option->value, "ep=")) {
            name = slice_from(option->value, 3);
        }
    }
    return claims ? name : SLICE_NONE;
}

static struct trace_tape *find_tape(struct trace *trace, const struct link *link, struct slice claimed) {
    uint8_t listener = (uint8_t)link->listener->number;
    const struct registration *device = device_on(trace, link);
    struct trace_tape *tape;
    if (device != NULL && (claimed.data == NULL || slice_equal(claimed, registration_endpoint(device)))) {
        tape = trace_device(trace->store, registration_endpoint(device));
        if (tape != NULL)
            return tape;
        trace_store_follow(trace->store, registration_endpoint(device), listener, &link->peer);
        return trace_make_device(trace->store, registration_endpoint(device));
    }
    tape = trace_make_peer(trace->store, listener, &link->peer);
    if (tape != NULL && claimed.data != NULL && trace_tape_endpoint(tape).data != NULL &&
        !slice_equal(claimed, trace_tape_endpoint(tape))) /* another device than the one that was here */
        return trace_store_part(trace->store, listener, &link->peer);
    return tape;
}

/* Mostly that of the message before. */
static struct trace_tape *tape_of(struct trace *trace, const struct link *link, bool sent, struct slice message) {
    uint32_t *number = traffic_trace_number(link);
    struct slice claimed = sent || message.len == 0 ? SLICE_NONE : claimed_name(link, message);
    struct trace_tape *tape =
        number == NULL || link->carried != NULL ? NULL : trace_tape_at(trace->store, *number, link);
    if (tape != NULL && claimed.data == NULL)
        return tape;
    tape = find_tape(trace, link, claimed);
    if (tape != NULL && number != NULL && link->carried == NULL)
        *number = trace_tape_number(trace->store, tape, link);
    return tape;
}

/* ---- messages ---- */

static void take_arrival(struct trace *trace, struct link *link, struct slice message, size_t wire) {
    struct arriving *in = &trace->in;
    enum link_transport transport = link->listener->transport;
    struct trace_tape *tape = tape_of(trace, link, false, message);
    struct trace_entry entry = entry_on(trace, TRACE_MESSAGE, link, false);
    bool is_of_datagram = transport == LINK_DTLS && in->is_open;
    entry.content = message;
    entry.size = (uint32_t)wire;
    if (transport == LINK_UDP) {
        entry.wire = message;
        entry.is_plain = true;
    } else if (is_of_datagram && in->id == 0) {
        in->entry.framing = entry.framing;
        entry.kind = message.len > 0 ? TRACE_MESSAGE : TRACE_WIRE;
        entry.peer = in->entry.peer;
        entry.local = in->entry.local;
        entry.wire = in->entry.wire;
        in->id = append(trace, tape, &entry, message.len == 0);
        trace->last_in = in->id;
        return;
    } else if (message.len == 0) {
        return; /* of a datagram that is an entry already */
    } else if (is_of_datagram) {
        entry.of = in->id;
    } else if (link == trace->stream.link) {
        entry.of = trace->stream.id;
    }
    trace->last_in = append(trace, tape, &entry, false);
}

static void take_departure(struct trace *trace, struct link *link, struct slice message, size_t wire) {
    struct leaving *out = &trace->out;
    struct trace_entry entry = entry_on(trace, message.len > 0 ? TRACE_MESSAGE : TRACE_WIRE, link, true);
    entry.content = message;
    entry.size = (uint32_t)wire;
    if (link->listener->transport == LINK_UDP) {
        settle(trace);
        entry.wire = message;
        entry.is_plain = true;
        append_sent(trace, tape_of(trace, link, true, message), &entry, false);
        return;
    }
    /* A session whose records mbedtls makes: its datagram has been told. */
    if (out->is_open && out->link == NULL && message.len > 0 && address_equal(&out->entry.peer, &link->peer)) {
        entry.wire = out->entry.wire;
        out->is_open = false;
        append_sent(trace, tape_of(trace, link, true, message), &entry, false);
        return;
    }
    settle(trace);
    hold(trace, tape_of(trace, link, true, message), link, &entry);
}

void trace_message(struct trace *trace, struct link *link, bool sent, struct slice message, size_t wire) {
    if (sent) {
        take_departure(trace, link, message, wire);
        return;
    }
    settle(trace);
    take_arrival(trace, link, message, wire);
}

void trace_inner(struct trace *trace, struct link *base, bool sent, const struct coap_message *inner) {
    struct buffer out = buffer_over(trace->inner, sizeof trace->inner);
    settle(trace);
    trace->inner_len = coap_encode(inner, &out) ? out.len : 0;
    if (sent || trace->inner_len == 0)
        return;
    struct trace_entry entry = entry_on(trace, TRACE_INNER, base, false);
    entry.of = trace->last_in;
    entry.content = buffer_slice(&out);
    append(trace, tape_of(trace, base, false, SLICE_NONE), &entry, false);
    trace->inner_len = 0;
}

/* ---- datagrams ---- */

void trace_datagram_came(struct trace *trace, const struct listener *listener, const struct address *peer,
                         const struct address *local, struct slice datagram) {
    struct arriving *in = &trace->in;
    size_t len = datagram.len < sizeof in->bytes ? datagram.len : sizeof in->bytes;
    settle(trace);
    in->entry = entry_at(trace, TRACE_WIRE, listener, peer, local, false);
    if (len > 0)
        memcpy(in->bytes, datagram.data, len);
    in->entry.wire = slice_of(in->bytes, len);
    in->entry.size = (uint32_t)datagram.len;
    in->is_open = true;
    in->id = 0;
}

static bool is_protected_content(struct slice record) {
    return record.len >= RECORD_HEADER && record.data[0] == RECORD_APPLICATION_DATA;
}

/* Of no session: it is with its address. */
static void append_arrival(struct trace *trace) {
    struct arriving *in = &trace->in;
    struct trace_tape *tape = trace_make_peer(trace->store, in->entry.listener, &in->entry.peer);
    in->id = append(trace, tape, &in->entry, !is_protected_content(in->entry.wire));
}

void trace_datagram_taken(struct trace *trace) {
    struct arriving *in = &trace->in;
    settle(trace);
    if (in->is_open && in->id == 0)
        append_arrival(trace);
    in->is_open = false;
}

void trace_datagram_sent(struct trace *trace, const struct listener *listener, const struct address *peer,
                         const struct address *local, struct slice datagram) {
    struct leaving *out = &trace->out;
    struct arriving *in = &trace->in;
    if (out->is_open && out->link != NULL && out->entry.transport == LINK_DTLS &&
        address_equal(&out->entry.peer, peer)) {
        out->is_open = false;
        out->entry.wire = datagram;
        append_sent(trace, out->tape, &out->entry, out->entry.kind == TRACE_WIRE);
        return;
    }
    settle(trace);
    struct trace_entry entry = entry_at(trace, TRACE_WIRE, listener, peer, local, true);
    entry.wire = datagram;
    entry.size = (uint32_t)datagram.len;
    if (is_protected_content(datagram)) {
        hold(trace, trace_make_peer(trace->store, entry.listener, peer), NULL, &entry);
        return;
    }
    if (in->is_open && in->id == 0) /* what is answered stands before its answer */
        append_arrival(trace);
    append(trace, trace_make_peer(trace->store, entry.listener, peer), &entry, true);
}

/* ---- connections ---- */

void trace_stream(struct trace *trace, struct link *link, bool sent, uint32_t offset, const struct slice *parts,
                  size_t count) {
    struct leaving *out = &trace->out;
    struct buffer bytes = buffer_over(trace->joined, sizeof trace->joined);
    struct slice wire = parts[0];
    if (count > 1) {
        for (size_t i = 0; i < count; i++)
            buffer_put_slice(&bytes, parts[i]);
        wire = buffer_slice(&bytes);
    }
    if (sent && out->is_open && out->link == link && out->entry.content.len > 0) {
        out->is_open = false;
        out->entry.wire = wire;
        out->entry.offset = offset;
        append_sent(trace, out->tape, &out->entry, false);
        return;
    }
    settle(trace);
    struct trace_entry entry = entry_on(trace, TRACE_WIRE, link, sent);
    entry.wire = wire;
    entry.size = (uint32_t)wire.len;
    entry.offset = offset;
    uint64_t id = append(trace, tape_of(trace, link, sent, SLICE_NONE), &entry, false);
    if (sent)
        return;
    trace->stream.link = link;
    trace->stream.id = id;
}

/* ---- secrets and devices ---- */

void trace_keys(struct trace *trace, const struct listener *listener, const struct address *peer, const char *line) {
    settle(trace);
    struct trace_entry entry = entry_at(trace, TRACE_SECRET, listener, peer, NULL, false);
    entry.content = slice_str(line);
    append(trace, trace_make_peer(trace->store, entry.listener, peer), &entry, true);
}

void trace_follow(struct trace *trace, struct slice endpoint, const struct link *link) {
    link = link_carrier(link);
    settle(trace);
    if (link->listener != NULL)
        trace_store_follow(trace->store, endpoint, (uint8_t)link->listener->number, &link->peer);
}

void trace_moved(struct trace *trace, const struct link *link, const struct address *from) {
    settle(trace);
    trace_store_move(trace->store, (uint8_t)link->listener->number, from, &link->peer);
}

/* ---- whoever waits ---- */

void trace_watch(struct trace *trace, struct trace_watcher *watcher) {
    watcher->next = trace->watchers;
    watcher->link = &trace->watchers;
    if (watcher->next != NULL)
        watcher->next->link = &watcher->next;
    trace->watchers = watcher;
}

void trace_unwatch(struct trace_watcher *watcher) {
    *watcher->link = watcher->next;
    if (watcher->next != NULL)
        watcher->next->link = watcher->link;
}

/* ---- life ---- */

struct trace_store *trace_store_of(struct trace *trace) {
    settle(trace);
    return trace->store;
}

struct trace *trace_new(struct server *server) {
    struct trace *trace = calloc(1, sizeof *trace);
    if (trace == NULL)
        return NULL;
    trace->server = server;
    trace->store = trace_store_new(server->config->trace_bytes, server->config->trace_messages);
    if (trace->store != NULL)
        return trace;
    free(trace);
    return NULL;
}

void trace_free(struct trace *trace) {
    if (trace == NULL)
        return;
    trace_store_free(trace->store);
    explicit_bzero(trace, sizeof *trace);
    free(trace);
}
