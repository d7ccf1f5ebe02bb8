#include "web/v1/device_json.h"

#include <stdlib.h>

#include "common/base/text.h"
#include "common/lwm2m/link_format.h"
#include "common/lwm2m/object_version.h"
#include "common/oscore/channel.h"
#include "server/absent_link.h"
#include "server/awake.h"
#include "server/dtls_service.h"
#include "web/document.h"
#include "web/json_text.h"
#include "web/v1/link_json.h"

/* What was announced of an object, which stands before its instances. */
struct announced_version {
    uint16_t object;
    struct slice version; /* "" when none was */
};

/* The version of a link's object: as announced, or implied by the client's version of LwM2M (Core 1.2 §7.2.3). */
static void put_version(struct buffer *out, const struct link_format_link *link, uint8_t enabler,
                        struct announced_version *known) {
    struct slice ver;
    struct lwm2m_path path;
    if (!lwm2m_path_parse(link->target, &path, NULL) || path.len == 0) {
        json_text_null(out);
        return;
    }
    if (known->object != path.ids[0])
        *known = (struct announced_version){.object = path.ids[0]};
    if (link_format_find(link, "ver", &ver))
        known->version = ver;
    if (known->version.len > 0)
        json_text_string(out, known->version);
    else
        json_text_plain(out, lwm2m_object_version(enabler, path.ids[0]));
}

/* Few links have some, and names may be there twice: then a tree sorts that out. */
static void put_attributes(struct buffer *out, const struct link_format_link *link) {
    struct link_format_attribute attribute;
    size_t at = 0;
    if (link_format_attribute(link, &at, &attribute))
        json_text_tree(out, link_attributes_json(link));
    else
        buffer_put_str(out, "{}");
}

/* Without the root link, which is no object. */
static void put_objects(struct buffer *out, struct slice links, uint8_t enabler) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct announced_version known = {.object = UINT16_MAX};
    buffer_put_u8(out, '[');
    link_format_start(&cursor, links);
    while (link_format_next(&cursor, &link)) {
        if (slice_is(link.target, "/"))
            continue;
        json_text_entry(out);
        buffer_put_u8(out, '{');
        json_text_name(out, "path");
        json_text_string(out, link.target);
        json_text_name(out, "attributes");
        put_attributes(out, &link);
        json_text_name(out, "version");
        put_version(out, &link, enabler, &known);
        buffer_put_u8(out, '}');
    }
    buffer_put_u8(out, ']');
}

/* The content formats that the root link announces (ct), as numbers; RFC 7252 §7.2.1. */
static void put_numbers(struct buffer *out, struct slice ct) {
    size_t start = 0;
    for (size_t i = 0; i <= ct.len; i++) {
        uint64_t number;
        if (i < ct.len && ct.data[i] != ' ')
            continue;
        if (slice_to_u64(slice_of(ct.data + start, i - start), 65535, &number)) {
            json_text_entry(out);
            buffer_put_decimal(out, number);
        }
        start = i + 1;
    }
}

static void put_content_formats(struct buffer *out, struct slice links) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct slice ct;
    buffer_put_u8(out, '[');
    link_format_start(&cursor, links);
    if (link_format_next(&cursor, &link) && slice_is(link.target, "/") && link_format_find(&link, "ct", &ct))
        put_numbers(out, ct);
    buffer_put_u8(out, ']');
}

/* A name or value of registration_query(), its %25 and %26 undone. */
static json_t *parameter_text(struct slice text) {
    uint8_t bytes[256]; /* a Uri-Query has at most 255 */
    struct buffer plain = buffer_over(bytes, sizeof bytes);
    for (size_t i = 0; i < text.len; i++) {
        bool escaped = text.data[i] == '%' && text.len - i > 2;
        buffer_put_u8(&plain, !escaped ? text.data[i] : text.data[i + 2] == '6' ? '&' : '%');
        i += escaped ? 2 : 0;
    }
    return document_text(buffer_slice(&plain));
}

static void set_parameter(json_t *parameters, struct slice name, json_t *value) {
    json_t *key = parameter_text(name);
    if (key == NULL)
        json_decref(value);
    else
        json_object_setn_new(parameters, json_string_value(key), json_string_length(key), value);
    json_decref(key);
}

json_t *device_json_parameters(const struct registration *r) {
    struct slice query = registration_query(r);
    json_t *parameters = json_object();
    while (query.len > 0) {
        const uint8_t *amp = memchr(query.data, '&', query.len);
        struct slice item = amp == NULL ? query : slice_of(query.data, (size_t)(amp - query.data));
        query = slice_from(query, item.len + 1);
        const uint8_t *equals = item.len > 0 ? memchr(item.data, '=', item.len) : NULL;
        if (equals == NULL)
            set_parameter(parameters, item, json_true());
        else
            set_parameter(parameters, slice_of(item.data, (size_t)(equals - item.data)),
                          parameter_text(slice_from(item, (size_t)(equals + 1 - item.data))));
    }
    return parameters;
}

static void put_parameters(struct buffer *out, const struct registration *r) {
    if (registration_query(r).len > 0)
        json_text_tree(out, device_json_parameters(r));
    else
        buffer_put_str(out, "{}");
}

static void put_hex(struct buffer *out, struct slice bytes) {
    if (bytes.len == 0) {
        json_text_null(out);
        return;
    }
    buffer_put_u8(out, '"');
    text_put_hex(out, bytes);
    buffer_put_u8(out, '"');
}

static void put_identity(struct buffer *out, const struct registration *r) {
    if (r->security == LINK_OSCORE) /* any bytes: in hexadecimal */
        put_hex(out, registration_identity(r));
    else if (r->security != LINK_NO_SECURITY)
        json_text_string(out, registration_identity(r));
    else
        json_text_null(out);
}

/* cipher_suite and what follows only while there is a session. */
static void put_security(struct buffer *out, const struct registration *r) {
    struct dtls_description session;
    struct tls_description connection;
    const struct oscore_channel *channel = oscore_channel_of(r->link);
    buffer_put_u8(out, '{');
    json_text_name(out, "mode");
    json_text_plain(out, link_security_name((enum link_security)r->security));
    json_text_name(out, "identity");
    put_identity(out, r);
    if (channel != NULL) {
        json_text_name(out, "id_context");
        put_hex(out, oscore_context_id_context(&channel->context));
    }
    if (stream_describe_tls(r->link, &connection)) {
        json_text_name(out, "cipher_suite");
        json_text_plain(out, connection.cipher_suite);
        json_text_name(out, "tls_version");
        json_text_plain(out, connection.version);
        json_text_name(out, "resumed");
        json_text_truth(out, connection.resumed);
    }
    if (dtls_service_describe(r->link, &session)) {
        json_text_name(out, "cipher_suite");
        json_text_plain(out, session.cipher_suite);
        json_text_name(out, "cid");
        put_hex(out, session.cid);
        json_text_name(out, "cid_draft");
        json_text_truth(out, session.cid_draft);
        json_text_name(out, "resumed");
        json_text_truth(out, session.resumed);
    }
    buffer_put_u8(out, '}');
}

bool device_json_reachable(const struct registration *r) {
    return !r->link->closed && !absent_link_is(r->link);
}

static void put_how_reached(struct buffer *out, const struct registration *r) {
    const char *framing = link_framing_name(r->link->framing);
    json_text_name(out, "address");
    json_text_address(out, &r->link->peer);
    json_text_name(out, "transport");
    json_text_plain(out, link_transport_name(r->link->listener->transport));
    json_text_name(out, "framing");
    if (framing == NULL)
        json_text_null(out);
    else
        json_text_plain(out, framing);
    json_text_name(out, "reachable");
    json_text_truth(out, device_json_reachable(r));
    json_text_name(out, "security");
    put_security(out, r);
}

static void put_times(struct buffer *out, const struct registration *r) {
    bool for_ever = r->lifetime_s == 0;
    json_text_name(out, "registered_at");
    json_text_time(out, r->registered_at_ms);
    json_text_name(out, "updated_at");
    json_text_time(out, r->updated_at_ms);
    json_text_name(out, "expires_at");
    if (for_ever)
        json_text_null(out);
    else
        json_text_time(out, r->expires_at_ms);
    json_text_name(out, "lifetime_s");
    buffer_put_decimal(out, r->lifetime_s);
    if (for_ever) {
        json_text_name(out, "lifetime");
        json_text_plain(out, "infinite");
    }
}

static void put_announced(struct buffer *out, const struct registration *r) {
    struct slice root = registration_root(r), sms = registration_sms(r);
    json_text_name(out, "version");
    json_text_plain(out, registration_version_text(r));
    json_text_name(out, "binding");
    buffer_put_u8(out, '"');
    registration_put_binding(out, r);
    buffer_put_u8(out, '"');
    json_text_name(out, "queue_mode");
    json_text_truth(out, r->queue_mode);
    json_text_name(out, "awake");
    json_text_truth(out, awake_is(r));
    json_text_name(out, "objects");
    put_objects(out, registration_links(r), r->version);
    json_text_name(out, "content_formats");
    put_content_formats(out, registration_links(r));
    json_text_name(out, "location");
    json_text_string_after(out, "/rd/", registration_location(r));
    json_text_name(out, "root_path");
    json_text_string(out, root.len == 0 ? slice_str("/") : root);
    json_text_name(out, "sms");
    if (sms.len == 0)
        json_text_null(out);
    else
        json_text_string(out, sms);
    json_text_name(out, "parameters");
    put_parameters(out, r);
}

void device_json_put(struct buffer *out, const struct registration *r) {
    buffer_put_u8(out, '{');
    json_text_name(out, "endpoint");
    json_text_string(out, registration_endpoint(r));
    json_text_name(out, "id");
    json_text_plain(out, device_id_of(registration_endpoint(r)).hex);
    json_text_name(out, "state");
    json_text_plain(out, "registered");
    put_how_reached(out, r);
    put_times(out, r);
    put_announced(out, r);
    buffer_put_u8(out, '}');
}
