#include "server/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/text.h"
#include "db/cluster.h"
#include "server/names.h"
#include "server/private_file.h"

bool key_file_load(const char *path, bool may_make, uint8_t key[SEAL_KEY_BYTES], char *error, size_t error_size) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && may_make) {
        random_bytes(key, SEAL_KEY_BYTES);
        if (!private_file_write(path, slice_of(key, SEAL_KEY_BYTES), error, error_size))
            return false;
        log_write(LOG_DEBUG, "server", "%s: made; secrets in the database are sealed with it", path);
        return true;
    }
    if (fd < 0 && errno == ENOENT) {
        snprintf(error, error_size,
                 "%s: the key file is missing, and secrets in the database are sealed with it; bring it back, or begin "
                 "with another data directory",
                 path);
        return false;
    }
    if (fd < 0 || fstat(fd, &status) != 0) {
        snprintf(error, error_size, "%s: the key file can't be read: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool good = false;
    if (!S_ISREG(status.st_mode)) {
        snprintf(error, error_size, "%s: the key file must be a regular file", path);
    } else if ((status.st_mode & 077) != 0) {
        snprintf(error, error_size, "%s: others than its owner can read the key file; chmod 600 it", path);
    } else if (status.st_size != SEAL_KEY_BYTES || read(fd, key, SEAL_KEY_BYTES) != SEAL_KEY_BYTES) {
        snprintf(error, error_size,
                 "%s: a key file has %d bytes and this has %lld; bring back the right one, or take it away when no "
                 "database belongs to it",
                 path, SEAL_KEY_BYTES, (long long)status.st_size);
    } else {
        good = true;
    }
    close(fd);
    return good;
}

/* ---- which key is a database's? ---- */

enum { CHECK_TEXT_MAX = 2 * (SEAL_OVERHEAD + 16) };

static const char check_word[] = "berth";

static struct slice check_context(void) {
    return slice_str("key check");
}

static bool is_its_key(struct seal *seal, struct slice check) {
    uint8_t sealed_memory[CHECK_TEXT_MAX / 2], word_memory[16];
    struct buffer sealed = buffer_over(sealed_memory, sizeof sealed_memory);
    struct buffer word = buffer_over(word_memory, sizeof word_memory);
    return text_get_hex(check, &sealed) && seal_open(seal, check_context(), buffer_slice(&sealed), &word) &&
           slice_is(buffer_slice(&word), check_word);
}

/* Committed before whatever is sealed later, since writes keep their order. */
static bool store_check(struct store *store, struct seal *seal) {
    uint8_t sealed_memory[CHECK_TEXT_MAX / 2], text_memory[CHECK_TEXT_MAX];
    struct buffer sealed = buffer_over(sealed_memory, sizeof sealed_memory);
    struct buffer text = buffer_over(text_memory, sizeof text_memory);
    if (!seal_close(seal, check_context(), slice_str(check_word), &sealed))
        return false;
    text_put_hex(&text, buffer_slice(&sealed));
    return store_put_setting(store, SETTING_KEY_CHECK, buffer_slice(&text), NULL, NULL) == STORE_OK;
}

/* A database that nobody has begun with gets the key of the node that serves first. */
bool key_file_fits_cluster(const char *database, const char *path, char *error, size_t error_size) {
    char check[CHECK_TEXT_MAX + 1];
    uint8_t key[SEAL_KEY_BYTES];
    if (!cluster_peek_setting(database, SETTING_KEY_CHECK, check, sizeof check, error, error_size) ||
        !key_file_load(path, check[0] == '\0', key, error, error_size))
        return false;
    struct seal *seal = seal_new(key);
    mbedtls_platform_zeroize(key, sizeof key);
    bool fits = seal != NULL && (check[0] == '\0' || is_its_key(seal, slice_str(check)));
    if (!fits)
        snprintf(error, error_size,
                 "%s: not the key that the cluster's database was sealed with; every node needs that", path);
    seal_free(seal);
    return fits;
}

struct seal *key_file_unlock(struct store *store, const char *directory, const char *path, char *error,
                             size_t error_size) {
    char own_path[PATH_MAX], check[CHECK_TEXT_MAX];
    uint8_t key[SEAL_KEY_BYTES];
    snprintf(own_path, sizeof own_path, "%s/berth.key", directory);
    if (path == NULL)
        path = own_path;
    long check_len = store_get_setting(store, SETTING_KEY_CHECK, check, sizeof check);
    bool loaded = key_file_load(path, check_len < 0, key, error, error_size);
    struct seal *seal = loaded ? seal_new(key) : NULL;
    mbedtls_platform_zeroize(key, sizeof key);
    if (!loaded)
        return NULL;
    if (seal == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    bool is_right = check_len < 0
                        ? store_check(store, seal)
                        : (size_t)check_len <= sizeof check && is_its_key(seal, slice_of(check, (size_t)check_len));
    if (is_right)
        return seal;
    snprintf(
        error, error_size,
        "%s: not the key that the database in %s was sealed with; give the right one with --key-file, or begin with "
        "another data directory",
        path, directory);
    seal_free(seal);
    return NULL;
}
