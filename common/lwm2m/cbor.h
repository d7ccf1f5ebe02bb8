/* application/cbor (Core 1.2 §7.5.3): the value of one resource or resource instance as one CBOR item. SenML CBOR and
 * LwM2M CBOR write their values in the same way. */
#ifndef BERTH_LWM2M_CBOR_H
#define BERTH_LWM2M_CBOR_H

#include "common/base/cbor.h"
#include "common/lwm2m/node.h"

/* How a Time is written. Clients differ in what they take (Table C-2 allows both, and a text, which all must read). */
enum cbor_time {
    CBOR_TIME_PLAIN,  /* an integer */
    CBOR_TIME_TAGGED, /* an integer with tag 1 */
};

/* Write the value. False when it has no form (NONE, RAW), is text that is not UTF-8, or does not fit. */
bool cbor_value_encode(const struct lwm2m_value *value, enum cbor_time time, struct buffer *out);

/* Read a value of `type`; RAW when it is not known. Strings point into `bytes`, or into `scratch` when they came in
 * parts. False: *remark says why; else it says what was tolerated or is NULL. */
bool cbor_value_decode(struct slice bytes, enum lwm2m_type type, struct buffer *scratch, struct lwm2m_value *value,
                       const char **remark);

/* Read the next item as a value of the type that it tells: INTEGER, UNSIGNED when it is more than an INTEGER holds,
 * FLOAT, BOOLEAN, STRING, OPAQUE, TIME when it is tagged so, NONE for null. False: the fault of the reader says why;
 * else *remark is set to what was tolerated, if anything was. */
bool cbor_value_read(struct cbor_reader *reader, struct lwm2m_value *value, const char **remark);

/* The same for an item that has been read; an array may follow only when its tag makes a number of it. */
bool cbor_value_of(struct cbor_reader *reader, const struct cbor_item *item, struct lwm2m_value *value,
                   const char **remark);

#endif
