/* One LwM2M device: its objects, its registration with one server, and what they stand on (clock, timers, socket, CoAP
 * endpoint). Nothing is global, so a process can have many. */
#ifndef BERTH_CLIENT_DEVICE_H
#define BERTH_CLIENT_DEVICE_H

#include <uv.h>

#include "client/attributes.h"
#include "client/object.h"
#include "client/options.h"
#include "client/register.h"
#include "client/report.h"
#include "common/net/ticker.h"
#include "common/net/udp.h"

enum { DEVICE_OBJECTS = 4 };

struct device {
    uv_loop_t *loop;
    const struct options *options;
    struct report report;
    struct clock clock;
    struct timer_wheel wheel;
    struct ticker ticker;
    struct listener listener;
    struct udp *udp;
    struct coap_endpoint *coap;
    struct link *server;
    struct object objects[DEVICE_OBJECTS]; /* ascending by id */
    struct attribute_list attributes;
    struct registration registration;
    uint32_t lifetime_s; /* what the next Register or Update says */
    char binding[OPTIONS_BINDING_MAX + 1];
    int64_t time_offset_s; /* of resource 3/0/13 to the clock */
    struct timer reboot;
    void (*ended)(void *arg);
    void *ended_arg;
};

/* Bind the socket and begin to register. `options` and `out` outlive the device. NULL with one line in `error`. */
struct device *device_start(uv_loop_t *loop, const struct options *options, FILE *out, char *error, size_t error_size);

/* Deregister, then call `ended`: after the answer, after a few seconds without one, or from within this call when there
 * is nothing to wait for. A second call waits no longer. */
void device_leave(struct device *device, void (*ended)(void *arg), void *arg);

/* Close and free everything. Turns the loop once for that, so it is not for callbacks. */
void device_free(struct device *device);

/* NULL when there is no such object. */
struct object *device_object(struct device *device, uint16_t id);

/* Add the Uri-Path of a resource of the server's: the path of its URI, then `name`. */
void device_add_server_path(const struct device *device, struct coap_message *message, const char *name);

/* Forget the registration without a word and register anew, as after a power cycle, once what is under way is done. */
void device_reboot_soon(struct device *device);

/* Leap the device's time forward; what is due on the way happens now. */
void device_leap(struct device *device, uint64_t by_ms);

#endif
