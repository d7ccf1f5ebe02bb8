/* The time that peers are told with a ServerHello (gmt_unix_time, RFC 5246 §7.4.1.2), which devices without a clock of
 * their own believe, and by which certificates and tickets are judged. It is the machine's, plus an offset that a test may
 * order. Mbed TLS asks for it by time(2), whose place is taken when the program is linked; any thread may ask. */
#ifndef BERTH_NET_HELLO_TIME_H
#define BERTH_NET_HELLO_TIME_H

#include <stdbool.h>
#include <stdint.h>

/* From now on; 0: the machine's own time. */
void hello_time_set_offset(int64_t offset_s);

/* False: Mbed TLS is a shared library here, and tells the machine's time whatever is set. */
bool hello_time_can_differ(void);

#endif
