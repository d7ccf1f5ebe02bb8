/* /v1/bootstrap: what bootstrap gives devices, and what became of a device's last bootstrap. */
#include "server/bootstrap.h"

#include <inttypes.h>
#include <mbedtls/platform_util.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "common/coap/option.h"
#include "common/lwm2m/format.h"
#include "common/oscore/algorithm.h"
#include "server/credential.h"
#include "server/definition.h"
#include "web/document.h"
#include "web/input.h"
#include "web/stored.h"
#include "web/v1/v1.h"
#include "web/v1/value_json.h"
#include "web/web.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000, PROBLEM_MAX = 300, READ_NODES_MAX = 512 };

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

static json_t *path_json(const struct lwm2m_path *path) {
    uint8_t memory[32];
    struct buffer text = buffer_over(memory, sizeof memory);
    lwm2m_path_put(&text, path);
    return document_text(buffer_slice(&text));
}

/* The endpoint that the path names; "" is every other one. */
static struct slice endpoint_of(const struct call *call) {
    return slice_is(call->args[0], "default") ? SLICE_NONE : call->args[0];
}

/* ---- a configuration as JSON: secrets are told to be there, and no more ---- */

static json_t *set_or_made(struct slice secret) {
    return json_string(secret.len > 0 ? "set" : "made");
}

static json_t *hex_json(struct slice bytes) {
    uint8_t memory[2 * CREDENTIAL_CONTEXT_MAX];
    struct buffer text = buffer_over(memory, sizeof memory);
    text_put_hex(&text, bytes);
    return document_text(buffer_slice(&text));
}

static json_t *base64_json(struct slice bytes) {
    size_t size = (bytes.len + 2) / 3 * 4 + 1;
    uint8_t *memory = malloc(size);
    if (memory == NULL)
        return json_null();
    struct buffer text = buffer_over(memory, size);
    text_put_base64(&text, bytes);
    json_t *json = document_text(buffer_slice(&text));
    free(memory);
    return json;
}

static json_t *bytes_or_null(struct slice bytes) {
    return bytes.len == 0 ? json_null() : base64_json(bytes);
}

static json_t *security_json(const struct bootstrap_account *a) {
    json_t *json = json_object();
    if (a->security == BOOTSTRAP_AS_THIS)
        set(json, "mode", json_null());
    else
        set(json, "mode", json_string(bootstrap_security_name(a->security)));
    if (a->security == BOOTSTRAP_PSK) {
        set(json, "identity", a->identity.len == 0 ? json_null() : document_text(a->identity));
        set(json, "key", set_or_made(a->key));
    }
    if (a->security == BOOTSTRAP_RPK || a->security == BOOTSTRAP_X509) {
        bool raw = a->security == BOOTSTRAP_RPK;
        set(json, raw ? "public_key" : "certificate", bytes_or_null(a->public_key));
        set(json, "private_key", set_or_made(a->key));
        set(json, raw ? "server_public_key" : "server_certificate", bytes_or_null(a->server_key));
    }
    if (a->certificate_usage >= 0)
        set(json, "certificate_usage", json_integer(a->certificate_usage));
    if (a->sni.len > 0)
        set(json, "sni", document_text(a->sni));
    return json;
}

static json_t *oscore_json(const struct bootstrap_account *a) {
    json_t *json = json_object();
    set(json, "master_secret", set_or_made(a->secret));
    if (a->secret.len == 0)
        return json;
    set(json, "sender_id_hex", hex_json(a->sender_id));
    set(json, "recipient_id_hex", hex_json(a->recipient_id));
    set(json, "master_salt", a->salt.len > 0 ? json_string("set") : json_null());
    set(json, "id_context_hex", hex_json(a->id_context));
    set(json, "aead", json_string(oscore_aead_of(a->aead)->name));
    return json;
}

static json_t *instance_json(uint16_t instance) {
    return instance == BOOTSTRAP_ID_AUTO ? json_null() : json_integer(instance);
}

static json_t *account_json(const struct bootstrap_account *a) {
    json_t *json = json_object();
    set(json, "uri", a->uri.len == 0 ? json_null() : document_text(a->uri));
    set(json, "bootstrap", json_boolean(a->is_bootstrap));
    if (!a->is_bootstrap) {
        set(json, "short_id", json_integer(a->short_id));
        set(json, "lifetime_s", json_integer(a->lifetime_s));
        set(json, "binding", a->binding.len == 0 ? json_null() : document_text(a->binding));
        set(json, "storing", json_boolean(a->keeps_notifications));
        set(json, "server_instance", instance_json(a->server_instance));
    }
    set(json, "security_instance", instance_json(a->security_instance));
    set(json, "security", security_json(a));
    if (a->has_oscore)
        set(json, "oscore", oscore_json(a));
    if (a->has_oscore && a->oscore_instance != BOOTSTRAP_ID_AUTO)
        set(json, "oscore_instance", json_integer(a->oscore_instance));
    return json;
}

static json_t *paths_json(const struct bootstrap_paths *paths) {
    json_t *json = json_array();
    for (size_t i = 0; i < paths->count; i++)
        json_array_append_new(json, path_json(&paths->paths[i]));
    return json;
}

/* Data as JSON; what can't be told is null. */
static json_t *nodes_json(const struct lwm2m_path *base, const struct lwm2m_node *nodes, size_t count) {
    struct value_json_options options = {.oddity = NULL};
    size_t size = value_json_size(nodes, count, &options) + 2;
    uint8_t *memory = malloc(size);
    json_t *json = NULL;
    if (memory != NULL) {
        struct buffer text = buffer_over(memory, size);
        value_json_put(&text, base, nodes, count, &options);
        buffer_put_u8(&text, '}');
        json = json_loadb((const char *)memory, text.len, 0, NULL);
    }
    free(memory);
    return json == NULL ? json_null() : json;
}

static json_t *writes_json(const struct bootstrap_config *config) {
    json_t *json = json_object();
    for (size_t i = 0; i < config->writes.count; i++) {
        const struct lwm2m_path *target = &config->writes.paths[i];
        bool is_secret = target->ids[0] == 0 || target->ids[0] == 21 || target->ids[0] == 23;
        uint8_t memory[32];
        struct buffer text = buffer_over(memory, sizeof memory - 1);
        size_t first = 0, count = 0;
        lwm2m_path_put(&text, target);
        memory[text.len] = '\0';
        while (first < config->node_count && !lwm2m_path_contains(target, &config->nodes[first].path))
            first++;
        while (first + count < config->node_count && lwm2m_path_contains(target, &config->nodes[first + count].path))
            count++;
        set(json, (const char *)memory,
            is_secret ? json_string("set") : nodes_json(target, config->nodes + first, count));
    }
    return json;
}

static json_t *on_error_json(const struct bootstrap_config *config) {
    json_t *json = json_object();
    for (unsigned verb = 0; verb < BOOTSTRAP_VERB_COUNT; verb++) {
        if (config->on_error[verb] != BOOTSTRAP_DEFAULT)
            set(json, bootstrap_verb_name((enum bootstrap_verb)verb),
                json_string(bootstrap_on_error_name(config->on_error[verb])));
    }
    return json;
}

static json_t *config_json(struct slice endpoint, const struct bootstrap_config *config, const char *source) {
    json_t *json = json_object(), *servers = json_array();
    for (size_t i = 0; i < config->account_count; i++)
        json_array_append_new(servers, account_json(&config->accounts[i]));
    set(json, "endpoint", endpoint.len == 0 ? json_null() : document_text(endpoint));
    set(json, "source", json_string(source));
    set(json, "servers", servers);
    set(json, "discover", config->has_discovers ? paths_json(&config->discovers) : json_null());
    set(json, "read", paths_json(&config->reads));
    set(json, "delete", config->has_deletes ? paths_json(&config->deletes) : json_null());
    set(json, "write", writes_json(config));
    set(json, "format",
        config->format == COAP_FORMAT_NONE ? json_null()
                                           : json_string(lwm2m_format_name((enum lwm2m_format)config->format)));
    set(json, "sequence",
        config->sequence == BOOTSTRAP_BY_CLIENT ? json_null() : json_string(bootstrap_sequence_name(config->sequence)));
    set(json, "on_error", on_error_json(config));
    return json;
}

/* ---- looking ---- */

void v1_bootstrap_list(const struct call *call) {
    const struct bootstrap_configs *configs = call->web->server->bootstrap_configs;
    uint64_t limit = LIST_DEFAULT, cursor = 0;
    struct slice endpoint, bytes;
    if (!input_number(call, "limit", 1, LIST_MAX, &limit) || !input_number(call, "cursor", 0, UINT32_MAX, &cursor))
        return;
    struct bootstrap_config *config = malloc(sizeof *config);
    json_t *items = json_array();
    uint32_t slot = (uint32_t)cursor;
    while (config != NULL && json_array_size(items) < limit &&
           bootstrap_configs_next(configs, &slot, &endpoint, &bytes)) {
        if (bootstrap_config_decode(bytes, config))
            json_array_append_new(items, config_json(endpoint, config, "stored"));
    }
    uint32_t after = slot;
    bool more = bootstrap_configs_next(configs, &after, &endpoint, &bytes);
    json_t *page = json_object();
    set(page, "items", items);
    set(page, "next", more ? json_sprintf("%" PRIu32, slot) : json_null());
    free(config);
    document_ok(call->request, page);
}

void v1_bootstrap_get(const struct call *call) {
    struct slice endpoint = endpoint_of(call);
    struct bootstrap_config *config = malloc(sizeof *config);
    bool is_own;
    if (config == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    if (!bootstrap_config_of(call->web->server, endpoint, config, &is_own) || (!is_own && endpoint.len > 0))
        problem_send(call->request, PROBLEM_NOT_FOUND,
                     "\"%.*s\" has no bootstrap configuration of its own; the default one holds for it.",
                     (int)endpoint.len, (const char *)endpoint.data);
    else
        document_ok(call->request, config_json(endpoint, config, is_own ? "stored" : "built-in"));
    free(config);
}

/* ---- putting ---- */

/* A body on its way to a configuration, with room for what is decoded. Zeroed afterwards. */
struct input {
    const struct call *call;
    const json_t *body;
    struct bootstrap_config config;
    struct buffer room;
    char where[40]; /* "servers[0].security." */
};

static bool __attribute__((format(printf, 2, 3))) refuse(const struct input *in, const char *format, ...) {
    char text[PROBLEM_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    problem_send(in->call->request, PROBLEM_BAD_BODY, "%s.", text);
    return false;
}

static bool check_members(const struct input *in, const json_t *object, const char *const *members) {
    const char *unknown = document_unknown_member(object, members);
    return unknown == NULL || refuse(in, "%s%s is unknown", in->where, unknown);
}

/* Absent and null are the same, here and below: left out. */
static const json_t *get(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

static bool read_text(struct input *in, const json_t *object, const char *name, size_t max, struct slice *text) {
    const json_t *value = get(object, name);
    if (value == NULL)
        return true;
    *text = document_string(value);
    return (json_is_string(value) && text->len >= 1 && text->len <= max) ||
           refuse(in, "%s%s must be a string of 1 to %zu bytes", in->where, name, max);
}

static bool read_bool(struct input *in, const json_t *object, const char *name, bool *truth) {
    const json_t *value = get(object, name);
    if (value == NULL)
        return true;
    *truth = json_is_true(value);
    return json_is_boolean(value) || refuse(in, "%s%s must be true or false", in->where, name);
}

static bool read_number(struct input *in, const json_t *object, const char *name, json_int_t min, json_int_t max,
                        json_int_t *number) {
    const json_t *value = get(object, name);
    if (value == NULL)
        return true;
    *number = json_integer_value(value);
    return (json_is_integer(value) && *number >= min && *number <= max) ||
           refuse(in, "%s%s must be a number from %lld to %lld", in->where, name, (long long)min, (long long)max);
}

static bool read_instance(struct input *in, const json_t *object, const char *name, uint16_t *instance) {
    json_int_t number = *instance;
    if (!read_number(in, object, name, 0, LWM2M_ID_MAX, &number))
        return false;
    *instance = (uint16_t)number;
    return true;
}

static bool read_hex(struct input *in, const json_t *object, const char *name, size_t min, size_t max,
                     struct slice *bytes) {
    const json_t *value = get(object, name);
    size_t at = in->room.len;
    if (value == NULL)
        return true;
    if (json_is_string(value) && text_get_hex(document_string(value), &in->room)) {
        *bytes = slice_of(in->room.data + at, in->room.len - at);
        if (bytes->len >= min && bytes->len <= max)
            return true;
    }
    return refuse(in, "%s%s must be a string of %zu to %zu bytes in hexadecimal", in->where, name, min, max);
}

/* The Base64 between the first BEGIN and END, without its line ends; a text without them is all Base64. */
static struct slice take_pem(struct slice text, struct buffer *room) {
    const uint8_t *begin = memmem(text.data, text.len, "-----BEGIN", 10);
    size_t at = room->len;
    if (begin != NULL) {
        text = slice_from(text, (size_t)(begin - text.data));
        const uint8_t *line = memchr(text.data, '\n', text.len);
        text = line == NULL ? SLICE_NONE : slice_from(text, (size_t)(line + 1 - text.data));
        const uint8_t *last = text.len == 0 ? NULL : memmem(text.data, text.len, "-----END", 8);
        text.len = last == NULL ? 0 : (size_t)(last - text.data);
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] > ' ')
            buffer_put_u8(room, text.data[i]);
    }
    return slice_of(room->data + at, room->len - at);
}

/* A certificate or key: PEM, of which the first block counts, or DER in Base64. */
static bool read_der(struct input *in, const json_t *object, const char *name, struct slice *der) {
    const json_t *value = get(object, name);
    if (value == NULL)
        return true;
    struct slice text = json_is_string(value) ? take_pem(document_string(value), &in->room) : SLICE_NONE;
    size_t at = in->room.len;
    if (text.len > 0 && text_get_base64(text, &in->room)) {
        *der = slice_of(in->room.data + at, in->room.len - at);
        if (der->len >= 1 && der->len <= BOOTSTRAP_DER_MAX)
            return true;
    }
    return refuse(in, "%s%s must be PEM, or DER in Base64, of at most %d bytes", in->where, name, BOOTSTRAP_DER_MAX);
}

static const char *const no_members[] = {"mode", NULL};
static const char *const psk_members[] = {"mode", "identity", "key_hex", "sni", NULL};
static const char *const rpk_members[] = {"mode", "public_key", "private_key", "server_public_key", NULL};
static const char *const x509_members[] = {
    "mode", "certificate", "private_key", "server_certificate", "certificate_usage", "sni", NULL};
static const char *const oscore_members[] = {
    "sender_id_hex", "recipient_id_hex", "master_secret_hex", "master_salt_hex", "id_context_hex", "aead", NULL};
static const char *const oscore_mode_members[] = {
    "mode", "sender_id_hex", "recipient_id_hex", "master_secret_hex", "master_salt_hex", "id_context_hex", "aead",
    NULL};

static bool read_oscore(struct input *in, const json_t *object, struct bootstrap_account *a) {
    const json_t *aead = get(object, "aead");
    const struct oscore_aead *chosen = oscore_aead_of(a->aead);
    if (aead != NULL)
        chosen = json_is_string(aead) ? oscore_aead_named(document_string(aead)) : NULL;
    if (chosen == NULL)
        return refuse(in,
                      "%saead must be one of COSE's: AES-CCM-16-64-128 and the seven like it, or A128GCM, A192GCM, "
                      "A256GCM",
                      in->where);
    a->has_oscore = true;
    a->aead = chosen->number;
    return read_hex(in, object, "sender_id_hex", 0, CREDENTIAL_OSCORE_ID_MAX, &a->sender_id) &&
           read_hex(in, object, "recipient_id_hex", 0, CREDENTIAL_OSCORE_ID_MAX, &a->recipient_id) &&
           read_hex(in, object, "master_secret_hex", 1, CREDENTIAL_SECRET_MAX, &a->secret) &&
           read_hex(in, object, "master_salt_hex", 0, CREDENTIAL_SECRET_MAX, &a->salt) &&
           read_hex(in, object, "id_context_hex", 0, CREDENTIAL_CONTEXT_MAX, &a->id_context);
}

static bool read_psk(struct input *in, const json_t *object, struct bootstrap_account *a) {
    return check_members(in, object, psk_members) &&
           read_text(in, object, "identity", CREDENTIAL_IDENTITY_MAX, &a->identity) &&
           read_hex(in, object, "key_hex", 1, CREDENTIAL_KEY_MAX, &a->key);
}

static bool read_x509(struct input *in, const json_t *object, struct bootstrap_account *a) {
    json_int_t usage = a->certificate_usage;
    bool good = check_members(in, object, x509_members) && read_der(in, object, "certificate", &a->public_key) &&
                read_der(in, object, "private_key", &a->key) &&
                read_der(in, object, "server_certificate", &a->server_key) &&
                read_number(in, object, "certificate_usage", 0, 3, &usage);
    a->certificate_usage = (int8_t)usage;
    return good;
}

static bool read_rpk(struct input *in, const json_t *object, struct bootstrap_account *a) {
    return check_members(in, object, rpk_members) && read_der(in, object, "public_key", &a->public_key) &&
           read_der(in, object, "private_key", &a->key) && read_der(in, object, "server_public_key", &a->server_key);
}

static bool read_security(struct input *in, const json_t *account, size_t i, struct bootstrap_account *a) {
    const json_t *object = get(account, "security"), *mode = object == NULL ? NULL : get(object, "mode");
    snprintf(in->where, sizeof in->where, "servers[%zu].security.", i);
    if (object == NULL)
        return true;
    if (!json_is_object(object))
        return refuse(in, "servers[%zu].security must be an object", i);
    if (mode == NULL)
        return check_members(in, object, no_members);
    if (json_is_string(mode) && slice_is(document_string(mode), "oscore")) {
        a->security = BOOTSTRAP_NONE;
        return check_members(in, object, oscore_mode_members) && read_oscore(in, object, a);
    }
    if (!json_is_string(mode) || !bootstrap_security_parse(document_string(mode), &a->security))
        return refuse(in, "%smode must be \"none\", \"psk\", \"x509\", \"rpk\" or \"oscore\"", in->where);
    if (!read_text(in, object, "sni", BOOTSTRAP_URI_MAX, &a->sni))
        return false;
    switch (a->security) {
    case BOOTSTRAP_PSK:
        return read_psk(in, object, a);
    case BOOTSTRAP_X509:
        return read_x509(in, object, a);
    case BOOTSTRAP_RPK:
        return read_rpk(in, object, a);
    default:
        return check_members(in, object, no_members);
    }
}

static bool read_account(struct input *in, const json_t *account, size_t i, struct bootstrap_account *a) {
    static const char *const members[] = {
        "uri",      "bootstrap", "short_id",          "lifetime_s",      "binding",         "storing",
        "security", "oscore",    "security_instance", "server_instance", "oscore_instance", NULL};
    json_int_t short_id = 0, lifetime = a->lifetime_s;
    const json_t *oscore = get(account, "oscore");
    snprintf(in->where, sizeof in->where, "servers[%zu].", i);
    if (!json_is_object(account))
        return refuse(in, "servers[%zu] must be an object", i);
    if (!check_members(in, account, members) || !read_text(in, account, "uri", BOOTSTRAP_URI_MAX, &a->uri) ||
        !read_bool(in, account, "bootstrap", &a->is_bootstrap) ||
        !read_number(in, account, "short_id", 1, LWM2M_ID_MAX, &short_id) ||
        !read_number(in, account, "lifetime_s", 0, UINT32_MAX, &lifetime) ||
        !read_text(in, account, "binding", 8, &a->binding) ||
        !read_bool(in, account, "storing", &a->keeps_notifications) ||
        !read_instance(in, account, "security_instance", &a->security_instance) ||
        !read_instance(in, account, "server_instance", &a->server_instance) ||
        !read_instance(in, account, "oscore_instance", &a->oscore_instance))
        return false;
    if (a->is_bootstrap && (short_id != 0 || a->server_instance != BOOTSTRAP_ID_AUTO))
        return refuse(in, "servers[%zu]: a bootstrap server has no short_id and no server_instance", i);
    a->short_id = a->is_bootstrap ? 0 : short_id == 0 ? (uint16_t)(i + 1) : (uint16_t)short_id;
    a->lifetime_s = (uint32_t)lifetime;
    if (!read_security(in, account, i, a))
        return false;
    snprintf(in->where, sizeof in->where, "servers[%zu].oscore.", i);
    if (oscore != NULL && a->has_oscore)
        return refuse(in, "servers[%zu]: OSCORE is told twice", i);
    return oscore == NULL || ((json_is_object(oscore) || refuse(in, "servers[%zu].oscore must be an object", i)) &&
                              check_members(in, oscore, oscore_members) && read_oscore(in, oscore, a));
}

static bool read_accounts(struct input *in) {
    const json_t *servers = get(in->body, "servers");
    struct bootstrap_config *config = &in->config;
    if (servers == NULL) /* the default ones: this server */
        return true;
    if (!json_is_array(servers) || json_array_size(servers) > BOOTSTRAP_ACCOUNTS_MAX)
        return refuse(in, "servers must be a list of at most %d objects", BOOTSTRAP_ACCOUNTS_MAX);
    config->account_count = json_array_size(servers);
    for (size_t i = 0; i < config->account_count; i++) {
        config->accounts[i] = bootstrap_account_default();
        if (!read_account(in, json_array_get(servers, i), i, &config->accounts[i]))
            return false;
    }
    in->where[0] = '\0';
    return true;
}

static bool read_paths(struct input *in, const char *name, bool *has, struct bootstrap_paths *paths) {
    const json_t *list = get(in->body, name);
    if (has != NULL)
        *has = list != NULL;
    if (list == NULL)
        return true;
    if (!json_is_array(list) || json_array_size(list) > BOOTSTRAP_PATHS_MAX)
        return refuse(in, "%s must be a list of at most %d paths", name, BOOTSTRAP_PATHS_MAX);
    paths->count = json_array_size(list);
    for (size_t i = 0; i < paths->count; i++) {
        const json_t *path = json_array_get(list, i);
        if (!json_is_string(path) || !lwm2m_path_parse(document_string(path), &paths->paths[i], NULL))
            return refuse(in, "%s[%zu] must be a path like /1 or /3/0", name, i);
    }
    return true;
}

static bool read_values(struct input *in, struct slice text) {
    struct definitions definitions = definitions_of(in->call->web->server, NULL);
    struct value_json_context context = {.type_of = definition_type_of, .arg = &definitions, .scratch = &in->room};
    struct lwm2m_nodes nodes = lwm2m_nodes_over(in->config.nodes, BOOTSTRAP_NODES_MAX);
    struct value_json_fault fault = {.why = NULL};
    if (!value_json_read_composite(text, &context, &nodes, &fault)) {
        uint8_t memory[32];
        struct buffer path = buffer_over(memory, sizeof memory);
        lwm2m_path_put(&path, &fault.path);
        return refuse(in, "write: %.*s: %s", (int)path.len, (const char *)memory,
                      fault.why == NULL ? "it cannot be read" : fault.why);
    }
    in->config.node_count = nodes.count;
    for (size_t i = 0; i < nodes.count; i++) {
        uint8_t memory[32];
        struct buffer path = buffer_over(memory, sizeof memory);
        const char *why = definition_fault(&definitions, &nodes.nodes[i]);
        lwm2m_path_put(&path, &nodes.nodes[i].path);
        if (why != NULL)
            return refuse(in, "write: %.*s: %s", (int)path.len, (const char *)memory, why);
    }
    return true;
}

static bool read_writes(struct input *in) {
    json_t *writes = json_object_get(in->body, "write");
    struct bootstrap_paths *targets = &in->config.writes;
    const char *key;
    json_t *value;
    if (writes == NULL || json_is_null(writes))
        return true;
    if (!json_is_object(writes) || json_object_size(writes) > BOOTSTRAP_WRITES_MAX)
        return refuse(in, "write must be an object of at most %d paths", BOOTSTRAP_WRITES_MAX);
    json_object_foreach(writes, key, value) {
        if (!lwm2m_path_parse(slice_str(key), &targets->paths[targets->count], NULL))
            return refuse(in, "write: %s is no path", key);
        targets->count++;
    }
    char *text = json_dumps(writes, JSON_COMPACT);
    if (text == NULL)
        return refuse(in, "write cannot be read");
    /* The values point into it, until they are encoded. */
    size_t len = strlen(text), at = in->room.len;
    buffer_put(&in->room, text, len);
    mbedtls_platform_zeroize(text, len);
    free(text);
    return !in->room.overflow ? read_values(in, slice_of(in->room.data + at, len)) : refuse(in, "write is too long");
}

static bool read_choices(struct input *in) {
    const json_t *format = get(in->body, "format"), *sequence = get(in->body, "sequence"),
                 *on_error = get(in->body, "on_error");
    static const char *const verbs[] = {"discover", "read", "delete", "write", "finish", NULL};
    struct bootstrap_config *config = &in->config;
    if (format != NULL) {
        enum lwm2m_format found =
            json_is_string(format) ? lwm2m_format_from_name(document_string(format)) : LWM2M_FORMAT_NONE;
        if (found == LWM2M_FORMAT_NONE)
            return refuse(in, "format must be \"tlv\", \"senml-json\", \"senml-cbor\" or \"lwm2m-cbor\"");
        config->format = (int)found;
    }
    if (sequence != NULL &&
        !(json_is_string(sequence) && bootstrap_sequence_parse(document_string(sequence), &config->sequence)))
        return refuse(in, "sequence must be \"standard\", \"pelion\" or \"pack\"");
    if (on_error == NULL)
        return true;
    if (!json_is_object(on_error))
        return refuse(in, "on_error must be an object");
    snprintf(in->where, sizeof in->where, "on_error.");
    if (!check_members(in, on_error, verbs))
        return false;
    for (unsigned verb = 0; verb < BOOTSTRAP_VERB_COUNT; verb++) {
        const json_t *policy = get(on_error, verbs[verb]);
        if (policy != NULL &&
            !(json_is_string(policy) && bootstrap_on_error_parse(document_string(policy), &config->on_error[verb])))
            return refuse(in, "on_error.%s must be \"continue\", \"stop\" or \"retry\"", verbs[verb]);
    }
    if (config->on_error[BOOTSTRAP_FINISH] == BOOTSTRAP_CONTINUE)
        return refuse(in, "on_error.finish must be \"stop\" or \"retry\": nothing comes after it");
    return true;
}

static bool read_config(struct input *in) {
    static const char *const members[] = {"servers", "discover", "read",     "delete", "write",
                                          "format",  "sequence", "on_error", NULL};
    struct bootstrap_config *config = &in->config;
    char problem[PROBLEM_MAX];
    bootstrap_config_default(config);
    if (!check_members(in, in->body, members) || !read_accounts(in) ||
        !read_paths(in, "discover", &config->has_discovers, &config->discovers) ||
        !read_paths(in, "read", NULL, &config->reads) ||
        !read_paths(in, "delete", &config->has_deletes, &config->deletes) || !read_writes(in) || !read_choices(in))
        return false;
    return bootstrap_config_check(config, problem, sizeof problem) || refuse(in, "%s", problem);
}

static void answer_created(void *arg, enum store_result result) {
    struct http_request *request = arg;
    if (result == STORE_OK)
        http_respond(request, &(struct http_response){.status = 201});
    else
        answer_stored(request, result);
}

static void refuse_change(const struct call *call, enum bootstrap_configs_result result) {
    switch (result) {
    case BOOTSTRAP_CONFIGS_MISSING:
        problem_send(call->request, PROBLEM_NOT_FOUND, "There is no such bootstrap configuration.");
        return;
    case BOOTSTRAP_CONFIGS_BUSY:
        problem_send(call->request, PROBLEM_CONFLICT,
                     "A change of this configuration is under way; try again when it has been answered.");
        return;
    case BOOTSTRAP_CONFIGS_TOO_MANY:
        problem_send(call->request, PROBLEM_OVERLOADED,
                     "There are as many bootstrap configurations as the server takes (%d, of %d MiB).",
                     BOOTSTRAP_CONFIGS_MAX, BOOTSTRAP_CONFIGS_BYTES_MAX >> 20);
        return;
    case BOOTSTRAP_CONFIGS_ACCEPTED:
        return;
    }
}

static void put(struct input *in) {
    struct bootstrap_configs *configs = in->call->web->server->bootstrap_configs;
    struct slice endpoint = endpoint_of(in->call);
    uint8_t *memory = malloc(BOOTSTRAP_BYTES_MAX);
    struct buffer bytes = buffer_over(memory, BOOTSTRAP_BYTES_MAX);
    if (memory == NULL) {
        problem_send(in->call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    if (endpoint.len > 0 && !credential_endpoint_good(endpoint)) {
        problem_send(in->call->request, PROBLEM_BAD_REQUEST,
                     "An endpoint's name is UTF-8 without control characters, 1 to %d bytes.", CREDENTIAL_ENDPOINT_MAX);
    } else if (read_config(in)) {
        bool is_new = bootstrap_configs_find(configs, endpoint).data == NULL;
        if (!bootstrap_config_encode(&in->config, &bytes))
            problem_send(in->call->request, PROBLEM_TOO_LARGE, "A bootstrap configuration has at most %d bytes.",
                         BOOTSTRAP_BYTES_MAX);
        else
            refuse_change(in->call,
                          bootstrap_configs_put(configs, endpoint, buffer_slice(&bytes),
                                                is_new ? answer_created : answer_stored, stored_request(in->call)));
    }
    mbedtls_platform_zeroize(memory, BOOTSTRAP_BYTES_MAX);
    free(memory);
}

void v1_bootstrap_put(const struct call *call) {
    char error[512];
    size_t room = 8 * call->request->body.len + 1024; /* texts decoded, and the values among them once more */
    json_t *body = document_read(call->request->body, error, sizeof error);
    if (body == NULL) {
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", error);
        return;
    }
    struct input *in = calloc(1, sizeof *in);
    uint8_t *memory = malloc(room);
    if (in == NULL || memory == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
    } else {
        in->call = call;
        in->body = body;
        in->room = buffer_over(memory, room);
        put(in);
    }
    if (memory != NULL)
        mbedtls_platform_zeroize(memory, room);
    if (in != NULL)
        mbedtls_platform_zeroize(in, sizeof *in);
    free(memory);
    free(in);
    json_decref(body);
}

void v1_bootstrap_delete(const struct call *call) {
    refuse_change(call, bootstrap_configs_delete(call->web->server->bootstrap_configs, endpoint_of(call), answer_stored,
                                                 stored_request(call)));
}

/* ---- sessions ---- */

static json_t *code_json(uint8_t code) {
    return code == 0 ? json_null() : json_sprintf("%u.%02u", COAP_CODE_CLASS(code), COAP_CODE_DETAIL(code));
}

/* What a Bootstrap-Read was answered; null when it can't be read. */
static json_t *read_json(const struct server *server, const struct bootstrap_record *record) {
    struct definitions definitions = definitions_of(server, NULL);
    size_t room = 2 * record->answer_kept + 64;
    uint8_t *memory = malloc(room);
    struct lwm2m_node *nodes = malloc(READ_NODES_MAX * sizeof *nodes);
    struct lwm2m_nodes list = lwm2m_nodes_over(nodes, READ_NODES_MAX);
    struct buffer scratch = buffer_over(memory, room);
    struct lwm2m_decode_context context = {.base = record->path,
                                           .now_ms = (int64_t)record->at_ms,
                                           .mode = SENML_CONTENT,
                                           .type_of = definition_type_of,
                                           .arg = &definitions};
    bool good = memory != NULL && nodes != NULL && record->answer_kept == record->answer_len &&
                lwm2m_decode(record->format, slice_of(record->answer, record->answer_kept), &context, &scratch, &list);
    json_t *json = good ? nodes_json(&record->path, list.nodes, list.count) : json_null();
    free(memory);
    free(nodes);
    return json;
}

static json_t *record_json(const struct server *server, const struct bootstrap_record *record) {
    json_t *json = json_object();
    set(json, "operation", json_string(bootstrap_verb_name(record->verb)));
    set(json, "path", path_json(&record->path));
    set(json, "ts", document_time(record->at_ms));
    set(json, "coap_code", code_json(record->code));
    if (record->code == 0)
        set(json, "detail", json_string(record->outcome));
    if (record->diagnostic_len > 0)
        set(json, "diagnostic", document_text(slice_of(record->diagnostic, record->diagnostic_len)));
    set(json, "rtt_ms", json_integer(record->rtt_ms));
    set(json, "retransmissions", json_integer(record->retransmissions));
    set(json, "payload_bytes", json_integer((json_int_t)record->payload_len));
    if (record->answer != NULL && record->verb == BOOTSTRAP_DISCOVER)
        set(json, "links", document_text(slice_of(record->answer, record->answer_kept)));
    if (record->answer != NULL && record->verb == BOOTSTRAP_READ)
        set(json, "data", read_json(server, record));
    return json;
}

void v1_bootstrap_session(const struct call *call) {
    const struct server *server = call->web->server;
    struct bootstrap_report report;
    if (!bootstrap_report_of(server, call->args[0], &report)) {
        problem_send(call->request, PROBLEM_NOT_FOUND, "\"%.*s\" has not asked for bootstrap lately.",
                     (int)call->args[0].len, (const char *)call->args[0].data);
        return;
    }
    json_t *json = json_object(), *steps = json_array();
    for (size_t i = 0; i < report.record_count; i++)
        json_array_append_new(steps, record_json(server, &report.records[i]));
    set(json, "endpoint", document_text(report.endpoint));
    set(json, "state", json_string(bootstrap_state_name(report.state)));
    set(json, "reason", report.reason[0] == '\0' ? json_null() : json_string(report.reason));
    set(json, "address", document_address(&report.address));
    set(json, "query", document_text(report.query));
    set(json, "sequence", json_string(bootstrap_sequence_name(report.sequence)));
    set(json, "format", json_string(lwm2m_format_name((enum lwm2m_format)report.format)));
    set(json, "started_at", document_time(report.started_ms));
    set(json, "ended_at", report.state == BOOTSTRAP_RUNNING ? json_null() : document_time(report.ended_ms));
    set(json, "steps", steps);
    document_ok(call->request, json);
}

void v1_bootstrap_start(const struct call *call) {
    struct slice endpoint = call->args[0];
    struct server *server = call->web->server;
    if (directory_find(server->directory, endpoint) == NULL) {
        problem_send(call->request, PROBLEM_NOT_REGISTERED, "\"%.*s\" is not registered.", (int)endpoint.len,
                     (const char *)endpoint.data);
        return;
    }
    const char *why = bootstrap_begin(server, endpoint);
    if (why != NULL)
        problem_send(call->request, PROBLEM_CONFLICT, "It can't be bootstrapped now: %s.", why);
    else
        http_respond(call->request, &(struct http_response){.status = 204});
}
