#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/lwm2m/object_file.h"
#include "common/lwm2m/object_xml.h"

struct fixture {
    char directory[64];
    struct catalogue catalogue;
    char error[256];
};

static int set_up(void **state) {
    static struct fixture f;
    f = (struct fixture){.directory = "/tmp/test_object_file.XXXXXX"};
    *state = &f;
    return mkdtemp(f.directory) == NULL ? -1 : 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    char command[128];
    catalogue_free(&f->catalogue);
    snprintf(command, sizeof command, "rm -rf %s", f->directory);
    return system(command);
}

static const char *path_of(const struct fixture *f, const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    return path;
}

static void write_file(const struct fixture *f, const char *name, const char *text) {
    FILE *file = fopen(path_of(f, name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

#define OBJECT(id) "<LWM2M><Object><Name>name " #id "</Name>\n<ObjectID>" #id "</ObjectID><Resources/></Object></LWM2M>"

static bool load(struct fixture *f) {
    return object_file_load_directory(&f->catalogue, f->directory, f->error, sizeof f->error);
}

static void assert_not_loaded(struct fixture *f, const char *file, const char *words) {
    assert_false(load(f));
    if (strstr(f->error, file) == NULL || strstr(f->error, words) == NULL || strchr(f->error, '\n') != NULL)
        fail_msg("the error should be one line with “%s” and “%s”: %s", file, words, f->error);
}

static void test_every_xml_file_of_a_directory_is_loaded(void **state) {
    struct fixture *f = *state;
    struct catalogue_object object;
    write_file(f, "b.xml", OBJECT(33001));
    write_file(f, "a.xml", OBJECT(33000));
    write_file(f, ".hidden.xml", "no XML");
    write_file(f, "readme.txt", "no XML");
    write_file(f, ".xml", "no XML");
    assert_true(load(f));
    assert_int_equal(f->catalogue.count, 2);
    assert_true(catalogue_find(&f->catalogue, 33001, CATALOGUE_ANY_VERSION, &object));
    assert_string_equal(object.name, "name 33001");
    assert_int_equal(object.source, CATALOGUE_FILE);
}

static void test_empty_directory_is_fine(void **state) {
    assert_true(load(*state));
}

static void test_directory_that_is_not_there_is_an_error(void **state) {
    struct fixture *f = *state;
    assert_false(object_file_load_directory(&f->catalogue, path_of(f, "none"), f->error, sizeof f->error));
    assert_non_null(strstr(f->error, "/none: No such file"));
}

static void test_bad_file_is_named_with_its_line(void **state) {
    struct fixture *f = *state;
    write_file(f, "a.xml", OBJECT(33000));
    write_file(f, "b.xml", "<LWM2M>\n<Object>\n</LWM2M>");
    assert_not_loaded(f, "/b.xml: line 3: ", "mismatched tag");
}

static void test_same_object_in_two_files_is_an_error(void **state) {
    struct fixture *f = *state;
    write_file(f, "a.xml", OBJECT(33000));
    write_file(f, "b.xml", OBJECT(33000));
    assert_not_loaded(f, "/b.xml: line 2: ", "object 33000 1.0 is defined in another file");
}

static void test_file_that_is_too_long_is_an_error(void **state) {
    struct fixture *f = *state;
    write_file(f, "a.xml", "<LWM2M>");
    assert_int_equal(truncate(path_of(f, "a.xml"), 1l << 40), 0); /* none of it is read but a little more than 1 MiB */
    assert_not_loaded(f, "/a.xml: ", "longer than 1048576 bytes");
}

static void test_directory_in_place_of_a_file_is_an_error(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(path_of(f, "a.xml"), 0700), 0);
    assert_not_loaded(f, "/a.xml: ", "directory");
}

int main(void) {
#define FILE_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_every_xml_file_of_a_directory_is_loaded),  FILE_TEST(test_empty_directory_is_fine),
        FILE_TEST(test_directory_that_is_not_there_is_an_error),  FILE_TEST(test_bad_file_is_named_with_its_line),
        FILE_TEST(test_same_object_in_two_files_is_an_error),     FILE_TEST(test_file_that_is_too_long_is_an_error),
        FILE_TEST(test_directory_in_place_of_a_file_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
