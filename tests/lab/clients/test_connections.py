"""exec, attach, cp and port-forward with unmodified clients: kubectl, the Python client and its asynchronous sister."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from kubernetes import client, stream
from kubernetes import watch as watching

from tests.lab.clients.binaries import binary
from tests.lab.labs import RunningLab

Run = Callable[..., subprocess.CompletedProcess[bytes]]
WEB = {
    "name": "web",
    "image": "python:3.11",
    "command": ["python3", "-m", "http.server", "8080"],
    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
}
TICKS = "i=0; while sleep 0.2; do i=$((i+1)); echo tick $i; done"
ECHO = "while read line; do echo heard $line; done; echo nothing more"


@pytest.fixture(scope="module")
def kubectl_binary() -> str:
    return str(binary("kubectl"))


@pytest.fixture
def kubectl(kubectl_binary: str, lab: RunningLab, namespace: str) -> list[str]:
    """The beginning of a command line."""
    return [kubectl_binary, f"--kubeconfig={lab.kubeconfig}", f"--namespace={namespace}"]


@pytest.fixture
def run(kubectl: list[str]) -> Run:
    def call(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*kubectl, *arguments], input=stdin, stdin=None if stdin else subprocess.DEVNULL, capture_output=True, timeout=30, check=False
        )

    return call


def container(name: str, command: str = "sleep 3600", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox:1.36", "command": ["sh", "-c", command], **more}


@pytest.fixture
def pod(api: client.ApiClient, namespace: str) -> Iterator[Callable[..., None]]:
    """Makes a pod and waits until it is ready."""
    core = client.CoreV1Api(api)

    def make(name: str, *containers: dict[str, Any]) -> None:
        spec = {"containers": list(containers), "terminationGracePeriodSeconds": 1, "restartPolicy": "Never"}
        core.create_namespaced_pod(namespace, cast(Any, {"metadata": {"name": name}, "spec": spec}))
        for event in watching.Watch().stream(core.list_namespaced_pod, namespace, field_selector=f"metadata.name={name}", timeout_seconds=20):
            if any(one.type == "Ready" and one.status == "True" for one in event["object"].status.conditions or ()):
                return
        raise AssertionError(f"{name} is not ready: {core.read_namespaced_pod(name, namespace).status}")

    yield make


def test_exec_gives_output_errors_and_exit_code(run: Run, pod: Callable[..., None]) -> None:
    pod("p", container("a"))
    done = run("exec", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\ncommand terminated with exit code 3\n")
    assert run("exec", "-i", "p", "--", "cat", stdin=b"typed in\n").stdout == b"typed in\n"
    done = run("exec", "p", "--", "nosuchcmd")
    assert done.returncode == 1 and b'exec: "nosuchcmd": executable file not found in $PATH' in done.stderr
    assert b'pods "none" not found' in run("exec", "none", "--", "ls").stderr


def test_exec_in_a_program_of_the_lab_knows_a_few_commands(run: Run, pod: Callable[..., None]) -> None:
    pod("p", {"name": "a", "image": "nginx:1.27", "env": [{"name": "COLOUR", "value": "red"}]})
    assert run("exec", "p", "--", "printenv", "COLOUR").stdout == b"red\n"
    assert run("exec", "p", "--", "test", "-f", "/none").returncode == 1
    done = run("exec", "p", "--", "bash")
    assert done.returncode == 1 and b'exec: "bash": executable file not found in $PATH' in done.stderr


def read_until(terminal: int, text: bytes, seconds: float = 15) -> bytes:
    found, deadline = b"", time.monotonic() + seconds
    while text not in found:
        assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], found
        found += os.read(terminal, 4096)
    return found


def test_exec_in_a_terminal(kubectl: list[str], pod: Callable[..., None]) -> None:
    pod("p", container("a"))
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    command = ["exec", "-it", "p", "--", "sh", "-c", "while [ $(stty size | cut -d' ' -f1) != 33 ]; do :; done; tty; stty size; read x; echo got $x"]
    with subprocess.Popen([*kubectl, *command], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as shell:
        os.close(theirs)
        assert b"/dev/pts/0\r\n33 77\r\n" in read_until(ours, b"33 77\r\n")
        os.write(ours, b"hello\r")
        assert b"got hello\r\n" in read_until(ours, b"got hello\r\n")
        assert shell.wait(10) == 0
    os.close(ours)


def test_cp_both_ways(run: Run, pod: Callable[..., None], tmp_path: Path) -> None:
    pod("p", container("a"))
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "below").mkdir(parents=True)
    (here / "below" / "large").write_bytes(os.urandom(3_000_000))
    (here / "small").write_text("text\n")
    assert run("cp", str(here), "p:/tmp/copy").returncode == 0
    assert run("exec", "p", "--", "cat", "/tmp/copy/small").stdout == b"text\n"
    assert run("cp", "p:/tmp/copy", str(there)).returncode == 0
    assert [(there / name).read_bytes() for name in ("small", "below/large")] == [(here / name).read_bytes() for name in ("small", "below/large")]


def test_attach_shows_what_comes_from_now_on(kubectl: list[str], run: Run, pod: Callable[..., None]) -> None:
    pod("p", container("a", TICKS))
    while b"tick 2\n" not in run("logs", "p").stdout:
        pass
    with subprocess.Popen([*kubectl, "attach", "p"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as attached:
        assert attached.stdout
        numbers = [int(attached.stdout.readline().split()[1]) for _ in range(3)]
        attached.terminate()
    assert numbers == list(range(numbers[0], numbers[0] + 3)) and numbers[0] > 2


def test_attach_types_into_a_container_with_stdin(run: Run, pod: Callable[..., None]) -> None:
    pod("p", container("a", ECHO, stdin=True, stdinOnce=True))
    done = run("attach", "-i", "p", stdin=b"one\ntwo\n")
    assert b"heard one\nheard two\n" in done.stdout
    assert run("logs", "p").stdout.startswith(b"heard one\nheard two\n")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_port_forward_reaches_the_pods_own_port(kubectl: list[str], pod: Callable[..., None]) -> None:
    for name in ("one", "two"):  # both listen on all addresses, and do not take the port from one another
        pod(name, WEB)
    good, bad = free_port(), free_port()
    with subprocess.Popen([*kubectl, "port-forward", "two", f"{good}:8080", f"{bad}:9"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as forward:
        assert forward.stdout and forward.stderr
        while b"127.0.0.1:%d" % bad not in forward.stdout.readline():
            pass
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{good}/etc/hostname", timeout=10) as answer:
                assert answer.read() == b"two\n"
        with socket.create_connection(("127.0.0.1", bad)) as connection:
            assert connection.recv(10) == b""
        assert b"connect: connection refused" in forward.stderr.readline()
        forward.terminate()


def test_python_client_streams(api: client.ApiClient, namespace: str, pod: Callable[..., None]) -> None:
    pod("p", container("a"), WEB)
    core = client.CoreV1Api(api)
    wanted: dict[str, Any] = {"container": "a", "stdout": True, "stderr": True, "stdin": False, "tty": False}
    command = ["sh", "-c", "echo out; echo err >&2; exit 7"]
    held = stream.stream(core.connect_get_namespaced_pod_exec, "p", namespace, command=command, _preload_content=False, **wanted)
    held.run_forever(timeout=10)
    assert (held.read_stdout(), held.read_stderr(), held.returncode) == ("out\n", "err\n", 7)
    held = stream.stream(core.connect_get_namespaced_pod_exec, "p", namespace, command=["cat"], _preload_content=False, **{**wanted, "stdin": True})
    held.write_stdin("hello\n")
    assert held.readline_stdout(timeout=10) == "hello"
    held.close()
    with pytest.raises(client.ApiException, match="container zz is not valid for pod p"):
        stream.stream(core.connect_get_namespaced_pod_exec, "p", namespace, command=["ls"], **{**wanted, "container": "zz"})
    forward = stream.portforward(core.connect_get_namespaced_pod_portforward, "p", namespace, ports="8080")
    connection = forward.socket(8080)
    connection.setblocking(True)
    connection.sendall(b"GET /etc/hostname HTTP/1.0\r\n\r\n")
    answer = b""
    while data := connection.recv(4096):
        answer += data
    assert answer.endswith(b"\r\n\r\np\n") and forward.error(8080) is None


async def test_asynchronous_client_streams(lab: RunningLab, namespace: str, pod: Callable[..., None]) -> None:
    from kubernetes.aio import client as aio
    from kubernetes.aio import config
    from kubernetes.aio.stream import WsApiClient

    pod("p", container("a"))
    configuration = aio.Configuration()
    await config.load_kube_config(lab.kubeconfig, client_configuration=configuration)
    async with WsApiClient(configuration) as api:
        core = aio.CoreV1Api(api)
        text = await core.connect_get_namespaced_pod_exec(
            "p", namespace, command=["sh", "-c", "echo out; exit 4"], container="a", stderr=True, stdin=False, stdout=True, tty=False
        )
    assert text == "out\n"
