/* What the device keeps of its DTLS session in --state DIR: `session`, 0600, whose bytes are keys. It is replaced as a
 * whole when a session begins or ends; numbers are written in place, and reach the disk before they are used. A lock keeps
 * a second device out, which would use numbers twice. */
#ifndef BERTH_CLIENT_SESSION_FILE_H
#define BERTH_CLIENT_SESSION_FILE_H

#include <limits.h>

#include "common/net/dtls_client.h"

struct session_file {
    int fd;   /* of `session`; -1: there is none */
    int lock; /* -1: not open */
    uint8_t binding[32];
    uint64_t synced_limit; /* the number_limit that has reached the disk */
    char path[PATH_MAX], fresh[PATH_MAX];
};

enum session_file_found { SESSION_FILE_NOTHING, SESSION_FILE_STATE, SESSION_FILE_FAILED };

/* Make `directory` if there is none, lock it, and read what was kept for the same binding: `secret`, DTLS_CLIENT_SECRET_MAX
 * bytes of memory of the caller's, holds it. What was kept for another is left alone until something is kept. FAILED: one
 * line in `error`, and nothing is open. */
enum session_file_found session_file_open(struct session_file *file, const char *directory, const uint8_t binding[32],
                                          uint8_t secret[DTLS_CLIENT_SECRET_MAX], struct dtls_client_state *state,
                                          char *error, size_t error_size);

/* As dtls_client_handlers' keep and keep_numbers. */
bool session_file_keep(struct session_file *file, const struct dtls_client_state *state);
bool session_file_keep_numbers(struct session_file *file, const struct dtls_client_state *state);

void session_file_close(struct session_file *file);

#endif
