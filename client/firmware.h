/* Firmware packages on their way into the device (Core 1.2 Appendix E.6): pushed block by block, or fetched from a URI. Of
 * a package nothing is kept but its length, its SHA-256 and its first line, so it may have any size up to
 * FIRMWARE_PACKAGE_MAX. What a package is made of does not matter; its first line may tell a name and a version
 * (`sensor 2.1`), which the device has after the update.
 *
 * A fetch goes block by block, and on where it was when the server or the connection was gone for a while; when the ETag
 * has changed it begins again (RFC 7959 §2.4). */
#ifndef BERTH_CLIENT_FIRMWARE_H
#define BERTH_CLIENT_FIRMWARE_H

#include <mbedtls/sha256.h>

#include "common/base/timer_wheel.h"
#include "common/coap/endpoint.h"
#include "common/net/uri.h"

struct device;

enum { FIRMWARE_TITLE_MAX = 160, FIRMWARE_URI_MAX = 255, FIRMWARE_DIGEST_LEN = 32 };
#define FIRMWARE_PACKAGE_MAX (64u * 1024 * 1024)

/* Update Result (5/0/5). */
enum firmware_result {
    FIRMWARE_INITIAL = 0,
    FIRMWARE_SUCCESS = 1,
    FIRMWARE_NO_STORAGE = 2,
    FIRMWARE_NO_MEMORY = 3,
    FIRMWARE_CONNECTION_LOST = 4,
    FIRMWARE_INTEGRITY = 5,
    FIRMWARE_PACKAGE_TYPE = 6,
    FIRMWARE_INVALID_URI = 7,
    FIRMWARE_UPDATE_FAILED = 8,
    FIRMWARE_PROTOCOL = 9,
    FIRMWARE_CANCELLED = 10,
};

/* Bytes that have come, all of them or the first. */
struct firmware_package {
    mbedtls_sha256_context hash;
    size_t len;
    uint8_t title[FIRMWARE_TITLE_MAX];
    uint8_t digest[FIRMWARE_DIGEST_LEN]; /* once it is whole */
};

struct firmware {
    struct device *device;
    struct firmware_package package;
    struct timer install, retry; /* the end of installing; the next attempt to fetch */
    /* What is being pushed. */
    bool is_open;    /* a block was taken, and not the last one */
    bool is_tlv;     /* the value has a TLV header */
    size_t received; /* bytes of the body; those of the package begin after the header */
    size_t last_len; /* of the block before */
    /* What is being fetched. */
    struct coap_call *call;
    struct link *link; /* NULL: the one to the server */
    char uri[FIRMWARE_URI_MAX + 1];
    struct uri parsed;
    uint8_t szx, etag_len, etag[8];
    bool has_szx;                          /* the server has told which blocks it likes */
    uint32_t failures, restarts, expected; /* in a row; with other ETags; Size2, 0: not told */
};

void firmware_init(struct firmware *firmware, struct device *device);

/* Nothing comes any more: what has come is forgotten. */
void firmware_stop(struct firmware *firmware);

/* The server is left: what is coming from it does not. */
void firmware_interrupt(struct firmware *firmware);

/* Last of all. */
void firmware_free(struct firmware *firmware);

/* The protocol (5/0/8) by which the device can fetch: that of its server. */
int firmware_own_protocol(const struct device *device);

/* For coap_handlers: whether `message` is a block of a package; and taking it. */
bool firmware_takes_blocks(void *device, const struct coap_message *message);
bool firmware_is_block(struct device *device, const struct coap_request *request);
void firmware_take_block(struct firmware *firmware, const struct coap_request *request);

/* A package that has come in one piece. */
void firmware_take_whole(struct firmware *firmware, struct slice package);

/* Begin to fetch; FIRMWARE_INITIAL, or why it can't begin. */
enum firmware_result firmware_fetch(struct firmware *firmware, struct slice uri);

/* ---- object/firmware.c ---- */

/* Another server is reached, perhaps by another transport. */
void firmware_object_reach(struct device *device);

/* The package has begun to come. False: it must not come now, an update is under way. */
bool firmware_object_begin(struct device *device);

/* It has come to nothing; or it is whole. */
void firmware_object_fail(struct device *device, enum firmware_result result);
void firmware_object_finish(struct device *device, const struct firmware_package *package);

#endif
