/* /v2/endpoints/{id}/{path}: what /v2/device-requests does, as older client code asks for it. */
#include <stdlib.h>

#include "common/base/text.h"
#include "common/lwm2m/link_format.h"
#include "server/dealings.h"
#include "web/pelion/pelion.h"

/* ---- what is known without asking ---- */

/* The value that the device has put into its registration (`v`), an Opaque in Base64. */
static bool put_announced(struct buffer *out, const struct registration *r, const struct lwm2m_path *path) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path known;
    struct slice value;
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link)) {
        if (!lwm2m_path_parse(link.target, &known, NULL) || !lwm2m_path_equal(&known, path) ||
            !link_format_find(&link, "v", &value))
            continue;
        buffer_put_slice(out, value);
        return true;
    }
    return false;
}

static const struct observation *told_last(const struct registration *r, const struct lwm2m_path *path) {
    const struct observation *o = r->dealings == NULL ? NULL : r->dealings->observations, *found = NULL;
    for (; o != NULL; o = o->next) {
        if (!o->is_composite && o->has_last && lwm2m_path_equal(&o->paths[0], path) &&
            (found == NULL || o->last_at_ms > found->last_at_ms))
            found = o;
    }
    return found;
}

static void send_known(const struct call *call, const struct registration *r, const struct lwm2m_path *path) {
    const struct observation *o = told_last(r, path);
    const char *type = "text/plain";
    uint8_t memory[PELION_LAST_MAX];
    struct buffer text = buffer_over(memory, sizeof memory);
    if (o != NULL ? pelion_put_last(&text, o, &type) : put_announced(&text, r, path))
        http_respond(call->request, &(struct http_response){.status = 200,
                                                            .content_type = type,
                                                            .cache_control = "max-age=0",
                                                            .body = buffer_slice(&text)});
    else
        pelion_send_text(call->request, 205, "");
}

/* ---- asking ---- */

static bool is_true(const struct call *call, const char *name) {
    return slice_is(query_get(&call->query, name), "true");
}

/* Parameters of the call are not for the device. */
static struct slice device_query(const struct call *call, struct buffer *out) {
    static const char *const ours[] = {"noResp", "cacheOnly", "pri"};
    struct slice rest = call->request->query;
    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.data, '&', rest.len);
        struct slice item = slice_of(rest.data, end == NULL ? rest.len : (size_t)(end - rest.data));
        bool is_ours = false;
        for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
            is_ours = is_ours || slice_starts_with(item, ours[i]);
        if (!is_ours && out->len > 0)
            buffer_put_u8(out, '&');
        if (!is_ours)
            buffer_put_slice(out, item);
        rest = slice_from(rest, end == NULL ? item.len : item.len + 1);
    }
    return buffer_slice(out);
}

static void send_fault(const struct call *call, const char *fault) {
    unsigned status = strcmp(fault, "QUEUE_IS_FULL") == 0        ? 429
                      : strcmp(fault, "RESOURCE_NOT_FOUND") == 0 ? 404
                      : strcmp(fault, "OUT_OF_MEMORY") == 0      ? 503
                                                                 : 400;
    pelion_send_text(call->request, status, fault);
}

/* The registration of the device; NULL: it is answered. */
static const struct registration *find(const struct call *call, const struct pelion_app *app, struct lwm2m_path *path) {
    const struct registration *r = app == NULL ? NULL : pelion_registration(app->pelion, call->args[0]);
    if (app == NULL)
        return NULL;
    if (r == NULL)
        pelion_send_text(call->request, pelion_endpoint(app->pelion, call->args[0]).data == NULL ? 404 : 410, "");
    else if (!pelion_read_path(call, path))
        pelion_send_text(call->request, 404, "");
    else
        return r;
    return NULL;
}

static void ask(const struct call *call, struct pelion_app *app, const struct registration *r,
                const struct lwm2m_path *path) {
    struct slice type = http_header(call->request, "content-type"), body = call->request->body;
    uint8_t path_memory[32], query_memory[512];
    struct buffer text = buffer_over(path_memory, sizeof path_memory);
    struct buffer query = buffer_over(query_memory, sizeof query_memory);
    char content_type[65] = "", id[PELION_ASYNC_ID_MAX + 1] = "";
    bool is_silent = is_true(call, "noResp");
    struct pelion_request *request;
    if (is_silent && (r->queue_mode || link_carrier(r->link)->framing != LINK_DATAGRAM)) {
        pelion_send_text(call->request, 409, "");
        return;
    }
    if (!is_silent)
        pelion_put_id(id);
    if (type.len < sizeof content_type && !slice_starts_with(type, "application/x-www-form-urlencoded"))
        memcpy(content_type, type.data == NULL ? (const uint8_t *)"" : type.data, type.len);
    lwm2m_path_put(&text, path);
    struct pelion_asked asked = {.method = call->request->method,
                                 .path = buffer_slice(&text),
                                 .query = device_query(call, &query),
                                 .body = body,
                                 .content_type = content_type,
                                 .async_id = id};
    pelion_ask_defaults(r, &asked);
    const char *fault = query.overflow ? "MALFORMED_QUERY" : pelion_ask_device(app, r, &asked, &request);
    if (fault != NULL) {
        send_fault(call, fault);
        return;
    }
    if (is_silent)
        pelion_send_text(call->request, 204, "");
    else
        pelion_send_id(call->request, id);
    pelion_ask_go(request);
}

void pelion_endpoint_read(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    struct lwm2m_path path;
    const struct registration *r = find(call, app, &path);
    if (r == NULL)
        return;
    if (!is_true(call, "cacheOnly"))
        ask(call, app, r, &path);
    else if (pelion_has_path(r, &path))
        send_known(call, r, &path);
    else
        pelion_send_text(call->request, 404, "RESOURCE_NOT_FOUND");
}

void pelion_endpoint_ask(const struct call *call) {
    struct pelion_app *app = pelion_app_of(call);
    struct lwm2m_path path;
    const struct registration *r = find(call, app, &path);
    if (r != NULL)
        ask(call, app, r, &path);
}
