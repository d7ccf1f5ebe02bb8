#include "web/multipart.h"

#include <strings.h>

static bool fail(struct multipart *m, const char *fault) {
    m->state = MULTIPART_BROKEN;
    m->fault = fault;
    return false;
}

static bool starts_with(struct slice text, const char *prefix) {
    size_t len = strlen(prefix);
    return text.len >= len && strncasecmp((const char *)text.data, prefix, len) == 0;
}

static struct slice skip_spaces(struct slice text) {
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_from(text, 1);
    return text;
}

/* ---- parameters of a header field (RFC 9110 §5.6.6) ---- */

/* A token or a quoted string, with its quoted pairs undone in `out`; *text goes on behind it. False: it is longer than
 * `size`, or does not end. */
static bool read_value(struct slice *text, char *out, size_t size, size_t *len) {
    bool is_quoted = text->len > 0 && text->data[0] == '"';
    struct slice rest = slice_from(*text, is_quoted);
    *len = 0;
    while (rest.len > 0 && (is_quoted ? rest.data[0] != '"' : strchr("; \t", rest.data[0]) == NULL)) {
        if (is_quoted && rest.data[0] == '\\' && rest.len > 1)
            rest = slice_from(rest, 1);
        if (*len == size)
            return false;
        out[(*len)++] = (char)rest.data[0];
        rest = slice_from(rest, 1);
    }
    if (is_quoted && rest.len == 0)
        return false;
    *text = slice_from(rest, is_quoted);
    return true;
}

/* The parameter `name` among those that follow the first ';'. */
static bool find_parameter(struct slice text, const char *name, char *out, size_t size, size_t *len) {
    const uint8_t *semicolon = text.len == 0 ? NULL : memchr(text.data, ';', text.len);
    text = semicolon == NULL ? SLICE_NONE : slice_from(text, (size_t)(semicolon - text.data));
    while (text.len > 0 && text.data[0] == ';') {
        text = skip_spaces(slice_from(text, 1));
        const uint8_t *equals = text.len == 0 ? NULL : memchr(text.data, '=', text.len);
        if (equals == NULL)
            return false;
        size_t name_len = (size_t)(equals - text.data);
        bool is_it = name_len == strlen(name) && starts_with(text, name);
        text = slice_from(text, name_len + 1);
        if (is_it)
            return read_value(&text, out, size, len);
        char other[MULTIPART_HEADER_MAX];
        size_t other_len;
        if (!read_value(&text, other, sizeof other, &other_len))
            return false;
        text = skip_spaces(text);
    }
    return false;
}

bool multipart_start(struct multipart *m, struct slice content_type, const struct multipart_handlers *handlers,
                     void *arg) {
    size_t len;
    m->handlers = handlers;
    m->arg = arg;
    m->state = MULTIPART_OUTSIDE;
    m->fault = NULL;
    m->header_len = m->parts = 0;
    memcpy(m->delimiter, "\r\n--", 4);
    if (!starts_with(content_type, "multipart/form-data") ||
        !find_parameter(content_type, "boundary", m->delimiter + 4, MULTIPART_BOUNDARY_MAX, &len) || len == 0)
        return false;
    if (memchr(m->delimiter + 4, '\r', len) != NULL)
        return false;
    m->delimiter_len = 4 + len;
    m->matched = 2; /* as if a line had ended before the first boundary (RFC 2046 §5.1.1) */
    return true;
}

/* ---- the header of a part ---- */

static bool begin_part(struct multipart *m) {
    struct slice header = slice_of(m->header, m->header_len);
    char name[MULTIPART_HEADER_MAX];
    size_t name_len = 0;
    while (header.len > 0) {
        const uint8_t *end = memchr(header.data, '\n', header.len);
        size_t len = end == NULL ? header.len : (size_t)(end - header.data);
        struct slice line = slice_of(header.data, len > 0 && header.data[len - 1] == '\r' ? len - 1 : len);
        header = end == NULL ? SLICE_NONE : slice_from(header, len + 1);
        if (starts_with(line, "content-disposition:") && !find_parameter(line, "name", name, sizeof name, &name_len))
            name_len = 0;
    }
    if (++m->parts > MULTIPART_PARTS_MAX)
        return fail(m, "The form has too many parts.");
    m->state = MULTIPART_BODY;
    m->header_len = 0;
    m->matched = 0;
    return m->handlers->begin(m->arg, slice_of(name, name_len)) || fail(m, NULL);
}

static bool add_to_header(struct multipart *m, uint8_t byte) {
    if (m->header_len == sizeof m->header)
        return fail(m, "The header of a part is too long.");
    m->header[m->header_len++] = (char)byte;
    bool is_over = (m->header_len == 2 && memcmp(m->header, "\r\n", 2) == 0) ||
                   (m->header_len >= 4 && memcmp(m->header + m->header_len - 4, "\r\n\r\n", 4) == 0);
    return !is_over || begin_part(m);
}

/* ---- what is behind a boundary: CRLF, or two dashes at the end; spaces may stand before (RFC 2046 §5.1.1) ---- */

static bool add_behind_boundary(struct multipart *m, uint8_t byte) {
    bool is_dash = m->header_len == 1 && m->header[0] == '-', is_return = m->header_len == 1 && m->header[0] == '\r';
    if ((byte == ' ' || byte == '\t') && m->header_len == 0)
        return true;
    if (m->header_len == 0 && (byte == '-' || byte == '\r')) {
        m->header[m->header_len++] = (char)byte;
        return true;
    }
    m->header_len = 0;
    if (is_dash && byte == '-')
        m->state = MULTIPART_DONE;
    else if (is_return && byte == '\n')
        m->state = MULTIPART_HEADER;
    else
        return fail(m, "Behind a boundary there is something else than the end of its line.");
    return true;
}

/* ---- bodies ---- */

static bool give(struct multipart *m, struct slice bytes) {
    return m->state != MULTIPART_BODY || bytes.len == 0 || m->handlers->data(m->arg, bytes) || fail(m, NULL);
}

static bool end_part(struct multipart *m) {
    bool was_body = m->state == MULTIPART_BODY;
    m->state = MULTIPART_BOUNDARY;
    m->matched = 0;
    return !was_body || m->handlers->end(m->arg) || fail(m, NULL);
}

/* Look for the delimiter. CR is its first byte and no other, so that after a mismatch only the byte itself can begin it.
 * Returns how many bytes were taken. */
static size_t add_to_body(struct multipart *m, struct slice bytes) {
    size_t at = 0, plain = 0; /* `plain`: where what was not given yet begins */
    for (; at < bytes.len; at++) {
        uint8_t byte = bytes.data[at];
        if (byte == (uint8_t)m->delimiter[m->matched]) {
            if (m->matched == 0 && !give(m, slice_of(bytes.data + plain, at - plain)))
                return at;
            if (++m->matched == m->delimiter_len) {
                end_part(m);
                return at + 1;
            }
            continue;
        }
        if (m->matched > 0) {
            size_t held = m->matched;
            m->matched = 0;
            plain = at;
            if (!give(m, slice_of(m->delimiter, held)))
                return at;
            at--; /* it may begin the delimiter itself */
        }
    }
    if (m->matched == 0)
        give(m, slice_of(bytes.data + plain, at - plain));
    return at;
}

bool multipart_add(struct multipart *m, struct slice bytes) {
    while (bytes.len > 0 && m->state != MULTIPART_BROKEN && m->state != MULTIPART_DONE) {
        size_t taken = 1;
        if (m->state == MULTIPART_BOUNDARY)
            add_behind_boundary(m, bytes.data[0]);
        else if (m->state == MULTIPART_HEADER)
            add_to_header(m, bytes.data[0]);
        else
            taken = add_to_body(m, bytes);
        bytes = slice_from(bytes, taken);
    }
    return m->state != MULTIPART_BROKEN;
}

bool multipart_is_done(const struct multipart *m) {
    return m->state == MULTIPART_DONE;
}
