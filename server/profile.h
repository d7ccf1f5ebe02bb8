/* Clients have profiles: what a request reveals of its sender selects a small table of allowances. Nowhere else is a
 * client told from another. */
#ifndef BERTH_SERVER_PROFILE_H
#define BERTH_SERVER_PROFILE_H

#include "server/bootstrap_config.h"
#include "server/bootstrap_request.h"
#include "server/object_list.h"
#include "server/registration_parameters.h"

enum { PROFILE_LOCATION_MAX = 64 + 1 + 32 };

/* Of a client that registers with these parameters. */
enum client_profile profile_of(const struct registration_parameters *parameters);

/* Of a client that asks for bootstrap with these. */
enum client_profile profile_of_bootstrap(const struct bootstrap_request *request);

/* How a client of this profile is bootstrapped. */
enum bootstrap_sequence profile_bootstrap_sequence(enum client_profile profile);

/* How the object list of an Update is meant. */
enum object_list_mode profile_update_mode(enum client_profile profile);

/* Whether a link with aobs="N" says that the client observes for us what is there (announced_observation.h). */
bool profile_observes_by_itself(enum client_profile profile);

/* The location a client of this profile gets, below /rd: `account/device id` for the vendor's, which takes the last
 * segment as its device id. Empty: the directory draws one. */
struct slice profile_location(enum client_profile profile, const struct registration_parameters *parameters,
                              uint8_t out[PROFILE_LOCATION_MAX]);

#endif
