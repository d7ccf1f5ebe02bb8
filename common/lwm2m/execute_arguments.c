#include "common/lwm2m/execute_arguments.h"

static bool is_value_char(uint8_t c) {
    return c > ' ' && c < 0x7f && c != '\'' && c != '\\';
}

bool execute_arguments_valid(struct slice text) {
    unsigned seen = 0;
    size_t at = 0;
    for (;;) {
        if (at == text.len || text.data[at] < '0' || text.data[at] > '9')
            return false;
        unsigned bit = 1u << (text.data[at++] - '0');
        if ((seen & bit) != 0)
            return false;
        seen |= bit;
        if (at < text.len && text.data[at] == '=') {
            at++;
            if (at == text.len || text.data[at++] != '\'')
                return false;
            while (at < text.len && is_value_char(text.data[at]))
                at++;
            if (at == text.len || text.data[at++] != '\'')
                return false;
        }
        if (at == text.len)
            return true;
        if (text.data[at++] != ',')
            return false;
    }
}
