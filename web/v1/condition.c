#include "web/v1/condition.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

#include "web/document.h"

enum test_operator { TEST_EQ, TEST_NE, TEST_GT, TEST_GTE, TEST_LT, TEST_LTE, TEST_IN, TEST_REGEX, TEST_OPERATOR_COUNT };

static const char *const operator_names[TEST_OPERATOR_COUNT] = {"eq", "ne", "gt", "gte", "lt", "lte", "in", "regex"};

struct condition_test {
    const char *field;
    enum test_operator op;
    const json_t *operand;
    regex_t regex; /* of TEST_REGEX */
};

/* ---- reading ---- */

/* What a repetition such as {2,30} multiplies a pattern by; 1 when there is none at `at`. */
static unsigned repetition_at(const char *pattern, size_t at) {
    unsigned low = 0, high = 0;
    if (pattern[at] != '{')
        return 1;
    if (sscanf(pattern + at, "{%5u,%5u", &low, &high) < 1)
        sscanf(pattern + at, "{,%5u", &high);
    unsigned most = high > low ? high : low;
    return most > 1 ? most : 1;
}

/* The C library compiles a{9}{9}{9} by writing it out, and matches back-references by trying everything. */
static bool regex_is_bounded(const char *pattern) {
    unsigned long size = 1;
    for (size_t i = 0; pattern[i] != '\0'; i++) {
        if (pattern[i] == '\\' && pattern[i + 1] >= '0' && pattern[i + 1] <= '9')
            return false;
        if (pattern[i] == '\\' && pattern[i + 1] != '\0') {
            i++;
            continue;
        }
        size *= repetition_at(pattern, i);
        if (size > 1000)
            return false;
    }
    return true;
}

static bool compile_regex(struct condition_test *test, char *error, size_t error_size) {
    const char *pattern = json_string_value(test->operand);
    if (pattern == NULL || json_string_length(test->operand) > CONDITION_REGEX_MAX) {
        snprintf(error, error_size, "regex must be a string of at most %d bytes.", CONDITION_REGEX_MAX);
        return false;
    }
    if (!regex_is_bounded(pattern)) {
        snprintf(error, error_size, "regex repeats more than 1000 times, or has a back-reference.");
        return false;
    }
    int fault = regcomp(&test->regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (fault != 0) {
        char why[128];
        regerror(fault, &test->regex, why, sizeof why);
        snprintf(error, error_size, "regex \"%s\" is wrong: %s.", pattern, why);
        return false;
    }
    return true;
}

static bool operator_parse(const char *name, enum test_operator *op) {
    for (*op = TEST_EQ; *op < TEST_OPERATOR_COUNT; (*op)++)
        if (strcmp(name, operator_names[*op]) == 0)
            return true;
    return false;
}

static bool add_test(struct condition *condition, const char *field, enum test_operator op, const json_t *operand,
                     char *error, size_t error_size) {
    if (condition->test_count == CONDITION_TESTS_MAX) {
        snprintf(error, error_size, "match has more than %d tests.", CONDITION_TESTS_MAX);
        return false;
    }
    bool ordered = op >= TEST_GT && op <= TEST_LTE;
    if (ordered && !json_is_number(operand) && !json_is_string(operand)) {
        snprintf(error, error_size, "%s must be a number or a string.", operator_names[op]);
        return false;
    }
    if (op == TEST_IN && !json_is_array(operand)) {
        snprintf(error, error_size, "in must be a list of values.");
        return false;
    }
    struct condition_test *test = &condition->tests[condition->test_count];
    *test = (struct condition_test){.field = field, .op = op, .operand = operand};
    if (op == TEST_REGEX && !compile_regex(test, error, error_size))
        return false;
    condition->test_count++;
    return true;
}

static bool read_field(struct condition *condition, const char *field, const json_t *expected, char *error,
                       size_t error_size) {
    const char *name;
    json_t *operand;
    size_t known = 0;
    while (event_json_fields[known] != NULL && strcmp(event_json_fields[known], field) != 0)
        known++;
    if (event_json_fields[known] == NULL) {
        snprintf(error, error_size, "No event has a field \"%s\" to match.", field);
        return false;
    }
    if (!json_is_object(expected))
        return add_test(condition, field, TEST_EQ, expected, error, error_size);
    json_object_foreach((json_t *)(uintptr_t)expected, name, operand) {
        enum test_operator op;
        if (!operator_parse(name, &op)) {
            snprintf(error, error_size, "There is no operator \"%s\"; there are eq ne gt gte lt lte in regex.", name);
            return false;
        }
        if (!add_test(condition, field, op, operand, error, error_size))
            return false;
    }
    return true;
}

static bool read_match(struct condition *condition, const json_t *match, char *error, size_t error_size) {
    const char *field;
    json_t *expected;
    if (match == NULL)
        return true;
    if (!json_is_object(match)) {
        snprintf(error, error_size, "match must be an object of fields.");
        return false;
    }
    condition->tests = calloc(CONDITION_TESTS_MAX, sizeof *condition->tests);
    if (condition->tests == NULL) {
        snprintf(error, error_size, "The server is out of memory.");
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)match, field, expected) {
        if (!read_field(condition, field, expected, error, error_size))
            return false;
    }
    return true;
}

static bool add_type(event_types *types, const json_t *name, char *error, size_t error_size) {
    if (json_is_string(name) && event_types_add(types, document_string(name)))
        return true;
    snprintf(error, error_size, "\"%s\" is no type of event.", json_is_string(name) ? json_string_value(name) : "?");
    return false;
}

static bool read_types(struct condition *condition, const json_t *object, char *error, size_t error_size) {
    const json_t *type = json_object_get(object, "type"), *types = json_object_get(object, "types");
    const json_t *name;
    size_t index;
    if (type != NULL && types != NULL) {
        snprintf(error, error_size, "Give type or types, not both.");
        return false;
    }
    if (type == NULL && types == NULL) {
        condition->types = EVENT_TYPES_ALL;
        return true;
    }
    if (type != NULL)
        return add_type(&condition->types, type, error, error_size);
    if (!json_is_array(types) || json_array_size(types) == 0) {
        snprintf(error, error_size, "types must be a list of types of events.");
        return false;
    }
    json_array_foreach(types, index, name) {
        if (!add_type(&condition->types, name, error, error_size))
            return false;
    }
    return true;
}

bool condition_read(const json_t *object, struct condition *condition, char *error, size_t error_size) {
    *condition = (struct condition){.endpoint = json_object_get(object, "endpoint")};
    if (condition->endpoint != NULL && !json_is_string(condition->endpoint)) {
        snprintf(error, error_size, "endpoint must be a string.");
        return false;
    }
    if (read_types(condition, object, error, error_size) &&
        read_match(condition, json_object_get(object, "match"), error, error_size))
        return true;
    condition_free(condition);
    return false;
}

void condition_free(struct condition *condition) {
    for (size_t i = 0; i < condition->test_count; i++)
        if (condition->tests[i].op == TEST_REGEX)
            regfree(&condition->tests[i].regex);
    free(condition->tests);
    *condition = (struct condition){0};
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

static bool test_passes(const struct condition_test *test, const json_t *value) {
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
        return json_is_string(value) && regexec(&test->regex, json_string_value(value), 0, NULL, 0) == 0;
    case TEST_OPERATOR_COUNT:
        break;
    }
    return false;
}

static bool type_fits(const struct condition *condition, const struct event *event) {
    return (condition->types >> event->type & 1) != 0;
}

static bool endpoint_fits(const struct condition *condition, const struct event *event) {
    return slice_equal(document_string(condition->endpoint), event->endpoint);
}

bool condition_match(const struct condition *condition, const struct event *event, const json_t *json) {
    if (!type_fits(condition, event) || (condition->endpoint != NULL && !endpoint_fits(condition, event)))
        return false;
    for (size_t i = 0; i < condition->test_count; i++) {
        const json_t *value = json_object_get(json, condition->tests[i].field);
        if (!test_passes(&condition->tests[i], value == NULL ? json_null() : value))
            return false;
    }
    return true;
}

bool condition_near(const struct condition *condition, const struct event *event) {
    bool names_types = condition->types != EVENT_TYPES_ALL;
    if (condition->endpoint == NULL && !names_types)
        return true;
    return (names_types && type_fits(condition, event)) ||
           (condition->endpoint != NULL && endpoint_fits(condition, event));
}
