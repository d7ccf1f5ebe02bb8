/* kill -9 under DTLS, again and again: devices with connection IDs update, send, move and make new sessions, while the
 * server is killed at any moment and started anew. After each start everything that was sent before is sent once more,
 * byte for byte, by somebody who recorded it. On the wire is seen that
 *
 *  - no record of the server's uses a number twice with a key (the nonce of AEAD suites),
 *  - no request that was answered is answered once more: its record is not accepted a second time,
 *  - every device goes on in its session, but those whose first message in it was not answered yet,
 *  - what was acknowledged is there: an Update finds its registration.
 *
 * Prints one JSON line; ends with 1 when any of it is not so.
 *
 * usage: dtls_crash [kills [exchanges [devices [seed]]]]      default: 800 50000 200, and a random seed */
#include "tests/bench/dtls_devices.h"

enum {
    UNDER_WAY = 32,
    RECORDED_MAX = 16384,
    NUMBERS_MAX = 1 << 22, /* of a session; each start takes a thousand */
    PATIENCE_S = 10,
    ADDRESSES = 4, /* of a device */
};

struct recorded {
    size_t device, len;
    uint8_t bytes[512];
};

struct asked {
    bool waiting, is_new; /* is_new: nothing was answered in its session yet */
    enum secured_request request;
    uint16_t mid;
};

struct crash {
    struct secured_devices devices;
    uint64_t random;
    size_t count;
    struct asked *asked;
    uint8_t **numbers; /* of each device's session: a bit for each record number that came */
    struct recorded *recorded;
    size_t recorded_count, waiting;
    uint64_t exchanges, records, again, accepted_twice, number_twice, refused, in_window, lost;
};

static uint64_t draw(struct crash *crash, uint64_t below) {
    crash->random ^= crash->random << 13;
    crash->random ^= crash->random >> 7;
    crash->random ^= crash->random << 17;
    return crash->random % below;
}

/* ---- the wire ---- */

static void on_sent(void *arg, size_t device, struct slice datagram) {
    struct crash *crash = arg;
    if (crash->recorded_count == RECORDED_MAX || datagram.len > sizeof crash->recorded[0].bytes)
        return;
    struct recorded *recorded = &crash->recorded[crash->recorded_count++];
    recorded->device = device;
    recorded->len = datagram.len;
    memcpy(recorded->bytes, datagram.data, datagram.len);
}

static void note_number(struct crash *crash, size_t device, uint64_t number) {
    if (number >= NUMBERS_MAX)
        fail("more record numbers than this program counts");
    uint8_t *byte = &crash->numbers[device][number / 8], bit = (uint8_t)(1 << number % 8);
    crash->records++;
    if ((*byte & bit) != 0) {
        fprintf(stderr, "dtls_crash: device %zu got number %llu twice\n", device, (unsigned long long)number);
        crash->number_twice++;
    }
    *byte |= bit;
}

static void on_received(void *arg, size_t device, struct slice datagram) {
    struct crash *crash = arg;
    struct record_header header;
    /* A ServerHello: from here on other keys. */
    if (crash->devices.all[device].shaking > 0 && datagram.len > 0 && datagram.data[0] == RECORD_HANDSHAKE)
        memset(crash->numbers[device], 0, NUMBERS_MAX / 8);
    while (record_read_header(datagram, 0, &header)) {
        if (header.epoch > 0)
            note_number(crash, device, header.number);
        datagram = slice_from(datagram, header.header_len + header.len);
    }
}

static void on_answer(void *arg, size_t index, struct slice bytes) {
    struct crash *crash = arg;
    struct secured_device *device = &crash->devices.all[index];
    struct asked *asked = &crash->asked[index];
    struct coap_message answer;
    if (coap_decode(bytes, &answer) != COAP_DECODE_OK || answer.type != COAP_ACK)
        return;
    if (!asked->waiting || answer.mid != asked->mid) {
        fprintf(stderr, "dtls_crash: device %zu got a second answer to message %u\n", index, answer.mid);
        crash->accepted_twice++;
        return;
    }
    asked->waiting = asked->is_new = false;
    crash->waiting--;
    crash->exchanges++;
    if (asked->request == SECURED_REGISTER && answer.code == COAP_2_01_CREATED)
        keep_location(device, &answer);
    else if (asked->request == SECURED_REGISTER || answer.code != COAP_2_04_CHANGED) {
        fprintf(stderr, "dtls_crash: device %zu was answered %u.%02u\n", index, answer.code >> 5, answer.code & 31u);
        crash->refused++;
    }
}

/* ---- what devices do ---- */

static void send_asked(struct crash *crash, size_t device) {
    uint8_t bytes[DATAGRAM_MAX];
    const struct asked *asked = &crash->asked[device];
    send_secured(&crash->devices, device, encode_secured(&crash->devices, device, asked->request, asked->mid, bytes));
}

static void ask(struct crash *crash, size_t device, enum secured_request request) {
    struct asked *asked = &crash->asked[device];
    asked->waiting = true;
    asked->request = request;
    asked->mid = ++crash->devices.all[device].mid;
    crash->waiting++;
    send_asked(crash, device);
}

static void do_something(struct crash *crash, size_t device) {
    struct secured_device *d = &crash->devices.all[device];
    struct asked *asked = &crash->asked[device];
    if (asked->waiting || d->shaking > 0)
        return;
    uint64_t what = draw(crash, 100);
    if (!d->has_session || (what < 3 && !asked->is_new)) {
        asked->is_new = shake(&crash->devices, device);
        return;
    }
    if (what < 10)
        d->address = (uint16_t)draw(crash, ADDRESSES);
    if (d->location[0] == '\0' || what > 97)
        ask(crash, device, SECURED_REGISTER);
    else
        ask(crash, device, what < 60 ? SECURED_UPDATE : what < 85 ? SECURED_UPDATE_LIFETIME : SECURED_SEND);
}

static void turn(struct crash *crash) {
    if (turn_secured(&crash->devices) == 0)
        wait_readable(crash->devices.net.fd, 1);
    shake_late_ones(&crash->devices);
}

/* Until so many answers came. The last device only keeps order. */
static void work(struct crash *crash, uint64_t answers) {
    uint64_t end = crash->exchanges + answers, patience = now_ns(CLOCK_MONOTONIC) + PATIENCE_S * 1000000000ull;
    while (crash->exchanges < end) {
        for (size_t i = 0; i < crash->count; i++) {
            if (crash->asked[i].is_new && crash->devices.all[i].has_session && !crash->asked[i].waiting)
                do_something(crash, i);
        }
        for (size_t tries = 0; tries < UNDER_WAY && crash->waiting < UNDER_WAY; tries++)
            do_something(crash, draw(crash, crash->count - 1));
        uint64_t before = crash->exchanges;
        turn(crash);
        if (crash->exchanges > before)
            patience = now_ns(CLOCK_MONOTONIC) + PATIENCE_S * 1000000000ull;
        if (now_ns(CLOCK_MONOTONIC) > patience)
            fail("nothing is answered any more");
    }
}

static bool wait_for_all(struct crash *crash) {
    uint64_t patience = now_ns(CLOCK_MONOTONIC) + PATIENCE_S * 1000000000ull;
    while (crash->waiting > 0 && now_ns(CLOCK_MONOTONIC) < patience)
        turn(crash);
    return crash->waiting == 0;
}

/* The last device's Update is committed behind everything that came before it. */
static void keep_order(struct crash *crash) {
    size_t last = crash->count - 1;
    uint64_t patience = now_ns(CLOCK_MONOTONIC) + PATIENCE_S * 1000000000ull;
    ask(crash, last, SECURED_UPDATE_LIFETIME);
    while (crash->asked[last].waiting && now_ns(CLOCK_MONOTONIC) < patience)
        turn(crash);
    if (crash->asked[last].waiting)
        fail("a device has to handshake again");
}

/* ---- what happens to the server ---- */

/* Somebody sends once more what was sent to the last server, in any order, some of it from elsewhere. */
static void send_again(struct crash *crash) {
    size_t count = crash->recorded_count;
    crash->devices.sent = NULL;
    for (size_t i = 0; i < count; i++) {
        struct recorded *other = &crash->recorded[i + draw(crash, count - i)], recorded = *other;
        size_t address = recorded.device + crash->count * (draw(crash, 4) == 0 ? ADDRESSES : draw(crash, ADDRESSES));
        *other = crash->recorded[i];
        post(&crash->devices.net, &crash->devices.out, address, slice_of(recorded.bytes, recorded.len));
        crash->again++;
        if (i % DATAGRAM_BATCH == 0)
            turn(crash);
    }
    crash->devices.sent = on_sent;
    crash->recorded_count = 0;
}

/* A handshake that was not answered to its end is the device's to begin anew, and so is a session in which nothing was
 * answered. */
static void forget_unproven(struct crash *crash) {
    for (size_t i = 0; i < crash->count; i++) {
        struct secured_device *device = &crash->devices.all[i];
        struct asked *asked = &crash->asked[i];
        if (device->shaking > 0) {
            crash->devices.shaking[device->shaking - 1].busy = false;
            crash->devices.shaking_count--;
            device->shaking = 0;
            device->has_session = false;
        }
        if (!asked->is_new)
            continue;
        crash->in_window += device->has_session;
        device->has_session = false;
        crash->waiting -= asked->waiting;
        if (asked->waiting && asked->request == SECURED_REGISTER)
            device->location[0] = '\0'; /* it may have another one by now */
        asked->waiting = asked->is_new = false;
    }
}

static void retransmit(struct crash *crash) {
    for (size_t i = 0; i < crash->count; i++) {
        if (crash->asked[i].waiting)
            send_asked(crash, i);
    }
    if (wait_for_all(crash))
        return;
    for (size_t i = 0; i < crash->count; i++) {
        struct asked *asked = &crash->asked[i];
        if (!asked->waiting)
            continue;
        fprintf(stderr, "dtls_crash: device %zu has to handshake again\n", i);
        crash->lost++;
        crash->devices.all[i].has_session = asked->waiting = false;
    }
    crash->waiting = 0;
}

static void take_what_came(struct crash *crash) {
    while (turn_secured(&crash->devices) > 0)
        ;
}

static uint64_t argument(int argc, char **argv, int number, uint64_t otherwise) {
    return argc > number ? strtoull(argv[number], NULL, 10) : otherwise;
}

int main(int argc, char **argv) {
    static struct crash crash;
    char data[] = "/tmp/berth-bench-XXXXXX", listen[64];
    uint64_t kills = argument(argc, argv, 1, 800), exchanges = argument(argc, argv, 2, 50000), seed;
    crash.count = argument(argc, argv, 3, 200);
    random_bytes(&seed, sizeof seed);
    seed = argument(argc, argv, 4, seed);
    crash.random = seed | 1;
    crash.asked = calloc(crash.count, sizeof *crash.asked);
    crash.numbers = calloc(crash.count, sizeof *crash.numbers);
    crash.recorded = calloc(RECORDED_MAX, sizeof *crash.recorded);
    if (mkdtemp(data) == NULL || crash.asked == NULL || crash.numbers == NULL || crash.recorded == NULL)
        fail("memory");
    for (size_t i = 0; i < crash.count; i++) {
        crash.numbers[i] = calloc(NUMBERS_MAX / 8, 1);
        if (crash.numbers[i] == NULL)
            fail("memory");
    }
    uint16_t port = port_for(getpid());
    snprintf(listen, sizeof listen, "coaps://127.0.0.1:%u", port);
    const char *const options[] = {"--listen", listen, "--http", "off", "--data", data, "--log-level", "error", NULL};
    make_credentials(data, crash.count);
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    pid_t server = start_and_wait(options);
    open_secured(&crash.devices, port, crash.count, on_answer, &crash);
    crash.devices.sent = on_sent;
    crash.devices.received = on_received;
    shake_all(&crash.devices, 2000);
    for (size_t i = 0; i < crash.count; i++) {
        ask(&crash, i, SECURED_REGISTER);
        if (i % UNDER_WAY == 0 && !wait_for_all(&crash))
            fail("a registration is not answered");
    }
    if (!wait_for_all(&crash))
        fail("a registration is not answered");

    for (uint64_t i = 0; i < kills; i++) {
        work(&crash, draw(&crash, 2 * exchanges / kills + 1));
        stop_process(server, SIGKILL);
        take_what_came(&crash);
        forget_unproven(&crash);
        server = start_and_wait(options);
        send_again(&crash);
        keep_order(&crash);
        retransmit(&crash);
    }
    work(&crash, crash.exchanges < exchanges ? exchanges - crash.exchanges : 0);
    wait_for_all(&crash);
    stop_process(server, SIGTERM);
    printf(
        "{\"bench\":\"dtls crash\",\"kills\":%llu,\"exchanges\":%llu,\"devices\":%zu,\"records_down\":%llu,"
        "\"datagrams_sent_again\":%llu,\"handshakes\":%llu,\"numbers_used_twice\":%llu,\"records_accepted_twice\":%llu,"
        "\"sessions_lost\":%llu,\"sessions_lost_before_an_answer\":%llu,\"refused\":%llu,\"s\":%.1f,\"seed\":%llu}\n",
        (unsigned long long)kills, (unsigned long long)crash.exchanges, crash.count, (unsigned long long)crash.records,
        (unsigned long long)crash.again, (unsigned long long)crash.devices.handshakes,
        (unsigned long long)crash.number_twice, (unsigned long long)crash.accepted_twice,
        (unsigned long long)crash.lost, (unsigned long long)crash.in_window, (unsigned long long)crash.refused,
        (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9, (unsigned long long)seed);
    close_secured(&crash.devices);
    remove_directory(data);
    return crash.number_twice + crash.accepted_twice + crash.lost + crash.refused > 0;
}
