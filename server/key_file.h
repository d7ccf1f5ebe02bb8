/* The key file: 32 random bytes with which the secrets in the database are sealed (seal.h). It is made when there is
 * none, mode 0600, and belongs to its database from then on: a check value in the database tells whether it is the right
 * one. */
#ifndef BERTH_SERVER_KEY_FILE_H
#define BERTH_SERVER_KEY_FILE_H

#include "db/store.h"
#include "server/seal.h"

/* Read the key at `path`; when there is no such file and `may_make`, make one. False: one line in `error`, which says
 * what is wrong (missing, not 32 bytes, open to other users …) and what to do. The caller zeroes the key. */
bool key_file_load(const char *path, bool may_make, uint8_t key[SEAL_KEY_BYTES], char *error, size_t error_size);

/* The seal of this store: with the key at `path`, or with DIRECTORY/berth.key when that is NULL. Only before the first
 * write to a new database is a key made. NULL: one line in `error`, also when the database was sealed with another
 * key. */
struct seal *key_file_unlock(struct store *store, const char *directory, const char *path, char *error,
                             size_t error_size);

/* Whether the node of a cluster with this key file can serve when its turn comes; made as above when nobody has served yet.
 * Waits for the database. False: one line in `error`. */
bool key_file_fits_cluster(const char *database, const char *path, char *error, size_t error_size);

#endif
