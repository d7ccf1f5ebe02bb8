#include "web/run_command.h"

#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/lwm2m/object_file.h"
#include "common/net/uri.h"
#include "server/server.h"
#include "web/http.h"
#include "web/scenario/run.h"
#include "web/scenario/variables.h"
#include "web/web.h"

enum { FILE_MAX = 4 << 20, SERVER_ARGUMENTS_MAX = 2 * SCENARIO_OPTIONS_MAX + 32 };

static const char help[] =
    "usage: berth-server run [options] FILE... [-- SERVER OPTIONS]\n"
    "\n"
    "Does the steps of scenarios (docs/scenarios.md), each against a server of its own on free ports of 127.0.0.1.\n"
    "\n"
    "  --url URL            against a server that runs, like http://127.0.0.1:8080\n"
    "  --api-key KEY        of that server; also BERTH_API_KEY\n"
    "  --data DIR           keep the server's data there; else it is forgotten\n"
    "  --device PROGRAM     berth-device [beside this program]\n"
    "  --set NAME=VALUE     a variable; goes before those of the scenario\n"
    "  --json               a report for each scenario, one line of JSON\n"
    "  --help               print this\n"
    "\n"
    "Exit code 0: all have passed. 1: one has not. 2: something is wrong with the options or a scenario.\n";

struct command {
    const char *url, *api_key, *data, *device;
    bool json;
    struct address address; /* of `url` */
    json_t *variables;      /* of --set */
    char **server_options;  /* behind "--" */
    int server_option_count;
    char **files;
    int file_count;
    char device_program[PATH_MAX];
};

/* One scenario and what it runs on. */
struct session {
    const struct command *command;
    uv_loop_t loop;
    uv_signal_t interrupt, terminate;
    struct config config;
    struct catalogue catalogue;
    struct server *server; /* NULL: it is somebody else's */
    struct web *web;
    char *arguments[SERVER_ARGUMENTS_MAX];
    char directory[PATH_MAX]; /* of data, to be deleted; "": none */
    struct run_target target;
    json_t *variables;
    struct run *run;
    const char *file;
};

static int refuse(const char *what) {
    fprintf(stderr, "berth-server run: %s\n", what);
    return 2;
}

/* ---- arguments ---- */

enum { OPTION_URL = 256, OPTION_API_KEY, OPTION_DATA, OPTION_DEVICE, OPTION_SET, OPTION_JSON, OPTION_HELP };

static const struct option options[] = {
    {"url", required_argument, NULL, OPTION_URL},   {"api-key", required_argument, NULL, OPTION_API_KEY},
    {"data", required_argument, NULL, OPTION_DATA}, {"device", required_argument, NULL, OPTION_DEVICE},
    {"set", required_argument, NULL, OPTION_SET},   {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},       {NULL, 0, NULL, 0},
};

static const char *set_url(struct command *command, const char *url) {
    const char *problem;
    struct uri uri;
    if (!uri_parse(slice_str(url), &uri, &problem) || !slice_is(uri.scheme, "http") || uri.path.len > 0 ||
        uri.query.len > 0)
        return "--url must be like http://127.0.0.1:8080";
    command->url = url;
    return uri_resolve(&uri, 80, &command->address, &problem) ? NULL : "--url: there is no such host";
}

static const char *set_variable(struct command *command, const char *text) {
    const char *equals = strchr(text, '=');
    char name[VARIABLES_NAME_MAX + 1];
    size_t len = equals == NULL ? 0 : (size_t)(equals - text);
    snprintf(name, sizeof name, "%.*s", (int)len, text);
    if (len > VARIABLES_NAME_MAX || !variables_is_name(name) || !slice_is_utf8(slice_str(equals + 1)))
        return "--set must be like NAME=VALUE";
    json_object_set_new(command->variables, name, json_string(equals + 1));
    return NULL;
}

static const char *set_option(struct command *command, int chosen, const char *value) {
    switch (chosen) {
    case OPTION_URL:
        return set_url(command, value);
    case OPTION_API_KEY:
        command->api_key = value;
        return NULL;
    case OPTION_DATA:
        command->data = value;
        return NULL;
    case OPTION_DEVICE:
        command->device = value;
        return NULL;
    case OPTION_SET:
        return set_variable(command, value);
    default:
        command->json = true;
        return NULL;
    }
}

/* What "--" is followed by is for the server. */
static int split_arguments(struct command *command, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--") == 0) {
            command->server_options = argv + i + 1;
            command->server_option_count = argc - i - 1;
            return i;
        }
    return argc;
}

static void find_device(struct command *command) {
    size_t size = sizeof command->device_program;
    if (command->device != NULL)
        return;
    if (uv_exepath(command->device_program, &size) == 0 && size + sizeof "/berth-device" < PATH_MAX) {
        char *slash = strrchr(command->device_program, '/');
        strcpy(slash == NULL ? command->device_program : slash + 1, "berth-device");
        command->device = command->device_program;
    }
    if (command->device == NULL || access(command->device, X_OK) != 0)
        command->device = "berth-device";
}

/* ---- the server ---- */

static void add_argument(struct session *session, size_t *count, const char *argument) {
    if (*count < SERVER_ARGUMENTS_MAX - 1)
        session->arguments[(*count)++] = (char *)(uintptr_t)argument;
}

static bool names_listeners(char **arguments, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(arguments[i], "--listen") == 0 || strncmp(arguments[i], "--listen=", 9) == 0)
            return true;
    return false;
}

/* Free ports, unless told otherwise. */
static size_t write_arguments(struct session *session, const struct scenario *scenario, const char *data) {
    static const char *const own[] = {"berth-server", "--http", "http://127.0.0.1:0", "--log-level", "warn", "--data"};
    static const char *const listeners[] = {"coap://127.0.0.1:0", "coap+tcp://127.0.0.1:0", "coaps://127.0.0.1:0",
                                            "coaps+tcp://127.0.0.1:0"};
    const json_t *option;
    size_t count = 0, index;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        add_argument(session, &count, own[i]);
    add_argument(session, &count, data);
    json_array_foreach(json_object_get(scenario->document, "server"), index, option) {
        add_argument(session, &count, json_string_value(option));
    }
    for (int i = 0; i < session->command->server_option_count; i++)
        add_argument(session, &count, session->command->server_options[i]);
    if (!names_listeners(session->arguments, count))
        for (size_t i = 0; i < sizeof listeners / sizeof listeners[0]; i++) {
            add_argument(session, &count, "--listen");
            add_argument(session, &count, listeners[i]);
        }
    session->arguments[count] = NULL;
    return count;
}

static bool make_directory(struct session *session) {
    const char *parent = getenv("TMPDIR");
    snprintf(session->directory, sizeof session->directory, "%s/berth-run-XXXXXX", parent == NULL ? "/tmp" : parent);
    if (mkdtemp(session->directory) != NULL)
        return true;
    perror("berth-server run: a directory for data");
    session->directory[0] = '\0';
    return false;
}

static int delete_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

/* The URIs of the server are variables: coap, coaps, coap+tcp, coaps+tcp and http. */
static void note_listeners(struct session *session) {
    for (size_t i = 0; i < session->config.listener_count; i++) {
        const char *uri = session->server->listeners[i].uri;
        char scheme[16];
        snprintf(scheme, sizeof scheme, "%.*s", (int)strcspn(uri, ":"), uri);
        if (json_object_get(session->variables, scheme) == NULL)
            json_object_set_new(session->variables, scheme, json_string(uri));
    }
    json_object_set_new(session->variables, "http", json_string(web_uri(session->web, 0)));
}

static bool start_server(struct session *session, const struct scenario *scenario) {
    char error[512];
    if (session->command->data == NULL && !make_directory(session))
        return false;
    const char *data = session->command->data == NULL ? session->directory : session->command->data;
    size_t count = write_arguments(session, scenario, data);
    if (config_parse(&session->config, (int)count, session->arguments) != CONFIG_RUN)
        return false;
    if (session->config.http_count == 0) {
        fprintf(stderr, "berth-server run: scenarios need the HTTP side: --http off does not go\n");
        return false;
    }
    log_configure(session->config.log_level, session->config.log_json);
    if (session->config.objects != NULL &&
        !object_file_load_directory(&session->catalogue, session->config.objects, error, sizeof error)) {
        fprintf(stderr, "berth-server run: --objects: %s\n", error);
        return false;
    }
    session->server = server_start(&session->loop, &session->config, &session->catalogue, error, sizeof error);
    if (session->server != NULL)
        session->web = web_start(session->server, error, sizeof error);
    if (session->web == NULL) {
        fprintf(stderr, "berth-server run: %s\n", error);
        return false;
    }
    note_listeners(session);
    session->target.address = http_address(session->web->listeners[0].http);
    session->target.api_key = session->config.api_key;
    return true;
}

static void stop_server(struct session *session) {
    if (session->web != NULL)
        web_stop(session->web);
    if (session->server != NULL)
        server_stop(session->server);
}

/* ---- one scenario ---- */

static void print_difference(const json_t *difference) {
    char *expected = json_dumps(json_object_get(difference, "expected"), JSON_COMPACT | JSON_ENCODE_ANY);
    char *actual = json_dumps(json_object_get(difference, "actual"), JSON_COMPACT | JSON_ENCODE_ANY);
    printf("       %s: %s is expected, it is %s\n", json_string_value(json_object_get(difference, "member")), expected,
           actual);
    free(expected);
    free(actual);
}

static void print_member(const json_t *result, const char *member) {
    char *text = json_dumps(json_object_get(result, member), JSON_COMPACT | JSON_ENCODE_ANY);
    if (text != NULL)
        printf("       %s: %s\n", member, text);
    free(text);
}

static void on_step(void *arg, const json_t *result) {
    const struct session *session = arg;
    const json_t *difference;
    size_t index;
    const char *name = json_string_value(json_object_get(result, "name"));
    bool passed = slice_is(document_string(json_object_get(result, "state")), "passed");
    if (session->command->json)
        return;
    printf("  %s %3" JSON_INTEGER_FORMAT " %s%s%s (%" JSON_INTEGER_FORMAT " ms)\n", passed ? "ok  " : "FAIL",
           json_integer_value(json_object_get(result, "step")), name == NULL ? "" : name, name == NULL ? "" : ": ",
           json_string_value(json_object_get(result, "detail")),
           json_integer_value(json_object_get(result, "elapsed_ms")));
    json_array_foreach(json_object_get(result, "differs"), index, difference) {
        print_difference(difference);
    }
    print_member(result, "response");
    print_member(result, "last_line");
    fflush(stdout);
}

static void on_done(void *arg) {
    struct session *session = arg;
    uv_stop(&session->loop);
}

static void on_closed(void *arg) {
    (void)arg;
}

static const struct run_handlers handlers = {.step = on_step, .done = on_done, .closed = on_closed};

static void on_signal(uv_signal_t *signal, int number) {
    struct session *session = signal->data;
    (void)number;
    run_cancel(session->run);
}

static void print_end(const struct session *session, json_t *report) {
    const json_t *detail = json_object_get(report, "detail");
    if (session->command->json) {
        json_object_set_new(report, "file", document_text(slice_str(session->file)));
        char *text = json_dumps(report, JSON_COMPACT);
        printf("%s\n", text == NULL ? "{}" : text);
        free(text);
    } else {
        printf("%s: %s (%" JSON_INTEGER_FORMAT " ms)%s%s\n", session->file,
               json_string_value(json_object_get(report, "state")),
               json_integer_value(json_object_get(report, "elapsed_ms")), detail == NULL ? "" : ": ",
               detail == NULL ? "" : json_string_value(detail));
    }
    fflush(stdout);
}

static bool do_run(struct session *session, struct scenario *scenario) {
    session->target.loop = &session->loop;
    session->target.device_program = session->command->device;
    json_object_update(session->variables, session->command->variables);
    session->target.variables = session->variables;
    session->target.device_server = json_string_value(json_object_get(session->variables, "coap"));
    if (!session->command->json)
        printf("%s\n", scenario_name(scenario)[0] == '\0' ? session->file : scenario_name(scenario));
    session->run = run_start(scenario, &session->target, &handlers, session);
    if (session->run == NULL) {
        fprintf(stderr, "berth-server run: out of memory\n");
        return false;
    }
    uv_signal_init(&session->loop, &session->interrupt);
    uv_signal_init(&session->loop, &session->terminate);
    session->interrupt.data = session->terminate.data = session;
    uv_signal_start(&session->interrupt, on_signal, SIGINT);
    uv_signal_start(&session->terminate, on_signal, SIGTERM);
    uv_run(&session->loop, UV_RUN_DEFAULT);
    json_t *report = run_report(session->run);
    bool passed = run_state(session->run) == RUN_PASSED;
    print_end(session, report);
    json_decref(report);
    run_free(session->run);
    uv_close((uv_handle_t *)&session->interrupt, NULL);
    uv_close((uv_handle_t *)&session->terminate, NULL);
    return passed;
}

/* Takes the scenario. Returns an exit code. */
static int run_one(const struct command *command, const char *file, struct scenario *scenario) {
    struct session *session = calloc(1, sizeof *session);
    int code = 2;
    if (session == NULL) {
        scenario_free(scenario);
        return refuse("out of memory");
    }
    session->command = command;
    session->file = file;
    session->variables = json_object();
    uv_loop_init(&session->loop);
    if (command->url != NULL) {
        session->target.address = command->address;
        session->target.api_key = command->api_key;
        json_object_set_new(session->variables, "http", json_string(command->url));
        code = do_run(session, scenario) ? 0 : 1;
    } else if (start_server(session, scenario)) {
        code = do_run(session, scenario) ? 0 : 1;
    } else {
        scenario_free(scenario);
    }
    stop_server(session);
    uv_run(&session->loop, UV_RUN_DEFAULT);
    uv_loop_close(&session->loop);
    catalogue_free(&session->catalogue);
    if (session->directory[0] != '\0')
        nftw(session->directory, delete_one, 16, FTW_DEPTH | FTW_PHYS);
    explicit_bzero(session->config.psks, sizeof session->config.psks);
    json_decref(session->variables);
    free(session);
    return code;
}

/* ---- all of them ---- */

/* The document in a file; NULL: said on stderr. */
static json_t *read_file(const char *path) {
    char error[512], *bytes = malloc(FILE_MAX + 1);
    FILE *file = bytes == NULL ? NULL : fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "berth-server run: %s: it cannot be opened\n", path);
        free(bytes);
        return NULL;
    }
    size_t len = fread(bytes, 1, FILE_MAX + 1, file);
    fclose(file);
    json_t *document = NULL;
    if (len > FILE_MAX)
        snprintf(error, sizeof error, "It is longer than %d MiB.", FILE_MAX >> 20);
    else
        document = document_read(slice_of(bytes, len), error, sizeof error);
    if (document == NULL)
        fprintf(stderr, "berth-server run: %s: %s\n", path, error);
    free(bytes);
    return document;
}

/* The names that a server will give; their values are known once it runs. */
static json_t *known_variables(const struct command *command) {
    static const char *const names[] = {"coap", "coaps", "coap+tcp", "coaps+tcp"};
    json_t *known = json_copy(command->variables);
    json_object_set_new(known, "http", json_null());
    for (size_t i = 0; i < sizeof names / sizeof names[0] && command->url == NULL; i++)
        json_object_set_new(known, names[i], json_null());
    return known;
}

static struct scenario *read_scenario(const struct command *command, const char *path) {
    struct document_error error;
    json_t *known = known_variables(command), *document = read_file(path);
    struct scenario *scenario = NULL;
    if (document != NULL) {
        struct scenario_means means = {.devices = true, .server = command->url == NULL, .variables = known};
        scenario = scenario_read(document, &means, &error);
        if (scenario == NULL)
            fprintf(stderr, "berth-server run: %s: at \"%s\": %s\n", path, error.pointer, error.expected);
    }
    json_decref(document);
    json_decref(known);
    return scenario;
}

/* First all are read, so that what is wrong with one is said before others have been done. */
static int run_all(const struct command *command) {
    struct scenario **scenarios = calloc((size_t)command->file_count, sizeof *scenarios);
    int code = 0;
    if (scenarios == NULL)
        return refuse("out of memory");
    for (int i = 0; i < command->file_count; i++)
        if ((scenarios[i] = read_scenario(command, command->files[i])) == NULL)
            code = 2;
    for (int i = 0; i < command->file_count; i++) {
        if (code == 2) {
            scenario_free(scenarios[i]);
            continue;
        }
        int one = run_one(command, command->files[i], scenarios[i]);
        code = one > code ? one : code;
    }
    free(scenarios);
    return code;
}

static int parse_and_run(struct command *command, int argc, char **argv) {
    int chosen;
    command->api_key = getenv("BERTH_API_KEY");
    argc = split_arguments(command, argc, argv);
    optind = 1;
    while ((chosen = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (chosen == OPTION_HELP || chosen == 'h') {
            fputs(help, stdout);
            return EXIT_SUCCESS;
        }
        if (chosen == '?')
            return 2; /* getopt_long has said what is wrong */
        const char *wrong = set_option(command, chosen, optarg);
        if (wrong != NULL)
            return refuse(wrong);
    }
    if (optind == argc)
        return refuse("name a file with a scenario; see --help");
    if (command->url != NULL && (command->data != NULL || command->server_option_count > 0))
        return refuse("with --url the server runs already: --data and options of it mean nothing");
    command->files = argv + optind;
    command->file_count = argc - optind;
    find_device(command);
    return run_all(command);
}

int run_command(int argc, char **argv) {
    struct command *command = calloc(1, sizeof *command);
    if (command == NULL)
        return refuse("out of memory");
    command->variables = json_object();
    int code = parse_and_run(command, argc, argv);
    json_decref(command->variables);
    free(command);
    return code;
}
