/* Calls and answers as bytes, and as the API shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "web/v1/job.h"
#include "web/v1/queued_json.h"

static struct slice header(const struct http_request *request, const char *name) {
    (void)request;
    if (strcmp(name, "accept") == 0)
        return slice_str("text/plain");
    return strcmp(name, "authorization") == 0 ? slice_str("Bearer secret") : SLICE_NONE;
}

static const struct http_internal internal = {.header = header};

static uint8_t memory[4096];

static struct slice job_bytes(void) {
    struct http_request request = {.method = "PUT",
                                   .path = slice_str("/v1/devices/a%2Fb/3/0/14"),
                                   .query = slice_str("format=tlv"),
                                   .body = slice_of("\0\xff", 2),
                                   .internal = &internal};
    struct buffer out = buffer_over(memory, job_size(&request));
    job_write(&request, &out);
    assert_false(out.overflow);
    return buffer_slice(&out);
}

static struct slice result_bytes(unsigned status, const char *type, const char *headers, const char *body) {
    static uint8_t bytes[4096];
    struct http_response response = {
        .status = status, .content_type = type, .headers = headers, .body = slice_str(body)};
    assert_in_range(job_result_size(&response), 0, sizeof bytes);
    struct buffer out = buffer_over(bytes, job_result_size(&response));
    job_result_write(&response, &out);
    assert_false(out.overflow);
    return buffer_slice(&out);
}

static void test_a_call_comes_back_as_it_was(void **state) {
    struct job job;
    (void)state;
    assert_true(job_read(job_bytes(), &job));
    assert_string_equal(job.method, "PUT");
    assert_true(slice_is(job.path, "/v1/devices/a%2Fb/3/0/14"));
    assert_true(slice_is(job.query, "format=tlv"));
    assert_true(slice_is(job.accept, "text/plain"));
    assert_null(job.content_type.data);
    assert_true(slice_equal(job.body, slice_of("\0\xff", 2)));
}

static void test_a_key_is_not_kept(void **state) {
    struct slice bytes = job_bytes();
    (void)state;
    assert_null(memmem(bytes.data, bytes.len, "secret", 6));
}

static void test_an_answer_comes_back_as_it_was(void **state) {
    struct job_result result;
    (void)state;
    assert_true(job_result_read(result_bytes(200, "text/plain", "CoAP-Code: 2.05\r\n", "95"), &result));
    assert_int_equal(result.status, 200);
    assert_string_equal(result.content_type, "text/plain");
    assert_true(slice_is(result.headers, "CoAP-Code: 2.05\r\n"));
    assert_true(slice_is(result.body, "95"));
    assert_true(job_result_read(result_bytes(204, NULL, NULL, ""), &result));
    assert_string_equal(result.content_type, "");
}

/* Cut anywhere, or of a form that is not ours: refused, and never read past the end. */
static void test_what_is_no_job_is_refused(void **state) {
    struct slice whole = job_bytes();
    struct job job;
    struct job_result result;
    (void)state;
    for (size_t len = 0; len < whole.len; len++) {
        uint8_t *cut = malloc(len + 1);
        memcpy(cut, whole.data, len);
        assert_false(job_read(slice_of(cut, len), &job));
        free(cut);
    }
    uint8_t longer[4096];
    memcpy(longer, whole.data, whole.len);
    longer[whole.len] = 0;
    assert_false(job_read(slice_of(longer, whole.len + 1), &job));
    longer[1] = 2; /* the next form */
    assert_false(job_read(slice_of(longer, whole.len), &job));
    whole = result_bytes(404, "application/json", "", "{}");
    for (size_t len = 0; len < whole.len; len++)
        assert_false(job_result_read(slice_of(whole.data, len), &result));
    assert_false(job_result_read(result_bytes(99, NULL, NULL, ""), &result));
    assert_false(job_result_read(result_bytes(600, NULL, NULL, ""), &result));
    char type[JOB_TYPE_MAX + 1];
    memset(type, 'a', JOB_TYPE_MAX);
    type[JOB_TYPE_MAX] = '\0';
    assert_false(job_result_read(result_bytes(200, type, NULL, ""), &result));
}

/* ---- as JSON ---- */

static void assert_response(enum queue_state state, struct slice result, const char *expected) {
    struct queued_request request = {.id = 17,
                                     .endpoint = slice_str("a/b"),
                                     .job = job_bytes(),
                                     .result = result,
                                     .state = state,
                                     .attempts = 2,
                                     .created_at_ms = 1000,
                                     .expires_at_ms = 2000,
                                     .completed_at_ms = 1500};
    char *text = queued_json_with_response(&request);
    static const char begin[] =
        "{\"id\":17,\"endpoint\":\"a/b\",\"method\":\"PUT\",\"path\":\"/v1/devices/a%2Fb/3/0/14?format=tlv\",";
    assert_memory_equal(text, begin, sizeof begin - 1);
    assert_non_null(strstr(text, "\"created_at\":\"1970-01-01T00:00:01.000Z\""));
    assert_non_null(strstr(text, "\"expires_at\":\"1970-01-01T00:00:02.000Z\""));
    assert_non_null(strstr(text, "\"completed_at\":\"1970-01-01T00:00:01.500Z\""));
    const char *response = strstr(text, "\"response\":");
    assert_non_null(response);
    assert_string_equal(response + strlen("\"response\":"), expected);
    json_t *json = json_loads(text, 0, NULL);
    if (strstr(text, "18446744073709551615") == NULL)
        assert_non_null(json);
    json_decref(json);
    free(text);
}

static void test_a_JSON_body_is_shown_to_the_last_digit(void **state) {
    (void)state;
    assert_response(QUEUE_COMPLETED,
                    result_bytes(200, "application/json", "CoAP-Code: 2.05\r\nX: a: b\r\n",
                                 "{\"value\":18446744073709551615,\"x\":1.10}"),
                    "{\"status\":200,\"headers\":{\"CoAP-Code\":\"2.05\",\"X\":\"a: b\"},"
                    "\"content_type\":\"application/json\",\"body\":{\"value\":18446744073709551615,\"x\":1.10}}}");
}

static void test_other_bodies_are_text_or_base64(void **state) {
    (void)state;
    assert_response(QUEUE_COMPLETED, result_bytes(200, "text/plain", NULL, "a\"\xff"),
                    "{\"status\":200,\"headers\":{},\"content_type\":\"text/plain\",\"body\":\"a\\\"\xEF\xBF\xBD\"}}");
    assert_response(QUEUE_COMPLETED, result_bytes(200, "application/octet-stream", NULL, "abc"),
                    "{\"status\":200,\"headers\":{},\"content_type\":\"application/octet-stream\","
                    "\"body_b64\":\"YWJj\"}}");
    assert_response(QUEUE_COMPLETED, result_bytes(204, NULL, NULL, ""),
                    "{\"status\":204,\"headers\":{},\"content_type\":null}}");
    assert_response(QUEUE_COMPLETED, result_bytes(200, "application/senml+json", NULL, "[]"),
                    "{\"status\":200,\"headers\":{},\"content_type\":\"application/senml+json\",\"body\":[]}}");
}

static void assert_problem(enum queue_state state, const char *slug, unsigned status) {
    struct queued_request request = {.state = state, .endpoint = slice_str("dev1")};
    struct queued_answer answer;
    queued_answer_of(&request, &answer);
    assert_int_equal(answer.result.status, status);
    assert_string_equal(answer.result.content_type, "application/problem+json");
    assert_non_null(strstr(answer.owned, slug));
    assert_non_null(strstr(answer.owned, "\"endpoint\":\"dev1\""));
    queued_answer_free(&answer);
}

static void test_what_has_no_result_is_a_problem(void **state) {
    (void)state;
    assert_problem(QUEUE_EXPIRED, "/expired\"", 504);
    assert_problem(QUEUE_CANCELLED, "/cancelled\"", 410);
    assert_problem(QUEUE_ENDED, "/registration-gone\"", 410);
    assert_problem(QUEUE_FAILED, "/overloaded\"", 503);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_comes_back_as_it_was),
        cmocka_unit_test(test_a_key_is_not_kept),
        cmocka_unit_test(test_an_answer_comes_back_as_it_was),
        cmocka_unit_test(test_what_is_no_job_is_refused),
        cmocka_unit_test(test_a_JSON_body_is_shown_to_the_last_digit),
        cmocka_unit_test(test_other_bodies_are_text_or_base64),
        cmocka_unit_test(test_what_has_no_result_is_a_problem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
