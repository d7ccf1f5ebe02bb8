#include "client/protection.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/device.h"
#include "common/base/text.h"

struct protection_past {
    struct oscore_credential credential;
    struct oscore_numbers numbers;
};

static const struct oscore_credential *credential_of(const struct protection *protection) {
    return &protection->credential;
}

static struct slice configured_id_context(const struct protection *protection) {
    return oscore_credential_secrets(credential_of(protection)).id_context;
}

static bool is_configured(const struct protection *protection, const struct oscore_channel *channel) {
    return slice_equal(oscore_context_id_context(&channel->context), configured_id_context(protection));
}

/* ---- what the channel asks and tells ---- */

static struct oscore_channel *on_find(void *arg, struct slice kid, struct slice kid_context) {
    struct protection *protection = arg;
    (void)kid_context;
    bool is_server =
        protection->channel != NULL && slice_equal(kid, oscore_context_recipient_id(&protection->channel->context));
    return is_server ? protection->channel : NULL;
}

static bool on_secrets(void *arg, const struct oscore_channel *channel, struct oscore_secrets *secrets) {
    (void)channel;
    *secrets = oscore_credential_secrets(credential_of(arg));
    return true;
}

static void on_reserve(void *arg, struct oscore_channel *channel, uint64_t limit) {
    struct protection *protection = arg;
    struct oscore_numbers *numbers = &protection->numbers;
    if (is_configured(protection, channel)) {
        numbers->configured_limit = limit;
    } else {
        numbers->derived_limit = limit;
        numbers->id_context_len = channel->context.id_context_len;
        memcpy(numbers->id_context, channel->context.id_context, sizeof numbers->id_context);
    }
    if (!protection->keeps || oscore_file_keep(&protection->file, numbers))
        oscore_channel_reserved(channel, channel->epoch, limit);
    else
        oscore_channel_not_reserved(channel, channel->epoch);
}

static void report_context(const struct protection *protection, const struct oscore_channel *channel) {
    uint8_t bytes[32 + 2 * OSCORE_ID_CONTEXT_MAX];
    struct buffer text = buffer_over(bytes, sizeof bytes - 1);
    buffer_put_str(&text, "derived, ID Context ");
    text_put_hex(&text, oscore_context_id_context(&channel->context));
    bytes[text.len] = '\0';
    report_text(&protection->device->report, "oscore_derived", slice_str("OSCORE context"), (const char *)bytes);
}

/* What was observed under another context can't be told any more (§7.4.1). */
static void on_renewed(void *arg, struct oscore_channel *channel) {
    struct protection *protection = arg;
    observer_end(&protection->device->observer);
    if (channel->context.id_context_len > OSCORE_R_LEN) /* else it is only the context of request #1 */
        report_context(protection, channel);
}

static void on_release(void *arg, struct oscore_channel *channel) {
    (void)arg;
    free(channel);
}

/* ---- life ---- */

/* Where the context goes on: as it was derived last, else as it is configured. */
static bool start_channel(struct protection *protection) {
    const struct oscore_numbers *numbers = &protection->numbers;
    bool derived = numbers->id_context_len > 0;
    uint64_t limit = derived ? numbers->derived_limit : numbers->configured_limit;
    struct oscore_secrets secrets = oscore_credential_secrets(credential_of(protection));
    if (derived)
        secrets.id_context = slice_of(numbers->id_context, numbers->id_context_len);
    struct oscore_channel *channel = malloc(sizeof *channel);
    if (channel == NULL || !oscore_channel_start(channel, &protection->service, &secrets, limit, limit)) {
        free(channel);
        return false;
    }
    if (derived) /* the server may not have heard of it, or not any more */
        channel->tells = OSCORE_TELLS_NONCES;
    protection->channel = channel;
    return true;
}

/* Those of the account that is used, where bootstrap has given it. False: messages are not protected. */
static bool choose_credential(struct protection *protection) {
    const struct device *device = protection->device;
    uint16_t security = device->destination.security;
    protection->credential = device->options->oscore;
    if (security == LWM2M_ID_NONE)
        return protection->credential.given;
    const struct instance *account = object_instance(device_object(device, ACCOUNT_SECURITY), security);
    const struct instance *oscore = server_account_oscore(device, account);
    return oscore != NULL && oscore_credential_take(&protection->credential, oscore);
}

static bool is_same(const struct oscore_credential *a, const struct oscore_credential *b) {
    struct oscore_secrets one = oscore_credential_secrets(a), other = oscore_credential_secrets(b);
    return one.aead == other.aead && slice_equal(one.master_secret, other.master_secret) &&
           slice_equal(one.master_salt, other.master_salt) && slice_equal(one.sender_id, other.sender_id) &&
           slice_equal(one.recipient_id, other.recipient_id) && slice_equal(one.id_context, other.id_context) &&
           one.hkdf == other.hkdf;
}

static void drop_past(struct protection *protection, size_t at) {
    struct protection_past *past = protection->past;
    memmove(&past[at], &past[at + 1], (protection->past_count - at - 1) * sizeof *past);
    protection->past_count--;
    mbedtls_platform_zeroize(&past[protection->past_count], sizeof *past);
}

/* What was used of the context before, or nothing. */
static void recall(struct protection *protection) {
    protection->numbers = (struct oscore_numbers){0};
    for (size_t i = 0; i < protection->past_count; i++) {
        if (!is_same(&protection->past[i].credential, &protection->credential))
            continue;
        protection->numbers = protection->past[i].numbers;
        drop_past(protection, i);
        return;
    }
}

static void remember(struct protection *protection) {
    if (protection->past == NULL)
        protection->past = memory_or_exit(calloc(PROTECTION_PAST_MAX, sizeof *protection->past));
    if (protection->past_count == PROTECTION_PAST_MAX)
        drop_past(protection, 0);
    protection->past[protection->past_count++] =
        (struct protection_past){.credential = protection->credential, .numbers = protection->numbers};
}

void protection_forget(struct device *device) {
    struct protection *protection = &device->protection;
    mbedtls_platform_zeroize(&protection->credential, sizeof protection->credential);
    if (protection->past != NULL)
        mbedtls_platform_zeroize(protection->past, PROTECTION_PAST_MAX * sizeof *protection->past);
    free(protection->past);
    protection->past = NULL;
    protection->past_count = 0;
}

bool protection_start(struct device *device, char *error, size_t error_size) {
    static const struct oscore_handlers handlers = {
        .find = on_find, .secrets = on_secrets, .reserve = on_reserve, .renewed = on_renewed, .release = on_release};
    const struct options *options = device->options;
    struct protection *protection = &device->protection;
    protection->device = device;
    if (!choose_credential(protection))
        return true;
    struct oscore_secrets secrets = oscore_credential_secrets(&protection->credential);
    recall(protection);
    if (options->security.state != NULL) {
        if (!oscore_file_open(&protection->file, options->security.state, &secrets, &protection->numbers, error,
                              error_size))
            return false;
        protection->keeps = true;
    }
    oscore_service_start(&protection->service, &handlers, protection, device->coap, &device->clock);
    if (!start_channel(protection)) {
        snprintf(error, error_size, "no OSCORE context can be derived");
        return false;
    }
    if (options->oscore_b2 && protection->numbers.id_context_len == 0)
        oscore_channel_rederive(protection->channel, true);
    protection_carry(device);
    return true;
}

void protection_end(struct device *device) {
    struct protection *protection = &device->protection;
    struct oscore_channel *channel = protection->channel;
    protection->channel = NULL;
    if (channel != NULL && !protection->keeps)
        remember(protection);
    if (channel != NULL) {
        oscore_channel_end(channel);
        link_unref(&channel->link);
    }
    if (protection->keeps)
        oscore_file_close(&protection->file);
    protection->keeps = false;
}

void protection_carry(struct device *device) {
    if (device->protection.channel != NULL)
        oscore_channel_carry(device->protection.channel, device->server);
}

bool protection_rederive(struct device *device) {
    return device->protection.channel != NULL && oscore_channel_rederive(device->protection.channel, true);
}

/* Errors of RFC 8613 §8.2 have no protection: whoever forges them gets a derivation, and those are bounded by how often a
 * device tries to register. Some servers (libcoap) know a derived context by its name only, so that is tried first. */
void protection_heard(struct device *device, uint8_t code) {
    const struct protection *protection = &device->protection;
    struct oscore_channel *channel = protection->channel;
    bool is_lost = code == COAP_4_00_BAD_REQUEST || code == COAP_4_01_UNAUTHORIZED || code == COAP_4_02_BAD_OPTION;
    if (!is_lost || channel == NULL || (!device->options->oscore_b2 && is_configured(protection, channel)))
        return;
    if (channel->tells == OSCORE_TELLS_NOTHING)
        channel->tells = OSCORE_TELLS_CONTEXT;
    else
        protection_rederive(device);
}
