/* Deriving a context anew with fresh nonces (RFC 8613 Appendix B.2): four messages after which both sides have keys that
 * were never used, whatever they had lost. Messages in, messages out; who calls this keeps the nonces and the contexts.
 *
 *     client  request #1   ID Context R1 (or the present one)   kid context: R1
 *     server  response #1  R2 || R1                             kid context: R2; 4.01, nothing is done
 *     client  request #2   R2 || R3                             kid context: R2 || R3
 *     server  response #2  R2 || R3
 *
 * The server may begin by itself: it answers a request under any context it can verify with response #1. */
#ifndef BERTH_OSCORE_REDERIVE_H
#define BERTH_OSCORE_REDERIVE_H

#include "common/oscore/protect.h"

enum { OSCORE_R_LEN = 8, OSCORE_KID_CONTEXT_MAX = OSCORE_ID_CONTEXT_MAX + 2 };

/* A kid context is a nonce, or two, as a CBOR byte string; and back. False when it is none, or does not fit. */
bool oscore_rederive_wrap(struct slice nonce, struct buffer *out);
bool oscore_rederive_unwrap(struct slice kid_context, struct slice *nonce);

/* Of `secrets`, the ID Context has no meaning: each function says which one it takes. */

/* ---- the client ---- */

/* Begin: `context` is for request #1, with ID Context `r1`. */
bool oscore_rederive_begin(struct oscore_context *context, const struct oscore_secrets *secrets,
                           const uint8_t r1[OSCORE_R_LEN]);

/* A response to `request`, which was protected with `*context`, has a kid context. When it is a response #1 that
 * verifies, `*context` is the new one, with ID Context R2 || `r3`, and the request has to be sent again. Else nothing has
 * changed. */
enum oscore_result oscore_rederive_continue(struct oscore_context *context, const struct oscore_secrets *secrets,
                                            const uint8_t r3[OSCORE_R_LEN], const struct oscore_request *request,
                                            const struct oscore_option *option, const struct coap_message *response,
                                            struct buffer *memory);

/* ---- the server ---- */

/* A request with ID Context `id_context` that verifies is answered with response #1: `response` is its outer message,
 * with the request's type, Message ID and token. The same request always gets the same bytes with the same `r2`. */
enum oscore_result oscore_rederive_answer(const struct oscore_secrets *secrets, struct slice id_context,
                                          const uint8_t r2[OSCORE_R_LEN], const struct oscore_option *option,
                                          const struct coap_message *request, struct buffer *memory,
                                          struct coap_message *response);

/* Request #2: its nonces begin with `r2`, which was told and has not been used. When it verifies, `*context` is the new
 * context, whose window has taken the request, `inner` the request, and `r2` must be forgotten. Else nothing has changed. */
enum oscore_result oscore_rederive_finish(struct oscore_context *context, const struct oscore_secrets *secrets,
                                          const uint8_t r2[OSCORE_R_LEN], struct slice nonces,
                                          const struct oscore_option *option, const struct coap_message *outer,
                                          struct buffer *memory, struct coap_message *inner,
                                          struct oscore_request *request);

#endif
