#include "server/registration_parameters.h"

#include "common/coap/option.h"

static bool refuse(struct registration_parameters *p, uint8_t code, const char *error) {
    p->code = code;
    p->error = error;
    return false;
}

static bool is_clean_text(struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    }
    return slice_is_utf8(text);
}

static bool read_endpoint(struct registration_parameters *p, struct slice value) {
    if (p->has_endpoint)
        return refuse(p, COAP_4_00_BAD_REQUEST, "ep is given twice");
    if (value.len == 0)
        return refuse(p, COAP_4_00_BAD_REQUEST, "ep is empty");
    if (!is_clean_text(value))
        return refuse(p, COAP_4_00_BAD_REQUEST, "ep must be UTF-8 without control characters");
    p->has_endpoint = true;
    p->endpoint = value;
    return true;
}

static bool read_lifetime(struct registration_parameters *p, struct slice value) {
    uint64_t seconds;
    if (p->has_lifetime)
        return refuse(p, COAP_4_00_BAD_REQUEST, "lt is given twice");
    if (!slice_to_u64(value, UINT32_MAX, &seconds))
        return refuse(p, COAP_4_00_BAD_REQUEST, "lt must be whole seconds from 0 to 4294967295");
    p->has_lifetime = true;
    p->lifetime_s = (uint32_t)seconds;
    return true;
}

static bool read_version(struct registration_parameters *p, struct slice value) {
    if (p->has_version)
        return refuse(p, COAP_4_00_BAD_REQUEST, "lwm2m is given twice");
    p->has_version = true;
    if (slice_is(value, "1.0"))
        p->version = LWM2M_1_0;
    else if (slice_is(value, "1.1"))
        p->version = LWM2M_1_1;
    else if (slice_is(value, "1.2"))
        p->version = LWM2M_1_2;
    else
        return refuse(p, COAP_4_12_PRECONDITION_FAILED, "lwm2m must be 1.0, 1.1 or 1.2");
    return true;
}

static bool read_binding(struct registration_parameters *p, struct slice value) {
    static const char letters[] = "UMHTSN"; /* in the order of enum lwm2m_binding */
    if (p->has_binding)
        return refuse(p, COAP_4_00_BAD_REQUEST, "b is given twice");
    p->has_binding = true;
    for (size_t i = 0; i < value.len; i++) {
        const char *letter = value.data[i] == '\0' ? NULL : strchr(letters, value.data[i]);
        if (value.data[i] == 'Q')
            p->queue_mode = p->queue_in_binding = true;
        else if (letter == NULL)
            return refuse(p, COAP_4_00_BAD_REQUEST, "b may hold the letters U, M, H, T, S, N and Q");
        else
            p->binding |= (uint8_t)(1 << (letter - letters));
    }
    if (p->binding == 0)
        p->binding = BINDING_U;
    return true;
}

/* Kept as it came, but so that joining with & can be undone. */
static void keep(struct registration_parameters *p, struct buffer *others, struct slice item) {
    struct buffer before = *others;
    if (others->len > 0)
        buffer_put_u8(others, '&');
    for (size_t i = 0; i < item.len; i++) {
        if (item.data[i] == '%')
            buffer_put_str(others, "%25");
        else if (item.data[i] == '&')
            buffer_put_str(others, "%26");
        else
            buffer_put_u8(others, item.data[i]);
    }
    if (others->overflow) {
        *others = before;
        p->oddity = "more parameters than are kept";
    }
}

static bool read_item(struct registration_parameters *p, struct buffer *others, struct slice item, bool is_update) {
    size_t name_len = 0;
    while (name_len < item.len && item.data[name_len] != '=')
        name_len++;
    struct slice name = slice_of(item.data, name_len);
    struct slice value = slice_from(item, name_len + 1);
    if (slice_is(name, "lt"))
        return read_lifetime(p, value);
    if (slice_is(name, "b"))
        return read_binding(p, value);
    if (slice_is(name, "Q")) {
        p->queue_mode = p->queue_item = true;
        if (value.len > 0)
            p->oddity = "Q has a value";
        return true;
    }
    if (slice_is(name, "sms")) {
        p->has_sms = value.len > 0;
        p->sms = value;
        return true;
    }
    if (is_update)
        return true; /* ep, lwm2m and anything else change nothing (Core 1.2 Tbl 6.2.2-1) */
    if (slice_is(name, "ep"))
        return read_endpoint(p, value);
    if (slice_is(name, "lwm2m"))
        return read_version(p, value);
    if (slice_is(name, "pid"))
        p->has_profile_id = true;
    if (slice_is(name, "mccv") || slice_is(name, "aid"))
        p->is_pelion = true;
    if (slice_is(name, "aid") || (slice_is(name, "d") && p->account.len == 0))
        p->account = value;
    keep(p, others, item);
    return true;
}

bool registration_parameters_read(struct registration_parameters *p, const struct coap_message *request,
                                  bool is_update) {
    memset(p, 0, offsetof(struct registration_parameters, others));
    struct buffer others = buffer_over(p->others, sizeof p->others);
    for (size_t i = 0; i < request->option_count; i++) {
        const struct coap_option *option = &request->options[i];
        if (option->number == COAP_URI_QUERY && !read_item(p, &others, option->value, is_update))
            return false;
    }
    p->others_len = others.len;
    return true;
}
