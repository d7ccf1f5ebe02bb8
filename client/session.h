/* The device's DTLS association with its server (common/net/dtls_client.h): made from the options, kept in --state, and
 * what happens to it reported. */
#ifndef BERTH_CLIENT_SESSION_H
#define BERTH_CLIENT_SESSION_H

#include "client/session_file.h"

struct device;

struct session {
    struct device *device;
    struct dtls_client *client; /* NULL: the server is not coaps:// */
    bool keeps;                 /* --state */
    struct session_file file;
};

/* What the shell asks for. NULL, or why it can't be done. */
const char *session_handshake(struct session *session, enum dtls_client_handshake how);
const char *session_hang_up(struct session *session);
const char *session_forget(struct session *session);

#endif
