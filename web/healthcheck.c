#include "web/healthcheck.h"

#include <netinet/in.h>
#include <sys/time.h>
#include <unistd.h>

static bool ask(int fd) {
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    static const char good[] = "HTTP/1.1 200";
    char answer[sizeof good];
    size_t len = 0;
    if (write(fd, request, sizeof request - 1) != (ssize_t)(sizeof request - 1))
        return false;
    while (len < sizeof good - 1) {
        ssize_t got = read(fd, answer + len, sizeof good - 1 - len);
        if (got <= 0)
            return false;
        len += (size_t)got;
    }
    return memcmp(answer, good, sizeof good - 1) == 0;
}

bool healthcheck(const struct address *http) {
    struct address target = address_at_home(http);
    int family = target.family == ADDRESS_IPV4 ? AF_INET : AF_INET6;
    struct sockaddr_storage name;
    socklen_t len = address_to_sockaddr(&target, family, &name);
    struct timeval timeout = {.tv_sec = 2};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    bool well = connect(fd, (struct sockaddr *)&name, len) == 0 && ask(fd);
    close(fd);
    return well;
}
