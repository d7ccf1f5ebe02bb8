/* Compiled twice: with DTLS_LAYER_DRAFT among the hidden copy of mbedtls' SSL layer, and without it for the system's. */
#include "common/net/dtls_layer.h"

#ifdef DTLS_LAYER_DRAFT
enum { IS_DRAFT = 1 };
#define THIS_LAYER dtls_layer_draft
#else
enum { IS_DRAFT = 0 };
#define THIS_LAYER dtls_layer_rfc9146
#endif

static const struct dtls_layer layer = {
    .draft = IS_DRAFT,
    .init = mbedtls_ssl_init,
    .setup = mbedtls_ssl_setup,
    .free = mbedtls_ssl_free,
    .set_bio = mbedtls_ssl_set_bio,
    .set_timer_cb = mbedtls_ssl_set_timer_cb,
    .set_client_transport_id = mbedtls_ssl_set_client_transport_id,
    .set_hostname = mbedtls_ssl_set_hostname,
    .set_mtu = mbedtls_ssl_set_mtu,
    .set_export_keys_cb = mbedtls_ssl_set_export_keys_cb,
    .set_cid = mbedtls_ssl_set_cid,
    .get_peer_cid = mbedtls_ssl_get_peer_cid,
    .handshake = mbedtls_ssl_handshake,
    .read = mbedtls_ssl_read,
    .write = mbedtls_ssl_write,
    .send_alert = mbedtls_ssl_send_alert_message,
    .get_ciphersuite_id = mbedtls_ssl_get_ciphersuite_id_from_ssl,
    .get_max_out_record_payload = mbedtls_ssl_get_max_out_record_payload,
    .set_hs_psk = mbedtls_ssl_set_hs_psk,
    .set_hs_own_cert = mbedtls_ssl_set_hs_own_cert,
};

const struct dtls_layer *THIS_LAYER(void) {
    return &layer;
}

#if !defined(DTLS_LAYER_DRAFT) && !defined(BERTH_DTLS_DRAFT_CID)
const struct dtls_layer *dtls_layer_draft(void) {
    return NULL;
}
#endif
