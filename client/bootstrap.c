#include "client/bootstrap.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/device.h"
#include "client/request.h"
#include "common/base/random.h"

enum {
    RETRY_FIRST_MS = 1000,
    RETRY_LAST_MS = 60000,
    /* What holds when object 1 does not say (Core 1.2 §6.2.1.1); in 1.0 there is the count alone. */
    RETRY_COUNT = 5,
    RETRY_TIMER_S = 60,
    SEQUENCE_DELAY_S = 86400,
    SEQUENCE_COUNT = 1,
    LONGEST_WAIT_S = 10 * 365 * 86400,
};

static const char failed[] = "bootstrap_failed", what[] = "Bootstrap";

static void begin(struct bootstrap *bootstrap);
static void schedule_purge(struct bootstrap *bootstrap);
static void register_with(struct bootstrap *bootstrap, const struct server_account *account);

void bootstrap_init(struct bootstrap *bootstrap, struct device *device) {
    *bootstrap = (struct bootstrap){.device = device, .state = BOOTSTRAP_NONE};
}

static const struct report *report_of(const struct bootstrap *bootstrap) {
    return &bootstrap->device->report;
}

static void schedule(struct bootstrap *bootstrap, uint64_t after_ms, timer_fn *fn) {
    struct device *device = bootstrap->device;
    timer_schedule(&device->wheel, &bootstrap->timer, clock_now_ms(&device->clock) + after_ms, fn);
}

static void stop_waiting(struct bootstrap *bootstrap) {
    timer_cancel(&bootstrap->device->wheel, &bootstrap->timer);
    if (bootstrap->call != NULL)
        coap_call_cancel(bootstrap->call);
    bootstrap->call = NULL;
}

bool bootstrap_is_under_way(const struct bootstrap *bootstrap) {
    return bootstrap->state == BOOTSTRAP_REQUESTING || bootstrap->state == BOOTSTRAP_UNDER_WAY;
}

bool bootstrap_is_busy(const struct bootstrap *bootstrap) {
    return bootstrap->state != BOOTSTRAP_NONE;
}

static uint64_t back_off_ms(struct bootstrap *bootstrap) {
    if (bootstrap->device->options->pelion)
        return pelion_back_off_ms(bootstrap->failures++);
    uint64_t wait = RETRY_LAST_MS;
    if (bootstrap->failures < 6)
        wait = (uint64_t)RETRY_FIRST_MS << bootstrap->failures;
    bootstrap->failures++;
    return wait + random_below(wait / 2 + 1);
}

/* ---- what was before ---- */

static void forget_before(struct bootstrap *bootstrap) {
    if (bootstrap->before != NULL)
        mbedtls_platform_zeroize(bootstrap->before, bootstrap->before_len);
    free(bootstrap->before);
    bootstrap->before = NULL;
    bootstrap->before_len = 0;
}

static void remember_before(struct bootstrap *bootstrap) {
    struct buffer out = buffer_over(memory_or_exit(malloc(KEPT_MAX)), KEPT_MAX);
    forget_before(bootstrap);
    kept_put(bootstrap->device, &out); /* what is there was kept, so it fits */
    bootstrap->before = memory_or_exit(malloc(out.len));
    memcpy(bootstrap->before, out.data, out.len);
    bootstrap->before_len = out.len;
    mbedtls_platform_zeroize(out.data, out.len);
    free(out.data);
}

static void restore_before(struct bootstrap *bootstrap) {
    if (bootstrap->before != NULL)
        kept_take(bootstrap->device, slice_of(bootstrap->before, bootstrap->before_len));
    forget_before(bootstrap);
}

/* ---- failing ---- */

static void on_begin(struct timer *timer, void *arg) {
    (void)arg;
    begin(TIMER_OWNER(timer, struct bootstrap, timer));
}

static void on_return(struct timer *timer, void *arg) {
    struct bootstrap *bootstrap = TIMER_OWNER(timer, struct bootstrap, timer);
    struct server_account account;
    (void)arg;
    if (server_account_first(bootstrap->device, &account))
        register_with(bootstrap, &account);
    else
        begin(bootstrap);
}

/* A server that was good before the bootstrap is gone back to, unless it does not want the device. */
static void fail_with(struct bootstrap *bootstrap, const struct coap_reply *reply, const char *why) {
    uint64_t wait_ms = back_off_ms(bootstrap);
    stop_waiting(bootstrap);
    restore_before(bootstrap);
    schedule_purge(bootstrap);
    if (reply != NULL)
        report_failure(report_of(bootstrap), failed, what, reply, wait_ms);
    else
        report_unusable(report_of(bootstrap), failed, what, why, wait_ms);
    bootstrap->state = BOOTSTRAP_WAITING;
    schedule(bootstrap, wait_ms, bootstrap->is_done && !bootstrap->is_refused ? on_return : on_begin);
    if (bootstrap->device->options->pelion)
        pelion_close(&bootstrap->device->pelion);
}

/* EXCHANGE_LIFETIME after the last command nothing can come any more (Core 1.2 §6.1.6). */
static void on_silence(struct timer *timer, void *arg) {
    (void)arg;
    fail_with(TIMER_OWNER(timer, struct bootstrap, timer), NULL, "the server has not finished");
}

void bootstrap_touch(struct bootstrap *bootstrap) {
    const struct options *options = bootstrap->device->options;
    if (bootstrap_is_under_way(bootstrap) && bootstrap->call == NULL)
        schedule(bootstrap, options->pelion ? PELION_HANGS_MS : coap_exchange_lifetime_ms(&options->coap), on_silence);
}

/* A request that is not answered yet learns it by itself. */
void bootstrap_lose_link(struct bootstrap *bootstrap) {
    if (bootstrap->state == BOOTSTRAP_UNDER_WAY)
        fail_with(bootstrap, NULL, "the server has ended the connection");
}

static void on_given_up(struct timer *timer, void *arg) {
    (void)arg;
    fail_with(TIMER_OWNER(timer, struct bootstrap, timer), NULL, "a command could not be followed");
}

void bootstrap_give_up_soon(struct bootstrap *bootstrap) {
    schedule(bootstrap, 0, on_given_up);
}

/* ---- asking ---- */

/* The number of one format, after `name`. */
struct query {
    char endpoint[OPTIONS_ENDPOINT_MAX + 4], format[16], accounts[256];
};

static void add_endpoint(const struct bootstrap *bootstrap, struct coap_message *message, struct query *query) {
    snprintf(query->endpoint, sizeof query->endpoint, "ep=%s", bootstrap->device->endpoint);
    coap_option_add(message, COAP_URI_QUERY, slice_str(query->endpoint));
}

static void on_answer(void *arg, const struct coap_reply *reply);

static void ask(struct bootstrap *bootstrap, const struct coap_message *message) {
    struct device *device = bootstrap->device;
    bootstrap->state = BOOTSTRAP_REQUESTING;
    bootstrap->call = device_call(device, message, on_answer, bootstrap);
    if (bootstrap->call == NULL)
        fail_with(bootstrap, NULL, "too much is waiting to be sent");
}

static void request_bootstrap(struct bootstrap *bootstrap) {
    const struct device *device = bootstrap->device;
    struct coap_message message;
    struct query query;
    bootstrap->asks_pack = false;
    coap_message_init(&message, COAP_CON, COAP_POST, 0, SLICE_NONE);
    destination_add_path(&device->destination, &message, "bs");
    if (device->options->pelion) {
        struct pelion_query own;
        pelion_add_bootstrap_query(&device->pelion, &message, &own);
        ask(bootstrap, &message);
        return;
    }
    add_endpoint(bootstrap, &message, &query);
    if (device->options->bootstrap_format != COAP_FORMAT_NONE) {
        snprintf(query.format, sizeof query.format, "pct=%d", device->options->bootstrap_format);
        coap_option_add(&message, COAP_URI_QUERY, slice_str(query.format));
    }
    destination_add_query(&device->destination, &message);
    ask(bootstrap, &message);
}

/* Which instances belong to the bootstrap server's account, so that the pack uses others (Core 1.2 §6.1.7.7). */
static void put_accounts(const struct device *device, struct buffer *out) {
    for (size_t i = 0; i < device->object_count; i++) {
        const struct object *object = &device->objects[i];
        for (size_t k = 0; k < object->instance_count; k++) {
            if (server_account_is_bootstraps(device, object->id, object->instances[k].id))
                buffer_printf(out, "%s</%u/%u>", out->len > 0 ? "," : "acc=", object->id, object->instances[k].id);
        }
    }
}

static void request_pack(struct bootstrap *bootstrap) {
    const struct device *device = bootstrap->device;
    struct coap_message message;
    struct coap_uint accept;
    struct query query;
    struct buffer accounts = buffer_over(query.accounts, sizeof query.accounts - 1);
    int format = device->options->bootstrap_format;
    bootstrap->asks_pack = true;
    coap_message_init(&message, COAP_CON, COAP_GET, 0, SLICE_NONE);
    destination_add_path(&device->destination, &message, "bspack");
    add_endpoint(bootstrap, &message, &query);
    put_accounts(device, &accounts);
    if (accounts.len > 0 && !accounts.overflow)
        coap_option_add(&message, COAP_URI_QUERY, buffer_slice(&accounts));
    destination_add_query(&device->destination, &message);
    coap_option_add_uint(&message, COAP_ACCEPT, (uint32_t)format, &accept);
    ask(bootstrap, &message);
}

/* Its account, or, where a server has overwritten that, the address that the device was made with. */
static bool reach_server(struct bootstrap *bootstrap, char *error, size_t error_size) {
    struct device *device = bootstrap->device;
    const struct instance *security = server_account_bootstrap(device);
    if (security != NULL)
        return device_reach(device, server_account_bytes(security, SECURITY_URI),
                            security_is_given(security, device->options->server_text) ? LWM2M_ID_NONE : security->id,
                            error, error_size);
    return device_reach(device, slice_str(device->options->server_text), LWM2M_ID_NONE, error, error_size);
}

static void begin(struct bootstrap *bootstrap) {
    struct device *device = bootstrap->device;
    char error[256];
    stop_waiting(bootstrap);
    timer_cancel(&device->wheel, &bootstrap->purge); /* of the account that is used now */
    registration_end(&device->registration);
    observer_end(&device->observer);
    remember_before(bootstrap);
    bootstrap->attempts = bootstrap->sequences = 0;
    bootstrap->state = BOOTSTRAP_WAITING;
    if (!reach_server(bootstrap, error, sizeof error)) {
        fail_with(bootstrap, NULL, error);
        return;
    }
    report_text(report_of(bootstrap), "bootstrap_started", slice_str("Bootstrapping from"), device->destination.text);
    if (device->options->asks_pack)
        request_pack(bootstrap);
    else
        request_bootstrap(bootstrap);
}

/* The time that the device is to wait before it asks by itself (0/x/11). */
static void begin_after(struct bootstrap *bootstrap, uint64_t wait_ms) {
    const struct instance *security = server_account_bootstrap(bootstrap->device);
    uint64_t hold_off_s = security == NULL ? 0 : server_account_number(security, SECURITY_HOLD_OFF, 0);
    if (hold_off_s > LONGEST_WAIT_S)
        hold_off_s = LONGEST_WAIT_S;
    stop_waiting(bootstrap);
    registration_end(&bootstrap->device->registration);
    bootstrap->state = BOOTSTRAP_WAITING;
    schedule(bootstrap, wait_ms + hold_off_s * 1000, on_begin);
}

const char *bootstrap_begin_soon(struct bootstrap *bootstrap) {
    if (!bootstrap->device->options->bootstraps)
        return "there is no bootstrap server";
    if (bootstrap->is_purged)
        return "the account of the bootstrap server has been purged";
    schedule(bootstrap, 0, on_begin);
    return NULL;
}

/* ---- being answered ---- */

static void take_pack(struct bootstrap *bootstrap, const struct coap_reply *reply) {
    struct answer answer = {.format = COAP_FORMAT_NONE};
    const char *problem;
    bootstrap->state = BOOTSTRAP_UNDER_WAY;
    if (!bootstrap_take_pack(bootstrap->device, coap_content_format(reply->message), reply->body, &answer))
        fail_with(bootstrap, NULL, answer.diagnostic != NULL ? answer.diagnostic : "the pack's format is not spoken");
    else if ((problem = bootstrap_finish(bootstrap)) != NULL)
        fail_with(bootstrap, NULL, problem);
}

/* 2.04 first, then the commands; over UDP the first of them may overtake it. A server without packs is asked for a
 * bootstrap instead. */
static void on_answer(void *arg, const struct coap_reply *reply) {
    struct bootstrap *bootstrap = arg;
    bool is_answer = reply->result == COAP_CALL_REPLY;
    uint8_t code = is_answer ? reply->message->code : COAP_EMPTY;
    bootstrap->call = NULL;
    if (bootstrap->state != BOOTSTRAP_REQUESTING)
        return;
    if (bootstrap->asks_pack && code == COAP_2_05_CONTENT) {
        take_pack(bootstrap, reply);
    } else if (bootstrap->asks_pack && is_answer) {
        report_failure(report_of(bootstrap), "bootstrap_pack_failed", "Bootstrap-Pack", reply, 0);
        request_bootstrap(bootstrap);
    } else if (code == COAP_2_04_CHANGED) {
        bootstrap->state = BOOTSTRAP_UNDER_WAY;
        bootstrap_touch(bootstrap);
    } else {
        fail_with(bootstrap, reply, NULL);
    }
}

/* ---- the end of the bootstrap server's account ---- */

/* The account, and what of other objects is its own. */
static void purge(struct device *device) {
    static const uint16_t objects[] = {ACCOUNT_OSCORE, ACCOUNT_COSE, ACCOUNT_SECURITY};
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        struct object *object = device_object(device, objects[i]);
        for (size_t k = object->instance_count; k > 0; k--) {
            if (server_account_is_bootstraps(device, object->id, object->instances[k - 1].id))
                object_delete(object, object->instances[k - 1].id);
        }
    }
}

static void on_purge(struct timer *timer, void *arg) {
    struct bootstrap *bootstrap = TIMER_OWNER(timer, struct bootstrap, purge);
    (void)arg;
    bootstrap->purge_ms = 0;
    bootstrap->is_purged = true;
    purge(bootstrap->device);
    kept_save(bootstrap->device);
    report_event(report_of(bootstrap), "bootstrap_purged", "Account of the bootstrap server purged");
}

static void schedule_purge(struct bootstrap *bootstrap) {
    struct device *device = bootstrap->device;
    if (bootstrap->purge_ms > 0)
        timer_schedule(&device->wheel, &bootstrap->purge, bootstrap->purge_ms, on_purge);
    else
        timer_cancel(&device->wheel, &bootstrap->purge);
}

/* 0/x/12, from a bootstrap that was good. */
static uint64_t purge_time(const struct device *device) {
    const struct instance *security = server_account_bootstrap(device);
    uint64_t timeout_s = security == NULL ? 0 : server_account_number(security, SECURITY_TIMEOUT, 0);
    return timeout_s == 0 || timeout_s > LONGEST_WAIT_S ? 0 : clock_now_ms(&device->clock) + timeout_s * 1000;
}

/* ---- finishing ---- */

static void on_finished(struct timer *timer, void *arg) {
    struct bootstrap *bootstrap = TIMER_OWNER(timer, struct bootstrap, timer);
    report_event(report_of(bootstrap), "bootstrapped", "Client bootstrapped");
    schedule_purge(bootstrap);
    attribute_list_free(&bootstrap->device->attributes); /* they were a server's that may be gone */
    on_return(timer, arg);
}

static void on_unacknowledged(struct timer *timer, void *arg) {
    (void)arg;
    fail_with(TIMER_OWNER(timer, struct bootstrap, timer), NULL, "the answer to Finish was not acknowledged");
}

/* It is answered when it is kept, and what follows waits until it is answered. */
const char *bootstrap_finish(struct bootstrap *bootstrap) {
    struct device *device = bootstrap->device;
    bool was_done = bootstrap->is_done;
    uint64_t before_ms = bootstrap->purge_ms;
    if (!server_account_judge(device, bootstrap->problem))
        return bootstrap->problem;
    bootstrap->is_done = true;
    bootstrap->purge_ms = purge_time(device);
    if (!kept_save(device)) {
        bootstrap->is_done = was_done;
        bootstrap->purge_ms = before_ms;
        return "what was given cannot be written to --state";
    }
    forget_before(bootstrap);
    stop_waiting(bootstrap);
    bootstrap->is_refused = false;
    bootstrap->state = BOOTSTRAP_FINISHED;
    if (device->options->pelion) /* the answer is a message of its own, which must arrive */
        schedule(bootstrap, 2 * coap_max_transmit_wait_ms(&device->options->coap), on_unacknowledged);
    else
        schedule(bootstrap, 0, on_finished);
    return NULL;
}

void bootstrap_acknowledged(struct bootstrap *bootstrap) {
    if (bootstrap->state == BOOTSTRAP_FINISHED)
        schedule(bootstrap, 0, on_finished);
}

/* ---- registering with what was given ---- */

static uint64_t seconds_of(const struct instance *server, uint16_t resource, uint64_t otherwise_s) {
    uint64_t seconds = server_account_number(server, resource, otherwise_s);
    return seconds > LONGEST_WAIT_S ? LONGEST_WAIT_S : seconds;
}

/* As when it does not answer. */
static void cannot_register(struct bootstrap *bootstrap, const char *why) {
    static const char event[] = "registration_failed", about[] = "Registration";
    const struct coap_reply unsent = {.result = COAP_CALL_CANCELLED};
    uint64_t wait_ms;
    if (bootstrap_takes_over(bootstrap, &unsent, &wait_ms)) {
        report_unusable(report_of(bootstrap), event, about, why, 0);
        return;
    }
    if (wait_ms == 0)
        wait_ms = back_off_ms(bootstrap);
    report_unusable(report_of(bootstrap), event, about, why, wait_ms);
    bootstrap->state = BOOTSTRAP_WAITING;
    schedule(bootstrap, wait_ms, on_return);
}

static void register_with(struct bootstrap *bootstrap, const struct server_account *account) {
    struct device *device = bootstrap->device;
    char error[256];
    uint64_t delay_s = seconds_of(account->server, SERVER_INITIAL_DELAY, 0);
    bootstrap->state = BOOTSTRAP_NONE;
    device->server_instance = account->server->id;
    server_object_take(device_object(device, ACCOUNT_SERVER));
    if (!device_reach(device, server_account_bytes(account->security, SECURITY_URI), account->security->id, error,
                      sizeof error))
        cannot_register(bootstrap, error);
    else if (delay_s > 0)
        registration_register_after(&device->registration, delay_s * 1000);
    else
        registration_register(&device->registration);
}

static void on_next_account(struct timer *timer, void *arg) {
    struct bootstrap *bootstrap = TIMER_OWNER(timer, struct bootstrap, timer);
    const struct device *device = bootstrap->device;
    struct server_account account;
    if (server_account_next(device, device->server_instance, &account))
        register_with(bootstrap, &account);
    else
        on_return(timer, arg);
}

/* Every sequence of attempts has failed: the next server, or bootstrap, or the first server after a while. */
static bool give_up(struct bootstrap *bootstrap, const struct instance *server, uint64_t *wait_ms) {
    struct device *device = bootstrap->device;
    struct server_account next;
    bootstrap->attempts = bootstrap->sequences = 0;
    bool blocks = server_account_truth(server, SERVER_FAILURE_BLOCK, false);
    if (!blocks && server_account_next(device, device->server_instance, &next)) {
        registration_end(&device->registration);
        bootstrap->state = BOOTSTRAP_WAITING;
        schedule(bootstrap, 0, on_next_account);
        return true;
    }
    if (server_account_truth(server, SERVER_BOOTSTRAP_ON_FAILURE, true) && !bootstrap->is_purged) {
        begin_after(bootstrap, bootstrap->failures == 0 ? 0 : back_off_ms(bootstrap));
        return true;
    }
    *wait_ms = seconds_of(server, SERVER_SEQUENCE_DELAY, SEQUENCE_DELAY_S) * 1000;
    return false;
}

bool bootstrap_refuse(struct bootstrap *bootstrap) {
    struct device *device = bootstrap->device;
    if (!device->options->bootstraps || bootstrap_is_busy(bootstrap))
        return false;
    bootstrap->is_refused = true;
    begin_after(bootstrap, pelion_refused_ms(&device->pelion));
    return true;
}

bool bootstrap_takes_over(struct bootstrap *bootstrap, const struct coap_reply *reply, uint64_t *wait_ms) {
    struct device *device = bootstrap->device;
    *wait_ms = 0;
    if (!device->options->bootstraps)
        return false;
    if (device->options->pelion) {
        bool is_reply = reply->result == COAP_CALL_REPLY;
        uint8_t code = is_reply ? reply->message->code : COAP_EMPTY;
        bool is_refused = code == COAP_4_00_BAD_REQUEST || code == COAP_4_03_FORBIDDEN ||
                          reply->result == COAP_CALL_CANCELLED; /* there was no session */
        return is_refused && bootstrap_refuse(bootstrap);
    }
    const struct instance *server = object_instance(device_object(device, ACCOUNT_SERVER), device->server_instance);
    if (server == NULL)
        return false;
    if (reply->result == COAP_CALL_REPLY && reply->message->code == COAP_4_03_FORBIDDEN && !bootstrap->is_purged) {
        uint64_t after_ms = bootstrap->failures == 0 ? 0 : back_off_ms(bootstrap);
        bootstrap->failures += bootstrap->failures == 0;
        bootstrap->is_refused = true;
        begin_after(bootstrap, after_ms);
        return true;
    }
    uint64_t timer_s = seconds_of(server, SERVER_RETRY_TIMER, RETRY_TIMER_S);
    if (++bootstrap->attempts < server_account_number(server, SERVER_RETRY_COUNT, RETRY_COUNT)) {
        uint64_t times = (uint64_t)1 << (bootstrap->attempts < 20 ? bootstrap->attempts - 1 : 19);
        if (device->options->version > 10)
            *wait_ms = (timer_s * times > LONGEST_WAIT_S ? LONGEST_WAIT_S : timer_s * times) * 1000;
        return false;
    }
    bootstrap->attempts = 0;
    if (++bootstrap->sequences < server_account_number(server, SERVER_SEQUENCE_COUNT, SEQUENCE_COUNT)) {
        *wait_ms = seconds_of(server, SERVER_SEQUENCE_DELAY, SEQUENCE_DELAY_S) * 1000;
        return false;
    }
    return give_up(bootstrap, server, wait_ms);
}

void bootstrap_has_registered(struct bootstrap *bootstrap) {
    bootstrap->failures = 0;
    bootstrap->attempts = bootstrap->sequences = 0;
}

/* ---- life ---- */

bool bootstrap_start(struct bootstrap *bootstrap, char *error, size_t error_size) {
    struct device *device = bootstrap->device;
    struct server_account account;
    enum kept_found found = kept_load(device, error, error_size);
    if (found == KEPT_FAILED)
        return false;
    schedule_purge(bootstrap);
    if (found == KEPT_NOTHING && !kept_save(device)) {
        snprintf(error, error_size, "--state: %s cannot be written", device->kept.path);
        return false;
    }
    if (bootstrap->is_done && server_account_first(device, &account))
        register_with(bootstrap, &account);
    else
        begin(bootstrap);
    return true;
}

void bootstrap_end(struct bootstrap *bootstrap) {
    stop_waiting(bootstrap);
    timer_cancel(&bootstrap->device->wheel, &bootstrap->purge);
    forget_before(bootstrap);
    bootstrap->state = BOOTSTRAP_NONE;
}

void bootstrap_forget(struct bootstrap *bootstrap) {
    struct device *device = bootstrap->device;
    bootstrap_end(bootstrap);
    kept_forget(device);
    bootstrap_init(bootstrap, device);
    kept_save(device);
    begin(bootstrap);
}
