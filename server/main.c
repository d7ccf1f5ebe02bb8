#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/memory_limit.h"
#include "common/lwm2m/object_file.h"
#include "server/confine.h"
#include "server/pki_command.h"
#include "server/server.h"
#include "web/healthcheck.h"
#include "web/run_command.h"
#include "web/web.h"

/* berth-server: reads its settings, starts the server and its HTTP side, and ends on SIGTERM or SIGINT with everything
 * committed. Standard output tells where it listens, one line each, then `ready`. */

static void on_signal(uv_signal_t *signal, int number) {
    log_write(LOG_INFO, "server", "%s: ending", number == SIGTERM ? "SIGTERM" : "SIGINT");
    uv_stop(signal->loop);
}

static void print_listeners(const struct server *server, const struct web *web) {
    for (size_t i = 0; i < server->config->listener_count; i++)
        printf("listening %s\n", server->listeners[i].uri);
    for (size_t i = 0; web != NULL && i < server->config->http_count; i++)
        printf("listening %s\n", web_uri(web, i));
    printf("ready\n");
    fflush(stdout);
}

static int fail(const char *error) {
    fprintf(stderr, "berth-server: %s\n", error);
    return EXIT_FAILURE;
}

static void warn_of_open_http(const struct config *config) {
    if (config->api_key == NULL && config_is_reached_by_others(config))
        log_write(LOG_WARN, "http", "the API can be used by anybody who reaches it; --api-key KEY protects it");
}

/* Everything is open that needs more than a server's privileges. */
static bool confine(const struct config *config, char *error, size_t error_size) {
    confine_capabilities();
    if (config->seccomp == SECCOMP_OFF || confine_to_calls(error, error_size))
        return true;
    if (config->seccomp == SECCOMP_TRY)
        log_write(LOG_WARN, "server", "%s: it goes on without", error);
    return config->seccomp == SECCOMP_TRY;
}

static int run(const struct config *config, struct catalogue *catalogue) {
    char error[512];
    uv_loop_t loop;
    uv_signal_t terminate, interrupt;
    if (config->seccomp != SECCOMP_OFF)
        confine_rings();
    uv_loop_init(&loop);
    struct server *server = server_start(&loop, config, catalogue, error, sizeof error);
    if (server == NULL) {
        uv_loop_close(&loop);
        return fail(error);
    }
    struct web *web = NULL;
    if (!config->http_off && (web = web_start(server, error, sizeof error)) == NULL) {
        server_stop(server);
        uv_loop_close(&loop);
        return fail(error);
    }
    uv_signal_init(&loop, &terminate);
    uv_signal_init(&loop, &interrupt);
    uv_signal_start(&terminate, on_signal, SIGTERM);
    uv_signal_start(&interrupt, on_signal, SIGINT);
    warn_of_open_http(config);
    bool is_confined = confine(config, error, sizeof error);
    if (is_confined)
        print_listeners(server, web);
    else
        uv_stop(&loop);

    uv_run(&loop, UV_RUN_DEFAULT);

    uv_close((uv_handle_t *)&terminate, NULL);
    uv_close((uv_handle_t *)&interrupt, NULL);
    if (web != NULL)
        web_stop(web);
    server_stop(server);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return is_confined ? EXIT_SUCCESS : fail(error);
}

/* With the definitions of --objects, which are settings like the others: what is wrong with them ends it with 2. */
static int run_with_objects(const struct config *config) {
    struct catalogue catalogue = {0};
    char error[512];
    int code = 2;
    if (config->objects == NULL || object_file_load_directory(&catalogue, config->objects, error, sizeof error))
        code = run(config, &catalogue);
    else
        fprintf(stderr, "berth-server: --objects: %s\n", error);
    catalogue_free(&catalogue);
    return code;
}

/* Every connection is a file: as many as this process may have. */
static void allow_open_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* The reference device lies beside this program, or is found like any other: so a container's entry point is one for
 * both. Only returns if there is none. */
static int run_device(char **argv) {
    char program[PATH_MAX];
    size_t size = sizeof program;
    if (uv_exepath(program, &size) == 0 && size + sizeof "/berth-device" < sizeof program) {
        char *slash = strrchr(program, '/');
        strcpy(slash == NULL ? program : slash + 1, "berth-device");
        execv(program, argv);
    }
    execvp("berth-device", argv);
    return fail("device: there is no berth-device beside this program");
}

int main(int argc, char **argv) {
    struct config config;
    if (argc > 1 && strcmp(argv[1], "device") == 0)
        return run_device(argv + 1);
    if (argc > 1 && strcmp(argv[1], "pki") == 0)
        return pki_command(argc - 1, argv + 1);
    signal(SIGPIPE, SIG_IGN);
    mallopt(M_ARENA_MAX, 2); /* the loop's, and one for all threads beside it, whose allocations are few */
    allow_open_files();
    if (argc > 1 && strcmp(argv[1], "run") == 0)
        return run_command(argc - 1, argv + 1);
    switch (config_parse(&config, argc, argv)) {
    case CONFIG_EXIT_OK:
        return EXIT_SUCCESS;
    case CONFIG_EXIT_USAGE:
        return 2;
    case CONFIG_HEALTHCHECK:
        return !config.http_off && healthcheck(&config.http[0].address) ? EXIT_SUCCESS : EXIT_FAILURE;
    case CONFIG_RUN:
        break;
    }
    log_configure(config.log_level, config.log_json);
    memory_limit_set(config.max_memory);
    confine_process();
    char error[512];
    if (config.user != NULL && !confine_to_user(config.user, config.data, error, sizeof error))
        return fail(error);
    int code = run_with_objects(&config);
    explicit_bzero(config.psks, sizeof config.psks);
    return code;
}
