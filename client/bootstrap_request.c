/* What the bootstrap server asks of the device: Delete, Discover, Read, Write and Finish (Core 1.2 §6.1.7). It reaches what
 * no other server does, and objects are written as a whole, where the instances that are not named stay. */
#include "client/device.h"
#include "client/format.h"
#include "client/request.h"

enum { KEPT_BYTES_MAX = 512 * 1024, INSTANCE_KEPT_MAX = 64 * 1024 };

static bool refuse(struct answer *answer, uint8_t code, const char *why) {
    answer_with(answer, code, why);
    return false;
}

/* ---- Delete ---- */

/* The Device object and the bootstrap server's own account stay (§6.1.7.6), and what the device cannot be without. */
static bool may_go(const struct device *device, const struct object *object, uint16_t instance) {
    if (object->kind->by_bootstrap)
        return !server_account_is_bootstraps(device, object->id, instance);
    return object->creatable;
}

static void delete_all_of(struct device *device, struct object *object) {
    for (size_t i = object->instance_count; i > 0; i--) {
        uint16_t id = object->instances[i - 1].id;
        const struct lwm2m_path path = {.ids = {object->id, id}, .len = 2};
        if (!may_go(device, object, id))
            continue;
        object_delete(object, id);
        attribute_list_remove(&device->attributes, &path);
    }
}

static void answer_delete(struct device *device, const struct lwm2m_path *path, struct answer *answer) {
    struct object *object = path->len == 0 ? NULL : device_object(device, path->ids[0]);
    answer->code = COAP_2_02_DELETED;
    if (path->len > 2) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "only objects and instances can be deleted");
    } else if (path->len == 0) {
        /* Whose account it is, Security tells: it goes last. */
        for (size_t i = device->object_count; i > 0; i--)
            delete_all_of(device, &device->objects[i - 1]);
    } else if (object == NULL || (path->len == 2 && object_instance(object, path->ids[1]) == NULL)) {
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
    } else if (!object->kind->by_bootstrap && !object->creatable) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "instances of this object cannot be deleted");
    } else if (path->len == 1) {
        delete_all_of(device, object);
    } else if (!may_go(device, object, path->ids[1])) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "it is the account of the bootstrap server");
    } else {
        object_delete(object, path->ids[1]);
        attribute_list_remove(&device->attributes, path);
    }
}

/* ---- Discover (§6.1.7.3) ---- */

/* The Short Server ID that an instance of Security, Server or OSCORE belongs to; 0: none. */
static uint64_t short_id_of(const struct device *device, const struct object *object, const struct instance *instance) {
    const struct object *security = device_object(device, ACCOUNT_SECURITY);
    if (server_account_is_bootstraps(device, object->id, instance->id))
        return 0;
    if (object->id == ACCOUNT_SECURITY)
        return server_account_number(instance, SECURITY_SHORT_ID, 0);
    if (object->id == ACCOUNT_SERVER)
        return server_account_number(instance, SERVER_SHORT_ID, 0);
    for (size_t i = 0; object->id == ACCOUNT_OSCORE && i < security->instance_count; i++) {
        const struct lwm2m_value *link = instance_value(&security->instances[i], SECURITY_OSCORE, 0);
        if (link != NULL && link->type == LWM2M_OBJLNK && link->link.object == ACCOUNT_OSCORE &&
            link->link.instance == instance->id)
            return server_account_number(&security->instances[i], SECURITY_SHORT_ID, 0);
    }
    return 0;
}

/* Addresses came with 1.1. What a quoted string cannot have is left out. */
static void put_uri(const struct device *device, const struct instance *security, struct buffer *out) {
    struct slice uri = server_account_bytes(security, SECURITY_URI);
    if (device->options->version == 10 || uri.len == 0 || memchr(uri.data, '"', uri.len) != NULL ||
        memchr(uri.data, '\\', uri.len) != NULL)
        return;
    buffer_put_str(out, ";uri=\"");
    buffer_put_slice(out, uri);
    buffer_put_u8(out, '"');
}

static void put_object(const struct device *device, const struct object *object, struct buffer *out) {
    bool has_version = object->version != OBJECT_VERSION_1_0;
    if (has_version || object->instance_count == 0) {
        buffer_printf(out, ",</%u>", object->id);
        object_put_version(object, out);
    }
    for (size_t i = 0; i < object->instance_count; i++) {
        const struct instance *instance = &object->instances[i];
        uint64_t short_id = short_id_of(device, object, instance);
        buffer_printf(out, ",</%u/%u>", object->id, instance->id);
        if (short_id > 0)
            buffer_printf(out, ";ssid=%u", (unsigned)short_id);
        if (object->id == ACCOUNT_SECURITY)
            put_uri(device, instance, out);
    }
}

static void answer_discover(const struct device *device, const struct lwm2m_path *path, struct answer *answer) {
    uint8_t version = device->options->version;
    const struct object *object = path->len == 0 ? NULL : device_object(device, path->ids[0]);
    if (path->len > 1) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "objects are discovered, or everything");
        return;
    }
    if (path->len == 1 && object == NULL) {
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
        return;
    }
    buffer_printf(&answer->payload, "</>;lwm2m=%u.%u", version / 10, version % 10);
    for (size_t i = 0; i < device->object_count; i++) {
        if (object == NULL || object == &device->objects[i])
            put_object(device, &device->objects[i], &answer->payload);
    }
    answer->code = COAP_2_05_CONTENT;
    answer->format = COAP_FORMAT_LINK;
}

/* ---- Read (§6.1.7.4) ---- */

static void answer_read(struct device *device, const struct lwm2m_path *path, int accept, struct answer *answer) {
    struct target target = {.path = *path};
    bool is_readable = path->len > 0 && (path->ids[0] == ACCOUNT_SERVER || path->ids[0] == ACCOUNT_ACCESS);
    if (device->options->version == 10 || !is_readable || path->len > 2)
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "only Server and Access Control are read");
    else if (!target_find(device, &target))
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
    else
        read_answer(device, &target, accept, answer);
}

/* ---- Write (§6.1.7.5) ---- */

/* What the device does not have is passed over, unless it is a whole object. */
static bool judge(const struct device *device, const struct lwm2m_node *node, struct answer *answer) {
    const struct lwm2m_path *path = &node->path;
    const struct object *object = path->len == 0 ? NULL : device_object(device, path->ids[0]);
    if (object == NULL)
        return refuse(answer, COAP_4_04_NOT_FOUND, "there is no such object");
    if (path->len < 2)
        return true;
    if (path->ids[1] == LWM2M_ID_NONE)
        return refuse(answer, COAP_4_00_BAD_REQUEST, "it is not told which instance is written");
    if (!object->kind->by_bootstrap && !object->creatable && object_instance(object, path->ids[1]) == NULL)
        return refuse(answer, COAP_4_05_METHOD_NOT_ALLOWED, "instances of this object cannot be created");
    const struct resource *resource = path->len < 3 ? NULL : object_resource(object, path->ids[2]);
    if (resource == NULL)
        return true;
    if ((resource->operations & OPERATION_E) != 0)
        return refuse(answer, COAP_4_00_BAD_REQUEST, "a function has no value");
    if (node->value.type == LWM2M_NONE && path->len == 3 && resource->multiple)
        return true;
    return write_is_good(resource, node, answer);
}

static bool begins_instance(const struct lwm2m_nodes *nodes, size_t at) {
    const struct lwm2m_path *path = &nodes->nodes[at].path;
    return path->len > 1 && (at == 0 || nodes->nodes[at - 1].path.len < 2 ||
                             memcmp(path->ids, nodes->nodes[at - 1].path.ids, 2 * sizeof path->ids[0]) != 0);
}

static bool has_room(const struct device *device, const struct lwm2m_nodes *nodes, size_t body_len) {
    size_t kept = body_len, added;
    for (size_t i = 0; i < device->object_count; i++) {
        const struct object *object = &device->objects[i];
        added = 0;
        for (size_t k = 0; k < nodes->count; k++)
            added += begins_instance(nodes, k) && nodes->nodes[k].path.ids[0] == object->id &&
                     object_instance(object, nodes->nodes[k].path.ids[1]) == NULL;
        if (object->instance_count + added > OBJECT_INSTANCES_MAX)
            return false;
        for (size_t k = 0; object->kind->by_bootstrap && k < object->instance_count; k++)
            kept += object->instances[k].bytes + sizeof(struct cell) * object->instances[k].cell_count;
    }
    return kept <= KEPT_BYTES_MAX;
}

/* The instance as it is before its values are written: of an account empty, if it is written as a whole. */
static struct instance *make_instance(struct object *object, uint16_t id, bool is_whole) {
    struct instance *instance = object_instance(object, id);
    if (instance != NULL && is_whole && object->kind->by_bootstrap)
        object_delete(object, id);
    if (instance == NULL || (is_whole && object->kind->by_bootstrap))
        instance = object_create(object, id);
    return instance;
}

static void write_value(struct object *object, struct instance *instance, const struct lwm2m_node *node) {
    const struct resource *resource = object_resource(object, node->path.ids[2]);
    uint16_t resource_instance = node->path.len == 4 ? node->path.ids[3] : 0;
    if (resource == NULL || node->value.type == LWM2M_NONE)
        return;
    if (object->kind->by_bootstrap)
        object_store(object, instance, resource->id, resource_instance, node->value);
    else
        object_write(object, instance, resource, resource_instance, &node->value);
}

/* The instances that a multiple resource had go when it is written. */
static void clear_resource(struct object *object, struct instance *instance, const struct lwm2m_nodes *nodes,
                           size_t at) {
    const struct lwm2m_path *path = &nodes->nodes[at].path;
    const struct resource *resource = path->len < 3 ? NULL : object_resource(object, path->ids[2]);
    bool begins = at == 0 || nodes->nodes[at - 1].path.len < 3 ||
                  memcmp(path->ids, nodes->nodes[at - 1].path.ids, 3 * sizeof path->ids[0]) != 0;
    if (resource != NULL && resource->multiple && begins)
        object_clear(object, instance, resource->id);
}

/* The nodes of an instance stand together, and those of a resource. */
static void write_all(struct device *device, const struct lwm2m_nodes *nodes, bool is_whole) {
    struct object *object = NULL;
    struct instance *instance = NULL;
    for (size_t i = 0; i < nodes->count; i++) {
        const struct lwm2m_path *path = &nodes->nodes[i].path;
        if (path->len < 2)
            continue;
        if (begins_instance(nodes, i)) {
            object = device_object(device, path->ids[0]);
            instance = make_instance(object, path->ids[1], is_whole);
        }
        clear_resource(object, instance, nodes, i);
        if (path->len > 2)
            write_value(object, instance, &nodes->nodes[i]);
        instance->is_kept = !object->kind->by_bootstrap && instance->bytes <= INSTANCE_KEPT_MAX;
    }
}

/* Everything or nothing. */
static bool write_body(struct device *device, const struct lwm2m_path *path, int format, struct slice body,
                       struct answer *answer) {
    struct lwm2m_node memory[NODES_MAX];
    struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, NODES_MAX);
    const struct coap_request request = {.body = body};
    enum lwm2m_format_use use = path->len < 3 ? LWM2M_USE_BOOTSTRAP : LWM2M_USE_BOOTSTRAP_RESOURCE;
    if (!format_is_spoken(format, use, device->options->version))
        return refuse(answer, COAP_4_15_UNSUPPORTED_CONTENT_FORMAT, NULL);
    if (!write_decode(device, &request, path, SENML_CONTENT, format, &nodes, answer))
        return false;
    for (size_t i = 0; i < nodes.count; i++) {
        if (!judge(device, &nodes.nodes[i], answer))
            return false;
    }
    if (!has_room(device, &nodes, body.len))
        return refuse(answer, COAP_4_13_REQUEST_ENTITY_TOO_LARGE, "there is no room for so much");
    write_all(device, &nodes, path->len < 3);
    answer->code = COAP_2_04_CHANGED;
    return true;
}

static void answer_write(struct device *device, const struct lwm2m_path *path, const struct coap_request *request,
                         struct answer *answer) {
    int format = coap_content_format(request->message);
    const struct object *object = path->len == 0 ? NULL : device_object(device, path->ids[0]);
    if (path->len == 0)
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "an object is written, or what it has");
    else if (object == NULL)
        answer_with(answer, COAP_4_04_NOT_FOUND, "there is no such object");
    else if (path->len > 2 && object_resource(object, path->ids[2]) == NULL)
        answer_with(answer, COAP_4_04_NOT_FOUND, "there is no such resource");
    else
        write_body(device, path, format == COAP_FORMAT_NONE ? (int)LWM2M_FORMAT_TEXT : format, request->body, answer);
}

/* What was there and is not the bootstrap server's gives way. */
bool bootstrap_take_pack(struct device *device, int format, struct slice body, struct answer *answer) {
    static const uint16_t objects[] = {ACCOUNT_COSE, ACCOUNT_OSCORE, ACCOUNT_ACCESS, ACCOUNT_SERVER, ACCOUNT_SECURITY};
    static const struct lwm2m_path root = {.len = 0};
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++)
        delete_all_of(device, device_object(device, objects[i]));
    return write_body(device, &root, format, body, answer);
}

/* ---- all of them ---- */

static void answer_finish(struct device *device, struct answer *answer) {
    const char *problem = bootstrap_finish(&device->bootstrap);
    answer_with(answer, problem == NULL ? COAP_2_04_CHANGED : COAP_4_06_NOT_ACCEPTABLE, problem);
}

static void answer_get(struct device *device, const struct lwm2m_path *path, const struct coap_message *message,
                       struct answer *answer) {
    uint32_t accept;
    bool has_accept = coap_option_uint(message, COAP_ACCEPT, &accept);
    if (has_accept && accept == COAP_FORMAT_LINK)
        answer_discover(device, path, answer);
    else
        answer_read(device, path, has_accept ? (int)accept : COAP_FORMAT_NONE, answer);
}

void bootstrap_answer(struct device *device, const struct coap_request *request, struct slice path_text,
                      struct answer *answer) {
    const struct coap_message *message = request->message;
    struct lwm2m_path path;
    bootstrap_touch(&device->bootstrap);
    if (slice_is(path_text, "/bs")) {
        if (message->code == COAP_POST)
            answer_finish(device, answer);
        else
            answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "a Bootstrap-Finish is a POST");
        return;
    }
    if (!lwm2m_path_parse(path_text, &path, NULL)) {
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
        return;
    }
    switch (message->code) {
    case COAP_GET:
        answer_get(device, &path, message, answer);
        return;
    case COAP_PUT:
        answer_write(device, &path, request, answer);
        return;
    case COAP_DELETE:
        answer_delete(device, &path, answer);
        return;
    default:
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "bootstrap has no such command");
        return;
    }
}
