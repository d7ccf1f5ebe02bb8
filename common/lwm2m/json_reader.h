/* JSON (RFC 8259) that comes from devices, read token by token.
 *
 * The HTTP API has a library for JSON; this reader is for payloads. It allocates nothing, nests no deeper than
 * JSON_DEPTH_MAX, takes linear time and keeps numbers as they are: an integer is exact in all of its 64 bits, signed or
 * not, and 5.0 is told from 5. Strict: no comments, no leading zeros, no comma too many, nothing after the value. The
 * one thing it leaves to its caller is whether a text is UTF-8. */
#ifndef BERTH_LWM2M_JSON_READER_H
#define BERTH_LWM2M_JSON_READER_H

#include "common/lwm2m/node.h"

enum { JSON_DEPTH_MAX = 8 };

enum json_token_kind {
    JSON_TOKEN_END, /* of the text */
    JSON_TOKEN_OBJECT,
    JSON_TOKEN_OBJECT_END,
    JSON_TOKEN_ARRAY,
    JSON_TOKEN_ARRAY_END,
    JSON_TOKEN_KEY, /* with its colon; a value follows */
    JSON_TOKEN_STRING,
    JSON_TOKEN_NUMBER,
    JSON_TOKEN_TRUE,
    JSON_TOKEN_FALSE,
    JSON_TOKEN_NULL,
};

struct json_token {
    enum json_token_kind kind;
    struct slice text; /* KEY and STRING: unescaped; NUMBER: as it is written */
};

enum json_expect { JSON_EXPECT_VALUE, JSON_EXPECT_FIRST, JSON_EXPECT_NEXT, JSON_EXPECT_END };

/* A copy of it is a bookmark. */
struct json_reader {
    struct slice rest;      /* what is not read yet */
    struct buffer *scratch; /* for strings with escapes; others point into the text */
    const char *remark;     /* after a failure: why, in words for a person */
    enum json_expect expect;
    uint8_t depth;
    uint8_t objects; /* a bit for each container that is open: it is an object */
};

/* Read one JSON value from `text`; `scratch` has room enough when it has as many bytes free as the text. */
void json_reader_begin(struct json_reader *reader, struct slice text, struct buffer *scratch);

/* The next token. False: reader->remark says why. */
bool json_reader_next(struct json_reader *reader, struct json_token *token);

/* The next token, which must be of this kind. */
bool json_reader_expect(struct json_reader *reader, enum json_token_kind kind, struct json_token *token);

/* Pass over the next value, whatever it is. */
bool json_reader_skip(struct json_reader *reader);

/* The number that a token of kind NUMBER has: INTEGER; UNSIGNED when it is greater than 2^63 - 1; FLOAT when it is
 * greater still or is written with a fraction or an exponent, but for a whole number that only an integer has exactly.
 * False when it is too long or too great for a double. */
bool json_number(const struct json_token *token, struct lwm2m_value *number);

#endif
