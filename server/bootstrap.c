#include "server/bootstrap.h"

#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/coap/option.h"
#include "server/admission.h"
#include "server/bootstrap_keys.h"
#include "server/bootstrap_plan.h"
#include "server/bootstrap_request.h"
#include "server/dtls_service.h"
#include "server/persist.h"
#include "server/profile.h"
#include "server/refusal.h"
#include "server/trace.h"

enum {
    RECORDS_MAX = 192,  /* every step of the largest plan, most of them twice */
    BUSY_RETRY_MS = 20, /* while another change of the endpoint's credentials waits for its commit… */
    BUSY_RETRIES = 500, /* …and so often */
    FACTS_MAX = 1536,   /* of an event */
    HOST_MAX = 255,     /* Uri-Host */
    PELION_BLOCK = 512, /* what the vendor's clients take (MCC §4) */
};

enum phase {
    PHASE_LOOK,  /* Discovers and Reads */
    PHASE_MAKE,  /* certificates, on the pool */
    PHASE_GIVE,  /* Deletes and Writes */
    PHASE_STORE, /* credentials, until they are committed; then Finish, or the pack */
    PHASE_FINISH,
    PHASE_OVER,
};

struct session {
    TAILQ_ENTRY(session) entry; /* of those under way, or of those that are over */
    struct server *server;
    struct link *link;
    struct coap_exchange *exchange; /* of a pack that is not answered yet */
    struct coap_call *call;
    struct issuer_job *job;
    struct timer limit, retry;
    bool storing; /* a commit is on its way: the session's memory is needed until it ends */
    enum phase phase;
    enum bootstrap_state state;
    enum bootstrap_sequence sequence;
    int format;
    bool is_again;       /* the step under way has been tried before */
    bool has_registered; /* since it was sent the Finish */
    unsigned busy;
    struct bootstrap_facts facts;
    uint8_t *config_bytes; /* what the configuration points into */
    size_t config_len;
    struct bootstrap_config *config;
    struct bootstrap_origin origins[BOOTSTRAP_ACCOUNTS_MAX];
    struct buffer room; /* what was made */
    struct bootstrap_plan *plan;
    size_t step, account, credential; /* the next ones */
    uint64_t started_ms, ended_ms;
    struct address address;
    const char *reason;
    struct bootstrap_record *records;
    size_t record_count, payload_len;
    struct slice query, host;
    uint8_t texts[];
};

TAILQ_HEAD(sessions, session);

struct bootstrap {
    struct server *server;
    struct sessions running, over;
    size_t running_count, over_count;
};

static void go_on(struct session *s);
static void end(struct session *s, enum bootstrap_state state, const char *reason);

/* ---- sessions ---- */

struct bootstrap *bootstrap_new(struct server *server) {
    struct bootstrap *all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->server = server;
    TAILQ_INIT(&all->running);
    TAILQ_INIT(&all->over);
    return all;
}

/* Everything that a session needs to run, and that its report does not tell. */
static void forget_work(struct session *s) {
    bootstrap_plan_free(s->plan);
    s->plan = NULL;
    if (s->room.data != NULL)
        mbedtls_platform_zeroize(s->room.data, s->room.cap);
    free(s->room.data);
    s->room = buffer_over(NULL, 0);
    if (s->config_bytes != NULL)
        mbedtls_platform_zeroize(s->config_bytes, s->config_len);
    free(s->config_bytes);
    s->config_bytes = NULL;
    if (s->config != NULL)
        mbedtls_platform_zeroize(s->config, sizeof *s->config);
    free(s->config);
    s->config = NULL;
}

static void session_free(struct session *s) {
    forget_work(s);
    if (s->link != NULL)
        link_unref(s->link);
    for (size_t i = 0; i < s->record_count; i++)
        free(s->records[i].answer);
    free(s->records);
    free(s);
}

static void drop_report(struct bootstrap *all, struct session *s) {
    TAILQ_REMOVE(&all->over, s, entry);
    all->over_count--;
    session_free(s);
}

/* A report for each endpoint, the last ones. */
static void keep_report(struct bootstrap *all, struct session *s) {
    struct session *other, *next;
    for (other = TAILQ_FIRST(&all->over); other != NULL; other = next) {
        next = TAILQ_NEXT(other, entry);
        if (slice_equal(other->facts.endpoint, s->facts.endpoint) && !other->storing)
            drop_report(all, other);
    }
    TAILQ_INSERT_TAIL(&all->over, s, entry);
    all->over_count++;
    for (other = TAILQ_FIRST(&all->over); other != NULL && all->over_count > BOOTSTRAP_REPORTS_MAX; other = next) {
        next = TAILQ_NEXT(other, entry);
        if (!other->storing)
            drop_report(all, other);
    }
}

static const char *sequence_of(const struct session *s) {
    return bootstrap_sequence_name(s->sequence);
}

static void publish(struct session *s, enum event_type type, const char *detail, const struct lwm2m_path *path,
                    uint8_t code, const struct buffer *facts) {
    struct event event = {.type = type,
                          .endpoint = s->facts.endpoint,
                          .detail = slice_str(detail),
                          .address = s->address,
                          .coap_code = code,
                          .facts = facts == NULL ? SLICE_NONE : buffer_slice(facts)};
    if (path != NULL) {
        event.has_node = true;
        event.node = (struct lwm2m_node){.path = *path, .value = {.type = LWM2M_NONE}};
    }
    event_publish(s->server->events, &event);
    persist_event_numbers(s->server);
}

static void publish_started(struct session *s) {
    if (s->server->trace != NULL)
        trace_follow(s->server->trace, s->facts.endpoint, s->link);
    uint8_t memory[FACTS_MAX];
    struct buffer facts = buffer_over(memory, sizeof memory);
    event_fact_put(&facts, EVENT_FACT_PROCEDURE, slice_str(sequence_of(s)));
    event_fact_put(&facts, EVENT_FACT_FORMAT, slice_str(lwm2m_format_name((enum lwm2m_format)s->format)));
    event_fact_put(&facts, EVENT_FACT_SECURITY, slice_str(link_security_name(admission_security(s->link))));
    if (s->query.len > 0)
        event_fact_put(&facts, EVENT_FACT_QUERY, s->query);
    publish(s, EVENT_BOOTSTRAP_STARTED, "", NULL, COAP_EMPTY, &facts);
}

static void put_record_facts(struct buffer *facts, const struct bootstrap_record *record) {
    event_fact_put(facts, EVENT_FACT_OPERATION, slice_str(bootstrap_verb_name(record->verb)));
    if (record->diagnostic_len > 0)
        event_fact_put(facts, EVENT_FACT_DIAGNOSTIC, slice_of(record->diagnostic, record->diagnostic_len));
}

/* With the step that it failed at, when it was one. */
static void publish_failed(struct session *s, const char *why) {
    uint8_t memory[FACTS_MAX];
    struct buffer facts = buffer_over(memory, sizeof memory);
    const struct bootstrap_record *last = s->record_count == 0 ? NULL : &s->records[s->record_count - 1];
    bool is_about_step = last != NULL && COAP_CODE_CLASS(last->code) != 2;
    event_fact_put(&facts, EVENT_FACT_PROCEDURE, slice_str(sequence_of(s)));
    if (is_about_step)
        put_record_facts(&facts, last);
    publish(s, EVENT_BOOTSTRAP_FAILED, why, is_about_step ? &last->path : NULL, is_about_step ? last->code : COAP_EMPTY,
            &facts);
}

/* It is over, and what waits for a commit goes with that. */
static void end(struct session *s, enum bootstrap_state state, const char *reason) {
    struct bootstrap *all = s->server->bootstrap;
    if (s->phase == PHASE_OVER)
        return;
    s->phase = PHASE_OVER;
    s->state = state;
    s->reason = reason;
    s->ended_ms = clock_now_ms(&s->server->clock);
    timer_cancel(&s->server->wheel, &s->limit);
    timer_cancel(&s->server->wheel, &s->retry);
    if (s->call != NULL)
        coap_call_cancel(s->call);
    if (s->job != NULL)
        issuer_cancel(s->job);
    s->call = NULL;
    s->job = NULL;
    if (s->exchange != NULL)
        coap_respond_unavailable(s->server->coap, s->exchange, REFUSAL_RETRY_AFTER_S, reason);
    s->exchange = NULL;
    if (state == BOOTSTRAP_FINISHED)
        publish(s, EVENT_BOOTSTRAP_FINISHED, "", NULL, COAP_EMPTY, NULL);
    else
        publish_failed(s, reason);
    if (!s->storing)
        forget_work(s);
    link_unref(s->link);
    s->link = NULL;
    TAILQ_REMOVE(&all->running, s, entry);
    all->running_count--;
    keep_report(all, s);
}

static void fail(struct session *s, const char *reason) {
    end(s, BOOTSTRAP_FAILED, reason);
}

static void on_limit(struct timer *timer, void *arg) {
    (void)arg;
    fail(TIMER_OWNER(timer, struct session, limit), "it has taken longer than 30 minutes");
}

/* BS-08: what was under way with this endpoint, or over this link, is over. */
static void supersede(struct bootstrap *all, struct slice endpoint, const struct link *link) {
    struct session *s, *next;
    for (s = TAILQ_FIRST(&all->running); s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (s->link == link || slice_equal(s->facts.endpoint, endpoint))
            end(s, BOOTSTRAP_SUPERSEDED, "the device, or another with its name, has asked for bootstrap anew");
    }
}

void bootstrap_link_ended(struct server *server, const struct link *link) {
    struct session *s, *next;
    if (server->bootstrap == NULL)
        return;
    for (s = TAILQ_FIRST(&server->bootstrap->running); s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (s->link == link && s->has_registered)
            end(s, BOOTSTRAP_FINISHED, "");
        else if (s->link == link)
            fail(s, "the device has ended the session");
    }
}

void bootstrap_endpoint_registered(struct server *server, struct slice endpoint) {
    struct session *s;
    if (server->bootstrap == NULL)
        return;
    TAILQ_FOREACH(s, &server->bootstrap->running, entry) {
        if (s->phase == PHASE_FINISH && slice_equal(s->facts.endpoint, endpoint))
            s->has_registered = true;
    }
}

bool bootstrap_uses_link(const struct server *server, const struct link *link) {
    const struct session *s;
    TAILQ_FOREACH(s, &server->bootstrap->running, entry) {
        if (s->link == link)
            return true;
    }
    return false;
}

/* Nothing is published: who is left comes again after the restart. */
void bootstrap_stop(struct bootstrap *all) {
    struct session *s;
    if (all == NULL)
        return;
    while ((s = TAILQ_FIRST(&all->running)) != NULL) {
        s->phase = PHASE_OVER;
        timer_cancel(&all->server->wheel, &s->limit);
        timer_cancel(&all->server->wheel, &s->retry);
        if (s->call != NULL)
            coap_call_cancel(s->call);
        if (s->job != NULL)
            issuer_cancel(s->job);
        s->call = NULL;
        s->job = NULL;
        link_unref(s->link);
        s->link = NULL;
        TAILQ_REMOVE(&all->running, s, entry);
        TAILQ_INSERT_TAIL(&all->over, s, entry);
    }
}

void bootstrap_free(struct bootstrap *all) {
    struct session *s;
    if (all == NULL)
        return;
    while ((s = TAILQ_FIRST(&all->over)) != NULL) {
        TAILQ_REMOVE(&all->over, s, entry);
        session_free(s);
    }
    free(all);
}

/* ---- records ---- */

static struct bootstrap_record *add_record(struct session *s, const struct bootstrap_step *step) {
    if (s->record_count == RECORDS_MAX)
        return NULL;
    if ((s->record_count & (s->record_count + 1)) == 0 && s->record_count != 1) { /* 0, 3, 7, 15 … */
        size_t cap = s->record_count == 0 ? 3 : 2 * s->record_count + 1;
        struct bootstrap_record *grown = realloc(s->records, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        s->records = grown;
    }
    struct bootstrap_record *record = &s->records[s->record_count++];
    *record = (struct bootstrap_record){.verb = step->verb,
                                        .path = step->path,
                                        .at_ms = clock_now_ms(&s->server->clock),
                                        .outcome = "",
                                        .payload_len = s->payload_len,
                                        .format = COAP_FORMAT_NONE};
    return record;
}

static void keep_answer(struct bootstrap_record *record, const struct coap_reply *reply) {
    bool is_looking = record->verb == BOOTSTRAP_DISCOVER || record->verb == BOOTSTRAP_READ;
    if (COAP_CODE_CLASS(record->code) != 2) {
        record->diagnostic_len =
            reply->body.len < BOOTSTRAP_DIAGNOSTIC_MAX ? reply->body.len : BOOTSTRAP_DIAGNOSTIC_MAX;
        if (record->diagnostic_len > 0)
            memcpy(record->diagnostic, reply->body.data, record->diagnostic_len);
        return;
    }
    if (!is_looking || reply->body.len == 0)
        return;
    size_t kept = reply->body.len < BOOTSTRAP_ANSWER_KEPT_MAX ? reply->body.len : BOOTSTRAP_ANSWER_KEPT_MAX;
    record->answer = malloc(kept);
    if (record->answer == NULL)
        return;
    memcpy(record->answer, reply->body.data, kept);
    record->answer_kept = kept;
    record->answer_len = reply->body.len;
    record->format = coap_content_format(reply->message);
}

static void note(struct session *s, const struct bootstrap_step *step, const struct coap_reply *reply) {
    uint8_t memory[FACTS_MAX];
    struct buffer facts = buffer_over(memory, sizeof memory);
    bool answered = reply->result == COAP_CALL_REPLY;
    struct bootstrap_record *record = add_record(s, step);
    const char *outcome = answered ? "" : coap_call_result_text(reply->result);
    if (record == NULL)
        return;
    record->code = answered ? reply->message->code : COAP_EMPTY;
    record->outcome = outcome;
    record->rtt_ms = reply->rtt_ms;
    record->retransmissions = reply->retransmissions;
    if (answered)
        keep_answer(record, reply);
    put_record_facts(&facts, record);
    event_fact_put_number(&facts, EVENT_FACT_RTT_MS, record->rtt_ms);
    publish(s, EVENT_BOOTSTRAP_STEP, outcome, &step->path, record->code, &facts);
}

/* ---- commands ---- */

static bool add_path(struct coap_message *message, const struct lwm2m_path *path, uint8_t text[32]) {
    struct buffer ids = buffer_over(text, 32);
    for (size_t i = 0; i < path->len; i++) {
        size_t at = ids.len;
        buffer_put_decimal(&ids, path->ids[i]);
        if (!coap_option_add(message, COAP_URI_PATH, slice_of(text + at, ids.len - at)))
            return false;
    }
    return true;
}

static void on_reply(void *arg, const struct coap_reply *reply);

/* C §6.1, BS-11: confirmable, without a query, below no alternate path. */
static void send_step(struct session *s, const struct bootstrap_step *step) {
    static const uint8_t methods[BOOTSTRAP_VERB_COUNT] = {COAP_GET, COAP_GET, COAP_DELETE, COAP_PUT, COAP_POST};
    struct coap_message message;
    struct coap_uint accept, format;
    uint8_t text[32];
    struct buffer payload = buffer_over(NULL, 0);
    coap_message_init(&message, COAP_CON, methods[step->verb], 0, SLICE_NONE);
    add_path(&message, &step->path, text);
    if (step->verb == BOOTSTRAP_FINISH)
        coap_option_add(&message, COAP_URI_PATH, slice_str("bs"));
    if (step->verb == BOOTSTRAP_DISCOVER)
        coap_option_add_uint(&message, COAP_ACCEPT, COAP_FORMAT_LINK, &accept);
    if (step->verb == BOOTSTRAP_READ)
        coap_option_add_uint(&message, COAP_ACCEPT, (uint32_t)s->format, &accept);
    if (step->verb == BOOTSTRAP_WRITE) {
        if (!bootstrap_plan_encode(s->plan, step, s->format, &payload)) {
            free(payload.data);
            fail(s, "what is to be written can't be told in this content format");
            return;
        }
        coap_option_add_uint(&message, COAP_CONTENT_FORMAT, (uint32_t)s->format, &format);
        message.payload = buffer_slice(&payload);
    }
    s->payload_len = payload.len;
    const struct coap_call_options options = {.type = COAP_CON,
                                              .block_size = s->sequence == BOOTSTRAP_PELION ? PELION_BLOCK : 0};
    s->call = coap_call_with(s->server->coap, s->link, &message, &options, on_reply, s);
    if (payload.data != NULL)
        mbedtls_platform_zeroize(payload.data, payload.cap);
    free(payload.data);
    if (s->call == NULL)
        fail(s, "too many requests wait for the device");
}

static bool is_silence(enum coap_call_result result) {
    return result == COAP_CALL_NO_ACK || result == COAP_CALL_NO_RESPONSE;
}

/* BS-16, BS-21, BS-22: what is only looked at or cleared may be refused; what is written must be taken. A command that
 * is left without an answer is sent once more, with a new Message ID: one client ignores those it has seen. */
static enum bootstrap_policy_on_error policy_of(const struct session *s, enum bootstrap_verb verb,
                                                const struct coap_reply *reply) {
    enum bootstrap_policy_on_error policy = (enum bootstrap_policy_on_error)s->config->on_error[verb];
    bool is_look = verb == BOOTSTRAP_DISCOVER || verb == BOOTSTRAP_READ;
    if (reply->result != COAP_CALL_REPLY && !is_silence(reply->result) && reply->result != COAP_CALL_RESET)
        return BOOTSTRAP_STOP; /* nothing can be sent any more */
    if (policy == BOOTSTRAP_CONTINUE && verb == BOOTSTRAP_FINISH)
        return BOOTSTRAP_STOP;
    if (policy != BOOTSTRAP_DEFAULT)
        return policy;
    if (is_look)
        return BOOTSTRAP_CONTINUE;
    if (is_silence(reply->result))
        return BOOTSTRAP_RETRY;
    return verb == BOOTSTRAP_DELETE && reply->result == COAP_CALL_REPLY ? BOOTSTRAP_CONTINUE : BOOTSTRAP_STOP;
}

static const char *failure_of(const struct bootstrap_step *step, const struct coap_reply *reply) {
    if (reply->result != COAP_CALL_REPLY)
        return coap_call_result_text(reply->result);
    if (step->verb == BOOTSTRAP_FINISH &&
        (reply->message->code == COAP_4_06_NOT_ACCEPTABLE || reply->message->code == COAP_4_00_BAD_REQUEST))
        return "the device finds its configuration inconsistent"; /* C §6.1.6 */
    return "the device has refused a command";
}

static void on_acknowledged(struct timer *timer, void *arg) {
    (void)arg;
    go_on(TIMER_OWNER(timer, struct session, retry));
}

/* A response of its own is acknowledged when this returns: the next command waits for that. */
static void go_on_after(struct session *s, const struct coap_reply *reply) {
    if (reply->message != NULL && reply->message->type == COAP_CON)
        timer_schedule(&s->server->wheel, &s->retry, clock_now_ms(&s->server->clock), on_acknowledged);
    else
        go_on(s);
}

static void on_reply(void *arg, const struct coap_reply *reply) {
    struct session *s = arg;
    const struct bootstrap_step step = s->plan->steps[s->step];
    bool good = reply->result == COAP_CALL_REPLY && COAP_CODE_CLASS(reply->message->code) == 2;
    s->call = NULL;
    note(s, &step, reply);
    if (good && step.verb == BOOTSTRAP_DISCOVER)
        bootstrap_discovered(reply->body, &s->facts);
    if (step.verb == BOOTSTRAP_FINISH && reply->result != COAP_CALL_REPLY && s->has_registered)
        good = true;
    if (!good) {
        switch (policy_of(s, step.verb, reply)) {
        case BOOTSTRAP_RETRY:
            if (!s->is_again) {
                s->is_again = true;
                go_on_after(s, reply);
                return;
            }
            fail(s, failure_of(&step, reply));
            return;
        case BOOTSTRAP_CONTINUE:
            break;
        default:
            fail(s, failure_of(&step, reply));
            return;
        }
    }
    if (step.verb == BOOTSTRAP_FINISH) {
        end(s, BOOTSTRAP_FINISHED, "");
        return;
    }
    s->step++;
    s->is_again = false;
    go_on_after(s, reply);
}

/* ---- making ---- */

static void on_certificate(void *arg, const struct pki_pair *pair, const char *problem) {
    struct session *s = arg;
    s->job = NULL;
    clock_update(&s->server->clock);
    if (pair == NULL) {
        log_write(LOG_WARN, "bootstrap", "a certificate can't be made: %s", problem);
        fail(s, problem);
        return;
    }
    if (!bootstrap_keys_certify(&s->config->accounts[s->account], pair, &s->room)) {
        fail(s, "out of memory");
        return;
    }
    s->account++;
    go_on(s);
}

/* True when there is nothing (more) to make. */
static bool make_certificates(struct session *s) {
    char error[256];
    bool is_vendors = s->sequence == BOOTSTRAP_PELION;
    for (; s->account < s->config->account_count; s->account++) {
        if (!s->origins[s->account].needs_certificate)
            continue;
        const struct pki_request request = {.role = PKI_DEVICE,
                                            .name = s->facts.endpoint,
                                            .account = is_vendors ? s->facts.account : SLICE_NONE,
                                            .device_id = is_vendors ? s->facts.device_id : SLICE_NONE};
        s->job = issuer_make(s->server->issuer, &request, on_certificate, s, error, sizeof error);
        if (s->job != NULL)
            return false;
        log_write(LOG_WARN, "bootstrap", "a certificate can't be made: %s", error);
        fail(s, "a certificate can't be made");
        return false;
    }
    return true;
}

static bool begin_making(struct session *s) {
    const char *problem = "out of memory";
    size_t size = bootstrap_keys_size(s->config, &s->facts);
    s->room = buffer_over(malloc(size), size);
    if (s->room.data != NULL &&
        bootstrap_keys_make(s->server, s->link, s->host, &s->facts, s->config, s->sequence, &s->room, &problem))
        return true;
    fail(s, problem);
    return false;
}

static bool begin_giving(struct session *s) {
    const char *problem;
    bootstrap_plan_free(s->plan);
    s->step = 0;
    s->plan = bootstrap_plan_give(s->config, s->sequence, &s->facts, &problem);
    if (s->plan == NULL)
        fail(s, problem);
    return s->plan != NULL;
}

/* ---- storing ---- */

static void store_next(struct session *s);

static void on_retry(struct timer *timer, void *arg) {
    (void)arg;
    store_next(TIMER_OWNER(timer, struct session, retry));
}

static void on_stored(void *arg, enum store_result result) {
    struct session *s = arg;
    s->storing = false;
    if (s->phase == PHASE_OVER) { /* ended meanwhile */
        forget_work(s);
        return;
    }
    clock_update(&s->server->clock);
    if (result != STORE_OK) {
        fail(s, "its credentials can't be stored now");
        return;
    }
    s->credential++;
    store_next(s);
}

/* What the device is going to come with, before it may. */
static void store_next(struct session *s) {
    struct credential credential;
    if (!bootstrap_keys_credential(s->config, s->origins, s->facts.endpoint, s->credential, &credential)) {
        s->phase = PHASE_FINISH;
        go_on(s);
        return;
    }
    dtls_service_write_windows(s->server);
    s->storing = true; /* on_stored may be called at once */
    switch (credentials_put(s->server->credentials, &credential, on_stored, s)) {
    case CREDENTIAL_ACCEPTED:
        return;
    case CREDENTIAL_BUSY:
        s->storing = false;
        if (s->busy++ < BUSY_RETRIES)
            timer_schedule(&s->server->wheel, &s->retry, clock_now_ms(&s->server->clock) + BUSY_RETRY_MS, on_retry);
        else
            fail(s, "its credentials are being changed all the time");
        return;
    case CREDENTIAL_CONFLICT:
        s->storing = false;
        fail(s, "the identity in its configuration is another endpoint's");
        return;
    default:
        s->storing = false;
        fail(s, "there is no room for its credentials");
        return;
    }
}

/* ---- the pack ---- */

static void answer_pack(struct session *s) {
    struct coap_message response;
    struct coap_uint format;
    struct buffer payload;
    bool has_step = s->plan->step_count > 0;
    if (!has_step || !bootstrap_plan_encode(s->plan, s->plan->steps, s->format, &payload)) {
        if (has_step)
            free(payload.data);
        fail(s, "what is to be written can't be told in this content format");
        return;
    }
    coap_message_init(&response, COAP_ACK, COAP_2_05_CONTENT, 0, SLICE_NONE);
    coap_option_add_uint(&response, COAP_CONTENT_FORMAT, (uint32_t)s->format, &format);
    response.payload = buffer_slice(&payload);
    coap_respond(s->server->coap, s->exchange, &response);
    s->exchange = NULL;
    mbedtls_platform_zeroize(payload.data, payload.cap);
    free(payload.data);
    end(s, BOOTSTRAP_FINISHED, "");
}

/* ---- the session's way ---- */

/* Send the next step, or go to the next phase when there is none. */
static void go_on(struct session *s) {
    for (;;) {
        const struct bootstrap_step *step = s->step < s->plan->step_count ? &s->plan->steps[s->step] : NULL;
        switch (s->phase) {
        case PHASE_LOOK:
            if (step != NULL) {
                send_step(s, step);
                return;
            }
            s->phase = PHASE_MAKE;
            if (!begin_making(s))
                return;
            break;
        case PHASE_MAKE:
            if (!make_certificates(s) || !begin_giving(s))
                return;
            s->phase = PHASE_GIVE;
            break;
        case PHASE_GIVE:
            if (s->sequence != BOOTSTRAP_PACK && step != NULL && step->verb != BOOTSTRAP_FINISH) {
                send_step(s, step);
                return;
            }
            s->phase = PHASE_STORE;
            store_next(s);
            return;
        case PHASE_FINISH:
            if (s->sequence == BOOTSTRAP_PACK)
                answer_pack(s);
            else
                send_step(s, step);
            return;
        case PHASE_STORE:
        case PHASE_OVER:
            return;
        }
    }
}

/* ---- beginning ---- */

bool bootstrap_config_of(const struct server *server, struct slice endpoint, struct bootstrap_config *config,
                         bool *is_own) {
    struct slice bytes = bootstrap_configs_find(server->bootstrap_configs, endpoint);
    *is_own = bytes.data != NULL;
    if (bytes.data == NULL)
        bytes = bootstrap_configs_find(server->bootstrap_configs, SLICE_NONE);
    if (bytes.data != NULL)
        return bootstrap_config_decode(bytes, config);
    bootstrap_config_default(config);
    return true;
}

static struct slice copy_text(uint8_t **at, struct slice text) {
    struct slice copy = slice_of(*at, text.len);
    if (text.len > 0)
        memcpy(*at, text.data, text.len);
    *at += text.len;
    return copy;
}

static struct slice account_or_default(struct slice account) {
    return account.len > 0 && account.len <= 64 ? account : slice_str("default");
}

/* A session that has not begun. NULL when out of memory. */
static struct session *session_new(struct server *server, struct link *link, struct slice endpoint,
                                   const struct bootstrap_request *request, struct slice host) {
    struct device_id id = device_id_of(endpoint);
    struct slice account = account_or_default(request == NULL ? SLICE_NONE : request->account);
    struct slice query = request == NULL ? SLICE_NONE : slice_of(request->query, request->query_len);
    struct slice id_text = slice_str(id.hex);
    struct session *s = calloc(1, sizeof *s + endpoint.len + account.len + query.len + host.len + id_text.len);
    if (s == NULL)
        return NULL;
    uint8_t *at = s->texts;
    s->server = server;
    s->facts.endpoint = copy_text(&at, endpoint);
    s->facts.account = copy_text(&at, account);
    s->facts.device_id = copy_text(&at, id_text);
    s->query = copy_text(&at, query);
    s->host = copy_text(&at, host);
    s->facts.is_1_0 = request == NULL || !request->has_format;
    s->reason = "";
    s->address = link->peer;
    s->started_ms = clock_now_ms(&server->clock);
    struct slice bytes = bootstrap_configs_find(server->bootstrap_configs, endpoint);
    if (bytes.data == NULL)
        bytes = bootstrap_configs_find(server->bootstrap_configs, SLICE_NONE);
    s->config = malloc(sizeof *s->config);
    s->config_bytes = bytes.len == 0 ? NULL : malloc(bytes.len);
    bool good = s->config != NULL && (bytes.len == 0 || s->config_bytes != NULL);
    if (good && bytes.len > 0) { /* of its own: it may be changed while the session runs */
        memcpy(s->config_bytes, bytes.data, bytes.len);
        s->config_len = bytes.len;
        good = bootstrap_config_decode(slice_of(s->config_bytes, s->config_len), s->config);
    } else if (good) {
        bootstrap_config_default(s->config);
    }
    if (good)
        return s;
    session_free(s);
    return NULL;
}

/* The link is taken, the session is in the list, and others are over. */
static void begin(struct session *s, struct link *link) {
    struct bootstrap *all = s->server->bootstrap;
    supersede(all, s->facts.endpoint, link);
    s->link = link_ref(link);
    TAILQ_INSERT_TAIL(&all->running, s, entry);
    all->running_count++;
    timer_schedule(&s->server->wheel, &s->limit, s->started_ms + BOOTSTRAP_SESSION_MAX_MS, on_limit);
    publish_started(s);
}

static void start(struct session *s) {
    s->plan = bootstrap_plan_look(s->config, s->sequence);
    if (s->plan == NULL)
        fail(s, "out of memory");
    else
        go_on(s);
}

/* Whether a bootstrap server is here for the peer, and for whom it asks. False: it was refused. */
static bool admit(struct server *server, const struct coap_request *request, struct bootstrap_request *parameters,
                  struct slice *endpoint) {
    if (server->config->bootstrap == BOOTSTRAP_OFF || request->link->listener->role == LISTENER_MANAGEMENT) {
        refuse_request(server, request, SLICE_NONE, COAP_4_04_NOT_FOUND, "bootstrap is not served here");
        return false;
    }
    if (!bootstrap_request_read(parameters, request->message)) {
        refuse_request(server, request, parameters->endpoint, parameters->code, parameters->error);
        return false;
    }
    struct admission admission = admission_of_bootstrap(server, request->link, parameters->endpoint);
    if (admission.code != COAP_EMPTY) {
        refuse_request(server, request, parameters->endpoint, admission.code, admission.why);
        return false;
    }
    *endpoint = admission.endpoint;
    tell_oddity(server, request, *endpoint, parameters->oddity);
    if (server->bootstrap->running_count >= server->config->max_bootstraps) {
        refuse_request(server, request, *endpoint, COAP_5_03_SERVICE_UNAVAILABLE,
                       "too many devices are bootstrapped now");
        return false;
    }
    return true;
}

static struct slice host_in(const struct coap_message *message) {
    const struct coap_option *host = coap_option_find(message, COAP_URI_HOST);
    bool good = host != NULL && host->value.len > 0 && host->value.len <= HOST_MAX;
    for (size_t i = 0; good && i < host->value.len; i++) {
        uint8_t c = host->value.data[i];
        good = c > 0x20 && c < 0x7f && strchr("/?#@[]\"<>\\", c) == NULL;
    }
    return good ? host->value : SLICE_NONE;
}

/* The session for a request, with its sequence and security settled. NULL: it was refused. */
static struct session *prepare(struct server *server, const struct coap_request *request,
                               const struct bootstrap_request *parameters, struct slice endpoint, bool is_pack) {
    struct session *s = session_new(server, request->link, endpoint, parameters, host_in(request->message));
    if (s == NULL) {
        refuse_request(server, request, endpoint, COAP_5_03_SERVICE_UNAVAILABLE, "out of memory");
        return NULL;
    }
    enum bootstrap_sequence sequence = s->config->sequence;
    if (sequence == BOOTSTRAP_BY_CLIENT)
        sequence = profile_bootstrap_sequence(profile_of_bootstrap(parameters));
    s->sequence = is_pack ? BOOTSTRAP_PACK : sequence;
    uint8_t code = COAP_4_00_BAD_REQUEST;
    const char *why = NULL;
    if (is_pack && sequence == BOOTSTRAP_PELION) { /* BS-31: the client goes on with /bs */
        code = COAP_5_01_NOT_IMPLEMENTED;
        why = "this endpoint is not bootstrapped with packs";
    } else if (!is_pack && sequence == BOOTSTRAP_PACK) {
        why = "this endpoint is bootstrapped with packs only";
    } else {
        why = bootstrap_keys_settle(server, request->link, endpoint, s->config, s->origins);
    }
    if (why == NULL)
        return s;
    refuse_request(server, request, endpoint, code, why);
    session_free(s);
    return NULL;
}

/* BS-02 to BS-04: as the configuration has it, as the device asks, else TLV. */
static bool choose_format(struct session *s, const struct coap_request *request,
                          const struct bootstrap_request *parameters) {
    bool is_vendors = s->sequence == BOOTSTRAP_PELION;
    s->format = is_vendors ? (int)LWM2M_FORMAT_TLV : s->config->format;
    if (s->format != COAP_FORMAT_NONE) {
        if (parameters->has_format && parameters->format == COAP_FORMAT_NONE)
            tell_oddity(s->server, request, s->facts.endpoint, "pct is a format that bootstrap does not have");
        return true;
    }
    s->format = parameters->has_format ? parameters->format : (int)LWM2M_FORMAT_TLV;
    if (s->format != COAP_FORMAT_NONE)
        return true;
    refuse_request(s->server, request, s->facts.endpoint, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT,
                   "pct must be 110, 112, 11542 or 11544");
    return false;
}

void bootstrap_take_request(struct server *server, const struct coap_request *request) {
    struct bootstrap_request parameters;
    struct slice endpoint;
    if (request->message->code != COAP_POST) {
        refuse_request(server, request, SLICE_NONE, COAP_4_05_METHOD_NOT_ALLOWED, "a Bootstrap-Request is a POST");
        return;
    }
    if (!admit(server, request, &parameters, &endpoint))
        return;
    struct session *s = prepare(server, request, &parameters, endpoint, false);
    if (s == NULL)
        return;
    if (!choose_format(s, request, &parameters)) {
        session_free(s);
        return;
    }
    if (request->message->type == COAP_NON)
        tell_oddity(server, request, endpoint, "a Bootstrap-Request was not confirmable");
    begin(s, request->link);
    coap_respond_code(server->coap, request->exchange, COAP_2_04_CHANGED, NULL); /* first of all (BS-01) */
    start(s);
}

static bool choose_pack_format(struct session *s, const struct coap_request *request) {
    uint32_t accept;
    bool asks = coap_option_uint(request->message, COAP_ACCEPT, &accept);
    bool forced = s->config->format != COAP_FORMAT_NONE && bootstrap_format_good(s->config->format, true);
    s->format = forced ? s->config->format : asks ? (int)accept : (int)LWM2M_FORMAT_SENML_CBOR;
    if (bootstrap_format_good(s->format, true) && (!asks || (int)accept == s->format))
        return true;
    refuse_request(s->server, request, s->facts.endpoint, COAP_4_06_NOT_ACCEPTABLE,
                   forced ? "this endpoint's packs have another format" : "a pack has the format 110, 112 or 11544");
    return false;
}

void bootstrap_take_pack_request(struct server *server, const struct coap_request *request) {
    struct bootstrap_request parameters;
    struct slice endpoint;
    if (request->message->code != COAP_GET) {
        refuse_request(server, request, SLICE_NONE, COAP_4_05_METHOD_NOT_ALLOWED, "a Bootstrap-Pack-Request is a GET");
        return;
    }
    if (!admit(server, request, &parameters, &endpoint))
        return;
    struct session *s = prepare(server, request, &parameters, endpoint, true);
    if (s == NULL)
        return;
    if (!choose_pack_format(s, request)) {
        session_free(s);
        return;
    }
    s->facts.is_1_0 = false;
    s->facts.knows_occupied = parameters.occupied_count > 0; /* BS-32 */
    for (size_t i = 0; i < parameters.occupied_count; i++)
        s->facts.occupied[i] = parameters.occupied[i];
    s->facts.occupied_count = parameters.occupied_count;
    begin(s, request->link);
    s->exchange = request->exchange;
    start(s);
}

const char *bootstrap_begin(struct server *server, struct slice endpoint) {
    struct registration *r = directory_find(server->directory, endpoint);
    if (server->config->bootstrap == BOOTSTRAP_OFF || r == NULL)
        return r == NULL ? "it is not registered" : "bootstrap is not served here";
    if (server->bootstrap->running_count >= server->config->max_bootstraps)
        return "too many devices are bootstrapped now";
    struct session *s = session_new(server, r->link, endpoint, NULL, SLICE_NONE);
    if (s == NULL)
        return "out of memory";
    s->sequence = r->profile == PROFILE_PELION ? BOOTSTRAP_PELION : BOOTSTRAP_STANDARD;
    s->facts.is_1_0 = r->version == LWM2M_1_0;
    s->format = s->config->format == COAP_FORMAT_NONE ? (int)LWM2M_FORMAT_TLV : s->config->format;
    const char *why = bootstrap_keys_settle(server, r->link, endpoint, s->config, s->origins);
    if (why != NULL) {
        session_free(s);
        return why;
    }
    begin(s, r->link);
    start(s);
    return NULL;
}

/* ---- reports ---- */

const char *bootstrap_state_name(enum bootstrap_state state) {
    static const char *const names[] = {"running", "finished", "failed", "superseded"};
    return names[state];
}

static const struct session *find_session(const struct sessions *list, struct slice endpoint) {
    const struct session *found = NULL, *s;
    TAILQ_FOREACH(s, list, entry) {
        if (slice_equal(s->facts.endpoint, endpoint))
            found = s; /* the last one */
    }
    return found;
}

bool bootstrap_report_of(const struct server *server, struct slice endpoint, struct bootstrap_report *report) {
    const struct session *s = find_session(&server->bootstrap->running, endpoint);
    if (s == NULL)
        s = find_session(&server->bootstrap->over, endpoint);
    if (s == NULL)
        return false;
    *report = (struct bootstrap_report){.endpoint = s->facts.endpoint,
                                        .query = s->query,
                                        .address = s->address,
                                        .state = s->state,
                                        .sequence = s->sequence,
                                        .format = s->format,
                                        .started_ms = s->started_ms,
                                        .ended_ms = s->ended_ms,
                                        .reason = s->reason,
                                        .records = s->records,
                                        .record_count = s->record_count};
    return true;
}
