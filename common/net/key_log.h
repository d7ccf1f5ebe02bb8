/* Secrets of DTLS and TLS sessions in NSS key log format, as Wireshark reads them (--tls-key-log, SSLKEYLOGFILE). Whoever has
 * the file can read everything. */
#ifndef BERTH_NET_KEY_LOG_H
#define BERTH_NET_KEY_LOG_H

#include "common/base/buffer.h"

enum { KEY_LOG_LINE_MAX = 40 + 1 + 64 + 1 + 128 + 1 };

/* A line with its NUL and without newline: at most KEY_LOG_LINE_MAX bytes for secrets of 64. */
void key_log_put_line(struct buffer *out, const char *label, const uint8_t client_random[32], struct slice secret);

/* Open for appending; a new file is for its owner alone (0600). A file descriptor, or a negative errno. */
int key_log_open(const char *path);

/* Append a line in one write. 0, or a negative errno. */
int key_log_write(int fd, const char *line);

#endif
