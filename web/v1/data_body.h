/* The data in the body of a call, in whatever form the HTTP client gives it. */
#ifndef BERTH_WEB_V1_DATA_BODY_H
#define BERTH_WEB_V1_DATA_BODY_H

#include "web/v1/device_call.h"
#include "web/v1/target.h"

enum data_use {
    DATA_REPLACE, /* Write (replace): PUT */
    DATA_UPDATE,  /* Write (partial update): POST */
    DATA_CREATE,
    DATA_COMPOSITE,
};

/* Nodes, or a payload that is sent as it is; then the nodes are what is in it, as far as it was looked at. */
struct data_body {
    bool is_raw;
    int format;               /* of a raw payload */
    struct slice payload;     /* likewise; in the body of the HTTP request */
    struct lwm2m_node *nodes; /* arranged; their memory is the call's */
    size_t count;
};

/* Read the body for what is at the target's path (for a Create, an object; composite, the root). `format`: the content
 * format that was forced, or COAP_FORMAT_NONE. False: the request is answered, and the device call is over. */
bool data_body_read(const struct call *call, struct device_call *device_call, const struct target *target,
                    enum data_use use, int format, struct data_body *body);

#endif
