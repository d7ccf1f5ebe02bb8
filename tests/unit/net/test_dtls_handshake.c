/* Handshakes of mbedtls clients with a server of ours, from the first ClientHello to the session. */
#include "tests/unit/net/dtls_bench.h"

static void test_SEC_01_psk(void **state) {
    struct bench *b = *state;
    bench_start_dtls(b);
    struct client *c = bench_client(b, 0, NULL);
    bench_handshake(c);
    bench_exchange(c, "hello");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_SEC_01_psk, bench_start, bench_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
