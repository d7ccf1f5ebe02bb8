#include "server/bootstrap_config.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/cbor.h"
#include "common/coap/option.h"
#include "common/net/uri.h"
#include "server/bootstrap_request.h"
#include "server/credential.h"

enum { FORM = 1, LIFETIME_DEFAULT_S = 86400, ACCOUNT_ITEMS = 22, CONFIG_ITEMS = 12, OWNER_NONE = 65535 };

/* ---- names ---- */

static const char *const security_names[BOOTSTRAP_SECURITY_COUNT] = {"", "none", "psk", "rpk", "x509"};
static const char *const sequence_names[BOOTSTRAP_SEQUENCE_COUNT] = {"", "standard", "pelion", "pack"};
static const char *const on_error_names[] = {"", "continue", "stop", "retry"};
static const char *const verb_names[BOOTSTRAP_VERB_COUNT] = {"discover", "read", "delete", "write", "finish"};

static bool find_name(const char *const *names, size_t count, struct slice name, size_t *found) {
    for (size_t i = 0; i < count; i++) {
        if (name.len > 0 && slice_is(name, names[i])) {
            *found = i;
            return true;
        }
    }
    return false;
}

const char *bootstrap_security_name(enum bootstrap_security security) {
    return security_names[security];
}

const char *bootstrap_sequence_name(enum bootstrap_sequence sequence) {
    return sequence_names[sequence];
}

const char *bootstrap_on_error_name(unsigned policy) {
    return on_error_names[policy];
}

const char *bootstrap_verb_name(enum bootstrap_verb verb) {
    return verb_names[verb];
}

bool bootstrap_security_parse(struct slice name, enum bootstrap_security *security) {
    size_t found;
    bool good = find_name(security_names, BOOTSTRAP_SECURITY_COUNT, name, &found);
    if (good)
        *security = (enum bootstrap_security)found;
    return good;
}

bool bootstrap_sequence_parse(struct slice name, enum bootstrap_sequence *sequence) {
    size_t found;
    bool good = find_name(sequence_names, BOOTSTRAP_SEQUENCE_COUNT, name, &found);
    if (good)
        *sequence = (enum bootstrap_sequence)found;
    return good;
}

bool bootstrap_on_error_parse(struct slice name, uint8_t *policy) {
    size_t found;
    bool good = find_name(on_error_names, sizeof on_error_names / sizeof on_error_names[0], name, &found);
    if (good)
        *policy = (uint8_t)found;
    return good;
}

/* ---- defaults ---- */

struct bootstrap_account bootstrap_account_default(void) {
    return (struct bootstrap_account){.lifetime_s = LIFETIME_DEFAULT_S,
                                      .keeps_notifications = true,
                                      .security_instance = BOOTSTRAP_ID_AUTO,
                                      .server_instance = BOOTSTRAP_ID_AUTO,
                                      .oscore_instance = BOOTSTRAP_ID_AUTO,
                                      .certificate_usage = -1,
                                      .aead = 10};
}

static void clear(struct bootstrap_config *config) {
    config->account_count = 0;
    config->has_discovers = config->has_deletes = false;
    config->discovers.count = config->reads.count = config->deletes.count = config->writes.count = 0;
    config->node_count = 0;
    config->format = COAP_FORMAT_NONE;
    config->sequence = BOOTSTRAP_BY_CLIENT;
    memset(config->on_error, BOOTSTRAP_DEFAULT, sizeof config->on_error);
}

void bootstrap_config_default(struct bootstrap_config *config) {
    clear(config);
    config->accounts[0] = bootstrap_account_default();
    config->accounts[0].short_id = 1;
    config->account_count = 1;
}

bool bootstrap_account_has_secrets(const struct bootstrap_account *account, enum bootstrap_security security) {
    return security == BOOTSTRAP_PSK || security == BOOTSTRAP_RPK || security == BOOTSTRAP_X509 || account->has_oscore;
}

/* ---- checking ---- */

struct checking {
    const struct bootstrap_config *config;
    char *problem;
    size_t problem_size;
};

static bool __attribute__((format(printf, 2, 3))) fail(const struct checking *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->problem, c->problem_size, format, args);
    va_end(args);
    return false;
}

/* 1 when messages to it are secured, 0 when not, -1 when it is no scheme of LwM2M. */
static int scheme_security(struct slice scheme) {
    if (slice_is(scheme, "coap") || slice_is(scheme, "coap+tcp"))
        return 0;
    return slice_is(scheme, "coaps") || slice_is(scheme, "coaps+tcp") ? 1 : -1;
}

static bool check_uri(const struct checking *c, size_t i) {
    const struct bootstrap_account *account = &c->config->accounts[i];
    struct uri uri;
    const char *why = "";
    if (account->uri.len == 0)
        return true;
    if (account->uri.len > BOOTSTRAP_URI_MAX)
        return fail(c, "servers[%zu].uri is longer than 255 bytes", i);
    if (!uri_parse(account->uri, &uri, &why))
        return fail(c, "servers[%zu].uri: %s", i, why);
    int secure = scheme_security(uri.scheme);
    if (secure < 0)
        return fail(c, "servers[%zu].uri must begin with coap://, coaps://, coap+tcp:// or coaps+tcp://", i);
    if (uri.host.len == 0)
        return fail(c, "servers[%zu].uri has no host", i);
    if (secure == 1 && account->security == BOOTSTRAP_NONE)
        return fail(c, "servers[%zu] has the security none, and a URI that asks for some", i);
    if (secure == 0 && account->security > BOOTSTRAP_NONE)
        return fail(c, "servers[%zu] has the security %s, and a URI without", i,
                    bootstrap_security_name(account->security));
    return true;
}

static bool check_binding(const struct checking *c, size_t i) {
    struct slice binding = c->config->accounts[i].binding;
    if (binding.len > 8)
        return fail(c, "servers[%zu].binding is longer than 8 letters", i);
    for (size_t at = 0; at < binding.len; at++) {
        if (binding.data[at] == '\0' || strchr("UMHTSNQ", binding.data[at]) == NULL)
            return fail(c, "servers[%zu].binding may have the letters U, M, H, T, S, N and Q", i);
    }
    return true;
}

/* Keys that come in pairs, and those that nobody can make. */
static bool check_keys(const struct checking *c, size_t i) {
    const struct bootstrap_account *a = &c->config->accounts[i];
    if (a->security == BOOTSTRAP_X509 && (a->key.len == 0) != (a->public_key.len == 0))
        return fail(c, "servers[%zu]: a certificate and its private key come together", i);
    if (a->security == BOOTSTRAP_RPK && (a->key.len == 0 || a->public_key.len == 0 || a->server_key.len == 0))
        return fail(c, "servers[%zu]: raw public keys are not made: give public_key, private_key and server_public_key",
                    i);
    if (a->security == BOOTSTRAP_RPK && a->uri.len == 0)
        return fail(c, "servers[%zu]: this server has no raw public keys: give the uri of one that has", i);
    if (a->has_oscore && a->secret.len == 0 && (a->sender_id.len > 0 || a->recipient_id.len > 0 || a->salt.len > 0))
        return fail(c, "servers[%zu].oscore: ids and salt are made with the master secret, or given with it", i);
    if (a->has_oscore && a->secret.len > 0 && slice_equal(a->sender_id, a->recipient_id)) /* RFC 8613 §3.3 */
        return fail(c, "servers[%zu].oscore: sender and recipient id must differ", i);
    return true;
}

static bool same_instance(uint16_t a, uint16_t b) {
    return a == b && a != BOOTSTRAP_ID_AUTO;
}

/* Whether this server has to know the key of an account, as a credential for management. */
static bool takes_credential(const struct bootstrap_account *a) {
    bool may_have_key = a->security == BOOTSTRAP_PSK || a->security == BOOTSTRAP_X509 ||
                        (a->security == BOOTSTRAP_AS_THIS && (a->uri.len == 0 || slice_starts_with(a->uri, "coaps")));
    return !a->is_bootstrap && may_have_key && (a->uri.len == 0 || a->key.len == 0);
}

/* An endpoint has one credential of a kind. */
static bool collide(const struct bootstrap_account *a, const struct bootstrap_account *b) {
    bool same_kind = a->security == b->security || a->security == BOOTSTRAP_AS_THIS || b->security == BOOTSTRAP_AS_THIS;
    bool both_oscore = a->has_oscore && b->has_oscore && (a->uri.len == 0 || a->secret.len == 0) &&
                       (b->uri.len == 0 || b->secret.len == 0);
    return (takes_credential(a) && takes_credential(b) && same_kind) || both_oscore;
}

static bool check_pair(const struct checking *c, size_t i, size_t j) {
    const struct bootstrap_account *a = &c->config->accounts[i], *b = &c->config->accounts[j];
    if (a->is_bootstrap && b->is_bootstrap)
        return fail(c, "servers[%zu] and servers[%zu] are both bootstrap servers, and a device has one (Core §6.1.2)",
                    i, j);
    if (!a->is_bootstrap && !b->is_bootstrap && a->short_id == b->short_id)
        return fail(c, "servers[%zu] and servers[%zu] have the same short_id", i, j);
    if (same_instance(a->security_instance, b->security_instance))
        return fail(c, "servers[%zu] and servers[%zu] have the same security_instance", i, j);
    if (same_instance(a->server_instance, b->server_instance))
        return fail(c, "servers[%zu] and servers[%zu] have the same server_instance", i, j);
    if (a->has_oscore && b->has_oscore && same_instance(a->oscore_instance, b->oscore_instance))
        return fail(c, "servers[%zu] and servers[%zu] have the same oscore_instance", i, j);
    if (collide(a, b))
        return fail(
            c, "servers[%zu] and servers[%zu] would get credentials of one kind from here, and an endpoint has one", i,
            j);
    return true;
}

static bool check_accounts(const struct checking *c) {
    const struct bootstrap_config *config = c->config;
    for (size_t i = 0; i < config->account_count; i++) {
        const struct bootstrap_account *a = &config->accounts[i];
        if (!a->is_bootstrap && (a->short_id == 0 || a->short_id > LWM2M_ID_MAX))
            return fail(c, "servers[%zu].short_id must be a number from 1 to 65534", i);
        if (!check_uri(c, i) || !check_binding(c, i) || !check_keys(c, i))
            return false;
        bool is_vendors = config->sequence == BOOTSTRAP_PELION;
        if (is_vendors && (a->security == BOOTSTRAP_PSK || a->security == BOOTSTRAP_RPK || a->has_oscore))
            return fail(c, "servers[%zu]: the sequence pelion is for certificates, or no security", i);
        for (size_t j = i + 1; j < config->account_count; j++) {
            if (!check_pair(c, i, j))
                return false;
        }
    }
    return true;
}

static bool check_paths(const struct checking *c) {
    const struct bootstrap_config *config = c->config;
    for (size_t i = 0; i < config->discovers.count; i++) {
        if (config->discovers.paths[i].len > 1)
            return fail(c, "discover[%zu]: a Bootstrap-Discover is about / or an object (Core §6.1.7.3)", i);
    }
    for (size_t i = 0; i < config->reads.count; i++) {
        const struct lwm2m_path *path = &config->reads.paths[i];
        if (path->len == 0 || path->len > 2 || path->ids[0] < 1 || path->ids[0] > 2)
            return fail(c, "read[%zu]: a Bootstrap-Read is about objects 1 and 2 or instances of them (Core §6.1.7.4)",
                        i);
    }
    for (size_t i = 0; i < config->deletes.count; i++) {
        if (config->deletes.paths[i].len > 2)
            return fail(c, "delete[%zu]: a Bootstrap-Delete is about /, an object or an instance (Core §6.1.7.6)", i);
    }
    return true;
}

/* Whether the accounts write what is at or around the path. */
static bool is_written_by_account(const struct bootstrap_config *config, const struct lwm2m_path *path) {
    bool is_account_object = path->ids[0] == 0 || path->ids[0] == 1 || path->ids[0] == 21;
    if (!is_account_object || path->len > 2)
        return false;
    for (size_t i = 0; i < config->account_count; i++) {
        const struct bootstrap_account *a = &config->accounts[i];
        uint16_t instance = path->ids[0] == 0   ? a->security_instance
                            : path->ids[0] == 1 ? a->server_instance
                                                : a->oscore_instance;
        bool has = path->ids[0] == 0 || (path->ids[0] == 1 ? !a->is_bootstrap : a->has_oscore);
        if (has && (path->len == 1 || same_instance(path->ids[1], instance)))
            return true;
    }
    return false;
}

static bool has_short_id(const struct bootstrap_config *config, uint64_t short_id) {
    for (size_t i = 0; i < config->account_count; i++) {
        if (!config->accounts[i].is_bootstrap && config->accounts[i].short_id == short_id)
            return true;
    }
    return false;
}

/* Access Control (2) names servers by short id: 0 is every other one, 65535 as an owner nobody (C §E.3). */
static bool check_access_control(const struct checking *c, const struct lwm2m_node *node) {
    if (c->config->account_count == 0 || node->path.ids[0] != 2 || node->path.len < 3)
        return true;
    bool is_right = node->path.ids[2] == 2 && node->path.len == 4 && node->path.ids[3] != 0;
    bool is_owner = node->path.ids[2] == 3 && node->value.type == LWM2M_INTEGER && node->value.integer != OWNER_NONE;
    if (is_right && !has_short_id(c->config, node->path.ids[3]))
        return fail(c, "write: /2/%u gives rights to the short id %u, and no server has it", node->path.ids[1],
                    node->path.ids[3]);
    if (is_owner && !has_short_id(c->config, (uint64_t)node->value.integer))
        return fail(c, "write: the owner of /2/%u is the short id %lld, and no server has it", node->path.ids[1],
                    (long long)node->value.integer);
    return true;
}

static bool check_writes(const struct checking *c) {
    const struct bootstrap_config *config = c->config;
    for (size_t i = 0; i < config->writes.count; i++) {
        const struct lwm2m_path *path = &config->writes.paths[i];
        uint8_t memory[32];
        struct buffer text = buffer_over(memory, sizeof memory);
        lwm2m_path_put(&text, path);
        if (path->len == 0 || path->len > 3)
            return fail(c, "write: %.*s is no object, instance or resource", (int)text.len, (const char *)memory);
        if (is_written_by_account(config, path))
            return fail(c, "write: %.*s is written by a server of the configuration", (int)text.len,
                        (const char *)memory);
        for (size_t j = 0; j < config->writes.count; j++) {
            if (j != i && lwm2m_path_contains(path, &config->writes.paths[j]))
                return fail(c, "write: %.*s holds another thing that is written", (int)text.len, (const char *)memory);
        }
    }
    for (size_t i = 0; i < config->node_count; i++) {
        if (!check_access_control(c, &config->nodes[i]))
            return false;
    }
    return true;
}

bool bootstrap_config_check(const struct bootstrap_config *config, char *problem, size_t problem_size) {
    const struct checking c = {config, problem, problem_size};
    if (config->format != COAP_FORMAT_NONE &&
        !bootstrap_format_good(config->format, config->sequence == BOOTSTRAP_PACK))
        return fail(&c, "format: bootstrap has TLV, SenML JSON, SenML CBOR and LwM2M CBOR, a pack all but TLV");
    if (config->sequence == BOOTSTRAP_PELION && config->format != COAP_FORMAT_NONE &&
        config->format != LWM2M_FORMAT_TLV)
        return fail(&c, "format: the sequence pelion has TLV only");
    if (config->sequence == BOOTSTRAP_PELION && (config->discovers.count > 0 || config->reads.count > 0))
        return fail(&c, "the sequence pelion has no discover and no read: its clients do not answer them");
    return check_accounts(&c) && check_paths(&c) && check_writes(&c);
}

/* ---- bytes ---- */

static void put_path(struct buffer *out, const struct lwm2m_path *path) {
    uint8_t bytes[2 * LWM2M_PATH_IDS];
    struct buffer ids = buffer_over(bytes, sizeof bytes);
    for (size_t i = 0; i < path->len; i++)
        buffer_put_u16(&ids, path->ids[i]);
    cbor_put_bytes(out, buffer_slice(&ids));
}

static void put_paths(struct buffer *out, const struct bootstrap_paths *paths) {
    cbor_put_array(out, paths->count);
    for (size_t i = 0; i < paths->count; i++)
        put_path(out, &paths->paths[i]);
}

static void put_value(struct buffer *out, const struct lwm2m_value *value) {
    uint64_t bits;
    switch (value->type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
    case LWM2M_OPAQUE:
    case LWM2M_RAW:
        cbor_put_bytes(out, value->bytes);
        return;
    case LWM2M_INTEGER:
    case LWM2M_TIME:
        cbor_put_unsigned(out, (uint64_t)value->integer);
        return;
    case LWM2M_UNSIGNED:
        cbor_put_unsigned(out, value->natural);
        return;
    case LWM2M_FLOAT:
        memcpy(&bits, &value->real, sizeof bits);
        cbor_put_unsigned(out, bits);
        return;
    case LWM2M_BOOLEAN:
        cbor_put_unsigned(out, value->truth);
        return;
    case LWM2M_OBJLNK:
        cbor_put_unsigned(out, (uint64_t)value->link.object << 16 | value->link.instance);
        return;
    case LWM2M_NONE:
        cbor_put_unsigned(out, 0);
        return;
    }
}

static void put_account(struct buffer *out, const struct bootstrap_account *a) {
    cbor_put_array(out, ACCOUNT_ITEMS);
    cbor_put_unsigned(out, a->is_bootstrap);
    cbor_put_bytes(out, a->uri);
    cbor_put_unsigned(out, a->short_id);
    cbor_put_unsigned(out, a->lifetime_s);
    cbor_put_bytes(out, a->binding);
    cbor_put_unsigned(out, a->keeps_notifications);
    cbor_put_unsigned(out, a->security_instance);
    cbor_put_unsigned(out, a->server_instance);
    cbor_put_unsigned(out, a->oscore_instance);
    cbor_put_unsigned(out, a->security);
    cbor_put_bytes(out, a->identity);
    cbor_put_bytes(out, a->key);
    cbor_put_bytes(out, a->public_key);
    cbor_put_bytes(out, a->server_key);
    cbor_put_unsigned(out, (uint64_t)(a->certificate_usage + 1));
    cbor_put_bytes(out, a->sni);
    cbor_put_unsigned(out, a->has_oscore ? a->aead : 0);
    cbor_put_bytes(out, a->sender_id);
    cbor_put_bytes(out, a->recipient_id);
    cbor_put_bytes(out, a->secret);
    cbor_put_bytes(out, a->salt);
    cbor_put_bytes(out, a->id_context);
}

bool bootstrap_config_encode(const struct bootstrap_config *config, struct buffer *out) {
    cbor_put_array(out, CONFIG_ITEMS);
    cbor_put_unsigned(out, FORM);
    cbor_put_array(out, config->account_count);
    for (size_t i = 0; i < config->account_count; i++)
        put_account(out, &config->accounts[i]);
    cbor_put_unsigned(out, config->has_discovers);
    put_paths(out, &config->discovers);
    put_paths(out, &config->reads);
    cbor_put_unsigned(out, config->has_deletes);
    put_paths(out, &config->deletes);
    put_paths(out, &config->writes);
    cbor_put_array(out, 3 * config->node_count);
    for (size_t i = 0; i < config->node_count; i++) {
        put_path(out, &config->nodes[i].path);
        cbor_put_unsigned(out, config->nodes[i].value.type);
        put_value(out, &config->nodes[i].value);
    }
    cbor_put_unsigned(out, (uint64_t)(config->format + 1));
    cbor_put_unsigned(out, config->sequence);
    cbor_put_bytes(out, slice_of(config->on_error, sizeof config->on_error));
    return !out->overflow;
}

static bool get_number(struct cbor_reader *reader, uint64_t max, uint64_t *number) {
    struct cbor_item item;
    if (!cbor_read(reader, &item) || item.type != CBOR_UNSIGNED || item.number > max)
        return false;
    *number = item.number;
    return true;
}

static bool get_bool(struct cbor_reader *reader, bool *truth) {
    uint64_t number;
    if (!get_number(reader, 1, &number))
        return false;
    *truth = number == 1;
    return true;
}

static bool get_u16(struct cbor_reader *reader, uint16_t *id) {
    uint64_t number;
    if (!get_number(reader, UINT16_MAX, &number))
        return false;
    *id = (uint16_t)number;
    return true;
}

static bool get_bytes(struct cbor_reader *reader, size_t max, struct slice *bytes) {
    struct cbor_item item;
    if (!cbor_read(reader, &item) || item.type != CBOR_BYTES || item.bytes.len > max)
        return false;
    *bytes = item.bytes;
    return true;
}

static bool get_array(struct cbor_reader *reader) {
    struct cbor_item item;
    return cbor_read(reader, &item) && item.type == CBOR_ARRAY;
}

static bool get_path(struct cbor_reader *reader, struct lwm2m_path *path) {
    struct slice ids;
    if (!get_bytes(reader, 2 * LWM2M_PATH_IDS, &ids) || ids.len % 2 != 0)
        return false;
    *path = (struct lwm2m_path){.len = (uint8_t)(ids.len / 2)};
    for (size_t i = 0; i < path->len; i++) {
        path->ids[i] = (uint16_t)(ids.data[2 * i] << 8 | ids.data[2 * i + 1]);
        if (path->ids[i] > LWM2M_ID_MAX)
            return false;
    }
    return true;
}

static bool get_paths(struct cbor_reader *reader, size_t max, struct bootstrap_paths *paths) {
    if (!get_array(reader))
        return false;
    for (paths->count = 0; cbor_more(reader); paths->count++) {
        if (paths->count == max || !get_path(reader, &paths->paths[paths->count]))
            return false;
    }
    return true;
}

static bool get_value(struct cbor_reader *reader, enum lwm2m_type type, struct lwm2m_value *value) {
    uint64_t number = 0;
    *value = (struct lwm2m_value){.type = type};
    switch (type) {
    case LWM2M_STRING:
    case LWM2M_CORELNK:
    case LWM2M_OPAQUE:
    case LWM2M_RAW:
        return get_bytes(reader, BOOTSTRAP_BYTES_MAX, &value->bytes);
    default:
        break;
    }
    if (!get_number(reader, UINT64_MAX, &number))
        return false;
    if (type == LWM2M_INTEGER || type == LWM2M_TIME)
        value->integer = (int64_t)number;
    else if (type == LWM2M_UNSIGNED)
        value->natural = number;
    else if (type == LWM2M_FLOAT)
        memcpy(&value->real, &number, sizeof number);
    else if (type == LWM2M_BOOLEAN)
        value->truth = number == 1;
    else if (type == LWM2M_OBJLNK)
        value->link = (struct lwm2m_objlnk){(uint16_t)(number >> 16 & 0xffff), (uint16_t)(number & 0xffff)};
    return true;
}

static bool get_nodes(struct cbor_reader *reader, struct bootstrap_config *config) {
    if (!get_array(reader))
        return false;
    for (config->node_count = 0; cbor_more(reader); config->node_count++) {
        struct lwm2m_node node = {.has_time = false};
        uint64_t type;
        if (config->node_count == BOOTSTRAP_NODES_MAX || !get_path(reader, &node.path) ||
            !get_number(reader, LWM2M_RAW, &type) || !get_value(reader, (enum lwm2m_type)type, &node.value))
            return false;
        config->nodes[config->node_count] = node;
    }
    return true;
}

static bool get_account(struct cbor_reader *reader, struct bootstrap_account *a) {
    uint64_t lifetime, security, usage, aead;
    if (!get_array(reader) || !get_bool(reader, &a->is_bootstrap) || !get_bytes(reader, BOOTSTRAP_URI_MAX, &a->uri) ||
        !get_u16(reader, &a->short_id) || !get_number(reader, UINT32_MAX, &lifetime) ||
        !get_bytes(reader, 8, &a->binding) || !get_bool(reader, &a->keeps_notifications) ||
        !get_u16(reader, &a->security_instance) || !get_u16(reader, &a->server_instance) ||
        !get_u16(reader, &a->oscore_instance) || !get_number(reader, BOOTSTRAP_SECURITY_COUNT - 1, &security) ||
        !get_bytes(reader, CREDENTIAL_IDENTITY_MAX, &a->identity) || !get_bytes(reader, BOOTSTRAP_DER_MAX, &a->key) ||
        !get_bytes(reader, BOOTSTRAP_DER_MAX, &a->public_key) ||
        !get_bytes(reader, BOOTSTRAP_DER_MAX, &a->server_key) || !get_number(reader, 4, &usage) ||
        !get_bytes(reader, BOOTSTRAP_URI_MAX, &a->sni) || !get_number(reader, UINT8_MAX, &aead) ||
        !get_bytes(reader, CREDENTIAL_OSCORE_ID_MAX, &a->sender_id) ||
        !get_bytes(reader, CREDENTIAL_OSCORE_ID_MAX, &a->recipient_id) ||
        !get_bytes(reader, CREDENTIAL_SECRET_MAX, &a->secret) || !get_bytes(reader, CREDENTIAL_SECRET_MAX, &a->salt) ||
        !get_bytes(reader, CREDENTIAL_CONTEXT_MAX, &a->id_context) || cbor_more(reader))
        return false;
    a->lifetime_s = (uint32_t)lifetime;
    a->security = (enum bootstrap_security)security;
    a->certificate_usage = (int8_t)((int)usage - 1);
    a->has_oscore = aead != 0;
    a->aead = (uint8_t)aead;
    return true;
}

static bool get_accounts(struct cbor_reader *reader, struct bootstrap_config *config) {
    if (!get_array(reader))
        return false;
    for (config->account_count = 0; cbor_more(reader); config->account_count++) {
        if (config->account_count == BOOTSTRAP_ACCOUNTS_MAX ||
            !get_account(reader, &config->accounts[config->account_count]))
            return false;
    }
    return true;
}

bool bootstrap_config_decode(struct slice bytes, struct bootstrap_config *config) {
    struct cbor_reader reader = cbor_reader_over(bytes, NULL);
    struct slice on_error;
    uint64_t form, format, sequence;
    clear(config);
    if (!get_array(&reader) || !get_number(&reader, FORM, &form) || form != FORM || !get_accounts(&reader, config) ||
        !get_bool(&reader, &config->has_discovers) || !get_paths(&reader, BOOTSTRAP_PATHS_MAX, &config->discovers) ||
        !get_paths(&reader, BOOTSTRAP_PATHS_MAX, &config->reads) || !get_bool(&reader, &config->has_deletes) ||
        !get_paths(&reader, BOOTSTRAP_PATHS_MAX, &config->deletes) ||
        !get_paths(&reader, BOOTSTRAP_WRITES_MAX, &config->writes) || !get_nodes(&reader, config) ||
        !get_number(&reader, UINT16_MAX, &format) || !get_number(&reader, BOOTSTRAP_SEQUENCE_COUNT - 1, &sequence) ||
        !get_bytes(&reader, sizeof config->on_error, &on_error) || on_error.len != sizeof config->on_error ||
        cbor_more(&reader) || !cbor_at_end(&reader))
        return false;
    for (size_t i = 0; i < on_error.len; i++) {
        if (on_error.data[i] > BOOTSTRAP_RETRY)
            return false;
        config->on_error[i] = on_error.data[i];
    }
    config->format = (int)format - 1;
    config->sequence = (enum bootstrap_sequence)sequence;
    return true;
}
