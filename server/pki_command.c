#include "server/pki_command.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/key_file.h"
#include "server/own_pki.h"
#include "server/private_file.h"

enum {
    OPTION_OUT = 1,
    OPTION_CA,
    OPTION_DATA,
    OPTION_KEY_FILE,
    OPTION_NAME,
    OPTION_HOST,
    OPTION_ENDPOINT,
    OPTION_ACCOUNT,
    OPTION_ID,
    OPTION_NOT_BEFORE,
    OPTION_NOT_AFTER,
    OPTION_HELP
};

static const struct option options[] = {
    {"out", required_argument, NULL, OPTION_OUT},
    {"ca", required_argument, NULL, OPTION_CA},
    {"data", required_argument, NULL, OPTION_DATA},
    {"key-file", required_argument, NULL, OPTION_KEY_FILE},
    {"name", required_argument, NULL, OPTION_NAME},
    {"host", required_argument, NULL, OPTION_HOST},
    {"endpoint", required_argument, NULL, OPTION_ENDPOINT},
    {"account", required_argument, NULL, OPTION_ACCOUNT},
    {"id", required_argument, NULL, OPTION_ID},
    {"not-before", required_argument, NULL, OPTION_NOT_BEFORE},
    {"not-after", required_argument, NULL, OPTION_NOT_AFTER},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "berth-server pki: makes certificates\n\n"
    "usage: berth-server pki ca     [--out ca] [--name NAME]\n"
    "       berth-server pki server [--out server] --host NAME...\n"
    "       berth-server pki device [--out device] --endpoint NAME [--account ACCOUNT] [--id DEVICE]\n\n"
    "  --out PATH           writes PATH.pem, PATH.der, PATH.key and PATH.key.der, which only you can read\n"
    "  --ca PATH            signs with PATH.pem and PATH.key [ca]\n"
    "  --data DIR           signs with the authority of the server whose data lies there\n"
    "  --key-file FILE      of that server [DIR/berth.key]\n"
    "  --name NAME          of the authority [" OWN_PKI_AUTHORITY_NAME "]\n"
    "  --host NAME          DNS name or IP address of a server; the first is its common name\n"
    "  --endpoint NAME      of the device: its common name\n"
    "  --account ACCOUNT    organizational unit of the device\n"
    "  --id DEVICE          locality of the device: its id at the service\n"
    "  --not-before DATE    2026-01-31 or 20260131235959 [1970-01-01]\n"
    "  --not-after DATE     [9999-12-31]\n";

struct command {
    struct pki_request request;
    const char *out, *ca, *data, *key_file;
    char not_before[15], not_after[15];
};

static int refuse(const char *what) {
    fprintf(stderr, "berth-server pki: %s\n", what);
    return 2;
}

static bool set_time(const char *value, char time[15], const char **used) {
    *used = time;
    return pki_parse_time(slice_str(value), time);
}

/* NULL, or what is wrong with the option. */
static const char *set_option(struct command *command, int option, const char *value) {
    struct pki_request *request = &command->request;
    switch (option) {
    case OPTION_OUT:
        command->out = value;
        return NULL;
    case OPTION_CA:
        command->ca = value;
        return NULL;
    case OPTION_DATA:
        command->data = value;
        return NULL;
    case OPTION_KEY_FILE:
        command->key_file = value;
        return NULL;
    case OPTION_NAME:
    case OPTION_ENDPOINT:
        request->name = slice_str(value);
        return NULL;
    case OPTION_HOST:
        if (request->host_count == PKI_HOSTS_MAX)
            return "--host is given too often";
        request->hosts[request->host_count++] = slice_str(value);
        request->name = request->hosts[0];
        return NULL;
    case OPTION_ACCOUNT:
        request->account = slice_str(value);
        return NULL;
    case OPTION_ID:
        request->device_id = slice_str(value);
        return NULL;
    case OPTION_NOT_BEFORE:
        return set_time(value, command->not_before, &request->not_before) ? NULL : "--not-before is no date";
    case OPTION_NOT_AFTER:
        return set_time(value, command->not_after, &request->not_after) ? NULL : "--not-after is no date";
    default:
        return "see --help";
    }
}

static const struct {
    const char *name;
    enum pki_role role;
    unsigned options; /* bits: those of its own */
} kinds[] = {
    {"ca", PKI_AUTHORITY, 1u << OPTION_NAME},
    {"server", PKI_SERVER, 1u << OPTION_HOST},
    {"device", PKI_DEVICE, 1u << OPTION_ENDPOINT | 1u << OPTION_ACCOUNT | 1u << OPTION_ID},
};

/* ---- files ---- */

static bool read_file(const char *prefix, const char *suffix, uint8_t *memory, size_t size, size_t *len) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", prefix, suffix);
    int result = private_file_read(path, memory, size, len);
    if (result != 0)
        fprintf(stderr, "berth-server pki: %s: %s\n", path, strerror(-result));
    return result == 0;
}

static bool read_authority(const char *prefix, struct pki_pair *authority) {
    uint8_t certificate[PKI_PEM_MAX], key[PKI_PEM_MAX];
    size_t certificate_len, key_len;
    const char *problem;
    if (!read_file(prefix, ".pem", certificate, sizeof certificate, &certificate_len) ||
        !read_file(prefix, ".key", key, sizeof key, &key_len))
        return false;
    bool good = pki_read_pair(slice_of(certificate, certificate_len), slice_of(key, key_len), authority, &problem);
    mbedtls_platform_zeroize(key, sizeof key);
    if (!good)
        fprintf(stderr, "berth-server pki: %s.pem, %s.key: %s\n", prefix, prefix, problem);
    return good;
}

static bool open_authority(const char *directory, const char *key_path, struct pki_pair *authority) {
    char own_path[PATH_MAX], error[512];
    uint8_t key[SEAL_KEY_BYTES];
    snprintf(own_path, sizeof own_path, "%s/berth.key", directory);
    struct seal *seal = NULL;
    if (key_file_load(key_path == NULL ? own_path : key_path, false, key, error, sizeof error) &&
        (seal = seal_new(key)) == NULL)
        snprintf(error, sizeof error, "out of memory");
    mbedtls_platform_zeroize(key, sizeof key);
    bool opened = seal != NULL && own_pki_authority(directory, seal, false, authority, error, sizeof error);
    seal_free(seal);
    if (!opened)
        fprintf(stderr, "berth-server pki: %s\n", error);
    return opened;
}

static bool write_file(const char *prefix, const char *suffix, struct slice bytes) {
    char path[PATH_MAX], error[512];
    snprintf(path, sizeof path, "%s%s", prefix, suffix);
    if (private_file_write(path, bytes, error, sizeof error))
        return true;
    fprintf(stderr, "berth-server pki: %s\n", error);
    return false;
}

static bool write_pair(const char *prefix, const struct pki_pair *pair) {
    uint8_t pem_memory[PKI_PEM_MAX], key_memory[PKI_PEM_MAX];
    struct buffer pem = buffer_over(pem_memory, sizeof pem_memory), key = buffer_over(key_memory, sizeof key_memory);
    struct slice certificate_der = slice_of(pair->certificate, pair->certificate_len);
    struct slice key_der = slice_of(pair->key, pair->key_len);
    bool written = pki_put_certificate_pem(certificate_der, &pem) && pki_put_key_pem(key_der, &key) &&
                   write_file(prefix, ".key", buffer_slice(&key)) && write_file(prefix, ".key.der", key_der) &&
                   write_file(prefix, ".pem", buffer_slice(&pem)) && write_file(prefix, ".der", certificate_der);
    mbedtls_platform_zeroize(key_memory, sizeof key_memory);
    return written;
}

static int make(const struct command *command) {
    struct pki_pair authority, pair;
    const char *problem;
    bool is_signed = command->request.role != PKI_AUTHORITY;
    if (is_signed && !(command->data != NULL ? open_authority(command->data, command->key_file, &authority)
                                             : read_authority(command->ca, &authority)))
        return EXIT_FAILURE;
    bool made = pki_make(&command->request, is_signed ? &authority : NULL, &pair, &problem);
    pki_forget(&authority);
    if (!made) {
        fprintf(stderr, "berth-server pki: %s\n", problem);
        return EXIT_FAILURE;
    }
    bool written = write_pair(command->out, &pair);
    pki_forget(&pair);
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

int pki_command(int argc, char **argv) {
    size_t kind = 0, kind_count = sizeof kinds / sizeof kinds[0];
    const unsigned own_options = kinds[0].options | kinds[1].options | kinds[2].options;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    while (kind < kind_count && (argc < 2 || strcmp(argv[1], kinds[kind].name) != 0))
        kind++;
    if (kind == kind_count)
        return refuse("say what to make: ca, server or device; see --help");
    struct command command = {.request = {.role = kinds[kind].role}, .out = kinds[kind].name, .ca = "ca"};
    if (command.request.role == PKI_AUTHORITY)
        command.request.name = slice_str(OWN_PKI_AUTHORITY_NAME);
    int chosen;
    optind = 1;
    while ((chosen = getopt_long(argc - 1, argv + 1, "h", options, NULL)) != -1) {
        if (chosen == OPTION_HELP || chosen == 'h') {
            fputs(help, stdout);
            return EXIT_SUCCESS;
        }
        if (chosen == '?')
            return 2; /* getopt_long has said what is wrong */
        if ((own_options & ~kinds[kind].options & 1u << chosen) != 0)
            return refuse("this option is for another kind of certificate; see --help");
        const char *wrong = set_option(&command, chosen, optarg);
        if (wrong != NULL)
            return refuse(wrong);
    }
    if (optind < argc - 1)
        return refuse("too many arguments; see --help");
    if (command.request.name.len == 0)
        return refuse(command.request.role == PKI_SERVER ? "--host is needed" : "--endpoint is needed");
    return make(&command);
}
