#include "client/shell.h"

#include "client/request.h"
#include "client/send.h"
#include "common/base/duration.h"
#include "common/lwm2m/text.h"

enum { LEAP_DAYS_MAX = 366 };

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
    if (bootstrap_is_busy(&shell->device->bootstrap))
        complain(shell, slice_str("register"), "a bootstrap comes first");
    else
        registration_register(&shell->device->registration);
}

static void run_deregister(struct shell *shell, struct slice rest) {
    (void)rest;
    if (!registration_deregister(&shell->device->registration, NULL, NULL))
        complain(shell, slice_str("deregister"), "there is no registration");
}

/* `3/0: 0 1 2 …`. */
static void report_instance(const struct shell *shell, const struct object *object, const struct instance *instance) {
    struct lwm2m_path path = {.ids = {object->id, instance->id}, .len = 2};
    uint8_t path_bytes[16], bytes[4096];
    struct buffer path_text = buffer_over(path_bytes, sizeof path_bytes), ids = buffer_over(bytes, sizeof bytes - 1);
    lwm2m_path_put(&path_text, &path);
    for (size_t i = 0; i < object->resource_count; i++) {
        if (object_has(instance, &object->resources[i]))
            buffer_printf(&ids, "%s%u", ids.len > 0 ? " " : "", object->resources[i].id);
    }
    bytes[ids.len] = '\0';
    report_text(&shell->device->report, "object", slice_from(buffer_slice(&path_text), 1), (const char *)bytes);
}

static void run_objects(struct shell *shell, struct slice rest) {
    (void)rest;
    for (size_t i = 0; i < shell->device->object_count; i++) {
        const struct object *object = &shell->device->objects[i];
        for (size_t k = 0; k < object->instance_count; k++)
            report_instance(shell, object, &object->instances[k]);
    }
}

/* What a path of an object or below means; else a complaint and false. */
static bool find_target(struct shell *shell, struct slice word, struct target *target) {
    *target = (struct target){.object = NULL};
    if (!lwm2m_path_parse(word, &target->path, NULL) || target->path.len == 0) {
        complain(shell, word, "a path like 3/0/9 is expected");
        return false;
    }
    if (!target_find(shell->device, target)) {
        complain(shell, word, "there is no such thing");
        return false;
    }
    return true;
}

/* Also what a server may not read. */
static bool report_values(const struct shell *shell, const struct target *target, const struct instance *instance) {
    const struct object *object = target->object;
    bool found = false;
    for (size_t i = 0; i < object->resource_count; i++) {
        struct lwm2m_node memory[NODES_MAX];
        struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
        if (target->resource == NULL || target->resource == &object->resources[i])
            object_read(object, instance, &object->resources[i], &nodes);
        for (size_t k = 0; k < nodes.count; k++) {
            if (nodes.nodes[k].value.type == LWM2M_NONE || !lwm2m_path_contains(&target->path, &nodes.nodes[k].path))
                continue;
            report_value(&shell->device->report, &nodes.nodes[k]);
            found = true;
        }
    }
    return found;
}

static void run_read(struct shell *shell, struct slice rest) {
    struct target target;
    bool found = false;
    if (!find_target(shell, rest, &target))
        return;
    for (size_t i = 0; i < target.object->instance_count; i++) {
        const struct instance *instance = &target.object->instances[i];
        if (target.instance == NULL || target.instance == instance)
            found = report_values(shell, &target, instance) || found;
    }
    if (!found)
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
    struct target target;
    struct lwm2m_value value;
    const char *remark;
    if (!find_target(shell, word, &target))
        return;
    const struct resource *resource = target.resource;
    if (resource == NULL || target.path.len != (resource->multiple ? 4 : 3))
        complain(shell, word, "one value is set, by the path of a resource or, if it has several, of one of them");
    else if (resource->type == LWM2M_NONE || (resource->behaviour->read != NULL && resource->behaviour->write == NULL))
        complain(shell, word, "it has no value that can be set");
    else if (!lwm2m_text_decode(rest, resource->type, &scratch, &value, &remark))
        complain(shell, word, remark);
    else if (!object_accepts(resource, &value))
        complain(shell, word, "the value is not in its range");
    else
        object_write(target.object, target.instance, resource, target.path.len == 4 ? target.path.ids[3] : 0, &value);
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
        } else {
            struct target target;
            if (!find_target(shell, word, &target))
                return;
            send.paths[send.count++] = target.path;
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

static void run_observations(struct shell *shell, struct slice rest) {
    (void)rest;
    observer_report(&shell->device->observer);
}

static void run_sleep(struct shell *shell, struct slice rest) {
    (void)rest;
    queue_mode_sleep(&shell->device->queue_mode);
}

static void run_wake(struct shell *shell, struct slice rest) {
    (void)rest;
    queue_mode_touch(&shell->device->queue_mode);
}

static void run_rebind(struct shell *shell, struct slice rest) {
    struct device *device = shell->device;
    uint8_t bytes[ADDRESS_TEXT_MAX + 1];
    struct buffer text = buffer_over(bytes, sizeof bytes - 1);
    (void)rest;
    int error = device_rebind(device);
    if (error < 0) {
        complain(shell, slice_str("rebind"), strerror(-error));
        return;
    }
    buffer_printf(&text, "port %u", device->listener.address.port);
    bytes[text.len] = '\0';
    report_text(&device->report, "rebound", slice_str("Sending from"), (const char *)bytes);
}

static void run_misbehave(struct shell *shell, struct slice rest) {
    struct misbehave_order order = {.late_ms = 0};
    char problem[MISBEHAVE_PROBLEM_MAX];
    if (slice_is(rest, "off") || misbehave_parse(rest, &order, problem))
        misbehave_set(&shell->device->misbehave, &order);
    else
        complain(shell, slice_str("misbehave"), problem);
}

static void complain_unless_done(const struct shell *shell, const char *command, const char *problem) {
    if (problem != NULL)
        complain(shell, slice_str(command), problem);
}

static void run_handshake(struct shell *shell, struct slice rest) {
    enum dtls_client_handshake how = DTLS_CLIENT_AS_CONFIGURED;
    if (slice_is(rest, "resume"))
        how = DTLS_CLIENT_RESUME;
    else if (slice_is(rest, "full"))
        how = DTLS_CLIENT_FULL;
    else if (rest.len > 0) {
        complain(shell, slice_str("handshake"), "resume or full is expected, or nothing");
        return;
    }
    complain_unless_done(shell, "handshake", session_handshake(&shell->device->session, how));
}

static void run_close_notify(struct shell *shell, struct slice rest) {
    (void)rest;
    complain_unless_done(shell, "close-notify", session_hang_up(&shell->device->session));
}

static void run_forget_session(struct shell *shell, struct slice rest) {
    (void)rest;
    complain_unless_done(shell, "forget-session", session_forget(&shell->device->session));
}

static void run_rederive(struct shell *shell, struct slice rest) {
    (void)rest;
    complain_unless_done(shell, "rederive", protection_rederive(shell->device) ? NULL : "there is no OSCORE context");
}

static void run_bootstrap(struct shell *shell, struct slice rest) {
    (void)rest;
    complain_unless_done(shell, "bootstrap", bootstrap_begin_soon(&shell->device->bootstrap));
}

static void run_factory_reset(struct shell *shell, struct slice rest) {
    (void)rest;
    device_factory_reset_soon(shell->device);
}

static void run_help(struct shell *shell, struct slice rest);

static void run_quit(struct shell *shell, struct slice rest) {
    (void)rest;
    shell->quit(shell->arg);
}

static const struct {
    const char *name;
    const char *argument; /* NULL: none; in brackets: it may be left out */
    void (*run)(struct shell *shell, struct slice rest);
    const char *help;
} commands[] = {
    {"update", NULL, run_update, "send an Update"},
    {"register", NULL, run_register, "register anew"},
    {"deregister", NULL, run_deregister, "de-register and stay so"},
    {"bootstrap", NULL, run_bootstrap, "ask the bootstrap server again"},
    {"factory-reset", NULL, run_factory_reset, "be as at first, and bootstrap if that is how it began"},
    {"objects", NULL, run_objects, "print what instances there are, and their resources"},
    {"read", "PATH", run_read, "print values"},
    {"set", "PATH VALUE", run_set, "change a value, also one that a server cannot write; observers are told"},
    {"send", "PATH... [@UNIXTIME|@now]", run_send, "Send values, as of now or with a time"},
    {"observations", NULL, run_observations, "print what is observed, and by which attributes"},
    {"sleep", NULL, run_sleep, "hear nothing and tell nothing, until wake, an Update or a Send"},
    {"wake", NULL, run_wake, "hear again, and tell what has been kept"},
    {"rebind", NULL, run_rebind, "send from another port, in the same DTLS session"},
    {"handshake", "[resume|full]", run_handshake, "begin a new DTLS session"},
    {"close-notify", NULL, run_close_notify, "end the DTLS session with a goodbye"},
    {"forget-session", NULL, run_forget_session, "end it without a word, and resume it never"},
    {"rederive", NULL, run_rederive, "derive the OSCORE context anew with the next request"},
    {"misbehave", "WHAT[,WHAT]|off", run_misbehave, "do something wrong from now on, as with --misbehave"},
    {"clock", "+DURATION", run_clock, "leap forward in time: what is due on the way happens"},
    {"help", NULL, run_help, "print this"},
    {"quit", NULL, run_quit, "de-register and end"},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void run_help(struct shell *shell, struct slice rest) {
    uint8_t bytes[1024];
    struct buffer names = buffer_over(bytes, sizeof bytes - 1);
    (void)rest;
    for (size_t i = 0; i < COMMANDS; i++)
        buffer_printf(&names, "%s%s%s%s", i > 0 ? ", " : "", commands[i].name, commands[i].argument != NULL ? " " : "",
                      commands[i].argument != NULL ? commands[i].argument : "");
    bytes[names.len] = '\0';
    report_text(&shell->device->report, "help", slice_str("commands"), (const char *)bytes);
}

void shell_put_help(struct buffer *out) {
    for (size_t i = 0; i < COMMANDS; i++)
        buffer_printf(out, "  %-14s %-25s %s\n", commands[i].name,
                      commands[i].argument != NULL ? commands[i].argument : "", commands[i].help);
}

void shell_run(struct shell *shell, struct slice line) {
    while (line.len > 0 && (line.data[line.len - 1] == ' ' || line.data[line.len - 1] == '\r'))
        line.len--;
    while (line.len > 0 && line.data[0] == ' ')
        line = slice_from(line, 1);
    if (line.len == 0)
        return;
    struct slice rest = line, word = take_word(&rest);
    for (size_t i = 0; i < COMMANDS; i++) {
        if (!slice_is(word, commands[i].name))
            continue;
        bool optional = commands[i].argument != NULL && commands[i].argument[0] == '[';
        if (!optional && (commands[i].argument != NULL) != (rest.len > 0))
            complain(shell, word,
                     commands[i].argument != NULL ? "something is missing behind it; try help"
                                                  : "nothing is expected behind it; try help");
        else
            commands[i].run(shell, rest);
        observer_settle(&shell->device->observer);
        device_keep(shell->device);
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
