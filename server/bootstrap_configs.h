/* Bootstrap configurations: one for each endpoint that has its own, and one for all others, whose endpoint is "". They are
 * in memory as bytes (bootstrap_config.h) and in the database, sealed. A change is in force when it is committed. */
#ifndef BERTH_SERVER_BOOTSTRAP_CONFIGS_H
#define BERTH_SERVER_BOOTSTRAP_CONFIGS_H

#include "db/store.h"
#include "server/bootstrap_config.h"
#include "server/seal.h"

enum {
    BOOTSTRAP_CONFIGS_MAX = 100000,
    BOOTSTRAP_CONFIGS_BYTES_MAX = 256 * 1024 * 1024, /* all together */
};

struct bootstrap_configs;

/* `store` and `seal` outlive it. NULL when out of memory. */
struct bootstrap_configs *bootstrap_configs_new(struct store *store, struct seal *seal);
/* Zeroes them; not while a change is under way. NULL is allowed. */
void bootstrap_configs_free(struct bootstrap_configs *configs);

/* Bring back what is stored. False: one line in `error`. */
bool bootstrap_configs_load(struct bootstrap_configs *configs, char *error, size_t error_size);

/* The bytes of an endpoint's own configuration; they live until the loop turns. data NULL: it has none. */
struct slice bootstrap_configs_find(const struct bootstrap_configs *configs, struct slice endpoint);

/* Every one with slot >= *slot: advances *slot past the one returned. False at the end. */
bool bootstrap_configs_next(const struct bootstrap_configs *configs, uint32_t *slot, struct slice *endpoint,
                            struct slice *bytes);

enum bootstrap_configs_result {
    BOOTSTRAP_CONFIGS_ACCEPTED, /* `done` is called, perhaps at once */
    BOOTSTRAP_CONFIGS_MISSING,  /* there is none to delete */
    BOOTSTRAP_CONFIGS_BUSY,     /* another change of this endpoint waits for its commit */
    BOOTSTRAP_CONFIGS_TOO_MANY, /* a limit above, or out of memory */
};

/* Have these bytes, 1 to BOOTSTRAP_BYTES_MAX, for the endpoint, which has at most CREDENTIAL_ENDPOINT_MAX. */
enum bootstrap_configs_result bootstrap_configs_put(struct bootstrap_configs *configs, struct slice endpoint,
                                                    struct slice bytes, store_done_fn *done, void *arg);
enum bootstrap_configs_result bootstrap_configs_delete(struct bootstrap_configs *configs, struct slice endpoint,
                                                       store_done_fn *done, void *arg);

#endif
