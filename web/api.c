#include "web/api.h"

#include "web/page.h"
#include "web/probes.h"
#include "web/v1/v1.h"

#define END_PARAMETERS \
    { NULL, NULL, NULL, NULL }
#define END_ANSWERS \
    { 0, NULL, NULL, NULL }
#define JSON "application/json"

#define SWITCH_SCHEMA "{\"type\":\"integer\",\"enum\":[0,1]}"
#define TEXT_SCHEMA     "{\"type\":\"string\"}"
#define EVENT_ID_SCHEMA "{\"type\":\"integer\",\"minimum\":0,\"maximum\":9223372036854775807}"
#define DURATION_SCHEMA "{\"$ref\":\"#/components/schemas/Duration\"}"
#define TYPES_SCHEMA    "{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/components/schemas/EventType\"}}"

/* ---- devices ---- */

static const struct route_parameter devices_list_parameters[] = {
    {"limit", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",
     "How many devices a page has at most. A page may have fewer, also none, and a next one all the same."},
    {"cursor", "query", "{\"type\":\"string\",\"pattern\":\"^[0-9]{1,9}$\"}", "`next` of the page before."},
    {"endpoint", "query", "{\"type\":\"string\",\"maxLength\":256}",
     "Only endpoint names that match; * is any text, ? is one character."},
    {"state", "query", "{\"type\":\"string\",\"enum\":[\"registered\"]}", "Only devices in this state."},
    {"address", "query", "{\"type\":\"string\",\"maxLength\":256}", "Only addresses that match, likewise."},
    {"transport", "query", "{\"type\":\"string\",\"enum\":[\"udp\",\"dtls\",\"tcp\",\"tls\"]}",
     "Only devices that come over this one."},
    {"security", "query", "{\"type\":\"string\",\"enum\":[\"none\",\"psk\",\"x509\",\"oscore\"]}",
     "Only devices that have proven themselves so."},
    {"queue_mode", "query", SWITCH_SCHEMA, "1: only devices in queue mode; 0: only others."},
    {"awake", "query", SWITCH_SCHEMA, "0: only devices that sleep; 1: only others."},
    {"reachable", "query", SWITCH_SCHEMA, "0: only devices whose connection has ended; 1: only others."},
    {"traffic", "query", SWITCH_SCHEMA, "1: with the bytes that each has cost."},
    END_PARAMETERS,
};
static const struct route_answer devices_list_answers[] = {{200, JSON, "DevicePage", "A page of registered devices."},
                                                           END_ANSWERS};

static const struct route_parameter devices_get_parameters[] = {
    {"wait", "query", "{\"type\":\"string\",\"enum\":[\"registered\",\"updated\",\"deregistered\",\"awake\"]}",
     "Answer only when it is so: `registered`, `deregistered` and `awake` at once when it is so now, `updated` "
     "with the next update."},
    {"timeout", "query", DURATION_SCHEMA, "How long `wait` waits: at most 10 minutes, by default 30 seconds."},
    {"after", "query", EVENT_ID_SCHEMA, "With wait=updated: an update after this event counts, too."},
    END_PARAMETERS,
};
static const struct route_answer devices_get_answers[] = {
    {200, JSON, "DeviceOrGone", "The device; after wait=deregistered its endpoint name and the state deregistered."},
    END_ANSWERS,
};
static const enum problem_kind devices_get_problems[] = {PROBLEM_NOT_REGISTERED, PROBLEM_TIMEOUT, PROBLEM_KIND_COUNT};

static const struct route_answer stored_answers[] = {{204, NULL, NULL, "It is done and stored."}, END_ANSWERS};
static const enum problem_kind devices_forget_problems[] = {PROBLEM_NOT_REGISTERED, PROBLEM_STORE, PROBLEM_KIND_COUNT};

static const struct route_answer traffic_answers[] = {
    {200, JSON, "Traffic", "By what it was for; and of the DTLS session alone, which is null when there is none."},
    END_ANSWERS};
static const enum problem_kind not_registered_problems[] = {PROBLEM_NOT_REGISTERED, PROBLEM_KIND_COUNT};

/* ---- messages ---- */

#define MESSAGE_ID_SCHEMA "{\"type\":\"integer\",\"minimum\":0,\"maximum\":9223372036854775807,\"default\":0}"
#define MESSAGE_PARAMETERS                                                                                             \
    {"after", "query", MESSAGE_ID_SCHEMA, "Begin behind this message."},                                               \
        {"limit", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",                      \
         "How many messages at most."},                                                                                \
        {"direction", "query", "{\"type\":\"string\",\"enum\":[\"in\",\"out\"]}", "Only what came, or what was sent."},    \
        {"kind", "query",                                                                                              \
         "{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/components/schemas/MessageKind\"}}",                \
         "Only messages of these kinds, joined by commas."},                                                           \
        {"raw", "query", SWITCH_SCHEMA, "1: with the bytes themselves."},                                              \
        {"clear", "query", SWITCH_SCHEMA, "Of a capture. 1: messages as they were before DTLS and TLS."},              \
        {"Accept", "header", TEXT_SCHEMA, "application/json, or for a capture application/x-pcapng."}
#define MESSAGE_POLL_PARAMETERS                                                                                    \
    {"poll", "query", SWITCH_SCHEMA, "1: when there is no message, wait for one."},                                \
        {"timeout", "query", DURATION_SCHEMA, "With poll=1: how long, at most 10 minutes, by default 30 seconds."}
static const struct route_parameter messages_parameters[] = {MESSAGE_PARAMETERS, END_PARAMETERS};
static const struct route_parameter device_messages_parameters[] = {MESSAGE_PARAMETERS, MESSAGE_POLL_PARAMETERS,
                                                                    END_PARAMETERS};
#define TRANSPORT_PARAMETER \
    { "transport", "query", "{\"type\":\"string\",\"enum\":[\"udp\",\"dtls\",\"tcp\",\"tls\"]}", "Only over this one." }
static const struct route_parameter peer_messages_parameters[] = {MESSAGE_PARAMETERS, MESSAGE_POLL_PARAMETERS,
                                                                  TRANSPORT_PARAMETER, END_PARAMETERS};
static const struct route_parameter transport_parameters[] = {TRANSPORT_PARAMETER, END_PARAMETERS};
static const struct route_answer messages_answers[] = {
    {200, JSON, "MessageList", "Messages, oldest first; go on with after=`last`."},
    {200, "application/x-pcapng", NULL, "A capture for Wireshark, with the secrets that open it."},
    {200, "application/vnd.tcpdump.pcap", NULL, "The same."},
    END_ANSWERS,
};
static const struct route_answer forgotten_answers[] = {{204, NULL, NULL, "They are forgotten."}, END_ANSWERS};
static const enum problem_kind messages_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_NOT_ACCEPTABLE, PROBLEM_OVERLOADED,
                                                      PROBLEM_KIND_COUNT};
static const enum problem_kind no_trace_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_KIND_COUNT};
static const enum problem_kind device_messages_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_NOT_REGISTERED,
                                                             PROBLEM_NOT_ACCEPTABLE, PROBLEM_OVERLOADED,
                                                             PROBLEM_KIND_COUNT};

/* ---- operations ---- */

#define FORMAT_SCHEMA                                                                                            \
    "{\"type\":\"string\",\"examples\":[\"tlv\",\"senml-cbor\",\"senml-json\",\"lwm2m-cbor\",\"cbor\",\"text\"," \
    "\"opaque\",\"json\",\"none\",\"11542\"]}"
#define PREFER_PARAMETER                                                                                           \
    {                                                                                                              \
        "Prefer", "header", TEXT_SCHEMA,                                                                           \
            "respond-async: put it into the device's queue and answer 202 at once. respond-async; expires=1h: it " \
            "waits so long for the device, from 1s to 30d."                                                        \
    }
#define QUEUED_ANSWER \
    { 202, JSON, "Queued", "It waits for the device; Location is where its result will be." }
#define FORCE_PARAMETER                                                                                          \
    {                                                                                                            \
        "force", "query", SWITCH_SCHEMA,                                                                         \
            "1: send it although the standard or the device's version does not allow it, or the device sleeps, " \
            "and without a look at definitions."                                                                 \
    }
#define RESPONSE_TIMEOUT_PARAMETER                                                                              \
    {                                                                                                           \
        "response_timeout", "query", DURATION_SCHEMA,                                                           \
            "How long the device may take to answer what it has acknowledged: at most an hour, by default 247 " \
            "seconds. Retransmissions end earlier when it does not even acknowledge."                           \
    }
#define FORMAT_PARAMETER \
    { "format", "query", FORMAT_SCHEMA, "The content format that the device is asked for, or that its payload has." }
#define NAMES_PARAMETER \
    { "names", "query", SWITCH_SCHEMA, "1: with the names of objects and resources." }
#define ACCEPT_PARAMETER \
    { "Accept", "header", TEXT_SCHEMA, "The form of the answer, application/json by default." }

static const struct route_parameter read_parameters[] = {
    FORMAT_PARAMETER, NAMES_PARAMETER,  FORCE_PARAMETER, RESPONSE_TIMEOUT_PARAMETER,
    ACCEPT_PARAMETER, PREFER_PARAMETER, END_PARAMETERS};
static const struct route_parameter write_parameters[] = {FORMAT_PARAMETER, FORCE_PARAMETER, RESPONSE_TIMEOUT_PARAMETER,
                                                          PREFER_PARAMETER, END_PARAMETERS};
static const struct route_parameter force_parameters[] = {FORCE_PARAMETER, RESPONSE_TIMEOUT_PARAMETER, PREFER_PARAMETER,
                                                          END_PARAMETERS};
#define INSTANCE_PARAMETER                                                                         \
    {                                                                                              \
        "instance", "query", "{\"type\":\"integer\",\"minimum\":0,\"maximum\":65534}",             \
            "Of the LwM2M Server object (1); without it the lowest one that the device announced." \
    }
static const struct route_parameter update_parameters[] = {
    {"wait", "query", SWITCH_SCHEMA, "1: answer when the Update has come, with the device."},
    {"timeout", "query", DURATION_SCHEMA, "How long `wait` waits: at most 10 minutes, by default 30 seconds."},
    INSTANCE_PARAMETER,
    FORCE_PARAMETER,
    RESPONSE_TIMEOUT_PARAMETER,
    PREFER_PARAMETER,
    END_PARAMETERS,
};
static const struct route_parameter server_object_parameters[] = {
    INSTANCE_PARAMETER, FORCE_PARAMETER, RESPONSE_TIMEOUT_PARAMETER, PREFER_PARAMETER, END_PARAMETERS};
static const struct route_parameter discover_parameters[] = {
    {"depth", "query", "{\"type\":\"integer\",\"minimum\":0,\"maximum\":3}",
     "How many levels below the path are told (LwM2M 1.2)."},
    FORCE_PARAMETER,
    RESPONSE_TIMEOUT_PARAMETER,
    ACCEPT_PARAMETER,
    PREFER_PARAMETER,
    END_PARAMETERS,
};
static const struct route_answer data_answers[] = {
    {200, JSON, "Data", "What the device told. The header CoAP-Code has its code, CoAP-Content-Format the format."},
    {200, "text/plain", NULL, "One value."},
    {200, "application/senml+json", NULL, "The same as SenML JSON."},
    {200, "application/senml+cbor", NULL, "The same as SenML CBOR."},
    {200, "application/cbor", NULL, "One value as a CBOR item; more as LwM2M CBOR has them."},
    {200, "application/octet-stream", NULL, "The payload as it came."},
    QUEUED_ANSWER,
    END_ANSWERS,
};
static const struct route_answer discover_answers[] = {
    {200, JSON, "Links", "What is there, and its attributes."},
    {200, "application/link-format", NULL, "The payload as it came."},
    QUEUED_ANSWER,
    END_ANSWERS,
};
static const struct route_answer done_answers[] = {
    {204, NULL, NULL, "The device has done it."}, QUEUED_ANSWER, END_ANSWERS};
static const struct route_answer update_answers[] = {
    {204, NULL, NULL, "The device is going to update its registration."},
    {200, JSON, "Device", "With wait=1: it has done so."},
    QUEUED_ANSWER,
    END_ANSWERS,
};
static const struct route_answer attributes_answers[] = {
    {204, NULL, NULL, "The device has done it. The header Berth-Warning says what is legal in it, and doubtful."},
    QUEUED_ANSWER,
    END_ANSWERS,
};
static const struct route_answer create_answers[] = {
    {201, NULL, NULL, "The device has created it. Location is its path, when that is known."},
    QUEUED_ANSWER,
    END_ANSWERS};
static const struct route_answer request_answers[] = {
    {200, JSON, "CoapAnswer", "What the device answered, errors too."}, QUEUED_ANSWER, END_ANSWERS};
static const struct route_answer ping_answers[] = {{200, JSON, "Pong", "The device is there."}, END_ANSWERS};
static const struct route_body data_bodies[] = {
    {"text/plain", NULL},
    {"application/senml+json", NULL},
    {"application/senml+cbor", NULL},
    {"application/cbor", NULL},
    {"application/octet-stream", NULL},
    {"application/vnd.oma.lwm2m+tlv", NULL},
    {"application/vnd.oma.lwm2m+json", NULL},
    {"application/vnd.oma.lwm2m+cbor", NULL},
    {NULL, NULL},
};
static const struct route_body text_bodies[] = {{"text/plain", NULL}, {NULL, NULL}};
#define DEVICE_PROBLEMS                                                                                             \
    PROBLEM_NOT_REGISTERED, PROBLEM_REGISTRATION_GONE, PROBLEM_QUEUE_FULL, PROBLEM_UNFINISHED, PROBLEM_UNREACHABLE, \
        PROBLEM_NO_ROOM, PROBLEM_NO_ANSWER, PROBLEM_ASLEEP
static const enum problem_kind ping_problems[] = {DEVICE_PROBLEMS, PROBLEM_KIND_COUNT};
static const enum problem_kind request_problems[] = {PROBLEM_BAD_BODY, DEVICE_PROBLEMS, PROBLEM_KIND_COUNT};
static const enum problem_kind operation_problems[] = {
    PROBLEM_NOT_FOUND, PROBLEM_BAD_BODY,    PROBLEM_NOT_SENT,     PROBLEM_NOT_ACCEPTABLE, PROBLEM_MEDIA_TYPE,
    DEVICE_PROBLEMS,   PROBLEM_UNDECODABLE, PROBLEM_DEVICE_ERROR, PROBLEM_KIND_COUNT,
};

static const enum problem_kind update_problems[] = {
    PROBLEM_BAD_BODY,    PROBLEM_NOT_SENT,     PROBLEM_TIMEOUT,    DEVICE_PROBLEMS,
    PROBLEM_UNDECODABLE, PROBLEM_DEVICE_ERROR, PROBLEM_KIND_COUNT,
};
static const enum problem_kind server_object_problems[] = {
    PROBLEM_BAD_BODY, PROBLEM_NOT_SENT, DEVICE_PROBLEMS, PROBLEM_DEVICE_ERROR, PROBLEM_KIND_COUNT,
};
/* ---- observations ---- */

#define MODE_PARAMETER                                                                                   \
    {                                                                                                    \
        "mode", "query", "{\"type\":\"string\",\"enum\":[\"active\",\"reset\"],\"default\":\"active\"}", \
            "active: the device is told with Observe 1. reset: it hears of it as the Reset to its next " \
            "notification."                                                                              \
    }
static const struct route_parameter unobserve_parameters[] = {
    MODE_PARAMETER,
    {"id", "query", "{\"type\":\"integer\",\"minimum\":1}",
     "Only the observation of this number, if it is of this path."},
    FORCE_PARAMETER,
    PREFER_PARAMETER,
    END_PARAMETERS,
};
static const struct route_parameter mode_parameters[] = {MODE_PARAMETER, PREFER_PARAMETER, END_PARAMETERS};
static const struct route_answer observe_answers[] = {
    {200, JSON, "Data",
     "The first value. The header Observation has the number of the observation, which is stored, or `none`: the "
     "device "
     "has answered, and does not observe."},
    {200, "text/plain", NULL, "One value."},
    {200, "application/senml+json", NULL, "The same as SenML JSON."},
    {200, "application/senml+cbor", NULL, "The same as SenML CBOR."},
    {200, "application/cbor", NULL, "One value as a CBOR item; more as LwM2M CBOR has them."},
    {200, "application/octet-stream", NULL, "The payload as it came."},
    QUEUED_ANSWER,
    END_ANSWERS,
};
static const struct route_answer unobserve_answers[] = {
    {204, NULL, NULL, "It is over. It is over here also when the device does not answer, or answers with an error."},
    QUEUED_ANSWER,
    END_ANSWERS};
static const enum problem_kind observe_problems[] = {
    PROBLEM_NOT_FOUND, PROBLEM_BAD_BODY,    PROBLEM_NOT_SENT,     PROBLEM_NOT_ACCEPTABLE, PROBLEM_TOO_MANY_OBSERVATIONS,
    DEVICE_PROBLEMS,   PROBLEM_UNDECODABLE, PROBLEM_DEVICE_ERROR, PROBLEM_STORE,          PROBLEM_KIND_COUNT,
};
static const enum problem_kind unobserve_problems[] = {
    PROBLEM_NOT_FOUND, PROBLEM_NOT_OBSERVED, PROBLEM_NOT_SENT,   DEVICE_PROBLEMS,
    PROBLEM_STORE,     PROBLEM_DEVICE_ERROR, PROBLEM_KIND_COUNT,
};
static const struct route_parameter observations_list_parameters[] = {
    {"limit", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",
     "How many observations a page has at most."},
    {"cursor", "query", "{\"type\":\"string\",\"pattern\":\"^[0-9]{1,19}$\"}", "`next` of the page before."},
    END_PARAMETERS,
};
static const struct route_answer observations_list_answers[] = {
    {200, JSON, "ObservationPage", "A page of observations, in the order in which they began."}, END_ANSWERS};
static const struct route_answer observations_get_answers[] = {{200, JSON, "Observation", "The observation."},
                                                               END_ANSWERS};
static const enum problem_kind observations_list_problems[] = {PROBLEM_NOT_REGISTERED, PROBLEM_KIND_COUNT};
static const enum problem_kind observations_get_problems[] = {PROBLEM_NOT_REGISTERED, PROBLEM_NOT_OBSERVED,
                                                              PROBLEM_KIND_COUNT};

/* ---- queues ---- */

#define TIMEOUT_PARAMETER \
    { "timeout", "query", DURATION_SCHEMA, "Wait so long for its end, at most 10 minutes." }

static const struct route_parameter queued_parameters[] = {TIMEOUT_PARAMETER, END_PARAMETERS};
static const struct route_answer queued_get_answers[] = {
    {200, JSON, "QueuedRequest", "The request, and when it is over its response."}, END_ANSWERS};
static const struct route_answer queued_response_answers[] = {
    {200, JSON, "Any", "What the call would have been answered, whatever that is: with its status, header and body."},
    {200, "text/plain", NULL, "Likewise."},
    {200, "application/senml+json", NULL, "Likewise."},
    {200, "application/senml+cbor", NULL, "Likewise."},
    {200, "application/cbor", NULL, "Likewise."},
    {200, "application/octet-stream", NULL, "Likewise."},
    {200, "application/link-format", NULL, "Likewise."},
    {201, NULL, NULL, "Likewise."},
    {204, NULL, NULL, "Likewise."},
    END_ANSWERS,
};
static const enum problem_kind queued_get_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_TIMEOUT, PROBLEM_KIND_COUNT};
static const enum problem_kind queued_response_problems[] = {
    PROBLEM_NOT_FOUND,   PROBLEM_TIMEOUT,      PROBLEM_NOT_OVER, PROBLEM_CANCELLED,        PROBLEM_EXPIRED,
    PROBLEM_UNDECODABLE, PROBLEM_DEVICE_ERROR, DEVICE_PROBLEMS,  PROBLEM_RESULT_TOO_LARGE, PROBLEM_KIND_COUNT,
};
static const enum problem_kind queued_delete_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_NOT_OVER, PROBLEM_STORE,
                                                           PROBLEM_KIND_COUNT};
static const struct route_answer queue_get_answers[] = {
    {200, JSON, "Queue", "What waits for the device, in order, and what is set."}, END_ANSWERS};
static const enum problem_kind queue_get_problems[] = {PROBLEM_NOT_REGISTERED, PROBLEM_KIND_COUNT};
static const enum problem_kind queue_put_problems[] = {PROBLEM_BAD_BODY, PROBLEM_STORE, PROBLEM_KIND_COUNT};

/* ---- events ---- */

static const struct route_parameter events_get_parameters[] = {
    {"after", "query", EVENT_ID_SCHEMA,
     "Begin with what came after this event; without it, with what comes from now on."},
    {"Last-Event-ID", "header", TEXT_SCHEMA,
     "The same, as a browser says it when it connects again; goes before `after`."},
    {"types", "query", TYPES_SCHEMA,
     "Only events of these types, joined by commas. `registered` includes `replaced`: that is a registration, too."},
    {"endpoint", "query", TEXT_SCHEMA, "Only events of the device of this name."},
    {"poll", "query", "{\"type\":\"integer\",\"enum\":[0,1]}",
     "1: answer with JSON as soon as there is an event, instead of a stream."},
    {"timeout", "query", DURATION_SCHEMA, "With poll=1: how long to wait, at most 10 minutes, by default 30 seconds."},
    {"limit", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",
     "With poll=1: how many events at most."},
    {"newest", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000}",
     "With poll=1: only so many of those that are kept, the newest, instead of the first that follow `after`."},
    END_PARAMETERS,
};
static const struct route_answer events_get_answers[] = {
    {200, "text/event-stream", NULL, "Server-Sent Events: `id` is the number, `event` the type, `data` an Event."},
    {200, JSON, "EventList", "With poll=1: events, none when the time is over; go on with after=`last`."},
    END_ANSWERS,
};
static const struct route_answer events_last_answers[] = {{200, JSON, "EventRange", "The numbers of the events kept."},
                                                          END_ANSWERS};

/* ---- wait, clock, reset ---- */

static const struct route_answer wait_answers[] = {
    {200, JSON, "WaitOutcome", "The event; or `events` for count, all and sequence; or `absent`."},
    END_ANSWERS,
};
static const enum problem_kind wait_problems[] = {PROBLEM_BAD_BODY, PROBLEM_INVALID_DOCUMENT, PROBLEM_TIMEOUT,
                                                  PROBLEM_UNEXPECTED_EVENT, PROBLEM_KIND_COUNT};
static const struct route_answer clock_get_answers[] = {{200, JSON, "Clock", "Protocol time."}, END_ANSWERS};
static const struct route_answer clock_advance_answers[] = {
    {200, JSON, "Leap", "Time has been advanced, and every timer that became due has run."}, END_ANSWERS};
static const enum problem_kind body_problems[] = {PROBLEM_BAD_BODY, PROBLEM_KIND_COUNT};
static const struct route_parameter reset_parameters[] = {
    {"scope", "query", "{\"type\":\"string\",\"enum\":[\"devices\",\"events\",\"faults\",\"messages\",\"all\"],\"default\":\"all\"}",
     "What to forget."},
    END_PARAMETERS,
};
static const enum problem_kind store_problems[] = {PROBLEM_STORE, PROBLEM_KIND_COUNT};

/* ---- faults ---- */

static const struct route_answer faults_list_answers[] = {
    {200, JSON, "FaultList", "The faults, oldest first, with those that have ended lately."}, END_ANSWERS};
static const struct route_answer fault_answers[] = {{200, JSON, "Fault", "The fault."}, END_ANSWERS};
static const struct route_answer faults_put_answers[] = {
    {204, NULL, NULL, "It is ordered, or done; Location names it."}, END_ANSWERS};
static const struct route_answer faults_clear_answers[] = {
    {204, NULL, NULL, "They have gone; what they held back goes on its way."}, END_ANSWERS};
static const enum problem_kind faults_put_problems[] = {PROBLEM_BAD_BODY, PROBLEM_INVALID_DOCUMENT, PROBLEM_CONFLICT,
                                                        PROBLEM_KIND_COUNT};
static const enum problem_kind device_faults_put_problems[] = {PROBLEM_BAD_BODY, PROBLEM_INVALID_DOCUMENT,
                                                               PROBLEM_NOT_REGISTERED, PROBLEM_CONFLICT,
                                                               PROBLEM_KIND_COUNT};
static const enum problem_kind fault_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_KIND_COUNT};

/* ---- scenarios ---- */

static const struct route_answer scenarios_list_answers[] = {
    {200, JSON, "ScenarioList", "Those that run, and the last ones that did."}, END_ANSWERS};
static const struct route_parameter scenarios_post_parameters[] = {
    {"Prefer", "header", TEXT_SCHEMA, "respond-async: answer 202 at once."}, END_PARAMETERS};
static const struct route_answer scenarios_post_answers[] = {
    {200, JSON, "ScenarioReport", "It is over: passed or not. It is cancelled when the client hangs up before."},
    {202, JSON, "ScenarioReport", "It runs; Location is where its report is."},
    END_ANSWERS,
};
static const enum problem_kind scenarios_post_problems[] = {PROBLEM_BAD_BODY, PROBLEM_INVALID_DOCUMENT,
                                                            PROBLEM_NOT_READY, PROBLEM_KIND_COUNT};
static const struct route_parameter scenarios_get_parameters[] = {
    {"timeout", "query", DURATION_SCHEMA, "Wait until it is over, in real time: at most 10 minutes."}, END_PARAMETERS};
static const struct route_answer scenarios_get_answers[] = {
    {200, JSON, "ScenarioReport", "What has become of it so far, or with timeout when it is over."}, END_ANSWERS};
static const enum problem_kind scenarios_get_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_TIMEOUT, PROBLEM_NOT_READY,
                                                           PROBLEM_KIND_COUNT};
static const struct route_answer scenarios_delete_answers[] = {
    {204, NULL, NULL, "It is cancelled, or forgotten when it was over."}, END_ANSWERS};

/* ---- object definitions ---- */

static const struct route_parameter objects_list_parameters[] = {
    {"limit", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",
     "How many definitions a page has at most."},
    {"cursor", "query", "{\"type\":\"string\",\"pattern\":\"^[0-9]{1,10}$\"}", "`next` of the page before."},
    END_PARAMETERS,
};
static const struct route_answer objects_list_answers[] = {
    {200, JSON, "DefinitionPage", "A page of definitions, by id and version."}, END_ANSWERS};
static const struct route_answer objects_get_answers[] = {{200, JSON, "Definition", "The definition."}, END_ANSWERS};
static const struct route_answer objects_put_answers[] = {
    {201, NULL, NULL, "It is loaded and stored; Location names it."},
    {204, NULL, NULL, "It is stored in the place of the one that was loaded before."},
    END_ANSWERS,
};
static const struct route_body xml_bodies[] = {
    {"application/xml", NULL},
    {"text/xml", NULL},
    {NULL, NULL},
};
static const enum problem_kind not_found_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_KIND_COUNT};
static const enum problem_kind objects_put_problems[] = {PROBLEM_BAD_BODY, PROBLEM_TOO_LARGE,  PROBLEM_MEDIA_TYPE,
                                                         PROBLEM_STORE,    PROBLEM_OVERLOADED, PROBLEM_KIND_COUNT};
static const enum problem_kind objects_delete_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_STORE, PROBLEM_KIND_COUNT};

/* ---- credentials ---- */

#define CREDENTIAL_MODE_PARAMETER \
    { "mode", "query", "{\"type\":\"string\",\"enum\":[\"psk\",\"x509\",\"oscore\",\"none\"]}", "Only of this mode." }
#define SERVICE_PARAMETER                                                                             \
    {                                                                                                 \
        "service", "query", "{\"type\":\"string\",\"enum\":[\"management\",\"bootstrap\",\"both\"]}", \
            "Only for this service."                                                                  \
    }
static const struct route_parameter credentials_list_parameters[] = {
    {"limit", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",
     "How many credentials a page has at most."},
    {"cursor", "query", "{\"type\":\"string\",\"pattern\":\"^[0-9]{1,10}$\"}", "`next` of the page before."},
    CREDENTIAL_MODE_PARAMETER,
    SERVICE_PARAMETER,
    END_PARAMETERS,
};
static const struct route_parameter credentials_parameters[] = {CREDENTIAL_MODE_PARAMETER, SERVICE_PARAMETER,
                                                                END_PARAMETERS};
static const struct route_answer credentials_list_answers[] = {
    {200, JSON, "CredentialPage", "A page of credentials, without keys."}, END_ANSWERS};
static const struct route_answer credentials_get_answers[] = {
    {200, JSON, "CredentialList", "The endpoint's credentials, without keys."}, END_ANSWERS};
static const struct route_answer credentials_put_answers[] = {
    {201, NULL, NULL, "It is there and stored."},
    {204, NULL, NULL, "It is stored in the place of what was there of this mode for these services."},
    END_ANSWERS,
};
static const enum problem_kind credentials_put_problems[] = {PROBLEM_BAD_BODY, PROBLEM_CONFLICT, PROBLEM_STORE,
                                                             PROBLEM_OVERLOADED, PROBLEM_KIND_COUNT};
static const struct route_parameter bootstrap_list_parameters[] = {
    {"limit", "query", "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000,\"default\":100}",
     "How many configurations a page has at most."},
    {"cursor", "query", "{\"type\":\"string\",\"pattern\":\"^[0-9]{1,10}$\"}", "`next` of the page before."},
    END_PARAMETERS,
};
static const struct route_answer bootstrap_list_answers[] = {
    {200, JSON, "BootstrapPage", "A page of stored configurations, without secrets."}, END_ANSWERS};
static const struct route_answer bootstrap_get_answers[] = {
    {200, JSON, "Bootstrap", "The configuration, without secrets."}, END_ANSWERS};
static const struct route_answer bootstrap_put_answers[] = {
    {201, NULL, NULL, "It is new, and stored."},
    {204, NULL, NULL, "It has taken another's place, and is stored."},
    END_ANSWERS};
static const struct route_answer bootstrap_session_answers[] = {
    {200, JSON, "BootstrapSession", "What was asked and answered so far."}, END_ANSWERS};
static const struct route_answer bootstrap_start_answers[] = {
    {204, NULL, NULL, "It has begun; events tell how it goes on."}, END_ANSWERS};
static const enum problem_kind bootstrap_get_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_KIND_COUNT};
static const enum problem_kind bootstrap_put_problems[] = {PROBLEM_BAD_BODY, PROBLEM_CONFLICT, PROBLEM_TOO_LARGE,
                                                           PROBLEM_STORE, PROBLEM_KIND_COUNT};
static const struct route_answer developer_answers[] = {
    {200, JSON, "Developer", "A certificate, its key, and the source to be compiled. Nothing of it is kept here."},
    END_ANSWERS};
static const enum problem_kind developer_problems[] = {PROBLEM_BAD_BODY, PROBLEM_CONFLICT, PROBLEM_KIND_COUNT};
static const struct route_answer rederive_answers[] = {
    {204, NULL, NULL, "The next request of the device's begins it; `oscore_derived` tells when it has been done."},
    END_ANSWERS};
static const enum problem_kind bootstrap_start_problems[] = {PROBLEM_NOT_REGISTERED, PROBLEM_CONFLICT,
                                                             PROBLEM_KIND_COUNT};
static const enum problem_kind credentials_delete_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_CONFLICT, PROBLEM_STORE,
                                                                PROBLEM_OVERLOADED, PROBLEM_KIND_COUNT};

/* ---- firmware ---- */

static const struct route_parameter firmware_put_parameters[] = {
    {"url", "query", "{\"type\":\"string\",\"maxLength\":255}",
     "The URL by which devices ask a proxy for it (Proxy-Uri), when it is another one than that of this API."},
    END_PARAMETERS,
};
static const struct route_parameter firmware_get_parameters[] = {
    {"range", "header", "{\"type\":\"string\"}", "A part of it: bytes=0-99."}, END_PARAMETERS};
static const struct route_parameter firmware_update_parameters[] = {
    {"wait", "query", "{\"type\":\"string\",\"enum\":[\"over\"]}", "Answer when the update is over."},
    TIMEOUT_PARAMETER,
    END_PARAMETERS,
};
static const struct route_body octet_bodies[] = {{"application/octet-stream", NULL}, {NULL, NULL}};
static const struct route_answer firmware_list_answers[] = {{200, JSON, "FirmwareList", "All images, by name."},
                                                            END_ANSWERS};
static const struct route_answer firmware_get_answers[] = {
    {200, "application/octet-stream", NULL, "The image."},
    {206, "application/octet-stream", NULL, "The part of it that Range asks for."},
    END_ANSWERS};
static const struct route_answer firmware_put_answers[] = {
    {200, JSON, "FirmwareImage", "It has taken another's place, and is stored."},
    {201, JSON, "FirmwareImage", "It is new, and stored."},
    END_ANSWERS};
static const struct route_answer firmware_faults_answers[] = {{200, JSON, "FirmwareImage", "So it is from now on."},
                                                              END_ANSWERS};
static const struct route_answer firmware_update_get_answers[] = {{200, JSON, "FirmwareUpdate", "How far it is."},
                                                                  END_ANSWERS};
static const struct route_answer firmware_update_post_answers[] = {
    {200, JSON, "FirmwareUpdate", "It is over (wait=over)."},
    {202, JSON, "FirmwareUpdate", "It is stored, and begins; events tell how it goes on."},
    END_ANSWERS};
static const struct route_answer firmware_update_delete_answers[] = {
    {200, JSON, "FirmwareUpdate", "It is over (wait=over)."},
    {202, JSON, "FirmwareUpdate", "It is being cancelled."},
    {204, NULL, NULL, "It was over, and is forgotten."},
    END_ANSWERS};
static const enum problem_kind firmware_get_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_RANGE, PROBLEM_OVERLOADED,
                                                          PROBLEM_KIND_COUNT};
static const enum problem_kind firmware_put_problems[] = {
    PROBLEM_BAD_PARAMETER, PROBLEM_CONFLICT, PROBLEM_TOO_LARGE, PROBLEM_STORE, PROBLEM_OVERLOADED, PROBLEM_KIND_COUNT};
static const enum problem_kind firmware_delete_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_CONFLICT, PROBLEM_STORE,
                                                             PROBLEM_OVERLOADED, PROBLEM_KIND_COUNT};
static const enum problem_kind firmware_faults_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_BAD_BODY, PROBLEM_KIND_COUNT};
static const enum problem_kind firmware_update_get_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_TIMEOUT,
                                                                 PROBLEM_KIND_COUNT};
static const enum problem_kind firmware_update_post_problems[] = {
    PROBLEM_BAD_BODY,       PROBLEM_INVALID_DOCUMENT, PROBLEM_NOT_FOUND,
    PROBLEM_NOT_REGISTERED, PROBLEM_CONFLICT,         PROBLEM_TIMEOUT,
    PROBLEM_STORE,          PROBLEM_OVERLOADED,       PROBLEM_KIND_COUNT};
static const enum problem_kind firmware_update_delete_problems[] = {
    PROBLEM_NOT_FOUND, PROBLEM_CONFLICT, PROBLEM_TIMEOUT, PROBLEM_STORE, PROBLEM_OVERLOADED, PROBLEM_KIND_COUNT};

/* ---- about the server ---- */

static const struct route_answer status_answers[] = {{200, JSON, "Status", "It is."}, END_ANSWERS};
static const enum problem_kind ready_problems[] = {PROBLEM_NOT_READY, PROBLEM_KIND_COUNT};
static const struct route_answer metrics_answers[] = {
    {200, "text/plain; version=0.0.4; charset=utf-8", NULL, "Prometheus text format."}, END_ANSWERS};
static const struct route_answer openapi_answers[] = {{200, JSON, "Any", "This document."}, END_ANSWERS};
static const struct route_answer server_answers[] = {
    {200, JSON, "Server", "`role` is that of the listener that was asked."}, END_ANSWERS};
static const struct route_answer nodes_answers[] = {
    {200, JSON, "Nodes", "In the order of their numbers, as the database had them a second ago."}, END_ANSWERS};
static const struct route_answer counts_answers[] = {
    {200, JSON, "Counts", "The steps of the last hour in which something happened, oldest first."}, END_ANSWERS};
static const struct route_answer page_answers[] = {
    {200, "text/html; charset=utf-8", NULL, "The page; it shows what this API tells."},
    {304, NULL, NULL, "It is the one that If-None-Match names."},
    END_ANSWERS};
static const struct route_answer page_file_answers[] = {{200, "text/javascript; charset=utf-8", NULL, "A script."},
                                                        {200, "text/css; charset=utf-8", NULL, "A style sheet."},
                                                        {200, "text/html; charset=utf-8", NULL, "The page."},
                                                        {200, "image/svg+xml", NULL, "A picture."},
                                                        {304, NULL, NULL, "It is the one that If-None-Match names."},
                                                        END_ANSWERS};
static const enum problem_kind page_problems[] = {PROBLEM_NOT_FOUND, PROBLEM_KIND_COUNT};
static const struct route_answer no_icon_answers[] = {{204, NULL, NULL, "There is none."}, END_ANSWERS};

static const struct route routes[] = {
    {.method = "GET",
     .path = "/v1/devices",
     .handler = v1_devices_list,
     .operation = "listDevices",
     .summary = "Registered devices, in pages. A device registered all the while is listed exactly once.",
     .parameters = devices_list_parameters,
     .answers = devices_list_answers},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}",
     .handler = v1_devices_get,
     .operation = "getDevice",
     .summary = "One device, now or when it is in a state.",
     .parameters = devices_get_parameters,
     .answers = devices_get_answers,
     .problems = devices_get_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}",
     .handler = v1_devices_forget,
     .operation = "forgetDevice",
     .summary = "Forget a registration, as if the device had deregistered.",
     .answers = stored_answers,
     .problems = devices_forget_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/traffic",
     .handler = v1_traffic_get,
     .operation = "getTraffic",
     .summary = "Bytes of UDP payload to and from the device, by what they were for.",
     .answers = traffic_answers,
     .problems = not_registered_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/messages",
     .handler = v1_messages_of_device_get,
     .operation = "listDeviceMessages",
     .summary = "What went to and from a device: messages with what they mean, handshakes, records; or as a capture.",
     .parameters = device_messages_parameters,
     .answers = messages_answers,
     .problems = device_messages_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/messages",
     .handler = v1_messages_of_device_delete,
     .operation = "forgetDeviceMessages",
     .summary = "Forget what went to and from a device.",
     .answers = forgotten_answers,
     .problems = device_messages_problems},
    {.method = "GET",
     .path = "/v1/peers/{address}/messages",
     .handler = v1_messages_of_peer_get,
     .operation = "listPeerMessages",
     .summary = "The same of an address, such as 192.0.2.1:49152, whether or not a device is there.",
     .parameters = peer_messages_parameters,
     .answers = messages_answers,
     .problems = messages_problems},
    {.method = "DELETE",
     .path = "/v1/peers/{address}/messages",
     .handler = v1_messages_of_peer_delete,
     .operation = "forgetPeerMessages",
     .summary = "Forget what went to and from an address, if no device is there.",
     .parameters = transport_parameters,
     .answers = forgotten_answers,
     .problems = no_trace_problems},
    {.method = "GET",
     .path = "/v1/messages",
     .handler = v1_messages_get,
     .operation = "listMessages",
     .summary = "The same of all devices and peers.",
     .parameters = messages_parameters,
     .answers = messages_answers,
     .problems = messages_problems},
    {.method = "DELETE",
     .path = "/v1/messages",
     .handler = v1_messages_delete,
     .operation = "forgetMessages",
     .summary = "Forget what went to and from everybody.",
     .answers = forgotten_answers,
     .problems = no_trace_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/requests",
     .handler = v1_requests_post,
     .operation = "sendRequest",
     .summary = "Any CoAP request, and the answer as it comes.",
     .parameters = force_parameters,
     .body = "CoapRequest",
     .answers = request_answers,
     .problems = request_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/update",
     .handler = v1_trigger_update,
     .operation = "triggerUpdate",
     .summary = "Have the device update its registration (Registration Update Trigger).",
     .parameters = update_parameters,
     .body = "UpdateTrigger",
     .body_is_optional = true,
     .answers = update_answers,
     .problems = update_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/disable",
     .handler = v1_trigger_disable,
     .operation = "triggerDisable",
     .summary = "Have the device deregister and stay away for a while (Disable).",
     .parameters = server_object_parameters,
     .body = "DisableTrigger",
     .body_is_optional = true,
     .answers = done_answers,
     .problems = server_object_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/bootstrap",
     .handler = v1_trigger_bootstrap,
     .operation = "triggerBootstrap",
     .summary = "Have the device go to its bootstrap server (Bootstrap-Request Trigger).",
     .parameters = server_object_parameters,
     .answers = done_answers,
     .problems = server_object_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/oscore/rederive",
     .handler = v1_oscore_rederive,
     .operation = "rederiveOscore",
     .summary = "Have new keys derived with the device's next request (RFC 8613 Appendix B.2).",
     .answers = rederive_answers,
     .problems = bootstrap_start_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/mute-send",
     .handler = v1_mute_send,
     .operation = "muteSend",
     .summary = "Forbid or allow the device to Send (Mute Send).",
     .parameters = server_object_parameters,
     .body = "MuteSend",
     .answers = done_answers,
     .problems = server_object_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/firmware",
     .handler = v1_firmware_update_get,
     .operation = "getFirmwareUpdate",
     .summary = "The firmware update of a device that is under way, or its last one.",
     .parameters = firmware_update_parameters,
     .answers = firmware_update_get_answers,
     .problems = firmware_update_get_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/firmware",
     .handler = v1_firmware_update_post,
     .operation = "updateFirmware",
     .summary = "Update the firmware of a device, by push or pull, to the result.",
     .parameters = firmware_update_parameters,
     .body = "FirmwareOrder",
     .answers = firmware_update_post_answers,
     .problems = firmware_update_post_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/firmware",
     .handler = v1_firmware_update_delete,
     .operation = "cancelFirmwareUpdate",
     .summary = "Cancel the firmware update of a device, or forget one that is over.",
     .parameters = firmware_update_parameters,
     .answers = firmware_update_delete_answers,
     .problems = firmware_update_delete_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/queue",
     .handler = v1_queue_get,
     .operation = "getQueue",
     .summary = "The requests that wait for a device.",
     .answers = queue_get_answers,
     .problems = queue_get_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/queue",
     .handler = v1_queue_put,
     .operation = "setQueue",
     .summary = "Set the awake window of a device and the limit of its queue; also before it registers.",
     .body = "QueueSettings",
     .answers = stored_answers,
     .problems = queue_put_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/queue",
     .handler = v1_queue_delete,
     .operation = "cancelQueue",
     .summary = "Cancel every request that waits for a device; not the one that is being done.",
     .answers = stored_answers,
     .problems = devices_forget_problems},
    {.method = "GET",
     .path = "/v1/requests/{id}",
     .handler = v1_queued_get,
     .operation = "getQueuedRequest",
     .summary = "A request that was put into a queue with Prefer: respond-async, now or when it is over.",
     .parameters = queued_parameters,
     .answers = queued_get_answers,
     .problems = queued_get_problems},
    {.method = "GET",
     .path = "/v1/requests/{id}/response",
     .handler = v1_queued_get_response,
     .operation = "getQueuedResponse",
     .summary = "Its response itself.",
     .parameters = queued_parameters,
     .answers = queued_response_answers,
     .problems = queued_response_problems},
    {.method = "DELETE",
     .path = "/v1/requests/{id}",
     .handler = v1_queued_delete,
     .operation = "cancelQueuedRequest",
     .summary = "Cancel a request that waits, or forget one that is over.",
     .answers = stored_answers,
     .problems = queued_delete_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/ping",
     .handler = v1_ping_post,
     .operation = "pingDevice",
     .summary = "Ask whether the device is there, with a CoAP ping.",
     .answers = ping_answers,
     .problems = ping_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/{object}",
     .handler = v1_read,
     .operation = "readObject",
     .summary = "Read an object.",
     .parameters = read_parameters,
     .answers = data_answers,
     .problems = operation_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/{object}/{instance}",
     .handler = v1_read,
     .operation = "readInstance",
     .summary = "Read an object instance.",
     .parameters = read_parameters,
     .answers = data_answers,
     .problems = operation_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}",
     .handler = v1_read,
     .operation = "readResource",
     .summary = "Read a resource.",
     .parameters = read_parameters,
     .answers = data_answers,
     .problems = operation_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/{resource_instance}",
     .handler = v1_read,
     .operation = "readResourceInstance",
     .summary = "Read a resource instance.",
     .parameters = read_parameters,
     .answers = data_answers,
     .problems = operation_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/{object}",
     .handler = v1_create,
     .operation = "createInstance",
     .summary = "Create an object instance, or several.",
     .parameters = write_parameters,
     .body = "NewInstance",
     .bodies = data_bodies,
     .answers = create_answers,
     .problems = operation_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/{instance}",
     .handler = v1_write_replace,
     .operation = "writeInstance",
     .summary = "Write an object instance, replacing what is there.",
     .parameters = write_parameters,
     .body = "AnyValue",
     .bodies = data_bodies,
     .answers = done_answers,
     .problems = operation_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}",
     .handler = v1_write_replace,
     .operation = "writeResource",
     .summary = "Write a resource, replacing what is there.",
     .parameters = write_parameters,
     .body = "AnyValue",
     .bodies = data_bodies,
     .answers = done_answers,
     .problems = operation_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/{resource_instance}",
     .handler = v1_write_replace,
     .operation = "writeResourceInstance",
     .summary = "Write a resource instance, replacing what is there.",
     .parameters = write_parameters,
     .body = "AnyValue",
     .bodies = data_bodies,
     .answers = done_answers,
     .problems = operation_problems},
    {.method = "PATCH",
     .path = "/v1/devices/{endpoint}/{object}/{instance}",
     .handler = v1_write_update,
     .operation = "updateInstance",
     .summary = "Write some of the resources of an instance (partial update).",
     .parameters = write_parameters,
     .body = "AnyValue",
     .bodies = data_bodies,
     .answers = done_answers,
     .problems = operation_problems},
    {.method = "PATCH",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}",
     .handler = v1_write_update,
     .operation = "updateResource",
     .summary = "Write some of the instances of a resource (partial update).",
     .parameters = write_parameters,
     .body = "AnyValue",
     .bodies = data_bodies,
     .answers = done_answers,
     .problems = operation_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}",
     .handler = v1_execute,
     .operation = "executeResource",
     .summary = "Execute a resource.",
     .parameters = force_parameters,
     .body = "Execute",
     .bodies = text_bodies,
     .body_is_optional = true,
     .answers = done_answers,
     .problems = operation_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/{object}/{instance}",
     .handler = v1_delete,
     .operation = "deleteInstance",
     .summary = "Delete an object instance.",
     .parameters = force_parameters,
     .answers = done_answers,
     .problems = operation_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/{resource_instance}",
     .handler = v1_delete,
     .operation = "deleteResourceInstance",
     .summary = "Delete a resource instance.",
     .parameters = force_parameters,
     .answers = done_answers,
     .problems = operation_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/{object}/discover",
     .handler = v1_discover,
     .operation = "discoverObject",
     .summary = "Discover what an object has, and its attributes.",
     .parameters = discover_parameters,
     .answers = discover_answers,
     .problems = operation_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/discover",
     .handler = v1_discover,
     .operation = "discoverInstance",
     .summary = "Discover what an object instance has, and its attributes.",
     .parameters = discover_parameters,
     .answers = discover_answers,
     .problems = operation_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/discover",
     .handler = v1_discover,
     .operation = "discoverResource",
     .summary = "Discover what a resource has, and its attributes.",
     .parameters = discover_parameters,
     .answers = discover_answers,
     .problems = operation_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/attributes",
     .handler = v1_write_attributes,
     .operation = "writeObjectAttributes",
     .summary = "Set and unset the attributes of an object.",
     .parameters = force_parameters,
     .body = "Attributes",
     .answers = attributes_answers,
     .problems = operation_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/attributes",
     .handler = v1_write_attributes,
     .operation = "writeInstanceAttributes",
     .summary = "Set and unset the attributes of an object instance.",
     .parameters = force_parameters,
     .body = "Attributes",
     .answers = attributes_answers,
     .problems = operation_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/attributes",
     .handler = v1_write_attributes,
     .operation = "writeResourceAttributes",
     .summary = "Set and unset the attributes of a resource.",
     .parameters = force_parameters,
     .body = "Attributes",
     .answers = attributes_answers,
     .problems = operation_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/{resource_instance}/attributes",
     .handler = v1_write_attributes,
     .operation = "writeResourceInstanceAttributes",
     .summary = "Set and unset the attributes of a resource instance.",
     .parameters = force_parameters,
     .body = "Attributes",
     .answers = attributes_answers,
     .problems = operation_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/composite/read",
     .handler = v1_composite_read,
     .operation = "readComposite",
     .summary = "Read several paths in one request.",
     .parameters = read_parameters,
     .body = "Paths",
     .answers = data_answers,
     .problems = operation_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/composite/write",
     .handler = v1_composite_write,
     .operation = "writeComposite",
     .summary = "Write several resources in one request: all, or none.",
     .parameters = write_parameters,
     .body = "CompositeWrite",
     .bodies = data_bodies,
     .answers = done_answers,
     .problems = operation_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/observe",
     .handler = v1_observe,
     .operation = "observeObject",
     .summary = "Observe an object: Read it, and be told of every change.",
     .parameters = read_parameters,
     .body = "Attributes",
     .body_is_optional = true,
     .answers = observe_answers,
     .problems = observe_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/observe",
     .handler = v1_observe,
     .operation = "observeInstance",
     .summary = "Observe an object instance: Read it, and be told of every change.",
     .parameters = read_parameters,
     .body = "Attributes",
     .body_is_optional = true,
     .answers = observe_answers,
     .problems = observe_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/observe",
     .handler = v1_observe,
     .operation = "observeResource",
     .summary = "Observe a resource: Read it, and be told of every change.",
     .parameters = read_parameters,
     .body = "Attributes",
     .body_is_optional = true,
     .answers = observe_answers,
     .problems = observe_problems},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/{resource_instance}/observe",
     .handler = v1_observe,
     .operation = "observeResourceInstance",
     .summary = "Observe a resource instance: Read it, and be told of every change.",
     .parameters = read_parameters,
     .body = "Attributes",
     .body_is_optional = true,
     .answers = observe_answers,
     .problems = observe_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/{object}/observe",
     .handler = v1_unobserve,
     .operation = "unobserveObject",
     .summary = "Cancel every observation of exactly this path.",
     .parameters = unobserve_parameters,
     .answers = unobserve_answers,
     .problems = unobserve_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/observe",
     .handler = v1_unobserve,
     .operation = "unobserveInstance",
     .summary = "Cancel every observation of exactly this path.",
     .parameters = unobserve_parameters,
     .answers = unobserve_answers,
     .problems = unobserve_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/observe",
     .handler = v1_unobserve,
     .operation = "unobserveResource",
     .summary = "Cancel every observation of exactly this path.",
     .parameters = unobserve_parameters,
     .answers = unobserve_answers,
     .problems = unobserve_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/{object}/{instance}/{resource}/{resource_instance}/observe",
     .handler = v1_unobserve,
     .operation = "unobserveResourceInstance",
     .summary = "Cancel every observation of exactly this path.",
     .parameters = unobserve_parameters,
     .answers = unobserve_answers,
     .problems = unobserve_problems},
    {.method = "POST",
     .path = "/v1/devices/{endpoint}/composite/observe",
     .handler = v1_composite_observe,
     .operation = "observeComposite",
     .summary = "Observe several paths as one.",
     .parameters = read_parameters,
     .body = "ObservedPaths",
     .answers = observe_answers,
     .problems = observe_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/observations",
     .handler = v1_observations_list,
     .operation = "listObservations",
     .summary = "What is observed, in pages.",
     .parameters = observations_list_parameters,
     .answers = observations_list_answers,
     .problems = observations_list_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/observations",
     .handler = v1_observations_end_all,
     .operation = "cancelObservations",
     .summary = "Cancel all observations of a device.",
     .parameters = mode_parameters,
     .answers = unobserve_answers,
     .problems = unobserve_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/observations/{id}",
     .handler = v1_observations_get,
     .operation = "getObservation",
     .summary = "One observation.",
     .answers = observations_get_answers,
     .problems = observations_get_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/observations/{id}",
     .handler = v1_observations_end,
     .operation = "cancelObservation",
     .summary = "Cancel one observation, composite ones too.",
     .parameters = mode_parameters,
     .answers = unobserve_answers,
     .problems = unobserve_problems},
    {.method = "GET",
     .path = "/v1/events",
     .handler = v1_events_get,
     .operation = "getEvents",
     .summary = "What happened and what happens: a stream, or a long poll.",
     .parameters = events_get_parameters,
     .answers = events_get_answers},
    {.method = "GET",
     .path = "/v1/events/last",
     .handler = v1_events_last,
     .operation = "getLastEvent",
     .summary = "The cursor now: the number of the last event.",
     .answers = events_last_answers},
    {.method = "POST",
     .path = "/v1/wait",
     .handler = v1_wait_post,
     .operation = "waitForEvents",
     .summary = "Wait for events, or for their absence.",
     .body = "Wait",
     .answers = wait_answers,
     .problems = wait_problems},
    {.method = "GET",
     .path = "/v1/clock",
     .handler = v1_clock_get,
     .operation = "getClock",
     .summary = "Protocol time, by which lifetimes and time-outs run.",
     .answers = clock_get_answers},
    {.method = "POST",
     .path = "/v1/clock",
     .handler = v1_clock_advance,
     .operation = "advanceClock",
     .summary = "Leap protocol time forward.",
     .body = "Advance",
     .answers = clock_advance_answers,
     .problems = body_problems},
    {.method = "POST",
     .path = "/v1/reset",
     .handler = v1_reset_post,
     .operation = "reset",
     .summary = "A clean slate between tests.",
     .parameters = reset_parameters,
     .answers = stored_answers,
     .problems = store_problems},
    {.method = "GET",
     .path = "/v1/faults",
     .handler = v1_faults_list,
     .operation = "listFaults",
     .summary = "What is ordered to go wrong.",
     .answers = faults_list_answers},
    {.method = "PUT",
     .path = "/v1/faults",
     .handler = v1_faults_put,
     .operation = "orderFault",
     .summary = "Order a fault for every device, and for whoever is none yet.",
     .body = "FaultOrder",
     .answers = faults_put_answers,
     .problems = faults_put_problems},
    {.method = "DELETE",
     .path = "/v1/faults",
     .handler = v1_faults_clear,
     .operation = "clearFaults",
     .summary = "Clear all faults, of single devices too.",
     .answers = faults_clear_answers},
    {.method = "GET",
     .path = "/v1/faults/{id}",
     .handler = v1_faults_get,
     .operation = "getFault",
     .summary = "A fault and its counts.",
     .answers = fault_answers,
     .problems = fault_problems},
    {.method = "DELETE",
     .path = "/v1/faults/{id}",
     .handler = v1_faults_delete,
     .operation = "deleteFault",
     .summary = "Clear one fault.",
     .answers = faults_clear_answers,
     .problems = fault_problems},
    {.method = "GET",
     .path = "/v1/devices/{endpoint}/faults",
     .handler = v1_device_faults_list,
     .operation = "listDeviceFaults",
     .summary = "What is ordered to go wrong with one device.",
     .answers = faults_list_answers},
    {.method = "PUT",
     .path = "/v1/devices/{endpoint}/faults",
     .handler = v1_device_faults_put,
     .operation = "orderDeviceFault",
     .summary = "Order a fault for one device; also before it registers.",
     .body = "FaultOrder",
     .answers = faults_put_answers,
     .problems = device_faults_put_problems},
    {.method = "DELETE",
     .path = "/v1/devices/{endpoint}/faults",
     .handler = v1_device_faults_clear,
     .operation = "clearDeviceFaults",
     .summary = "Clear the faults of one device.",
     .answers = faults_clear_answers},
    {.method = "GET",
     .path = "/v1/scenarios",
     .handler = v1_scenarios_list,
     .operation = "listScenarios",
     .summary = "Scenarios, the newest first, without their steps.",
     .answers = scenarios_list_answers},
    {.method = "POST",
     .path = "/v1/scenarios",
     .handler = v1_scenarios_post,
     .operation = "runScenario",
     .summary = "Do the steps of a scenario against this server, until one fails.",
     .parameters = scenarios_post_parameters,
     .body = "Scenario",
     .answers = scenarios_post_answers,
     .problems = scenarios_post_problems},
    {.method = "GET",
     .path = "/v1/scenarios/{id}",
     .handler = v1_scenarios_get,
     .operation = "getScenario",
     .summary = "What has become of a scenario.",
     .parameters = scenarios_get_parameters,
     .answers = scenarios_get_answers,
     .problems = scenarios_get_problems},
    {.method = "DELETE",
     .path = "/v1/scenarios/{id}",
     .handler = v1_scenarios_delete,
     .operation = "deleteScenario",
     .summary = "Cancel a scenario, or forget one that is over.",
     .answers = scenarios_delete_answers,
     .problems = not_found_problems},
    {.method = "GET",
     .path = "/v1/objects",
     .handler = v1_objects_list,
     .operation = "listObjectDefinitions",
     .summary = "Object definitions, in pages: the registry's, those of --objects, and those loaded here.",
     .parameters = objects_list_parameters,
     .answers = objects_list_answers},
    {.method = "GET",
     .path = "/v1/objects/{id}",
     .handler = v1_objects_get,
     .operation = "getObjectDefinition",
     .summary = "The newest version of a definition.",
     .answers = objects_get_answers,
     .problems = not_found_problems},
    {.method = "GET",
     .path = "/v1/objects/{id}/{version}",
     .handler = v1_objects_get_version,
     .operation = "getObjectDefinitionVersion",
     .summary = "One version of a definition.",
     .answers = objects_get_answers,
     .problems = not_found_problems},
    {.method = "PUT",
     .path = "/v1/objects/{id}",
     .handler = v1_objects_put,
     .operation = "loadObjectDefinition",
     .summary = "Load a definition, in the version that its XML says; it goes before others of this version.",
     .bodies = xml_bodies,
     .answers = objects_put_answers,
     .problems = objects_put_problems},
    {.method = "PUT",
     .path = "/v1/objects/{id}/{version}",
     .handler = v1_objects_put_version,
     .operation = "loadObjectDefinitionVersion",
     .summary = "The same; the XML must be of this version.",
     .bodies = xml_bodies,
     .answers = objects_put_answers,
     .problems = objects_put_problems},
    {.method = "DELETE",
     .path = "/v1/objects/{id}",
     .handler = v1_objects_delete,
     .operation = "unloadObjectDefinition",
     .summary = "Delete the newest version that was loaded here.",
     .answers = stored_answers,
     .problems = objects_delete_problems},
    {.method = "DELETE",
     .path = "/v1/objects/{id}/{version}",
     .handler = v1_objects_delete_version,
     .operation = "unloadObjectDefinitionVersion",
     .summary = "Delete a version that was loaded here.",
     .answers = stored_answers,
     .problems = objects_delete_problems},
    {.method = "GET",
     .path = "/v1/bootstrap",
     .handler = v1_bootstrap_list,
     .operation = "listBootstrap",
     .summary = "Stored bootstrap configurations, in pages; the one without an endpoint is the default.",
     .parameters = bootstrap_list_parameters,
     .answers = bootstrap_list_answers},
    {.method = "GET",
     .path = "/v1/bootstrap/{endpoint}",
     .handler = v1_bootstrap_get,
     .operation = "getBootstrap",
     .summary = "What bootstrap gives an endpoint; `default`: every one that has no configuration of its own.",
     .answers = bootstrap_get_answers,
     .problems = bootstrap_get_problems},
    {.method = "PUT",
     .path = "/v1/bootstrap/{endpoint}",
     .handler = v1_bootstrap_put,
     .operation = "putBootstrap",
     .summary = "Say what bootstrap gives an endpoint, or with `default` every other one.",
     .body = "BootstrapInput",
     .answers = bootstrap_put_answers,
     .problems = bootstrap_put_problems},
    {.method = "DELETE",
     .path = "/v1/bootstrap/{endpoint}",
     .handler = v1_bootstrap_delete,
     .operation = "deleteBootstrap",
     .summary = "Delete a bootstrap configuration; the default one, or the one built in, holds again.",
     .answers = stored_answers,
     .problems = credentials_delete_problems},
    {.method = "GET",
     .path = "/v1/bootstrap/{endpoint}/session",
     .handler = v1_bootstrap_session,
     .operation = "getBootstrapSession",
     .summary = "The bootstrap of an endpoint that is under way, or its last one.",
     .answers = bootstrap_session_answers,
     .problems = bootstrap_get_problems},
    {.method = "POST",
     .path = "/v1/bootstrap/{endpoint}/session",
     .handler = v1_bootstrap_start,
     .operation = "startBootstrap",
     .summary = "Bootstrap a registered device that has not asked for it (LwM2M 1.0).",
     .answers = bootstrap_start_answers,
     .problems = bootstrap_start_problems},
    {.method = "POST",
     .path = "/v1/pki/developer",
     .handler = v1_pki_developer,
     .operation = "makeDeveloperCertificate",
     .summary = "Make what is compiled into a developer's build of the vendor's client.",
     .body = "DeveloperInput",
     .body_is_optional = true,
     .answers = developer_answers,
     .problems = developer_problems},
    {.method = "GET",
     .path = "/v1/credentials",
     .handler = v1_credentials_list,
     .operation = "listCredentials",
     .summary = "By what devices prove who they are, in pages. Keys never come back.",
     .parameters = credentials_list_parameters,
     .answers = credentials_list_answers},
    {.method = "GET",
     .path = "/v1/credentials/{endpoint}",
     .handler = v1_credentials_get,
     .operation = "getCredentials",
     .summary = "The credentials of an endpoint.",
     .parameters = credentials_parameters,
     .answers = credentials_get_answers,
     .problems = not_found_problems},
    {.method = "PUT",
     .path = "/v1/credentials/{endpoint}",
     .handler = v1_credentials_put,
     .operation = "putCredential",
     .summary = "Give an endpoint a credential. It has one of each mode and service at most.",
     .body = "CredentialInput",
     .answers = credentials_put_answers,
     .problems = credentials_put_problems},
    {.method = "DELETE",
     .path = "/v1/credentials/{endpoint}",
     .handler = v1_credentials_delete,
     .operation = "deleteCredentials",
     .summary = "Delete credentials of an endpoint; sessions that rest on them end.",
     .parameters = credentials_parameters,
     .answers = stored_answers,
     .problems = credentials_delete_problems},
    {.method = "GET",
     .path = "/v1/firmware",
     .handler = v1_firmware_list,
     .operation = "listFirmware",
     .summary = "Firmware images that devices fetch or are sent.",
     .answers = firmware_list_answers},
    {.method = "GET",
     .path = "/v1/firmware/{name}",
     .handler = v1_firmware_get,
     .operation = "getFirmware",
     .summary = "The bytes of an image. Open, since devices fetch it.",
     .parameters = firmware_get_parameters,
     .answers = firmware_get_answers,
     .problems = firmware_get_problems,
     .open = true},
    {.method = "PUT",
     .path = "/v1/firmware/{name}",
     .handler = v1_firmware_put,
     .operation = "putFirmware",
     .summary = "Put an image: any bytes, up to 64 MiB, taken as they come.",
     .parameters = firmware_put_parameters,
     .bodies = octet_bodies,
     .answers = firmware_put_answers,
     .problems = firmware_put_problems,
     .begin = v1_firmware_put_begin},
    {.method = "DELETE",
     .path = "/v1/firmware/{name}",
     .handler = v1_firmware_delete,
     .operation = "deleteFirmware",
     .summary = "Delete an image that no update uses.",
     .answers = stored_answers,
     .problems = firmware_delete_problems},
    {.method = "PUT",
     .path = "/v1/firmware/{name}/faults",
     .handler = v1_firmware_put_faults,
     .operation = "putFirmwareFaults",
     .summary = "What goes wrong when devices fetch the image over CoAP; {} is nothing.",
     .body = "FirmwareFaults",
     .answers = firmware_faults_answers,
     .problems = firmware_faults_problems},
    {.method = "GET",
     .path = "/v1/server",
     .handler = v1_server_get,
     .operation = "getServer",
     .summary = "What the server is, and where it listens.",
     .answers = server_answers},
    {.method = "GET",
     .path = "/v1/nodes",
     .handler = v1_nodes_get,
     .stands_by = true,
     .operation = "getNodes",
     .summary = "The servers on this database: one serves, the others stand by.",
     .answers = nodes_answers},
    {.method = "GET",
     .path = "/v1/counts",
     .handler = v1_counts_get,
     .operation = "getCounts",
     .summary = "How many devices there were in the last hour, and what they did.",
     .answers = counts_answers},
    {.method = "GET",
     .path = "/v1/openapi.json",
     .handler = openapi_get,
     .operation = "getOpenapi",
     .summary = "This document.",
     .answers = openapi_answers},
    {.method = "GET",
     .path = "/healthz",
     .handler = probes_healthz,
     .operation = "getHealth",
     .summary = "Whether the server lives.",
     .answers = status_answers,
     .open = true},
    {.method = "GET",
     .path = "/readyz",
     .handler = probes_readyz,
     .operation = "getReadiness",
     .summary = "Whether registrations can be taken and stored.",
     .answers = status_answers,
     .problems = ready_problems,
     .open = true},
    {.method = "GET",
     .path = "/metrics",
     .handler = metrics_get,
     .operation = "getMetrics",
     .summary = "Metrics for Prometheus.",
     .answers = metrics_answers},
    {.method = "GET",
     .path = "/",
     .handler = page_get_index,
     .operation = "getRoot",
     .summary = "A page for people.",
     .answers = page_answers,
     .open = true},
    {.method = "GET",
     .path = "/page/{file}",
     .handler = page_get_file,
     .operation = "getPageFile",
     .summary = "What the page is made of.",
     .answers = page_file_answers,
     .problems = page_problems,
     .open = true},
    {.method = "GET",
     .path = "/favicon.ico",
     .handler = favicon_get,
     .operation = "getIcon",
     .summary = "For browsers that ask.",
     .answers = no_icon_answers},
};

const struct route_table api_routes = {.routes = routes, .count = sizeof routes / sizeof routes[0]};
