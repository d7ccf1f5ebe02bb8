/* How much memory this process may have. Beyond it nothing new begins: registrations of endpoints that are not known,
 * handshakes, connections; of bodies in blocks and exchanges there are fewer; what is there goes on. Of the process as a
 * whole, for the thread of the loop. */
#ifndef BERTH_BASE_MEMORY_LIMIT_H
#define BERTH_BASE_MEMORY_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

/* `bytes` of private memory that is resident; 0: no limit, as it is at first. */
void memory_limit_set(size_t bytes);

/* Whether there is as much or more. The system is asked ten times a second at most, so a flood may go beyond it by what it
 * brings in that time. What the heap has to spare is given back before this becomes true. */
bool memory_limit_is_reached(void);

/* What there is, now: anonymous pages. 0 when the system does not tell. */
size_t memory_limit_used(void);

#endif
