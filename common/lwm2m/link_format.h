/* Link format (RFC 6690) as LwM2M uses it: the object list of a registration (Core 1.2 §6.2.1), answers to Discover.
 * The parser takes what real clients send (spaces after commas, trailing commas, unquoted and quoted values alike) and
 * the writer is strict. Neither allocates: a list is walked link by link, values are slices into the text. */
#ifndef BERTH_LWM2M_LINK_FORMAT_H
#define BERTH_LWM2M_LINK_FORMAT_H

#include "common/base/buffer.h"
#include "common/lwm2m/path.h"

/* One `<target>;attribute=value;…`. */
struct link_format_link {
    struct slice target;     /* between < and >, as written */
    struct slice attributes; /* from the first ; to the end of the link, walked with link_format_attribute */
};

struct link_format_attribute {
    struct slice name;
    struct slice value; /* without quotes; backslash escapes still in it (see link_format_unescape) */
    bool has_value;
    bool quoted;
};

struct link_format_cursor {
    struct slice text;
    size_t at;
    const char *error; /* after a failure: what is wrong; `at` is where */
    bool tolerated;    /* something was skipped that RFC 6690 does not allow */
};

void link_format_start(struct link_format_cursor *cursor, struct slice text);

/* The next link. False at the end (error NULL) or at a fault (error set). */
bool link_format_next(struct link_format_cursor *cursor, struct link_format_link *link);

/* The next attribute of a link, starting with *at = 0. False at the end; a link that link_format_next returned has no
 * faults left in it. */
bool link_format_attribute(const struct link_format_link *link, size_t *at, struct link_format_attribute *attribute);

/* The value of a name; false when the link does not have it. */
bool link_format_find(const struct link_format_link *link, const char *name, struct slice *value);

/* Append `value` as a quoted-string when it needs to be (anything but digits, letters and . - _), or when `quote`. */
void link_format_put_value(struct buffer *out, struct slice value, bool quote);

/* A quoted value without its backslashes. */
void link_format_unescape(struct buffer *out, struct slice value);

#endif
