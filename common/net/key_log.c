#include "common/net/key_log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/text.h"

void key_log_put_line(struct buffer *out, const char *label, const uint8_t client_random[32], struct slice secret) {
    buffer_put_str(out, label);
    buffer_put_u8(out, ' ');
    text_put_hex(out, slice_of(client_random, 32));
    buffer_put_u8(out, ' ');
    text_put_hex(out, secret);
    buffer_put_u8(out, '\0');
}

int key_log_open(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

int key_log_write(int fd, const char *line) {
    uint8_t text[KEY_LOG_LINE_MAX];
    struct buffer out = buffer_over(text, sizeof text);
    buffer_put_str(&out, line);
    buffer_put_u8(&out, '\n');
    ssize_t written = out.overflow ? 0 : write(fd, text, out.len);
    int result = written < 0 ? -errno : (size_t)written == out.len ? 0 : -EIO;
    explicit_bzero(text, sizeof text);
    return result;
}
