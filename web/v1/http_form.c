#include "web/v1/http_form.h"

#include <strings.h>

#include "web/field.h"

static const char *const types[HTTP_FORM_COUNT] = {
    [HTTP_FORM_JSON] = "application/json",
    [HTTP_FORM_TEXT] = "text/plain",
    [HTTP_FORM_SENML_JSON] = "application/senml+json",
    [HTTP_FORM_SENML_CBOR] = "application/senml+cbor",
    [HTTP_FORM_CBOR] = "application/cbor",
    [HTTP_FORM_BYTES] = "application/octet-stream",
    [HTTP_FORM_LINKS] = "application/link-format",
    [HTTP_FORM_TLV] = "application/vnd.oma.lwm2m+tlv",
    [HTTP_FORM_OMA_JSON] = "application/vnd.oma.lwm2m+json",
    [HTTP_FORM_LWM2M_CBOR] = "application/vnd.oma.lwm2m+cbor",
    [HTTP_FORM_PCAPNG] = "application/x-pcapng",
    [HTTP_FORM_LESHAN] = "application/vnd.berth.leshan+json",
    [HTTP_FORM_PELION] = "application/vnd.berth.pelion",
    [HTTP_FORM_PCAP] = "application/vnd.tcpdump.pcap",
};

const char *http_form_type(enum http_form form) {
    return types[form];
}

/* How exactly a range names a type: 3 the type, 2 its kind, 1 anything, 0 not at all. */
static unsigned exactness(struct slice range, const char *type) {
    size_t kind = strcspn(type, "/") + 1;
    if (field_is(range, type))
        return 3;
    if (range.len == kind + 1 && range.data[kind] == '*' && strncasecmp((const char *)range.data, type, kind) == 0)
        return 2;
    return field_is(range, "*/*") ? 1 : 0;
}

static unsigned wish_for(struct slice accept, const char *type) {
    unsigned best = 0, weight = 0;
    while (accept.len > 0) {
        struct slice item = field_take(&accept, ',');
        unsigned fits = exactness(field_take(&item, ';'), type);
        if (fits > best) {
            best = fits;
            weight = field_weight(item);
        }
    }
    return weight;
}

enum http_form http_form_wanted(const struct http_request *request, unsigned offered) {
    struct slice accept = http_header(request, "accept");
    enum http_form wanted = HTTP_FORM_OTHER;
    unsigned most = 0;
    if (accept.data == NULL || field_trim(accept).len == 0)
        return HTTP_FORM_DEFAULT;
    for (enum http_form form = 0; form < HTTP_FORM_COUNT; form++) {
        unsigned wish = (offered >> form & 1) == 0 ? 0 : wish_for(accept, types[form]);
        if (wish > most) {
            most = wish;
            wanted = form;
        }
    }
    return wanted;
}

enum http_form http_form_of_body(const struct http_request *request) {
    struct slice header = http_header(request, "content-type");
    struct slice type = field_take(&header, ';');
    if (type.len == 0 || field_is(type, "application/x-www-form-urlencoded"))
        return HTTP_FORM_DEFAULT;
    for (enum http_form form = 0; form < HTTP_FORM_COUNT; form++) {
        if (field_is(type, types[form]))
            return form;
    }
    return HTTP_FORM_OTHER;
}
