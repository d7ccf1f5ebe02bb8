#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "db/writer.h"

enum { RECORDS_MAX = 4096 };

/* A stand-in for the database: keeps the numbers it is given, batch by batch. */
struct fixture {
    uv_loop_t loop;
    uv_timer_t alive;
    uv_sem_t entered, may_leave; /* used while `gated` */
    bool gated;
    enum store_result result;
    struct writer *writer;
    uv_thread_t loop_thread;
    uint64_t numbers[RECORDS_MAX];
    size_t number_count;
    size_t batch_ends[RECORDS_MAX]; /* number_count after each batch */
    size_t batch_count;
    size_t tidied;
    bool ran_on_loop;
    /* completions */
    uint64_t done[RECORDS_MAX];
    enum store_result results[RECORDS_MAX];
    size_t done_count;
};

static enum store_result run(void *arg, uint8_t *records, size_t len, char *problem, size_t problem_size) {
    struct fixture *f = arg;
    uv_thread_t self = uv_thread_self();
    f->ran_on_loop |= uv_thread_equal(&self, &f->loop_thread) != 0;
    if (f->gated) {
        uv_sem_post(&f->entered);
        uv_sem_wait(&f->may_leave);
    }
    for (size_t at = 0; at < len && f->number_count < RECORDS_MAX; at += sizeof(uint64_t))
        memcpy(&f->numbers[f->number_count++], records + at, sizeof(uint64_t));
    f->batch_ends[f->batch_count++] = f->number_count;
    if (f->result != STORE_OK)
        snprintf(problem, problem_size, "the disk is on fire");
    return f->result;
}

static void tidy(void *arg) {
    struct fixture *f = arg;
    f->tidied++;
}

static void on_timer(uv_timer_t *timer) {
    (void)timer;
}

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    uv_loop_init(&f.loop);
    uv_timer_init(&f.loop, &f.alive);
    uv_timer_start(&f.alive, on_timer, 1000000, 1000000);
    uv_sem_init(&f.entered, 0);
    uv_sem_init(&f.may_leave, 0);
    f.loop_thread = uv_thread_self();
    f.writer = writer_new(&f.loop, 1 << 20, run, tidy, &f);
    *state = &f;
    return f.writer == NULL;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    if (f->writer != NULL)
        writer_close(f->writer);
    uv_close((uv_handle_t *)&f->alive, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    uv_sem_destroy(&f->entered);
    uv_sem_destroy(&f->may_leave);
    return uv_loop_close(&f->loop);
}

/* What a completion belongs to. */
struct ticket {
    struct fixture *f;
    uint64_t number;
};

static struct ticket tickets[RECORDS_MAX];

static void on_done(void *arg, enum store_result result) {
    struct ticket *ticket = arg;
    struct fixture *f = ticket->f;
    f->done[f->done_count] = ticket->number;
    f->results[f->done_count++] = result;
}

static bool put(struct fixture *f, uint64_t number) {
    tickets[number] = (struct ticket){.f = f, .number = number};
    uint8_t *at = writer_put(f->writer, sizeof number, on_done, &tickets[number]);
    if (at != NULL)
        memcpy(at, &number, sizeof number);
    return at != NULL;
}

static void turn_until_done(struct fixture *f, size_t count) {
    while (f->done_count < count)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void test_records_and_completions_keep_their_order(void **state) {
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 3000; i++) {
        assert_true(put(f, i));
        if (i % 100 == 0)
            uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    turn_until_done(f, 3000);
    assert_int_equal(f->number_count, 3000);
    for (uint64_t i = 0; i < 3000; i++) {
        assert_int_equal(f->numbers[i], i);
        assert_int_equal(f->done[i], i);
        assert_int_equal(f->results[i], STORE_OK);
    }
    assert_false(f->ran_on_loop);
}

static void test_what_one_turn_of_the_loop_brings_is_one_transaction(void **state) {
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 500; i++)
        assert_true(put(f, i));
    assert_int_equal(f->batch_count, 0);
    turn_until_done(f, 500);
    assert_int_equal(f->batch_count, 1);
    assert_int_equal(writer_counters(f->writer).transactions, 1);
    assert_int_equal(writer_counters(f->writer).writes, 500);
}

static void test_what_arrives_during_a_transaction_gathers_for_the_next(void **state) {
    struct fixture *f = *state;
    f->gated = true;
    put(f, 0);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    uv_sem_wait(&f->entered); /* the first transaction is under way */
    for (uint64_t i = 1; i <= 50; i++) {
        put(f, i);
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(f->done_count, 0);
    assert_int_equal(writer_counters(f->writer).queued_writes, 51);
    uv_sem_post(&f->may_leave);
    uv_sem_post(&f->may_leave);
    turn_until_done(f, 51);
    assert_int_equal(f->batch_count, 2);
    assert_int_equal(f->batch_ends[0], 1);
    assert_int_equal(f->batch_ends[1], 51);
    assert_int_equal(writer_counters(f->writer).queued_writes, 0);
    assert_int_equal(writer_counters(f->writer).queued_bytes, 0);
    f->gated = false;
}

static void test_a_large_batch_does_not_wait_for_the_end_of_the_turn(void **state) {
    struct fixture *f = *state;
    f->gated = true;
    memset(writer_put(f->writer, 100000, NULL, NULL), 0, 100000);
    put(f, 1);
    uv_sem_wait(&f->entered); /* without a turn of the loop */
    f->gated = false;
    uv_sem_post(&f->may_leave);
    turn_until_done(f, 1);
    assert_int_equal(f->batch_count, 2);
}

static void test_after_a_large_transaction_the_loop_goes_on_in_between(void **state) {
    struct fixture *f = *state;
    size_t before, turns = 0;
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(put(f, i));
    while (f->done_count < 1000) {
        before = f->done_count;
        uv_run(&f->loop, UV_RUN_ONCE);
        assert_true(f->done_count - before <= 256);
        if (f->done_count > before && turns++ == 0)
            assert_true(put(f, 1000)); /* the next transaction is over before all have been told of this one */
    }
    turn_until_done(f, 1001);
    assert_int_equal(f->batch_count, 2);
    assert_true(turns >= 1000 / 256);
    for (uint64_t i = 0; i <= 1000; i++)
        assert_int_equal(f->done[i], i);
}

static void test_at_the_end_everybody_is_told(void **state) {
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(put(f, i));
    turn_until_done(f, 1);
    assert_true(put(f, 1000));
    writer_close(f->writer);
    f->writer = NULL;
    assert_int_equal(f->done_count, 1001);
    for (uint64_t i = 0; i <= 1000; i++)
        assert_int_equal(f->done[i], i);
}

static void test_everyone_in_a_failed_transaction_is_told(void **state) {
    struct fixture *f = *state;
    f->result = STORE_DISK_FULL;
    for (uint64_t i = 0; i < 3; i++)
        put(f, i);
    turn_until_done(f, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(f->results[i], STORE_DISK_FULL);
    assert_string_equal(writer_problem(f->writer), "the disk is on fire");
    assert_int_equal(writer_counters(f->writer).failed_transactions, 1);
}

static void test_the_problem_is_over_with_the_first_transaction_that_succeeds(void **state) {
    struct fixture *f = *state;
    assert_null(writer_problem(f->writer));
    f->result = STORE_IO;
    put(f, 0);
    turn_until_done(f, 1);
    assert_non_null(writer_problem(f->writer));
    f->result = STORE_OK;
    put(f, 1);
    turn_until_done(f, 2);
    assert_int_equal(f->results[1], STORE_OK);
    assert_null(writer_problem(f->writer));
}

static void test_a_full_queue_refuses_and_takes_again_later(void **state) {
    struct fixture *f = *state;
    writer_close(f->writer);
    f->writer = writer_new(&f->loop, 100 * sizeof(uint64_t), run, tidy, f);
    f->gated = true;
    uint64_t taken = 0;
    for (; put(f, taken); taken++) {
        assert_true(taken < 100);
        if (taken == 10)
            uv_run(&f->loop, UV_RUN_NOWAIT); /* those under way count too */
    }
    assert_int_equal(taken, 100);
    uv_sem_wait(&f->entered);
    f->gated = false;
    uv_sem_post(&f->may_leave);
    turn_until_done(f, taken);
    assert_true(put(f, taken));
    turn_until_done(f, taken + 1);
    assert_int_equal(f->number_count, taken + 1);
}

static void test_an_empty_queue_takes_a_record_larger_than_itself(void **state) {
    struct fixture *f = *state;
    uint8_t *at = writer_put(f->writer, 2 << 20, NULL, NULL);
    assert_non_null(at);
    memset(at, 0, 2 << 20);
    assert_false(put(f, 1));
}

struct chain {
    struct fixture *f;
    uint64_t left;
};

static void put_another(void *arg, enum store_result result) {
    struct chain *chain = arg;
    assert_int_equal(result, STORE_OK);
    if (--chain->left == 0)
        return;
    uint8_t *at = writer_put(chain->f->writer, sizeof chain->left, put_another, chain);
    assert_non_null(at);
    memcpy(at, &chain->left, sizeof chain->left);
}

static void test_closing_runs_what_is_queued_and_what_completions_queue(void **state) {
    struct fixture *f = *state;
    struct chain chain = {.f = f, .left = 5};
    memset(writer_put(f->writer, sizeof chain.left, put_another, &chain), 0, sizeof chain.left);
    put(f, 1);
    assert_true(writer_close(f->writer));
    f->writer = NULL;
    assert_int_equal(chain.left, 0);
    assert_int_equal(f->done_count, 1);
    assert_int_equal(f->number_count, 6);
}

static void test_closing_tells_when_the_last_transaction_failed(void **state) {
    struct fixture *f = *state;
    f->result = STORE_IO;
    put(f, 1);
    assert_false(writer_close(f->writer));
    f->writer = NULL;
    assert_int_equal(f->results[0], STORE_IO);
}

static void test_there_is_time_to_tidy_after_each_batch(void **state) {
    struct fixture *f = *state;
    put(f, 1);
    turn_until_done(f, 1);
    put(f, 2);
    writer_close(f->writer);
    f->writer = NULL;
    assert_int_equal(f->batch_count, 2);
    assert_int_equal(f->tidied, 2);
}

static void test_the_writer_does_not_keep_the_loop_alive(void **state) {
    struct fixture *f = *state;
    uv_unref((uv_handle_t *)&f->alive);
    assert_int_equal(uv_loop_alive(&f->loop), 0);
    uv_ref((uv_handle_t *)&f->alive);
}

int main(void) {
#define WRITER_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WRITER_TEST(test_records_and_completions_keep_their_order),
        WRITER_TEST(test_what_one_turn_of_the_loop_brings_is_one_transaction),
        WRITER_TEST(test_what_arrives_during_a_transaction_gathers_for_the_next),
        WRITER_TEST(test_a_large_batch_does_not_wait_for_the_end_of_the_turn),
        WRITER_TEST(test_after_a_large_transaction_the_loop_goes_on_in_between),
        WRITER_TEST(test_at_the_end_everybody_is_told),
        WRITER_TEST(test_everyone_in_a_failed_transaction_is_told),
        WRITER_TEST(test_the_problem_is_over_with_the_first_transaction_that_succeeds),
        WRITER_TEST(test_a_full_queue_refuses_and_takes_again_later),
        WRITER_TEST(test_an_empty_queue_takes_a_record_larger_than_itself),
        WRITER_TEST(test_closing_runs_what_is_queued_and_what_completions_queue),
        WRITER_TEST(test_closing_tells_when_the_last_transaction_failed),
        WRITER_TEST(test_there_is_time_to_tidy_after_each_batch),
        WRITER_TEST(test_the_writer_does_not_keep_the_loop_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
