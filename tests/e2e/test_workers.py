"""`--workers`: threads fetch and send datagrams, and nobody sees a difference. Here are what only then exists, and the tests
of other files that move, survive and carry the most, once more. $BERTH_TEST_WORKERS=2 runs any test so."""

import re
import threading
from pathlib import Path

import pytest
from berth_process import Berth
from coapraw import GET, POST, Coap, Peer
from test_coap_blockwise import (  # noqa: F401
    peer,
    test_BLK_02_an_error_answer_to_the_last_block_has_its_block1_too,
    test_BLK_02_body_is_processed_once,
    test_BLK_06_last_block_again_under_a_new_message_id_is_no_duplication,
)
from test_dtls import (  # noqa: F401
    COAPS,
    add_psk,
    connect,
    pki,
    read_from,
    register,
    secure,
    test_CID_06_sessions_with_cbc_have_connection_ids_too,
    test_CID_08_a_device_goes_on_from_another_port,
    test_CID_08_any_message_moves_the_registration,
    test_CID_15_after_a_restart_a_device_just_goes_on,
    test_CID_15_the_server_can_ask_first_after_a_restart,
    test_SEC_07_a_wrong_key_never_makes_a_session,
    test_SEC_11_a_new_session_from_the_same_address_takes_over,
    test_SEC_13_SEC_14_a_certificate_of_the_authority_is_the_endpoint_of_its_name,
    test_SEC_17_a_session_is_resumed_with_its_identity,
    test_SEC_25_a_session_outlives_the_replacement_of_its_credential,
)
from test_oscore import (  # noqa: F401
    device,
    test_a_device_is_asked_after_a_restart_before_it_is_heard,
    test_a_device_moves_with_its_context,
    test_OSC_10_first_request_is_challenged_and_the_next_not,
    test_OSC_17_a_long_value_goes_in_inner_blocks,
)

@pytest.fixture(autouse=True)
def workers(monkeypatch):
    monkeypatch.setenv("BERTH_TEST_WORKERS", "2")


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=COAPS)


def by_worker(berth, what):
    """A metric of each worker."""
    text = berth.http("GET", "/metrics").body.decode()
    return [int(value) for value in re.findall(rf'^berth_udp_worker_{what}\{{worker="\d+"\}} (\d+)$', text, re.MULTILINE)]


def threads_of(berth):
    return sorted((task / "comm").read_text().strip() for task in Path(f"/proc/{berth.process.pid}/task").iterdir())


def test_these_tests_run_with_workers(berth):
    assert [name for name in threads_of(berth) if name.startswith("udp-")] == ["udp-1", "udp-2"]


def test_one_worker_is_no_thread_and_no_metric(start_berth):
    berth = start_berth("--workers", "1")
    assert [name for name in threads_of(berth) if name.startswith("udp-")] == []
    assert by_worker(berth, "received_total") == []
    berth.register("dev1")
    assert berth.get_metric("berth_udp_received_total") == 1


def test_each_worker_serves_some_peers_and_counts_them(berth):
    peers = [berth.peer() for _ in range(40)]  # 2^-39 that one worker has all
    for number, peer in enumerate(peers):
        berth.register(f"dev{number}", peer=peer)
    received, cpu = by_worker(berth, "received_total"), by_worker(berth, "cpu_microseconds_total")
    assert sum(received) == len(peers) == berth.get_metric("berth_udp_received_total")
    assert len(received) == 2 and min(received) > 0 and min(cpu) > 0
    assert by_worker(berth, "dropped_total") == [0, 0]


def test_MSG_51_answers_leave_from_the_address_that_was_asked(start_berth):
    berth = start_berth(listen=("coap://0.0.0.0:0",))
    for host in ["127.0.0.1", "127.0.0.9", "127.7.7.7"]:
        peer = berth.peer(host=host)  # connected: it hears nobody else
        berth.register(f"at-{host}", peer=peer)


def test_an_ipv6_wildcard_takes_ipv4_too(start_berth):
    berth = start_berth(listen=("coap://[::]:0",))
    berth.register("four", peer=berth.peer(host="127.0.0.1"))
    berth.register("six", peer=berth.peer(host="::1"))
    assert berth.device("four")["address"].startswith("127.0.0.1:")
    assert berth.device("six")["address"].startswith("[::1]:")


def test_requests_to_a_device_leave_while_nothing_comes(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    register(berth, peer)
    for _ in range(5):
        assert read_from(berth, peer) == 95


def flood(port, stop):
    """Pings as fast as they can be sent, from several ports; nobody reads the answers."""
    peers = [Peer(port) for _ in range(4)]
    ping = Coap(0, 0, 1).encode()
    while not stop.is_set():
        for peer in peers:
            for _ in range(64):
                try:
                    peer.sock.send(ping)
                except OSError:
                    pass
    for peer in peers:
        peer.close()


@pytest.fixture
def flooded(berth):
    stop = threading.Event()
    threads = [threading.Thread(target=flood, args=(berth.coap_port, stop)) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield berth
    stop.set()
    for thread in threads:
        thread.join()


def request_until_answered(peer, *args):
    """A device sends again what was lost."""
    request = peer.message(*args)
    for _ in range(150):
        peer.send(request)
        if (answer := peer.receive(0.2)) is not None:
            return answer
    raise AssertionError("no answer in a flood")


def test_a_flood_of_the_rings_leaves_the_server_answering(flooded):
    while sum(by_worker(flooded, "received_total")) < 5000:
        pass
    assert request_until_answered(flooded.peer(), GET, "/.well-known/core").code_text == "2.05"


def test_what_was_answered_is_there_after_kill_9_in_a_flood(flooded):
    kept = []
    for number in range(4):
        query = [f"ep=dev{number}", "lt=300", "lwm2m=1.1", "b=U"]
        answer = request_until_answered(flooded.peer(), POST, "/rd", query, b"</1/0>")
        kept += [f"dev{number}"] if answer.code_text == "2.01" else []
    flooded.kill()
    flooded.start()
    assert len(kept) == 4 and {d["endpoint"] for d in flooded.get("/v1/devices")["items"]} >= set(kept)


def test_it_ends_on_sigterm_in_a_flood(flooded):
    while sum(by_worker(flooded, "received_total")) < 5000:
        pass
    flooded.stop()


def test_another_server_at_the_same_port_is_refused(berth, tmp_path):
    other = Berth(tmp_path / "other", listen=(f"coap://127.0.0.1:{berth.coap_port}",))
    with pytest.raises(AssertionError, match="cannot listen on .*Address already in use"):
        other.start()
    for number in range(20):
        berth.register(f"dev{number}")


def test_sixty_four_workers_are_the_most(start_berth):
    berth = start_berth("--workers", "64")
    berth.register("dev1")
    assert len(by_worker(berth, "received_total")) == 64
