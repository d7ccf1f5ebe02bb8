#include "tests/unit/net/dtls_bench.h"

#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform.h>

#include "common/net/dtls_setup.h"
#include "common/net/record.h"

static const uint8_t the_key[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const int psk_ccm_8[] = {0xc0a8, 0};

static void require(bool condition, const char *what) {
    if (!condition) {
        fprintf(stderr, "bench: %s\n", what);
        abort();
    }
}

/* ---- the network ---- */

static void post(struct bench *bench, bool up, const struct address *peer, const uint8_t *bytes, size_t len) {
    struct bench_datagram datagram = {.peer = *peer, .up = up, .len = len};
    require(len <= sizeof datagram.bytes, "a datagram is larger than expected");
    memcpy(datagram.bytes, bytes, len);
    *(up ? &bench->bytes_up : &bench->bytes_down) += len;
    *(up ? &bench->datagrams_up : &bench->datagrams_down) += 1;
    if (bench->filter != NULL && !bench->filter(bench, &datagram))
        return;
    require(bench->network_count < BENCH_NETWORK, "too many datagrams are under way");
    bench->network[bench->network_count++] = datagram;
}

void bench_inject(struct bench *bench, const struct address *peer, struct slice bytes) {
    static uint8_t copy[1 << 16];
    struct address local = bench->listener.address;
    memcpy(copy, bytes.data, bytes.len);
    dtls_receive(bench->dtls, &bench->listener, peer, &local, copy, bytes.len);
}

void bench_deliver(struct bench *bench) {
    while (bench->network_count > 0) {
        struct bench_datagram datagram = bench->network[0];
        memmove(bench->network, bench->network + 1, --bench->network_count * sizeof datagram);
        if (datagram.up) {
            if (bench->dtls != NULL)
                bench_inject(bench, &datagram.peer, slice_of(datagram.bytes, datagram.len));
            continue;
        }
        for (size_t i = 0; i < BENCH_CLIENTS; i++) {
            struct client *client = &bench->clients[i];
            if (client->set_up && address_equal(&client->address, &datagram.peer)) {
                require(client->inbox_count < BENCH_NETWORK, "a client's inbox is full");
                client->inbox[client->inbox_count++] = datagram;
            }
        }
    }
}

/* ---- the owner's side ---- */

static int on_send(void *arg, struct listener *listener, const struct address *peer, const struct address *local,
                   struct slice datagram) {
    struct bench *bench = arg;
    (void)local;
    require(listener == &bench->listener, "another listener");
    post(bench, false, peer, datagram.data, datagram.len);
    return 0;
}

static void on_receive(void *arg, struct link *link, struct slice message) {
    struct bench *bench = arg;
    bench->messages++;
    bench->message_len = message.len;
    memcpy(bench->message, message.data, message.len < sizeof bench->message ? message.len : sizeof bench->message);
    if (!bench->no_echo)
        link_send(link, message);
}

static bool on_psk(void *arg, const struct listener *listener, struct slice identity, struct buffer *key) {
    struct bench *bench = arg;
    (void)listener;
    if (!slice_is(identity, "dev1") && !slice_is(identity, "dev2") && identity.len != DTLS_IDENTITY_MAX &&
        identity.len != 14 && identity.len != 15)
        return false;
    buffer_put_slice(key, bench->key);
    return true;
}

static int on_certificate(void *arg, const struct listener *listener, const struct dtls_peer_certificate *certificate) {
    struct bench *bench = arg;
    (void)listener;
    bench->shown = *certificate;
    size_t len = certificate->identity->name.len;
    memcpy(bench->shown_name, certificate->identity->name.data, len);
    bench->shown_name[len] = '\0';
    if (bench->certificate_verdict >= 0)
        return bench->certificate_verdict;
    if (!certificate->chain_trusted)
        return MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA;
    return certificate->dates_good ? 0 : MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED;
}

static void on_resume_put(void *arg, struct slice id, const struct link_identity *identity, struct slice secret,
                          uint64_t expires_ms) {
    struct bench *bench = arg;
    struct bench_resume *resume = &bench->resume[bench->resume_count++ % BENCH_ROWS];
    require(identity->security != LINK_NO_SECURITY, "resumption of nobody");
    *resume = (struct bench_resume){.id_len = id.len, .secret_len = secret.len, .expires_ms = expires_ms};
    memcpy(resume->id, id.data, id.len);
    memcpy(resume->secret, secret.data, secret.len);
}

static bool on_resume_get(void *arg, struct slice id, struct buffer *secret) {
    struct bench *bench = arg;
    for (size_t i = 0; i < BENCH_ROWS; i++) {
        struct bench_resume *resume = &bench->resume[i];
        if (resume->id_len > 0 && slice_equal(slice_of(resume->id, resume->id_len), id) &&
            resume->expires_ms > clock_now_ms(&bench->clock)) {
            buffer_put(secret, resume->secret, resume->secret_len);
            return true;
        }
    }
    return false;
}

static bool on_permitted(void *arg, const struct listener *listener, const struct link_identity *identity,
                         bool chain_trusted) {
    (void)chain_trusted;
    struct bench *bench = arg;
    (void)listener, (void)identity;
    return !bench->not_permitted;
}

static void set_link(struct bench *bench, struct link *link) {
    if (link != NULL)
        link_ref(link);
    if (bench->link != NULL)
        link_unref(bench->link);
    bench->link = link;
}

static void on_established(void *arg, struct link *link) {
    struct bench *bench = arg;
    bench->established++;
    set_link(bench, link);
}

static void on_failed(void *arg, const struct dtls_failure *failure) {
    struct bench *bench = arg;
    bench->failed++;
    bench->failure = *failure;
    if (failure->identity.name.len > 0)
        memcpy(bench->failure_name, failure->identity.name.data, failure->identity.name.len);
    bench->failure.identity.name.data = bench->failure_name;
}

static void on_moved(void *arg, struct link *link, const struct address *old) {
    struct bench *bench = arg;
    (void)link;
    bench->moved++;
    bench->old_address = *old;
}

static void on_closed(void *arg, struct link *link, enum dtls_end end, struct link *successor) {
    struct bench *bench = arg;
    bench->closed++;
    bench->end = end;
    bench->successor = successor;
    require(link_send(link, slice_str("x")) < 0, "something can be sent to a session that has ended");
}

static struct bench_row *row_of(struct bench *bench, uint64_t id) {
    for (size_t i = 0; i < BENCH_ROWS; i++) {
        if (bench->rows[i].used && bench->rows[i].row.id == id)
            return &bench->rows[i];
    }
    return NULL;
}

static void on_save(void *arg, struct link *link) {
    struct bench *bench = arg;
    bench->saves++;
    for (size_t i = 0; i < BENCH_ROWS; i++) {
        struct bench_row *row = &bench->rows[i];
        if (row->used)
            continue;
        struct buffer secret = buffer_over(row->secret, sizeof row->secret);
        row->used = true;
        require(dtls_session_row(link, &row->row, &secret), "a session that is saved has no row");
        row->pending = row->row;
        if (!bench->defers_saves)
            dtls_saved(bench->dtls, row->row.id);
        return;
    }
    require(false, "too many rows");
}

static void on_reserve(void *arg, struct link *link, uint64_t id, uint64_t number_limit) {
    struct bench *bench = arg;
    struct bench_row *row = row_of(bench, id);
    bench->reserves++;
    require(row != NULL && number_limit > row->row.number_limit, "numbers for a session without a row");
    struct dtls_session_row now;
    require(dtls_session_row(link, &now, NULL) && now.number_limit == number_limit, "a row takes numbers back");
    row->pending.number_limit = number_limit;
    if (bench->defers_commits)
        return;
    row->row.number_limit = number_limit;
    dtls_reserved(bench->dtls, id, number_limit);
}

static void on_touched(void *arg, struct link *link) {
    struct bench *bench = arg;
    struct dtls_session_row now;
    require(dtls_session_row(link, &now, NULL), "a session that is touched has no row");
    struct bench_row *row = row_of(bench, now.id);
    bench->touches++;
    require(row != NULL, "a session that is touched was not saved");
    row->row.window_top = now.window_top;
    row->row.window_bits = now.window_bits;
    row->row.peer = now.peer;
}

static void on_forget(void *arg, struct link *link, uint64_t id) {
    struct bench *bench = arg;
    (void)link;
    struct bench_row *row = row_of(bench, id);
    bench->forgets++;
    require(row != NULL || bench->restores_more, "a session is forgotten that was not saved");
    if (row != NULL)
        row->used = false;
}

static void on_key_log(void *arg, const struct listener *listener, const struct address *peer, const char *line) {
    (void)listener, (void)peer;
    struct bench *bench = arg;
    snprintf(bench->key_log, sizeof bench->key_log, "%s", line);
}

void bench_start_dtls(struct bench *bench) {
    struct dtls_handlers handlers = {
        .send = on_send,
        .receive = on_receive,
        .psk = on_psk,
        .certificate = on_certificate,
        .resume_put = on_resume_put,
        .resume_get = on_resume_get,
        .permitted = on_permitted,
        .established = on_established,
        .failed = on_failed,
        .moved = on_moved,
        .closed = on_closed,
        .key_log = on_key_log,
    };
    if (bench->keeps_rows) {
        handlers.save = on_save;
        handlers.reserve = on_reserve;
        handlers.touched = on_touched;
        handlers.forget = on_forget;
    }
    bench->dtls = dtls_new(&bench->loop, &bench->clock, &bench->wheel, &bench->params, &handlers, bench);
    require(bench->dtls != NULL, "no DTLS");
}

void bench_stop_dtls(struct bench *bench) {
    set_link(bench, NULL);
    if (bench->dtls == NULL)
        return;
    dtls_close(bench->dtls);
    bench->dtls = NULL;
    uv_run(&bench->loop, UV_RUN_DEFAULT);
}

void bench_crash(struct bench *bench) {
    bench->network_count = 0;
    bench_stop_dtls(bench);
    bench_start_dtls(bench);
}

void bench_restore(struct bench *bench) {
    for (size_t i = 0; i < BENCH_ROWS; i++) {
        struct bench_row *row = &bench->rows[i];
        if (!row->used)
            continue;
        struct link *link = dtls_restore(bench->dtls, &bench->listener, &row->row);
        require(link != NULL, "a row can't be restored");
        set_link(bench, link);
    }
}

int bench_start(void **state) {
    struct bench *bench = calloc(1, sizeof *bench);
    require(bench != NULL, "no memory");
    uv_loop_init(&bench->loop);
    clock_init_still(&bench->clock, 1700000000000);
    timer_wheel_init(&bench->wheel, clock_now_ms(&bench->clock), NULL);
    bench->listener = (struct listener){.transport = LINK_DTLS, .address = {.family = ADDRESS_IPV4, .port = 5684}};
    bench->certificate_verdict = -1;
    bench->key = slice_of(the_key, sizeof the_key);
    dtls_params_default(&bench->params);
    bench->params.keep_live = false; /* whatever this build does by itself */
    *state = bench;
    return 0;
}

int bench_start_live(void **state) {
    bench_start(state);
    ((struct bench *)*state)->params.keep_live = true;
    return 0;
}

int bench_stop(void **state) {
    struct bench *bench = *state;
    for (size_t i = 0; i < BENCH_CLIENTS; i++)
        bench_client_free(&bench->clients[i]);
    bench_stop_dtls(bench);
    require(uv_run(&bench->loop, UV_RUN_DEFAULT) == 0 && uv_loop_close(&bench->loop) == 0, "the loop is not empty");
    require(bench->wheel.count == 0, "timers are left");
    free(bench);
    return 0;
}

/* ---- certificates ---- */

void bench_identity_make(struct bench_identity *made, const char *subject, const char *dns_name,
                         const struct bench_identity *authority) {
    mbedtls_x509write_cert writing;
    uint8_t serial[4];
    char issuer[256];
    memset(made, 0, sizeof *made);
    mbedtls_pk_init(&made->key);
    mbedtls_x509_crt_init(&made->certificate);
    require(mbedtls_pk_setup(&made->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
                mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(made->key), dtls_random, NULL) == 0,
            "no key");
    snprintf(issuer, sizeof issuer, "%s", subject);
    if (authority != NULL)
        mbedtls_x509_dn_gets(issuer, sizeof issuer, &authority->certificate.subject);
    mbedtls_x509write_crt_init(&writing);
    dtls_random(NULL, serial, sizeof serial);
    serial[0] &= 0x7f;
    serial[0] |= 1;
    mbedtls_x509write_crt_set_serial_raw(&writing, serial, sizeof serial);
    mbedtls_x509write_crt_set_md_alg(&writing, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_validity(&writing, "19700101000000", "20991231235959");
    mbedtls_x509write_crt_set_subject_key(&writing, &made->key);
    mbedtls_x509write_crt_set_issuer_key(&writing, authority != NULL ? (mbedtls_pk_context *)(uintptr_t)&authority->key
                                                                     : &made->key);
    mbedtls_x509_san_list san = {.node = {.type = MBEDTLS_X509_SAN_DNS_NAME,
                                          .san.unstructured_name = {.p = (unsigned char *)(uintptr_t)dns_name,
                                                                    .len = dns_name != NULL ? strlen(dns_name) : 0}}};
    require(mbedtls_x509write_crt_set_subject_name(&writing, subject) == 0 &&
                mbedtls_x509write_crt_set_issuer_name(&writing, issuer) == 0 &&
                mbedtls_x509write_crt_set_basic_constraints(
                    &writing, authority == NULL || strstr(subject, "Authority") != NULL, -1) == 0 &&
                (dns_name == NULL || mbedtls_x509write_crt_set_subject_alternative_name(&writing, &san) == 0),
            "no certificate");
    int len = mbedtls_x509write_crt_der(&writing, made->der, sizeof made->der, dtls_random, NULL);
    require(len > 0, "the certificate can't be written");
    memmove(made->der, made->der + sizeof made->der - (size_t)len, (size_t)len);
    made->der_len = (size_t)len;
    int key_len = mbedtls_pk_write_key_der(&made->key, made->key_der, sizeof made->key_der);
    require(key_len > 0, "the key can't be written");
    memmove(made->key_der, made->key_der + sizeof made->key_der - (size_t)key_len, (size_t)key_len);
    made->key_len = (size_t)key_len;
    require(mbedtls_x509_crt_parse_der(&made->certificate, made->der, made->der_len) == 0, "it can't be read");
    mbedtls_x509write_crt_free(&writing);
}

void bench_identity_free(struct bench_identity *made) {
    mbedtls_x509_crt_free(&made->certificate);
    mbedtls_pk_free(&made->key);
}

/* ---- clients ---- */

static int client_send(void *arg, const unsigned char *bytes, size_t len) {
    struct client *client = arg;
    post(client->bench, true, &client->address, bytes, len);
    return (int)len;
}

static int client_recv(void *arg, unsigned char *out, size_t len) {
    struct client *client = arg;
    if (client->inbox_count == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    struct bench_datagram datagram = client->inbox[0];
    memmove(client->inbox, client->inbox + 1, --client->inbox_count * sizeof datagram);
    require(datagram.len <= len, "a client has no room");
    memcpy(out, datagram.bytes, datagram.len);
    return (int)datagram.len;
}

static void client_set_timer(void *arg, uint32_t intermediate_ms, uint32_t final_ms) {
    struct client *client = arg;
    client->timer_is_set = final_ms != 0;
    client->intermediate_ms = clock_now_ms(&client->bench->clock) + intermediate_ms;
    client->final_ms = clock_now_ms(&client->bench->clock) + final_ms;
}

static int client_get_timer(void *arg) {
    struct client *client = arg;
    uint64_t now_ms = clock_now_ms(&client->bench->clock);
    if (!client->timer_is_set)
        return -1;
    if (now_ms >= client->final_ms) {
        client->timeouts++;
        return 2;
    }
    return now_ms >= client->intermediate_ms;
}

struct client *bench_client(struct bench *bench, size_t number, const struct bench_client_options *options) {
    static const struct bench_client_options defaults;
    static const uint16_t one_algorithm[] = {MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_NONE};
    struct client *client = &bench->clients[number];
    const struct bench_client_options *o = options != NULL ? options : &defaults;
    if (client->set_up)
        bench_client_free(client);
    memset(client->inbox, 0, sizeof client->inbox);
    client->bench = bench;
    client->layer = o->layer != NULL ? o->layer : dtls_layer_rfc9146();
    client->address =
        (struct address){.family = ADDRESS_IPV4, .port = (uint16_t)(40000 + number), .ip = {192, 0, 2, 7}};
    client->over = client->timer_is_set = false;
    client->error = 0;
    client->timeouts = 0;
    client->inbox_count = client->received_len = client->received_count = 0;
    const char *identity = o->identity != NULL ? o->identity : "dev1";
    struct slice key = o->key.len > 0 ? o->key : bench->key;
    mbedtls_ssl_config *config = &client->config;
    mbedtls_ssl_config_init(config);
    require(mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                        MBEDTLS_SSL_PRESET_DEFAULT) == 0,
            "no configuration");
    mbedtls_ssl_conf_rng(config, dtls_random, NULL);
    mbedtls_ssl_conf_ciphersuites(config, o->suites != NULL ? o->suites : psk_ccm_8);
    if (o->certificate == NULL) {
        /* A key of any length: mbedtls takes no more than 48 bytes by the front door. */
        require(mbedtls_ssl_conf_psk(config, the_key, sizeof the_key, (const unsigned char *)identity,
                                     strlen(identity)) == 0,
                "no key");
        mbedtls_free(config->MBEDTLS_PRIVATE(psk));
        config->MBEDTLS_PRIVATE(psk) = mbedtls_calloc(1, key.len);
        memcpy(config->MBEDTLS_PRIVATE(psk), key.data, key.len);
        config->MBEDTLS_PRIVATE(psk_len) = key.len;
    } else if (o->certificate->der_len > 0) {
        require(mbedtls_ssl_conf_own_cert(config, (mbedtls_x509_crt *)(uintptr_t)&o->certificate->certificate,
                                          (mbedtls_pk_context *)(uintptr_t)&o->certificate->key) == 0,
                "no certificate");
    }
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_session_tickets(config, o->tickets ? MBEDTLS_SSL_SESSION_TICKETS_ENABLED
                                                        : MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    mbedtls_ssl_conf_renegotiation(config, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
    if (o->fragment_code != 0)
        require(mbedtls_ssl_conf_max_frag_len(config, o->fragment_code) == 0, "no fragment length");
    if (o->lean) {
        mbedtls_ssl_conf_sig_algs(config, one_algorithm);
        mbedtls_ssl_conf_encrypt_then_mac(config, MBEDTLS_SSL_ETM_DISABLED);
    }
    if (!o->no_cid)
        require(mbedtls_ssl_conf_cid(config, o->cid_len, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE) == 0, "no CID length");
    client->layer->init(&client->ssl);
    require(client->layer->setup(&client->ssl, config) == 0, "no client");
    client->set_up = true;
    client->layer->set_bio(&client->ssl, client, client_send, client_recv, NULL);
    client->layer->set_timer_cb(&client->ssl, client, client_set_timer, client_get_timer);
    if (o->server_name != NULL)
        require(mbedtls_ssl_set_hostname(&client->ssl, o->server_name) == 0, "no host name");
    if (!o->no_cid)
        require(client->layer->set_cid(&client->ssl, MBEDTLS_SSL_CID_ENABLED, o->cid, o->cid_len) == 0, "no CID");
    if (o->mtu > 0)
        client->layer->set_mtu(&client->ssl, o->mtu);
    if (o->no_packing)
        mbedtls_ssl_set_datagram_packing(&client->ssl, 0);
    if (client->have_session)
        require(mbedtls_ssl_set_session(&client->ssl, &client->session) == 0, "no session to resume");
    return client;
}

void bench_client_free(struct client *client) {
    if (!client->set_up)
        return;
    client->layer->free(&client->ssl);
    mbedtls_ssl_config_free(&client->config);
    client->set_up = false;
}

static void client_step(struct client *client) {
    if (!client->over) {
        int result = client->layer->handshake(&client->ssl);
        client->over = result == 0;
        if (result != 0 && result != MBEDTLS_ERR_SSL_WANT_READ && result != MBEDTLS_ERR_SSL_WANT_WRITE)
            client->error = result;
        if (!client->over)
            return;
    }
    for (;;) {
        uint8_t bytes[sizeof client->received];
        int n = client->layer->read(&client->ssl, bytes, sizeof bytes);
        if (n > 0) {
            memcpy(client->received, bytes, (size_t)n);
            client->received_len = (size_t)n;
            client->received_count++;
        } else if (n != MBEDTLS_ERR_SSL_WANT_READ && n != 0) {
            client->error = n;
            return;
        } else if (client->inbox_count == 0) {
            return;
        }
    }
}

void bench_run(struct bench *bench) {
    for (;;) {
        for (size_t i = 0; i < BENCH_CLIENTS; i++) {
            if (bench->clients[i].set_up && bench->clients[i].error == 0)
                client_step(&bench->clients[i]);
        }
        bench_deliver(bench);
        while (uv_loop_alive(&bench->loop))
            uv_run(&bench->loop, UV_RUN_ONCE);
        bool quiet = bench->network_count == 0;
        for (size_t i = 0; i < BENCH_CLIENTS; i++)
            quiet = quiet &&
                    (!bench->clients[i].set_up || bench->clients[i].error != 0 || bench->clients[i].inbox_count == 0);
        if (quiet)
            return;
    }
}

void bench_leap(struct bench *bench, uint64_t ms) {
    while (ms > 0) {
        uint64_t step = ms < 1000 ? ms : 1000;
        clock_leap(&bench->clock, step);
        timer_wheel_advance(&bench->wheel, clock_now_ms(&bench->clock));
        bench_run(bench);
        ms -= step;
    }
}

void bench_handshake(struct client *client) {
    size_t before = client->bench->established;
    bench_run(client->bench);
    if (client->error != 0 || !client->over || client->bench->established != before + 1)
        fail_msg("no handshake: client -0x%x %s, server established %zu failed %zu (%s)", (unsigned)-client->error,
                 client->over ? "over" : "waits", client->bench->established, client->bench->failed,
                 dtls_fault_name(client->bench->failure.fault));
}

void bench_send(struct client *client, const char *text) {
    int n = client->layer->write(&client->ssl, (const unsigned char *)text, strlen(text));
    assert_int_equal(n, strlen(text));
    bench_run(client->bench);
}

void bench_exchange(struct client *client, const char *text) {
    size_t before = client->received_count;
    bench_send(client, text);
    assert_int_equal(client->error, 0);
    assert_int_equal(client->received_count, before + 1);
    assert_int_equal(client->received_len, strlen(text));
    assert_memory_equal(client->received, text, strlen(text));
}
