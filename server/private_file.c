#include "server/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static bool write_all(int fd, struct slice bytes) {
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.data, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes = slice_from(bytes, (size_t)written);
    }
    return fsync(fd) == 0;
}

static bool sync_directory(const char *path) {
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
             slash == NULL ? "." : path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool synced = fsync(fd) == 0;
    close(fd);
    return synced;
}

bool private_file_write(const char *path, struct slice bytes, char *error, size_t error_size) {
    char new_path[PATH_MAX];
    int len = snprintf(new_path, sizeof new_path, "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof new_path) {
        snprintf(error, error_size, "%.100s…: the path is too long", path);
        return false;
    }
    unlink(new_path);
    int fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write_all(fd, bytes);
    if (fd >= 0 && close(fd) != 0)
        written = false;
    if (written && rename(new_path, path) == 0 && sync_directory(path))
        return true;
    snprintf(error, error_size, "%s: can't be written: %s", path, strerror(errno));
    if (fd >= 0)
        unlink(new_path);
    return false;
}

int private_file_read(const char *path, uint8_t *bytes, size_t size, size_t *len) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = 0;
    uint8_t beyond;
    *len = 0;
    for (;;) {
        bool full = *len == size;
        ssize_t got = full ? read(fd, &beyond, 1) : read(fd, bytes + *len, size - *len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = -errno;
        else if (got > 0 && full)
            result = -EFBIG;
        if (got <= 0 || full)
            break;
        *len += (size_t)got;
    }
    close(fd);
    return result;
}
