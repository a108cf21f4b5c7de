"""Everything on one machine: the lab, a Prefect server with its UI, the flows served to it; `demo` runs one network through it.

python -m deployments.local demo    a network from nothing; ends by itself and leaves nothing running
python -m deployments.local lab     the same surroundings, up until Ctrl-C
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

HOME = Path(".lab").resolve()
UI_PORT = 4200
START_LIMIT = 150  # seconds; a first start migrates the database and takes 15-20 s on a quiet machine
LAYERS_TO_SEE = 3
LAYERS_LIMIT = 90  # seconds


class Trouble(Exception):
    """Something did not start or did not work; the text says what, why, and where to look."""


@dataclass
class Child:
    """A process of ours with its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Trouble with the end of its log when it has died."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise Trouble(f"{self.name} ended with exit code {self.process.returncode}. The end of {self.log}:\n{tail}")

    def stop(self) -> None:
        """End it and all that it started; kill what does not listen within ten seconds."""
        if self.process.poll() is None:
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Surroundings:
    """What is up, and where."""

    lab: dict[str, Any]  # the lab's ready line: kubernetes, control, storage, kubeconfig
    ui: str
    environment: dict[str, str]
    lab_pid: int


def say(text: str = "") -> None:
    """Print at once."""
    print(text, flush=True)


def start(stack: ExitStack, name: str, command: list[str], environment: dict[str, str], home: Path = HOME) -> Child:
    """Start a process whose output goes to <home>/<name>.log and which ends with the stack."""
    log = home / f"{name.replace(' ', '-')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    child = Child(name, process, log)
    stack.callback(child.stop)
    return child


def wait_for(child: Child, what: str, ready: Any, limit: float = START_LIMIT) -> Any:
    """Poll until `ready()` gives something; Trouble when the process dies or the limit is over."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        child.check()
        if found := ready():
            return found
        time.sleep(0.1)
    raise Trouble(f"{child.name}: {what} was not there after {limit:.0f} s; its log is {child.log}")


def free_port(wanted: int) -> int:
    """The wanted port when nobody has it, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Trouble("there is no free TCP port on 127.0.0.1")


def healthy(url: str) -> bool:
    """Whether it answers 2xx."""
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def prefect_environment(port: int, home: Path) -> dict[str, str]:
    """Our own Prefect home, so that nobody's profile or server is touched; nothing calls out."""
    return {
        **os.environ,
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_UI_URL": f"http://127.0.0.1:{port}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }


def read_ready(path: Path) -> dict[str, Any] | None:
    """The lab's ready line, once it is written whole."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def bring_up(stack: ExitStack, speed: float, nodes: int, home: Path = HOME) -> Surroundings:
    """Start lab and Prefect server side by side, and tell Prefect of the lab."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port(UI_PORT)
    if port != UI_PORT:
        say(f"Port {UI_PORT} is taken; the Prefect UI is on {port} this time.")
    environment = prefect_environment(port, home)
    ready_file = home / "ready.json"
    ready_file.unlink(missing_ok=True)
    lab_options = ["--speed", str(speed), "--nodes", str(nodes), "--state-dir", str(home / "lab"), "--ready-file", str(ready_file)]
    lab = start(stack, "lab", [sys.executable, "-m", "lab", *lab_options], environment, home)
    server_command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = start(stack, "prefect server", server_command, environment, home)
    ready = wait_for(lab, "its ready line", lambda: read_ready(ready_file))
    wait_for(server, "an answer on /api/health", lambda: healthy(f"http://127.0.0.1:{port}/api/health"))
    surroundings = Surroundings(ready, f"http://127.0.0.1:{port}", environment, lab.process.pid)
    os.environ.update({key: value for key, value in environment.items() if key.startswith(("PREFECT", "DO_NOT"))})
    register(ready)
    return surroundings


def register(ready: dict[str, Any]) -> None:
    """Save the blocks that name the lab. Prefect is imported only now: it reads its settings at import."""
    from tasks.lab import register_lab

    asyncio.run(register_lab(ready))


def run_demo(speed: float, miners: int) -> None:
    """A network from nothing, until some layers have passed."""
    begun = time.monotonic()
    with ExitStack() as stack:
        say("Starting the lab and a Prefect server ...")
        around = bring_up(stack, speed, nodes=3)
        say(f"  up after {time.monotonic() - begun:.0f} s\n\nDeploying a network of {miners} miners and a PoET: cosmodrome deploy-network ...")
        command = [sys.executable, "-m", "flows.cli", "deploy-network", "-o", "json"]
        command += ["--network.name", "demo", "--network.miners.count", str(miners), "--cluster", "lab", "--data-bucket", "lab-data"]
        outcome = subprocess.run(command, env=around.environment, stdout=subprocess.PIPE, check=False)
        if outcome.returncode != 0:
            raise Trouble(f"deploy-network ended with exit code {outcome.returncode}; the reason stands above. The lab's log is {HOME / 'lab.log'}")
        report = json.loads(outcome.stdout)
        show_network(report)
        first, last = watch_layers(report)
        run = latest_run(around.ui)
        say(f"\n{last - first} layers passed while we watched: the network is at layer {last}.")
        say(f"The run in the Prefect UI: {around.ui}/runs/flow-run/{run}")
    say(f"\nDone in {time.monotonic() - begun:.0f} s; nothing is left running. `make lab` brings lab and UI up again, with this run in it.")


def show_network(report: dict[str, Any]) -> None:
    """The network's table, as the flow's own report prints it."""
    from networks.spacemesh.report import NetworkReport

    say("\n" + NetworkReport.model_validate(report).as_text())


def watch_layers(report: dict[str, Any]) -> tuple[int, int]:
    """Ask the first miner's JSON gateway until enough layers have passed. Gives the first and the last layer seen."""
    url = f"http://{report['miners'][0]['json_api']}/v1/node/status"
    say(f"\nWatching layers pass at {url} ...")
    first = layer = None
    end = time.monotonic() + LAYERS_LIMIT
    while time.monotonic() < end:
        try:
            number = int(httpx.post(url, timeout=5).json()["status"]["topLayer"]["number"])
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise Trouble(f"the first miner does not answer {url} as a node should: {error!r}") from error
        if first is None:
            first = number
        if number != layer:
            say(f"  layer {number}")
            layer = number
        if number - first >= LAYERS_TO_SEE:
            return first, number
        time.sleep(0.2)
    raise Trouble(f"only {(layer or 0) - (first or 0)} layers passed in {LAYERS_LIMIT} s; the network does not advance (layer {layer})")


def latest_run(ui: str) -> str:
    """The id of the newest flow run."""
    answer = httpx.post(f"{ui}/api/flow_runs/filter", json={"sort": "START_TIME_DESC", "limit": 1}, timeout=30)
    return str(answer.raise_for_status().json()[0]["id"])


def run_lab(speed: float, nodes: int) -> None:
    """Lab, Prefect server, UI and the flows behind its forms, until Ctrl-C."""
    with ExitStack() as stack:
        say("Starting the lab and a Prefect server ...")
        around = bring_up(stack, speed, nodes)
        flows = start(stack, "flows", [sys.executable, "-m", "deployments.serve"], around.environment)
        wait_for(flows, "the deployments", lambda: healthy(f"{around.ui}/api/deployments/name/deploy-network/local"))
        show_addresses(around)
        stopped = wait_for_signal([flows])
        say(f"\n{stopped}; stopping ...")
    say("Stopped; nothing is left running.")


def show_addresses(around: Surroundings) -> None:
    """Every address, and what to type next."""
    say(f"""
  Prefect UI         {around.ui}
  deploy a network   {around.ui}/deployments  (deploy-network, Run)
  lab                {around.lab["control"]}
  Kubernetes API     {around.lab["kubernetes_tls"]}
  kubeconfig         {around.lab["kubeconfig"]}
  Cloud Storage      {around.lab["storage"]}

  In another shell:
    export PREFECT_API_URL={around.environment["PREFECT_API_URL"]} KUBECONFIG={around.lab["kubeconfig"]}
    .venv/bin/cosmodrome deploy-network --network.name mine
    kubectl get pods --all-namespaces

Ctrl-C stops everything.""")


def wait_for_signal(children: list[Child]) -> str:
    """Until SIGINT or SIGTERM; Trouble when a child dies first."""
    received: list[str] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    while not received:
        for child in children:
            child.check()
        time.sleep(0.5)
    return received[0]


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    value = float(text)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1000")
    return value


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m deployments.local", description="Cosmodrome on one machine.")
    parser.add_argument("what", choices=("demo", "lab"))
    parser.add_argument("--speed", type=positive, default=60, help="how many times faster than life the lab's world runs (default 60)")
    parser.add_argument("--miners", type=int, default=10, help="miners of the demo's network (default 10)")
    parser.add_argument("--nodes", type=int, default=3, help="nodes of the lab's cluster (default 3)")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if chosen.what == "demo":
            run_demo(chosen.speed, chosen.miners)
        else:
            run_lab(chosen.speed, chosen.nodes)
    except Trouble as trouble:
        print(f"\nIt did not work: {trouble}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started has been stopped.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
