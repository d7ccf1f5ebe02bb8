#include "common/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/slice.h"

static enum log_level threshold = LOG_INFO;
static bool as_json = false;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_configure(enum log_level level, bool json) {
    threshold = level;
    as_json = json;
}

bool log_level_parse(const char *text, enum log_level *level) {
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level) {
    return level <= threshold;
}

/* How many bytes the UTF-8 character at `text` has; 0 when it is none. */
static size_t character_len(const char *text) {
    size_t left = strnlen(text, 4);
    for (size_t len = 1; len <= left; len++) {
        if (slice_is_utf8(slice_of(text, len)))
            return len;
    }
    return 0;
}

/* What may stand in a JSON string and be shown on a terminal: control characters (C0, DEL, C1), quotes and backslashes
 * are escaped, and bytes that are no UTF-8 become U+FFFD. */
static void escape(const char *text, char *out, size_t cap) {
    size_t at = 0;
    while (*text != '\0' && at + 7 < cap) {
        size_t len = character_len(text);
        unsigned char c = (unsigned char)*text;
        if (len == 0)
            at += (size_t)snprintf(out + at, cap - at, "\ufffd");
        else if (c < 0x20 || c == 0x7f)
            at += (size_t)snprintf(out + at, cap - at, "\\u%04x", c);
        else if (c == 0xc2 && (unsigned char)text[1] < 0xa0)
            at += (size_t)snprintf(out + at, cap - at, "\\u%04x", (unsigned char)text[1]);
        else if (as_json && (c == '"' || c == '\\'))
            at += (size_t)snprintf(out + at, cap - at, "\\%c", c);
        else
            for (size_t i = 0; i < len; i++)
                out[at++] = text[i];
        text += len == 0 ? 1 : len;
    }
    out[at] = '\0';
}

void log_write(enum log_level level, const char *room, const char *format, ...) {
    if (!log_enabled(level))
        return;
    char text[1024], safe[2048], line[2400], date[32];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    escape(text, safe, sizeof safe);

    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    int len = snprintf(line, sizeof line,
                       as_json ? "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"room\":\"%s\",\"text\":\"%s\"}\n"
                               : "%s.%03ldZ %s %s: %s\n",
                       date, now.tv_nsec / 1000000, level_names[level], room, safe);
    size_t size = len < 0 ? 0 : (size_t)len < sizeof line ? (size_t)len : sizeof line - 1;
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written; /* a log that cannot be written has nobody to tell */
}
