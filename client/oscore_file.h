/* What the device keeps of an OSCORE context in --state DIR: the numbers that may have been used, with the context as it is
 * configured and with the one that was derived from it last (RFC 8613 Appendix B.2), and the ID Context of that one.
 * Nothing of it is secret. There is a file for each context, named by a digest of its keys and 0600, so that whoever comes
 * back to an earlier one goes on where its numbers ended. A file is replaced as a whole and on the disk before a number in
 * it is used. A lock keeps a second device out, which would use numbers twice. */
#ifndef BERTH_CLIENT_OSCORE_FILE_H
#define BERTH_CLIENT_OSCORE_FILE_H

#include <limits.h>

#include "common/oscore/context.h"

struct oscore_numbers {
    uint64_t configured_limit; /* below it, numbers of the context as configured may have been used */
    uint64_t derived_limit;    /* and of the derived one */
    uint8_t id_context[OSCORE_ID_CONTEXT_MAX], id_context_len; /* of that; of no bytes: there is none */
};

struct oscore_file {
    int directory, lock; /* -1: not open */
    char name[48], fresh[64];
};

/* Make `directory` if there is none, lock it, and read what was kept of the context of `secrets`: all zero when nothing was.
 * False: one line in `error`, and nothing is open. */
bool oscore_file_open(struct oscore_file *file, const char *directory, const struct oscore_secrets *secrets,
                      struct oscore_numbers *numbers, char *error, size_t error_size);

/* False: it was not kept. */
bool oscore_file_keep(struct oscore_file *file, const struct oscore_numbers *numbers);

void oscore_file_close(struct oscore_file *file);

#endif
