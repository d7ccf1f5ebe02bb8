/* Secured devices, end to end: handshakes, Updates beside those without DTLS, what a sleeping device costs, and a restart
 * with all of them. Two berth-servers of $BERTH_BUILD, one with DTLS and one without, take turns on core 0. Prints one JSON
 * line a measurement.
 *
 * usage: dtls_updates [devices]      default: 100000 */
#include "tests/bench/dtls_devices.h"
#include "tests/bench/http_client.h"

enum { UNDER_WAY = 128, ROUNDS = 5, UPDATES = 200000, HANDSHAKES_PER_S = 3500, ECHO_BYTES = 18 };

struct load {
    struct secured_devices devices;
    bool *waiting;
    size_t under_way, done, again;
};

static void on_answer(void *arg, size_t device, struct slice bytes) {
    struct load *load = arg;
    struct coap_message answer;
    if (coap_decode(bytes, &answer) != COAP_DECODE_OK || !load->waiting[device] ||
        answer.mid != load->devices.all[device].mid)
        return;
    if (answer.code == COAP_2_01_CREATED)
        keep_location(&load->devices.all[device], &answer);
    else if (answer.code != COAP_2_04_CHANGED)
        fail("a device is refused");
    load->waiting[device] = false;
    load->under_way--;
    load->done++;
}

static void send_request(struct load *load, size_t device, enum secured_request request) {
    uint8_t bytes[DATAGRAM_MAX];
    uint16_t mid = load->devices.all[device].mid;
    send_secured(&load->devices, device, encode_secured(&load->devices, device, request, mid, bytes));
}

static void ask(struct load *load, size_t device, enum secured_request request) {
    load->devices.all[device].mid++;
    load->waiting[device] = true;
    load->under_way++;
    send_request(load, device, request);
}

/* What was lost on the way. */
static void retransmit(struct load *load, enum secured_request request) {
    for (size_t i = 0; i < load->devices.count; i++) {
        if (!load->waiting[i])
            continue;
        send_request(load, i, request);
        load->again++;
    }
}

/* `total` requests, device after device; CPU time of the server for each, in microseconds. */
static double run(struct load *load, pid_t server, enum secured_request request, size_t total) {
    uint64_t cpu = cpu_ns_of(server), last = now_ns(CLOCK_MONOTONIC);
    load->done = 0;
    for (size_t sent = 0; load->done < total;) {
        for (size_t n = 0; n < DATAGRAM_BATCH && sent < total && load->under_way < UNDER_WAY; n++, sent++)
            ask(load, sent % load->devices.count, request);
        if (turn_secured(&load->devices) > 0) {
            last = now_ns(CLOCK_MONOTONIC);
        } else if (now_ns(CLOCK_MONOTONIC) - last > 500000000) {
            retransmit(load, request);
            last = now_ns(CLOCK_MONOTONIC);
        } else {
            wait_readable(load->devices.net.fd, 10);
        }
    }
    return (double)(cpu_ns_of(server) - cpu) / (double)total / 1000;
}

static void open_load(struct load *load, uint16_t port, size_t count, bool plain) {
    open_secured(&load->devices, port, count, on_answer, load);
    load->devices.plain = plain;
    load->waiting = calloc(count, sizeof *load->waiting);
    if (load->waiting == NULL)
        fail("memory");
}

/* From the start of the program until an Update in an old session is answered. */
static double measure_restart(struct load *load, const char *const *options, pid_t *server) {
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    size_t last = load->devices.count - 1;
    *server = start_program(options, -1);
    load->done = 0;
    while (load->done == 0) {
        load->under_way = 0;
        ask(load, last, SECURED_UPDATE);
        flush(&load->devices.net, &load->devices.out);
        wait_readable(load->devices.net.fd, 1);
        turn_secured(&load->devices);
    }
    return (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
}

static double median(double *values, size_t count) {
    for (size_t i = 1; i < count; i++) {
        for (size_t k = i; k > 0 && values[k - 1] > values[k]; k--) {
            double value = values[k];
            values[k] = values[k - 1];
            values[k - 1] = value;
        }
    }
    return values[count / 2];
}

int main(int argc, char **argv) {
    static struct load plain, secured;
    char plain_data[] = "/tmp/berth-bench-XXXXXX", data[] = "/tmp/berth-bench-XXXXXX", plain_uri[64], uri[64],
         plain_http[64], web[64];
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    uint16_t port = port_for(getpid());
    pin(1);
    if (mkdtemp(plain_data) == NULL || mkdtemp(data) == NULL)
        fail("mkdtemp");
    snprintf(plain_uri, sizeof plain_uri, "coap://127.0.0.1:%u", port);
    snprintf(uri, sizeof uri, "coaps://127.0.0.1:%u", port + 1);
    snprintf(plain_http, sizeof plain_http, "http://127.0.0.1:%u", port + HTTP_PORTS);
    snprintf(web, sizeof web, "http://127.0.0.1:%u", port + HTTP_PORTS + 1);
    const char *const plain_options[] = {"--listen", plain_uri, "--http", plain_http, "--data", plain_data, NULL};
    const char *const options[] = {"--listen", uri, "--http", web, "--data", data, NULL};

    pid_t server = start_and_wait(options);
    size_t empty_bytes = resident_bytes_of(server);
    stop_process(server, SIGTERM);
    make_credentials(data, count);
    server = start_and_wait(options);
    pid_t plain_server = start_and_wait(plain_options);
    open_load(&plain, port, count, true);
    open_load(&secured, (uint16_t)(port + 1), count, false);

    uint64_t cpu = cpu_ns_of(server);
    shake_all(&secured.devices, HANDSHAKES_PER_S);
    double handshake_us = (double)(cpu_ns_of(server) - cpu) / (double)secured.devices.handshakes / 1000;
    printf("{\"bench\":\"handshakes\",\"suite\":\"TLS_PSK_WITH_AES_128_CCM_8\",\"devices\":%zu,\"cpu_us\":%.1f,"
           "\"per_s_and_core\":%.0f}\n",
           count, handshake_us, 1e6 / handshake_us);
    fflush(stdout);

    double plain_register_us = run(&plain, plain_server, SECURED_REGISTER, count);
    double register_us = run(&secured, server, SECURED_REGISTER, count);
    double plain_us[ROUNDS], update_us[ROUNDS], echo_us[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++) {
        echo_us[i] = measure_echo_ns(ECHO_BYTES, UPDATES / 2) / 1000;
        plain_us[i] = run(&plain, plain_server, SECURED_UPDATE, UPDATES);
        update_us[i] = run(&secured, server, SECURED_UPDATE, UPDATES);
    }
    double echo = median(echo_us, ROUNDS), raw = median(plain_us, ROUNDS), dtls = median(update_us, ROUNDS);
    printf("{\"bench\":\"updates\",\"devices\":%zu,\"cpu_us_dtls_cid\":%.2f,\"cpu_us_plain\":%.2f,\"cpu_us_echo\":%.2f,"
           "\"dtls_to_plain\":%.2f,\"dtls_to_echo\":%.2f,\"per_s_and_core_dtls_cid\":%.0f,"
           "\"cpu_us_registration_dtls\":%.2f,\"cpu_us_registration_plain\":%.2f,\"retransmitted\":%zu}\n",
           count, dtls, raw, echo, dtls / raw, dtls / echo, 1e6 / dtls, register_us, plain_register_us,
           plain.again + secured.again);
    fflush(stdout);

    size_t full_bytes = quiet_bytes_of(server, (uint16_t)(port + HTTP_PORTS + 1));
    size_t plain_bytes = quiet_bytes_of(plain_server, (uint16_t)(port + HTTP_PORTS));
    stop_process(server, SIGKILL);
    double restart_s = measure_restart(&secured, options, &server);
    size_t restored_bytes = resident_bytes_of(server);
    stop_process(plain_server, SIGTERM);
    plain_server = start_and_wait(plain_options);
    size_t plain_restored_bytes = resident_bytes_of(plain_server);
    printf("{\"bench\":\"sessions restored after kill -9\",\"sessions\":%zu,\"s_to_an_answer\":%.2f,"
           "\"bytes_each\":%.0f,\"bytes_each_plain\":%.0f,\"bytes_each_dtls\":%.0f,\"bytes_each_before\":%.0f,"
           "\"bytes_each_before_plain\":%.0f}\n",
           count, restart_s, (double)(restored_bytes - empty_bytes) / (double)count,
           (double)(plain_restored_bytes - empty_bytes) / (double)count,
           ((double)restored_bytes - (double)plain_restored_bytes) / (double)count,
           (double)(full_bytes - empty_bytes) / (double)count, (double)(plain_bytes - empty_bytes) / (double)count);
    stop_process(server, SIGTERM);
    stop_process(plain_server, SIGTERM);
    remove_directory(plain_data);
    remove_directory(data);
    return 0;
}
