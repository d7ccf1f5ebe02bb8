/* Objects 0, 21 and 23, Security, OSCORE and COSE (Core 1.2 §E.1; Transport 1.2 §E.1, §E.2): only the bootstrap server
 * reaches them. At first there is its own account, whose keys stay where the options have them. */
#include "client/device.h"

static void fill(struct object *object, struct instance *instance) {
    const struct options *options = object->device->options;
    int64_t mode = !options->transport->secure ? MODE_NONE : options->security.has_psk ? MODE_PSK : MODE_X509;
    object_store(object, instance, SECURITY_URI, 0, lwm2m_string(options->server_text));
    object_store(object, instance, SECURITY_IS_BOOTSTRAP, 0, lwm2m_boolean(true));
    object_store(object, instance, SECURITY_MODE, 0, lwm2m_integer(mode));
}

const struct object_kind security_kind = {
    .id = ACCOUNT_SECURITY, .instances = INSTANCES_FIXED, .by_bootstrap = true, .is_hidden = true, .fill = fill};

const struct object_kind oscore_kind = {
    .id = ACCOUNT_OSCORE, .instances = INSTANCES_FIXED, .by_bootstrap = true, .is_hidden = true};

const struct object_kind cose_kind = {
    .id = ACCOUNT_COSE, .instances = INSTANCES_FIXED, .by_bootstrap = true, .is_hidden = true};
