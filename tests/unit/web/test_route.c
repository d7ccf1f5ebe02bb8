#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "web/api.h"
#include "web/leshan/leshan.h"
#include "web/pelion/pelion.h"
#include "web/route.h"

static void no_handler(const struct call *call) {
    (void)call;
}

static const struct route_parameter list_parameters[] = {
    {"limit", "query", "{}", ""}, {"trace", "header", "{}", ""}, {NULL, NULL, NULL, NULL}};

static const struct route routes[] = {
    {.method = "GET", .path = "/", .handler = no_handler},
    {.method = "GET", .path = "/v1/devices", .handler = no_handler, .parameters = list_parameters},
    {.method = "GET", .path = "/v1/devices/{endpoint}", .handler = no_handler},
    {.method = "DELETE", .path = "/v1/devices/{endpoint}", .handler = no_handler},
    {.method = "GET", .path = "/v1/devices/{endpoint}/{object}", .handler = no_handler},
    {.method = "GET", .path = "/v1/devices/{endpoint}/observations", .handler = no_handler},
    {.method = "PUT", .path = "/v1/{anything}/{endpoint}", .handler = no_handler},
};
static const struct route_table table = {.routes = routes, .count = sizeof routes / sizeof routes[0]};

static struct route_index table_index;

struct lookup {
    uint8_t memory[1024];
    struct route_path path;
    const struct route *route;
    struct slice args[ROUTE_ARGS_MAX];
};

static enum route_result look_up(struct lookup *l, const char *method, const char *path) {
    struct buffer memory = buffer_over(l->memory, sizeof l->memory);
    l->route = NULL;
    assert_true(route_path_parse(slice_str(path), &memory, &l->path));
    return route_find(&table_index, method, &l->path, &l->route, l->args);
}

static void test_literal_path_is_found(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "GET", "/v1/devices"), ROUTE_FOUND);
    assert_ptr_equal(l.route, &routes[1]);
}

static void test_root_is_found(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "GET", "/"), ROUTE_FOUND);
    assert_ptr_equal(l.route, &routes[0]);
}

static void test_braces_take_one_decoded_segment_with_slashes_and_utf8(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "GET", "/v1/devices/urn%3Adev%2F%C3%BC+1"), ROUTE_FOUND);
    assert_ptr_equal(l.route, &routes[2]);
    assert_true(slice_is(l.args[0], "urn:dev/\xC3\xBC+1"));
}

static void test_literal_segments_are_compared_decoded(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "GET", "/v1/device%73"), ROUTE_FOUND);
}

static void test_decoded_slash_is_no_separator(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "GET", "/v1%2Fdevices"), ROUTE_NO_PATH);
}

static void test_braces_take_no_empty_segment(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "GET", "/v1/devices/"), ROUTE_NO_PATH);
}

static void test_literal_is_preferred_to_braces(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "GET", "/v1/devices/a/observations"), ROUTE_FOUND);
    assert_ptr_equal(l.route, &routes[5]);
    assert_int_equal(look_up(&l, "GET", "/v1/devices/a/3"), ROUTE_FOUND);
    assert_ptr_equal(l.route, &routes[4]);
    assert_true(slice_is(l.args[1], "3"));
}

static void test_head_finds_the_route_of_get(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "HEAD", "/v1/devices"), ROUTE_FOUND);
}

static void test_other_method_is_told_apart_from_other_path(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "POST", "/v1/devices/a"), ROUTE_NO_METHOD);
    assert_int_equal(look_up(&l, "POST", "/v2"), ROUTE_NO_PATH);
}

static void test_what_was_decoded_is_no_part_of_a_pattern(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "GET", "/v1/devices%00"), ROUTE_NO_PATH);
    assert_int_equal(look_up(&l, "GET", "/v1/devices%2F%7Bendpoint%7D"), ROUTE_NO_PATH);
    assert_int_equal(look_up(&l, "GET", "/v1/devices%00/a"), ROUTE_NO_METHOD); /* what braces take */
    assert_int_equal(look_up(&l, "GET", "/v1/device"), ROUTE_NO_PATH);
    assert_int_equal(look_up(&l, "GET", "/v1/devicesx"), ROUTE_NO_PATH);
}

static void test_only_the_routes_with_most_literal_segments_have_the_path(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "PUT", "/v1/devices/a"), ROUTE_NO_METHOD);
    assert_int_equal(look_up(&l, "PUT", "/v1/others/a"), ROUTE_FOUND);
    assert_true(slice_is(l.args[0], "others") && slice_is(l.args[1], "a"));
}

static void test_allowed_methods_of_a_path(void **state) {
    struct lookup l;
    uint8_t memory[ROUTE_ALLOW_MAX];
    struct buffer allow = buffer_over(memory, sizeof memory);
    (void)state;
    look_up(&l, "PUT", "/v1/devices/a");
    route_put_allowed(&table_index, &l.path, &allow);
    assert_true(slice_is(buffer_slice(&allow), "GET, HEAD, DELETE, OPTIONS"));
}

static void test_bad_percent_encoding_is_refused(void **state) {
    static const char *const bad[] = {"/%", "/%4", "/a%zz", "/%4g/b"};
    struct route_path path;
    uint8_t bytes[64];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buffer memory = buffer_over(bytes, sizeof bytes);
        assert_false(route_path_parse(slice_str(bad[i]), &memory, &path));
    }
}

static void test_an_index_has_room_for_each_table(void **state) {
    (void)state;
    assert_true(api_routes.count <= ROUTE_COUNT_MAX);
    assert_true(leshan_routes.count <= ROUTE_COUNT_MAX);
    assert_true(pelion_routes.count <= ROUTE_COUNT_MAX);
}

static void test_more_segments_than_any_route_has_are_no_path(void **state) {
    struct lookup l;
    (void)state;
    assert_int_equal(look_up(&l, "GET", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18"), ROUTE_NO_PATH);
}

static struct query parsed(const char *text, struct buffer *memory) {
    struct query query;
    assert_null(query_parse(slice_str(text), memory, &query));
    return query;
}

static void test_query_of_known_parameters_passes(void **state) {
    uint8_t bytes[64];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct query query = parsed("limit=3", &memory);
    bool twice;
    (void)state;
    assert_null(route_check_query(&routes[1], &query, &twice));
}

static void test_unknown_parameter_is_named(void **state) {
    uint8_t bytes[64];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct query query = parsed("limit=3&trace=1", &memory); /* a header is no query parameter */
    bool twice;
    (void)state;
    const struct slice *name = route_check_query(&routes[1], &query, &twice);
    assert_non_null(name);
    assert_true(slice_is(*name, "trace"));
    assert_false(twice);
}

static void test_parameter_given_twice_is_named(void **state) {
    uint8_t bytes[64];
    struct buffer memory = buffer_over(bytes, sizeof bytes);
    struct query query = parsed("limit=3&limit=3", &memory);
    bool twice;
    (void)state;
    const struct slice *name = route_check_query(&routes[1], &query, &twice);
    assert_non_null(name);
    assert_true(slice_is(*name, "limit"));
    assert_true(twice);
}

int main(void) {
    route_index_make(&table_index, &table);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literal_path_is_found),
        cmocka_unit_test(test_root_is_found),
        cmocka_unit_test(test_braces_take_one_decoded_segment_with_slashes_and_utf8),
        cmocka_unit_test(test_literal_segments_are_compared_decoded),
        cmocka_unit_test(test_decoded_slash_is_no_separator),
        cmocka_unit_test(test_braces_take_no_empty_segment),
        cmocka_unit_test(test_literal_is_preferred_to_braces),
        cmocka_unit_test(test_head_finds_the_route_of_get),
        cmocka_unit_test(test_other_method_is_told_apart_from_other_path),
        cmocka_unit_test(test_what_was_decoded_is_no_part_of_a_pattern),
        cmocka_unit_test(test_only_the_routes_with_most_literal_segments_have_the_path),
        cmocka_unit_test(test_allowed_methods_of_a_path),
        cmocka_unit_test(test_bad_percent_encoding_is_refused),
        cmocka_unit_test(test_an_index_has_room_for_each_table),
        cmocka_unit_test(test_more_segments_than_any_route_has_are_no_path),
        cmocka_unit_test(test_query_of_known_parameters_passes),
        cmocka_unit_test(test_unknown_parameter_is_named),
        cmocka_unit_test(test_parameter_given_twice_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
