/* A request of HTTP that asks something of a device: it waits until the device has answered. When the client hangs up,
 * what was asked is cancelled. With `Prefer: respond-async` it is put into the device's queue instead (respond_async.h),
 * at the point where it would be sent, and comes again from there as a replay (replay.h). */
#ifndef BERTH_WEB_V1_DEVICE_CALL_H
#define BERTH_WEB_V1_DEVICE_CALL_H

#include "server/operation.h"
#include "web/route.h"
#include "web/web.h"

enum { RESPONSE_TIMEOUT_MAX_MS = 3600000 };

struct device_call;

/* The device has answered, or will not. Answers the request with device_call_end and one of those below, or asks again
 * with device_call_send. */
typedef void device_call_fn(struct device_call *call, const struct operation_result *result);

/* First member of whatever a handler has to remember meanwhile. */
struct device_call {
    struct web *web;
    struct http_request *request;
    device_call_fn *answered;
    struct slice endpoint;
    const char *target;           /* for people: "/3/0/9" */
    uint8_t method;               /* of the last CoAP request */
    bool even_asleep;             /* force=1: it is sent to a sleeping device, too */
    bool cancels;                 /* the last CoAP request ends an observation */
    uint32_t response_timeout_ms; /* as the call asks for; 0: as configured */
    struct operation *operation;
    struct device_memory *memory;
};

/* `size` zeroed bytes, of which the first are the call's, for a request to the device that the route's first braces
 * name. `target` is copied. `response_timeout`, a parameter of every such request, is read. Out of memory, or a bad
 * parameter: NULL, and the request is answered. */
void *device_call_new(const struct call *call, size_t size, const char *target, device_call_fn *answered);

/* Memory that lives as long as the call. NULL when there is none. */
void *device_call_take(struct device_call *call, size_t size);

/* Send a request to the device. What can't be sent is answered with a problem, and the call is over. */
void device_call_send(struct device_call *call, const struct operation_request *request);

/* Send it a ping instead; an answer has no message. */
void device_call_ping(struct device_call *call);

/* It is over without `answered`, or within it: free everything, and hand back the request, which must be answered. Of
 * the call nothing may be used afterwards. */
struct http_request *device_call_end(struct device_call *call);

/* The same, with a problem. */
void device_call_refuse(struct device_call *call, enum problem_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
