/* Cookies: bound to the address and to what the client repeats, good for a minute or two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/net/cookie.h"

static const struct address peer = {.family = ADDRESS_IPV4, .port = 40000, .ip = {192, 0, 2, 1}};

struct attempt {
    struct client_hello hello;
    uint8_t random[32], cookie[HELLO_COOKIE_LEN];
};

static void begin(struct attempt *attempt, struct cookie_jar *jar, uint64_t now_ms) {
    memset(attempt->random, 9, sizeof attempt->random);
    attempt->hello = (struct client_hello){.version = 0xfefd, .random = slice_of(attempt->random, 32)};
    cookie_make(jar, now_ms, 0, &peer, &attempt->hello, attempt->cookie);
    attempt->hello.cookie = slice_of(attempt->cookie, HELLO_COOKIE_LEN);
}

static void test_SEC_08_a_cookie_is_good_for_one_hello_from_one_address(void **state) {
    (void)state;
    struct cookie_jar jar;
    struct attempt a;
    cookie_jar_init(&jar, 0);
    begin(&a, &jar, 0);
    assert_true(cookie_check(&jar, 0, 0, &peer, &a.hello));
    struct address other = peer;
    other.port++;
    assert_false(cookie_check(&jar, 0, 0, &other, &a.hello));
    assert_false(cookie_check(&jar, 0, 1, &peer, &a.hello)); /* another listener */
    a.random[31]++;
    assert_false(cookie_check(&jar, 0, 0, &peer, &a.hello));
    a.random[31]--;
    a.hello.session_id = slice_str("x");
    assert_false(cookie_check(&jar, 0, 0, &peer, &a.hello));
    a.hello.session_id = SLICE_NONE;
    a.hello.version = 0xfeff;
    assert_false(cookie_check(&jar, 0, 0, &peer, &a.hello));
    a.hello.version = 0xfefd;
    a.cookie[7] ^= 1;
    assert_false(cookie_check(&jar, 0, 0, &peer, &a.hello));
    a.cookie[7] ^= 1;
    a.hello.cookie.len = 7;
    assert_false(cookie_check(&jar, 0, 0, &peer, &a.hello));
    struct cookie_jar elsewhere;
    cookie_jar_init(&elsewhere, 0);
    a.hello.cookie.len = 8;
    assert_false(cookie_check(&elsewhere, 0, 0, &peer, &a.hello));
}

static void test_a_cookie_ages(void **state) {
    (void)state;
    struct cookie_jar jar;
    struct attempt a;
    cookie_jar_init(&jar, 0);
    begin(&a, &jar, COOKIE_PERIOD_MS - 1);
    assert_true(cookie_check(&jar, 2 * COOKIE_PERIOD_MS - 1, 0, &peer, &a.hello));
    assert_false(cookie_check(&jar, 2 * COOKIE_PERIOD_MS, 0, &peer, &a.hello));
    begin(&a, &jar, 2 * COOKIE_PERIOD_MS);
    assert_true(cookie_check(&jar, 2 * COOKIE_PERIOD_MS, 0, &peer, &a.hello));
    assert_false(cookie_check(&jar, 50 * COOKIE_PERIOD_MS, 0, &peer, &a.hello)); /* a leap */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_SEC_08_a_cookie_is_good_for_one_hello_from_one_address),
        cmocka_unit_test(test_a_cookie_ages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
