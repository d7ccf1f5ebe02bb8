#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/security.h"
#include "client/swarm_state.h"
#include "common/net/record.h"

enum {
    DATAGRAM_MAX = 2048, /* that we send */
    EPOCH_2020_MS = 1577836800,
};

/* ---- messages of ours ---- */

static struct slice seal(struct swarm_device *device, struct slice message, struct buffer *out) {
    if (device->keys == NULL)
        return message;
    return record_seal(device->keys, RECORD_APPLICATION_DATA, message, out) == RECORD_SEALED ? buffer_slice(out)
                                                                                             : SLICE_NONE;
}

static int on_send(struct link *link, struct slice message) {
    struct swarm_device *device = (struct swarm_device *)(void *)link;
    struct swarm *swarm = swarm_of(device);
    uint8_t bytes[DATAGRAM_MAX];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    if (swarm->listener.transport == LINK_DTLS && device->keys == NULL)
        return -ENOTCONN;
    struct slice datagram = seal(device, message, &memory);
    if (datagram.len == 0)
        return -EIO;
    device->active_ms = clock_now_ms(&swarm->clock);
    swarm_count_message(device, true, message, datagram.len);
    return swarm_net_send(swarm->net, swarm_number(device), datagram);
}

static void on_release(struct link *link) {
    (void)link; /* a part of its device */
}

static const struct link_ops device_link_ops = {.send = on_send, .release = on_release};

/* ---- messages of the server's ---- */

static void take_message(struct swarm_device *device, struct link *link, struct slice message) {
    struct swarm *swarm = swarm_of(device);
    struct swarm_observation *observation = device->observation;
    device->active_ms = clock_now_ms(&swarm->clock);
    if (observation != NULL && link->framing == LINK_DATAGRAM && message.len == 4 &&
        message.data[0] >> 4 == (4 | COAP_RST) && (message.data[2] << 8 | message.data[3]) == observation->mid)
        swarm_forget_observation(device); /* RFC 7641 §3.6 */
    swarm->receiving = device;
    coap_receive(swarm->coap, link, message);
    swarm->receiving = NULL;
}

bool swarm_is_asleep(const struct swarm_device *device) {
    const struct swarm *swarm = swarm_of(device);
    return swarm->options->queue && !device->is_busy && device->state == SWARM_IDLE &&
           clock_now_ms(&swarm->clock) - device->active_ms > swarm->options->awake_ms;
}

static void settle(struct swarm_shaking *shaking);

static void on_datagram(void *arg, size_t number, uint8_t *datagram, size_t len) {
    struct swarm *swarm = arg;
    struct swarm_device *device = &swarm->devices[number];
    struct record record = {.content = slice_of(datagram, len)};
    clock_update(&swarm->clock);
    if (device->shaking > 0) {
        struct swarm_shaking *shaking = &swarm->shaking[device->shaking - 1];
        dtls_client_receive(shaking->client, datagram, len);
        settle(shaking);
        return;
    }
    if (swarm_is_asleep(device)) {
        swarm->slept_through++;
        return;
    }
    size_t used;
    if (swarm->listener.transport == LINK_DTLS &&
        (device->keys == NULL || record_open(device->keys, datagram, len, &record, &used) != RECORD_CONTENT ||
         record.type != RECORD_APPLICATION_DATA))
        return;
    swarm_count_message(device, false, record.content, len);
    take_message(device, &device->link, record.content);
}

/* ---- sessions ---- */

static void free_shaking(struct swarm_shaking *shaking) {
    struct swarm_device *device = &shaking->swarm->devices[shaking->device];
    dtls_client_free(shaking->client);
    shaking->client = NULL;
    device->shaking = 0;
    shaking->swarm->connecting--;
}

static void count_handshake(struct swarm_shaking *shaking) {
    struct dtls_client_description description;
    struct swarm_figure *figure = &shaking->swarm->figures[SWARM_HANDSHAKE];
    dtls_client_describe(shaking->client, &description);
    figure->bytes_up += description.traffic.handshake_out;
    figure->bytes_down += description.traffic.handshake_in;
    figure->messages_up += description.traffic.handshake_datagrams_out;
    figure->messages_down += description.traffic.handshake_datagrams_in;
}

/* Take the keys of a handshake that has come to its end, and leave its client to the next one. */
static void settle(struct swarm_shaking *shaking) {
    struct dtls_keys keys;
    if (shaking->client == NULL)
        return;
    struct swarm_device *device = &shaking->swarm->devices[shaking->device];
    if (shaking->has_failed) {
        free_shaking(shaking);
        swarm_unreachable(device);
    } else if (dtls_client_give_keys(shaking->client, &keys)) {
        count_handshake(shaking);
        free_shaking(shaking);
        device->keys = memory_or_exit(malloc(sizeof *device->keys));
        *device->keys = keys;
        swarm_connected(device);
    }
}

void swarm_link_settle(struct swarm *swarm) {
    for (size_t i = 0; i < SWARM_SHAKING_MAX && swarm->listener.transport == LINK_DTLS; i++)
        settle(&swarm->shaking[i]);
}

static int on_handshake_send(void *arg, struct slice datagram) {
    const struct swarm_shaking *shaking = arg;
    return swarm_net_send(shaking->swarm->net, shaking->device, datagram);
}

static void on_handshake_receive(void *arg, struct link *link, struct slice message) {
    (void)arg, (void)link, (void)message; /* nobody has been asked anything yet */
}

static void on_handshake_failed(void *arg, const struct dtls_failure *failure) {
    struct swarm_shaking *shaking = arg;
    (void)failure;
    shaking->has_failed = true;
}

/* `%` in the identity stands for the device's name. */
static struct slice identity_of(const struct swarm *swarm, size_t device, struct buffer *out) {
    struct slice given = swarm->security.client.identity;
    for (size_t i = 0; i < given.len; i++) {
        if (given.data[i] == '%')
            swarm_put_name(swarm, device, out);
        else
            buffer_put_u8(out, given.data[i]);
    }
    return buffer_slice(out);
}

static struct dtls_client_params params_of(const struct swarm *swarm, size_t device, struct buffer *memory) {
    struct dtls_client_params params = swarm->security.client;
    params.identity = identity_of(swarm, device, memory);
    return params;
}

static bool shake(struct swarm *swarm, struct swarm_device *device) {
    static const struct dtls_client_handlers handlers = {
        .send = on_handshake_send, .receive = on_handshake_receive, .failed = on_handshake_failed};
    uint8_t bytes[DTLS_IDENTITY_MAX];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct swarm_shaking *shaking = swarm->shaking;
    const char *problem;
    if (swarm->connecting == SWARM_SHAKING_MAX)
        return false;
    while (shaking->client != NULL)
        shaking++;
    *shaking = (struct swarm_shaking){.swarm = swarm, .device = swarm_number(device)};
    struct dtls_client_params params = params_of(swarm, shaking->device, &memory);
    shaking->client = dtls_client_new(&swarm->clock, &swarm->wheel, &swarm->listener, &swarm->server, &params,
                                      &handlers, shaking, &problem);
    if (shaking->client == NULL)
        return false;
    swarm->connecting++;
    device->shaking = (uint8_t)(1 + (shaking - swarm->shaking));
    if (!dtls_client_handshake(shaking->client, DTLS_CLIENT_FULL))
        shaking->has_failed = true;
    return true;
}

/* ---- connections ---- */

static struct swarm_device *device_of(struct swarm *swarm, const struct link *link) {
    return &swarm->devices[link->owner - 1];
}

static void on_opened(void *arg, struct link *link) {
    struct swarm *swarm = arg;
    struct swarm_device *device = device_of(swarm, link);
    clock_update(&swarm->clock);
    swarm->connecting--;
    if (device->channel != NULL)
        oscore_channel_carry(device->channel, link);
    swarm_connected(device);
}

static void on_received(void *arg, struct link *link, struct slice message) {
    struct swarm *swarm = arg;
    struct swarm_device *device = device_of(swarm, link);
    clock_update(&swarm->clock);
    if (swarm_is_asleep(device))
        swarm->slept_through++;
    else
        take_message(device, link, message);
}

static void on_broken(void *arg, struct link *link, const char *why) {
    struct swarm *swarm = arg;
    coap_link_broken(swarm->coap, link, why);
}

static void on_closed(void *arg, struct link *link, const char *why) {
    struct swarm *swarm = arg;
    struct swarm_device *device = device_of(swarm, link);
    (void)why;
    clock_update(&swarm->clock);
    coap_link_closed(swarm->coap, link);
    if (device->stream == link) {
        device->stream = NULL;
        swarm->connections_lost++;
        swarm_forget_observation(device); /* RFC 8323 §7.4 */
        if (device->state == SWARM_CONNECTING) {
            swarm->connecting--;
            swarm_unreachable(device);
        }
    }
    link_unref(link);
}

static void on_oddity(void *arg, struct link *link, bool rejected, const char *what) {
    (void)arg, (void)link, (void)rejected, (void)what;
}

static void on_wire(void *arg, struct link *link, bool sent, uint32_t offset, const struct slice *parts, size_t count) {
    struct swarm *swarm = arg;
    size_t wire = 0;
    (void)offset;
    for (size_t i = 0; i < count; i++)
        wire += parts[i].len;
    if (link->owner > 0)
        swarm_count_message(device_of(swarm, link), sent, SLICE_NONE, wire);
}

/* Over TLS each connection proves another identity. */
static bool make_tls(struct swarm *swarm, struct swarm_device *device) {
    static const struct tls_handlers handlers = {.failed = NULL};
    uint8_t bytes[DTLS_IDENTITY_MAX];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct dtls_client_params params = params_of(swarm, swarm_number(device), &memory);
    const char *problem;
    if (device->tls == NULL)
        device->tls = tls_new_client(&swarm->loop, &swarm->clock, &swarm->wheel, &params, &handlers, device, &problem);
    streams_serve_tls(swarm->streams, device->tls);
    return device->tls != NULL;
}

static bool dial(struct swarm *swarm, struct swarm_device *device) {
    enum link_framing framing = swarm->options->framing;
    bool is_secure = swarm->listener.transport == LINK_TLS;
    if (swarm->connecting == SWARM_CONNECTING_MAX || (is_secure && !make_tls(swarm, device)))
        return false;
    if (is_secure && framing == LINK_LENGTH_PREFIXED)
        framing = LINK_RECORD;
    struct link *link = stream_connect(swarm->streams, &swarm->listener, &swarm->server, framing);
    if (link == NULL)
        return false;
    link->owner = (uint32_t)swarm_number(device) + 1;
    device->stream = link;
    swarm->connecting++;
    coap_link_opened(swarm->coap, link);
    return true;
}

/* ---- OSCORE ---- */

/* All have one name for the server, so whose message it is says who is looking. */
static struct oscore_channel *on_find(void *arg, struct slice kid, struct slice kid_context) {
    const struct swarm *swarm = arg;
    const struct swarm_device *device = swarm->receiving;
    (void)kid_context;
    bool is_server = device != NULL && device->channel != NULL &&
                     slice_equal(kid, oscore_context_recipient_id(&device->channel->context));
    return is_server ? device->channel : NULL;
}

/* What is behind the given Sender ID: the device's number, in three bytes. */
static void put_sender(const struct swarm *swarm, size_t device, struct buffer *out) {
    struct slice given = oscore_credential_secrets(&swarm->options->oscore).sender_id;
    buffer_put_slice(out, given);
    for (int shift = 16; shift >= 0; shift -= 8)
        buffer_put_u8(out, (uint8_t)(device >> shift));
}

static bool on_secrets(void *arg, const struct oscore_channel *channel, struct oscore_secrets *secrets) {
    struct swarm *swarm = arg;
    struct buffer sender = buffer_over(swarm->sender, sizeof swarm->sender); /* the context's own is written over */
    *secrets = oscore_credential_secrets(&swarm->options->oscore);
    put_sender(swarm, swarm_number(channel->owner), &sender);
    secrets->sender_id = buffer_slice(&sender);
    return true;
}

static void on_reserve(void *arg, struct oscore_channel *channel, uint64_t limit) {
    (void)arg;
    oscore_channel_reserved(channel, channel->epoch, limit);
}

static void on_renewed(void *arg, struct oscore_channel *channel) {
    (void)arg;
    swarm_forget_observation(channel->owner);
}

static void on_channel_release(void *arg, struct oscore_channel *channel) {
    (void)arg;
    free(channel);
}

/* Nothing is kept from run to run, and no number may be used twice under a key (RFC 8613 §7.2.1): they begin at the
 * milliseconds since 2020, which are fewer than 2^40 and more than any device can have used before. */
static bool protect(struct swarm *swarm, struct swarm_device *device) {
    struct buffer sender = buffer_over(swarm->sender, sizeof swarm->sender);
    struct oscore_secrets secrets = oscore_credential_secrets(&swarm->options->oscore);
    uint64_t first = clock_now_ms(&swarm->clock) - (uint64_t)EPOCH_2020_MS * 1000;
    put_sender(swarm, swarm_number(device), &sender);
    secrets.sender_id = buffer_slice(&sender);
    struct oscore_channel *channel = memory_or_exit(malloc(sizeof *channel));
    if (sender.overflow || !oscore_channel_start(channel, &swarm->service, &secrets, first, first)) {
        free(channel);
        return false;
    }
    channel->owner = device;
    channel->link.owner = (uint32_t)swarm_number(device) + 1;
    device->channel = channel;
    if (swarm->options->oscore_b2)
        oscore_channel_rederive(channel, true);
    if (swarm->net != NULL)
        oscore_channel_carry(channel, &device->link);
    return true;
}

/* ---- all of it ---- */

bool swarm_link_is_ready(const struct swarm_device *device) {
    const struct swarm *swarm = swarm_of(device);
    if (swarm->streams != NULL)
        return device->stream != NULL;
    return swarm->listener.transport == LINK_UDP || device->keys != NULL;
}

bool swarm_link_connect(struct swarm_device *device) {
    struct swarm *swarm = swarm_of(device);
    return swarm->streams != NULL ? dial(swarm, device) : shake(swarm, device);
}

void swarm_link_renew(struct swarm_device *device) {
    if (device->keys != NULL)
        memset(device->keys, 0, sizeof *device->keys);
    free(device->keys);
    device->keys = NULL;
}

struct link *swarm_link_peer(struct swarm_device *device) {
    if (device->channel != NULL)
        return &device->channel->link;
    return device->stream != NULL ? device->stream : &device->link;
}

static bool open_streams(struct swarm *swarm) {
    const struct stream_options options = {.max_message = swarm->options->coap.max_message_size,
                                           .max_partial_bytes = swarm->options->coap.max_transfer_bytes};
    const struct stream_handlers handlers = {.opened = on_opened,
                                             .received = on_received,
                                             .broken = on_broken,
                                             .closed = on_closed,
                                             .oddity = on_oddity,
                                             .wire = on_wire};
    swarm->streams = streams_new(&swarm->loop, &options, &handlers, swarm, &swarm->clock, &swarm->wheel);
    return swarm->streams != NULL;
}

bool swarm_link_open(struct swarm *swarm, char *error, size_t error_size) {
    static const struct oscore_handlers handlers = {.find = on_find,
                                                    .secrets = on_secrets,
                                                    .reserve = on_reserve,
                                                    .renewed = on_renewed,
                                                    .release = on_channel_release};
    const struct options *options = swarm->options;
    swarm->listener.transport = options->transport->link;
    if (options->transport->secure &&
        !security_read_params(&options->security, options->server_text, &swarm->security, error, error_size))
        return false;
    if (link_transport_connects(options->transport->link)) {
        open_streams(swarm);
    } else {
        swarm->net = swarm_net_open(&swarm->loop, &swarm->server, options->has_bind ? &options->bind : NULL,
                                    swarm->count, on_datagram, swarm, error, error_size);
        if (swarm->net == NULL)
            return false;
    }
    for (size_t i = 0; i < swarm->count; i++) {
        struct swarm_device *device = &swarm->devices[i];
        device->link = (struct link){.ops = &device_link_ops,
                                     .listener = &swarm->listener,
                                     .peer = swarm->server,
                                     .refs = 1,
                                     .framing = LINK_DATAGRAM};
    }
    oscore_service_start(&swarm->service, &handlers, swarm, swarm->coap, &swarm->clock);
    for (size_t i = 0; options->oscore.given && i < swarm->count; i++) {
        if (!protect(swarm, &swarm->devices[i])) {
            snprintf(error, error_size, "--oscore: a Sender ID and three bytes more make no context");
            return false;
        }
    }
    return true;
}

void swarm_link_close(struct swarm *swarm) {
    for (size_t i = 0; i < SWARM_SHAKING_MAX; i++) {
        if (swarm->shaking[i].client != NULL)
            free_shaking(&swarm->shaking[i]);
    }
    for (size_t i = 0; i < swarm->count; i++) {
        struct swarm_device *device = &swarm->devices[i];
        if (device->channel != NULL) {
            oscore_channel_end(device->channel);
            link_unref(&device->channel->link);
            device->channel = NULL;
        }
        swarm_link_renew(device);
        if (device->tls != NULL)
            tls_close(device->tls);
    }
    if (swarm->streams != NULL)
        streams_close(swarm->streams);
    for (size_t i = 0; i < swarm->count; i++) {
        if (swarm->devices[i].stream != NULL)
            link_unref(swarm->devices[i].stream);
    }
    if (swarm->net != NULL)
        swarm_net_close(swarm->net);
    security_free_params(&swarm->security);
}
