"""`berth-server pki`: the files it writes, as OpenSSL reads them."""

import stat
import subprocess

import pytest
from berth_process import program


def pki(*arguments, cwd, expected=0):
    run = subprocess.run(
        [program("berth-server"), "pki", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == expected, run.stderr
    return run


def openssl(*arguments, cwd):
    return subprocess.run(["openssl", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture
def authority(tmp_path):
    pki("ca", cwd=tmp_path)
    return tmp_path


def test_SEC_28_openssl_takes_the_chain_in_its_strict_mode(authority):
    pki("device", "--endpoint", "dev1", "--account", "acc", "--id", "0123", "--out", "dev1", cwd=authority)
    pki("server", "--host", "server.example.com", "--host", "127.0.0.1", cwd=authority)
    for name, purpose in (("dev1", "sslclient"), ("server", "sslserver")):
        openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca.pem", f"{name}.pem", cwd=authority)
    shown = openssl("x509", "-in", "dev1.pem", "-noout", "-subject", "-issuer", "-dates", cwd=authority)
    shown = shown.replace(" = ", "=")  # as later versions write it
    assert "subject=CN=dev1, OU=acc, L=0123\n" in shown
    assert "issuer=CN=Berth Bootstrap CA\n" in shown
    assert "notBefore=Jan  1 00:00:00 1970 GMT\n" in shown and "notAfter=Dec 31 23:59:59 9999 GMT\n" in shown


def test_every_file_is_its_owners_alone(authority):
    for suffix in (".pem", ".der", ".key", ".key.der"):
        path = authority / f"ca{suffix}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_size > 0
    assert (authority / "ca.der").stat().st_size <= 1024
    public = openssl("x509", "-inform", "DER", "-in", "ca.der", "-noout", "-pubkey", cwd=authority)
    assert public == openssl("ec", "-inform", "DER", "-in", "ca.key.der", "-pubout", cwd=authority)
    assert public == openssl("ec", "-in", "ca.key", "-pubout", cwd=authority)


def test_a_certificate_of_openssls_authority(tmp_path):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key", cwd=tmp_path)
    openssl("req", "-x509", "-new", "-key", "ca.key", "-out", "ca.pem", "-subj", "/O=Test, Inc./CN=CA", cwd=tmp_path)
    pki("device", "--endpoint", "dev1", cwd=tmp_path)
    openssl("verify", "-CAfile", "ca.pem", "device.pem", cwd=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "expected", "says"),
    [
        ((), 2, "say what to make"),
        (("root",), 2, "say what to make"),
        (("device",), 2, "--endpoint"),
        (("server",), 2, "--host"),
        (("ca", "--endpoint", "x"), 2, "another kind"),
        (("ca", "--nonsense"), 2, "unrecognized"),
        (("ca", "more"), 2, "too many"),
        (("ca", "--not-after", "tomorrow"), 2, "--not-after"),
        (("ca", "--not-after", "1960-01-01"), 1, "dates"),
        (("ca", "--out", "no/where"), 1, "no/where"),
        (("device", "--endpoint", "x", "--ca", "nothing"), 1, "nothing.pem"),
        (("device", "--endpoint", "x", "--data", "nothing"), 1, "missing"),
        (("device", "--endpoint", "x" * 253), 1, "252"),
    ],
)
def test_mistakes_are_told_in_one_line(authority, arguments, expected, says):
    run = pki(*arguments, cwd=authority, expected=expected)
    assert says in run.stderr and run.stderr.count("\n") == 1
