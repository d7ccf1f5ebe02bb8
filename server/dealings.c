#include "server/dealings.h"

#include <stdlib.h>

struct dealings *dealings_of(struct registration *r) {
    if (r->dealings == NULL)
        r->dealings = calloc(1, sizeof *r->dealings);
    return r->dealings;
}

void dealings_settle(struct registration *r) {
    if (r->dealings == NULL || r->dealings->observations != NULL || r->dealings->queue != NULL)
        return;
    free(r->dealings);
    r->dealings = NULL;
}
