"""Plays docker for test_python_container.py: a container is a process, of the program in $ENGINE_SERVER, and what is
known of it lies in $ENGINE_DIR. Called like docker, for the calls that berth_testing makes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ["ENGINE_DIR"])


def create(words):
    ports, names = {}, []
    while words and words[0].startswith("--"):
        option, value, *words = words
        if option == "--publish":
            address, port, inside = value.split(":")
            ports[inside] = f"{address}:{port}"
        elif option == "--env":
            names.append(value)
    image, *options = words
    if image != "berth:test":
        sys.exit("no such image: " + image)
    web = ["--http", "http://" + ports["8080/tcp"]]
    listen = [
        ("coap://", "5683/udp"),
        ("coap+tcp://", "5683/tcp"),
        ("coaps://", "5684/udp"),
        ("coaps+tcp://", "5684/tcp"),
    ]
    at = [word for scheme, inside in listen for word in ("--listen", scheme + ports[inside])]
    (HOME / "command").write_text(
        "\n".join([os.environ["ENGINE_SERVER"], *web, *at, "--data", str(HOME / "data"), *options])
    )
    (HOME / "env").write_text("\n".join(f"{name}={os.environ[name]}" for name in names))
    print("c0ffee")


def start():
    refused = HOME / "refuse-once"
    if refused.exists():
        refused.unlink()
        sys.exit("driver failed: port is already allocated")
    env = {**os.environ, **dict(line.split("=", 1) for line in (HOME / "env").read_text().splitlines())}
    with open(HOME / "out", "ab") as out, open(HOME / "err", "ab") as err:
        process = subprocess.Popen(
            [sys.executable, __file__, "supervise"], stdout=out, stderr=err, env=env, start_new_session=True
        )
    (HOME / "supervisor").write_text(str(process.pid))
    await_file("pid")


def supervise():
    """Stays as the parent, since only a parent learns the exit code."""
    (HOME / "code").unlink(missing_ok=True)
    process = subprocess.Popen((HOME / "command").read_text().split("\n"))
    write("pid", process.pid)
    write("code", process.wait())


def write(name, number):
    (HOME / (name + ".new")).write_text(str(number))
    (HOME / (name + ".new")).rename(HOME / name)


def await_file(name):
    while not (HOME / name).exists():
        time.sleep(0.01)
    return int((HOME / name).read_text())


def end(how):
    if not (HOME / "code").exists():
        os.kill(int((HOME / "pid").read_text()), how)
    await_file("code")
    (HOME / "pid").unlink(missing_ok=True)


def logs(words):
    if "--follow" not in words:
        print((HOME / "out").read_text() + (HOME / "err").read_text())
        return
    with open(HOME / "out") as out:
        while True:
            print(out.read(), end="", flush=True)
            time.sleep(0.01)


def main(call, *words):
    with open(HOME / "calls", "a") as calls:
        print(call, *words, file=calls)
    if call == "create":
        create(list(words))
    elif call == "start":
        start()
    elif call == "supervise":
        supervise()
    elif call == "logs":
        logs(words)
    elif call == "inspect":
        running = (HOME / "pid").exists() and not (HOME / "code").exists()
        print(str(running).lower() if "Running" in words[1] else (HOME / "code").read_text())
    elif call in ("stop", "kill"):
        end(signal.SIGTERM if call == "stop" else signal.SIGKILL)
    elif call == "rm":
        if (HOME / "pid").exists() and not (HOME / "code").exists():
            end(signal.SIGKILL)
    else:
        sys.exit("unknown: " + call)


main(*sys.argv[1:])
