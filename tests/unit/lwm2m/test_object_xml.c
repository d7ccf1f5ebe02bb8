#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "common/lwm2m/object_xml.h"

/* A whole file as the registry has them, shortened. */
static const char whole[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<!-- a licence -->\n"
    "<LWM2M xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:noNamespaceSchemaLocation=\"LWM2M.xsd\">\n"
    "  <Object ObjectType=\"MODefinition\">\n"
    "    <Name>Test\n      Object</Name>\n"
    "    <Description1><![CDATA[Anything <at> all & more]]></Description1>\n"
    "    <ObjectID>33000</ObjectID>\n"
    "    <ObjectURN>urn:oma:lwm2m:x:33000:1.1</ObjectURN>\n"
    "    <LWM2MVersion>1.1</LWM2MVersion>\n"
    "    <ObjectVersion>1.1</ObjectVersion>\n"
    "    <MultipleInstances>Multiple</MultipleInstances>\n"
    "    <Mandatory>Optional</Mandatory>\n"
    "    <Resources>\n"
    "      <Item ID=\"5\"><Name>Level</Name><Operations>RW</Operations><MultipleInstances>Single</MultipleInstances>\n"
    "        <Mandatory>Mandatory</Mandatory><Type>Integer</Type><RangeEnumeration>0..100</RangeEnumeration>\n"
    "        <Units>%</Units><Description>text</Description></Item>\n"
    "      <Item ID=\"0\"><Name>Go</Name><Operations>E</Operations><MultipleInstances>Single</MultipleInstances>\n"
    "        <Mandatory>Optional</Mandatory><Type>String</Type><RangeEnumeration/><Units/></Item>\n"
    "      <Item ID=\"65534\"><Name>\xc5\xbb\xc3\xb3\xc5\x82w &amp; &#x17C;</Name><Operations></Operations>\n"
    "        <MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory><Type>Opaque</Type></Item>\n"
    "    </Resources>\n"
    "    <Description2/>\n"
    "  </Object>\n"
    "</LWM2M>\n";

static struct catalogue_definition *parse(struct slice xml) {
    struct object_xml_error error;
    struct catalogue_definition *definition = object_xml_parse(xml, &error);
    if (definition == NULL)
        fail_msg("line %u: %s", error.line, error.text);
    return definition;
}

static void assert_refused(struct slice xml, unsigned line, const char *words) {
    struct object_xml_error error;
    assert_null(object_xml_parse(xml, &error));
    if (error.line != line || strstr(error.text, words) == NULL)
        fail_msg("expected line %u and “%s”, got line %u: %s", line, words, error.line, error.text);
}

/* ---- what is taken ---- */

static void test_definition_is_read_whole(void **state) {
    (void)state;
    struct catalogue catalogue = {0};
    struct catalogue_object object;
    struct catalogue_definition *definition = parse(slice_str(whole));
    assert_null(object_xml_next(definition));
    assert_int_equal(object_xml_id(definition), 33000);
    assert_int_equal(object_xml_version(definition), 0x101);
    assert_int_equal(object_xml_line(definition), 8);
    assert_true(catalogue_reserve(&catalogue, definition));
    catalogue_put(&catalogue, definition, CATALOGUE_FILE);
    assert_true(catalogue_get(&catalogue, 33000, 0x101, &object));
    assert_string_equal(object.name, "Test Object");
    assert_string_equal(object.urn, "urn:oma:lwm2m:x:33000:1.1");
    assert_int_equal(object.lwm2m, 11);
    assert_true(object.multiple);
    assert_false(object.mandatory);
    assert_int_equal(object.resource_count, 3);

    struct catalogue_resource go = catalogue_resource_at(&object, 0), level = catalogue_resource_at(&object, 1),
                              last = catalogue_resource_at(&object, 2);
    assert_int_equal(go.id, 0);
    assert_int_equal(go.operations, CATALOGUE_EXECUTE);
    assert_int_equal(go.type, LWM2M_NONE);
    assert_int_equal(level.id, 5);
    assert_string_equal(level.name, "Level");
    assert_int_equal(level.operations, CATALOGUE_READ | CATALOGUE_WRITE);
    assert_int_equal(level.type, LWM2M_INTEGER);
    assert_true(level.mandatory);
    assert_false(level.multiple);
    assert_string_equal(level.range, "0..100");
    assert_string_equal(level.units, "%");
    assert_int_equal(last.id, 65534);
    assert_string_equal(last.name, "\xc5\xbb\xc3\xb3\xc5\x82w & \xc5\xbc");
    assert_int_equal(last.operations, 0);
    assert_true(last.multiple);
    assert_string_equal(last.range, "");
    catalogue_free(&catalogue);
}

static void test_versions_are_1_0_when_they_are_not_there(void **state) {
    (void)state;
    struct catalogue_definition *definition =
        parse(slice_str("<LWM2M><Object><Name>x</Name><ObjectID>1</ObjectID><Resources/></Object></LWM2M>"));
    assert_int_equal(object_xml_version(definition), 0x100);
    object_xml_free(definition);
}

static void test_document_may_have_several_objects(void **state) {
    (void)state;
    struct catalogue_definition *first =
        parse(slice_str("<LWM2M><Object><Name>x</Name><ObjectID>1</ObjectID><Resources/></Object>\n"
                        "<Object><ObjectID>2</ObjectID><Resources><Item ID='1'><Name>r</Name><Operations>R</Operations>"
                        "</Item></Resources><Name>y</Name></Object></LWM2M>"));
    struct catalogue_definition *second = object_xml_next(first);
    assert_non_null(second);
    assert_int_equal(object_xml_id(second), 2);
    assert_int_equal(object_xml_line(second), 2);
    assert_null(object_xml_next(second));
    object_xml_free(first);
    object_xml_free(second);
}

static void test_other_encodings_are_read(void **state) {
    (void)state;
    static const char latin1[] = "<?xml version='1.0' encoding='ISO-8859-1'?><LWM2M><Object><Name>\xe4</Name>"
                                 "<ObjectID>1</ObjectID><Resources/></Object></LWM2M>";
    struct catalogue catalogue = {0};
    struct catalogue_object object;
    struct catalogue_definition *definition = parse(slice_str(latin1));
    assert_true(catalogue_reserve(&catalogue, definition));
    catalogue_put(&catalogue, definition, CATALOGUE_FILE);
    assert_true(catalogue_get(&catalogue, 1, 0x100, &object));
    assert_string_equal(object.name, "\xc3\xa4");
    catalogue_free(&catalogue);
}

static void test_every_type_is_known(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum lwm2m_type type;
    } cases[] = {{"String", LWM2M_STRING},
                 {"Integer", LWM2M_INTEGER},
                 {"Unsigned Integer", LWM2M_UNSIGNED},
                 {"Float", LWM2M_FLOAT},
                 {"Boolean", LWM2M_BOOLEAN},
                 {"Opaque", LWM2M_OPAQUE},
                 {"Time", LWM2M_TIME},
                 {"Objlnk", LWM2M_OBJLNK},
                 {"Corelnk", LWM2M_CORELNK},
                 {"unsigned\n integer", LWM2M_UNSIGNED},
                 {"", LWM2M_NONE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char xml[400];
        struct catalogue catalogue = {0};
        snprintf(xml, sizeof xml,
                 "<LWM2M><Object><Name>x</Name><ObjectID>33000</ObjectID><Resources><Item ID='0'><Name>r</Name>"
                 "<Operations>R</Operations><Type>%s</Type></Item></Resources></Object></LWM2M>",
                 cases[i].text);
        struct catalogue_definition *definition = parse(slice_str(xml));
        assert_true(catalogue_reserve(&catalogue, definition));
        catalogue_put(&catalogue, definition, CATALOGUE_FILE);
        struct lwm2m_path path = {.ids = {33000, 0, 0}, .len = 3};
        assert_int_equal(catalogue_type(&catalogue, CATALOGUE_ANY_VERSION, &path), cases[i].type);
        catalogue_free(&catalogue);
    }
}

/* ---- what is refused ---- */

#define OBJECT(inside)   "<LWM2M>\n<Object>\n" inside "\n</Object></LWM2M>"
#define HEAD             "<Name>x</Name><ObjectID>33000</ObjectID>\n"
#define RESOURCES(items) OBJECT(HEAD "<Resources>\n" items "</Resources>")
#define ITEM(inside)     RESOURCES("<Item ID='1'>" inside "</Item>")

static void test_wrong_structure_is_refused_with_its_line(void **state) {
    (void)state;
    static const struct {
        const char *xml, *words;
        unsigned line;
    } cases[] = {
        {"", "no element", 1},
        {"\n\n", "no element", 3},
        {"text", "well-formed", 1},
        {"{\"id\":1}", "well-formed", 1},
        {"<html></html>", "<html>, not <LWM2M>", 1},
        {"<LWM2M/>", "no <Object>", 1},
        {"<LWM2M>\n<Resources/></LWM2M>", "no <Object>", 2},
        {"<LWM2M><Object></LWM2M>", "mismatched tag", 1},
        {"<LWM2M></LWM2M><LWM2M/>", "junk after", 1},
        {OBJECT("<ObjectID>1</ObjectID><Resources/>"), "<Object> has no <Name>", 4},
        {OBJECT("<Name>x</Name><Resources/>"), "<Object> has no <ObjectID>", 4},
        {OBJECT(HEAD), "<Object> has no <Resources>", 5},
        {OBJECT("<Name> \n</Name>"), "<Name> is empty", 4},
        {OBJECT("<ObjectID>65535</ObjectID>"), "65535", 3},
        {OBJECT("<ObjectID>-1</ObjectID>"), "from 0 to 65534", 3},
        {OBJECT("<ObjectID></ObjectID>"), "from 0 to 65534", 3},
        {OBJECT("<ObjectID>1</ObjectID>\n<ObjectID>1</ObjectID>"), "<ObjectID> is there twice", 4},
        {OBJECT(HEAD "<ObjectVersion>one</ObjectVersion>"), "<ObjectVersion> is “one”", 4},
        {OBJECT(HEAD "<LWM2MVersion>1</LWM2MVersion>"), "<LWM2MVersion>", 4},
        {OBJECT(HEAD "<LWM2MVersion>10.0</LWM2MVersion>"), "no such version", 4},
        {OBJECT(HEAD "<MultipleInstances>Many</MultipleInstances>"), "Multiple or Single", 4},
        {OBJECT(HEAD "<Mandatory>yes</Mandatory>"), "Mandatory or Optional", 4},
        {OBJECT(HEAD "<Resources/>\n<Resources/>"), "<Resources> is there twice", 5},
        {RESOURCES("<Item><Name>x</Name></Item>"), "no ID", 5},
        {RESOURCES("<Item ID=''></Item>"), "the ID of <Item>", 5},
        {RESOURCES("<Item ID='65535'></Item>"), "65535", 5},
        {RESOURCES("<Item ID='1'><Name>a</Name><Operations>R</Operations></Item>\n<Item ID='1'/>"),
         "resource 1 is there", 6},
        {ITEM("<Operations>R</Operations>"), "<Item> has no <Name>", 5},
        {ITEM("<Name>x</Name>"), "<Item> has no <Operations>", 5},
        {ITEM("<Name>x</Name>\n<Operations>RE</Operations>"), "R, W, RW, E or empty", 6},
        {ITEM("<Name>x</Name>\n\n<Type>Int</Type>"), "<Type> is “Int”", 7},
        {ITEM("<Name>x</Name><Name>y</Name>"), "<Name> is there twice", 5},
        {"<LWM2M><Object><Name>x</Name><ObjectID>1</ObjectID><Resources/></Object>\n<Object><Name>x</Name>"
         "<ObjectID>1</ObjectID><Resources/></Object></LWM2M>",
         "object 1 is there twice", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(slice_str(cases[i].xml), cases[i].line, cases[i].words);
}

static void test_entities_are_refused_before_anything_is_expanded(void **state) {
    (void)state;
    static const char *const documents[] = {
        /* the bomb */
        "<?xml version='1.0'?>\n<!DOCTYPE LWM2M [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
        "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><LWM2M><Object><Name>&c;</Name></Object></LWM2M>",
        /* a file of ours */
        "<?xml version='1.0'?>\n<!DOCTYPE LWM2M [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><LWM2M><Object><Name>&f;"
        "</Name></Object></LWM2M>",
        "<?xml version='1.0'?>\n<!DOCTYPE LWM2M SYSTEM 'http://127.0.0.1/x.dtd'><LWM2M/>",
        "<?xml version='1.0'?>\n<!DOCTYPE LWM2M><LWM2M/>",
    };
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++)
        assert_refused(slice_str(documents[i]), 2, "DOCTYPE");
    assert_refused(slice_str("<LWM2M>&undefined;</LWM2M>"), 1, "undefined entity");
}

static void test_a_document_cut_short_anywhere_is_refused(void **state) {
    (void)state;
    size_t end = (size_t)(strstr(whole, "</LWM2M>") - whole) + strlen("</LWM2M>");
    for (size_t len = 0; len < end; len++) {
        struct object_xml_error error;
        uint8_t *copy = malloc(len + 1); /* what lies behind the end is not ours */
        assert_non_null(copy);
        memcpy(copy, whole, len);
        assert_null(object_xml_parse(slice_of(copy, len), &error));
        assert_true(error.line > 0 && error.text[0] != '\0');
        free(copy);
    }
}

/* ---- bounds ---- */

static char big[OBJECT_XML_MAX + 100];
static struct buffer writer;

static void begin(const char *text) {
    writer = buffer_over(big, sizeof big);
    buffer_put_str(&writer, text);
}

static void repeat(const char *text, size_t times) {
    for (size_t i = 0; i < times; i++)
        buffer_put_str(&writer, text);
}

static void test_names_and_ranges_are_bounded(void **state) {
    (void)state;
    for (int more = 0; more <= 1; more++) {
        begin("<LWM2M><Object><ObjectID>1</ObjectID><Name>");
        repeat("n", OBJECT_XML_NAME_MAX + (size_t)more);
        buffer_put_str(&writer, "</Name><Resources/></Object></LWM2M>");
        if (more)
            assert_refused(buffer_slice(&writer), 1, "<Name> is longer than 256 bytes");
        else
            object_xml_free(parse(buffer_slice(&writer)));
    }
    for (int more = 0; more <= 1; more++) {
        begin("<LWM2M><Object><ObjectID>1</ObjectID><Name>x</Name><Resources><Item ID='1'><Name>y</Name>"
              "<Operations>R</Operations><RangeEnumeration>");
        repeat("r", OBJECT_XML_RANGE_MAX + (size_t)more);
        buffer_put_str(&writer, "</RangeEnumeration></Item></Resources></Object></LWM2M>");
        if (more)
            assert_refused(buffer_slice(&writer), 1, "<RangeEnumeration> is longer than 4096 bytes");
        else
            object_xml_free(parse(buffer_slice(&writer)));
    }
}

static void test_descriptions_may_be_long(void **state) {
    (void)state;
    begin("<LWM2M><Object><ObjectID>1</ObjectID><Name>x</Name><Description1>");
    repeat("word ", 100000);
    buffer_put_str(&writer, "</Description1><Resources/></Object></LWM2M>");
    object_xml_free(parse(buffer_slice(&writer)));
}

static void test_depth_is_bounded(void **state) {
    (void)state;
    begin("<LWM2M><Object><ObjectID>1</ObjectID><Name>x</Name>");
    repeat("<a>", 14);
    repeat("</a>", 14);
    buffer_put_str(&writer, "<Resources/></Object></LWM2M>");
    object_xml_free(parse(buffer_slice(&writer)));
    begin("<LWM2M><Object>\n");
    repeat("<a>", 100000);
    assert_refused(buffer_slice(&writer), 2, "nested more than 16 deep");
}

static void test_number_of_resources_is_bounded(void **state) {
    (void)state;
    for (unsigned more = 0; more <= 1; more++) {
        begin("<LWM2M><Object><ObjectID>1</ObjectID><Name>x</Name><Resources>\n");
        for (unsigned i = 0; i < CATALOGUE_RESOURCES_MAX + more; i++)
            buffer_printf(&writer, "<Item ID='%u'><Name>y</Name><Operations>R</Operations></Item>\n", 60000 - i);
        buffer_put_str(&writer, "</Resources></Object></LWM2M>");
        if (more)
            assert_refused(buffer_slice(&writer), CATALOGUE_RESOURCES_MAX + 2, "more than 2000 resources");
        else
            object_xml_free(parse(buffer_slice(&writer)));
    }
}

static void test_number_of_objects_is_bounded(void **state) {
    (void)state;
    begin("<LWM2M>\n");
    for (unsigned i = 0; i <= OBJECT_XML_OBJECTS_MAX; i++)
        buffer_printf(&writer, "<Object><Name>x</Name><ObjectID>%u</ObjectID><Resources/></Object>\n", i);
    buffer_put_str(&writer, "</LWM2M>");
    assert_refused(buffer_slice(&writer), OBJECT_XML_OBJECTS_MAX + 2, "more than 100 objects");
}

static void test_size_is_bounded(void **state) {
    (void)state;
    begin("<LWM2M><Object><Name>x</Name><ObjectID>1</ObjectID><Resources/></Object>");
    while (writer.len < OBJECT_XML_MAX - strlen("</LWM2M>"))
        buffer_put_u8(&writer, ' ');
    buffer_put_str(&writer, "</LWM2M>");
    object_xml_free(parse(buffer_slice(&writer)));
    buffer_put_u8(&writer, '\n');
    assert_refused(buffer_slice(&writer), 0, "longer than 1048576 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition_is_read_whole),
        cmocka_unit_test(test_versions_are_1_0_when_they_are_not_there),
        cmocka_unit_test(test_document_may_have_several_objects),
        cmocka_unit_test(test_other_encodings_are_read),
        cmocka_unit_test(test_every_type_is_known),
        cmocka_unit_test(test_wrong_structure_is_refused_with_its_line),
        cmocka_unit_test(test_entities_are_refused_before_anything_is_expanded),
        cmocka_unit_test(test_a_document_cut_short_anywhere_is_refused),
        cmocka_unit_test(test_names_and_ranges_are_bounded),
        cmocka_unit_test(test_descriptions_may_be_long),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_number_of_resources_is_bounded),
        cmocka_unit_test(test_number_of_objects_is_bounded),
        cmocka_unit_test(test_size_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
