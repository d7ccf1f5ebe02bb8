"""docs/limits.md is held against the code: every number it says is a constant's or an option's default, and every option
that is a limit is in it."""

import re
import subprocess
from functools import cache

import pytest
from berth_process import ROOT, program

ROWS = [
    [cell.strip() for cell in line.strip("|\n").split(" | ")]
    for line in (ROOT / "docs/limits.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| ---") and not line.startswith("| what |")
]

UNITS = {
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "k": 1 << 10, "M": 1 << 20, "ms": 1, "s": 1000, "min": 60_000,
    "minutes": 60_000, "hour": 3_600_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "day": 86_400_000, "days": 86_400_000,
    "years": 31_557_600_000, "": 1,
}  # fmt: skip

# What is said, and the constant that makes it true. A duration is in milliseconds; what the constant counts in otherwise
# stands behind it.
CONSTANTS = {
    "writes waiting for the database": [("32 MiB", "db/store.c", "QUEUE_BYTES_DEFAULT")],
    "database (`--database`)": [
        ("5 s", "db/postgresql.c", "PATIENCE_MS"),
        ("250 ms", "db/postgresql.c", "BACK_OFF_MS"),
        ("4 s", "db/postgresql.c", "BACK_OFF_MAX_MS"),
        ("3 s", "db/postgresql.c", "CONNECT_MS"),
    ],
    "what resumes a DTLS or TLS session, looked up": [("100 ms", "db/postgresql.c", "LOOK_UP_MS")],
    "servers on one database": [
        ("256", "db/cluster.h", "CLUSTER_NODES_MAX"),
        ("5 s", "db/cluster.h", "CLUSTER_LEASE_MS"),
        ("6 s", "db/cluster.h", "CLUSTER_DEAD_MS"),
        ("15 s", "db/cluster.h", "CLUSTER_HANGS_MS"),
    ],
    "what a node passes on": [
        ("64 KiB", "server/relay.h", "RELAY_PASS_MAX"),
        ("4 MiB", "server/relay_door.h", "RELAY_QUEUED_MAX"),
        ("65,471", "common/net/relay.h", "RELAY_DATAGRAM_MAX"),
    ],
    "`--node-listen`": [
        ("256", "server/relay_door.h", "RELAY_DOOR_STRANGERS_MAX"),
        ("5 s", "server/relay_door.h", "RELAY_HELLO_MS"),
    ],
    "events that a cluster writes": [
        ("256 KiB", "server/event_keeper.h", "EVENT_KEEPER_ROW_BYTES"),
        ("50 ms", "server/event_keeper.h", "EVENT_KEEPER_PAUSE_MS"),
    ],
    "timers, a registration that expires": [("256", "common/net/ticker.h", "TICKER_FIRES")],
    "deletions of what has expired": [("1,024", "server/persist.c", "DELETIONS_UNDER_WAY_MAX")],
    "datagram": [("1,152", "common/coap/message.h", "COAP_MESSAGE_MAX")],
    "threads for datagrams": [("64", "common/net/udp.h", "UDP_WORKERS_MAX")],
    "datagrams between such a thread and the loop": [("512 KiB", "common/net/udp_worker.h", "UDP_WORKER_RING")],
    "options of a message": [("64", "common/coap/message.h", "COAP_OPTIONS_MAX")],
    "requests on their way to one device": [("64", "common/coap/endpoint.c", "max_calls_per_peer")],
    "time for the response to one request": [("1 hour", "web/v1/device_call.h", "RESPONSE_TIMEOUT_MAX_MS")],
    "queued requests of one device": [("10,000", "web/v1/device_queue.c", "LIMIT_MAX")],
    "time of a queued request": [("1 s", "web/prefer.h", "PREFER_EXPIRES_MIN_MS"), ("30 d", "web/prefer.h", "PREFER_EXPIRES_MAX_MS")],
    "results of queued requests": [
        ("1 hour", "server/queue.h", "QUEUE_RESULT_KEPT_MS"),
        ("10,000", "server/queue.h", "QUEUE_RESULTS_MAX"),
        ("4 MiB", "server/queue.h", "QUEUE_RESULT_BYTES_MAX"),
    ],
    "all queued requests and results": [("64 MiB", "server/queue.h", "QUEUE_BYTES_MAX")],
    "devices with settings of their own": [("10,000", "server/queue_settings.h", "QUEUE_SETTINGS_MAX")],
    "awake window": [("1 d", "web/v1/device_queue.c", "AWAKE_WINDOW_MAX_MS")],
    "observations that a device makes": [("1,024", "server/announced_observation.h", "ANNOUNCED_OBSERVATIONS_MAX")],
    "paths of a composite operation": [("1,000", "server/observation.h", "OBSERVATION_PATHS_MAX")],
    "values in a notification": [("8,192", "server/notification.c", "NODES_MAX")],
    "last payload of an observation": [("4,096", "server/observation.h", "OBSERVATION_LAST_MAX")],
    "observations begun again at once": [("32", "server/observation.c", "REVIVED_AT_ONCE")],
    "messages, handshakes and records": [
        ("64", "server/trace_store.h", "TRACE_PINNED_MAX"),
        ("16 KiB", "server/trace_store.h", "TRACE_PINNED_BYTES"),
    ],
    "one such message": [("65,536", "server/trace_store.h", "TRACE_BYTES_MAX")],
    "requests remembered to tell": [("256", "web/v1/message_json.c", "ASKED_MAX")],
    "ClientHello in pieces": [("2,048", "common/net/hello.h", "HELLO_MAX")],
    "records waiting in one DTLS handshake": [
        ("24", "common/net/dtls_handshake.c", "QUEUE_RECORDS"),
        ("24 KiB", "common/net/dtls_handshake.c", "QUEUE_BYTES"),
    ],
    "DTLS handshakes begun in a second": [("4,000", "common/net/dtls.c", "handshakes_per_s")],
    "messages of a DTLS session waiting": [("8", "common/net/dtls_association.c", "HELD_MAX")],
    "DTLS sessions in `berth.windows`": [("1,048,576", "db/window_journal.h", "WINDOW_JOURNAL_SLOTS")],
    "peer of a TCP connection that is gone": [
        ("300 s", "common/net/stream.c", "keepalive_s", 1000),
        ("4", "common/net/stream.c", "keepalive_count"),
        ("4 min", "common/net/stream.c", "unacknowledged_ms"),
    ],
    "message over TCP": [("1,152", "common/coap/message.h", "COAP_MESSAGE_MAX")],
    "time of a message from its first": [("30 s", "common/net/stream.c", "MESSAGE_MS")],
    "output that a TCP peer does not take": [
        ("64 KiB", "common/net/stream.c", "PAUSE_QUEUED"),
        ("256 KiB", "common/net/stream.c", "QUEUED_MAX"),
        ("1 min", "common/net/tcp.c", "STALL_MS"),
    ],
    "messages with the vendor's framing": [("50 ms", "common/net/stream.c", "GAP_MS"), ("16", "common/net/stream.c", "PACED_MAX")],
    "Pings with Custody": [("8", "common/coap/reliable.c", "CUSTODIES_MAX")],
    "endpoint name": [("252", "server/credential.h", "CREDENTIAL_ENDPOINT_MAX")],
    "unknown registration parameters": [("4,096", "server/registration_parameters.h", "PARAMETERS_MAX")],
    "object list": [("256 KiB", "server/object_list.h", "OBJECT_LIST_MAX")],
    "attributes of a link": [("64", "server/object_list.c", "ATTRIBUTES_MAX")],
    "credentials": [("1,000,000", "server/credential.h", "CREDENTIALS_MAX")],
    "PSK identity; key": [
        ("128", "server/credential.h", "CREDENTIAL_IDENTITY_MAX"),
        ("64", "server/credential.h", "CREDENTIAL_KEY_MAX"),
        ("64", "server/config.h", "CONFIG_PSKS_MAX"),
    ],
    "OSCORE ids": [
        ("7", "server/credential.h", "CREDENTIAL_OSCORE_ID_MAX"),
        ("64", "server/credential.h", "CREDENTIAL_SECRET_MAX"),
        ("64", "server/credential.h", "CREDENTIAL_CONTEXT_MAX"),
    ],
    "requests of a device that wait to be challenged": [("8", "common/coap/protection.h", "COAP_CHALLENGES_MAX")],
    "bootstrap": [("30 minutes", "server/bootstrap.h", "BOOTSTRAP_SESSION_MAX_MS")],
    "reports of bootstraps": [
        ("256", "server/bootstrap.h", "BOOTSTRAP_REPORTS_MAX"),
        ("8 KiB", "server/bootstrap.h", "BOOTSTRAP_ANSWER_KEPT_MAX"),
    ],
    "bootstrap configurations": [
        ("100,000", "server/bootstrap_configs.h", "BOOTSTRAP_CONFIGS_MAX"),
        ("256 MiB", "server/bootstrap_configs.h", "BOOTSTRAP_CONFIGS_BYTES_MAX"),
    ],
    "bootstrap configuration": [
        ("32 KiB", "server/bootstrap_config.h", "BOOTSTRAP_BYTES_MAX"),
        ("8", "server/bootstrap_config.h", "BOOTSTRAP_ACCOUNTS_MAX"),
        ("8", "server/bootstrap_config.h", "BOOTSTRAP_PATHS_MAX"),
        ("16", "server/bootstrap_config.h", "BOOTSTRAP_WRITES_MAX"),
        ("512", "server/bootstrap_config.h", "BOOTSTRAP_NODES_MAX"),
    ],
    "certificate or key in it": [
        ("8 KiB", "server/bootstrap_config.h", "BOOTSTRAP_DER_MAX"),
        ("255", "server/bootstrap_config.h", "BOOTSTRAP_URI_MAX"),
        ("128", "server/credential.h", "CREDENTIAL_IDENTITY_MAX"),
    ],
    "parameters of a Bootstrap-Request": [
        ("1,024", "server/bootstrap_request.h", "BOOTSTRAP_QUERY_MAX"),
        ("16", "server/bootstrap_request.h", "BOOTSTRAP_OCCUPIED_MAX"),
    ],
    "with `--follow-same-host`": [("4,096", "common/net/dtls.c", "LOOKED_AT_MAX"), ("16", "common/net/dtls.c", "TRIED_MAX")],
    "bytes that wait for a step of a TLS": [("128 KiB", "common/net/tls.c", "IN_MAX"), ("64 KiB", "common/net/tls.c", "HELD_MAX")],
    "OSCORE: ciphertext": [("16,640", "common/coap/protection.h", "COAP_PROTECTED_MAX")],
    "OSCORE: contexts derived anew": [("32", "common/oscore/channel.h", "OSCORE_RUNS_MAX")],
    "OSCORE: sender numbers": [("1,024", "common/oscore/channel.h", "OSCORE_NUMBERS_AHEAD")],
    "DTLS sessions": [
        ("8", "common/net/dtls.c", "sessions_per_identity"),
        ("1,000", "common/net/dtls.c", "live_max"),
        ("30 days", "common/net/dtls.c", "session_idle_ms"),
    ],
    "connection ID": [("32", "common/net/dtls.h", "DTLS_CID_MAX")],
    "sessions that can be resumed": [("65,536", "server/dtls_sessions.c", "RESUMPTIONS_MAX")],
    "of them not committed yet": [("1,024", "server/dtls_sessions.c", "UNCOMMITTED_MAX")],
    "record numbers reserved at once": [("1,024", "common/net/dtls.h", "DTLS_NUMBERS_STEP")],
    "certificate made by": [
        ("1,024", "server/pki.h", "PKI_CERTIFICATE_MAX"),
        ("252", "server/pki.h", "PKI_NAME_MAX"),
        ("16", "server/pki.h", "PKI_HOSTS_MAX"),
    ],
    "`--cert`, `--ca`": [
        ("16", "server/config.h", "CONFIG_CERTIFICATES_MAX"),
        ("16", "server/config.h", "CONFIG_HOSTS_MAX"),
        ("64 KiB", "server/dtls_service.c", "FILE_MAX"),
        ("64 KiB", "web/http_certificate.c", "CERTIFICATE_MAX"),
    ],
    "firmware image; name": [
        ("64 MiB", "server/firmware_image.h", "FIRMWARE_IMAGE_BYTES_MAX"),
        ("64", "server/firmware_image.h", "FIRMWARE_NAME_MAX"),
        ("255", "server/firmware_image.h", "FIRMWARE_URL_MAX"),
    ],
    "firmware images; all": [
        ("256", "server/firmware_image.h", "FIRMWARE_IMAGES_MAX"),
        ("1 GiB", "server/firmware_image.h", "FIRMWARE_BYTES_MAX"),
        ("8", "server/firmware_image.h", "FIRMWARE_UPLOADS_MAX"),
    ],
    "time from one part of an image": [("10 s", "web/http.c", "REQUEST_MS")],
    "firmware updates": [("10,000", "server/firmware_update.h", "FIRMWARE_UPDATES_MAX")],
    "deliveries of a package": [
        ("10", "server/firmware_plan.h", "FIRMWARE_DELIVERIES_MAX"),
        ("8", "server/firmware_plan.h", "FIRMWARE_RESETS_MAX"),
    ],
    "listeners": [("16", "server/config.h", "CONFIG_LISTENERS_MAX")],
    "object definition": [
        ("1 MiB", "common/lwm2m/object_xml.h", "OBJECT_XML_MAX"),
        ("16", "common/lwm2m/object_xml.h", "OBJECT_XML_DEPTH_MAX"),
        ("100", "common/lwm2m/object_xml.h", "OBJECT_XML_OBJECTS_MAX"),
        ("2,000", "common/lwm2m/catalogue.h", "CATALOGUE_RESOURCES_MAX"),
        ("256", "common/lwm2m/object_xml.h", "OBJECT_XML_NAME_MAX"),
        ("4,096", "common/lwm2m/object_xml.h", "OBJECT_XML_RANGE_MAX"),
    ],
    "HTTP request line": [("8 KiB", "web/http.c", "TARGET_MAX"), ("16 KiB", "web/http.c", "HEADERS_MAX")],
    "time for an HTTP request": [("10 s", "web/http.c", "REQUEST_MS")],
    "events waiting for a slow reader": [("64 KiB", "web/v1/events.c", "STREAM_QUEUE_MAX")],
    "events waiting for a slow reader of `/api/event`": [
        ("1 MiB", "web/leshan/stream.c", "STREAM_QUEUE_MAX"),
        ("600 s", "web/leshan/device.c", "TIMEOUT_MAX_S", 1000),
    ],
    "counts over time": [("1 hour", "web/counts.h", "COUNTS_STEPS", 10000)],
    "cipher suites shown": [("64", "web/v1/record_json.c", "SUITES_MAX")],
    "Device Management: devices that are gone": [
        ("10,000", "web/pelion/pelion.h", "PELION_IDS_SPARE"),
        ("10,000", "web/pelion/pelion.h", "PELION_DEVICES_SET_MAX"),
    ],
    "Device Management: device events": [("5,000", "web/pelion/pelion.h", "PELION_EVENTS_MAX")],
    "Device Management: custom attributes": [
        ("5", "web/pelion/pelion.h", "PELION_ATTRIBUTES_MAX"),
        ("128", "web/pelion/directory.c", "ATTRIBUTE_MAX"),
    ],
    "Device Management: certificates": [
        ("200", "web/pelion/pelion.h", "PELION_CERTIFICATES_MAX"),
        ("10,000", "web/pelion/pelion.h", "PELION_ENROLLMENTS_MAX"),
        ("200", "web/pelion/pelion.h", "PELION_GROUPS_MAX"),
        ("200", "web/pelion/pelion.h", "PELION_APPLICATIONS_MAX"),
    ],
    "Device Management: manifests": [
        ("1,000", "web/pelion/pelion.h", "PELION_MANIFESTS_MAX"),
        ("16 KiB", "web/pelion/pelion.h", "PELION_MANIFEST_MAX"),
    ],
    "Device Management: campaigns": [
        ("1,000", "web/pelion/pelion.h", "PELION_CAMPAIGNS_MAX"),
        ("20,000", "web/pelion/pelion.h", "PELION_CAMPAIGN_DEVICES_MAX"),
    ],
    "Device Management: devices of a campaign": [
        ("64", "web/pelion/rollout.c", "ASKING_MAX"),
        ("5", "web/pelion/rollout.c", "ATTEMPTS_MAX"),
    ],
    "Device Management: devices asked at once": [("256", "web/pelion/identity.c", "ASKING_MAX")],
    "Device Management: parts of a form": [("32", "web/multipart.h", "MULTIPART_PARTS_MAX"), ("2 KiB", "web/multipart.h", "MULTIPART_HEADER_MAX")],
    "Device Management: filter of a list": [("1 KiB", "web/pelion/pelion.h", "PELION_FILTER_MAX")],
    "Device Management: API keys": [
        ("2,000", "web/pelion/pelion.h", "PELION_APPS_MAX"),
        ("1,024", "web/pelion/pelion.h", "PELION_KEYS_MAX"),
    ],
    "messages that wait in a channel": [
        ("8 MiB", "web/pelion/pelion.h", "PELION_QUEUE_BYTES_MAX"),
        ("64 KiB", "web/pelion/pelion.h", "PELION_EARLY_BYTES_MAX"),
    ],
    "callback": [
        ("400", "web/pelion/callback.c", "PLACE_MAX"),
        ("1,024", "web/pelion/pelion.h", "PELION_STYLE_MAX"),
    ],
    "frame from a client": [
        ("64 KiB", "web/websocket.h", "WEBSOCKET_FRAME_MAX"),
        ("125", "web/websocket.h", "WEBSOCKET_CONTROL_MAX"),
    ],
    "requests of a device, with": [
        ("20", "web/pelion/pelion.h", "PELION_REQUESTS_OF_DEVICE_MAX"),
        ("10,000", "web/pelion/pelion.h", "PELION_REQUESTS_MAX"),
    ],
    "resource lists found by Discover": [
        ("1,000", "web/pelion/resources.c", "KNOWN_MAX"),
        ("64", "web/pelion/resources.c", "INSTANCES_MAX"),
        ("2,000", "web/pelion/resources.c", "RESOURCES_MAX"),
        ("64", "web/pelion/resources.c", "DISCOVERIES_MAX"),
    ],
    "subscriptions; pre": [
        ("10,000", "web/pelion/pelion.h", "PELION_SUBSCRIPTIONS_MAX"),
        ("1,024", "web/pelion/pelion.h", "PELION_PRESUBSCRIPTIONS_MAX"),
    ],
    "wait": [
        ("10 minutes", "web/waiter.h", "WAITER_TIMEOUT_MAX_MS"),
        ("366 days", "web/v1/awaited.c", "ABSENCE_MAX_MS"),
        ("32", "web/v1/awaited.h", "AWAITED_CONDITIONS_MAX"),
        ("64", "web/matcher.h", "MATCHER_TESTS_MAX"),
        ("1,000", "web/v1/awaited.h", "AWAITED_COUNT_MAX"),
    ],
    "scenarios that run": [
        ("8", "web/v1/scenarios.h", "SCENARIOS_RUNNING_MAX"),
        ("50", "web/v1/scenarios.h", "SCENARIOS_KEPT_MAX"),
    ],
    "regular expression": [
        ("256", "web/pattern.h", "PATTERN_MAX"),
        ("8 KiB", "web/pattern.h", "PATTERN_SIZE_MAX"),
        ("16", "web/pattern.h", "PATTERN_DEPTH_MAX"),
        ("8", "web/matcher.h", "MATCHER_PATTERNS_MAX"),
    ],
    "its search": [
        ("16 KiB", "web/pattern.h", "PATTERN_TEXT_MAX"),
        ("100,000", "web/pattern.h", "PATTERN_STEPS_MAX"),
        ("256 KiB", "web/pattern.h", "PATTERN_HEAP_MAX_KIB", 1024),
    ],
    "near misses": [("20", "web/v1/awaited.h", "AWAITED_NEAR_MISSES_MAX"), ("512", "web/v1/awaited.c", "EXCERPT_MAX")],
    "faults that are ordered": [("1,024", "server/fault.h", "FAULTS_MAX"), ("64", "server/fault.h", "FAULTS_PER_DEVICE_MAX")],
    "faults that have ended": [("256", "server/fault.h", "FAULTS_ENDED_MAX")],
    "messages that faults hold back": [
        ("1,024", "server/fault.h", "FAULT_HELD_MAX"),
        ("4 MiB", "server/fault.h", "FAULT_HELD_BYTES_MAX"),
        ("256", "server/fault_wire.c", "STALLED_MAX"),
    ],
    "messages whose answers faults know": [("512", "server/message_kind.h", "MESSAGES_REMEMBERED")],
    "leap of the clock": [("100 years", "web/v1/clock.c", "LEAP_MAX_MS")],
}

# Rows without a constant of one name, and what holds them instead.
ELSEWHERE = {
    "database cannot be written": "test_disk.py",
    "database that is damaged": "test_disk.py",
    "memory of the process": "an option; test_floods.py",
    "memory of all of them": "an option",
    "database (`--database`)": "test_postgresql.py",
    "what resumes a DTLS or TLS session, looked up": "test_postgresql.c",
    "gaps in the numbers of a cluster": "one less than the spans of a log; test_event.c",
    "counts of what a device costs": "the size of a field; server/traffic.h",
    "bytes to a CoAP peer": "test_amplification.py",
    "bytes to a new address": "RFC 9146 §6: a factor of its own in test_dtls.py",
    "records of a DTLS session that do not verify": "RFC 9147 §4.5.3, in test_record.c",
    "requests for a device whose connection": "the awake window's default, and the calls of a device",
    "alternate path": "the size of a field; test_object_list.c",
    "changes of one endpoint's credentials": "a flag; test_credentials.py",
    "OSCORE: age of a request": "the window's size less one; test_protect.c",
    "memory of an idle TLS connection": "measured",
    "time of a firmware update": "test_firmware_update.py",
    "object definitions loaded": "test_object_file.c",
    "the page": "the page's own; tests/page",
    "Device Management: firmware images": "as of /v1/firmware, above",
    "HTTPS: memory of a connection": "measured, and web/http.c's time for a request",
}


@cache
def source(path: str) -> str:
    return re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.DOTALL)


def constant(path: str, name: str) -> int:
    found = re.search(rf"\b{name} = ([^,;}}\n]+)", source(path)) or re.search(rf"#define {name} (.+)", source(path))
    assert found, f"{path} has no {name}"
    text = re.sub(r"\((u?int\d+_t|size_t)\)", "", found[1])
    text = re.sub(r"(?<=[0-9a-fA-F])[uUlL]+\b", "", text)
    assert re.fullmatch(r"[\s0-9a-fA-Fx()*+<-]+", text), f"{path}: {name} is {found[1]}"
    return eval(text)  # of digits and operators only


def amount(text: str) -> int:
    number, unit = re.fullmatch(r"([\d,]+) ?(\w*)", text).groups()
    return int(number.replace(",", "")) * UNITS[unit]


def rows_of(what: str) -> list[list[str]]:
    exact = [row for row in ROWS if row[0] == what]
    return exact or [row for row in ROWS if row[0].startswith(what)]


@cache
def options() -> dict[str, str]:
    """Each option and what --help says is its default, or ""."""
    said = subprocess.run([program("berth-server"), "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
    described = re.findall(r"^  --([\w-]+)(.*(?:\n {10}.*)*)", said, re.MULTILINE)
    return {name: (re.search(r"\[([^\]]+)\]\s*$", text) or ["", ""])[1] for name, text in described}


@pytest.mark.parametrize("what", CONSTANTS)
def test_what_is_said_is_what_the_code_does(what):
    rows = rows_of(what)
    assert rows, "this row is gone"
    bound = rows[0][1]
    for said, path, name, *factor in CONSTANTS[what]:
        assert re.search(rf"(?<![\d,]){re.escape(said)}(?!\d|,\d)", bound), f"{said!r} ({name}) is not in {bound!r}"
        assert constant(path, name) * (factor or [1])[0] == amount(said), f"{path}: {name}"


def test_defaults_of_options_are_those_of_the_help():
    named = [(name, said) for row in ROWS for name, said in re.findall(r"`--([\w-]+)`, ([\d,]+(?: \w+)?)", row[1])]
    assert len(named) > 25
    for name, said in named:
        value, unit = re.fullmatch(r"([\d,]+)(?: (\w+))?", said).groups()
        said = said if unit in UNITS else value  # "8 bytes" is 8
        assert amount(options()[name]) == amount(said), name


def test_every_option_that_is_a_limit_has_its_row():
    limits = {name for name in options() if re.search(r"^max-|-max-|-(memory|limit|expiry|idle-timeout|messages)$", name)}
    limits -= {"max-age-is-lifetime", "max-retransmit", "max-latency", "trace-messages"} - {"trace-messages"}
    assert len(limits) > 20
    assert limits - set(re.findall(r"`--([\w-]+)`", "".join(row[1] for row in ROWS))) == set()


def test_every_row_is_held_by_something_and_says_what_happens():
    for row in ROWS:
        assert len(row) == 3, row
        by_option = re.search(r"`--[\w-]+`, [\d,]+", row[1]) or row[1].startswith(("`--", "silent for `--"))
        held = by_option or any(row in rows_of(what) for what in [*CONSTANTS, *ELSEWHERE])
        assert held, f"nothing holds the row {row[0]!r}"
        assert row[2] or row[0] in ("memory of an idle TLS connection",), row
    assert [what for what in ELSEWHERE if not rows_of(what)] == []
