#include "server/firmware_image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/text.h"
#include "db/shared_files.h"
#include "server/server.h"

enum { DIGEST_TEXT_LEN = 2 * FIRMWARE_DIGEST_LEN };

static const struct firmware_faults no_faults = {.truncate_to = UINT64_MAX, .silent_after = UINT64_MAX};

struct firmware_images {
    struct server *server;
    struct firmware_image *first;
    struct firmware_totals totals;
    int directory;
    struct firmware_upload *uploads;
    size_t upload_count;
    uint64_t next_upload; /* number of its file */
};

struct firmware_upload {
    uv_work_t work;                 /* first member */
    struct firmware_images *images; /* NULL: the server has ended */
    const struct config *config;
    struct firmware_upload *next;
    char name[FIRMWARE_NAME_MAX + 1], url[FIRMWARE_URL_MAX + 1], path[32];
    char digest_text[DIGEST_TEXT_LEN + 1];
    uint8_t digest[FIRMWARE_DIGEST_LEN];
    mbedtls_sha256_context hash;
    size_t size;
    int file, directory;
    store_done_fn *done;
    void *arg;
    struct firmware_image *image; /* that it becomes */
    bool finishing, written;
};

static void put_digest(const uint8_t digest[FIRMWARE_DIGEST_LEN], char text[DIGEST_TEXT_LEN + 1]) {
    struct buffer out = buffer_over(text, DIGEST_TEXT_LEN);
    text_put_hex(&out, slice_of(digest, FIRMWARE_DIGEST_LEN));
    text[out.len] = '\0';
}

/* ---- the list ---- */

bool firmware_name_good(struct slice name) {
    if (name.len == 0 || name.len > FIRMWARE_NAME_MAX || name.data[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_letter && c != '.' && c != '-' && c != '_')
            return false;
    }
    return true;
}

struct firmware_image *firmware_image_find(const struct firmware_images *images, struct slice name) {
    for (struct firmware_image *image = images->first; image != NULL; image = image->next) {
        if (slice_is(name, image->name))
            return image;
    }
    return NULL;
}

struct firmware_image *firmware_image_of_url(const struct firmware_images *images, struct slice url, bool *is_ours) {
    static const char path[] = "/v1/firmware/";
    *is_ours = true;
    for (struct firmware_image *image = images->first; image != NULL; image = image->next) {
        if (image->url[0] != '\0' && slice_is(url, image->url))
            return image;
    }
    size_t scheme = slice_starts_with(url, "http://") ? 7 : slice_starts_with(url, "https://") ? 8 : 0;
    struct slice rest = slice_from(url, scheme);
    const uint8_t *slash = scheme == 0 || rest.len == 0 ? NULL : memchr(rest.data, '/', rest.len);
    rest = slash == NULL ? SLICE_NONE : slice_from(rest, (size_t)(slash - rest.data));
    *is_ours = slice_starts_with(rest, path);
    return *is_ours ? firmware_image_find(images, slice_from(rest, sizeof path - 1)) : NULL;
}

struct firmware_image *firmware_image_next(const struct firmware_images *images, const struct firmware_image *image) {
    return image == NULL ? images->first : image->next;
}

struct firmware_totals firmware_totals(const struct firmware_images *images) {
    return images->totals;
}

bool firmware_image_read(void *arg, size_t offset, uint8_t *out, size_t len) {
    const struct firmware_image *image = arg;
    while (len > 0) {
        ssize_t got = pread(image->file, out, len, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        offset += (size_t)got;
        out += got;
        len -= (size_t)got;
    }
    return true;
}

static void add(struct firmware_images *images, struct firmware_image *image) {
    struct firmware_image **at = &images->first;
    while (*at != NULL && strcmp((*at)->name, image->name) < 0)
        at = &(*at)->next;
    image->next = *at;
    *at = image;
    images->totals.images++;
    images->totals.bytes += image->size;
}

static void drop(struct firmware_images *images, struct firmware_image *image) {
    struct firmware_image **at = &images->first;
    while (*at != image)
        at = &(*at)->next;
    *at = image->next;
    images->totals.images--;
    images->totals.bytes -= image->size;
    close(image->file);
    free(image);
}

static bool is_named(const struct firmware_images *images, const char *file) {
    char text[DIGEST_TEXT_LEN + 1];
    for (const struct firmware_image *image = images->first; image != NULL; image = image->next) {
        put_digest(image->digest, text);
        if (strcmp(text, file) == 0)
            return true;
    }
    for (const struct firmware_upload *upload = images->uploads; upload != NULL; upload = upload->next) {
        if (strcmp(upload->path, file) == 0 || (upload->finishing && strcmp(upload->digest_text, file) == 0))
            return true;
    }
    return false;
}

/* The file of an image that has gone, unless another one is made of the same bytes. */
static void forget_file(const struct firmware_images *images, const uint8_t digest[FIRMWARE_DIGEST_LEN]) {
    char text[DIGEST_TEXT_LEN + 1];
    put_digest(digest, text);
    if (!is_named(images, text))
        unlinkat(images->directory, text, 0);
}

/* ---- the start and the end ---- */

struct loading {
    struct firmware_images *images;
    char *error;
    size_t error_size;
    bool failed;
};

static void load(void *arg, const struct store_firmware_image *row) {
    struct loading *loading = arg;
    struct firmware_image *image = calloc(1, sizeof *image);
    char text[DIGEST_TEXT_LEN + 1];
    struct stat status;
    bool is_sound = row->name.len >= 1 && row->name.len <= FIRMWARE_NAME_MAX && row->url.len <= FIRMWARE_URL_MAX &&
                    row->digest.len == FIRMWARE_DIGEST_LEN;
    if (image == NULL || !is_sound) {
        snprintf(loading->error, loading->error_size,
                 is_sound ? "out of memory" : "the database is damaged: a firmware image has impossible values");
        loading->failed = true;
        free(image);
        return;
    }
    memcpy(image->name, row->name.data, row->name.len);
    memcpy(image->url, row->url.len == 0 ? (const void *)"" : row->url.data, row->url.len);
    memcpy(image->digest, row->digest.data, FIRMWARE_DIGEST_LEN);
    image->size = (size_t)row->size;
    image->created_at_ms = row->created_at_ms;
    image->faults = no_faults;
    put_digest(image->digest, text);
    image->file = openat(loading->images->directory, text, O_RDONLY | O_CLOEXEC);
    if (image->file < 0 || fstat(image->file, &status) != 0 || (uint64_t)status.st_size != row->size) {
        snprintf(loading->error, loading->error_size, "the file firmware/%s of the image %s is missing or damaged",
                 text, image->name);
        loading->failed = true;
        if (image->file >= 0)
            close(image->file);
        free(image);
        return;
    }
    add(loading->images, image);
}

static void forget_leftovers(const struct firmware_images *images) {
    int copy = images->directory < 0 ? -1 : dup(images->directory);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;
    if (directory == NULL)
        return;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.' && !is_named(images, entry->d_name))
            unlinkat(images->directory, entry->d_name, 0);
    }
    closedir(directory);
}

/* Without an image there is no directory. */
static bool open_directory(struct firmware_images *images, bool make) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/firmware", images->server->config->data);
    if (make && images->directory < 0)
        mkdir(path, 0700);
    if (images->directory < 0)
        images->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return images->directory >= 0;
}

struct firmware_images *firmware_images_new(struct server *server, char *error, size_t error_size) {
    struct firmware_images *images = calloc(1, sizeof *images);
    if (images == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    images->server = server;
    images->directory = -1;
    open_directory(images, false);
    struct loading loading = {.images = images, .error = error, .error_size = error_size};
    snprintf(error, error_size, "out of memory");
    if (store_load_firmware_images(server->store, load, &loading, error, error_size) && !loading.failed) {
        forget_leftovers(images);
        return images;
    }
    firmware_images_free(images);
    return NULL;
}

/* ---- uploads ---- */

static void free_upload(struct firmware_upload *upload) {
    struct firmware_images *images = upload->images;
    if (images != NULL) {
        struct firmware_upload **at = &images->uploads;
        while (*at != upload)
            at = &(*at)->next;
        *at = upload->next;
        images->upload_count--;
    }
    if (upload->file >= 0)
        close(upload->file);
    if (upload->directory >= 0)
        close(upload->directory);
    mbedtls_sha256_free(&upload->hash);
    free(upload);
}

void firmware_upload_abort(struct firmware_upload *upload) {
    unlinkat(upload->directory, upload->path, 0);
    free_upload(upload);
}

void firmware_images_end(struct firmware_images *images) {
    struct firmware_upload *upload = images->uploads;
    while (upload != NULL) {
        struct firmware_upload *next = upload->next;
        if (upload->finishing && upload->image == NULL) { /* in the pool: it ends by itself */
            upload->images = NULL;
            upload->done(upload->arg, STORE_IO);
        }
        upload = next;
    }
    struct firmware_upload **at = &images->uploads;
    while (*at != NULL) {
        if ((*at)->images == NULL)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
}

void firmware_images_free(struct firmware_images *images) {
    if (images == NULL)
        return;
    while (images->uploads != NULL)
        firmware_upload_abort(images->uploads);
    while (images->first != NULL)
        drop(images, images->first);
    if (images->directory >= 0)
        close(images->directory);
    free(images);
}

static bool is_uploaded(const struct firmware_images *images, const char *name) {
    for (const struct firmware_upload *upload = images->uploads; upload != NULL; upload = upload->next) {
        if (strcmp(upload->name, name) == 0)
            return true;
    }
    return false;
}

static enum firmware_refusal may_upload(const struct firmware_images *images, struct slice name) {
    const struct firmware_image *before = firmware_image_find(images, name);
    char text[FIRMWARE_NAME_MAX + 1];
    snprintf(text, sizeof text, "%.*s", (int)name.len, (const char *)name.data);
    if (is_uploaded(images, text) || (before != NULL && (before->users > 0 || before->leaving)))
        return FIRMWARE_IN_USE;
    bool full = before == NULL && images->totals.images + images->upload_count >= FIRMWARE_IMAGES_MAX;
    return full || images->upload_count >= FIRMWARE_UPLOADS_MAX ? FIRMWARE_TOO_MANY : FIRMWARE_ACCEPTED;
}

struct firmware_upload *firmware_upload_begin(struct firmware_images *images, struct slice name,
                                              enum firmware_refusal *refusal) {
    *refusal = may_upload(images, name);
    struct firmware_upload *upload = NULL;
    if (*refusal != FIRMWARE_ACCEPTED)
        return NULL;
    *refusal = FIRMWARE_DISK;
    upload = calloc(1, sizeof *upload);
    if (upload == NULL)
        return NULL;
    memcpy(upload->name, name.data, name.len);
    snprintf(upload->path, sizeof upload->path, "upload-%llu", (unsigned long long)images->next_upload++);
    upload->directory = open_directory(images, true) ? dup(images->directory) : -1;
    upload->file = upload->directory < 0
                       ? -1
                       : openat(upload->directory, upload->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    mbedtls_sha256_init(&upload->hash);
    upload->images = images;
    upload->config = images->server->config;
    upload->next = images->uploads;
    images->uploads = upload;
    images->upload_count++;
    if (upload->file < 0 || mbedtls_sha256_starts(&upload->hash, 0) != 0) {
        free_upload(upload);
        return NULL;
    }
    *refusal = FIRMWARE_ACCEPTED;
    return upload;
}

/* Of what other uploads have brought, too: the limit holds when all of them succeed. */
static bool has_room(const struct firmware_images *images, size_t more) {
    uint64_t bytes = images->totals.bytes;
    for (const struct firmware_upload *upload = images->uploads; upload != NULL; upload = upload->next)
        bytes += upload->size;
    return bytes + more <= FIRMWARE_BYTES_MAX;
}

enum firmware_refusal firmware_upload_add(struct firmware_upload *upload, struct slice bytes) {
    if (bytes.len > FIRMWARE_IMAGE_BYTES_MAX - upload->size)
        return FIRMWARE_TOO_LARGE;
    if (!has_room(upload->images, bytes.len))
        return FIRMWARE_NO_ROOM;
    if (mbedtls_sha256_update(&upload->hash, bytes.data, bytes.len) != 0)
        return FIRMWARE_DISK;
    upload->size += bytes.len;
    while (bytes.len > 0) {
        ssize_t written = write(upload->file, bytes.data, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return FIRMWARE_DISK;
        bytes = slice_from(bytes, (size_t)written);
    }
    return FIRMWARE_ACCEPTED;
}

/* Before its row is there: whichever node reads that finds the file. */
static bool share(const struct firmware_upload *upload) {
    const struct config *config = upload->config;
    char name[DIGEST_TEXT_LEN + 16], error[200];
    snprintf(name, sizeof name, "firmware/%s", upload->digest_text);
    if (!config->cluster || shared_files_put(config->database, config->data, name, error, sizeof error))
        return true;
    log_write(LOG_ERROR, "firmware", "%s", error);
    return false;
}

/* In the pool: 64 MiB take their time. */
static void write_through(uv_work_t *work) {
    struct firmware_upload *upload = (struct firmware_upload *)work;
    upload->written = fsync(upload->file) == 0 &&
                      renameat(upload->directory, upload->path, upload->directory, upload->digest_text) == 0 &&
                      fsync(upload->directory) == 0 && share(upload);
}

static void end_upload(struct firmware_upload *upload, enum store_result result) {
    store_done_fn *done = upload->done;
    void *arg = upload->arg;
    free_upload(upload);
    done(arg, result);
}

static void on_stored(void *arg, enum store_result result) {
    struct firmware_upload *upload = arg;
    struct firmware_images *images = upload->images;
    struct firmware_image *image = upload->image;
    struct firmware_image *before = firmware_image_find(images, slice_str(image->name));
    uint8_t digest[FIRMWARE_DIGEST_LEN];
    bool has_gone = result != STORE_OK || before != NULL;
    memcpy(digest, result == STORE_OK && before != NULL ? before->digest : image->digest, sizeof digest);
    upload->finishing = false;
    if (result == STORE_OK) {
        if (before != NULL)
            drop(images, before);
        add(images, image);
    } else {
        close(image->file);
        free(image);
    }
    if (has_gone)
        forget_file(images, digest);
    end_upload(upload, result);
}

static struct firmware_image *make_image(struct firmware_upload *upload, uint64_t now_ms) {
    struct firmware_image *image = calloc(1, sizeof *image);
    if (image == NULL)
        return NULL;
    memcpy(image->name, upload->name, sizeof image->name);
    memcpy(image->url, upload->url, sizeof image->url);
    memcpy(image->digest, upload->digest, sizeof image->digest);
    image->size = upload->size;
    image->created_at_ms = now_ms;
    image->faults = no_faults;
    image->file = upload->file; /* the same one, under its other name */
    upload->file = -1;
    return image;
}

static void after_write(uv_work_t *work, int status) {
    struct firmware_upload *upload = (struct firmware_upload *)work;
    struct firmware_images *images = upload->images;
    (void)status;
    if (images == NULL) {
        free_upload(upload); /* the file is nobody's, and goes at the next start */
        return;
    }
    struct server *server = images->server;
    clock_update(&server->clock);
    const struct firmware_image *before = firmware_image_find(images, slice_str(upload->name));
    if (before != NULL && before->users > 0) /* an update has begun meanwhile */
        upload->written = false;
    upload->image = upload->written ? make_image(upload, clock_now_ms(&server->clock)) : NULL;
    if (upload->image == NULL) {
        unlinkat(upload->directory, upload->path, 0);
        upload->finishing = false;
        forget_file(images, upload->digest);
        end_upload(upload, STORE_IO);
        return;
    }
    const struct firmware_image *image = upload->image;
    struct store_firmware_image row = {.name = slice_str(image->name),
                                       .digest = slice_of(image->digest, sizeof image->digest),
                                       .url = slice_str(image->url),
                                       .size = image->size,
                                       .created_at_ms = image->created_at_ms};
    enum store_result result = store_put_firmware_image(server->store, &row, on_stored, upload);
    if (result != STORE_OK)
        on_stored(upload, result);
}

void firmware_upload_finish(struct firmware_upload *upload, struct slice url, store_done_fn *done, void *arg) {
    memcpy(upload->url, url.len == 0 ? (const void *)"" : url.data, url.len);
    upload->done = done;
    upload->arg = arg;
    upload->finishing = true;
    if (mbedtls_sha256_finish(&upload->hash, upload->digest) != 0)
        memset(upload->digest, 0, sizeof upload->digest); /* it does not happen in software */
    put_digest(upload->digest, upload->digest_text);
    uv_queue_work(upload->images->server->loop, &upload->work, write_through, after_write);
}

/* ---- deleting ---- */

struct deletion {
    struct firmware_images *images;
    store_done_fn *done;
    void *arg;
    char name[FIRMWARE_NAME_MAX + 1];
};

static void on_deleted(void *arg, enum store_result result) {
    struct deletion *deletion = arg;
    struct firmware_images *images = deletion->images;
    struct firmware_image *image = firmware_image_find(images, slice_str(deletion->name));
    image->leaving = false;
    if (result == STORE_OK) {
        uint8_t digest[FIRMWARE_DIGEST_LEN];
        memcpy(digest, image->digest, sizeof digest);
        drop(images, image);
        forget_file(images, digest);
    }
    deletion->done(deletion->arg, result);
    free(deletion);
}

enum firmware_refusal firmware_image_delete(struct firmware_images *images, struct slice name, store_done_fn *done,
                                            void *arg) {
    struct firmware_image *image = firmware_image_find(images, name);
    if (image == NULL)
        return FIRMWARE_MISSING;
    if (image->users > 0 || image->leaving || is_uploaded(images, image->name))
        return FIRMWARE_IN_USE;
    struct deletion *deletion = calloc(1, sizeof *deletion);
    if (deletion == NULL)
        return FIRMWARE_TOO_MANY;
    *deletion = (struct deletion){.images = images, .done = done, .arg = arg};
    memcpy(deletion->name, image->name, sizeof deletion->name);
    image->leaving = true;
    struct store_firmware_image row = {.name = slice_str(image->name)};
    enum store_result result = store_put_firmware_image(images->server->store, &row, on_deleted, deletion);
    if (result != STORE_OK)
        on_deleted(deletion, result);
    return FIRMWARE_ACCEPTED;
}
