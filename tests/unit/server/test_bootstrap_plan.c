/* Plans: what is done in which order, with which ids; and the bytes of configurations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/coap/option.h"
#include "server/bootstrap_plan.h"
#include "server/bootstrap_request.h"

static struct bootstrap_config config;
static const struct bootstrap_facts nothing = {.device_id = {NULL, 0}};

/* "DELETE /0 WRITE /0/1 …" of a plan. */
static void put_steps(const struct bootstrap_plan *plan, struct buffer *out) {
    for (size_t i = 0; i < plan->step_count; i++) {
        buffer_printf(out, "%s%s ", i == 0 ? "" : " ", bootstrap_verb_name(plan->steps[i].verb));
        lwm2m_path_put(out, &plan->steps[i].path);
    }
}

static void expect_steps(enum bootstrap_sequence sequence, const struct bootstrap_facts *facts, const char *expected) {
    char text[512];
    struct buffer out = buffer_over(text, sizeof text - 1);
    const char *problem = "";
    struct bootstrap_plan *plan = bootstrap_plan_give(&config, sequence, facts, &problem);
    if (plan == NULL)
        fail_msg("no plan: %s", problem);
    put_steps(plan, &out);
    text[out.len] = '\0';
    assert_string_equal(text, expected);
    bootstrap_plan_free(plan);
}

static void begin(void) {
    bootstrap_config_default(&config);
    config.accounts[0].security = BOOTSTRAP_NONE;
    config.accounts[0].uri = slice_str("coap://h");
}

static void add_write(const struct lwm2m_path *target, const struct lwm2m_path *path) {
    config.writes.paths[config.writes.count++] = *target;
    config.nodes[config.node_count++] = (struct lwm2m_node){.path = *path, .value = lwm2m_string("{endpoint}")};
}

static void add_resource(uint16_t object, uint16_t instance, uint16_t resource) {
    struct lwm2m_path path = {.ids = {object, instance, resource}, .len = 3};
    struct lwm2m_path target = {.ids = {object, instance}, .len = 2};
    add_write(&target, &path);
}

static void test_BS_10_the_order_of_objects(void **state) {
    (void)state;
    begin();
    add_resource(5, 0, 1);
    add_resource(2, 0, 0);
    add_resource(23, 0, 0);
    config.accounts[0].has_oscore = true;
    expect_steps(BOOTSTRAP_STANDARD, &nothing,
                 "delete /0 delete /1 write /0/1 write /21/0 write /23/0 write /1/0 write /2/0 write /5/0 finish /");
    expect_steps(BOOTSTRAP_PACK, &nothing, "write /");
}

static void test_BS_13_whole_objects_in_the_vendors_sequence(void **state) {
    (void)state;
    begin();
    add_resource(3, 0, 14);
    add_resource(5, 0, 1);
    add_resource(5, 1, 1);
    expect_steps(BOOTSTRAP_PELION, &nothing, "delete /0 write /0 write /1 write /3 write /5 finish /");
}

static void test_BS_34_ids_that_are_free(void **state) {
    (void)state;
    struct bootstrap_facts facts = {.device_id = {NULL, 0}};
    bootstrap_discovered(slice_str("</0/1>,</0/0>;ssid=3,</21/0>,</1/0>"), &facts);
    assert_int_equal(facts.occupied_count, 2);
    begin();
    config.account_count = 3;
    config.accounts[1] = config.accounts[2] = config.accounts[0];
    config.accounts[1].short_id = 2;
    config.accounts[1].security_instance = 2;
    config.accounts[1].server_instance = 0;
    config.accounts[2].short_id = 3;
    config.accounts[2].has_oscore = true;
    expect_steps(BOOTSTRAP_STANDARD, &facts,
                 "delete /0 delete /1 write /0/0 write /0/2 write /0/3 write /21/1 write /1/1 write /1/0 write /1/2 "
                 "finish /");
}

static void test_BS_34_a_bootstrap_account_takes_the_place_of_the_one_there(void **state) {
    (void)state;
    struct bootstrap_facts facts = {.device_id = {NULL, 0}};
    bootstrap_discovered(slice_str("</0/4>"), &facts);
    begin();
    config.accounts[0].is_bootstrap = true;
    expect_steps(BOOTSTRAP_STANDARD, &facts, "delete /0 delete /1 write /0/4 finish /");
    expect_steps(BOOTSTRAP_STANDARD, &nothing, "delete /0 delete /1 write /0/0 finish /");
}

static void test_a_value_that_is_written_twice_makes_no_plan(void **state) {
    (void)state;
    const char *problem = NULL;
    begin();
    add_resource(5, 0, 1);
    config.nodes[config.node_count++] = config.nodes[0];
    assert_null(bootstrap_plan_give(&config, BOOTSTRAP_STANDARD, &nothing, &problem));
    assert_non_null(problem);
}

static void test_templates(void **state) {
    (void)state;
    static const char *const texts[][2] = {{"{endpoint}", "E"}, {"a{id}b{account}", "aIbA"},
                                           {"{", "{"},          {"{x}{endpoint", "{x}{endpoint"},
                                           {"{{id}}", "{I}"},   {"", ""}};
    const struct bootstrap_facts facts = {
        .endpoint = slice_str("E"), .account = slice_str("A"), .device_id = slice_str("I")};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[64];
        struct buffer out = buffer_over(text, sizeof text);
        bootstrap_expand(&out, slice_str(texts[i][0]), &facts);
        assert_true(slice_is(buffer_slice(&out), texts[i][1]));
    }
}

static void test_LNK_17_what_a_discover_was_answered(void **state) {
    (void)state;
    static const struct {
        const char *links;
        size_t occupied;
    } answers[] = {{"", 0},
                   {"</0/0>", 1},
                   {"lwm2m=\"1.1\",</0/0>", 1},
                   {"</>;lwm2m=1.1,</0/0>;uri=\"coap://x\",</0/1>;ssid=101", 1},
                   {"lwm2m=1.0", 0},
                   {"</0/0", 0},
                   {"</0/0>,</0/1>,</0/2>,</0/3>,</0/4>,</0/5>,</0/6>,</0/7>,</0/8>,</0/9>,</0/10>,</0/11>,</0/12>,"
                    "</0/13>,</0/14>,</0/15>,</0/16>,</0/17>",
                    BOOTSTRAP_DISCOVERED_MAX}};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct bootstrap_facts facts = {.device_id = {NULL, 0}};
        bootstrap_discovered(slice_str(answers[i].links), &facts);
        assert_true(facts.knows_occupied);
        assert_int_equal(facts.occupied_count, answers[i].occupied);
    }
}

static void fill_everything(void) {
    begin();
    config.account_count = 2;
    config.accounts[1] = config.accounts[0];
    struct bootstrap_account *a = &config.accounts[1];
    a->short_id = 9;
    a->uri = slice_str("coaps://other");
    a->security = BOOTSTRAP_X509;
    a->key = slice_str("key");
    a->public_key = slice_str("certificate");
    a->server_key = slice_str("server");
    a->certificate_usage = 2;
    a->sni = slice_str("name");
    a->binding = slice_str("UQ");
    a->has_oscore = true;
    a->secret = slice_str("secret");
    a->sender_id = slice_str("s");
    a->recipient_id = slice_str("r");
    a->salt = slice_str("salt");
    a->id_context = slice_str("context");
    add_resource(5, 0, 1);
    config.nodes[config.node_count++] =
        (struct lwm2m_node){.path = {.ids = {5, 0, 2}, .len = 3}, .value = {.type = LWM2M_FLOAT, .real = -1.5}};
    config.nodes[config.node_count++] =
        (struct lwm2m_node){.path = {.ids = {5, 0, 3}, .len = 3}, .value = lwm2m_integer(-7)};
    config.has_deletes = true;
    config.deletes.paths[config.deletes.count++] = (struct lwm2m_path){.len = 0};
    config.on_error[BOOTSTRAP_WRITE] = BOOTSTRAP_RETRY;
    config.format = LWM2M_FORMAT_SENML_CBOR;
    config.sequence = BOOTSTRAP_STANDARD;
}

static void test_bytes_of_a_configuration_are_its_own(void **state) {
    (void)state;
    static uint8_t memory[4096], again[4096];
    static struct bootstrap_config read;
    struct buffer out = buffer_over(memory, sizeof memory), out_again = buffer_over(again, sizeof again);
    fill_everything();
    assert_true(bootstrap_config_encode(&config, &out));
    assert_true(bootstrap_config_decode(buffer_slice(&out), &read));
    assert_true(bootstrap_config_encode(&read, &out_again));
    assert_true(slice_equal(buffer_slice(&out), buffer_slice(&out_again)));
    assert_int_equal(read.accounts[1].certificate_usage, 2);
    assert_true(read.nodes[1].value.real == -1.5 && read.nodes[2].value.integer == -7);
    assert_int_equal(read.on_error[BOOTSTRAP_WRITE], BOOTSTRAP_RETRY);
}

static void test_bytes_cut_anywhere_are_no_configuration(void **state) {
    (void)state;
    static uint8_t memory[4096];
    static struct bootstrap_config read;
    struct buffer out = buffer_over(memory, sizeof memory);
    fill_everything();
    assert_true(bootstrap_config_encode(&config, &out));
    for (size_t len = 0; len < out.len; len++)
        assert_false(bootstrap_config_decode(slice_of(memory, len), &read));
    assert_false(bootstrap_config_decode(slice_of(memory, out.len + 1), &read));
    struct buffer small = buffer_over(memory, out.len - 1);
    assert_false(bootstrap_config_encode(&config, &small));
}

static void test_BS_03_formats(void **state) {
    (void)state;
    for (int format = -1; format < 12000; format++) {
        bool known = format == 110 || format == 112 || format == 11544;
        assert_int_equal(bootstrap_format_good(format, true), known);
        assert_int_equal(bootstrap_format_good(format, false), known || format == 11542);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_BS_10_the_order_of_objects),
        cmocka_unit_test(test_BS_13_whole_objects_in_the_vendors_sequence),
        cmocka_unit_test(test_BS_34_ids_that_are_free),
        cmocka_unit_test(test_BS_34_a_bootstrap_account_takes_the_place_of_the_one_there),
        cmocka_unit_test(test_a_value_that_is_written_twice_makes_no_plan),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_LNK_17_what_a_discover_was_answered),
        cmocka_unit_test(test_bytes_of_a_configuration_are_its_own),
        cmocka_unit_test(test_bytes_cut_anywhere_are_no_configuration),
        cmocka_unit_test(test_BS_03_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
