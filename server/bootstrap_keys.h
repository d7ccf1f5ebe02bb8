/* What a configuration leaves open of its servers, filled in for one device: this server's URI, the security by which the
 * device came, keys and certificates that are made for it (Core 1.2 §6.1, T §5.2.9). */
#ifndef BERTH_SERVER_BOOTSTRAP_KEYS_H
#define BERTH_SERVER_BOOTSTRAP_KEYS_H

#include "server/bootstrap_config.h"
#include "server/bootstrap_plan.h"
#include "server/credential.h"
#include "server/issuer.h"

/* Which of the accounts this server has to have credentials for, and how they began. */
struct bootstrap_origin {
    bool is_ours; /* the server is this one, or the secret was made here */
    bool needs_certificate;
};

/* Settle the security of every account, for a device that has come over `link`. NULL, or why the device can't be given
 * this: a secret over a link that is not secure, or no listener to send it to. Nothing is made yet. */
const char *bootstrap_keys_settle(const struct server *server, const struct link *link, struct slice endpoint,
                                  struct bootstrap_config *config, struct bootstrap_origin *origins);

/* Make and fill in everything but certificates; `host` is how the device has called the server, "" when it did not say.
 * What is made lies in `room`. False: *problem. */
bool bootstrap_keys_make(const struct server *server, const struct link *link, struct slice host,
                         const struct bootstrap_facts *facts, struct bootstrap_config *config,
                         enum bootstrap_sequence sequence, struct buffer *room, const char **problem);

/* At least as many bytes as `room` needs. */
size_t bootstrap_keys_size(const struct bootstrap_config *config, const struct bootstrap_facts *facts);

/* Fill in a certificate that was made for an account. False: no room. */
bool bootstrap_keys_certify(struct bootstrap_account *account, const struct pki_pair *pair, struct buffer *room);

/* The `number`th credential, from 0, with which the device will come: its slices point into the configuration. False: there
 * are no more. */
bool bootstrap_keys_credential(const struct bootstrap_config *config, const struct bootstrap_origin *origins,
                               struct slice endpoint, size_t number, struct credential *credential);

#endif
