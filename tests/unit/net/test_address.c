#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "common/net/address.h"

static struct address parsed(const char *text, uint16_t port) {
    struct address address;
    if (!address_parse_ip(slice_str(text), &address))
        fail_msg("%s should be an address", text);
    address.port = port;
    return address;
}

static void assert_put(const struct address *address, const char *expected) {
    char text[ADDRESS_TEXT_MAX];
    struct buffer out = buffer_over(text, sizeof text);
    address_put(&out, address);
    assert_true(slice_is(buffer_slice(&out), expected));
}

static void test_addresses_are_written_with_their_port(void **state) {
    (void)state;
    struct address v4 = parsed("192.0.2.1", 5683), v6 = parsed("2001:db8::1", 5684), any = parsed("::", 0);
    assert_put(&v4, "192.0.2.1:5683");
    assert_put(&v6, "[2001:db8::1]:5684");
    assert_put(&any, "[::]:0");
    char text[ADDRESS_TEXT_MAX];
    struct buffer out = buffer_over(text, sizeof text);
    address_put_ip(&out, &v6);
    assert_true(slice_is(buffer_slice(&out), "2001:db8::1"));
}

static void test_the_longest_address_fits(void **state) {
    (void)state;
    struct address address = parsed("fe80:1111:2222:3333:4444:5555:255.255.255.255%lo", 65535);
    char text[ADDRESS_TEXT_MAX];
    struct buffer out = buffer_over(text, sizeof text);
    address_put(&out, &address);
    assert_false(out.overflow);
}

static void test_a_zone_is_kept(void **state) {
    (void)state;
    struct address address = parsed("fe80::1%lo", 5683);
    assert_int_equal(address.scope, 1);
    assert_put(&address, "[fe80::1%lo]:5683");
    assert_false(address_parse_ip(slice_str("fe80::1%nosuchzone"), &address));
    assert_false(address_parse_ip(slice_str("127.0.0.1%lo"), &address));
}

static void test_what_is_no_address_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",    "1.2.3",      "1.2.3.4.5", "1.2.3.256", "[::1]",  "::1 ",
                                      ":::", "1.2.3.4:80", "localhost", "12345::",   "0x7f.1", "%lo"};
    struct address address;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(address_parse_ip(slice_str(bad[i]), &address));
    assert_false(address_parse_ip(slice_of("1.2.3.4\0", 8), &address));
    static char long_text[1000];
    memset(long_text, '1', sizeof long_text);
    assert_false(address_parse_ip(slice_of(long_text, sizeof long_text), &address));
}

static struct address through_socket(const struct address *address, int socket_family) {
    struct sockaddr_storage storage;
    struct address back;
    memset(&back, 0xee, sizeof back);
    socklen_t len = address_to_sockaddr(address, socket_family, &storage);
    assert_int_equal(storage.ss_family, socket_family);
    assert_int_equal(len, socket_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    assert_true(address_from_sockaddr(&back, (struct sockaddr *)&storage));
    return back;
}

static void test_an_ipv4_address_is_the_same_through_either_socket(void **state) {
    (void)state;
    struct address address = parsed("192.0.2.1", 5683);
    struct address plain = through_socket(&address, AF_INET), mapped = through_socket(&address, AF_INET6);
    assert_true(address_equal(&plain, &address));
    assert_true(address_equal(&mapped, &address));
}

static void test_an_ipv4_address_in_ipv6_form_is_taken_for_what_it_is(void **state) {
    (void)state;
    struct address written = parsed("::ffff:192.0.2.1", 5683), plain = parsed("192.0.2.1", 5683);
    assert_true(address_equal(&written, &plain));
}

static void test_an_ipv6_address_comes_back_with_port_and_zone(void **state) {
    (void)state;
    struct address address = parsed("fe80::1%lo", 65535);
    struct address back = through_socket(&address, AF_INET6);
    assert_true(address_equal(&back, &address));
}

static void test_other_families_are_refused(void **state) {
    (void)state;
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct address address;
    assert_false(address_from_sockaddr(&address, &other));
}

static void test_addresses_differ_in_every_part(void **state) {
    (void)state;
    struct address a = parsed("192.0.2.1", 1), b = a;
    assert_true(address_equal(&a, &b));
    b.port = 2;
    assert_false(address_equal(&a, &b));
    b = parsed("192.0.2.2", 1);
    assert_false(address_equal(&a, &b));
    b = parsed("::1", 1);
    assert_false(address_equal(&a, &b));
}

static void test_multicast_is_known(void **state) {
    (void)state;
    static const char *const multicast[] = {"224.0.0.0", "224.0.1.187", "239.255.255.255", "ff02::fd", "ff05::1"};
    static const char *const unicast[] = {"223.255.255.255", "240.0.0.0", "127.0.0.1", "fe80::1", "::"};
    for (size_t i = 0; i < 5; i++) {
        struct address m = parsed(multicast[i], 0), u = parsed(unicast[i], 0);
        assert_true(address_is_multicast(&m));
        assert_false(address_is_multicast(&u));
    }
    assert_false(address_is_multicast(&(struct address){.family = ADDRESS_NONE, .ip = {0xff}}));
}

static void test_wildcard_is_loopback_at_home(void **state) {
    static const char *const there[] = {"0.0.0.0", "::", "192.0.2.1", "2001:db8::1"};
    static const char *const home[] = {"127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct address a = parsed(there[i], 8080), expected = parsed(home[i], 8080), b = address_at_home(&a);
        assert_true(address_equal(&b, &expected));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_written_with_their_port),
        cmocka_unit_test(test_the_longest_address_fits),
        cmocka_unit_test(test_a_zone_is_kept),
        cmocka_unit_test(test_what_is_no_address_is_refused),
        cmocka_unit_test(test_an_ipv4_address_is_the_same_through_either_socket),
        cmocka_unit_test(test_an_ipv4_address_in_ipv6_form_is_taken_for_what_it_is),
        cmocka_unit_test(test_an_ipv6_address_comes_back_with_port_and_zone),
        cmocka_unit_test(test_other_families_are_refused),
        cmocka_unit_test(test_addresses_differ_in_every_part),
        cmocka_unit_test(test_multicast_is_known),
        cmocka_unit_test(test_wildcard_is_loopback_at_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
