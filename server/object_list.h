/* The object list of a registration (Core 1.2 §6.2.1): what a client announces, made canonical. Links are sorted by
 * path and merged, ids checked, the alternate path taken off, objects that a server must not see (Security, OSCORE,
 * COSE, MQTT Server) left out. `</>;rt="oma.lwm2m";ct="…"` comes first when the client told something about its root. */
#ifndef BERTH_SERVER_OBJECT_LIST_H
#define BERTH_SERVER_OBJECT_LIST_H

#include "common/base/slice.h"

enum { OBJECT_LIST_MAX = 256 << 10 }; /* bytes of the canonical text */

enum object_list_mode {
    OBJECT_LIST_WHOLE, /* replaces what was announced before; a root link is kept when there is no new one */
    OBJECT_LIST_DELTA, /* adds to it; a link with ;d is removed (the vendor's client) */
};

struct object_list {
    uint8_t *text; /* free() it */
    size_t len;
    char root[64];       /* alternate path without the slash at its end, "" for / */
    const char *oddity;  /* a deviation that was tolerated, or NULL */
    const char *warning; /* nothing wrong, but unusual, or NULL */
    char error[96];      /* when building failed: what is wrong and where */
    bool out_of_memory;  /* and that it is not the sender's fault */
};

/* Build from `announced` and what was known before (canonical, may be empty, with its root). False: list->error is set
 * and nothing needs to be freed. */
bool object_list_build(struct object_list *list, struct slice announced, struct slice before, struct slice root_before,
                       enum object_list_mode mode);

#endif
