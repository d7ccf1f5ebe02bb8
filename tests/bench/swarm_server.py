"""For benches of the whole server: one on core 0, and berth-device --swarm beside it, both of $BERTH_BUILD."""

import http.client
import json
import os
import re
import subprocess
from pathlib import Path

BUILD = Path(os.environ.get("BERTH_BUILD", "build/release"))
KEY = "000102030405060708090a0b0c0d0e0f"


def pin(core):
    return lambda: os.sched_setaffinity(0, {core % os.cpu_count()})


def start_server(scheme, data, *options):
    """The process (`listening`: all its addresses), where devices knock, and its API's authority."""
    server = subprocess.Popen(
        [BUILD / "berth-server", "--listen", f"{scheme}://127.0.0.1:0", "--http", "http://127.0.0.1:0", "--data", data, *options],
        stdout=subprocess.PIPE, text=True, preexec_fn=pin(0),
    )  # fmt: skip
    said = []
    while "ready" not in (line := server.stdout.readline()):
        said += re.findall(r"listening (\S+)", line)
    server.listening = said
    return server, said[0], said[-1].removeprefix("http://")


def provide(web, count, mode):
    """Credentials of so many simulated devices: psk or oscore."""
    connection = http.client.HTTPConnection(web)
    for number in range(count):
        name = f"swarm-{number:06d}"
        body = {"mode": "psk", "identity": name, "key_hex": KEY}
        if mode == "oscore":
            body = {"mode": "oscore", "sender_id_hex": "", "recipient_id_hex": f"aa{number:06x}", "master_secret_hex": KEY}
        connection.request("PUT", f"/v1/credentials/{name}", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201, answer.status


def run(uri, count, options, *load, before=pin(1)):
    """A swarm's report; `before` happens in its process."""
    load = ("--swarm-stay", "--lifetime", "86400", *load)
    done = subprocess.run(
        [BUILD / "berth-device", "--swarm", str(count), "--server", uri, *load, *options],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=before, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)
