/* Bytes as text and back: hexadecimal and Base64. */
#ifndef BERTH_BASE_TEXT_H
#define BERTH_BASE_TEXT_H

#include "common/base/buffer.h"

/* Two lower-case digits a byte. */
void text_put_hex(struct buffer *out, struct slice bytes);

/* Digits of either case, an even number of them and nothing else. False when it is not so or does not fit. */
bool text_get_hex(struct slice text, struct buffer *out);

/* RFC 4648 §4, with padding. */
void text_put_base64(struct buffer *out, struct slice bytes);

/* RFC 4648 §5, without padding. */
void text_put_base64url(struct buffer *out, struct slice bytes);

/* Base64 of either alphabet (RFC 4648 §4, §5), padded or not, and nothing else. False when it is not so or does not
 * fit. */
bool text_get_base64(struct slice text, struct buffer *out);

#endif
