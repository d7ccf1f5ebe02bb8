#include "web/v1/event_json.h"

#include "web/document.h"

const char *const event_json_fields[] = {"id",         "ts",      "type",   "endpoint",  "location", "previous",
                                         "lifetime_s", "address", "detail", "coap_code", "path",     "value", NULL};

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static json_t *code_json(uint8_t code) {
    return json_sprintf("%u.%02u", (unsigned)code >> 5, (unsigned)code & 31);
}

json_t *event_json(const struct event *event) {
    json_t *object = json_object();
    set(object, "id", json_integer((json_int_t)event->id));
    set(object, "ts", document_time(event->ts_ms));
    set(object, "type", json_string(event_type_name(event->type)));
    set(object, "endpoint", event->endpoint.len == 0 ? json_null() : document_text(event->endpoint));
    if (event->location.len > 0) {
        set(object, "location", document_location(event->location));
        set(object, "lifetime_s", json_integer(event->lifetime_s));
    }
    if (event->previous.len > 0)
        set(object, "previous",
            event->type == EVENT_REPLACED ? document_location(event->previous) : document_text(event->previous));
    if (event->address.family != ADDRESS_NONE)
        set(object, "address", document_address(&event->address));
    if (event->detail.len > 0)
        set(object, "detail", document_text(event->detail));
    if (event->coap_code != 0)
        set(object, "coap_code", code_json(event->coap_code));
    return object;
}

bool event_types_add(event_types *types, struct slice name) {
    enum event_type type;
    if (!event_type_parse(name, &type))
        return false;
    *types |= 1u << type;
    if (type == EVENT_REGISTERED)
        *types |= 1u << EVENT_REPLACED;
    return true;
}

bool event_types_parse(struct slice list, event_types *types, struct slice *unknown) {
    *types = 0;
    for (bool more = true; more;) {
        const uint8_t *comma = list.len > 0 ? memchr(list.data, ',', list.len) : NULL;
        struct slice name = comma == NULL ? list : slice_of(list.data, (size_t)(comma - list.data));
        if (!event_types_add(types, name)) {
            *unknown = name;
            return false;
        }
        more = comma != NULL;
        list = slice_from(list, name.len + 1);
    }
    return true;
}

bool event_filter_match(const struct event_filter *filter, const struct event *event) {
    return (filter->types >> event->type & 1) != 0 &&
           (filter->any_endpoint || slice_equal(filter->endpoint, event->endpoint));
}
