#include "web/scenario/run.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "web/http_client.h"
#include "web/scenario/device_process.h"
#include "web/scenario/variables.h"

enum {
    LINES_MAX = 1000,           /* of a device that nobody has looked at; the oldest go */
    BODY_SHOWN_MAX = 16 * 1024, /* of an answer, in the report */
    PATIENCE_MS = 5000,         /* with devices that are to end */
    ARGUMENTS_MAX = SCENARIO_OPTIONS_MAX + 8,
};

struct device {
    struct run *run;
    struct device_process *process; /* NULL once it has ended */
    json_t *name;                   /* a string */
    json_t *lines;                  /* what it has printed and nobody has awaited */
    int64_t status;
    int signal;
    int told; /* the signal by which we had it end; 0: none */
};

struct run {
    struct scenario *scenario;
    const struct run_target *target;
    const struct run_handlers *handlers;
    void *arg;
    struct http_client *client;
    uv_timer_t step_timer, timer; /* of the step, and of all */
    enum run_state state;
    bool ending, over, freed;
    char *problem; /* of the run as a whole; NULL: none */

    json_t *variables, *results;
    uint64_t started_ns, step_started_ns, ended_ns;

    size_t at;      /* the step */
    json_t *filled; /* that step, its variables filled in */
    bool busy;      /* something is awaited for it */
    struct matcher awaited_output;
    struct device *awaited; /* whose output, or end */

    struct device devices[RUN_DEVICES_MAX];
    size_t device_count;
    unsigned open; /* processes and handles that are not closed yet */
};

static void go_on(struct run *run);
static void end(struct run *run, enum run_state state);

/* ---- results ---- */

static json_t *elapsed_json(uint64_t from_ns, uint64_t to_ns) {
    return json_integer((json_int_t)((to_ns - from_ns) / 1000000));
}

static const struct step *step_of(const struct run *run) {
    return &run->scenario->steps[run->at];
}

static void let_step_go(struct run *run) {
    uv_timer_stop(&run->step_timer);
    json_decref(run->filled);
    run->filled = NULL;
    matcher_free(&run->awaited_output);
    run->awaited = NULL;
    run->busy = false;
}

/* The step is over. `result` (given up) has what is to be told of it. */
static void end_step(struct run *run, bool passed, json_t *result) {
    const json_t *name = json_object_get(step_of(run)->document, "name");
    json_object_set_new(result, "step", json_integer((json_int_t)run->at));
    json_object_set_new(result, "kind", json_string(step_kind_name(step_of(run)->kind)));
    if (name != NULL)
        json_object_set(result, "name", (json_t *)(uintptr_t)name);
    json_object_set_new(result, "state", json_string(passed ? "passed" : "failed"));
    json_object_set_new(result, "elapsed_ms", elapsed_json(run->step_started_ns, uv_hrtime()));
    json_array_append(run->results, result);
    if (run->handlers->step != NULL)
        run->handlers->step(run->arg, result);
    json_decref(result);
    let_step_go(run);
    run->at++;
    if (!passed)
        end(run, RUN_FAILED);
}

static json_t *detail_json(const char *format, va_list args) {
    char *text = NULL;
    int len = vasprintf(&text, format, args);
    json_t *result = json_object();
    json_object_set_new(result, "detail", document_text(slice_of(text, len < 0 ? 0 : (size_t)len)));
    if (len >= 0)
        free(text);
    return result;
}

static void pass_step(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void pass_step(struct run *run, const char *format, ...) {
    va_list args;
    va_start(args, format);
    end_step(run, true, detail_json(format, args));
    va_end(args);
}

static void fail_step(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail_step(struct run *run, const char *format, ...) {
    va_list args;
    va_start(args, format);
    end_step(run, false, detail_json(format, args));
    va_end(args);
}

static void fail_with(struct run *run, const struct document_error *error) {
    fail_step(run, "At \"%s\": %s.", error->pointer, error->expected);
}

/* ---- asking ---- */

static void put_escaped(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        bool plain = (*text >= '0' && *text <= '9') || ((*text | 0x20) >= 'a' && (*text | 0x20) <= 'z') ||
                     strchr("-._~:,", *text) != NULL;
        fprintf(out, plain ? "%c" : "%%%02X", (unsigned)(uint8_t)*text);
    }
}

static void put_query(FILE *out, const char *path, const json_t *query) {
    const char *name;
    json_t *value;
    char joint = strchr(path, '?') == NULL ? '?' : '&';
    json_object_foreach((json_t *)(uintptr_t)query, name, value) {
        char *number = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        fputc(joint, out);
        put_escaped(out, name);
        fputc('=', out);
        put_escaped(out, number == NULL ? json_string_value(value) : number);
        free(number);
        joint = '&';
    }
}

/* Nothing in it ends the line. */
static bool is_one_line(const char *text, bool without_spaces) {
    for (; *text != '\0'; text++)
        if ((uint8_t)*text < 0x20 || (uint8_t)*text == 0x7F ||
            (without_spaces && ((uint8_t)*text > 0x7E || *text == ' ')))
            return false;
    return true;
}

static bool put_headers(FILE *out, const json_t *headers, bool *has_type) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)headers, name, value) {
        char *number = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        const char *text = number == NULL ? json_string_value(value) : number;
        bool taken = is_one_line(text, false) && is_one_line(name, true) && strchr(name, ':') == NULL;
        if (taken)
            fprintf(out, "%s: %s\r\n", name, text);
        *has_type = *has_type || strcasecmp(name, "content-type") == 0;
        free(number);
        if (!taken)
            return false;
    }
    return true;
}

/* Ask for `method` and what `request` says besides; a `body` goes before that of the request. False: it makes no request. */
static bool ask(struct run *run, const char *method, const char *path, const json_t *request, const json_t *body,
                http_answer_fn *done) {
    const json_t *text = json_object_get(request, "text");
    uint8_t host[ADDRESS_TEXT_MAX];
    struct buffer host_text = buffer_over(host, sizeof host);
    char *bytes = NULL, *json = NULL;
    size_t len = 0;
    bool has_type = false;
    if (body == NULL)
        body = json_object_get(request, "body");
    if (body != NULL)
        json = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    struct slice content = json != NULL ? slice_str(json) : text != NULL ? document_string(text) : SLICE_NONE;
    FILE *out = open_memstream(&bytes, &len);
    if (out == NULL) {
        free(json);
        return false;
    }
    address_put(&host_text, &run->target->address);
    fprintf(out, "%s %s", method, path);
    put_query(out, path, json_object_get(request, "query"));
    fprintf(out, " HTTP/1.1\r\nHost: %.*s\r\nConnection: close\r\n", (int)host_text.len, (const char *)host);
    if (run->target->api_key != NULL)
        fprintf(out, "Authorization: Bearer %s\r\n", run->target->api_key);
    bool taken =
        is_one_line(path, true) && path[0] == '/' && put_headers(out, json_object_get(request, "headers"), &has_type);
    if (content.data != NULL && !has_type)
        fprintf(out, "Content-Type: %s\r\n", json != NULL ? "application/json" : "text/plain");
    fprintf(out, "Content-Length: %zu\r\n\r\n", content.len);
    if (content.len > 0)
        fwrite(content.data, 1, content.len, out);
    taken = fclose(out) == 0 && taken;
    if (taken)
        http_client_ask(run->client, slice_of(bytes, len), done, run);
    run->busy = taken;
    explicit_bzero(bytes, len); /* the key */
    free(bytes);
    free(json);
    return taken;
}

/* ---- judging answers ---- */

static json_t *headers_json(const struct http_answer *answer) {
    json_t *headers = json_object();
    const char *at = (const char *)answer->head.data, *end_of_head = at + answer->head.len;
    while (at < end_of_head) {
        const char *value = at + strlen(at) + 1;
        if (json_object_get(headers, at) == NULL)
            json_object_set_new(headers, at, document_text(slice_str(value)));
        at = value + strlen(value) + 1;
    }
    return headers;
}

/* JSON as it is, anything else as a text; null when there is none. */
static json_t *body_json(const struct http_answer *answer) {
    struct slice type = http_answer_header(answer, "content-type");
    json_t *body = NULL;
    if (type.len >= 4 && memmem(type.data, type.len, "json", 4) != NULL)
        body = json_loadb((const char *)answer->body.data, answer->body.len, JSON_DECODE_ANY, NULL);
    if (body != NULL)
        return body;
    return answer->body.len == 0 ? json_null() : document_text(answer->body);
}

static void add_differences(json_t *differs, const char *part, const struct matcher *matcher, const json_t *object) {
    json_t *found = matcher->tests == NULL ? json_array() : matcher_differences(matcher, object), *difference;
    size_t index;
    json_array_foreach(found, index, difference) {
        const char *member = json_string_value(json_object_get(difference, "member"));
        json_object_set_new(difference, "member",
                            json_sprintf("%s%s%s", part, member[0] == '\0' || member[0] == '/' ? "" : "/", member));
    }
    json_array_extend(differs, found);
    json_decref(found);
}

/* Header names are compared in lower case, as RFC 9110 §5.1 has no case in them. */
static json_t *lower_names(const json_t *object) {
    json_t *lower = json_object(), *value;
    const char *name;
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        char *copy = strdup(name);
        for (char *c = copy; c != NULL && *c != '\0'; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c |= 0x20;
        json_object_set(lower, copy == NULL ? name : copy, value);
        free(copy);
    }
    return lower;
}

/* In what the answer differs from what the step expects: a new list. */
static json_t *judge(const struct expectation *expectation, unsigned status, const json_t *headers,
                     const json_t *body) {
    json_t *differs = json_array(), *status_json = json_integer((json_int_t)status);
    if (expectation->status.tests != NULL)
        add_differences(differs, "status", &expectation->status, status_json);
    else if (status < 200 || status > 299) {
        json_t *success = json_string("200 to 299");
        json_array_append_new(differs, matcher_difference("status", success, status_json));
        json_decref(success);
    }
    add_differences(differs, "headers", &expectation->headers, headers);
    add_differences(differs, "body", &expectation->body, body);
    add_differences(differs, "text", &expectation->text, body);
    json_decref(status_json);
    return differs;
}

/* Keep what the step saves. The name of what is not there, or NULL. */
static const char *save(struct run *run, const json_t *headers, const json_t *body) {
    const char *name;
    json_t *from;
    json_object_foreach(json_object_get(run->filled, "save"), name, from) {
        const json_t *value;
        if (json_is_object(from)) {
            json_t *header = json_object_get(from, "header"), *wanted = json_object();
            json_object_set(wanted, json_string_value(header), header);
            json_t *lower = lower_names(wanted);
            value = json_object_get(headers, json_object_iter_key(json_object_iter(lower)));
            json_decref(lower);
            json_decref(wanted);
        } else {
            value = document_find(body, json_string_value(from));
        }
        if (value == NULL)
            return name;
        json_object_set(run->variables, name, (json_t *)(uintptr_t)value);
    }
    return NULL;
}

static void move_cursor(struct run *run, json_int_t id) {
    if (id > json_integer_value(json_object_get(run->variables, "cursor")))
        json_object_set_new(run->variables, "cursor", json_integer(id));
}

/* Behind the events that a wait has found. */
static void pass_events(struct run *run, const json_t *body) {
    const json_t *event;
    size_t index;
    move_cursor(run, json_integer_value(json_object_get(body, "id")));
    json_array_foreach(json_object_get(body, "events"), index, event) {
        move_cursor(run, json_integer_value(json_object_get(event, "id")));
    }
}

/* "registered dev1, updated dev1": what a wait has found. */
static json_t *events_text(const json_t *body) {
    const json_t *events = json_object_get(body, "events"), *event;
    char memory[512];
    struct buffer text = buffer_over(memory, sizeof memory);
    size_t count = events == NULL ? 1 : json_array_size(events);
    for (size_t i = 0; i < count; i++) {
        event = events == NULL ? body : json_array_get(events, i);
        const char *type = json_string_value(json_object_get(event, "type"));
        const char *endpoint = json_string_value(json_object_get(event, "endpoint"));
        buffer_printf(&text, "%s%s%s%s", i == 0 ? "" : ", ", type == NULL ? "nothing" : type,
                      endpoint == NULL ? "" : " ", endpoint == NULL ? "" : endpoint);
    }
    return document_text(buffer_slice(&text));
}

static json_t *answer_result(const struct run *run, unsigned status, const json_t *body, const json_t *differs) {
    json_t *result = json_object(), *request = json_object_get(run->filled, "request");
    const char *method = json_string_value(json_object_get(request, "method"));
    if (request != NULL)
        json_object_set_new(result, "detail",
                            json_sprintf("%s %s: %u", method == NULL ? "GET" : method,
                                         json_string_value(json_object_get(request, "path")), status));
    else if (step_of(run)->kind == STEP_WAIT && status == 200)
        json_object_set_new(result, "detail", events_text(body));
    else if (step_of(run)->kind == STEP_CLOCK && status == 200)
        json_object_set_new(
            result, "detail",
            json_sprintf("%lld timers fired", (long long)json_integer_value(json_object_get(body, "fired"))));
    else
        json_object_set_new(result, "detail", json_sprintf("%s: %u", step_kind_name(step_of(run)->kind), status));
    if (json_array_size(differs) == 0)
        return result;
    json_object_set(result, "differs", (json_t *)(uintptr_t)differs);
    json_object_set_new(result, "response",
                        json_pack("{siso}", "status", status, "body", document_excerpt(body, BODY_SHOWN_MAX)));
    return result;
}

static void on_answer(void *arg, const struct http_answer *answer) {
    struct run *run = arg;
    struct expectation expectation;
    struct document_error error;
    if (answer->status == 0) {
        fail_step(run, "no answer: %s", answer->error);
        go_on(run);
        return;
    }
    json_t *expect = json_object_get(run->filled, "expect");
    if (json_object_get(expect, "headers") != NULL)
        json_object_set_new(expect, "headers", lower_names(json_object_get(expect, "headers")));
    if (!expectation_read(expect, "/expect", &expectation, &error)) {
        fail_with(run, &error);
        go_on(run);
        return;
    }
    json_t *headers = headers_json(answer), *body = body_json(answer);
    json_t *differs = judge(&expectation, answer->status, headers, body);
    json_t *result = answer_result(run, answer->status, body, differs);
    bool passed = json_array_size(differs) == 0;
    const char *missing = passed ? save(run, headers, body) : NULL;
    if (missing != NULL)
        json_object_set_new(result, "detail", json_sprintf("The answer has nothing for the variable \"%s\".", missing));
    if (passed && step_of(run)->kind == STEP_WAIT && answer->status == 200)
        pass_events(run, body);
    expectation_free(&expectation);
    json_decref(differs);
    json_decref(body);
    json_decref(headers);
    end_step(run, passed && missing == NULL, result);
    go_on(run);
}

/* ---- devices ---- */

static struct device *find_device(struct run *run, const json_t *name) {
    for (size_t i = run->device_count; i-- > 0;) /* one that was started again is another */
        if (json_equal(run->devices[i].name, name))
            return &run->devices[i];
    return NULL;
}

/* As it should: by itself, or because it was told. One that has hardly begun dies of SIGTERM. */
static bool ended_well(const struct device *device) {
    return (device->status == 0 && device->signal == 0) || (device->told != 0 && device->signal == device->told) ||
           device->told == SIGKILL;
}

static void describe_end(const struct device *device, char *text, size_t size) {
    if (device->signal != 0)
        snprintf(text, size, "it was ended by signal %d", device->signal);
    else
        snprintf(text, size, "it has ended with exit code %d", (int)device->status);
}

/* Take what the device has printed up to what is awaited. True when that came. */
static bool look_for_output(struct run *run) {
    while (json_array_size(run->awaited->lines) > 0) {
        json_t *line = json_incref(json_array_get(run->awaited->lines, 0));
        bool met = matcher_misses(&run->awaited_output, line) == 0;
        json_array_remove(run->awaited->lines, 0);
        if (met) {
            json_t *none = json_object();
            const char *event = json_string_value(json_object_get(line, "event"));
            const char *missing = save(run, none, line);
            if (missing != NULL)
                fail_step(run, "The line has nothing for the variable \"%s\".", missing);
            else
                pass_step(run, "%s: %s", json_string_value(run->awaited->name), event == NULL ? "a line" : event);
            json_decref(none);
        } else {
            json_object_set(run->filled, "last_line", line); /* for a report, if nothing better comes */
        }
        json_decref(line);
        if (met)
            return true;
    }
    return false;
}

static void on_line(void *arg, struct slice bytes) {
    struct device *device = arg;
    struct run *run = device->run;
    json_t *line = json_loadb((const char *)bytes.data, bytes.len, 0, NULL);
    if (!json_is_object(line)) {
        json_decref(line);
        line = json_object();
        json_object_set_new(line, "text", document_text(bytes));
    }
    if (json_array_size(device->lines) == LINES_MAX)
        json_array_remove(device->lines, 0);
    json_array_append_new(device->lines, line);
    if (run->awaited == device && run->busy && step_of(run)->kind == STEP_OUTPUT && look_for_output(run))
        go_on(run);
}

static void finish_if_alone(struct run *run);

static void on_ended(void *arg, int64_t status, int signal) {
    struct device *device = arg;
    struct run *run = device->run;
    char how[64];
    device->process = NULL;
    device->status = status;
    device->signal = signal;
    describe_end(device, how, sizeof how);
    if (run->ending) {
        finish_if_alone(run);
        return;
    }
    if (!run->busy || (run->awaited != device && ended_well(device)))
        return;
    http_client_cancel(run->client); /* what is waited for will hardly come */
    if (step_of(run)->kind == STEP_STOP && ended_well(device))
        pass_step(run, "%s: stopped", json_string_value(device->name));
    else
        fail_step(run, "%s: %s", json_string_value(device->name), how);
    go_on(run);
}

static void close_one(struct run *run);

static void on_process_closed(void *arg) {
    struct device *device = arg;
    close_one(device->run);
}

static const struct device_process_handlers device_handlers = {
    .line = on_line, .ended = on_ended, .closed = on_process_closed};

static bool has_option(const json_t *options, const char *name) {
    const json_t *option;
    size_t index, len = strlen(name);
    json_array_foreach(options, index, option) {
        const char *text = json_string_value(option);
        if (strncmp(text, name, len) == 0 && (text[len] == '\0' || text[len] == '='))
            return true;
    }
    return false;
}

static void start_device(struct run *run, const json_t *action) {
    const json_t *options = json_object_get(action, "start"), *option;
    json_t *name = json_object_get(action, "name");
    char *arguments[ARGUMENTS_MAX];
    size_t count = 0, index;
    int error;
    struct device *earlier = find_device(run, name);
    if (earlier != NULL && earlier->process != NULL) {
        fail_step(run, "%s: it runs already", json_string_value(name));
        return;
    }
    if (run->device_count == RUN_DEVICES_MAX) {
        fail_step(run, "%s: a scenario starts at most %d devices", json_string_value(name), RUN_DEVICES_MAX);
        return;
    }
    arguments[count++] = (char *)(uintptr_t)run->target->device_program;
    arguments[count++] = (char *)(uintptr_t) "--json";
    if (!has_option(options, "--endpoint")) {
        arguments[count++] = (char *)(uintptr_t) "--endpoint";
        arguments[count++] = (char *)(uintptr_t)json_string_value(name);
    }
    if (!has_option(options, "--server") && !has_option(options, "--bootstrap") && run->target->device_server != NULL) {
        arguments[count++] = (char *)(uintptr_t) "--server";
        arguments[count++] = (char *)(uintptr_t)run->target->device_server;
    }
    json_array_foreach(options, index, option) {
        arguments[count++] = (char *)(uintptr_t)json_string_value(option);
    }
    arguments[count] = NULL;
    struct device *device = &run->devices[run->device_count];
    *device = (struct device){.run = run};
    device->process = device_process_start(run->target->loop, arguments, &device_handlers, device, &error);
    if (device->process == NULL) {
        fail_step(run, "%s: %s", run->target->device_program, uv_strerror(error));
        return;
    }
    device->name = json_incref(name);
    device->lines = json_array();
    run->device_count++;
    run->open++;
    pass_step(run, "%s: started", json_string_value(name));
}

static void command_device(struct run *run, struct device *device, const json_t *action) {
    const char *name = json_string_value(device->name);
    if (!device_process_command(device->process, document_string(json_object_get(action, "command"))))
        fail_step(run, "%s: it does not read its commands", name);
    else
        pass_step(run, "%s: %s", name, json_string_value(json_object_get(action, "command")));
}

static void await_output(struct run *run, struct device *device, const json_t *action) {
    struct document_error error;
    if (!matcher_read(json_object_get(action, "output"), "/device/output", NULL, &run->awaited_output, &error)) {
        fail_with(run, &error);
        return;
    }
    run->awaited = device;
    run->busy = true;
    if (!look_for_output(run) && device->process == NULL) {
        char how[64];
        describe_end(device, how, sizeof how);
        fail_step(run, "%s: %s", json_string_value(device->name), how);
    }
}

static void stop_device(struct run *run, struct device *device, const json_t *action) {
    device->told = json_is_true(json_object_get(action, "stop")) ? SIGTERM : SIGKILL;
    device_process_signal(device->process, device->told);
    run->awaited = device;
    run->busy = true;
}

static void act_on_device(struct run *run, const json_t *action) {
    const json_t *name = json_object_get(action, "name");
    enum step_kind kind = step_of(run)->kind;
    struct device *device = find_device(run, name);
    if (kind == STEP_START) {
        start_device(run, action);
        return;
    }
    if (device == NULL || (kind != STEP_OUTPUT && device->process == NULL)) {
        fail_step(run, "%s: there is no such device, or it has ended", json_string_value(name));
        return;
    }
    if (kind == STEP_COMMAND)
        command_device(run, device, action);
    else if (kind == STEP_OUTPUT)
        await_output(run, device, action);
    else
        stop_device(run, device, action);
}

/* ---- steps ---- */

static void act(struct run *run) {
    const struct step *step = step_of(run);
    json_t *request = json_object_get(run->filled, "request"), *body;
    bool asked = true;
    switch (step->kind) {
    case STEP_REQUEST: {
        const char *method = json_string_value(json_object_get(request, "method"));
        asked = ask(run, method == NULL ? "GET" : method, json_string_value(json_object_get(request, "path")), request,
                    NULL, on_answer);
        break;
    }
    case STEP_WAIT:
        body = json_copy(json_object_get(run->filled, "wait"));
        if (json_object_get(body, "after") == NULL)
            json_object_set(body, "after", json_object_get(run->variables, "cursor"));
        asked = ask(run, "POST", "/v1/wait", NULL, body, on_answer);
        json_decref(body);
        break;
    case STEP_CLOCK: {
        json_t *by = json_object_get(run->filled, "clock");
        const char *text = json_string_value(by);
        body = json_object();
        json_object_set_new(body, "advance", text != NULL && text[0] == '+' ? json_string(text + 1) : json_incref(by));
        asked = ask(run, "POST", "/v1/clock", NULL, body, on_answer);
        json_decref(body);
        break;
    }
    default:
        act_on_device(run, json_object_get(run->filled, "device"));
        break;
    }
    if (!asked)
        fail_step(run,
                  "This makes no HTTP request: a path begins with a slash and has no spaces, header fields are one "
                  "line.");
}

/* The number of the last event is the cursor now. False: there was none to be had, and the step has failed. */
static bool take_cursor(struct run *run, const struct http_answer *answer) {
    json_t *body = answer->status == 200 ? body_json(answer) : NULL;
    json_t *last = json_object_get(body, "last");
    if (last != NULL)
        json_object_set(run->variables, "cursor", last);
    else if (answer->status == 0)
        fail_step(run, "no answer: %s", answer->error);
    else
        fail_step(run, "GET /v1/events/last: %u", answer->status);
    json_decref(body);
    return last != NULL;
}

static void on_marked(void *arg, const struct http_answer *answer) {
    struct run *run = arg;
    run->busy = false;
    if (take_cursor(run, answer))
        act(run);
    go_on(run);
}

/* The step with its variables filled in; NULL when that is too much. */
static json_t *fill_step(const struct run *run) {
    const json_t *document = step_of(run)->document;
    const json_t *path = json_object_get(json_object_get(document, "request"), "path");
    json_t *filled = variables_fill(document, run->variables);
    json_t *filled_path = path == NULL ? NULL : variables_fill_path(path, run->variables);
    json_t *copy = filled == NULL ? NULL : json_deep_copy(filled); /* it is changed, and may share with the document */
    json_decref(filled);
    if (filled_path != NULL)
        json_object_set_new(json_object_get(copy, "request"), "path", filled_path);
    return copy;
}

static void on_step_timeout(uv_timer_t *timer) {
    struct run *run = timer->data;
    const json_t *line = json_object_get(run->filled, "last_line");
    http_client_cancel(run->client);
    if (line == NULL) {
        fail_step(run, "It was not over in time.");
    } else { /* the output of a device */
        json_t *result = json_pack("{ss}", "detail", "Nothing of this kind was printed in time.");
        json_object_set_new(result, "differs", matcher_differences(&run->awaited_output, line));
        json_object_set(result, "last_line", (json_t *)(uintptr_t)line);
        end_step(run, false, result);
    }
    go_on(run);
}

static void begin_step(struct run *run) {
    struct document_error error;
    run->step_started_ns = uv_hrtime();
    run->filled = fill_step(run);
    if (run->filled == NULL) {
        fail_step(run, "With its variables the step is longer than %d MiB.", VARIABLES_FILLED_MAX >> 20);
        return;
    }
    if (!step_check(step_of(run)->kind, run->filled, "", &error)) {
        fail_with(run, &error);
        return;
    }
    uv_timer_start(&run->step_timer, on_step_timeout, step_timeout_ms(step_of(run)->kind, run->filled), 0);
    if (json_is_true(json_object_get(run->filled, "mark")))
        ask(run, "GET", "/v1/events/last", NULL, NULL, on_marked);
    else
        act(run);
}

static void go_on(struct run *run) {
    while (!run->ending && !run->busy) {
        if (run->at == run->scenario->step_count)
            end(run, RUN_PASSED);
        else
            begin_step(run);
    }
}

/* ---- the beginning and the end ---- */

/* A scenario has not passed when one of its devices has come to a bad end, noticed or not. */
static void blame(struct run *run, const struct device *device) {
    char how[64];
    if (ended_well(device))
        return;
    describe_end(device, how, sizeof how);
    run->state = RUN_FAILED;
    if (asprintf(&run->problem, "%s: %s", json_string_value(device->name), how) < 0)
        run->problem = NULL;
}

static void finish_if_alone(struct run *run) {
    for (size_t i = 0; i < run->device_count; i++)
        if (run->devices[i].process != NULL)
            return;
    if (run->over)
        return;
    for (size_t i = 0; i < run->device_count && run->state == RUN_PASSED; i++)
        blame(run, &run->devices[i]);
    run->over = true;
    run->ended_ns = uv_hrtime();
    uv_timer_stop(&run->timer);
    uv_timer_stop(&run->step_timer);
    if (!run->freed)
        run->handlers->done(run->arg);
}

static void kill_devices(struct run *run, int signal) {
    for (size_t i = 0; i < run->device_count; i++) {
        if (run->devices[i].process == NULL)
            continue;
        run->devices[i].told = signal;
        device_process_signal(run->devices[i].process, signal);
    }
}

static void on_devices_late(uv_timer_t *timer) {
    struct run *run = timer->data;
    kill_devices(run, SIGKILL);
    finish_if_alone(run);
}

static void on_all_ended(uv_timer_t *timer) {
    struct run *run = timer->data;
    kill_devices(run, SIGTERM);
    uv_timer_start(&run->timer, on_devices_late, PATIENCE_MS, 0);
    finish_if_alone(run);
}

/* It is decided. What is left to do is done from the loop. */
static void end(struct run *run, enum run_state state) {
    if (run->ending)
        return;
    run->ending = true;
    run->state = state;
    uv_timer_stop(&run->step_timer);
    uv_timer_start(&run->timer, on_all_ended, 0, 0);
}

static void on_timeout(uv_timer_t *timer) {
    struct run *run = timer->data;
    http_client_cancel(run->client);
    if (run->filled != NULL)
        fail_step(run, "The scenario was not over in time.");
    end(run, RUN_FAILED);
}

void run_cancel(struct run *run) {
    if (run->ending)
        return;
    http_client_cancel(run->client);
    let_step_go(run);
    end(run, RUN_CANCELLED);
}

static void on_begin(void *arg, const struct http_answer *answer) {
    struct run *run = arg;
    run->busy = false;
    take_cursor(run, answer);
    go_on(run);
}

struct run *run_start(struct scenario *scenario, const struct run_target *target, const struct run_handlers *handlers,
                      void *arg) {
    struct run *run = calloc(1, sizeof *run);
    struct http_client *client = run == NULL ? NULL : http_client_new(target->loop, &target->address);
    if (client == NULL) {
        scenario_free(scenario);
        free(run);
        return NULL;
    }
    json_t *variables = json_object_get(scenario->document, "variables");
    *run = (struct run){.scenario = scenario,
                        .target = target,
                        .handlers = handlers,
                        .arg = arg,
                        .client = client,
                        .variables = variables == NULL ? json_object() : json_copy(variables),
                        .results = json_array(),
                        .started_ns = uv_hrtime(),
                        .step_started_ns = uv_hrtime(),
                        .open = 3};
    if (target->variables != NULL)
        json_object_update(run->variables, (json_t *)(uintptr_t)target->variables);
    uv_timer_init(target->loop, &run->step_timer);
    uv_timer_init(target->loop, &run->timer);
    run->step_timer.data = run->timer.data = run;
    uv_timer_start(&run->timer, on_timeout, scenario->timeout_ms, 0);
    ask(run, "GET", "/v1/events/last", NULL, NULL, on_begin);
    return run;
}

enum run_state run_state(const struct run *run) {
    return run->over ? run->state : RUN_RUNNING;
}

json_t *run_report(const struct run *run) {
    static const char *const names[] = {
        [RUN_RUNNING] = "running", [RUN_PASSED] = "passed", [RUN_FAILED] = "failed", [RUN_CANCELLED] = "cancelled"};
    json_t *report = json_object();
    json_object_set_new(report, "name", json_string(scenario_name(run->scenario)));
    json_object_set_new(report, "state", json_string(names[run_state(run)]));
    if (run->problem != NULL)
        json_object_set_new(report, "detail", document_text(slice_str(run->problem)));
    json_object_set_new(report, "elapsed_ms", elapsed_json(run->started_ns, run->over ? run->ended_ns : uv_hrtime()));
    json_object_set_new(report, "step_count", json_integer((json_int_t)run->scenario->step_count));
    json_object_set_new(report, "steps", json_copy(run->results));
    return report;
}

static void close_one(struct run *run) {
    if (--run->open > 0)
        return;
    void (*closed)(void *) = run->handlers->closed;
    void *arg = run->arg;
    for (size_t i = 0; i < run->device_count; i++) {
        json_decref(run->devices[i].name);
        json_decref(run->devices[i].lines);
    }
    scenario_free(run->scenario);
    json_decref(run->variables);
    json_decref(run->results);
    free(run->problem);
    free(run);
    closed(arg);
}

static void on_client_closed(void *arg) {
    close_one(arg);
}

static void on_timer_closed(uv_handle_t *handle) {
    close_one(handle->data);
}

void run_free(struct run *run) {
    run->freed = run->ending = true;
    let_step_go(run);
    kill_devices(run, SIGKILL);
    http_client_free(run->client, on_client_closed, run);
    uv_close((uv_handle_t *)&run->step_timer, on_timer_closed);
    uv_close((uv_handle_t *)&run->timer, on_timer_closed);
}
