/* One LwM2M device: its objects, its registration with one server, what that observes, and what they stand on (clock,
 * timers, socket, CoAP endpoint). Nothing is global, so a process can have many. */
#ifndef BERTH_CLIENT_DEVICE_H
#define BERTH_CLIENT_DEVICE_H

#include <uv.h>

#include "client/attributes.h"
#include "client/bootstrap.h"
#include "client/connection.h"
#include "client/destination.h"
#include "client/firmware.h"
#include "client/kept.h"
#include "client/memory.h"
#include "client/misbehave.h"
#include "client/object.h"
#include "client/observe.h"
#include "client/options.h"
#include "client/pelion.h"
#include "client/protection.h"
#include "client/queue_mode.h"
#include "client/register.h"
#include "client/report.h"
#include "client/session.h"
#include "common/net/ticker.h"
#include "common/net/udp.h"

enum {
    DEVICE_VALUES_MAX = 16384,           /* that all objects have */
    DEVICE_BYTES_MAX = 64 * 1024 * 1024, /* and the bytes of those that have some */
};

/* What object 7 counts from. */
struct traffic {
    bool is_collecting;
    uint64_t sent_from, received_from;
    struct timer end; /* of the Collection Period */
};

struct device {
    uv_loop_t *loop;
    const struct options *options;
    struct report report;
    struct clock clock;
    struct timer_wheel wheel;
    struct ticker ticker;
    uv_async_t alive; /* the loop goes on while there is no connection */
    struct listener listener;
    struct udp *udp;
    int key_log; /* file descriptor of $SSLKEYLOGFILE, or -1 */
    struct coap_endpoint *coap;
    struct destination destination;
    struct link *server;          /* made by its transport */
    struct session session;       /* over DTLS */
    struct connection connection; /* over TCP */
    struct protection protection; /* with OSCORE */
    struct misbehave misbehave;
    struct pelion pelion;       /* by --profile */
    struct catalogue catalogue; /* definitions from --object */
    struct object *objects;     /* ascending by id */
    size_t object_count;
    struct attribute_list attributes;
    struct observer observer;
    struct registration registration;
    struct bootstrap bootstrap;
    struct kept kept;
    uint16_t server_instance; /* of object 1: the server that is registered with */
    struct queue_mode queue_mode;
    size_t open_sends;                 /* whose answers are awaited */
    struct workspace payload, scratch; /* what is encoded, what decoding needs */
    char endpoint[OPTIONS_ENDPOINT_MAX + 1];
    uint32_t lifetime_s; /* what the next Register or Update says */
    char binding[OPTIONS_BINDING_MAX + 1];
    int64_t time_offset_s; /* of resource 3/0/13 to the clock */
    uint64_t random;       /* state of device_random_walk */
    struct traffic traffic;
    struct firmware firmware;
    struct timer tick;    /* the next one */
    struct timer restart; /* something that is done once the request for it has been answered */
    uint64_t disable_s;   /* how long, when that is it */
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
struct object *device_object(const struct device *device, uint16_t id);

/* Write down a secret of a session with the server, if somebody wants them. */
void device_log_key(const struct device *device, const char *line);

/* Room for so many more values, and bytes of values. */
bool device_has_room(const struct device *device, size_t values, size_t bytes);

/* Something at or below this path is another than it was. */
void device_changed(struct device *device, const struct lwm2m_path *path);

/* Whom requests go to and come from: the server over its transport, or within that by OSCORE. */
static inline struct link *device_peer(const struct device *device) {
    return device->protection.channel != NULL ? &device->protection.channel->link : device->server;
}

/* A message has come over `link`. */
void device_receive(struct device *device, struct link *link, struct slice message);

/* Send what the endpoint has made, as the profile has it. */
void device_send(struct device *device, struct link *link, struct slice message);

/* A request to the server: as coap_call, and the device is awake for it. */
struct coap_call *device_call(struct device *device, const struct coap_message *message, coap_call_fn *done, void *arg);

/* What the transport is secured with. The caller frees it (security_free_params). False: one line in `error`. */
bool device_read_security(struct device *device, struct security_params *params, char *error, size_t error_size);

/* A step of a walk, from -1 to 1; the same steps from the same --seed. */
double device_random_walk(struct device *device);

/* The name by which servers know the device, 1 to OPTIONS_ENDPOINT_MAX bytes. */
void device_set_endpoint(struct device *device, struct slice endpoint);

/* Talk to the server of this URI from now on, with the credentials of that instance of object 0 (LWM2M_ID_NONE: those of
 * the options). What was under way with another one ends without a word; not from a callback of the endpoint's. False:
 * one line in `error`, and nobody is reached. */
bool device_reach(struct device *device, struct slice uri, uint16_t security, char *error, size_t error_size);

/* Write down what servers have changed in the accounts, if they have. */
void device_keep(struct device *device);

/* Once what is under way is done: */

/* forget the registration without a word and register anew, as after a power cycle. Attributes, observations and the time
 * that was set are gone, values stay; */
void device_reboot_soon(struct device *device);

/* the same, and everything is as it was at first; */
void device_factory_reset_soon(struct device *device);

/* deregister, and come back so many seconds later (Core 1.2 Appendix E.2, Disable). */
void device_disable_soon(struct device *device, uint64_t seconds);

/* Send from another port from now on, as when a NAT has forgotten the old one. 0, or a negative errno. */
int device_rebind(struct device *device);

/* The server has been silent: as the transport's `renew`. */
bool device_renew(struct device *device);

/* Leap the device's time forward; what is due on the way happens now. */
void device_leap(struct device *device, uint64_t by_ms);

#endif
