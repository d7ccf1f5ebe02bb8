/* Where the device goes: what a server's URI means for its requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "client/destination.h"
#include "common/coap/option.h"
#include "common/lwm2m/path.h"

static void expect_options(const struct coap_message *message, uint16_t number, const char *const *values) {
    size_t found = 0;
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number != number)
            continue;
        assert_non_null(values[found]);
        assert_true(slice_is(message->options[i].value, values[found++]));
    }
    assert_null(values[found]);
}

static void test_path_and_query_become_options(void **state) {
    struct destination destination;
    struct coap_message message;
    const char *error;
    (void)state;
    assert_true(destination_set(&destination, slice_str("coaps+tcp://h:1/a/b?aid=1&iep=x"), LWM2M_ID_NONE, &error));
    assert_true(destination.transport->secure && destination.transport->link == LINK_TLS);
    coap_message_init(&message, COAP_CON, COAP_POST, 0, SLICE_NONE);
    destination_add_path(&destination, &message, "rd");
    destination_add_query(&destination, &message);
    expect_options(&message, COAP_URI_PATH, (const char *const[]){"a", "b", "rd", NULL});
    expect_options(&message, COAP_URI_QUERY, (const char *const[]){"aid=1", "iep=x", NULL});
}

static void test_without_them_there_is_the_name_alone(void **state) {
    struct destination destination;
    struct coap_message message;
    const char *error;
    (void)state;
    assert_true(destination_set(&destination, slice_str("coap://[::1]"), 7, &error));
    assert_int_equal(destination.security, 7);
    assert_int_equal(destination.transport->port, 5683);
    coap_message_init(&message, COAP_CON, COAP_POST, 0, SLICE_NONE);
    destination_add_path(&destination, &message, "bs");
    destination_add_query(&destination, &message);
    expect_options(&message, COAP_URI_PATH, (const char *const[]){"bs", NULL});
    expect_options(&message, COAP_URI_QUERY, (const char *const[]){NULL});
}

static void test_a_uri_that_is_none_is_told(void **state) {
    static const struct {
        const char *uri, *error;
    } wrong[] = {
        {"", "a URI looks like coap://host:port"},
        {"http://h", "must begin with coap://, coaps://, coap+tcp:// or coaps+tcp://"},
        {"coap://", "must name a host"},
        {"coap://h:x", "a port is a number from 0 to 65535"},
    };
    char text[DESTINATION_URI_MAX + 2];
    struct destination destination;
    const char *error;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(destination_set(&destination, slice_str(wrong[i].uri), LWM2M_ID_NONE, &error));
        assert_string_equal(error, wrong[i].error);
    }
    memset(text, 'h', sizeof text);
    memcpy(text, "coap://", 7);
    assert_true(destination_set(&destination, slice_of(text, DESTINATION_URI_MAX), LWM2M_ID_NONE, &error));
    assert_false(destination_set(&destination, slice_of(text, sizeof text), LWM2M_ID_NONE, &error));
    assert_string_equal(error, "must have 255 bytes at most");
    assert_false(destination_set(&destination, slice_of("coap://h\0i", 10), LWM2M_ID_NONE, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_and_query_become_options),
        cmocka_unit_test(test_without_them_there_is_the_name_alone),
        cmocka_unit_test(test_a_uri_that_is_none_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
