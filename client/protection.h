/* OSCORE between the device and its server (--oscore, or object 21; RFC 8613, T 1.2 §5.4): the channel that protects what goes over
 * device->server, whatever transport that is, the numbers it may use, and contexts derived anew (Appendix B.2). */
#ifndef BERTH_CLIENT_PROTECTION_H
#define BERTH_CLIENT_PROTECTION_H

#include "client/oscore_credential.h"
#include "client/oscore_file.h"
#include "common/oscore/channel.h"

struct device;

struct protection {
    struct device *device;
    struct oscore_credential credential; /* of the options, or of the account that is used */
    struct oscore_service service;
    struct oscore_channel *channel; /* NULL: messages are not protected */
    bool keeps;                     /* --state */
    struct oscore_file file;
    struct oscore_numbers numbers;
    /* Without --state, the numbers of contexts that were used before, so that one that is come back to goes on. */
    struct protection_past *past;
    size_t past_count;
};

enum { PROTECTION_PAST_MAX = 64 /* contexts; then the one that was not used for longest goes */ };

/* When the options or the server's account ask for it, begin, after device->server has been made. False: one line in
 * `error`. */
bool protection_start(struct device *device, char *error, size_t error_size);

/* Before device->coap is freed. */
void protection_end(struct device *device);

/* Forget what was used before, too. */
void protection_forget(struct device *device);

/* device->server is another link than before, or can be sent over again. */
void protection_carry(struct device *device);

/* The server has answered a request of ours with this code: perhaps it has lost the context. Its name is told with the
 * next request then, and when that is refused as well, another is derived. */
void protection_heard(struct device *device, uint8_t code);

/* Derive the context anew with the next request. False: messages are not protected. */
bool protection_rederive(struct device *device);

#endif
