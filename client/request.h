/* What the server asks of the device: the device management interface (Core 1.2 §6.3). Read, Discover, Write,
 * Write-Attributes, Execute, Create, Delete, Read-Composite and Write-Composite are spoken, in every content format of
 * the device's release of LwM2M, and Observe, Observe-Composite and their cancelling (§6.4). */
#ifndef BERTH_CLIENT_REQUEST_H
#define BERTH_CLIENT_REQUEST_H

#include "common/coap/endpoint.h"
#include "common/lwm2m/format.h"

struct device;
struct instance;
struct object;
struct resource;

/* Answer a request, and report that. */
void request_answer(struct device *device, const struct coap_request *request);

/* An answer as it is made; `payload` is empty at first. */
struct answer {
    uint8_t code;
    int format;             /* of the payload, or COAP_FORMAT_NONE */
    const char *diagnostic; /* why not, or NULL */
    struct buffer payload;  /* over the device's workspace */
    bool has_observe;
    uint32_t observe;           /* value of the Observe option */
    struct lwm2m_path location; /* Location-Path of what was created; the root: none */
};

enum { NODES_MAX = 1024 /* values that are read or written at once */ };

/* What a path means: as far as it reaches, with NULL beyond. */
struct target {
    struct lwm2m_path path;
    struct object *object;
    struct instance *instance;
    const struct resource *resource;
};

/* Fill in what `target->path` means. False when there is nothing under it; of a resource instance that is not known. */
bool target_find(struct device *device, struct target *target);

/* Servers reach it: it is not the bootstrap server's alone. */
bool target_is_open(const struct target *target);

/* What was found has a value or a function, down to the resource instance. */
bool target_exists(const struct target *target);

/* What data about the target is. Its path has one id at least. */
enum lwm2m_format_use target_use(const struct target *target);

/* The operations. The path of `target` has at least one id and exists, except for the resource instance, if it names
 * one. */
void read_answer(struct device *device, const struct target *target, int accept, struct answer *answer);
void discover_answer(const struct device *device, const struct target *target, unsigned depth, struct answer *answer);
void execute_answer(const struct target *target, const struct coap_request *request, struct answer *answer);

/* `target` is an object; what is created is in the payload (Core 1.2 §6.3.6). */
void create_answer(struct device *device, const struct target *target, const struct coap_request *request,
                   struct answer *answer);

/* An object instance or a resource instance (Core 1.2 §6.3.7). */
void delete_answer(struct device *device, const struct target *target, struct answer *answer);

void write_attributes_answer(struct device *device, const struct target *target, const struct coap_request *request,
                             struct answer *answer);

/* Append what is at and below the path, the root included, and can be read, unless the list has it already. False when
 * the list is full. */
bool read_collect(struct device *device, const struct lwm2m_path *path, struct lwm2m_nodes *nodes);

/* Requests about the root (Core 1.2 §6.3.8, §6.3.9). `asked` gets the paths that were asked for. */
void read_composite_answer(struct device *device, const struct coap_request *request, struct lwm2m_nodes *asked,
                           struct answer *answer);
void write_composite_answer(struct device *device, const struct coap_request *request, struct answer *answer);

/* `replace`: what the payload does not name is gone afterwards, else it stays (Core 1.2 §6.3.3). Everything is written
 * or nothing. */
void write_answer(struct device *device, const struct target *target, const struct coap_request *request, bool replace,
                  struct answer *answer);

/* What Write and Create share: decode the body as data at `base`. False: `answer` says why. */
bool write_decode(struct device *device, const struct coap_request *request, const struct lwm2m_path *base,
                  enum senml_mode mode, int format, struct lwm2m_nodes *nodes, struct answer *answer);

/* The node has a value that may be given to the resource of its path. */
bool write_is_good(const struct resource *resource, const struct lwm2m_node *node, struct answer *answer);

static inline void answer_with(struct answer *answer, uint8_t code, const char *diagnostic) {
    answer->code = code;
    answer->diagnostic = diagnostic;
}

#endif
