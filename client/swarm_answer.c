#include <stdlib.h>

#include "client/format.h"
#include "client/payload.h"
#include "client/swarm_state.h"
#include "common/coap/option.h"
#include "common/lwm2m/text.h"

enum { PATH_TEXT_MAX = 64, BATTERY_FULL = 100, SEQUENCE_MASK = 0xffffff };

/* What a simulated device has; each is made when it is asked for. */
enum value {
    VALUE_SERVER_ID,
    VALUE_LIFETIME,
    VALUE_BINDING,
    VALUE_MAKER,
    VALUE_SERIAL,
    VALUE_BATTERY,
    VALUE_TIME,
    VALUE_TEMPERATURE
};

static const struct lwm2m_path paths[] = {
    [VALUE_SERVER_ID] = {.len = 3, .ids = {1, 0, 0}}, [VALUE_LIFETIME] = {.len = 3, .ids = {1, 0, 1}},
    [VALUE_BINDING] = {.len = 3, .ids = {1, 0, 7}},   [VALUE_MAKER] = {.len = 3, .ids = {3, 0, 0}},
    [VALUE_SERIAL] = {.len = 3, .ids = {3, 0, 2}},    [VALUE_BATTERY] = {.len = 3, .ids = {3, 0, 9}},
    [VALUE_TIME] = {.len = 3, .ids = {3, 0, 13}},     [VALUE_TEMPERATURE] = {.len = 3, .ids = {3303, 0, 5700}},
};

/* And what can be observed: a value, an instance, an object. */
static const struct lwm2m_path observable[] = {
    {.len = 3, .ids = {3, 0, 9}}, {.len = 3, .ids = {3, 0, 13}}, {.len = 3, .ids = {3303, 0, 5700}},
    {.len = 3, .ids = {1, 0, 1}}, {.len = 2, .ids = {3, 0}},     {.len = 2, .ids = {3303, 0}},
    {.len = 1, .ids = {3303}},    {.len = 1, .ids = {3}},
};

enum { VALUES = sizeof paths / sizeof paths[0], OBSERVABLE = sizeof observable / sizeof observable[0] };

static const struct lwm2m_path update_trigger = {.len = 3, .ids = {1, 0, 8}};

void swarm_put_links(const struct swarm *swarm, struct buffer *out) {
    buffer_put_str(out, "</>;rt=\"oma.lwm2m\"");
    format_put_list(swarm->options->version, out);
    buffer_put_str(out, ",</1/0>,</3/0>,</3303/0>");
}

/* Numbers move with the notifications that the device has sent, so that each tells something new. */
static struct lwm2m_value read_value(const struct swarm_device *device, enum value which, struct buffer *name) {
    const struct swarm *swarm = swarm_of(device);
    size_t number = swarm_number(device);
    uint64_t step = number + (device->observation == NULL ? 0 : device->observation->sequence);
    switch (which) {
    case VALUE_SERVER_ID:
        return lwm2m_integer(1);
    case VALUE_LIFETIME:
        return lwm2m_integer(swarm->options->lifetime_s);
    case VALUE_BINDING:
        return lwm2m_string(swarm->options->binding);
    case VALUE_MAKER:
        return lwm2m_string("Berth");
    case VALUE_SERIAL:
        swarm_put_name(swarm, number, name);
        return lwm2m_bytes(LWM2M_STRING, buffer_slice(name));
    case VALUE_BATTERY:
        return lwm2m_integer(BATTERY_FULL - (int64_t)(step % BATTERY_FULL));
    case VALUE_TIME:
        return lwm2m_time((int64_t)(clock_now_ms(&swarm->clock) / 1000));
    case VALUE_TEMPERATURE:
        break;
    }
    return (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 20 + (double)(step % 100) / 10};
}

static bool collect(const struct swarm_device *device, const struct lwm2m_path *path, struct lwm2m_nodes *nodes,
                    struct buffer *name) {
    for (size_t i = 0; i < VALUES; i++) {
        if (lwm2m_path_contains(path, &paths[i]))
            lwm2m_nodes_add(nodes, &paths[i], read_value(device, (enum value)i, name));
    }
    return nodes->count > 0;
}

static bool encode(const struct swarm_device *device, const struct lwm2m_path *path, int format, struct buffer *out) {
    struct lwm2m_node memory[VALUES];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, VALUES);
    uint8_t bytes[OPTIONS_ENDPOINT_MAX + 1];
    struct buffer name = buffer_over(bytes, sizeof bytes);
    const struct lwm2m_encode_context context = {.base = *path};
    return collect(device, path, &nodes, &name) && lwm2m_encode(format, nodes.nodes, nodes.count, &context, out);
}

bool swarm_put_values(struct swarm_device *device, int format, struct buffer *out) {
    static const struct lwm2m_path root = {.len = 0};
    struct lwm2m_node memory[2];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, 2);
    const struct lwm2m_encode_context context = {.base = root};
    lwm2m_nodes_add(&nodes, &paths[VALUE_BATTERY], read_value(device, VALUE_BATTERY, NULL));
    lwm2m_nodes_add(&nodes, &paths[VALUE_TEMPERATURE], read_value(device, VALUE_TEMPERATURE, NULL));
    return lwm2m_encode(format, nodes.nodes, nodes.count, &context, out);
}

/* ---- observing ---- */

void swarm_forget_observation(struct swarm_device *device) {
    const struct swarm *swarm = swarm_of(device);
    if (device->observation == NULL)
        return;
    if (swarm->coap != NULL && swarm_link_is_ready(device))
        coap_notify_forget(swarm->coap, swarm_link_peer(device), device);
    free(device->observation);
    device->observation = NULL;
}

/* One at a time, as little as a load needs; another one takes its place. */
static bool observe(struct swarm_device *device, const struct coap_message *message, size_t path) {
    const struct coap_option *option = coap_option_find(message, COAP_OSCORE);
    swarm_forget_observation(device);
    device->observation = memory_or_exit(calloc(1, sizeof *device->observation));
    struct swarm_observation *observation = device->observation;
    observation->path = (uint8_t)path;
    observation->token_len = (uint8_t)message->token.len;
    if (message->token.len > 0)
        memcpy(observation->token, message->token.data, message->token.len);
    if (option != NULL && option->value.len <= sizeof observation->option) {
        observation->option_len = (uint8_t)option->value.len;
        if (option->value.len > 0)
            memcpy(observation->option, option->value.data, option->value.len);
    }
    return true;
}

/* What an Observe option of a GET asks for; true: the answer has one, too. */
static bool take_observe(struct swarm_device *device, const struct coap_message *message,
                         const struct lwm2m_path *path) {
    uint32_t value;
    if (!coap_option_uint(message, COAP_OBSERVE, &value))
        return false;
    for (size_t i = 0; i < OBSERVABLE; i++) {
        if (!lwm2m_path_equal(path, &observable[i]))
            continue;
        if (value == 0)
            return observe(device, message, i);
        if (device->observation != NULL && device->observation->path == i)
            swarm_forget_observation(device);
    }
    return false;
}

static void on_told(void *arg, enum coap_notify_result result) {
    struct swarm_device *device = arg;
    struct swarm *swarm = swarm_of(device);
    if (device->observation == NULL)
        return;
    device->observation->waits = false;
    if (result == COAP_NOTIFY_ACKNOWLEDGED)
        return;
    swarm->figures[SWARM_NOTIFY].failed++;
    swarm->figures[SWARM_NOTIFY]
        .outcomes[SWARM_ERROR_FIRST + (unsigned)(result == COAP_NOTIFY_RESET ? COAP_CALL_RESET : COAP_CALL_NO_ACK)]++;
    swarm_forget_observation(device);
}

/* A NON in a datagram is sent by ourselves: the endpoint would keep its Message ID for minutes, many for each device. */
static bool send_plain(struct swarm_device *device, struct coap_message *message) {
    struct link *link = &device->link;
    uint8_t bytes[COAP_MESSAGE_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    message->mid = device->observation->mid = link->next_mid++;
    return coap_encode(message, &out) && link_send(link, buffer_slice(&out)) == 0;
}

static bool send_by_endpoint(struct swarm_device *device, const struct coap_message *message) {
    struct swarm *swarm = swarm_of(device);
    struct swarm_observation *observation = device->observation;
    const struct lwm2m_path *path = &observable[observation->path];
    struct coap_message request;
    uint8_t segments[LWM2M_PATH_IDS][8];
    coap_message_init(&request, COAP_CON, COAP_GET, 0, SLICE_NONE);
    for (size_t i = 0; i < path->len; i++) {
        struct buffer segment = buffer_over(segments[i], sizeof segments[i]);
        buffer_put_decimal(&segment, path->ids[i]);
        coap_option_add(&request, COAP_URI_PATH, buffer_slice(&segment));
    }
    if (device->channel != NULL)
        coap_option_add(&request, COAP_OSCORE, slice_of(observation->option, observation->option_len));
    observation->waits = message->type == COAP_CON && swarm->streams == NULL;
    return coap_notify(swarm->coap, swarm_link_peer(device), message, &request, message->type, on_told, device);
}

bool swarm_notify(struct swarm_device *device) {
    struct swarm *swarm = swarm_of(device);
    struct swarm_observation *observation = device->observation;
    if (observation == NULL || observation->waits || !swarm_link_is_ready(device))
        return false;
    const struct lwm2m_path *path = &observable[observation->path];
    int format = path->len == 3                 ? LWM2M_FORMAT_TEXT
                 : swarm->options->version < 11 ? LWM2M_FORMAT_TLV
                                                : LWM2M_FORMAT_SENML_CBOR;
    struct buffer payload = workspace_take(&swarm->payload, SWARM_PAYLOAD_MAX);
    struct coap_message message;
    struct coap_uint sequence, content_format;
    observation->sequence = (observation->sequence + 1) & SEQUENCE_MASK;
    coap_message_init(&message, swarm->options->notify_con ? COAP_CON : COAP_NON, COAP_2_05_CONTENT, 0,
                      slice_of(observation->token, observation->token_len));
    coap_option_add_uint(&message, COAP_OBSERVE, observation->sequence, &sequence);
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, (uint32_t)format, &content_format);
    if (!encode(device, path, format, &payload))
        return false;
    message.payload = buffer_slice(&payload);
    bool is_plain = message.type == COAP_NON && swarm->net != NULL && device->channel == NULL;
    return is_plain ? send_plain(device, &message) : send_by_endpoint(device, &message);
}

/* ---- requests ---- */

static void put_path(struct buffer *out, const struct coap_message *message) {
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number != COAP_URI_PATH)
            continue;
        buffer_put_u8(out, '/');
        buffer_put_slice(out, message->options[i].value);
    }
}

static bool exists(const struct lwm2m_path *path) {
    for (size_t i = 0; i < VALUES; i++) {
        if (lwm2m_path_contains(path, &paths[i]))
            return true;
    }
    return false;
}

static void put_discovered(const struct lwm2m_path *path, struct buffer *out) {
    const char *before = "<";
    for (size_t i = 0; i < VALUES; i++) {
        if (!lwm2m_path_contains(path, &paths[i]))
            continue;
        buffer_put_str(out, before);
        lwm2m_path_put(out, &paths[i]);
        buffer_put_u8(out, '>');
        before = ",<";
    }
}

/* As the one device has it (client/read.c). */
static int default_format(const struct swarm *swarm, const struct lwm2m_path *path) {
    if (path->len == 3)
        return LWM2M_FORMAT_TEXT;
    return swarm->options->version < 12 ? LWM2M_FORMAT_TLV : LWM2M_FORMAT_LWM2M_CBOR;
}

static void answer_read(struct swarm_device *device, const struct coap_request *request,
                        const struct lwm2m_path *path) {
    struct swarm *swarm = swarm_of(device);
    struct buffer payload = workspace_take(&swarm->payload, SWARM_PAYLOAD_MAX);
    struct coap_message response;
    struct coap_uint sequence, content_format;
    uint32_t accept;
    int format = coap_option_uint(request->message, COAP_ACCEPT, &accept) ? (int)accept : default_format(swarm, path);
    if (format == COAP_FORMAT_LINK)
        put_discovered(path, &payload);
    else if (!encode(device, path, format, &payload)) {
        coap_respond_code(swarm->coap, request->exchange, COAP_4_06_NOT_ACCEPTABLE, NULL);
        return;
    }
    coap_message_init(&response, COAP_ACK, COAP_2_05_CONTENT, 0, SLICE_NONE);
    if (format != COAP_FORMAT_LINK && take_observe(device, request->message, path))
        coap_option_add_uint(&response, COAP_OBSERVE, device->observation->sequence, &sequence);
    coap_option_add_uint(&response, COAP_CONTENT_FORMAT, (uint32_t)format, &content_format);
    response.payload = buffer_slice(&payload);
    coap_respond(swarm->coap, request->exchange, &response);
}

void swarm_answer(struct swarm_device *device, const struct coap_request *request) {
    struct swarm *swarm = swarm_of(device);
    uint8_t bytes[PATH_TEXT_MAX];
    struct buffer text = buffer_over(bytes, sizeof bytes);
    struct lwm2m_path path;
    uint8_t method = request->message->code;
    put_path(&text, request->message);
    swarm->figures[SWARM_ANSWER].begun++;
    swarm->figures[SWARM_ANSWER].good++;
    if (text.overflow || !lwm2m_path_parse(buffer_slice(&text), &path, NULL)) {
        coap_respond_code(swarm->coap, request->exchange, COAP_4_04_NOT_FOUND, NULL);
    } else if (method == COAP_POST && lwm2m_path_equal(&path, &update_trigger)) {
        coap_respond_code(swarm->coap, request->exchange, COAP_2_04_CHANGED, NULL);
        swarm_update(device);
    } else if (!exists(&path)) {
        coap_respond_code(swarm->coap, request->exchange, COAP_4_04_NOT_FOUND, NULL);
    } else if (method == COAP_GET && path.len > 0) {
        answer_read(device, request, &path);
    } else {
        coap_respond_code(swarm->coap, request->exchange, COAP_4_05_METHOD_NOT_ALLOWED,
                          "a simulated device keeps nothing that is written");
    }
}
