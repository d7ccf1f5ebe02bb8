/* A message kept beyond its datagram: code, options and payload in one piece of memory. */
#ifndef BERTH_COAP_STORED_MESSAGE_H
#define BERTH_COAP_STORED_MESSAGE_H

#include "common/coap/message.h"

struct stored_message {
    uint8_t code;
    uint16_t option_count;
    size_t size; /* of this whole piece of memory */
    struct slice payload;
    struct coap_option options[];
};

/* A copy, to be freed with free(); NULL when out of memory. */
struct stored_message *stored_message_copy(const struct coap_message *message);

/* Start `message` with the stored code and options, without payload. */
void stored_message_load(const struct stored_message *stored, struct coap_message *message);

#endif
