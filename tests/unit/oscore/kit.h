/* What tests of OSCORE share: hexadecimal to bytes, and the security contexts of RFC 8613 Appendix C. */
#ifndef BERTH_TESTS_OSCORE_KIT_H
#define BERTH_TESTS_OSCORE_KIT_H

#include "common/oscore/context.h"

/* The bytes live as long as the test program's turn of 32 calls. */
struct slice kit_bytes(const char *hex);

/* `bytes` are those of `hex`. */
#define assert_hex(bytes, hex) kit_assert_hex((bytes), (hex), __FILE__, __LINE__)
void kit_assert_hex(struct slice bytes, const char *hex, const char *file, int line);

enum kit_case { KIT_C1, KIT_C2, KIT_C3 };

/* The secrets of C.1 (salt), C.2 (no salt) or C.3 (ID Context), as client or server sees them. */
struct oscore_secrets kit_secrets(enum kit_case which, bool server);

/* A context of them, with numbers from `next` on and a fresh window. */
struct oscore_context kit_context(enum kit_case which, bool server, uint64_t next);

#endif
