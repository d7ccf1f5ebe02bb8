"""berth-device started without arguments, as test suites of vendors start the device: everything comes from the environment,
and after each restart in place it says again what it says at first."""

import subprocess
import time

import pytest
from berth_process import program
from coapraw import CONTENT_FORMAT, GET, POST, PUT, uint
from device_process import played_server, queries_of, start_device  # noqa: F401
from observing import TEXT, leap, notification, observe, value
from test_device_pelion import Played

TEXT_CONTENT = [(CONTENT_FORMAT, uint(TEXT))]


def run(env: dict[str, str], *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(program("berth-device")), *options], env=env, capture_output=True, text=True, timeout=20)


@pytest.fixture
def bare(played_server, start_device):
    """bare(LIFETIME="60") -> a device that knows nothing but the environment, registered with the played server."""
    started = []

    def start(*options: str, **variables: str):
        values = {"SERVER": played_server.uri, "ENDPOINT": "dev1", **variables}
        device = start_device(*options, env={f"BERTH_DEVICE_{name}": text for name, text in values.items()})
        started.append(device)
        register = played_server.accept()
        device.line("Device ID: 4Kx9")
        return device, register

    yield start
    for device in started:
        if device.process.returncode is None:
            played_server.let_go(device)


def lines_of_a_registration(device, endpoint="dev1", device_id="4Kx9"):
    device.line("Client registered")
    assert device.line("Endpoint Name:", partly=True) == f"Endpoint Name: {endpoint}"
    assert device.line("Device ID:", partly=True) == f"Device ID: {device_id}"


def test_options_are_variables(bare):
    _, register = bare(LIFETIME="90", LWM2M="1.2", QUEUE="1", MUTED="0", JSON="", BINDING="UT")
    assert queries_of(register) == ["ep=dev1", "lt=90", "lwm2m=1.2", "b=UT", "Q"]


def test_the_command_line_goes_before_the_environment(bare, played_server):
    server = played_server.uri
    _, register = bare("--lifetime", "60", "--server", server, SERVER="coap://192.0.2.1", LIFETIME="90", BOOTSTRAP="coap://192.0.2.2")
    assert queries_of(register)[1] == "lt=60"


def test_profile_goes_before_other_variables(played_server, start_device):
    variables = {"SERVER": played_server.uri, "ENDPOINT": "dev1", "LIFETIME": "90", "PROFILE": "pelion"}
    device = start_device(env={f"BERTH_DEVICE_{name}": text for name, text in variables.items()})
    blocks, _ = Played(played_server, device).take_register()
    assert "lt=90" in queries_of(blocks[0])
    played_server.let_go(device)


def test_several_object_files(bare, tmp_path):
    files = []
    for number in (30001, 30002):
        files.append(tmp_path / f"{number}.xml")
        files[-1].write_text(
            f'<LWM2M><Object ObjectType="MODefinition"><Name>x</Name><Description1></Description1><ObjectID>{number}</ObjectID>'
            f"<ObjectURN>urn:oma:lwm2m:x:{number}</ObjectURN><MultipleInstances>Single</MultipleInstances>"
            '<Mandatory>Optional</Mandatory><Resources><Item ID="0"><Name>a</Name><Operations>R</Operations>'
            "<MultipleInstances>Single</MultipleInstances><Mandatory>Mandatory</Mandatory><Type>Integer</Type>"
            "<RangeEnumeration></RangeEnumeration><Units></Units><Description></Description></Item></Resources></Object></LWM2M>"
        )
    _, register = bare(OBJECT=f"{files[0]}  {files[1]} ")
    assert b"</30001/0>" in register.payload and b"</30002/0>" in register.payload


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LIFETIME", "soon", "BERTH_DEVICE_LIFETIME: must be whole seconds"),
        ("QUEUE", "maybe", "BERTH_DEVICE_QUEUE: must be 1 or 0"),
        ("BLOCK_SIZE", "100", "BERTH_DEVICE_BLOCK_SIZE: must be 16,"),
    ],
)
def test_a_wrong_variable_is_one_line_and_exit_code_2(name, value, says):
    refused = run({f"BERTH_DEVICE_{name}": value})
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"berth-device: {says}") and len(refused.stderr.splitlines()) == 1


def test_a_wrong_variable_does_not_matter_when_the_command_line_says_it():
    refused = run({"BERTH_DEVICE_LIFETIME": "soon"}, "--lifetime", "60", "--bind", "192.0.2.1")
    assert refused.returncode == 1 and "LIFETIME" not in refused.stderr


def test_an_unknown_variable_is_passed_over_with_a_warning(bare):
    device, _ = bare(SERVICE_PORT="1")  # as orchestrators set them
    assert "BERTH_DEVICE_SERVICE_PORT: there is no such option" in device.log()


def test_help_tells_of_variables():
    shown = run({"BERTH_DEVICE_LIFETIME": "soon"}, "--help")
    assert shown.returncode == 0 and "BERTH_DEVICE_BLOCK_SIZE" in shown.stdout


@pytest.mark.parametrize(("path", "word"), [("/3/0/4", "Rebooting"), ("/3/0/5", "Factory reset")])
def test_each_restart_comes_after_the_answer_and_says_the_lines_again(bare, played_server, path, word):
    device, _ = bare()
    for number in range(2):
        assert played_server.request(POST, path).code_text == "2.04"
        device.line(word)
        assert queries_of(played_server.accept(f"/rd/again{number}"))[0] == "ep=dev1"
        lines_of_a_registration(device, device_id=f"again{number}")


@pytest.mark.parametrize("path", ["/3/0/4", "/3/0/5"])
def test_the_vendor_s_client_restarts_after_its_answer(played_server, start_device, path):
    env = {"BERTH_DEVICE_SERVER": played_server.uri, "BERTH_DEVICE_ENDPOINT": "dev1", "BERTH_DEVICE_PROFILE": "pelion"}
    device = start_device(env=env)
    played = Played(played_server, device)
    played.take_register()
    _, separate = played.execute(path)
    assert separate.code_text == "2.04"
    blocks, _ = played.take_register()
    assert queries_of(blocks[0])[0] == "ep=dev1"
    played_server.let_go(device)


def test_a_factory_reset_gives_a_developer_s_device_another_name(bare, played_server):
    device, register = bare(DEVELOPER="1")
    assert queries_of(register)[0] == "ep=dev1"
    names = {"dev1"}
    for number in range(2):
        assert played_server.request(POST, "/3/0/5").code_text == "2.04"
        name = queries_of(played_server.accept(f"/rd/new{number}"))[0].removeprefix("ep=")
        assert name.startswith("urn:uuid:") and name not in names
        names.add(name)
        lines_of_a_registration(device, name, f"new{number}")
        assert played_server.request(GET, "/3/0/2").payload.decode() == name
    assert played_server.request(POST, "/3/0/4").code_text == "2.04"  # a reboot does not
    assert queries_of(played_server.accept())[0] == f"ep={name}"


def test_the_clock_of_the_device_goes_on(bare, played_server):
    device, _ = bare(LIFETIME="0", TICK="5s")
    first = int(played_server.request(GET, "/3/0/13").payload)
    assert abs(first - time.time()) < 60
    observe(played_server, "/3/0/13")
    leap(device, 5)
    assert value(notification(played_server)) >= first + 5
    assert int(played_server.request(GET, "/3/0/13").payload) >= first + 5


def test_the_lifetime_is_written_as_text_and_its_observer_is_told(bare, played_server):
    device, _ = bare()
    observe(played_server, "/1/0/1", accept=TEXT)
    assert played_server.request(PUT, "/1/0/1", TEXT_CONTENT, b"86400").code_text == "2.04"
    messages = [played_server.receive(), played_server.receive()]
    (update,) = [message for message in messages if message.code == POST]
    (told,) = [message for message in messages if message.code != POST]
    played_server.answer(update, "2.04")
    assert queries_of(update) == ["lt=86400"] and told.payload == b"86400"
    assert played_server.request(GET, "/1/0/1").payload == b"86400"
    device.line("Registration updated")
