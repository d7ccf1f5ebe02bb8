/* For benches: HTTP/1.1 over a connection that is kept, as much as our own server needs. */
#ifndef BERTH_TESTS_BENCH_HTTP_CLIENT_H
#define BERTH_TESTS_BENCH_HTTP_CLIENT_H

#include "tests/bench/process.h"

enum { ANSWER_MAX = 64 << 10 };

struct http_connection {
    int fd;
    size_t len;
    char answer[ANSWER_MAX + 1];
};

static inline void http_connect(struct http_connection *http, uint16_t port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    http->fd = socket(AF_INET, SOCK_STREAM, 0);
    http->len = 0;
    if (connect(http->fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    fcntl(http->fd, F_SETFL, O_NONBLOCK);
}

static inline void http_ask_with(struct http_connection *http, const char *method, const char *target,
                                 const char *json) {
    char request[512];
    int len = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s",
                       method, target, json[0] == '\0' ? "" : "Content-Type: application/json\r\n", strlen(json), json);
    http->len = 0;
    if (write(http->fd, request, (size_t)len) != len)
        fail("write");
}

static inline void http_ask(struct http_connection *http, const char *method, const char *target) {
    http_ask_with(http, method, target, "");
}

/* Read what is there; true when the answer is whole. Its status is to be `expected`. */
static inline bool http_answered(struct http_connection *http, int expected) {
    ssize_t got = read(http->fd, http->answer + http->len, ANSWER_MAX - http->len);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        fail("the server has closed the connection");
    http->len += got > 0 ? (size_t)got : 0;
    http->answer[http->len] = '\0';
    const char *end = strstr(http->answer, "\r\n\r\n"), *length = strstr(http->answer, "Content-Length: ");
    if (end == NULL || (length != NULL && length < end &&
                        http->len < (size_t)(end + 4 - http->answer) + strtoul(length + 16, NULL, 10)))
        return false;
    if (atoi(http->answer + strlen("HTTP/1.1 ")) != expected) {
        fprintf(stderr, "bench: %.200s\n", http->answer);
        exit(1);
    }
    return true;
}

/* What a server holds once nothing has been said for five minutes: it leaps there. */
static inline size_t quiet_bytes_of(pid_t server, uint16_t http_port) {
    static struct http_connection http;
    http_connect(&http, http_port);
    http_ask_with(&http, "POST", "/v1/clock", "{\"advance\":\"400s\"}");
    while (!http_answered(&http, 200))
        wait_readable(http.fd, 10);
    close(http.fd);
    return resident_bytes_of(server); /* the leap is answered when what was due has been done */
}

#endif
