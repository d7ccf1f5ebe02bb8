"""A storm of certificate handshakes: their public-key steps run beside the loop, so that devices with sessions do not
notice."""

import subprocess
import threading
import time
from pathlib import Path

from berth_process import program
from coapraw import POST
from dtls_peer import DtlsPeer

KEY = bytes(range(16))
STORM, HANDSHAKES = 8, 60


def certificate(berth, name, directory):
    subprocess.run(
        [program("berth-server", release=True), "pki", "device", "--data", berth.data, "--endpoint", name]
        + ["--out", directory / name],
        check=True,
        capture_output=True,
    )
    return {"cert": directory / name, "ca": berth.data / "ca.pem"}


def cpu_seconds(berth):
    """CPU time of the loop's thread, and of all threads."""
    spent = {
        int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in Path(f"/proc/{berth.process.pid}/task").iterdir()
    }
    return spent[berth.process.pid], sum(spent.values())


def update_until(enough, peer, location):
    """Seconds from each Update to its answer, sorted."""
    times = []
    deadline = time.monotonic() + 60
    while not enough():
        start = time.monotonic()
        assert start < deadline, "too few handshakes"
        assert peer.request(POST, location).code_text == "2.04"
        times.append(time.monotonic() - start)
    return sorted(times)


def test_a_storm_of_certificate_handshakes_does_not_stall_updates(start_berth, tmp_path):
    berth = start_berth("--psk", f"dev1:{KEY.hex()}", listen=("coaps://127.0.0.1:0",), release=True)
    port = int(berth.listeners[0].rpartition(":")[2])
    peer = DtlsPeer(port, psk=("dev1", KEY), cid=b"")
    berth.peers.append(peer)
    device = berth.register("dev1", peer=peer)
    files = certificate(berth, "storm", tmp_path)
    stop, done = threading.Event(), []

    def storm():
        with DtlsPeer(port, cid=b"", name="localhost", connect=False, **files) as one:
            while not stop.is_set():
                done.append(one.handshake())

    loop_before, all_before = cpu_seconds(berth)
    threads = [threading.Thread(target=storm, daemon=True) for _ in range(STORM)]
    for thread in threads:
        thread.start()
    times = update_until(lambda: len(done) >= HANDSHAKES, peer, device.location)
    stop.set()
    for thread in threads:
        thread.join(30)
    loop, every = (after - before for after, before in zip(cpu_seconds(berth), (loop_before, all_before)))
    p50, p99 = (times[len(times) * share // 100] * 1000 for share in (50, 99))
    print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {len(done)} handshakes meanwhile")
    print(f"a handshake takes {every / len(done) * 1000:.2f} ms, {loop / len(done) * 1000:.2f} ms of it on the loop")
    assert loop < every / 3  # the load of the machine does not matter to this one
    assert p99 < 1000
