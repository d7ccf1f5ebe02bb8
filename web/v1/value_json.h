/* Data of LwM2M as JSON, both ways. A value of resource 3/0/9, and an instance:
 *
 *     {"path":"/3/0/9","type":"integer","value":95}
 *     {"path":"/3/0","resources":{"0":{"type":"string","value":"ACME"},"11":{"type":"integer","values":{"0":0}}}}
 *
 * An object has "instances", each with "resources"; the answer to a composite operation has "resources" named by their
 * paths. Integers keep all of their 64 bits; a Float has a point; an Opaque is Base64; a Time has "iso" beside it; an
 * object link is "3:0". What has no such form (RAW, text that is not UTF-8) is there as "value_b64". */
#ifndef BERTH_WEB_V1_VALUE_JSON_H
#define BERTH_WEB_V1_VALUE_JSON_H

#include "common/lwm2m/node.h"

struct value_json_options {
    const char *oddity; /* what was tolerated; NULL: nothing */

    /* The name of an object or resource for people, or NULL. NULL: none is written. */
    const char *(*name_of)(void *arg, const struct lwm2m_path *path);
    void *arg;
};

/* At least as many bytes as value_json_put writes. */
size_t value_json_size(const struct lwm2m_node *nodes, size_t count, const struct value_json_options *options);

/* The object for what is at and below `base`, but for its last brace: members may follow. The nodes are arranged
 * (lwm2m_nodes_arrange). */
void value_json_put(struct buffer *out, const struct lwm2m_path *base, const struct lwm2m_node *nodes, size_t count,
                    const struct value_json_options *options);

/* How to read. */
struct value_json_context {
    /* The type that the definition of a resource has; RAW when it is not known. NULL: none is. */
    enum lwm2m_type (*type_of)(void *arg, const struct lwm2m_path *path);
    void *arg;
    bool may_remove;        /* null is a value: NONE */
    struct buffer *scratch; /* enough is four times as many bytes free as the text has, and 64 */
};

/* What is wrong, and with which value; of what is no JSON also where, as the number of bytes before it. */
struct value_json_fault {
    const char *why;
    struct lwm2m_path path;
    bool is_syntax;
    size_t at;
};

/* Read what is to be written to `base`, two to four ids. Short forms are read, too: the bare value, without its object.
 * Types need not be given: they are the definition's, else JSON's. Values point into `text` or the scratch. False:
 * *fault says why. */
bool value_json_read(struct slice text, const struct lwm2m_path *base, const struct value_json_context *context,
                     struct lwm2m_nodes *out, struct value_json_fault *fault);

/* Read what is to be created in an object: {"instance":5,"resources":{…}}, or without an id, which is then
 * LWM2M_ID_NONE, or {"instances":{"5":{"resources":{…}}}}. */
bool value_json_read_create(struct slice text, uint16_t object, const struct value_json_context *context,
                            struct lwm2m_nodes *out, struct value_json_fault *fault);

/* Read {"/3/0/14":"+01","/1/0":{"resources":{…}}}. */
bool value_json_read_composite(struct slice text, const struct value_json_context *context, struct lwm2m_nodes *out,
                               struct value_json_fault *fault);

#endif
