#include "web/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

struct pattern {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

void pattern_free(struct pattern *pattern) {
    if (pattern == NULL)
        return;
    pcre2_match_context_free(pattern->limits);
    pcre2_match_data_free(pattern->data);
    pcre2_code_free(pattern->code);
    free(pattern);
}

static pcre2_code *compile(struct slice text, int *error, size_t *at) {
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL) {
        *error = PCRE2_ERROR_NOMEMORY;
        *at = 0;
        return NULL;
    }
    pcre2_set_parens_nest_limit(context, PATTERN_DEPTH_MAX);
    pcre2_code *code = pcre2_compile(text.data, text.len, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY,
                                     error, at, context);
    pcre2_compile_context_free(context);
    return code;
}

static size_t size_of(const pcre2_code *code) {
    size_t size = 0;
    pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
    return size;
}

/* False when there is no memory. */
static bool make_room(struct pattern *pattern) {
    pattern->data = pcre2_match_data_create(1, NULL);
    pattern->limits = pcre2_match_context_create(NULL);
    if (pattern->data == NULL || pattern->limits == NULL)
        return false;
    pcre2_set_match_limit(pattern->limits, PATTERN_STEPS_MAX);
    pcre2_set_heap_limit(pattern->limits, PATTERN_HEAP_MAX_KIB);
    return true;
}

static struct pattern *refuse(struct pattern *pattern, char problem[PATTERN_PROBLEM_MAX], const char *why) {
    snprintf(problem, PATTERN_PROBLEM_MAX, "%s", why);
    pattern_free(pattern);
    return NULL;
}

struct pattern *pattern_compile(struct slice text, char problem[PATTERN_PROBLEM_MAX], size_t *at) {
    struct pattern *pattern = calloc(1, sizeof *pattern);
    PCRE2_UCHAR why[PATTERN_PROBLEM_MAX];
    int error = PCRE2_ERROR_NOMEMORY;
    *at = PATTERN_MAX;
    if (text.len > PATTERN_MAX)
        return refuse(pattern, problem, "it is too long");
    if (pattern != NULL)
        pattern->code = compile(text, &error, at);
    if (pattern == NULL || pattern->code == NULL) {
        pcre2_get_error_message(error, why, sizeof why);
        return refuse(pattern, problem, (const char *)why);
    }
    *at = text.len;
    if (size_of(pattern->code) > PATTERN_SIZE_MAX)
        return refuse(pattern, problem, "it repeats too much");
    return make_room(pattern) ? pattern : refuse(pattern, problem, "there is no memory for it");
}

/* At most so many bytes, and no character in half. */
static struct slice cut(struct slice text, size_t max) {
    if (text.len <= max)
        return text;
    while (max > 0 && (text.data[max] & 0xC0) == 0x80)
        max--;
    return slice_of(text.data, max);
}

bool pattern_found(struct pattern *pattern, struct slice text) {
    struct slice seen = cut(text, PATTERN_TEXT_MAX);
    uint32_t options = seen.len < text.len ? PCRE2_NOTEOL : 0;
    return pcre2_match(pattern->code, seen.data, seen.len, 0, options, pattern->data, pattern->limits) >= 0;
}
