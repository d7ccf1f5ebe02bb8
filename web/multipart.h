/* multipart/form-data (RFC 7578) as it comes: bytes are put in, in pieces of any length, and the parts come out as they
 * are. Only what may be the beginning of a boundary, and the header of a part, are held back. */
#ifndef BERTH_WEB_MULTIPART_H
#define BERTH_WEB_MULTIPART_H

#include "common/base/slice.h"

enum {
    MULTIPART_BOUNDARY_MAX = 70, /* RFC 2046 §5.1.1 */
    MULTIPART_HEADER_MAX = 2048, /* of a part */
    MULTIPART_PARTS_MAX = 32,
};

/* Each returns false to end it; what is wrong is then the caller's business. */
struct multipart_handlers {
    bool (*begin)(void *arg, struct slice name); /* "" when it has none; quoted pairs are undone */
    bool (*data)(void *arg, struct slice bytes); /* of that part; any number of times */
    bool (*end)(void *arg);
};

enum multipart_state {
    MULTIPART_OUTSIDE,  /* before the first boundary */
    MULTIPART_BOUNDARY, /* behind one */
    MULTIPART_HEADER,
    MULTIPART_BODY,
    MULTIPART_DONE,
    MULTIPART_BROKEN,
};

struct multipart {
    const struct multipart_handlers *handlers;
    void *arg;
    enum multipart_state state;
    const char *fault;                              /* of MULTIPART_BROKEN: a sentence; NULL: a handler ended it */
    char delimiter[4 + MULTIPART_BOUNDARY_MAX + 1]; /* CRLF, two dashes, the boundary */
    size_t delimiter_len, matched;                  /* of it, at the end of what has come */
    char header[MULTIPART_HEADER_MAX];
    size_t header_len, parts;
};

/* `content_type` is that of the request. `handlers` outlives it. False: it is none, or has no boundary. */
bool multipart_start(struct multipart *multipart, struct slice content_type, const struct multipart_handlers *handlers,
                     void *arg);

/* False: it is broken. */
bool multipart_add(struct multipart *multipart, struct slice bytes);

/* Whether the last boundary has come. */
bool multipart_is_done(const struct multipart *multipart);

#endif
