#include "client/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/device.h"

/* magic(8) maker(32) bootstrapped(1) purged(1) purge time(8) endpoint(2 + n), then for each instance object(2) id(2)
 * cells(2), and for each cell resource(2) instance(2) type(1) length(4) value. */
static const uint8_t magic[8] = {'b', 'e', 'r', 't', 'h', 'a', 'c', '1'};

enum { MAKER_LEN = 32, SIZE_FIRST = 16 * 1024 };

/* ---- to bytes ---- */

static uint64_t bits_of(double real) {
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    return bits;
}

/* What has no bytes is a number of eight. */
static uint64_t number_of(const struct lwm2m_value *value) {
    switch (value->type) {
    case LWM2M_UNSIGNED:
        return value->natural;
    case LWM2M_FLOAT:
        return bits_of(value->real);
    case LWM2M_BOOLEAN:
        return value->truth;
    case LWM2M_OBJLNK:
        return (uint64_t)value->link.object << 16 | value->link.instance;
    default:
        return (uint64_t)value->integer;
    }
}

static bool has_bytes(enum lwm2m_type type) {
    return type == LWM2M_STRING || type == LWM2M_OPAQUE || type == LWM2M_CORELNK;
}

static void put_cell(struct buffer *out, const struct cell *cell) {
    buffer_put_u16(out, cell->resource);
    buffer_put_u16(out, cell->instance);
    buffer_put_u8(out, (uint8_t)cell->value.type);
    if (has_bytes(cell->value.type)) {
        buffer_put_u32(out, (uint32_t)cell->value.bytes.len);
        buffer_put_slice(out, cell->value.bytes);
    } else {
        buffer_put_u32(out, 8);
        buffer_put_u64(out, number_of(&cell->value));
    }
}

static void put_instance(struct buffer *out, uint16_t object, const struct instance *instance) {
    buffer_put_u16(out, object);
    buffer_put_u16(out, instance->id);
    buffer_put_u16(out, (uint16_t)instance->cell_count);
    for (size_t i = 0; i < instance->cell_count; i++)
        put_cell(out, &instance->cells[i]);
}

bool kept_put(const struct device *device, struct buffer *out) {
    const struct bootstrap *bootstrap = &device->bootstrap;
    buffer_put(out, magic, sizeof magic);
    buffer_put(out, device->kept.maker, MAKER_LEN);
    buffer_put_u8(out, bootstrap->is_done);
    buffer_put_u8(out, bootstrap->is_purged);
    buffer_put_u64(out, bootstrap->purge_ms);
    buffer_put_u16(out, (uint16_t)strlen(device->endpoint));
    buffer_put_str(out, device->endpoint);
    for (size_t i = 0; i < device->object_count; i++) {
        const struct object *object = &device->objects[i];
        for (size_t k = 0; k < object->instance_count; k++) {
            if (object->kind->by_bootstrap || object->instances[k].is_kept)
                put_instance(out, object->id, &object->instances[k]);
        }
    }
    return !out->overflow;
}

/* ---- from bytes ---- */

struct reader {
    struct slice rest;
    bool failed;
};

static struct slice take(struct reader *reader, size_t len) {
    reader->failed = reader->failed || len > reader->rest.len;
    if (reader->failed)
        return SLICE_NONE;
    struct slice taken = slice_of(reader->rest.data, len);
    reader->rest = slice_from(reader->rest, len);
    return taken;
}

static uint64_t take_number(struct reader *reader, size_t len) {
    return slice_number(take(reader, len));
}

static struct lwm2m_value value_of(enum lwm2m_type type, struct slice bytes) {
    struct reader reader = {.rest = bytes};
    if (has_bytes(type))
        return lwm2m_bytes(type, bytes);
    uint64_t number = take_number(&reader, 8);
    struct lwm2m_value value = {.type = type, .integer = (int64_t)number};
    if (type == LWM2M_UNSIGNED)
        value.natural = number;
    else if (type == LWM2M_FLOAT)
        memcpy(&value.real, &number, sizeof number);
    else if (type == LWM2M_BOOLEAN)
        value.truth = number != 0;
    else if (type == LWM2M_OBJLNK)
        value.link = (struct lwm2m_objlnk){(uint16_t)(number >> 16), (uint16_t)number};
    return value;
}

static bool is_type(uint64_t type) {
    return type > LWM2M_NONE && type < LWM2M_RAW;
}

/* With `device` NULL it is only looked at. */
static void take_instance(struct device *device, struct reader *reader) {
    uint16_t object_id = (uint16_t)take_number(reader, 2), id = (uint16_t)take_number(reader, 2);
    size_t cells = (size_t)take_number(reader, 2);
    struct object *object = device == NULL ? NULL : device_object(device, object_id);
    struct instance *instance = object == NULL ? NULL : object_instance(object, id);
    if (object != NULL && instance == NULL && (object->kind->by_bootstrap || object->creatable))
        instance = object_create(object, id);
    if (instance != NULL)
        instance->is_kept = !object->kind->by_bootstrap;
    for (size_t i = 0; i < cells && !reader->failed; i++) {
        uint16_t resource = (uint16_t)take_number(reader, 2), resource_instance = (uint16_t)take_number(reader, 2);
        uint64_t type = take_number(reader, 1);
        struct slice bytes = take(reader, (size_t)take_number(reader, 4));
        reader->failed = reader->failed || !is_type(type) || (!has_bytes((enum lwm2m_type)type) && bytes.len != 8);
        if (instance != NULL && !reader->failed)
            object_store(object, instance, resource, resource_instance, value_of((enum lwm2m_type)type, bytes));
    }
}

static void remove_accounts(struct device *device) {
    for (size_t i = 0; i < device->object_count; i++) {
        struct object *object = &device->objects[i];
        while (object->kind->by_bootstrap && object->instance_count > 0)
            object_delete(object, object->instances[0].id);
    }
}

static bool read_all(struct device *device, const uint8_t maker[32], struct slice bytes) {
    struct reader reader = {.rest = bytes};
    struct slice head = take(&reader, sizeof magic), made = take(&reader, MAKER_LEN);
    if (reader.failed || memcmp(head.data, magic, sizeof magic) != 0 || memcmp(made.data, maker, MAKER_LEN) != 0)
        return false;
    bool is_done = take_number(&reader, 1) != 0, is_purged = take_number(&reader, 1) != 0;
    uint64_t purge_ms = take_number(&reader, 8);
    struct slice endpoint = take(&reader, (size_t)take_number(&reader, 2));
    if (reader.failed || endpoint.len == 0 || endpoint.len > OPTIONS_ENDPOINT_MAX ||
        memchr(endpoint.data, '\0', endpoint.len) != NULL)
        return false;
    if (device != NULL) {
        device->bootstrap.is_done = is_done;
        device->bootstrap.is_purged = is_purged;
        device->bootstrap.purge_ms = purge_ms;
        device_set_endpoint(device, endpoint);
        remove_accounts(device);
    }
    while (reader.rest.len > 0 && !reader.failed)
        take_instance(device, &reader);
    return !reader.failed;
}

bool kept_take(struct device *device, struct slice bytes) {
    return read_all(NULL, device->kept.maker, bytes) && read_all(device, device->kept.maker, bytes);
}

/* ---- the file ---- */

static void add(mbedtls_sha256_context *hash, struct slice part) {
    const uint8_t len[3] = {(uint8_t)(part.len >> 16), (uint8_t)(part.len >> 8), (uint8_t)part.len};
    mbedtls_sha256_update(hash, len, sizeof len);
    mbedtls_sha256_update(hash, part.data, part.len);
}

/* The address, the name and the key or the files: with others it is another device. */
static void name_maker(const struct options *options, uint8_t maker[32]) {
    const struct security_options *security = &options->security;
    const char *const files[] = {security->certificate, security->private_key, security->authority};
    const uint8_t kind[2] = {options->developer, options->version};
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    mbedtls_sha256_starts(&hash, 0);
    add(&hash, slice_str(options->server_text));
    add(&hash, slice_str(options->endpoint));
    add(&hash, slice_of(kind, sizeof kind));
    add(&hash, slice_of(security->identity, security->identity_len));
    add(&hash, slice_of(security->key, security->key_len));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        add(&hash, files[i] == NULL ? SLICE_NONE : slice_str(files[i]));
    mbedtls_sha256_finish(&hash, maker);
    mbedtls_sha256_free(&hash);
}

static bool fail(char *error, size_t error_size, const char *path, const char *why) {
    snprintf(error, error_size, "--state: %s: %s", path, why);
    return false;
}

bool kept_open(struct device *device, const char *directory, char *error, size_t error_size) {
    struct kept *kept = &device->kept;
    char lock[PATH_MAX];
    kept->lock = -1;
    name_maker(device->options, kept->maker);
    if (directory == NULL)
        return true;
    if (snprintf(kept->path, sizeof kept->path, "%s/accounts", directory) >= (int)sizeof kept->path ||
        snprintf(kept->fresh, sizeof kept->fresh, "%s/accounts.new", directory) >= (int)sizeof kept->fresh ||
        snprintf(lock, sizeof lock, "%s/accounts.lock", directory) >= (int)sizeof lock)
        return fail(error, error_size, directory, strerror(ENAMETOOLONG));
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return fail(error, error_size, directory, strerror(errno));
    kept->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (kept->lock < 0)
        return fail(error, error_size, lock, strerror(errno));
    if (flock(kept->lock, LOCK_EX | LOCK_NB) != 0) {
        close(kept->lock);
        return fail(error, error_size, directory, "another device uses it");
    }
    kept->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (kept->directory < 0) {
        close(kept->lock);
        return fail(error, error_size, directory, strerror(errno));
    }
    kept->is_open = true;
    return true;
}

/* NULL, or what is wrong with it; *len is 0 when there is no file. */
static const char *read_file(const char *path, uint8_t *bytes, size_t size, size_t *len) {
    struct stat status;
    *len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? NULL : strerror(errno);
    const char *wrong = NULL;
    if (fstat(fd, &status) != 0)
        wrong = strerror(errno);
    else if (!S_ISREG(status.st_mode) || (status.st_mode & 077) != 0)
        wrong = "others than its owner can read it; chmod 600 it";
    ssize_t got = wrong == NULL ? read(fd, bytes, size) : 0;
    close(fd);
    if (got < 0)
        return strerror(errno);
    *len = (size_t)got;
    return wrong;
}

enum kept_found kept_load(struct device *device, char *error, size_t error_size) {
    size_t len;
    if (!device->kept.is_open)
        return KEPT_NOTHING;
    uint8_t *bytes = memory_or_exit(malloc(KEPT_MAX));
    const char *wrong = read_file(device->kept.path, bytes, KEPT_MAX, &len);
    enum kept_found found = KEPT_NOTHING;
    if (wrong != NULL) {
        fail(error, error_size, device->kept.path, wrong);
        found = KEPT_FAILED;
    } else if (kept_take(device, slice_of(bytes, len))) {
        found = KEPT_STATE;
    }
    mbedtls_platform_zeroize(bytes, len);
    free(bytes);
    device->kept.is_dirty = false;
    return found;
}

static bool replace_file(struct kept *kept, struct slice bytes) {
    int fd = open(kept->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool written = write(fd, bytes.data, bytes.len) == (ssize_t)bytes.len && fdatasync(fd) == 0;
    close(fd);
    return written && rename(kept->fresh, kept->path) == 0 && fsync(kept->directory) == 0;
}

bool kept_save(struct device *device) {
    struct kept *kept = &device->kept;
    if (!kept->is_open)
        return true;
    for (size_t size = SIZE_FIRST; size <= KEPT_MAX; size *= 2) {
        struct buffer out = buffer_over(memory_or_exit(malloc(size)), size);
        bool fits = kept_put(device, &out);
        bool saved = fits && replace_file(kept, buffer_slice(&out));
        mbedtls_platform_zeroize(out.data, size);
        free(out.data);
        if (fits) {
            kept->is_dirty = kept->is_dirty && !saved;
            return saved;
        }
    }
    return false;
}

void kept_forget(struct device *device) {
    char session[PATH_MAX];
    if (!device->kept.is_open)
        return;
    unlink(device->kept.path);
    unlink(device->kept.fresh);
    if (snprintf(session, sizeof session, "%s/session", device->options->security.state) < (int)sizeof session)
        unlink(session);
    device->kept.is_dirty = false;
}

void kept_close(struct device *device) {
    struct kept *kept = &device->kept;
    if (kept->is_open) {
        close(kept->lock);
        close(kept->directory);
    }
    kept->is_open = false;
}
