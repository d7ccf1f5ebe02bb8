#include "common/net/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/memory_limit.h"
#include "common/net/framing.h"
#include "common/net/tcp.h"

enum {
    PARTIAL_MIN = 64,         /* memory for the beginning of a message, at first */
    MESSAGE_MS = 30000,       /* from a message's first byte to its last */
    PAUSE_QUEUED = 64 * 1024, /* with more waiting for the peer, nothing is read from it */
    QUEUED_MAX = 256 * 1024,  /* with more, it is given up */
    GAP_MS = 50,              /* between messages to clients that lose the second of two that come together */
    PACED_MAX = 16,           /* messages that wait for that */
    WHY_MAX = 160,
};

/* An answer over a connection leaves from where the question came to, so a link needs no more than this. */
struct stream_link {
    struct link link;              /* first member */
    struct connection *connection; /* NULL once it is closed */
    struct known_peer *known;      /* whom the peer has proven to be; NULL: nobody */
};

/* An identity that lives as long as the link. */
struct known_peer {
    struct link_identity identity;
    uint8_t name[];
};

/* A message that waits for its turn. */
struct paced {
    struct paced *next;
    size_t len;
    uint8_t bytes[];
};

/* Of connections that need gaps between messages. */
struct pacing {
    struct timer timer;
    struct connection *connection;
    struct paced *waiting;
    uint32_t count;
};

/* Between the socket and the messages: nothing, or TLS. */
struct carrier {
    void (*write)(struct connection *connection, const struct slice *parts, size_t count);
    void (*finish)(struct connection *connection);
};

struct connection {
    struct tcp_connection tcp; /* first member */
    struct port *port;
    struct stream_link *link; /* a reference; NULL once that has been told to be closed */
    const struct carrier *carrier;
    struct timer timer; /* silence, a message that does not end, or telling the end */
    uint64_t heard_ms, sent_ms, partial_since_ms;
    uint8_t *partial; /* the beginning of a message */
    struct pacing *pacing;
    struct tls_session *tls; /* NULL: it speaks in the clear */
    char *why;               /* it ends, and has not been told so yet */
    uint32_t partial_len, partial_cap;
    uint32_t wire_in, wire_out;          /* bytes so far; they wrap */
    bool is_ending, is_dialled, is_open; /* is_open: `opened` was told */
    bool is_stalled;                     /* nothing is read */
};

struct port {
    struct port *next;
    struct streams *streams;
    struct listener *listener; /* NULL: for connections of ours */
    struct tcp_port *tcp;
};

struct streams {
    uv_loop_t *loop;
    struct stream_options options;
    struct stream_handlers handlers;
    void *arg;
    const struct clock *clock;
    struct timer_wheel *wheel;
    struct tls *tls;
    struct port *ports, *dialling;
    struct stream_counters counters;
    size_t open_ports;
    struct {
        struct stream_link *link; /* of the connection that tcp_connect is about to open */
    } next;
    bool closing, was_refused;
};

static void out_of_memory(void) {
    fputs("out of memory\n", stderr);
    abort();
}

static struct connection *connection_of(struct tcp_connection *tcp) {
    return (struct connection *)(void *)tcp;
}

static struct streams *streams_of(const struct connection *connection) {
    return connection->port->streams;
}

/* ---- links ---- */

static int send_over(struct link *link, struct slice message);
static void close_over(struct link *link, const char *why);

static void release(struct link *link) {
    struct stream_link *stream = (struct stream_link *)(void *)link;
    free(stream->known);
    free(stream);
}

static bool set_identity(struct stream_link *link, const struct link_identity *identity) {
    struct known_peer *known = calloc(1, sizeof *known + identity->name.len);
    if (known == NULL)
        return false;
    known->identity = *identity;
    known->identity.name = slice_of(known->name, identity->name.len);
    if (identity->name.len > 0)
        memcpy(known->name, identity->name.data, identity->name.len);
    link->known = known;
    link->link.identity = &known->identity;
    return true;
}

static const struct link_ops link_ops = {.send = send_over, .release = release, .close = close_over};

static struct stream_link *new_link(struct listener *listener) {
    struct stream_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    link->link.ops = &link_ops;
    link->link.listener = listener;
    link->link.framing = LINK_UNFRAMED;
    link->link.refs = 1;
    return link;
}

struct link *stream_closed_link(struct listener *listener, const struct address *peer, const struct address *local,
                                const struct link_identity *identity) {
    struct stream_link *link = new_link(listener);
    if (link == NULL || (identity != NULL && !set_identity(link, identity))) {
        free(link);
        return NULL;
    }
    link->link.peer = *peer;
    if (local != NULL)
        link->link.local = *local;
    link->link.closed = true;
    return &link->link;
}

/* ---- the end ---- */

static void drop_partial(struct connection *connection) {
    streams_of(connection)->counters.partial_bytes -= connection->partial_cap;
    free(connection->partial);
    connection->partial = NULL;
    connection->partial_len = connection->partial_cap = 0;
}

static void drop_pacing(struct connection *connection) {
    struct pacing *pacing = connection->pacing;
    if (pacing == NULL)
        return;
    timer_cancel(streams_of(connection)->wheel, &pacing->timer);
    while (pacing->waiting != NULL) {
        struct paced *paced = pacing->waiting;
        pacing->waiting = paced->next;
        free(paced);
    }
    free(pacing);
    connection->pacing = NULL;
}

/* Part from the link, which stays as long as somebody holds it, and tell. */
static void detach(struct connection *connection, const char *why) {
    struct streams *streams = streams_of(connection);
    struct stream_link *link = connection->link;
    timer_cancel(streams->wheel, &connection->timer);
    drop_partial(connection);
    drop_pacing(connection);
    if (connection->tls != NULL)
        tls_session_end(connection->tls);
    if (link == NULL)
        return;
    connection->link = NULL;
    link->connection = NULL;
    link->link.closed = true;
    streams->counters.closed++;
    streams->counters.connections--;
    if (!connection->is_dialled)
        streams->was_refused = false;
    if (!streams->closing && (connection->is_open || connection->is_dialled))
        streams->handlers.closed(streams->arg, &link->link, why);
    link_unref(&link->link);
}

static void on_timer(struct timer *timer, void *arg);

/* Told a moment later: whoever ends it is in the middle of something. */
static void end(struct connection *connection, const char *why) {
    struct streams *streams = streams_of(connection);
    if (connection->is_ending)
        return;
    connection->is_ending = true;
    connection->why = strdup(why);
    drop_partial(connection);
    timer_schedule(streams->wheel, &connection->timer, clock_now_ms(streams->clock), on_timer);
}

static void plain_finish(struct connection *connection) {
    tcp_finish(&connection->tcp);
}

static void close_over(struct link *link, const char *why) {
    struct connection *connection = ((struct stream_link *)(void *)link)->connection;
    if (connection == NULL || connection->is_ending)
        return;
    end(connection, why);
    connection->carrier->finish(connection);
}

/* The open connection of a link, or NULL. */
static struct connection *open_connection(struct link *link) {
    struct connection *connection = NULL;
    if (link->ops == &link_ops)
        connection = ((struct stream_link *)(void *)link)->connection;
    return connection == NULL || connection->is_ending || connection->tcp.closing ? NULL : connection;
}

void stream_reset(struct link *link, const char *why) {
    struct connection *connection = open_connection(link);
    if (connection == NULL)
        return;
    end(connection, why);
    tcp_reset(&connection->tcp);
}

void stream_cut(struct link *link, const char *why) {
    struct connection *connection = open_connection(link);
    if (connection == NULL)
        return;
    end(connection, why);
    tcp_finish(&connection->tcp);
}

void stream_stall(struct link *link, bool stalled) {
    struct connection *connection = open_connection(link);
    if (connection == NULL)
        return;
    connection->is_stalled = stalled;
    tcp_set_reading(&connection->tcp, !stalled);
}

static void on_closed(struct tcp_connection *tcp) {
    struct connection *connection = connection_of(tcp);
    const char *why = connection->why != NULL ? connection->why : "closed";
    if (connection->why == NULL && tcp->error != 0)
        why = uv_strerror(tcp->error);
    if (connection->tls != NULL)
        tls_session_peer_ended(connection->tls);
    detach(connection, why);
    if (connection->tls != NULL)
        tls_session_free(connection->tls);
    free(connection->why);
    free(connection);
}

static void on_ended(struct tcp_connection *tcp) {
    struct connection *connection = connection_of(tcp);
    if (connection->tls != NULL)
        tls_session_peer_ended(connection->tls);
    end(connection, "closed by the peer");
    connection->carrier->finish(connection);
}

/* ---- sending ---- */

/* What goes over the socket, whatever it is. */
static void tell_wire(struct connection *connection, bool sent, const struct slice *parts, size_t count) {
    const struct streams *streams = streams_of(connection);
    uint32_t *counter = sent ? &connection->wire_out : &connection->wire_in, offset = *counter;
    for (size_t i = 0; i < count; i++)
        *counter += (uint32_t)parts[i].len;
    if (streams->handlers.wire != NULL && connection->link != NULL && connection->link->link.listener != NULL)
        streams->handlers.wire(streams->arg, &connection->link->link, sent, offset, parts, count);
}

static void plain_write(struct connection *connection, const struct slice *parts, size_t count) {
    tell_wire(connection, true, parts, count);
    tcp_write(&connection->tcp, parts, count);
}

static const struct carrier plain_carrier = {.write = plain_write, .finish = plain_finish};

static void tell_watcher(struct connection *connection, bool sent, struct slice message) {
    struct link *link = &connection->link->link;
    size_t prefix = link->framing == LINK_LENGTH_PREFIXED ? FRAMING_PREFIX : 0;
    if (connection->tls != NULL) /* as if each message had a record of its own, as most have */
        prefix += tls_session_record_overhead(connection->tls);
    if (link->listener != NULL)
        link_tell_watcher(link, sent, message, prefix + message.len);
}

/* A record for each part. What does not go now is as good as lost with the connection. */
static void tls_write(struct connection *connection, const struct slice *parts, size_t count) {
    if (tls_session_send(connection->tls, parts, count) == -ENOBUFS)
        end(connection, "the peer does not take what is sent");
}

static void tls_finish(struct connection *connection) {
    tls_session_end(connection->tls);
    tcp_finish(&connection->tcp);
}

static const struct carrier tls_carrier = {.write = tls_write, .finish = tls_finish};

/* One write for each message, its length included (T2). */
static void write_message(struct connection *connection, struct slice message) {
    struct streams *streams = streams_of(connection);
    uint8_t prefix[FRAMING_PREFIX] = {0, 0, (uint8_t)(message.len >> 8), (uint8_t)message.len};
    bool is_prefixed = connection->link->link.framing == LINK_LENGTH_PREFIXED;
    struct slice parts[2] = {slice_of(prefix, sizeof prefix), message};
    connection->sent_ms = clock_now_ms(streams->clock);
    streams->counters.bytes_out += message.len + (is_prefixed ? sizeof prefix : 0);
    tell_watcher(connection, true, message);
    connection->carrier->write(connection, is_prefixed ? parts : parts + 1, is_prefixed ? 2 : 1);
    if (tcp_queued(&connection->tcp) > PAUSE_QUEUED)
        tcp_set_reading(&connection->tcp, false);
}

static void on_drained(struct tcp_connection *tcp) {
    if (!connection_of(tcp)->is_ending && !connection_of(tcp)->is_stalled)
        tcp_set_reading(tcp, true);
}

static void on_gap_over(struct timer *timer, void *arg) {
    struct pacing *pacing = TIMER_OWNER(timer, struct pacing, timer);
    struct connection *connection = pacing->connection;
    struct paced *paced = pacing->waiting;
    (void)arg;
    if (paced == NULL)
        return;
    pacing->waiting = paced->next;
    pacing->count--;
    timer_schedule(streams_of(connection)->wheel, timer, timer->due_ms + GAP_MS, on_gap_over);
    write_message(connection, slice_of(paced->bytes, paced->len));
    free(paced);
}

/* At once, unless another message has just gone. What does not fit in line is lost, and sent again by CoAP. */
static int send_paced(struct connection *connection, struct slice message) {
    struct streams *streams = streams_of(connection);
    struct pacing *pacing = connection->pacing;
    if (pacing == NULL) {
        pacing = connection->pacing = calloc(1, sizeof *pacing);
        if (pacing == NULL)
            return -ENOMEM;
        pacing->connection = connection;
    }
    if (!timer_is_scheduled(&pacing->timer)) {
        timer_schedule(streams->wheel, &pacing->timer, clock_now_ms(streams->clock) + GAP_MS, on_gap_over);
        write_message(connection, message);
        return 0;
    }
    struct paced *paced = pacing->count < PACED_MAX ? malloc(sizeof *paced + message.len) : NULL;
    if (paced == NULL)
        return -ENOBUFS;
    *paced = (struct paced){.len = message.len};
    memcpy(paced->bytes, message.data, message.len);
    struct paced **last = &pacing->waiting;
    while (*last != NULL)
        last = &(*last)->next;
    *last = paced;
    pacing->count++;
    return 0;
}

static int send_over(struct link *link, struct slice message) {
    struct connection *connection = ((struct stream_link *)(void *)link)->connection;
    if (connection == NULL || connection->is_ending || connection->tcp.closing)
        return -ENOTCONN;
    if (tcp_queued(&connection->tcp) + message.len > QUEUED_MAX) {
        end(connection, "the peer does not take what is sent");
        tcp_close(&connection->tcp);
        return -ENOBUFS;
    }
    if (link->framing == LINK_LENGTH_PREFIXED)
        return send_paced(connection, message);
    write_message(connection, message);
    return 0;
}

/* ---- receiving ---- */

static void schedule(struct connection *connection) {
    const struct streams *streams = streams_of(connection);
    uint64_t due_ms = UINT64_MAX;
    if (streams->options.idle_ms > 0 && connection->is_open)
        due_ms = connection->heard_ms + streams->options.idle_ms;
    if (connection->partial_len > 0 && connection->partial_since_ms + MESSAGE_MS < due_ms)
        due_ms = connection->partial_since_ms + MESSAGE_MS;
    if (due_ms != UINT64_MAX && !connection->is_ending)
        timer_schedule(streams_of(connection)->wheel, &connection->timer, due_ms, on_timer);
}

static void on_timer(struct timer *timer, void *arg) {
    struct connection *connection = TIMER_OWNER(timer, struct connection, timer);
    struct streams *streams = streams_of(connection);
    uint64_t now_ms = timer->due_ms;
    (void)arg;
    if (connection->is_ending) {
        detach(connection, connection->why == NULL ? "closed" : connection->why);
        return;
    }
    struct link *link = &connection->link->link;
    if (connection->partial_len > 0 && now_ms >= connection->partial_since_ms + MESSAGE_MS) {
        streams->handlers.broken(streams->arg, link, "a message takes too long to arrive");
        return;
    }
    bool is_silent = streams->options.idle_ms > 0 && now_ms >= connection->heard_ms + streams->options.idle_ms;
    if (is_silent && (streams->handlers.is_used == NULL || !streams->handlers.is_used(streams->arg, link))) {
        close_over(link, "silent for too long");
        return;
    }
    if (is_silent) /* looked at again when it could be silent as long once more */
        connection->heard_ms = now_ms;
    schedule(connection);
}

static void break_off(struct connection *connection, const char *why) {
    struct streams *streams = streams_of(connection);
    drop_partial(connection);
    streams->handlers.broken(streams->arg, &connection->link->link, why);
}

/* Keep the beginning of a message. False when there is no room for it; it is broken off then. */
static bool keep(struct connection *connection, struct slice bytes) {
    struct streams *streams = streams_of(connection);
    size_t len = connection->partial_len + bytes.len, cap = connection->partial_cap;
    while (cap < len)
        cap = cap == 0 ? PARTIAL_MIN : cap * 2;
    size_t more = cap - connection->partial_cap;
    uint8_t *partial = NULL;
    if (streams->counters.partial_bytes + more <= streams->options.max_partial_bytes)
        partial = more == 0 ? connection->partial : realloc(connection->partial, cap);
    if (partial == NULL) {
        break_off(connection, "no room for more unfinished messages");
        return false;
    }
    bool is_first = connection->partial_len == 0;
    memcpy(partial + connection->partial_len, bytes.data, bytes.len);
    connection->partial = partial;
    connection->partial_len = (uint32_t)len;
    connection->partial_cap = (uint32_t)cap;
    streams->counters.partial_bytes += more;
    if (is_first) {
        connection->partial_since_ms = connection->heard_ms;
        schedule(connection);
    }
    return true;
}

/* From its first bytes. False when they are not enough, or it was broken off. */
static bool find_framing(struct connection *connection, struct slice begin) {
    struct streams *streams = streams_of(connection);
    struct link *link = &connection->link->link;
    bool is_whole_record = connection->tls != NULL && connection->partial_len == 0;
    switch (is_whole_record ? framing_guess_record(begin) : framing_guess(begin)) {
    case FRAMING_UNDECIDED:
        return false;
    case FRAMING_8323:
        link->framing = LINK_STREAM_8323;
        return true;
    case FRAMING_PREFIXED:
        if (link->listener != NULL && link->listener->strict) {
            break_off(connection, "messages come with a length before each, which is not RFC 8323");
            return false;
        }
        link->framing = LINK_LENGTH_PREFIXED;
        streams->handlers.oddity(streams->arg, link, false, "messages come with a length before each");
        return true;
    case FRAMING_RECORD:
        if (link->listener != NULL && link->listener->strict) {
            break_off(connection, "messages come in a record each, which is not RFC 8323");
            return false;
        }
        link->framing = LINK_RECORD;
        streams->handlers.oddity(streams->arg, link, false, "messages come in a TLS record each");
        return true;
    case FRAMING_TLS:
        break_off(connection, "a TLS handshake on a port without TLS");
        return false;
    case FRAMING_STRANGE:
        break_off(connection, "the first bytes are no framing that is known here");
        return false;
    }
    return false;
}

/* The message at the beginning of `in`, as framing_next; what is no message is broken off. */
static enum framing_result next_message(struct connection *connection, struct slice in, struct slice *message,
                                        size_t *total) {
    struct link *link = &connection->link->link;
    *total = in.len + 1;
    if (link->framing == LINK_UNFRAMED && !find_framing(connection, in))
        return FRAMING_PARTIAL;
    if (link->framing == LINK_RECORD) {
        *message = in;
        *total = in.len;
        return FRAMING_WHOLE;
    }
    uint32_t max = streams_of(connection)->options.max_message;
    enum framing_result result = framing_next(link->framing, in, max, message, total);
    if (result == FRAMING_TOO_LARGE)
        break_off(connection, "a message is larger than is taken");
    else if (result == FRAMING_BROKEN)
        break_off(connection, link->framing == LINK_STREAM_8323 ? "token length is reserved"
                                                                : "a length is larger than is possible");
    return result;
}

static void deliver(struct connection *connection, struct slice message) {
    struct streams *streams = streams_of(connection);
    tell_watcher(connection, false, message);
    streams->handlers.received(streams->arg, &connection->link->link, message);
}

/* Go on with the message whose beginning is kept: takes what belongs to it, and returns the rest. */
static struct slice feed_partial(struct connection *connection, struct slice in) {
    struct slice message;
    size_t total;
    enum framing_result result =
        next_message(connection, slice_of(connection->partial, connection->partial_len), &message, &total);
    if (connection->is_ending || result == FRAMING_TOO_LARGE || result == FRAMING_BROKEN)
        return SLICE_NONE;
    size_t missing = total - connection->partial_len, take = missing < in.len ? missing : in.len;
    if (!keep(connection, slice_of(in.data, take)))
        return SLICE_NONE;
    result = next_message(connection, slice_of(connection->partial, connection->partial_len), &message, &total);
    if (result == FRAMING_WHOLE) {
        uint8_t *whole = connection->partial;
        streams_of(connection)->counters.partial_bytes -= connection->partial_cap;
        connection->partial = NULL;
        connection->partial_len = connection->partial_cap = 0;
        deliver(connection, message);
        free(whole);
    }
    return slice_from(in, take);
}

/* What the peer has said, as it meant it: the bytes of the socket, or what TLS makes of them. */
static void feed(struct connection *connection, struct slice in) {
    struct streams *streams = streams_of(connection);
    connection->heard_ms = clock_now_ms(streams->clock);
    streams->counters.bytes_in += in.len;
    while (in.len > 0 && !connection->is_ending && connection->link != NULL) {
        struct slice message;
        size_t total;
        if (connection->partial_len > 0) {
            in = feed_partial(connection, in);
            continue;
        }
        enum framing_result result = next_message(connection, in, &message, &total);
        if (result == FRAMING_WHOLE) {
            in = slice_from(in, total);
            deliver(connection, message);
        } else {
            if (result == FRAMING_PARTIAL && !connection->is_ending)
                keep(connection, in);
            return;
        }
    }
}

static void on_received(struct tcp_connection *tcp, struct slice bytes) {
    struct connection *connection = connection_of(tcp);
    tell_wire(connection, false, &bytes, 1);
    if (connection->tls != NULL)
        tls_session_feed(connection->tls, bytes);
    else
        feed(connection, bytes);
}

/* ---- what TLS wants of a connection ---- */

static void on_tls_send(void *user, struct slice bytes) {
    struct connection *connection = user;
    tell_wire(connection, true, &bytes, 1);
    tcp_write(&connection->tcp, &bytes, 1);
}

static void on_tls_set_reading(void *user, bool reading) {
    struct connection *connection = user;
    if (!connection->is_ending && !connection->is_stalled && (!reading || tcp_queued(&connection->tcp) <= PAUSE_QUEUED))
        tcp_set_reading(&connection->tcp, reading);
}

static void tell_opened(struct connection *connection) {
    struct streams *streams = streams_of(connection);
    connection->is_open = true;
    connection->heard_ms = connection->sent_ms = clock_now_ms(streams->clock);
    schedule(connection);
    streams->handlers.opened(streams->arg, &connection->link->link);
}

static void on_tls_proven(void *user) {
    struct connection *connection = user;
    const struct link_identity *identity = tls_session_identity(connection->tls);
    if (identity->security != LINK_NO_SECURITY && !set_identity(connection->link, identity)) {
        close_over(&connection->link->link, "out of memory");
        return;
    }
    tell_opened(connection);
}

static void on_tls_received(void *user, struct slice content) {
    struct connection *connection = user;
    if (!connection->is_ending)
        feed(connection, content);
}

static void on_tls_ended(void *user, const char *why) {
    struct connection *connection = user;
    if (connection->is_ending || connection->tcp.closing)
        return;
    end(connection, why);
    tcp_finish(&connection->tcp);
}

static const struct tls_carrier on_tls = {
    .send = on_tls_send,
    .set_reading = on_tls_set_reading,
    .proven = on_tls_proven,
    .received = on_tls_received,
    .ended = on_tls_ended,
};

bool stream_describe_tls(const struct link *link, struct tls_description *description) {
    const struct connection *connection = NULL;
    link = link_carrier(link);
    if (link->ops == &link_ops)
        connection = ((const struct stream_link *)(const void *)link)->connection;
    if (connection == NULL || connection->tls == NULL || !connection->is_open)
        return false;
    tls_session_describe(connection->tls, description);
    return true;
}

/* ---- the beginning ---- */

static struct tcp_connection *on_open(void *arg) {
    struct port *port = arg;
    struct streams *streams = port->streams;
    struct stream_link *link = port->listener == NULL ? streams->next.link : NULL;
    bool is_full = streams->counters.connections >= streams->options.max_connections || memory_limit_is_reached();
    bool is_refused = link == NULL && is_full;
    if (is_refused) {
        streams->counters.refused++;
        if (!streams->was_refused)
            streams->handlers.refused(streams->arg, port->listener);
        streams->was_refused = true;
        return NULL;
    }
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection != NULL && link == NULL)
        link = new_link(port->listener);
    if (connection == NULL || link == NULL) {
        free(connection);
        return NULL;
    }
    connection->port = port;
    connection->link = link;
    connection->carrier = &plain_carrier;
    connection->is_dialled = port->listener == NULL;
    link->connection = connection;
    streams->counters.connections++;
    return &connection->tcp;
}

static void read_addresses(struct connection *connection) {
    struct link *link = &connection->link->link;
    struct address peer, local;
    tcp_read_addresses(&connection->tcp, &peer, &local);
    if (peer.family != ADDRESS_NONE)
        link->peer = peer;
    if (local.family != ADDRESS_NONE)
        link->local = local;
}

static void on_opened(struct tcp_connection *tcp) {
    struct connection *connection = connection_of(tcp);
    struct streams *streams = streams_of(connection);
    if (connection->is_ending)
        return;
    read_addresses(connection);
    connection->link->link.local.port = 0;
    streams->counters.accepted += !connection->is_dialled;
    struct listener *listener = connection->link->link.listener;
    if (listener == NULL || listener->transport != LINK_TLS) {
        tell_opened(connection);
        return;
    }
    if (connection->is_dialled) {
        tls_session_start(connection->tls);
        return;
    }
    connection->tls = tls_session_new(streams->tls, listener, &connection->link->link.peer, &on_tls, connection);
    if (connection->tls == NULL) {
        end(connection, "out of memory");
        tcp_close(tcp);
        return;
    }
    connection->carrier = &tls_carrier;
}

/* ---- life ---- */

static void free_if_closed(struct streams *streams) {
    if (!streams->closing || streams->open_ports > 0)
        return;
    while (streams->ports != NULL) {
        struct port *port = streams->ports;
        streams->ports = port->next;
        free(port);
    }
    free(streams);
}

static void on_port_closed(void *arg) {
    struct port *port = arg;
    port->streams->open_ports--;
    free_if_closed(port->streams);
}

static const struct tcp_handlers tcp_callbacks = {
    .open = on_open,
    .opened = on_opened,
    .received = on_received,
    .ended = on_ended,
    .drained = on_drained,
    .closed = on_closed,
    .port_closed = on_port_closed,
    /* A device pays for every packet, so it is not asked often whether it is there. */
    .patience = {.keepalive_s = 300, .keepalive_interval_s = 30, .keepalive_count = 4, .unacknowledged_ms = 240000},
};

struct streams *streams_new(uv_loop_t *loop, const struct stream_options *options,
                            const struct stream_handlers *handlers, void *arg, const struct clock *clock,
                            struct timer_wheel *wheel) {
    struct streams *streams = calloc(1, sizeof *streams);
    if (streams == NULL)
        out_of_memory();
    streams->loop = loop;
    streams->options = *options;
    streams->handlers = *handlers;
    streams->arg = arg;
    streams->clock = clock;
    streams->wheel = wheel;
    return streams;
}

void streams_serve_tls(struct streams *streams, struct tls *tls) {
    streams->tls = tls;
}

static struct port *add_port(struct streams *streams, struct listener *listener) {
    struct port *port = calloc(1, sizeof *port);
    if (port == NULL)
        out_of_memory();
    *port = (struct port){.next = streams->ports, .streams = streams, .listener = listener};
    streams->ports = port;
    return port;
}

bool stream_listen(struct streams *streams, struct listener *listener, char *error, size_t error_size) {
    struct port *port = add_port(streams, listener);
    port->tcp = tcp_listen(streams->loop, &listener->address, &tcp_callbacks, port, error, error_size);
    if (port->tcp == NULL)
        return false;
    streams->open_ports++;
    listener->address = tcp_port_address(port->tcp);
    return true;
}

bool stream_adopt(struct streams *streams, struct listener *listener, int fd, const struct address *peer,
                  const struct address *local) {
    for (struct port *port = streams->ports; port != NULL; port = port->next) {
        if (port->listener == listener && !streams->closing)
            return tcp_adopt(port->tcp, fd, peer, local, SLICE_NONE);
    }
    close(fd);
    return false;
}

struct link *stream_connect(struct streams *streams, struct listener *listener, const struct address *peer,
                            enum link_framing framing) {
    if (streams->dialling == NULL) {
        struct port *port = add_port(streams, NULL);
        port->tcp = tcp_port_new(streams->loop, &tcp_callbacks, port);
        if (port->tcp == NULL)
            out_of_memory();
        streams->open_ports++;
        streams->dialling = port;
    }
    struct stream_link *link = new_link(listener);
    if (link == NULL)
        return NULL;
    link->link.framing = framing;
    link->link.peer = *peer;
    link_ref(&link->link); /* the caller's */
    streams->next.link = link;
    tcp_connect(streams->dialling->tcp, peer);
    streams->next.link = NULL;
    if (link->connection != NULL && listener != NULL && listener->transport == LINK_TLS) {
        struct connection *connection = link->connection;
        connection->carrier = &tls_carrier;
        connection->tls = tls_session_new(streams->tls, listener, peer, &on_tls, connection);
        if (connection->tls == NULL)
            out_of_memory();
    }
    if (link->connection == NULL) { /* no memory for the connection */
        free(link);
        return NULL;
    }
    return &link->link;
}

uint64_t stream_sent_ms(const struct link *link) {
    const struct connection *connection = ((const struct stream_link *)(const void *)link)->connection;
    return connection == NULL ? 0 : connection->sent_ms;
}

struct stream_counters stream_counters(const struct streams *streams) {
    return streams->counters;
}

void streams_close(struct streams *streams) {
    streams->closing = true;
    for (struct port *port = streams->ports; port != NULL; port = port->next) {
        if (port->tcp == NULL)
            continue;
        for (struct tcp_connection *tcp = tcp_port_connections(port->tcp); tcp != NULL; tcp = tcp->next)
            detach(connection_of(tcp), "the program ends");
        tcp_port_close(port->tcp);
    }
    free_if_closed(streams);
}
