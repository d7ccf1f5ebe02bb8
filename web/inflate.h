/* What deflate made shorter (RFC 1951), as it was. The page is in the program only as gzip made it (web/page.c), and few
 * clients can't read that. Everything is checked against the bytes that there are, though they are the program's own. */
#ifndef BERTH_WEB_INFLATE_H
#define BERTH_WEB_INFLATE_H

#include "common/base/buffer.h"

/* Write what `packed`, a whole deflate stream, stands for, to the end of `out`, which holds nothing yet. False when it is
 * malformed or cut short, or does not fit. */
bool inflate(struct slice packed, struct buffer *out);

#endif
