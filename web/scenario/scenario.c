#include "web/scenario/scenario.h"

#include <stdlib.h>

#include "common/base/duration.h"
#include "web/scenario/variables.h"
#include "web/v1/awaited.h"
#include "web/waiter.h"

static const uint64_t CLOCK_MAX_MS = 36525ull * 86400 * 1000;

static const char *const kind_names[] = {
    [STEP_REQUEST] = "request", [STEP_WAIT] = "wait",     [STEP_CLOCK] = "clock", [STEP_START] = "start",
    [STEP_COMMAND] = "command", [STEP_OUTPUT] = "output", [STEP_STOP] = "stop",
};

const char *step_kind_name(enum step_kind kind) {
    return kind_names[kind];
}

/* ---- what every step has ---- */

/* A member that is text, if it is there. */
static bool check_text(const json_t *object, const char *at, const char *member, struct document_error *error) {
    const json_t *value = json_object_get(object, member);
    char pointer[DOCUMENT_POINTER_SIZE];
    document_member_pointer(pointer, at, member);
    return value == NULL || json_is_string(value) || document_reject(error, pointer, "a text is expected");
}

static bool check_duration(const json_t *object, const char *at, const char *member, uint64_t max_ms, const char *max,
                           struct document_error *error) {
    const json_t *value = json_object_get(object, member);
    char pointer[DOCUMENT_POINTER_SIZE];
    uint64_t ms;
    document_member_pointer(pointer, at, member);
    return value == NULL || document_duration(value, max_ms, &ms) ||
           document_reject(error, pointer, "a duration such as \"30s\" or \"500ms\" of at most %s is expected", max);
}

/* Each of its members is a text, a number or a truth. */
static bool check_plain_members(const json_t *object, const char *at, struct document_error *error) {
    const char *name;
    json_t *value;
    char pointer[DOCUMENT_POINTER_SIZE];
    if (object != NULL && !json_is_object(object))
        return document_reject(error, at, "an object of names and texts is expected");
    json_object_foreach((json_t *)(uintptr_t)object, name, value) {
        document_member_pointer(pointer, at, name);
        if (!json_is_string(value) && !json_is_number(value) && !json_is_boolean(value))
            return document_reject(error, pointer, "a text or a number is expected");
    }
    return true;
}

static bool check_save(const json_t *save, const char *at, struct document_error *error) {
    static const char *const members[] = {"header", NULL};
    const char *name;
    json_t *from;
    char pointer[DOCUMENT_POINTER_SIZE];
    if (save != NULL && !json_is_object(save))
        return document_reject(error, at, "an object of variables, and what each takes from the answer, is expected");
    json_object_foreach((json_t *)(uintptr_t)save, name, from) {
        document_member_pointer(pointer, at, name);
        if (!variables_is_name(name))
            return document_reject(error, pointer, "a name of letters, digits and _ - + . is expected");
        if (json_is_object(from)) {
            if (!document_check_members(from, pointer, members, error) || !check_text(from, pointer, "header", error))
                return false;
        } else if (!json_is_string(from) || (json_string_value(from)[0] != '/' && json_string_length(from) > 0)) {
            return document_reject(error, pointer,
                                   "a JSON Pointer into the answer, or {\"header\":\"Location\"}, is expected");
        }
    }
    return true;
}

/* ---- what is expected ---- */

bool expectation_read(const json_t *expect, const char *at, struct expectation *expectation,
                      struct document_error *error) {
    static const char *const members[] = {"status", "headers", "body", "text", NULL};
    const json_t *status = json_object_get(expect, "status"), *headers = json_object_get(expect, "headers");
    const json_t *body = json_object_get(expect, "body"), *text = json_object_get(expect, "text");
    char pointer[DOCUMENT_POINTER_SIZE];
    *expectation = (struct expectation){0};
    if (expect == NULL)
        return true;
    bool read = document_check_members(expect, at, members, error);
    document_member_pointer(pointer, at, "status");
    read = read && (status == NULL || matcher_read_test(status, pointer, &expectation->status, error));
    document_member_pointer(pointer, at, "headers");
    read = read && (headers == NULL || matcher_read(headers, pointer, NULL, &expectation->headers, error));
    document_member_pointer(pointer, at, "body");
    read = read && (body == NULL || matcher_read(body, pointer, NULL, &expectation->body, error));
    document_member_pointer(pointer, at, "text");
    read = read && (text == NULL || matcher_read_test(text, pointer, &expectation->text, error));
    if (!read)
        expectation_free(expectation);
    return read;
}

void expectation_free(struct expectation *expectation) {
    matcher_free(&expectation->status);
    matcher_free(&expectation->headers);
    matcher_free(&expectation->body);
    matcher_free(&expectation->text);
}

static bool check_expectation(const json_t *expect, const char *at, struct document_error *error) {
    struct expectation expectation;
    if (!expectation_read(expect, at, &expectation, error))
        return false;
    expectation_free(&expectation);
    return true;
}

/* ---- kinds of steps ---- */

static bool check_request(const json_t *request, const char *at, struct document_error *error) {
    static const char *const members[] = {"method", "path", "query", "headers", "body", "text", NULL};
    static const char *const methods[] = {"GET", "PUT", "POST", "PATCH", "DELETE", NULL};
    const json_t *method = json_object_get(request, "method"), *path = json_object_get(request, "path");
    char pointer[DOCUMENT_POINTER_SIZE];
    size_t known = 0;
    if (!document_check_members(request, at, members, error))
        return false;
    document_member_pointer(pointer, at, "method");
    while (json_is_string(method) && methods[known] != NULL && strcmp(methods[known], json_string_value(method)) != 0)
        known++;
    if (method != NULL && (!json_is_string(method) || methods[known] == NULL))
        return document_reject(error, pointer, "GET, PUT, POST, PATCH or DELETE is expected");
    document_member_pointer(pointer, at, "path");
    if (!json_is_string(path) || (json_string_value(path)[0] != '/' && !variables_are_used(path)))
        return document_reject(error, pointer, "a path of the API, such as /v1/devices/dev1, is expected");
    document_member_pointer(pointer, at, "text");
    if (json_object_get(request, "text") != NULL && json_object_get(request, "body") != NULL)
        return document_reject(error, pointer, "body or text is expected, not both");
    if (!check_text(request, at, "text", error))
        return false;
    document_member_pointer(pointer, at, "query");
    if (!check_plain_members(json_object_get(request, "query"), pointer, error))
        return false;
    document_member_pointer(pointer, at, "headers");
    return check_plain_members(json_object_get(request, "headers"), pointer, error);
}

static bool check_wait(const json_t *wait, const char *at, struct document_error *error) {
    json_t *copy = json_deep_copy(wait); /* reading completes it */
    struct awaited *awaited = awaited_read(copy, at, error);
    json_decref(copy);
    awaited_free(awaited);
    return awaited != NULL;
}

static bool check_clock(const json_t *clock, const char *at, struct document_error *error) {
    uint64_t ms;
    struct slice text = document_string(clock);
    if (slice_starts_with(text, "+"))
        text = slice_from(text, 1);
    bool taken =
        json_is_string(clock) ? duration_parse(text, CLOCK_MAX_MS, &ms) : document_duration(clock, CLOCK_MAX_MS, &ms);
    return taken || document_reject(error, at, "a duration such as \"1d\", of at most 100 years, is expected");
}

static bool check_options(const json_t *options, const char *program, const char *at, struct document_error *error) {
    const json_t *option;
    char pointer[DOCUMENT_POINTER_SIZE];
    size_t index;
    if (!json_is_array(options) || json_array_size(options) > SCENARIO_OPTIONS_MAX)
        return document_reject(error, at, "a list of at most %d options of %s is expected", SCENARIO_OPTIONS_MAX,
                               program);
    json_array_foreach(options, index, option) {
        document_entry_pointer(pointer, at, index);
        if (!json_is_string(option))
            return document_reject(error, pointer, "a text is expected");
    }
    return true;
}

static bool check_device(enum step_kind kind, const json_t *device, const char *at, struct document_error *error) {
    const json_t *what = json_object_get(device, kind_names[kind]), *name = json_object_get(device, "name");
    const char *members[] = {"name", kind_names[kind], NULL};
    struct matcher output;
    char pointer[DOCUMENT_POINTER_SIZE];
    if (!document_check_members(device, at, members, error))
        return false;
    document_member_pointer(pointer, at, "name");
    if (!json_is_string(name) || json_string_length(name) == 0)
        return document_reject(error, pointer, "a name for the device, in this scenario, is expected");
    document_member_pointer(pointer, at, kind_names[kind]);
    switch (kind) {
    case STEP_START:
        return check_options(what, "berth-device", pointer, error);
    case STEP_COMMAND:
        return (json_is_string(what) && strchr(json_string_value(what), '\n') == NULL) ||
               document_reject(error, pointer, "a command of berth-device, one line, is expected");
    case STEP_OUTPUT:
        if (!matcher_read(what, pointer, NULL, &output, error))
            return false;
        matcher_free(&output);
        return true;
    default:
        return json_is_true(what) || slice_is(document_string(what), "kill") ||
               document_reject(error, pointer, "true or \"kill\" is expected");
    }
}

static bool check_action(enum step_kind kind, const json_t *step, const char *at, struct document_error *error) {
    const char *member = kind >= STEP_START ? "device" : kind_names[kind];
    char pointer[DOCUMENT_POINTER_SIZE];
    document_member_pointer(pointer, at, member);
    const json_t *action = json_object_get(step, member);
    switch (kind) {
    case STEP_REQUEST:
        return check_request(action, pointer, error);
    case STEP_WAIT:
        return check_wait(action, pointer, error);
    case STEP_CLOCK:
        return check_clock(action, pointer, error);
    default:
        return check_device(kind, action, pointer, error);
    }
}

bool step_check(enum step_kind kind, const json_t *step, const char *at, struct document_error *error) {
    char pointer[DOCUMENT_POINTER_SIZE];
    document_member_pointer(pointer, at, "expect");
    return check_action(kind, step, at, error) && check_expectation(json_object_get(step, "expect"), pointer, error) &&
           check_duration(step, at, "timeout", SCENARIO_MS_MAX, "an hour", error);
}

uint64_t step_timeout_ms(enum step_kind kind, const json_t *step) {
    const json_t *wait = json_object_get(step, "wait");
    uint64_t ms = WAITER_TIMEOUT_DEFAULT_MS;
    if (document_duration(json_object_get(step, "timeout"), SCENARIO_MS_MAX, &ms))
        return ms;
    if (kind != STEP_WAIT)
        return SCENARIO_STEP_MS;
    if (json_object_get(wait, "timeout") != NULL &&
        !document_duration(json_object_get(wait, "timeout"), SCENARIO_MS_MAX, &ms))
        ms = SCENARIO_MS_MAX; /* an absence, which a leap of somebody else may end */
    return ms + SCENARIO_WAIT_SLACK_MS;
}

/* ---- the whole ---- */

/* Which one it is, by the member that it has. */
static bool find_kind(const json_t *document, const char *at, struct step *step, struct document_error *error) {
    static const enum step_kind first[] = {STEP_REQUEST, STEP_WAIT, STEP_CLOCK, STEP_START};
    static const char *const members[] = {"request", "wait", "clock", "device"};
    char pointer[DOCUMENT_POINTER_SIZE];
    size_t found = 0;
    for (size_t i = 0; i < 4; i++)
        if (json_object_get(document, members[i]) != NULL) {
            *step = (struct step){first[i], document, json_object_get(document, members[i])};
            found++;
        }
    if (found != 1)
        return document_reject(error, at, "one of request, wait, clock, device is expected");
    if (step->kind != STEP_START)
        return true;
    found = 0;
    for (enum step_kind kind = STEP_START; kind <= STEP_STOP; kind++)
        if (json_object_get(step->action, kind_names[kind]) != NULL) {
            step->kind = kind;
            found++;
        }
    document_member_pointer(pointer, at, "device");
    return found == 1 || document_reject(error, pointer, "name and one of start, command, output, stop are expected");
}

/* What an expectation is about, and what can be kept, differs by kind. */
static bool check_companions(const struct step *step, const char *at, struct document_error *error) {
    bool answers = step->kind <= STEP_CLOCK;
    char pointer[DOCUMENT_POINTER_SIZE];
    document_member_pointer(pointer, at, "expect");
    if (!answers && json_object_get(step->document, "expect") != NULL)
        return document_reject(error, pointer, "nothing is expected here: only request, wait and clock have an answer");
    document_member_pointer(pointer, at, "save");
    if (!answers && step->kind != STEP_OUTPUT && json_object_get(step->document, "save") != NULL)
        return document_reject(error, pointer, "nothing is expected here: there is no answer to save");
    return true;
}

static bool read_step(struct step *step, const json_t *document, const char *at, const struct scenario_means *means,
                      json_t *known, struct document_error *error) {
    static const char *const members[] = {"name",   "mark",   "request", "wait",    "clock",
                                          "device", "expect", "save",    "timeout", NULL};
    const char *name;
    json_t *from;
    char pointer[DOCUMENT_POINTER_SIZE];
    const json_t *mark = json_object_get(document, "mark"), *save = json_object_get(document, "save");
    if (!document_check_members(document, at, members, error) || !find_kind(document, at, step, error) ||
        !check_text(document, at, "name", error) || !check_companions(step, at, error))
        return false;
    document_member_pointer(pointer, at, "device");
    if (step->kind >= STEP_START && !means->devices)
        return document_reject(error, pointer, "nothing is expected here: only \"berth-server run\" has devices");
    document_member_pointer(pointer, at, "mark");
    if (mark != NULL && !json_is_boolean(mark))
        return document_reject(error, pointer, "true or false is expected");
    document_member_pointer(pointer, at, "save");
    if (!check_save(save, pointer, error) || !variables_check(document, at, known, error))
        return false;
    if (!variables_are_used(document) && !step_check(step->kind, document, at, error))
        return false;
    json_object_foreach((json_t *)(uintptr_t)save, name, from) {
        json_object_set_new(known, name, json_null());
    }
    if (json_object_size(known) > VARIABLES_MAX)
        return document_reject(error, pointer, "at most %d variables are expected", VARIABLES_MAX);
    return true;
}

static bool read_steps(struct scenario *scenario, const json_t *steps, const struct scenario_means *means,
                       json_t *known, struct document_error *error) {
    const json_t *document;
    char pointer[DOCUMENT_POINTER_SIZE];
    size_t index;
    json_array_foreach(steps, index, document) {
        document_entry_pointer(pointer, "/steps", index);
        if (!read_step(&scenario->steps[index], document, pointer, means, known, error))
            return false;
        scenario->step_count++;
    }
    return true;
}

static bool read_variables(const json_t *variables, json_t *known, struct document_error *error) {
    const char *name;
    json_t *value;
    char pointer[DOCUMENT_POINTER_SIZE];
    if (variables != NULL && !json_is_object(variables))
        return document_reject(error, "/variables", "an object of names and values is expected");
    json_object_foreach((json_t *)(uintptr_t)variables, name, value) {
        document_member_pointer(pointer, "/variables", name);
        if (!variables_is_name(name))
            return document_reject(error, pointer, "a name of letters, digits and _ - + . is expected");
        json_object_set(known, name, value);
    }
    return true;
}

static bool read_document(struct scenario *scenario, const struct scenario_means *means, json_t *known,
                          struct document_error *error) {
    const json_t *document = scenario->document, *options = json_object_get(document, "server");
    if (!check_text(document, "", "name", error) || !check_text(document, "", "description", error) ||
        !check_duration(document, "", "timeout", SCENARIO_MS_MAX, "an hour", error))
        return false;
    scenario->timeout_ms = SCENARIO_MS;
    document_duration(json_object_get(document, "timeout"), SCENARIO_MS_MAX, &scenario->timeout_ms);
    if (options != NULL && !means->server)
        return document_reject(error, "/server", "nothing is expected here: the server runs already");
    if (options != NULL && !check_options(options, "berth-server", "/server", error))
        return false;
    json_object_set_new(known, "cursor", json_null());
    if (means->variables != NULL)
        json_object_update(known, (json_t *)(uintptr_t)means->variables);
    return read_variables(json_object_get(document, "variables"), known, error) &&
           read_steps(scenario, json_object_get(document, "steps"), means, known, error);
}

struct scenario *scenario_read(json_t *document, const struct scenario_means *means, struct document_error *error) {
    static const char *const members[] = {"name", "description", "server", "variables", "timeout", "steps", NULL};
    const json_t *steps = json_object_get(document, "steps");
    if (!document_check_members(document, "", members, error))
        return NULL;
    if (json_array_size(steps) == 0 || json_array_size(steps) > SCENARIO_STEPS_MAX) {
        document_reject(error, "/steps", "a list of 1 to %d steps is expected", SCENARIO_STEPS_MAX);
        return NULL;
    }
    struct scenario *scenario = calloc(1, sizeof *scenario + json_array_size(steps) * sizeof scenario->steps[0]);
    if (scenario == NULL) {
        document_reject(error, "", "less is expected: the server is out of memory");
        return NULL;
    }
    scenario->document = json_incref(document);
    json_t *known = json_object();
    bool read = read_document(scenario, means, known, error);
    json_decref(known);
    if (read)
        return scenario;
    scenario_free(scenario);
    return NULL;
}

void scenario_free(struct scenario *scenario) {
    if (scenario == NULL)
        return;
    json_decref(scenario->document);
    free(scenario);
}

const char *scenario_name(const struct scenario *scenario) {
    const char *name = json_string_value(json_object_get(scenario->document, "name"));
    return name == NULL ? "" : name;
}
