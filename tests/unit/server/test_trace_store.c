#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/trace_store.h"

static struct address address_of(uint16_t port) {
    return (struct address){.family = ADDRESS_IPV4, .port = port, .ip = {192, 0, 2, 1}};
}

static struct trace_entry entry_of(struct slice wire) {
    return (struct trace_entry){.time_ms = 1780000000000,
                                .kind = TRACE_WIRE,
                                .transport = LINK_DTLS,
                                .peer = address_of(1000),
                                .local = {.family = ADDRESS_IPV6, .port = 5684, .scope = 2, .ip = {0xfe, 0x80}},
                                .wire = wire,
                                .size = (uint32_t)wire.len};
}

static uint64_t add(struct trace_store *store, struct trace_tape *tape, const char *text) {
    struct trace_entry entry = entry_of(slice_str(text));
    return trace_append(store, tape, &entry, false);
}

static uint64_t add_bytes(struct trace_store *store, struct trace_tape *tape, size_t len, bool pinned) {
    static uint8_t bytes[TRACE_BYTES_MAX + 1];
    memset(bytes, 0xa5, sizeof bytes);
    struct trace_entry entry = entry_of(slice_of(bytes, len));
    return trace_append(store, tape, &entry, pinned);
}

/* The ids on a tape, as "1 2 3". */
static const char *ids(struct trace_store *store, const struct trace_tape *tape) {
    static char text[4096];
    size_t count;
    struct trace_ref *refs = trace_list(store, tape, &count);
    struct buffer out = buffer_over(text, sizeof text - 1);
    for (size_t i = 0; i < count; i++)
        buffer_printf(&out, i == 0 ? "%d" : " %d", (int)refs[i].id);
    text[out.len] = '\0';
    free(refs);
    return text;
}

static void test_an_entry_comes_back_as_it_was_told(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(65536, 256);
    struct trace_tape *tape = trace_make_device(store, slice_str("dev1"));
    struct trace_entry before = entry_of(slice_str("on the wire"));
    before.kind = TRACE_MESSAGE;
    before.content = slice_str("in the clear");
    before.sent = true;
    before.framing = LINK_RECORD;
    before.listener = 3;
    before.offset = 0xfffffff0;
    assert_int_equal(trace_append(store, tape, &before, false), 1);
    before.of = 1;
    before.is_plain = true;
    assert_int_equal(trace_append(store, tape, &before, false), 2);

    struct trace_entry after;
    size_t count;
    struct trace_ref *refs = trace_list(store, tape, &count);
    assert_int_equal(count, 2);
    assert_true(trace_get(store, &refs[0], &after));
    assert_int_equal(after.id, 1);
    assert_int_equal(after.of, 0);
    assert_int_equal(after.time_ms, before.time_ms);
    assert_int_equal(after.kind, TRACE_MESSAGE);
    assert_int_equal(after.transport, LINK_DTLS);
    assert_int_equal(after.framing, LINK_RECORD);
    assert_int_equal(after.listener, 3);
    assert_int_equal(after.offset, 0xfffffff0);
    assert_int_equal(after.size, 11);
    assert_true(after.sent);
    assert_false(after.is_plain);
    assert_true(address_equal(&after.peer, &before.peer));
    assert_true(address_equal(&after.local, &before.local));
    assert_true(slice_is(after.wire, "on the wire"));
    assert_true(slice_is(after.content, "in the clear"));
    assert_true(slice_is(after.endpoint, "dev1"));
    assert_true(trace_get(store, &refs[1], &after));
    assert_int_equal(after.of, 1);
    assert_true(slice_is(after.content, "on the wire")); /* is_plain: kept once */
    free(refs);
    trace_store_free(store);
}

static void test_entries_of_any_length_lie_across_blocks(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(1 << 20, 1000);
    struct trace_tape *tape = trace_make_device(store, slice_str("dev1"));
    for (size_t len = 0; len < 600; len++)
        assert_int_equal(add_bytes(store, tape, len, false), len + 1);
    assert_int_equal(add_bytes(store, tape, TRACE_BYTES_MAX + 1, false), 601);
    size_t count;
    struct trace_entry entry;
    struct trace_ref *refs = trace_list(store, tape, &count);
    assert_true(trace_get(store, &refs[count - 1], &entry));
    assert_int_equal(entry.wire.len, TRACE_BYTES_MAX); /* cut off */
    assert_int_equal(entry.size, TRACE_BYTES_MAX + 1);
    for (size_t i = 0; i + 1 < count; i++) {
        assert_true(trace_get(store, &refs[i], &entry));
        assert_int_equal(entry.wire.len, entry.id - 1);
        for (size_t k = 0; k < entry.wire.len; k++)
            assert_int_equal(entry.wire.data[k], 0xa5);
    }
    free(refs);
    trace_store_free(store);
}

static void test_the_oldest_entries_of_a_tape_leave(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(65536, 3);
    struct trace_tape *tape = trace_make_device(store, slice_str("dev1"));
    for (int i = 0; i < 5; i++)
        add(store, tape, "entry");
    assert_string_equal(ids(store, tape), "3 4 5");
    assert_int_equal(trace_store_counters(store).dropped, 2);
    trace_store_free(store);
}

static void test_what_is_pinned_stays_within_its_own_bounds(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(1 << 20, 2);
    struct trace_tape *tape = trace_make_device(store, slice_str("dev1"));
    add_bytes(store, tape, 100, true);
    for (int i = 0; i < 5; i++)
        add(store, tape, "entry");
    assert_string_equal(ids(store, tape), "1 5 6");
    for (int i = 0; i < TRACE_PINNED_MAX; i++)
        add_bytes(store, tape, 10, true);
    assert_int_equal(strncmp(ids(store, tape), "5 6 7 ", 6), 0); /* as many handshakes as are kept */
    add_bytes(store, tape, TRACE_PINNED_BYTES - 200, true);
    add_bytes(store, tape, 200, true);
    assert_string_equal(ids(store, tape), "5 6 72"); /* and as many bytes */
    trace_store_free(store);
}

static void test_one_device_takes_no_more_than_its_share(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(1 << 20, 1000000);
    struct trace_tape *tape = trace_make_device(store, slice_str("dev1"));
    for (int i = 0; i < 1000; i++)
        add_bytes(store, tape, 1000, false);
    uint64_t bytes = trace_store_counters(store).bytes;
    assert_true(bytes <= 1 << 18);
    assert_true(bytes > (1 << 18) - 4096);
    assert_int_equal(add_bytes(store, tape, 1 << 16, false), 1001);
    trace_store_free(store);
}

static void test_what_is_larger_than_a_share_is_left_out(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(65536, 1000);
    struct trace_tape *tape = trace_make_device(store, slice_str("dev1"));
    assert_int_equal(add(store, tape, "entry"), 1);
    assert_int_equal(add_bytes(store, tape, 20000, false), 0);
    assert_string_equal(ids(store, tape), "1");
    assert_int_equal(add(store, tape, "entry"), 2);
    trace_store_free(store);
}

static struct trace_tape *device(struct trace_store *store, int number) {
    char name[16];
    snprintf(name, sizeof name, "dev%d", number);
    return trace_make_device(store, slice_str(name));
}

static void test_the_device_that_was_quiet_longest_goes_first(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(64 * 1024, 1000); /* 128 blocks */
    for (int i = 0; i < 100; i++)
        add(store, device(store, i), "entry");
    add(store, device(store, 0), "again"); /* now number 1 is the quietest */
    for (int i = 100; i < 150; i++)
        add(store, device(store, i), "entry");
    assert_non_null(trace_device(store, slice_str("dev0")));
    assert_null(trace_device(store, slice_str("dev1")));
    assert_non_null(trace_device(store, slice_str("dev149")));
    assert_true(trace_store_counters(store).bytes <= 64 * 1024);
    trace_store_free(store);
}

static void test_strangers_do_not_push_out_devices(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(64 * 1024, 1000);
    for (int i = 0; i < 50; i++)
        add(store, device(store, i), "entry");
    for (uint16_t port = 1; port < 5000; port++) {
        struct address address = address_of(port);
        add(store, trace_make_peer(store, 0, &address), "a ClientHello");
    }
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "dev%d", i);
        assert_non_null(trace_device(store, slice_str(name)));
    }
    assert_int_equal(trace_store_counters(store).devices, 50);
    trace_store_free(store);
}

static void test_what_was_nobodys_becomes_the_devices(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(65536, 256);
    struct address first = address_of(1), second = address_of(2);
    add(store, trace_make_peer(store, 0, &first), "handshake");
    trace_store_follow(store, slice_str("dev1"), 0, &first);
    struct trace_tape *tape = trace_device(store, slice_str("dev1"));
    assert_ptr_equal(trace_peer(store, 0, &first), tape);
    assert_true(slice_is(trace_tape_endpoint(tape), "dev1"));
    add(store, tape, "register");
    add(store, trace_make_peer(store, 0, &second), "from elsewhere");
    trace_store_follow(store, slice_str("dev1"), 0, &second);
    tape = trace_device(store, slice_str("dev1"));
    assert_string_equal(ids(store, tape), "1 2 3");
    assert_ptr_equal(trace_peer(store, 0, &second), tape);
    assert_null(trace_peer(store, 1, &second)); /* of another listener */
    add(store, tape, "on");
    assert_string_equal(ids(store, tape), "1 2 3 4");
    assert_int_equal(trace_store_counters(store).peers, 0);
    trace_store_free(store);
}

static void test_a_device_keeps_its_trace_when_another_takes_its_address(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(65536, 256);
    struct address address = address_of(1);
    add(store, trace_make_peer(store, 0, &address), "of dev1");
    trace_store_follow(store, slice_str("dev1"), 0, &address);
    struct trace_tape *fresh = trace_store_part(store, 0, &address);
    assert_ptr_equal(trace_store_part(store, 0, &address), fresh); /* one is enough */
    add(store, fresh, "of dev2");
    trace_store_follow(store, slice_str("dev2"), 0, &address);
    assert_string_equal(ids(store, trace_device(store, slice_str("dev1"))), "1");
    assert_string_equal(ids(store, trace_device(store, slice_str("dev2"))), "2");
    /* And back: the address is where the device is that was there last. */
    trace_store_follow(store, slice_str("dev1"), 0, &address);
    assert_ptr_equal(trace_peer(store, 0, &address), trace_device(store, slice_str("dev1")));
    trace_store_free(store);
}

static void test_a_tape_is_found_by_its_last_addresses(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(65536, 256);
    struct address at[TRACE_ADDRESSES + 1];
    trace_make_device(store, slice_str("dev1"));
    for (uint16_t i = 0; i <= TRACE_ADDRESSES; i++) {
        at[i] = address_of((uint16_t)(i + 1));
        trace_store_follow(store, slice_str("dev1"), 0, &at[i]);
    }
    assert_null(trace_peer(store, 0, &at[0]));
    for (int i = 1; i <= TRACE_ADDRESSES; i++)
        assert_non_null(trace_peer(store, 0, &at[i]));
    trace_store_free(store);
}

static void test_a_session_that_moves_takes_its_trace_along(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(65536, 256);
    struct address from = address_of(1), to = address_of(2);
    add(store, trace_make_peer(store, 0, &from), "handshake");
    trace_store_move(store, 0, &from, &to);
    assert_ptr_equal(trace_peer(store, 0, &to), trace_peer(store, 0, &from));
    trace_store_free(store);
}

static void test_all_tapes_together_are_in_order(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(65536, 256);
    for (int i = 0; i < 6; i++)
        add(store, device(store, i % 3), "entry");
    assert_string_equal(ids(store, NULL), "1 2 3 4 5 6");
    trace_store_drop(store, trace_device(store, slice_str("dev1")));
    assert_string_equal(ids(store, NULL), "1 3 4 6");
    trace_store_clear(store);
    assert_string_equal(ids(store, NULL), "");
    assert_int_equal(trace_store_counters(store).bytes, 0);
    assert_int_equal(add(store, device(store, 1), "entry"), 7); /* numbers never come again */
    trace_store_free(store);
}

/* Whatever is done, what is listed can be read, and no block is lost. */
static void test_any_order_of_steps(void **state) {
    (void)state;
    struct trace_store *store = trace_store_new(64 * 1024, 20);
    uint32_t random = 1;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525 + 1013904223;
        int what = (int)(random >> 28), which = (int)(random >> 20 & 15);
        struct address address = address_of((uint16_t)(which + 1));
        char name[16];
        snprintf(name, sizeof name, "dev%d", which % 7);
        if (what < 6)
            add_bytes(store, trace_make_peer(store, 0, &address), random >> 8 & 2047, (random & 1) != 0);
        else if (what < 11)
            add_bytes(store, trace_make_device(store, slice_str(name)), random >> 8 & 2047, (random & 3) == 0);
        else if (what < 13)
            trace_store_follow(store, slice_str(name), 0, &address);
        else if (what == 13)
            trace_store_part(store, 0, &address);
        else if (what == 14) {
            struct address to = address_of((uint16_t)(which / 2 + 1));
            trace_store_move(store, 0, &address, &to);
        } else if (trace_device(store, slice_str(name)) != NULL && (random & 7) == 0)
            trace_store_drop(store, trace_device(store, slice_str(name)));
        if (step % 100 != 0)
            continue;
        size_t count;
        struct trace_ref *refs = trace_list(store, NULL, &count);
        for (size_t i = 0; i < count; i++) {
            struct trace_entry entry;
            assert_true(trace_get(store, &refs[i], &entry));
            assert_int_equal(entry.id, refs[i].id);
            assert_int_equal(entry.wire.len, entry.size);
            for (size_t k = 0; k < entry.wire.len; k++)
                assert_int_equal(entry.wire.data[k], 0xa5);
        }
        free(refs);
    }
    trace_store_clear(store);
    assert_int_equal(trace_store_counters(store).bytes, 0);
    for (int i = 0; i < 128; i++) /* every block can be used again */
        add(store, device(store, i), "entry");
    assert_int_equal(trace_store_counters(store).bytes, 127 * 512); /* one that is free is asked for beforehand */
    trace_store_free(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_comes_back_as_it_was_told),
        cmocka_unit_test(test_entries_of_any_length_lie_across_blocks),
        cmocka_unit_test(test_the_oldest_entries_of_a_tape_leave),
        cmocka_unit_test(test_what_is_pinned_stays_within_its_own_bounds),
        cmocka_unit_test(test_one_device_takes_no_more_than_its_share),
        cmocka_unit_test(test_what_is_larger_than_a_share_is_left_out),
        cmocka_unit_test(test_the_device_that_was_quiet_longest_goes_first),
        cmocka_unit_test(test_strangers_do_not_push_out_devices),
        cmocka_unit_test(test_what_was_nobodys_becomes_the_devices),
        cmocka_unit_test(test_a_device_keeps_its_trace_when_another_takes_its_address),
        cmocka_unit_test(test_a_tape_is_found_by_its_last_addresses),
        cmocka_unit_test(test_a_session_that_moves_takes_its_trace_along),
        cmocka_unit_test(test_all_tapes_together_are_in_order),
        cmocka_unit_test(test_any_order_of_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
