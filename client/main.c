#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/account.h"
#include "client/shell.h"

/* berth-device: reads its options, registers with its server and answers it, and deregisters on SIGTERM or SIGINT. */

struct program {
    uv_loop_t loop;
    uv_signal_t terminate, interrupt;
    struct device *device;
    struct shell shell;
};

static void on_ended(void *arg) {
    struct program *program = arg;
    uv_stop(&program->loop);
}

static void on_quit(void *arg) {
    struct program *program = arg;
    if (program->device != NULL) /* else it is just starting, and that fails */
        device_leave(program->device, on_ended, program);
}

static void on_signal(uv_signal_t *signal, int number) {
    (void)number;
    on_quit(signal->data);
}

static void watch_signal(struct program *program, uv_signal_t *signal, int number) {
    uv_signal_init(&program->loop, signal);
    signal->data = program;
    uv_signal_start(signal, on_signal, number);
    uv_unref((uv_handle_t *)signal);
}

/* From here on a signal changes nothing: what it asks for is under way. */
static void ignore_signals(struct program *program) {
    sigset_t ignored;
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGTERM);
    sigaddset(&ignored, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ignored, NULL);
    uv_close((uv_handle_t *)&program->terminate, NULL);
    uv_close((uv_handle_t *)&program->interrupt, NULL);
}

static int run(struct program *program, const struct options *options) {
    char error[512];
    uv_loop_init(&program->loop);
    watch_signal(program, &program->terminate, SIGTERM);
    watch_signal(program, &program->interrupt, SIGINT);
    program->device = device_start(&program->loop, options, stdout, error, sizeof error);
    if (program->device == NULL) {
        fprintf(stderr, "berth-device: %s\n", error);
    } else {
        shell_start(&program->shell, &program->loop, STDIN_FILENO, program->device, on_quit, program);
        uv_run(&program->loop, UV_RUN_DEFAULT);
        shell_close(&program->shell);
    }
    ignore_signals(program);
    if (program->device != NULL)
        device_free(program->device);
    uv_run(&program->loop, UV_RUN_DEFAULT);
    uv_loop_close(&program->loop);
    return program->device != NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
    static struct options options; /* and the program: they need not lie on the stack */
    static struct program program;
    signal(SIGPIPE, SIG_IGN);
    switch (options_parse(&options, argc, argv)) {
    case OPTIONS_EXIT_OK:
        return EXIT_SUCCESS;
    case OPTIONS_EXIT_USAGE:
        return 2;
    case OPTIONS_RUN:
        break;
    }
    if (options.swarm.devices > 0)
        return swarm_run(&options);
    return options.account ? account_run(&options) : run(&program, &options);
}
