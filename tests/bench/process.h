/* For benches that measure a whole process: clocks, a server and a bare UDP echo in processes of their own, and many
 * played devices behind one socket, each with an IP address of its own in 127.1.0.0/16 and up (IP_PKTINFO). Server and
 * load run on a core each. A bench is one C file, so all of this is inline. */
#ifndef BERTH_TESTS_BENCH_PROCESS_H
#define BERTH_TESTS_BENCH_PROCESS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/slice.h"

static inline void fail(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static inline uint64_t now_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t cpu_ns_of(pid_t pid) {
    clockid_t id;
    if (clock_getcpuclockid(pid, &id) != 0)
        fail("clock_getcpuclockid");
    return now_ns(id);
}

static inline size_t resident_bytes_of(pid_t pid) {
    char path[64], line[256];
    size_t kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid); /* counted, where status may guess */
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail(path);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Rss: %zu kB", &kilobytes) == 1)
            break;
    }
    fclose(file);
    return kilobytes * 1024;
}

static inline void pin(size_t core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set); /* with one core only, both share it */
}

/* ---- the other side ---- */

static inline void on_echo_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    static char memory[65536];
    (void)handle;
    (void)size;
    *buf = uv_buf_init(memory, sizeof memory);
}

static inline void on_echo(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf, const struct sockaddr *from,
                           unsigned flags) {
    (void)flags;
    if (len <= 0 || from == NULL)
        return;
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)len);
    uv_udp_try_send(udp, &out, 1, from);
}

static inline pid_t start_echo(uint16_t *port) {
    int pipe_fd[2];
    if (pipe(pipe_fd) != 0)
        fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        pin(0);
        uv_loop_t loop;
        uv_udp_t udp;
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof any;
        uv_os_fd_t fd;
        uv_loop_init(&loop);
        uv_udp_init(&loop, &udp);
        uv_udp_bind(&udp, (const struct sockaddr *)&any, 0);
        uv_fileno((uv_handle_t *)&udp, &fd);
        getsockname(fd, (struct sockaddr *)&any, &len);
        uint16_t bound = ntohs(any.sin_port);
        uv_udp_recv_start(&udp, on_echo_alloc, on_echo);
        if (write(pipe_fd[1], &bound, sizeof bound) != sizeof bound)
            _exit(1);
        uv_run(&loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    if (read(pipe_fd[0], port, sizeof *port) != sizeof *port)
        fail("the echo did not start");
    close(pipe_fd[0]);
    close(pipe_fd[1]);
    return pid;
}

/* The berth-server of $BERTH_BUILD with these options (NULL behind the last), on core 0. Its standard output goes to `out`;
 * -1: nowhere. */
static inline pid_t start_program(const char *const *options, int out) {
    char program[600];
    const char *arguments[32] = {program};
    const char *build = getenv("BERTH_BUILD");
    snprintf(program, sizeof program, "%s/berth-server", build == NULL ? "build/release" : build);
    for (size_t i = 0; options[i] != NULL && i + 2 < sizeof arguments / sizeof arguments[0]; i++)
        arguments[i + 1] = options[i];
    pid_t pid = fork();
    if (pid == 0) {
        pin(0);
        dup2(out >= 0 ? out : open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execv(program, (char *const *)(uintptr_t)arguments);
        fail(program);
    }
    return pid;
}

/* One that takes CoAP; `http` is "off", or where to listen. */
static inline pid_t start_server(const char *data, uint16_t port, const char *http) {
    char listen[64];
    snprintf(listen, sizeof listen, "coap://127.0.0.1:%u", port);
    return start_program((const char *const[]){"--listen", listen, "--http", http, "--data", data, NULL}, -1);
}

/* The same, and wait until it says that it is ready. */
static inline pid_t start_and_wait(const char *const *options) {
    char text[4096];
    size_t len = 0;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        fail("pipe");
    pid_t pid = start_program(options, ends[1]);
    close(ends[1]);
    do {
        ssize_t got = read(ends[0], text + len, sizeof text - 1 - len);
        if (got <= 0)
            fail("the server did not start");
        len += (size_t)got;
        text[len] = '\0';
    } while (strstr(text, "ready\n") == NULL);
    close(ends[0]); /* it says nothing more there */
    return pid;
}

static inline void stop_process(pid_t pid, int how) {
    kill(pid, how);
    waitpid(pid, NULL, 0);
}

/* All of them below those that the kernel gives to clients (net.ipv4.ip_local_port_range). */
enum { FIRST_PORT = 10000, PORTS = 9990, HTTP_PORTS = 10000 /* above a server's for devices */ };

static inline uint16_t port_for(pid_t pid) {
    return (uint16_t)(FIRST_PORT + pid % PORTS);
}

static inline void remove_directory(const char *path) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", path);
    if (system(command) != 0)
        fprintf(stderr, "bench: %s is left behind\n", path);
}

/* ---- many devices behind one socket ---- */

enum { DATAGRAM_BATCH = 64, DATAGRAM_MAX = 2048, FIRST_ADDRESS = 0x7f010000 };

struct devices {
    int fd;
    struct sockaddr_in server;
};

static inline struct devices open_devices(uint16_t server_port) {
    struct devices devices = {
        .server = {.sin_family = AF_INET, .sin_port = htons(server_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    int size = 8 << 20, on = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    devices.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(devices.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(devices.fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (bind(devices.fd, (struct sockaddr *)&any, sizeof any) != 0)
        fail("bind");
    return devices;
}

union packet_info {
    struct cmsghdr header;
    uint8_t space[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* Datagrams to the server, on their way. */
struct outbox {
    size_t count;
    uint8_t bytes[DATAGRAM_BATCH][DATAGRAM_MAX];
    struct iovec iov[DATAGRAM_BATCH];
    union packet_info info[DATAGRAM_BATCH];
    struct mmsghdr messages[DATAGRAM_BATCH];
};

static inline void flush(const struct devices *devices, struct outbox *out) {
    for (size_t gone = 0; gone < out->count;) {
        int k = sendmmsg(devices->fd, out->messages + gone, (unsigned)(out->count - gone), 0);
        if (k < 0 && errno != EAGAIN)
            fail("sendmmsg");
        gone += k > 0 ? (size_t)k : 0;
    }
    out->count = 0;
}

/* Send `datagram` from the device of that number: with the next flush, or before. */
static inline void post(struct devices *devices, struct outbox *out, size_t device, struct slice datagram) {
    if (out->count == DATAGRAM_BATCH)
        flush(devices, out);
    size_t n = out->count++;
    memcpy(out->bytes[n], datagram.data, datagram.len);
    out->iov[n] = (struct iovec){out->bytes[n], datagram.len};
    memset(&out->info[n], 0, sizeof out->info[n]);
    out->info[n].header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(FIRST_ADDRESS + (uint32_t)device)};
    memcpy(CMSG_DATA(&out->info[n].header), &info, sizeof info);
    out->messages[n].msg_hdr = (struct msghdr){.msg_name = &devices->server,
                                               .msg_namelen = sizeof devices->server,
                                               .msg_iov = &out->iov[n],
                                               .msg_iovlen = 1,
                                               .msg_control = &out->info[n],
                                               .msg_controllen = sizeof out->info[n]};
}

typedef void datagram_fn(void *arg, size_t device, struct slice datagram);

/* Take what is there for the devices, a batch at most; returns how many. */
static inline int collect(const struct devices *devices, datagram_fn *take, void *arg) {
    static uint8_t bytes[DATAGRAM_BATCH][DATAGRAM_MAX];
    static struct mmsghdr messages[DATAGRAM_BATCH];
    static struct iovec iov[DATAGRAM_BATCH];
    static union packet_info info[DATAGRAM_BATCH];
    for (size_t i = 0; i < DATAGRAM_BATCH; i++) {
        iov[i] = (struct iovec){bytes[i], DATAGRAM_MAX};
        messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &iov[i], .msg_iovlen = 1, .msg_control = &info[i], .msg_controllen = sizeof info[i]};
    }
    int got = recvmmsg(devices->fd, messages, DATAGRAM_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++) {
        struct in_pktinfo to;
        const struct cmsghdr *header = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        if (header == NULL || header->cmsg_type != IP_PKTINFO)
            continue;
        memcpy(&to, CMSG_DATA(header), sizeof to);
        take(arg, ntohl(to.ipi_addr.s_addr) - FIRST_ADDRESS, slice_of(bytes[i], messages[i].msg_len));
    }
    return got > 0 ? got : 0;
}

static inline void wait_readable(int fd, int timeout_ms) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    poll(&wait, 1, timeout_ms);
}

/* CPU time that a bare echo spends for a datagram of `len` bytes, in nanoseconds. */
struct echo_load {
    size_t under_way, done;
};

static inline void take_echo(void *arg, size_t device, struct slice datagram) {
    struct echo_load *load = arg;
    (void)device;
    (void)datagram;
    load->under_way--;
    load->done++;
}

static inline void run_echo(struct devices *devices, size_t len, size_t total) {
    static struct outbox out;
    static uint8_t bytes[DATAGRAM_MAX];
    struct echo_load load = {0};
    for (size_t sent = 0; load.done < total;) {
        for (size_t n = 0; n < DATAGRAM_BATCH && sent < total && load.under_way < 128; n++, sent++, load.under_way++)
            post(devices, &out, sent % 1000, slice_of(bytes, len));
        flush(devices, &out);
        if (collect(devices, take_echo, &load) == 0)
            wait_readable(devices->fd, 100);
    }
}

static inline double measure_echo_ns(size_t len, size_t total) {
    uint16_t port;
    pid_t pid = start_echo(&port);
    struct devices devices = open_devices(port);
    run_echo(&devices, len, 5000);
    uint64_t before = cpu_ns_of(pid);
    run_echo(&devices, len, total);
    double each = (double)(cpu_ns_of(pid) - before) / (double)total;
    close(devices.fd);
    stop_process(pid, SIGKILL);
    return each;
}

#endif
