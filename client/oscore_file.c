#include "client/oscore_file.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/text.h"

/* magic(8) configured limit(8) derived limit(8) length(1) ID Context(64). */
enum {
    MAGIC_LEN = 8,
    LENGTH_AT = MAGIC_LEN + 2 * 8,
    CONTEXT_AT = LENGTH_AT + 1,
    FILE_LEN = CONTEXT_AT + OSCORE_ID_CONTEXT_MAX,
    DIGEST = 16, /* of the name */
};

static const uint8_t magic[MAGIC_LEN] = {'b', 'e', 'r', 't', 'h', 'o', 's', '1'};

/* By the keys, which everything else is derived into. */
static bool make_names(struct oscore_file *file, const struct oscore_secrets *secrets) {
    struct oscore_context context;
    uint8_t keys[2 * OSCORE_KEY_MAX + OSCORE_NONCE_MAX], digest[32], hex[2 * DIGEST];
    struct buffer text = buffer_over(hex, sizeof hex);
    if (!oscore_context_derive(&context, secrets))
        return false;
    memcpy(keys, context.sender_key, OSCORE_KEY_MAX);
    memcpy(keys + OSCORE_KEY_MAX, context.recipient_key, OSCORE_KEY_MAX);
    memcpy(keys + sizeof keys - OSCORE_NONCE_MAX, context.common_iv, OSCORE_NONCE_MAX);
    bool hashed = mbedtls_sha256(keys, sizeof keys, digest, 0) == 0;
    oscore_context_wipe(&context);
    mbedtls_platform_zeroize(keys, sizeof keys);
    text_put_hex(&text, slice_of(digest, DIGEST));
    snprintf(file->name, sizeof file->name, "oscore-%.*s", (int)text.len, (const char *)hex);
    snprintf(file->fresh, sizeof file->fresh, "%s.new", file->name);
    return hashed;
}

static bool fail(struct oscore_file *file, const char *what, const char *why, char *error, size_t error_size) {
    snprintf(error, error_size, "--state: %s: %s", what, why);
    oscore_file_close(file);
    return false;
}

/* NULL, or what is wrong. A file that is not as it was written is not taken for none: numbers would come again. */
static const char *read_numbers(const struct oscore_file *file, struct oscore_numbers *numbers) {
    uint8_t bytes[FILE_LEN + 1];
    int fd = openat(file->directory, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? NULL : strerror(errno);
    ssize_t len = read(fd, bytes, sizeof bytes);
    close(fd);
    if (len != FILE_LEN || memcmp(bytes, magic, MAGIC_LEN) != 0 || bytes[LENGTH_AT] > OSCORE_ID_CONTEXT_MAX)
        return "it is not what a device has written";
    numbers->configured_limit = slice_number(slice_of(bytes + MAGIC_LEN, 8));
    numbers->derived_limit = slice_number(slice_of(bytes + MAGIC_LEN + 8, 8));
    numbers->id_context_len = bytes[LENGTH_AT];
    memcpy(numbers->id_context, bytes + CONTEXT_AT, OSCORE_ID_CONTEXT_MAX);
    return NULL;
}

bool oscore_file_open(struct oscore_file *file, const char *directory, const struct oscore_secrets *secrets,
                      struct oscore_numbers *numbers, char *error, size_t error_size) {
    *file = (struct oscore_file){.directory = -1, .lock = -1};
    *numbers = (struct oscore_numbers){0};
    if (!make_names(file, secrets))
        return fail(file, directory, "no context can be derived", error, error_size);
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return fail(file, directory, strerror(errno), error, error_size);
    file->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->directory >= 0)
        file->lock = openat(file->directory, "oscore.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->lock < 0)
        return fail(file, directory, strerror(errno), error, error_size);
    if (flock(file->lock, LOCK_EX | LOCK_NB) != 0)
        return fail(file, directory, "another device uses it", error, error_size);
    const char *wrong = read_numbers(file, numbers);
    return wrong == NULL || fail(file, file->name, wrong, error, error_size);
}

bool oscore_file_keep(struct oscore_file *file, const struct oscore_numbers *numbers) {
    uint8_t bytes[FILE_LEN];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    buffer_put(&out, magic, MAGIC_LEN);
    buffer_put_u64(&out, numbers->configured_limit);
    buffer_put_u64(&out, numbers->derived_limit);
    buffer_put_u8(&out, numbers->id_context_len);
    buffer_put(&out, numbers->id_context, OSCORE_ID_CONTEXT_MAX);
    int fd = openat(file->directory, file->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool kept = write(fd, bytes, sizeof bytes) == FILE_LEN && fdatasync(fd) == 0 &&
                renameat(file->directory, file->fresh, file->directory, file->name) == 0 && fsync(file->directory) == 0;
    close(fd);
    return kept;
}

void oscore_file_close(struct oscore_file *file) {
    if (file->lock >= 0)
        close(file->lock);
    if (file->directory >= 0)
        close(file->directory);
    file->lock = file->directory = -1;
}
