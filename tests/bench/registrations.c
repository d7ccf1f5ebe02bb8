/* Registrations and updates, end to end: starts the berth-server of $BERTH_BUILD, plays devices, and prints one JSON
 * line a round. Server and load run on a core each. A bare libuv UDP echo is measured in the same way before each round,
 * and what the server costs is given as a multiple of it.
 *
 * Every device has an IP address of its own in 127.0.0.0/8: one socket sends from all of them (IP_PKTINFO).
 *
 * usage: registrations [devices...]      default: 1000 10000 100000 */
#include <sys/stat.h>

#include "common/coap/option.h"
#include "tests/bench/process.h"

enum {
    BATCH = 64,
    WINDOW = 128, /* requests under way at once */
    DATAGRAM = 256,
    UPDATE_ROUNDS_MIN = 2,
    UPDATES_MIN = 100000,
    TIMEOUT_MS = 5000,
};

enum kind { KIND_ECHO, KIND_REGISTER, KIND_UPDATE };

struct device {
    char location[16];
    uint64_t sent_ns;
    uint16_t mid;
    bool waiting;
};

struct load {
    int fd;
    struct sockaddr_in server;
    size_t count;
    struct device *devices;
    uint32_t *latencies_us;
    size_t latency_count, latency_cap;
    uint64_t lost, refused;
};

/* ---- the load ---- */

static struct load open_load(uint16_t port, size_t count) {
    struct load load = {.count = count, .latency_cap = 4000000};
    int size = 8 << 20;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    load.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(load.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(load.fd, (struct sockaddr *)&any, sizeof any) != 0)
        fail("bind");
    load.server =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    load.devices = calloc(count, sizeof *load.devices);
    load.latencies_us = calloc(load.latency_cap, sizeof *load.latencies_us);
    if (load.devices == NULL || load.latencies_us == NULL)
        fail("memory");
    return load;
}

static void close_load(struct load *load) {
    close(load->fd);
    free(load->devices);
    free(load->latencies_us);
}

/* A token that names the device, so that the answer can be told. */
static size_t encode(const struct load *load, enum kind kind, size_t index, uint8_t *out) {
    struct device *device = &load->devices[index];
    uint8_t token[4] = {(uint8_t)(index >> 24), (uint8_t)(index >> 16), (uint8_t)(index >> 8), (uint8_t)index};
    struct coap_message message;
    struct coap_uint format;
    char ep[40];
    coap_message_init(&message, COAP_CON, COAP_POST, ++device->mid, slice_of(token, sizeof token));
    coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    if (kind == KIND_REGISTER) {
        snprintf(ep, sizeof ep, "ep=urn:imei:%015zu", index);
        coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
        coap_option_add(&message, COAP_URI_QUERY, slice_str(ep));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lt=86400"));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lwm2m=1.1"));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("b=U"));
        message.payload = slice_str("</1/0>,</3/0>,</4/0>,</5/0>");
    } else {
        coap_option_add(&message, COAP_URI_PATH, slice_str(kind == KIND_ECHO ? "4Kx9" : device->location));
    }
    struct buffer buffer = buffer_over(out, DATAGRAM);
    if (!coap_encode(&message, &buffer))
        fail("encode");
    return buffer.len;
}

static void take_answer(struct load *load, enum kind kind, struct slice datagram, uint64_t now, size_t *done,
                        size_t *under_way) {
    struct coap_message message;
    if (coap_decode(datagram, &message) != COAP_DECODE_OK || message.token.len != 4)
        return;
    const uint8_t *t = message.token.data;
    size_t index = (size_t)t[0] << 24 | (size_t)t[1] << 16 | (size_t)t[2] << 8 | t[3];
    if (index >= load->count || !load->devices[index].waiting)
        return;
    struct device *device = &load->devices[index];
    device->waiting = false;
    (*done)++;
    (*under_way)--;
    if (load->latency_count < load->latency_cap)
        load->latencies_us[load->latency_count++] = (uint32_t)((now - device->sent_ns) / 1000);
    if (kind == KIND_REGISTER) {
        if (message.code != COAP_2_01_CREATED || message.option_count < 2) {
            load->refused++;
            return;
        }
        struct slice id = message.options[1].value;
        memcpy(device->location, id.data, id.len < sizeof device->location ? id.len : sizeof device->location - 1);
    } else if (kind == KIND_UPDATE && message.code != COAP_2_04_CHANGED) {
        load->refused++;
    }
}

/* `total` requests, device after device, WINDOW of them under way. Returns the time it took. */
static uint64_t run(struct load *load, enum kind kind, size_t total) {
    static uint8_t out_bytes[BATCH][DATAGRAM], in_bytes[BATCH][2048];
    static struct mmsghdr out[BATCH], in[BATCH];
    static struct iovec out_iov[BATCH], in_iov[BATCH];
    static union packet_info control[BATCH];
    size_t sent = 0, done = 0, under_way = 0;
    uint64_t start = now_ns(CLOCK_MONOTONIC), last = start;
    load->latency_count = 0;
    while (done < total) {
        size_t n = 0;
        uint64_t now = now_ns(CLOCK_MONOTONIC);
        for (; n < BATCH && sent < total && under_way < WINDOW; n++, sent++, under_way++) {
            size_t index = sent % load->count;
            struct device *device = &load->devices[index];
            device->sent_ns = now;
            device->waiting = true;
            out_iov[n] = (struct iovec){out_bytes[n], encode(load, kind, index, out_bytes[n])};
            memset(&control[n], 0, sizeof control[n]);
            control[n].header = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
            struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(0x7f010000u + (uint32_t)index)};
            memcpy(CMSG_DATA(&control[n].header), &info, sizeof info);
            out[n].msg_hdr = (struct msghdr){.msg_name = &load->server,
                                             .msg_namelen = sizeof load->server,
                                             .msg_iov = &out_iov[n],
                                             .msg_iovlen = 1,
                                             .msg_control = &control[n],
                                             .msg_controllen = sizeof control[n]};
        }
        for (size_t gone = 0; gone < n;) {
            int k = sendmmsg(load->fd, out + gone, (unsigned)(n - gone), 0);
            if (k < 0 && errno != EAGAIN)
                fail("sendmmsg");
            gone += k > 0 ? (size_t)k : 0;
        }
        for (size_t i = 0; i < BATCH; i++) {
            in_iov[i] = (struct iovec){in_bytes[i], sizeof in_bytes[i]};
            in[i].msg_hdr = (struct msghdr){.msg_iov = &in_iov[i], .msg_iovlen = 1};
        }
        int got = recvmmsg(load->fd, in, BATCH, MSG_DONTWAIT, NULL);
        now = now_ns(CLOCK_MONOTONIC);
        for (int i = 0; i < got; i++)
            take_answer(load, kind, slice_of(in_bytes[i], in[i].msg_len), now, &done, &under_way);
        if (got > 0) {
            last = now;
        } else if (now - last > (uint64_t)TIMEOUT_MS * 1000000u) {
            load->lost += under_way; /* nothing comes any more */
            break;
        } else if (n == 0) {
            struct pollfd wait = {.fd = load->fd, .events = POLLIN};
            poll(&wait, 1, 100);
        }
    }
    return now_ns(CLOCK_MONOTONIC) - start;
}

/* From the start of the program to its first 2.01, in microseconds. */
static uint64_t first_registration_us(struct load *load, uint64_t started_ns) {
    uint8_t bytes[DATAGRAM], answer[2048];
    size_t len = encode(load, KIND_REGISTER, 0, bytes);
    for (int tries = 0; tries < 5000; tries++) {
        sendto(load->fd, bytes, len, 0, (struct sockaddr *)&load->server, sizeof load->server);
        struct pollfd wait = {.fd = load->fd, .events = POLLIN};
        if (poll(&wait, 1, 1) > 0 && recv(load->fd, answer, sizeof answer, 0) > 4 && answer[1] == COAP_2_01_CREATED)
            return (now_ns(CLOCK_MONOTONIC) - started_ns) / 1000;
    }
    fail("the server does not answer");
    return 0;
}

static int compare_u32(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static uint32_t percentile_us(struct load *load, double share) {
    if (load->latency_count == 0)
        return 0;
    qsort(load->latencies_us, load->latency_count, sizeof *load->latencies_us, compare_u32);
    return load->latencies_us[(size_t)(share * (double)(load->latency_count - 1))];
}

/* CPU time of a bare echo for a datagram of an update's (or register's) size, in nanoseconds. */
static double measure_echo(size_t total) {
    uint16_t port;
    pid_t pid = start_echo(&port);
    struct load load = open_load(port, 1000);
    run(&load, KIND_ECHO, 5000);
    uint64_t before = cpu_ns_of(pid);
    run(&load, KIND_ECHO, total);
    double each = (double)(cpu_ns_of(pid) - before) / (double)total;
    close_load(&load);
    stop_process(pid, SIGKILL);
    return each;
}

static off_t size_of(const char *directory, const char *name) {
    char path[512];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return stat(path, &info) == 0 ? info.st_size : 0;
}

static void measure(size_t devices) {
    char data[] = "/tmp/berth-bench-XXXXXX";
    uint16_t port = port_for(getpid());
    if (mkdtemp(data) == NULL)
        fail("mkdtemp");
    double echo_ns = measure_echo(UPDATES_MIN);

    uint64_t started = now_ns(CLOCK_MONOTONIC);
    pid_t pid = start_server(data, port, "http://127.0.0.1:0");
    struct load load = open_load(port, devices);
    uint64_t first_us = first_registration_us(&load, started);
    size_t idle_bytes = resident_bytes_of(pid);

    uint64_t cpu = cpu_ns_of(pid);
    uint64_t register_ns = run(&load, KIND_REGISTER, devices);
    double register_cpu_ns = (double)(cpu_ns_of(pid) - cpu) / (double)devices;
    uint32_t register_p99 = percentile_us(&load, 0.99);
    size_t full_bytes = resident_bytes_of(pid);

    size_t updates = devices * UPDATE_ROUNDS_MIN > UPDATES_MIN ? devices * UPDATE_ROUNDS_MIN : UPDATES_MIN;
    cpu = cpu_ns_of(pid);
    uint64_t update_ns = run(&load, KIND_UPDATE, updates);
    double update_cpu_ns = (double)(cpu_ns_of(pid) - cpu) / (double)updates;
    uint32_t update_p99 = percentile_us(&load, 0.99);
    double echo_again_ns = measure_echo(UPDATES_MIN);
    double echo = (echo_ns + echo_again_ns) / 2;

    stop_process(pid, SIGTERM);
    off_t disk = size_of(data, "berth.db") + size_of(data, "berth.db-wal");
    printf("{\"bench\":\"registrations\",\"devices\":%zu,\"registrations_per_s\":%.0f,\"updates_per_s\":%.0f,"
           "\"cpu_us_per_registration\":%.2f,\"cpu_us_per_update\":%.2f,\"cpu_us_per_echo\":%.2f,"
           "\"registration_to_echo\":%.2f,\"update_to_echo\":%.2f,\"p99_us_registration\":%u,\"p99_us_update\":%u,"
           "\"memory_per_device\":%.0f,\"disk_per_device\":%.0f,\"idle_bytes\":%zu,\"start_to_first_us\":%llu,"
           "\"lost\":%llu,\"refused\":%llu}\n",
           devices, (double)devices * 1e9 / (double)register_ns, (double)updates * 1e9 / (double)update_ns,
           register_cpu_ns / 1000, update_cpu_ns / 1000, echo / 1000, register_cpu_ns / echo, update_cpu_ns / echo,
           register_p99, update_p99, ((double)full_bytes - (double)idle_bytes) / (double)devices,
           (double)disk / (double)devices, idle_bytes, (unsigned long long)first_us, (unsigned long long)load.lost,
           (unsigned long long)load.refused);
    fflush(stdout);
    close_load(&load);
    remove_directory(data);
}

int main(int argc, char **argv) {
    pin(1);
    if (argc < 2) {
        measure(1000);
        measure(10000);
        measure(100000);
    }
    for (int i = 1; i < argc; i++)
        measure(strtoul(argv[i], NULL, 10));
    return 0;
}
