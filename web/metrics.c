#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/net/tls.h"
#include "server/dtls_sessions.h"
#include "server/event_keeper.h"
#include "server/observation.h"
#include "server/queue.h"
#include "server/relay_door.h"
#include "server/trace.h"
#include "web/probes.h"
#include "web/web.h"

enum { METRICS_BYTES = 128 * 1024 }; /* with UDP_WORKERS_MAX workers */

static void describe(struct buffer *out, const char *name, const char *type, const char *help) {
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_number(struct buffer *out, const char *name, const char *type, const char *help, uint64_t value) {
    describe(out, name, type, help);
    buffer_printf(out, "%s %" PRIu64 "\n", name, value);
}

static void put_seconds(struct buffer *out, const char *name, const char *type, const char *help, double value) {
    describe(out, name, type, help);
    buffer_printf(out, "%s %.6f\n", name, value);
}

static void put_process(struct buffer *out, const struct web *web) {
    struct rusage usage = {0};
    struct mallinfo2 heap = mallinfo2();
    size_t resident = 0;
    getrusage(RUSAGE_SELF, &usage);
    uv_resident_set_memory(&resident);
    put_seconds(out, "process_cpu_seconds_total", "counter", "User and system CPU time spent.",
                (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    put_number(out, "process_resident_memory_bytes", "gauge", "Resident memory.", resident);
    put_number(out, "process_heap_bytes", "gauge", "Memory that is allocated and not free again, resident or not.",
               heap.uordblks + heap.hblkhd);
    put_number(out, "process_start_time_seconds", "gauge", "Start of the process, in Unix time.", web->started_s);
}

static void put_coap(struct buffer *out, const struct server *server) {
    struct coap_counters coap = coap_endpoint_counters(server->coap);
    struct udp_counters udp = udp_counters(server->udp);
    struct stream_counters tcp = stream_counters(server->streams);
    put_number(out, "berth_coap_messages_received_total", "counter", "CoAP messages received.", coap.messages_in);
    put_number(out, "berth_coap_messages_sent_total", "counter", "CoAP messages sent.", coap.messages_out);
    put_number(out, "berth_coap_bytes_received_total", "counter", "Bytes of CoAP messages received.", coap.bytes_in);
    put_number(out, "berth_coap_bytes_sent_total", "counter", "Bytes of CoAP messages sent.", coap.bytes_out);
    put_number(out, "berth_coap_duplicates_total", "counter", "Messages received again.", coap.duplicates);
    put_number(out, "berth_coap_malformed_total", "counter", "Messages that could not be decoded.", coap.malformed);
    put_number(out, "berth_coap_retransmissions_total", "counter", "Messages sent again.", coap.retransmissions);
    put_number(out, "berth_coap_timeouts_total", "counter", "Requests to devices without an answer.", coap.timeouts);
    put_number(out, "berth_coap_resets_received_total", "counter", "Reset messages received.", coap.resets_in);
    put_number(out, "berth_coap_resets_sent_total", "counter", "Reset messages sent.", coap.resets_out);
    put_number(out, "berth_coap_pings_total", "counter", "CoAP pings answered.", coap.pings);
    put_number(out, "berth_coap_exchanges", "gauge", "Exchanges remembered for deduplication.", coap.exchanges);
    put_number(out, "berth_coap_transfer_bytes", "gauge", "Bytes held for block-wise transfers.", coap.transfer_bytes);
    put_number(out, "berth_udp_links", "gauge", "Peer addresses in use.", udp.links);
    put_number(out, "berth_tcp_connections", "gauge", "TCP connections of devices.", tcp.connections);
    put_number(out, "berth_tcp_connections_total", "counter", "TCP connections of devices accepted.", tcp.accepted);
    put_number(out, "berth_tcp_connections_refused_total", "counter", "TCP connections beyond the limit.", tcp.refused);
    put_number(out, "berth_tcp_connections_aborted_total", "counter", "RFC 8323 connections that we have aborted.",
               coap.connections_aborted);
    put_number(out, "berth_tcp_partial_bytes", "gauge", "Bytes of messages that are not complete yet.",
               tcp.partial_bytes);
    put_number(out, "berth_udp_received_total", "counter", "Datagrams received.", udp.received);
    put_number(out, "berth_udp_sent_total", "counter", "Datagrams sent.", udp.sent);
    put_number(out, "berth_udp_send_failures_total", "counter", "Datagrams that could not be sent.", udp.send_failed);
    put_number(out, "berth_udp_dropped_total", "counter", "Datagrams that the system dropped, as nobody fetched them.",
               udp.dropped);
}

static void put_of_workers(struct buffer *out, const char *name, const char *help, const uint64_t *values,
                           size_t count) {
    describe(out, name, "counter", help);
    for (size_t i = 0; i < count; i++)
        buffer_printf(out, "%s{worker=\"%zu\"} %" PRIu64 "\n", name, i + 1, values[i]);
}

/* What each thread for datagrams has done, and what the one of the loop has taken; nothing without --workers. */
static void put_workers(struct buffer *out, const struct server *server) {
    uint64_t received[UDP_WORKERS_MAX], sent[UDP_WORKERS_MAX], dropped[UDP_WORKERS_MAX], full_in[UDP_WORKERS_MAX],
        full_out[UDP_WORKERS_MAX], cpu_us[UDP_WORKERS_MAX];
    size_t count = udp_worker_count(server->udp);
    struct rusage usage = {0};
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        struct udp_worker_counters worker = udp_counters_of_worker(server->udp, i);
        received[i] = worker.received;
        sent[i] = worker.out.sent;
        dropped[i] = worker.dropped;
        full_in[i] = worker.full_in;
        full_out[i] = worker.full_out;
        cpu_us[i] = worker.cpu_ns / 1000;
    }
    put_of_workers(out, "berth_udp_worker_received_total", "Datagrams received.", received, count);
    put_of_workers(out, "berth_udp_worker_sent_total", "Datagrams sent.", sent, count);
    put_of_workers(out, "berth_udp_worker_dropped_total", "Datagrams that the system dropped.", dropped, count);
    put_of_workers(out, "berth_udp_worker_full_arrivals_total", "Times that the loop was too slow for it.", full_in,
                   count);
    put_of_workers(out, "berth_udp_worker_full_departures_total", "Times that it was too slow for the loop.", full_out,
                   count);
    put_of_workers(out, "berth_udp_worker_cpu_microseconds_total", "CPU time of its thread.", cpu_us, count);
    getrusage(RUSAGE_THREAD, &usage);
    put_seconds(out, "berth_loop_cpu_seconds_total", "counter", "CPU time of the thread that does all the rest.",
                (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

/* What other nodes of a cluster bring. */
static void put_relayed(struct buffer *out, const struct server *server) {
    if (server->relay_door == NULL)
        return;
    struct relay_door_counters relayed = relay_door_counters(server->relay_door);
    put_number(out, "berth_relay_nodes", "gauge", "Nodes that pass on what comes to them.", relayed.channels);
    put_number(out, "berth_relay_connections_total", "counter", "Connections that came by way of other nodes.",
               relayed.connections);
    put_number(out, "berth_relay_datagrams_received_total", "counter", "Datagrams that came by way of other nodes.",
               relayed.datagrams_in);
    put_number(out, "berth_relay_datagrams_sent_total", "counter", "Datagrams that left by way of other nodes.",
               relayed.datagrams_out);
    put_number(out, "berth_relay_dropped_total", "counter", "Datagrams that another node did not take in time.",
               relayed.dropped);
    put_number(out, "berth_relay_refused_total", "counter", "Connections to --node-listen that proved no key.",
               relayed.refused);
}

static void put_tls(struct buffer *out, const struct server *server) {
    if (server->dtls_sessions != NULL)
        put_number(out, "berth_dtls_resumable_sessions", "gauge", "DTLS and TLS sessions that can be resumed by ID.",
                   dtls_sessions_resumable(server->dtls_sessions));
    if (server->tls == NULL)
        return;
    struct tls_counters tls = tls_counters(server->tls);
    put_number(out, "berth_tls_connections", "gauge", "TLS connections whose peer is proven.", tls.sessions);
    put_number(out, "berth_tls_pending_handshakes", "gauge", "TLS handshakes under way.", tls.pending);
    put_number(out, "berth_tls_handshakes_total", "counter", "TLS handshakes completed.", tls.handshakes_done);
    put_number(out, "berth_tls_resumptions_total", "counter", "Of them resumptions.", tls.handshakes_resumed);
    put_number(out, "berth_tls_failed_handshakes_total", "counter", "TLS handshakes that came to nothing.",
               tls.handshakes_failed);
    put_number(out, "berth_tls_refused_handshakes_total", "counter", "TLS handshakes not begun: too many at once.",
               tls.handshakes_refused);
}

static void put_dtls(struct buffer *out, const struct server *server) {
    if (server->dtls == NULL)
        return;
    struct dtls_counters dtls = dtls_counters(server->dtls);
    put_number(out, "berth_dtls_sessions", "gauge", "DTLS sessions.", dtls.sessions);
    put_number(out, "berth_dtls_live_sessions", "gauge", "Of them those that are not kept over a restart.", dtls.live);
    put_number(out, "berth_dtls_pending_handshakes", "gauge", "Handshakes under way.", dtls.pending);
    put_number(out, "berth_dtls_hellos_total", "counter", "ClientHellos.", dtls.hellos);
    put_number(out, "berth_dtls_handshakes_total", "counter", "Handshakes completed.", dtls.handshakes_done);
    put_number(out, "berth_dtls_resumptions_total", "counter", "Of them resumptions.", dtls.handshakes_resumed);
    put_number(out, "berth_dtls_failed_handshakes_total", "counter", "Handshakes that came to nothing.",
               dtls.handshakes_failed);
    put_number(out, "berth_dtls_refused_handshakes_total", "counter", "Handshakes not begun: too many at once.",
               dtls.handshakes_refused);
    put_number(out, "berth_dtls_records_received_total", "counter", "Records of sessions received.", dtls.records_in);
    put_number(out, "berth_dtls_records_sent_total", "counter", "Records of sessions sent.", dtls.records_out);
    put_number(out, "berth_dtls_replays_total", "counter", "Records that had come before.", dtls.replays);
    put_number(out, "berth_dtls_bad_records_total", "counter", "Records that did not verify.", dtls.bad_records);
    put_number(out, "berth_dtls_unknown_records_total", "counter", "Records of no known session.",
               dtls.unknown_records);
    put_number(out, "berth_dtls_moves_total", "counter", "Addresses that sessions moved to.", dtls.moves);
    put_number(out, "berth_credentials", "gauge", "Credentials.", credentials_count(server->credentials));
}

static void put_store(struct buffer *out, const struct server *server) {
    struct store_counters store = store_counters(server->store);
    put_number(out, "berth_store_transactions_total", "counter", "Database transactions.", store.transactions);
    put_number(out, "berth_store_failed_transactions_total", "counter", "Transactions that failed.",
               store.failed_transactions);
    put_number(out, "berth_store_writes_total", "counter", "Changes written in transactions.", store.writes);
    put_seconds(out, "berth_store_commit_seconds_total", "counter", "Time spent in transactions.",
                (double)store.commit_ns / 1e9);
    put_number(out, "berth_store_queue_writes", "gauge", "Changes that wait to be written.", store.queued_writes);
    put_number(out, "berth_store_queue_bytes", "gauge", "Bytes of changes that wait to be written.",
               store.queued_bytes);
}

static void put_queues(struct buffer *out, const struct server *server) {
    struct queue_counters queues = queue_counters(server);
    put_number(out, "berth_awake_devices", "gauge", "Devices in queue mode that are awake.", server->awake_count);
    put_number(out, "berth_queued_requests", "gauge", "Requests that wait for their devices.", queues.waiting);
    put_number(out, "berth_queue_results", "gauge", "Results of such requests that are kept.", queues.results);
    put_number(out, "berth_queue_bytes", "gauge", "Memory of both.", queues.bytes);
}

static void put_events(struct buffer *out, const struct server *server) {
    describe(out, "berth_events_total", "counter", "Events since the start.");
    for (enum event_type type = 0; type < EVENT_TYPE_COUNT; type++)
        buffer_printf(out, "berth_events_total{type=\"%s\"} %" PRIu64 "\n", event_type_name(type),
                      event_count(server->events, type));
    put_number(out, "berth_events_last", "gauge", "Number of the last event.", event_last_id(server->events));
    if (server->event_keeper != NULL)
        put_number(out, "berth_events_kept", "gauge", "Number of the last event that the next node would have.",
                   event_keeper_last_id(server->event_keeper));
}

static void add_counters(struct http_counters *sum, const struct http_counters *http) {
    sum->accepted += http->accepted;
    sum->bytes_in += http->bytes_in;
    sum->connections += http->connections;
    for (unsigned status = 0; status < sizeof sum->responses / sizeof sum->responses[0]; status++)
        sum->responses[status] += http->responses[status];
}

static void put_trace(struct buffer *out, const struct server *server) {
    if (server->trace == NULL)
        return;
    struct trace_counters trace = trace_store_counters(trace_store_of(server->trace));
    put_number(out, "berth_trace_entries_total", "counter", "Messages, handshakes and records kept.", trace.entries);
    put_number(out, "berth_trace_entries_dropped_total", "counter", "Of them gone, for want of room or by request.",
               trace.dropped);
    put_number(out, "berth_trace_bytes", "gauge", "Memory of them.", trace.bytes);
    put_number(out, "berth_trace_devices", "gauge", "Devices with a trace.", trace.devices);
    put_number(out, "berth_trace_peers", "gauge", "Addresses with a trace where no device is.", trace.peers);
}

static void put_http(struct buffer *out, const struct web *web) {
    struct http_counters sum = {.accepted = 0}, *http = &sum;
    for (size_t i = 0; i < web->server->config->http_count; i++)
        add_counters(&sum, http_counters(web->listeners[i].http));
    describe(out, "berth_http_requests_total", "counter", "HTTP requests answered.");
    for (unsigned status = 0; status < sizeof http->responses / sizeof http->responses[0]; status++)
        if (http->responses[status] > 0)
            buffer_printf(out, "berth_http_requests_total{code=\"%u\"} %" PRIu64 "\n", status, http->responses[status]);
    put_number(out, "berth_http_connections", "gauge", "HTTP connections.", http->connections);
    put_number(out, "berth_http_waiting_requests", "gauge", "Requests whose answer waits for an event or a device.",
               web->waiting);
    put_number(out, "berth_http_connections_total", "counter", "HTTP connections accepted.", http->accepted);
    put_number(out, "berth_http_received_bytes_total", "counter", "Bytes received over HTTP.", http->bytes_in);
}

void metrics_get(const struct call *call) {
    const struct server *server = call->web->server;
    uint8_t *memory = malloc(METRICS_BYTES);
    if (memory == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    struct buffer out = buffer_over(memory, METRICS_BYTES);
    describe(&out, "berth_build_info", "gauge", "1, with the version as a label.");
    buffer_put_str(&out, "berth_build_info{version=\"" BERTH_VERSION "\"} 1\n");
    put_number(&out, "berth_registered_devices", "gauge", "Devices that are registered.",
               directory_count(server->directory));
    put_number(&out, "berth_directory_bytes", "gauge", "Memory of the directory of registrations.",
               directory_bytes(server->directory));
    put_number(&out, "berth_timers", "gauge", "Protocol timers that are scheduled.", server->wheel.count);
    put_number(&out, "berth_observations", "gauge", "Observations of devices.",
               observation_counters(server).observations);
    put_number(&out, "berth_notifications_total", "counter", "Notifications received, first answers included.",
               observation_counters(server).notifications);
    put_queues(&out, server);
    put_coap(&out, server);
    put_workers(&out, server);
    put_dtls(&out, server);
    put_relayed(&out, server);
    put_tls(&out, server);
    put_events(&out, server);
    put_trace(&out, server);
    put_store(&out, server);
    put_http(&out, call->web);
    put_process(&out, call->web);
    http_respond(call->request, &(struct http_response){.status = 200,
                                                        .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                                        .body = buffer_slice(&out)});
    free(memory);
}
