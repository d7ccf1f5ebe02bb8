/* Sends datagrams from forged addresses, each from another of 10.0.0.0/8, in a network of the test's own. Needs root.
 *
 *     flood KIND ADDRESS PORT RATE COUNT [FROM TOKEN]    RATE a second; COUNT 0: until standard input ends
 *
 * KIND is one of the names below. With FROM, a port of ADDRESS, all come from there; TOKEN, in hex, is that of the
 * observation that `notify` has notifications for. At the end it prints how many it has sent. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD_MAX = 1400, TICK_NS = 1000000 };

struct packet {
    struct iphdr ip;
    struct udphdr udp;
    uint8_t payload[PAYLOAD_MAX];
} __attribute__((packed));

static uint64_t state = 0x9e3779b97f4a7c15;

static uint32_t draw(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static size_t put_header(uint8_t *out, uint8_t code) {
    out[0] = 0x40;
    out[1] = code;
    out[2] = (uint8_t)draw();
    out[3] = (uint8_t)draw();
    return 4;
}

static size_t put_text(uint8_t *out, uint8_t delta_and_len, const char *text, size_t len) {
    out[0] = delta_and_len;
    if ((delta_and_len & 15) == 13) {
        out[1] = (uint8_t)(len - 13);
        memcpy(out + 2, text, len);
        return len + 2;
    }
    memcpy(out + 1, text, len);
    return len + 1;
}

/* POST /rd?ep=flood-XXXXXXXX&lwm2m=1.1 with an object list. */
static size_t make_register(uint8_t *out) {
    char name[32];
    snprintf(name, sizeof name, "ep=flood-%08x", draw());
    size_t at = put_header(out, 2);
    at += put_text(out + at, 0xb2, "rd", 2);
    at += put_text(out + at, 0x11, "\x28", 1); /* Content-Format 40 */
    at += put_text(out + at, 3 << 4 | 13, name, strlen(name));
    at += put_text(out + at, 9, "lwm2m=1.1", 9);
    memcpy(out + at, "\xff</3/0>", 7);
    return at + 7;
}

static size_t make_get(uint8_t *out) {
    size_t at = put_header(out, 1);
    return at + put_text(out + at, 0xb1, "x", 1);
}

/* Block 0 of many, of the smallest size; the next never comes. */
static size_t make_tiny_block(uint8_t *out) {
    size_t at = put_header(out, 3);
    at += put_text(out + at, 0xb2, "rd", 2);
    memcpy(out + at, "\xd1\x03\x08\xff", 4); /* Block1 0/1/16 */
    memset(out + at + 4, 'x', 16);
    return at + 20;
}

/* A block that is larger than it says. */
static size_t make_oversize_block(uint8_t *out) {
    size_t at = put_header(out, 3);
    at += put_text(out + at, 0xb2, "rd", 2);
    memcpy(out + at, "\xd1\x03\x08\xff", 4);
    memset(out + at + 4, 'x', 1300);
    return at + 1304;
}

static size_t make_hello(uint8_t *out) {
    static const uint8_t head[] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0,  0,    59,  1,
                                   0,  0,    47,   0, 0, 0, 0, 0, 0, 0, 47, 0xfe, 0xfd};
    static const uint8_t tail[] = {0, 0, 0, 4, 0xc0, 0xa8, 0, 0xff, 1, 0, 0, 0};
    memcpy(out, head, sizeof head);
    for (size_t i = 0; i < 32; i++)
        out[sizeof head + i] = (uint8_t)draw();
    memcpy(out + sizeof head + 32, tail, sizeof tail - 1);
    return sizeof head + 32 + sizeof tail - 1;
}

static size_t make_noise(uint8_t *out) {
    size_t len = 1 + draw() % 1200;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)draw();
    return len;
}

static struct {
    uint8_t bytes[8];
    size_t len;
} token;

static void read_token(const char *hex) {
    for (; token.len < sizeof token.bytes && sscanf(hex + 2 * token.len, "%2hhx", &token.bytes[token.len]) == 1;
         token.len++)
        continue;
}

/* NON 2.05, of which each is newer than the one before. */
static size_t make_notify(uint8_t *out) {
    static uint32_t number;
    number++;
    const uint8_t head[] = {(uint8_t)(0x50 | token.len), 0x45, (uint8_t)(number >> 8), (uint8_t)number};
    const uint8_t options[] = {0x63, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number, 0x60, 0xff};
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, token.bytes, token.len);
    memcpy(out + sizeof head + token.len, options, sizeof options);
    return sizeof head + token.len + sizeof options +
           (size_t)sprintf((char *)out + sizeof head + token.len + sizeof options, "%u", number);
}

static const struct {
    const char *name;
    size_t (*make)(uint8_t *out);
} kinds[] = {
    {"register", make_register},     {"get", make_get},
    {"tiny-block", make_tiny_block}, {"oversize-block", make_oversize_block},
    {"hello", make_hello},           {"noise", make_noise},
    {"notify", make_notify},
};

static uint16_t checksum(const void *data, size_t len) {
    const uint16_t *words = data;
    uint32_t sum = 0;
    for (size_t i = 0; i < len / 2; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

static bool is_over(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

int main(int argc, char **argv) {
    size_t kind = 0;
    while ((argc == 6 || argc == 8) && kind < sizeof kinds / sizeof kinds[0] && strcmp(argv[1], kinds[kind].name) != 0)
        kind++;
    if ((argc != 6 && argc != 8) || kind == sizeof kinds / sizeof kinds[0]) {
        fprintf(stderr, "usage: flood KIND ADDRESS PORT RATE COUNT [FROM TOKEN]\n");
        return 2;
    }
    uint16_t from = argc == 8 ? (uint16_t)strtoul(argv[6], NULL, 10) : 0;
    if (argc == 8)
        read_token(argv[7]);
    unsigned long rate = strtoul(argv[4], NULL, 10), count = strtoul(argv[5], NULL, 10), sent = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10))};
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (raw < 0 || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) {
        perror("flood");
        return 1;
    }
    struct packet packet = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP}};
    packet.ip.daddr = to.sin_addr.s_addr;
    packet.udp.dest = to.sin_port;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (unsigned long tick = 1; count == 0 ? !is_over() : sent < count; tick++) {
        for (; sent * 1000 < tick * rate && (count == 0 || sent < count); sent++) {
            size_t len = kinds[kind].make(packet.payload);
            packet.ip.saddr = from != 0 ? to.sin_addr.s_addr : htonl(10u << 24 | (draw() & 0xffffff));
            packet.udp.source = htons(from != 0 ? from : (uint16_t)(1024 + draw() % 60000));
            packet.udp.len = htons((uint16_t)(sizeof packet.udp + len));
            packet.ip.tot_len = htons((uint16_t)(sizeof packet.ip + sizeof packet.udp + len));
            packet.ip.check = 0;
            packet.ip.check = checksum(&packet.ip, sizeof packet.ip);
            sendto(raw, &packet, sizeof packet.ip + sizeof packet.udp + len, 0, (struct sockaddr *)&to, sizeof to);
        }
        if (tick == 1) { /* whoever waits for it can begin */
            puts("flooding");
            fflush(stdout);
        }
        next.tv_nsec += TICK_NS;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    printf("%lu\n", sent);
    return 0;
}
