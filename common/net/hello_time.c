#include "common/net/hello_time.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t offset_s;

/* The linker's --wrap=time: what everybody calls as time(), and the one of the system. */
time_t __real_time(time_t *out);
time_t __wrap_time(time_t *out);

time_t __wrap_time(time_t *out) {
    time_t now = __real_time(NULL) + (time_t)atomic_load_explicit(&offset_s, memory_order_relaxed);
    if (out != NULL)
        *out = now;
    return now;
}

void hello_time_set_offset(int64_t by_s) {
    atomic_store_explicit(&offset_s, by_s, memory_order_relaxed);
}

bool hello_time_can_differ(void) {
#ifdef BERTH_MBEDTLS_STATIC
    return true;
#else
    return false;
#endif
}
