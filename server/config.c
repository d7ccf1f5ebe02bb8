#include "server/config.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/duration.h"
#include "common/base/manual.h"
#include "common/base/text.h"
#include "common/net/udp.h"
#include "common/net/uri.h"
#include "server/credential.h"

enum { PROBLEM_MAX = 200, BOOTSTRAP_HOST_MAX = 200 };

typedef bool set_fn(struct config *config, const char *value, char problem[PROBLEM_MAX]);

static bool fail(char problem[PROBLEM_MAX], const char *what) {
    snprintf(problem, PROBLEM_MAX, "%s", what);
    return false;
}

/* ---- kinds of values ---- */

/* Whole numbers with k, M or G for 1024 and its powers. */
static bool read_size(const char *value, size_t min, size_t *out, char problem[PROBLEM_MAX]) {
    uint64_t number;
    size_t len = strlen(value), shift = 0;
    const char *units = "kMG", *unit = len == 0 ? NULL : strchr(units, value[len - 1] == 'K' ? 'k' : value[len - 1]);
    if (unit != NULL) {
        shift = 10 * (size_t)(unit - units + 1);
        len--;
    }
    if (!slice_to_u64(slice_of(value, len), (uint64_t)1 << 32, &number) || number << shift < min) {
        snprintf(problem, PROBLEM_MAX, "must be a number of bytes of at least %zu, like 65536, 64k or 16M", min);
        return false;
    }
    *out = (size_t)(number << shift);
    return true;
}

static bool read_number(const char *value, uint32_t min, uint32_t max, uint32_t *out, char problem[PROBLEM_MAX]) {
    uint64_t number;
    if (!slice_to_u64(slice_str(value), max, &number) || number < min) {
        snprintf(problem, PROBLEM_MAX, "must be a number from %u to %u", min, max);
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

static bool read_duration_ms(const char *value, uint32_t min_ms, uint32_t max_ms, uint32_t *out,
                             char problem[PROBLEM_MAX]) {
    uint64_t ms;
    if (!duration_parse(slice_str(value), max_ms, &ms) || ms < min_ms) {
        snprintf(problem, PROBLEM_MAX, "must be a duration from %u ms to %u s, like 500ms, 30s or 2m", min_ms,
                 max_ms / 1000);
        return false;
    }
    *out = (uint32_t)ms;
    return true;
}

/* An option without a value is true; in the environment it has one. */
static bool read_bool(const char *value, bool *out, char problem[PROBLEM_MAX]) {
    if (value == NULL || strcmp(value, "1") == 0 || strcmp(value, "true") == 0 || strcmp(value, "yes") == 0)
        *out = true;
    else if (strcmp(value, "0") == 0 || strcmp(value, "false") == 0 || strcmp(value, "no") == 0)
        *out = false;
    else
        return fail(problem, "must be 1 or 0");
    return true;
}

/* ---- options ---- */

static bool read_role(struct slice value, enum listener_role *role, char problem[PROBLEM_MAX]) {
    if (!slice_is(value, "management") && !slice_is(value, "bootstrap"))
        return fail(problem, "role must be management or bootstrap");
    *role = slice_is(value, "bootstrap") ? LISTENER_BOOTSTRAP : LISTENER_MANAGEMENT;
    return true;
}

static bool read_listener_query(struct slice query, struct listener *listener, char problem[PROBLEM_MAX]) {
    struct slice name, value;
    size_t at = 0;
    while (uri_query_next(query, &at, &name, &value)) {
        if (slice_is(name, "role")) {
            enum listener_role role;
            if (!read_role(value, &role, problem))
                return false;
            listener->role = (uint8_t)role;
            continue;
        }
        if (!slice_is(name, "strict"))
            return fail(problem, "knows only strict=1 and role=… behind the ?");
        if (!slice_is(value, "1") && !slice_is(value, "0"))
            return fail(problem, "strict must be 1 or 0");
        listener->strict = slice_is(value, "1");
    }
    return true;
}

static bool add_listener(struct config *config, struct slice text, char problem[PROBLEM_MAX]) {
    const char *error = "";
    struct uri uri;
    if (config->listener_count == CONFIG_LISTENERS_MAX)
        return fail(problem, "at most 16 listeners");
    struct listener *listener = &config->listeners[config->listener_count];
    *listener = (struct listener){.transport = LINK_UDP, .number = (uint32_t)config->listener_count};
    if (text.len >= sizeof listener->uri)
        return fail(problem, "the URI is longer than 127 bytes");
    memcpy(listener->uri, text.data, text.len);
    if (!uri_parse(text, &uri, &error))
        return fail(problem, error);
    if (slice_is(uri.scheme, "coaps"))
        listener->transport = LINK_DTLS;
    else if (slice_is(uri.scheme, "coap+tcp"))
        listener->transport = LINK_TCP;
    else if (slice_is(uri.scheme, "coaps+tcp"))
        listener->transport = LINK_TLS;
    else if (!slice_is(uri.scheme, "coap"))
        return fail(problem, "must begin with coap://, coaps://, coap+tcp:// or coaps+tcp:// (others are not served)");
    bool is_secure = listener->transport == LINK_DTLS || listener->transport == LINK_TLS;
    if (!uri_resolve(&uri, is_secure ? 5684 : 5683, &listener->address, &error))
        return fail(problem, error);
    if (uri.path.len >= sizeof listener->prefix)
        return fail(problem, "the path is longer than 63 bytes");
    if (uri.path.len > 0)
        memcpy(listener->prefix, uri.path.data, uri.path.len);
    if (!read_listener_query(uri.query, listener, problem))
        return false;
    config->listener_count++;
    return true;
}

static const char http_help[] = "must be off or a URI like http://127.0.0.1:8080";

static bool add_http(struct config *config, struct slice text, char problem[PROBLEM_MAX]) {
    const char *error = "";
    struct uri uri;
    struct slice name, value;
    size_t at = 0;
    if (config->http_count == CONFIG_HTTP_MAX)
        return fail(problem, "at most 4 listeners for HTTP");
    struct http_listener *listener = &config->http[config->http_count];
    *listener = (struct http_listener){.role = LISTENER_EVERYTHING};
    if (!uri_parse(text, &uri, &error) || !slice_is(uri.scheme, "http") || uri.path.len > 0)
        return fail(problem, http_help);
    while (uri_query_next(uri.query, &at, &name, &value)) {
        if (!slice_is(name, "role"))
            return fail(problem, "knows only role=… behind the ?");
        if (!read_role(value, &listener->role, problem))
            return false;
    }
    if (!uri_resolve(&uri, 8080, &listener->address, &error))
        return fail(problem, error);
    config->http_count++;
    return true;
}

typedef bool add_fn(struct config *config, struct slice text, char problem[PROBLEM_MAX]);

/* Add each of a list, with spaces or commas between them; `none` is the problem of an empty one. */
static bool add_each(struct config *config, const char *value, add_fn *add, const char *none,
                     char problem[PROBLEM_MAX]) {
    static const char separators[] = ", ";
    size_t count = 0;
    for (const char *at = value + strspn(value, separators); *at != '\0'; at += strspn(at, separators)) {
        size_t len = strcspn(at, separators);
        if (!add(config, slice_of(at, len), problem))
            return false;
        at += len;
        count++;
    }
    return count > 0 || fail(problem, none);
}

/* One URI; in the environment several. */
static bool set_listen(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return add_each(config, value, add_listener, "must be a URI like coap://0.0.0.0:5683", problem);
}

/* Likewise, or off. */
static bool set_http(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->http_off = strcmp(value, "off") == 0;
    if (config->http_off)
        config->http_count = 0;
    return config->http_off || add_each(config, value, add_http, http_help, problem);
}

static bool set_data(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->data = value;
    return value[0] != '\0' || fail(problem, "must name a directory");
}

static bool set_objects(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    struct stat status;
    config->objects = value;
    return (stat(value, &status) == 0 && S_ISDIR(status.st_mode)) || fail(problem, "must name a directory");
}

/* ---- security ---- */

static bool set_key_file(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->key_file = value;
    return value[0] != '\0' || fail(problem, "must name a file");
}

static bool set_nosec(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    static const char *const names[] = {[NOSEC_OPEN] = "open", [NOSEC_KNOWN] = "known", [NOSEC_OFF] = "off"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            config->nosec = (enum nosec_policy)i;
            return true;
        }
    }
    return fail(problem, "must be open, known or off");
}

static bool set_bootstrap(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    static const char *const names[] = {
        [BOOTSTRAP_OPEN] = "open", [BOOTSTRAP_KNOWN] = "known", [BOOTSTRAP_OFF] = "off"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            config->bootstrap = (enum bootstrap_policy)i;
            return true;
        }
    }
    return fail(problem, "must be open, known or off");
}

static bool set_bootstrap_insecure(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->bootstrap_insecure, problem);
}

static bool set_bootstrap_host(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->bootstrap_host = value;
    size_t len = strlen(value);
    return (len > 0 && len <= BOOTSTRAP_HOST_MAX && strpbrk(value, "/?#@ []") == NULL) ||
           fail(problem, "must be a host name or an IP address, without brackets");
}

static bool set_max_bootstraps(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, 1000000, &config->max_bootstraps, problem);
}

/* IDENTITY:KEY, the key in hexadecimal; identities may have colons. */
static bool add_psk(struct config *config, struct slice text, char problem[PROBLEM_MAX]) {
    if (config->psk_count == CONFIG_PSKS_MAX)
        return fail(problem, "at most 64 keys; PUT /v1/credentials takes any number");
    struct config_psk *psk = &config->psks[config->psk_count];
    const uint8_t *colon = memrchr(text.data, ':', text.len);
    struct buffer key = buffer_over(psk->key, sizeof psk->key);
    if (colon == NULL || colon == text.data)
        return fail(problem, "must be IDENTITY:KEY with the key in hexadecimal");
    psk->identity = slice_of(text.data, (size_t)(colon - text.data));
    if (!credential_endpoint_good(psk->identity) || psk->identity.len > CREDENTIAL_IDENTITY_MAX)
        return fail(problem, "an identity is UTF-8 without control characters, 1 to 128 bytes");
    if (!text_get_hex(slice_from(text, psk->identity.len + 1), &key) || key.len == 0)
        return fail(problem, "a key is 1 to 64 bytes in hexadecimal");
    psk->key_len = key.len;
    config->psk_count++;
    return true;
}

/* In the environment several, with spaces between them. */
static bool set_psk(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    for (const char *at = value + strspn(value, " "); *at != '\0'; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        if (!add_psk(config, slice_of(at, len), problem))
            return false;
        at += len;
    }
    return true;
}

static bool add_file(const char **files, size_t *count, size_t max, const char *value, char problem[PROBLEM_MAX]) {
    if (*count == max)
        return fail(problem, "is given too often");
    files[(*count)++] = value;
    return value[0] != '\0' || fail(problem, "must not be empty");
}

static bool set_certificate(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return add_file(config->certificates, &config->certificate_count, CONFIG_CERTIFICATES_MAX, value, problem);
}

static bool set_key(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return add_file(config->keys, &config->key_count, CONFIG_CERTIFICATES_MAX, value, problem);
}

static bool set_authority(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return add_file(config->authorities, &config->authority_count, CONFIG_CERTIFICATES_MAX, value, problem);
}

static bool set_host(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return add_file(config->hosts, &config->host_count, CONFIG_HOSTS_MAX, value, problem);
}

static bool set_cookie(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    static const char *const names[] = {
        [DTLS_COOKIE_ALWAYS] = "always", [DTLS_COOKIE_UNDER_LOAD] = "under-load", [DTLS_COOKIE_NEVER] = "never"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            config->dtls.cookie = (enum dtls_cookie)i;
            return true;
        }
    }
    return fail(problem, "must be always, under-load or never");
}

static bool set_cid_length(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    uint32_t number;
    if (!read_number(value, 0, DTLS_CID_MAX, &number, problem))
        return false;
    config->dtls.cid_length = (uint8_t)number;
    return true;
}

static bool set_node(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    uint32_t number;
    if (!read_number(value, 0, 255, &number, problem))
        return false;
    config->dtls.node = (uint8_t)number;
    config->node_given = true;
    return true;
}

static bool set_handshake_timeout(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 1000, 600000, &config->dtls.handshake_timeout_ms, problem);
}

static bool set_max_handshakes(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, 100000, &config->dtls.handshakes_max, problem);
}

static bool set_max_sessions(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, 10000000, &config->dtls.sessions_max, problem);
}

static bool set_same_host(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->dtls.follow_same_host, problem);
}

static bool set_refusal(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->refuse_with_4_00 = strcmp(value, "4.00") == 0;
    return config->refuse_with_4_00 || strcmp(value, "4.03") == 0 || fail(problem, "must be 4.03 or 4.00");
}

static bool set_hide_identities(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->dtls.hide_unknown_identities, problem);
}

static bool set_ignore_dates(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->dtls.ignore_dates, problem);
}

static bool set_key_log(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->key_log = value;
    return value[0] != '\0' || fail(problem, "must name a file");
}

static bool set_close_replaced(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->close_replaced, problem);
}

static bool set_database(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->database = value;
    return store_check_uri(value, problem, PROBLEM_MAX);
}

static bool set_node_listen(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    static const char help[] = "must be an address and a port like 10.0.0.1:5690";
    const char *colon = strrchr(value, ':');
    if (colon == NULL)
        return fail(problem, help);
    struct slice host = slice_of(value, (size_t)(colon - value));
    uint64_t port;
    if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']')
        host = slice_of(host.data + 1, host.len - 2);
    if (!address_parse_ip(host, &config->node_listen) || !slice_to_u64(slice_str(colon + 1), 65535, &port))
        return fail(problem, help);
    config->node_listen.port = (uint16_t)port;
    return true;
}

static bool set_cluster(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->cluster, problem);
}

static bool set_durability(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    if (strcmp(value, "normal") == 0)
        config->durability = STORE_NORMAL;
    else if (strcmp(value, "full") == 0)
        config->durability = STORE_FULL;
    else
        return fail(problem, "must be normal or full");
    return true;
}

static bool set_api_key(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->api_key = value;
    return value[0] != '\0' || fail(problem, "must not be empty");
}

static bool set_callback_ca(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    (void)problem;
    config->callback_ca = value;
    return true;
}

static bool set_pelion_subscribe_reply(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->subscribe_is_200 = strcmp(value, "200") == 0;
    if (config->subscribe_is_200 || strcmp(value, "202") == 0)
        return true;
    snprintf(problem, PROBLEM_MAX, "it must be 200 or 202");
    return false;
}

static bool set_require_api_key(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->require_api_key, problem);
}

static bool set_workers(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, UDP_WORKERS_MAX, &config->workers, problem);
}

static bool set_max_memory(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_size(value, 16 << 20, &config->max_memory, problem);
}

static bool set_user(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->user = value;
    return value[0] != '\0' || fail(problem, "must name a user");
}

static bool set_seccomp(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    static const char *const names[] = {[SECCOMP_OFF] = "off", [SECCOMP_TRY] = "try", [SECCOMP_ON] = "on"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            config->seccomp = (enum seccomp_use)i;
            return true;
        }
    }
    return fail(problem, "must be on, off or try");
}

static bool set_http_host(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return add_file(config->http_hosts, &config->http_host_count, CONFIG_HOSTS_MAX, value, problem);
}

static bool set_http_certificate(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->http_certificate = value;
    return value[0] != '\0' || fail(problem, "must name a file");
}

static bool set_http_key(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->http_key = value;
    return value[0] != '\0' || fail(problem, "must name a file");
}

static bool set_log_level(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return log_level_parse(value, &config->log_level) || fail(problem, "must be error, warn, info or debug");
}

static bool set_log_format(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    config->log_json = strcmp(value, "json") == 0;
    return config->log_json || strcmp(value, "text") == 0 || fail(problem, "must be text or json");
}

static bool set_grace(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    uint32_t ms;
    if (!read_duration_ms(value, 0, 86400000, &ms, problem))
        return false;
    config->grace_s = ms / 1000;
    return ms % 1000 == 0 || fail(problem, "must be whole seconds");
}

static bool set_grant_lifetime(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->grant_lifetime_on_start, problem);
}

static bool set_version_optional(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->lwm2m_version_optional, problem);
}

static bool set_same_address(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->trust_address_only, problem);
}

static bool set_max_age(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->max_age_is_lifetime, problem);
}

static bool set_max_registrations(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    uint32_t number;
    if (!read_number(value, 1, 100000000, &number, problem))
        return false;
    config->max_registrations = number;
    return true;
}

static bool set_max_observations(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    uint32_t number;
    if (!read_number(value, 0, 100000000, &number, problem))
        return false;
    config->max_observations = number;
    return true;
}

static bool set_device_observations(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    uint32_t number;
    if (!read_number(value, 0, 100000, &number, problem))
        return false;
    config->max_observations_per_device = number;
    return true;
}

static bool set_event_memory(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_size(value, 64 << 10, &config->event_bytes, problem);
}

static bool read_on_off(const char *value, bool *out, char problem[PROBLEM_MAX]) {
    *out = strcmp(value, "on") == 0;
    return *out || strcmp(value, "off") == 0 || fail(problem, "must be on or off");
}

static bool set_trace(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_on_off(value, &config->trace, problem);
}

static bool set_trace_secrets(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_on_off(value, &config->trace_secrets, problem);
}

static bool set_trace_messages(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, 1000000, &config->trace_messages, problem);
}

static bool set_trace_memory(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_size(value, 256 << 10, &config->trace_bytes, problem) &&
           (config->trace_bytes <= (size_t)64 << 30 || fail(problem, "must be at most 64G"));
}

static bool set_awake_window(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 1, 86400000, &config->awake_window_ms, problem);
}

static bool set_queue_limit(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, 10000, &config->queue_limit, problem);
}

static bool set_queue_expiry(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 1000, 30u * 86400000, &config->queue_expiry_ms, problem);
}

static bool set_queue_delay(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 0, 60000, &config->queue_delay_ms, problem);
}

static bool set_max_body(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_size(value, 1024, &config->coap.max_body, problem);
}

static bool set_max_transfer(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_size(value, 1024, &config->coap.max_transfer_bytes, problem);
}

static bool set_block_size(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    for (uint8_t szx = 0; szx <= 6; szx++) {
        char size[8];
        snprintf(size, sizeof size, "%u", 16u << szx);
        if (strcmp(value, size) == 0) {
            config->coap.block_szx = szx;
            return true;
        }
    }
    return fail(problem, "must be 16, 32, 64, 128, 256, 512 or 1024");
}

static bool set_ack_timeout(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 1, 60000, &config->coap.ack_timeout_ms, problem);
}

static bool set_ack_random_factor(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    char *end;
    double factor = strtod(value, &end);
    if (*value == '\0' || *end != '\0' || !(factor >= 1.0 && factor <= 4.0))
        return fail(problem, "must be a number from 1.0 to 4.0");
    config->coap.ack_random_factor = factor;
    return true;
}

static bool set_max_retransmit(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 0, 10, &config->coap.max_retransmit, problem);
}

static bool set_nstart(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, 1000, &config->coap.nstart, problem);
}

static bool set_max_latency(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 0, 600000, &config->coap.max_latency_ms, problem);
}

static bool set_piggyback_timeout(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 0, 60000, &config->coap.piggyback_ms, problem);
}

static bool set_transfer_timeout(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 93000, 86400000, &config->coap.transfer_idle_ms, problem);
}

static bool set_max_transfers(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, 1000, &config->coap.max_transfers_per_peer, problem);
}

static bool set_max_exchanges(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 8, 100000000, &config->coap.max_exchanges, problem);
}

static bool set_max_peer_exchanges(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 8, 65536, &config->coap.max_exchanges_per_peer, problem);
}

static bool set_echo_challenge(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->coap.echo_challenge, problem);
}

static bool set_tcp_connections(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, 1000000, &config->tcp_max_connections, problem);
}

static bool set_tcp_idle(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 0, 86400000, &config->tcp_idle_ms, problem);
}

/* RFC 8323 §5.3.1: what others may send unasked must be taken. */
static bool set_max_message(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    size_t size;
    if (!read_size(value, 1152, &size, problem))
        return false;
    if (size > 16 << 20)
        return fail(problem, "must be at most 16M");
    config->coap.max_message_size = (uint32_t)size;
    return true;
}

static bool set_csm_optional(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_bool(value, &config->coap.csm_optional, problem);
}

static bool set_http_connections(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_number(value, 1, 1000000, &config->http_max_connections, problem);
}

static bool set_fake_update(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_duration_ms(value, 1, 86400000, &config->pelion_fake_update_ms, problem);
}

static bool set_http_idle(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    uint32_t ms;
    if (!read_duration_ms(value, 1000, 86400000, &ms, problem))
        return false;
    config->http_idle_s = ms / 1000;
    return true;
}

static bool set_http_max_body(struct config *config, const char *value, char problem[PROBLEM_MAX]) {
    return read_size(value, 1024, &config->http_max_body, problem);
}

struct setting {
    const char *name;
    const char *argument; /* NULL: a switch */
    set_fn *set;
    const char *help;
};

static const struct setting settings[] = {
    {"listen", "URI", set_listen, "serve devices there; several [coap(+tcp)://:5683, coaps(+tcp)://:5684]"},
    {"workers", "N", set_workers, "threads that fetch and send datagrams; 1: the one that does all the rest [1]"},
    {"http", "URI", set_http, "serve the HTTP API there (again for more), or off [http://127.0.0.1:8080]"},
    {"data", "DIR", set_data, "where the database lies [./berth-data]"},
    {"database", "URI", set_database, "keep it in PostgreSQL: postgresql://USER@HOST/NAME [SQLite in DATA]"},
    {"cluster", NULL, set_cluster, "be one of several servers on that database: one serves, the others stand by"},
    {"key-file", "FILE", set_key_file, "seals secrets in the database; made when missing [DATA/berth.key]"},
    {"nosec", "open|known|off", set_nosec, "who may register without security [open]"},
    {"refuse-with", "4.03|4.00", set_refusal, "what an endpoint or identity hears that may not register [4.03]"},
    {"bootstrap", "open|known|off", set_bootstrap, "who is bootstrapped: everyone, who is configured, nobody [open]"},
    {"bootstrap-insecure", NULL, set_bootstrap_insecure, "give keys to devices that come without security, too"},
    {"bootstrap-host", "HOST", set_bootstrap_host,
     "this server's name or address in what devices are given [by which they came]"},
    {"max-bootstraps", "N", set_max_bootstraps, "bootstraps under way at once [2000]"},
    {"psk", "IDENTITY:HEX", set_psk, "endpoint IDENTITY has this pre-shared key; may be given several times"},
    {"cert", "FILE", set_certificate, "own certificate, PEM or DER; several for SNI [made by itself]"},
    {"key", "FILE", set_key, "its private key, one for each --cert"},
    {"ca", "FILE", set_authority, "authorities of devices' certificates; several [the server's own]"},
    {"hostname", "NAME", set_host, "name or address in the own certificate; several [this machine's]"},
    {"dtls-cookie", "always|under-load|never", set_cookie, "clients prove their address first [always]"},
    {"cid-length", "BYTES", set_cid_length, "of connection IDs that devices send; 0: none [8]"},
    {"node", "N", set_node, "number among several servers, first byte of connection IDs [0; with --cluster: any]"},
    {"node-listen", "ADDRESS:PORT", set_node_listen,
     "take what came to other nodes there [address of the first --listen, any port]"},
    {"handshake-timeout", "DURATION", set_handshake_timeout, "how long a handshake may take [60s]"},
    {"max-handshakes", "N", set_max_handshakes, "handshakes under way at once [2000]"},
    {"max-sessions", "N", set_max_sessions, "DTLS sessions; then the one quiet longest goes [1000000]"},
    {"follow-same-host", NULL, set_same_host,
     "sessions without connection ID go on from another port of the same host"},
    {"hide-unknown-identities", NULL, set_hide_identities, "an unknown PSK identity fails as a wrong key does"},
    {"ignore-certificate-dates", NULL, set_ignore_dates, "devices' certificates are good before and after their dates"},
    {"tls-key-log", "FILE", set_key_log, "write the secrets of sessions there, for Wireshark"},
    {"close-replaced", NULL, set_close_replaced, "end the sessions of a credential that is replaced"},
    {"objects", "DIR", set_objects, "object definitions, every .xml file there is OMA XML"},
    {"durability", "normal|full", set_durability, "full: what was acknowledged survives a power loss too [normal]"},
    {"api-key", "KEY", set_api_key, "demand Authorization: Bearer KEY on the HTTP side"},
    {"require-api-key", NULL, set_require_api_key, "do not start without --api-key on other addresses than loopback"},
    {"callback-ca", "FILE", set_callback_ca,
     "authorities of https callbacks, PEM [/etc/ssl/certs/ca-certificates.crt]"},
    {"pelion-subscribe-reply", "202|200", set_pelion_subscribe_reply,
     "how a subscription of the Device Management API is answered [202]"},
    {"http-host", "NAME", set_http_host, "a name by which HTTP is asked for, besides localhost and addresses; several"},
    {"http-cert", "FILE", set_http_certificate, "certificate of HTTPS, PEM or DER, with its chain [the server's own]"},
    {"http-key", "FILE", set_http_key, "its private key"},
    {"user", "USER[:GROUP]", set_user, "become that user; root may give it, and ports below 1024 still can be bound"},
    {"seccomp", "on|off|try", set_seccomp, "give up the system calls that a server has no use for [off]"},
    {"log-level", "error|warn|info|debug", set_log_level, "from which on lines are logged [info]"},
    {"log-format", "text|json", set_log_format, "how log lines look [text]"},
    {"grace", "DURATION", set_grace, "how long a registration stays after its lifetime has run out [93s]"},
    {"grant-lifetime-on-start", NULL, set_grant_lifetime,
     "what ran out while the server was down gets one more lifetime"},
    {"allow-missing-version", NULL, set_version_optional, "a Register without lwm2m= is taken as LwM2M 1.0"},
    {"deregister-same-address", NULL, set_same_address, "refuse a De-register from another address than the device's"},
    {"max-age-is-lifetime", NULL, set_max_age,
     "answer a Register with its lifetime as Max-Age, for clients that read it"},
    {"max-memory", "BYTES", set_max_memory, "of the process; beyond it nothing new begins [no limit]"},
    {"max-registrations", "N", set_max_registrations, "answer 5.03 beyond [2000000]"},
    {"max-observations", "N", set_max_observations, "observe no more than so much [2000000]"},
    {"max-observations-per-device", "N", set_device_observations, "of them for one device [256]"},
    {"event-memory", "BYTES", set_event_memory, "bound of the event log [4M]"},
    {"trace", "on|off", set_trace, "keep what goes to and from devices [on]"},
    {"trace-messages", "N", set_trace_messages, "so many messages of each device [256]"},
    {"trace-memory", "BYTES", set_trace_memory, "bound of all of them; who was quiet longest goes first [16M]"},
    {"trace-secrets", "on|off", set_trace_secrets, "with the secrets of DTLS and TLS, for captures [on]"},
    {"awake-window", "DURATION", set_awake_window, "how long a device in queue mode listens after it was heard [93s]"},
    {"queue-limit", "N", set_queue_limit, "requests that wait for one device (Prefer: respond-async) [64]"},
    {"queue-expiry", "DURATION", set_queue_expiry, "how long they wait when they don't say [1d]"},
    {"queue-delay", "DURATION", set_queue_delay, "pause between the answer to a device and what waits for it [0]"},
    {"max-body", "BYTES", set_max_body, "largest body taken from a device [16M]"},
    {"max-transfer-memory", "BYTES", set_max_transfer, "bound of all block-wise transfers [64M]"},
    {"max-transfers", "N", set_max_transfers, "block-wise transfers of one peer at once [8]"},
    {"transfer-timeout", "DURATION", set_transfer_timeout,
     "drop a block-wise transfer without blocks for so long [247s]"},
    {"block-size", "BYTES", set_block_size, "largest block sent or asked for [1024]"},
    {"ack-timeout", "DURATION", set_ack_timeout, "CoAP ACK_TIMEOUT [2s]"},
    {"ack-random-factor", "X", set_ack_random_factor, "CoAP ACK_RANDOM_FACTOR [1.5]"},
    {"max-retransmit", "N", set_max_retransmit, "CoAP MAX_RETRANSMIT [4]"},
    {"nstart", "N", set_nstart, "CoAP NSTART: requests under way to one device [1]"},
    {"max-latency", "DURATION", set_max_latency, "CoAP MAX_LATENCY [100s]"},
    {"piggyback-timeout", "DURATION", set_piggyback_timeout, "send an empty ACK when an answer takes longer [1s]"},
    {"max-exchanges", "N", set_max_exchanges, "messages remembered to answer duplicates [65536]"},
    {"max-exchanges-per-peer", "N", set_max_peer_exchanges, "of them for one peer [32]"},
    {"echo-challenge", NULL, set_echo_challenge, "unknown peers must prove their address with an Echo option"},
    {"tcp-max-connections", "N", set_tcp_connections, "TCP connections of devices at once [20000]"},
    {"tcp-idle-timeout", "DURATION", set_tcp_idle,
     "close silent connections of devices that are not registered; 0: never [60s]"},
    {"tcp-max-message", "BYTES", set_max_message, "largest message taken over TCP, our Max-Message-Size [16k]"},
    {"allow-missing-csm", NULL, set_csm_optional, "serve TCP connections that begin without CSM"},
    {"http-max-connections", "N", set_http_connections, "HTTP connections at once [1024]"},
    {"http-idle-timeout", "DURATION", set_http_idle, "close HTTP connections that are silent for so long [60s]"},
    {"http-max-body", "BYTES", set_http_max_body, "largest HTTP request body [1M]"},
    {"pelion-fake-update", "DURATION", set_fake_update,
     "campaigns of Device Management update nothing, and say after this that they have"},
};

enum {
    SETTING_COUNT = sizeof settings / sizeof settings[0],
    OPTION_SETTINGS = 1000,
    OPTION_HELP = 2000,
    OPTION_VERSION,
    OPTION_HEALTHCHECK,
    OPTION_MANUAL
};

static void set_defaults(struct config *config) {
    *config = (struct config){
        .workers = 1,
        .data = "berth-data",
        .log_level = LOG_INFO,
        .grace_s = 93,
        .callback_ca = "/etc/ssl/certs/ca-certificates.crt",
        .max_bootstraps = 2000,
        .max_registrations = 2000000,
        .max_observations = 2000000,
        .max_observations_per_device = 256,
        .event_bytes = 4 << 20,
        .trace = true,
        .trace_secrets = true,
        .trace_messages = 256,
        .trace_bytes = 16 << 20,
        .awake_window_ms = 93000, /* MAX_TRANSMIT_WAIT (T §6.5), whatever is set for our own transmissions */
        .queue_limit = 64,
        .queue_expiry_ms = 86400000,
        .tcp_max_connections = 20000,
        .tcp_idle_ms = 60000,
        .http_max_connections = 1024,
        .http_idle_s = 60,
        .http_max_body = 1 << 20,
    };
    coap_params_default(&config->coap);
    dtls_params_default(&config->dtls);
}

/* Headings over the settings from these on. */
static const struct manual_heading headings[] = {
    {"listen", "Where it serves, and what it keeps"},
    {"nosec", "Who may come"},
    {"psk", "Keys and certificates"},
    {"dtls-cookie", "DTLS and TLS"},
    {"objects", "Objects, durability and the API"},
    {"user", "Privileges and the log"},
    {"grace", "Registrations, observations and what is kept of them"},
    {"awake-window", "Queue mode"},
    {"max-body", "CoAP"},
    {"tcp-max-connections", "TCP and HTTP"},
    {"health", "And"},
};

static const struct manual_section sections[] = {
    {"Examples",
     "  berth-server                                    devices at the standard ports, people at "
     "http://127.0.0.1:8080\n"
     "  curl -s http://127.0.0.1:8080/v1/devices        who is there\n"
     "  berth-server --listen coap://:5683 --http http://127.0.0.1:9000 --data /var/lib/berth\n"
     "  berth-server --psk dev1:00112233445566778899aabbccddeeff --nosec off\n"
     "  berth-server pki device --data berth-data --endpoint dev1 --out dev1\n"
     "  berth-server run scenarios/*.json               tests that are files\n"
     "  berth-server device --endpoint dev1             a device to try it with; the same as berth-device\n"},
    {"Environment",
     "  Every option is also a variable: --http is BERTH_HTTP, --max-body is BERTH_MAX_BODY. Options win. A switch is\n"
     "  on with 1. BERTH_LISTEN, BERTH_HTTP and BERTH_PSK may have several values, with blanks between them.\n"},
    {"Values",
     "  DURATION: 500ms, 30s, 2m, 1h or 1d. BYTES: 65536, 64k or 16M. URI: coap://ADDRESS:PORT, coaps://, coap+tcp://\n"
     "  or coaps+tcp://, without ADDRESS all; ?role=bootstrap serves bootstrap there alone, ?strict=1 refuses "
     "oddities.\n"},
    {"Exit code", "  0 when it was ended by SIGTERM or SIGINT, with everything committed. 1: it cannot run. 2: an "
                  "option is wrong.\n"},
};

static const struct manual_option more_options[] = {
    {"health", NULL, "ask a running server whether it is well: exit code 0 or 1. Also --healthcheck"},
    {"manual", manual_forms, "print this, the manual page, or the completion of a shell"},
    {"version", NULL, "print the version"},
    {"help", NULL, "print this"},
};

enum { MORE_OPTIONS = sizeof more_options / sizeof more_options[0] };

static bool print_manual(const char *form) {
    static const char *const usage[] = {"[options]", "pki ca|server|device [options]", "run [options] SCENARIO...",
                                        "device [options]", NULL};
    static const char *const commands[] = {"pki", "run", "device", NULL};
    struct manual_option options[SETTING_COUNT + MORE_OPTIONS];
    for (size_t i = 0; i < SETTING_COUNT; i++)
        options[i] = (struct manual_option){settings[i].name, settings[i].argument, settings[i].help};
    memcpy(options + SETTING_COUNT, more_options, sizeof more_options);
    const struct manual manual = {.program = "berth-server",
                                  .summary = "an LwM2M server, bootstrap server and test endpoint",
                                  .usage = usage,
                                  .commands = commands,
                                  .options = options,
                                  .option_count = SETTING_COUNT + MORE_OPTIONS,
                                  .headings = headings,
                                  .heading_count = sizeof headings / sizeof headings[0],
                                  .sections = sections,
                                  .section_count = sizeof sections / sizeof sections[0]};
    return manual_print(&manual, form, stdout);
}

/* BERTH_MAX_BODY of max-body. */
static const char *environment_value(const char *name, char variable[64]) {
    size_t len = (size_t)snprintf(variable, 64, "BERTH_");
    for (; *name != '\0' && len < 63; name++)
        variable[len++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    variable[len] = '\0';
    return getenv(variable);
}

static bool read_environment(struct config *config) {
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char variable[64], problem[PROBLEM_MAX];
        const char *value = environment_value(settings[i].name, variable);
        if (value != NULL && value[0] != '\0' && !settings[i].set(config, value, problem)) {
            fprintf(stderr, "berth-server: %s: %s\n", variable, problem);
            return false;
        }
    }
    return true;
}

bool config_is_reached_by_others(const struct config *config) {
    bool is_reached = false;
    for (size_t i = 0; i < config->http_count; i++)
        is_reached = is_reached || !address_is_loopback(&config->http[i].address);
    return is_reached;
}

static bool add_default_listeners(struct config *config, char problem[PROBLEM_MAX]) {
    static const char *const uris[] = {"coap://:5683", "coap+tcp://:5683", "coaps://:5684", "coaps+tcp://:5684"};
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        if (!add_listener(config, slice_str(uris[i]), problem))
            return false;
    }
    return true;
}

static enum config_action finish(struct config *config) {
    char problem[PROBLEM_MAX];
    const char *key_log = getenv("SSLKEYLOGFILE"); /* as other programs have it */
    if (config->key_log == NULL && key_log != NULL && key_log[0] != '\0')
        config->key_log = key_log;
    if (config->listener_count == 0 && !add_default_listeners(config, problem)) {
        fprintf(stderr, "berth-server: --listen: %s\n", problem);
        return CONFIG_EXIT_USAGE;
    }
    if (config->http_count == 0 && !config->http_off &&
        !add_http(config, slice_str("http://127.0.0.1:8080"), problem)) {
        fprintf(stderr, "berth-server: --http: %s\n", problem);
        return CONFIG_EXIT_USAGE;
    }
    if (config->certificate_count != config->key_count) {
        fprintf(stderr, "berth-server: --cert and --key come in pairs, and there are %zu and %zu\n",
                config->certificate_count, config->key_count);
        return CONFIG_EXIT_USAGE;
    }
    if ((config->http_certificate == NULL) != (config->http_key == NULL)) {
        fprintf(stderr, "berth-server: --http-cert and --http-key come together\n");
        return CONFIG_EXIT_USAGE;
    }
    if (config->require_api_key && config->api_key == NULL && config_is_reached_by_others(config)) {
        fprintf(stderr, "berth-server: --http names an address that others can reach, and --require-api-key is given: "
                        "--api-key is needed\n");
        return CONFIG_EXIT_USAGE;
    }
    if (config->cluster && (config->database == NULL || config->key_file == NULL)) {
        fprintf(stderr, "berth-server: --cluster needs --database, and --key-file with the same key for all nodes\n");
        return CONFIG_EXIT_USAGE;
    }
    return CONFIG_RUN;
}

enum config_action config_parse(struct config *config, int argc, char **argv) {
    struct option options[SETTING_COUNT + 6];
    memset(options, 0, sizeof options);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        options[i] = (struct option){.name = settings[i].name,
                                     .has_arg = settings[i].argument == NULL ? no_argument : required_argument,
                                     .val = OPTION_SETTINGS + (int)i};
    }
    options[SETTING_COUNT] = (struct option){.name = "help", .val = OPTION_HELP};
    options[SETTING_COUNT + 1] = (struct option){.name = "version", .val = OPTION_VERSION};
    options[SETTING_COUNT + 2] = (struct option){.name = "health", .val = OPTION_HEALTHCHECK};
    options[SETTING_COUNT + 3] = (struct option){.name = "healthcheck", .val = OPTION_HEALTHCHECK};
    options[SETTING_COUNT + 4] = (struct option){.name = "manual", .has_arg = required_argument, .val = OPTION_MANUAL};

    set_defaults(config);
    if (!read_environment(config))
        return CONFIG_EXIT_USAGE;
    bool healthcheck = false, first_listen = true, first_http = true;
    optind = 1;
    int chosen;
    while ((chosen = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (chosen == OPTION_HELP || chosen == 'h') {
            print_manual("help");
            return CONFIG_EXIT_OK;
        }
        if (chosen == OPTION_MANUAL) {
            if (print_manual(optarg))
                return CONFIG_EXIT_OK;
            fprintf(stderr, "berth-server: --manual: must be one of %s\n", manual_forms);
            return CONFIG_EXIT_USAGE;
        }
        if (chosen == OPTION_VERSION) {
            printf("berth-server %s\n", BERTH_VERSION);
            return CONFIG_EXIT_OK;
        }
        if (chosen == OPTION_HEALTHCHECK) {
            healthcheck = true;
            continue;
        }
        if (chosen < OPTION_SETTINGS) /* '?' */
            return CONFIG_EXIT_USAGE; /* getopt_long has said what is wrong */
        const struct setting *setting = &settings[chosen - OPTION_SETTINGS];
        char problem[PROBLEM_MAX];
        if (setting->set == set_listen && first_listen) { /* options win over the environment */
            config->listener_count = 0;
            first_listen = false;
        }
        if (setting->set == set_http && first_http) {
            config->http_count = 0;
            first_http = false;
        }
        if (!setting->set(config, optarg, problem)) {
            fprintf(stderr, "berth-server: --%s: %s\n", setting->name, problem);
            return CONFIG_EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "berth-server: '%s' is no option; try --help\n", argv[optind]);
        return CONFIG_EXIT_USAGE;
    }
    enum config_action action = finish(config);
    return action == CONFIG_RUN && healthcheck ? CONFIG_HEALTHCHECK : action;
}
