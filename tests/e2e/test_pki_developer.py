"""What a developer's build of the vendor's client is compiled from."""

import re
import subprocess

import pytest
from bootstrapped_device import BootstrapDevice
from test_dtls import COAPS, coaps_port, connect_certificate
from test_pki import openssl

NAMES = [
    "BOOTSTRAP_ENDPOINT_NAME", "ACCOUNT_ID", "BOOTSTRAP_SERVER_URI", "MANUFACTURER", "MODEL_NUMBER", "SERIAL_NUMBER",
    "DEVICE_TYPE", "HARDWARE_VERSION",
]  # fmt: skip
ARRAYS = ["BOOTSTRAP_DEVICE_CERTIFICATE", "BOOTSTRAP_SERVER_ROOT_CA_CERTIFICATE", "BOOTSTRAP_DEVICE_PRIVATE_KEY"]


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=COAPS)


def make(berth, **body):
    answer = berth.http("POST", "/v1/pki/developer", body)
    assert answer.status == 200, answer.body
    return answer.json


def test_a_device_with_it_is_bootstrapped(berth, tmp_path):
    given = make(berth, endpoint="dev1", account="acc")
    (tmp_path / "dev.pem").write_text(given["certificate"])
    (tmp_path / "dev.key").write_text(given["private_key"])
    (tmp_path / "ca.pem").write_text(given["ca"])
    openssl("verify", "-CAfile", "ca.pem", "dev.pem", cwd=tmp_path)
    assert given["bootstrap_uri"] == f"coaps://127.0.0.1:{coaps_port(berth)}?aid=acc"
    played = BootstrapDevice(connect_certificate(berth, tmp_path / "dev", ca=tmp_path / "ca.pem", name="localhost"), szx=5)
    assert played.run("aid=acc", "mccv=4.13.2").names[:2] == ["DELETE /0", "PUT /0"]


def test_the_source_compiles_and_has_everything(berth, tmp_path):
    given = make(berth, endpoint='o"dd\\name??/ü', account="acc")
    (tmp_path / "security.c").write_text(given["security_c"])
    prints = "".join(f'extern const char MBED_CLOUD_DEV_{name}[]; ' for name in NAMES)
    prints += "".join(f"extern const uint8_t MBED_CLOUD_DEV_{name}[]; extern const uint32_t MBED_CLOUD_DEV_{name}_SIZE; " for name in ARRAYS)
    body = "".join(f'puts(MBED_CLOUD_DEV_{name}); ' for name in NAMES)
    body += "".join(f'for (uint32_t i = 0; i < MBED_CLOUD_DEV_{name}_SIZE; i++) printf("%02x", MBED_CLOUD_DEV_{name}[i]); puts(""); ' for name in ARRAYS)
    main = f"#include <stdint.h>\n#include <stdio.h>\n{prints}\nextern const uint32_t MBED_CLOUD_DEV_MEMORY_TOTAL_KB;\nint main(void) {{ {body} return (int)MBED_CLOUD_DEV_MEMORY_TOTAL_KB; }}\n"
    (tmp_path / "main.c").write_text(main)
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Werror", "security.c", "main.c", "-o", "main"], cwd=tmp_path, check=True)
    lines = subprocess.run(["./main"], cwd=tmp_path, check=True, capture_output=True).stdout.decode().splitlines()
    assert lines[:3] == ['o"dd\\name??/ü', "acc", given["bootstrap_uri"]]
    for line, pem, kind in zip(lines[8:10], (given["certificate"], given["ca"]), ("x509", "x509")):
        der = subprocess.run(["openssl", kind, "-outform", "DER"], input=pem.encode(), capture_output=True, check=True).stdout
        assert bytes.fromhex(line) == der and len(der) <= 1024
    (tmp_path / "key.der").write_bytes(bytes.fromhex(lines[10]))
    of_source = openssl("pkey", "-inform", "DER", "-in", "key.der", "-pubout", cwd=tmp_path)
    (tmp_path / "key.pem").write_text(given["private_key"])
    assert of_source == openssl("pkey", "-in", "key.pem", "-pubout", cwd=tmp_path)


def test_everything_may_be_left_out(berth):
    first, second = make(berth), berth.http("POST", "/v1/pki/developer").json
    assert re.fullmatch("dev-[0-9a-f]{16}", first["endpoint"]) and first["endpoint"] != second["endpoint"]
    assert first["account"] == "default"
    assert make(berth, host="lwm2m.example.com")["bootstrap_uri"].startswith("coaps://lwm2m.example.com:")
    assert make(berth, host="fd00::1")["bootstrap_uri"].startswith("coaps://[fd00::1]:")


@pytest.mark.parametrize("body", [{"x": 1}, {"endpoint": ""}, {"endpoint": "a\u0001"}, {"account": "a b"}, {"account": "x" * 65}, {"host": "a/b"}, {"endpoint": 1}])
def test_what_makes_no_sense_is_refused(berth, body):
    assert berth.http("POST", "/v1/pki/developer", body).status == 400


def test_without_a_listener_for_it_there_is_none(start_berth):
    assert start_berth().http("POST", "/v1/pki/developer").status == 409
