/* What entries of a trace mean, as JSON: the CoAP message, what it is for in LwM2M, its values, its records. Some of that is
 * known only from what came before: what a response answers, what a notification is about, that a device is being
 * bootstrapped. So a reader takes the entries one after the other. */
#ifndef BERTH_WEB_V1_MESSAGE_JSON_H
#define BERTH_WEB_V1_MESSAGE_JSON_H

#include <jansson.h>

#include "server/trace.h"

enum message_kind {
    MESSAGE_REGISTER,
    MESSAGE_UPDATE,
    MESSAGE_DEREGISTER,
    MESSAGE_BOOTSTRAP_REQUEST,
    MESSAGE_BOOTSTRAP_PACK,
    MESSAGE_BOOTSTRAP_WRITE,
    MESSAGE_BOOTSTRAP_READ,
    MESSAGE_BOOTSTRAP_DISCOVER,
    MESSAGE_BOOTSTRAP_DELETE,
    MESSAGE_BOOTSTRAP_FINISH,
    MESSAGE_READ,
    MESSAGE_DISCOVER,
    MESSAGE_WRITE,
    MESSAGE_WRITE_ATTRIBUTES,
    MESSAGE_EXECUTE,
    MESSAGE_CREATE,
    MESSAGE_DELETE,
    MESSAGE_READ_COMPOSITE,
    MESSAGE_WRITE_COMPOSITE,
    MESSAGE_OBSERVE,
    MESSAGE_OBSERVE_COMPOSITE,
    MESSAGE_CANCEL_OBSERVATION,
    MESSAGE_NOTIFY,
    MESSAGE_SEND,
    MESSAGE_REQUEST,  /* something else */
    MESSAGE_RESPONSE, /* to what is not known any more */
    MESSAGE_ACKNOWLEDGEMENT,
    MESSAGE_RESET,
    MESSAGE_PING,
    MESSAGE_SIGNAL,    /* of RFC 8323 */
    MESSAGE_PROTECTED, /* OSCORE that was not opened */
    MESSAGE_MALFORMED,
    MESSAGE_HANDSHAKE,
    MESSAGE_ALERT,
    MESSAGE_RECORD, /* of DTLS or TLS, not opened, or of which a message is told apart */
    MESSAGE_KINDS,
};

/* "register" … as the API names it. */
const char *message_kind_name(enum message_kind kind);

struct message_reader;

/* `server` outlives it; NULL when out of memory. */
struct message_reader *message_reader_new(const struct server *server);
void message_reader_free(struct message_reader *reader);

/* Take the next entry, by id; `inner` is what travelled inside of it, or empty. False: there is nothing in it to show,
 * such as bytes of a connection whose messages are entries of their own. */
bool message_reader_take(struct message_reader *reader, const struct trace_entry *entry, struct slice inner);

/* Of the entry that was taken last: */
enum message_kind message_reader_kind(const struct message_reader *reader);

/* `raw`: with its bytes on the wire. */
json_t *message_reader_json(struct message_reader *reader, bool raw);

#endif
