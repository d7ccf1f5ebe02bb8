/* The device's connection with its server, when that is reached over TCP (coap+tcp://, coaps+tcp://): opened at the start and again
 * after it broke, an Update first then (Core 1.2 §6.2.2), and kept alive with pings. */
#ifndef BERTH_CLIENT_CONNECTION_H
#define BERTH_CLIENT_CONNECTION_H

#include <uv.h>

#include "common/base/timer_wheel.h"
#include "common/net/address.h"

struct device;
struct streams;
struct tls;

struct connection {
    struct device *device;
    struct streams *streams; /* NULL over UDP */
    struct tls *tls;         /* NULL in the clear */
    struct address server;
    struct timer retry, keepalive;
    uint32_t failures;      /* attempts in a row */
    struct coap_call *ping; /* of the keepalive, while it is not answered */
};

#endif
