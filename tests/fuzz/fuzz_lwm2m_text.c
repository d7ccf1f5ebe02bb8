/* text/plain: the first byte picks the type. What is taken must be written as a text that means the same. */
#include <stdlib.h>

#include "common/lwm2m/text.h"

static void require(bool condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t opaque[1 << 16], opaque_again[1 << 16], text[1 << 17];
    struct buffer scratch = buffer_over(opaque, sizeof opaque),
                  scratch_again = buffer_over(opaque_again, sizeof opaque_again);
    struct buffer out = buffer_over(text, sizeof text);
    struct lwm2m_value value, again;
    const char *remark;
    if (size == 0 || size > 1 << 15)
        return 0;
    enum lwm2m_type type = (enum lwm2m_type)(data[0] % (LWM2M_RAW + 1));
    if (!lwm2m_text_decode(slice_of(data + 1, size - 1), type, &scratch, &value, &remark)) {
        require(remark != NULL);
        return 0;
    }
    require(lwm2m_text_encode(&value, &out));
    require(lwm2m_text_decode(buffer_slice(&out), type, &scratch_again, &again, &remark));
    require(lwm2m_value_equal(&value, &again));
    return 0;
}
