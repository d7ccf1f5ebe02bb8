#include "client/register.h"

#include <stdio.h>

#include "client/device.h"
#include "client/format.h"
#include "common/base/random.h"

enum {
    RETRY_FIRST_MS = 1000,
    RETRY_LAST_MS = 60000,
    DEREGISTER_WAIT_MS = 5000,
    MAX_AGE_DEFAULT_S = 60,                       /* RFC 7252 §5.10.5 */
    LINKS_MAX = 256 * 1024,                       /* 64 instances of 150 objects */
    RESOURCE_LINKS_MAX = 1024 * 1024,             /* DEVICE_VALUES_MAX resources, with what is told of them */
    LOCATION_SEGMENTS_MAX = COAP_OPTIONS_MAX - 8, /* an Update has other options too */
};

static uint64_t now_ms(const struct registration *registration) {
    return clock_now_ms(&registration->device->clock);
}

static const struct report *report_of(const struct registration *registration) {
    return &registration->device->report;
}

static void schedule(struct registration *registration, uint64_t after_ms, timer_fn *fn) {
    timer_schedule(&registration->device->wheel, &registration->timer, now_ms(registration) + after_ms, fn);
}

static void stop_waiting(struct registration *registration) {
    timer_cancel(&registration->device->wheel, &registration->timer);
    if (registration->call != NULL)
        coap_call_cancel(registration->call);
    registration->call = NULL;
}

/* Take down what the coming message tells the server. */
static void announce(struct registration *registration) {
    const struct device *device = registration->device;
    registration->confirmed = false;
    registration->announced_lifetime_s = device->lifetime_s;
    memcpy(registration->announced_binding, device->binding, sizeof device->binding);
}

/* The root tells which formats of data are spoken here. */
static struct slice make_links(struct device *device) {
    struct buffer out = workspace_take(&device->payload, device->options->pelion ? RESOURCE_LINKS_MAX : LINKS_MAX);
    if (device->options->pelion) {
        pelion_put_links(&device->pelion, false, &out);
        return buffer_slice(&out);
    }
    buffer_put_str(&out, "</>;rt=\"oma.lwm2m\"");
    format_put_list(device->options->version, &out);
    for (size_t i = 0; i < device->object_count; i++) {
        if (device->objects[i].kind->is_hidden)
            continue;
        buffer_put_u8(&out, ',');
        object_put_links(&device->objects[i], &out);
    }
    return buffer_slice(&out);
}

static uint64_t digest_of(struct slice links) {
    static const struct hash_key key = {0, 0};
    return hash_slice(&key, links);
}

static bool is_reply(const struct coap_reply *reply, uint8_t code) {
    return reply->result == COAP_CALL_REPLY && reply->message->code == code;
}

/* ---- registered: when to update ---- */

static void on_update_due(struct timer *timer, void *arg) {
    (void)arg;
    registration_update(TIMER_OWNER(timer, struct registration, timer));
}

static uint64_t lifetime_ms(const struct registration *registration) {
    return (uint64_t)registration->announced_lifetime_s * 1000;
}

/* So early that every retransmission of the Update still comes in time, but not before half of the lifetime. */
static uint64_t update_after_ms(const struct registration *registration) {
    uint64_t lifetime = lifetime_ms(registration);
    if (registration->device->options->pelion)
        return pelion_update_after_ms(&registration->device->pelion);
    uint64_t margin = coap_max_transmit_wait_ms(&registration->device->options->coap);
    return margin < lifetime / 2 ? lifetime - margin : lifetime / 2;
}

static void settle(struct registration *registration) {
    const struct device *device = registration->device;
    registration->state = REGISTRATION_REGISTERED;
    registration->confirmed = true;
    registration->renewed = false;
    registration->failures = 0;
    if (lifetime_ms(registration) > 0) /* else it never runs out */
        schedule(registration, update_after_ms(registration), on_update_due);
    if (registration->announced_lifetime_s != device->lifetime_s ||
        strcmp(registration->announced_binding, device->binding) != 0 ||
        registration->announced_links != digest_of(make_links(registration->device)))
        registration_update_soon(registration); /* it has changed meanwhile */
}

/* ---- Register ---- */

static void on_retry(struct timer *timer, void *arg) {
    (void)arg;
    registration_register(TIMER_OWNER(timer, struct registration, timer));
}

/* How long a server that is unavailable asks us to wait (RFC 7252 §5.9.3.4). */
static uint64_t max_age_ms(const struct coap_reply *reply) {
    uint32_t seconds;
    if (!coap_option_uint(reply->message, COAP_MAX_AGE, &seconds))
        seconds = MAX_AGE_DEFAULT_S;
    return (uint64_t)seconds * 1000;
}

static uint64_t back_off_ms(struct registration *registration) {
    if (registration->device->options->pelion)
        return pelion_back_off_ms(registration->failures++);
    uint64_t wait = RETRY_LAST_MS;
    if (registration->failures < 6)
        wait = (uint64_t)RETRY_FIRST_MS << registration->failures;
    registration->failures++;
    return wait + random_below(wait / 2 + 1);
}

static void try_again_after(struct registration *registration, uint64_t wait_ms) {
    registration->state = REGISTRATION_WAITING;
    schedule(registration, wait_ms, on_retry);
}

/* False when there is no location that an Update can be sent to. */
static bool take_location(struct registration *registration, const struct coap_message *message) {
    struct buffer location = buffer_over(registration->location, sizeof registration->location);
    size_t segments = 0;
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        if (option->number != COAP_LOCATION_PATH)
            continue;
        buffer_put_u8(&location, (uint8_t)option->value.len); /* at most 255, RFC 7252 §5.10 */
        buffer_put_slice(&location, option->value);
        segments++;
    }
    registration->location_len = location.len;
    return segments > 0 && segments <= LOCATION_SEGMENTS_MAX && !location.overflow;
}

/* Visit the segments: starts with *at = 0. */
static bool next_segment(const struct registration *registration, size_t *at, struct slice *segment) {
    if (*at >= registration->location_len)
        return false;
    *segment = slice_of(registration->location + *at + 1, registration->location[*at]);
    *at += 1 + segment->len;
    return true;
}

static struct slice last_segment(const struct registration *registration) {
    struct slice segment = SLICE_NONE;
    for (size_t at = 0; next_segment(registration, &at, &segment);) {}
    return segment;
}

static void report_success(const struct registration *registration) {
    uint8_t bytes[COAP_MESSAGE_MAX];
    struct buffer location = buffer_over(bytes, sizeof bytes); /* one slash for one length: it fits */
    struct slice segment;
    size_t at = 0;
    while (next_segment(registration, &at, &segment)) {
        buffer_put_u8(&location, '/');
        buffer_put_slice(&location, segment);
    }
    report_registered(report_of(registration), slice_str(registration->device->endpoint), buffer_slice(&location));
}

static void on_register_answer(void *arg, const struct coap_reply *reply) {
    struct registration *registration = arg;
    static const char event[] = "registration_failed", what[] = "Registration";
    registration->call = NULL;
    if (!is_reply(reply, COAP_2_01_CREATED)) {
        if (reply->result == COAP_CALL_NO_ACK)
            device_renew(registration->device);
        if (reply->result == COAP_CALL_REPLY)
            protection_heard(registration->device, reply->message->code);
        bool is_busy = is_reply(reply, COAP_5_03_SERVICE_UNAVAILABLE) && !registration->device->options->pelion;
        uint64_t wait_ms = 0;
        if (!is_busy && bootstrap_takes_over(&registration->device->bootstrap, reply, &wait_ms)) {
            report_failure(report_of(registration), event, what, reply, 0);
            return;
        }
        if (wait_ms == 0)
            wait_ms = is_busy ? max_age_ms(reply) : back_off_ms(registration);
        report_failure(report_of(registration), event, what, reply, wait_ms);
        try_again_after(registration, wait_ms);
        if (registration->device->options->pelion)
            pelion_close(&registration->device->pelion);
        return;
    }
    if (!take_location(registration, reply->message)) {
        if (registration->device->options->pelion) { /* it does not go on */
            report_unusable(report_of(registration), event, what, "the answer has no usable Location-Path", 0);
            registration->state = REGISTRATION_NONE;
            return;
        }
        uint64_t wait_ms = back_off_ms(registration);
        report_unusable(report_of(registration), event, what, "the answer has no usable Location-Path", wait_ms);
        try_again_after(registration, wait_ms);
        return;
    }
    report_success(registration);
    bootstrap_has_registered(&registration->device->bootstrap);
    if (registration->device->options->pelion)
        pelion_registered(&registration->device->pelion, reply->message, last_segment(registration));
    settle(registration);
}

/* Every query item is a text of its own. */
struct query {
    char items[5][OPTIONS_ENDPOINT_MAX + 8];
    size_t count;
};

/* `name=value`, or the name alone when the value is empty. */
static void add_query(struct coap_message *message, struct query *query, const char *name, const char *value) {
    char *item = query->items[query->count++];
    snprintf(item, sizeof query->items[0], "%s%s%s", name, value[0] == '\0' ? "" : "=", value);
    coap_option_add(message, COAP_URI_QUERY, slice_str(item));
}

static void add_lifetime(struct coap_message *message, struct query *query, uint32_t lifetime_s) {
    char number[16];
    snprintf(number, sizeof number, "%u", lifetime_s);
    add_query(message, query, "lt", number);
}

static const char *version_text(uint8_t version) {
    return version == 10 ? "1.0" : version == 11 ? "1.1" : "1.2";
}

void registration_init(struct registration *registration, struct device *device) {
    *registration = (struct registration){.device = device, .state = REGISTRATION_NONE};
}

/* A call that cannot even be sent fails like one without an answer. */
static void await(struct registration *registration, enum registration_state state, const struct coap_message *message,
                  coap_call_fn *done) {
    struct device *device = registration->device;
    announce(registration);
    registration->state = state;
    registration->call = device_call(device, message, done, registration);
    if (registration->call == NULL) {
        const struct coap_reply unsent = {.result = COAP_CALL_CANCELLED};
        done(registration, &unsent);
    }
}

/* As the vendor's client has it: links with values, and its own parameters. */
static void register_as_pelion(struct registration *registration, struct coap_message *message) {
    struct device *device = registration->device;
    struct pelion_query query;
    struct slice bare = make_links(device);
    registration->announced_links = digest_of(bare);
    pelion_announce(&device->pelion, bare);
    pelion_add_register_query(&device->pelion, message, &query);
    struct buffer links = workspace_take(&device->payload, RESOURCE_LINKS_MAX);
    pelion_put_links(&device->pelion, true, &links);
    message->payload = buffer_slice(&links);
    await(registration, REGISTRATION_REGISTERING, message, on_register_answer);
}

void registration_register(struct registration *registration) {
    struct device *device = registration->device;
    struct coap_message message;
    struct coap_uint format;
    struct query query = {.count = 0};
    stop_waiting(registration);
    timer_cancel(&device->wheel, &registration->soon);
    observer_end(&device->observer); /* with a new registration nothing is observed (Core 1.2 §6.4.1) */
    registration->location_len = 0;
    coap_message_init(&message, COAP_CON, COAP_POST, 0, SLICE_NONE);
    destination_add_path(&device->destination, &message, "rd");
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
    if (device->options->pelion) {
        register_as_pelion(registration, &message);
        return;
    }
    add_query(&message, &query, "ep", device->endpoint);
    add_lifetime(&message, &query, device->lifetime_s);
    add_query(&message, &query, "lwm2m", version_text(device->options->version));
    add_query(&message, &query, "b", device->binding);
    if (device->options->queue && device->options->version > 10) /* in 1.0 it is a letter of the binding */
        add_query(&message, &query, "Q", "");
    destination_add_query(&device->destination, &message);
    message.payload = make_links(device);
    registration->announced_links = digest_of(message.payload);
    await(registration, REGISTRATION_REGISTERING, &message, on_register_answer);
}

void registration_register_after(struct registration *registration, uint64_t wait_ms) {
    registration_end(registration);
    try_again_after(registration, wait_ms);
}

/* ---- Update ---- */

static void add_location(struct coap_message *message, const struct registration *registration) {
    struct slice segment;
    size_t at = 0;
    while (next_segment(registration, &at, &segment))
        coap_option_add(message, COAP_URI_PATH, segment);
}

/* When nobody has answered, the server may have lost the DTLS session: a handshake, and once more. */
static bool renew_session(struct registration *registration, const struct coap_reply *reply) {
    if (registration->renewed || reply->result != COAP_CALL_NO_ACK || !device_renew(registration->device))
        return false;
    registration->renewed = true;
    return true;
}

static void update_later(struct registration *registration, const struct coap_reply *reply, uint64_t wait_ms) {
    report_failure(report_of(registration), "update_failed", "Update", reply, wait_ms);
    registration->state = REGISTRATION_REGISTERED;
    schedule(registration, wait_ms, on_update_due);
}

/* The vendor's client: whatever the server says but 2.04, it registers over the same connection; when it says nothing,
 * the connection is made anew, or another session. */
static void fail_update_as_pelion(struct registration *registration, const struct coap_reply *reply) {
    struct pelion *pelion = &registration->device->pelion;
    registration->state = REGISTRATION_REGISTERED;
    if (reply->result == COAP_CALL_REPLY) {
        report_failure(report_of(registration), "update_failed", "Update", reply, 0);
        registration_register(registration);
    } else if (reply->result == COAP_CALL_CLOSED || link_transport_connects(registration->device->listener.transport)) {
        report_failure(report_of(registration), "update_failed", "Update", reply, 0);
        if (reply->result != COAP_CALL_CLOSED)
            pelion_close(pelion); /* an Update follows when there is another one */
    } else if (renew_session(registration, reply)) {
        report_failure(report_of(registration), "update_failed", "Update", reply, 0);
        pelion_close(pelion);
        registration_update(registration);
    } else {
        registration->renewed = false;
        update_later(registration, reply, back_off_ms(registration));
        pelion_close(pelion);
    }
}

/* A server that is busy for a while keeps the registration, and one that was never asked, since no handshake succeeded;
 * with any other answer, or none, it is made anew. */
static void on_update_answer(void *arg, const struct coap_reply *reply) {
    struct registration *registration = arg;
    registration->call = NULL;
    if (is_reply(reply, COAP_2_04_CHANGED)) {
        report_event(report_of(registration), "updated", "Registration updated");
        settle(registration);
        return;
    }
    if (registration->device->options->pelion) {
        fail_update_as_pelion(registration, reply);
        return;
    }
    if (is_reply(reply, COAP_5_03_SERVICE_UNAVAILABLE)) {
        update_later(registration, reply, max_age_ms(reply));
        return;
    }
    if (reply->result == COAP_CALL_CANCELLED) {
        update_later(registration, reply, back_off_ms(registration));
        return;
    }
    report_failure(report_of(registration), "update_failed", "Update", reply, 0);
    if (reply->result == COAP_CALL_REPLY)
        protection_heard(registration->device, reply->message->code);
    if (reply->result == COAP_CALL_CLOSED) /* again when there is a connection */
        registration->state = REGISTRATION_REGISTERED;
    else if (renew_session(registration, reply))
        registration_update(registration);
    else
        registration_register(registration);
}

bool registration_stands(const struct registration *registration) {
    return registration->state == REGISTRATION_REGISTERED || registration->state == REGISTRATION_UPDATING;
}

/* Links are a delta: what is new, and with ";d" what is gone. */
static void update_as_pelion(struct registration *registration, struct coap_message *message) {
    struct device *device = registration->device;
    struct pelion *pelion = &device->pelion;
    struct pelion_query query;
    struct coap_uint format;
    struct slice links = make_links(device);
    coap_option_add_uint(message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
    bool has_lifetime = registration->announced_lifetime_s != device->lifetime_s || !registration->confirmed;
    pelion_add_update_query(pelion, message, has_lifetime, &query);
    if (registration->announced_links != digest_of(links)) {
        struct buffer delta = workspace_take(&device->scratch, RESOURCE_LINKS_MAX);
        pelion_put_delta(pelion, links, &delta);
        message->payload = buffer_slice(&delta);
        registration->announced_links = digest_of(links);
        pelion_announce(pelion, links);
    }
    await(registration, REGISTRATION_UPDATING, message, on_update_answer);
}

/* As small as it can be: only what has changed is told (Core 1.2 §6.2.2). */
bool registration_update(struct registration *registration) {
    struct device *device = registration->device;
    struct coap_message message;
    struct coap_uint format;
    struct query query = {.count = 0};
    if (!registration_stands(registration))
        return false;
    stop_waiting(registration);
    timer_cancel(&device->wheel, &registration->soon);
    coap_message_init(&message, COAP_CON, COAP_POST, 0, SLICE_NONE);
    add_location(&message, registration);
    if (device->options->pelion) {
        update_as_pelion(registration, &message);
        return true;
    }
    if (registration->announced_lifetime_s != device->lifetime_s || !registration->confirmed)
        add_lifetime(&message, &query, device->lifetime_s);
    if (strcmp(registration->announced_binding, device->binding) != 0 || !registration->confirmed)
        add_query(&message, &query, "b", device->binding);
    struct slice links = make_links(device);
    if (registration->announced_links != digest_of(links) || !registration->confirmed) {
        coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
        message.payload = links;
        registration->announced_links = digest_of(links);
    }
    await(registration, REGISTRATION_UPDATING, &message, on_update_answer);
    return true;
}

void registration_reconnected(struct registration *registration) {
    if (registration->state == REGISTRATION_REGISTERED)
        registration_update(registration);
}

static void on_soon(struct timer *timer, void *arg) {
    (void)arg;
    registration_update(TIMER_OWNER(timer, struct registration, soon));
}

void registration_update_soon(struct registration *registration) {
    timer_schedule(&registration->device->wheel, &registration->soon, now_ms(registration), on_soon);
}

/* ---- De-register ---- */

static void leave(struct registration *registration) {
    void (*left)(void *arg) = registration->left;
    stop_waiting(registration);
    registration->state = REGISTRATION_NONE;
    registration->left = NULL;
    if (left != NULL)
        left(registration->left_arg);
}

static void on_deregister_answer(void *arg, const struct coap_reply *reply) {
    struct registration *registration = arg;
    registration->call = NULL;
    if (is_reply(reply, COAP_2_02_DELETED))
        report_event(report_of(registration), "deregistered", "Client deregistered");
    else
        report_failure(report_of(registration), "deregistration_failed", "Deregistration", reply, 0);
    leave(registration);
}

static void on_deregister_timeout(struct timer *timer, void *arg) {
    (void)arg;
    struct registration *registration = TIMER_OWNER(timer, struct registration, timer);
    report_unusable(report_of(registration), "deregistration_failed", "Deregistration", "no answer", 0);
    leave(registration);
}

bool registration_deregister(struct registration *registration, void (*left)(void *arg), void *arg) {
    struct coap_message message;
    bool is_registered = registration_stands(registration) || registration->state == REGISTRATION_DEREGISTERING;
    registration_end(registration);
    observer_end(&registration->device->observer);
    if (!is_registered)
        return false;
    registration->left = left;
    registration->left_arg = arg;
    coap_message_init(&message, COAP_CON, COAP_DELETE, 0, SLICE_NONE);
    add_location(&message, registration);
    schedule(registration, DEREGISTER_WAIT_MS, on_deregister_timeout);
    await(registration, REGISTRATION_DEREGISTERING, &message, on_deregister_answer);
    return true;
}

void registration_end(struct registration *registration) {
    stop_waiting(registration);
    timer_cancel(&registration->device->wheel, &registration->soon);
    registration->state = REGISTRATION_NONE;
    registration->left = NULL;
}
