/* The query of a Register or Update (Core 1.2 §6.2.1, §6.2.2), read option by option. */
#ifndef BERTH_SERVER_REGISTRATION_PARAMETERS_H
#define BERTH_SERVER_REGISTRATION_PARAMETERS_H

#include "common/coap/message.h"
#include "server/registration.h"

enum { LIFETIME_DEFAULT_S = 86400, PARAMETERS_MAX = 4096 };

struct registration_parameters {
    struct slice endpoint; /* of the request, as are all slices here but `others` */
    struct slice sms;
    struct slice account; /* aid=, else d= */
    uint32_t lifetime_s;
    uint8_t version; /* enum lwm2m_version */
    uint8_t binding;
    bool has_endpoint, has_lifetime, has_version, has_binding, has_sms;
    bool queue_mode;       /* asked for in one way or the other */
    bool queue_in_binding; /* with a Q among the bindings, as in 1.0 */
    bool queue_item;       /* with a parameter Q, as since 1.1 */
    bool has_profile_id;   /* pid= (1.2) */
    bool is_pelion;        /* mccv= or aid= was there */
    const char *oddity;    /* a deviation that can be tolerated, or NULL */
    uint8_t code;          /* of the refusal when reading failed… */
    const char *error;     /* …and why */
    size_t others_len;
    uint8_t others[PARAMETERS_MAX]; /* parameters without a field here, as registration_query() has them */
};

/* False when a parameter makes no sense: code and error say which answer is due. Absent ones are no error here. */
bool registration_parameters_read(struct registration_parameters *parameters, const struct coap_message *request,
                                  bool is_update);

#endif
