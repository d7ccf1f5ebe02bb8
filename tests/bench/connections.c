/* Devices over TCP beside devices over UDP, in one run of one berth-server: updates a second and what each costs, the
 * memory of idle connections, and how long it takes until every device is back when all connections have broken at once.
 * Prints a JSON line for each. Server and load run on a core each.
 *
 * usage: connections [devices] [idle connections] [devices of the storm]      default: 1000 10000 2000 */
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "common/coap/option.h"
#include "common/coap/signal.h"
#include "common/coap/stream.h"
#include "tests/bench/process.h"

enum { WINDOW = 128, UPDATES_MIN = 100000, TIMEOUT_MS = 20000, HEARD_MAX = 1024, EVENTS = 256 };

enum kind { KIND_REGISTER, KIND_UPDATE };

struct device {
    char location[16];
    uint64_t sent_ns;
    uint16_t mid;
    bool waiting;
    int fd; /* of its connection, or -1 */
    size_t heard_len;
    uint8_t heard[HEARD_MAX]; /* the beginning of a frame */
};

struct load {
    bool over_tcp;
    uint16_t port;
    size_t count;
    struct device *devices;
    struct devices udp;
    int epoll;
    const char *name; /* prefix of endpoint names */
    enum kind kind;
    uint32_t *latencies_us;
    size_t latency_count, done, under_way;
    uint64_t refused, lost;
};

static pid_t start_with_tcp(const char *data, uint16_t port) {
    char udp[64], tcp[64], program[600];
    const char *build = getenv("BERTH_BUILD");
    snprintf(program, sizeof program, "%s/berth-server", build == NULL ? "build/release" : build);
    snprintf(udp, sizeof udp, "coap://127.0.0.1:%u", port);
    snprintf(tcp, sizeof tcp, "coap+tcp://127.0.0.1:%u", port);
    pid_t pid = fork();
    if (pid == 0) {
        pin(0);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        execl(program, program, "--listen", udp, "--listen", tcp, "--http", "off", "--data", data, "--tcp-idle-timeout",
              "0", (char *)NULL);
        fail(program);
    }
    return pid;
}

/* ---- connections ---- */

static void write_all(int fd, const uint8_t *bytes, size_t len) {
    for (size_t at = 0; at < len;) {
        ssize_t gone = write(fd, bytes + at, len - at);
        if (gone > 0) {
            at += (size_t)gone;
            continue;
        }
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        if (errno != EAGAIN || poll(&wait, 1, TIMEOUT_MS) != 1)
            fail("write");
    }
}

/* Each from an address of its own, so that ports suffice. Greets at once; the answer is taken later. */
static void dial(struct load *load, size_t index) {
    static const uint8_t csm[] = {0x00, 0xe1};
    struct device *device = &load->devices[index];
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(FIRST_ADDRESS + (uint32_t)index)};
    int on = 1;
    device->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(device->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(device->fd, (struct sockaddr *)&own, sizeof own) != 0 ||
        connect(device->fd, (struct sockaddr *)&load->udp.server, sizeof load->udp.server) != 0)
        fail("connect");
    fcntl(device->fd, F_SETFL, O_NONBLOCK);
    device->heard_len = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = index};
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, device->fd, &event);
    write_all(device->fd, csm, sizeof csm);
}

/* Without a word, as a router that is switched off would have it, but told: a reset. */
static void break_off(struct device *device) {
    struct linger now = {.l_onoff = 1};
    if (device->fd < 0)
        return;
    setsockopt(device->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(device->fd);
    device->fd = -1;
}

/* ---- requests and answers ---- */

static void ask(struct load *load, size_t index, struct outbox *out) {
    struct device *device = &load->devices[index];
    uint8_t token[4] = {(uint8_t)(index >> 24), (uint8_t)(index >> 16), (uint8_t)(index >> 8), (uint8_t)index};
    uint8_t bytes[512];
    struct coap_message message;
    struct coap_uint format;
    char ep[64];
    coap_message_init(&message, COAP_CON, COAP_POST, ++device->mid, slice_of(token, sizeof token));
    coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    if (load->kind == KIND_REGISTER) {
        snprintf(ep, sizeof ep, "ep=%s-%zu", load->name, index);
        coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
        coap_option_add(&message, COAP_URI_QUERY, slice_str(ep));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lt=86400"));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lwm2m=1.1"));
        coap_option_add(&message, COAP_URI_QUERY, slice_str(load->over_tcp ? "b=T" : "b=U"));
        message.payload = slice_str("</1/0>,</3/0>,</4/0>,</5/0>");
    } else {
        coap_option_add(&message, COAP_URI_PATH, slice_str(device->location));
    }
    struct buffer buffer = buffer_over(bytes, sizeof bytes);
    if (!(load->over_tcp ? coap_stream_encode(&message, &buffer) : coap_encode(&message, &buffer)))
        fail("encode");
    device->sent_ns = now_ns(CLOCK_MONOTONIC);
    device->waiting = true;
    if (load->over_tcp)
        write_all(device->fd, bytes, buffer.len);
    else
        post(&load->udp, out, index, buffer_slice(&buffer));
}

static void take_answer(struct load *load, size_t index, const struct coap_message *message) {
    struct device *device = &load->devices[index];
    if (message->token.len != 4 || !device->waiting)
        return;
    device->waiting = false;
    load->done++;
    load->under_way--;
    load->latencies_us[load->latency_count++] = (uint32_t)((now_ns(CLOCK_MONOTONIC) - device->sent_ns) / 1000);
    if (load->kind == KIND_REGISTER && message->code == COAP_2_01_CREATED && message->option_count == 2) {
        struct slice id = message->options[1].value;
        memcpy(device->location, id.data, id.len < sizeof device->location ? id.len : sizeof device->location - 1);
    } else if (load->kind == KIND_REGISTER || message->code != COAP_2_04_CHANGED) {
        load->refused++;
    }
}

static void take_datagram(void *arg, size_t index, struct slice datagram) {
    struct load *load = arg;
    struct coap_message message;
    if (index < load->count && coap_decode(datagram, &message) == COAP_DECODE_OK)
        take_answer(load, index, &message);
}

/* Answers here are shorter than 269 bytes. */
static size_t frame_size(const uint8_t *bytes, size_t len) {
    if (len < 2)
        return SIZE_MAX;
    size_t nibble = bytes[0] >> 4;
    return nibble < 13 ? 2 + (bytes[0] & 15u) + nibble : 3 + (bytes[0] & 15u) + 13 + bytes[1];
}

static void take_bytes(struct load *load, size_t index) {
    struct device *device = &load->devices[index];
    ssize_t got = read(device->fd, device->heard + device->heard_len, HEARD_MAX - device->heard_len);
    if (got <= 0)
        fail("a connection has ended");
    device->heard_len += (size_t)got;
    size_t at = 0, size;
    while ((size = frame_size(device->heard + at, device->heard_len - at)) <= device->heard_len - at) {
        struct coap_message message;
        if (coap_stream_decode(slice_of(device->heard + at, size), &message) == COAP_DECODE_OK)
            take_answer(load, index, &message);
        at += size;
    }
    memmove(device->heard, device->heard + at, device->heard_len - at);
    device->heard_len -= at;
}

/* False when nothing has come for a while. */
static bool collect_some(struct load *load, int timeout_ms) {
    if (!load->over_tcp) {
        if (collect(&load->udp, take_datagram, load) > 0)
            return true;
        wait_readable(load->udp.fd, timeout_ms);
        return collect(&load->udp, take_datagram, load) > 0;
    }
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(load->epoll, events, EVENTS, timeout_ms);
    for (int i = 0; i < ready; i++)
        take_bytes(load, (size_t)events[i].data.u64);
    return ready > 0;
}

/* `total` requests, device after device, `window` of them under way. Returns the time it took. */
static uint64_t run(struct load *load, enum kind kind, size_t total, size_t window) {
    static struct outbox out;
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    load->kind = kind;
    load->done = load->under_way = load->latency_count = 0;
    free(load->latencies_us);
    load->latencies_us = calloc(total, sizeof *load->latencies_us);
    if (load->latencies_us == NULL)
        fail("memory");
    for (size_t sent = 0; load->done < total;) {
        for (size_t n = 0; n < DATAGRAM_BATCH && sent < total && load->under_way < window; n++, sent++) {
            load->under_way++;
            ask(load, sent % load->count, &out);
        }
        flush(&load->udp, &out);
        bool is_full = sent == total || load->under_way >= window;
        if (!collect_some(load, is_full ? TIMEOUT_MS : 0) && is_full) {
            load->lost += load->under_way;
            break;
        }
    }
    return now_ns(CLOCK_MONOTONIC) - start;
}

static struct load open_load(bool over_tcp, uint16_t port, size_t count, const char *name) {
    struct load load = {.over_tcp = over_tcp,
                        .port = port,
                        .count = count,
                        .devices = calloc(count, sizeof(struct device)),
                        .udp = open_devices(port),
                        .epoll = epoll_create1(0),
                        .name = name};
    if (load.devices == NULL)
        fail("memory");
    for (size_t i = 0; i < count; i++)
        load.devices[i].fd = -1;
    return load;
}

static void dial_all(struct load *load) {
    for (size_t i = 0; i < load->count; i++)
        dial(load, i);
}

static void close_load(struct load *load) {
    for (size_t i = 0; i < load->count; i++)
        break_off(&load->devices[i]);
    close(load->udp.fd);
    close(load->epoll);
    free(load->devices);
    free(load->latencies_us);
}

static int compare_u32(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static uint32_t p99_us(struct load *load) {
    if (load->latency_count == 0)
        return 0;
    qsort(load->latencies_us, load->latency_count, sizeof *load->latencies_us, compare_u32);
    return load->latencies_us[(load->latency_count - 1) * 99 / 100];
}

/* ---- what is measured ---- */

static void measure_updates(pid_t pid, uint16_t port, bool over_tcp, size_t count, double echo_ns) {
    struct load load = open_load(over_tcp, port, count, over_tcp ? "tcp" : "udp");
    if (over_tcp)
        dial_all(&load);
    run(&load, KIND_REGISTER, count, WINDOW);
    size_t updates = count * 2 > UPDATES_MIN ? count * 2 : UPDATES_MIN;
    uint64_t cpu = cpu_ns_of(pid);
    uint64_t took = run(&load, KIND_UPDATE, updates, WINDOW);
    double each = (double)(cpu_ns_of(pid) - cpu) / (double)updates;
    printf("{\"bench\":\"connections\",\"updates_over\":\"%s\",\"devices\":%zu,\"updates_per_s\":%.0f,"
           "\"cpu_us_per_update\":%.2f,\"update_to_echo\":%.2f,\"p99_us\":%u,\"lost\":%llu,\"refused\":%llu}\n",
           over_tcp ? "tcp" : "udp", count, (double)updates * 1e9 / (double)took, each / 1000, each / echo_ns,
           p99_us(&load), (unsigned long long)load.lost, (unsigned long long)load.refused);
    fflush(stdout);
    close_load(&load);
}

/* The CSM of each has come, so the server has done with them. */
static void await_greetings(struct load *load) {
    for (size_t i = 0; i < load->count; i++) {
        uint8_t bytes[16];
        struct pollfd wait = {.fd = load->devices[i].fd, .events = POLLIN};
        if (poll(&wait, 1, TIMEOUT_MS) != 1 || read(load->devices[i].fd, bytes, sizeof bytes) <= 0)
            fail("no CSM");
    }
}

static void measure_idle(pid_t pid, uint16_t port, size_t count) {
    size_t before = resident_bytes_of(pid);
    struct load load = open_load(true, port, count, "idle");
    uint64_t start = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns_of(pid);
    dial_all(&load);
    await_greetings(&load);
    double took = (double)(now_ns(CLOCK_MONOTONIC) - start), each_cpu = (double)(cpu_ns_of(pid) - cpu);
    size_t connected = resident_bytes_of(pid);
    run(&load, KIND_REGISTER, count, WINDOW);
    size_t registered = resident_bytes_of(pid);
    printf("{\"bench\":\"connections\",\"idle_connections\":%zu,\"memory_per_connection\":%.0f,"
           "\"memory_per_connection_and_registration\":%.0f,\"connections_per_s\":%.0f,\"cpu_us_per_connection\":%.2f,"
           "\"lost\":%llu,\"refused\":%llu}\n",
           count, ((double)connected - (double)before) / (double)count,
           ((double)registered - (double)before) / (double)count, (double)count * 1e9 / took,
           each_cpu / (double)count / 1000, (unsigned long long)load.lost, (unsigned long long)load.refused);
    fflush(stdout);
    close_load(&load);
}

/* Everybody at once: no window. */
static void measure_storm(pid_t pid, uint16_t port, size_t count) {
    struct load load = open_load(true, port, count, "storm");
    dial_all(&load);
    run(&load, KIND_REGISTER, count, WINDOW);
    for (size_t i = 0; i < count; i++)
        break_off(&load.devices[i]);
    uint64_t start = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns_of(pid);
    dial_all(&load);
    run(&load, KIND_UPDATE, count, count);
    double took = (double)(now_ns(CLOCK_MONOTONIC) - start), cpu_ns = (double)(cpu_ns_of(pid) - cpu);
    printf("{\"bench\":\"connections\",\"storm_of\":%zu,\"all_back_ms\":%.1f,\"cpu_us_per_device\":%.2f,"
           "\"p99_us_update\":%u,\"lost\":%llu,\"refused\":%llu}\n",
           count, took / 1e6, cpu_ns / (double)count / 1000, p99_us(&load), (unsigned long long)load.lost,
           (unsigned long long)load.refused);
    fflush(stdout);
    close_load(&load);
}

static void await_server(uint16_t port) {
    struct load load = open_load(true, port, 1, "first");
    for (int tries = 0; tries < 5000; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int result = connect(fd, (struct sockaddr *)&load.udp.server, sizeof load.udp.server);
        close(fd);
        if (result == 0) {
            close_load(&load);
            return;
        }
        struct timespec a_moment = {.tv_nsec = 1000000};
        nanosleep(&a_moment, NULL);
    }
    fail("the server does not listen");
}

int main(int argc, char **argv) {
    char data[] = "/tmp/berth-bench-XXXXXX";
    size_t devices = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    size_t idle = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
    size_t storm = argc > 3 ? strtoul(argv[3], NULL, 10) : 2000;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    pin(1);
    if (mkdtemp(data) == NULL)
        fail("mkdtemp");
    double echo_ns = measure_echo_ns(24, UPDATES_MIN);
    uint16_t port = port_for(getpid());
    pid_t pid = start_with_tcp(data, port);
    await_server(port);
    measure_idle(pid, port, idle);
    measure_updates(pid, port, false, devices, echo_ns);
    measure_updates(pid, port, true, devices, echo_ns);
    measure_storm(pid, port, storm);
    stop_process(pid, SIGTERM);
    remove_directory(data);
    return 0;
}
