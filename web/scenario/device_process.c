#include "web/scenario/device_process.h"

#include <stdlib.h>

enum { COMMANDS_MAX = 64 * 1024 }; /* bytes that wait for the device to read them */

struct device_process {
    uv_process_t process;
    uv_pipe_t in, out;
    const struct device_process_handlers *handlers; /* NULL: it could not be started */
    void *arg;
    unsigned handles;
    bool has_ended, out_ended;
    int64_t status;
    int signal;
    size_t len;
    char line[DEVICE_PROCESS_LINE_MAX];
    char chunk[16 * 1024];
};

static void on_handle_closed(uv_handle_t *handle) {
    struct device_process *process = handle->data;
    if (--process->handles > 0)
        return;
    if (process->handlers != NULL)
        process->handlers->closed(process->arg);
    free(process);
}

static void close_handles(struct device_process *process) {
    uv_close((uv_handle_t *)&process->process, on_handle_closed);
    uv_close((uv_handle_t *)&process->in, on_handle_closed);
    uv_close((uv_handle_t *)&process->out, on_handle_closed);
}

/* It is over once it has ended and everything that it has said is read. */
static void end_if_over(struct device_process *process) {
    if (!process->has_ended || !process->out_ended || uv_is_closing((uv_handle_t *)&process->process))
        return;
    close_handles(process);
    process->handlers->ended(process->arg, process->status, process->signal);
}

static void on_exit_of_process(uv_process_t *handle, int64_t status, int signal) {
    struct device_process *process = handle->data;
    process->has_ended = true;
    process->status = status;
    process->signal = signal;
    end_if_over(process);
}

/* ---- what it says ---- */

static void take_byte(struct device_process *process, char c) {
    if (c != '\n') {
        if (process->len < sizeof process->line)
            process->line[process->len++] = c;
        return;
    }
    size_t len = process->len;
    process->len = 0;
    process->handlers->line(process->arg, slice_of(process->line, len));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    struct device_process *process = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(process->chunk, sizeof process->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct device_process *process = stream->data;
    (void)buffer;
    for (ssize_t i = 0; i < count; i++)
        take_byte(process, process->chunk[i]);
    if (count >= 0)
        return;
    uv_read_stop(stream);
    process->out_ended = true;
    end_if_over(process);
}

/* ---- what it is told ---- */

struct command {
    uv_write_t request; /* first member */
    char bytes[];
};

static void on_written(uv_write_t *request, int status) {
    (void)status;
    free(request);
}

bool device_process_command(struct device_process *process, struct slice line) {
    uv_stream_t *in = (uv_stream_t *)&process->in;
    if (process->has_ended || uv_stream_get_write_queue_size(in) + line.len > COMMANDS_MAX)
        return false;
    struct command *command = malloc(sizeof *command + line.len + 1);
    if (command == NULL)
        return false;
    memcpy(command->bytes, line.data, line.len);
    command->bytes[line.len] = '\n';
    uv_buf_t buffer = uv_buf_init(command->bytes, (unsigned)line.len + 1);
    if (uv_write(&command->request, in, &buffer, 1, on_written) == 0)
        return true;
    free(command);
    return false;
}

void device_process_signal(struct device_process *process, int signal) {
    if (!process->has_ended)
        uv_process_kill(&process->process, signal);
}

/* ---- its beginning ---- */

struct device_process *device_process_start(uv_loop_t *loop, char **arguments,
                                            const struct device_process_handlers *handlers, void *arg, int *error) {
    struct device_process *process = calloc(1, sizeof *process);
    if (process == NULL) {
        *error = UV_ENOMEM;
        return NULL;
    }
    uv_pipe_init(loop, &process->in, 0);
    uv_pipe_init(loop, &process->out, 0);
    uv_stdio_container_t stdio[] = {
        {.flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_READABLE_PIPE), .data.stream = (uv_stream_t *)&process->in},
        {.flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE), .data.stream = (uv_stream_t *)&process->out},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {
        .exit_cb = on_exit_of_process, .file = arguments[0], .args = arguments, .stdio_count = 3, .stdio = stdio};
    process->handlers = handlers;
    process->arg = arg;
    process->handles = 3;
    process->process.data = process->in.data = process->out.data = process;
    *error = uv_spawn(loop, &process->process, &options);
    if (*error == 0) {
        uv_read_start((uv_stream_t *)&process->out, on_alloc, on_read);
        return process;
    }
    process->handlers = NULL; /* the caller is told at once, and nothing more */
    close_handles(process);
    return NULL;
}
