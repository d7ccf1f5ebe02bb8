/* The query of Register and Update, item by item; names carry the conformance rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/coap/option.h"
#include "server/profile.h"

static struct registration_parameters p;

/* Items are separated by & here, and nowhere else. */
static bool read_query(const char *query, bool is_update) {
    struct coap_message message;
    coap_message_init(&message, COAP_CON, COAP_POST, 1, SLICE_NONE);
    for (const char *at = query; *at != '\0';) {
        size_t len = strcspn(at, "&");
        coap_option_add(&message, COAP_URI_QUERY, slice_of(at, len));
        at += len + (at[len] == '&');
    }
    return registration_parameters_read(&p, &message, is_update);
}

static void expect_refusal(const char *query, uint8_t code) {
    if (read_query(query, false))
        fail_msg("%s was taken", query);
    assert_int_equal(p.code, code);
    assert_non_null(p.error);
}

static void test_REG_01_REG_02_everything_in_any_order(void **state) {
    (void)state;
    static const char *const orders[] = {"ep=dev1&lt=300&lwm2m=1.1&b=U&sms=48", "b=U&sms=48&lwm2m=1.1&lt=300&ep=dev1"};
    for (size_t i = 0; i < 2; i++) {
        assert_true(read_query(orders[i], false));
        assert_true(slice_is(p.endpoint, "dev1"));
        assert_true(slice_is(p.sms, "48"));
        assert_int_equal(p.lifetime_s, 300);
        assert_int_equal(p.version, LWM2M_1_1);
        assert_int_equal(p.binding, BINDING_U);
        assert_false(p.queue_mode);
        assert_int_equal(p.others_len, 0);
        assert_null(p.oddity);
    }
}

static void test_REG_05_lifetimes(void **state) {
    (void)state;
    static const char *const bad[] = {"lt=",           "lt",     "lt=-1", "lt=abc", "lt=60.5",
                                      "lt=4294967296", "lt= 60", "lt=+5", "lt=0x10"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_refusal(bad[i], COAP_4_00_BAD_REQUEST);
    assert_true(read_query("lt=4294967295", false));
    assert_int_equal(p.lifetime_s, UINT32_MAX);
    assert_true(read_query("lt=0", false));
    assert_true(p.has_lifetime);
}

static void test_REG_08_REG_09_versions(void **state) {
    (void)state;
    static const char *const bad[] = {"lwm2m=1.3",   "lwm2m=2.0", "lwm2m=0.9", "lwm2m=1",
                                      "lwm2m=1.1.1", "lwm2m=x",   "lwm2m="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_refusal(bad[i], COAP_4_12_PRECONDITION_FAILED);
    assert_true(read_query("lwm2m=1.0", false));
    assert_true(read_query("lwm2m=1.2", false));
    assert_int_equal(p.version, LWM2M_1_2);
}

static void test_REG_12_REG_13_REG_15_endpoint_names(void **state) {
    (void)state;
    expect_refusal("ep=", COAP_4_00_BAD_REQUEST);
    expect_refusal("ep", COAP_4_00_BAD_REQUEST);
    expect_refusal("ep=a&ep=a", COAP_4_00_BAD_REQUEST);
    expect_refusal("lt=1&lt=1", COAP_4_00_BAD_REQUEST);
    expect_refusal("lwm2m=1.1&lwm2m=1.1", COAP_4_00_BAD_REQUEST);
    expect_refusal("b=U&b=U", COAP_4_00_BAD_REQUEST);
    expect_refusal("ep=a\x01", COAP_4_00_BAD_REQUEST);
    expect_refusal("ep=a\x7f", COAP_4_00_BAD_REQUEST);
    expect_refusal("ep=\xc3", COAP_4_00_BAD_REQUEST);
    assert_true(read_query("ep=urn:dev:\xc5\xbc\xc3\xb3\xc5\x82w/x y=z", false));
    assert_true(slice_is(p.endpoint, "urn:dev:\xc5\xbc\xc3\xb3\xc5\x82w/x y=z"));
}

static void test_REG_18_REG_19_REG_20_REG_22_bindings(void **state) {
    (void)state;
    assert_true(read_query("b=UTSNMH", false));
    assert_int_equal(p.binding, BINDING_U | BINDING_T | BINDING_S | BINDING_N | BINDING_M | BINDING_H);
    assert_true(read_query("b=UQS", false));
    assert_true(p.queue_mode && p.queue_in_binding && p.binding == (BINDING_U | BINDING_S));
    assert_true(read_query("b=", false));
    assert_int_equal(p.binding, BINDING_U);
    expect_refusal("b=X", COAP_4_00_BAD_REQUEST);
    expect_refusal("b=u", COAP_4_00_BAD_REQUEST);
}

static void test_REG_21_queue_mode(void **state) {
    (void)state;
    assert_true(read_query("Q", false));
    assert_true(p.queue_mode && p.queue_item && p.oddity == NULL);
    assert_true(read_query("Q=", false));
    assert_true(p.queue_mode && p.oddity == NULL);
    assert_true(read_query("Q=1", false));
    assert_true(p.queue_mode && p.oddity != NULL);
}

static void test_REG_23_REG_24_sms_and_unknown_items(void **state) {
    (void)state;
    assert_true(read_query("sms&sms=&et=default&d=x%y&foo&imei=12=3", false));
    assert_false(p.has_sms);
    assert_true(slice_is(slice_of(p.others, p.others_len), "et=default&d=x%25y&foo&imei=12=3"));
    struct coap_message message;
    coap_message_init(&message, COAP_CON, COAP_POST, 1, SLICE_NONE);
    coap_option_add(&message, COAP_URI_QUERY, slice_str("a=1&2"));
    assert_true(registration_parameters_read(&p, &message, false));
    assert_true(slice_is(slice_of(p.others, p.others_len), "a=1%262"));
}

static void test_unknown_items_are_bounded(void **state) {
    (void)state;
    struct coap_message message;
    uint8_t item[255];
    memset(item, 'x', sizeof item);
    coap_message_init(&message, COAP_CON, COAP_POST, 1, SLICE_NONE);
    for (int i = 0; i < 40; i++)
        coap_option_add(&message, COAP_URI_QUERY, slice_of(item, sizeof item));
    assert_true(registration_parameters_read(&p, &message, false));
    assert_int_equal(p.others_len, 16 * 256 - 1);
    assert_non_null(p.oddity);
}

static void test_UPD_09_an_update_reads_only_what_it_may_change(void **state) {
    (void)state;
    assert_true(read_query("ep=&lwm2m=9&foo=1&lt=20&Q", true));
    assert_false(p.has_endpoint || p.has_version);
    assert_int_equal(p.lifetime_s, 20);
    assert_int_equal(p.others_len, 0);
    assert_false(read_query("lt=x", true));
}

static void test_profiles_and_their_locations(void **state) {
    (void)state;
    uint8_t bytes[PROFILE_LOCATION_MAX];
    assert_true(read_query("ep=dev1", false));
    assert_int_equal(profile_of(&p), PROFILE_STANDARD);
    assert_int_equal(profile_location(PROFILE_STANDARD, &p, bytes).len, 0);
    assert_true(read_query("ep=dev1&d=other&aid=0123abcd&mccv=4.13.2", false));
    assert_int_equal(profile_of(&p), PROFILE_PELION);
    struct slice location = profile_location(PROFILE_PELION, &p, bytes);
    assert_true(slice_starts_with(location, "0123abcd/"));
    struct device_id id = device_id_of(slice_str("dev1"));
    assert_int_equal(strlen(id.hex), 32);
    assert_true(slice_is(slice_from(location, 9), id.hex));
    assert_true(read_query("ep=dev1&aid=a/b&mccv=4", false)); /* no path segment */
    assert_true(slice_starts_with(profile_location(PROFILE_PELION, &p, bytes), "default/"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_REG_01_REG_02_everything_in_any_order),
        cmocka_unit_test(test_REG_05_lifetimes),
        cmocka_unit_test(test_REG_08_REG_09_versions),
        cmocka_unit_test(test_REG_12_REG_13_REG_15_endpoint_names),
        cmocka_unit_test(test_REG_18_REG_19_REG_20_REG_22_bindings),
        cmocka_unit_test(test_REG_21_queue_mode),
        cmocka_unit_test(test_REG_23_REG_24_sms_and_unknown_items),
        cmocka_unit_test(test_unknown_items_are_bounded),
        cmocka_unit_test(test_UPD_09_an_update_reads_only_what_it_may_change),
        cmocka_unit_test(test_profiles_and_their_locations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
