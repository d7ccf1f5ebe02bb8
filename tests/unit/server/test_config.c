/* Options and environment variables. What the program prints about mistakes is read from its standard error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <unistd.h>

#include "server/config.h"

static struct config config;
static char said[1024];

/* Parse with standard error and output caught. */
static enum config_action parse(const char *first, const char *second, const char *third) {
    char *argv[] = {(char *)(uintptr_t) "berth-server", (char *)(uintptr_t)first, (char *)(uintptr_t)second,
                    (char *)(uintptr_t)third, NULL};
    int argc = 1 + (first != NULL) + (second != NULL) + (third != NULL);
    FILE *catcher = tmpfile();
    fflush(stdout);
    int old_error = dup(STDERR_FILENO), old_output = dup(STDOUT_FILENO);
    dup2(fileno(catcher), STDERR_FILENO);
    dup2(fileno(catcher), STDOUT_FILENO);
    enum config_action action = config_parse(&config, argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(old_error, STDERR_FILENO);
    dup2(old_output, STDOUT_FILENO);
    close(old_error);
    close(old_output);
    rewind(catcher);
    said[fread(said, 1, sizeof said - 1, catcher)] = '\0';
    fclose(catcher);
    return action;
}

static void expect_usage(const char *first, const char *second) {
    assert_int_equal(parse(first, second, NULL), CONFIG_EXIT_USAGE);
    assert_non_null(strchr(said, '\n'));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
}

static void test_defaults(void **state) {
    (void)state;
    assert_int_equal(parse(NULL, NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.listener_count, 4);
    assert_int_equal(config.listeners[0].address.port, 5683);
    assert_int_equal(config.listeners[0].transport, LINK_UDP);
    assert_int_equal(config.listeners[1].address.port, 5683);
    assert_int_equal(config.listeners[1].transport, LINK_TCP);
    assert_int_equal(config.listeners[2].address.port, 5684);
    assert_int_equal(config.listeners[2].transport, LINK_DTLS);
    assert_int_equal(config.listeners[3].address.port, 5684);
    assert_int_equal(config.listeners[3].transport, LINK_TLS);
    assert_int_equal(config.tcp_idle_ms, 60000);
    assert_int_equal(config.coap.max_message_size, 16384);
    assert_false(config.listeners[0].strict);
    assert_false(config.http_off);
    assert_int_equal(config.http_count, 1);
    assert_int_equal(config.http[0].address.port, 8080);
    assert_int_equal(config.http[0].address.ip[0], 127);
    assert_string_equal(config.data, "berth-data");
    assert_int_equal(config.grace_s, 93);
    assert_int_equal(config.coap.max_body, 16 << 20);
}

static void test_listeners(void **state) {
    (void)state;
    assert_int_equal(parse("--listen=coap://127.0.0.1:0", "--listen", "coap://[::1]:7000/pre/fix/?strict=1"),
                     CONFIG_RUN);
    assert_int_equal(config.listener_count, 2);
    assert_int_equal(config.listeners[0].address.port, 0);
    assert_true(config.listeners[1].strict);
    assert_string_equal(config.listeners[1].prefix, "pre/fix");
    assert_int_equal(config.listeners[1].number, 1);
    assert_int_equal(parse("--listen=coap+tcp://127.0.0.1", NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.listeners[0].transport, LINK_TCP);
    assert_int_equal(config.listeners[0].address.port, 5683);
    expect_usage("--listen", "coap+udp://:5683");
    expect_usage("--listen", "coap://:99999");
    expect_usage("--listen", "coap://127.0.0.1?strict=2");
    expect_usage("--listen", "coap://127.0.0.1?role=x");
    assert_int_equal(parse("--listen=coap://127.0.0.1?role=bootstrap&strict=1", "--refuse-with", "4.00"), CONFIG_RUN);
    assert_int_equal(config.listeners[0].role, LISTENER_BOOTSTRAP);
    assert_true(config.listeners[0].strict);
    assert_true(config.refuse_with_4_00);
    expect_usage("--refuse-with", "4.04");
    expect_usage("--listen", "nonsense");
    expect_usage("--listen", "");
}

static void test_environment_and_options(void **state) {
    (void)state;
    setenv("BERTH_LISTEN", "coap://127.0.0.1:1, coap://127.0.0.1:2", 1);
    setenv("BERTH_GRACE", "5s", 1);
    setenv("BERTH_ECHO_CHALLENGE", "true", 1);
    assert_int_equal(parse(NULL, NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.listener_count, 2);
    assert_int_equal(config.grace_s, 5);
    assert_true(config.coap.echo_challenge);
    assert_int_equal(parse("--listen", "coap://127.0.0.1:3", "--grace=7s"), CONFIG_RUN); /* options win */
    assert_int_equal(config.listener_count, 1);
    assert_int_equal(config.listeners[0].address.port, 3);
    assert_int_equal(config.listeners[0].number, 0);
    assert_int_equal(config.grace_s, 7);
    setenv("BERTH_GRACE", "soon", 1);
    assert_int_equal(parse(NULL, NULL, NULL), CONFIG_EXIT_USAGE);
    assert_non_null(strstr(said, "BERTH_GRACE"));
    unsetenv("BERTH_LISTEN");
    unsetenv("BERTH_GRACE");
    unsetenv("BERTH_ECHO_CHALLENGE");
}

static void test_values_of_every_kind(void **state) {
    (void)state;
    assert_int_equal(parse("--max-body=64k", "--ack-timeout=500ms", "--block-size=256"), CONFIG_RUN);
    assert_int_equal(config.coap.max_body, 65536);
    assert_int_equal(config.coap.ack_timeout_ms, 500);
    assert_int_equal(config.coap.block_szx, 4);
    assert_int_equal(parse("--ack-random-factor=1.25", "--nstart=3", "--log-level=debug"), CONFIG_RUN);
    assert_true(config.coap.ack_random_factor == 1.25);
    assert_int_equal(config.coap.nstart, 3);
    assert_int_equal(config.log_level, LOG_DEBUG);
    assert_int_equal(parse("--awake-window=20s", "--queue-limit=3", "--queue-expiry=2h"), CONFIG_RUN);
    assert_int_equal(config.awake_window_ms, 20000);
    assert_int_equal(config.queue_limit, 3);
    assert_int_equal(config.queue_expiry_ms, 7200000);
    assert_int_equal(config.queue_delay_ms, 0);
    assert_int_equal(parse("--queue-delay=500ms", NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.queue_delay_ms, 500);
    assert_int_equal(config.awake_window_ms, 93000);
    assert_int_equal(parse("--http=off", "--durability=full", "--log-format=json"), CONFIG_RUN);
    assert_true(config.http_off);
    assert_int_equal(config.durability, STORE_FULL);
    assert_true(config.log_json);
}

static void test_mistakes_are_one_line(void **state) {
    (void)state;
    static const char *const bad[] = {
        "--grace=1.5s",
        "--grace=-1",
        "--max-body=1",
        "--max-body=x",
        "--block-size=100",
        "--ack-random-factor=0",
        "--ack-timeout=0",
        "--durability=maybe",
        "--log-level=all",
        "--log-format=xml",
        "--nstart=0",
        "--max-exchanges=1",
        "--http=127.0.0.1",
        "--http=ftp://x",
        "--api-key=",
        "--nonsense",
        "--http-max-body=0",
        "--transfer-timeout=1s",
        "--data=",
        "stray",
        "--objects=",
        "--awake-window=0",
        "--queue-limit=0",
        "--queue-expiry=31d",
        "--queue-delay=2m",
        "--http=http://127.0.0.1:9?role=all",
        "--http=http://127.0.0.1:9?strict=1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_usage(bad[i], NULL);
}

static void test_an_open_api_may_be_forbidden(void **state) {
    (void)state;
    assert_int_equal(parse("--require-api-key", NULL, NULL), CONFIG_RUN); /* loopback */
    assert_int_equal(parse("--require-api-key", "--http=http://0.0.0.0:8080", NULL), CONFIG_EXIT_USAGE);
    assert_int_equal(parse("--require-api-key", "--http=http://0.0.0.0:8080", "--api-key=k"), CONFIG_RUN);
}

static void test_help_version_and_healthcheck(void **state) {
    (void)state;
    assert_int_equal(parse("--help", NULL, NULL), CONFIG_EXIT_OK);
    assert_non_null(strstr(said, "--listen URI"));
    assert_int_equal(parse("--version", NULL, NULL), CONFIG_EXIT_OK);
    assert_non_null(strstr(said, BERTH_VERSION));
    assert_int_equal(parse("--http=http://127.0.0.1:9", "--healthcheck", NULL), CONFIG_HEALTHCHECK);
    assert_int_equal(config.http[0].address.port, 9);
}

static void test_http_is_served_in_several_places(void **state) {
    (void)state;
    assert_int_equal(parse("--http=http://127.0.0.1:8080", "--http=http://127.0.0.1:8081?role=bootstrap", NULL),
                     CONFIG_RUN);
    assert_int_equal(config.http_count, 2);
    assert_int_equal(config.http[0].role, LISTENER_EVERYTHING);
    assert_int_equal(config.http[1].address.port, 8081);
    assert_int_equal(config.http[1].role, LISTENER_BOOTSTRAP);
    assert_int_equal(parse("--http=http://:1,http://:2,http://:3,http://:4", NULL, NULL), CONFIG_RUN);
    expect_usage("--http=http://:1,http://:2,http://:3,http://:4,http://:5", NULL);
    setenv("BERTH_HTTP", "http://127.0.0.1:1 http://127.0.0.1:2", true);
    assert_int_equal(parse(NULL, NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.http_count, 2);
    assert_int_equal(parse("--http=http://127.0.0.1:3", NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.http_count, 1);
    assert_int_equal(config.http[0].address.port, 3);
    assert_int_equal(parse("--http=off", NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.http_count, 0);
    unsetenv("BERTH_HTTP");
}

static void test_pre_shared_keys(void **state) {
    (void)state;
    assert_int_equal(parse("--psk=urn:imei:1:00ff", "--psk=dev2:AA", NULL), CONFIG_RUN);
    assert_int_equal(config.psk_count, 2);
    assert_true(slice_is(config.psks[0].identity, "urn:imei:1"));
    assert_int_equal(config.psks[0].key_len, 2);
    assert_int_equal(config.psks[0].key[1], 0xff);
    setenv("BERTH_PSK", "a:01 b:02", 1);
    assert_int_equal(parse(NULL, NULL, NULL), CONFIG_RUN);
    unsetenv("BERTH_PSK");
    assert_int_equal(config.psk_count, 2);
    expect_usage("--psk", "dev1");
    expect_usage("--psk", ":aa");
    expect_usage("--psk", "dev1:");
    expect_usage("--psk", "dev1:abc");
    expect_usage("--psk", "dev1:xy");
    char long_key[6 + 2 * 65 + 1] = "dev1:";
    memset(long_key + 5, 'a', 2 * 65);
    long_key[5 + 2 * 65] = '\0';
    expect_usage("--psk", long_key);
}

static void test_options_of_dtls(void **state) {
    (void)state;
    assert_int_equal(parse("--dtls-cookie=under-load", "--cid-length=0", "--node=255"), CONFIG_RUN);
    assert_int_equal(config.dtls.cookie, DTLS_COOKIE_UNDER_LOAD);
    assert_int_equal(config.dtls.cid_length, 0);
    assert_int_equal(config.dtls.node, 255);
    assert_int_equal(parse("--handshake-timeout=5s", "--max-handshakes=7", "--max-sessions=9"), CONFIG_RUN);
    assert_int_equal(config.dtls.handshake_timeout_ms, 5000);
    assert_int_equal(config.dtls.handshakes_max, 7);
    assert_int_equal(config.dtls.sessions_max, 9);
    assert_int_equal(parse("--hide-unknown-identities", "--ignore-certificate-dates", NULL), CONFIG_RUN);
    assert_true(config.dtls.hide_unknown_identities && config.dtls.ignore_dates);
    expect_usage("--dtls-cookie", "maybe");
    expect_usage("--cid-length", "33");
    expect_usage("--node", "256");
    expect_usage("--tls-key-log", "");
}

static void test_who_may_do_without_security(void **state) {
    (void)state;
    assert_int_equal(parse(NULL, NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.nosec, NOSEC_OPEN);
    assert_int_equal(parse("--nosec=known", NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.nosec, NOSEC_KNOWN);
    assert_int_equal(parse("--nosec=off", NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.nosec, NOSEC_OFF);
    expect_usage("--nosec", "maybe");
}

static void test_certificates_come_with_their_keys(void **state) {
    (void)state;
    assert_int_equal(parse("--cert=a.pem", "--key=a.key", "--ca=ca.pem"), CONFIG_RUN);
    assert_string_equal(config.certificates[0], "a.pem");
    assert_string_equal(config.keys[0], "a.key");
    assert_string_equal(config.authorities[0], "ca.pem");
    expect_usage("--cert", "a.pem");
    expect_usage("--key", "a.key");
    expect_usage("--key-file", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_http_is_served_in_several_places),
        cmocka_unit_test(test_pre_shared_keys),
        cmocka_unit_test(test_options_of_dtls),
        cmocka_unit_test(test_who_may_do_without_security),
        cmocka_unit_test(test_certificates_come_with_their_keys),
        cmocka_unit_test(test_listeners),
        cmocka_unit_test(test_environment_and_options),
        cmocka_unit_test(test_values_of_every_kind),
        cmocka_unit_test(test_mistakes_are_one_line),
        cmocka_unit_test(test_an_open_api_may_be_forbidden),
        cmocka_unit_test(test_help_version_and_healthcheck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
