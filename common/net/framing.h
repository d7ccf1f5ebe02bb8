/* Where one message ends and the next begins on a connection. Two framings are in use on the same port: that of RFC 8323
 * §3.2, whose frames are messages, and that of one vendor's client, which puts a length of four bytes before each
 * message of RFC 7252, or, over TLS, a message into each record. The first bytes of a connection tell them apart, and from what is no CoAP at all. */
#ifndef BERTH_NET_FRAMING_H
#define BERTH_NET_FRAMING_H

#include "common/net/link.h"

enum framing_guess {
    FRAMING_UNDECIDED, /* more bytes are needed, never more than FRAMING_GUESS_MAX */
    FRAMING_8323,      /* also when the first message is not the CSM that it has to be */
    FRAMING_PREFIXED,
    FRAMING_RECORD,  /* only over TLS */
    FRAMING_TLS,     /* a TLS handshake where none was expected */
    FRAMING_STRANGE, /* nothing known */
};

enum { FRAMING_GUESS_MAX = 6 };

/* What the first bytes of a connection are. An RFC 8323 connection begins with a CSM (code 7.01), whose second byte is
 * its code unless its length is extended; a length prefix begins with two zeros, which as a frame would be an empty
 * message, and that is never the first. */
enum framing_guess framing_guess(struct slice begin);

/* The same of the content of the first TLS record: a message of RFC 7252 begins with its version, and the code of a
 * request; a frame that begins with the same bits has 7.01 there (T1). */
enum framing_guess framing_guess_record(struct slice content);

enum framing_result {
    FRAMING_WHOLE,     /* *message is the next message, *total the bytes that it takes */
    FRAMING_PARTIAL,   /* more bytes are needed; *total is how many at least, counted from the beginning */
    FRAMING_TOO_LARGE, /* it announces more than `max` bytes */
    FRAMING_BROKEN,    /* no length can be read from it */
};

/* The message at the beginning of `in`, which is a whole frame with RFC 8323, and what follows the prefix otherwise.
 * `max` bounds the frame, prefix included. */
enum framing_result framing_next(enum link_framing framing, struct slice in, size_t max, struct slice *message,
                                 size_t *total);

enum { FRAMING_PREFIX = 4 };

#endif
