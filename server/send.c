#include "server/send.h"

#include <stdlib.h>

#include "common/coap/option.h"
#include "common/lwm2m/format.h"
#include "common/lwm2m/link_format.h"
#include "server/admission.h"
#include "server/contact.h"
#include "server/definition.h"
#include "server/refusal.h"

enum { NODES_MAX = 8192 };

/* The registration of the device that speaks over this link, or NULL (T §6.4.6: by security association; without one by
 * address). */
static struct registration *sender_of(const struct server *server, const struct link *link) {
    struct registration *r = server_owner_of(server, link);
    struct slice endpoint;
    if (r != NULL)
        return r;
    /* A new session of a registered device may tell something before it updates its registration. */
    return link->identity != NULL && admission_endpoint(server, link->identity, CREDENTIAL_MANAGEMENT, &endpoint)
               ? directory_find(server->directory, endpoint)
               : NULL;
}

/* What the registration lists of an object: nothing, or that it is there. */
static bool lists_object(struct slice links, uint16_t object) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path path;
    link_format_start(&cursor, links);
    while (link_format_next(&cursor, &link)) {
        if (lwm2m_path_parse(link.target, &path, NULL) && path.len > 0 && path.ids[0] == object)
            return true;
    }
    return false;
}

/* Nothing is told unless all of it can be: every object must be one that the device has. Values of one object mostly
 * stand together, so each run of them is looked up once. */
static bool all_listed(const struct registration *r, const struct lwm2m_nodes *list) {
    for (size_t i = 0; i < list->count; i++) {
        uint16_t object = list->nodes[i].path.ids[0];
        if (i > 0 && list->nodes[i - 1].path.ids[0] == object)
            continue;
        if (!lists_object(registration_links(r), object))
            return false;
    }
    return true;
}

static void publish(struct server *server, const struct registration *r, const struct lwm2m_nodes *list) {
    for (size_t i = 0; i < list->count; i++) {
        struct event event = {.type = EVENT_SEND,
                              .endpoint = registration_endpoint(r),
                              .location = registration_location(r),
                              .address = r->link->peer,
                              .lifetime_s = r->lifetime_s,
                              .has_node = true,
                              .node = list->nodes[i]};
        event_publish(server->events, &event);
    }
}

static void refuse_undecodable(struct server *server, const struct coap_request *request, struct slice endpoint,
                               const struct lwm2m_nodes *list) {
    char text[LWM2M_FAULT_MAX];
    struct buffer why = buffer_over(text, sizeof text - 1);
    lwm2m_nodes_put_fault(&why, list);
    text[why.len] = '\0';
    refuse_request(server, request, endpoint, COAP_4_00_BAD_REQUEST, text);
}

static void take(struct server *server, const struct coap_request *request, struct registration *r,
                 struct lwm2m_nodes *list, struct buffer *scratch) {
    struct slice endpoint = registration_endpoint(r);
    struct definitions definitions = definitions_of(server, r);
    struct lwm2m_decode_context context = {
        .root = registration_root(r),
        .now_ms = (int64_t)clock_now_ms(&server->clock),
        .mode = SENML_CONTENT,
        .type_of = definition_type_of,
        .arg = &definitions,
    };
    int format = coap_content_format(request->message);
    bool good = lwm2m_decode(format, request->body, &context, scratch, list);
    if (!good && context.root.len > 0) { /* names may come without the alternate path (T §6.4.1) */
        const struct lwm2m_nodes first = *list;
        context.root = SLICE_NONE;
        scratch->len = 0;
        scratch->overflow = false;
        good = lwm2m_decode(format, request->body, &context, scratch, list);
        if (!good)
            *list = first;
    }
    if (!good) {
        refuse_undecodable(server, request, endpoint, list);
        return;
    }
    if (list->count == 0) {
        refuse_request(server, request, endpoint, COAP_4_00_BAD_REQUEST, "there is no value in it");
        return;
    }
    if (!all_listed(r, list)) {
        refuse_request(server, request, endpoint, COAP_4_04_NOT_FOUND, "a value of an object that is not registered");
        return;
    }
    publish(server, r, list);
    coap_respond_code(server->coap, request->exchange, COAP_2_04_CHANGED, NULL);
    contact_heard(server, r);
}

/* Refusals are 4.00 and 4.04 only (T Tbl 6.7-4). */
void send_request(struct server *server, const struct coap_request *request) {
    struct registration *r = sender_of(server, request->link);
    if (r == NULL) {
        refuse_request(server, request, SLICE_NONE, COAP_4_04_NOT_FOUND, "the sender is not registered");
        return;
    }
    enum lwm2m_format format = lwm2m_format_of(coap_content_format(request->message));
    if (!lwm2m_format_allows(format, LWM2M_USE_SEND)) {
        refuse_request(server, request, registration_endpoint(r), COAP_4_00_BAD_REQUEST,
                       "a Send is SenML JSON (110), SenML CBOR (112) or LwM2M CBOR (11544)");
        return;
    }
    if (r->version == LWM2M_1_0)
        tell_oddity(server, request, registration_endpoint(r),
                    "a Send from a client of LwM2M 1.0, which does not have it");
    /* A value takes three bytes at least, in any format. */
    size_t cap = request->body.len / 3 + 1 < NODES_MAX ? request->body.len / 3 + 1 : NODES_MAX;
    struct lwm2m_node *nodes = malloc(cap * sizeof *nodes);
    uint8_t *memory = malloc(2 * request->body.len + 1);
    if (nodes == NULL || memory == NULL) {
        coap_respond_unavailable(server->coap, request->exchange, 30, "out of memory");
    } else {
        struct lwm2m_nodes list = lwm2m_nodes_over(nodes, cap);
        struct buffer scratch = buffer_over(memory, 2 * request->body.len);
        take(server, request, r, &list, &scratch);
    }
    free(nodes);
    free(memory);
}
