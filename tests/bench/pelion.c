/* The Device Management API, end to end: requests to played devices are asked for over HTTP, and their answers come over a
 * WebSocket; and 1,000 WebSocket channels, which are all told of Updates. Prints two JSON lines.
 *
 * usage: pelion [requests] [channels]      default: 100000 1000 */
#include <sys/resource.h>

#include "common/coap/option.h"
#include "tests/bench/http_client.h"

enum { DEVICES = 64, CONNECTIONS = 32, UNDER_WAY = 256, CHANNELS_MAX = 1900, UPDATES = 50 };

struct load {
    struct devices devices;
    struct outbox out;
    size_t registered;
    char location[32]; /* of the device that was registered last: "4Kx9" */
};

static void post_message(struct load *load, size_t index, const struct coap_message *message) {
    uint8_t bytes[DATAGRAM_MAX];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    if (!coap_encode(message, &out))
        fail("encode");
    post(&load->devices, &load->out, index, buffer_slice(&out));
}

/* A Register, or with a location an Update, which says the same in other words. */
static void post_registration(struct load *load, size_t index, uint16_t mid, const char *location, const char *links) {
    struct coap_message message;
    struct coap_uint format;
    char ep[32];
    snprintf(ep, sizeof ep, "ep=bench-%zu", index);
    coap_message_init(&message, COAP_CON, COAP_POST, mid, slice_str("r"));
    coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    if (*location != '\0')
        coap_option_add(&message, COAP_URI_PATH, slice_str(location));
    coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
    if (*location == '\0') {
        coap_option_add(&message, COAP_URI_QUERY, slice_str(ep));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lwm2m=1.1"));
    }
    message.payload = slice_str(links);
    post_message(load, index, &message);
}

static void take(void *arg, size_t index, struct slice datagram) {
    struct load *load = arg;
    struct coap_message message, answer;
    struct coap_uint format;
    if (coap_decode(datagram, &message) != COAP_DECODE_OK)
        return;
    if (message.code == COAP_2_01_CREATED) {
        for (size_t i = 0; i < message.option_count; i++) {
            if (message.options[i].number == COAP_LOCATION_PATH)
                snprintf(load->location, sizeof load->location, "%.*s", (int)message.options[i].value.len,
                         (const char *)message.options[i].value.data);
        }
        load->registered++;
    }
    if (message.code != COAP_GET)
        return;
    coap_message_init(&answer, COAP_ACK, COAP_2_05_CONTENT, message.mid, message.token);
    coap_option_add_uint(&answer, COAP_CONTENT_FORMAT, COAP_FORMAT_TEXT, &format);
    answer.payload = slice_str("95");
    post_message(load, index, &answer);
}

static void play(struct load *load) {
    collect(&load->devices, take, load);
    flush(&load->devices, &load->out);
}

static void register_all(struct load *load, uint16_t port, size_t count) {
    *load = (struct load){.devices = open_devices(port)};
    for (size_t index = 0; index < count; index++) {
        for (size_t tries = 0; load->registered <= index; tries++) {
            if (tries == 1000)
                fail("the server does not answer");
            post_registration(load, index, (uint16_t)index, "", "</3/0>");
            flush(&load->devices, &load->out);
            wait_readable(load->devices.fd, 10);
            play(load);
        }
    }
}

/* ---- the API's client ---- */

static void ask(struct http_connection *http, unsigned key, const char *method, const char *target, const char *json) {
    char request[768];
    int len = snprintf(request, sizeof request,
                       "%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ak_%u\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                       method, target, key, strlen(json), json);
    http->len = 0;
    if (write(http->fd, request, (size_t)len) != len)
        fail("write");
}

static void call(struct http_connection *http, unsigned key, const char *method, const char *target, int expected) {
    ask(http, key, method, target, "");
    while (!http_answered(http, expected))
        wait_readable(http->fd, 1000);
}

/* A channel, of which entries are counted. */
struct channel {
    int fd;
    size_t entries, matched; /* bytes of the mark that have come so far */
};

static struct channel open_channel(struct http_connection *http, uint16_t port, unsigned key) {
    static struct http_connection socket;
    char request[512];
    call(http, key, "PUT", "/v2/notification/websocket", 201);
    http_connect(&socket, port);
    int len = snprintf(request, sizeof request,
                       "GET /v2/notification/websocket-connect HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer ak_%u\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       key);
    if (write(socket.fd, request, (size_t)len) != len)
        fail("write");
    while (!http_answered(&socket, 101))
        wait_readable(socket.fd, 1000);
    return (struct channel){.fd = socket.fd};
}

/* Count how often `mark` comes; it begins with a character that comes nowhere else in it. */
static void hear(struct channel *channel, const char *mark) {
    static char bytes[1 << 16];
    size_t size = strlen(mark);
    ssize_t got;
    while ((got = read(channel->fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            channel->matched = bytes[i] == mark[channel->matched] ? channel->matched + 1 : bytes[i] == mark[0];
            if (channel->matched == size) {
                channel->matched = 0;
                channel->entries++;
            }
        }
    }
    if (got == 0 || errno != EAGAIN)
        fail("a channel has ended");
}

/* Ids of devices, as the list of endpoints has them; of answers too long for one buffer, the first ones. */
static size_t read_ids(struct http_connection *http, char ids[DEVICES][33]) {
    static const char mark[] = "\"name\":\"";
    size_t count = 0;
    call(http, 0, "GET", "/v2/endpoints", 200);
    for (const char *at = http->answer; count < DEVICES && (at = strstr(at, mark)) != NULL; count++) {
        at += sizeof mark - 1;
        memcpy(ids[count], at, 32);
        ids[count][32] = '\0';
    }
    return count;
}

struct served {
    pid_t server;
    uint16_t http_port;
    char data[32];
};

static struct served serve(struct load *load, size_t devices, const char *connections) {
    uint16_t port = port_for(getpid());
    struct served served = {.http_port = (uint16_t)(port + HTTP_PORTS), .data = "/tmp/berth-bench-XXXXXX"};
    char uri[64], listen[64];
    if (mkdtemp(served.data) == NULL)
        fail("mkdtemp");
    snprintf(uri, sizeof uri, "http://127.0.0.1:%u", served.http_port);
    snprintf(listen, sizeof listen, "coap://127.0.0.1:%u", port);
    served.server = start_and_wait((const char *const[]){"--listen", listen, "--http", uri, "--data", served.data,
                                                         "--http-max-connections", connections, NULL});
    register_all(load, port, devices);
    return served;
}

static void end(const struct served *served, struct load *load) {
    close(load->devices.fd);
    stop_process(served->server, SIGTERM);
    remove_directory(served->data);
}

/* ---- requests ---- */

static void ask_device(struct http_connection *http, char ids[DEVICES][33], size_t number) {
    char target[128];
    snprintf(target, sizeof target, "/v2/device-requests/%s?async-id=r%zu", ids[number % DEVICES], number);
    ask(http, 0, "POST", target, "{\"method\":\"GET\",\"uri\":\"/3/0/9\"}");
}

static void bench_requests(size_t total) {
    static struct load load;
    static struct http_connection http[CONNECTIONS];
    static char ids[DEVICES][33];
    struct pollfd fds[CONNECTIONS + 2];
    bool is_free[CONNECTIONS];
    struct served served = serve(&load, DEVICES, "100");
    for (size_t i = 0; i < CONNECTIONS; i++) {
        http_connect(&http[i], served.http_port);
        fds[i] = (struct pollfd){http[i].fd, POLLIN, 0};
        is_free[i] = true;
    }
    if (read_ids(&http[0], ids) < DEVICES)
        fail("devices are missing");
    struct channel channel = open_channel(&http[0], served.http_port, 0);
    fds[CONNECTIONS] = (struct pollfd){load.devices.fd, POLLIN, 0};
    fds[CONNECTIONS + 1] = (struct pollfd){channel.fd, POLLIN, 0};
    uint64_t start = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns_of(served.server);
    for (size_t asked = 0; channel.entries < total;) {
        for (size_t i = 0; i < CONNECTIONS && asked < total && asked - channel.entries < UNDER_WAY; i++) {
            if (is_free[i])
                ask_device(&http[i], ids, asked++);
            is_free[i] = false;
        }
        poll(fds, CONNECTIONS + 2, 1000);
        if (fds[CONNECTIONS].revents != 0)
            play(&load);
        if (fds[CONNECTIONS + 1].revents != 0)
            hear(&channel, "\"status\":200");
        for (size_t i = 0; i < CONNECTIONS; i++)
            is_free[i] = is_free[i] || (fds[i].revents != 0 && http_answered(&http[i], 202));
    }
    double seconds = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
    double cpu_us = (double)(cpu_ns_of(served.server) - cpu) / 1e3 / (double)total;
    for (size_t i = 0; i < CONNECTIONS; i++)
        close(http[i].fd);
    close(channel.fd);
    end(&served, &load);
    printf("{\"bench\":\"pelion_requests\",\"requests\":%zu,\"per_s\":%.0f,\"cpu_us\":%.2f}\n", total,
           (double)total / seconds, cpu_us);
}

/* ---- channels ---- */

static void hear_all(struct load *load, struct channel *channels, struct pollfd *fds, size_t count, size_t entries) {
    for (size_t done = 0; done < count;) {
        poll(fds, count + 1, 1000);
        if (fds[count].revents != 0)
            play(load);
        done = 0;
        for (size_t i = 0; i < count; i++) {
            if (fds[i].revents != 0)
                hear(&channels[i], "\"original-ep\"");
            done += channels[i].entries >= entries;
        }
    }
}

static void bench_channels(size_t count) {
    static struct load load;
    static struct http_connection http;
    static struct channel channels[CHANNELS_MAX];
    static struct pollfd fds[CHANNELS_MAX + 1];
    char connections[16];
    snprintf(connections, sizeof connections, "%zu", count + 50);
    struct served served = serve(&load, 1, connections);
    http_connect(&http, served.http_port);
    size_t before = resident_bytes_of(served.server);
    uint64_t start = now_ns(CLOCK_MONOTONIC), cpu;
    for (size_t i = 0; i < count; i++) {
        channels[i] = open_channel(&http, served.http_port, (unsigned)i);
        fds[i] = (struct pollfd){channels[i].fd, POLLIN, 0};
    }
    fds[count] = (struct pollfd){load.devices.fd, POLLIN, 0};
    double opening = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
    size_t bytes = (resident_bytes_of(served.server) - before) / count;
    /* The first one ends the pause behind the handshakes. */
    for (size_t update = 0; update <= UPDATES; update++) {
        if (update == 1) {
            start = now_ns(CLOCK_MONOTONIC);
            cpu = cpu_ns_of(served.server);
        }
        post_registration(&load, 0, (uint16_t)(1000 + update), load.location,
                          update % 2 == 0 ? "</3/0>,</4/0>" : "</3/0>");
        flush(&load.devices, &load.out);
        hear_all(&load, channels, fds, count, update + 1);
    }
    double seconds = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9, told = (double)(UPDATES * count);
    double cpu_us = (double)(cpu_ns_of(served.server) - cpu) / 1e3 / told;
    for (size_t i = 0; i < count; i++)
        close(channels[i].fd);
    close(http.fd);
    end(&served, &load);
    printf("{\"bench\":\"pelion_channels\",\"channels\":%zu,\"opened_per_s\":%.0f,\"bytes_per_channel\":%zu,"
           "\"messages_per_s\":%.0f,\"ms_for_all\":%.2f,\"cpu_us\":%.2f}\n",
           count, (double)count / opening, bytes, told / seconds, seconds * 1e3 / UPDATES, cpu_us);
}

int main(int argc, char **argv) {
    size_t requests = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    size_t channels = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    pin(1);
    if (requests > 0)
        bench_requests(requests);
    if (channels > 0 && channels <= CHANNELS_MAX)
        bench_channels(channels);
    return 0;
}
