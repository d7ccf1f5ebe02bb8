#include "server/absent_link.h"

#include <errno.h>
#include <stdlib.h>

struct absent_link {
    struct link link; /* first member: see release */
    struct link_identity identity;
    uint8_t name[];
};

static int send_nothing(struct link *link, struct slice message) {
    (void)link;
    (void)message;
    return -ENOTCONN;
}

static void release(struct link *link) {
    free(link);
}

static const struct link_ops ops = {.send = send_nothing, .release = release};

struct link *absent_link_new(struct listener *listener, const struct address *peer, enum link_security security,
                             struct slice name) {
    struct absent_link *absent = calloc(1, sizeof *absent + name.len);
    if (absent == NULL)
        return NULL;
    if (name.len > 0)
        memcpy(absent->name, name.data, name.len);
    absent->identity = (struct link_identity){.security = security, .name = slice_of(absent->name, name.len)};
    absent->link =
        (struct link){.ops = &ops, .listener = listener, .identity = &absent->identity, .peer = *peer, .refs = 1};
    return &absent->link;
}

bool absent_link_is(const struct link *link) {
    return link->ops == &ops;
}
