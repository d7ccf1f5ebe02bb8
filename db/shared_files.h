/* What a node of a cluster (cluster.h) has in files and not in rows, kept in the database so that whichever node serves next
 * has it, too: the server's own authority and certificate, sealed as they are in their files, and firmware images, whose
 * file names are their digests.
 *
 * Every function makes a connection of its own and waits: for the start, or for a thread that may wait. */
#ifndef BERTH_DB_SHARED_FILES_H
#define BERTH_DB_SHARED_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* Write the files that the database has and `directory` (the data directory) lacks; certificates in any case. False: one
 * line in `error`. */
bool shared_files_fetch(const char *uri, const char *directory, char *error, size_t error_size);

/* The other way round, by the node that serves: what is in `directory` is in the database afterwards, and firmware that is
 * not there any more is not there either. */
bool shared_files_send(const char *uri, const char *directory, char *error, size_t error_size);

/* One file, "firmware/…", in one transaction. */
bool shared_files_put(const char *uri, const char *directory, const char *name, char *error, size_t error_size);

#endif
