#include "common/lwm2m/link_format.h"

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 6690 §2 parmname: what a URI template or header parameter may be called. */
static bool is_name_char(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$&+-.^_`|~*", c) != NULL);
}

static size_t skip_space(struct slice text, size_t at) {
    while (at < text.len && is_space(text.data[at]))
        at++;
    return at;
}

enum step { STEP_ATTRIBUTE, STEP_END, STEP_FAULT };

/* The attribute behind the `;` at *at, if there is one there. */
static enum step read_attribute(struct slice text, size_t *at, struct link_format_attribute *attribute,
                                const char **error) {
    size_t i = skip_space(text, *at);
    if (i == text.len || text.data[i] != ';')
        return STEP_END;
    i = skip_space(text, i + 1);
    if (i == text.len || text.data[i] == ';' || text.data[i] == ',') { /* nothing between two marks */
        *at = i;
        *attribute = (struct link_format_attribute){.name = SLICE_NONE};
        return STEP_ATTRIBUTE;
    }
    size_t start = i;
    while (i < text.len && is_name_char(text.data[i]))
        i++;
    *attribute = (struct link_format_attribute){.name = slice_of(text.data + start, i - start)};
    *at = i;
    if (i == start) {
        *error = "an attribute name is expected";
        return STEP_FAULT;
    }
    if (i == text.len || text.data[i] != '=')
        return STEP_ATTRIBUTE;
    attribute->has_value = true;
    i++;
    if (i < text.len && text.data[i] == '"') {
        attribute->quoted = true;
        start = ++i;
        while (i < text.len && text.data[i] != '"')
            i += text.data[i] == '\\' ? 2 : 1;
        if (i >= text.len) {
            *error = "a quoted value does not end";
            return STEP_FAULT;
        }
        attribute->value = slice_of(text.data + start, i - start);
        *at = i + 1;
        return STEP_ATTRIBUTE;
    }
    start = i;
    while (i < text.len && text.data[i] != ';' && text.data[i] != ',' && text.data[i] != '<' && text.data[i] != '"')
        i++;
    size_t end = i;
    while (end > start && is_space(text.data[end - 1]))
        end--;
    attribute->value = slice_of(text.data + start, end - start);
    *at = i;
    return STEP_ATTRIBUTE;
}

void link_format_start(struct link_format_cursor *cursor, struct slice text) {
    *cursor = (struct link_format_cursor){.text = text};
}

static bool fail(struct link_format_cursor *cursor, const char *error) {
    cursor->error = error;
    return false;
}

/* To the `<` of the next link, over white space and superfluous commas. */
static void skip_to_link(struct link_format_cursor *cursor) {
    for (;;) {
        size_t at = skip_space(cursor->text, cursor->at);
        if (at > cursor->at)
            cursor->tolerated = true;
        cursor->at = at;
        if (at == cursor->text.len || cursor->text.data[at] != ',')
            return;
        cursor->tolerated = true;
        cursor->at++;
    }
}

bool link_format_next(struct link_format_cursor *cursor, struct link_format_link *link) {
    struct slice text = cursor->text;
    skip_to_link(cursor);
    if (cursor->at == text.len)
        return false;
    if (text.data[cursor->at] != '<')
        return fail(cursor, "a link begins with <");
    size_t start = cursor->at + 1, end = start;
    while (end < text.len && text.data[end] != '>') {
        if (text.data[end] == '<' || text.data[end] <= ' ')
            return fail(cursor, "a link target must not hold white space or <");
        end++;
    }
    if (end == text.len)
        return fail(cursor, "a link target does not end with >");
    link->target = slice_of(text.data + start, end - start);
    cursor->at = end + 1;

    size_t attributes = cursor->at;
    struct link_format_attribute attribute;
    enum step step;
    const char *error = NULL;
    while ((step = read_attribute(text, &cursor->at, &attribute, &error)) == STEP_ATTRIBUTE) {
        if (attribute.name.len == 0 || (attribute.has_value && !attribute.quoted &&
                                        memchr(attribute.value.data, ' ', attribute.value.len) != NULL))
            cursor->tolerated = true;
    }
    if (step == STEP_FAULT)
        return fail(cursor, error);
    link->attributes = slice_of(text.data + attributes, cursor->at - attributes);
    cursor->at = skip_space(text, cursor->at);
    if (cursor->at == text.len)
        return true;
    if (text.data[cursor->at] != ',')
        return fail(cursor, "a comma is expected between links");
    cursor->at++;
    if (cursor->at == text.len)
        cursor->tolerated = true; /* a trailing comma */
    return true;
}

bool link_format_attribute(const struct link_format_link *link, size_t *at, struct link_format_attribute *attribute) {
    const char *error = NULL;
    while (read_attribute(link->attributes, at, attribute, &error) == STEP_ATTRIBUTE) {
        if (attribute->name.len > 0)
            return true;
    }
    return false;
}

bool link_format_find(const struct link_format_link *link, const char *name, struct slice *value) {
    struct link_format_attribute attribute;
    size_t at = 0;
    while (link_format_attribute(link, &at, &attribute)) {
        if (slice_is(attribute.name, name)) {
            *value = attribute.value;
            return true;
        }
    }
    return false;
}

static bool may_stand_bare(struct slice value) {
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
              c == '_'))
            return false;
    }
    return value.len > 0;
}

void link_format_put_value(struct buffer *out, struct slice value, bool quote) {
    if (!quote && may_stand_bare(value)) {
        buffer_put_slice(out, value);
        return;
    }
    buffer_put_u8(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '"' || value.data[i] == '\\')
            buffer_put_u8(out, '\\');
        buffer_put_u8(out, value.data[i]);
    }
    buffer_put_u8(out, '"');
}

void link_format_unescape(struct buffer *out, struct slice value) {
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '\\' && i + 1 < value.len)
            i++;
        buffer_put_u8(out, value.data[i]);
    }
}
