#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "web/leshan/node.h"

static struct lwm2m_path path_of(const char *text) {
    struct lwm2m_path path;
    assert_true(lwm2m_path_parse(slice_str(text), &path, NULL));
    return path;
}

static struct lwm2m_node node(const char *path, struct lwm2m_value value) {
    return (struct lwm2m_node){.path = path_of(path), .value = value};
}

static struct lwm2m_node node_at(const char *path, struct lwm2m_value value, int64_t time_ms) {
    return (struct lwm2m_node){.path = path_of(path), .value = value, .has_time = true, .time_ms = time_ms};
}

/* `json` is given up. */
static void assert_json(json_t *json, const char *expected) {
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    json_decref(json);
}

static struct leshan_values values_of(const struct lwm2m_node *nodes, size_t count) {
    struct leshan_values values = {0};
    for (size_t i = 0; i < count; i++)
        assert_true(leshan_values_add(&values, &nodes[i]));
    return values;
}

static void assert_told(const char *base, const struct lwm2m_node *nodes, size_t count, const char *expected) {
    struct leshan_values values = values_of(nodes, count);
    struct lwm2m_path path = path_of(base);
    assert_json(leshan_node_json(&values, &path), expected);
    leshan_values_clear(&values);
}

static void test_every_type(void **state) {
    (void)state;
    const struct lwm2m_value opaque = lwm2m_bytes(LWM2M_OPAQUE, slice_of("\x00\xff", 2));
    const struct lwm2m_value big = {.type = LWM2M_UNSIGNED, .natural = UINT64_MAX};
    const struct lwm2m_value real = {.type = LWM2M_FLOAT, .real = 21.5};
    const struct lwm2m_value link = {.type = LWM2M_OBJLNK, .link = {3, 0}};
    const struct {
        struct lwm2m_value value;
        const char *expected;
    } all[] = {
        {lwm2m_string("x"), "\"STRING\",\"value\":\"x\"}"},
        {lwm2m_integer(INT64_MIN), "\"INTEGER\",\"value\":\"-9223372036854775808\"}"},
        {big, "\"UNSIGNED_INTEGER\",\"value\":\"18446744073709551615\"}"},
        {real, "\"FLOAT\",\"value\":\"21.5\"}"},
        {lwm2m_boolean(true), "\"BOOLEAN\",\"value\":true}"},
        {opaque, "\"OPAQUE\",\"value\":\"00ff\"}"},
        {lwm2m_time(-1), "\"TIME\",\"value\":-1000}"},
        {link, "\"OBJLNK\",\"value\":{\"objectId\":3,\"objectInstanceId\":0}}"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char expected[160] = "{\"kind\":\"singleResource\",\"id\":9,\"type\":";
        struct lwm2m_node one = node("/3/0/9", all[i].value);
        strcat(expected, all[i].expected);
        assert_told("/3/0/9", &one, 1, expected);
    }
}

static void test_newest_value_is_told(void **state) {
    (void)state;
    const struct lwm2m_node nodes[] = {node_at("/3/0/9", lwm2m_integer(1), 1000),
                                       node_at("/3/0/9", lwm2m_integer(3), 3000),
                                       node_at("/3/0/9", lwm2m_integer(2), 2000)};
    assert_told("/3/0/9", nodes, 3, "{\"kind\":\"singleResource\",\"id\":9,\"type\":\"INTEGER\",\"value\":\"3\"}");
}

static void test_what_is_there_and_empty(void **state) {
    (void)state;
    const struct lwm2m_value none = {.type = LWM2M_NONE};
    struct lwm2m_node resource = node("/3/0/7", none), instance = node("/3/0", none);
    assert_told("/3/0/7", &resource, 1, "{\"kind\":\"multiResource\",\"id\":7,\"type\":\"STRING\",\"values\":{}}");
    assert_told("/3/0", &instance, 1, "{\"kind\":\"instance\",\"id\":0,\"resources\":[]}");
    assert_told("/3", NULL, 0, "{\"kind\":\"obj\",\"id\":3,\"instances\":[]}");
}

/* A path of a composite answer is put together from resources. */
static void test_gathering(void **state) {
    (void)state;
    const struct lwm2m_node nodes[] = {node("/1/0/1", lwm2m_integer(60)), node("/1/2/1", lwm2m_integer(70)),
                                       node("/3/0/7/0", lwm2m_integer(3800)), node("/3/0/7/1", lwm2m_integer(5000)),
                                       node("/3/0/9", lwm2m_integer(95))};
    struct leshan_values values = values_of(nodes, 5);
    json_t *paths = leshan_node_paths_json(&values);
    const struct lwm2m_path object = path_of("/1"), one = path_of("/3/0/7/1"), missing = path_of("/3/0/7/2");
    assert_json(
        leshan_node_gather(paths, &object),
        "{\"kind\":\"obj\",\"id\":1,\"instances\":["
        "{\"kind\":\"instance\",\"id\":0,\"resources\":[{\"kind\":\"singleResource\",\"id\":1,\"type\":\"INTEGER\","
        "\"value\":\"60\"}]},"
        "{\"kind\":\"instance\",\"id\":2,\"resources\":[{\"kind\":\"singleResource\",\"id\":1,\"type\":\"INTEGER\","
        "\"value\":\"70\"}]}]}");
    assert_json(leshan_node_gather(paths, &one),
                "{\"kind\":\"resourceInstance\",\"id\":1,\"type\":\"INTEGER\",\"value\":\"5000\"}");
    assert_null(leshan_node_gather(paths, &missing));
    const struct lwm2m_path root = path_of("/"), other = path_of("/5");
    json_t *all = leshan_node_gather(paths, &root);
    assert_int_equal(json_array_size(json_object_get(all, "objects")), 2);
    json_decref(all);
    assert_null(leshan_node_gather(paths, &other));
    json_decref(paths);
    leshan_values_clear(&values);
}

static void test_told_again(void **state) {
    (void)state;
    const struct lwm2m_node first = node("/3/0/9", lwm2m_integer(1)), later = node_at("/3/0/9", lwm2m_integer(1), 5);
    const struct lwm2m_node other = node("/3/0/10", lwm2m_integer(1));
    struct leshan_values values = values_of(&first, 1);
    assert_true(leshan_values_has(&values, &first));
    assert_false(leshan_values_has(&values, &later));
    assert_false(leshan_values_has(&values, &other));
    leshan_values_clear(&values);
}

static void assert_read(const char *base, const char *text, const char *expected) {
    struct lwm2m_path path = path_of(base);
    char error[128] = "";
    json_t *body = json_loads(text, 0, NULL);
    assert_non_null(body);
    json_t *read = leshan_node_read(body, &path, error, sizeof error);
    json_decref(body);
    if (read == NULL)
        assert_string_equal(error, expected);
    else
        assert_json(read, expected);
}

static void test_reading(void **state) {
    (void)state;
    assert_read("/3/0/14", "{\"kind\":\"singleResource\",\"type\":\"String\",\"value\":\"x\"}",
                "{\"type\":\"string\",\"value\":\"x\"}");
    assert_read("/3/0/14", "{\"kind\":\"singleResource\",\"type\":\"OPAQUE\",\"value\":\"00FF\"}",
                "{\"type\":\"opaque\",\"value_b64\":\"AP8=\"}");
    assert_read("/3/0/13", "{\"kind\":\"singleResource\",\"type\":\"TIME\",\"value\":1500}",
                "{\"type\":\"time\",\"value\":1}");
    assert_read("/3/0", "{\"kind\":\"singleResource\",\"value\":\"x\"}", "kind must be instance here");
    assert_read("/3/0/7/0", "{\"kind\":\"instance\"}", "kind must be resourceInstance here");
    assert_read("/3/0/14", "{\"kind\":\"singleResource\",\"type\":\"STRING\"}",
                "a value is missing, or is no string, number or boolean");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type), cmocka_unit_test(test_newest_value_is_told),
        cmocka_unit_test(test_told_again), cmocka_unit_test(test_what_is_there_and_empty),
        cmocka_unit_test(test_gathering),  cmocka_unit_test(test_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
