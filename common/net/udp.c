#include "common/net/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/slab.h"

enum {
    ROUNDS = 4, /* receive batches before other handles of the loop get a turn */
    BUCKETS_MIN = 64,
};

/* Of a listener there is one; with workers, one for each of them. */
struct socket {
    struct udp *udp;
    struct socket *next;
    struct listener *listener;
    int family;                /* AF_INET or AF_INET6 */
    struct udp_worker *worker; /* NULL: the loop fetches and sends. Else what follows is not used */
    uint32_t worker_socket;    /* its number there */
    uv_poll_t poll;
    int fd;
    struct udp_out *out; /* datagrams that wait for the next sendmmsg */
};

/* What there is besides when workers fetch and send. */
struct workers {
    struct udp_bell bell;
    uv_check_t check; /* behind each turn of the loop: what has come */
    uv_idle_t idle;   /* active while something is left, so that the loop does not sleep */
    size_t count;
    bool started;
    struct udp_worker *each[UDP_WORKERS_MAX];
    struct socket *sockets[UDP_WORKERS_MAX][UDP_WORKER_SOCKETS_MAX]; /* by worker and number there */
};

struct udp {
    uv_loop_t *loop;
    udp_receive_fn *receive;
    void *arg;
    udp_datagram_fn *handler; /* of listeners that are not LINK_UDP */
    void *handler_arg;
    uint16_t own_way; /* the port of local addresses of our own sockets */
    udp_way_fn *send_by_way;
    void *ways_arg;
    struct socket *sockets;
    struct workers *workers; /* NULL: there are none */
    uv_prepare_t prepare;
    struct udp_counters counters;
    struct udp_out_counters out;
    size_t open_handles;
    bool closing;
    /* Links by listener and address, chained. */
    struct hash_key key;
    struct link **buckets;
    size_t bucket_count; /* a power of two */
    struct slab *slab;
    struct udp_in *in;
};

static void out_of_memory(void) {
    fputs("out of memory\n", stderr);
    abort();
}

/* ---- links ---- */

static int udp_link_send(struct link *link, struct slice message);
static void udp_link_release(struct link *link);
static const struct link_ops udp_link_ops = {.send = udp_link_send, .release = udp_link_release};

struct udp_link {
    struct link link; /* first member */
    struct socket *socket;
};

static struct link **bucket_of(const struct udp *udp, const struct listener *listener, const struct address *peer) {
    struct {
        struct address peer;
        uint64_t listener;
    } key = {*peer, listener->number};
    return &udp->buckets[hash_siphash(&udp->key, &key, sizeof key) & (udp->bucket_count - 1)];
}

/* There is about a link a bucket. Without memory for others, they stay as many as they are. */
static void resize(struct udp *udp, size_t count) {
    size_t old_count = udp->bucket_count;
    struct link **old = udp->buckets;
    struct link **fresh = calloc(count, sizeof *fresh);
    if (fresh == NULL)
        return;
    udp->buckets = fresh;
    udp->bucket_count = count;
    for (size_t i = 0; i < old_count; i++) {
        struct link *link = old[i];
        while (link != NULL) {
            struct link *next = link->hash_next;
            struct link **bucket = bucket_of(udp, link->listener, &link->peer);
            link->hash_next = *bucket;
            *bucket = link;
            link = next;
        }
    }
    free(old);
}

/* A reference for the caller; NULL when out of memory. */
static struct link *find_or_add_link(struct socket *socket, const struct address *peer, const struct address *local) {
    struct udp *udp = socket->udp;
    struct link **bucket = bucket_of(udp, socket->listener, peer);
    for (struct link *link = *bucket; link != NULL; link = link->hash_next) {
        if (link->listener == socket->listener && address_equal(&link->peer, peer))
            return link_ref(link);
    }
    struct udp_link *fresh = slab_take(udp->slab, sizeof *fresh);
    if (fresh == NULL)
        return NULL;
    *fresh = (struct udp_link){
        .link = {.ops = &udp_link_ops, .listener = socket->listener, .peer = *peer, .refs = 1, .hash_next = *bucket},
        .socket = socket,
    };
    if (local != NULL)
        fresh->link.local = *local;
    *bucket = &fresh->link;
    udp->counters.links++;
    if (udp->counters.links > udp->bucket_count)
        resize(udp, udp->bucket_count * 2);
    return &fresh->link;
}

static void udp_link_release(struct link *link) {
    struct udp_link *ours = (struct udp_link *)(void *)link;
    struct udp *udp = ours->socket->udp;
    struct link **at = bucket_of(udp, link->listener, &link->peer);
    while (*at != link)
        at = &(*at)->hash_next;
    *at = link->hash_next;
    udp->counters.links--;
    slab_give(ours, sizeof *ours);
    if (udp->bucket_count > BUCKETS_MIN && udp->counters.links < udp->bucket_count / 8)
        resize(udp, udp->bucket_count / 2);
}

/* ---- sending ---- */

static int enqueue(struct socket *socket, const struct address *peer, const struct address *local,
                   struct slice datagram) {
    if (socket->worker != NULL)
        return udp_worker_send(socket->worker, socket->worker_socket, peer, local, datagram);
    if (datagram.len > UDP_DATAGRAM_OUT)
        return -EMSGSIZE;
    if (udp_out_is_full(socket->out))
        udp_out_send(socket->out, socket->fd, &socket->udp->out);
    udp_out_put(socket->out, peer, local, datagram);
    return 0;
}

/* From here, or by the way that `local` says. */
static int send_back(struct socket *socket, const struct address *peer, const struct address *local,
                     struct slice datagram) {
    struct udp *udp = socket->udp;
    if (local == NULL || local->port == udp->own_way)
        return enqueue(socket, peer, local, datagram);
    if (udp->send_by_way != NULL && udp->send_by_way(udp->ways_arg, socket->listener, peer, local, datagram))
        return 0;
    return enqueue(socket, peer, NULL, datagram); /* the address is another machine's */
}

static int udp_link_send(struct link *link, struct slice message) {
    int result = send_back(((struct udp_link *)(void *)link)->socket, &link->peer, &link->local, message);
    if (result == 0)
        link_tell_watcher(link, true, message, message.len);
    return result;
}

/* Of several, always the same one for a peer: what goes to it stays in order. NULL when there is none that reaches it. */
static struct socket *socket_of(const struct udp *udp, const struct listener *listener, const struct address *peer) {
    struct socket *socket = udp->sockets;
    while (socket != NULL && socket->listener != listener)
        socket = socket->next;
    if (socket == NULL || (socket->family == AF_INET && peer->family != ADDRESS_IPV4))
        return NULL;
    if (socket->worker == NULL)
        return socket;
    size_t worker = hash_siphash(&udp->key, peer, sizeof *peer) % udp->workers->count;
    return udp->workers->sockets[worker][socket->worker_socket];
}

int udp_send(struct udp *udp, struct listener *listener, const struct address *peer, const struct address *local,
             struct slice datagram) {
    struct socket *socket = socket_of(udp, listener, peer);
    return socket == NULL ? -EDESTADDRREQ : send_back(socket, peer, local, datagram);
}

void udp_flush(struct udp *udp) {
    if (udp->workers != NULL) {
        for (size_t i = 0; i < udp->workers->count; i++)
            udp_worker_flush(udp->workers->each[i]);
        return;
    }
    for (struct socket *socket = udp->sockets; socket != NULL; socket = socket->next) {
        if (!udp_out_is_empty(socket->out))
            udp_out_send(socket->out, socket->fd, &udp->out);
    }
}

/* ---- receiving ---- */

/* `bytes` may be changed. */
static void deliver(struct socket *socket, const struct address *peer, const struct address *local, uint8_t *bytes,
                    size_t len) {
    struct udp *udp = socket->udp;
    udp->counters.received++;
    udp->counters.received_bytes += len;
    if (socket->listener->transport != LINK_UDP) {
        if (udp->handler != NULL)
            udp->handler(udp->handler_arg, socket->listener, peer, local, bytes, len);
        return;
    }
    struct link *link = find_or_add_link(socket, peer, local);
    if (link == NULL)
        return;
    link->local = *local;
    link_tell_watcher(link, false, slice_of(bytes, len), len);
    udp->receive(udp->arg, link, slice_of(bytes, len));
    link_unref(link);
}

/* To one of our own sockets. */
static void arrive(struct socket *socket, const struct address *peer, struct address *local, uint8_t *bytes,
                   size_t len) {
    local->port = socket->udp->own_way;
    deliver(socket, peer, local, bytes, len);
}

void udp_set_ways(struct udp *udp, uint16_t own, udp_way_fn *send, void *arg) {
    udp->own_way = own;
    udp->send_by_way = send;
    udp->ways_arg = arg;
}

void udp_deliver(struct udp *udp, struct listener *listener, const struct address *peer, const struct address *local,
                 uint8_t *datagram, size_t len) {
    struct socket *socket = socket_of(udp, listener, peer);
    if (socket != NULL && !udp->closing)
        deliver(socket, peer, local, datagram, len);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct socket *socket = poll->data;
    struct udp *udp = socket->udp;
    (void)events;
    if (status < 0)
        return;
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = udp_in_fetch(udp->in, socket->fd);
        for (size_t i = 0; i < n && !udp->closing; i++) {
            struct address peer, local;
            uint8_t *bytes;
            size_t len;
            if (udp_in_at(udp->in, i, &peer, &local, &bytes, &len))
                arrive(socket, &peer, &local, bytes, len);
        }
        if (n < UDP_BATCH || udp->closing)
            break;
    }
}

/* ---- receiving by workers ---- */

/* A batch of what a worker has fetched, and its answers on their way. False: there was less. */
static bool take_batch(struct udp *udp, size_t number) {
    struct udp_worker *worker = udp->workers->each[number];
    struct udp_arrival arrival;
    size_t n = 0;
    for (; n < UDP_BATCH && !udp->closing && udp_worker_take(worker, &arrival); n++)
        arrive(udp->workers->sockets[number][arrival.socket], &arrival.peer, &arrival.local, arrival.bytes,
               arrival.len);
    if (udp->closing || n == 0)
        return false;
    udp_worker_release(worker);
    udp_flush(udp);
    return n == UDP_BATCH;
}

static void on_check(uv_check_t *check) {
    struct udp *udp = check->data;
    struct workers *workers = udp->workers;
    atomic_store(&workers->bell.asleep, false);
    bool more = true;
    for (int round = 0; round < ROUNDS && more; round++) {
        more = false;
        for (size_t i = 0; i < workers->count && !udp->closing; i++)
            more |= take_batch(udp, i);
    }
}

static void on_idle(uv_idle_t *idle) {
    (void)idle;
}

/* The loop is about to sleep: workers ring from now on. What they have brought before that they did not tell. */
static void listen_for_bell(struct udp *udp) {
    struct workers *workers = udp->workers;
    atomic_store(&workers->bell.asleep, true);
    bool some = false;
    for (size_t i = 0; i < workers->count && !some; i++)
        some = udp_worker_has_arrivals(workers->each[i]);
    if (some)
        uv_idle_start(&workers->idle, on_idle);
    else
        uv_idle_stop(&workers->idle);
}

static void on_prepare(uv_prepare_t *prepare) {
    struct udp *udp = prepare->data;
    udp_flush(udp);
    if (udp->workers != NULL && !udp->closing)
        listen_for_bell(udp);
}

/* ---- life ---- */

struct udp *udp_new(uv_loop_t *loop, udp_receive_fn *receive, void *arg) {
    struct udp *udp = calloc(1, sizeof *udp);
    if (udp == NULL)
        out_of_memory();
    *udp = (struct udp){.loop = loop, .receive = receive, .arg = arg, .bucket_count = BUCKETS_MIN};
    udp->key = hash_key_random();
    udp->buckets = calloc(udp->bucket_count, sizeof(struct link *));
    udp->in = udp_in_new();
    udp->slab = slab_new();
    if (udp->buckets == NULL || udp->slab == NULL)
        out_of_memory();
    uv_prepare_init(loop, &udp->prepare);
    udp->prepare.data = udp;
    uv_prepare_start(&udp->prepare, on_prepare);
    uv_unref((uv_handle_t *)&udp->prepare);
    udp->open_handles = 1;
    return udp;
}

static void on_bell(uv_async_t *async) {
    (void)async; /* it has woken the loop; on_check does the rest */
}

int udp_set_workers(struct udp *udp, size_t count) {
    if (count <= 1)
        return 0;
    struct workers *workers = calloc(1, sizeof *workers);
    if (workers == NULL)
        out_of_memory();
    int error = uv_async_init(udp->loop, &workers->bell.async, on_bell);
    if (error != 0) {
        free(workers);
        return error;
    }
    udp->workers = workers;
    uv_check_init(udp->loop, &workers->check);
    uv_idle_init(udp->loop, &workers->idle);
    workers->bell.async.data = workers->check.data = workers->idle.data = udp;
    uv_check_start(&workers->check, on_check);
    uv_unref((uv_handle_t *)&workers->check);
    udp->open_handles += 3;
    for (; workers->count < count && workers->count < UDP_WORKERS_MAX; workers->count++) {
        workers->each[workers->count] = udp_worker_new(&workers->bell);
        if (workers->each[workers->count] == NULL)
            return -EMFILE;
    }
    return 0;
}

int udp_start_workers(struct udp *udp) {
    for (size_t i = 0; udp->workers != NULL && i < udp->workers->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "udp-%zu", i + 1);
        int error = udp_worker_start(udp->workers->each[i], name);
        if (error != 0)
            return error;
        udp->workers->started = true;
    }
    return 0;
}

static struct socket *add_socket(struct udp *udp, struct listener *listener, int fd, int family) {
    struct socket *socket = calloc(1, sizeof *socket);
    if (socket == NULL)
        out_of_memory();
    *socket = (struct socket){.udp = udp, .next = udp->sockets, .listener = listener, .family = family, .fd = fd};
    udp->sockets = socket;
    return socket;
}

static void give_to_worker(struct socket *socket, size_t number) {
    struct workers *workers = socket->udp->workers;
    socket->worker = workers->each[number];
    socket->worker_socket = udp_worker_add_socket(socket->worker, socket->fd, socket->family);
    workers->sockets[number][socket->worker_socket] = socket;
}

/* `fd` is bound; the others join it. */
static int listen_by_workers(struct udp *udp, struct listener *listener, int fd, int family) {
    bool full = udp->workers->sockets[0][UDP_WORKER_SOCKETS_MAX - 1] != NULL;
    if (full || udp->workers->started) {
        close(fd);
        return full ? -EMFILE : -EBUSY;
    }
    give_to_worker(add_socket(udp, listener, fd, family), 0);
    for (size_t i = 1; i < udp->workers->count; i++) {
        int beside = udp_socket_open_beside(fd, &listener->address);
        if (beside < 0)
            return beside;
        give_to_worker(add_socket(udp, listener, beside, family), i);
    }
    return 0;
}

int udp_listen(struct udp *udp, struct listener *listener) {
    int family;
    int fd = udp_socket_open(&listener->address, &family);
    if (fd < 0)
        return fd;
    udp_socket_read_port(fd, &listener->address);
    if (udp->workers != NULL)
        return listen_by_workers(udp, listener, fd, family);
    struct socket *socket = add_socket(udp, listener, fd, family);
    socket->out = udp_out_new(family);
    int error = uv_poll_init(udp->loop, &socket->poll, fd);
    if (error == 0) {
        socket->poll.data = socket;
        udp->open_handles++;
        error = uv_poll_start(&socket->poll, UV_READABLE, on_readable);
    }
    return error;
}

/* The new socket takes the old one's descriptor, so that everything else stays as it is. */
int udp_rebind(struct udp *udp, struct listener *listener) {
    struct socket *socket = udp->sockets;
    while (socket != NULL && socket->listener != listener)
        socket = socket->next;
    if (socket == NULL || socket->worker != NULL)
        return -EDESTADDRREQ;
    struct address address = listener->address;
    int family;
    address.port = 0;
    int fd = udp_socket_open(&address, &family);
    if (fd < 0)
        return fd;
    udp_out_send(socket->out, socket->fd, &udp->out);
    uv_poll_stop(&socket->poll);
    int error = dup3(fd, socket->fd, O_CLOEXEC) < 0 ? -errno : 0;
    close(fd);
    udp_socket_read_port(socket->fd, &listener->address);
    uv_poll_start(&socket->poll, UV_READABLE, on_readable);
    return error;
}

void udp_set_datagram_handler(struct udp *udp, udp_datagram_fn *handler, void *arg) {
    udp->handler = handler;
    udp->handler_arg = arg;
}

struct link *udp_link(struct udp *udp, struct listener *listener, const struct address *peer,
                      const struct address *local) {
    struct socket *socket = socket_of(udp, listener, peer);
    return socket == NULL ? NULL : find_or_add_link(socket, peer, local);
}

struct udp_counters udp_counters(const struct udp *udp) {
    struct udp_counters counters = udp->counters;
    struct udp_out_counters out = udp->out;
    for (size_t i = 0; udp->workers != NULL && i < udp->workers->count; i++) {
        struct udp_worker_counters worker = udp_worker_counters(udp->workers->each[i]);
        out.sent += worker.out.sent;
        out.sent_bytes += worker.out.sent_bytes;
        out.failed += worker.out.failed;
        counters.dropped += worker.dropped;
    }
    for (const struct socket *socket = udp->sockets; socket != NULL; socket = socket->next) {
        if (socket->worker == NULL)
            counters.dropped += udp_socket_dropped(socket->fd);
    }
    counters.sent = out.sent;
    counters.sent_bytes = out.sent_bytes;
    counters.send_failed = out.failed;
    return counters;
}

size_t udp_worker_count(const struct udp *udp) {
    return udp->workers == NULL ? 0 : udp->workers->count;
}

struct udp_worker_counters udp_counters_of_worker(const struct udp *udp, size_t number) {
    return udp_worker_counters(udp->workers->each[number]);
}

static void free_udp(struct udp *udp) {
    while (udp->sockets != NULL) {
        struct socket *socket = udp->sockets;
        udp->sockets = socket->next;
        udp_out_free(socket->out);
        free(socket);
    }
    free(udp->workers);
    free(udp->buckets);
    udp_in_free(udp->in);
    slab_free(udp->slab);
    free(udp);
}

static void count_closed(struct udp *udp) {
    if (--udp->open_handles == 0)
        free_udp(udp);
}

static void on_poll_closed(uv_handle_t *handle) {
    count_closed(((struct socket *)handle->data)->udp);
}

static void on_closed(uv_handle_t *handle) {
    count_closed(handle->data);
}

static void close_workers(struct udp *udp) {
    struct workers *workers = udp->workers;
    while (workers->count > 0)
        udp_worker_stop(workers->each[--workers->count]);
    uv_close((uv_handle_t *)&workers->check, on_closed);
    uv_close((uv_handle_t *)&workers->idle, on_closed);
    uv_close((uv_handle_t *)&workers->bell.async, on_closed);
}

void udp_close(struct udp *udp) {
    udp->closing = true;
    udp_flush(udp);
    for (struct socket *socket = udp->sockets; socket != NULL; socket = socket->next) {
        if (socket->worker != NULL)
            continue;
        uv_poll_stop(&socket->poll);
        close(socket->fd);
        uv_close((uv_handle_t *)&socket->poll, on_poll_closed);
    }
    if (udp->workers != NULL)
        close_workers(udp);
    uv_close((uv_handle_t *)&udp->prepare, on_closed);
}
