#include "common/net/udp_worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/ring.h"

_Static_assert(UDP_DATAGRAM_IN + 128 < UDP_WORKER_RING / 2, "the largest datagram finds room in an empty ring");

/* A record of either ring: this, then the datagram. */
struct head {
    struct address peer, local; /* the family of `local` may be ADDRESS_NONE */
    uint64_t socket;
};

struct socket {
    int fd;
    struct udp_out *out;
};

/* Written by the thread alone, read by the loop's. */
struct counts {
    _Atomic uint64_t received, received_bytes, sent, sent_bytes, failed, full_in;
};

struct udp_worker {
    struct udp_bell *bell;
    struct socket sockets[UDP_WORKER_SOCKETS_MAX];
    uint32_t socket_count;
    struct ring *arrivals, *departures;
    uv_thread_t thread;
    bool started;
    int wake;             /* eventfd: what follows here has changed */
    atomic_bool asleep;   /* nobody has looked for departures since */
    atomic_bool has_left; /* wants room for arrivals */
    atomic_bool stopping;
    atomic_bool loop_waits; /* for room for departures; then `room` is posted once */
    uv_sem_t room;
    uint64_t full_out; /* the loop's */
    struct counts counts;
    /* The thread's: a batch of datagrams, of which some may not have found room yet. */
    struct udp_in *batch;
    size_t batch_at, batch_len;
    uint32_t batch_socket;
    struct udp_out_counters out;
};

static void out_of_memory(void) {
    fputs("out of memory\n", stderr);
    abort();
}

static void wake(struct udp_worker *worker) {
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(worker->wake, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

/* It does not block, and how often it was woken is all the same. */
static void hear(struct udp_worker *worker) {
    uint64_t times;
    ssize_t n = read(worker->wake, &times, sizeof times);
    (void)n;
}

static bool take_flag(atomic_bool *flag) {
    return atomic_load(flag) && atomic_exchange(flag, false);
}

static void count(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

/* ---- the thread ---- */

static void publish_arrivals(struct udp_worker *worker) {
    if (ring_publish(worker->arrivals) && take_flag(&worker->bell->asleep))
        uv_async_send(&worker->bell->async);
}

/* False: there is no room for the rest of the batch. */
static bool hand_over_batch(struct udp_worker *worker) {
    for (; worker->batch_at < worker->batch_len; worker->batch_at++) {
        struct head head = {.socket = worker->batch_socket};
        uint8_t *bytes;
        size_t len;
        if (!udp_in_at(worker->batch, worker->batch_at, &head.peer, &head.local, &bytes, &len))
            continue;
        uint8_t *record = ring_put(worker->arrivals, sizeof head + len);
        if (record == NULL) {
            publish_arrivals(worker);
            return false;
        }
        memcpy(record, &head, sizeof head);
        memcpy(record + sizeof head, bytes, len);
        count(&worker->counts.received, 1);
        count(&worker->counts.received_bytes, len);
    }
    publish_arrivals(worker);
    return true;
}

static void fetch(struct udp_worker *worker, uint32_t socket) {
    worker->batch_socket = socket;
    worker->batch_at = 0;
    worker->batch_len = udp_in_fetch(worker->batch, worker->sockets[socket].fd);
    if (!hand_over_batch(worker))
        count(&worker->counts.full_in, 1);
}

static void send_socket(struct udp_worker *worker, struct socket *socket) {
    if (udp_out_is_empty(socket->out))
        return;
    udp_out_send(socket->out, socket->fd, &worker->out);
    atomic_store_explicit(&worker->counts.sent, worker->out.sent, memory_order_relaxed);
    atomic_store_explicit(&worker->counts.sent_bytes, worker->out.sent_bytes, memory_order_relaxed);
    atomic_store_explicit(&worker->counts.failed, worker->out.failed, memory_order_relaxed);
}

static void release_departures(struct udp_worker *worker) {
    ring_release(worker->departures);
    if (take_flag(&worker->loop_waits))
        uv_sem_post(&worker->room);
}

static void send_departures(struct udp_worker *worker) {
    uint8_t *record;
    size_t len;
    while ((record = ring_take(worker->departures, &len)) != NULL) {
        struct head head;
        memcpy(&head, record, sizeof head);
        struct socket *socket = &worker->sockets[head.socket];
        udp_out_put(socket->out, &head.peer, &head.local, slice_of(record + sizeof head, len - sizeof head));
        if (udp_out_is_full(socket->out)) {
            send_socket(worker, socket);
            release_departures(worker);
        }
    }
    release_departures(worker);
    for (uint32_t i = 0; i < worker->socket_count; i++)
        send_socket(worker, &worker->sockets[i]);
}

/* Says what would end its sleep, and only then looks whether that is so already. */
static bool may_sleep(struct udp_worker *worker) {
    if (worker->batch_at < worker->batch_len) {
        atomic_store(&worker->has_left, true);
        if (hand_over_batch(worker))
            atomic_store(&worker->has_left, false);
    }
    atomic_store(&worker->asleep, true);
    return !ring_has_record(worker->departures) && !atomic_load(&worker->stopping);
}

static void work(void *arg) {
    struct udp_worker *worker = arg;
    struct pollfd ready[1 + UDP_WORKER_SOCKETS_MAX] = {{.fd = worker->wake, .events = POLLIN}};
    for (;;) {
        bool sleeps = may_sleep(worker), is_full = worker->batch_at < worker->batch_len;
        for (uint32_t i = 0; i < worker->socket_count; i++)
            ready[1 + i] = (struct pollfd){.fd = worker->sockets[i].fd, .events = is_full ? 0 : POLLIN};
        int n = poll(ready, is_full ? 1 : 1 + worker->socket_count, sleeps ? -1 : 0);
        atomic_store(&worker->asleep, false);
        if (n > 0 && ready[0].revents != 0)
            hear(worker);
        send_departures(worker);
        for (uint32_t i = 0; n > 0 && i < worker->socket_count && worker->batch_at == worker->batch_len; i++) {
            if (ready[1 + i].revents != 0)
                fetch(worker, i);
        }
        if (atomic_load(&worker->stopping) && !ring_has_record(worker->departures))
            return;
    }
}

/* ---- the loop's side ---- */

struct udp_worker *udp_worker_new(struct udp_bell *bell) {
    struct udp_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        out_of_memory();
    worker->bell = bell;
    worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake < 0 || uv_sem_init(&worker->room, 0) != 0) {
        free(worker);
        return NULL;
    }
    worker->arrivals = ring_new(UDP_WORKER_RING);
    worker->departures = ring_new(UDP_WORKER_RING);
    if (worker->arrivals == NULL || worker->departures == NULL)
        out_of_memory();
    worker->batch = udp_in_new();
    return worker;
}

uint32_t udp_worker_add_socket(struct udp_worker *worker, int fd, int family) {
    worker->sockets[worker->socket_count] = (struct socket){.fd = fd, .out = udp_out_new(family)};
    return worker->socket_count++;
}

int udp_worker_start(struct udp_worker *worker, const char *name) {
    int error = uv_thread_create(&worker->thread, work, worker);
    worker->started = error == 0;
    if (worker->started)
        pthread_setname_np(worker->thread, name);
    return error;
}

void udp_worker_stop(struct udp_worker *worker) {
    udp_worker_flush(worker);
    atomic_store(&worker->stopping, true);
    wake(worker);
    if (worker->started)
        uv_thread_join(&worker->thread);
    for (uint32_t i = 0; i < worker->socket_count; i++) {
        close(worker->sockets[i].fd);
        udp_out_free(worker->sockets[i].out);
    }
    close(worker->wake);
    uv_sem_destroy(&worker->room);
    udp_in_free(worker->batch);
    ring_free(worker->arrivals);
    ring_free(worker->departures);
    free(worker);
}

bool udp_worker_take(struct udp_worker *worker, struct udp_arrival *arrival) {
    size_t len;
    struct head head;
    uint8_t *record = ring_take(worker->arrivals, &len);
    if (record == NULL)
        return false;
    memcpy(&head, record, sizeof head);
    *arrival = (struct udp_arrival){.peer = head.peer,
                                    .local = head.local,
                                    .socket = (uint32_t)head.socket,
                                    .bytes = record + sizeof head,
                                    .len = len - sizeof head};
    return true;
}

void udp_worker_release(struct udp_worker *worker) {
    ring_release(worker->arrivals);
    if (atomic_load(&worker->has_left) && ring_used(worker->arrivals) < UDP_WORKER_RING / 2 &&
        take_flag(&worker->has_left))
        wake(worker);
}

bool udp_worker_has_arrivals(struct udp_worker *worker) {
    return ring_has_record(worker->arrivals);
}

void udp_worker_flush(struct udp_worker *worker) {
    if (ring_publish(worker->departures) && take_flag(&worker->asleep))
        wake(worker);
}

/* As long as the thread needs to send what there is. */
static uint8_t *put_when_there_is_room(struct udp_worker *worker, size_t len) {
    uint8_t *record;
    worker->full_out++;
    for (;;) {
        udp_worker_flush(worker);
        atomic_store(&worker->loop_waits, true);
        record = ring_put(worker->departures, len);
        if (record != NULL && take_flag(&worker->loop_waits))
            return record;
        uv_sem_wait(&worker->room);
        if (record != NULL)
            return record;
    }
}

int udp_worker_send(struct udp_worker *worker, uint32_t socket, const struct address *peer, const struct address *local,
                    struct slice datagram) {
    if (datagram.len > UDP_DATAGRAM_OUT)
        return -EMSGSIZE;
    struct head head = {.peer = *peer, .socket = socket};
    if (local != NULL)
        head.local = *local;
    uint8_t *record = ring_put(worker->departures, sizeof head + datagram.len);
    if (record == NULL)
        record = put_when_there_is_room(worker, sizeof head + datagram.len);
    memcpy(record, &head, sizeof head);
    if (datagram.len > 0)
        memcpy(record + sizeof head, datagram.data, datagram.len);
    return 0;
}

static uint64_t read_count(const _Atomic uint64_t *counter) {
    return atomic_load_explicit((_Atomic uint64_t *)(uintptr_t)counter, memory_order_relaxed);
}

static uint64_t thread_cpu_ns(const struct udp_worker *worker) {
    clockid_t clock;
    struct timespec spent;
    if (!worker->started || pthread_getcpuclockid(worker->thread, &clock) != 0 || clock_gettime(clock, &spent) != 0)
        return 0;
    return (uint64_t)spent.tv_sec * 1000000000 + (uint64_t)spent.tv_nsec;
}

struct udp_worker_counters udp_worker_counters(const struct udp_worker *worker) {
    struct udp_worker_counters counters = {
        .received = read_count(&worker->counts.received),
        .received_bytes = read_count(&worker->counts.received_bytes),
        .out = {.sent = read_count(&worker->counts.sent),
                .sent_bytes = read_count(&worker->counts.sent_bytes),
                .failed = read_count(&worker->counts.failed)},
        .full_in = read_count(&worker->counts.full_in),
        .full_out = worker->full_out,
        .cpu_ns = thread_cpu_ns(worker),
    };
    for (uint32_t i = 0; i < worker->socket_count; i++)
        counters.dropped += udp_socket_dropped(worker->sockets[i].fd);
    return counters;
}
