/* Commands on standard input, a line each: `update`, `read 3/0/0`, `set 3/0/9 80` … A terminal or a pipe is read; when it
 * ends, or is something else (/dev/null, a file, nothing), the device just goes on. */
#ifndef BERTH_CLIENT_SHELL_H
#define BERTH_CLIENT_SHELL_H

#include <uv.h>

#include "client/device.h"

enum { SHELL_LINE_MAX = 4096 };

struct shell {
    struct device *device;
    void (*quit)(void *arg); /* the command of that name */
    void *arg;
    union {
        uv_stream_t stream;
        uv_tty_t tty;
        uv_pipe_t pipe;
    } in;
    bool open;
    bool skipping; /* the rest of a line that is too long */
    size_t len;
    char line[SHELL_LINE_MAX];
    char chunk[SHELL_LINE_MAX];
};

/* Read from the file descriptor `in`, without keeping the loop alive. */
void shell_start(struct shell *shell, uv_loop_t *loop, int in, struct device *device, void (*quit)(void *arg),
                 void *arg);

/* The memory must stay until the loop has run the close callback. */
void shell_close(struct shell *shell);

/* A line for each command. */
void shell_put_help(struct buffer *out);

/* Do what one line says. */
void shell_run(struct shell *shell, struct slice line);

#endif
