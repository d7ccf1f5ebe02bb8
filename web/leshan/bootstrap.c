/* /api/bootstrap: what bootstrap gives an endpoint, in the words of the demo server's configurations: instances of Security
 * and Server by their numbers, keys as lists of bytes. They become configurations of /v1, an account for each instance of
 * Security, and are told back from those; keys never come back. */
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "server/bootstrap_configs.h"
#include "web/document.h"
#include "web/inner.h"
#include "web/leshan/leshan.h"

enum { TARGET_MAX = 1200, BYTES_MAX = BOOTSTRAP_DER_MAX };

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

/* ---- reading ---- */

struct reading {
    const json_t *body;
    json_t *servers, *writes; /* of /v1 */
    char error[256];
};

static bool refuse(struct reading *in, const char *format, const char *text) {
    snprintf(in->error, sizeof in->error, format, text);
    return false;
}

static bool is_absent(const json_t *value) {
    return value == NULL || json_is_null(value);
}

/* A list of bytes, signed or not. False: it is none, or too long. */
static bool read_bytes(const json_t *list, struct buffer *out) {
    json_t *item;
    size_t i;
    if (!json_is_array(list))
        return false;
    json_array_foreach((json_t *)(uintptr_t)list, i, item) {
        json_int_t byte = json_is_integer(item) ? json_integer_value(item) : 256;
        if (byte < -128 || byte > 255)
            return false;
        buffer_put_u8(out, (uint8_t)byte);
    }
    return !out->overflow;
}

enum bytes_as { AS_TEXT, AS_HEX, AS_BASE64 };

/* Put the bytes of a member into `object`; nothing when there are none. */
static bool put_bytes(struct reading *in, const json_t *from, const char *member, json_t *object, const char *name,
                      enum bytes_as as) {
    uint8_t memory[BYTES_MAX], written[2 * BYTES_MAX];
    struct buffer bytes = buffer_over(memory, sizeof memory), text = buffer_over(written, sizeof written);
    const json_t *list = json_object_get(from, member);
    if (is_absent(list) || (json_is_array(list) && json_array_size(list) == 0))
        return true;
    bool good = read_bytes(list, &bytes) && (as != AS_TEXT || slice_is_utf8(buffer_slice(&bytes)));
    if (good) {
        if (as == AS_TEXT)
            buffer_put_slice(&text, buffer_slice(&bytes));
        else if (as == AS_HEX)
            text_put_hex(&text, buffer_slice(&bytes));
        else
            text_put_base64(&text, buffer_slice(&bytes));
        set(object, name, json_stringn((const char *)text.data, text.len));
    }
    mbedtls_platform_zeroize(memory, sizeof memory);
    mbedtls_platform_zeroize(written, sizeof written);
    return good || refuse(in, "%s must be a list of bytes (of text, for an identity)", member);
}

static bool read_security(struct reading *in, const json_t *from, json_t *security) {
    const char *mode = json_string_value(json_object_get(from, "securityMode"));
    if (mode == NULL)
        return refuse(in, "%s must be NO_SEC, PSK, RPK or X509", "securityMode");
    if (strcmp(mode, "NO_SEC") == 0) {
        set(security, "mode", json_string("none"));
        return true;
    }
    if (strcmp(mode, "PSK") == 0) {
        set(security, "mode", json_string("psk"));
        return put_bytes(in, from, "publicKeyOrId", security, "identity", AS_TEXT) &&
               put_bytes(in, from, "secretKey", security, "key_hex", AS_HEX);
    }
    bool is_raw = strcmp(mode, "RPK") == 0;
    if (!is_raw && strcmp(mode, "X509") != 0)
        return refuse(in, "%s must be NO_SEC, PSK, RPK or X509", "securityMode");
    set(security, "mode", json_string(is_raw ? "rpk" : "x509"));
    return put_bytes(in, from, "publicKeyOrId", security, is_raw ? "public_key" : "certificate", AS_BASE64) &&
           put_bytes(in, from, "secretKey", security, "private_key", AS_BASE64) &&
           put_bytes(in, from, "serverPublicKey", security, is_raw ? "server_public_key" : "server_certificate",
                     AS_BASE64);
}

/* The demo server's words are the device's view, those of /v1 the server's: the device's sender is the server's recipient. */
static bool read_oscore(struct reading *in, const json_t *from, json_t *account) {
    const json_t *instance = json_object_get(from, "oscoreSecurityMode");
    char id[24];
    if (is_absent(instance))
        return true;
    snprintf(id, sizeof id, "%" JSON_INTEGER_FORMAT, json_integer_value(instance));
    const json_t *oscore = json_object_get(json_object_get(in->body, "oscore"), id);
    if (!json_is_object(oscore))
        return refuse(in, "there is no oscore instance %s", id);
    json_t *read = json_object();
    set(account, "oscore", read);
    set(account, "oscore_instance", json_incref((json_t *)(uintptr_t)instance));
    return put_bytes(in, oscore, "oscoreMasterSecret", read, "master_secret_hex", AS_HEX) &&
           put_bytes(in, oscore, "oscoreSenderId", read, "recipient_id_hex", AS_HEX) &&
           put_bytes(in, oscore, "oscoreRecipientId", read, "sender_id_hex", AS_HEX) &&
           put_bytes(in, oscore, "oscoreMasterSalt", read, "master_salt_hex", AS_HEX);
}

static void copy(json_t *to, const char *name, const json_t *from, const char *member) {
    json_t *value = json_object_get(from, member);
    if (!is_absent(value))
        json_object_set(to, name, value);
}

static json_t *number_of(const char *text) {
    uint64_t number;
    return slice_to_u64(slice_str(text), LWM2M_ID_MAX, &number) ? json_integer((json_int_t)number) : NULL;
}

/* What an account has no member for is written besides. */
static void add_writes(struct reading *in, const char *instance, const json_t *server) {
    static const struct {
        const char *member;
        unsigned resource;
    } resources[] = {{"defaultMinPeriod", 2}, {"defaultMaxPeriod", 3}, {"disableTimeout", 5}};
    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++) {
        char path[40];
        snprintf(path, sizeof path, "/1/%.8s/%u", instance, resources[i].resource);
        copy(in->writes, path, server, resources[i].member);
    }
}

/* The instance of Server with the short id that an instance of Security names. */
static bool read_server(struct reading *in, const json_t *security, json_t *account) {
    const json_t *id = json_object_get(security, "serverId");
    json_t *servers = json_object_get(in->body, "servers"), *server;
    const char *instance;
    json_object_foreach(servers, instance, server) {
        json_t *number = number_of(instance);
        if (number == NULL || !json_is_object(server)) {
            json_decref(number);
            return refuse(in, "servers: \"%.20s\" must be an instance's number, and an object", instance);
        }
        if (!json_is_integer(id) || json_equal(json_object_get(server, "shortId"), id) == 0) {
            json_decref(number);
            continue;
        }
        set(account, "server_instance", number);
        copy(account, "short_id", server, "shortId");
        copy(account, "lifetime_s", server, "lifetime");
        copy(account, "binding", server, "binding");
        copy(account, "storing", server, "notifIfDisabled");
        add_writes(in, instance, server);
        return true;
    }
    return refuse(in, "serverId must be the shortId of one of servers, unless %s is true", "bootstrapServer");
}

static bool read_account(struct reading *in, const char *instance, const json_t *from) {
    json_t *account = json_object(), *security = json_object(), *number = number_of(instance);
    bool is_auto = json_is_true(json_object_get(in->body, "autoIdForSecurityObject"));
    json_array_append_new(in->servers, account);
    set(account, "security", security);
    if (number == NULL || !json_is_object(from)) {
        json_decref(number);
        return refuse(in, "security: \"%.20s\" must be an instance's number, and an object", instance);
    }
    if (is_auto)
        json_decref(number);
    else
        set(account, "security_instance", number);
    copy(account, "uri", from, "uri");
    if (json_is_true(json_object_get(from, "bootstrapServer")))
        set(account, "bootstrap", json_true());
    else if (!read_server(in, from, account))
        return false;
    return read_security(in, from, security) && read_oscore(in, from, account);
}

/* An instance of Access Control as it is written. */
static bool read_acl(struct reading *in, const char *instance, const json_t *acl) {
    char path[40];
    json_t *number = number_of(instance), *rights = json_object_get(acl, "acls");
    bool good = number != NULL && json_is_object(acl) && (is_absent(rights) || json_is_object(rights));
    json_decref(number);
    if (!good)
        return refuse(in, "acls: \"%.20s\" must be an instance's number, and an object", instance);
    json_t *resources = json_object();
    copy(resources, "0", acl, "objectId");
    copy(resources, "1", acl, "objectInstanceId");
    if (json_object_size(rights) > 0)
        set(resources, "2", json_pack("{sO}", "values", rights));
    copy(resources, "3", acl, "AccessControlOwner");
    snprintf(path, sizeof path, "/2/%.8s", instance);
    set(in->writes, path, json_pack("{so}", "resources", resources));
    return true;
}

static bool read_format(struct reading *in, json_t *config) {
    static const struct {
        const char *theirs, *ours;
        json_int_t number;
    } formats[] = {{"TLV", "tlv", 11542}, {"SENML_JSON", "senml-json", 110}, {"SENML_CBOR", "senml-cbor", 112}};
    const json_t *format = json_object_get(in->body, "contentFormat");
    if (is_absent(format))
        return true;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const char *name = json_string_value(format);
        if ((name != NULL && strcmp(name, formats[i].theirs) == 0) ||
            (json_is_integer(format) && json_integer_value(format) == formats[i].number)) {
            set(config, "format", json_string(formats[i].ours));
            return true;
        }
    }
    return refuse(in, "%s must be TLV, SENML_JSON or SENML_CBOR", "contentFormat");
}

static bool read_parts(struct reading *in, json_t *config) {
    static const char *const parts[] = {"servers", "security", "acls", "oscore"};
    const char *instance;
    json_t *part;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const json_t *value = json_object_get(in->body, parts[i]);
        if (!is_absent(value) && !json_is_object(value))
            return refuse(in, "%s must be an object", parts[i]);
    }
    json_object_foreach(json_object_get(in->body, "security"), instance, part) {
        if (!read_account(in, instance, part))
            return false;
    }
    json_object_foreach(json_object_get(in->body, "acls"), instance, part) {
        if (!read_acl(in, instance, part))
            return false;
    }
    return read_format(in, config);
}

/* The configuration of /v1. NULL: in->error says why. */
static json_t *read_config(struct reading *in) {
    json_t *config = json_object();
    in->servers = json_array();
    in->writes = json_object();
    set(config, "servers", in->servers);
    bool good = read_parts(in, config);
    json_t *deletes = json_object_get(in->body, "toDelete");
    set(config, "delete", is_absent(deletes) ? json_array() : json_incref(deletes));
    if (json_object_size(in->writes) > 0)
        set(config, "write", in->writes);
    else
        json_decref(in->writes);
    if (good)
        return config;
    json_decref(config);
    return NULL;
}

/* ---- telling ---- */

static json_t *bytes_json(struct slice bytes) {
    json_t *list = json_array();
    for (size_t i = 0; i < bytes.len; i++)
        json_array_append_new(list, json_integer((int8_t)bytes.data[i])); /* as Java has them */
    return list;
}

static json_t *account_json(const struct bootstrap_account *a) {
    static const char *const modes[] = {[BOOTSTRAP_AS_THIS] = "NO_SEC",
                                        [BOOTSTRAP_NONE] = "NO_SEC",
                                        [BOOTSTRAP_PSK] = "PSK",
                                        [BOOTSTRAP_RPK] = "RPK",
                                        [BOOTSTRAP_X509] = "X509"};
    json_t *security = json_object();
    set(security, "uri", a->uri.len == 0 ? json_null() : document_text(a->uri));
    set(security, "bootstrapServer", json_boolean(a->is_bootstrap));
    set(security, "securityMode", json_string(modes[a->security]));
    set(security, "publicKeyOrId", bytes_json(a->security == BOOTSTRAP_PSK ? a->identity : a->public_key));
    set(security, "serverPublicKey", bytes_json(a->server_key));
    set(security, "secretKey", json_array());
    set(security, "serverId", a->is_bootstrap ? json_null() : json_integer(a->short_id));
    return security;
}

static json_t *server_json(const struct bootstrap_account *a) {
    json_t *server = json_object();
    set(server, "shortId", json_integer(a->short_id));
    set(server, "lifetime", json_integer(a->lifetime_s));
    set(server, "notifIfDisabled", json_boolean(a->keeps_notifications));
    set(server, "binding", document_text(a->binding.len == 0 ? slice_str("U") : a->binding));
    return server;
}

static void set_instance(json_t *instances, uint16_t id, size_t otherwise, json_t *value) {
    char name[24];
    snprintf(name, sizeof name, "%zu", id == BOOTSTRAP_ID_AUTO ? otherwise : (size_t)id);
    set(instances, name, value);
}

static json_t *config_json(const struct bootstrap_config *config) {
    json_t *json = json_object(), *deletes = json_array(), *servers = json_object(), *security = json_object();
    bool is_auto = false;
    for (size_t i = 0; i < config->deletes.count; i++) {
        uint8_t memory[32];
        struct buffer path = buffer_over(memory, sizeof memory);
        lwm2m_path_put(&path, &config->deletes.paths[i]);
        json_array_append_new(deletes, document_text(buffer_slice(&path)));
    }
    for (size_t i = 0; i < config->account_count; i++) {
        const struct bootstrap_account *a = &config->accounts[i];
        is_auto = is_auto || a->security_instance == BOOTSTRAP_ID_AUTO;
        set_instance(security, a->security_instance, i, account_json(a));
        if (!a->is_bootstrap)
            set_instance(servers, a->server_instance, i, server_json(a));
    }
    set(json, "autoIdForSecurityObject", json_boolean(is_auto));
    set(json, "toDelete", deletes);
    set(json, "servers", servers);
    set(json, "security", security);
    set(json, "acls", json_object());
    set(json, "oscore", json_object());
    return json;
}

void leshan_bootstrap_list(const struct call *call) {
    const struct bootstrap_configs *configs = call->web->server->bootstrap_configs;
    struct bootstrap_config *config = malloc(sizeof *config);
    struct slice endpoint, bytes;
    uint32_t slot = 0;
    json_t *all = json_object();
    while (config != NULL && bootstrap_configs_next(configs, &slot, &endpoint, &bytes)) {
        if (endpoint.len == 0 || !bootstrap_config_decode(bytes, config))
            continue;
        json_t *name = document_text(endpoint);
        set(all, json_string_value(name), config_json(config));
        json_decref(name);
    }
    free(config);
    document_ok(call->request, all);
}

/* ---- calls ---- */

void leshan_bootstrap_get(const struct call *call) {
    leshan_send_text(call->request, 404, "bad URL");
}

static bool put_target(const struct call *call, uint8_t target[TARGET_MAX], size_t *len) {
    struct buffer out = buffer_over(target, TARGET_MAX);
    buffer_put_str(&out, "/v1/bootstrap/");
    leshan_put_encoded(&out, call->args[0]);
    *len = out.len;
    return !out.overflow;
}

static void on_done(void *arg, const struct http_response *response) {
    struct http_request *request = arg;
    bool deletes = strcmp(request->method, "DELETE") == 0;
    if (response->status < 300) {
        http_respond(request, &(struct http_response){.status = deletes ? 204 : 200});
        return;
    }
    json_t *problem = json_loadb((const char *)response->body.data, response->body.len, 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    bool is_missing = deletes && response->status == 404;
    leshan_send_text(request,
                     response->status >= 500 ? 503
                     : is_missing            ? 404
                                             : 400,
                     "%s%s", is_missing ? "" : "Invalid request: ", detail == NULL ? "" : detail);
    json_decref(problem);
}

void leshan_bootstrap_post(const struct call *call) {
    struct reading in = {.error = ""};
    uint8_t target[TARGET_MAX];
    size_t len;
    json_t *body = document_read(call->request->body, in.error, sizeof in.error);
    in.body = body;
    json_t *config = body == NULL ? NULL : read_config(&in);
    char *text = config == NULL ? NULL : json_dumps(config, JSON_COMPACT);
    json_decref(config);
    json_decref(body);
    if (text == NULL || !put_target(call, target, &len)) {
        leshan_send_text(call->request, 400, "Invalid request: %s", in.error);
        free(text);
        return;
    }
    inner_start(call->web,
                &(struct inner_request){.method = "PUT",
                                        .path = slice_of(target, len),
                                        .body = slice_str(text),
                                        .content_type = "application/json"},
                on_done, call->request);
    mbedtls_platform_zeroize(text, strlen(text));
    free(text);
}

void leshan_bootstrap_delete(const struct call *call) {
    uint8_t target[TARGET_MAX];
    size_t len;
    if (!put_target(call, target, &len)) {
        leshan_send_text(call->request, 404, "no configuration of this endpoint");
        return;
    }
    inner_start(call->web, &(struct inner_request){.method = "DELETE", .path = slice_of(target, len)}, on_done,
                call->request);
}
