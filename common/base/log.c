#include "common/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

/* What stands in a JSON string, and what a terminal may be shown: control characters, quotes and backslashes escaped. */
static size_t escape(const char *text, char *out, size_t cap) {
    size_t len = 0;
    for (; *text != '\0' && len + 7 < cap; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            len += (size_t)snprintf(out + len, cap - len, "\\u%04x", c);
        else if (as_json && (c == '"' || c == '\\'))
            len += (size_t)snprintf(out + len, cap - len, "\\%c", c);
        else
            out[len++] = (char)c;
    }
    out[len] = '\0';
    return len;
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
