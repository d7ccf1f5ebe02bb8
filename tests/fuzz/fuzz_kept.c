/* What a device with --bootstrap reads: the file of its accounts, which makes the same bytes again, and what a bootstrap
 * server asks of it. The first byte of the input chooses. */
#include <stdlib.h>

#include "client/device.h"
#include "client/request.h"

enum { HEAD = 8 + 32 };

static struct device *device;
static uint8_t first[4096];
static size_t first_len;

static void require(bool holds) {
    if (!holds)
        abort();
}

/* Nobody listens at the discard port. */
static void start(void) {
    static struct options options;
    static uv_loop_t loop;
    char *argv[] = {"berth-device", "--bootstrap", "coap://127.0.0.1:9", "--endpoint", "dev1", "--lwm2m", "1.2", NULL};
    char error[256];
    require(options_parse(&options, 7, argv) == OPTIONS_RUN && uv_loop_init(&loop) == 0);
    device = device_start(&loop, &options, fopen("/dev/null", "w"), error, sizeof error);
    require(device != NULL);
    struct buffer out = buffer_over(first, sizeof first);
    require(kept_put(device, &out));
    first_len = out.len;
}

static void read_file(struct slice rest) {
    static uint8_t file[KEPT_MAX], again[KEPT_MAX], third[KEPT_MAX];
    struct buffer bytes = buffer_over(file, sizeof file);
    struct buffer out = buffer_over(again, sizeof again), last = buffer_over(third, sizeof third);
    buffer_put(&bytes, first, HEAD);
    buffer_put_slice(&bytes, rest);
    if (bytes.overflow || !kept_take(device, buffer_slice(&bytes)) || !kept_put(device, &out))
        return;
    require(kept_take(device, buffer_slice(&out)) && kept_put(device, &last));
    require(slice_equal(buffer_slice(&out), buffer_slice(&last)));
}

static void ask(struct slice bytes) {
    struct coap_message message;
    uint8_t path_bytes[2048];
    struct buffer path = buffer_over(path_bytes, sizeof path_bytes);
    struct answer answer = {.format = COAP_FORMAT_NONE, .payload = workspace_take(&device->payload, 65536)};
    if (coap_decode(bytes, &message) != COAP_DECODE_OK)
        return;
    for (size_t i = 0; i < message.option_count; i++) {
        if (message.options[i].number != COAP_URI_PATH)
            continue;
        buffer_put_u8(&path, '/');
        buffer_put_slice(&path, message.options[i].value);
    }
    const struct coap_request request = {.message = &message, .body = message.payload};
    device->bootstrap.state = BOOTSTRAP_UNDER_WAY;
    bootstrap_answer(device, &request, buffer_slice(&path), &answer);
    require(answer.code != COAP_EMPTY);
    require(device_object(device, 3)->instance_count == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (device == NULL)
        start();
    require(kept_take(device, slice_of(first, first_len)));
    if (size > 0 && data[0] == 'f')
        read_file(slice_of(data + 1, size - 1));
    else if (size > 0)
        ask(slice_of(data + 1, size - 1));
    return 0;
}
