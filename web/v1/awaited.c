#include "web/v1/awaited.h"

#include <stdlib.h>

#include "web/waiter.h"

enum { EXCERPT_MAX = 512, VALUES_MAX = 16 << 20 };

/* Of protocol time, which somebody will have to leap. */
static const uint64_t ABSENCE_MAX_MS = 366ull * 86400 * 1000;

enum mode { MODE_ONE, MODE_COUNT, MODE_ALL, MODE_SEQUENCE, MODE_ABSENT };

struct near_miss {
    json_t *event, *differs;
    size_t condition, misses;
    const char *note; /* NULL: none */
};

struct awaited {
    enum mode mode;
    json_t *body; /* the conditions point into it */
    struct condition conditions[AWAITED_CONDITIONS_MAX];
    size_t condition_count;
    size_t wanted, met;
    uint64_t after, timeout_ms;
    bool has_after;
    json_t *events;
    size_t value_bytes;                                    /* of texts in `events` */
    struct near_miss near_misses[AWAITED_NEAR_MISSES_MAX]; /* those with the fewest misses first */
    size_t near_miss_count;
};

void awaited_free(struct awaited *awaited) {
    if (awaited == NULL)
        return;
    for (size_t i = 0; i < awaited->condition_count; i++)
        condition_free(&awaited->conditions[i]);
    for (size_t i = 0; i < awaited->near_miss_count; i++) {
        json_decref(awaited->near_misses[i].event);
        json_decref(awaited->near_misses[i].differs);
    }
    json_decref(awaited->body);
    json_decref(awaited->events);
    free(awaited);
}

/* ---- reading ---- */

static bool read_entry(struct awaited *awaited, json_t *list, size_t index, const char *at,
                       struct document_error *error) {
    static const char *const members[] = {"type", "types", "endpoint", "match", NULL};
    json_t *endpoint = json_object_get(awaited->body, "endpoint"), *entry = json_array_get(list, index);
    if (json_is_string(entry)) { /* short for {"type": …} */
        event_types types = 0;
        if (!event_types_add(&types, document_string(entry)))
            return document_reject(error, at, "a type of event, such as updated, is expected; \"%.64s\" is none",
                                   json_string_value(entry));
        json_array_set_new(list, index, json_pack("{sO}", "type", entry));
        entry = json_array_get(list, index);
    }
    if (!document_check_members(entry, at, members, error))
        return false;
    if (endpoint != NULL && json_object_get(entry, "endpoint") == NULL)
        json_object_set(entry, "endpoint", endpoint);
    if (!condition_read(entry, at, &awaited->conditions[index], error))
        return false;
    awaited->condition_count++;
    return true;
}

static bool read_list(struct awaited *awaited, const char *at, struct document_error *error) {
    static const char *const excluded[] = {"type", "types", "match", "count", "absent"};
    bool is_all = json_object_get(awaited->body, "all") != NULL;
    char pointer[DOCUMENT_POINTER_SIZE], entry[DOCUMENT_POINTER_SIZE];
    json_t *list = json_object_get(awaited->body, is_all ? "all" : "sequence");
    if (is_all && json_object_get(awaited->body, "sequence") != NULL) {
        document_member_pointer(pointer, at, "sequence");
        return document_reject(error, pointer, "all or sequence is expected, not both");
    }
    for (size_t i = 0; i < sizeof excluded / sizeof excluded[0]; i++)
        if (json_object_get(awaited->body, excluded[i]) != NULL) {
            document_member_pointer(pointer, at, excluded[i]);
            return document_reject(error, pointer, "nothing is expected here beside all or sequence");
        }
    document_member_pointer(pointer, at, is_all ? "all" : "sequence");
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > AWAITED_CONDITIONS_MAX)
        return document_reject(error, pointer, "a list of 1 to %d events to wait for is expected",
                               AWAITED_CONDITIONS_MAX);
    awaited->mode = is_all ? MODE_ALL : MODE_SEQUENCE;
    awaited->wanted = json_array_size(list);
    for (size_t i = 0; i < awaited->wanted; i++) {
        document_entry_pointer(entry, pointer, i);
        if (!read_entry(awaited, list, i, entry, error))
            return false;
        if (is_all)
            json_array_append_new(awaited->events, json_null());
    }
    return true;
}

static bool read_single(struct awaited *awaited, const char *at, struct document_error *error) {
    const json_t *count = json_object_get(awaited->body, "count");
    const json_t *absent = json_object_get(awaited->body, "absent");
    char pointer[DOCUMENT_POINTER_SIZE];
    if (!condition_read(awaited->body, at, &awaited->conditions[0], error))
        return false;
    awaited->condition_count = awaited->wanted = 1;
    document_member_pointer(pointer, at, "absent");
    if (absent != NULL && !json_is_boolean(absent))
        return document_reject(error, pointer, "true or false is expected");
    document_member_pointer(pointer, at, "count");
    if (json_is_true(absent) && count != NULL)
        return document_reject(error, pointer, "nothing is expected here beside absent");
    if (json_is_true(absent))
        awaited->mode = MODE_ABSENT;
    if (count == NULL)
        return true;
    if (!json_is_integer(count) || json_integer_value(count) < 1 || json_integer_value(count) > AWAITED_COUNT_MAX)
        return document_reject(error, pointer, "a number from 1 to %d is expected", AWAITED_COUNT_MAX);
    awaited->wanted = (size_t)json_integer_value(count);
    awaited->mode = awaited->wanted > 1 ? MODE_COUNT : MODE_ONE;
    return true;
}

static bool read_times(struct awaited *awaited, const char *at, struct document_error *error) {
    const json_t *number = json_object_get(awaited->body, "after"),
                 *timeout = json_object_get(awaited->body, "timeout");
    char pointer[DOCUMENT_POINTER_SIZE];
    document_member_pointer(pointer, at, "after");
    if (number != NULL && (!json_is_integer(number) || json_integer_value(number) < 0))
        return document_reject(error, pointer, "the number of an event, or 0, is expected");
    awaited->has_after = number != NULL;
    awaited->after = (uint64_t)json_integer_value(number);
    awaited->timeout_ms = WAITER_TIMEOUT_DEFAULT_MS;
    uint64_t max_ms = awaited->mode == MODE_ABSENT ? ABSENCE_MAX_MS : WAITER_TIMEOUT_MAX_MS;
    document_member_pointer(pointer, at, "timeout");
    return timeout == NULL || document_duration(timeout, max_ms, &awaited->timeout_ms) ||
           document_reject(
               error, pointer,
               "a duration such as \"30s\" or \"500ms\", or a number of seconds, of at most %s, is expected",
               awaited->mode == MODE_ABSENT ? "366 days" : "10 minutes");
}

static bool read_body(struct awaited *awaited, const char *at, struct document_error *error) {
    static const char *const members[] = {"after",  "type",    "types", "endpoint", "match", "count",
                                          "absent", "timeout", "all",   "sequence", NULL};
    const json_t *endpoint = json_object_get(awaited->body, "endpoint");
    char pointer[DOCUMENT_POINTER_SIZE];
    if (!document_check_members(awaited->body, at, members, error))
        return false;
    document_member_pointer(pointer, at, "endpoint");
    if (endpoint != NULL && !json_is_string(endpoint))
        return document_reject(error, pointer, "the name of an endpoint, a string, is expected");
    bool is_list = json_object_get(awaited->body, "all") != NULL || json_object_get(awaited->body, "sequence") != NULL;
    return (is_list ? read_list(awaited, at, error) : read_single(awaited, at, error)) &&
           read_times(awaited, at, error);
}

struct awaited *awaited_read(json_t *body, const char *at, struct document_error *error) {
    struct awaited *awaited = calloc(1, sizeof *awaited);
    if (awaited == NULL) {
        document_reject(error, at, "less is expected: the server is out of memory");
        return NULL;
    }
    awaited->body = json_incref(body);
    awaited->events = json_array();
    if (read_body(awaited, at, error))
        return awaited;
    awaited_free(awaited);
    return NULL;
}

/* ---- watching ---- */

/* Whether an event that meets this condition counts now. */
static bool is_open(const struct awaited *awaited, size_t i) {
    switch (awaited->mode) {
    case MODE_ALL:
        return json_is_null(json_array_get(awaited->events, i));
    case MODE_SEQUENCE:
        return i == awaited->met;
    case MODE_ONE:
    case MODE_COUNT:
    case MODE_ABSENT:
        break;
    }
    return true;
}

/* The condition that the event comes closest to; of two the one that is open, then the first. */
static size_t closest(const struct awaited *awaited, const struct event *event, const json_t *json, size_t *misses) {
    size_t best = 0;
    bool best_is_open = false;
    *misses = SIZE_MAX;
    for (size_t i = 0; i < awaited->condition_count; i++) {
        size_t here = condition_misses(&awaited->conditions[i], event, json);
        bool open = is_open(awaited, i);
        if (here < *misses || (here == *misses && open && !best_is_open)) {
            best = i;
            best_is_open = open;
            *misses = here;
        }
    }
    return best;
}

static bool is_near(const struct awaited *awaited, const struct event *event) {
    for (size_t i = 0; i < awaited->condition_count; i++)
        if (condition_near(&awaited->conditions[i], event))
            return true;
    return false;
}

/* A long value takes memory once it is one of many. */
static void cut_value(json_t *json) {
    const json_t *value = json_object_get(json, "value");
    if (value != NULL)
        json_object_set_new(json, "value", document_excerpt(value, EXCERPT_MAX));
}

static void take(struct awaited *awaited, size_t condition, json_t *json) {
    awaited->value_bytes += json_string_length(json_object_get(json, "value"));
    if (awaited->value_bytes > VALUES_MAX && !awaited_is_single(awaited))
        cut_value(json);
    awaited->met++;
    if (awaited->mode == MODE_ALL)
        json_array_set(awaited->events, condition, json);
    else
        json_array_append(awaited->events, json);
}

static const char *note_of(const struct awaited *awaited, size_t condition) {
    return awaited->mode == MODE_SEQUENCE && condition > awaited->met
               ? "it meets this condition, and came before its turn"
               : "it meets this condition, which an earlier event had met";
}

/* Keep it when it is among the closest. Of equally close ones the earlier stay. */
static void miss(struct awaited *awaited, const struct event *event, json_t *json, size_t condition, size_t misses) {
    size_t at = awaited->near_miss_count;
    while (at > 0 && awaited->near_misses[at - 1].misses > misses)
        at--;
    if (at == AWAITED_NEAR_MISSES_MAX)
        return;
    if (awaited->near_miss_count == AWAITED_NEAR_MISSES_MAX) {
        struct near_miss *last = &awaited->near_misses[--awaited->near_miss_count];
        json_decref(last->event);
        json_decref(last->differs);
    }
    memmove(&awaited->near_misses[at + 1], &awaited->near_misses[at],
            (awaited->near_miss_count - at) * sizeof awaited->near_misses[0]);
    awaited->near_misses[at] =
        (struct near_miss){.differs = condition_differences(&awaited->conditions[condition], event, json),
                           .event = json_incref(json),
                           .condition = condition,
                           .misses = misses,
                           .note = misses == 0 ? note_of(awaited, condition) : NULL};
    awaited->near_miss_count++;
    cut_value(json);
}

bool awaited_see(struct awaited *awaited, const struct event *event) {
    size_t misses;
    if (!is_near(awaited, event)) /* what matches is near, too */
        return false;
    json_t *json = event_json(event);
    size_t condition = closest(awaited, event, json, &misses);
    if (misses == 0 && is_open(awaited, condition))
        take(awaited, condition, json);
    else
        miss(awaited, event, json, condition, misses);
    json_decref(json);
    return awaited->met == awaited->wanted;
}

/* ---- what has become of it ---- */

bool awaited_after(const struct awaited *awaited, uint64_t *after) {
    if (awaited->has_after)
        *after = awaited->after;
    return awaited->has_after;
}

uint64_t awaited_timeout_ms(const struct awaited *awaited) {
    return awaited->timeout_ms;
}

bool awaited_is_absence(const struct awaited *awaited) {
    return awaited->mode == MODE_ABSENT;
}

bool awaited_is_single(const struct awaited *awaited) {
    return awaited->mode == MODE_ONE;
}

size_t awaited_met(const struct awaited *awaited) {
    return awaited->met;
}

size_t awaited_wanted(const struct awaited *awaited) {
    return awaited->wanted;
}

json_t *awaited_events(const struct awaited *awaited) {
    return awaited->events;
}

json_t *awaited_near_misses(const struct awaited *awaited) {
    bool is_list = awaited->mode == MODE_ALL || awaited->mode == MODE_SEQUENCE;
    json_t *list = json_array();
    for (size_t i = 0; i < awaited->near_miss_count; i++) {
        const struct near_miss *near = &awaited->near_misses[i];
        json_t *entry = json_pack("{sOsO}", "event", near->event, "differs", near->differs);
        if (is_list)
            json_object_set_new(entry, "condition", json_integer((json_int_t)near->condition));
        if (near->note != NULL)
            json_object_set_new(entry, "note", json_string(near->note));
        json_array_append_new(list, entry);
    }
    return list;
}
