#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "client/swarm_state.h"

static const char *const kind_names[SWARM_KINDS] = {
    [SWARM_HANDSHAKE] = "handshake", [SWARM_REGISTER] = "register", [SWARM_UPDATE] = "update",
    [SWARM_SEND] = "send",           [SWARM_NOTIFY] = "notify",     [SWARM_DEREGISTER] = "deregister",
    [SWARM_ANSWER] = "answer",
};

/* ---- counting ---- */

/* Requests and their answers belong to what the device is doing, other messages tell what they are. Inside of OSCORE
 * requests look like requests, and responses like responses, too. */
static enum swarm_kind kind_of(const struct swarm_device *device, bool up, struct slice message) {
    enum swarm_kind asked =
        device->is_busy || device->state == SWARM_CONNECTING ? (enum swarm_kind)device->kind : SWARM_NOTIFY;
    if (message.len < 4)
        return device->state == SWARM_CONNECTING                ? SWARM_HANDSHAKE
               : device->is_busy || device->observation != NULL ? asked
                                                                : SWARM_ANSWER;
    bool is_request = coap_code_is_request(message.data[1]), is_empty = message.data[1] == COAP_EMPTY;
    bool is_ack = (message.data[0] >> 4 & 3) == COAP_ACK;
    if (!up)
        return is_request ? SWARM_ANSWER : asked;
    if (is_request)
        return asked;
    return is_ack || is_empty ? SWARM_ANSWER : SWARM_NOTIFY;
}

void swarm_count_message(struct swarm_device *device, bool up, struct slice message, size_t wire) {
    struct swarm_figure *figure = &swarm_of(device)->figures[kind_of(device, up, message)];
    *(up ? &figure->bytes_up : &figure->bytes_down) += wire;
    ++*(up ? &figure->messages_up : &figure->messages_down);
}

void swarm_count_outcome(struct swarm *swarm, enum swarm_kind kind, uint64_t due_us, unsigned outcome, bool good) {
    struct swarm_figure *figure = &swarm->figures[kind];
    uint64_t now = swarm_now_us();
    if (figure->first_us == 0)
        figure->first_us = due_us;
    figure->last_us = now;
    figure->outcomes[outcome]++;
    if (good) {
        figure->good++;
        histogram_add(&figure->latency, now - due_us);
    } else {
        figure->failed++;
    }
}

/* ---- telling ---- */

static uint64_t resident_bytes(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t failures(const struct swarm *swarm) {
    uint64_t sum = 0;
    for (size_t i = 0; i < SWARM_KINDS; i++)
        sum += swarm->figures[i].failed;
    return sum;
}

void swarm_tell_progress(const struct swarm *swarm) {
    static const enum swarm_kind told[] = {SWARM_HANDSHAKE, SWARM_REGISTER, SWARM_UPDATE,    SWARM_SEND,
                                           SWARM_NOTIFY,    SWARM_ANSWER,   SWARM_DEREGISTER};
    bool is_terminal = isatty(STDERR_FILENO) == 1;
    fprintf(stderr, "%s%" PRIu64 " s: %zu registered, %zu under way", is_terminal ? "\r\033[K" : "",
            (swarm_now_us() - swarm->started_us) / 1000000, swarm->registered, swarm->under_way + swarm->connecting);
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        const struct swarm_figure *figure = &swarm->figures[told[i]];
        if (figure->good == 0)
            continue;
        fprintf(stderr, ", %" PRIu64 " %s", figure->good, kind_names[told[i]]);
        if (figure->latency.count > 0)
            fprintf(stderr, " (p99 %.1f ms)", (double)histogram_percentile(&figure->latency, 0.99) / 1000);
    }
    fprintf(stderr, ", %" PRIu64 " failed%s", failures(swarm), is_terminal ? "" : "\n");
    fflush(stderr);
}

static void tell_outcomes(const struct swarm_figure *figure) {
    const char *before = "";
    printf(",\"outcomes\":{");
    for (unsigned i = 0; i < 256; i++) {
        if (figure->outcomes[i] == 0)
            continue;
        printf("%s\"", before);
        if (i == 0)
            printf("done");
        else if (i == SWARM_UNSENT)
            printf("not sent");
        else if (i == SWARM_NO_SESSION)
            printf("no session");
        else if (i < 32)
            printf("%s", coap_call_result_text((enum coap_call_result)(i - SWARM_ERROR_FIRST)));
        else
            printf("%s", coap_code_text((uint8_t)i).text);
        printf("\":%" PRIu64, figure->outcomes[i]);
        before = ",";
    }
    printf("}");
}

static void tell_figure(const struct swarm_figure *figure) {
    double seconds = (double)(figure->last_us - figure->first_us) / 1e6;
    const struct histogram *latency = &figure->latency;
    printf("{\"begun\":%" PRIu64 ",\"good\":%" PRIu64 ",\"failed\":%" PRIu64, figure->begun, figure->good,
           figure->failed);
    if (seconds > 0)
        printf(",\"per_s\":%.1f", (double)(figure->good + figure->failed) / seconds);
    if (latency->count > 0)
        printf(",\"latency_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p99.9\":%.3f,\"max\":%.3f}",
               (double)histogram_percentile(latency, 0.5) / 1000, (double)histogram_percentile(latency, 0.9) / 1000,
               (double)histogram_percentile(latency, 0.99) / 1000, (double)histogram_percentile(latency, 0.999) / 1000,
               (double)latency->max / 1000);
    tell_outcomes(figure);
    printf(",\"bytes\":{\"up\":%" PRIu64 ",\"down\":%" PRIu64 "},\"messages\":{\"up\":%" PRIu64 ",\"down\":%" PRIu64
           "}}",
           figure->bytes_up, figure->bytes_down, figure->messages_up, figure->messages_down);
}

void swarm_tell_report(const struct swarm *swarm) {
    struct coap_counters coap = coap_endpoint_counters(swarm->coap);
    uint64_t memory = resident_bytes();
    const char *before = "";
    if (isatty(STDERR_FILENO) == 1)
        fputc('\n', stderr);
    printf("{\"swarm\":{\"devices\":%zu,\"transport\":\"%s\",\"oscore\":%s,\"cid\":%s,\"seconds\":%.3f,"
           "\"registered\":%zu},\"kinds\":{",
           swarm->count, link_transport_name(swarm->listener.transport),
           swarm->options->oscore.given ? "true" : "false",
           swarm->options->security.cid != DTLS_CLIENT_NO_CID ? "true" : "false",
           (double)(swarm->over_us - swarm->started_us) / 1e6, swarm->registered_most);
    for (size_t i = 0; i < SWARM_KINDS; i++) {
        const struct swarm_figure *figure = &swarm->figures[i];
        if (figure->begun == 0)
            continue;
        printf("%s\"%s\":", before, kind_names[i]);
        tell_figure(figure);
        before = ",";
    }
    printf("},\"retransmissions\":%" PRIu64 ",\"timeouts\":%" PRIu64 ",\"duplicates\":%" PRIu64
           ",\"turns_passed_over\":%" PRIu64 ",\"came_while_asleep\":%" PRIu64 ",\"moves\":%" PRIu64
           ",\"connections_lost\":%" PRIu64 ",\"memory_bytes\":%" PRIu64 ",\"memory_bytes_per_device\":%.0f}\n",
           coap.retransmissions, coap.timeouts, coap.duplicates, swarm->passed_over, swarm->slept_through, swarm->moves,
           swarm->connections_lost, memory, (double)memory / (double)swarm->count);
    fflush(stdout);
}
