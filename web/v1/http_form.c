#include "web/v1/http_form.h"

#include <strings.h>

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

static struct slice trim(struct slice text) {
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = slice_from(text, 1);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* What comes before `separator`; the rest is left in *text. */
static struct slice cut(struct slice *text, uint8_t separator) {
    const uint8_t *end = text->len == 0 ? NULL : memchr(text->data, separator, text->len);
    struct slice part = end == NULL ? *text : slice_of(text->data, (size_t)(end - text->data));
    *text = slice_from(*text, part.len + 1);
    return trim(part);
}

static bool same(struct slice text, const char *word) {
    return text.len == strlen(word) && (text.len == 0 || strncasecmp((const char *)text.data, word, text.len) == 0);
}

/* The weight in thousandths: `q=0.5`. What is no weight is 1. */
static unsigned weight_of(struct slice parameters) {
    while (parameters.len > 0) {
        struct slice parameter = cut(&parameters, ';');
        unsigned weight = 0, unit = 100;
        if (parameter.len < 3 || (parameter.data[0] | 0x20) != 'q' || parameter.data[1] != '=')
            continue;
        if (parameter.data[2] != '0')
            return 1000;
        for (size_t i = 4; i < parameter.len && unit > 0; i++, unit /= 10)
            weight +=
                parameter.data[i] >= '0' && parameter.data[i] <= '9' ? unit * (unsigned)(parameter.data[i] - '0') : 0;
        return weight;
    }
    return 1000;
}

/* How exactly a range names a type: 3 the type, 2 its kind, 1 anything, 0 not at all. */
static unsigned exactness(struct slice range, const char *type) {
    size_t kind = strcspn(type, "/") + 1;
    if (same(range, type))
        return 3;
    if (range.len == kind + 1 && range.data[kind] == '*' && strncasecmp((const char *)range.data, type, kind) == 0)
        return 2;
    return same(range, "*/*") ? 1 : 0;
}

static unsigned wish_for(struct slice accept, const char *type) {
    unsigned best = 0, weight = 0;
    while (accept.len > 0) {
        struct slice item = cut(&accept, ',');
        unsigned fits = exactness(cut(&item, ';'), type);
        if (fits > best) {
            best = fits;
            weight = weight_of(item);
        }
    }
    return weight;
}

enum http_form http_form_wanted(const struct http_request *request, unsigned offered) {
    struct slice accept = http_header(request, "accept");
    enum http_form wanted = HTTP_FORM_OTHER;
    unsigned most = 0;
    if (accept.data == NULL || trim(accept).len == 0)
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
    struct slice type = cut(&header, ';');
    if (type.len == 0 || same(type, "application/x-www-form-urlencoded"))
        return HTTP_FORM_DEFAULT;
    for (enum http_form form = 0; form < HTTP_FORM_COUNT; form++) {
        if (same(type, types[form]))
            return form;
    }
    return HTTP_FORM_OTHER;
}
