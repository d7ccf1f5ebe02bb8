/* A client of HTTP that says anything, in pieces of any size, to a real port on loopback.
 *
 * The input is steps: a byte, of which the upper two bits say what, and the rest how much:
 *   0, 1  so many bytes follow, and are sent
 *   2     what was put off is answered, and the loop runs
 *   3     the client has said everything
 * How a request is handled its path says: /d… later, /s… as a stream, /t… its body is taken as it comes, /u… it becomes
 * another protocol, others at once. Whatever comes, each request is answered once, and nothing is left of a connection. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "web/http.h"

enum { DEFERRED_MAX = 8, PIECE = 64 };

static const uint64_t patience_ns = 8000000000; /* less than libFuzzer's time-out */

static uv_loop_t loop;
static struct http *http;
static struct http_request *deferred[DEFERRED_MAX];
static size_t deferred_count;
static unsigned streams;
static volatile unsigned touched;

#define require(holds) require_that((holds), #holds)

static void require_that(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "this does not hold: %s (%s)\n", what, strerror(errno));
    abort();
}

static void touch(struct slice bytes) {
    for (size_t i = 0; i < bytes.len; i++)
        touched += bytes.data[i];
}

static bool begins(const struct http_request *request, char letter) {
    return request->path.len > 1 && request->path.data[1] == letter;
}

static void respond(struct http_request *request, unsigned status) {
    http_respond(request, &(struct http_response){.status = status,
                                                  .content_type = "text/plain",
                                                  .headers = "X-Test: 1\r\n",
                                                  .body = slice_str("an answer")});
}

static void stream_gone(struct http_request *request) {
    (void)request;
    streams--;
}

static void drop_later(struct http_request *request) {
    http_write(request, slice_str("more"));
    http_drop(request);
}

static void deferred_gone(struct http_request *request) {
    for (size_t i = 0; i < deferred_count; i++) {
        if (deferred[i] == request) {
            deferred[i] = deferred[--deferred_count];
            return;
        }
    }
    abort();
}

static void received(struct http_request *request, struct slice bytes) {
    touch(bytes);
    if (bytes.len > 0 && bytes.data[0] == 'x')
        http_drop(request);
    else
        http_write(request, bytes);
}

static void handle(void *arg, struct http_request *request) {
    (void)arg;
    size_t at = 0;
    struct slice value;
    touch(slice_str(request->method));
    touch(request->path);
    touch(request->query);
    touch(request->body);
    while ((value = http_header_next(request, "host", &at)).data != NULL)
        touch(value);
    if (begins(request, 'd') && deferred_count < DEFERRED_MAX) {
        request->gone = deferred_gone;
        deferred[deferred_count++] = request;
    } else if (begins(request, 's')) {
        streams++;
        request->gone = stream_gone;
        request->resume = drop_later;
        http_stream(request, "text/event-stream");
        http_write(request, slice_str("data\n\n"));
        http_wake(request);
    } else if (begins(request, 'u')) {
        streams++;
        request->gone = stream_gone;
        http_upgrade(request, "Upgrade: test\r\nConnection: Upgrade\r\n", received);
    } else {
        request->take = NULL; /* what was taken is kept */
        respond(request, 200);
    }
}

static unsigned take(struct http_request *request, struct slice part, const char **why) {
    (void)request;
    touch(part);
    *why = "an x";
    return part.len > 0 && part.data[0] == 'x' ? 409 : 0;
}

static void dropped(struct http_request *request) {
    require(request->arg == &loop);
    request->arg = NULL;
}

static void begin(void *arg, struct http_request *request) {
    (void)arg;
    if (!begins(request, 't'))
        return;
    request->arg = &loop;
    request->take = take;
    request->dropped = dropped;
}

static void refused(void *arg, struct http_request *request, unsigned status, const char *detail) {
    (void)arg;
    require(status >= 400 && status < 600 && detail != NULL);
    respond(request, status);
}

static void closed(void *arg) {
    (void)arg;
}

static void start(void) {
    char error[256];
    struct address address = {.family = ADDRESS_IPV4, .ip = {127, 0, 0, 1}};
    struct http_options options = {.address = address,
                                   .max_connections = 4,
                                   .idle_s = 60,
                                   .max_body = 4096,
                                   .begin = begin,
                                   .handle = handle,
                                   .refused = refused,
                                   .closed = closed};
    log_configure(LOG_ERROR, false);
    uv_loop_init(&loop);
    http = http_listen(&loop, &options, error, sizeof error);
    require(http != NULL);
}

static int connect_client(void) {
    struct sockaddr_storage name;
    struct address address = http_address(http);
    socklen_t len = address_to_sockaddr(&address, AF_INET, &name);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    require(client >= 0);
    /* Each from the next address of loopback: a client that ends first keeps its port for a minute, and an address has
     * only so many. */
    static uint8_t host;
    host = (uint8_t)(host % 250 + 1);
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1U + host)};
    int late = 1;
    setsockopt(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late, sizeof late);
    require(bind(client, (struct sockaddr *)&from, sizeof from) == 0);
    require(connect(client, (struct sockaddr *)&name, len) == 0 || errno == EINPROGRESS);
    return client;
}

static void turn(int client) {
    char bytes[4096];
    uv_run(&loop, UV_RUN_NOWAIT);
    while (recv(client, bytes, sizeof bytes, 0) > 0)
        ;
}

static void answer_deferred(void) {
    while (deferred_count > 0)
        respond(deferred[--deferred_count], 204);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (http == NULL)
        start();
    int client = connect_client();
    bool is_open = true;
    for (size_t at = 0; at < size;) {
        unsigned what = data[at] >> 6;
        size_t len = data[at++] & 0x3f;
        if (what <= 1 && is_open) {
            len = len < size - at ? len : size - at;
            if (len > 0)
                (void)!send(client, data + at, len, MSG_NOSIGNAL);
            at += len;
            turn(client);
        } else if (what == 2) {
            answer_deferred();
            turn(client);
        } else if (what == 3 && is_open) {
            shutdown(client, SHUT_WR);
            is_open = false;
            turn(client);
        }
    }
    turn(client);
    turn(client);
    struct linger reset = {.l_onoff = 1}; /* else 60,000 connections wait for the end of their last minute */
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client);
    /* A busy kernel may tell of the reset later than it takes effect here. */
    for (uint64_t begun = uv_hrtime(); http_counters(http)->connections > 0 && uv_hrtime() - begun < patience_ns;) {
        answer_deferred();
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    require(http_counters(http)->connections == 0 && deferred_count == 0 && streams == 0);
    return 0;
}
