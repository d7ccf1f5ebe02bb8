#include "common/net/tcp.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    READ_BYTES = 65536,
    PARTS_MAX = 4,
    SWEEP_MS = 500,
    LINGER_MS = 1000, /* after our end of stream */
    STALL_MS = 60000, /* output that doesn't move for so long never will */
};

struct tcp_port {
    uv_tcp_t listener;
    uv_timer_t sweeper; /* runs while there are connections */
    const struct tcp_handlers *handlers;
    void *arg;
    struct tcp_connection *connections;
    struct address address;
    unsigned open_handles; /* its own and its connections', until their close callbacks */
    bool closing, has_listener;
    bool must_turn_away; /* a connection waits until `spare` has closed */
    bool spare_is_used;
    const struct address *adopted; /* peer and local address, while a connection is taken over */
    uv_tcp_t spare;                /* takes a connection when there is no memory for another handle */
    char read_buffer[READ_BYTES];
};

/* What a socket did not take at once. */
struct queued_write {
    uv_write_t request; /* first member */
    char bytes[];
};

static uv_stream_t *stream_of(struct tcp_connection *connection) {
    return (uv_stream_t *)&connection->handle;
}

/* ---- the end ---- */

static void port_handle_closed(struct tcp_port *port) {
    if (--port->open_handles > 0)
        return;
    port->handlers->port_closed(port->arg);
    free(port);
}

static void connection_closed(uv_handle_t *handle) {
    struct tcp_connection *connection = handle->data;
    struct tcp_port *port = connection->port;
    port->handlers->closed(connection);
    port_handle_closed(port);
}

void tcp_close(struct tcp_connection *connection) {
    struct tcp_port *port = connection->port;
    if (connection->closing)
        return;
    connection->closing = true;
    *connection->link = connection->next;
    if (connection->next != NULL)
        connection->next->link = connection->link;
    if (port->connections == NULL && !port->closing)
        uv_timer_stop(&port->sweeper);
    uv_close((uv_handle_t *)&connection->handle, connection_closed);
}

void tcp_reset(struct tcp_connection *connection) {
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int fd;
    if (!connection->closing && uv_fileno((uv_handle_t *)&connection->handle, &fd) == 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    tcp_close(connection);
}

/* ---- input ---- */

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    struct tcp_connection *connection = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(connection->port->read_buffer, READ_BYTES);
}

/* It has failed. */
static void close_with(struct tcp_connection *connection, int error) {
    if (connection->error == 0)
        connection->error = error;
    tcp_close(connection);
}

static void peer_ended(struct tcp_connection *connection) {
    tcp_set_reading(connection, false);
    connection->peer_ended = true;
    if (!connection->finishing)
        connection->port->handlers->ended(connection);
    else if (connection->shut_down)
        tcp_close(connection);
    if (connection->output_ended && connection->shut_down)
        tcp_close(connection);
}

static void bytes_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer) {
    struct tcp_connection *connection = stream->data;
    if (len == UV_EOF)
        peer_ended(connection);
    else if (len < 0)
        close_with(connection, (int)len);
    else if (len > 0 && !connection->finishing)
        connection->port->handlers->received(connection, slice_of(buffer->base, (size_t)len));
}

void tcp_set_reading(struct tcp_connection *connection, bool reading) {
    if (connection->closing || connection->connecting || connection->peer_ended || connection->reading == reading)
        return;
    connection->reading = reading;
    int error = 0;
    if (!reading)
        uv_read_stop(stream_of(connection));
    else
        error = uv_read_start(stream_of(connection), lend_buffer, bytes_read);
    if (error != 0)
        close_with(connection, error);
}

/* ---- output ---- */

size_t tcp_queued(const struct tcp_connection *connection) {
    return connection->handle.write_queue_size;
}

static void written(uv_write_t *request, int status) {
    struct tcp_connection *connection = request->handle->data;
    free((struct queued_write *)(void *)request);
    const struct tcp_handlers *handlers = connection->port->handlers;
    if (status < 0)
        close_with(connection, status);
    else if (handlers->drained != NULL && !connection->closing && !connection->finishing && tcp_queued(connection) == 0)
        handlers->drained(connection);
}

/* Queue what is left of the parts after their first `skip` bytes. */
static int queue_rest(struct tcp_connection *connection, const struct slice *parts, size_t count, size_t skip,
                      size_t total) {
    struct queued_write *write = malloc(sizeof *write + total - skip);
    if (write == NULL)
        return UV_ENOMEM;
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        size_t skipped = skip < parts[i].len ? skip : parts[i].len;
        if (parts[i].len > skipped)
            memcpy(write->bytes + len, parts[i].data + skipped, parts[i].len - skipped);
        len += parts[i].len - skipped;
        skip -= skipped;
    }
    uv_buf_t buffer = uv_buf_init(write->bytes, (unsigned)len);
    int error = uv_write(&write->request, stream_of(connection), &buffer, 1, written);
    if (error != 0)
        free(write);
    return error;
}

/* Bytes that the socket took, or a negative error. */
static int try_write(struct tcp_connection *connection, const struct slice *parts, size_t count) {
    uv_buf_t buffers[PARTS_MAX] = {{.base = NULL}}; /* the compiler does not see that uv reads `count` of them */
    for (size_t i = 0; i < count; i++)
        buffers[i] = uv_buf_init((char *)(uintptr_t)parts[i].data, (unsigned)parts[i].len);
    int result = uv_try_write(stream_of(connection), buffers, (unsigned)count);
    return result == UV_EAGAIN ? 0 : result;
}

void tcp_write(struct tcp_connection *connection, const struct slice *parts, size_t count) {
    if (connection->closing || connection->finishing || count > PARTS_MAX)
        return;
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += parts[i].len;

    int taken = tcp_queued(connection) == 0 ? try_write(connection, parts, count) : 0;
    if (taken < 0) {
        close_with(connection, taken);
        return;
    }
    if ((size_t)taken == total)
        return;
    if (taken > 0 || tcp_queued(connection) == 0)
        connection->progress_ms = uv_now(connection->handle.loop);
    int error = queue_rest(connection, parts, count, (size_t)taken, total);
    if (error != 0)
        close_with(connection, error);
}

static void shut_down(uv_shutdown_t *request, int status) {
    struct tcp_connection *connection = request->handle->data;
    free(request);
    if (connection->closing)
        return;
    connection->shut_down = true;
    connection->progress_ms = uv_now(connection->handle.loop);
    if (status < 0 || connection->peer_ended)
        tcp_close(connection);
}

void tcp_end_output(struct tcp_connection *connection) {
    if (connection->closing || connection->finishing || connection->output_ended)
        return;
    uv_shutdown_t *request = malloc(sizeof *request);
    connection->output_ended = true;
    if (request == NULL || uv_shutdown(request, stream_of(connection), shut_down) != 0) {
        free(request);
        tcp_close(connection);
    }
}

void tcp_finish(struct tcp_connection *connection) {
    if (connection->closing || connection->finishing)
        return;
    uv_shutdown_t *request = malloc(sizeof *request);
    if (request == NULL || uv_shutdown(request, stream_of(connection), shut_down) != 0) {
        free(request);
        tcp_close(connection);
        return;
    }
    connection->finishing = true;
    tcp_set_reading(connection, true); /* to see the peer's end; what else comes is dropped */
}

/* ---- the port ---- */

static void sweep_connection(struct tcp_connection *connection, uint64_t now_ms) {
    size_t queued = tcp_queued(connection);
    if (queued != connection->seen_queued) {
        connection->seen_queued = queued;
        connection->progress_ms = now_ms;
    }
    uint64_t still_ms = now_ms - connection->progress_ms;
    const struct tcp_handlers *handlers = connection->port->handlers;
    if (queued > 0 && still_ms > STALL_MS)
        close_with(connection, UV_ETIMEDOUT);
    else if (connection->finishing && connection->shut_down && still_ms > LINGER_MS)
        tcp_close(connection);
    else if (handlers->swept != NULL && !connection->finishing)
        handlers->swept(connection, now_ms);
}

static void sweep(uv_timer_t *timer) {
    struct tcp_port *port = timer->data;
    uint64_t now_ms = uv_now(timer->loop);
    struct tcp_connection *next;
    for (struct tcp_connection *connection = port->connections; connection != NULL; connection = next) {
        next = connection->next; /* the handler may close this one, and no other */
        sweep_connection(connection, now_ms);
    }
}

/* Take a connection only to close it: left in the backlog it would wake the loop for ever. */
static void turn_away_closed(uv_handle_t *handle) {
    struct tcp_port *port = handle->data;
    free(handle);
    port_handle_closed(port);
}

static void take_to_close(struct tcp_port *port, uv_tcp_t *handle, uv_close_cb closed) {
    uv_tcp_init(port->listener.loop, handle);
    handle->data = port;
    port->open_handles++;
    uv_accept((uv_stream_t *)&port->listener, (uv_stream_t *)handle);
    uv_close((uv_handle_t *)handle, closed);
}

static void spare_closed(uv_handle_t *handle) {
    struct tcp_port *port = handle->data;
    port->spare_is_used = false;
    if (port->must_turn_away && !port->closing) {
        port->must_turn_away = false;
        port->spare_is_used = true;
        take_to_close(port, &port->spare, spare_closed);
    }
    port_handle_closed(port);
}

/* libuv listens no more until the connection is taken: that may not depend on memory. */
static void turn_away(struct tcp_port *port) {
    uv_tcp_t *handle = malloc(sizeof *handle);
    if (handle != NULL) {
        take_to_close(port, handle, turn_away_closed);
    } else if (port->spare_is_used) {
        port->must_turn_away = true;
    } else {
        port->spare_is_used = true;
        take_to_close(port, &port->spare, spare_closed);
    }
}

static void add_connection(struct tcp_port *port, struct tcp_connection *connection) {
    connection->port = port;
    uv_tcp_init(port->sweeper.loop, &connection->handle);
    connection->handle.data = connection;
    port->open_handles++;
    connection->next = port->connections;
    connection->link = &port->connections;
    if (connection->next != NULL)
        connection->next->link = &connection->next;
    else
        uv_timer_start(&port->sweeper, sweep, SWEEP_MS, SWEEP_MS);
    port->connections = connection;
}

static void set_patience(struct tcp_connection *connection) {
    const struct tcp_patience *patience = &connection->port->handlers->patience;
    int fd, interval = (int)patience->keepalive_interval_s, count = (int)patience->keepalive_count;
    unsigned unacknowledged_ms = patience->unacknowledged_ms;
    uv_tcp_nodelay(&connection->handle, 1);
    if (patience->keepalive_s > 0)
        uv_tcp_keepalive(&connection->handle, 1, patience->keepalive_s);
    if (uv_fileno((uv_handle_t *)&connection->handle, &fd) != 0)
        return;
    if (interval > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    if (count > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    if (unacknowledged_ms > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

static void accept_connection(uv_stream_t *listener, int status) {
    struct tcp_port *port = listener->data;
    if (status < 0)
        return;
    struct tcp_connection *connection = port->handlers->open(port->arg);
    if (connection == NULL) {
        turn_away(port);
        return;
    }
    add_connection(port, connection);
    int error = uv_accept(listener, stream_of(connection));
    if (error != 0) {
        close_with(connection, error);
        return;
    }
    set_patience(connection);
    tcp_set_reading(connection, true);
    port->handlers->opened(connection);
}

/* The socket is ours from now on, whatever becomes of it. */
static bool open_adopted(struct tcp_port *port, struct tcp_connection *connection, int fd) {
    add_connection(port, connection);
    int error = uv_tcp_open(&connection->handle, fd);
    if (error == 0)
        return true;
    close(fd);
    close_with(connection, error);
    return false;
}

bool tcp_adopt(struct tcp_port *port, int fd, const struct address *peer, const struct address *local,
               struct slice ahead) {
    const struct address adopted[] = {*peer, *local};
    struct tcp_connection *connection = port->closing ? NULL : port->handlers->open(port->arg);
    if (connection == NULL) {
        close(fd);
        return false;
    }
    if (!open_adopted(port, connection, fd))
        return false;
    set_patience(connection);
    tcp_set_reading(connection, true);
    port->adopted = adopted;
    port->handlers->opened(connection);
    port->adopted = NULL;
    if (ahead.len > 0 && !connection->closing)
        port->handlers->received(connection, ahead);
    return true;
}

int tcp_hand_over(struct tcp_connection *connection) {
    int fd, copy = -1;
    tcp_set_reading(connection, false);
    if (!connection->closing && uv_fileno((uv_handle_t *)&connection->handle, &fd) == 0)
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    tcp_close(connection);
    return copy;
}

void tcp_read_addresses(const struct tcp_connection *connection, struct address *peer, struct address *local) {
    struct sockaddr_storage name;
    int len = sizeof name;
    if (connection->port->adopted != NULL) {
        *peer = connection->port->adopted[0];
        *local = connection->port->adopted[1];
        return;
    }
    *peer = *local = (struct address){0};
    if (uv_tcp_getpeername(&connection->handle, (struct sockaddr *)&name, &len) == 0)
        address_from_sockaddr(peer, (struct sockaddr *)&name);
    len = sizeof name;
    if (uv_tcp_getsockname(&connection->handle, (struct sockaddr *)&name, &len) == 0)
        address_from_sockaddr(local, (struct sockaddr *)&name);
}

static void connected(uv_connect_t *request, int status) {
    struct tcp_connection *connection = request->handle->data;
    free(request);
    if (connection->closing)
        return;
    connection->connecting = false;
    if (status < 0) {
        close_with(connection, status);
        return;
    }
    set_patience(connection);
    tcp_set_reading(connection, true);
    connection->port->handlers->opened(connection);
}

int tcp_connect(struct tcp_port *port, const struct address *peer) {
    struct sockaddr_storage name;
    uv_connect_t *request = malloc(sizeof *request);
    struct tcp_connection *connection = request == NULL ? NULL : port->handlers->open(port->arg);
    if (connection == NULL) {
        free(request);
        return UV_ENOMEM;
    }
    add_connection(port, connection);
    connection->connecting = true;
    address_to_sockaddr(peer, peer->family == ADDRESS_IPV4 ? AF_INET : AF_INET6, &name);
    int error = uv_tcp_connect(request, &connection->handle, (struct sockaddr *)&name, connected);
    if (error != 0) {
        free(request);
        close_with(connection, error);
    }
    return error;
}

static void port_closed(uv_handle_t *handle) {
    port_handle_closed(handle->data);
}

void tcp_port_close(struct tcp_port *port) {
    port->closing = true;
    while (port->connections != NULL)
        tcp_close(port->connections);
    if (port->has_listener)
        uv_close((uv_handle_t *)&port->listener, port_closed);
    uv_close((uv_handle_t *)&port->sweeper, port_closed);
}

static int bind_and_listen(struct tcp_port *port, const struct address *address) {
    struct sockaddr_storage name;
    address_to_sockaddr(address, address->family == ADDRESS_IPV4 ? AF_INET : AF_INET6, &name);
    int error = uv_tcp_bind(&port->listener, (struct sockaddr *)&name, 0);
    if (error == 0)
        error = uv_listen((uv_stream_t *)&port->listener, BACKLOG, accept_connection);
    int len = sizeof name;
    if (error == 0)
        error = uv_tcp_getsockname(&port->listener, (struct sockaddr *)&name, &len);
    if (error == 0)
        address_from_sockaddr(&port->address, (struct sockaddr *)&name);
    return error;
}

static void never_used_closed(void *arg) {
    (void)arg;
}

struct tcp_port *tcp_port_new(uv_loop_t *loop, const struct tcp_handlers *handlers, void *arg) {
    struct tcp_port *port = calloc(1, sizeof *port);
    if (port == NULL)
        return NULL;
    port->handlers = handlers;
    port->arg = arg;
    port->open_handles = 1;
    uv_timer_init(loop, &port->sweeper);
    port->sweeper.data = port;
    return port;
}

struct tcp_port *tcp_listen(uv_loop_t *loop, const struct address *address, const struct tcp_handlers *handlers,
                            void *arg, char *error, size_t error_size) {
    static const struct tcp_handlers no_handlers = {.port_closed = never_used_closed};
    struct tcp_port *port = tcp_port_new(loop, handlers, arg);
    if (port == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    port->open_handles++;
    port->has_listener = true;
    uv_tcp_init(loop, &port->listener);
    port->listener.data = port;
    int failed = bind_and_listen(port, address);
    if (failed != 0) {
        uint8_t text[ADDRESS_TEXT_MAX];
        struct buffer where = buffer_over(text, sizeof text);
        address_put(&where, address);
        snprintf(error, error_size, "can't listen on %.*s (TCP): %s", (int)where.len, (char *)text,
                 uv_strerror(failed));
        port->handlers = &no_handlers;
        tcp_port_close(port);
        return NULL;
    }
    return port;
}

struct address tcp_port_address(const struct tcp_port *port) {
    return port->address;
}

void tcp_port_unref(struct tcp_port *port) {
    uv_unref((uv_handle_t *)&port->listener);
}

struct tcp_connection *tcp_port_connections(const struct tcp_port *port) {
    return port->connections;
}
