"""Unit tests with memory that runs out: tests/unit/allocations.c runs a program again and again, with another allocation
failing each time. Nothing crashes, nothing does what the sanitizers forbid, nothing hangs, and nothing leaks.

tests/e2e/test_memory_faults.py does the same to the whole server."""

import os
import subprocess

import pytest
from berth_process import ROOT, program

# So many allocations of each program; $BERTH_ALLOCATION_POINTS=1000000 is all of them.
POINTS = os.environ.get("BERTH_ALLOCATION_POINTS", "4")
# The programs that prepare themselves with an eye on what they get, and take no second.
PROGRAMS = """
base/test_slab base/test_text base/test_timer_wheel
coap/test_call coap/test_endpoint coap/test_notify coap/test_observe coap/test_reliable coap/test_source
coap/test_stream coap/test_transfer
db/test_store_credentials db/test_store_documents db/test_window_journal
lwm2m/test_catalogue lwm2m/test_json lwm2m/test_link_format lwm2m/test_object_file lwm2m/test_object_xml
lwm2m/test_senml_cbor lwm2m/test_senml_json lwm2m/test_tlv
oscore/test_channel
server/test_config
web/test_condition web/test_glob web/test_leshan_node web/test_matcher web/test_multipart web/test_query
web/test_route web/test_scenario web/test_websocket
""".split()
WATCH = "exitcode=99:handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_abort=2:leak_check_at_exit=0:allocator_may_return_null=1"


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_memory_does_no_harm(name):
    path = program(f"tests/unit/{name}")
    if not path.exists():
        pytest.skip(f"{path} is not built")
    environment = {
        **{key: value for key, value in os.environ.items() if key != "BERTH_TEST_DATABASE"},
        "ASAN_OPTIONS": f"{WATCH}:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "exitcode=99:print_stacktrace=1",
        "BERTH_ALLOCATION_POINTS": POINTS,
    }
    done = subprocess.run([path], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
