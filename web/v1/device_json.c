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
#include "web/v1/link_json.h"

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new_nocheck(object, name, value); /* names are ours, and ASCII */
}

static json_t *text_or_null(struct slice text) {
    return text.len == 0 ? json_null() : document_text(text);
}

/* What was announced of an object, which stands before its instances. */
struct announced_version {
    uint16_t object;
    struct slice version; /* "" when none was */
};

/* The version of a link's object: as announced, or implied by the client's version of LwM2M (Core 1.2 §7.2.3). */
static json_t *version_json(const struct link_format_link *link, uint8_t enabler, struct announced_version *known) {
    struct slice ver;
    struct lwm2m_path path;
    if (!lwm2m_path_parse(link->target, &path, NULL) || path.len == 0)
        return json_null();
    if (known->object != path.ids[0])
        *known = (struct announced_version){.object = path.ids[0]};
    if (link_format_find(link, "ver", &ver))
        known->version = ver;
    if (known->version.len > 0)
        return document_text(known->version);
    return json_string(lwm2m_object_version(enabler, path.ids[0]));
}

/* Without the root link, which is no object. */
static json_t *objects_json(struct slice links, uint8_t enabler) {
    json_t *objects = json_array();
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct announced_version known = {.object = UINT16_MAX};
    link_format_start(&cursor, links);
    while (link_format_next(&cursor, &link)) {
        if (slice_is(link.target, "/"))
            continue;
        json_t *object = json_object();
        set(object, "path", document_text(link.target));
        set(object, "attributes", link_attributes_json(&link));
        set(object, "version", version_json(&link, enabler, &known));
        json_array_append_new(objects, object);
    }
    return objects;
}

/* The content formats that the root link announces (ct), as numbers; RFC 7252 §7.2.1. */
static json_t *content_formats_json(struct slice links) {
    json_t *formats = json_array();
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct slice ct;
    link_format_start(&cursor, links);
    if (!link_format_next(&cursor, &link) || !slice_is(link.target, "/") || !link_format_find(&link, "ct", &ct))
        return formats;
    size_t start = 0;
    for (size_t i = 0; i <= ct.len; i++) {
        uint64_t number;
        if (i < ct.len && ct.data[i] != ' ')
            continue;
        if (slice_to_u64(slice_of(ct.data + start, i - start), 65535, &number))
            json_array_append_new(formats, json_integer((json_int_t)number));
        start = i + 1;
    }
    return formats;
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

/* `name=value` pairs joined by '&': what a Register said that Berth has no field for. */
static json_t *parameters_json(struct slice query) {
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

static json_t *binding_json(const struct registration *r) {
    uint8_t memory[8];
    struct buffer text = buffer_over(memory, sizeof memory);
    registration_put_binding(&text, r);
    return document_text(buffer_slice(&text));
}

static json_t *hex_json(struct slice bytes) {
    uint8_t memory[2 * OSCORE_ID_CONTEXT_MAX];
    struct buffer text = buffer_over(memory, sizeof memory);
    text_put_hex(&text, bytes);
    return bytes.len == 0 ? json_null() : document_text(buffer_slice(&text));
}

/* cipher_suite and what follows only while there is a session. */
static json_t *security_json(const struct registration *r) {
    json_t *security = json_object();
    struct dtls_description session;
    struct tls_description connection;
    bool is_secure = r->security != LINK_NO_SECURITY;
    set(security, "mode", json_string(link_security_name((enum link_security)r->security)));
    set(security, "identity",
        r->security == LINK_OSCORE ? hex_json(registration_identity(r)) /* any bytes: in hexadecimal */
        : is_secure                ? document_text(registration_identity(r))
                                   : json_null());
    const struct oscore_channel *channel = oscore_channel_of(r->link);
    if (channel != NULL)
        set(security, "id_context", hex_json(oscore_context_id_context(&channel->context)));
    if (stream_describe_tls(r->link, &connection)) {
        set(security, "cipher_suite", json_string(connection.cipher_suite));
        set(security, "tls_version", json_string(connection.version));
        set(security, "resumed", json_boolean(connection.resumed));
    }
    if (!dtls_service_describe(r->link, &session))
        return security;
    set(security, "cipher_suite", json_string(session.cipher_suite));
    set(security, "cid", hex_json(session.cid));
    set(security, "cid_draft", json_boolean(session.cid_draft));
    set(security, "resumed", json_boolean(session.resumed));
    return security;
}

bool device_json_reachable(const struct registration *r) {
    return !r->link->closed && !absent_link_is(r->link);
}

json_t *device_json(const struct registration *r) {
    bool for_ever = r->lifetime_s == 0;
    struct slice root = registration_root(r);
    json_t *device = json_object();
    set(device, "endpoint", document_text(registration_endpoint(r)));
    set(device, "id", json_string(device_id_of(registration_endpoint(r)).hex));
    set(device, "state", json_string("registered"));
    set(device, "address", document_address(&r->link->peer));
    const char *framing = link_framing_name(r->link->framing);
    set(device, "transport", json_string(link_transport_name(r->link->listener->transport)));
    set(device, "framing", framing == NULL ? json_null() : json_string(framing));
    set(device, "reachable", json_boolean(device_json_reachable(r)));
    set(device, "security", security_json(r));
    set(device, "registered_at", document_time(r->registered_at_ms));
    set(device, "updated_at", document_time(r->updated_at_ms));
    set(device, "expires_at", for_ever ? json_null() : document_time(r->expires_at_ms));
    set(device, "lifetime_s", json_integer(r->lifetime_s));
    if (for_ever)
        set(device, "lifetime", json_string("infinite"));
    set(device, "version", json_string(registration_version_text(r)));
    set(device, "binding", binding_json(r));
    set(device, "queue_mode", json_boolean(r->queue_mode));
    set(device, "awake", json_boolean(awake_is(r)));
    set(device, "objects", objects_json(registration_links(r), r->version));
    set(device, "content_formats", content_formats_json(registration_links(r)));
    set(device, "location", document_location(registration_location(r)));
    set(device, "root_path", root.len == 0 ? json_string("/") : document_text(root));
    set(device, "sms", text_or_null(registration_sms(r)));
    set(device, "parameters", parameters_json(registration_query(r)));
    return device;
}
