#include "common/oscore/replay.h"

void oscore_window_start(struct oscore_window *window, uint64_t number) {
    *window = (struct oscore_window){.top = number, .bits = UINT32_MAX, .valid = true};
}

bool oscore_window_permits(const struct oscore_window *window, uint64_t number) {
    if (!window->valid)
        return false;
    if (window->bits == 0 || number > window->top)
        return true;
    uint64_t age = window->top - number;
    return age < OSCORE_WINDOW_SIZE && (window->bits >> age & 1) == 0;
}

bool oscore_window_take(struct oscore_window *window, uint64_t number) {
    bool newest = window->bits == 0 || number > window->top;
    if (!newest) {
        window->bits |= 1u << (window->top - number);
        return false;
    }
    uint64_t step = number - window->top;
    window->bits = window->bits == 0 || step >= OSCORE_WINDOW_SIZE ? 1 : window->bits << step | 1;
    window->top = number;
    return true;
}
