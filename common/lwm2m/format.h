/* The content formats of LwM2M (Core 1.2 §7.5): their numbers and names, where each may stand, and one way in and out of
 * all that carry values. */
#ifndef BERTH_LWM2M_FORMAT_H
#define BERTH_LWM2M_FORMAT_H

#include "common/lwm2m/cbor.h"
#include "common/lwm2m/senml.h"

/* By the number of the Content-Format and Accept options. */
enum lwm2m_format {
    LWM2M_FORMAT_NONE = -1, /* no content format of LwM2M */
    LWM2M_FORMAT_TEXT = 0,
    LWM2M_FORMAT_LINK = 40,
    LWM2M_FORMAT_OPAQUE = 42,
    LWM2M_FORMAT_CBOR = 60,
    LWM2M_FORMAT_SENML_JSON = 110,
    LWM2M_FORMAT_SENML_CBOR = 112,
    LWM2M_FORMAT_SENML_ETCH_JSON = 320,
    LWM2M_FORMAT_SENML_ETCH_CBOR = 322,
    LWM2M_FORMAT_TLV = 11542,
    LWM2M_FORMAT_JSON = 11543,
    LWM2M_FORMAT_LWM2M_CBOR = 11544,
};

/* What a payload is for. */
enum lwm2m_format_use {
    LWM2M_USE_RESOURCE, /* Read, Write, Notify of a single resource */
    LWM2M_USE_RESOURCE_INSTANCE,
    LWM2M_USE_INSTANCE, /* of an object instance or object; multi-instance resources, too */
    LWM2M_USE_FETCH,    /* the body of a Read-Composite or Observe-Composite */
    LWM2M_USE_IPATCH,   /* the body of a Write-Composite */
    LWM2M_USE_COMPOSITE_ANSWER,
    LWM2M_USE_SEND,
    LWM2M_USE_BOOTSTRAP_RESOURCE, /* Bootstrap-Write of a resource */
    LWM2M_USE_BOOTSTRAP,          /* Bootstrap-Write of more, Bootstrap-Pack */
};

/* The format with this number, which may be one of those that clients used before there were registered ones: 1541, 1542,
 * 1543 and 99. */
enum lwm2m_format lwm2m_format_of(int content_format);

/* `senml-cbor` as the API has it; "none" for LWM2M_FORMAT_NONE. */
const char *lwm2m_format_name(enum lwm2m_format format);

/* LWM2M_FORMAT_NONE when there is none of this name. */
enum lwm2m_format lwm2m_format_from_name(struct slice name);

/* Whether payloads for this use may have this format. Opaque is for values of type Opaque only. */
bool lwm2m_format_allows(enum lwm2m_format format, enum lwm2m_format_use use);

struct lwm2m_decode_context {
    struct lwm2m_path base; /* path of the request; the root for composite operations and Send */
    struct slice root;      /* the client's alternate path; empty or `/` when it has none */
    int64_t now_ms;         /* when the payload was received, in milliseconds since 1970 */
    enum senml_mode mode;   /* SENML_FETCH and SENML_PATCH: the body of a composite request */

    /* The type that the definition of a resource has; RAW when it is not known. NULL: none is. */
    enum lwm2m_type (*type_of)(void *arg, const struct lwm2m_path *path);
    void *arg;
};

/* Decode a payload whose Content-Format is `content_format`, legacy numbers included. Where `type_of` knows the type,
 * values have it; else they have what the format tells, which is RAW in TLV and STRING in text. Values point into
 * `payload` or into `scratch`, which has room enough when it has twice as many bytes free as the payload. A format that
 * is unknown, has no place there or tells no values is an error as any other. False: out->remark says why; else it says
 * what was tolerated or is NULL. */
bool lwm2m_decode(int content_format, struct slice payload, const struct lwm2m_decode_context *context,
                  struct buffer *scratch, struct lwm2m_nodes *out);

struct lwm2m_encode_context {
    struct lwm2m_path base;
    struct slice root;
    enum senml_mode mode;
    enum cbor_time time; /* how Time is written in SenML CBOR and LwM2M CBOR; in CBOR it is tagged */
};

/* Encode nodes at or below the base; in formats for one value, the one node at the base. False when the format can't tell
 * them, has no place there, or they do not fit. */
bool lwm2m_encode(int content_format, const struct lwm2m_node *nodes, size_t count,
                  const struct lwm2m_encode_context *context, struct buffer *out);

#endif
