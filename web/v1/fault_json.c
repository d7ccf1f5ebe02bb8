#include "web/v1/fault_json.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/random.h"
#include "web/document.h"

enum { ALERT_DEFAULT = 40, SIZE_MAX_HERE = 65535 };

static const uint64_t DELAY_MAX_MS = 86400000, DURATION_MAX_MS = 365ull * 86400000;
static const json_int_t OFFSET_MAX_S = 100ll * 366 * 86400;

static const char *const members[] = {"drop",        "delay",  "duplicate", "corrupt",   "truncate",  "reorder",
                                      "wrong",       "option", "reset",     "answer",    "silence",   "forget",
                                      "expire",      "close",  "refuse",    "half_open", "fill",      "time_offset_s",
                                      "max_age",     "alert",  "on",        "times",     "direction", "after",
                                      "probability", "seed",   "duration",  NULL};
enum { WHAT_MEMBERS = 18 }; /* the first ones say what is done */

struct reading {
    const json_t *body;
    struct fault_order *order;
    struct document_error *error;
};

__attribute__((format(printf, 3, 4))) static bool refuse(const struct reading *reading, const char *name,
                                                         const char *format, ...) {
    char pointer[DOCUMENT_POINTER_SIZE], expected[sizeof reading->error->expected];
    va_list args;
    va_start(args, format);
    vsnprintf(expected, sizeof expected, format, args);
    va_end(args);
    document_member_pointer(pointer, "", name);
    return document_reject(reading->error, pointer, "%s", expected);
}

static const json_t *member(const struct reading *reading, const char *name) {
    return json_object_get(reading->body, name);
}

/* ---- what ---- */

struct named {
    const char *name;
    enum fault_what what;
};

static const struct named wrongs[] = {{"token", FAULT_WRONG_TOKEN}, {"mid", FAULT_WRONG_MID}, {NULL, 0}};
static const struct named forgets[] = {{"dtls-session", FAULT_FORGET_SESSION},
                                       {"cid", FAULT_FORGET_CID},
                                       {"registration", FAULT_FORGET_REGISTRATION},
                                       {"observations", FAULT_FORGET_OBSERVATIONS},
                                       {NULL, 0}};
static const struct named closes[] = {
    {"fin", FAULT_CLOSE_FIN}, {"rst", FAULT_CLOSE_RST}, {"close-notify", FAULT_CLOSE_NOTIFY}, {NULL, 0}};
static const struct named refusals[] = {
    {"resumption", FAULT_REFUSE_RESUMPTION}, {"handshake", FAULT_REFUSE_HANDSHAKE}, {NULL, 0}};
static const struct named fills[] = {{"queue", FAULT_FILL_QUEUE}, {NULL, 0}};
static const struct named truths[] = {{"drop", FAULT_DROP},
                                      {"reorder", FAULT_REORDER},
                                      {"reset", FAULT_RESET},
                                      {"silence", FAULT_SILENCE},
                                      {"expire", FAULT_EXPIRE},
                                      {"half_open", FAULT_HALF_OPEN},
                                      {NULL, 0}};
static const struct {
    const char *member, *expected;
    const struct named *names;
} choices[] = {
    {"wrong", "\"token\" or \"mid\"", wrongs},
    {"forget", "\"dtls-session\", \"cid\", \"registration\" or \"observations\"", forgets},
    {"close", "\"fin\", \"rst\" or \"close-notify\"", closes},
    {"refuse", "\"resumption\" or \"handshake\"", refusals},
    {"fill", "\"queue\"", fills},
};

static const struct named *find_name(const struct named *names, struct slice name) {
    while (names->name != NULL && !slice_is(name, names->name))
        names++;
    return names->name == NULL ? NULL : names;
}

/* A number, or with `can_be_any` true: wherever it happens. */
static bool read_amount(const struct reading *reading, const char *name, json_int_t min, json_int_t max,
                        bool can_be_any) {
    const json_t *value = member(reading, name);
    struct fault_order *order = reading->order;
    if (can_be_any && json_is_true(value))
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max) {
        return refuse(reading, name, "%sa number from %d to %d is expected", can_be_any ? "true, or " : "", (int)min,
                      (int)max);
    }
    order->has_amount = true;
    order->amount = (uint32_t)json_integer_value(value);
    return true;
}

/* "4.04", of an answer. */
static bool read_code(struct slice text, uint8_t *code) {
    if (text.len != 4 || text.data[1] != '.' || text.data[0] < '0' || text.data[0] > '7')
        return false;
    uint64_t detail;
    if (!slice_to_u64(slice_from(text, 2), 31, &detail))
        return false;
    *code = COAP_CODE((unsigned)(text.data[0] - '0'), (unsigned)detail);
    return coap_code_is_response(*code);
}

static bool read_answer(const struct reading *reading) {
    const json_t *code = member(reading, "answer");
    reading->order->what = FAULT_ANSWER;
    if (!json_is_string(code) || !read_code(document_string(code), &reading->order->code))
        return refuse(reading, "answer", "the code of an answer is expected, such as \"4.04\"");
    return true;
}

static bool read_offset(const struct reading *reading) {
    const json_t *offset = member(reading, "time_offset_s");
    json_int_t offset_s = json_integer_value(offset);
    reading->order->what = FAULT_TIME;
    if (!json_is_integer(offset) || offset_s < -OFFSET_MAX_S || offset_s > OFFSET_MAX_S)
        return refuse(reading, "time_offset_s",
                      "a number of seconds is expected, of at most 100 years; it may be negative");
    if (reading->order->endpoint.data != NULL)
        return refuse(reading, "time_offset_s",
                      "it is for all devices, since a ServerHello comes before the device is known: it is expected at "
                      "/v1/faults");
    reading->order->offset_s = offset_s;
    return true;
}

static bool read_what_of(const struct reading *reading, const char *name) {
    struct fault_order *order = reading->order;
    const json_t *value = member(reading, name);
    for (const struct named *truth = truths; truth->name != NULL; truth++) {
        if (strcmp(name, truth->name) != 0)
            continue;
        order->what = truth->what;
        if (json_is_true(value))
            return true;
        return refuse(reading, name, "true is expected");
    }
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        if (strcmp(name, choices[i].member) != 0)
            continue;
        const struct named *choice = json_is_string(value) ? find_name(choices[i].names, document_string(value)) : NULL;
        if (choice == NULL)
            return refuse(reading, name, "%s is expected", choices[i].expected);
        order->what = choice->what;
        return true;
    }
    if (strcmp(name, "delay") == 0) {
        order->what = FAULT_DELAY;
        if (!document_duration(value, DELAY_MAX_MS, &order->delay_ms) || order->delay_ms == 0)
            return refuse(reading, name, "a duration is expected, such as \"2s\" or \"500ms\", of at most a day");
        return true;
    }
    if (strcmp(name, "duplicate") == 0) {
        order->what = FAULT_DUPLICATE;
        return read_amount(reading, name, 1, FAULT_COPIES_MAX, false);
    }
    if (strcmp(name, "corrupt") == 0) {
        order->what = FAULT_CORRUPT;
        return read_amount(reading, name, 0, SIZE_MAX_HERE, true);
    }
    if (strcmp(name, "truncate") == 0) {
        order->what = FAULT_TRUNCATE;
        return read_amount(reading, name, 0, SIZE_MAX_HERE, false);
    }
    if (strcmp(name, "option") == 0) {
        order->what = FAULT_OPTION;
        return read_amount(reading, name, 1, SIZE_MAX_HERE, false);
    }
    return strcmp(name, "answer") == 0 ? read_answer(reading) : read_offset(reading);
}

static bool read_what(const struct reading *reading) {
    const char *what = NULL;
    for (size_t i = 0; i < WHAT_MEMBERS; i++) {
        if (member(reading, members[i]) == NULL)
            continue;
        if (what != NULL)
            return refuse(reading, members[i], "there is %s already, and one fault at a time is expected", what);
        what = members[i];
    }
    if (what == NULL)
        return document_reject(reading->error, "",
                               "a member that says what is done is expected, such as \"drop\": true");
    return read_what_of(reading, what);
}

static bool read_details(const struct reading *reading) {
    struct fault_order *order = reading->order;
    const json_t *max_age = member(reading, "max_age"), *alert = member(reading, "alert");
    if (max_age != NULL) {
        if (order->what != FAULT_ANSWER)
            return refuse(reading, "max_age", "it is expected with answer only");
        if (!json_is_integer(max_age) || json_integer_value(max_age) < 0 || json_integer_value(max_age) > UINT32_MAX)
            return refuse(reading, "max_age", "a number of seconds is expected, from 0 to 4294967295");
        order->has_max_age = true;
        order->max_age_s = (uint32_t)json_integer_value(max_age);
    }
    if (alert == NULL)
        return true;
    if (order->what != FAULT_FORGET_SESSION)
        return refuse(reading, "alert", "it is expected with \"forget\": \"dtls-session\" only");
    if (!read_amount(reading, "alert", 0, 255, true))
        return false;
    if (!order->has_amount)
        order->amount = ALERT_DEFAULT;
    order->has_amount = true;
    return true;
}

/* ---- when ---- */

static const uint32_t to_bytes = FAULT_BIT(FAULT_DROP) | FAULT_BIT(FAULT_DELAY) | FAULT_BIT(FAULT_DUPLICATE) |
                                 FAULT_BIT(FAULT_CORRUPT) | FAULT_BIT(FAULT_TRUNCATE) | FAULT_BIT(FAULT_REORDER);
static const uint32_t to_ours = FAULT_BIT(FAULT_WRONG_TOKEN) | FAULT_BIT(FAULT_WRONG_MID) | FAULT_BIT(FAULT_OPTION);
static const uint32_t to_answers = FAULT_BIT(FAULT_ANSWER) | FAULT_BIT(FAULT_SILENCE);
static const uint32_t to_dealings = FAULT_BIT(FAULT_FORGET_SESSION) | FAULT_BIT(FAULT_FORGET_CID) |
                                    FAULT_BIT(FAULT_FORGET_REGISTRATION) | FAULT_BIT(FAULT_FORGET_OBSERVATIONS) |
                                    FAULT_BIT(FAULT_EXPIRE) | FAULT_BIT(FAULT_CLOSE_FIN) | FAULT_BIT(FAULT_CLOSE_RST) |
                                    FAULT_BIT(FAULT_CLOSE_NOTIFY);
static const uint32_t lasting = FAULT_BIT(FAULT_HALF_OPEN) | FAULT_BIT(FAULT_REFUSE_RESUMPTION) |
                                FAULT_BIT(FAULT_REFUSE_HANDSHAKE) | FAULT_BIT(FAULT_FILL_QUEUE) | FAULT_BIT(FAULT_TIME);

static bool is_one_of(const struct fault_order *order, uint32_t whats) {
    return (FAULT_BIT(order->what) & whats) != 0;
}

/* Which messages it may be about; 0: none. */
static uint32_t possible_kinds(const struct fault_order *order) {
    if (is_one_of(order, to_bytes))
        return MESSAGE_ANY | MESSAGE_HANDSHAKE | MESSAGE_RECORD;
    if (order->what == FAULT_ANSWER)
        return MESSAGE_FROM_DEVICES | MESSAGE_CONTINUE;
    if (order->what == FAULT_SILENCE)
        return MESSAGE_FROM_DEVICES | MESSAGE_CONTINUE | MESSAGE_PING;
    return is_one_of(order, lasting) ? 0 : MESSAGE_ANY;
}

static bool read_on(const struct reading *reading) {
    struct fault_order *order = reading->order;
    const json_t *on = member(reading, "on");
    uint32_t possible = possible_kinds(order);
    if (on == NULL) {
        if (is_one_of(order, to_answers))
            order->on = MESSAGE_FROM_DEVICES;
        else if (!is_one_of(order, to_dealings | lasting))
            order->on = MESSAGE_ANY;
        return true;
    }
    if (possible == 0)
        return refuse(reading, "on", "this fault lasts, whatever comes: nothing is expected");
    if (!json_is_string(on) || !message_kind_parse(document_string(on), &order->on))
        return refuse(reading, "on",
                      "expected is any, con, non, ack, rst, request, response, ping, register, update, deregister, "
                      "bootstrap, send, notify, read, write, execute, create, delete, discover, observe, continue, "
                      "handshake or record");
    if (order->on == MESSAGE_ANY && is_one_of(order, to_answers))
        order->on = MESSAGE_FROM_DEVICES | (order->what == FAULT_SILENCE ? MESSAGE_PING : 0);
    if ((order->on & ~possible) == 0)
        return true;
    return refuse(reading, "on", "%s",
                  is_one_of(order, to_answers)
                      ? "register, update, deregister, bootstrap, send or continue is expected, and may be ping for "
                        "silence"
                      : "handshake and record are datagrams, of which drop, delay, duplicate, corrupt, truncate or "
                        "reorder is expected");
}

static bool read_direction(const struct reading *reading) {
    struct fault_order *order = reading->order;
    const json_t *direction = member(reading, "direction");
    const uint32_t both = MESSAGE_ANY | MESSAGE_HANDSHAKE | MESSAGE_RECORD;
    bool only_in = is_one_of(order, to_dealings | FAULT_BIT(FAULT_RESET)) ||
                   (is_one_of(order, to_answers) && order->on != MESSAGE_CONTINUE);
    bool only_out = is_one_of(order, to_ours) || (is_one_of(order, to_answers) && order->on == MESSAGE_CONTINUE);
    if (direction == NULL) {
        bool from_us = order->on != MESSAGE_ANY && (order->on & MESSAGE_FROM_US) != 0;
        bool from_device =
            order->on != MESSAGE_ANY && (order->on & (MESSAGE_FROM_DEVICES | MESSAGE_NOTIFY | MESSAGE_PING)) != 0;
        order->in = only_in || (!only_out && !from_us && (from_device || (order->on & both) != 0));
        order->out = only_out || (!only_in && !from_device && (from_us || (order->on & both) != 0));
        return true;
    }
    if (order->on == 0)
        return refuse(reading, "direction", "it is expected with on");
    if (!json_is_string(direction))
        return refuse(reading, "direction", "\"in\" or \"out\" is expected");
    order->in = slice_is(document_string(direction), "in");
    order->out = slice_is(document_string(direction), "out");
    if (!order->in && !order->out)
        return refuse(reading, "direction", "\"in\" or \"out\" is expected");
    if (only_in && order->out)
        return refuse(reading, "direction", "\"in\" is expected: this fault is about what comes from a device");
    if (only_out && order->in)
        return refuse(reading, "direction", "\"out\" is expected: this fault is about what the server sends");
    return true;
}

static bool read_count(const struct reading *reading, const char *name, json_int_t min, uint32_t *count) {
    const json_t *value = member(reading, name);
    if (value == NULL)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > FAULT_TIMES_MAX)
        return refuse(reading, name, "a number from %d to %d is expected", (int)min, FAULT_TIMES_MAX);
    *count = (uint32_t)json_integer_value(value);
    return true;
}

static bool read_how_often(const struct reading *reading) {
    struct fault_order *order = reading->order;
    const json_t *duration = member(reading, "duration"), *probability = member(reading, "probability"),
                 *seed = member(reading, "seed"), *times = member(reading, "times");
    enum { DURATION_AT = 4 };
    static const char *const names[] = {"times", "after", "probability", "seed", "duration"};
    bool at_once = order->on == 0 && is_one_of(order, to_dealings);
    for (size_t i = 0; at_once && i < sizeof names / sizeof names[0]; i++) {
        if (member(reading, names[i]) != NULL)
            return refuse(reading, names[i], "this is done at once unless on says when, which is expected then");
    }
    for (size_t i = 0; order->what == FAULT_TIME && i < DURATION_AT; i++) {
        if (member(reading, names[i]) != NULL)
            return refuse(reading, names[i], "with time_offset_s only duration is expected");
    }
    order->times = duration != NULL || is_one_of(order, lasting) ? 0 : 1;
    if (json_is_null(times))
        order->times = 0;
    else if (!read_count(reading, "times", 1, &order->times))
        return false;
    if (!read_count(reading, "after", 0, &order->after))
        return false;
    order->probability = 1;
    order->is_random = probability != NULL;
    if (probability != NULL) {
        order->probability = json_number_value(probability);
        if (!json_is_number(probability) || !(order->probability > 0 && order->probability <= 1))
            return refuse(reading, "probability", "a number above 0 is expected, of at most 1");
    }
    order->seed = random_u64() >> 11; /* a number that every reader of JSON can keep */
    if (seed != NULL) {
        bool has_use = probability != NULL || (order->what == FAULT_CORRUPT && !order->has_amount);
        if (!has_use)
            return refuse(reading, "seed", "it is expected with probability, and with \"corrupt\": true");
        if (!json_is_integer(seed) || json_integer_value(seed) < 0)
            return refuse(reading, "seed", "a number from 0 to 9223372036854775807 is expected");
        order->seed = (uint64_t)json_integer_value(seed);
    }
    if (duration != NULL &&
        (!document_duration(duration, DURATION_MAX_MS, &order->duration_ms) || order->duration_ms == 0))
        return refuse(reading, "duration", "a duration is expected, such as \"60s\", of at most a year");
    return true;
}

bool fault_json_read(const json_t *body, struct fault_order *order, struct document_error *error) {
    const struct reading reading = {.body = body, .order = order, .error = error};
    *order = (struct fault_order){.endpoint = order->endpoint};
    return document_check_members(body, "", members, error) && read_what(&reading) && read_details(&reading) &&
           read_on(&reading) && read_direction(&reading) && read_how_often(&reading);
}

/* ---- writing ---- */

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static json_t *duration_json(uint64_t ms) {
    return ms % 1000 == 0 ? json_sprintf("%llus", (unsigned long long)ms / 1000)
                          : json_sprintf("%llums", (unsigned long long)ms);
}

static void set_what(json_t *object, const struct fault_order *order) {
    for (const struct named *truth = truths; truth->name != NULL; truth++) {
        if (truth->what == order->what)
            set(object, truth->name, json_true());
    }
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        for (const struct named *choice = choices[i].names; choice->name != NULL; choice++) {
            if (choice->what == order->what)
                set(object, choices[i].member, json_string(choice->name));
        }
    }
    switch (order->what) {
    case FAULT_DELAY:
        set(object, "delay", duration_json(order->delay_ms));
        break;
    case FAULT_DUPLICATE:
    case FAULT_TRUNCATE:
    case FAULT_OPTION:
        set(object, fault_what_name(order->what), json_integer(order->amount));
        break;
    case FAULT_CORRUPT:
        set(object, "corrupt", order->has_amount ? json_integer(order->amount) : json_true());
        break;
    case FAULT_FORGET_SESSION:
        if (order->has_amount)
            set(object, "alert", json_integer(order->amount));
        break;
    case FAULT_ANSWER:
        set(object, "answer", json_string(coap_code_text(order->code).text));
        if (order->has_max_age)
            set(object, "max_age", json_integer(order->max_age_s));
        break;
    case FAULT_TIME:
        set(object, "time_offset_s", json_integer(order->offset_s));
        break;
    default:
        break;
    }
}

json_t *fault_json(const struct fault *fault) {
    const struct fault_order *order = &fault->order;
    json_t *object = json_object();
    set(object, "id", json_integer((json_int_t)fault->id));
    set(object, "endpoint", order->endpoint.data == NULL ? json_null() : document_text(order->endpoint));
    set_what(object, order);
    bool is_one_kind = (order->on & (order->on - 1)) == 0;
    if (order->on != 0 && (is_one_kind || order->on == MESSAGE_ANY))
        set(object, "on", json_string(message_kind_name(order->on)));
    if (order->on != 0 && order->in != order->out)
        set(object, "direction", json_string(order->in ? "in" : "out"));
    set(object, "times", order->times == 0 ? json_null() : json_integer(order->times));
    if (order->after > 0)
        set(object, "after", json_integer(order->after));
    if (order->is_random)
        set(object, "probability", json_real(order->probability));
    if (order->is_random || (order->what == FAULT_CORRUPT && !order->has_amount))
        set(object, "seed", json_integer((json_int_t)order->seed));
    if (order->duration_ms > 0)
        set(object, "duration", duration_json(order->duration_ms));
    set(object, "ordered_at", document_time(fault->ordered_at_ms));
    set(object, "active", json_boolean(!fault->has_ended));
    set(object, "seen", json_integer((json_int_t)fault->seen));
    set(object, "fired", json_integer((json_int_t)fault->fired));
    return object;
}
