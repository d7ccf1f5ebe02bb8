#include "web/v1/condition.h"

#include "web/document.h"

/* ---- reading ---- */

static bool add_type(event_types *types, const json_t *name, const char *at, struct document_error *error) {
    if (json_is_string(name) && event_types_add(types, document_string(name)))
        return true;
    return document_reject(error, at, "a type of event, such as updated, is expected; \"%.64s\" is none",
                           json_is_string(name) ? json_string_value(name) : "this");
}

static bool read_types(struct condition *condition, const json_t *object, const char *at,
                       struct document_error *error) {
    const json_t *type = json_object_get(object, "type"), *types = json_object_get(object, "types");
    char pointer[DOCUMENT_POINTER_SIZE];
    const json_t *name;
    size_t index;
    document_member_pointer(pointer, at, type != NULL && types == NULL ? "type" : "types");
    if (type != NULL && types != NULL)
        return document_reject(error, pointer, "type or types is expected, not both");
    condition->types = type == NULL && types == NULL ? EVENT_TYPES_ALL : 0;
    if (type != NULL)
        return add_type(&condition->types, type, pointer, error);
    if (types != NULL && json_array_size(types) == 0)
        return document_reject(error, pointer, "a list of types of events is expected");
    json_array_foreach(types, index, name) {
        char entry[DOCUMENT_POINTER_SIZE];
        document_entry_pointer(entry, pointer, index);
        if (!add_type(&condition->types, name, entry, error))
            return false;
    }
    return true;
}

bool condition_read(const json_t *object, const char *at, struct condition *condition, struct document_error *error) {
    const json_t *match = json_object_get(object, "match");
    char pointer[DOCUMENT_POINTER_SIZE];
    *condition = (struct condition){.endpoint = json_object_get(object, "endpoint")};
    document_member_pointer(pointer, at, "endpoint");
    if (condition->endpoint != NULL && !json_is_string(condition->endpoint))
        return document_reject(error, pointer, "the name of an endpoint, a string, is expected");
    if (!read_types(condition, object, at, error))
        return false;
    document_member_pointer(pointer, at, "match");
    return match == NULL || matcher_read(match, pointer, event_json_fields, &condition->match, error);
}

void condition_free(struct condition *condition) {
    matcher_free(&condition->match);
}

/* ---- matching ---- */

static bool type_fits(const struct condition *condition, const struct event *event) {
    return (condition->types >> event->type & 1) != 0;
}

static bool endpoint_fits(const struct condition *condition, const struct event *event) {
    return condition->endpoint == NULL || slice_equal(document_string(condition->endpoint), event->endpoint);
}

size_t condition_misses(const struct condition *condition, const struct event *event, const json_t *json) {
    return (size_t)!type_fits(condition, event) + (size_t)!endpoint_fits(condition, event) +
           matcher_misses(&condition->match, json);
}

bool condition_near(const struct condition *condition, const struct event *event) {
    bool names_types = condition->types != EVENT_TYPES_ALL, names_endpoint = condition->endpoint != NULL;
    if (!names_types && !names_endpoint)
        return true;
    return (names_types && type_fits(condition, event)) || (names_endpoint && endpoint_fits(condition, event));
}

/* The types as they are asked for. */
static json_t *types_json(event_types types) {
    json_t *names = json_array();
    for (enum event_type type = 0; type < EVENT_TYPE_COUNT; type++)
        if ((types >> type & 1) != 0)
            json_array_append_new(names, json_string(event_type_name(type)));
    return names;
}

json_t *condition_differences(const struct condition *condition, const struct event *event, const json_t *json) {
    json_t *differences = json_array(), *rest = matcher_differences(&condition->match, json);
    if (!type_fits(condition, event)) {
        json_t *expected = types_json(condition->types);
        json_array_append_new(differences, matcher_difference("type", expected, json_object_get(json, "type")));
        json_decref(expected);
    }
    if (!endpoint_fits(condition, event))
        json_array_append_new(differences,
                              matcher_difference("endpoint", condition->endpoint, json_object_get(json, "endpoint")));
    json_array_extend(differences, rest);
    json_decref(rest);
    return differences;
}
