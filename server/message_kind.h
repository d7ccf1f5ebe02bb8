/* What a CoAP message means to LwM2M: a Register or its answer, a Read, a notification … An answer, and an ACK or RST, is of
 * the kind of what it answers; for that the last messages are remembered. Only faults ask (server/fault.h), so nothing is
 * remembered before the first one has been ordered. */
#ifndef BERTH_SERVER_MESSAGE_KIND_H
#define BERTH_SERVER_MESSAGE_KIND_H

#include "common/coap/message.h"
#include "common/net/link.h"

/* A message has several. */
enum message_kind {
    MESSAGE_CON = 1 << 0, /* its type; RFC 8323 has none */
    MESSAGE_NON = 1 << 1,
    MESSAGE_ACK = 1 << 2,
    MESSAGE_RST = 1 << 3,
    MESSAGE_REQUEST = 1 << 4,
    MESSAGE_RESPONSE = 1 << 5,
    MESSAGE_PING = 1 << 6, /* an empty CON, or 7.02; and what answers it */
    MESSAGE_REGISTER = 1 << 7,
    MESSAGE_UPDATE = 1 << 8,
    MESSAGE_DEREGISTER = 1 << 9,
    MESSAGE_BOOTSTRAP = 1 << 10, /* Bootstrap-Request, Bootstrap-Pack-Request, Bootstrap-Finish */
    MESSAGE_SEND = 1 << 11,
    MESSAGE_NOTIFY = 1 << 12,
    MESSAGE_READ = 1 << 13,
    MESSAGE_WRITE = 1 << 14, /* of attributes, too */
    MESSAGE_EXECUTE = 1 << 15,
    MESSAGE_CREATE = 1 << 16,
    MESSAGE_DELETE = 1 << 17,
    MESSAGE_DISCOVER = 1 << 18,
    MESSAGE_OBSERVE = 1 << 19,
    MESSAGE_CONTINUE = 1 << 20, /* a 2.31 */
    MESSAGE_OTHER = 1 << 21,    /* signalling, and what is no message: has no name, and is only in ANY */
    MESSAGE_ANY = (1 << 22) - 1,
    MESSAGE_HANDSHAKE = 1 << 22, /* datagrams of DTLS: with handshake messages … */
    MESSAGE_RECORD = 1 << 23,    /* … or with what is protected */
    MESSAGE_FROM_DEVICES = MESSAGE_REGISTER | MESSAGE_UPDATE | MESSAGE_DEREGISTER | MESSAGE_BOOTSTRAP | MESSAGE_SEND,
    MESSAGE_FROM_US = MESSAGE_READ | MESSAGE_WRITE | MESSAGE_EXECUTE | MESSAGE_CREATE | MESSAGE_DELETE |
                      MESSAGE_DISCOVER | MESSAGE_OBSERVE | MESSAGE_CONTINUE,
};

/* "register" … as the API names a single kind, MESSAGE_ANY among them; of several the one that says most. */
const char *message_kind_name(uint32_t kinds);

/* False: there is no such name. */
bool message_kind_parse(struct slice name, uint32_t *kind);

/* What a request from a device is, by its method and path: one of MESSAGE_FROM_DEVICES, or 0. */
uint32_t message_request_kind(const struct listener *listener, const struct coap_message *request);

/* The segments of its path below /rd; their number, at most `max`. */
size_t message_location(const struct listener *listener, const struct coap_message *request, struct slice *segments,
                        size_t max);

/* A datagram of a DTLS listener, by its first record. */
uint32_t message_datagram_kind(struct slice datagram);

enum { MESSAGES_REMEMBERED = 512 };

struct remembered_message {
    const struct link *link; /* no reference: only compared; NULL: none */
    uint64_t endpoint;       /* whatever the caller noted; 0: unknown */
    uint32_t kinds;
    uint16_t mid;
    uint8_t token_len;
    uint8_t token[COAP_TOKEN_MAX];
    bool is_sent, is_answered;
};

/* Zero it before first use. */
struct message_memory {
    struct remembered_message entries[MESSAGES_REMEMBERED];
    size_t next;
};

/* All kinds of a message that comes or is sent over `link`. *answered is what it answers, or NULL; *entry is where it is
 * remembered itself, or NULL. Both are valid until the next call. */
uint32_t message_memory_judge(struct message_memory *memory, const struct link *link, bool is_sent,
                              const struct coap_message *message, const struct remembered_message **answered,
                              struct remembered_message **entry);

#endif
