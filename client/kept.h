/* What a device with --bootstrap keeps: its endpoint name, the instances of the objects that accounts are made of, and of
 * other objects those that bootstrap has written. As bytes, for a bootstrap that fails; and in --state DIR, as the file
 * `accounts`, 0600, whose bytes are keys, replaced as a whole. A lock keeps a second device out. */
#ifndef BERTH_CLIENT_KEPT_H
#define BERTH_CLIENT_KEPT_H

#include <limits.h>

#include "common/base/buffer.h"

struct device;

enum { KEPT_MAX = 1024 * 1024 /* bytes of it all */ };

struct kept {
    bool is_open;
    bool is_dirty; /* an account is not what the file has */
    int lock, directory;
    uint8_t maker[32]; /* digest of what the device was made with: state of another device is none */
    char path[PATH_MAX], fresh[PATH_MAX];
};

/* Append everything to `out`. False when it does not fit. */
bool kept_put(const struct device *device, struct buffer *out);

/* The device is what `bytes` say. False: they are none of kept_put's, and nothing has changed. */
bool kept_take(struct device *device, struct slice bytes);

/* Make `directory` if there is none, and lock it. False: one line in `error`. */
bool kept_open(struct device *device, const char *directory, char *error, size_t error_size);

enum kept_found { KEPT_NOTHING, KEPT_STATE, KEPT_FAILED };

/* Read the file: STATE, and the device is as it says. FAILED: one line in `error`. */
enum kept_found kept_load(struct device *device, char *error, size_t error_size);

/* Write the file; it has reached the disk when this returns true. True also without --state. */
bool kept_save(struct device *device);

/* Delete the file, and that of the session (session_file.h). */
void kept_forget(struct device *device);

void kept_close(struct device *device);

#endif
