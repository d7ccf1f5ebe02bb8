#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/net/uri.h"

static void test_parts(void **state) {
    (void)state;
    const char *error = NULL;
    struct uri uri;
    assert_true(uri_parse(slice_str("coap://[::1]:5683/a/b/?strict=1&x"), &uri, &error));
    assert_true(slice_is(uri.scheme, "coap"));
    assert_true(slice_is(uri.host, "::1"));
    assert_true(uri.has_port);
    assert_int_equal(uri.port, 5683);
    assert_true(slice_is(uri.path, "a/b"));
    struct slice name, value;
    size_t at = 0;
    assert_true(uri_query_next(uri.query, &at, &name, &value));
    assert_true(slice_is(name, "strict") && slice_is(value, "1"));
    assert_true(uri_query_next(uri.query, &at, &name, &value));
    assert_true(slice_is(name, "x") && value.len == 0);
    assert_false(uri_query_next(uri.query, &at, &name, &value));
    assert_true(uri_parse(slice_str("coaps://:5684"), &uri, &error));
    assert_int_equal(uri.host.len, 0);
    assert_true(uri_parse(slice_str("coap://localhost"), &uri, &error));
    assert_false(uri.has_port);
}

static void test_what_is_no_uri(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",           "coap",       "coap:5683",   "://x",         "coap://h:", "coap://h:65536",
        "coap://h:x", "coap://::1", "coap://[::1", "coap://[::1]x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *error = NULL;
        struct uri uri;
        if (uri_parse(slice_str(bad[i]), &uri, &error))
            fail_msg("%s was taken", bad[i]);
        assert_non_null(error);
    }
}

static void expect_address(const char *text, enum address_family family, uint16_t port) {
    const char *error = NULL;
    struct uri uri;
    struct address address;
    assert_true(uri_parse(slice_str(text), &uri, &error));
    assert_true(uri_resolve(&uri, 5683, &address, &error));
    assert_int_equal(address.family, family);
    assert_int_equal(address.port, port);
}

static void test_addresses(void **state) {
    (void)state;
    expect_address("coap://127.0.0.1", ADDRESS_IPV4, 5683);
    expect_address("coap://127.0.0.1:0", ADDRESS_IPV4, 0);
    expect_address("coap://[::1]:99", ADDRESS_IPV6, 99);
    expect_address("coap://0.0.0.0:7", ADDRESS_IPV4, 7);
    const char *error = NULL;
    struct uri uri;
    struct address address;
    assert_true(uri_parse(slice_str("coap://no.such.host.invalid"), &uri, &error));
    assert_false(uri_resolve(&uri, 5683, &address, &error));
    assert_non_null(error);
    assert_true(uri_parse(slice_str("coap://*:1"), &uri, &error));
    assert_true(uri_resolve(&uri, 5683, &address, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_what_is_no_uri),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
