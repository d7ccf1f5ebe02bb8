#include "web/scenario/variables.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_-+.", c) != NULL);
}

bool variables_is_name(const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if (!is_name_character(name[i]))
            return false;
    return len > 0 && len <= VARIABLES_NAME_MAX;
}

/* ---- pieces of a text ---- */

struct piece {
    struct slice text; /* as it is; of a variable its name */
    bool is_variable, is_escape;
};

/* The next piece; *text shrinks. False at the end. A reference that is none is a text. */
static bool next_piece(struct slice *text, struct piece *piece) {
    const uint8_t *data = text->data;
    size_t len = text->len, at = 0;
    if (len == 0)
        return false;
    if (slice_starts_with(*text, "$${")) {
        *piece = (struct piece){.text = slice_of(data + 1, 2), .is_escape = true};
        *text = slice_from(*text, 3);
        return true;
    }
    if (slice_starts_with(*text, "${")) {
        size_t end = 2;
        while (end < len && is_name_character((char)data[end]))
            end++;
        if (end > 2 && end < len && data[end] == '}') {
            *piece = (struct piece){.text = slice_of(data + 2, end - 2), .is_variable = true};
            *text = slice_from(*text, end + 1);
            return true;
        }
        at = 1;
    }
    while (at < len && data[at] != '$')
        at++;
    if (at == 0) /* a $ that means nothing */
        at = 1;
    *piece = (struct piece){.text = slice_of(data, at)};
    *text = slice_from(*text, at);
    return true;
}

static const json_t *value_of(const json_t *variables, struct slice name) {
    char text[VARIABLES_NAME_MAX + 1];
    if (name.len > VARIABLES_NAME_MAX)
        return NULL;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    return json_object_get(variables, text);
}

/* ---- looking ---- */

bool variables_are_used(const json_t *value) {
    const char *name;
    size_t index;
    json_t *member;
    struct slice text = document_string(value);
    struct piece piece;
    while (json_is_string(value) && next_piece(&text, &piece))
        if (piece.is_variable || piece.is_escape)
            return true;
    json_object_foreach((json_t *)(uintptr_t)value, name, member) {
        if (variables_are_used(member))
            return true;
    }
    json_array_foreach(value, index, member) {
        if (variables_are_used(member))
            return true;
    }
    return false;
}

bool variables_check(const json_t *value, const char *at, const json_t *known, struct document_error *error) {
    const char *name;
    char pointer[DOCUMENT_POINTER_SIZE];
    size_t index;
    json_t *member;
    struct slice text = document_string(value);
    struct piece piece;
    while (json_is_string(value) && next_piece(&text, &piece))
        if (piece.is_variable && value_of(known, piece.text) == NULL)
            return document_reject(error, at, "a variable that is known by then is expected; \"%.*s\" is not",
                                   (int)(piece.text.len < 100 ? piece.text.len : 100), (const char *)piece.text.data);
    json_object_foreach((json_t *)(uintptr_t)value, name, member) {
        document_member_pointer(pointer, at, name);
        if (!variables_check(member, pointer, known, error))
            return false;
    }
    json_array_foreach(value, index, member) {
        document_entry_pointer(pointer, at, index);
        if (!variables_check(member, pointer, known, error))
            return false;
    }
    return true;
}

/* ---- filling in ---- */

/* A text that grows up to what is left of the bound. */
struct filling {
    const json_t *variables;
    size_t left;
    bool failed;
};

struct growing {
    char *text;
    size_t len, cap;
};

static void put(struct filling *filling, struct growing *out, struct slice bytes) {
    if (bytes.len > filling->left)
        filling->failed = true;
    if (filling->failed)
        return;
    if (out->len + bytes.len > out->cap) {
        size_t cap = 2 * (out->len + bytes.len);
        char *grown = realloc(out->text, cap);
        if (grown == NULL) {
            filling->failed = true;
            return;
        }
        out->text = grown;
        out->cap = cap;
    }
    if (bytes.len > 0)
        memcpy(out->text + out->len, bytes.data, bytes.len);
    out->len += bytes.len;
    filling->left -= bytes.len;
}

/* RFC 3986 §2.3 leaves these as they are; a colon is harmless within a path, and endpoint names are full of them. */
static bool is_plain(uint8_t c) {
    return is_name_character((char)c) ? c != '+' : c == '~' || c == ':';
}

static void put_segment(struct filling *filling, struct growing *out, struct slice bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        char escaped[4];
        snprintf(escaped, sizeof escaped, "%%%02X", bytes.data[i]);
        put(filling, out, is_plain(bytes.data[i]) ? slice_of(bytes.data + i, 1) : slice_str(escaped));
    }
}

typedef void put_fn(struct filling *filling, struct growing *out, struct slice bytes);

static void put_value(struct filling *filling, struct growing *out, const json_t *value, put_fn *put_text) {
    if (json_is_string(value)) {
        put_text(filling, out, document_string(value));
        return;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    put_text(filling, out, slice_str(text == NULL ? "" : text));
    free(text);
}

static json_t *string_of(struct filling *filling, struct growing *out) {
    json_t *string = filling->failed ? NULL : json_stringn(out->text == NULL ? "" : out->text, out->len);
    free(out->text);
    return string;
}

/* Of a variable that becomes the value itself. */
static void count(struct filling *filling, const json_t *value) {
    size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    if (size > filling->left)
        filling->failed = true;
    else
        filling->left -= size;
}

static json_t *fill_string(struct filling *filling, const json_t *value) {
    struct slice text = document_string(value);
    struct growing out = {0};
    struct piece piece;
    bool is_first = true;
    while (next_piece(&text, &piece)) {
        const json_t *variable = piece.is_variable ? value_of(filling->variables, piece.text) : NULL;
        if (variable != NULL && is_first && text.len == 0) {
            count(filling, variable);
            return filling->failed ? NULL : json_deep_copy(variable);
        }
        if (variable != NULL)
            put_value(filling, &out, variable, put);
        else
            put(filling, &out, piece.text);
        is_first = false;
    }
    return string_of(filling, &out);
}

static json_t *fill(struct filling *filling, const json_t *value) {
    const char *name;
    size_t index;
    json_t *member, *filled;
    if (filling->failed)
        return NULL;
    if (json_is_string(value))
        return fill_string(filling, value);
    if (!json_is_object(value) && !json_is_array(value))
        return json_incref((json_t *)(uintptr_t)value);
    filled = json_is_object(value) ? json_object() : json_array();
    json_object_foreach((json_t *)(uintptr_t)value, name, member) {
        json_object_set_new(filled, name, fill(filling, member));
    }
    json_array_foreach(value, index, member) {
        json_array_append_new(filled, fill(filling, member));
    }
    return filled;
}

json_t *variables_fill(const json_t *value, const json_t *variables) {
    struct filling filling = {.variables = variables, .left = VARIABLES_FILLED_MAX};
    json_t *filled = fill(&filling, value);
    if (!filling.failed)
        return filled;
    json_decref(filled);
    return NULL;
}

json_t *variables_fill_path(const json_t *path, const json_t *variables) {
    struct filling filling = {.variables = variables, .left = VARIABLES_FILLED_MAX};
    struct slice text = document_string(path);
    struct growing out = {0};
    struct piece piece;
    while (next_piece(&text, &piece)) {
        const json_t *variable = piece.is_variable ? value_of(variables, piece.text) : NULL;
        if (variable != NULL)
            put_value(&filling, &out, variable, out.len > 0 && out.text[out.len - 1] == '/' ? put_segment : put);
        else
            put(&filling, &out, piece.text);
    }
    return string_of(&filling, &out);
}
