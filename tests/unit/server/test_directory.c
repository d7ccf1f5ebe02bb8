#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/random.h"
#include "server/directory.h"

static size_t links_alive;

static void release_link(struct link *link) {
    links_alive--;
    free(link);
}

static const struct link_ops link_ops = {.send = NULL, .release = release_link};

static struct link *new_link(void) {
    struct link *link = calloc(1, sizeof *link);
    assert_non_null(link);
    link->ops = &link_ops;
    link->refs = 1;
    links_alive++;
    return link;
}

static struct registration_content content_of(const char *endpoint) {
    return (struct registration_content){.endpoint = slice_str(endpoint),
                                         .links = slice_str("</1/0>,</3/0>"),
                                         .lifetime_s = 60,
                                         .version = LWM2M_1_1,
                                         .binding = BINDING_U};
}

static struct registration *add_content(struct directory *d, uint64_t id, const struct registration_content *content) {
    struct link *link = new_link();
    struct registration *r = directory_add(d, id, content, link);
    link_unref(link); /* the directory has its own reference */
    return r;
}

static struct registration *add_at(struct directory *d, uint64_t id, const char *endpoint, const char *location) {
    struct registration_content content = content_of(endpoint);
    content.location = slice_str(location);
    return add_content(d, id, &content);
}

static struct registration *add(struct directory *d, uint64_t id, const char *endpoint) {
    return add_at(d, id, endpoint, "");
}

/* What the directory hands over in directory_commit. */
struct handed_over {
    uint64_t ids[8];
    size_t count;
};

static void on_removed(void *arg, struct registration *r) {
    struct handed_over *handed = arg;
    assert_true(handed->count < 8);
    handed->ids[handed->count++] = r->id;
}

static void commit(struct directory *d, struct registration *r) {
    struct handed_over handed = {.count = 0};
    directory_commit(d, r, on_removed, &handed);
    assert_int_equal(handed.count, 0);
}

static void commit_instead_of(struct directory *d, struct registration *r, uint64_t id) {
    struct handed_over handed = {.count = 0};
    directory_commit(d, r, on_removed, &handed);
    assert_int_equal(handed.count, 1);
    assert_int_equal(handed.ids[0], id);
}

static uint64_t id_found(const struct directory *d, const char *endpoint) {
    const struct registration *r = directory_find(d, slice_str(endpoint));
    return r == NULL ? 0 : r->id;
}

static uint64_t id_newest(const struct directory *d, const char *endpoint) {
    const struct registration *r = directory_find_newest(d, slice_str(endpoint));
    return r == NULL ? 0 : r->id;
}

static uint64_t id_at_location(const struct directory *d, const char *location) {
    const struct registration *r = directory_find_location(d, slice_str(location));
    return r == NULL ? 0 : r->id;
}

static void close_directory(struct directory *d) {
    directory_free(d);
    assert_int_equal(links_alive, 0);
}

static void test_a_registration_that_waits_for_its_commit_is_not_shown(void **state) {
    (void)state;
    struct directory *d = directory_new();
    struct registration *r = add_at(d, 1, "dev", "here");
    uint32_t slot = 0;
    assert_int_equal(r->state, REGISTRATION_PENDING);
    assert_int_equal(id_found(d, "dev"), 0);
    assert_int_equal(id_newest(d, "dev"), 1);
    assert_int_equal(id_at_location(d, "here"), 0);
    assert_null(directory_at(d, r->slot));
    assert_null(directory_next(d, &slot));
    assert_int_equal(directory_count(d), 0);
    close_directory(d);
}

static void test_a_committed_registration_is_found_by_name_location_and_slot(void **state) {
    (void)state;
    struct directory *d = directory_new();
    struct registration *r = add(d, 1, "dev");
    commit(d, r);
    uint32_t slot = 0;
    assert_ptr_equal(directory_find(d, slice_str("dev")), r);
    assert_ptr_equal(directory_find_location(d, registration_location(r)), r);
    assert_ptr_equal(directory_at(d, r->slot), r);
    assert_ptr_equal(directory_next(d, &slot), r);
    assert_null(directory_next(d, &slot));
    assert_int_equal(directory_count(d), 1);
    assert_null(directory_find(d, slice_str("de")));
    assert_null(directory_find_location(d, slice_str("dev")));
    assert_null(directory_at(d, 12345));
    close_directory(d);
}

static void test_a_registration_keeps_what_it_was_given(void **state) {
    (void)state;
    struct directory *d = directory_new();
    struct registration_content content = {.endpoint = slice_of("nul\0inside", 10),
                                           .root = slice_str("/lwm2m"),
                                           .query = slice_str("x=1&y"),
                                           .sms = slice_str("+4930123"),
                                           .links = slice_str("</3/0>"),
                                           .location = slice_str("account/0123"),
                                           .lifetime_s = 7,
                                           .version = LWM2M_1_2,
                                           .binding = BINDING_U | BINDING_T,
                                           .queue_mode = true,
                                           .profile = PROFILE_PELION};
    struct registration *r = add_content(d, 9, &content);
    assert_true(slice_equal(registration_endpoint(r), content.endpoint));
    assert_true(slice_is(registration_root(r), "/lwm2m"));
    assert_true(slice_is(registration_query(r), "x=1&y"));
    assert_true(slice_is(registration_sms(r), "+4930123"));
    assert_true(slice_is(registration_links(r), "</3/0>"));
    assert_true(slice_is(registration_location(r), "account/0123"));
    assert_int_equal(r->id, 9);
    assert_int_equal(r->lifetime_s, 7);
    assert_int_equal(r->version, LWM2M_1_2);
    assert_int_equal(r->binding, BINDING_U | BINDING_T);
    assert_true(r->queue_mode);
    assert_int_equal(r->profile, PROFILE_PELION);
    close_directory(d);
}

static void test_the_new_registration_of_an_endpoint_takes_the_place_of_the_old_when_committed(void **state) {
    (void)state;
    struct directory *d = directory_new();
    commit(d, add_at(d, 1, "dev", "old"));
    struct registration *new = add_at(d, 2, "dev", "new");
    assert_int_equal(id_found(d, "dev"), 1);
    assert_int_equal(id_newest(d, "dev"), 2);
    assert_int_equal(id_at_location(d, "old"), 1);
    commit_instead_of(d, new, 1);
    assert_int_equal(id_found(d, "dev"), 2);
    assert_int_equal(id_at_location(d, "old"), 0);
    assert_int_equal(id_at_location(d, "new"), 2);
    assert_int_equal(directory_count(d), 1);
    assert_int_equal(links_alive, 1);
    close_directory(d);
}

static void test_when_the_commit_of_the_new_one_fails_the_old_one_stays(void **state) {
    (void)state;
    struct directory *d = directory_new();
    commit(d, add_at(d, 1, "dev", "old"));
    directory_remove(d, add_at(d, 2, "dev", "new"));
    assert_int_equal(id_found(d, "dev"), 1);
    assert_int_equal(id_newest(d, "dev"), 1);
    assert_int_equal(id_at_location(d, "old"), 1);
    directory_remove(d, directory_find(d, slice_str("dev")));
    assert_int_equal(id_newest(d, "dev"), 0);
    assert_int_equal(directory_count(d), 0);
    close_directory(d);
}

static void test_the_old_one_may_go_while_the_new_one_waits(void **state) {
    (void)state;
    struct directory *d = directory_new();
    struct registration *old = add_at(d, 1, "dev", "old");
    commit(d, old);
    struct registration *new = add_at(d, 2, "dev", "new");
    directory_remove(d, old);
    assert_int_equal(id_found(d, "dev"), 0);
    assert_int_equal(id_newest(d, "dev"), 2);
    assert_int_equal(id_at_location(d, "old"), 0);
    commit(d, new);
    assert_int_equal(id_found(d, "dev"), 2);
    assert_int_equal(directory_count(d), 1);
    close_directory(d);
}

static void test_one_in_the_middle_may_go_while_others_wait(void **state) {
    (void)state;
    struct directory *d = directory_new();
    commit(d, add(d, 1, "dev"));
    struct registration *second = add(d, 2, "dev"), *third = add(d, 3, "dev");
    directory_remove(d, second);
    assert_int_equal(id_found(d, "dev"), 1);
    assert_int_equal(id_newest(d, "dev"), 3);
    commit_instead_of(d, third, 1);
    assert_int_equal(id_found(d, "dev"), 3);
    close_directory(d);
}

static void test_two_that_wait_are_committed_one_after_the_other(void **state) {
    (void)state;
    struct directory *d = directory_new();
    struct registration *first = add(d, 1, "dev"), *second = add(d, 2, "dev");
    commit(d, first);
    assert_int_equal(id_found(d, "dev"), 1);
    commit_instead_of(d, second, 1);
    assert_int_equal(id_found(d, "dev"), 2);
    assert_int_equal(directory_count(d), 1);
    close_directory(d);
}

static void test_one_that_is_committed_after_a_newer_one_is_handed_over_itself(void **state) {
    (void)state;
    struct directory *d = directory_new();
    commit(d, add(d, 1, "dev"));
    struct registration *second = add(d, 2, "dev"), *third = add(d, 3, "dev");
    commit_instead_of(d, third, 1);
    assert_int_equal(id_found(d, "dev"), 3);
    commit_instead_of(d, second, 2);
    assert_int_equal(id_found(d, "dev"), 3);
    assert_int_equal(id_newest(d, "dev"), 3);
    assert_int_equal(directory_count(d), 1);
    assert_int_equal(links_alive, 1);
    close_directory(d);
}

static void test_an_endpoint_may_register_again_at_the_location_it_has(void **state) {
    (void)state;
    struct directory *d = directory_new();
    commit(d, add_at(d, 1, "dev", "account/0123"));
    struct registration *failed = add_at(d, 2, "dev", "account/0123");
    assert_int_equal(id_at_location(d, "account/0123"), 1);
    directory_remove(d, failed);
    assert_int_equal(id_at_location(d, "account/0123"), 1);
    struct registration *elsewhere = add_at(d, 3, "dev", "account/4567");
    struct registration *back = add_at(d, 4, "dev", "account/0123");
    commit_instead_of(d, elsewhere, 1);
    assert_int_equal(id_at_location(d, "account/0123"), 0);
    assert_int_equal(id_at_location(d, "account/4567"), 3);
    commit_instead_of(d, back, 3);
    assert_int_equal(id_at_location(d, "account/0123"), 4);
    assert_int_equal(id_at_location(d, "account/4567"), 0);
    close_directory(d);
}

static void test_a_location_in_use_by_another_endpoint_is_refused(void **state) {
    (void)state;
    struct directory *d = directory_new();
    struct registration *r = add_at(d, 1, "dev", "here");
    assert_null(add_at(d, 2, "other", "here")); /* also while the first one waits */
    commit(d, r);
    assert_null(add_at(d, 2, "other", "here"));
    assert_int_equal(id_newest(d, "other"), 0);
    assert_int_equal(id_at_location(d, "here"), 1);
    assert_int_equal(links_alive, 1);
    directory_remove(d, r);
    commit(d, add_at(d, 2, "other", "here"));
    assert_int_equal(id_at_location(d, "here"), 2);
    close_directory(d);
}

static void test_texts_longer_than_spans_can_say_are_refused(void **state) {
    (void)state;
    static char long_text[70000];
    memset(long_text, 'x', sizeof long_text);
    struct directory *d = directory_new();
    struct registration_content content = content_of("dev");
    content.query = slice_of(long_text, 65536 - 3 - 4 - 1);
    struct registration *r = add_content(d, 1, &content);
    assert_non_null(r);
    assert_int_equal(registration_query(r).len, content.query.len);
    directory_remove(d, r);
    content.query.len++;
    assert_null(add_content(d, 2, &content));
    assert_int_equal(id_newest(d, "dev"), 0);
    assert_int_equal(links_alive, 0);
    content = content_of("dev");
    content.links = slice_of(long_text, sizeof long_text); /* the object list may be longer */
    r = add_content(d, 3, &content);
    assert_true(slice_equal(registration_links(r), content.links));
    close_directory(d);
}

static void test_rewrite_replaces_texts_even_by_their_own_bytes(void **state) {
    (void)state;
    struct directory *d = directory_new();
    struct registration *r = add_at(d, 1, "dev", "here");
    commit(d, r);
    struct registration_content content = {.links = slice_str("</5/0>,</1/0>,</3/0>"),
                                           .query = slice_str("a=b"),
                                           .sms = slice_str("+49"),
                                           .root = slice_str("/r")};
    assert_true(directory_rewrite(d, r, &content));
    content = (struct registration_content){.links = slice_from(registration_links(r), 7),
                                            .query = registration_sms(r),
                                            .sms = registration_query(r),
                                            .root = registration_root(r)};
    assert_true(directory_rewrite(d, r, &content));
    assert_true(slice_is(registration_links(r), "</1/0>,</3/0>"));
    assert_true(slice_is(registration_query(r), "+49"));
    assert_true(slice_is(registration_sms(r), "a=b"));
    assert_true(slice_is(registration_root(r), "/r"));
    assert_true(slice_is(registration_endpoint(r), "dev"));
    assert_true(slice_is(registration_location(r), "here"));
    assert_int_equal(id_found(d, "dev"), 1);
    assert_int_equal(id_at_location(d, "here"), 1);
    close_directory(d);
}

static void test_a_rewrite_that_is_too_long_changes_nothing(void **state) {
    (void)state;
    static char long_text[65536];
    struct directory *d = directory_new();
    struct registration *r = add(d, 1, "dev");
    size_t bytes = directory_bytes(d);
    struct registration_content content = {.query = slice_of(long_text, sizeof long_text)};
    assert_false(directory_rewrite(d, r, &content));
    assert_true(slice_is(registration_links(r), "</1/0>,</3/0>"));
    assert_true(slice_is(registration_endpoint(r), "dev"));
    assert_int_equal(directory_bytes(d), bytes);
    close_directory(d);
}

static void assert_is_location(struct slice location, size_t len) {
    assert_int_equal(location.len, len);
    for (size_t i = 0; i < len; i++) {
        uint8_t c = location.data[i];
        assert_true((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
    }
}

static void test_locations_are_four_characters_and_unlike_each_other(void **state) {
    (void)state;
    struct directory *d = directory_new();
    size_t first_is_digit = 0;
    for (uint64_t id = 1; id <= 5000; id++) {
        char endpoint[16];
        snprintf(endpoint, sizeof endpoint, "dev%u", (unsigned)id);
        struct registration *r = add(d, id, endpoint);
        commit(d, r);
        assert_is_location(registration_location(r), 4);
        assert_ptr_equal(directory_find_location(d, registration_location(r)), r);
        first_is_digit += registration_location(r).data[0] <= '9';
    }
    assert_in_range(first_is_digit, 5000 * 10 / 62 / 2, 5000 * 10 / 62 * 2);
    close_directory(d);
}

static void test_locations_become_longer_before_one_in_sixteen_is_taken(void **state) {
    (void)state;
    enum { POSSIBLE = 62 * 62 * 62 * 62 };
    struct directory *d = directory_new();
    struct link *link = new_link();
    struct registration *r = NULL;
    for (uint32_t id = 1; id <= POSSIBLE / 16; id++) {
        struct registration_content content = {.endpoint = slice_of(&id, sizeof id)};
        r = directory_add(d, id, &content, link);
        assert_true(registration_location(r).len == 4); /* also those that wait are counted */
    }
    assert_is_location(registration_location(r), 4);
    r = add(d, POSSIBLE, "one more");
    assert_is_location(registration_location(r), 5);
    directory_remove(d, r);
    uint32_t last = POSSIBLE / 16;
    directory_remove(d, directory_find_newest(d, slice_of(&last, sizeof last)));
    assert_is_location(registration_location(add(d, POSSIBLE + 1, "again")), 4);
    link_unref(link);
    close_directory(d);
}

static void test_a_listing_shows_once_what_exists_all_the_while(void **state) {
    (void)state;
    enum { STABLE = 3000 };
    static unsigned shown[STABLE + 1];
    memset(shown, 0, sizeof shown);
    struct directory *d = directory_new();
    char endpoint[32];
    for (uint64_t id = 1; id <= STABLE; id++) {
        snprintf(endpoint, sizeof endpoint, "stable%u", (unsigned)id);
        commit(d, add(d, id, endpoint));
        if (id % 3 == 0) {
            snprintf(endpoint, sizeof endpoint, "passing%u", (unsigned)id);
            commit(d, add(d, STABLE + id, endpoint));
        }
    }
    uint32_t slot = 0;
    uint64_t next_id = 3 * STABLE;
    for (struct registration *r; (r = directory_next(d, &slot)) != NULL;) {
        if (r->id <= STABLE)
            shown[r->id]++;
        unsigned number = (unsigned)random_below(STABLE / 3) * 3;
        snprintf(endpoint, sizeof endpoint, "passing%u", number);
        struct registration *passing = directory_find(d, slice_str(endpoint));
        if (passing != NULL)
            directory_remove(d, passing);
        else
            commit(d, add(d, next_id++, endpoint));
        if (next_id > 4 * STABLE)
            break;
    }
    for (uint64_t id = 1; id <= STABLE; id++)
        assert_int_equal(shown[id], 1);
    close_directory(d);
}

static void test_bytes_are_given_back(void **state) {
    (void)state;
    struct directory *d = directory_new();
    add_at(d, 1, "dev", "here");
    struct registration *other = add_at(d, 2, "other", "there");
    size_t bytes = directory_bytes(d);
    directory_remove(d, other);
    assert_in_range(directory_bytes(d), bytes - 64, bytes - 16);
    add_at(d, 3, "other", "there");
    assert_int_equal(directory_bytes(d), bytes);
    close_directory(d);
}

/* ---- against a naive model: what endpoints have, as lists from old to new ---- */

enum { ENDPOINTS = 40, WAITING_MAX = 4, LOCATIONS = 3 };

struct model_entry {
    uint64_t id;
    bool acknowledged;
    char location[24];
    struct registration *r;
};

struct model {
    struct model_entry entries[ENDPOINTS][WAITING_MAX + 1];
    size_t counts[ENDPOINTS];
};

static void forget(struct model *m, size_t endpoint, size_t index) {
    m->counts[endpoint]--;
    for (size_t i = index; i < m->counts[endpoint]; i++)
        m->entries[endpoint][i] = m->entries[endpoint][i + 1];
}

static void model_commit(struct directory *d, struct model *m, size_t endpoint, size_t index) {
    struct handed_over handed = {.count = 0};
    struct model_entry *entries = m->entries[endpoint];
    directory_commit(d, entries[index].r, on_removed, &handed);
    for (size_t i = 0; i < m->counts[endpoint]; i++) {
        if (!entries[i].acknowledged)
            continue;
        size_t gone = i < index ? i : index;
        assert_int_equal(handed.count, 1);
        assert_int_equal(handed.ids[0], entries[gone].id);
        entries[index].acknowledged = true;
        forget(m, endpoint, gone);
        return;
    }
    assert_int_equal(handed.count, 0);
    entries[index].acknowledged = true;
}

static void compare_with_model(const struct directory *d, const struct model *m) {
    size_t acknowledged = 0;
    for (size_t e = 0; e < ENDPOINTS; e++) {
        char endpoint[16];
        snprintf(endpoint, sizeof endpoint, "dev%u", (unsigned)e);
        const struct model_entry *entries = m->entries[e];
        struct registration *found = NULL;
        for (size_t i = 0; i < m->counts[e]; i++) {
            if (entries[i].acknowledged)
                found = entries[i].r;
        }
        acknowledged += found != NULL;
        assert_ptr_equal(directory_find(d, slice_str(endpoint)), found);
        assert_ptr_equal(directory_find_newest(d, slice_str(endpoint)),
                         m->counts[e] == 0 ? NULL : entries[m->counts[e] - 1].r);
        for (size_t i = 0; i < LOCATIONS; i++) {
            char location[24];
            snprintf(location, sizeof location, "%s/%u", endpoint, (unsigned)i);
            bool here = found != NULL && slice_is(registration_location(found), location);
            assert_ptr_equal(directory_find_location(d, slice_str(location)), here ? found : NULL);
        }
    }
    assert_int_equal(directory_count(d), acknowledged);
}

static void test_any_order_of_adds_commits_and_removals_agrees_with_a_model(void **state) {
    (void)state;
    static struct model m;
    memset(&m, 0, sizeof m);
    struct directory *d = directory_new();
    for (uint64_t step = 1; step <= 20000; step++) {
        size_t e = (size_t)random_below(ENDPOINTS);
        size_t count = m.counts[e], index = count == 0 ? 0 : (size_t)random_below(count);
        struct model_entry *entries = m.entries[e];
        switch (random_below(3)) {
        case 0:
            if (count > WAITING_MAX)
                break;
            char endpoint[16];
            snprintf(endpoint, sizeof endpoint, "dev%u", (unsigned)e);
            entries[count].id = step;
            entries[count].acknowledged = false;
            snprintf(entries[count].location, sizeof entries[count].location, "%s/%u", endpoint,
                     (unsigned)random_below(LOCATIONS));
            entries[count].r = add_at(d, step, endpoint, entries[count].location);
            m.counts[e]++;
            break;
        case 1:
            if (count > 0 && !entries[index].acknowledged)
                model_commit(d, &m, e, index);
            break;
        default:
            if (count > 0) {
                directory_remove(d, entries[index].r);
                forget(&m, e, index);
            }
        }
        if (step % 7 == 0)
            compare_with_model(d, &m);
    }
    close_directory(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_registration_that_waits_for_its_commit_is_not_shown),
        cmocka_unit_test(test_a_committed_registration_is_found_by_name_location_and_slot),
        cmocka_unit_test(test_a_registration_keeps_what_it_was_given),
        cmocka_unit_test(test_the_new_registration_of_an_endpoint_takes_the_place_of_the_old_when_committed),
        cmocka_unit_test(test_when_the_commit_of_the_new_one_fails_the_old_one_stays),
        cmocka_unit_test(test_the_old_one_may_go_while_the_new_one_waits),
        cmocka_unit_test(test_one_in_the_middle_may_go_while_others_wait),
        cmocka_unit_test(test_two_that_wait_are_committed_one_after_the_other),
        cmocka_unit_test(test_one_that_is_committed_after_a_newer_one_is_handed_over_itself),
        cmocka_unit_test(test_an_endpoint_may_register_again_at_the_location_it_has),
        cmocka_unit_test(test_a_location_in_use_by_another_endpoint_is_refused),
        cmocka_unit_test(test_texts_longer_than_spans_can_say_are_refused),
        cmocka_unit_test(test_rewrite_replaces_texts_even_by_their_own_bytes),
        cmocka_unit_test(test_a_rewrite_that_is_too_long_changes_nothing),
        cmocka_unit_test(test_locations_are_four_characters_and_unlike_each_other),
        cmocka_unit_test(test_locations_become_longer_before_one_in_sixteen_is_taken),
        cmocka_unit_test(test_a_listing_shows_once_what_exists_all_the_while),
        cmocka_unit_test(test_bytes_are_given_back),
        cmocka_unit_test(test_any_order_of_adds_commits_and_removals_agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
