#include "server/format_choice.h"

#include "common/coap/option.h"
#include "common/lwm2m/link_format.h"

/* What `</>;ct="60 110"` lists; empty when nothing was announced. */
static struct slice announced_formats(const struct registration *r) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct slice ct = SLICE_NONE;
    link_format_start(&cursor, registration_links(r));
    if (!link_format_next(&cursor, &link) || !slice_is(link.target, "/") || !link_format_find(&link, "ct", &ct))
        return SLICE_NONE;
    return ct;
}

bool format_announced(const struct registration *r, int format) {
    struct slice ct = announced_formats(r);
    while (ct.len > 0) {
        const uint8_t *space = memchr(ct.data, ' ', ct.len);
        struct slice item = space == NULL ? ct : slice_of(ct.data, (size_t)(space - ct.data));
        uint64_t number;
        if (slice_to_u64(item, UINT16_MAX, &number) && lwm2m_format_of((int)number) == lwm2m_format_of(format))
            return true;
        ct = slice_from(ct, item.len + 1);
    }
    return false;
}

static void add(struct format_choices *out, int format) {
    for (size_t i = 0; i < out->count; i++) {
        if (out->formats[i] == format)
            return;
    }
    if (out->count < FORMAT_CHOICES_MAX)
        out->formats[out->count++] = format;
}

static void add_if_announced(const struct registration *r, struct format_choices *out, int format) {
    if (format_announced(r, format))
        add(out, format);
}

/* Formats that take anything, for a client of this version. */
static void add_general(const struct registration *r, struct format_choices *out) {
    bool announces_nothing = announced_formats(r).len == 0;
    if (r->version >= LWM2M_1_2) {
        add_if_announced(r, out, COAP_FORMAT_LWM2M_CBOR);
        if (announces_nothing)
            add(out, COAP_FORMAT_SENML_CBOR);
    }
    if (r->version >= LWM2M_1_1) {
        add_if_announced(r, out, COAP_FORMAT_SENML_CBOR);
        add_if_announced(r, out, COAP_FORMAT_SENML_JSON);
    }
    add(out, COAP_FORMAT_TLV);
}

/* In the order of enum learned_format, from LEARNED_NONE on. */
static const int learnable[] = {COAP_FORMAT_NONE, COAP_FORMAT_TLV, COAP_FORMAT_SENML_JSON, COAP_FORMAT_SENML_CBOR,
                                COAP_FORMAT_LWM2M_CBOR};

static enum learned_format learned_of(int format) {
    for (unsigned i = 0; i < sizeof learnable / sizeof learnable[0]; i++) {
        if (learnable[i] == format)
            return (enum learned_format)(LEARNED_NONE + i);
    }
    return LEARNED_NOTHING;
}

/* What was taken before comes first, if it is among what can be taken now. */
static void prefer(struct format_choices *out, enum learned_format learned) {
    size_t at = 0;
    if (learned == LEARNED_NOTHING)
        return;
    int format = learnable[learned - LEARNED_NONE];
    while (at < out->count && out->formats[at] != format)
        at++;
    if (at == out->count)
        return;
    memmove(out->formats + 1, out->formats, at * sizeof out->formats[0]);
    out->formats[0] = format;
}

static int format_of_one_value(const struct format_subject *subject) {
    return subject->type == LWM2M_OPAQUE ? COAP_FORMAT_OPAQUE : COAP_FORMAT_TEXT;
}

void format_choices_for_read(const struct registration *r, const struct format_subject *subject,
                             struct format_choices *out) {
    out->count = 0;
    /* What nobody knows is left to the device: a client of 1.0 tells a single value as text, and only it knows which
     * resources are single. */
    if (r->version == LWM2M_1_0 && subject->path.len == 3 && !subject->is_known) {
        add(out, COAP_FORMAT_NONE);
        add(out, COAP_FORMAT_TLV);
    } else {
        if (r->version == LWM2M_1_0 && subject->is_single)
            add(out, format_of_one_value(subject));
        add_general(r, out);
        add(out, COAP_FORMAT_NONE);
    }
    prefer(out, (enum learned_format)r->read_format);
}

void format_choices_for_write(const struct registration *r, const struct format_subject *subject, bool partial,
                              bool needs_no_id, struct format_choices *out) {
    out->count = 0;
    if (needs_no_id) {
        add(out, COAP_FORMAT_TLV);
        if (r->version >= LWM2M_1_2)
            add(out, COAP_FORMAT_LWM2M_CBOR);
        return;
    }
    /* Clients disagree on how CBOR tells a time; all agree on text (Core 1.2 Table C-2). */
    if (!partial && subject->is_single && (r->version == LWM2M_1_0 || subject->type == LWM2M_TIME))
        add(out, format_of_one_value(subject));
    add_general(r, out);
    prefer(out, (enum learned_format)r->write_format);
}

void format_choices_for_composite(const struct registration *r, struct format_choices *out) {
    out->count = 0;
    if (!format_announced(r, COAP_FORMAT_SENML_JSON) || format_announced(r, COAP_FORMAT_SENML_CBOR))
        add(out, COAP_FORMAT_SENML_CBOR);
    add(out, COAP_FORMAT_SENML_JSON);
    if (r->composite_in_json)
        prefer(out, LEARNED_SENML_JSON);
}

void format_worked_for_read(struct registration *r, int format) {
    r->read_format = (uint8_t)(learned_of(format) & 7);
}

void format_worked_for_write(struct registration *r, int format) {
    r->write_format = (uint8_t)(learned_of(format) & 7);
}

void format_worked_for_composite(struct registration *r, int format) {
    r->composite_in_json = format == COAP_FORMAT_SENML_JSON;
}
