"""How a lab is set up: its options, what they may be, and the profiles that fill in the rest."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from lab.kubernetes.quantity import parse as parse_quantity

MOST_NODES = 1000
FASTEST = 100_000.0
_NODE_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")


class ConfigError(Exception):
    """Options that cannot be used: one line for each mistake."""


@dataclass(frozen=True)
class LabConfig:
    """Everything a lab can be told. `check()` before use."""

    profile: str = "default"
    port: int = 0  # of the Kubernetes API; 0: any free one
    control_port: int = 0
    speed: float = 1.0
    nodes: tuple[str, ...] = ("node-1", "node-2", "node-3")
    node_cpu: str = "16"
    node_memory: str = "64Gi"
    node_pods: int = 110
    node_zone: str = "us-central1-a"  # where cloud nodes say they are; "": a cluster that knows no zones
    external_addresses: bool = True  # whether nodes have an ExternalIP
    load_balancers: bool = True  # whether Services of type LoadBalancer get an address, as in a cloud
    storage_class: str | None = "standard"  # the default class, whose volumes the lab makes; None: there is none
    max_in_flight: int | None = None  # requests to the Kubernetes API at once, of all but administrators; None: no limit
    storage: bool = True  # Cloud Storage
    outside: bool = True  # Cloudflare, Slack, GitHub, GKE, Compute
    state_dir: Path | None = None  # where the lab keeps its files while it runs; None: a temporary directory
    ready_file: Path | None = None
    programs: tuple[tuple[str, Path], ...] = ()  # image -> a file of this machine to run for it

    def check(self) -> None:
        """ConfigError with every mistake."""
        problems = []
        if not 0 < self.speed <= FASTEST:
            problems.append(f"--speed must be above 0 and at most {FASTEST:.0f}, not {self.speed:g}")
        for name, port in (("--port", self.port), ("--control-port", self.control_port)):
            if not 0 <= port <= 65535:
                problems.append(f"{name} must be between 0 (any free one) and 65535, not {port}")
        if not 0 <= len(self.nodes) <= MOST_NODES:
            problems.append(f"--nodes must be at most {MOST_NODES}, not {len(self.nodes)}")
        problems += [f"node name {name!r} must be a lower-case DNS label" for name in self.nodes if not _NODE_NAME.match(name)]
        if len(set(self.nodes)) != len(self.nodes):
            problems.append("node names must differ")
        for option, text in (("--node-cpu", self.node_cpu), ("--node-memory", self.node_memory)):
            if _quantity(text) is None:
                problems.append(f"{option} must be a Kubernetes quantity above 0 such as 16, 500m or 64Gi, not {text!r}")
        if self.max_in_flight is not None and self.max_in_flight < 1:
            problems.append(f"--max-in-flight must be at least 1, not {self.max_in_flight}")
        if not 1 <= self.node_pods <= 10_000:
            problems.append(f"--node-pods must be between 1 and 10000, not {self.node_pods}")
        problems += [f"--program {image}: {path} is not a file that can be run" for image, path in self.programs if not _can_run(path)]
        if problems:
            raise ConfigError("\n".join(problems))


PROFILES = {
    "default": LabConfig(),
    # The cluster of the recordings: what tests compare with transcripts.
    "recorded": LabConfig(
        profile="recorded", nodes=("node1",), node_cpu="2", node_memory="24684084Ki", node_zone="", external_addresses=False, load_balancers=False,
        storage_class=None, storage=False, outside=False,
    ),
}


def _can_run(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _quantity(text: str) -> Decimal | None:
    try:
        value = parse_quantity(text)
    except ValueError:
        return None
    return value if value > 0 else None


def make_parser() -> argparse.ArgumentParser:
    """The command line of `python -m lab`. Options that are not given stand at None: the profile decides."""
    about = "A Kubernetes cluster and what else is outside, in one process, to try and to test in."
    parser = argparse.ArgumentParser(prog="python -m lab", description=about)
    default = LabConfig()
    add = parser.add_argument
    add("--profile", choices=sorted(PROFILES), default="default", help="what the other options start from (default: %(default)s)")
    add("--port", type=int, help="port of the Kubernetes API (default: any free one)")
    add("--control-port", type=int, help="port of the lab's own site (default: any free one)")
    add("--speed", type=float, help="how many times as fast durations pass (default: 1)")
    add("--nodes", type=int, help=f"number of worker nodes (default: {len(default.nodes)})")
    add("--node-names", help="their names, comma separated, instead of a number")
    add("--node-cpu", help=f"CPU of each node (default: {default.node_cpu})")
    add("--node-memory", help=f"memory of each node (default: {default.node_memory})")
    add("--node-pods", type=int, help=f"pods each node takes (default: {default.node_pods})")
    add("--no-external-addresses", dest="external_addresses", action="store_false", default=None, help="nodes have no ExternalIP")
    add("--max-in-flight", type=int, help="requests to the Kubernetes API at once, of all but administrators; more get 429 (default: no limit)")
    add("--no-storage", dest="storage", action="store_false", default=None, help="without Cloud Storage")
    add("--no-outside", dest="outside", action="store_false", default=None, help="without Cloudflare, Slack, GitHub, GKE and Compute")
    add("--program", action="append", dest="programs", metavar="IMAGE=FILE", type=_program, help="run this file for this image (may be given again)")
    add("--state-dir", type=Path, help="where the lab keeps its files while it runs (default: a temporary directory); emptied of them at the end")
    add("--ready-file", type=Path, help="also write the line that says where everything is to this file, once all is up")
    return parser


def _program(text: str) -> tuple[str, Path]:
    image, equals, path = text.partition("=")
    if not image or not equals or not path:
        raise argparse.ArgumentTypeError(f"must be IMAGE=FILE, not {text!r}")
    return image, Path(path).absolute()


def read_options(arguments: list[str] | None = None) -> LabConfig:
    """The checked configuration of a command line. ConfigError for values that cannot be used; argparse itself ends the process for others."""
    options = vars(make_parser().parse_args(arguments))
    config = PROFILES[options.pop("profile")]
    options["programs"] = tuple(options["programs"] or ())
    count, names = options.pop("nodes"), options.pop("node_names")
    if names is not None:
        if count is not None:
            raise ConfigError("give --nodes or --node-names, not both")
        config = replace(config, nodes=tuple(name.strip() for name in names.split(",")))
    elif count is not None:
        if not 0 <= count <= MOST_NODES:
            raise ConfigError(f"--nodes must be between 0 and {MOST_NODES}, not {count}")
        config = replace(config, nodes=tuple(f"node-{number}" for number in range(1, count + 1)))
    config = replace(config, **{name: value for name, value in options.items() if value is not None})
    config.check()
    return config
