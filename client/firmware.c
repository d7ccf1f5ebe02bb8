#include "client/firmware.h"

#include <stdio.h>

#include "client/device.h"
#include "client/transport.h"
#include "common/base/text.h"
#include "common/coap/block.h"

enum {
    RETRY_FIRST_MS = 1000,
    RETRY_LAST_MS = 30000,
    FAILURES_MAX = 8,
    RESTARTS_MAX = 3,
    MAX_AGE_MAX_S = 3600,
    MAX_AGE_DEFAULT_S = 60, /* RFC 7252 §5.10.5 */
    TLV_HEAD_MAX = 6,
};

static void fetch_block(struct firmware *firmware);

/* ---- the package ---- */

static void begin_package(struct firmware_package *package) {
    mbedtls_sha256_free(&package->hash);
    mbedtls_sha256_init(&package->hash);
    mbedtls_sha256_starts(&package->hash, 0);
    package->len = 0;
    memset(package->title, 0, sizeof package->title);
}

static enum firmware_result add_to_package(struct firmware *firmware, struct slice bytes) {
    struct firmware_package *package = &firmware->package;
    int fault = firmware->device->options->firmware_fault;
    if (fault == FIRMWARE_NO_STORAGE || fault == FIRMWARE_NO_MEMORY)
        return (enum firmware_result)fault;
    if (bytes.len > FIRMWARE_PACKAGE_MAX - package->len)
        return FIRMWARE_NO_STORAGE;
    if (package->len < sizeof package->title && bytes.len > 0) {
        size_t room = sizeof package->title - package->len;
        memcpy(package->title + package->len, bytes.data, bytes.len < room ? bytes.len : room);
    }
    mbedtls_sha256_update(&package->hash, bytes.data, bytes.len);
    package->len += bytes.len;
    return FIRMWARE_INITIAL;
}

static enum firmware_result finish_package(struct firmware *firmware) {
    struct device *device = firmware->device;
    struct firmware_package *package = &firmware->package;
    int fault = device->options->firmware_fault;
    uint8_t memory[2 * FIRMWARE_DIGEST_LEN + 1];
    struct buffer text = buffer_over(memory, sizeof memory - 1);
    mbedtls_sha256_finish(&package->hash, package->digest);
    if (fault == FIRMWARE_INTEGRITY || fault == FIRMWARE_PACKAGE_TYPE)
        return (enum firmware_result)fault;
    text_put_hex(&text, slice_of(package->digest, sizeof package->digest));
    memory[text.len] = '\0';
    report_text(&device->report, "package", slice_str("Package"), (const char *)memory);
    firmware_object_finish(device, package);
    return FIRMWARE_INITIAL;
}

void firmware_init(struct firmware *firmware, struct device *device) {
    *firmware = (struct firmware){.device = device};
    mbedtls_sha256_init(&firmware->package.hash);
}

static void stop_transfer(struct firmware *firmware) {
    timer_cancel(&firmware->device->wheel, &firmware->retry);
    if (firmware->call != NULL)
        coap_call_cancel(firmware->call);
    firmware->call = NULL;
    if (firmware->link != NULL)
        link_unref(firmware->link);
    firmware->link = NULL;
    firmware->is_open = false;
}

void firmware_stop(struct firmware *firmware) {
    timer_cancel(&firmware->device->wheel, &firmware->install);
    stop_transfer(firmware);
}

void firmware_interrupt(struct firmware *firmware) {
    bool is_coming = firmware->is_open || firmware->call != NULL || timer_is_scheduled(&firmware->retry);
    stop_transfer(firmware);
    if (is_coming)
        firmware_object_fail(firmware->device, FIRMWARE_CONNECTION_LOST);
}

void firmware_free(struct firmware *firmware) {
    firmware_stop(firmware);
    mbedtls_sha256_free(&firmware->package.hash);
}

static void fail(struct firmware *firmware, enum firmware_result result) {
    firmware_stop(firmware);
    firmware_object_fail(firmware->device, result);
}

/* ---- push ---- */

static bool is_package_path(const struct coap_message *message) {
    static const char *const path[] = {"5", "0", "0"};
    size_t at = 0;
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number != COAP_URI_PATH)
            continue;
        if (at == 3 || !slice_is(message->options[i].value, path[at]))
            return false;
        at++;
    }
    return at == 3;
}

/* What comes in one block, or in other formats, is decoded as any other write. */
bool firmware_takes_blocks(void *device, const struct coap_message *message) {
    int format = coap_content_format(message);
    struct coap_block block;
    bool is_part = coap_block_get(message, COAP_BLOCK1, &block) && (block.num > 0 || block.more);
    return is_part && device_object(device, firmware_kind.id) != NULL && message->code == COAP_PUT &&
           is_package_path(message) && coap_option_find(message, COAP_URI_QUERY) == NULL &&
           (format == COAP_FORMAT_OPAQUE || format == COAP_FORMAT_TLV);
}

bool firmware_is_block(struct device *device, const struct coap_request *request) {
    return firmware_takes_blocks(device, request->message);
}

/* The header of a resource with the id 0 (Core 1.2 §7.5.3.1), which is before its value. False: it is something else. */
static bool drop_tlv_head(struct slice *bytes) {
    size_t len = bytes->len == 0 ? 0 : 2 + (bytes->data[0] >> 3 & 3);
    if (len == 0 || bytes->len < len || (bytes->data[0] & 0xe0) != 0xc0 || bytes->data[1] != 0)
        return false;
    *bytes = slice_from(*bytes, len);
    return true;
}

static void respond(const struct firmware *firmware, const struct coap_request *request, uint8_t code,
                    const char *diagnostic) {
    if (code != COAP_2_31_CONTINUE)
        report_request(&firmware->device->report, COAP_PUT, slice_str("/5/0/0"), code);
    coap_respond_code(request->endpoint, request->exchange, code, diagnostic);
}

/* Whether the block is the next one, and *again when it is the one before. */
static bool is_next(const struct firmware *firmware, const struct coap_block *block, size_t len, bool *again) {
    uint64_t offset = (uint64_t)block->num * coap_block_size(block->szx);
    *again = firmware->is_open && block->more && offset + len == firmware->received && len == firmware->last_len;
    return firmware->is_open && offset == firmware->received;
}

void firmware_take_block(struct firmware *firmware, const struct coap_request *request) {
    struct coap_block block = {.num = 0};
    struct slice bytes = request->body;
    bool again = false;
    coap_block_get(request->message, COAP_BLOCK1, &block);
    if (block.num == 0) {
        firmware_stop(firmware);
        if (!firmware_object_begin(firmware->device)) {
            respond(firmware, request, COAP_4_05_METHOD_NOT_ALLOWED, "an update is under way");
            return;
        }
        begin_package(&firmware->package);
        firmware->is_open = true;
        firmware->received = 0;
        firmware->is_tlv = coap_content_format(request->message) == COAP_FORMAT_TLV;
    } else if (!is_next(firmware, &block, bytes.len, &again)) {
        respond(firmware, request, again ? COAP_2_31_CONTINUE : COAP_4_08_REQUEST_ENTITY_INCOMPLETE,
                again ? NULL : "a block is missing: start again with block 0");
        return;
    }
    firmware->received += bytes.len;
    firmware->last_len = bytes.len;
    if (block.num == 0 && firmware->is_tlv && !drop_tlv_head(&bytes)) {
        fail(firmware, FIRMWARE_PACKAGE_TYPE);
        respond(firmware, request, COAP_4_00_BAD_REQUEST, "the TLV is not that of a package");
        return;
    }
    enum firmware_result result = add_to_package(firmware, bytes);
    if (result != FIRMWARE_INITIAL) {
        fail(firmware, result);
        respond(firmware, request, COAP_4_13_REQUEST_ENTITY_TOO_LARGE, "there is no room for it");
        return;
    }
    if (block.more) {
        respond(firmware, request, COAP_2_31_CONTINUE, NULL);
        return;
    }
    firmware->is_open = false;
    result = finish_package(firmware);
    if (result != FIRMWARE_INITIAL)
        fail(firmware, result);
    respond(firmware, request, COAP_2_04_CHANGED, NULL);
}

void firmware_take_whole(struct firmware *firmware, struct slice package) {
    firmware_stop(firmware);
    begin_package(&firmware->package);
    enum firmware_result result = add_to_package(firmware, package);
    if (result == FIRMWARE_INITIAL)
        result = finish_package(firmware);
    if (result != FIRMWARE_INITIAL)
        fail(firmware, result);
}

/* ---- pull ---- */

int firmware_own_protocol(const struct device *device) {
    const struct transport *transport = device->destination.transport;
    switch ((transport == NULL ? device->options->transport : transport)->link) {
    case LINK_UDP:
        return 0;
    case LINK_DTLS:
        return 1;
    case LINK_TCP:
        return 4;
    case LINK_TLS:
        return 5;
    }
    return 0;
}

static void on_retry(struct timer *timer, void *arg) {
    (void)arg;
    fetch_block(TIMER_OWNER(timer, struct firmware, retry));
}

static void retry_after(struct firmware *firmware, uint64_t wait_ms) {
    struct device *device = firmware->device;
    timer_schedule(&device->wheel, &firmware->retry, clock_now_ms(&device->clock) + wait_ms, on_retry);
}

/* There was no answer. */
static void try_again(struct firmware *firmware) {
    uint64_t wait_ms = (uint64_t)RETRY_FIRST_MS << firmware->failures;
    firmware->failures++;
    if (firmware->failures > FAILURES_MAX || firmware->device->options->firmware_fault == FIRMWARE_CONNECTION_LOST)
        fail(firmware, FIRMWARE_CONNECTION_LOST);
    else
        retry_after(firmware, wait_ms > RETRY_LAST_MS ? RETRY_LAST_MS : wait_ms);
}

static void begin_again(struct firmware *firmware) {
    begin_package(&firmware->package);
    firmware->etag_len = 0;
    firmware->expected = 0;
    if (++firmware->restarts > RESTARTS_MAX)
        fail(firmware, FIRMWARE_CONNECTION_LOST);
    else
        fetch_block(firmware);
}

/* Blocks of another representation are not mixed with those that have come. */
static bool is_same(struct firmware *firmware, const struct coap_message *message) {
    const struct coap_option *etag = coap_option_find(message, COAP_ETAG);
    struct slice value = etag == NULL ? SLICE_NONE : etag->value;
    if (firmware->package.len == 0) {
        firmware->etag_len = (uint8_t)value.len;
        if (value.len > 0)
            memcpy(firmware->etag, value.data, value.len);
    }
    return slice_equal(value, slice_of(firmware->etag, firmware->etag_len));
}

static void take_fetched(struct firmware *firmware, const struct coap_reply *reply) {
    struct coap_block block = {.num = 0};
    bool has_block = coap_block_get(reply->message, COAP_BLOCK2, &block);
    if (!is_same(firmware, reply->message) ||
        (uint64_t)block.num * coap_block_size(block.szx) != firmware->package.len) {
        begin_again(firmware);
        return;
    }
    firmware->failures = 0;
    firmware->szx = block.szx;
    firmware->has_szx = has_block;
    coap_option_uint(reply->message, COAP_SIZE2, &firmware->expected);
    enum firmware_result result = add_to_package(firmware, reply->body);
    if (result == FIRMWARE_INITIAL && has_block && block.more) {
        if (firmware->device->options->firmware_fault == FIRMWARE_CONNECTION_LOST)
            fail(firmware, FIRMWARE_CONNECTION_LOST);
        else
            fetch_block(firmware);
        return;
    }
    if (result == FIRMWARE_INITIAL && firmware->expected != 0 && firmware->package.len != firmware->expected)
        result = FIRMWARE_INTEGRITY;
    if (result == FIRMWARE_INITIAL)
        result = finish_package(firmware);
    if (result != FIRMWARE_INITIAL)
        fail(firmware, result);
}

static void on_fetched(void *arg, const struct coap_reply *reply) {
    struct firmware *firmware = arg;
    uint32_t seconds = MAX_AGE_DEFAULT_S;
    firmware->call = NULL;
    clock_update(&firmware->device->clock);
    if (reply->result != COAP_CALL_REPLY) {
        try_again(firmware);
        return;
    }
    switch (reply->message->code) {
    case COAP_2_05_CONTENT:
        take_fetched(firmware, reply);
        return;
    case COAP_5_03_SERVICE_UNAVAILABLE:
        coap_option_uint(reply->message, COAP_MAX_AGE, &seconds);
        if (++firmware->failures > FAILURES_MAX)
            fail(firmware, FIRMWARE_CONNECTION_LOST);
        else
            retry_after(firmware, (uint64_t)(seconds > MAX_AGE_MAX_S ? MAX_AGE_MAX_S : seconds) * 1000);
        return;
    default:
        fail(firmware, FIRMWARE_INVALID_URI);
        return;
    }
}

static void add_parts(struct coap_message *message, uint16_t number, struct slice text, char separator) {
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, separator, text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data);
        coap_option_add(message, number, slice_of(text.data, len));
        text = slice_from(text, len + 1);
    }
}

static void fetch_block(struct firmware *firmware) {
    struct device *device = firmware->device;
    struct coap_message message;
    struct coap_uint scratch;
    uint8_t own = device->options->coap.block_szx;
    struct coap_block block = {.szx = firmware->has_szx ? firmware->szx : own};
    block.num = (uint32_t)(firmware->package.len / coap_block_size(block.szx));
    coap_message_init(&message, COAP_CON, COAP_GET, 0, SLICE_NONE);
    add_parts(&message, COAP_URI_PATH, firmware->parsed.path, '/');
    add_parts(&message, COAP_URI_QUERY, firmware->parsed.query, '&');
    if (firmware->has_szx || own < COAP_SZX_MAX) /* else the server says which blocks both can */
        coap_block_add(&message, COAP_BLOCK2, block, &scratch);
    const struct coap_call_options options = {.type = COAP_CON, .one_block = true};
    struct link *link = firmware->link != NULL ? firmware->link : device_peer(device);
    queue_mode_touch(&device->queue_mode);
    firmware->call = coap_call_with(device->coap, link, &message, &options, on_fetched, firmware);
    if (firmware->call == NULL)
        try_again(firmware);
}

/* The server's link when it is the server that is meant; over UDP anybody can be asked. */
static enum firmware_result choose_link(struct firmware *firmware) {
    struct device *device = firmware->device;
    const struct transport *transport = transport_find(firmware->parsed.scheme);
    struct address address;
    if (transport != device->destination.transport)
        return FIRMWARE_PROTOCOL;
    bool is_server_name = slice_equal(firmware->parsed.host, device->destination.uri.host);
    if (is_server_name)
        address = device->server->peer;
    else if (!address_parse_ip(firmware->parsed.host, &address))
        return FIRMWARE_INVALID_URI;
    address.port = firmware->parsed.has_port ? firmware->parsed.port : transport->port;
    if (address_equal(&address, &device->server->peer))
        return FIRMWARE_INITIAL;
    if (transport->link != LINK_UDP)
        return FIRMWARE_INVALID_URI;
    firmware->link = udp_link(device->udp, &device->listener, &address, NULL);
    return firmware->link == NULL ? FIRMWARE_INVALID_URI : FIRMWARE_INITIAL;
}

enum firmware_result firmware_fetch(struct firmware *firmware, struct slice uri) {
    const char *why;
    int fault = firmware->device->options->firmware_fault;
    firmware_stop(firmware);
    if (fault == FIRMWARE_INVALID_URI || fault == FIRMWARE_PROTOCOL)
        return (enum firmware_result)fault;
    snprintf(firmware->uri, sizeof firmware->uri, "%.*s", (int)uri.len, (const char *)uri.data);
    if (!uri_parse(slice_str(firmware->uri), &firmware->parsed, &why))
        return FIRMWARE_INVALID_URI;
    enum firmware_result result = choose_link(firmware);
    if (result != FIRMWARE_INITIAL)
        return result;
    begin_package(&firmware->package);
    firmware->has_szx = false;
    firmware->etag_len = 0;
    firmware->failures = firmware->restarts = firmware->expected = 0;
    retry_after(firmware, 0); /* after the answer to the write */
    return FIRMWARE_INITIAL;
}
