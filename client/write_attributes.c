/* Write-Attributes (Core 1.2 §6.3.4): all that the query says, or nothing. */
#include "client/device.h"
#include "client/request.h"

void write_attributes_answer(struct device *device, const struct target *target, const struct coap_request *request,
                             struct answer *answer) {
    const struct coap_message *message = request->message;
    const struct resource *resource = target->resource;
    struct attributes attributes = attribute_list_at(&device->attributes, &target->path);
    unsigned seen = 0;
    if (!target_exists(target)) {
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
        return;
    }
    if (resource != NULL && (resource->operations & OPERATION_R) == 0) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be observed");
        return;
    }
    if (request->body.len > 0 || coap_content_format(message) != COAP_FORMAT_NONE) {
        answer_with(answer, COAP_4_00_BAD_REQUEST, "attributes are written without content");
        return;
    }
    for (size_t i = 0; i < message->option_count; i++) {
        enum attribute which;
        const char *why;
        if (message->options[i].number != COAP_URI_QUERY)
            continue;
        if (!attributes_read(&attributes, message->options[i].value, device->options->version,
                             resource == NULL ? LWM2M_NONE : resource->type, &which, &why)) {
            answer_with(answer, COAP_4_00_BAD_REQUEST, why);
            return;
        }
        if ((seen & 1u << which) != 0) {
            answer_with(answer, COAP_4_00_BAD_REQUEST, "an attribute comes twice");
            return;
        }
        seen |= 1u << which;
    }
    if (!attributes_agree(&attributes)) {
        answer_with(answer, COAP_4_00_BAD_REQUEST, "the attributes contradict each other");
        return;
    }
    if (!attribute_list_set(&device->attributes, &target->path, &attributes)) {
        answer_with(answer, COAP_5_00_INTERNAL_SERVER_ERROR, NULL);
        return;
    }
    observer_changed(&device->observer, &target->path);
    answer->code = COAP_2_04_CHANGED;
}
