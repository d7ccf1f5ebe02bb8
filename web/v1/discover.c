/* GET …/discover: Discover (Core 1.2 §6.3.2). */
#include <stdio.h>
#include <stdlib.h>

#include "common/coap/option.h"
#include "common/lwm2m/link_format.h"
#include "web/document.h"
#include "web/input.h"
#include "web/v1/device_problem.h"
#include "web/v1/http_form.h"
#include "web/v1/link_json.h"
#include "web/v1/target.h"
#include "web/v1/v1.h"

struct discovery {
    struct device_call call; /* first member */
    enum http_form form;
};

/* A target below the alternate path of the device, without that. */
static struct slice without_root(struct slice target, struct slice root) {
    if (root.len == 0 || target.len <= root.len || memcmp(target.data, root.data, root.len) != 0 ||
        target.data[root.len] != '/')
        return target;
    return slice_from(target, root.len);
}

/* NULL: the list is malformed, and *why says how. */
static json_t *links_json(struct slice text, struct slice root, const char **why) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    json_t *links = json_array();
    link_format_start(&cursor, text);
    while (link_format_next(&cursor, &link)) {
        json_t *object = json_object();
        json_object_set_new(object, "path", document_text(without_root(link.target, root)));
        json_object_set_new(object, "attributes", link_attributes_json(&link));
        json_array_append_new(links, object);
    }
    *why = cursor.error;
    if (cursor.error == NULL)
        return links;
    json_decref(links);
    return NULL;
}

static void respond_json(struct device_call *call, const struct operation_result *result) {
    const struct registration *r = directory_find(call->web->server->directory, call->endpoint);
    char header[COAP_CODE_HEADER_MAX];
    const char *why;
    json_t *links = links_json(result->body, r == NULL ? SLICE_NONE : registration_root(r), &why);
    if (links == NULL) {
        device_problem_undecodable(call, result, why);
        return;
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "path", json_string(call->target));
    json_object_set_new(answer, "links", links);
    coap_code_header(result->message->code, header);
    document_send(device_call_end(call), 200, "application/json", header, answer);
}

static void on_answered(struct device_call *call, const struct operation_result *result) {
    struct discovery *discovery = (struct discovery *)call;
    char header[COAP_CODE_HEADER_MAX];
    int format;
    if (!device_problem_if_any(call, result))
        return;
    format = coap_content_format(result->message);
    if (discovery->form == HTTP_FORM_LINKS) {
        coap_code_header(result->message->code, header);
        http_respond(device_call_end(call), &(struct http_response){.status = 200,
                                                                    .content_type = http_form_type(HTTP_FORM_LINKS),
                                                                    .headers = header,
                                                                    .body = result->body});
    } else if (result->message->code != COAP_2_05_CONTENT) {
        device_problem_undecodable(call, result, "an answer with content is 2.05");
    } else if (format != COAP_FORMAT_LINK && format != COAP_FORMAT_NONE) {
        device_problem_undecodable(call, result, "the answer to a Discover is link format (40)");
    } else {
        respond_json(call, result);
    }
}

void v1_discover(const struct call *call) {
    struct target target;
    uint64_t depth = 0;
    char query[16] = "";
    if (!target_read(call, &target) || !input_number(call, "depth", 0, 3, &depth))
        return;
    if (input_given(call, "depth")) {
        if (!target_allows(call, &target, LWM2M_1_2, "depth"))
            return;
        snprintf(query, sizeof query, "depth=%u", (unsigned)depth);
    }
    enum http_form form = http_form_wanted(call->request, 1 << HTTP_FORM_JSON | 1 << HTTP_FORM_LINKS);
    if (form == HTTP_FORM_OTHER) {
        problem_send(call->request, PROBLEM_NOT_ACCEPTABLE,
                     "The answer can be application/json or application/link-format.");
        return;
    }
    struct discovery *discovery = device_call_new(call, sizeof *discovery, target.text, on_answered);
    if (discovery == NULL)
        return;
    discovery->form = form;
    device_call_send(&discovery->call, &(struct operation_request){.method = COAP_GET,
                                                                   .path = slice_str(target.text),
                                                                   .query = slice_str(query),
                                                                   .accept = COAP_FORMAT_LINK,
                                                                   .content_format = COAP_FORMAT_NONE});
}
