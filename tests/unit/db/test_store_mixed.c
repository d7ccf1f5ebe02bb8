/* Many writes of every kind that go into a few transactions, in an order that is drawn, and of which many are about the
 * same few registrations and sessions: what is there at the end is what the last of them said. A backend may write in
 * another order than it is told, if nobody can see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/db/store_bench.h"

enum { IDS = 400, ROUNDS = 5, WRITES = 3000, REFRESHES = 40 };

/* What should be there; 0: it is not. `seen` counts what was loaded. */
struct row {
    uint64_t put, refreshed; /* moments */
    int seen;
};

struct fixture {
    struct store_bench bench;
    struct row registrations[IDS], sessions[IDS];
    uint64_t moment;
    uint32_t random;
    size_t done, expected;
};

static int set_up(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof f);
    f.random = 1;
    *state = &f;
    return store_bench_start(&f.bench);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    return store_bench_stop(&f->bench);
}

static size_t draw(struct fixture *f, size_t below) {
    f->random = f->random * 1664525 + 1013904223;
    return (size_t)((uint64_t)f->random * below >> 32);
}

/* Of moments, texts whose length says something too. */
static struct slice text_of(uint64_t moment) {
    static const char text[] = "</1>,</3>,</5>,</6>,</3303/0>,</3304/0>";
    return slice_of(text, (size_t)(moment % sizeof text));
}

static void on_done(void *arg, enum store_result result) {
    struct fixture *f = arg;
    assert_int_equal(result, STORE_OK);
    f->done++;
}

static void put_registration(struct fixture *f, size_t id) {
    uint64_t replaced = draw(f, IDS);
    struct store_registration r = {.id = id + 1,
                                   .endpoint = slice_str("e"),
                                   .location = slice_str("l"),
                                   .links = text_of(f->moment),
                                   .registered_at_ms = f->moment,
                                   .updated_at_ms = f->moment,
                                   .expires_at_ms = f->moment % 2 == 0 ? UINT64_MAX : f->moment};
    bool replaces = replaced != id && draw(f, 3) == 0;
    uint64_t replaced_id = replaced + 1;
    assert_int_equal(store_put_registration(f->bench.store, &r, &replaced_id, replaces ? 1 : 0, on_done, f), STORE_OK);
    if (replaces)
        f->registrations[replaced].put = 0;
    f->registrations[id].put = f->registrations[id].refreshed = f->moment;
}

static void refresh_registrations(struct fixture *f) {
    struct store_refresh refreshes[REFRESHES];
    for (size_t i = 0; i < REFRESHES; i++) {
        size_t id = draw(f, IDS);
        f->moment++;
        refreshes[i] = (struct store_refresh){id + 1, f->moment, f->moment};
        f->registrations[id].refreshed = f->moment;
    }
    assert_int_equal(store_refresh_registrations(f->bench.store, refreshes, REFRESHES, on_done, f), STORE_OK);
}

static void delete_registrations(struct fixture *f) {
    uint64_t ids[4];
    for (size_t i = 0; i < 4; i++) {
        ids[i] = draw(f, IDS) + 1;
        f->registrations[ids[i] - 1].put = 0;
    }
    assert_int_equal(store_delete_registrations(f->bench.store, ids, 4, on_done, f), STORE_OK);
}

/* Ids of sessions are all of 64 bits. */
static uint64_t session_id(size_t number) {
    return UINT64_MAX - number;
}

static struct store_session_state state_of(size_t number, uint64_t moment) {
    return (struct store_session_state){.id = session_id(number),
                                        .number_limit = moment,
                                        .window_top = moment,
                                        .window_bits = UINT64_MAX - moment,
                                        .used_ms = moment,
                                        .peer = {.family = ADDRESS_IPV4, .port = (uint16_t)moment}};
}

static void put_session(struct fixture *f, size_t number) {
    struct store_session session = {
        .state = state_of(number, f->moment), .listener = 1, .local = slice_str(""), .sealed = slice_str("sealed\1")};
    assert_int_equal(store_put_session(f->bench.store, &session, on_done, f), STORE_OK);
    f->sessions[number].put = f->sessions[number].refreshed = f->moment;
}

static void refresh_sessions(struct fixture *f) {
    struct store_session_state states[REFRESHES];
    for (size_t i = 0; i < REFRESHES; i++) {
        size_t number = draw(f, IDS);
        f->moment++;
        states[i] = state_of(number, f->moment);
        f->sessions[number].refreshed = f->moment;
    }
    assert_int_equal(store_refresh_sessions(f->bench.store, states, REFRESHES, on_done, f), STORE_OK);
}

static void delete_sessions(struct fixture *f) {
    uint64_t ids[4];
    for (size_t i = 0; i < 4; i++) {
        size_t number = draw(f, IDS);
        ids[i] = session_id(number);
        f->sessions[number].put = 0;
    }
    assert_int_equal(store_delete_sessions(f->bench.store, ids, 4, on_done, f), STORE_OK);
}

static void write_something(struct fixture *f) {
    f->moment++;
    f->expected++;
    switch (draw(f, 16)) {
    case 0:
        refresh_registrations(f);
        break;
    case 1:
        delete_registrations(f);
        break;
    case 2:
        refresh_sessions(f);
        break;
    case 3:
        delete_sessions(f);
        break;
    case 4: /* of another table */
        assert_int_equal(store_put_setting(f->bench.store, "name", slice_str("value"), on_done, f), STORE_OK);
        break;
    default:
        if (draw(f, 2) == 0)
            put_registration(f, draw(f, IDS));
        else
            put_session(f, draw(f, IDS));
        break;
    }
}

static void on_registration(void *arg, const struct store_registration *r) {
    struct fixture *f = arg;
    assert_in_range(r->id, 1, IDS);
    struct row *row = &f->registrations[r->id - 1];
    row->seen++;
    assert_int_equal(r->registered_at_ms, row->put);
    assert_true(slice_equal(r->links, text_of(row->put)));
    assert_int_equal(r->updated_at_ms, row->refreshed);
    bool is_fresh = row->refreshed == row->put;
    assert_int_equal(r->expires_at_ms, is_fresh && row->put % 2 == 0 ? UINT64_MAX : row->refreshed);
}

static void on_session(void *arg, const struct store_session *session) {
    struct fixture *f = arg;
    size_t number = (size_t)(UINT64_MAX - session->state.id);
    assert_in_range(number, 0, IDS - 1);
    struct row *row = &f->sessions[number];
    row->seen++;
    assert_int_not_equal(row->put, 0);
    struct store_session_state expected = state_of(number, row->refreshed);
    assert_memory_equal(&session->state, &expected, sizeof expected);
    assert_true(slice_is(session->sealed, "sealed\1"));
}

static void assert_seen(struct row *rows) {
    for (size_t i = 0; i < IDS; i++) {
        assert_int_equal(rows[i].seen, rows[i].put != 0);
        rows[i].seen = 0;
    }
}

static void test_what_was_written_last_is_there_however_writes_are_mixed(void **state) {
    struct fixture *f = *state;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < WRITES; i++)
            write_something(f);
        store_bench_restart(&f->bench); /* which finishes what is under way */
        assert_int_equal(f->done, f->expected);
        char *error = f->bench.error;
        assert_true(store_load_registrations(f->bench.store, on_registration, NULL, f, error, sizeof f->bench.error));
        assert_true(store_load_sessions(f->bench.store, on_session, f, error, sizeof f->bench.error));
        assert_seen(f->registrations);
        assert_seen(f->sessions);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_written_last_is_there_however_writes_are_mixed, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
