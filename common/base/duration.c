#include "common/base/duration.h"

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

/* ---- points in time ---- */

enum {
    DAYS_BEFORE_1970 =
        135080, /* from 1 March 1600, behind the leap day of a leap century: each of what follows ends so */
    DAYS_OF_4_CENTURIES = 146097,
    DAYS_OF_CENTURY = 36524,
    DAYS_OF_4_YEARS = 1461,
    DAYS_OF_YEAR = 365,
};

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static void put_digits(uint8_t *at, uint64_t number, size_t digits) {
    for (; digits > 0; number /= 10)
        at[--digits] = (uint8_t)('0' + number % 10);
}

/* "2026-11-21". The last century of four and the last year of four are a day longer, hence the threes. */
static void put_date(struct buffer *out, uint64_t days) {
    static const uint16_t starts[] = {0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337}; /* of months from March */
    days += DAYS_BEFORE_1970;
    uint64_t year = 1600 + days / DAYS_OF_4_CENTURIES * 400;
    days %= DAYS_OF_4_CENTURIES;
    uint64_t centuries = smaller(days / DAYS_OF_CENTURY, 3);
    days -= centuries * DAYS_OF_CENTURY;
    year += centuries * 100 + days / DAYS_OF_4_YEARS * 4;
    days %= DAYS_OF_4_YEARS;
    uint64_t years = smaller(days / DAYS_OF_YEAR, 3);
    days -= years * DAYS_OF_YEAR;
    size_t month = (size_t)days / 31; /* or the one after it */
    if (month < 11 && days >= starts[month + 1])
        month++;
    year += years + (month >= 10 ? 1 : 0);
    uint8_t text[] = "-mm-dd";
    put_digits(text + 1, month >= 10 ? month - 9 : month + 3, 2);
    put_digits(text + 4, days - starts[month] + 1, 2);
    buffer_put_decimal(out, year);
    buffer_put(out, text, sizeof text - 1);
}

void time_put(struct buffer *out, uint64_t unix_ms) {
    uint64_t seconds = unix_ms / 1000;
    uint8_t text[] = "Thh:mm:ss.mmmZ";
    put_date(out, seconds / 86400);
    put_digits(text + 1, seconds / 3600 % 24, 2);
    put_digits(text + 4, seconds / 60 % 60, 2);
    put_digits(text + 7, seconds % 60, 2);
    put_digits(text + 10, unix_ms % 1000, 3);
    buffer_put(out, text, sizeof text - 1);
}
