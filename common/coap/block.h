/* Block1 and Block2 option values (RFC 7959 §2.2; RFC 8323 §6). */
#ifndef BERTH_COAP_BLOCK_H
#define BERTH_COAP_BLOCK_H

#include "common/coap/option.h"

enum { COAP_SZX_MAX = 6, COAP_SZX_BERT = 7, COAP_BLOCK_NUM_MAX = 0xfffff };

struct coap_block {
    uint32_t num; /* 0 to COAP_BLOCK_NUM_MAX */
    bool more;
    uint8_t szx; /* 0 to 6: blocks of 16 to 1024 bytes; 7: BERT, any number of 1024 bytes (RFC 8323 §6) */
};

/* What block numbers count. */
static inline size_t coap_block_size(uint8_t szx) {
    return (size_t)16 << (szx > COAP_SZX_MAX ? COAP_SZX_MAX : szx);
}

/* Read the option; false when the message has none. */
bool coap_block_get(const struct coap_message *message, uint16_t number, struct coap_block *block);

bool coap_block_add(struct coap_message *message, uint16_t number, struct coap_block block, struct coap_uint *scratch);

#endif
