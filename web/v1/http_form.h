/* The forms that data has over HTTP: which one a client wants, and which one its body has. */
#ifndef BERTH_WEB_V1_HTTP_FORM_H
#define BERTH_WEB_V1_HTTP_FORM_H

#include "web/http.h"

enum http_form {
    HTTP_FORM_JSON, /* application/json: ours (value_json.h) */
    HTTP_FORM_TEXT, /* text/plain: one value */
    HTTP_FORM_SENML_JSON,
    HTTP_FORM_SENML_CBOR,
    HTTP_FORM_CBOR,  /* one value as an item, more as LwM2M CBOR has them */
    HTTP_FORM_BYTES, /* application/octet-stream */
    HTTP_FORM_LINKS, /* application/link-format */
    HTTP_FORM_TLV,
    HTTP_FORM_OMA_JSON,
    HTTP_FORM_LWM2M_CBOR,
    HTTP_FORM_PCAPNG, /* a capture for Wireshark, by two names */
    HTTP_FORM_PCAP,
    HTTP_FORM_LESHAN, /* nodes of the Leshan demo server (web/leshan/node.h), for calls from within */
    HTTP_FORM_PELION, /* for calls from within, too: one value as text or bytes, more as TLV, what is not understood as it is */
    HTTP_FORM_COUNT,
    HTTP_FORM_DEFAULT, /* the request does not say */
    HTTP_FORM_OTHER,   /* one that nobody knows */
};

/* "application/senml+json". */
const char *http_form_type(enum http_form form);

/* By the Accept header (RFC 9110 §12.5.1): the form among `offered` (bits `1 << form`) that the client wants most, the
 * first of the enumeration when several are as good. HTTP_FORM_OTHER when it wants none of them, HTTP_FORM_DEFAULT when
 * it does not say. */
enum http_form http_form_wanted(const struct http_request *request, unsigned offered);

/* By the Content-Type header; HTTP_FORM_DEFAULT when there is none, or the one that forms of web pages have and curl
 * sends unasked. */
enum http_form http_form_of_body(const struct http_request *request);

#endif
