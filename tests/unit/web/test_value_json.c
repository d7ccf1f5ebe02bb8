#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "web/v1/value_json.h"

enum { NODES = 64, TEXT = 1 << 16 };

static struct lwm2m_path path_of(const char *text) {
    struct lwm2m_path path;
    assert_true(lwm2m_path_parse(slice_str(text), &path, NULL));
    return path;
}

static struct lwm2m_node node(const char *path, struct lwm2m_value value) {
    return (struct lwm2m_node){.path = path_of(path), .value = value};
}

/* ---- writing ---- */

static void assert_written(const char *base, const struct lwm2m_node *nodes, size_t count, const char *expected) {
    struct value_json_options options = {0};
    struct lwm2m_path path = path_of(base);
    size_t size = value_json_size(nodes, count, &options);
    char *memory = malloc(size + 1);
    struct buffer out = buffer_over(memory, size);
    value_json_put(&out, &path, nodes, count, &options);
    assert_false(out.overflow);
    memory[out.len] = '\0';
    assert_string_equal(memory, expected);
    free(memory);
}

static void assert_value_written(struct lwm2m_value value, const char *expected) {
    struct lwm2m_node one = node("/3/0/9", value);
    char text[512];
    snprintf(text, sizeof text, "{\"path\":\"/3/0/9\",%s", expected);
    assert_written("/3/0/9", &one, 1, text);
}

static void test_values_of_every_type(void **state) {
    (void)state;
    assert_value_written(lwm2m_string("A\"\\\n\xC3\xBC"), "\"type\":\"string\",\"value\":\"A\\\"\\\\\\u000a\xC3\xBC\"");
    assert_value_written(lwm2m_integer(-95), "\"type\":\"integer\",\"value\":-95");
    assert_value_written(lwm2m_boolean(true), "\"type\":\"boolean\",\"value\":true");
    assert_value_written((struct lwm2m_value){.type = LWM2M_FLOAT, .real = 20}, "\"type\":\"float\",\"value\":20.0");
    assert_value_written((struct lwm2m_value){.type = LWM2M_OBJLNK, .link = {66, 613}},
                         "\"type\":\"objlnk\",\"value\":\"66:613\"");
    assert_value_written(lwm2m_bytes(LWM2M_OPAQUE, slice_of("\x00\xFF", 2)), "\"type\":\"opaque\",\"value\":\"AP8=\"");
    assert_value_written(lwm2m_bytes(LWM2M_CORELNK, slice_str("</3>")), "\"type\":\"corelnk\",\"value\":\"</3>\"");
}

static void test_TYP_02_integers_keep_their_digits(void **state) {
    (void)state;
    assert_value_written(lwm2m_integer(9007199254740993), "\"type\":\"integer\",\"value\":9007199254740993");
    assert_value_written(lwm2m_integer(INT64_MIN), "\"type\":\"integer\",\"value\":-9223372036854775808");
    assert_value_written((struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = UINT64_MAX},
                         "\"type\":\"unsigned\",\"value\":18446744073709551615");
}

static void test_time_has_its_iso_form_when_there_is_one(void **state) {
    (void)state;
    assert_value_written(lwm2m_time(1367491215),
                         "\"type\":\"time\",\"value\":1367491215,\"iso\":\"2013-05-02T10:40:15.000Z\"");
    assert_value_written(lwm2m_time(-1), "\"type\":\"time\",\"value\":-1");
    assert_value_written(lwm2m_time(INT64_MAX), "\"type\":\"time\",\"value\":9223372036854775807");
}

static void test_TYP_05_what_JSON_has_no_number_for_is_text(void **state) {
    (void)state;
    assert_value_written((struct lwm2m_value){.type = LWM2M_FLOAT, .real = NAN},
                         "\"type\":\"float\",\"value\":\"NaN\"");
    assert_value_written((struct lwm2m_value){.type = LWM2M_FLOAT, .real = -INFINITY},
                         "\"type\":\"float\",\"value\":\"-Infinity\"");
}

static void test_what_has_no_form_is_base64(void **state) {
    (void)state;
    assert_value_written(lwm2m_bytes(LWM2M_RAW, slice_of("\x5F", 1)), "\"type\":\"raw\",\"value_b64\":\"Xw==\"");
    assert_value_written(lwm2m_string("a\xFF"), "\"type\":\"string\",\"value_b64\":\"Yf8=\"");
}

static void test_instance_and_object(void **state) {
    const struct lwm2m_node nodes[] = {node("/3/0/0", lwm2m_string("ACME")), node("/3/0/11/0", lwm2m_integer(0)),
                                       node("/3/0/11/2", lwm2m_integer(3)), node("/3/1/9", lwm2m_integer(5))};
    (void)state;
    assert_written("/3/0", nodes, 3,
                   "{\"path\":\"/3/0\",\"resources\":{\"0\":{\"type\":\"string\",\"value\":\"ACME\"},"
                   "\"11\":{\"type\":\"integer\",\"values\":{\"0\":0,\"2\":3}}}");
    assert_written(
        "/3", nodes, 4,
        "{\"path\":\"/3\",\"instances\":{\"0\":{\"resources\":{\"0\":{\"type\":\"string\",\"value\":\"ACME\"},"
        "\"11\":{\"type\":\"integer\",\"values\":{\"0\":0,\"2\":3}}}},"
        "\"1\":{\"resources\":{\"9\":{\"type\":\"integer\",\"value\":5}}}}");
    assert_written("/", nodes, 4,
                   "{\"resources\":{\"/3/0/0\":{\"type\":\"string\",\"value\":\"ACME\"},"
                   "\"/3/0/11\":{\"type\":\"integer\",\"values\":{\"0\":0,\"2\":3}},"
                   "\"/3/1/9\":{\"type\":\"integer\",\"value\":5}}");
}

static void test_what_is_there_and_empty(void **state) {
    const struct lwm2m_value none = {.type = LWM2M_NONE};
    const struct lwm2m_node object = node("/3", none), instance = node("/3/0", none), resource = node("/3/0/7", none);
    (void)state;
    assert_written("/3", &object, 1, "{\"path\":\"/3\",\"instances\":{}");
    assert_written("/3", &instance, 1, "{\"path\":\"/3\",\"instances\":{\"0\":{\"resources\":{}}}");
    assert_written("/3/0", &instance, 1, "{\"path\":\"/3/0\",\"resources\":{}");
    assert_written("/3/0", NULL, 0, "{\"path\":\"/3/0\",\"resources\":{}");
    assert_written("/3/0/7", &resource, 1, "{\"path\":\"/3/0/7\",\"values\":{}");
    assert_written("/3/0/7", NULL, 0, "{\"path\":\"/3/0/7\",\"values\":{}");
    assert_written("/", NULL, 0, "{\"resources\":{}");
}

static void test_instances_of_several_types_have_each_its_own(void **state) {
    const struct lwm2m_node nodes[] = {node("/9/0/1/0", lwm2m_integer(1)), node("/9/0/1/1", lwm2m_boolean(true))};
    (void)state;
    assert_written("/9/0/1", nodes, 2,
                   "{\"path\":\"/9/0/1\",\"values\":{\"0\":{\"type\":\"integer\",\"value\":1},"
                   "\"1\":{\"type\":\"boolean\",\"value\":true}}");
}

static void test_of_several_times_the_newest_is_the_value(void **state) {
    struct lwm2m_node nodes[] = {node("/3/0/9", lwm2m_integer(1)), node("/3/0/9", lwm2m_integer(2))};
    nodes[0].has_time = nodes[1].has_time = true;
    nodes[0].time_ms = 2000;
    nodes[1].time_ms = 1500;
    (void)state;
    assert_written(
        "/3/0/9", nodes, 2,
        "{\"path\":\"/3/0/9\",\"type\":\"integer\",\"value\":1,\"ts\":\"1970-01-01T00:00:02.000Z\",\"history\":["
        "{\"type\":\"integer\",\"value\":1,\"ts\":\"1970-01-01T00:00:02.000Z\"},"
        "{\"type\":\"integer\",\"value\":2,\"ts\":\"1970-01-01T00:00:01.500Z\"}]");
}

/* ---- reading ---- */

static enum lwm2m_type type_of(void *arg, const struct lwm2m_path *path) {
    (void)arg;
    switch (path->ids[2]) {
    case 1:
        return LWM2M_INTEGER;
    case 2:
        return LWM2M_STRING;
    case 3:
        return LWM2M_OPAQUE;
    case 4:
        return LWM2M_UNSIGNED;
    case 5:
        return LWM2M_OBJLNK;
    case 6:
        return LWM2M_TIME;
    case 7:
        return LWM2M_FLOAT;
    default:
        return LWM2M_RAW;
    }
}

struct parsed {
    struct lwm2m_node memory[NODES];
    struct lwm2m_nodes nodes;
    uint8_t scratch[TEXT];
    struct value_json_fault fault;
};

enum way { VALUE, CREATE, COMPOSITE };

static bool parse(struct parsed *p, enum way way, const char *base, const char *text) {
    struct buffer scratch = buffer_over(p->scratch, 4 * strlen(text) + 64);
    struct value_json_context context = {.type_of = type_of, .may_remove = way == COMPOSITE, .scratch = &scratch};
    struct lwm2m_path path = path_of(base);
    p->nodes = lwm2m_nodes_over(p->memory, NODES);
    switch (way) {
    case CREATE:
        return value_json_read_create(slice_str(text), path.ids[0], &context, &p->nodes, &p->fault);
    case COMPOSITE:
        return value_json_read_composite(slice_str(text), &context, &p->nodes, &p->fault);
    default:
        return value_json_read(slice_str(text), &path, &context, &p->nodes, &p->fault);
    }
}

static void assert_read(enum way way, const char *base, const char *text, const struct lwm2m_node *expected,
                        size_t count) {
    static struct parsed p;
    bool good = parse(&p, way, base, text);
    if (!good)
        print_message("%s: %s\n", text, p.fault.why);
    assert_true(good);
    assert_int_equal(p.nodes.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(lwm2m_path_equal(&p.memory[i].path, &expected[i].path));
        assert_true(lwm2m_value_equal(&p.memory[i].value, &expected[i].value));
    }
}

static void assert_value_read(const char *path, const char *text, struct lwm2m_value value) {
    struct lwm2m_node expected = node(path, value);
    assert_read(VALUE, path, text, &expected, 1);
}

static void test_bare_values_have_the_type_that_json_tells(void **state) {
    (void)state;
    assert_value_read("/9/0/9", "95", lwm2m_integer(95));
    assert_value_read("/9/0/9", " \"x\" ", lwm2m_string("x"));
    assert_value_read("/9/0/9", "\"\\u00fc\\n\"", lwm2m_string("\xC3\xBC\n"));
    assert_value_read("/9/0/9", "true", lwm2m_boolean(true));
    assert_value_read("/9/0/9", "1.5", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 1.5});
    assert_value_read("/9/0/9", "18446744073709551615",
                      (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = UINT64_MAX});
    assert_value_read("/9/0/9/0", "-9223372036854775808", lwm2m_integer(INT64_MIN));
}

static void test_values_have_the_type_of_their_definition(void **state) {
    (void)state;
    assert_value_read("/9/0/1", "5.0", lwm2m_integer(5));
    assert_value_read("/9/0/1", "\"-5\"", lwm2m_integer(-5));
    assert_value_read("/9/0/2", "\"5\"", lwm2m_string("5"));
    assert_value_read("/9/0/3", "\"AQI\"", lwm2m_bytes(LWM2M_OPAQUE, slice_of("\x01\x02", 2)));
    assert_value_read("/9/0/4", "5", (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = 5});
    assert_value_read("/9/0/5", "\"3:0\"", (struct lwm2m_value){.type = LWM2M_OBJLNK, .link = {3, 0}});
    assert_value_read("/9/0/6", "5", lwm2m_time(5));
    assert_value_read("/9/0/7", "5", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 5});
}

static void test_objects_of_values_may_tell_their_type_in_any_order(void **state) {
    (void)state;
    assert_value_read("/9/0/9", "{\"path\":\"/9/0/9\",\"value\":5,\"type\":\"time\",\"iso\":\"x\",\"history\":[{}]}",
                      lwm2m_time(5));
    assert_value_read("/9/0/9", "{\"type\":\"opaque\",\"value\":\"AQI=\"}",
                      lwm2m_bytes(LWM2M_OPAQUE, slice_of("\x01\x02", 2)));
    assert_value_read("/9/0/9", "{\"value_b64\":\"AQI=\",\"type\":\"raw\"}",
                      lwm2m_bytes(LWM2M_OPAQUE, slice_of("\x01\x02", 2)));
    assert_value_read("/9/0/9", "{\"value_b64\":\"Yf8=\",\"type\":\"string\"}", lwm2m_string("a\xFF"));
}

static void test_instances_of_a_resource(void **state) {
    const struct lwm2m_node expected[] = {node("/9/0/1/0", lwm2m_integer(5)), node("/9/0/1/7", lwm2m_integer(6))};
    const struct lwm2m_node none = node("/9/0/1", (struct lwm2m_value){.type = LWM2M_NONE});
    (void)state;
    assert_read(VALUE, "/9/0/1", "{\"values\":{\"0\":5,\"7\":{\"type\":\"integer\",\"value\":6}}}", expected, 2);
    assert_read(VALUE, "/9/0/1", "{\"values\":{}}", &none, 1);
}

static void test_instance(void **state) {
    const struct lwm2m_node expected[] = {node("/9/0/1", lwm2m_integer(5)), node("/9/0/2/0", lwm2m_string("a"))};
    (void)state;
    assert_read(
        VALUE, "/9/0",
        "{\"path\":\"/9/0\",\"resources\":{\"1\":{\"type\":\"integer\",\"value\":5},\"2\":{\"values\":{\"0\":\"a\"}}}}",
        expected, 2);
    assert_read(VALUE, "/9/0", "{\"resources\":{\"1\":5,\"2\":{\"values\":{\"0\":\"a\"}}}}", expected, 2);
}

static void test_what_is_written_is_read_again(void **state) {
    const struct lwm2m_node nodes[] = {
        node("/9/0/1", lwm2m_integer(INT64_MIN)), node("/9/0/2/0", lwm2m_string("\xC3\xBC\"\n")),
        node("/9/0/4", (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = 7}), node("/9/0/6", lwm2m_time(5)),
        node("/9/0/8", (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 0.1})};
    struct value_json_options options = {.oddity = "x"};
    struct lwm2m_path base = path_of("/9/0");
    char memory[TEXT];
    struct buffer out = buffer_over(memory, sizeof memory - 1);
    (void)state;
    value_json_put(&out, &base, nodes, 5, &options);
    buffer_put_str(&out, "}");
    memory[out.len] = '\0';
    assert_read(VALUE, "/9/0", memory, nodes, 5);
}

static void test_create(void **state) {
    const struct lwm2m_node with_id = node("/9/5/1", lwm2m_integer(5));
    const struct lwm2m_node several[] = {node("/9/1/1", lwm2m_integer(5)), node("/9/2/1", lwm2m_integer(6))};
    struct lwm2m_node without = with_id;
    without.path.ids[1] = LWM2M_ID_NONE;
    (void)state;
    assert_read(CREATE, "/9", "{\"instance\":5,\"resources\":{\"1\":5}}", &with_id, 1);
    assert_read(CREATE, "/9", "{\"resources\":{\"1\":5},\"instance\":5}", &with_id, 1);
    assert_read(CREATE, "/9", "{\"resources\":{\"1\":5}}", &without, 1);
    assert_read(CREATE, "/9", "{\"instances\":{\"1\":{\"resources\":{\"1\":5}},\"2\":{\"resources\":{\"1\":6}}}}",
                several, 2);
}

static void test_composite(void **state) {
    const struct lwm2m_node expected[] = {node("/9/0/1", lwm2m_integer(5)), node("/8/0/2", lwm2m_string("x")),
                                          node("/8/1/9/0", (struct lwm2m_value){.type = LWM2M_NONE})};
    (void)state;
    assert_read(COMPOSITE, "/", "{\"/9/0/1\":5,\"/8/0\":{\"resources\":{\"2\":\"x\"}},\"/8/1/9/0\":null}", expected, 3);
}

static void test_what_is_malformed_is_refused_with_its_place(void **state) {
    static const struct {
        enum way way;
        const char *base, *text, *at;
    } cases[] = {
        {VALUE, "/9/0/1", "", "/9/0/1"},
        {VALUE, "/9/0/1", "\"x\"", "/9/0/1"},
        {VALUE, "/9/0/1", "1.5", "/9/0/1"},
        {VALUE, "/9/0/1", "1 1", "/9/0/1"},
        {VALUE, "/9/0/1", "[1]", "/9/0/1"},
        {VALUE, "/9/0/1", "null", "/9/0/1"},
        {VALUE, "/9/0/1", "{}", "/9/0/1"},
        {VALUE, "/9/0/1", "{\"value\":1,\"value\":2}", "/9/0/1"},
        {VALUE, "/9/0/1", "{\"type\":\"int\",\"value\":2}", "/9/0/1"},
        {VALUE, "/9/0/1", "{\"type\":\"boolean\",\"value\":2}", "/9/0/1"},
        {VALUE, "/9/0/1", "{\"type\":\"string\",\"value\":\"2\"}", "/9/0/1"},
        {VALUE, "/9/0/1", "{\"value\":", "/9/0/1"},
        {VALUE, "/9/0/1", "{\"values\":{\"65535\":1}}", "/9/0/1"},
        {VALUE, "/9/0/1", "{\"values\":{\"0\":{\"values\":{}}}}", "/9/0/1/0"},
        {VALUE, "/9/0/3", "\"?\"", "/9/0/3"},
        {VALUE, "/9/0/4", "-1", "/9/0/4"},
        {VALUE, "/9/0/4", "18446744073709551616", "/9/0/4"},
        {VALUE, "/9/0", "5", "/9/0"},
        {VALUE, "/9/0", "{\"1\":5}", "/9/0"},
        {VALUE, "/9/0", "{\"resources\":{\"1\":\"x\"}}", "/9/0/1"},
        {VALUE, "/9/0", "{\"resources\":{\"1\":1,\"1\":2}}", "/9/0/1"},
        {VALUE, "/9/0", "{\"instance\":1,\"resources\":{}}", "/9/0"},
        {CREATE, "/9", "{\"instance\":-1,\"resources\":{}}", "/9"},
        {CREATE, "/9", "{\"instances\":{}}", "/9"},
        {COMPOSITE, "/", "{\"/9\":1}", "/"},
        {COMPOSITE, "/", "{\"9x\":1}", "/"},
    };
    static struct parsed p;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lwm2m_path at = path_of(cases[i].at);
        if (parse(&p, cases[i].way, cases[i].base, cases[i].text))
            fail_msg("%s was read", cases[i].text);
        assert_non_null(p.fault.why);
        if (!lwm2m_path_equal(&p.fault.path, &at))
            fail_msg("%s is refused elsewhere", cases[i].text);
    }
}

/* Every beginning of a text that is good is refused, and nothing is read past its end. */
static void test_FMT_03_text_that_is_cut_off_is_refused(void **state) {
    static const char text[] =
        "{\"resources\":{\"1\":{\"type\":\"integer\",\"value\":5},\"2\":{\"values\":{\"0\":\"\\u00fc\"}}}}";
    static struct parsed p;
    (void)state;
    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *copy = malloc(len + 1);
        memcpy(copy, text, len);
        copy[len] = '\0';
        assert_false(parse(&p, VALUE, "/9/0", copy));
        free(copy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_every_type),
        cmocka_unit_test(test_TYP_02_integers_keep_their_digits),
        cmocka_unit_test(test_time_has_its_iso_form_when_there_is_one),
        cmocka_unit_test(test_TYP_05_what_JSON_has_no_number_for_is_text),
        cmocka_unit_test(test_what_has_no_form_is_base64),
        cmocka_unit_test(test_instance_and_object),
        cmocka_unit_test(test_what_is_there_and_empty),
        cmocka_unit_test(test_instances_of_several_types_have_each_its_own),
        cmocka_unit_test(test_of_several_times_the_newest_is_the_value),
        cmocka_unit_test(test_bare_values_have_the_type_that_json_tells),
        cmocka_unit_test(test_values_have_the_type_of_their_definition),
        cmocka_unit_test(test_objects_of_values_may_tell_their_type_in_any_order),
        cmocka_unit_test(test_instances_of_a_resource),
        cmocka_unit_test(test_instance),
        cmocka_unit_test(test_what_is_written_is_read_again),
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_composite),
        cmocka_unit_test(test_what_is_malformed_is_refused_with_its_place),
        cmocka_unit_test(test_FMT_03_text_that_is_cut_off_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
