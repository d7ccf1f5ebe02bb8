/* Firmware images that devices fetch or are sent. What they are is in the store; their bytes are files in DATA/firmware,
 * named by their SHA-256, so that a file with that name is whole, and one that nobody names is left over from a crash
 * and goes at the start. Nothing of an image is kept in memory but about 250 bytes and an open file. */
#ifndef BERTH_SERVER_FIRMWARE_IMAGE_H
#define BERTH_SERVER_FIRMWARE_IMAGE_H

#include "common/base/slice.h"
#include "db/store.h"

struct server;

enum {
    FIRMWARE_NAME_MAX = 64, /* letters, digits, '.', '-', '_'; the first is no '.' */
    FIRMWARE_URL_MAX = 255, /* as of Package URI, resource 5/0/1 */
    FIRMWARE_DIGEST_LEN = 32,
    FIRMWARE_IMAGES_MAX = 256,
    FIRMWARE_IMAGE_BYTES_MAX = 64 * 1024 * 1024,
    FIRMWARE_UPLOADS_MAX = 8, /* at once */
};
#define FIRMWARE_BYTES_MAX (1024ull * 1024 * 1024) /* of all images */

/* What goes wrong when it is served over CoAP, for tests of devices; of this run of the server. */
struct firmware_faults {
    uint64_t truncate_to;   /* the image is this short; UINT64_MAX: it is whole */
    uint64_t silent_after;  /* blocks that begin here or later are not answered; UINT64_MAX: all are */
    uint32_t unavailable;   /* so many requests are answered with 5.03 … */
    uint32_t retry_after_s; /* … and this Max-Age */
    bool changing_etag;     /* each block has another one */
};

struct firmware_image {
    struct firmware_image *next; /* in the order of names */
    char name[FIRMWARE_NAME_MAX + 1];
    char url[FIRMWARE_URL_MAX + 1]; /* "": none */
    uint8_t digest[FIRMWARE_DIGEST_LEN];
    size_t size;
    uint64_t created_at_ms;
    int file;
    uint32_t users; /* updates that are under way with it: it stays as it is */
    bool leaving;   /* its deletion is on the way to the store */
    struct firmware_faults faults;
};

struct firmware_images;

/* Read what is stored, delete what nobody names. (DATA/firmware is made for the first image.) NULL with one line in `error`. */
struct firmware_images *firmware_images_new(struct server *server, char *error, size_t error_size);

/* Uploads that have not been stored yet fail; then the store may be closed, and then the rest is freed. */
void firmware_images_end(struct firmware_images *images);
void firmware_images_free(struct firmware_images *images);

bool firmware_name_good(struct slice name);

/* NULL when there is none. Valid until the loop goes on. */
struct firmware_image *firmware_image_find(const struct firmware_images *images, struct slice name);

/* The image that a device means when it asks a proxy for `url`: the one that has this URL, or that is at
 * /v1/firmware/NAME of an HTTP server. *is_ours: the URL is of that form, or an image's. */
struct firmware_image *firmware_image_of_url(const struct firmware_images *images, struct slice url, bool *is_ours);

/* In the order of names; NULL: the first, and after the last. */
struct firmware_image *firmware_image_next(const struct firmware_images *images, const struct firmware_image *image);

/* Bytes from `offset` on; for a coap_source, `image` is its argument. False: they can't be read. */
bool firmware_image_read(void *image, size_t offset, uint8_t *out, size_t len);

struct firmware_totals {
    size_t images;
    uint64_t bytes;
};
struct firmware_totals firmware_totals(const struct firmware_images *images);

enum firmware_refusal {
    FIRMWARE_ACCEPTED,
    FIRMWARE_MISSING,
    FIRMWARE_IN_USE,    /* by an update, or a change of it is under way */
    FIRMWARE_TOO_MANY,  /* images, or uploads */
    FIRMWARE_TOO_LARGE, /* FIRMWARE_IMAGE_BYTES_MAX */
    FIRMWARE_NO_ROOM,   /* FIRMWARE_BYTES_MAX */
    FIRMWARE_DISK,      /* it can't be written */
};

/* ---- putting an image ---- */

struct firmware_upload;

/* A new image, or one in the place of an older one. NULL: *refusal says why. */
struct firmware_upload *firmware_upload_begin(struct firmware_images *images, struct slice name,
                                              enum firmware_refusal *refusal);
enum firmware_refusal firmware_upload_add(struct firmware_upload *upload, struct slice bytes);
void firmware_upload_abort(struct firmware_upload *upload);

/* Everything has come. `done` is called once it is on disk and committed, or it is not; never from within this call. */
void firmware_upload_finish(struct firmware_upload *upload, struct slice url, store_done_fn *done, void *arg);

/* `done` gets the result of the commit; it is not called when refused. */
enum firmware_refusal firmware_image_delete(struct firmware_images *images, struct slice name, store_done_fn *done,
                                            void *arg);

#endif
