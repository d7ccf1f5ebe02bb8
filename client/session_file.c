#include "client/session_file.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* magic(8) binding(32) number limit(8) window top(8) window bits(8) secret. */
enum {
    MAGIC_LEN = 8,
    BINDING_LEN = 32,
    NUMBERS_AT = MAGIC_LEN + BINDING_LEN,
    NUMBERS_LEN = 3 * 8,
    SECRET_AT = NUMBERS_AT + NUMBERS_LEN,
    FILE_MAX = SECRET_AT + DTLS_CLIENT_SECRET_MAX,
};

static const uint8_t magic[MAGIC_LEN] = {'b', 'e', 'r', 't', 'h', 's', 'e', '1'};

static void put_numbers(struct buffer *out, const struct dtls_client_state *state) {
    buffer_put_u64(out, state->number_limit);
    buffer_put_u64(out, state->window_top);
    buffer_put_u64(out, state->window_bits);
}

static bool write_all(int fd, struct slice bytes, off_t at) {
    return pwrite(fd, bytes.data, bytes.len, at) == (ssize_t)bytes.len;
}

static void close_file(struct session_file *file) {
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

static enum session_file_found fail(struct session_file *file, const char *path, const char *why, char *error,
                                    size_t error_size) {
    snprintf(error, error_size, "--state: %s: %s", path, why);
    session_file_close(file);
    return SESSION_FILE_FAILED;
}

/* The file as it is found, if it is ours. NULL, or what is wrong with it. */
static const char *read_state(struct session_file *file, uint8_t secret[DTLS_CLIENT_SECRET_MAX],
                              struct dtls_client_state *state, bool *found) {
    uint8_t bytes[FILE_MAX + 1];
    struct stat status;
    if (fstat(file->fd, &status) != 0)
        return strerror(errno);
    if (!S_ISREG(status.st_mode) || (status.st_mode & 077) != 0)
        return "others than its owner can read it; chmod 600 it";
    ssize_t len = pread(file->fd, bytes, sizeof bytes, 0);
    *found = len > SECRET_AT && len <= FILE_MAX && memcmp(bytes, magic, MAGIC_LEN) == 0 &&
             memcmp(bytes + MAGIC_LEN, file->binding, BINDING_LEN) == 0;
    if (*found) {
        size_t secret_len = (size_t)len - SECRET_AT;
        memcpy(secret, bytes + SECRET_AT, secret_len);
        *state = (struct dtls_client_state){.secret = slice_of(secret, secret_len),
                                            .number_limit = slice_number(slice_of(bytes + NUMBERS_AT, 8)),
                                            .window_top = slice_number(slice_of(bytes + NUMBERS_AT + 8, 8)),
                                            .window_bits = slice_number(slice_of(bytes + NUMBERS_AT + 16, 8))};
        file->synced_limit = state->number_limit;
    }
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    return NULL;
}

enum session_file_found session_file_open(struct session_file *file, const char *directory, const uint8_t binding[32],
                                          uint8_t secret[DTLS_CLIENT_SECRET_MAX], struct dtls_client_state *state,
                                          char *error, size_t error_size) {
    char lock[PATH_MAX];
    *file = (struct session_file){.fd = -1, .lock = -1};
    memcpy(file->binding, binding, sizeof file->binding);
    if (snprintf(file->path, sizeof file->path, "%s/session", directory) >= (int)sizeof file->path ||
        snprintf(file->fresh, sizeof file->fresh, "%s/session.new", directory) >= (int)sizeof file->fresh ||
        snprintf(lock, sizeof lock, "%s/lock", directory) >= (int)sizeof lock)
        return fail(file, directory, strerror(ENAMETOOLONG), error, error_size);
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return fail(file, directory, strerror(errno), error, error_size);
    file->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->lock < 0)
        return fail(file, lock, strerror(errno), error, error_size);
    if (flock(file->lock, LOCK_EX | LOCK_NB) != 0)
        return fail(file, directory, "another device uses it", error, error_size);
    file->fd = open(file->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (file->fd < 0 && errno == ENOENT)
        return SESSION_FILE_NOTHING;
    if (file->fd < 0)
        return fail(file, file->path, strerror(errno), error, error_size);
    bool found = false;
    const char *wrong = read_state(file, secret, state, &found);
    if (wrong != NULL)
        return fail(file, file->path, wrong, error, error_size);
    if (!found)
        close_file(file);
    return found ? SESSION_FILE_STATE : SESSION_FILE_NOTHING;
}

bool session_file_keep(struct session_file *file, const struct dtls_client_state *state) {
    uint8_t bytes[FILE_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    close_file(file);
    if (state->secret.len == 0)
        return unlink(file->path) == 0 || errno == ENOENT;
    buffer_put(&out, magic, MAGIC_LEN);
    buffer_put(&out, file->binding, BINDING_LEN);
    put_numbers(&out, state);
    buffer_put_slice(&out, state->secret);
    int fd = open(file->fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool kept = fd >= 0 && !out.overflow && write_all(fd, buffer_slice(&out), 0) && fdatasync(fd) == 0 &&
                rename(file->fresh, file->path) == 0;
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    file->fd = fd;
    file->synced_limit = state->number_limit;
    if (!kept)
        close_file(file);
    return kept;
}

/* The window need not reach the disk: when the power fails, whoever replays has to have been there. */
bool session_file_keep_numbers(struct session_file *file, const struct dtls_client_state *state) {
    uint8_t bytes[NUMBERS_LEN];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    put_numbers(&out, state);
    if (file->fd < 0 || !write_all(file->fd, buffer_slice(&out), NUMBERS_AT))
        return false;
    if (state->number_limit != file->synced_limit && fdatasync(file->fd) != 0)
        return false;
    file->synced_limit = state->number_limit;
    return true;
}

void session_file_close(struct session_file *file) {
    close_file(file);
    if (file->lock >= 0)
        close(file->lock);
    file->lock = -1;
}
