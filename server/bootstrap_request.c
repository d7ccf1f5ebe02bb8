#include "server/bootstrap_request.h"

#include "common/base/buffer.h"
#include "common/coap/option.h"
#include "common/lwm2m/link_format.h"
#include "server/credential.h"

static bool refuse(struct bootstrap_request *request, uint8_t code, const char *why) {
    request->code = code;
    request->error = why;
    return false;
}

/* TLV, SenML JSON and CBOR, LwM2M CBOR; a pack is about the root, which TLV can't tell (C §6.1.7.7). */
bool bootstrap_format_good(int format, bool is_pack) {
    return format == LWM2M_FORMAT_SENML_JSON || format == LWM2M_FORMAT_SENML_CBOR ||
           format == LWM2M_FORMAT_LWM2M_CBOR || (format == LWM2M_FORMAT_TLV && !is_pack);
}

static bool read_endpoint(struct bootstrap_request *request, struct slice value) {
    if (request->endpoint.data != NULL)
        return refuse(request, COAP_4_00_BAD_REQUEST, "ep is given twice");
    if (!credential_endpoint_good(value))
        return refuse(request, COAP_4_00_BAD_REQUEST, "ep is UTF-8 without control characters, 1 to 252 bytes");
    request->endpoint = value;
    return true;
}

static bool read_format(struct bootstrap_request *request, struct slice value) {
    uint64_t number;
    if (request->has_format)
        return refuse(request, COAP_4_00_BAD_REQUEST, "pct is given twice");
    if (!slice_to_u64(value, UINT16_MAX, &number))
        return refuse(request, COAP_4_00_BAD_REQUEST, "pct must be the number of a content format");
    request->has_format = true;
    request->format = bootstrap_format_good((int)number, false) ? (int)number : COAP_FORMAT_NONE;
    return true;
}

/* acc=</0/1>,</21/0> (C §6.1.7.7). */
static bool read_occupied(struct bootstrap_request *request, struct slice value) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    link_format_start(&cursor, value);
    while (link_format_next(&cursor, &link)) {
        struct lwm2m_path path;
        if (!lwm2m_path_parse(link.target, &path, NULL) || path.len != 2)
            return refuse(request, COAP_4_00_BAD_REQUEST, "acc must be links to object instances");
        if (request->occupied_count == BOOTSTRAP_OCCUPIED_MAX)
            return refuse(request, COAP_4_00_BAD_REQUEST, "acc has more than 16 links");
        request->occupied[request->occupied_count++] = path;
    }
    return cursor.error == NULL || refuse(request, COAP_4_00_BAD_REQUEST, "acc must be links to object instances");
}

static void keep(struct bootstrap_request *request, struct buffer *query, struct slice item) {
    struct buffer before = *query;
    if (query->len > 0)
        buffer_put_u8(query, '&');
    for (size_t i = 0; i < item.len; i++) {
        if (item.data[i] == '%')
            buffer_put_str(query, "%25");
        else if (item.data[i] == '&')
            buffer_put_str(query, "%26");
        else
            buffer_put_u8(query, item.data[i]);
    }
    if (query->overflow) {
        *query = before;
        request->oddity = "more parameters than are kept";
    }
}

static bool read_item(struct bootstrap_request *request, struct buffer *query, struct slice item) {
    size_t name_len = 0;
    while (name_len < item.len && item.data[name_len] != '=')
        name_len++;
    struct slice name = slice_of(item.data, name_len);
    struct slice value = slice_from(item, name_len + 1);
    if (slice_is(name, "ep"))
        return read_endpoint(request, value);
    if (slice_is(name, "pct"))
        return read_format(request, value);
    if (slice_is(name, "acc"))
        return read_occupied(request, value);
    if (slice_is(name, "mccv") || slice_is(name, "aid"))
        request->is_pelion = true;
    if (slice_is(name, "aid"))
        request->account = value;
    keep(request, query, item);
    return true;
}

bool bootstrap_request_read(struct bootstrap_request *request, const struct coap_message *message) {
    memset(request, 0, offsetof(struct bootstrap_request, query));
    request->format = COAP_FORMAT_NONE;
    struct buffer query = buffer_over(request->query, sizeof request->query);
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number == COAP_URI_QUERY && !read_item(request, &query, message->options[i].value))
            return false;
    }
    request->query_len = query.len;
    return true;
}
