#include "web/v1/link_json.h"

#include <stdlib.h>

#include "web/document.h"

/* A member whose name comes from outside. */
static void set_named(json_t *object, struct slice name, json_t *value) {
    json_t *key = document_text(name);
    if (key == NULL)
        json_decref(value);
    else
        json_object_setn_new(object, json_string_value(key), json_string_length(key), value);
    json_decref(key);
}

static json_t *attribute_json(const struct link_format_attribute *attribute) {
    if (!attribute->has_value)
        return json_true();
    if (!attribute->quoted)
        return document_text(attribute->value);
    uint8_t *memory = malloc(attribute->value.len + 1);
    if (memory == NULL)
        return NULL;
    struct buffer text = buffer_over(memory, attribute->value.len);
    link_format_unescape(&text, attribute->value);
    json_t *value = document_text(buffer_slice(&text));
    free(memory);
    return value;
}

json_t *link_attributes_json(const struct link_format_link *link) {
    json_t *attributes = json_object();
    struct link_format_attribute attribute;
    for (size_t at = 0; link_format_attribute(link, &at, &attribute);)
        set_named(attributes, attribute.name, attribute_json(&attribute));
    return attributes;
}
