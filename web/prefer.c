#include "web/prefer.h"

#include <strings.h>

#include "common/base/duration.h"

static void skip_space(struct slice *rest) {
    while (rest->len > 0 && (rest->data[0] == ' ' || rest->data[0] == '\t'))
        *rest = slice_from(*rest, 1);
}

/* Up to a separator, without the space around it. */
static struct slice take_token(struct slice *rest) {
    size_t len = 0;
    skip_space(rest);
    while (len < rest->len && memchr("=;, \t", rest->data[len], 5) == NULL)
        len++;
    struct slice token = slice_of(rest->data, len);
    *rest = slice_from(*rest, len);
    skip_space(rest);
    return token;
}

/* A quoted-string (RFC 9110 §5.6.4); a backslash and what it quotes stay as they are. */
static struct slice take_quoted(struct slice *rest) {
    size_t len = 1;
    while (len < rest->len && rest->data[len] != '"')
        len += rest->data[len] == '\\' ? 2 : 1;
    len = len < rest->len ? len : rest->len;
    struct slice text = slice_of(rest->data + 1, len - 1);
    *rest = slice_from(*rest, len + 1);
    skip_space(rest);
    return text;
}

/* `name`, `name=token` or `name="text"`. */
static void take_pair(struct slice *rest, struct slice *name, struct slice *value) {
    *name = take_token(rest);
    *value = SLICE_NONE;
    if (rest->len == 0 || rest->data[0] != '=')
        return;
    *rest = slice_from(*rest, 1);
    skip_space(rest);
    *value = rest->len > 0 && rest->data[0] == '"' ? take_quoted(rest) : take_token(rest);
}

static bool is_named(struct slice name, const char *word) {
    return name.len == strlen(word) && name.len > 0 && strncasecmp((const char *)name.data, word, name.len) == 0;
}

/* Whether the next byte is that separator; it is taken then. */
static bool take_separator(struct slice *rest, uint8_t separator) {
    if (rest->len == 0 || rest->data[0] != separator)
        return false;
    *rest = slice_from(*rest, 1);
    return true;
}

/* One preference and its parameters. */
static bool read_preference(struct slice *rest, struct prefer *prefer) {
    struct slice name, value;
    bool good = true, has_expiry = false;
    take_pair(rest, &name, &value);
    bool counts = is_named(name, "respond-async") && !prefer->respond_async;
    prefer->respond_async = prefer->respond_async || counts;
    while (take_separator(rest, ';')) {
        take_pair(rest, &name, &value);
        if (!counts || has_expiry || !is_named(name, "expires"))
            continue;
        has_expiry = true;
        good = duration_parse(value, PREFER_EXPIRES_MAX_MS, &prefer->expires_ms) &&
               prefer->expires_ms >= PREFER_EXPIRES_MIN_MS;
    }
    return good;
}

bool prefer_parse(struct slice field, struct prefer *prefer) {
    while (field.len > 0) {
        if (!read_preference(&field, prefer))
            return false;
        if (field.len > 0 && !take_separator(&field, ',')) /* malformed: on with what follows */
            field = slice_from(field, 1);
    }
    return true;
}

bool prefer_read(const struct http_request *request, struct prefer *prefer) {
    size_t at = 0;
    struct slice field;
    *prefer = (struct prefer){0};
    while ((field = http_header_next(request, "prefer", &at)).data != NULL) {
        if (!prefer_parse(field, prefer))
            return false;
    }
    return true;
}
