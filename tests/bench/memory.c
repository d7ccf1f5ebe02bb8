/* What one more device that sleeps costs in memory, in all: what a server holds of `devices` that have registered and said
 * nothing for five minutes, above what another one holds of a hundredth of them, divided by the difference. With DTLS, in
 * the process that made the handshakes itself, and after a restart; and without DTLS. The rings of events and messages are
 * kept small, as they are bounded and the same for any number of devices (--event-memory, --trace). Prints one JSON line,
 * and fails when a device costs more than the aims, unless the number of devices is another.
 *
 * usage: memory [devices]      default: 100000 */
#include "tests/bench/http_client.h"
#include "tests/bench/registering.h"

enum { HANDSHAKES_PER_S = 4000, DEVICES = 100000, FEW = 100 /* one of so many */ };

/* Bytes a device. */
enum { AIM_SECURED = 1000, AIM_PLAIN = 600 };

struct held {
    double fresh, restored; /* bytes */
    double restart_s;
    uint64_t handshakes; /* more than devices: on a busy machine some were begun anew */
};

static struct held serve(size_t count, uint16_t port, bool plain) {
    static struct registering load;
    char data[] = "/tmp/berth-bench-XXXXXX", listen[64], web[64];
    struct held held;
    if (mkdtemp(data) == NULL)
        fail("mkdtemp");
    snprintf(listen, sizeof listen, "%s://127.0.0.1:%u", plain ? "coap" : "coaps", port);
    snprintf(web, sizeof web, "http://127.0.0.1:%u", port + HTTP_PORTS);
    const char *const options[] = {"--listen", listen, "--http",         web,   "--data", data,
                                   "--trace",  "off",  "--event-memory", "64k", NULL};

    pid_t server = start_and_wait(options);
    stop_process(server, SIGTERM);
    if (!plain)
        make_credentials(data, count);
    server = start_and_wait(options);
    open_registering(&load, port, count);
    load.devices.plain = plain;
    if (!plain)
        shake_all(&load.devices, HANDSHAKES_PER_S);
    register_all(&load);
    held.handshakes = load.devices.handshakes + load.devices.failures;
    close_registering(&load);

    held.fresh = (double)quiet_bytes_of(server, (uint16_t)(port + HTTP_PORTS));

    stop_process(server, SIGTERM);
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    server = start_and_wait(options);
    held.restart_s = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
    held.restored = (double)resident_bytes_of(server);

    stop_process(server, SIGTERM);
    remove_directory(data);
    return held;
}

/* A device's bytes. */
static struct held measure(size_t count, uint16_t port, bool plain) {
    struct held few = serve(count / FEW, port, plain), all = serve(count, port, plain);
    double more = (double)(count - count / FEW);
    all.fresh = (all.fresh - few.fresh) / more;
    all.restored = (all.restored - few.restored) / more;
    return all;
}

int main(int argc, char **argv) {
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : DEVICES;
    uint16_t port = port_for(getpid());
    pin(1);
    struct held plain = measure(count, port, true), secured = measure(count, port, false);
    printf(
        "{\"bench\":\"memory of a sleeping device\",\"devices\":%zu,\"bytes_each\":%.0f,\"bytes_each_restored\":%.0f,"
        "\"restart_s\":%.2f,\"bytes_each_dtls\":%.0f,\"bytes_each_dtls_restored\":%.0f,\"restart_s_dtls\":%.2f,"
        "\"handshakes\":%llu,\"aim\":%d,\"aim_dtls\":%d}\n",
        count, plain.fresh, plain.restored, plain.restart_s, secured.fresh, secured.restored, secured.restart_s,
        (unsigned long long)secured.handshakes, AIM_PLAIN, AIM_SECURED);
    return count == DEVICES && (plain.fresh > AIM_PLAIN || secured.fresh > AIM_SECURED) ? 1 : 0;
}
