/* Updates over OSCORE beside plain ones, end to end and in one run: starts the berth-server of $BERTH_BUILD, plays devices
 * that protect with our own library, and prints one JSON line of medians. What the server's process costs is counted,
 * nothing else.
 *
 * usage: oscore_updates [devices [updates]]      default: 1000 100000 */
#include "common/coap/option.h"
#include "common/oscore/protect.h"
#include "tests/bench/http_client.h"

enum { WINDOW = 128, LOCATION_MAX = 16, ROUNDS = 9 };

struct device {
    struct oscore_context context;
    struct oscore_request request; /* under way */
    char location[LOCATION_MAX];
    uint8_t echo[40], echo_len;
    uint16_t mid;
    bool registers, done;
};

struct load {
    struct devices socket;
    struct device *devices;
    size_t count, under_way, finished;
    bool is_protected;
};

static const uint8_t secret[16] = "0123456789abcde";

static void name_of(size_t device, bool is_protected, char name[16]) {
    snprintf(name, 16, "%c%zu", is_protected ? 'o' : 'p', device);
}

static void set_id(size_t device, uint8_t id[3]) {
    for (size_t i = 0; i < 3; i++)
        id[i] = (uint8_t)(device >> (8 * (2 - i)));
}

static void start_context(struct device *d, size_t device) {
    uint8_t id[3];
    set_id(device, id);
    const struct oscore_secrets secrets = {
        .master_secret = slice_of(secret, sizeof secret), .sender_id = slice_of(id, sizeof id), .aead = 10};
    if (!oscore_context_derive(&d->context, &secrets))
        fail("derive");
    d->context.number_limit = OSCORE_NUMBER_END;
}

static void send_request(struct load *load, struct outbox *out, size_t device) {
    struct device *d = &load->devices[device];
    char ep[16], query[24];
    uint8_t token[4] = {(uint8_t)(device >> 24), (uint8_t)(device >> 16), (uint8_t)(device >> 8), (uint8_t)device};
    uint8_t bytes[512], memory_bytes[512];
    struct buffer buffer = buffer_over(bytes, sizeof bytes), memory = buffer_over(memory_bytes, sizeof memory_bytes);
    struct coap_message message, outer;
    struct coap_uint format;
    coap_message_init(&message, COAP_CON, COAP_POST, d->mid++, slice_of(token, sizeof token));
    coap_option_add(&message, COAP_URI_PATH, slice_str("rd"));
    if (d->registers) {
        name_of(device, load->is_protected, ep);
        snprintf(query, sizeof query, "ep=%s", ep);
        coap_option_add_uint(&message, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
        coap_option_add(&message, COAP_URI_QUERY, slice_str(query));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lt=86400"));
        coap_option_add(&message, COAP_URI_QUERY, slice_str("lwm2m=1.1"));
        message.payload = slice_str("</1/0>,</3/0>");
        if (d->echo_len > 0)
            coap_option_add(&message, COAP_ECHO, slice_of(d->echo, d->echo_len));
    } else {
        coap_option_add(&message, COAP_URI_PATH, slice_str(d->location));
    }
    if (load->is_protected &&
        oscore_protect_request(&d->context, SLICE_NONE, &message, &memory, &outer, &d->request) != OSCORE_OK)
        fail("protect");
    if (!coap_encode(load->is_protected ? &outer : &message, &buffer))
        fail("encode");
    post(&load->socket, out, device, buffer_slice(&buffer));
}

static bool open_answer(const struct load *load, const struct device *d, const struct coap_message *outer,
                        struct buffer *memory, struct coap_message *inner) {
    struct oscore_option option;
    struct oscore_response about;
    const struct coap_option *found = coap_option_find(outer, COAP_OSCORE);
    *inner = *outer;
    if (!load->is_protected)
        return true;
    return found != NULL && oscore_option_decode(found->value, &option) &&
           oscore_open_response(&d->context, &d->request, &option, outer, memory, inner, &about) == OSCORE_OK;
}

static void take(void *arg, size_t device, struct slice datagram) {
    struct load *load = arg;
    uint8_t memory_bytes[512];
    struct buffer memory = buffer_over(memory_bytes, sizeof memory_bytes);
    struct coap_message outer, inner;
    if (device >= load->count || coap_decode(datagram, &outer) != COAP_DECODE_OK || outer.code == COAP_EMPTY)
        return;
    struct device *d = &load->devices[device];
    if (!open_answer(load, d, &outer, &memory, &inner))
        fail("an answer does not verify");
    load->under_way--;
    load->finished++;
    d->done = inner.code != COAP_4_01_UNAUTHORIZED;
    if (inner.code == COAP_4_01_UNAUTHORIZED) {
        const struct coap_option *echo = coap_option_find(&inner, COAP_ECHO);
        if (echo == NULL)
            fail("refused");
        d->echo_len = (uint8_t)echo->value.len;
        memcpy(d->echo, echo->value.data, echo->value.len);
    } else if (inner.code == COAP_2_01_CREATED) {
        struct slice id = inner.options[inner.option_count - 1].value;
        snprintf(d->location, sizeof d->location, "%.*s", (int)id.len, (const char *)id.data);
    } else if (inner.code != COAP_2_04_CHANGED) {
        fail("an answer is an error");
    }
}

/* `total` requests, device after device. */
static void run(struct load *load, size_t total) {
    static struct outbox out;
    load->finished = load->under_way = 0;
    for (size_t sent = 0; load->finished < total;) {
        for (size_t n = 0; n < DATAGRAM_BATCH && sent < total && load->under_way < WINDOW;
             n++, sent++, load->under_way++)
            send_request(load, &out, sent % load->count);
        flush(&load->socket, &out);
        if (collect(&load->socket, take, load) == 0)
            wait_readable(load->socket.fd, 1000);
    }
}

static void put_credential(struct http_connection *http, size_t device) {
    char body[256], request[512], name[16];
    uint8_t id[3];
    set_id(device, id);
    name_of(device, true, name);
    int body_len = snprintf(body, sizeof body,
                            "{\"mode\":\"oscore\",\"sender_id_hex\":\"\",\"recipient_id_hex\":\"%02x%02x%02x\","
                            "\"master_secret_hex\":\"30313233343536373839616263646500\"}",
                            id[0], id[1], id[2]);
    int len = snprintf(request, sizeof request,
                       "PUT /v1/credentials/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                       "Content-Length: %d\r\n\r\n%s",
                       name, body_len, body);
    http->len = 0;
    if (write(http->fd, request, (size_t)len) != len)
        fail("write");
    while (!http_answered(http, 201))
        wait_readable(http->fd, 1000);
}

static void begin(struct load *load, uint16_t port, size_t count, bool is_protected) {
    *load = (struct load){.count = count, .is_protected = is_protected, .socket = open_devices(port)};
    load->devices = calloc(count, sizeof *load->devices);
    for (size_t i = 0; i < count; i++) {
        load->devices[i].registers = true;
        start_context(&load->devices[i], i);
    }
    run(load, count); /* OSCORE: challenged */
    if (is_protected)
        run(load, count);
    for (size_t i = 0; i < count; i++)
        load->devices[i].registers = false;
    run(load, count);
}

/* Nanoseconds of the server's CPU for an Update. */
static double measure(struct load *load, pid_t pid, size_t updates) {
    uint64_t cpu = cpu_ns_of(pid);
    run(load, updates);
    return (double)(cpu_ns_of(pid) - cpu) / (double)updates;
}

static void end(struct load *load) {
    close(load->socket.fd);
    free(load->devices);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[ROUNDS]) {
    qsort(values, ROUNDS, sizeof *values, by_size);
    return values[ROUNDS / 2];
}

int main(int argc, char **argv) {
    static struct http_connection http;
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    size_t updates = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
    char data[] = "/tmp/berth-bench-XXXXXX", listen[64], web[64];
    uint16_t port = port_for(getpid());
    uint16_t http_port = (uint16_t)(port + HTTP_PORTS);
    if (mkdtemp(data) == NULL)
        fail("mkdtemp");
    pin(1);
    snprintf(listen, sizeof listen, "coap://127.0.0.1:%u", port);
    snprintf(web, sizeof web, "http://127.0.0.1:%u", http_port);
    pid_t pid = start_and_wait((const char *const[]){"--listen", listen, "--http", web, "--data", data, NULL});
    http_connect(&http, http_port);
    for (size_t i = 0; i < count; i++)
        put_credential(&http, i);
    static struct load plain, protected;
    double plain_ns[ROUNDS], protected_ns[ROUNDS], ratios[ROUNDS];
    begin(&plain, port, count, false);
    begin(&protected, port, count, true);
    for (size_t i = 0; i < ROUNDS; i++) { /* by turns: what else the machine does meets both */
        plain_ns[i] = measure(&plain, pid, updates / ROUNDS);
        protected_ns[i] = measure(&protected, pid, updates / ROUNDS);
        ratios[i] = protected_ns[i] / plain_ns[i];
    }
    end(&plain);
    end(&protected);
    stop_process(pid, SIGTERM);
    printf("{\"bench\":\"oscore_updates\",\"devices\":%zu,\"cpu_us_per_plain_update\":%.2f,"
           "\"cpu_us_per_protected_update\":%.2f,\"protected_to_plain\":%.2f,\"context_bytes\":%zu}\n",
           count, median(plain_ns) / 1000, median(protected_ns) / 1000, median(ratios), sizeof(struct oscore_context));
    remove_directory(data);
    return 0;
}
