/* What the records of DTLS (RFC 6347, RFC 9146) and TLS (RFC 8446 §5.1) tell without their keys: headers, and names of
 * handshake messages that are not encrypted. */
#ifndef BERTH_WEB_V1_RECORD_JSON_H
#define BERTH_WEB_V1_RECORD_JSON_H

#include <jansson.h>

#include "common/base/slice.h"

/* What a datagram, or a part of a connection, is about: what its first record is. */
enum record_about { RECORDS_NONE, RECORDS_HANDSHAKE, RECORDS_ALERT, RECORDS_CONTENT };

/* A list of the records in a datagram; what is none ends it. */
json_t *record_json_datagram(struct slice datagram, enum record_about *about);

/* The same for bytes of a connection whose first `skip` belong to a record before. *skip becomes how many bytes of the last
 * record are missing; when a header itself is cut off, or what comes is no record, it is SIZE_MAX. */
json_t *record_json_stream(struct slice bytes, size_t *skip, enum record_about *about);

#endif
