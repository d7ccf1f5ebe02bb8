#include "client/shell.h"

#include "client/send.h"
#include "common/base/duration.h"
#include "common/lwm2m/text.h"

enum { LEAP_DAYS_MAX = 366 };

static const char help[] = "update, register, deregister, objects, read PATH, set PATH VALUE, send PATH... "
                           "[@UNIXTIME], clock +SECONDS, help, quit";

static void complain(const struct shell *shell, struct slice what, const char *sentence) {
    report_text(&shell->device->report, "complaint", what, sentence);
}

/* ---- commands ---- */

static void run_update(struct shell *shell, struct slice rest) {
    (void)rest;
    if (!registration_update(&shell->device->registration))
        complain(shell, slice_str("update"), "there is no registration");
}

static void run_register(struct shell *shell, struct slice rest) {
    (void)rest;
    registration_register(&shell->device->registration);
}

static void run_deregister(struct shell *shell, struct slice rest) {
    (void)rest;
    if (!registration_deregister(&shell->device->registration, NULL, NULL))
        complain(shell, slice_str("deregister"), "there is no registration");
}

static void run_objects(struct shell *shell, struct slice rest) {
    (void)rest;
    for (size_t i = 0; i < DEVICE_OBJECTS; i++) {
        const struct object *object = &shell->device->objects[i];
        struct lwm2m_path path = {.ids = {object->id, 0}, .len = 2};
        uint8_t path_bytes[16], bytes[512];
        struct buffer path_text = buffer_over(path_bytes, sizeof path_bytes),
                      ids = buffer_over(bytes, sizeof bytes - 1);
        lwm2m_path_put(&path_text, &path);
        for (size_t k = 0; k < object->resource_count; k++) {
            if (object_has(object, &object->resources[k]))
                buffer_printf(&ids, "%s%u", ids.len > 0 ? " " : "", object->resources[k].id);
        }
        bytes[ids.len] = '\0';
        report_text(&shell->device->report, "object", slice_from(buffer_slice(&path_text), 1), (const char *)bytes);
    }
}

/* The object of a path that has one; else a complaint and NULL. */
static struct object *find_object(struct shell *shell, struct slice word, struct lwm2m_path *path) {
    if (!lwm2m_path_parse(word, path, NULL) || path->len == 0) {
        complain(shell, word, "a path like 3/0/9 is expected");
        return NULL;
    }
    struct object *object = device_object(shell->device, path->ids[0]);
    bool is_there = object != NULL && (path->len < 2 || path->ids[1] == 0) &&
                    (path->len < 3 || object_resource(object, path->ids[2]) != NULL);
    if (!is_there)
        complain(shell, word, "there is no such thing");
    return is_there ? object : NULL;
}

static void run_read(struct shell *shell, struct slice rest) {
    struct lwm2m_path path;
    const struct object *object = find_object(shell, rest, &path);
    bool found = false;
    for (size_t i = 0; object != NULL && i < object->resource_count; i++) {
        struct lwm2m_node memory[64];
        struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, 64);
        if (path.len < 3 || object->resources[i].id == path.ids[2])
            object_read(object, &object->resources[i], &nodes);
        for (size_t k = 0; k < nodes.count; k++) {
            if (nodes.nodes[k].value.type == LWM2M_NONE || !lwm2m_path_contains(&path, &nodes.nodes[k].path))
                continue;
            report_value(&shell->device->report, &nodes.nodes[k]);
            found = true;
        }
    }
    if (object != NULL && !found)
        complain(shell, rest, "it has no value");
}

static struct slice take_word(struct slice *rest) {
    struct slice word = *rest;
    size_t len = 0;
    while (len < rest->len && rest->data[len] != ' ')
        len++;
    word.len = len;
    while (len < rest->len && rest->data[len] == ' ')
        len++;
    *rest = slice_from(*rest, len);
    return word;
}

/* What the device itself may change: also what a server cannot write. */
static void run_set(struct shell *shell, struct slice rest) {
    struct slice word = take_word(&rest);
    uint8_t bytes[SHELL_LINE_MAX];
    struct buffer scratch = buffer_over(bytes, sizeof bytes);
    struct lwm2m_path path;
    struct lwm2m_value value;
    const char *remark;
    struct object *object = find_object(shell, word, &path);
    if (object == NULL)
        return;
    const struct resource *resource = path.len < 3 ? NULL : object_resource(object, path.ids[2]);
    if (resource == NULL || path.len != (resource->multiple ? 4 : 3))
        complain(shell, word, "one value is set, by the path of a resource or, if it has several, of one of them");
    else if (resource->type == LWM2M_NONE || (resource->read != NULL && resource->write == NULL))
        complain(shell, word, "it has no value that can be set");
    else if (!lwm2m_text_decode(rest, resource->type, &scratch, &value, &remark))
        complain(shell, word, remark);
    else if (!object_accepts(resource, &value))
        complain(shell, word, "the value is not in its range");
    else
        object_write(object, resource, path.len == 4 ? path.ids[3] : 0, &value);
}

/* `@1600000000`, with milliseconds behind a point if need be, or `@now`. */
static bool parse_time(const struct shell *shell, struct slice text, int64_t *time_ms) {
    uint64_t ms;
    if (slice_is(text, "@now"))
        ms = clock_now_ms(&shell->device->clock);
    else if (!duration_parse(slice_from(text, 1), (uint64_t)UINT32_MAX * 1000, &ms))
        return false;
    *time_ms = (int64_t)ms;
    return true;
}

static void run_send(struct shell *shell, struct slice rest) {
    struct send send = {.count = 0};
    struct slice all = rest;
    while (rest.len > 0) {
        struct slice word = take_word(&rest);
        if (word.data[0] == '@') {
            send.has_time = true;
            if (rest.len > 0 || !parse_time(shell, word, &send.time_ms)) {
                complain(shell, word, "a time is the last word: seconds since 1970, or @now");
                return;
            }
        } else if (send.count == SEND_PATHS_MAX) {
            complain(shell, slice_str("send"), "that is too many paths");
            return;
        } else if (find_object(shell, word, &send.paths[send.count++]) == NULL) {
            return;
        }
    }
    const char *problem = send.count == 0 ? "a path like 3/0/9 is expected" : send_values(shell->device, &send);
    if (problem != NULL)
        complain(shell, all, problem);
}

static void run_clock(struct shell *shell, struct slice rest) {
    uint64_t ms;
    if (!slice_starts_with(rest, "+") ||
        !duration_parse(slice_from(rest, 1), (uint64_t)LEAP_DAYS_MAX * 86400000, &ms)) {
        complain(shell, slice_str("clock"), "+SECONDS is expected, or +5m, +1h, +1d");
        return;
    }
    device_leap(shell->device, ms);
}

static void run_help(struct shell *shell, struct slice rest) {
    (void)rest;
    report_text(&shell->device->report, "help", slice_str("commands"), help);
}

static void run_quit(struct shell *shell, struct slice rest) {
    (void)rest;
    shell->quit(shell->arg);
}

static const struct {
    const char *name;
    bool has_argument;
    void (*run)(struct shell *shell, struct slice rest);
} commands[] = {
    {"update", false, run_update},   {"register", false, run_register}, {"deregister", false, run_deregister},
    {"objects", false, run_objects}, {"read", true, run_read},          {"set", true, run_set},
    {"send", true, run_send},        {"clock", true, run_clock},        {"help", false, run_help},
    {"quit", false, run_quit},
};

void shell_run(struct shell *shell, struct slice line) {
    while (line.len > 0 && (line.data[line.len - 1] == ' ' || line.data[line.len - 1] == '\r'))
        line.len--;
    while (line.len > 0 && line.data[0] == ' ')
        line = slice_from(line, 1);
    if (line.len == 0)
        return;
    struct slice rest = line, word = take_word(&rest);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (!slice_is(word, commands[i].name))
            continue;
        if (commands[i].has_argument != (rest.len > 0))
            complain(shell, word,
                     commands[i].has_argument ? "something is missing behind it; try help"
                                              : "nothing is expected behind it; try help");
        else
            commands[i].run(shell, rest);
        return;
    }
    complain(shell, word, "there is no such command; try help");
}

/* ---- lines ---- */

static void end_line(struct shell *shell) {
    size_t len = shell->len;
    bool skipping = shell->skipping;
    shell->len = 0;
    shell->skipping = false;
    if (skipping)
        complain(shell, SLICE_NONE, "the line is too long");
    else
        shell_run(shell, slice_of(shell->line, len));
}

static void take_byte(struct shell *shell, char c) {
    if (c == '\n') {
        end_line(shell);
    } else if (shell->len == sizeof shell->line) {
        shell->skipping = true;
    } else {
        shell->line[shell->len++] = c;
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    struct shell *shell = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(shell->chunk, sizeof shell->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct shell *shell = stream->data;
    (void)buffer;
    clock_update(&shell->device->clock);
    for (ssize_t i = 0; i < count; i++)
        take_byte(shell, shell->chunk[i]);
    if (count < 0) { /* the end: what has no line end is a line too */
        if (shell->len > 0)
            end_line(shell);
        shell_close(shell);
    }
}

void shell_start(struct shell *shell, uv_loop_t *loop, int in, struct device *device, void (*quit)(void *arg),
                 void *arg) {
    shell->device = device;
    shell->quit = quit;
    shell->arg = arg;
    shell->open = false;
    shell->skipping = false;
    shell->len = 0;
    int result = UV_EINVAL;
    switch (uv_guess_handle(in)) {
    case UV_TTY:
        result = uv_tty_init(loop, &shell->in.tty, in, 1);
        break;
    case UV_NAMED_PIPE:
        result = uv_pipe_init(loop, &shell->in.pipe, 0);
        if (result == 0)
            result = uv_pipe_open(&shell->in.pipe, in);
        break;
    default:
        return;
    }
    if (result != 0)
        return;
    shell->open = true;
    shell->in.stream.data = shell;
    uv_read_start(&shell->in.stream, on_alloc, on_read);
    uv_unref((uv_handle_t *)&shell->in.stream);
}

void shell_close(struct shell *shell) {
    if (shell->open)
        uv_close((uv_handle_t *)&shell->in.stream, NULL);
    shell->open = false;
}
