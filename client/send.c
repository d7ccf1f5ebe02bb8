#include "client/send.h"

#include <stdlib.h>

#include "client/device.h"
#include "client/payload.h"
#include "client/request.h"

/* A Send whose answer is awaited. */
struct pending {
    struct device *device;
    size_t count;
    struct lwm2m_path paths[SEND_PATHS_MAX];
};

static void on_answer(void *arg, const struct coap_reply *reply) {
    struct pending *pending = arg;
    const struct report *report = &pending->device->report;
    pending->device->open_sends--;
    if (reply->result == COAP_CALL_REPLY && reply->message->code == COAP_2_04_CHANGED)
        report_sent(report, pending->paths, pending->count, reply->message->code);
    else
        report_send_failure(report, pending->paths, pending->count, reply);
    free(pending);
}

/* NULL, or why there is nothing that can be sent. */
static const char *collect(struct device *device, const struct send *send, struct lwm2m_nodes *nodes) {
    for (size_t i = 0; i < send->count; i++) {
        size_t before = nodes->count;
        if (!read_collect(device, &send->paths[i], nodes))
            return "there are more values than are sent at once";
        if (nodes->count == before)
            return "there is nothing to read, or a path comes twice";
    }
    for (size_t i = 0; i < nodes->count; i++) {
        nodes->nodes[i].has_time = send->has_time;
        nodes->nodes[i].time_ms = send->time_ms;
    }
    return lwm2m_nodes_arrange(nodes) ? NULL : nodes->remark;
}

static const char *post(struct device *device, const struct send *send, struct slice payload) {
    struct pending *pending = malloc(sizeof *pending);
    struct coap_message message;
    struct coap_uint format;
    if (pending == NULL)
        return "out of memory";
    *pending = (struct pending){.device = device, .count = send->count};
    memcpy(pending->paths, send->paths, send->count * sizeof send->paths[0]);
    coap_message_init(&message, COAP_CON, COAP_POST, 0, SLICE_NONE);
    destination_add_path(&device->destination, &message, "dp");
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, (uint32_t)device->options->send_format, &format);
    message.payload = payload;
    device->open_sends++;
    if (device_call(device, &message, on_answer, pending) != NULL)
        return NULL;
    device->open_sends--;
    free(pending);
    return "too much is waiting to be sent";
}

const char *send_values(struct device *device, const struct send *send) {
    static const struct lwm2m_path root = {.len = 0};
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    struct buffer payload;
    if (device->options->version < 11)
        return "LwM2M 1.0 has no Send";
    if (!registration_stands(&device->registration))
        return "there is no registration";
    if (server_object_is_muted(device_object(device, 1)))
        return "it is muted: 1/0/23 is true or not there";
    const char *problem = collect(device, send, &nodes);
    if (problem != NULL)
        return problem;
    if (!payload_encode(&device->payload, device->options->send_format, nodes.nodes, nodes.count, &root, &payload))
        return "the format of --send-format cannot tell it";
    return post(device, send, buffer_slice(&payload));
}
