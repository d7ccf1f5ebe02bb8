/* Records between two threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <uv.h>

#include "common/base/ring.h"

enum {
    SIZE = 256,
    BETWEEN_THREADS = 16384, /* neither waits for the other so often that a busy machine makes it last */
};

static int start(void **state) {
    *state = ring_new(SIZE);
    return *state == NULL;
}

static int start_between_threads(void **state) {
    *state = ring_new(BETWEEN_THREADS);
    return *state == NULL;
}

static int stop(void **state) {
    ring_free(*state);
    return 0;
}

static bool put_text(struct ring *ring, const char *text) {
    void *room = ring_put(ring, strlen(text));
    if (room != NULL)
        memcpy(room, text, strlen(text));
    return room != NULL;
}

static void assert_taken(struct ring *ring, const char *text) {
    size_t len = 0;
    const char *record = ring_take(ring, &len);
    assert_non_null(record);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(record, text, len);
}

static void test_records_come_in_order_once_they_are_published(void **state) {
    struct ring *ring = *state;
    size_t len;
    assert_true(put_text(ring, "one"));
    assert_true(put_text(ring, "and the second one"));
    assert_null(ring_take(ring, &len));
    assert_false(ring_has_record(ring));
    assert_true(ring_publish(ring));
    assert_false(ring_publish(ring));
    assert_true(put_text(ring, "not yet"));
    assert_taken(ring, "one");
    assert_taken(ring, "and the second one");
    assert_null(ring_take(ring, &len));
    assert_true(ring_publish(ring));
    assert_taken(ring, "not yet");
}

static void test_empty_records_are_records(void **state) {
    struct ring *ring = *state;
    assert_true(put_text(ring, ""));
    assert_true(put_text(ring, "x"));
    ring_publish(ring);
    assert_taken(ring, "");
    assert_taken(ring, "x");
}

static void test_records_are_aligned(void **state) {
    struct ring *ring = *state;
    for (size_t len = 0; len < 12; len++)
        assert_int_equal((uintptr_t)ring_put(ring, len) % 8, 0);
}

static void test_a_full_ring_takes_nothing_until_something_is_released(void **state) {
    struct ring *ring = *state;
    size_t count = 0, len;
    while (put_text(ring, "12345678"))
        count++;
    assert_int_equal(count, SIZE / 16);
    assert_int_equal(ring_used(ring), 0); /* nobody was told */
    ring_publish(ring);
    assert_int_equal(ring_used(ring), SIZE);
    assert_non_null(ring_take(ring, &len));
    assert_false(put_text(ring, "12345678"));
    ring_release(ring);
    assert_int_equal(ring_used(ring), SIZE - 16);
    assert_false(put_text(ring, "123456789"));
    assert_true(put_text(ring, "12345678"));
    assert_false(put_text(ring, ""));
}

static void test_the_longest_record_fits_wherever_the_ring_stands(void **state) {
    struct ring *ring = *state;
    size_t longest = ring_record_max(SIZE), len;
    for (size_t at = 0; at < SIZE / 8; at++) {
        uint8_t *room = ring_put(ring, longest);
        assert_non_null(room);
        memset(room, (int)at, longest);
        ring_publish(ring);
        uint8_t *record = ring_take(ring, &len);
        assert_int_equal(len, longest);
        assert_int_equal(record[0], at);
        assert_int_equal(record[longest - 1], at);
        ring_release(ring);
        assert_non_null(ring_put(ring, 0)); /* one place further each time */
        ring_publish(ring);
        assert_non_null(ring_take(ring, &len));
        ring_release(ring);
    }
    assert_null(ring_put(ring, SIZE));
}

/* ---- two threads ---- */

enum { RECORDS = 20000 };

struct handing {
    struct ring *ring;
    atomic_bool done;
};

static size_t length_of(uint32_t number) {
    return 4 + number * 2654435761u % 97;
}

static void write_all(void *arg) {
    struct handing *handing = arg;
    for (uint32_t i = 0; i < RECORDS; i++) {
        uint8_t *room;
        while ((room = ring_put(handing->ring, length_of(i))) == NULL) {
            ring_publish(handing->ring);
            sched_yield();
        }
        memset(room, (int)(i & 0xff), length_of(i));
        memcpy(room, &i, sizeof i);
        if (i % 3 == 0)
            ring_publish(handing->ring);
    }
    ring_publish(handing->ring);
    atomic_store(&handing->done, true);
}

/* Counts itself: ThreadSanitizer sees every access on the way. */
static void test_two_threads_hand_over_every_record_once_and_whole(void **state) {
    struct handing handing = {.ring = *state};
    uv_thread_t writer;
    assert_int_equal(uv_thread_create(&writer, write_all, &handing), 0);
    uint32_t next = 0;
    for (;;) {
        size_t len;
        bool was_last = atomic_load(&handing.done);
        uint8_t *record = ring_take(handing.ring, &len);
        if (record == NULL) {
            if (was_last)
                break;
            sched_yield();
            continue;
        }
        uint32_t number;
        memcpy(&number, record, sizeof number);
        assert_int_equal(number, next);
        assert_int_equal(len, length_of(next));
        for (size_t i = sizeof number; i < len; i++)
            assert_int_equal(record[i], next & 0xff);
        record[0] = 0xee; /* the reader's to change */
        if (next++ % 5 == 0)
            ring_release(handing.ring);
        else if (!ring_has_record(handing.ring))
            ring_release(handing.ring);
    }
    assert_int_equal(next, RECORDS);
    assert_int_equal(uv_thread_join(&writer), 0);
}

/* One sleeps when it has nothing to do, and says so first; the other wakes it. Nobody sleeps for ever. */
struct sleeping {
    struct ring *ring;
    atomic_bool asleep;
    uv_sem_t bell;
};

static void write_and_wake(void *arg) {
    struct sleeping *sleeping = arg;
    for (uint32_t i = 0; i < RECORDS; i++) {
        while (ring_put(sleeping->ring, 8) == NULL)
            sched_yield();
        ring_publish(sleeping->ring);
        if (atomic_exchange(&sleeping->asleep, false))
            uv_sem_post(&sleeping->bell);
    }
}

static void test_whoever_says_that_it_sleeps_is_woken(void **state) {
    struct sleeping sleeping = {.ring = *state};
    uv_thread_t writer;
    assert_int_equal(uv_sem_init(&sleeping.bell, 0), 0);
    assert_int_equal(uv_thread_create(&writer, write_and_wake, &sleeping), 0);
    for (uint32_t seen = 0; seen < RECORDS;) {
        size_t len;
        while (ring_take(sleeping.ring, &len) != NULL)
            seen++;
        ring_release(sleeping.ring);
        if (seen == RECORDS)
            break;
        atomic_store(&sleeping.asleep, true);
        if (!ring_has_record(sleeping.ring))
            uv_sem_wait(&sleeping.bell);
        else if (!atomic_exchange(&sleeping.asleep, false))
            uv_sem_wait(&sleeping.bell); /* it was rung all the same */
    }
    assert_int_equal(uv_thread_join(&writer), 0);
    uv_sem_destroy(&sleeping.bell);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_records_come_in_order_once_they_are_published),
        TEST(test_empty_records_are_records),
        TEST(test_records_are_aligned),
        TEST(test_a_full_ring_takes_nothing_until_something_is_released),
        TEST(test_the_longest_record_fits_wherever_the_ring_stands),
        cmocka_unit_test_setup_teardown(test_two_threads_hand_over_every_record_once_and_whole, start_between_threads,
                                        stop),
        cmocka_unit_test_setup_teardown(test_whoever_says_that_it_sleeps_is_woken, start_between_threads, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
