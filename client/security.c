#include "client/security.h"

#include <errno.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "common/net/address.h"

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

static bool choose_suite(struct security_options *security) {
    const char *name = security->cipher != NULL ? security->cipher : "CCM_8";
    for (const int *id = cipher_suite_ids(); *id != 0; id++) {
        security->suite = cipher_suite_find((uint16_t)*id);
        if (security->suite->psk == security->has_psk && is_named(security->suite, name))
            return true;
    }
    return false;
}

bool security_complete(struct security_options *security, bool secure, struct slice host,
                       char problem[SECURITY_PROBLEM_MAX]) {
    bool some = security->certificate != NULL || security->private_key != NULL || security->authority != NULL;
    bool all = security->certificate != NULL && security->private_key != NULL && security->authority != NULL;
    struct address address;
    if (!secure &&
        (some || security->has_psk || security->cid != DTLS_CLIENT_NO_CID || security->resume ||
         (security->state != NULL && !security->keeps_more) || security->cipher != NULL || security->max_fragment > 0))
        return fail(problem, "options of security need --server coaps://... or coaps+tcp://...");
    if (!secure)
        return true;
    if (security->has_psk == some || some != all)
        return fail(problem, "coaps:// needs --psk, or --cert, --key and --ca");
    if (!choose_suite(security)) {
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

static void make_binding(const struct security_options *security, const char *server, struct security_params *params) {
    const struct dtls_client_params *client = &params->client;
    const uint16_t offer[4] = {client->suite->id, (uint16_t)client->cid, client->cid_length, client->max_fragment};
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    mbedtls_sha256_starts(&hash, 0);
    bind_to(&hash, slice_str(server));
    bind_to(&hash, slice_of(offer, sizeof offer));
    bind_to(&hash, slice_of(security->identity, security->identity_len));
    bind_to(&hash, slice_of(security->key, security->key_len));
    for (size_t i = 0; i < 3; i++)
        bind_to(&hash, slice_of(params->files[i], params->file_lens[i]));
    mbedtls_sha256_finish(&hash, params->binding);
    mbedtls_sha256_free(&hash);
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
    client->cid = security->cid;
    client->cid_length = security->cid_length;
    client->resume = security->resume;
    client->max_fragment = security->max_fragment;
    make_binding(security, server, params);
    return true;
}

void security_free_params(struct security_params *params) {
    for (size_t i = 0; i < 3; i++) {
        if (params->files[i] != NULL)
            mbedtls_platform_zeroize(params->files[i], params->file_lens[i]);
        free(params->files[i]);
    }
    mbedtls_platform_zeroize(params, sizeof *params);
}
