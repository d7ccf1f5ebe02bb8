/* What entries of a trace mean, as JSON: the CoAP message, what it is for in LwM2M, its values, its records. Some of that is
 * known only from what came before: what a response answers, what a notification is about, that a device is being
 * bootstrapped. So a reader takes the entries one after the other. */
#ifndef BERTH_WEB_V1_MESSAGE_JSON_H
#define BERTH_WEB_V1_MESSAGE_JSON_H

#include <jansson.h>

#include "server/trace.h"

enum entry_kind {
    ENTRY_REGISTER,
    ENTRY_UPDATE,
    ENTRY_DEREGISTER,
    ENTRY_BOOTSTRAP_REQUEST,
    ENTRY_BOOTSTRAP_PACK,
    ENTRY_BOOTSTRAP_WRITE,
    ENTRY_BOOTSTRAP_READ,
    ENTRY_BOOTSTRAP_DISCOVER,
    ENTRY_BOOTSTRAP_DELETE,
    ENTRY_BOOTSTRAP_FINISH,
    ENTRY_READ,
    ENTRY_DISCOVER,
    ENTRY_WRITE,
    ENTRY_WRITE_ATTRIBUTES,
    ENTRY_EXECUTE,
    ENTRY_CREATE,
    ENTRY_DELETE,
    ENTRY_READ_COMPOSITE,
    ENTRY_WRITE_COMPOSITE,
    ENTRY_OBSERVE,
    ENTRY_OBSERVE_COMPOSITE,
    ENTRY_CANCEL_OBSERVATION,
    ENTRY_NOTIFY,
    ENTRY_SEND,
    ENTRY_REQUEST,  /* something else */
    ENTRY_RESPONSE, /* to what is not known any more */
    ENTRY_ACKNOWLEDGEMENT,
    ENTRY_RESET,
    ENTRY_PING,
    ENTRY_SIGNAL,    /* of RFC 8323 */
    ENTRY_PROTECTED, /* OSCORE that was not opened */
    ENTRY_MALFORMED,
    ENTRY_HANDSHAKE,
    ENTRY_ALERT,
    ENTRY_RECORD, /* of DTLS or TLS, not opened, or of which a message is told apart */
    ENTRY_KINDS,
};

/* "register" … as the API names it. */
const char *entry_kind_name(enum entry_kind kind);

struct message_reader;

/* `server` outlives it; NULL when out of memory. */
struct message_reader *message_reader_new(const struct server *server);
void message_reader_free(struct message_reader *reader);

/* Take the next entry, by id; `inner` is what travelled inside of it, or empty. False: there is nothing in it to show,
 * such as bytes of a connection whose messages are entries of their own. */
bool message_reader_take(struct message_reader *reader, const struct trace_entry *entry, struct slice inner);

/* Of the entry that was taken last: */
enum entry_kind message_reader_kind(const struct message_reader *reader);

/* `raw`: with its bytes on the wire. */
json_t *message_reader_json(struct message_reader *reader, bool raw);

#endif
