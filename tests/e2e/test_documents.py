"""Every command that the documents show is run here as it stands, but for ports and the size of loads; or is named below
with what runs it.

A document's commands are run from top to bottom, with one server and in one directory: what one leaves, the next finds.
"""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field

import pytest
from berth_process import ROOT, RUNNING, program
from device_process import DeviceProcess

# docs/docker.md is for script/docker-test, which has an engine to run it with.
DOCUMENTS = [
    path
    for path in sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    if path.name not in ("docker.md", "conformance.md", "architecture.md", "limits.md")
]
COMMAND = re.compile(
    r"^(?:[A-Z_]+=\S* |[a-z]+=\$\()?(?:\S*/)?"
    r"(?:for|berth-(?:server|device)|curl|docker|script|echo|openssl|coap-client\S*|pytest|pip|mvn|go|jq|cd|test|bench)\b"
)

# What something else runs: where, and what.
ELSEWHERE = [
    ("README.md", r"script/server --demo|script/test", "continuous integration"),
    ("README.md", r"script/build release && .*cpack", "test_packaging.py"),
    ("README.md", r"docker compose ", "script/docker-test"),
    ("performance.md", r"script/bench", "whoever measures"),
    ("load-testing.md", r"berth-device --swarm|curl -sX PUT", "test_swarm.py, with fewer devices and seconds"),
    ("performance.md", r"script/bench", "whoever measures: it takes half an hour"),
    ("testing-with-berth.md", r"pip install|pytest|script/server|PATH=|cd tests/examples|mvn ", "tests/examples"),
]
SECTIONS_ELSEWHERE = {
    "README.md": {"Secured devices in five minutes"},  # test_readme.py
    "testing-with-berth.md": {"pytest", "Shell", "JUnit", "Go", "In Docker compose", "In CI"},  # tests/examples
}
# Loads are made small: what is written, and what is done.
SMALLER = [
    (r"--swarm \d+", "--swarm 50"),
    (r"--swarm-for \S+", "--swarm-for 1s"),
    (r"\$\(seq -f %06.0f 0 \d+\)", "$(seq -f %06.0f 0 9)"),
]
WITH_DEVICE = {"faults.md", "firmware.md", "http-api.md", "leshan-api.md", "testing-with-berth.md"}
PSK = {"mode": "psk", "key_hex": "00112233445566778899aabbccddeeff"}


@dataclass
class Shown:
    line: int
    section: str
    text: str


def shown(path):
    """The commands of a document: indented lines outside of code blocks, with the lines that go on with them."""
    found, section, in_block, goes_on = [], "", False, False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        in_block ^= line.startswith("```")
        if heading := re.match(r"##+ (.*)", line):
            section = heading[1]
        if in_block or not line.startswith("    "):
            goes_on = False
            continue
        if goes_on:
            found[-1].text += "\n" + line.strip()
        elif COMMAND.match(line.strip()):
            found.append(Shown(number, section, line.strip()))
        # The next line belongs to this one, or needs what this one has set, or is in its loop.
        goes_on = bool(found) and (goes_on or found[-1].line == number)
        goes_on = goes_on and (line.endswith("\\") or re.match(r"[a-z]+=\$\(|for ", found[-1].text) is not None)
        goes_on = goes_on and line.strip() != "done"
    return found


def is_elsewhere(path, command):
    return command.section in SECTIONS_ELSEWHERE.get(path.name, ()) or any(
        path.name == name and re.match(pattern, command.text) for name, pattern, _ in ELSEWHERE
    )


@dataclass
class World:
    """What a reader has beside the document: a server, devices, a directory."""

    start_berth: object
    here: object
    berth: object = None
    devices: dict = field(default_factory=dict)
    scripts: list = field(default_factory=list)
    count: int = 0

    # ---- the server ----

    def serve(self, words):
        """Start it with these options, on ports of its own, in the place of the one that runs."""
        if self.berth is not None:
            self.end_devices()
            self.berth.close()
        free = [re.sub(r"^(\w+(?:\+tcp)?://)[^/?]*", r"\g<1>127.0.0.1:0", word) for word in words]
        options, listen = [], []
        words = iter(free)
        for word in words:
            if word == "--listen":
                listen.append(next(words))
            elif word == "--http":
                options += [word, next(words)]
            else:
                options.append(word)
        default = tuple(f"{scheme}://127.0.0.1:0" for scheme in ("coap", "coap+tcp", "coaps", "coaps+tcp"))
        self.count += 1
        data = "berth-data" if self.count == 1 else f"berth-data-{self.count}"
        self.berth = self.start_berth(*options, data=data, listen=tuple(listen) or default)

    def port(self, scheme):
        (uri,) = [uri for uri in self.berth.listeners if uri.startswith(scheme + "://") and "?" not in uri]
        return re.search(r":(\d+)$", uri)[1]

    def put(self, path, body):
        answer = self.berth.http("PUT", path, body)
        assert answer.status in (200, 201, 204), answer.body

    # ---- devices ----

    def start_device(self, words):
        if not {"--server", "--bootstrap"} & set(words):
            words = [*words, "--server", f"coap://127.0.0.1:{self.port('coap')}"]
        options = dict(zip(words, words[1:], strict=False))
        endpoint = options.get("--endpoint", "")
        if endpoint in self.devices:
            self.end_devices()
            self.berth.http("DELETE", f"/v1/devices/{endpoint}")
        self.count += 1
        device = DeviceProcess(self.here / f"device{self.count}.log", *words, cwd=self.here)
        self.devices[endpoint] = device
        if {"--account", "--swarm"} & set(words):
            device.end(60)
        else:
            device.line("Client registered", 60)
        return device

    def end_devices(self):
        for device in self.devices.values():
            RUNNING.discard(device)
            if device.process.returncode is None:
                device.kill()
        self.devices.clear()

    def recover(self):
        """dev1 is there, whatever the command before has done to it."""
        for path in ("/v1/devices/dev1/faults", "/v1/faults"):
            self.berth.http("DELETE", path)
        if self.berth.http("GET", "/v1/devices/dev1").status == 404:
            self.devices["dev1"].command("register")
            assert self.berth.http("GET", "/v1/devices/dev1?wait=registered&timeout=60s").status == 200

    # ---- commands ----

    def localized(self, text):
        """With our ports in the place of the standard ones, as long as they stand for this machine."""
        for written, small in SMALLER:
            text = re.sub(written, small, text)
        if self.berth is not None:
            text = re.sub(r"(127\.0\.0\.1|localhost):8080", f"127.0.0.1:{self.berth.http_port}", text)
            text = re.sub(
                r"\b(coaps?(?:\+tcp)?)://127\.0\.0\.1(?::\d+)?(?=[ /'\"?]|$)",
                lambda match: f"{match[1]}://127.0.0.1:{self.port(match[1])}",
                text,
            )
        return text

    def shell(self, text):
        """Run it with the programs, and with a curl that fails when the answer is an error."""
        bin = self.here / "bin"
        if not bin.exists():
            bin.mkdir()
            for name in ("berth-server", "berth-device"):
                (bin / name).symlink_to(program(name).resolve())
            (bin / "curl").write_text('#!/bin/sh\nexec /usr/bin/env PATH="${PATH#*:}" curl --fail-with-body "$@"\n')
            (bin / "curl").chmod(0o755)
        device = self.devices.get("dev1")
        device = device if device and device.process.returncode is None else None
        done = subprocess.run(
            ["bash", "-ec", ("exec 3>&0\n" if device else "") + text],
            cwd=self.here,
            stdin=device.process.stdin if device else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("BERTH_")},
                "PATH": f"{bin}:{os.environ['PATH']}",
                "BERTH": f"http://127.0.0.1:{self.berth.http_port}",
            },
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, command):
        words = shlex.split(self.localized(command.text.replace("\\\n", " ")))
        name = words[0].rpartition("/")[2]
        if name == "berth-server" and words[1:2] not in (["pki"], ["run"]):
            return self.serve(words[1:])
        if name == "berth-device":
            return self.start_device(words[1:])
        return self.shell(self.localized(command.text))


def over(*options):
    """dev1 comes with these options; over DTLS with the key that it has then."""

    def begin(world):
        if "--psk" in options:
            world.put("/v1/credentials/dev1", PSK)
        else:
            world.berth.http("DELETE", "/v1/credentials/dev1")
        world.start_device(shlex.split(world.localized(shlex.join(options))) + ["--endpoint", "dev1"])

    return begin


SECURED = over("--server", "coaps://127.0.0.1", "--psk", f"dev1:{PSK['key_hex']}", "--cid")
OVER_TCP = over("--server", "coap+tcp://127.0.0.1")

# What a reader does or has between the commands: before the one of a document that contains the text.
BEFORE = [
    ("README.md", '"gte":25', lambda world: world.devices["dev1"].command("set 3303/0/5700 26")),
    ("README.md", '"advance":"160s"', lambda world: world.devices["dev1"].kill()),
    ("firmware.md", "curl -T", lambda world: (world.here / "sensor-2.1.bin").write_bytes(bytes(range(256)) * 12)),
    ("http-api.md", "my-object.xml", lambda world: (world.here / "my-object.xml").write_text(OBJECT)),
    ("device.md", "--oscore", lambda world: world.put("/v1/credentials/dev1", OSCORE)),
    ("device.md", "factory", lambda world: world.put("/v1/credentials/dev1", {**PSK, "identity": "factory"})),
    ("device.md", "--misbehave", lambda world: world.berth.http("DELETE", "/v1/credentials/dev1")),
    ("device.md", "--profile", lambda world: world.berth.http("DELETE", "/v1/credentials/dev1")),
    ("faults.md", '"forget": "dtls-session"', SECURED),
    ("faults.md", '"forget": "cid"', SECURED),
    ("faults.md", '"close-notify"', SECURED),
    ("faults.md", '"rst"', OVER_TCP),
    ("faults.md", '"fin"', OVER_TCP),
    ("faults.md", '"half_open"', OVER_TCP),
    ("security.md", "--data DATA", lambda world: (world.here / "DATA").symlink_to("berth-data")),
    ("nat.md", "/traffic", lambda world: world.start_device(shlex.split(world.localized(NAT_DEVICE)))),
]
OSCORE = {
    "mode": "oscore",
    "sender_id_hex": "",
    "recipient_id_hex": "01",
    "master_secret_hex": "0102030405060708090a0b0c0d0e0f10",
    "master_salt_hex": "9e7ca92223786340",
}
NAT_DEVICE = (
    "--server coaps://127.0.0.1 --endpoint sensor-00000001 --psk sensor-00000001:53c4a62e1f0b4c8d9e7f6a5b4c3d2e1f"
)
OBJECT = """<LWM2M><Object ObjectType="MODefinition"><Name>Mine</Name><ObjectID>33000</ObjectID>
<ObjectURN>urn:oma:lwm2m:x:33000</ObjectURN><LWM2MVersion>1.0</LWM2MVersion><ObjectVersion>1.0</ObjectVersion>
<MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory><Resources><Item ID="0"><Name>Value</Name>
<Operations>RW</Operations><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory>
<Type>Integer</Type><RangeEnumeration></RangeEnumeration><Units></Units><Description>One.</Description></Item>
</Resources></Object></LWM2M>"""


@pytest.fixture
def world(start_berth, tmp_path):
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    one = World(start_berth, tmp_path)
    yield one
    one.end_devices()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_the_document_do_what_they_should(world, path):
    commands = [command for command in shown(path) if not is_elsewhere(path, command)]
    if not commands:
        pytest.skip("it shows none")
    world.serve([])
    if path.name in WITH_DEVICE:
        world.start_device(["--endpoint", "dev1"])
    for command in commands:
        if path.name in WITH_DEVICE:
            world.recover()
        for name, text, do in BEFORE:
            if path.name == name and text in command.text:
                do(world)
        try:
            world.run(command)
        except AssertionError as error:
            raise AssertionError(f"{path.name}:{command.line}: {error}") from error


def test_what_is_run_elsewhere_is_there():
    for name, pattern, _ in ELSEWHERE:
        path = ROOT / name if name == "README.md" else ROOT / "docs" / name
        assert any(re.match(pattern, command.text) for command in shown(path)), f"{name} no longer shows {pattern}"


# ---- figures ----


def test_figures_of_nat_are_what_the_device_measures(world):
    text = (ROOT / "docs/nat.md").read_text()
    rows = dict(re.findall(r"^\| (DTLS.*?) \| (\d+ \| \d+ \| \d \+ \d) \|$", text, re.MULTILINE))
    assert len(rows) == 5
    for command in shown(ROOT / "docs/nat.md"):
        if command.text.startswith("berth-"):
            world.run(command)
    (device,) = world.devices.values()
    measured = dict(
        (name, f"{up} | {down} | {datagrams}")
        for name, up, down, datagrams in re.findall(
            r"^(DTLS.*?) +(\d+) +(\d+) +\d+ +(\d \+ \d) ", device.output.decode(), re.MULTILINE
        )
    )
    assert {name: measured[name] for name in rows} == rows

    def with_headers(name):
        up, down, first, second = map(int, re.findall(r"\d+", rows[name]))
        return up + down + 28 * (first + second)

    update = with_headers("DTLS, update")
    a_day = {
        "connection ID: ": 24 * with_headers("DTLS, CID, update"),
        "no connection ID, resumption: ": 24 * (with_headers("DTLS, resumption") + update),
        "no connection ID, no resumption: ": 24 * (with_headers("DTLS, handshake") + update),
        "no connection ID, an Update every 25 s": 86400 // 25 * update,
    }
    for name, bytes_a_day in a_day.items():
        assert re.search(rf"^\| {re.escape(name)}.* \| {bytes_a_day:,} \|$", text, re.MULTILINE), (name, bytes_a_day)
