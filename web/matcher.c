#include "web/matcher.h"

#include <stdio.h>
#include <stdlib.h>

#include "web/pattern.h"

enum { EXCERPT_MAX = 512 };

enum test_operator { TEST_EQ, TEST_NE, TEST_GT, TEST_GTE, TEST_LT, TEST_LTE, TEST_IN, TEST_REGEX, TEST_OPERATOR_COUNT };

static const char *const operator_names[TEST_OPERATOR_COUNT] = {"eq", "ne", "gt", "gte", "lt", "lte", "in", "regex"};

struct matcher_test {
    const char *member;     /* or a pointer; "": the value itself */
    const json_t *expected; /* of the member, all tests of it */
    const json_t *operand;
    struct pattern *pattern; /* of TEST_REGEX */
    enum test_operator op;
};

/* ---- reading ---- */

static bool operator_parse(const char *name, enum test_operator *op) {
    for (*op = TEST_EQ; *op < TEST_OPERATOR_COUNT; (*op)++)
        if (strcmp(name, operator_names[*op]) == 0)
            return true;
    return false;
}

static bool compile_pattern(const struct matcher *matcher, struct matcher_test *test, const char *at,
                            struct document_error *error) {
    char problem[PATTERN_PROBLEM_MAX];
    size_t where = 0, patterns = 0;
    if (!json_is_string(test->operand))
        return document_reject(error, at, "a regular expression, a string of at most %d bytes, is expected",
                               PATTERN_MAX);
    for (size_t i = 0; i < matcher->count; i++)
        patterns += matcher->tests[i].op == TEST_REGEX;
    if (patterns == MATCHER_PATTERNS_MAX)
        return document_reject(error, at, "at most %d regular expressions are expected", MATCHER_PATTERNS_MAX);
    test->pattern = pattern_compile(document_string(test->operand), problem, &where);
    return test->pattern != NULL ||
           document_reject(error, at, "a regular expression is expected; of this one, %s, at byte %zu", problem, where);
}

static bool add_test(struct matcher *matcher, struct matcher_test test, const char *at, struct document_error *error) {
    bool is_ordered = test.op >= TEST_GT && test.op <= TEST_LTE;
    if (matcher->count == MATCHER_TESTS_MAX)
        return document_reject(error, at, "at most %d tests are expected", MATCHER_TESTS_MAX);
    if (is_ordered && !json_is_number(test.operand) && !json_is_string(test.operand))
        return document_reject(error, at, "a number or a string is expected");
    if (test.op == TEST_IN && !json_is_array(test.operand))
        return document_reject(error, at, "a list of values is expected");
    if (test.op == TEST_REGEX && !compile_pattern(matcher, &test, at, error))
        return false;
    matcher->tests[matcher->count++] = test;
    return true;
}

static bool read_test(struct matcher *matcher, const char *member, const json_t *expected, const char *at,
                      struct document_error *error) {
    const char *name;
    json_t *operand;
    struct matcher_test test = {.member = member, .expected = expected, .operand = expected};
    if (!json_is_object(expected))
        return add_test(matcher, test, at, error);
    if (json_object_size(expected) == 0)
        return document_reject(error, at, "a value or one of eq, ne, gt, gte, lt, lte, in, regex is expected");
    json_object_foreach((json_t *)(uintptr_t)expected, name, operand) {
        char pointer[DOCUMENT_POINTER_SIZE];
        document_member_pointer(pointer, at, name);
        if (!operator_parse(name, &test.op))
            return document_reject(error, pointer, "one of eq, ne, gt, gte, lt, lte, in, regex is expected");
        test.operand = operand;
        if (!add_test(matcher, test, pointer, error))
            return false;
    }
    return true;
}

/* The member, or the first one on a pointer's way, has a name of the list. */
static bool is_known(const char *member, const char *const *known) {
    size_t skipped = member[0] == '/', len = strcspn(member + skipped, skipped != 0 ? "/" : "");
    for (; *known != NULL; known++)
        if (strlen(*known) == len && memcmp(*known, member + skipped, len) == 0)
            return true;
    return false;
}

static bool make_room(struct matcher *matcher, const char *at, struct document_error *error) {
    *matcher = (struct matcher){.tests = calloc(MATCHER_TESTS_MAX, sizeof *matcher->tests)};
    return matcher->tests != NULL || document_reject(error, at, "less is expected: the server is out of memory");
}

static bool read_members(struct matcher *matcher, const json_t *match, const char *at, const char *const *known,
                         struct document_error *error) {
    const char *member;
    json_t *expected;
    json_object_foreach((json_t *)(uintptr_t)match, member, expected) {
        char pointer[DOCUMENT_POINTER_SIZE];
        document_member_pointer(pointer, at, member);
        if (known != NULL && !is_known(member, known))
            return document_reject(error, pointer, "a member that an event may have is expected; none is called so");
        if (!read_test(matcher, member, expected, pointer, error))
            return false;
    }
    return true;
}

bool matcher_read(const json_t *match, const char *at, const char *const *known, struct matcher *matcher,
                  struct document_error *error) {
    if (!json_is_object(match))
        return document_reject(error, at, "an object of members and what they are to be is expected");
    if (!make_room(matcher, at, error))
        return false;
    if (read_members(matcher, match, at, known, error))
        return true;
    matcher_free(matcher);
    return false;
}

bool matcher_read_test(const json_t *test, const char *at, struct matcher *matcher, struct document_error *error) {
    if (!make_room(matcher, at, error))
        return false;
    if (read_test(matcher, "", test, at, error))
        return true;
    matcher_free(matcher);
    return false;
}

void matcher_free(struct matcher *matcher) {
    for (size_t i = 0; i < matcher->count; i++)
        pattern_free(matcher->tests[i].pattern);
    free(matcher->tests);
    *matcher = (struct matcher){0};
}

/* ---- matching ---- */

static bool values_equal(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b) && json_typeof(a) != json_typeof(b))
        return json_number_value(a) <= json_number_value(b) && json_number_value(a) >= json_number_value(b);
    return json_equal(a, b) != 0;
}

/* Below, at or above zero as a is less than, equal to or greater than b. False when they can't be compared. */
static bool values_compare(const json_t *a, const json_t *b, int *order) {
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        *order = (x > y) - (x < y);
    } else if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        *order = (x > y) - (x < y);
    } else if (json_is_string(a) && json_is_string(b)) {
        *order = strcmp(json_string_value(a), json_string_value(b));
    } else {
        return false;
    }
    return true;
}

static bool is_among(const json_t *value, const json_t *list) {
    const json_t *member;
    size_t index;
    json_array_foreach(list, index, member) {
        if (values_equal(value, member))
            return true;
    }
    return false;
}

static bool test_passes(const struct matcher_test *test, const json_t *value) {
    int order = 0;
    switch (test->op) {
    case TEST_EQ:
        return values_equal(value, test->operand);
    case TEST_NE:
        return !values_equal(value, test->operand);
    case TEST_GT:
        return values_compare(value, test->operand, &order) && order > 0;
    case TEST_GTE:
        return values_compare(value, test->operand, &order) && order >= 0;
    case TEST_LT:
        return values_compare(value, test->operand, &order) && order < 0;
    case TEST_LTE:
        return values_compare(value, test->operand, &order) && order <= 0;
    case TEST_IN:
        return is_among(value, test->operand);
    case TEST_REGEX:
        return json_is_string(value) && pattern_found(test->pattern, document_string(value));
    case TEST_OPERATOR_COUNT:
        break;
    }
    return false;
}

/* What the test is about; NULL when it is not there. */
static const json_t *find_value(const struct matcher_test *test, const json_t *object) {
    if (test->member[0] == '\0' || test->member[0] == '/')
        return document_find(object, test->member);
    return json_object_get(object, test->member);
}

/* Do all tests of the member whose first is number `*i`; *i moves behind them. */
static bool member_passes(const struct matcher *matcher, size_t *i, const json_t *value) {
    const char *member = matcher->tests[*i].member;
    bool passes = true;
    for (; *i < matcher->count && matcher->tests[*i].member == member; (*i)++)
        passes = passes && test_passes(&matcher->tests[*i], value == NULL ? json_null() : value);
    return passes;
}

size_t matcher_misses(const struct matcher *matcher, const json_t *object) {
    size_t misses = 0;
    for (size_t i = 0; i < matcher->count;)
        misses += !member_passes(matcher, &i, find_value(&matcher->tests[i], object));
    return misses;
}

json_t *matcher_difference(const char *member, const json_t *expected, const json_t *actual) {
    json_t *difference = json_object();
    json_object_set_new(difference, "member", json_string(member));
    json_object_set_new(difference, "expected", document_excerpt(expected, EXCERPT_MAX));
    json_object_set_new(difference, "actual", document_excerpt(actual, EXCERPT_MAX));
    return difference;
}

json_t *matcher_differences(const struct matcher *matcher, const json_t *object) {
    json_t *differences = json_array();
    for (size_t i = 0; i < matcher->count;) {
        const struct matcher_test *first = &matcher->tests[i];
        const json_t *value = find_value(first, object);
        if (!member_passes(matcher, &i, value))
            json_array_append_new(differences, matcher_difference(first->member, first->expected, value));
    }
    return differences;
}
