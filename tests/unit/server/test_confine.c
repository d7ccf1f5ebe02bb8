#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/confine.h"

/* What a child does, since none of it can be undone; its exit code is 0 when all was as it should be. */
static void in_child(int (*act)(void)) {
    pid_t child = fork();
    int status = -1;
    if (child == 0)
        _exit(act());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void *idle(void *arg) {
    return arg;
}

static int calls_of_a_server(void) {
    char error[256];
    pthread_t thread;
    int pair[2];
    if (!confine_to_calls(error, sizeof error))
        return 1;
    if (pthread_create(&thread, NULL, idle, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 2;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || write(pair[0], "x", 1) != 1)
        return 3;
    FILE *file = fopen("/proc/self/status", "r");
    return file == NULL || fclose(file) != 0 ? 4 : 0;
}

static void test_a_confined_server_makes_threads_and_opens_sockets_and_files(void **state) {
    (void)state;
    in_child(calls_of_a_server);
}

static int other_calls(void) {
    char error[256];
    if (!confine_to_calls(error, sizeof error))
        return 1;
    if (execl("/bin/true", "true", (char *)NULL) != -1 || errno != ENOSYS)
        return 2;
    if (fork() != -1 || errno != ENOSYS)
        return 3;
    if (chroot("/") != -1 || errno != ENOSYS)
        return 4;
    return setuid(0) != -1 || errno != ENOSYS ? 5 : 0;
}

static void test_a_confined_server_executes_nothing_and_makes_no_processes(void **state) {
    (void)state;
    in_child(other_calls);
}

static void *tries_to_fork(void *arg) {
    int *result = arg;
    while (__atomic_load_n(result, __ATOMIC_ACQUIRE) == 0)
        ;
    errno = 0;
    *result = fork() == -1 && errno == ENOSYS ? 2 : 3;
    return NULL;
}

static int threads_before(void) {
    char error[256];
    pthread_t thread;
    int result = 0;
    if (pthread_create(&thread, NULL, tries_to_fork, &result) != 0 || !confine_to_calls(error, sizeof error))
        return 1;
    __atomic_store_n(&result, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    return result == 2 ? 0 : 2;
}

static void test_threads_that_were_there_are_confined_too(void **state) {
    (void)state;
    in_child(threads_before);
}

static int no_core(void) {
    struct rlimit limit;
    confine_process();
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur != 0)
        return 1;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 2;
}

static void test_no_core_file_and_no_new_privileges(void **state) {
    (void)state;
    in_child(no_core);
}

static char directory[] = "/tmp/test_confine-XXXXXX";

static int becomes_nobody(void) {
    char error[256], data[64];
    struct stat status;
    snprintf(data, sizeof data, "%s/data", directory);
    if (!confine_to_user("65534:65533", data, error, sizeof error))
        return 1;
    if (geteuid() != 65534 || getegid() != 65533 || setuid(0) == 0)
        return 2;
    if (stat(data, &status) != 0 || status.st_uid != 65534 || (status.st_mode & 0777) != 0700)
        return 3;
    confine_capabilities();
    return confine_to_user("65534", data, error, sizeof error) ? 0 : 4; /* that it is already */
}

static void test_root_becomes_the_user_who_owns_new_data(void **state) {
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chmod(directory, 0755), 0);
    in_child(becomes_nobody);
}

static void test_users_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const none[] = {"",     ":",          "no-such-user-here",   "0",
                                       "root", "4294967295", "65534:no-such-group", "-1"};
    char error[256];
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_false(confine_to_user(none[i], "/nowhere", error, sizeof error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_confined_server_makes_threads_and_opens_sockets_and_files),
        cmocka_unit_test(test_a_confined_server_executes_nothing_and_makes_no_processes),
        cmocka_unit_test(test_threads_that_were_there_are_confined_too),
        cmocka_unit_test(test_no_core_file_and_no_new_privileges),
        cmocka_unit_test(test_root_becomes_the_user_who_owns_new_data),
        cmocka_unit_test(test_users_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
