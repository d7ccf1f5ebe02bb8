#include "common/net/dtls_client.h"

#include <errno.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "common/net/dtls_client_handshake.h"
#include "common/net/dtls_session.h"
#include "common/net/dtls_setup.h"

enum { DATAGRAM_MAX = RECORD_CONTENT_MAX + RECORD_OVERHEAD_MAX, HELLO_REQUEST = 0 };

static const uint8_t close_notify[2] = {MBEDTLS_SSL_ALERT_LEVEL_WARNING, MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY};
static const uint8_t no_renegotiation[2] = {MBEDTLS_SSL_ALERT_LEVEL_WARNING, MBEDTLS_SSL_ALERT_MSG_NO_RENEGOTIATION};

/* A message that waits for a handshake. */
struct waiting_message {
    struct waiting_message *next;
    size_t len;
    uint8_t bytes[];
};

/* No session and no handshake: `established` is false and `hs` NULL. In a handshake: `hs` alone. A session of record.h:
 * `established` alone; one that mbedtls protects, as yet or to its end: both. */
struct dtls_client {
    struct link link; /* first member */
    const struct clock *clock;
    struct timer_wheel *wheel;
    struct dtls_client_params params; /* its slices are not kept */
    struct dtls_client_handlers handlers;
    void *arg;
    struct dtls_setup setup;
    int suites[2];
    bool closing;
    struct client_handshake *hs;
    bool established, resumed, restored, known; /* known: there was a session, of which keys and so on tell */
    bool tries_to_resume;
    bool kept; /* what is kept is of this session: only its numbers change */
    struct dtls_keys keys;
    uint64_t established_ms;
    uint32_t replays;
    struct dtls_traffic traffic;
    size_t session_len; /* what resumes it; 0: nothing */
    uint8_t session[DTLS_CLIENT_SESSION_MAX];
    struct waiting_message *waiting;
    size_t waiting_count;
    uint8_t datagram[DATAGRAM_MAX]; /* one that is made */
};

static int on_link_send(struct link *link, struct slice message);
static void on_link_release(struct link *link);
static const struct link_ops client_link_ops = {.send = on_link_send, .release = on_link_release};

void dtls_client_params_default(struct dtls_client_params *params) {
    *params = (struct dtls_client_params){.suite = cipher_suite_find(0xc0a8),
                                          .mtu = 1232,
                                          .first_timeout_ms = 1000, /* RFC 6347 §4.2.4.1 */
                                          .last_timeout_ms = 16000};
}

/* ---- what is kept ---- */

/* The session first, with its length, and the keys, when there are some that hold over a restart: those of a session
 * that the server knows by its CID. */
static void put_secret(const struct dtls_client *client, struct buffer *out) {
    buffer_put_u16(out, (uint16_t)client->session_len);
    buffer_put(out, client->session, client->session_len);
    if (!client->established || client->hs != NULL || client->keys.peer_cid_len == 0)
        return;
    static const struct link_identity nobody = {.security = LINK_NO_SECURITY};
    struct dtls_session session = {
        .suite = client->params.suite->id, .resumed = client->resumed, .established_ms = client->established_ms};
    session.link.identity = &nobody;
    session_put_secret(&session, &client->keys, out);
}

static struct dtls_client_state numbers_of(const struct dtls_client *client) {
    return (struct dtls_client_state){.number_limit = client->keys.number_limit,
                                      .window_top = client->keys.window_top,
                                      .window_bits = client->keys.window_bits};
}

static bool keep(struct dtls_client *client) {
    uint8_t bytes[DTLS_CLIENT_SECRET_MAX];
    struct buffer secret = buffer_over(bytes, sizeof bytes);
    struct dtls_client_state state = numbers_of(client);
    if (client->handlers.keep == NULL || client->closing)
        return true;
    put_secret(client, &secret);
    if (secret.len > 2)
        state.secret = buffer_slice(&secret);
    client->kept = !secret.overflow && client->handlers.keep(client->arg, &state);
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    return client->kept;
}

static bool keep_numbers(struct dtls_client *client) {
    struct dtls_client_state state = numbers_of(client);
    if (client->handlers.keep_numbers == NULL || client->keys.peer_cid_len == 0)
        return true;
    return client->kept ? client->handlers.keep_numbers(client->arg, &state) : keep(client);
}

/* The numbers that come next, kept before the first of them is used. */
static bool reserve(struct dtls_client *client) {
    struct dtls_keys *keys = &client->keys;
    if (keys->next_number < keys->number_limit)
        return true;
    uint64_t before = keys->number_limit;
    keys->number_limit = keys->next_number + DTLS_CLIENT_NUMBERS_STEP;
    bool kept = keep_numbers(client);
    if (!kept)
        keys->number_limit = before;
    return kept;
}

bool dtls_client_restore(struct dtls_client *client, const struct dtls_client_state *state) {
    struct slice secret = state->secret;
    size_t len = secret.len < 2 ? 0 : (size_t)(secret.data[0] << 8 | secret.data[1]);
    if (secret.len < 2 || len > sizeof client->session || len > secret.len - 2)
        return false;
    if (len > 0)
        memcpy(client->session, secret.data + 2, len);
    client->session_len = len;
    struct dtls_session session = {.dtls = NULL};
    struct link_identity nobody;
    struct dtls_keys keys = {.epoch = 0};
    bool good = session_get_secret(&session, &keys, slice_from(secret, 2 + len), &nobody) &&
                session.suite == client->params.suite->id && keys.peer_cid_len > 0 &&
                keys.draft == (client->params.cid == DTLS_CLIENT_CID_DRAFT);
    if (good) {
        client->keys = keys;
        client->keys.next_number = client->keys.number_limit = state->number_limit;
        client->keys.window_top = state->window_top;
        client->keys.window_bits = state->window_bits;
        client->established_ms = session.established_ms;
        client->resumed = session.resumed;
        client->established = client->restored = client->known = client->kept = true;
    }
    mbedtls_platform_zeroize(&keys, sizeof keys);
    return good;
}

/* ---- ends ---- */

static void forget_waiting(struct dtls_client *client) {
    while (client->waiting != NULL) {
        struct waiting_message *message = client->waiting;
        client->waiting = message->next;
        mbedtls_platform_zeroize(message->bytes, message->len);
        free(message);
    }
    client->waiting_count = 0;
}

static void end_handshake(struct dtls_client *client) {
    if (client->hs == NULL)
        return;
    client_handshake_end(client->hs);
    free(client->hs);
    client->hs = NULL;
}

/* The keys are gone for good: they are not kept either. */
static void end_session(struct dtls_client *client) {
    if (!client->established)
        return;
    client->established = false;
    mbedtls_platform_zeroize(client->keys.read_key, sizeof client->keys.read_key);
    mbedtls_platform_zeroize(client->keys.write_key, sizeof client->keys.write_key);
    end_handshake(client);
    keep(client);
}

static void forget_session(struct dtls_client *client) {
    mbedtls_platform_zeroize(client->session, sizeof client->session);
    client->session_len = 0;
}

static void close_session(struct dtls_client *client, enum dtls_end end) {
    if (end == DTLS_END_ALERT)
        forget_session(client); /* RFC 5246 §7.2.2: it must not be resumed */
    end_session(client);
    if (client->handlers.closed != NULL)
        client->handlers.closed(client->arg, end);
}

/* What was to be resumed may be why. */
static void fail_handshake(struct dtls_client *client) {
    const struct client_handshake *hs = client->hs;
    struct dtls_failure failure = {
        .listener = client->link.listener,
        .peer = client->link.peer,
        .fault = hs->fault,
        .alert_sent = hs->alert_sent,
        .alert_received = hs->alert_received,
        .bytes_in = client->traffic.handshake_in,
        .bytes_out = client->traffic.handshake_out,
    };
    end_handshake(client);
    forget_waiting(client);
    if (client->tries_to_resume) {
        forget_session(client);
        keep(client);
    }
    if (client->handlers.failed != NULL)
        client->handlers.failed(client->arg, &failure);
}

/* ---- records of ours ---- */

static int send_datagram(struct dtls_client *client, struct slice datagram) {
    bool in_session = client->established;
    *(in_session ? &client->traffic.records_out : &client->traffic.handshake_out) += (uint32_t)datagram.len;
    if (!in_session)
        client->traffic.handshake_datagrams_out++;
    return client->handlers.send(client->arg, datagram);
}

static void on_handshake_send(void *arg, struct slice datagram) {
    send_datagram(arg, datagram);
}

static int send_record(struct dtls_client *client, enum record_type type, struct slice content) {
    struct buffer out = buffer_over(client->datagram, sizeof client->datagram);
    if (!reserve(client))
        return -EIO;
    switch (record_seal(&client->keys, type, content, &out)) {
    case RECORD_SEALED:
        break;
    case RECORD_NO_NUMBERS:
        return -EIO;
    case RECORD_TOO_LARGE:
        return -EMSGSIZE;
    }
    return send_datagram(client, buffer_slice(&out));
}

static int send_message(struct dtls_client *client, struct slice message) {
    int result = client->hs != NULL ? client_handshake_write(client->hs, message)
                                    : send_record(client, RECORD_APPLICATION_DATA, message);
    if (result == 0)
        client->traffic.content_out += (uint32_t)message.len;
    return result;
}

/* ---- from mbedtls to record.h ---- */

static void open_records(struct dtls_client *client, struct slice datagram);

static void receive(struct dtls_client *client, struct slice message) {
    client->traffic.content_in += (uint32_t)message.len;
    if (message.len > 0)
        client->handlers.receive(client->arg, &client->link, message);
}

/* From now on without mbedtls, which has opened `message`. What it has not seen is for record.h. */
static void hand_over(struct dtls_client *client, struct slice message) {
    struct client_handshake *hs = client->hs;
    struct slice record;
    client->keys = client_handshake_keys(hs);
    client->keys.number_limit += DTLS_CLIENT_NUMBERS_STEP;
    client->hs = NULL;
    if (!keep(client))
        client->keys.number_limit = client->keys.next_number;
    receive(client, message);
    for (size_t at = 0; client->established && client->hs == NULL && client_handshake_take(hs, &at, &record);)
        open_records(client, record);
    client_handshake_end(hs);
    free(hs);
}

static void send_waiting(struct dtls_client *client) {
    while (client->waiting != NULL && client->established) {
        struct waiting_message *message = client->waiting;
        client->waiting = message->next;
        client->waiting_count--;
        send_message(client, slice_of(message->bytes, message->len));
        mbedtls_platform_zeroize(message->bytes, message->len);
        free(message);
    }
}

static void establish(struct dtls_client *client) {
    struct client_handshake *hs = client->hs;
    struct buffer session = buffer_over(client->session, sizeof client->session);
    if (!hs->resumed) {
        forget_session(client);
        client_handshake_put_session(hs, &session);
        client->session_len = session.len;
    }
    client->established = client->known = true;
    client->resumed = hs->resumed;
    client->restored = false;
    client->established_ms = clock_now_ms(client->clock);
    client->replays = 0;
    client->keys = client_handshake_keys(hs);
    if (hs->lasts)
        keep(client);
    if (client->handlers.established != NULL)
        client->handlers.established(client->arg);
    if (client->established && client->hs == hs && !hs->lasts)
        hand_over(client, SLICE_NONE);
    send_waiting(client);
}

/* A message that mbedtls has opened: the server has all of our last flight. */
static void take_plain(struct dtls_client *client) {
    struct client_handshake *hs = client->hs;
    uint8_t *plain = hs->plain;
    size_t len = hs->plain_len;
    hs->plain = NULL;
    hs->plain_len = 0;
    struct slice message = slice_of(plain, len);
    if (hs->suite->aead != RECORD_CBC)
        hand_over(client, message);
    else
        receive(client, message);
    mbedtls_platform_zeroize(plain, RECORD_CONTENT_MAX);
    free(plain);
}

/* After a step. */
static void settle(struct dtls_client *client) {
    while (client->hs != NULL) {
        struct client_handshake *hs = client->hs;
        switch (hs->state) {
        case CLIENT_HANDSHAKE_RUNNING:
            return;
        case CLIENT_HANDSHAKE_FAILED:
        case CLIENT_HANDSHAKE_CLOSED:
            if (client->established)
                close_session(client, hs->state == CLIENT_HANDSHAKE_CLOSED ? DTLS_END_CLOSED_BY_PEER : DTLS_END_ALERT);
            else
                fail_handshake(client);
            return;
        case CLIENT_HANDSHAKE_OVER:
            break;
        }
        if (!client->established) {
            establish(client);
        } else if (hs->plain_len > 0) {
            take_plain(client);
        } else {
            return;
        }
        if (client->hs == hs)
            client_handshake_step(hs);
    }
}

static void on_handshake_timed_out(struct client_handshake *hs) {
    settle(hs->arg);
}

/* ---- handshakes ---- */

static void on_key_log(void *arg, const char *line) {
    const struct dtls_client *client = arg;
    client->handlers.key_log(client->arg, line);
}

static bool begin(struct dtls_client *client, enum dtls_client_handshake how) {
    struct client_handshake *hs = calloc(1, sizeof *hs);
    if (hs == NULL)
        return false;
    hs->clock = client->clock;
    hs->wheel = client->wheel;
    hs->send = on_handshake_send;
    hs->timed_out = on_handshake_timed_out;
    hs->key_log = client->handlers.key_log == NULL ? NULL : on_key_log;
    hs->arg = client;
    bool resumes = how == DTLS_CLIENT_RESUME || (how == DTLS_CLIENT_AS_CONFIGURED && client->params.resume);
    client->tries_to_resume = resumes && client->session_len > 0;
    struct slice session = client->tries_to_resume ? slice_of(client->session, client->session_len) : SLICE_NONE;
    if (!client_handshake_start(hs, &client->setup.config, client->params.server_name, &client->params, session)) {
        client_handshake_end(hs);
        free(hs);
        return false;
    }
    client->traffic.handshake_in = client->traffic.handshake_out = 0;
    client->traffic.handshake_datagrams_in = client->traffic.handshake_datagrams_out = 0;
    client->hs = hs;
    client_handshake_step(hs);
    if (hs->state != CLIENT_HANDSHAKE_RUNNING) /* for want of memory: there is no answer yet */
        end_handshake(client);
    return client->hs != NULL;
}

bool dtls_client_handshake(struct dtls_client *client, enum dtls_client_handshake how) {
    if (client->hs != NULL && !client->established)
        return false;
    end_session(client);
    return begin(client, how);
}

/* The same message again, retransmitted meanwhile, is not kept twice. */
static int wait_for_session(struct dtls_client *client, struct slice message) {
    struct waiting_message **at = &client->waiting;
    for (; *at != NULL; at = &(*at)->next) {
        if (slice_equal(slice_of((*at)->bytes, (*at)->len), message))
            return 0;
    }
    struct waiting_message *fresh = malloc(sizeof *fresh + message.len);
    if (fresh == NULL)
        return -ENOMEM;
    fresh->next = NULL;
    fresh->len = message.len;
    memcpy(fresh->bytes, message.data, message.len);
    *at = fresh;
    if (client->waiting_count++ == DTLS_CLIENT_HELD_MAX) {
        struct waiting_message *oldest = client->waiting;
        client->waiting = oldest->next;
        client->waiting_count--;
        mbedtls_platform_zeroize(oldest->bytes, oldest->len);
        free(oldest);
    }
    return 0;
}

static int on_link_send(struct link *link, struct slice message) {
    struct dtls_client *client = (struct dtls_client *)(void *)link;
    if (client->closing || message.len == 0)
        return client->closing ? -ENOTCONN : 0;
    if (client->established)
        return send_message(client, message);
    int result = wait_for_session(client, message);
    if (result == 0 && client->hs == NULL && !begin(client, DTLS_CLIENT_AS_CONFIGURED))
        result = -ENOMEM;
    if (result != 0)
        forget_waiting(client);
    return result;
}

/* ---- records of the server's ---- */

static void take_alert(struct dtls_client *client, struct slice alert) {
    if (alert.len != 2)
        return;
    bool bye = alert.data[1] == MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY;
    if (bye)
        send_record(client, RECORD_ALERT, slice_of(close_notify, sizeof close_notify)); /* RFC 5246 §7.2.1 */
    if (bye || alert.data[0] == MBEDTLS_SSL_ALERT_LEVEL_FATAL)
        close_session(client, bye ? DTLS_END_CLOSED_BY_PEER : DTLS_END_ALERT);
}

static void take_record(struct dtls_client *client, const struct record *record) {
    switch (record->type) {
    case RECORD_APPLICATION_DATA:
        receive(client, record->content);
        break;
    case RECORD_ALERT:
        take_alert(client, record->content);
        break;
    case RECORD_HANDSHAKE: /* a HelloRequest, or the last flight once more */
        if (record->content.len > 0 && record->content.data[0] == HELLO_REQUEST)
            send_record(client, RECORD_ALERT, slice_of(no_renegotiation, sizeof no_renegotiation));
        break;
    default:
        break;
    }
}

/* What can't be kept as seen is not handed over: it may come again. */
static void open_records(struct dtls_client *client, struct slice datagram) {
    uint8_t *at = (uint8_t *)(uintptr_t)datagram.data, *end = at + datagram.len;
    while (at < end && client->established && client->hs == NULL) {
        struct record record;
        size_t used;
        enum record_result result = record_open(&client->keys, at, (size_t)(end - at), &record, &used);
        at += used;
        client->replays += result == RECORD_REPLAY;
        if (record_keys_worn(&client->keys))
            close_session(client, DTLS_END_FORGERIES);
        else if (result == RECORD_CONTENT && keep_numbers(client))
            take_record(client, &record);
    }
}

static void feed_handshake(struct dtls_client *client, struct slice datagram) {
    struct record_header header;
    while (record_read_header(datagram, client->hs->cid_len, &header)) {
        size_t len = header.header_len + header.len;
        client_handshake_hold(client->hs, slice_of(datagram.data, len));
        datagram = slice_from(datagram, len);
    }
    client_handshake_step(client->hs);
    settle(client);
}

void dtls_client_receive(struct dtls_client *client, uint8_t *datagram, size_t len) {
    if (client->closing || (!client->established && client->hs == NULL))
        return;
    *(client->established ? &client->traffic.records_in : &client->traffic.handshake_in) += (uint32_t)len;
    if (!client->established)
        client->traffic.handshake_datagrams_in++;
    if (client->hs != NULL)
        feed_handshake(client, slice_of(datagram, len));
    else if (client->established)
        open_records(client, slice_of(datagram, len));
}

/* ---- what the owner asks ---- */

bool dtls_client_renew(struct dtls_client *client) {
    bool had = client->established;
    end_session(client);
    return had;
}

bool dtls_client_hang_up(struct dtls_client *client) {
    if (!client->established)
        return false;
    if (client->hs != NULL)
        client_handshake_say_bye(client->hs);
    else
        send_record(client, RECORD_ALERT, slice_of(close_notify, sizeof close_notify));
    end_session(client);
    return true;
}

void dtls_client_forget(struct dtls_client *client) {
    forget_session(client);
    if (client->established)
        end_session(client);
    else
        keep(client);
}

bool dtls_client_give_keys(struct dtls_client *client, struct dtls_keys *keys) {
    if (!client->established || client->hs != NULL)
        return false;
    *keys = client->keys;
    keys->number_limit = UINT64_MAX;
    end_session(client);
    return true;
}

void dtls_client_describe(const struct dtls_client *client, struct dtls_client_description *description) {
    const struct dtls_keys *keys = &client->keys;
    *description = (struct dtls_client_description){
        .handshaking = client->hs != NULL && !client->established,
        .established = client->established,
        .resumed = client->resumed,
        .restored = client->restored,
        .live = client->hs != NULL && client->established,
        .cipher_suite = client->known ? client->params.suite->name : NULL,
        .cid_draft = keys->draft,
        .cid = slice_of(keys->cid, keys->cid_len),
        .server_cid = slice_of(keys->peer_cid, keys->peer_cid_len),
        .resumable = client->session_len > 0,
        .bad_records = keys->bad_records,
        .replays = client->replays,
        .traffic = client->traffic,
    };
}

struct link *dtls_client_link(struct dtls_client *client) {
    return &client->link;
}

/* ---- life ---- */

/* Not by the front door alone: mbedtls_ssl_conf_psk takes no more than 48 bytes of key, and RFC 7925 §4.2 wants 64. */
static bool configure_key(mbedtls_ssl_config *config, struct slice identity, struct slice key, const char **problem) {
    static const unsigned char placeholder[1] = {0};
    unsigned char *copy = mbedtls_calloc(1, DTLS_PSK_KEY_MAX);
    bool good = copy != NULL && identity.len <= DTLS_IDENTITY_MAX && identity.len > 0 && key.len > 0 &&
                key.len <= DTLS_PSK_KEY_MAX &&
                mbedtls_ssl_conf_psk(config, placeholder, sizeof placeholder, identity.data, identity.len) == 0;
    if (!good) {
        *problem = "the identity must have 1 to 128 bytes, the key 1 to 64";
        mbedtls_free(copy);
        return false;
    }
    memcpy(copy, key.data, key.len);
    mbedtls_free(config->MBEDTLS_PRIVATE(psk));
    config->MBEDTLS_PRIVATE(psk) = copy;
    config->MBEDTLS_PRIVATE(psk_len) = key.len;
    return true;
}

bool dtls_client_set_identity(struct dtls_setup *setup, const struct dtls_client_params *params, const char **problem) {
    if (params->suite->psk)
        return configure_key(&setup->config, params->identity, params->key, problem);
    if (!dtls_setup_add_certificate(setup, params->certificate, params->private_key, problem) ||
        !dtls_setup_add_authority(setup, params->authority, problem))
        return false;
    bool may_sign = setup->authorities.MBEDTLS_PRIVATE(ca_istrue) != 0;
    setup->pinned =
        params->pin == DTLS_CLIENT_PINNED || (params->pin == DTLS_CLIENT_PINNED_UNLESS_AUTHORITY && !may_sign);
    mbedtls_ssl_conf_verify(&setup->config, dtls_setup_judge_pinned, setup);
    return true;
}

static bool configure(struct dtls_client *client, const struct dtls_client_params *params, const char **problem) {
    mbedtls_ssl_config *config = &client->setup.config;
    bool cbc = params->suite->aead == RECORD_CBC;
    client->suites[0] = params->suite->id;
    mbedtls_ssl_conf_endpoint(config, MBEDTLS_SSL_IS_CLIENT);
    mbedtls_ssl_conf_ciphersuites(config, client->suites);
    mbedtls_ssl_conf_encrypt_then_mac(config, cbc ? MBEDTLS_SSL_ETM_ENABLED : MBEDTLS_SSL_ETM_DISABLED);
    mbedtls_ssl_conf_session_tickets(config, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    mbedtls_ssl_conf_handshake_timeout(config, params->first_timeout_ms, params->last_timeout_ms);
    unsigned char code = 0; /* RFC 6066 §4 */
    for (uint32_t len = 512; params->max_fragment >= len; len *= 2)
        code++;
    if ((code > 0 && mbedtls_ssl_conf_max_frag_len(config, code) != 0) ||
        (params->cid != DTLS_CLIENT_NO_CID &&
         mbedtls_ssl_conf_cid(config, params->cid_length, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE) != 0)) {
        *problem = "fragment length or CID length cannot be had";
        return false;
    }
    return dtls_client_set_identity(&client->setup, params, problem);
}

struct dtls_client *dtls_client_new(const struct clock *clock, struct timer_wheel *wheel, struct listener *listener,
                                    const struct address *peer, const struct dtls_client_params *params,
                                    const struct dtls_client_handlers *handlers, void *arg, const char **problem) {
    struct dtls_client *client = calloc(1, sizeof *client);
    *problem = "out of memory";
    if (client == NULL)
        return NULL;
    *client =
        (struct dtls_client){.clock = clock, .wheel = wheel, .params = *params, .handlers = *handlers, .arg = arg};
    client->link = (struct link){.ops = &client_link_ops, .listener = listener, .peer = *peer, .refs = 1};
    client->params.identity = client->params.key = SLICE_NONE;
    client->params.certificate = client->params.private_key = client->params.authority = SLICE_NONE;
    bool good = dtls_setup_init(&client->setup);
    if (good && params->cid == DTLS_CLIENT_CID_DRAFT && dtls_layer_draft() == NULL) {
        *problem = "this build has no connection IDs of the draft";
        good = false;
    }
    if (!good || !configure(client, params, problem)) {
        dtls_client_free(client);
        return NULL;
    }
    return client;
}

static void on_link_release(struct link *link) {
    struct dtls_client *client = (struct dtls_client *)(void *)link;
    dtls_setup_free(&client->setup);
    mbedtls_platform_zeroize(client, sizeof *client);
    free(client);
}

void dtls_client_free(struct dtls_client *client) {
    client->closing = true;
    end_handshake(client);
    client->established = false;
    forget_waiting(client);
    link_unref(&client->link);
}
