#include "server/firmware_serve.h"

#include "common/coap/block.h"
#include "server/admission.h"
#include "server/firmware_update.h"
#include "server/refusal.h"

enum { ETAG_LEN = 8 };

/* Whoever may be a registered device: an image is for all of them. */
static const char *refusal_of(const struct server *server, const struct link *link) {
    struct slice endpoint;
    if (link->identity == NULL)
        return server->config->nosec == NOSEC_OFF ? "devices without security are not served" : NULL;
    bool known = admission_endpoint(server, link->identity, CREDENTIAL_MANAGEMENT, &endpoint);
    return known ? NULL : "this identity may not have it";
}

static uint64_t asked_offset(const struct coap_message *message) {
    struct coap_block block;
    if (!coap_block_get(message, COAP_BLOCK2, &block))
        return 0;
    return (uint64_t)block.num * coap_block_size(block.szx);
}

/* What a test has ordered to go wrong. True when the request is dealt with. */
static bool fail_on_purpose(struct server *server, const struct coap_request *request, struct firmware_image *image) {
    struct firmware_faults *faults = &image->faults;
    if (asked_offset(request->message) >= faults->silent_after) {
        coap_respond_nothing(server->coap, request->exchange);
        return true;
    }
    if (faults->unavailable == 0)
        return false;
    faults->unavailable--;
    coap_respond_unavailable(server->coap, request->exchange, faults->retry_after_s, "not now");
    return true;
}

static bool has_etag(const struct coap_message *message, struct slice etag) {
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number == COAP_ETAG && slice_equal(message->options[i].value, etag))
            return true;
    }
    return false;
}

static void serve(struct server *server, const struct coap_request *request, struct firmware_image *image) {
    struct coap_message response;
    struct coap_uint format;
    uint8_t etag[ETAG_LEN];
    size_t size = image->size < image->faults.truncate_to ? image->size : (size_t)image->faults.truncate_to;
    if (fail_on_purpose(server, request, image))
        return;
    memcpy(etag, image->digest, sizeof etag);
    if (image->faults.changing_etag)
        etag[0] ^= (uint8_t)(1 + asked_offset(request->message) / 16 % 255);
    struct slice tag = slice_of(etag, sizeof etag);
    bool is_valid = has_etag(request->message, tag) && asked_offset(request->message) == 0; /* RFC 7252 §5.10.6.2 */
    coap_message_init(&response, COAP_ACK, is_valid ? COAP_2_03_VALID : COAP_2_05_CONTENT, 0, SLICE_NONE);
    coap_option_add(&response, COAP_ETAG, tag);
    if (is_valid) {
        coap_respond(server->coap, request->exchange, &response);
        return;
    }
    uint64_t offset = asked_offset(request->message);
    if (offset < size)
        firmware_updates_served(server, request->link, image, offset);
    coap_option_add_uint(&response, COAP_CONTENT_FORMAT, COAP_FORMAT_OPAQUE, &format);
    coap_respond_source(server->coap, request->exchange, &response,
                        &(struct coap_source){.len = size, .read = firmware_image_read, .arg = image});
}

static void serve_if_allowed(struct server *server, const struct coap_request *request, struct firmware_image *image) {
    const char *why = refusal_of(server, request->link);
    if (request->message->code != COAP_GET)
        refuse_request(server, request, SLICE_NONE, COAP_4_05_METHOD_NOT_ALLOWED, "that method is not for this path");
    else if (why != NULL)
        refuse_request(server, request, SLICE_NONE, COAP_4_03_FORBIDDEN, why);
    else if (image == NULL || image->leaving)
        refuse_request(server, request, SLICE_NONE, COAP_4_04_NOT_FOUND, "there is no such image");
    else
        serve(server, request, image);
}

void firmware_serve(struct server *server, const struct coap_request *request, struct slice name) {
    serve_if_allowed(server, request, firmware_image_find(server->firmware_images, name));
}

void firmware_serve_url(struct server *server, const struct coap_request *request) {
    const struct coap_option *uri = coap_option_find(request->message, COAP_PROXY_URI);
    bool is_ours;
    serve_if_allowed(server, request, firmware_image_of_url(server->firmware_images, uri->value, &is_ours));
}

bool firmware_forwards(void *arg, struct link *link, struct slice uri) {
    const struct server *server = arg;
    bool is_ours;
    if (server->firmware_images == NULL || link->listener->role == LISTENER_BOOTSTRAP)
        return false;
    firmware_image_of_url(server->firmware_images, uri, &is_ours);
    return is_ours;
}
