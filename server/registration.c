#include "server/registration.h"

#include <mbedtls/sha256.h>
#include <stdlib.h>

#include "common/base/text.h"

const char *registration_version_text(const struct registration *r) {
    switch ((enum lwm2m_version)r->version) {
    case LWM2M_1_0:
        return "1.0";
    case LWM2M_1_1:
        return "1.1";
    case LWM2M_1_2:
        return "1.2";
    }
    return "";
}

void registration_put_binding(struct buffer *out, const struct registration *r) {
    static const char letters[] = "UMHTSN"; /* in the order of the bits */
    for (size_t i = 0; i < sizeof letters - 1; i++) {
        if (r->binding >> i & 1)
            buffer_put_u8(out, (uint8_t)letters[i]);
    }
}

struct device_id device_id_of(struct slice endpoint) {
    uint8_t digest[32];
    if (mbedtls_sha256(endpoint.data, endpoint.len, digest, 0) != 0)
        abort(); /* in software it can't fail */
    struct device_id id = {.hex = ""};
    struct buffer hex = buffer_over(id.hex, sizeof id.hex - 1);
    text_put_hex(&hex, slice_of(digest, sizeof digest / 2));
    return id;
}
