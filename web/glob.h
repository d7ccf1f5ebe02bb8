/* Shell-like patterns over bytes: '*' is any number of bytes, '?' is one character of UTF-8. */
#ifndef BERTH_WEB_GLOB_H
#define BERTH_WEB_GLOB_H

#include "common/base/slice.h"

/* Takes at most pattern.len * text.len steps. */
bool glob_match(struct slice pattern, struct slice text);

#endif
