#include "client/pelion.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/device.h"
#include "client/memory.h"
#include "client/request.h"
#include "common/base/random.h"
#include "common/coap/block.h"
#include "common/lwm2m/text.h"

enum {
    BLOCK_SZX = 5, /* 512 bytes: what is larger is refused */
    EMPTY_LEN = 4,
    BACK_OFF_FIRST_MS = 12000,
    BACK_OFF_MS = 12500,
    BACK_OFF_LAST_MS = 4 * 3600 * 1000,
    REFUSED_FIRST_MS = 20000,
    REFUSED_LAST_MS = 6 * 3600 * 1000,
    GOODBYE_MS = 12000,
    MAX_AGE_LEAST_S = 60,
    OBSERVED_NUMBER_MAX = 1023,
};

static uint64_t now_ms(const struct pelion *pelion) {
    return clock_now_ms(&pelion->device->clock);
}

/* ---- life ---- */

void pelion_init(struct pelion *pelion, struct device *device) {
    *pelion = (struct pelion){.device = device, .first_number = (uint16_t)(1 + random_below(OBSERVED_NUMBER_MAX))};
}

void pelion_pause(struct pelion *pelion) {
    if (pelion->device == NULL)
        return;
    for (size_t i = 0; i < PELION_LATER_MAX; i++) {
        timer_cancel(&pelion->device->wheel, &pelion->later[i].timer);
        pelion->later[i].exchange = NULL;
    }
    timer_cancel(&pelion->device->wheel, &pelion->wake);
    pelion->finish.is_awaited = pelion->trigger.is_awaited = false;
}

void pelion_free(struct pelion *pelion) {
    pelion_pause(pelion);
    free(pelion->announced);
    pelion->announced = NULL;
}

bool pelion_has(uint16_t object) {
    static const uint16_t objects[] = {3, 3200, 3201, 5000};
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        if (objects[i] == object)
            return true;
    }
    return false;
}

void pelion_set_params(struct coap_params *params) {
    params->ack_timeout_ms = 3467;
    params->ack_random_factor = 1.0;
    params->max_retransmit = 3;
    params->block_szx = BLOCK_SZX;
    params->piggyback_ms = 1;
}

/* No name is asked for, and none is looked for in the certificate. */
void pelion_alter_hello(struct security_params *params) {
    params->client.server_name = NULL;
    params->client.tls12_only = true;
    params->client.tls_timeout_ms = PELION_HANGS_MS;
    params->client.first_timeout_ms = PELION_HELLO_FIRST_MS;
    params->client.last_timeout_ms = PELION_HELLO_LAST_MS;
}

/* ---- what comes ---- */

static void send_message(struct link *link, const struct coap_message *message) {
    uint8_t bytes[COAP_MESSAGE_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    if (coap_encode(message, &out))
        link_send(link, buffer_slice(&out));
}

/* The buffer holds a block of 512 bytes and no larger one. */
static void refuse_size(struct link *link, const struct coap_message *request) {
    struct coap_message answer;
    struct coap_uint block1;
    coap_message_init(&answer, COAP_ACK, COAP_4_13_REQUEST_ENTITY_TOO_LARGE, request->mid, request->token);
    coap_block_add(&answer, COAP_BLOCK1, (struct coap_block){.num = 0, .more = true, .szx = BLOCK_SZX}, &block1);
    send_message(link, &answer);
}

static bool is_composite(uint8_t code) {
    return code == COAP_FETCH || code == COAP_PATCH || code == COAP_IPATCH;
}

static bool acknowledges(const struct pelion_noted *noted, const struct coap_message *message) {
    return noted->is_awaited && noted->is_sent && message->mid == noted->mid_sent &&
           (message->type == COAP_ACK || message->type == COAP_RST);
}

/* The server answers the Message ID that was sent; the endpoint knows its own. */
static void restore_mid(struct pelion *pelion, struct slice *bytes, uint8_t memory[EMPTY_LEN]) {
    memcpy(memory, bytes->data, EMPTY_LEN);
    memory[2] = (uint8_t)(pelion->trigger.mid >> 8);
    memory[3] = (uint8_t)pelion->trigger.mid;
    *bytes = slice_of(memory, EMPTY_LEN);
    pelion->trigger.is_awaited = false;
}

bool pelion_heard(struct pelion *pelion, struct link *link, struct slice *bytes, uint8_t memory[EMPTY_LEN]) {
    struct coap_message message;
    if (coap_decode(*bytes, &message) != COAP_DECODE_OK)
        return false;
    if (is_composite(message.code))
        return true;
    if (coap_code_is_request(message.code) && message.payload.len > coap_block_size(BLOCK_SZX)) {
        refuse_size(link, &message);
        return true;
    }
    if (message.code != COAP_EMPTY)
        return false;
    if (acknowledges(&pelion->finish, &message)) {
        pelion->finish.is_awaited = false;
        bootstrap_acknowledged(&pelion->device->bootstrap);
    }
    if (acknowledges(&pelion->trigger, &message))
        restore_mid(pelion, bytes, memory);
    return false;
}

/* ---- what goes ---- */

static bool is_noted(const struct pelion_noted *noted, const struct coap_message *message) {
    return noted->is_awaited && message->type == COAP_CON && coap_code_is_response(message->code) &&
           slice_equal(message->token, slice_of(noted->token, noted->token_len));
}

static void note_sending(struct pelion *pelion, struct coap_message *message) {
    if (is_noted(&pelion->finish, message)) {
        pelion->finish.is_sent = true;
        pelion->finish.mid_sent = message->mid;
    }
    if (is_noted(&pelion->trigger, message)) {
        pelion->trigger.is_sent = true;
        pelion->trigger.mid = message->mid;
        message->mid = pelion->trigger.mid_sent;
    }
}

/* An Empty message with an option, which RFC 7252 §4.1 does not allow. */
static void send_ack(struct link *link, uint16_t mid) {
    const uint8_t bytes[] = {1 << 6 | COAP_ACK << 4, COAP_EMPTY, (uint8_t)(mid >> 8), (uint8_t)mid,
                             COAP_CONTENT_FORMAT << 4};
    link_send(link, slice_of(bytes, sizeof bytes));
}

static void send_reset(struct link *link, uint16_t mid) {
    const uint8_t bytes[] = {1 << 6 | COAP_RST << 4, COAP_EMPTY, (uint8_t)(mid >> 8), (uint8_t)mid};
    link_send(link, slice_of(bytes, sizeof bytes));
}

static void add_if_missing(struct coap_message *message, uint16_t option) {
    if (coap_option_find(message, option) == NULL)
        coap_option_add(message, option, SLICE_NONE); /* 0 (RFC 7252 §3.2) */
}

void pelion_send(struct pelion *pelion, struct link *link, struct slice bytes) {
    struct coap_message message;
    if (link->framing == LINK_STREAM_8323 || coap_decode(bytes, &message) != COAP_DECODE_OK) {
        link_send(link, bytes);
        return;
    }
    if (message.code == COAP_EMPTY) {
        if (message.type == COAP_ACK)
            send_ack(link, message.mid);
        else
            link_send(link, bytes);
        return;
    }
    if (message.type == COAP_ACK && message.code == COAP_4_02_BAD_OPTION) {
        send_reset(link, message.mid);
        return;
    }
    note_sending(pelion, &message);
    add_if_missing(&message, COAP_MAX_AGE);
    if (coap_code_is_response(message.code))
        add_if_missing(&message, COAP_CONTENT_FORMAT);
    send_message(link, &message);
}

void pelion_divert(void *arg, struct link *link, struct slice bytes) {
    pelion_send(arg, link, bytes);
}

/* ---- trying again ---- */

static uint64_t doubled(uint64_t first_ms, uint32_t times, uint64_t last_ms) {
    uint64_t wait_ms = times < 20 ? first_ms << times : last_ms;
    return wait_ms < last_ms ? wait_ms : last_ms;
}

uint64_t pelion_back_off_ms(uint32_t failures) {
    if (failures == 0)
        return BACK_OFF_FIRST_MS + random_below(1001);
    uint64_t wait_ms = doubled(BACK_OFF_MS, failures, BACK_OFF_LAST_MS);
    return wait_ms - wait_ms / 10 + random_below(wait_ms / 5 + 1);
}

uint64_t pelion_refused_ms(struct pelion *pelion) {
    return doubled(REFUSED_FIRST_MS + random_below(80001), pelion->refusals++, REFUSED_LAST_MS);
}

void pelion_close(struct pelion *pelion) {
    struct device *device = pelion->device;
    if (device->server == NULL || device->server->closed)
        return;
    if (link_transport_connects(device->listener.transport))
        link_close(device->server, "it is made anew");
    else
        device_rebind(device);
}

static void on_wake(struct timer *timer, void *arg) {
    struct pelion *pelion = TIMER_OWNER(timer, struct pelion, wake);
    (void)arg;
    device_rebind(pelion->device);
    registration_update(&pelion->device->registration);
}

void pelion_session_closed(struct pelion *pelion) {
    report_text(&pelion->device->report, "session_closed", slice_str("Session closed"),
                "the server has said goodbye; it goes on from another port");
    timer_schedule(&pelion->device->wheel, &pelion->wake, now_ms(pelion) + GOODBYE_MS, on_wake);
}

/* ---- registered ---- */

static const struct lwm2m_path observed[] = {
    {.ids = {3200, 0, 5501}, .len = 3}, {.ids = {3201, 0, 5550}, .len = 3}, {.ids = {5000, 0, 1}, .len = 3}};

static const struct lwm2m_path component_version = {.ids = {14, 0, 2}, .len = 3};

enum { OBSERVED = sizeof observed / sizeof observed[0] };

static uint16_t number_of(const struct pelion *pelion, size_t at) {
    return (uint16_t)(1 + (pelion->first_number - 1 + at) % OBSERVED_NUMBER_MAX);
}

static void observe_unasked(struct pelion *pelion) {
    struct device *device = pelion->device;
    for (size_t i = 0; i < OBSERVED; i++) {
        struct target target = {.path = observed[i]};
        uint16_t number = number_of(pelion, i);
        const uint8_t token[] = {(uint8_t)(number >> 8), (uint8_t)number};
        const struct observed what = {.method = COAP_GET,
                                      .paths = &observed[i],
                                      .path_count = 1,
                                      .format = COAP_FORMAT_TEXT,
                                      .token = slice_of(token, sizeof token),
                                      .is_own = true};
        uint32_t sequence;
        if (target_find(device, &target) && target_exists(&target))
            observe_begin(&device->observer, &what, &sequence);
    }
}

void pelion_registered(struct pelion *pelion, const struct coap_message *answer, struct slice device_id) {
    uint32_t max_age_s;
    pelion->refusals = 0;
    pelion->granted_s = 0;
    if (coap_option_uint(answer, COAP_MAX_AGE, &max_age_s) && max_age_s >= MAX_AGE_LEAST_S)
        pelion->granted_s = max_age_s;
    memcpy(pelion->device_id, device_id.data, device_id.len);
    pelion->device_id[device_id.len] = '\0';
    observe_unasked(pelion);
}

uint64_t pelion_update_after_ms(const struct pelion *pelion) {
    uint32_t lifetime_s = pelion->granted_s > 0 ? pelion->granted_s : pelion->device->lifetime_s;
    return (uint64_t)lifetime_s * 750;
}

/* ---- links ---- */

static bool is_observed(const struct lwm2m_path *path, size_t *at) {
    for (*at = 0; *at < OBSERVED; (*at)++) {
        if (lwm2m_path_equal(path, &observed[*at]))
            return true;
    }
    return false;
}

/* What a quoted string cannot have is left out. */
static void put_value(const struct object *object, const struct instance *instance, const struct resource *resource,
                      struct buffer *out) {
    struct lwm2m_node memory[1];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, 1);
    uint8_t bytes[COAP_MESSAGE_MAX];
    struct buffer text = buffer_over(bytes, sizeof bytes);
    if (!object_read(object, instance, resource, &nodes) || nodes.count == 0 ||
        !lwm2m_text_encode(&memory[0].value, &text) || memchr(bytes, '"', text.len) != NULL ||
        memchr(bytes, '\\', text.len) != NULL)
        return;
    buffer_put_str(out, ";v=\"");
    buffer_put_slice(out, buffer_slice(&text));
    buffer_put_u8(out, '"');
}

static void put_resource(const struct pelion *pelion, const struct object *object, const struct instance *instance,
                         const struct resource *resource, bool has_values, struct buffer *out) {
    const struct lwm2m_path path = {.ids = {object->id, instance->id, resource->id}, .len = 3};
    size_t at;
    bool is_unasked = is_observed(&path, &at), is_component = lwm2m_path_equal(&path, &component_version);
    buffer_printf(out, ",</%u/%u/%u>", object->id, instance->id, resource->id);
    if (is_component)
        buffer_put_str(out, ";rt=\"Component Version\"");
    if (has_values && (is_component || is_unasked))
        put_value(object, instance, resource, out);
    if (is_unasked)
        buffer_printf(out, ";aobs=\"%u\"", number_of(pelion, at));
    if ((resource->operations & OPERATION_R) != 0)
        buffer_put_str(out, ";obs");
}

/* Object 3 is not listed as an object; Access Control is none that the client has. */
static void put_object(const struct pelion *pelion, const struct object *object, bool has_values, struct buffer *out) {
    if (object->kind->is_hidden || object->id == ACCOUNT_ACCESS)
        return;
    if (object->id != device_kind.id)
        buffer_printf(out, "%s</%u>", out->len > 0 ? "," : "", object->id);
    for (size_t i = 0; i < object->instance_count; i++) {
        const struct instance *instance = &object->instances[i];
        buffer_printf(out, "%s</%u/%u>", out->len > 0 ? "," : "", object->id, instance->id);
        for (size_t k = 0; k < object->resource_count; k++) {
            if (object_has(instance, &object->resources[k]))
                put_resource(pelion, object, instance, &object->resources[k], has_values, out);
        }
    }
}

void pelion_put_links(const struct pelion *pelion, bool has_values, struct buffer *out) {
    const struct device *device = pelion->device;
    for (size_t i = 0; i < device->object_count; i++)
        put_object(pelion, &device->objects[i], has_values, out);
}

/* Without values no link has a comma within. */
static struct slice next_link(struct slice *links) {
    const uint8_t *end = links->len == 0 ? NULL : memchr(links->data, ',', links->len);
    struct slice link = slice_of(links->data, end == NULL ? links->len : (size_t)(end - links->data));
    *links = end == NULL ? SLICE_NONE : slice_from(*links, link.len + 1);
    return link;
}

/* `</3/0>` */
static struct slice target_of(struct slice link) {
    const uint8_t *end = memchr(link.data, '>', link.len);
    return slice_of(link.data, end == NULL ? link.len : (size_t)(end - link.data) + 1);
}

static bool has_target(struct slice links, struct slice target) {
    while (links.len > 0) {
        if (slice_equal(target_of(next_link(&links)), target))
            return true;
    }
    return false;
}

void pelion_put_delta(const struct pelion *pelion, struct slice links, struct buffer *out) {
    struct slice before = slice_of(pelion->announced, pelion->announced_len);
    for (struct slice rest = links; rest.len > 0;) {
        struct slice link = next_link(&rest);
        if (has_target(before, target_of(link)))
            continue;
        buffer_put_str(out, out->len > 0 ? "," : "");
        buffer_put_slice(out, link);
    }
    for (struct slice rest = before; rest.len > 0;) {
        struct slice target = target_of(next_link(&rest));
        if (has_target(links, target))
            continue;
        buffer_put_str(out, out->len > 0 ? "," : "");
        buffer_put_slice(out, target);
        buffer_put_str(out, ";d");
    }
}

void pelion_announce(struct pelion *pelion, struct slice links) {
    pelion->announced = memory_or_exit(realloc(pelion->announced, links.len + 1));
    memcpy(pelion->announced, links.data, links.len);
    pelion->announced_len = links.len;
}

/* ---- queries ---- */

static void add_query(struct coap_message *message, char text[272], const char *name, const char *value) {
    snprintf(text, 272, "%s=%s", name, value);
    coap_option_add(message, COAP_URI_QUERY, slice_str(text));
}

/* The client's version, which stands where the server's URI has a query: there the account is. */
static void add_account(const struct pelion *pelion, struct coap_message *message) {
    const struct destination *destination = &pelion->device->destination;
    if (destination->uri.query.len == 0)
        return;
    destination_add_query(destination, message);
    coap_option_add(message, COAP_URI_QUERY, slice_str("mccv=4.13.2"));
}

/* The account in the server's URI, `aid=…`. */
static struct slice account_of(const struct pelion *pelion) {
    struct slice rest = pelion->device->destination.uri.query;
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.data, '&', rest.len);
        struct slice item = slice_of(rest.data, end == NULL ? rest.len : (size_t)(end - rest.data));
        if (slice_starts_with(item, "aid="))
            return slice_from(item, strlen("aid="));
        rest = slice_from(rest, item.len + (end == NULL ? 0 : 1));
    }
    return SLICE_NONE;
}

void pelion_add_register_query(const struct pelion *pelion, struct coap_message *message, struct pelion_query *query) {
    const struct device *device = pelion->device;
    struct slice account = account_of(pelion);
    add_query(message, query->text[0], "ep", device->endpoint);
    coap_option_add(message, COAP_URI_QUERY, slice_str("et=default"));
    snprintf(query->text[1], sizeof query->text[1], "lt=%u", device->options->lifetime_s);
    coap_option_add(message, COAP_URI_QUERY, slice_str(query->text[1]));
    coap_option_add(message, COAP_URI_QUERY, slice_str("lwm2m=1.0"));
    if (account.len > 0) {
        snprintf(query->text[2], sizeof query->text[2], "d=%.*s", (int)account.len, (const char *)account.data);
        coap_option_add(message, COAP_URI_QUERY, slice_str(query->text[2]));
    }
    add_query(message, query->text[3], "b", device->binding);
    add_account(pelion, message);
}

void pelion_add_update_query(const struct pelion *pelion, struct coap_message *message, bool has_lifetime,
                             struct pelion_query *query) {
    coap_option_add(message, COAP_URI_QUERY, slice_str("et=default"));
    if (!has_lifetime)
        return;
    snprintf(query->text[0], sizeof query->text[0], "lt=%u", pelion->device->lifetime_s);
    coap_option_add(message, COAP_URI_QUERY, slice_str(query->text[0]));
}

void pelion_add_bootstrap_query(const struct pelion *pelion, struct coap_message *message, struct pelion_query *query) {
    const struct destination *destination = &pelion->device->destination;
    add_query(message, query->text[0], "ep", pelion->device->endpoint);
    destination_add_query(destination, message);
    if (pelion->device_id[0] != '\0')
        add_query(message, query->text[1], "iep", pelion->device_id);
    coap_option_add(message, COAP_URI_QUERY, slice_str("mccv=4.13.2"));
}
