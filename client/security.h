/* What the command line says of DTLS: who the device is, who the server must be, and what the hello offers. */
#ifndef BERTH_CLIENT_SECURITY_H
#define BERTH_CLIENT_SECURITY_H

#include "common/net/dtls_client.h"

enum { SECURITY_PROBLEM_MAX = 200, SECURITY_FILE_MAX = 64 * 1024 };

struct security_options {
    bool has_psk;
    uint8_t identity[DTLS_IDENTITY_MAX], key[DTLS_PSK_KEY_MAX];
    size_t identity_len, key_len;
    const char *certificate, *private_key, *authority; /* files */
    const char *server_name;                           /* NULL: the host of the server's URI, if that is a name */
    char host[256];
    const char *cipher; /* as given, or NULL */
    const struct cipher_suite *suite;
    enum dtls_client_cid cid;
    uint8_t cid_length;
    bool resume;
    uint16_t max_fragment;
    const char *state; /* directory, or NULL */
    bool keeps_more;   /* it is not only for DTLS */
};

/* The first line of a file; whatever is behind it is not looked at. False: `problem`. */
bool security_read_line(const char *path, char *line, size_t size, char problem[SECURITY_PROBLEM_MAX]);

/* Each takes what stands behind the option. False: `problem`. */

/* IDENTITY:HEX, divided at the last colon, or @FILE, whose first line is that. */
bool security_set_psk(struct security_options *security, const char *value, char problem[SECURITY_PROBLEM_MAX]);
/* NULL: an empty one. */
bool security_set_cid(struct security_options *security, const char *value, char problem[SECURITY_PROBLEM_MAX]);
bool security_set_max_fragment(struct security_options *security, const char *value,
                               char problem[SECURITY_PROBLEM_MAX]);

/* All options are known: choose the suite, and see that they fit each other and the server's scheme, which is `secure` or
 * has no use for them; what is not a credential counts for the accounts too that a device that `bootstraps` is given. */
bool security_complete(struct security_options *security, bool secure, bool bootstraps, struct slice host,
                       char problem[SECURITY_PROBLEM_MAX]);

/* What a client is made with, and what a session is bound to: another server, credential or offer is another session.
 * The files that are read stay in memory until security_free_params. False: one line in `error`. */
struct security_params {
    struct dtls_client_params client;
    uint8_t *files[3];
    size_t file_lens[3];
    uint8_t binding[32];
};
bool security_read_params(const struct security_options *security, const char *server, struct security_params *params,
                          char *error, size_t error_size);
void security_free_params(struct security_params *params);

struct destination;
struct instance;

/* The same of an account that bootstrap has given: an instance of object 0 with mode PSK or certificate, and of the
 * options what a hello offers. Points into the instance, and into `destination`, which gets the server's name. */
bool security_read_account(const struct security_options *options, const struct instance *account,
                           struct destination *destination, struct security_params *params, char *error,
                           size_t error_size);

/* It is the account of the bootstrap server as the device was made: its address is `factory`, and its keys are those of
 * the options. */
bool security_is_given(const struct instance *account, const char *factory);

/* Keys and certificates can be read and belong together. False: *problem. */
bool security_params_good(const struct security_params *params, const char **problem);

#endif
