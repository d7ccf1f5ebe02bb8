#include "server/well_known.h"

#include "common/base/hash.h"
#include "common/coap/option.h"

/* What is there, apart from this. */
static struct slice links_of(const struct listener *listener, bool bootstraps) {
    bool bootstrap = bootstraps && listener->role != LISTENER_MANAGEMENT;
    if (listener->role == LISTENER_BOOTSTRAP)
        return slice_str(bootstrap ? "</bs>" : "");
    return slice_str(bootstrap ? "</rd>;rt=\"core.rd\",</dp>,</bs>" : "</rd>;rt=\"core.rd\",</dp>");
}

static bool accepts_link_format(const struct coap_message *message) {
    uint32_t accept;
    return !coap_option_uint(message, COAP_ACCEPT, &accept) || accept == COAP_FORMAT_LINK;
}

static bool names_etag(const struct coap_message *message, uint16_t number, struct slice etag) {
    for (size_t i = 0; i < message->option_count; i++) {
        if (message->options[i].number == number && slice_equal(message->options[i].value, etag))
            return true;
    }
    return false;
}

void well_known_respond(struct coap_endpoint *endpoint, const struct coap_request *request, bool bootstraps) {
    static const struct hash_key fixed = {0, 0}; /* the same ETag on every server and day */
    const struct coap_message *message = request->message;
    struct slice links = links_of(request->link->listener, bootstraps);
    uint64_t digest = hash_slice(&fixed, links);
    struct slice etag = slice_of(&digest, 4);
    if (message->code != COAP_GET) {
        coap_respond_code(endpoint, request->exchange, COAP_4_05_METHOD_NOT_ALLOWED, NULL);
        return;
    }
    /* RFC 7252 §5.10.8: an empty If-Match asks whether it exists, and it does. */
    const struct coap_option *if_match = coap_option_find(message, COAP_IF_MATCH);
    bool matches =
        if_match == NULL || names_etag(message, COAP_IF_MATCH, etag) || names_etag(message, COAP_IF_MATCH, SLICE_NONE);
    if (!matches || coap_option_find(message, COAP_IF_NONE_MATCH) != NULL) {
        coap_respond_code(endpoint, request->exchange, COAP_4_12_PRECONDITION_FAILED, NULL);
        return;
    }
    if (!accepts_link_format(message)) {
        coap_respond_code(endpoint, request->exchange, COAP_4_06_NOT_ACCEPTABLE, "only link format (40)");
        return;
    }
    struct coap_message response;
    struct coap_uint format;
    bool known = names_etag(message, COAP_ETAG, etag);
    coap_message_init(&response, COAP_ACK, known ? COAP_2_03_VALID : COAP_2_05_CONTENT, 0, SLICE_NONE);
    coap_option_add(&response, COAP_ETAG, etag);
    if (!known) {
        coap_option_add_uint(&response, COAP_CONTENT_FORMAT, COAP_FORMAT_LINK, &format);
        response.payload = links;
    }
    coap_respond(endpoint, request->exchange, &response);
}
