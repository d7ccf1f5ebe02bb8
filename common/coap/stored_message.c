#include "common/coap/stored_message.h"

#include <stdlib.h>

struct stored_message *stored_message_copy(const struct coap_message *message) {
    size_t options_size = message->option_count * sizeof(struct coap_option);
    size_t size = sizeof(struct stored_message) + options_size + message->payload.len;
    for (size_t i = 0; i < message->option_count; i++)
        size += message->options[i].value.len;
    struct stored_message *stored = malloc(size);
    if (stored == NULL)
        return NULL;
    stored->code = message->code;
    stored->option_count = (uint16_t)message->option_count;
    stored->size = size;
    struct buffer bytes =
        buffer_over((uint8_t *)stored + sizeof *stored + options_size, size - sizeof *stored - options_size);
    for (size_t i = 0; i < message->option_count; i++) {
        const struct coap_option *option = &message->options[i];
        stored->options[i] = (struct coap_option){option->number, slice_of(bytes.data + bytes.len, option->value.len)};
        buffer_put_slice(&bytes, option->value);
    }
    stored->payload = slice_of(bytes.data + bytes.len, message->payload.len);
    buffer_put_slice(&bytes, message->payload);
    return stored;
}

void stored_message_load(const struct stored_message *stored, struct coap_message *message) {
    coap_message_init(message, COAP_CON, stored->code, 0, SLICE_NONE);
    for (size_t i = 0; i < stored->option_count; i++)
        message->options[i] = stored->options[i];
    message->option_count = stored->option_count;
}
