#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/lwm2m/catalogue.h"
#include "common/lwm2m/object_xml.h"

enum { V1_0 = 0x100, V1_1 = 0x101, V1_2 = 0x102, V1_3 = 0x103, V2_0 = 0x200 };

static int set_up(void **state) {
    static struct catalogue catalogue;
    *state = &catalogue;
    return 0;
}

static int tear_down(void **state) {
    catalogue_free(*state);
    return 0;
}

static struct catalogue_definition *define(unsigned id, const char *version, const char *name, const char *items) {
    char xml[2000];
    struct object_xml_error error;
    snprintf(xml, sizeof xml,
             "<LWM2M><Object><Name>%s</Name><ObjectID>%u</ObjectID><ObjectVersion>%s</ObjectVersion>"
             "<Resources>%s</Resources></Object></LWM2M>",
             name, id, version, items);
    struct catalogue_definition *definition = object_xml_parse(slice_str(xml), &error);
    if (definition == NULL)
        fail_msg("line %u: %s", error.line, error.text);
    return definition;
}

static void load(struct catalogue *catalogue, enum catalogue_source source, struct catalogue_definition *definition) {
    assert_true(catalogue_reserve(catalogue, definition));
    catalogue_put(catalogue, definition, source);
}

#define ITEM(id, name, type) \
    "<Item ID='" #id "'><Name>" name "</Name><Operations>RW</Operations><Type>" type "</Type></Item>"

static struct catalogue_object found(const struct catalogue *catalogue, uint16_t id, uint16_t version) {
    struct catalogue_object object;
    assert_true(catalogue_find(catalogue, id, version, &object));
    return object;
}

static void assert_resource(const struct catalogue *catalogue, uint16_t object, uint16_t version, uint16_t id,
                            const char *name, enum lwm2m_type type, uint8_t operations) {
    struct catalogue_resource resource;
    assert_true(catalogue_resource(catalogue, object, version, id, &resource));
    assert_int_equal(resource.id, id);
    assert_string_equal(resource.name, name);
    assert_int_equal(resource.type, type);
    assert_int_equal(resource.operations, operations);
}

/* ---- versions ---- */

static void test_versions_are_two_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint16_t version; /* 0: not taken */
    } cases[] = {{"1.0", 0x100},   {"1.1", 0x101}, {"2.13", 0x20d}, {"0.1", 0x001}, {"255.255", 0xffff},
                 {"1.0.3", 0x100}, {"", 0},        {"1", 0},        {".1", 0},      {"1.", 0},
                 {"1.256", 0},     {"256.0", 0},   {"0.0", 0},      {"1.0.", 0},    {"1.0.0.1", 0},
                 {"a.b", 0},       {"1.-1", 0},    {" 1.0", 0},     {"1,0", 0},     {"0001.0", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint16_t version = 0;
        bool taken = catalogue_version_parse(slice_str(cases[i].text), &version);
        if (taken != (cases[i].version != 0) || (taken && version != cases[i].version))
            fail_msg("“%s” is %d %#x", cases[i].text, taken, version);
    }
}

static void test_version_is_written_as_it_is_read(void **state) {
    (void)state;
    char text[CATALOGUE_VERSION_TEXT_MAX];
    assert_string_equal(catalogue_version_text(V1_1, text), "1.1");
    assert_string_equal(catalogue_version_text(0xffff, text), "255.255");
}

/* ---- what is compiled in ---- */

static void test_OBJ_05_core_objects_are_there_in_every_version(void **state) {
    static const struct {
        uint16_t id, version;
    } cases[] = {{0, V1_0},    {0, V1_1},    {0, V1_2},    {1, V1_0},   {1, V1_1}, {1, V1_2},  {2, V1_0},
                 {2, V1_1},    {3, V1_0},    {3, V1_1},    {3, V1_2},   {4, V1_0}, {4, V1_1},  {4, V1_2},
                 {4, V1_3},    {5, V1_0},    {6, V1_0},    {7, V1_0},   {9, V1_0}, {16, V1_0}, {21, V2_0},
                 {3303, V1_0}, {3303, V1_1}, {3200, V1_0}, {3442, V1_0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct catalogue_object object;
        if (!catalogue_get(*state, cases[i].id, cases[i].version, &object))
            fail_msg("object %u %#x is missing", cases[i].id, cases[i].version);
        assert_true(object.resource_count > 0);
        assert_int_equal(object.source, CATALOGUE_BUILT_IN);
    }
}

static void test_OBJ_03_cellular_objects_are_there(void **state) {
    static const uint16_t ids[] = {10, 11, 12, 13, 16, 19, 20};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        assert_true(found(*state, ids[i], CATALOGUE_ANY_VERSION).resource_count > 0);
}

static void test_device_object_is_as_the_standard_has_it(void **state) {
    struct catalogue_object device = found(*state, 3, V1_1);
    assert_string_equal(device.name, "Device");
    assert_int_equal(device.version, V1_1);
    assert_false(device.multiple);
    assert_true(device.mandatory);
    assert_resource(*state, 3, V1_1, 0, "Manufacturer", LWM2M_STRING, CATALOGUE_READ);
    assert_resource(*state, 3, V1_1, 4, "Reboot", LWM2M_NONE, CATALOGUE_EXECUTE);
    assert_resource(*state, 3, V1_1, 9, "Battery Level", LWM2M_INTEGER, CATALOGUE_READ);
    assert_resource(*state, 3, V1_1, 13, "Current Time", LWM2M_TIME, CATALOGUE_READ | CATALOGUE_WRITE);
    assert_resource(*state, 3, V1_1, 22, "ExtDevInfo", LWM2M_OBJLNK, CATALOGUE_READ);
}

static void test_resource_has_instances_range_and_units(void **state) {
    struct catalogue_resource resource;
    assert_true(catalogue_resource(*state, 3, V1_0, 9, &resource));
    assert_false(resource.multiple);
    assert_false(resource.mandatory);
    assert_string_equal(resource.range, "0..100");
    assert_true(catalogue_resource(*state, 3, V1_0, 11, &resource));
    assert_true(resource.multiple);
    assert_true(resource.mandatory);
    assert_true(catalogue_resource(*state, 3, V1_0, 7, &resource));
    assert_true(resource.multiple);
    assert_true(catalogue_resource(*state, 6, V1_0, 0, &resource));
    assert_string_equal(resource.range, "");
}

static void test_TYP_01_every_type_of_the_test_object_is_declared(void **state) {
    static const struct {
        uint16_t resource;
        enum lwm2m_type type;
    } cases[] = {{110, LWM2M_STRING}, {120, LWM2M_INTEGER}, {125, LWM2M_UNSIGNED},
                 {130, LWM2M_FLOAT},  {140, LWM2M_BOOLEAN}, {150, LWM2M_OPAQUE},
                 {160, LWM2M_TIME},   {170, LWM2M_OBJLNK},  {180, LWM2M_CORELNK}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lwm2m_path single = {.ids = {3442, 0, cases[i].resource}, .len = 3};
        struct lwm2m_path multiple = {.ids = {3442, 0, (uint16_t)(cases[i].resource + 1000), 7}, .len = 4};
        assert_int_equal(catalogue_type(*state, V1_0, &single), cases[i].type);
        assert_int_equal(catalogue_type(*state, V1_0, &multiple), cases[i].type);
    }
}

static void test_what_is_not_defined_has_no_type(void **state) {
    static const struct lwm2m_path paths[] = {
        {.len = 0},
        {.ids = {3}, .len = 1},
        {.ids = {3, 0}, .len = 2},
        {.ids = {3, 0, 4711}, .len = 3},
        {.ids = {3, 0, 4}, .len = 3}, /* Execute */
        {.ids = {40000, 0, 0}, .len = 3},
        {.ids = {65534, 0, 65534, 65534}, .len = 4},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_int_equal(catalogue_type(*state, CATALOGUE_ANY_VERSION, &paths[i]), LWM2M_NONE);
}

static void test_definitions_come_in_order_and_each_once(void **state) {
    struct catalogue_object object = {0};
    uint32_t before = 0;
    size_t count = 0;
    while (catalogue_next(*state, object.id, object.version, &object)) {
        uint32_t key = (uint32_t)object.id << 16 | object.version;
        assert_true(key > before);
        assert_true(object.name[0] != '\0');
        for (size_t i = 0; i < object.resource_count; i++) {
            struct catalogue_resource resource = catalogue_resource_at(&object, i);
            assert_true(slice_is_utf8(slice_str(resource.name)) && resource.name[0] != '\0');
            assert_true(i == 0 || resource.id > catalogue_resource_at(&object, i - 1).id);
            assert_true(resource.type <= LWM2M_CORELNK);
        }
        before = key;
        count++;
    }
    assert_true(count > 300);
}

/* ---- the version that is nearest ---- */

static void test_version_that_is_not_there_is_replaced_by_the_next_later_one(void **state) {
    struct catalogue *catalogue = *state;
    load(catalogue, CATALOGUE_STORED, define(33000, "1.0", "zero", ITEM(0, "a", "String")));
    load(catalogue, CATALOGUE_STORED, define(33000, "1.2", "two", ITEM(0, "a", "String")));
    load(catalogue, CATALOGUE_STORED, define(33000, "1.5", "five", ITEM(0, "a", "String")));
    load(catalogue, CATALOGUE_STORED, define(33000, "3.0", "new", ITEM(0, "a", "Integer")));
    assert_string_equal(found(catalogue, 33000, 0x100).name, "zero");
    assert_string_equal(found(catalogue, 33000, 0x101).name, "two");
    assert_string_equal(found(catalogue, 33000, 0x103).name, "five");
    assert_string_equal(found(catalogue, 33000, 0x107).name, "five");
    assert_string_equal(found(catalogue, 33000, 0x001).name, "zero");
    assert_string_equal(found(catalogue, 33000, 0x301).name, "new");
    assert_string_equal(found(catalogue, 33000, 0x900).name, "new");
    assert_string_equal(found(catalogue, 33000, CATALOGUE_ANY_VERSION).name, "new");
}

static void test_resource_of_a_later_version_is_found_in_it(void **state) {
    struct catalogue *catalogue = *state;
    load(catalogue, CATALOGUE_STORED, define(33000, "1.0", "zero", ITEM(0, "old name", "String")));
    load(catalogue, CATALOGUE_STORED,
         define(33000, "1.1", "one", ITEM(0, "new name", "String") ITEM(1, "new", "Float")));
    assert_resource(catalogue, 33000, V1_0, 0, "old name", LWM2M_STRING, CATALOGUE_READ | CATALOGUE_WRITE);
    assert_resource(catalogue, 33000, V1_0, 1, "new", LWM2M_FLOAT, CATALOGUE_READ | CATALOGUE_WRITE);
    struct catalogue_resource resource;
    assert_false(catalogue_resource(catalogue, 33000, V1_0, 2, &resource));
}

/* ---- what is loaded ---- */

static void test_loaded_definition_goes_before_the_one_compiled_in(void **state) {
    struct catalogue *catalogue = *state;
    load(catalogue, CATALOGUE_STORED, define(3, "1.1", "My Device", ITEM(0, "Maker", "Opaque")));
    assert_string_equal(found(catalogue, 3, V1_1).name, "My Device");
    assert_string_equal(found(catalogue, 3, V1_0).name, "Device");
    assert_resource(catalogue, 3, V1_1, 0, "Maker", LWM2M_OPAQUE, CATALOGUE_READ | CATALOGUE_WRITE);
    assert_resource(catalogue, 3, V1_1, 1, "Model Number", LWM2M_STRING, CATALOGUE_READ); /* of another version */
    assert_true(catalogue_remove(catalogue, 3, V1_1, CATALOGUE_STORED));
    assert_string_equal(found(catalogue, 3, V1_1).name, "Device");
}

static void test_stored_definition_goes_before_that_of_a_file(void **state) {
    struct catalogue *catalogue = *state;
    struct catalogue_object object;
    load(catalogue, CATALOGUE_STORED, define(3, "1.1", "stored", ""));
    load(catalogue, CATALOGUE_FILE, define(3, "1.1", "file", ""));
    assert_string_equal(found(catalogue, 3, V1_1).name, "stored");
    assert_true(catalogue_next(catalogue, 3, V1_0, &object));
    assert_string_equal(object.name, "stored");
    assert_true(catalogue_next(catalogue, 3, V1_1, &object));
    assert_int_equal(object.version, V1_2);
    assert_true(catalogue_remove(catalogue, 3, V1_1, CATALOGUE_STORED));
    assert_string_equal(found(catalogue, 3, V1_1).name, "file");
    assert_false(catalogue_remove(catalogue, 3, V1_1, CATALOGUE_STORED));
}

static void test_definition_loaded_again_replaces_the_one_before(void **state) {
    struct catalogue *catalogue = *state;
    load(catalogue, CATALOGUE_STORED, define(33000, "1.0", "first", ITEM(0, "a", "String") ITEM(1, "b", "String")));
    load(catalogue, CATALOGUE_STORED, define(33000, "1.0", "second", ITEM(0, "a", "Float")));
    assert_string_equal(found(catalogue, 33000, V1_0).name, "second");
    assert_int_equal(catalogue->count, 1);
    assert_true(catalogue_remove(catalogue, 33000, V1_0, CATALOGUE_STORED));
    assert_int_equal(catalogue->bytes, 0);
}

static void test_loaded_definitions_stand_between_the_others(void **state) {
    struct catalogue *catalogue = *state;
    struct catalogue_object object;
    load(catalogue, CATALOGUE_STORED, define(65534, "255.255", "last", ""));
    load(catalogue, CATALOGUE_STORED, define(3, "1.3", "between", ""));
    load(catalogue, CATALOGUE_STORED, define(0, "0.1", "first", ""));
    assert_true(catalogue_next(catalogue, 0, 0, &object));
    assert_string_equal(object.name, "first");
    assert_true(catalogue_next(catalogue, 3, V1_2, &object));
    assert_string_equal(object.name, "between");
    assert_true(catalogue_next(catalogue, 3, V1_3, &object));
    assert_int_equal(object.id, 4);
    assert_true(catalogue_next(catalogue, 65534, V1_0, &object));
    assert_string_equal(object.name, "last");
    assert_false(catalogue_next(catalogue, 65534, 0xffff, &object));
    assert_false(catalogue_next(catalogue, 65535, 0xffff, &object));
}

static void test_number_of_loaded_definitions_is_bounded(void **state) {
    struct catalogue *catalogue = *state;
    for (unsigned i = 0; i < CATALOGUE_DEFINITIONS_MAX - 1; i++)
        load(catalogue, CATALOGUE_FILE, define(33000 + i * 7 % 1000, "1.0", "x", ""));
    struct catalogue_definition *last = define(1, "9.0", "x", ""), *more = define(1, "9.1", "x", "");
    assert_true(catalogue_reserve(catalogue, last));
    assert_false(catalogue_reserve(catalogue, more)); /* one that is on its way counts */
    catalogue_unreserve(catalogue, last);
    assert_true(catalogue_reserve(catalogue, more));
    catalogue_put(catalogue, more, CATALOGUE_STORED);
    object_xml_free(last);
    assert_int_equal(catalogue->count, CATALOGUE_DEFINITIONS_MAX);
    for (unsigned i = 0; i < CATALOGUE_DEFINITIONS_MAX - 1; i++)
        assert_true(catalogue_has(catalogue, (uint16_t)(33000 + i * 7 % 1000), V1_0, CATALOGUE_FILE));
}

int main(void) {
#define CATALOGUE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CATALOGUE_TEST(test_versions_are_two_numbers),
        CATALOGUE_TEST(test_version_is_written_as_it_is_read),
        CATALOGUE_TEST(test_OBJ_05_core_objects_are_there_in_every_version),
        CATALOGUE_TEST(test_OBJ_03_cellular_objects_are_there),
        CATALOGUE_TEST(test_device_object_is_as_the_standard_has_it),
        CATALOGUE_TEST(test_resource_has_instances_range_and_units),
        CATALOGUE_TEST(test_TYP_01_every_type_of_the_test_object_is_declared),
        CATALOGUE_TEST(test_what_is_not_defined_has_no_type),
        CATALOGUE_TEST(test_definitions_come_in_order_and_each_once),
        CATALOGUE_TEST(test_version_that_is_not_there_is_replaced_by_the_next_later_one),
        CATALOGUE_TEST(test_resource_of_a_later_version_is_found_in_it),
        CATALOGUE_TEST(test_loaded_definition_goes_before_the_one_compiled_in),
        CATALOGUE_TEST(test_stored_definition_goes_before_that_of_a_file),
        CATALOGUE_TEST(test_definition_loaded_again_replaces_the_one_before),
        CATALOGUE_TEST(test_loaded_definitions_stand_between_the_others),
        CATALOGUE_TEST(test_number_of_loaded_definitions_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
