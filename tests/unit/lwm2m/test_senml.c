#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "common/lwm2m/senml.h"
#include "tests/unit/lwm2m/node_lists.h"

enum { NODES = 16 };

#define NOW_MS (INT64_C(1700000000) * 1000)

static struct lwm2m_node memory[NODES];
static struct lwm2m_nodes nodes;
static struct senml_context context;

static int begin_test(void **state) {
    (void)state;
    context = (struct senml_context){.now_ms = NOW_MS};
    return 0;
}

static struct senml_record named(const char *name) {
    return (struct senml_record){.fields = SENML_N, .name = slice_str(name)};
}

static struct senml_record valued(const char *name, int64_t value) {
    struct senml_record record = named(name);
    record.fields |= SENML_V;
    record.value = lwm2m_integer(value);
    return record;
}

static void set_base_name(struct senml_record *record, const char *name) {
    record->fields |= SENML_BN;
    record->base_name = slice_str(name);
}

static void set_times(struct senml_record *record, uint32_t fields, double base_time_s, double time_s) {
    record->fields |= fields;
    record->base_time_s = base_time_s;
    record->time_s = time_s;
}

static bool resolve(const struct senml_record *records, size_t count) {
    struct senml_resolver resolver;
    nodes = lwm2m_nodes_over(memory, NODES);
    senml_resolve_begin(&resolver, &context, &nodes);
    bool good = true;
    for (size_t i = 0; good && i < count; i++)
        good = senml_resolve(&resolver, &records[i]);
    good = good && senml_resolve_end(&resolver);
    assert_true(good || nodes.remark != NULL);
    return good;
}

static bool takes(struct senml_record record) {
    return resolve(&record, 1);
}

/* ---- names ---- */

static void test_SML_R02_SML_R03_every_way_to_name(void **state) {
    (void)state;
    struct senml_record records[] = {valued("/3/0/0", 1), valued("1", 2), valued("", 3), valued("0/6", 4),
                                     valued("0/7", 5)};
    set_base_name(&records[1], "/3/0/");
    set_base_name(&records[2], "/3/0/2");
    records[2].fields &= ~(uint32_t)SENML_N;
    set_base_name(&records[3], "/1/");
    assert_true(resolve(records, 5));
    assert_null(nodes.remark);
    assert_node_is(&memory[0], "/3/0/0", lwm2m_integer(1));
    assert_node_is(&memory[1], "/3/0/1", lwm2m_integer(2));
    assert_node_is(&memory[2], "/3/0/2", lwm2m_integer(3));
    assert_node_is(&memory[3], "/1/0/6", lwm2m_integer(4));
    assert_node_is(&memory[4], "/1/0/7", lwm2m_integer(5));
}

static void test_SML_R04_names_that_are_no_path(void **state) {
    (void)state;
    static const char *const names[] = {"",        "3/0/0",  "/3/0//9", "//3/0/9",    "/3/0/65535",
                                        "/3/0/00", "/3/0/x", "/3/0/0 ", "/3/0/0/1/2", "/3/0/-1"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_false(takes(valued(names[i], 1)));
    assert_false(takes((struct senml_record){.fields = SENML_V, .value = lwm2m_integer(1)}));
    assert_true(takes(valued("/3/0/0/", 1)));
    assert_non_null(nodes.remark);
}

static void test_SML_R04_names_that_are_too_long(void **state) {
    (void)state;
    char name[SENML_NAME_MAX + 2];
    memset(name, '1', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_false(takes(valued(name, 1)));
}

static void test_SML_R05_names_outside_the_path_of_the_request(void **state) {
    (void)state;
    context.base = path_of("/3/0");
    assert_true(takes(valued("/3/0/9", 1)));
    assert_false(takes(valued("/3/1/9", 1)));
    assert_false(takes(valued("/1/0/1", 1)));
}

static void test_SML_R05_names_outside_the_alternate_path(void **state) {
    (void)state;
    context.root = slice_str("/lwm2m");
    assert_true(takes(valued("/lwm2m/3/0/9", 1)));
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(1));
    assert_false(takes(valued("/3/0/9", 1)));
    assert_false(takes(valued("/lwm2m3/0/9", 1)));
    assert_false(takes(valued("/lwm2", 1)));
    context.root = slice_str("/");
    assert_true(takes(valued("/3/0/9", 1)));
}

static void test_a_value_stands_on_a_resource_or_below(void **state) {
    (void)state;
    assert_false(takes(valued("/3/0", 1)));
    assert_false(takes(valued("/", 1)));
    assert_true(takes(valued("/3/0/7/1", 1)));
}

/* ---- twice ---- */

static void test_SML_R06_a_path_twice_without_time(void **state) {
    (void)state;
    struct senml_record records[] = {valued("/3/0/9", 1), valued("/1/0/1", 2), valued("/3/0/9", 3)};
    assert_false(resolve(records, 3));
    assert_true(resolve(records, 2));
}

static void test_SML_R06_a_path_with_several_times_is_history(void **state) {
    (void)state;
    struct senml_record records[] = {valued("/72/1/2", 1), valued("/72/1/2", 2), valued("/72/1/2", 3)};
    set_times(&records[0], SENML_T, 0, -50);
    set_times(&records[1], SENML_T, 0, -30);
    assert_true(resolve(records, 3));
    assert_int_equal(nodes.count, 3);
    set_times(&records[2], SENML_T, 0, -30);
    assert_false(resolve(records, 3));
}

static void test_a_resource_has_a_value_or_instances(void **state) {
    (void)state;
    struct senml_record records[] = {valued("/3/0/7/0", 1), valued("/3/0/7", 2)};
    assert_false(resolve(records, 2));
}

static void test_what_belongs_together_is_brought_together(void **state) {
    (void)state;
    struct senml_record records[] = {valued("/3/0/9", 1), valued("/1/0/1", 2), valued("/3/0/1", 3)};
    assert_true(resolve(records, 3));
    assert_node_is(&memory[0], "/1/0/1", lwm2m_integer(2));
    assert_node_is(&memory[1], "/3/0/1", lwm2m_integer(3));
    assert_node_is(&memory[2], "/3/0/9", lwm2m_integer(1));
}

static void test_SML_R20_any_other_order_is_kept(void **state) {
    (void)state;
    struct senml_record records[] = {valued("/3/0/9", 1), valued("/3/0/1", 2), valued("/1/0/1", 3)};
    assert_true(resolve(records, 3));
    assert_node_is(&memory[0], "/3/0/9", lwm2m_integer(1));
    assert_node_is(&memory[1], "/3/0/1", lwm2m_integer(2));
    assert_node_is(&memory[2], "/1/0/1", lwm2m_integer(3));
}

/* ---- times ---- */

static int64_t time_of(uint32_t fields, double base_time_s, double time_s) {
    struct senml_record record = valued("/3/0/9", 1);
    set_times(&record, fields, base_time_s, time_s);
    assert_true(takes(record));
    assert_true(memory[0].has_time);
    return memory[0].time_ms;
}

static void test_SML_R07_times_below_2_28_are_relative_to_now(void **state) {
    (void)state;
    assert_int_equal(time_of(SENML_BT | SENML_T, 1600000000, 10), INT64_C(1600000010000));
    assert_int_equal(time_of(SENML_T, 0, 1600000000.5), INT64_C(1600000000500));
    assert_int_equal(time_of(SENML_BT, 268435456, 0), INT64_C(268435456000));
    assert_null(nodes.remark);
    assert_int_equal(time_of(SENML_T, 0, -5), NOW_MS - 5000);
    assert_int_equal(time_of(SENML_T, 0, -0.25), NOW_MS - 250);
    assert_int_equal(time_of(SENML_T, 0, 0), NOW_MS);
    assert_null(nodes.remark);
    assert_int_equal(time_of(SENML_BT | SENML_T, 25462634, -5), NOW_MS + INT64_C(25462629000));
    assert_string_equal(nodes.remark, "a time lies in the future");
    assert_int_equal(time_of(SENML_BT, 268435455, 0), NOW_MS + INT64_C(268435455000));
}

static void test_SML_R03_SML_R07_a_base_time_persists(void **state) {
    (void)state;
    struct senml_record records[] = {valued("/3/0/9", 1), valued("/3/0/9", 2), valued("/3/0/10", 3)};
    set_times(&records[0], SENML_BT | SENML_T, 1600000000, 0);
    set_times(&records[1], SENML_T, 0, 10);
    assert_true(resolve(records, 3));
    assert_int_equal(memory[1].time_ms, INT64_C(1600000010000));
    assert_int_equal(memory[2].time_ms, INT64_C(1600000000000));
}

static void test_SML_R07_times_out_of_range(void **state) {
    (void)state;
    static const double times[] = {1e300, -1e300, NAN, INFINITY, 2e11};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct senml_record record = valued("/3/0/9", 1);
        set_times(&record, SENML_T, 0, times[i]);
        assert_false(takes(record));
    }
}

static void test_SML_R08_no_time_is_now(void **state) {
    (void)state;
    assert_true(takes(valued("/3/0/9", 1)));
    assert_false(memory[0].has_time);
}

/* ---- values ---- */

static struct lwm2m_value natural(uint64_t number) {
    return (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = number};
}

static struct lwm2m_value real(double number) {
    return (struct lwm2m_value){.type = LWM2M_FLOAT, .real = number};
}

static bool adds(struct lwm2m_value base, struct lwm2m_value value) {
    struct senml_record record = valued("/3/0/9", 0);
    record.fields |= SENML_BV;
    record.base_value = base;
    record.value = value;
    return takes(record);
}

static void test_SML_R09_a_base_value_is_added(void **state) {
    (void)state;
    static const struct {
        struct lwm2m_value base, value, sum;
    } cases[] = {
        {{LWM2M_INTEGER, {.integer = 20}}, {LWM2M_INTEGER, {.integer = -5}}, {LWM2M_INTEGER, {.integer = 15}}},
        {{LWM2M_INTEGER, {.integer = 20}}, {LWM2M_FLOAT, {.real = 0.5}}, {LWM2M_FLOAT, {.real = 20.5}}},
        {{LWM2M_INTEGER, {.integer = INT64_C(9007199254740992)}},
         {LWM2M_INTEGER, {.integer = 1}},
         {LWM2M_INTEGER, {.integer = INT64_C(9007199254740993)}}},
        {{LWM2M_INTEGER, {.integer = INT64_MAX}},
         {LWM2M_INTEGER, {.integer = 1}},
         {LWM2M_UNSIGNED, {.natural = UINT64_C(1) << 63}}},
        {{LWM2M_INTEGER, {.integer = -1}},
         {LWM2M_UNSIGNED, {.natural = UINT64_C(1) << 63}},
         {LWM2M_INTEGER, {.integer = INT64_MAX}}},
        {{LWM2M_INTEGER, {.integer = 1}}, {LWM2M_BOOLEAN, {.truth = true}}, {LWM2M_BOOLEAN, {.truth = true}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(adds(cases[i].base, cases[i].value));
        assert_node_is(&memory[0], "/3/0/9", cases[i].sum);
    }
    assert_false(adds(natural(UINT64_MAX), natural(1)));
    assert_false(adds(lwm2m_integer(INT64_MIN), lwm2m_integer(-1)));
    assert_true(adds(real(1), natural(UINT64_MAX)));
}

static void test_SML_R09_a_record_with_a_sum_only_is_left_out(void **state) {
    (void)state;
    struct senml_record records[] = {named("/3/0/9"), valued("/3/0/10", 1)};
    records[0].fields |= SENML_S;
    assert_true(resolve(records, 2));
    assert_int_equal(nodes.count, 1);
    assert_non_null(nodes.remark);
}

static void test_SML_R10_SML_R11_labels(void **state) {
    (void)state;
    struct senml_record record = valued("/3/0/9", 1);
    record.fields |= SENML_U | SENML_BU | SENML_UT | SENML_BS | SENML_S | SENML_UNKNOWN;
    assert_true(takes(record));
    assert_null(nodes.remark);
    record.fields |= SENML_MUST_UNDERSTAND;
    assert_false(takes(record));
    assert_int_equal(senml_unknown_label(slice_str("foo")), SENML_UNKNOWN);
    assert_int_equal(senml_unknown_label(slice_str("foo_")), SENML_MUST_UNDERSTAND);
    assert_int_equal(senml_unknown_label(SLICE_NONE), SENML_UNKNOWN);
}

static void test_a_known_label_comes_once(void **state) {
    (void)state;
    struct senml_record record = {.fields = 0};
    assert_true(senml_record_add(&record, SENML_N));
    assert_false(senml_record_add(&record, SENML_N));
    assert_true(senml_record_add(&record, SENML_UNKNOWN) && senml_record_add(&record, SENML_UNKNOWN));
}

static void test_SML_R12_versions_up_to_10(void **state) {
    (void)state;
    struct senml_record record = valued("/3/0/9", 1);
    record.fields |= SENML_BVER;
    record.base_version = 10;
    assert_true(takes(record));
    record.base_version = 11;
    assert_false(takes(record));
}

static void test_SML_R13_two_values(void **state) {
    (void)state;
    struct senml_record record = valued("/3/0/9", 1);
    record.fields |= SENML_VLO;
    assert_false(takes(record));
}

static void test_SML_R14_no_value(void **state) {
    (void)state;
    assert_false(takes(named("/3/0/9")));
    struct senml_record null = valued("/3/0/9", 0);
    null.value.type = LWM2M_NONE;
    assert_false(takes(null));
}

static void test_DM_32_a_pack_without_records_is_an_empty_list(void **state) {
    (void)state;
    assert_true(resolve(NULL, 0));
    assert_int_equal(nodes.count, 0);
}

static void test_FMT_03_more_values_than_room(void **state) {
    (void)state;
    struct senml_record records[NODES + 1];
    char names[NODES + 1][12];
    for (int i = 0; i <= NODES; i++) {
        memcpy(names[i], "/3/0/", 6);
        names[i][5] = (char)('1' + i / 10);
        names[i][6] = (char)('0' + i % 10);
        names[i][7] = '\0';
        records[i] = valued(names[i], i);
    }
    assert_false(resolve(records, NODES + 1));
    assert_true(resolve(records, NODES));
}

/* ---- FETCH and PATCH ---- */

static void test_SML_R14_ETC_R01_a_list_of_paths_has_names_only(void **state) {
    (void)state;
    struct senml_record records[] = {named("/"), named("/3/0"), named("/3/0/9")};
    context.mode = SENML_FETCH;
    assert_true(resolve(records, 3));
    assert_int_equal(nodes.count, 3);
    assert_node_is(&memory[1], "/3/0", (struct lwm2m_value){.type = LWM2M_NONE});
    assert_false(takes(valued("/3/0/9", 1)));
    assert_false(resolve(NULL, 0));
    static const uint32_t forbidden[] = {SENML_BV, SENML_BVER, SENML_S, SENML_BS, SENML_UT, SENML_UNKNOWN};
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        struct senml_record record = named("/3/0/9");
        record.fields |= forbidden[i];
        assert_false(takes(record));
    }
    records[0].fields |= SENML_T | SENML_BT | SENML_U | SENML_BU;
    assert_true(resolve(records, 3));
}

static void test_ETC_R02_null_removes(void **state) {
    (void)state;
    struct senml_record records[] = {valued("/3442/0/1110/1", 0), valued("/3442/0/120", 5)};
    context.mode = SENML_PATCH;
    records[0].value.type = LWM2M_NONE;
    records[1].fields |= SENML_UNKNOWN;
    assert_true(resolve(records, 2));
    assert_node_is(&memory[0], "/3442/0/1110/1", (struct lwm2m_value){.type = LWM2M_NONE});
    assert_node_is(&memory[1], "/3442/0/120", lwm2m_integer(5));
    assert_false(takes(named("/3442/0/120")));
}

static void test_ETC_R03_an_object_link_is_a_value_of_a_patch(void **state) {
    (void)state;
    struct lwm2m_value link = {.type = LWM2M_OBJLNK, .link = {66, 613}};
    struct senml_record record = named("/3442/0/170");
    context.mode = SENML_PATCH;
    record.fields |= SENML_VLO;
    record.value = link;
    assert_true(resolve(&record, 1));
    assert_node_is(&memory[0], "/3442/0/170", link);
    context.mode = SENML_FETCH;
    assert_false(resolve(&record, 1));
}

/* ---- encoding ---- */

static struct senml_record written[NODES];
static uint8_t texts[NODES][2][64];

static struct slice kept(uint8_t memory_for_it[64], struct slice text) {
    memcpy(memory_for_it, text.data, text.len);
    return slice_of(memory_for_it, text.len);
}

static size_t write_all(const struct lwm2m_node *list, size_t count) {
    struct senml_writer writer;
    size_t records = 0;
    assert_true(senml_write_begin(&writer, &context, list, count));
    for (; senml_write_next(&writer, &written[records]); records++) {
        struct senml_record *record = &written[records];
        if ((record->fields & SENML_BN) != 0)
            record->base_name = kept(texts[records][0], record->base_name);
        if ((record->fields & SENML_N) != 0)
            record->name = kept(texts[records][1], record->name);
    }
    assert_int_equal(records, writer.records);
    return records;
}

static void assert_named(const struct senml_record *record, const char *base_name, const char *name) {
    assert_true(((record->fields & SENML_BN) != 0) == (base_name != NULL));
    assert_true(((record->fields & SENML_N) != 0) == (name != NULL));
    assert_true(base_name == NULL || slice_is(record->base_name, base_name));
    assert_true(name == NULL || slice_is(record->name, name));
}

static void test_SML_R18_names_of_an_instance(void **state) {
    (void)state;
    struct lwm2m_node list[] = {node_of("/3/0/0", lwm2m_string("a")), node_of("/3/0/6/0", lwm2m_integer(1))};
    context.base = path_of("/3/0");
    context.root = slice_str("/lwm2m");
    assert_int_equal(write_all(list, 2), 2);
    assert_named(&written[0], "/lwm2m/3/0/", "0");
    assert_int_equal(written[0].fields & SENML_VALUES, SENML_VS);
    assert_named(&written[1], NULL, "6/0");
    assert_int_equal(written[1].fields & SENML_VALUES, SENML_V);
    assert_true(resolve(written, 2));
}

static void test_SML_R02_names_of_a_resource(void **state) {
    (void)state;
    struct lwm2m_node list[] = {node_of("/3/0/7/0", lwm2m_integer(1)), node_of("/3/0/7/1", lwm2m_integer(2))};
    context.base = path_of("/3/0/7");
    assert_int_equal(write_all(list, 2), 2);
    assert_named(&written[0], "/3/0/7/", "0");
    context.base = path_of("/3/0/7/0");
    assert_int_equal(write_all(list, 1), 1);
    assert_named(&written[0], "/3/0/7/0", NULL);
}

static void test_SML_R02_names_of_a_composite(void **state) {
    (void)state;
    struct lwm2m_node list[] = {node_of("/", (struct lwm2m_value){.type = LWM2M_NONE}),
                                node_of("/1/0/1", (struct lwm2m_value){.type = LWM2M_NONE})};
    context.mode = SENML_FETCH;
    assert_int_equal(write_all(list, 2), 2);
    assert_named(&written[0], NULL, "/");
    assert_named(&written[1], NULL, "/1/0/1");
    assert_int_equal(written[1].fields, SENML_N);
    context.root = slice_str("/lwm2m/");
    assert_int_equal(write_all(list, 2), 2);
    assert_named(&written[0], NULL, "/lwm2m/");
    assert_named(&written[1], NULL, "/lwm2m/1/0/1");
    assert_true(resolve(written, 2));
    assert_int_equal(memory[0].path.len, 0);
}

static void test_what_is_empty_is_not_told_but_in_a_patch(void **state) {
    (void)state;
    struct lwm2m_node list[] = {node_of("/3/0/11", (struct lwm2m_value){.type = LWM2M_NONE})};
    context.base = path_of("/3/0");
    assert_int_equal(write_all(list, 1), 0);
    context.mode = SENML_PATCH;
    assert_int_equal(write_all(list, 1), 1);
    assert_int_equal(written[0].fields & SENML_VALUES, SENML_V);
    assert_int_equal(written[0].value.type, LWM2M_NONE);
}

static struct lwm2m_node timed(const char *path, int64_t value, int64_t time_ms) {
    struct lwm2m_node node = node_of(path, lwm2m_integer(value));
    node.has_time = true;
    node.time_ms = time_ms;
    return node;
}

static void test_SML_R07_times_are_told_from_the_first(void **state) {
    (void)state;
    struct lwm2m_node list[] = {timed("/3/0/9", 1, INT64_C(1600000000250)), timed("/3/0/9", 2, INT64_C(1600000010000)),
                                timed("/3/0/9", 2, INT64_C(1599999999999))};
    context.base = path_of("/3/0/9");
    assert_int_equal(write_all(list, 3), 3);
    assert_true(written[0].base_time_s == 1600000000.25 && written[0].time_s == 0);
    assert_true((written[0].fields & SENML_T) != 0 && (written[1].fields & SENML_BT) == 0);
    assert_true(written[1].time_s == 9.75);
    assert_true(resolve(written, 3));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(memory[i].time_ms, list[i].time_ms);
}

static void test_SML_R08_no_base_time_when_one_has_no_time(void **state) {
    (void)state;
    struct lwm2m_node list[] = {timed("/3/0/9", 1, INT64_C(1600000000000)), node_of("/3/0/10", lwm2m_integer(1))};
    context.base = path_of("/3/0");
    assert_int_equal(write_all(list, 2), 2);
    assert_true((written[0].fields & SENML_BT) == 0 && written[0].time_s == 1600000000);
    assert_true((written[1].fields & SENML_T) == 0);
    assert_true(resolve(written, 2));
    assert_false(memory[1].has_time);
}

static void test_what_can_not_be_told_is_refused(void **state) {
    (void)state;
    struct senml_writer writer;
    static char long_root[SENML_NAME_MAX];
    struct lwm2m_node cases[] = {
        node_of("/1/0/1", lwm2m_integer(1)),
        node_of("/3/0", lwm2m_integer(1)),
        node_of("/3/0/0", lwm2m_bytes(LWM2M_RAW, SLICE_NONE)),
        timed("/3/0/9", 1, 5000),
        timed("/3/0/9", 1, INT64_MAX),
    };
    struct lwm2m_node without_id = node_of("/3/0/9", lwm2m_integer(1));
    struct lwm2m_node good = node_of("/3/0/0", lwm2m_integer(1));
    struct lwm2m_node mixed[] = {node_of("/3/0/7", lwm2m_integer(1)), node_of("/3/0/7/1", lwm2m_integer(1))};
    context.base = path_of("/3/0");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_false(senml_write_begin(&writer, &context, &cases[i], 1));
    assert_true(senml_write_begin(&writer, &context, &good, 1));
    context.base = path_of("/3/0/7");
    assert_false(senml_write_begin(&writer, &context, mixed, 2));
    context.base = path_of("/3");
    without_id.path.ids[1] = LWM2M_ID_NONE; /* that the client chooses an instance can't be told (Core 1.2 §6.3.6) */
    assert_false(senml_write_begin(&writer, &context, &without_id, 1));
    context.base = without_id.path;
    assert_false(senml_write_begin(&writer, &context, &without_id, 1));
    memset(long_root, 'a', sizeof long_root);
    context = (struct senml_context){.root = slice_of(long_root, sizeof long_root)};
    assert_false(senml_write_begin(&writer, &context, &good, 1));
}

static void test_any_list_comes_back(void **state) {
    (void)state;
    static const char *const bases[] = {"/", "/3", "/3/0"};
    for (unsigned seed = 0; seed < 300; seed++) {
        struct lwm2m_node list[RANDOM_LIST_MIN], back[RANDOM_LIST_MIN];
        struct senml_writer writer;
        struct senml_resolver resolver;
        struct senml_record record;
        context.base = path_of(bases[seed % 3]);
        size_t count = random_list(seed, &context.base, list, RANDOM_LIST_MIN);
        for (size_t i = 0; seed % 2 == 0 && i < count; i++) {
            list[i].has_time = seed % 4 == 0 || i % 3 == 0;
            list[i].time_ms = list[i].has_time ? NOW_MS - (int64_t)(seed * i * 77) : 0;
        }
        nodes = lwm2m_nodes_over(back, RANDOM_LIST_MIN);
        senml_resolve_begin(&resolver, &context, &nodes);
        assert_true(senml_write_begin(&writer, &context, list, count));
        uint8_t base_name[64];
        while (senml_write_next(&writer, &record)) {
            if ((record.fields & SENML_BN) != 0)
                record.base_name = kept(base_name, record.base_name);
            assert_true(senml_resolve(&resolver, &record));
        }
        assert_true(senml_resolve_end(&resolver));
        assert_null(nodes.remark);
        assert_true(tells_the_same(list, count, &nodes));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_SML_R02_SML_R03_every_way_to_name, begin_test),
        cmocka_unit_test_setup(test_SML_R04_names_that_are_no_path, begin_test),
        cmocka_unit_test_setup(test_SML_R04_names_that_are_too_long, begin_test),
        cmocka_unit_test_setup(test_SML_R05_names_outside_the_path_of_the_request, begin_test),
        cmocka_unit_test_setup(test_SML_R05_names_outside_the_alternate_path, begin_test),
        cmocka_unit_test_setup(test_a_value_stands_on_a_resource_or_below, begin_test),
        cmocka_unit_test_setup(test_SML_R06_a_path_twice_without_time, begin_test),
        cmocka_unit_test_setup(test_SML_R06_a_path_with_several_times_is_history, begin_test),
        cmocka_unit_test_setup(test_a_resource_has_a_value_or_instances, begin_test),
        cmocka_unit_test_setup(test_what_belongs_together_is_brought_together, begin_test),
        cmocka_unit_test_setup(test_SML_R20_any_other_order_is_kept, begin_test),
        cmocka_unit_test_setup(test_SML_R07_times_below_2_28_are_relative_to_now, begin_test),
        cmocka_unit_test_setup(test_SML_R03_SML_R07_a_base_time_persists, begin_test),
        cmocka_unit_test_setup(test_SML_R07_times_out_of_range, begin_test),
        cmocka_unit_test_setup(test_SML_R08_no_time_is_now, begin_test),
        cmocka_unit_test_setup(test_SML_R09_a_base_value_is_added, begin_test),
        cmocka_unit_test_setup(test_SML_R09_a_record_with_a_sum_only_is_left_out, begin_test),
        cmocka_unit_test_setup(test_SML_R10_SML_R11_labels, begin_test),
        cmocka_unit_test_setup(test_a_known_label_comes_once, begin_test),
        cmocka_unit_test_setup(test_SML_R12_versions_up_to_10, begin_test),
        cmocka_unit_test_setup(test_SML_R13_two_values, begin_test),
        cmocka_unit_test_setup(test_SML_R14_no_value, begin_test),
        cmocka_unit_test_setup(test_DM_32_a_pack_without_records_is_an_empty_list, begin_test),
        cmocka_unit_test_setup(test_FMT_03_more_values_than_room, begin_test),
        cmocka_unit_test_setup(test_SML_R14_ETC_R01_a_list_of_paths_has_names_only, begin_test),
        cmocka_unit_test_setup(test_ETC_R02_null_removes, begin_test),
        cmocka_unit_test_setup(test_ETC_R03_an_object_link_is_a_value_of_a_patch, begin_test),
        cmocka_unit_test_setup(test_SML_R18_names_of_an_instance, begin_test),
        cmocka_unit_test_setup(test_SML_R02_names_of_a_resource, begin_test),
        cmocka_unit_test_setup(test_SML_R02_names_of_a_composite, begin_test),
        cmocka_unit_test_setup(test_what_is_empty_is_not_told_but_in_a_patch, begin_test),
        cmocka_unit_test_setup(test_SML_R07_times_are_told_from_the_first, begin_test),
        cmocka_unit_test_setup(test_SML_R08_no_base_time_when_one_has_no_time, begin_test),
        cmocka_unit_test_setup(test_what_can_not_be_told_is_refused, begin_test),
        cmocka_unit_test_setup(test_any_list_comes_back, begin_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
