#include "web/glob.h"

static size_t character_len(struct slice text, size_t at) {
    size_t len = 1;
    while (at + len < text.len && (text.data[at + len] & 0xC0) == 0x80)
        len++;
    return len;
}

bool glob_match(struct slice pattern, struct slice text) {
    size_t p = 0, t = 0;
    size_t star = SIZE_MAX, star_text = 0; /* the last '*' seen, and how far it reaches into the text */
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.len && pattern.data[p] == '?') {
            p++;
            t += character_len(text, t);
        } else if (p < pattern.len && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*')
        p++;
    return p == pattern.len;
}
