/* Who may speak for which endpoint. A device says its name with `ep`; its security association proves who it is, and
 * credentials say which endpoint that is (T §5.2.6, SEC-05). Without security a device is whoever it says it is, as far as
 * --nosec and the endpoint's credentials let it (T §5.2.9.4, SEC-22). */
#ifndef BERTH_SERVER_ADMISSION_H
#define BERTH_SERVER_ADMISSION_H

#include "server/server.h"

struct admission {
    uint8_t code;          /* COAP_EMPTY: admitted; else the answer that is due… */
    const char *why;       /* …and why */
    struct slice endpoint; /* as which it is admitted; lives as long as the question's slices and the loop's turn */
};

/* The endpoint that an identity may speak for, in one of these services. False: none. */
bool admission_endpoint(const struct server *server, const struct link_identity *identity, unsigned services,
                        struct slice *endpoint);

/* May the peer register as `endpoint`? Its data is NULL when the peer did not say: then its identity tells (C §7.4.1). */
struct admission admission_of_register(const struct server *server, const struct link *link, struct slice endpoint);

/* May the peer be bootstrapped as `endpoint`? As above; refusals are 4.00 (T Table 6.7-1). */
struct admission admission_of_bootstrap(const struct server *server, const struct link *link, struct slice endpoint);

/* May the peer update or end this registration? */
struct admission admission_of_change(const struct server *server, const struct link *link,
                                     const struct registration *registration);

/* The identity with which a registration over this link is kept: name and kind. */
struct slice admission_identity(const struct link *link);
enum link_security admission_security(const struct link *link);

#endif
