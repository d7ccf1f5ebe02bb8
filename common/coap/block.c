#include "common/coap/block.h"

bool coap_block_get(const struct coap_message *message, uint16_t number, struct coap_block *block) {
    uint32_t value;
    if (!coap_option_uint(message, number, &value))
        return false;
    *block = (struct coap_block){.num = value >> 4, .more = (value & 8) != 0, .szx = (uint8_t)(value & 7)};
    return true;
}

bool coap_block_add(struct coap_message *message, uint16_t number, struct coap_block block, struct coap_uint *scratch) {
    return coap_option_add_uint(message, number, block.num << 4 | (block.more ? 8u : 0u) | block.szx, scratch);
}
