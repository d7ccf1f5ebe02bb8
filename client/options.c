#include "client/options.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/destination.h"
#include "client/firmware.h"
#include "client/format.h"
#include "client/memory.h"
#include "client/pelion.h"
#include "client/shell.h"
#include "common/base/duration.h"
#include "common/base/manual.h"

enum { PROBLEM_MAX = SECURITY_PROBLEM_MAX, VARIABLE_MAX = 64 };

#define VARIABLE_PREFIX "BERTH_DEVICE_"

typedef bool set_fn(struct options *options, const char *value, char problem[PROBLEM_MAX]);

static bool fail(char problem[PROBLEM_MAX], const char *what) {
    snprintf(problem, PROBLEM_MAX, "%s", what);
    return false;
}

static bool set_server(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    const char *error = "";
    options->server_text = value;
    if (!uri_parse(slice_str(value), &options->server, &error))
        return fail(problem, error);
    options->transport = transport_find(options->server.scheme);
    if (options->transport == NULL)
        return fail(problem, "must begin with coap://, coaps://, coap+tcp:// or coaps+tcp://");
    if (options->server.host.len == 0)
        return fail(problem, "must name a host");
    if (options->server.query.len > 0 && !options->pelion)
        return fail(problem, "must have no query");
    if (strlen(value) > DESTINATION_URI_MAX)
        return fail(problem, "must have 255 bytes at most");
    options->has_server = true;
    return true;
}

/* The address may have a query: the vendor's have the account in it. */
static bool set_bootstrap(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    struct destination destination;
    const char *error = "";
    options->server_text = value;
    options->bootstraps = true;
    if (!destination_set(&destination, slice_str(value), LWM2M_ID_NONE, &error))
        return fail(problem, error);
    uri_parse(slice_str(value), &options->server, &error);
    options->transport = destination.transport;
    return true;
}

static bool set_bootstrap_pack(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->asks_pack = true;
    return true;
}

static bool set_bootstrap_format(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    enum lwm2m_format format = lwm2m_format_from_name(slice_str(value));
    options->bootstrap_format = format;
    return lwm2m_format_allows(format, LWM2M_USE_BOOTSTRAP) ||
           fail(problem, "must be tlv, senml-json, senml-cbor or lwm2m-cbor");
}

static bool set_developer(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->developer = true;
    return true;
}

/* What the client is made with; what stands behind it on the command line goes before it. */
static bool set_profile(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    if (strcmp(value, "pelion") != 0)
        return fail(problem, "must be pelion");
    options->pelion = true;
    options->version = 10;
    options->lifetime_s = PELION_LIFETIME_S;
    options->framing = LINK_LENGTH_PREFIXED;
    options->keepalive_ms = PELION_KEEPALIVE_MS;
    options->awake_ms = PELION_AWAKE_MS;
    options->notify_con = true;
    pelion_set_params(&options->coap);
    return true;
}

static bool set_framing(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    options->framing = strcmp(value, "rfc8323") == 0  ? LINK_STREAM_8323
                       : strcmp(value, "pelion") == 0 ? LINK_LENGTH_PREFIXED
                                                      : LINK_UNFRAMED;
    return options->framing != LINK_UNFRAMED || fail(problem, "must be rfc8323 or pelion");
}

static bool set_keepalive(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return (duration_parse(slice_str(value), 86400000, &options->keepalive_ms) && options->keepalive_ms > 0) ||
           fail(problem, "must be a duration from 1 ms to a day, like 90s");
}

static bool set_psk(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return security_set_psk(&options->security, value, problem);
}

static bool set_certificate(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)problem;
    options->security.certificate = value;
    return true;
}

static bool set_private_key(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)problem;
    options->security.private_key = value;
    return true;
}

static bool set_authority(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)problem;
    options->security.authority = value;
    return true;
}

static bool set_server_name(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    size_t len = strlen(value);
    options->security.server_name = value;
    return (len > 0 && len < sizeof options->security.host) || fail(problem, "must have 1 to 255 bytes");
}

static bool set_cipher(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)problem;
    options->security.cipher = value;
    return true;
}

static bool set_cid(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return security_set_cid(&options->security, value, problem);
}

static bool set_cid_draft(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->security.cid = DTLS_CLIENT_CID_DRAFT;
    return true;
}

static bool set_resume(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->security.resume = true;
    return true;
}

static bool set_max_fragment(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return security_set_max_fragment(&options->security, value, problem);
}

static bool set_state(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    options->security.state = value;
    return value[0] != '\0' || fail(problem, "must not be empty");
}

static bool set_oscore(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return oscore_credential_read(&options->oscore, value, problem);
}

static bool set_oscore_b2(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->oscore_b2 = true;
    return true;
}

static bool set_endpoint(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    size_t len = strlen(value);
    if (len == 0 || len > OPTIONS_ENDPOINT_MAX)
        return fail(problem, "must have 1 to 252 bytes");
    memcpy(options->endpoint, value, len + 1);
    options->has_endpoint = true;
    return true;
}

static bool set_lifetime(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    uint64_t ms;
    if (!duration_parse(slice_str(value), (uint64_t)UINT32_MAX * 1000, &ms) || ms % 1000 != 0)
        return fail(problem, "must be whole seconds from 0 to 4294967295, or like 5m or 1d");
    options->lifetime_s = (uint32_t)(ms / 1000);
    return true;
}

static bool set_lwm2m(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    if (strcmp(value, "1.0") != 0 && strcmp(value, "1.1") != 0 && strcmp(value, "1.2") != 0)
        return fail(problem, "must be 1.0, 1.1 or 1.2");
    options->version = (uint8_t)(10 + value[2] - '0');
    return true;
}

bool options_is_binding(struct slice text) {
    if (text.len == 0 || text.len > OPTIONS_BINDING_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\0' || strchr("UMHTSNQ", text.data[i]) == NULL)
            return false;
    }
    return true;
}

static bool set_binding(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    if (!options_is_binding(slice_str(value)))
        return fail(problem, "must be letters of U, M, H, T, S, N and Q, eight at most");
    memcpy(options->binding, value, strlen(value) + 1);
    return true;
}

/* ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT. */
static bool set_bind(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    char text[ADDRESS_TEXT_MAX + 8];
    struct uri uri;
    const char *error;
    memset(&options->bind, 0, sizeof options->bind);
    options->has_bind = true;
    if (address_parse_ip(slice_str(value), &options->bind))
        return true;
    int len = snprintf(text, sizeof text, "coap://%s", value);
    if (len >= (int)sizeof text || !uri_parse(slice_str(text), &uri, &error) || uri.path.len > 0 || uri.query.len > 0 ||
        !address_parse_ip(uri.host, &options->bind))
        return fail(problem, "must be an IP address, or one with a port like 127.0.0.1:5000 or [::1]:5000");
    options->bind.port = uri.port;
    return true;
}

static bool set_account(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->account = true;
    return true;
}

static bool set_json(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->json = true;
    return true;
}

static bool set_send_format(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    enum lwm2m_format format = lwm2m_format_from_name(slice_str(value));
    options->send_format = format;
    return lwm2m_format_allows(format, LWM2M_USE_SEND) || fail(problem, "must be senml-json, senml-cbor or lwm2m-cbor");
}

static bool set_muted(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->muted = true;
    return true;
}

static bool set_notify_con(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->notify_con = true;
    return true;
}

static bool set_queue(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->queue = true;
    return true;
}

static bool set_awake(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return (duration_parse(slice_str(value), 86400000, &options->awake_ms) && options->awake_ms > 0) ||
           fail(problem, "must be a duration from 1 ms to a day, like 93s");
}

static bool set_tick(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return (duration_parse(slice_str(value), 86400000, &options->tick_ms) && options->tick_ms > 0) ||
           fail(problem, "must be a duration from 1 ms to a day, like 10s");
}

static bool set_seed(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return slice_to_u64(slice_str(value), UINT64_MAX, &options->seed) || fail(problem, "must be a number");
}

static bool set_large(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    uint64_t size;
    if (!slice_to_u64(slice_str(value), OPTIONS_LARGE_MAX, &size))
        return fail(problem, "must be a number of bytes up to 16777216");
    options->large = (size_t)size;
    return true;
}

static bool set_misbehave(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    char why[MISBEHAVE_PROBLEM_MAX];
    return misbehave_parse(slice_str(value), &options->misbehave, why) || fail(problem, why);
}

static bool set_firmware_fault(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    static const char *const names[] = {
        [FIRMWARE_NO_STORAGE] = "storage",         [FIRMWARE_NO_MEMORY] = "memory",
        [FIRMWARE_CONNECTION_LOST] = "connection", [FIRMWARE_INTEGRITY] = "integrity",
        [FIRMWARE_PACKAGE_TYPE] = "type",          [FIRMWARE_INVALID_URI] = "uri",
        [FIRMWARE_UPDATE_FAILED] = "update",       [FIRMWARE_PROTOCOL] = "protocol",
    };
    for (int result = FIRMWARE_NO_STORAGE; result <= FIRMWARE_PROTOCOL; result++) {
        if (strcmp(value, names[result]) == 0) {
            options->firmware_fault = result;
            return true;
        }
    }
    return fail(problem, "must be storage, memory, connection, integrity, type, uri, update or protocol");
}

static bool set_object(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    if (options->object_file_count == OPTIONS_OBJECT_FILES_MAX)
        return fail(problem, "may be given 64 times");
    options->object_files[options->object_file_count++] = value;
    return true;
}

static bool set_ack_timeout(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    uint64_t ms;
    if (!duration_parse(slice_str(value), 60000, &ms) || ms == 0)
        return fail(problem, "must be a duration from 1 ms to 60 s, like 500ms");
    options->coap.ack_timeout_ms = (uint32_t)ms;
    return true;
}

static bool set_max_retransmit(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    uint64_t number;
    if (!slice_to_u64(slice_str(value), 10, &number))
        return fail(problem, "must be a number from 0 to 10");
    options->coap.max_retransmit = (uint32_t)number;
    return true;
}

static bool set_block_size(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    uint64_t size;
    if (slice_to_u64(slice_str(value), 1024, &size)) {
        for (uint8_t szx = 0; szx <= 6; szx++) {
            if (size == (uint64_t)16 << szx) {
                options->coap.block_szx = szx;
                return true;
            }
        }
    }
    return fail(problem, "must be 16, 32, 64, 128, 256, 512 or 1024");
}

/* ---- a swarm ---- */

static bool set_swarm(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    uint64_t count;
    if (!slice_to_u64(slice_str(value), SWARM_DEVICES_MAX, &count) || count == 0)
        return fail(problem, "must be a number of devices from 1 to 1000000");
    options->swarm.devices = (size_t)count;
    return true;
}

static bool set_swarm_rate(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    char *end;
    options->swarm.rate = strtod(value, &end);
    return (*end == '\0' && options->swarm.rate >= 0.001 && options->swarm.rate <= SWARM_RATE_MAX) ||
           fail(problem, "must be a number a second from 0.001 to 1000000");
}

static bool set_swarm_window(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    uint64_t window;
    if (!slice_to_u64(slice_str(value), SWARM_WINDOW_MAX, &window) || window == 0)
        return fail(problem, "must be a number from 1 to 65536");
    options->swarm.window = (size_t)window;
    return true;
}

static bool set_period(const char *value, uint64_t *period_ms, char problem[PROBLEM_MAX]) {
    return (duration_parse(slice_str(value), 86400000, period_ms) && *period_ms > 0) ||
           fail(problem, "must be a duration from 1 ms to a day, like 30s");
}

static bool set_swarm_update(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    options->swarm.closed = strcmp(value, "closed") == 0;
    return options->swarm.closed || set_period(value, &options->swarm.update_ms, problem);
}

static bool set_swarm_send(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return set_period(value, &options->swarm.send_ms, problem);
}

static bool set_swarm_notify(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return set_period(value, &options->swarm.notify_ms, problem);
}

static bool set_swarm_move(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return set_period(value, &options->swarm.move_ms, problem);
}

static bool set_swarm_for(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    return set_period(value, &options->swarm.for_ms, problem);
}

static bool set_swarm_stay(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    (void)value;
    (void)problem;
    options->swarm.stays = true;
    return true;
}

static const struct setting {
    const char *name;
    const char *argument; /* NULL: a switch */
    set_fn *set;
    const char *help;
} settings[] = {
    {"server", "URI", set_server, "the LwM2M server: coap, coaps, coap+tcp or coaps+tcp:// [coap://127.0.0.1:5683]"},
    {"bootstrap", "URI", set_bootstrap, "in its place a bootstrap server, which says what the LwM2M server is"},
    {"bootstrap-pack", NULL, set_bootstrap_pack, "ask for a Bootstrap-Pack first (1.2)"},
    {"bootstrap-format", "FORMAT", set_bootstrap_format,
     "it writes: tlv, senml-json, senml-cbor or lwm2m-cbor [senml-cbor; 1.2: lwm2m-cbor]"},
    {"developer", NULL, set_developer, "a factory reset gives another endpoint name"},
    {"psk", "IDENTITY:HEX", set_psk, "with coaps: pre-shared key; @FILE has it in its first line, as may BERTH_PSK"},
    {"cert", "FILE", set_certificate, "with coaps: own certificate, PEM or DER, and the chain behind it"},
    {"key", "FILE", set_private_key, "its private key"},
    {"ca", "FILE", set_authority, "authorities of the server's certificate, or itself if self-signed"},
    {"server-name", "NAME", set_server_name, "in the server's certificate [the host, if it is a name]"},
    {"cipher", "NAME", set_cipher, "CCM_8, CCM, GCM, CBC, ECDHE-CBC or IANA's name of a suite [CCM_8]"},
    {"cid", "[=BYTES]", set_cid, "offer a connection ID of so many bytes, 0 to 32 [0]"},
    {"cid-draft", NULL, set_cid_draft, "offer that of the draft (extension 254) instead"},
    {"resume", NULL, set_resume, "abbreviated handshakes where they can be had"},
    {"max-fragment", "BYTES", set_max_fragment, "ask for records of 512, 1024, 2048 or 4096 bytes at most"},
    {"state", "DIR", set_state, "keep the DTLS session, OSCORE numbers and what bootstrap has given there"},
    {"oscore", "CONTEXT", set_oscore, "sender=HEX,recipient=HEX,secret=HEX[,...] or @FILE: protect messages"},
    {"oscore-b2", NULL, set_oscore_b2, "derive the context anew at the start (RFC 8613 Appendix B.2)"},
    {"framing", "FRAMING", set_framing, "of messages over TCP: rfc8323, or pelion, a length before each [rfc8323]"},
    {"keepalive", "DURATION", set_keepalive, "ping the server over TCP when nothing was sent for so long"},
    {"profile", "PROFILE", set_profile,
     "speak as others do: pelion, one vendor's client; options behind it go before it"},
    {"account", NULL, set_account, "print what a session, its resumption, Register and Update cost, and end"},
    {"endpoint", "NAME", set_endpoint, "the Endpoint Client Name [urn:uuid:..., made from the host's name]"},
    {"lifetime", "SECONDS", set_lifetime, "of the registration; 0 never runs out [300]"},
    {"lwm2m", "VERSION", set_lwm2m, "1.0, 1.1 or 1.2 [1.1]"},
    {"binding", "LETTERS", set_binding, "the Binding Mode [U; T over TCP by RFC 8323]"},
    {"bind", "ADDRESS[:PORT]", set_bind, "send from there"},
    {"json", NULL, set_json, "print events as JSON, one object a line"},
    {"send-format", "FORMAT", set_send_format, "senml-json, senml-cbor or, with 1.2, lwm2m-cbor [senml-cbor]"},
    {"muted", NULL, set_muted, "begin with Mute Send (1/0/23), as devices are shipped"},
    {"notify-con", NULL, set_notify_con, "every notification is confirmable"},
    {"queue", NULL, set_queue, "queue mode: asleep but for a while after each message"},
    {"awake", "DURATION", set_awake, "that while [93s]"},
    {"tick", "DURATION", set_tick, "values change on their own, so often"},
    {"seed", "NUMBER", set_seed, "where they go: the same way from the same number [1]"},
    {"large", "BYTES", set_large, "size of the resource 5000/0/0 [131072]"},
    {"firmware-fault", "FAULT", set_firmware_fault, "firmware updates fail: storage, integrity, update ..."},
    {"object", "FILE", set_object, "one more object, from a definition in OMA XML; may be repeated"},
    {"misbehave", "WHAT[,WHAT]", set_misbehave, "do something wrong, for tests of servers: the names are below"},
    {"ack-timeout", "DURATION", set_ack_timeout, "CoAP ACK_TIMEOUT [2s]"},
    {"max-retransmit", "N", set_max_retransmit, "CoAP MAX_RETRANSMIT [4]"},
    {"block-size", "BYTES", set_block_size, "largest block sent or asked for [1024]"},
    {"swarm", "N", set_swarm, "so many simulated devices, to load a server; their names end in -000000 and so on"},
    {"swarm-rate", "PER_SECOND", set_swarm_rate, "how many begin to register [as fast as answers come]"},
    {"swarm-window", "N", set_swarm_window, "requests under way at once where they go as fast as that [128]"},
    {"swarm-update", "DURATION", set_swarm_update,
     "each updates that often; closed: as fast as answers come [a third of the lifetime]"},
    {"swarm-send", "DURATION", set_swarm_send, "each sends two values that often"},
    {"swarm-notify", "DURATION", set_swarm_notify, "each notifies that often, if the server observes something"},
    {"swarm-move", "DURATION", set_swarm_move, "each has another address or port that often"},
    {"swarm-for", "DURATION", set_swarm_for, "how long, once all have registered [until SIGTERM]"},
    {"swarm-stay", NULL, set_swarm_stay, "they do not deregister at the end"},
};

enum {
    SETTING_COUNT = sizeof settings / sizeof settings[0],
    OPTION_HELP = 1000,
    OPTION_VERSION,
    OPTION_MANUAL,
};

/* One host, one name, in every run: a UUID of version 8 (RFC 9562 §5.8) made from the host's name. */
static void name_endpoint(char out[OPTIONS_ENDPOINT_MAX + 1]) {
    static const struct hash_key high_key = {0x6265727468, 1}, low_key = {0x6265727468, 2};
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    uint64_t high = hash_slice(&high_key, slice_str(host)), low = hash_slice(&low_key, slice_str(host));
    high = (high & ~(uint64_t)0xf000) | 0x8000;
    low = (low & ~((uint64_t)3 << 62)) | (uint64_t)1 << 63;
    snprintf(out, OPTIONS_ENDPOINT_MAX + 1, "urn:uuid:%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
             (unsigned long long)(low & 0xffffffffffff));
}

static void set_defaults(struct options *options) {
    char problem[PROBLEM_MAX];
    *options = (struct options){.lifetime_s = 300,
                                .version = 11,
                                .framing = LINK_STREAM_8323,
                                .send_format = LWM2M_FORMAT_SENML_CBOR,
                                .bootstrap_format = COAP_FORMAT_NONE,
                                .awake_ms = 93000,
                                .seed = 1,
                                .large = 128 * 1024,
                                .swarm = {.window = 128}};
    coap_params_default(&options->coap);
    set_server(options, "coap://127.0.0.1:5683", problem);
    options->has_server = false;
    name_endpoint(options->endpoint);
}

static const struct manual_heading headings[] = {
    {"server", "Where it registers"},
    {"psk", "Security"},
    {"framing", "Transports and others' ways"},
    {"endpoint", "Who it is"},
    {"json", "What it does"},
    {"ack-timeout", "CoAP"},
    {"manual", "And"},
};

static const struct manual_option more_options[] = {
    {"manual", manual_forms, "print this, the manual page, or the completion of a shell"},
    {"version", NULL, "print the version"},
    {"help", NULL, "print this"},
};

enum { MORE_OPTIONS = sizeof more_options / sizeof more_options[0] };

static const char examples[] =
    "  berth-device --endpoint dev1                    registers with coap://127.0.0.1:5683\n"
    "  berth-device --server coaps://192.0.2.1 --endpoint dev1 --psk dev1:00112233445566778899aabbccddeeff --cid\n"
    "  berth-device --bootstrap coap://127.0.0.1 --endpoint dev1 --state dev1.state\n"
    "  berth-device --queue --tick 10s --lwm2m 1.2     sleeps, and its values change\n"
    "  berth-device --misbehave wrong-mid:2            does something wrong, twice\n";

static bool print_manual(const char *form) {
    static const char *const usage[] = {"[options]", NULL};
    struct manual_option options[SETTING_COUNT + MORE_OPTIONS];
    char misbehaviours[600];
    uint8_t command_bytes[SHELL_LINE_MAX];
    struct buffer commands = buffer_over(command_bytes, sizeof command_bytes);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        options[i] = (struct manual_option){settings[i].name, settings[i].argument, settings[i].help};
    memcpy(options + SETTING_COUNT, more_options, sizeof more_options);

    uint8_t bytes[512];
    struct buffer kinds = buffer_over(bytes, sizeof bytes);
    misbehave_put_names(&kinds);
    snprintf(misbehaviours, sizeof misbehaviours,
             "  each with how often behind a colon (wrong-mid:2), else always:\n\n  %.*s\n", (int)kinds.len,
             (const char *)kinds.data);
    shell_put_help(&commands);
    buffer_put_u8(&commands, '\0');
    const struct manual_section sections[] = {
        {"Examples", examples},
        {"Environment", "  Every option is also a variable: --block-size is " VARIABLE_PREFIX
                        "BLOCK_SIZE; of switches 1 or 0. The command line goes\n  before it.\n"},
        {"Misbehaviours", misbehaviours},
        {"Commands, a line each, when standard input is a terminal or a pipe", (const char *)command_bytes},
    };
    const struct manual manual = {.program = "berth-device",
                                  .summary = "an LwM2M device to test servers with",
                                  .usage = usage,
                                  .options = options,
                                  .option_count = SETTING_COUNT + MORE_OPTIONS,
                                  .headings = headings,
                                  .heading_count = sizeof headings / sizeof headings[0],
                                  .sections = sections,
                                  .section_count = sizeof sections / sizeof sections[0]};
    return manual_print(&manual, form, stdout);
}

static int takes_argument(const char *argument) {
    if (argument == NULL)
        return no_argument;
    return argument[0] == '[' ? optional_argument : required_argument;
}

/* ---- the environment ---- */

/* BERTH_DEVICE_BLOCK_SIZE of block-size. */
static const char *name_variable(const char *name, char variable[VARIABLE_MAX]) {
    size_t len = (size_t)snprintf(variable, VARIABLE_MAX, VARIABLE_PREFIX);
    for (; *name != '\0' && len < VARIABLE_MAX - 1; name++)
        variable[len++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    variable[len] = '\0';
    return variable;
}

/* 1: the switch is on, 0: it is off, -1: the value says something else. */
static int read_switch(const char *value) {
    if (strcmp(value, "1") == 0 || strcmp(value, "true") == 0 || strcmp(value, "yes") == 0)
        return 1;
    return strcmp(value, "0") == 0 || strcmp(value, "false") == 0 || strcmp(value, "no") == 0 ? 0 : -1;
}

/* Several, with spaces between them. */
static bool set_objects(struct options *options, const char *value, char problem[PROBLEM_MAX]) {
    char *rest = options->object_list = memory_or_exit(strdup(value)), *file;
    while ((file = strsep(&rest, " ")) != NULL) {
        if (file[0] != '\0' && !set_object(options, file, problem))
            return false;
    }
    return true;
}

static bool set_from_variable(struct options *options, const char *value, const struct setting *setting,
                              char problem[PROBLEM_MAX]) {
    if (setting->set == set_object)
        return set_objects(options, value, problem);
    if (setting->argument != NULL)
        return setting->set(options, value, problem);
    int on = read_switch(value);
    if (on < 0)
        return fail(problem, "must be 1 or 0");
    return on == 0 || setting->set(options, NULL, problem);
}

/* The variable says what the command line says otherwise: that goes before it. */
static bool is_overruled(size_t setting, const bool *given) {
    static const char *const excluding[][2] = {{"server", "bootstrap"}, {"psk", "cert"}};
    if (given[setting])
        return true;
    for (size_t i = 0; i < 2 * sizeof excluding / sizeof excluding[0]; i++) {
        if (strcmp(settings[setting].name, excluding[i / 2][i % 2]) != 0)
            continue;
        for (size_t k = 0; k < SETTING_COUNT; k++) {
            if (given[k] && strcmp(settings[k].name, excluding[i / 2][1 - i % 2]) == 0)
                return true;
        }
    }
    return false;
}

/* An orchestrator sets variables with our prefix for a service of our name, so they are no reason to end. */
static void warn_of_unknown_variables(void) {
    char variable[VARIABLE_MAX];
    for (char **entry = environ; *entry != NULL; entry++) {
        size_t len = strcspn(*entry, "="), i = 0;
        if (strncmp(*entry, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) != 0)
            continue;
        while (i < SETTING_COUNT &&
               (strlen(name_variable(settings[i].name, variable)) != len || strncmp(*entry, variable, len) != 0))
            i++;
        if (i == SETTING_COUNT)
            fprintf(stderr, "berth-device: %.*s: there is no such option; it is passed over\n", (int)len, *entry);
    }
}

/* Variables count as options before those of the command line, --profile first. An empty one is none. */
static bool take_variables(struct options *options, const bool *given) {
    for (size_t i = 0; i < 2 * SETTING_COUNT; i++) {
        const struct setting *setting = &settings[i % SETTING_COUNT];
        char variable[VARIABLE_MAX], problem[PROBLEM_MAX];
        const char *value = getenv(name_variable(setting->name, variable));
        if ((setting->set == set_profile) != (i < SETTING_COUNT) || value == NULL || value[0] == '\0' ||
            is_overruled(i % SETTING_COUNT, given))
            continue;
        if (!set_from_variable(options, value, setting, problem)) {
            fprintf(stderr, "berth-device: %s: %s\n", variable, problem);
            return false;
        }
    }
    warn_of_unknown_variables();
    return true;
}

/* So that the key need not be seen among the processes. */
static bool take_environment(struct options *options, char problem[PROBLEM_MAX]) {
    const char *psk = getenv("BERTH_PSK");
    struct security_options *security = &options->security;
    if (psk == NULL || !options->transport->secure || security->has_psk || security->certificate != NULL)
        return true;
    char what[PROBLEM_MAX];
    if (security_set_psk(security, psk, what))
        return true;
    snprintf(problem, PROBLEM_MAX, "BERTH_PSK: %.150s", what);
    return false;
}

/* Numbers are used once under a key (RFC 8613 §7.2.1): they are kept, or the keys are new. */
static bool complete_oscore(struct options *options, char problem[PROBLEM_MAX]) {
    options->security.keeps_more = options->oscore.given || options->bootstraps;
    if (options->oscore_b2 && !options->oscore.given && !options->bootstraps) {
        snprintf(problem, PROBLEM_MAX, "--oscore-b2 needs --oscore");
        return false;
    }
    if (options->oscore.given && !options->oscore_b2 && options->security.state == NULL &&
        options->swarm.devices == 0) {
        snprintf(problem, PROBLEM_MAX,
                 "--oscore needs --state DIR, where it keeps the numbers it has used, or --oscore-b2, for new keys");
        return false;
    }
    return true;
}

/* What the bootstrap server is asked to write in: 1.0 has no word for that. */
static bool complete_bootstrap(struct options *options, char problem[PROBLEM_MAX]) {
    int format = options->bootstrap_format;
    if (!options->bootstraps)
        return (!options->asks_pack && format == COAP_FORMAT_NONE) ||
               fail(problem, "--bootstrap-pack and --bootstrap-format need --bootstrap");
    if (options->has_server)
        return fail(problem, "--server and --bootstrap exclude each other: bootstrap says what the server is");
    if (options->account)
        return fail(problem, "--account counts with --server");
    if (options->asks_pack && options->version < 12)
        return fail(problem, "--bootstrap-pack needs --lwm2m 1.2");
    if (format != COAP_FORMAT_NONE &&
        (options->version == 10 || !format_is_spoken(format, LWM2M_USE_BOOTSTRAP, options->version)))
        return fail(problem, "--bootstrap-format: this release of LwM2M cannot ask for it");
    if (format == COAP_FORMAT_NONE && options->version > 10)
        options->bootstrap_format = options->version == 11 ? LWM2M_FORMAT_SENML_CBOR : LWM2M_FORMAT_LWM2M_CBOR;
    return !options->asks_pack || options->bootstrap_format != LWM2M_FORMAT_TLV ||
           fail(problem, "--bootstrap-format: a Bootstrap-Pack cannot be TLV");
}

/* What a swarm has no use for, or can't do. */
static bool complete_swarm(const struct options *options, char problem[PROBLEM_MAX]) {
    const struct security_options *security = &options->security;
    if (options->swarm.devices == 0)
        return true;
    if (options->bootstraps || options->account || options->pelion)
        return fail(problem, "--swarm does not go with --bootstrap, --account and --profile");
    if (security->certificate != NULL || security->state != NULL)
        return fail(problem, "--swarm keeps nothing, and its devices have a key and no certificate");
    if (security->suite != NULL && security->suite->aead == RECORD_CBC)
        return fail(problem, "--swarm needs an AEAD cipher");
    if (strlen(options->endpoint) > OPTIONS_ENDPOINT_MAX - SWARM_NAME_TAIL)
        return fail(problem, "--swarm: the name of --endpoint is too long with a number behind it");
    return true;
}

/* Blocks fit into the records that are asked for. */
static void fit_blocks(struct options *options) {
    while (options->security.max_fragment > 0 &&
           (uint32_t)16 << options->coap.block_szx >= options->security.max_fragment)
        options->coap.block_szx--;
}

void options_put_queue(const struct options *options, char binding[OPTIONS_BINDING_MAX + 1]) {
    size_t letters = strlen(binding);
    if (options->queue && options->version == 10 && strchr(binding, 'Q') == NULL && letters < OPTIONS_BINDING_MAX)
        memcpy(binding + letters, "Q", 2);
}

enum options_action options_parse(struct options *options, int argc, char **argv) {
    struct option long_options[SETTING_COUNT + 4];
    memset(long_options, 0, sizeof long_options);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        long_options[i] =
            (struct option){.name = settings[i].name, .has_arg = takes_argument(settings[i].argument), .val = (int)i};
    }
    long_options[SETTING_COUNT] = (struct option){.name = "help", .val = OPTION_HELP};
    long_options[SETTING_COUNT + 1] = (struct option){.name = "version", .val = OPTION_VERSION};
    long_options[SETTING_COUNT + 2] =
        (struct option){.name = "manual", .has_arg = required_argument, .val = OPTION_MANUAL};

    set_defaults(options);
    optind = 1;
    char problem[PROBLEM_MAX];
    bool given[SETTING_COUNT] = {false};
    int chosen;
    while ((chosen = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (chosen == OPTION_HELP || chosen == 'h') {
            print_manual("help");
            return OPTIONS_EXIT_OK;
        }
        if (chosen == OPTION_MANUAL) {
            if (print_manual(optarg))
                return OPTIONS_EXIT_OK;
            fprintf(stderr, "berth-device: --manual: must be one of %s\n", manual_forms);
            return OPTIONS_EXIT_USAGE;
        }
        if (chosen == OPTION_VERSION) {
            printf("berth-device %s\n", BERTH_VERSION);
            return OPTIONS_EXIT_OK;
        }
        if (chosen < 0 || chosen >= SETTING_COUNT)
            return OPTIONS_EXIT_USAGE; /* getopt_long has said what is wrong */
        given[chosen] = true;
    }
    if (!take_variables(options, given))
        return OPTIONS_EXIT_USAGE;
    optind = 0; /* once more from the beginning, as glibc has it */
    while ((chosen = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (!settings[chosen].set(options, optarg, problem)) {
            fprintf(stderr, "berth-device: --%s: %s\n", settings[chosen].name, problem);
            return OPTIONS_EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "berth-device: '%s' is no option; try --help\n", argv[optind]);
        return OPTIONS_EXIT_USAGE;
    }
    if (options->pelion && options->oscore.given) {
        fprintf(stderr, "berth-device: --profile: this client has no OSCORE\n");
        return OPTIONS_EXIT_USAGE;
    }
    if (!take_environment(options, problem) || !complete_oscore(options, problem) ||
        !security_complete(&options->security, options->transport->secure, options->bootstraps, options->server.host,
                           problem) ||
        !complete_bootstrap(options, problem) || !complete_swarm(options, problem)) {
        fprintf(stderr, "berth-device: %s\n", problem);
        return OPTIONS_EXIT_USAGE;
    }
    if (options->account && (link_transport_connects(options->transport->link) || options->security.state != NULL)) {
        fprintf(stderr, "berth-device: --account counts over UDP, in sessions of its own: not with TCP or --state\n");
        return OPTIONS_EXIT_USAGE;
    }
    fit_blocks(options);
    if (options->send_format == LWM2M_FORMAT_LWM2M_CBOR && options->version < 12) {
        fprintf(stderr, "berth-device: --send-format: lwm2m-cbor needs --lwm2m 1.2\n");
        return OPTIONS_EXIT_USAGE;
    }
    /* The vendor's clients say U over TCP, too. */
    bool is_tcp = link_transport_connects(options->transport->link);
    if (options->transport->link == LINK_TLS && !options->bootstraps &&
        ((options->security.state != NULL && !options->oscore.given) || options->security.cid != DTLS_CLIENT_NO_CID)) {
        fprintf(stderr, "berth-device: --state, --cid and --cid-draft are for a --server of coaps://\n");
        return OPTIONS_EXIT_USAGE;
    }
    if (options->binding[0] == '\0')
        memcpy(options->binding, is_tcp && options->framing == LINK_STREAM_8323 ? "T" : "U", 2);
    if (!is_tcp && !options->bootstraps && !options->pelion &&
        (options->framing != LINK_STREAM_8323 || options->keepalive_ms > 0)) {
        fprintf(stderr, "berth-device: --framing and --keepalive are for a --server of coap+tcp:// or coaps+tcp://\n");
        return OPTIONS_EXIT_USAGE;
    }
    options_put_queue(options, options->binding);
    if (options->pelion && options->security.cid == DTLS_CLIENT_NO_CID)
        options->security.cid = DTLS_CLIENT_CID_DRAFT;
    options->security.resume = options->security.resume || options->pelion;
    return OPTIONS_RUN;
}
