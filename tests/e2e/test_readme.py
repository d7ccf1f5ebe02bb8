"""The commands of README.md about secured devices, as they stand there but for ports and places."""

import re
import shlex
import subprocess

import pytest
from berth_process import ROOT, program

COAPS = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0")


def commands():
    text = (ROOT / "README.md").read_text()
    section = text.partition("## Secured devices in five minutes\n")[2].partition("\n## ")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


@pytest.fixture
def user(start_berth, tmp_path):
    """user(command) runs a line of the README, in a directory where berth-data is; a device goes on running."""
    berth = start_berth(data="berth-data", listen=COAPS)
    ports = [uri.rpartition(":")[2] for uri in berth.listeners]
    devices = []

    def here(line):
        line = line.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{berth.http_port}")
        line = line.replace("127.0.0.1:5684", f"127.0.0.1:{ports[1]}")
        line = re.sub(r"(coaps?)://127\.0\.0\.1(?=[ /])", lambda m: f"{m[0]}:{ports[m[1] == 'coaps']}", line)
        return re.sub(r"build/release/([a-z-]+)", lambda m: str(program(m[1])), line)

    def run(line):
        if "berth-device" in line:
            devices.append(subprocess.Popen(shlex.split(here(line)), cwd=tmp_path, stdin=subprocess.DEVNULL))
            return ""
        done = subprocess.run(["sh", "-c", here(line)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield berth, run
    for device in devices:
        device.kill()
        device.wait(10)


@pytest.mark.not_with_live_dtls("its devices are asked first after a restart")
def test_secured_devices_in_five_minutes(user):
    berth, run = user
    lines = commands()
    assert len(lines) == 12, "the test follows the section: change both"
    run(lines[0])  # a key
    run(lines[1])
    assert '"TLS_PSK_WITH_AES_128_CCM_8"' in run(lines[2])
    assert '"dtls_cid"' in run(lines[3])
    run(lines[4])
    assert berth.await_event("rejected", "dev3")["coap_code"] == "4.03"
    run(lines[5])
    assert berth.await_event("rejected", "dev4")["coap_code"] == "4.00"
    run(lines[6])  # a certificate
    run(lines[7])
    assert '"x509"' in run(lines[8])

    handshakes = len(berth.events_after(types="dtls_handshake"))
    berth.kill()
    berth.start()
    assert berth.events_after(types="dtls_handshake") == []
    assert handshakes >= 3
    for endpoint in ("dev3", "dev5"):
        assert berth.http("GET", f"/v1/devices/{endpoint}/3/0/0").status == 200

    run(lines[9])  # libcoap
    assert berth.await_event("replaced", "dev5")
    shown = run(lines[10]).replace(" = ", "=")
    assert "issuer=CN=Berth Bootstrap CA" in shown

    run(lines[11])
    assert berth.device("dev3")["security"] == {"mode": "psk", "identity": "dev3"}  # and no session
