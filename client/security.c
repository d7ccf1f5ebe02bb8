#include "client/security.h"

#include <errno.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/server_account.h"
#include "common/base/text.h"
#include "common/net/address.h"
#include "common/net/dtls_setup.h"

static bool fail(char problem[SECURITY_PROBLEM_MAX], const char *what) {
    snprintf(problem, SECURITY_PROBLEM_MAX, "%s", what);
    return false;
}

/* ---- options ---- */

bool security_read_line(const char *path, char *line, size_t size, char problem[SECURITY_PROBLEM_MAX]) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(problem, SECURITY_PROBLEM_MAX, "%s: %s", path, strerror(errno));
        return false;
    }
    bool good = fgets(line, (int)size, file) != NULL;
    fclose(file);
    if (good)
        line[strcspn(line, "\r\n")] = '\0';
    return good || fail(problem, "the file is empty");
}

bool security_set_psk(struct security_options *security, const char *value, char problem[SECURITY_PROBLEM_MAX]) {
    char line[DTLS_IDENTITY_MAX + 1 + 2 * DTLS_PSK_KEY_MAX + 4];
    struct buffer key = buffer_over(security->key, sizeof security->key);
    bool good = value[0] != '@' || security_read_line(value + 1, line, sizeof line, problem);
    if (!good)
        return false;
    if (value[0] == '@')
        value = line;
    const char *colon = strrchr(value, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - value);
    good = len > 0 && len <= DTLS_IDENTITY_MAX && text_get_hex(slice_str(colon + 1), &key) && key.len > 0;
    if (good) {
        memcpy(security->identity, value, len);
        security->identity_len = len;
        security->key_len = key.len;
        security->has_psk = true;
    }
    mbedtls_platform_zeroize(line, sizeof line);
    return good || fail(problem, "must be IDENTITY:HEX or @FILE, 1 to 128 bytes of identity and 1 to 64 of key");
}

bool security_set_cid(struct security_options *security, const char *value, char problem[SECURITY_PROBLEM_MAX]) {
    uint64_t len = 0;
    if (value != NULL && !slice_to_u64(slice_str(value), DTLS_CID_MAX, &len))
        return fail(problem, "must be a number of bytes from 0 to 32");
    if (security->cid == DTLS_CLIENT_NO_CID)
        security->cid = DTLS_CLIENT_CID;
    security->cid_length = (uint8_t)len;
    return true;
}

bool security_set_max_fragment(struct security_options *security, const char *value,
                               char problem[SECURITY_PROBLEM_MAX]) {
    uint64_t len;
    if (!slice_to_u64(slice_str(value), 4096, &len) || len < 512 || (len & (len - 1)) != 0)
        return fail(problem, "must be 512, 1024, 2048 or 4096");
    security->max_fragment = (uint16_t)len;
    return true;
}

/* A name of IANA's, or what is special about it: CCM_8, CCM, GCM or CBC, with ECDHE- before it where the credentials
 * leave that open. */
static bool is_named(const struct cipher_suite *suite, const char *name) {
    static const char *const aeads[] = {
        [RECORD_CBC] = "CBC", [RECORD_CCM_8] = "CCM_8", [RECORD_CCM] = "CCM", [RECORD_GCM] = "GCM"};
    static const char ephemeral[] = "ECDHE-";
    if (strcmp(name, suite->name) == 0)
        return true;
    bool asks_ephemeral = strncmp(name, ephemeral, sizeof ephemeral - 1) == 0;
    if (asks_ephemeral)
        name += sizeof ephemeral - 1;
    return suite->key_len == 16 && strcmp(name, aeads[suite->aead]) == 0 &&
           suite->ephemeral == (asks_ephemeral || !suite->psk);
}

/* NULL when there is none of this name for a key, or for certificates. */
static const struct cipher_suite *find_suite(const char *name, bool psk) {
    for (const int *id = cipher_suite_ids(); *id != 0; id++) {
        const struct cipher_suite *suite = cipher_suite_find((uint16_t)*id);
        if (suite->psk == psk && is_named(suite, name))
            return suite;
    }
    return NULL;
}

static const char default_suite[] = "CCM_8";

bool security_complete(struct security_options *security, bool secure, bool bootstraps, struct slice host,
                       char problem[SECURITY_PROBLEM_MAX]) {
    bool some = security->certificate != NULL || security->private_key != NULL || security->authority != NULL;
    bool all = security->certificate != NULL && security->private_key != NULL && security->authority != NULL;
    struct address address;
    bool offers = security->cid != DTLS_CLIENT_NO_CID || security->resume || security->cipher != NULL ||
                  (security->state != NULL && !security->keeps_more) || security->max_fragment > 0;
    if (!secure && (some || security->has_psk || (offers && !bootstraps)))
        return fail(problem, "options of security need --server coaps://... or coaps+tcp://...");
    if (bootstraps && security->cipher != NULL && find_suite(security->cipher, true) == NULL &&
        find_suite(security->cipher, false) == NULL) {
        snprintf(problem, SECURITY_PROBLEM_MAX, "--cipher: %s is no suite", security->cipher);
        return false;
    }
    if (!secure)
        return true;
    if (security->has_psk == some || some != all)
        return fail(problem, "coaps:// needs --psk, or --cert, --key and --ca");
    security->suite = find_suite(security->cipher != NULL ? security->cipher : default_suite, security->has_psk);
    if (security->suite == NULL && bootstraps) /* it is for what will be given, then */
        security->suite = find_suite(default_suite, security->has_psk);
    if (security->suite == NULL) {
        snprintf(problem, SECURITY_PROBLEM_MAX, "--cipher: %s is no suite for %s", security->cipher,
                 security->has_psk ? "--psk" : "--cert");
        return false;
    }
    if (security->server_name == NULL && host.len < sizeof security->host && !address_parse_ip(host, &address)) {
        memcpy(security->host, host.data, host.len);
        security->server_name = security->host;
    }
    return true;
}

/* ---- what a client is made with ---- */

static bool read_file(const char *path, uint8_t **bytes, size_t *len, char *error, size_t error_size) {
    FILE *file = fopen(path, "re");
    *bytes = file == NULL ? NULL : malloc(SECURITY_FILE_MAX + 1);
    *len = *bytes == NULL ? 0 : fread(*bytes, 1, SECURITY_FILE_MAX + 1, file);
    bool good = *bytes != NULL && ferror(file) == 0;
    if (!good)
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
    else if (*len > SECURITY_FILE_MAX)
        snprintf(error, error_size, "%s: it is longer than 64 KiB", path);
    if (file != NULL)
        fclose(file);
    return good && *len <= SECURITY_FILE_MAX;
}

static void bind_to(mbedtls_sha256_context *hash, struct slice bytes) {
    const uint8_t len[3] = {(uint8_t)(bytes.len >> 16), (uint8_t)(bytes.len >> 8), (uint8_t)bytes.len};
    mbedtls_sha256_update(hash, len, sizeof len);
    mbedtls_sha256_update(hash, bytes.data, bytes.len);
}

static void make_binding(const char *server, struct security_params *params) {
    const struct dtls_client_params *client = &params->client;
    const uint16_t offer[4] = {client->suite->id, (uint16_t)client->cid, client->cid_length, client->max_fragment};
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    mbedtls_sha256_starts(&hash, 0);
    bind_to(&hash, slice_str(server));
    bind_to(&hash, slice_of(offer, sizeof offer));
    bind_to(&hash, client->identity);
    bind_to(&hash, client->key);
    bind_to(&hash, client->certificate);
    bind_to(&hash, client->private_key);
    bind_to(&hash, client->authority);
    mbedtls_sha256_finish(&hash, params->binding);
    mbedtls_sha256_free(&hash);
}

static void put_offer(const struct security_options *security, struct dtls_client_params *client) {
    client->cid = security->cid;
    client->cid_length = security->cid_length;
    client->resume = security->resume;
    client->max_fragment = security->max_fragment;
}

bool security_read_params(const struct security_options *security, const char *server, struct security_params *params,
                          char *error, size_t error_size) {
    const char *const paths[3] = {security->certificate, security->private_key, security->authority};
    *params = (struct security_params){.files = {NULL}};
    for (size_t i = 0; i < 3 && !security->has_psk; i++) {
        if (!read_file(paths[i], &params->files[i], &params->file_lens[i], error, error_size)) {
            security_free_params(params);
            return false;
        }
    }
    struct dtls_client_params *client = &params->client;
    dtls_client_params_default(client);
    client->suite = security->suite;
    client->identity = slice_of(security->identity, security->identity_len);
    client->key = slice_of(security->key, security->key_len);
    client->certificate = slice_of(params->files[0], params->file_lens[0]);
    client->private_key = slice_of(params->files[1], params->file_lens[1]);
    client->authority = slice_of(params->files[2], params->file_lens[2]);
    client->server_name = security->server_name;
    put_offer(security, client);
    make_binding(server, params);
    return true;
}

static bool fail_account(char *error, size_t error_size, const char *what) {
    snprintf(error, error_size, "%s", what);
    return false;
}

/* Whom the certificate must name, where it is not pinned: what SNI says (0/x/14), else the host if that is a name. */
static void name_server(const struct instance *account, struct destination *destination) {
    struct slice name = server_account_bytes(account, SECURITY_SNI);
    struct address address;
    if (name.len == 0 && !address_parse_ip(destination->uri.host, &address))
        name = destination->uri.host;
    if (name.len > 0 && name.len < sizeof destination->server_name) {
        memcpy(destination->server_name, name.data, name.len);
        destination->server_name[name.len] = '\0';
    }
}

/* 0 and 2 are an authority, 1 and 3 the server's certificate (Core 1.2 §E.1; Transport §5.2.8.7). Where nothing is said it
 * is that, too; but servers that the vendor's clients know mean the authority then. */
static enum dtls_client_pin pin_of(const struct instance *account) {
    if (instance_value(account, SECURITY_USAGE, 0) == NULL)
        return DTLS_CLIENT_PINNED_UNLESS_AUTHORITY;
    uint64_t usage = server_account_number(account, SECURITY_USAGE, USAGE_DOMAIN_ISSUED);
    return usage == USAGE_SERVICE || usage == USAGE_DOMAIN_ISSUED ? DTLS_CLIENT_PINNED : DTLS_CLIENT_NOT_PINNED;
}

bool security_read_account(const struct security_options *options, const struct instance *account,
                           struct destination *destination, struct security_params *params, char *error,
                           size_t error_size) {
    struct dtls_client_params *client = &params->client;
    uint64_t mode = server_account_number(account, SECURITY_MODE, MODE_NONE);
    bool is_psk = mode == MODE_PSK;
    *params = (struct security_params){.files = {NULL}};
    dtls_client_params_default(client);
    if (!is_psk && mode != MODE_X509)
        return fail_account(error, error_size, "the security mode is not one that is spoken here");
    if (server_account_number(account, SECURITY_MATCHING, 0) != 0)
        return fail_account(error, error_size, "certificates are compared as they are (0/x/13 = 0), not by a digest");
    client->suite = options->cipher == NULL ? NULL : find_suite(options->cipher, is_psk);
    if (client->suite == NULL)
        client->suite = find_suite(default_suite, is_psk);
    if (is_psk) {
        client->identity = server_account_bytes(account, SECURITY_IDENTITY);
        client->key = server_account_bytes(account, SECURITY_KEY);
    } else {
        client->certificate = server_account_bytes(account, SECURITY_IDENTITY);
        client->private_key = server_account_bytes(account, SECURITY_KEY);
        client->authority = server_account_bytes(account, SECURITY_SERVER_KEY);
        client->pin = pin_of(account);
        name_server(account, destination);
    }
    client->server_name = destination->server_name[0] == '\0' ? NULL : destination->server_name;
    put_offer(options, client);
    make_binding(destination->text, params);
    return true;
}

bool security_is_given(const struct instance *account, const char *factory) {
    return server_account_truth(account, SECURITY_IS_BOOTSTRAP, false) &&
           slice_is(server_account_bytes(account, SECURITY_URI), factory) &&
           instance_value(account, SECURITY_KEY, 0) == NULL && instance_value(account, SECURITY_OSCORE, 0) == NULL;
}

bool security_params_good(const struct security_params *params, const char **problem) {
    struct dtls_setup setup;
    *problem = "out of memory";
    bool good = dtls_setup_init(&setup) && dtls_client_set_identity(&setup, &params->client, problem);
    dtls_setup_free(&setup);
    return good;
}

void security_free_params(struct security_params *params) {
    for (size_t i = 0; i < 3; i++) {
        if (params->files[i] != NULL)
            mbedtls_platform_zeroize(params->files[i], params->file_lens[i]);
        free(params->files[i]);
    }
    mbedtls_platform_zeroize(params, sizeof *params);
}
