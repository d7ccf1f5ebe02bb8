/* Log lines to stderr, one each: `2026-11-21T08:00:00.123Z warn coap: text`, or one JSON object a line. The level and
 * format are the process's, set once at start. Nothing secret is ever passed here: no keys, no payloads. */
#ifndef BERTH_BASE_LOG_H
#define BERTH_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* `level` is the least urgent one that is written. */
void log_configure(enum log_level level, bool json);

/* False when `text` names no level (error, warn, info, debug). */
bool log_level_parse(const char *text, enum log_level *level);

/* `room` is the part of the program that speaks (coap, db, http …). Control characters in the text are escaped. */
void log_write(enum log_level level, const char *room, const char *format, ...) __attribute__((format(printf, 3, 4)));

bool log_enabled(enum log_level level);

#endif
