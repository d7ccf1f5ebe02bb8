/* mbedtls' SSL layer as a table of functions, because there are two of them in the program. Which connection ID mbedtls
 * speaks is decided when it is compiled: the system's library speaks RFC 9146 (extension 54). Clients on mbedtls 2.x speak
 * draft-ietf-tls-dtls-connection-id-05 (extension 254, other additional data), and for them a second copy of the SSL layer
 * alone is compiled from the same version's sources, with all of its symbols hidden (CMakeLists.txt, BERTH_DTLS_DRAFT_CID).
 * Both work on the same structures, configuration and cipher library. */
#ifndef BERTH_NET_DTLS_LAYER_H
#define BERTH_NET_DTLS_LAYER_H

#include <stdbool.h>

#include <mbedtls/ssl.h>

struct dtls_layer {
    bool draft;
    void (*init)(mbedtls_ssl_context *ssl);
    int (*setup)(mbedtls_ssl_context *ssl, const mbedtls_ssl_config *config);
    void (*free)(mbedtls_ssl_context *ssl);
    void (*set_bio)(mbedtls_ssl_context *ssl, void *arg, mbedtls_ssl_send_t *send, mbedtls_ssl_recv_t *recv,
                    mbedtls_ssl_recv_timeout_t *recv_timeout);
    void (*set_timer_cb)(mbedtls_ssl_context *ssl, void *arg, mbedtls_ssl_set_timer_t *set,
                         mbedtls_ssl_get_timer_t *get);
    int (*set_client_transport_id)(mbedtls_ssl_context *ssl, const unsigned char *id, size_t len);
    int (*set_hostname)(mbedtls_ssl_context *ssl,
                        const char *name); /* what none is kept as, each layer has for itself */
    void (*set_mtu)(mbedtls_ssl_context *ssl, uint16_t mtu);
    void (*set_export_keys_cb)(mbedtls_ssl_context *ssl, mbedtls_ssl_export_keys_t *export_keys, void *arg);
    int (*set_cid)(mbedtls_ssl_context *ssl, int enable, const unsigned char *cid, size_t len);
    int (*get_peer_cid)(mbedtls_ssl_context *ssl, int *enabled, unsigned char *cid, size_t *len);
    int (*handshake)(mbedtls_ssl_context *ssl);
    int (*read)(mbedtls_ssl_context *ssl, unsigned char *out, size_t len);
    int (*write)(mbedtls_ssl_context *ssl, const unsigned char *bytes, size_t len);
    int (*send_alert)(mbedtls_ssl_context *ssl, unsigned char level, unsigned char alert);
    int (*get_ciphersuite_id)(const mbedtls_ssl_context *ssl);
    int (*get_max_out_record_payload)(const mbedtls_ssl_context *ssl);
    int (*set_hs_psk)(mbedtls_ssl_context *ssl, const unsigned char *key, size_t len);
    int (*set_hs_own_cert)(mbedtls_ssl_context *ssl, mbedtls_x509_crt *certificate, mbedtls_pk_context *key);
};

/* The system library's, and the copy; NULL in a build without it. */
const struct dtls_layer *dtls_layer_rfc9146(void);
const struct dtls_layer *dtls_layer_draft(void);

#endif
