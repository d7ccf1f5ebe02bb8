#include "server/profile.h"

static const struct {
    enum object_list_mode update_mode;
    bool location_names_device;
    bool observes_by_itself;
    enum bootstrap_sequence bootstrap;
} profiles[] = {
    [PROFILE_STANDARD] = {OBJECT_LIST_WHOLE, false, false, BOOTSTRAP_STANDARD},
    [PROFILE_PELION] = {OBJECT_LIST_DELTA, true, true, BOOTSTRAP_PELION},
};

enum client_profile profile_of(const struct registration_parameters *parameters) {
    return parameters->is_pelion ? PROFILE_PELION : PROFILE_STANDARD;
}

enum client_profile profile_of_bootstrap(const struct bootstrap_request *request) {
    return request->is_pelion ? PROFILE_PELION : PROFILE_STANDARD;
}

enum bootstrap_sequence profile_bootstrap_sequence(enum client_profile profile) {
    return profiles[profile].bootstrap;
}

enum object_list_mode profile_update_mode(enum client_profile profile) {
    return profiles[profile].update_mode;
}

bool profile_observes_by_itself(enum client_profile profile) {
    return profiles[profile].observes_by_itself;
}

/* A path segment that any client can keep: its account id in the cloud is 32 hex digits. */
static bool is_account(struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return text.len > 0 && text.len <= 64;
}

struct slice profile_location(enum client_profile profile, const struct registration_parameters *parameters,
                              uint8_t out[PROFILE_LOCATION_MAX]) {
    if (!profiles[profile].location_names_device)
        return SLICE_NONE;
    struct buffer location = buffer_over(out, PROFILE_LOCATION_MAX);
    struct device_id id = device_id_of(parameters->endpoint);
    buffer_put_slice(&location, is_account(parameters->account) ? parameters->account : slice_str("default"));
    buffer_put_u8(&location, '/');
    buffer_put_str(&location, id.hex);
    return buffer_slice(&location);
}
