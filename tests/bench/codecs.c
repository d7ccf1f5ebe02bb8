/* How fast each content format is written and read: an object of 64 instances with nine resources each, as a client
 * that was read by the object answers. Prints one JSON line for each format. The argument is another number of
 * seconds to spend on each measurement. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/lwm2m/json.h"
#include "common/lwm2m/lwm2m_cbor.h"
#include "common/lwm2m/senml_cbor.h"
#include "common/lwm2m/senml_json.h"
#include "common/lwm2m/tlv.h"

enum { INSTANCES = 64, NODES_MAX = INSTANCES * 10, BYTES_MAX = 1 << 17 };

static const struct lwm2m_path object = {.ids = {3442}, .len = 1};
static const struct senml_context context = {.mode = SENML_CONTENT, .base = {.ids = {3442}, .len = 1}};
static struct lwm2m_node list[NODES_MAX], decoded[NODES_MAX];
static size_t count;
static uint8_t bytes[BYTES_MAX], joined[2 * BYTES_MAX];

static void add(uint16_t instance, uint16_t resource, struct lwm2m_value value) {
    list[count++] = (struct lwm2m_node){.path = {.ids = {3442, instance, resource}, .len = 3}, .value = value};
}

static void fill_list(void) {
    static const uint8_t opaque[32] = {0x5a, 0xff, 0x00, 0xc3};
    for (uint16_t i = 0; i < INSTANCES; i++) {
        add(i, 110, lwm2m_string("Lightweight M2M Client"));
        add(i, 120, lwm2m_integer(-1000000 + i));
        add(i, 125, (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = UINT32_MAX});
        add(i, 130, (struct lwm2m_value){.type = LWM2M_FLOAT, .real = 22.5 + i / 10.0});
        add(i, 140, lwm2m_boolean(i % 2 == 0));
        add(i, 150, lwm2m_bytes(LWM2M_OPAQUE, slice_of(opaque, sizeof opaque)));
        add(i, 160, lwm2m_time(1700000000));
        add(i, 170, (struct lwm2m_value){.type = LWM2M_OBJLNK, .link = {66, i}});
        add(i, 1110, lwm2m_string("+02:00"));
        list[count - 1].path = lwm2m_path_child(&list[count - 1].path, 0);
    }
}

/* ---- the formats ---- */

static bool encode_tlv(struct buffer *out) {
    return tlv_encode(list, count, &object, out);
}

static bool decode_tlv(struct slice content, struct buffer *scratch, struct lwm2m_nodes *out) {
    (void)scratch;
    return tlv_decode(content, &object, out);
}

static bool encode_senml_cbor(struct buffer *out) {
    return senml_cbor_encode(list, count, &context, CBOR_TIME_PLAIN, out);
}

static bool decode_senml_cbor(struct slice content, struct buffer *scratch, struct lwm2m_nodes *out) {
    return senml_cbor_decode(content, &context, scratch, out);
}

static bool encode_lwm2m_cbor(struct buffer *out) {
    return lwm2m_cbor_encode(list, count, &object, CBOR_TIME_PLAIN, out);
}

static bool decode_lwm2m_cbor(struct slice content, struct buffer *scratch, struct lwm2m_nodes *out) {
    return lwm2m_cbor_decode(content, &object, scratch, out);
}

/* One value is one message: each has its length before it here. */
static bool encode_cbor(struct buffer *out) {
    for (size_t i = 0; i < count; i++) {
        size_t start = out->len;
        buffer_put_u8(out, 0);
        if (!cbor_value_encode(&list[i].value, CBOR_TIME_TAGGED, out))
            return false;
        out->data[start] = (uint8_t)(out->len - start - 1);
    }
    return true;
}

static bool decode_cbor(struct slice content, struct buffer *scratch, struct lwm2m_nodes *out) {
    for (out->count = 0; content.len > 0; content = slice_from(content, 1 + (size_t)content.data[0])) {
        struct lwm2m_node *node = &out->nodes[out->count];
        if (!cbor_value_decode(slice_of(content.data + 1, content.data[0]), list[out->count].value.type, scratch,
                               &node->value, &out->remark))
            return false;
        out->count++;
    }
    return true;
}

static bool encode_senml_json(struct buffer *out) {
    return senml_json_encode(list, count, &context, out);
}

static bool decode_senml_json(struct slice content, struct buffer *scratch, struct lwm2m_nodes *out) {
    return senml_json_decode(content, &context, scratch, out);
}

static const struct lwm2m_json_context json_context = {.base = {.ids = {3442}, .len = 1}};

static bool encode_json(struct buffer *out) {
    return lwm2m_json_encode(list, count, &json_context, out);
}

static bool decode_json(struct slice content, struct buffer *scratch, struct lwm2m_nodes *out) {
    return lwm2m_json_decode(content, &json_context, scratch, out);
}

static const struct format {
    const char *name;
    bool (*encode)(struct buffer *out);
    bool (*decode)(struct slice content, struct buffer *scratch, struct lwm2m_nodes *out);
} formats[] = {
    {"cbor", encode_cbor, decode_cbor},
    {"senml+json", encode_senml_json, decode_senml_json},
    {"senml+cbor", encode_senml_cbor, decode_senml_cbor},
    {"lwm2m+cbor", encode_lwm2m_cbor, decode_lwm2m_cbor},
    {"tlv", encode_tlv, decode_tlv},
    {"json", encode_json, decode_json},
};

/* ---- measuring ---- */

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t encode_once(const struct format *format) {
    struct buffer out = buffer_over(bytes, sizeof bytes);
    if (!format->encode(&out))
        abort();
    return out.len;
}

static void decode_once(const struct format *format, size_t len) {
    struct lwm2m_nodes out = lwm2m_nodes_over(decoded, NODES_MAX);
    struct buffer scratch = buffer_over(joined, sizeof joined);
    if (!format->decode(slice_of(bytes, len), &scratch, &out) || out.count != count)
        abort();
}

static double encode_rate(const struct format *format, double seconds, size_t *len) {
    double start = now_s(), spent;
    size_t total = 0;
    do {
        *len = encode_once(format);
        total += *len;
    } while ((spent = now_s() - start) < seconds);
    return (double)total / spent;
}

static double decode_rate(const struct format *format, double seconds, size_t len) {
    double start = now_s(), spent;
    size_t total = 0;
    do {
        decode_once(format, len);
        total += len;
    } while ((spent = now_s() - start) < seconds);
    return (double)total / spent;
}

static void measure(const struct format *format, double seconds) {
    size_t len;
    double encode = encode_rate(format, seconds, &len), decode = decode_rate(format, seconds, len);
    printf("{\"bench\":\"codecs\",\"format\":\"%s\",\"values\":%zu,\"bytes\":%zu,\"encode_mb_s\":%.1f,"
           "\"decode_mb_s\":%.1f,\"encode_ns_value\":%.1f,\"decode_ns_value\":%.1f}\n",
           format->name, count, len, encode / 1e6, decode / 1e6, (double)len / encode * 1e9 / (double)count,
           (double)len / decode * 1e9 / (double)count);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;
    fill_list();
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        measure(&formats[i], seconds);
    return 0;
}
