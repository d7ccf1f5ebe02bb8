#include "common/base/duration.h"

#include <time.h>

static bool unit_parse(struct slice unit, uint64_t *ms) {
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (slice_is(unit, units[i].name)) {
            *ms = units[i].ms;
            return true;
        }
    return false;
}

static size_t digits_at(struct slice text, size_t at) {
    size_t count = 0;
    while (at + count < text.len && text.data[at + count] >= '0' && text.data[at + count] <= '9')
        count++;
    return count;
}

bool duration_parse(struct slice text, uint64_t max_ms, uint64_t *ms) {
    uint64_t whole, thousandths = 0, unit_ms;
    size_t at = digits_at(text, 0);
    if (at > 12 || !slice_to_u64(slice_of(text.data, at), UINT64_MAX, &whole))
        return false;
    if (at < text.len && text.data[at] == '.') {
        size_t count = digits_at(text, ++at);
        if (count > 3 || !slice_to_u64(slice_of(text.data + at, count), 999, &thousandths))
            return false;
        for (size_t i = count; i < 3; i++)
            thousandths *= 10;
        at += count;
    }
    if (!unit_parse(slice_from(text, at), &unit_ms) || whole > max_ms / unit_ms)
        return false;
    *ms = whole * unit_ms + thousandths * unit_ms / 1000;
    return *ms <= max_ms;
}

void time_put(struct buffer *out, uint64_t unix_ms) {
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm utc;
    char text[64];
    size_t len = 0;
    if (gmtime_r(&seconds, &utc) != NULL)
        len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    buffer_put(out, text, len);
    buffer_printf(out, ".%03uZ", (unsigned)(unix_ms % 1000));
}
