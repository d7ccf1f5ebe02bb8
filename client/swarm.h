/* `berth-device --swarm N`: many simulated devices in one process, to load a server with. What a device says goes through
 * the same protocol code as that of the one device (the CoAP endpoint with its retransmissions, DTLS records, OSCORE
 * channels, connections); instead of objects it has a few values that are made when they are asked for, so that one costs
 * some 500 bytes. docs/load-testing.md tells how to use it. */
#ifndef BERTH_CLIENT_SWARM_H
#define BERTH_CLIENT_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SWARM_DEVICES_MAX = 1000000,
    SWARM_WINDOW_MAX = 65536,
    SWARM_RATE_MAX = 1000000,
    SWARM_NAME_TAIL = 8 /* "-0123456" behind the name */
};

/* What its devices do. */
struct swarm_options {
    size_t devices;                       /* 0: there is no swarm */
    double rate;                          /* registrations begun a second; 0: as fast as answers come */
    size_t window;                        /* requests under way at once where they go as fast as answers come */
    bool closed;                          /* so do Updates */
    uint64_t update_ms;                   /* each device updates that often; 0: by its lifetime */
    uint64_t notify_ms, send_ms, move_ms; /* likewise, what the server observes, a Send, another address; 0: never */
    uint64_t for_ms;                      /* how long, once all have registered; 0: until a signal */
    bool stays;                           /* they do not deregister at the end */
};

struct options;

/* Do it, and print a report in JSON. SIGTERM and SIGINT end it early, a second one at once. Gives the program's exit code:
 * not 0 when it can't begin, or no device could register. */
int swarm_run(const struct options *options);

#endif
