/* The arguments of an Execute (Core 1.2 §6.3.5): `0='abc',1,7='x'`. */
#ifndef BERTH_LWM2M_EXECUTE_ARGUMENTS_H
#define BERTH_LWM2M_EXECUTE_ARGUMENTS_H

#include "common/base/slice.h"

/* Digits 0 to 9, each at most once, with or without a value in quotes; of a value neither quotes, backslashes, spaces,
 * control characters nor anything outside ASCII. Nothing at all is no list of arguments. */
bool execute_arguments_valid(struct slice text);

#endif
