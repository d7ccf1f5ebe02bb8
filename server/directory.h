/* The directory: every registration of this server, found by endpoint name and by location, listed in pages.
 *
 * Registrations lie in slots of a slab (chunks of 256) and stay in their slot while they exist; two open-addressing
 * tables of 8-byte entries (slot_table.h) find them. A listing walks the slots, so a registration
 * that exists all the while is listed exactly once, whatever comes and goes meanwhile.
 *
 * One endpoint name has at most one acknowledged registration. While a new one waits for its commit both are in the
 * slab: the newer one holds the name in the table and points at the one it replaces with `older`. */
#ifndef BERTH_SERVER_DIRECTORY_H
#define BERTH_SERVER_DIRECTORY_H

#include "common/base/hash.h"
#include "server/registration.h"

struct directory;

struct directory *directory_new(void);

/* Frees everything, registrations included; gives back their links. Timers must be off their wheel by then. */
void directory_free(struct directory *directory);

/* What a registration says; slices are copied. */
struct registration_content {
    struct slice endpoint, root, query, sms, links;
    struct slice location; /* empty: the directory draws one */
    struct slice identity; /* of its security association; to rewrite: NULL stays as it is */
    uint32_t lifetime_s;
    enum lwm2m_version version;
    uint8_t binding;
    bool queue_mode;
    enum client_profile profile;
    enum link_security security;
};

/* Add a registration in state PENDING; it takes a reference to `link`. Its location is drawn at random: four base-62
 * characters, more as the directory fills (at most one in 16 possible ones is taken), and never one in use. NULL when
 * out of memory, when the texts other than `links` have more than 65535 bytes together, or when a given location is in
 * use by another endpoint. */
struct registration *directory_add(struct directory *directory, uint64_t id, const struct registration_content *content,
                                   struct link *link);

/* A registration's commit has succeeded: it becomes the endpoint's, and the one it replaces is handed to `removed`, then
 * freed. Should a newer one of the endpoint have been committed before it, that one stays, and `registration` itself is
 * handed over and freed. `removed` must take the timer off its wheel, and must not change the directory. */
typedef void registration_fn(void *arg, struct registration *registration);
void directory_commit(struct directory *directory, struct registration *registration, registration_fn *removed,
                      void *arg);

/* Take a registration out, give back its link, and free it: its commit has failed, it was deregistered, or has run out.
 * Its timer must be off the wheel. */
void directory_remove(struct directory *directory, struct registration *registration);

/* Replace the texts (object list, query, sms, root) of a registration; slices of `content` may point into its own old
 * texts. Endpoint and location stay. False when out of memory or the texts are too long: nothing has changed. */
bool directory_rewrite(struct directory *directory, struct registration *registration,
                       const struct registration_content *content);

/* The acknowledged registration of an endpoint, or NULL. */
struct registration *directory_find(const struct directory *directory, struct slice endpoint);

/* The newest one, also when it still waits for its commit, or NULL. */
struct registration *directory_find_newest(const struct directory *directory, struct slice endpoint);

/* One with these names will soon be added: fetch from memory where they belong. */
void directory_expect(const struct directory *directory, struct slice endpoint, struct slice location);

/* The acknowledged registration at a location (segments below /rd joined by '/'), or NULL. */
struct registration *directory_find_location(const struct directory *directory, struct slice location);

/* The registration of the same endpoint that this one replaces or is going to replace, in whatever state, or NULL. */
struct registration *directory_older(const struct directory *directory, const struct registration *registration);

/* By slot: NULL when it is free or pending. */
struct registration *directory_at(const struct directory *directory, uint32_t slot);

/* Acknowledged registrations with slot >= *slot, one after the other: advances *slot past the one returned. NULL at the
 * end. Start with 0. */
struct registration *directory_next(const struct directory *directory, uint32_t *slot);

/* Acknowledged registrations now. */
size_t directory_count(const struct directory *directory);

/* Bytes of memory that the directory holds, links not counted. */
size_t directory_bytes(const struct directory *directory);

#endif
