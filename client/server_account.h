/* LwM2M Server Accounts (Core 1.2 §6.1.2): what instances of Security (0) and Server (1) say together, joined by the Short
 * Server ID, and the account of the bootstrap server, which is an instance of Security alone. Of devices with
 * --bootstrap; without, the options are the account. */
#ifndef BERTH_CLIENT_SERVER_ACCOUNT_H
#define BERTH_CLIENT_SERVER_ACCOUNT_H

#include "client/destination.h"
#include "client/instance.h"

struct device;

/* Ids of objects that accounts are made of. */
enum {
    ACCOUNT_SECURITY = 0,
    ACCOUNT_SERVER = 1,
    ACCOUNT_ACCESS = 2,
    ACCOUNT_OSCORE = 21,
    ACCOUNT_COSE = 23,
};

/* Resources of Security (Core 1.2 §E.1). */
enum {
    SECURITY_URI = 0,
    SECURITY_IS_BOOTSTRAP = 1,
    SECURITY_MODE = 2,
    SECURITY_IDENTITY = 3,
    SECURITY_SERVER_KEY = 4,
    SECURITY_KEY = 5,
    SECURITY_SHORT_ID = 10,
    SECURITY_HOLD_OFF = 11,
    SECURITY_TIMEOUT = 12,
    SECURITY_MATCHING = 13,
    SECURITY_SNI = 14,
    SECURITY_USAGE = 15,
    SECURITY_OSCORE = 17,
    SECURITY_COSE = 27,
};

enum { MODE_PSK = 0, MODE_RPK = 1, MODE_X509 = 2, MODE_NONE = 3 };
enum { USAGE_AUTHORITY = 0, USAGE_SERVICE = 1, USAGE_TRUST_ANCHOR = 2, USAGE_DOMAIN_ISSUED = 3 };

/* Resources of OSCORE (Core 1.2 Transport §E.1). */
enum {
    OSCORE_MASTER_SECRET = 0,
    OSCORE_SENDER_ID = 1,
    OSCORE_RECIPIENT_ID = 2,
    OSCORE_AEAD = 3,
    OSCORE_HMAC = 4,
    OSCORE_MASTER_SALT = 5,
    OSCORE_ID_CONTEXT = 6,
};

/* Resources of Server (§E.2) that decide about registering. */
enum {
    SERVER_SHORT_ID = 0,
    SERVER_LIFETIME = 1,
    SERVER_BINDING = 7,
    SERVER_PRIORITY = 13,
    SERVER_INITIAL_DELAY = 14,
    SERVER_FAILURE_BLOCK = 15,
    SERVER_BOOTSTRAP_ON_FAILURE = 16,
    SERVER_RETRY_COUNT = 17,
    SERVER_RETRY_TIMER = 18,
    SERVER_SEQUENCE_DELAY = 19,
    SERVER_SEQUENCE_COUNT = 20,
};

/* Valid until an instance is made, changed or removed. */
struct server_account {
    const struct instance *security, *server;
};

/* The account to register with first: the lowest priority order (1/x/13), among equals the lowest instance of Server;
 * those without an order come last. False: there is none. */
bool server_account_first(const struct device *device, struct server_account *account);

/* The one after that of this instance of Server. */
bool server_account_next(const struct device *device, uint16_t server, struct server_account *account);

/* The instance of Security that says how the bootstrap server is reached; NULL: there is none. */
const struct instance *server_account_bootstrap(const struct device *device);

/* The instance, of whatever object, belongs to the account of the bootstrap server. */
bool server_account_is_bootstraps(const struct device *device, uint16_t object, uint16_t instance);

/* The instance of OSCORE that protects messages of this account; NULL: none does. */
const struct instance *server_account_oscore(const struct device *device, const struct instance *security);

/* A number (Integer or Unsigned Integer), Boolean or text of an instance; `otherwise` when there is none, or a negative
 * number. */
uint64_t server_account_number(const struct instance *instance, uint16_t resource, uint64_t otherwise);
bool server_account_truth(const struct instance *instance, uint16_t resource, bool otherwise);
struct slice server_account_bytes(const struct instance *instance, uint16_t resource);

enum { SERVER_ACCOUNT_PROBLEM_MAX = 160 };

/* Whether what was written can be lived with (Core 1.2 §6.1.6): one account of a bootstrap server at most, a server at
 * least, and of each everything that is needed to reach it. False: `problem`. */
bool server_account_judge(const struct device *device, char problem[SERVER_ACCOUNT_PROBLEM_MAX]);

#endif
