#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/memory_limit.h"
#include "common/lwm2m/object_file.h"
#include "db/cluster.h"
#include "server/confine.h"
#include "server/key_file.h"
#include "server/pki_command.h"
#include "server/relay.h"
#include "server/relay_door.h"
#include "server/server.h"
#include "web/healthcheck.h"
#include "web/run_command.h"
#include "web/standby.h"
#include "web/web.h"

/* berth-server: reads its settings, starts the server and its HTTP side, and ends on SIGTERM or SIGINT with everything
 * committed. Standard output tells where it listens, one line each, then `ready`; a node of a cluster that stands by tells
 * that instead. */

struct process {
    struct config *config;
    uv_loop_t loop;
    uv_signal_t terminate, interrupt;
    struct cluster *cluster; /* NULL: this is no node of one */
    char api[128];           /* where the others are told that its API is … */
    char relay[128];         /* … and its relay port */
    struct relay_door *door; /* NULL: this is no node */
    bool is_turn;            /* of this node to serve */
    bool is_watching;        /* signals */
    bool is_running;         /* the loop, until something is to change */
    bool is_ending;
    bool is_confined;
    bool is_committed; /* everything, when it served last */
    char error[512];   /* why it ends; "" when it was told to */
};

/* While something is being stopped, the loop runs to the end of that. */
static void change(struct process *process) {
    if (process->is_running)
        uv_stop(&process->loop);
}

static void on_signal(uv_signal_t *signal, int number) {
    struct process *process = signal->data;
    log_write(LOG_INFO, "server", "%s: ending", number == SIGTERM ? "SIGTERM" : "SIGINT");
    process->is_ending = true;
    change(process);
}

static void on_turn(void *arg, bool serves) {
    struct process *process = arg;
    if (serves)
        log_write(LOG_INFO, "cluster", "it is this node's turn to serve");
    else
        log_write(LOG_WARN, "cluster", "another node serves, or may: this one lets go of everything and stands by");
    process->is_turn = serves;
    change(process);
}

static void watch_signals(struct process *process) {
    if (process->is_watching)
        return;
    process->is_watching = true;
    uv_signal_init(&process->loop, &process->terminate);
    uv_signal_init(&process->loop, &process->interrupt);
    process->terminate.data = process->interrupt.data = process;
    uv_signal_start(&process->terminate, on_signal, SIGTERM);
    uv_signal_start(&process->interrupt, on_signal, SIGINT);
    uv_unref((uv_handle_t *)&process->terminate); /* what is stopped waits for its own handles */
    uv_unref((uv_handle_t *)&process->interrupt);
}

/* Until it shall end, or it is this node's turn to serve, or not any more. */
static void run_until_change(struct process *process, bool is_turn) {
    process->error[0] = '\0'; /* what went well may have left something there */
    if (process->is_ending || process->is_turn != is_turn)
        return;
    process->is_running = true;
    uv_ref((uv_handle_t *)&process->terminate);
    if (process->cluster != NULL)
        cluster_watch(process->cluster, true);
    uv_run(&process->loop, UV_RUN_DEFAULT);
    if (process->cluster != NULL)
        cluster_watch(process->cluster, false);
    uv_unref((uv_handle_t *)&process->terminate);
    process->is_running = false;
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

/* With the definitions of --objects, which are settings like the others. */
static bool load_objects(const struct config *config, struct catalogue *catalogue, char *error, size_t error_size) {
    return config->objects == NULL || object_file_load_directory(catalogue, config->objects, error, error_size);
}

/* Once it has the ports, they are the same the next time. */
static void keep_ports(struct config *config, const struct server *server) {
    memcpy(config->listeners, server->listeners, sizeof config->listeners);
}

/* What other nodes have brought ends before what it was brought to. */
static void rest(struct process *process) {
    if (process->door != NULL)
        relay_door_rest(process->door);
}

/* Until it shall end, or is not to serve any more. What goes wrong is in `error`. */
static void serve(struct process *process, struct catalogue *catalogue) {
    struct config *config = process->config;
    struct web *web = NULL;
    process->is_committed = false;
    if (process->cluster != NULL)
        config->dtls.node = cluster_number(process->cluster);
    struct server *server =
        server_start_node(&process->loop, config, catalogue, process->cluster, process->error, sizeof process->error);
    if (server == NULL)
        return;
    if (process->door != NULL && !relay_door_serve(process->door, server, config->dtls.node))
        log_write(LOG_WARN, "cluster", "out of memory: other nodes can pass nothing on to this one");
    if (!config->http_off && (web = web_start(server, process->error, sizeof process->error)) == NULL) {
        rest(process);
        server_stop(server);
        return;
    }
    if (process->cluster != NULL)
        keep_ports(config, server);
    warn_of_open_http(config);
    if (!process->is_confined)
        process->is_confined = confine(config, process->error, sizeof process->error);
    watch_signals(process);
    if (process->is_confined) {
        print_listeners(server, web);
        run_until_change(process, process->cluster != NULL);
    }
    rest(process);
    if (web != NULL)
        web_stop(web);
    process->is_committed = server_stop(server);
}

static void serve_with_objects(struct process *process) {
    struct catalogue catalogue = {0};
    if (load_objects(process->config, &catalogue, process->error, sizeof process->error))
        serve(process, &catalogue);
    catalogue_free(&catalogue);
}

/* ---- a node of a cluster ---- */

static void print_standby(const struct process *process, const struct standby *standby, const struct relay *relay) {
    char uri[128];
    for (size_t i = 0; relay != NULL && i < process->config->listener_count; i++)
        printf("standing by %s\n", process->config->listeners[i].uri);
    for (size_t i = 0; !process->config->http_off && i < process->config->http_count; i++) {
        standby_put_listener(standby, i, uri);
        printf("standing by %s\n", uri);
    }
    printf("standing by\n");
    fflush(stdout);
}

/* Its port stays the same as long as the process lives. Where it listens at every address, others find it by the host's
 * name. */
static bool open_door(struct process *process) {
    struct config *config = process->config;
    struct address *address = &config->node_listen;
    if (address->family == ADDRESS_NONE) {
        *address = config->listeners[0].address;
        address->port = 0;
    }
    process->door = relay_door_open(&process->loop, address, process->error, sizeof process->error);
    if (process->door != NULL)
        standby_put_authority(address, process->relay);
    return process->door != NULL;
}

/* A node that can't relay stands by all the same. */
static struct relay *begin_to_relay(struct process *process) {
    char error[512];
    struct relay *relay = relay_start(&process->loop, process->config, process->cluster, error, sizeof error);
    if (relay == NULL)
        log_write(LOG_WARN, "cluster", "this node passes nothing on while it stands by: %s", error);
    return relay;
}

/* Until it is this node's turn. The first time it joins, and says at which number it is. */
static void stand_by(struct process *process) {
    watch_signals(process);
    struct standby *standby = standby_start(&process->loop, process->config, process->error, sizeof process->error);
    if (standby == NULL)
        return;
    standby_put_uri(standby, process->api);
    if (process->door == NULL && !open_door(process)) {
        standby_stop(standby);
        return;
    }
    if (process->cluster == NULL && key_file_fits_cluster(process->config->database, process->config->key_file,
                                                          process->error, sizeof process->error)) {
        const struct cluster_options options = {.uri = process->config->database,
                                                .number = process->config->node_given ? process->config->dtls.node
                                                                                      : CLUSTER_ANY_NUMBER,
                                                .api = process->api,
                                                .version = BERTH_VERSION,
                                                .relay = process->relay,
                                                .turn = on_turn,
                                                .arg = process};
        process->cluster = cluster_join(&process->loop, &options, process->error, sizeof process->error);
    } else if (process->cluster != NULL) {
        cluster_stand_by(process->cluster);
    }
    if (process->cluster != NULL) {
        struct relay *relay = begin_to_relay(process);
        standby_know(standby, process->cluster, relay);
        print_standby(process, standby, relay);
        run_until_change(process, false);
        if (relay != NULL)
            relay_stop(relay);
    }
    standby_stop(standby);
}

/* By turns, until it shall end. */
static void be_a_node(struct process *process) {
    process->is_committed = true;
    while (!process->is_ending && process->error[0] == '\0') {
        if (!process->is_turn)
            stand_by(process);
        else
            serve_with_objects(process);
    }
    if (process->door != NULL)
        relay_door_close(process->door);
    if (process->cluster != NULL)
        cluster_leave(process->cluster, process->is_committed && process->error[0] == '\0');
}

/* ---- the process ---- */

static int run(struct config *config) {
    struct process process = {.config = config};
    if (config->seccomp != SECCOMP_OFF)
        confine_rings();
    uv_loop_init(&process.loop);
    if (config->cluster)
        be_a_node(&process);
    else
        serve_with_objects(&process);
    if (process.is_watching) {
        uv_close((uv_handle_t *)&process.terminate, NULL);
        uv_close((uv_handle_t *)&process.interrupt, NULL);
    }
    uv_run(&process.loop, UV_RUN_DEFAULT);
    uv_loop_close(&process.loop);
    return process.error[0] == '\0' ? EXIT_SUCCESS : fail(process.error);
}

/* What is wrong with a setting ends it with 2. */
static bool check_objects(const struct config *config) {
    struct catalogue catalogue = {0};
    char error[512];
    bool is_sound = load_objects(config, &catalogue, error, sizeof error);
    catalogue_free(&catalogue);
    if (!is_sound)
        fprintf(stderr, "berth-server: --objects: %s\n", error);
    return is_sound;
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
    int code = check_objects(&config) ? run(&config) : 2;
    explicit_bzero(config.psks, sizeof config.psks);
    return code;
}
