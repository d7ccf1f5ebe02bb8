/* How a peer proves in a handshake who it is, of DTLS and of TLS alike: by a pre-shared key, by a certificate, or as the
 * one whose earlier session it resumes. These are mbedtls' questions of a handshake; those who know the answers are asked
 * through `host`, on the loop's thread. A step of a handshake that runs on libuv's pool waits for them. */
#ifndef BERTH_NET_PROOF_H
#define BERTH_NET_PROOF_H

#include <sys/queue.h>

#include "common/net/dtls.h"
#include "common/net/dtls_setup.h"

struct proof;

/* A step of a handshake on the pool: `run` there, then `done` on the loop's thread. Lives until `done`. */
struct proof_step {
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
    uv_work_t work;
    struct proof_engine *engine;
    STAILQ_ENTRY(proof_step) entry;
};

struct proof_host {
    bool (*psk)(void *arg, struct proof *proof, struct slice identity, struct buffer *key);
    int (*certificate)(void *arg, struct proof *proof, const struct dtls_peer_certificate *certificate);
    void (*resume_put)(void *arg, struct proof *proof, struct slice session_id, struct slice secret);
    bool (*resume_get)(void *arg, struct proof *proof, struct slice session_id, struct buffer *secret);
    bool (*permitted)(void *arg, struct proof *proof);
};

/* What the handshakes of one struct dtls or struct tls share. */
struct proof_engine {
    uv_loop_t *loop;
    const struct dtls_setup *setup;
    struct proof_host host; /* psk, and the two of resumption together, may be NULL */
    void *arg;
    bool hide_unknown_identities, ignore_dates; /* as in struct dtls_params */
    bool closing;                               /* every answer is no */
    uint64_t resume_ms;
    size_t busy; /* steps on the pool now, and those that wait for it */
    size_t at_once, running;
    STAILQ_HEAD(, proof_step) waiting;
    uint8_t ticket_key[32]; /* AES-256-GCM */
    /* Questions of steps on the pool. */
    uv_async_t async;
    uv_mutex_t lock;
    struct proof_question *questions;
};

/* 0 or a negative libuv error. The async handle and the lock are the owner's to close, when nothing is busy. */
int proof_engine_init(struct proof_engine *engine);

/* Have a step run, whose `run`, `done` and `arg` are set; no more at once than there are processors, else the loop would
 * wait long for its own. */
void proof_engine_run(struct proof_engine *engine, struct proof_step *step);

typedef int proof_set_certificate_fn(mbedtls_ssl_context *ssl, mbedtls_x509_crt *certificate, mbedtls_pk_context *key);

/* Of one handshake. Zero it, then proof_begin. */
struct proof {
    struct proof_engine *engine;
    struct listener *listener;
    proof_set_certificate_fn *set_certificate; /* of the SSL layer in use */
    mbedtls_ssl_config config;                 /* a copy of the setup's, with what follows in it */
    bool on_pool;                              /* the step that runs does so there */
    uint64_t now_ms;                           /* of this step */

    /* Who the client is, from a key, a certificate or the session that it resumes; nobody yet: LINK_NO_SECURITY. */
    struct link_identity identity;
    uint8_t name[DTLS_IDENTITY_MAX];
    bool resumed;
    bool chain_trusted;    /* its certificate led to an authority when it was shown */
    enum dtls_fault fault; /* what a question has found wrong; else as it was */

    uint8_t psk[DTLS_PSK_KEY_MAX];
    uint32_t chain_flags; /* of the certificates above the leaf */
};

/* Prepare proof->config; engine and listener are set. Resumption by session ID and by ticket only where asked for. */
void proof_begin(struct proof *proof, proof_set_certificate_fn *set_certificate, bool session_ids, bool tickets);

/* What an error of mbedtls says is wrong, unless `fault` says it better. */
enum dtls_fault proof_fault_of(const struct proof *proof, int error);

/* The fatal alert (RFC 5246 §7.2.2) for an error of a handshake about which mbedtls has sent none; -1: none is due. */
int proof_alert_of(int error);

/* By somebody else: keys were agreed on anew, for an identity that nobody has checked. */
bool proof_is_another(const struct proof *proof, const struct link_identity *identity);

/* Whether it is the one wanted (a const struct link_identity): compared by security, and by fingerprint where the wanted
 * certificate has one, else by name. */
bool proof_identity_is(const struct link_identity *identity, const void *wanted);

#endif
