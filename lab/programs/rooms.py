"""A file system of its own for a real process, without being root: the machine's programs, the pod's volumes, and nothing else.

With unprivileged user namespaces (`unshare -Urmpuf`) the process gets a root directory made of the machine's /usr and /etc basics (read-only),
private /tmp, /root, /var and /dev, and the volumes at their mount paths; it is process 1 of its own process namespace, so nothing survives it. Where
the machine does not allow that, mount paths are replaced by the real directories in the command line and the environment: good for most, but a path
that the program makes up itself is then not found. Networks are not apart in either case; for ports see ports.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from lab.programs.program import Container, StartError

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_PRIVATE = (
    "tmp", "root", "home", "var/tmp", "var/log", "var/lib", "run", "mnt", "opt", "srv", "media", "sys", "proc", "dev/shm",
    "dev/pts", "etc",
)  # fmt: skip
_ETC_FILES = (
    "passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "localtime", "services", "protocols", "mime.types", "resolv.conf", "host.conf",
    "os-release", "shells",
)  # fmt: skip
_ETC_DIRECTORIES = ("alternatives", "ssl", "ca-certificates", "pki", "ld.so.conf.d")
# $1: fstab, $2: host name, $3: root; the rest is what runs there.
_SCRIPT = (
    'mount -a -T "$1" || exit 125; mount -t devpts -o newinstance,ptmxmode=0666 devpts "$3/dev/pts" 2>/dev/null; '
    'hostname "$2" 2>/dev/null; root=$3; shift 3; exec chroot "$root" "$@"'
)
_STANDARD = ("stdin", "stdout", "stderr")
_TOOL_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_HOSTS = (
    "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
)


def tool(name: str) -> str | None:
    """Where a command of the machine is."""
    return shutil.which(name, path=_TOOL_PATH)


@lru_cache
def namespaces_work() -> bool:
    """Whether this machine lets us make rooms. Asked once."""
    needed = [tool(name) for name in ("unshare", "mount", "chroot", "env", "nsenter", "sh")]
    if not all(needed):
        return False
    with tempfile.TemporaryDirectory() as place:
        fstab = Path(place, "fstab")
        for name in ("proc", "usr", "etc"):
            Path(place, name).mkdir()
        fstab.write_text(f"proc {place}/proc proc defaults 0 0\n/usr {place}/usr none rbind,ro 0 0\n")
        script = f'mount -a -T "{fstab}" && test -d {place}/proc/1 && chroot / env -C / true'
        try:
            command = [*_unshare(), tool("sh") or "sh", "-c", script]
            done = subprocess.run(command, capture_output=True, timeout=10, check=False, env={"PATH": _TOOL_PATH})  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0


def _unshare() -> list[str]:
    dies_with_us = [tool("setpriv") or "", "--pdeathsig", "KILL", "--"] if tool("setpriv") else []
    return [*dies_with_us, tool("unshare") or "unshare", "-Urmpuf", "--kill-child"]


def search_path(container: Container) -> str:
    """PATH inside: the pod's, else that of most images."""
    return container.env.get("PATH") or "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(container: Container) -> dict[str, str]:
    """What the process sees: the pod's variables and what every image has."""
    return {"PATH": search_path(container), "HOME": "/root", **container.env}


def resolve(container: Container, argv: list[str]) -> list[str]:
    """The command line as it can run here; StartError when there is no such command."""
    if not argv:
        raise StartError("unable to start container process: no command specified")
    if Path(argv[0]).name == "busybox" and not shutil.which("busybox"):
        argv = argv[1:] or ["sh"]  # an applet of a busybox that the machine lacks: the machine's own command
    name = argv[0]
    if "/" in name:
        if not any(place.exists() for place in (container.path(name), *_outside(name))):
            raise StartError(f'unable to start container process: exec: "{name}": stat {name}: no such file or directory')
        return argv
    for directory in search_path(container).split(":"):
        inside = f"{directory}/{name}"
        if container.path(inside).exists() or any(place.exists() for place in _outside(inside)):
            return argv
    python = Path(sys.base_prefix) / "bin" / name
    if python.exists():
        return [str(python), *argv[1:]]
    raise StartError(f'unable to start container process: exec: "{name}": executable file not found in $PATH')


def _outside(path: str) -> Iterator[Path]:
    """Where a path of the room that shows the machine's own files leads."""
    first = path.lstrip("/").partition("/")[0]
    if first == "usr" or first in _SYSTEM:
        yield Path(path)
    base = Path(sys.base_prefix)
    if Path(path).is_relative_to(base):
        yield Path(path)


class Room:
    """The surroundings of one container's processes."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.apart = namespaces_work()
        self._fstab = container.root.with_name(f"{container.root.name}.fstab")

    def build(self) -> None:
        """Make directories and the list of mounts."""
        root = self.container.root
        Path(root, "tmp").mkdir(exist_ok=True, parents=True)
        Path(root, "tmp").chmod(0o1777)
        if not self.apart:
            return
        for name in _PRIVATE:
            Path(root, name).mkdir(parents=True, exist_ok=True)
        lines = [*self._system(), *self._etc(), *self._devices(), f"proc {_escaped(root / 'proc')} proc defaults 0 0", *self._volumes()]
        inside = self.inside(self.container.working_dir)
        if not inside.exists():
            inside.mkdir(parents=True)
        self._fstab.write_text("\n".join(lines) + "\n")

    def inside(self, path: str) -> Path:
        """Where a directory of the room lies on the machine."""
        return next((place for place in _outside(path)), self.container.path(path))

    def command(self, argv: list[str]) -> tuple[list[str], dict[str, str]]:
        """What to start on the machine, and with which environment."""
        env = environment(self.container)
        if not self.apart:
            return [self._replaced(part) for part in argv], {name: self._replaced(value) for name, value in env.items()}
        start = [*_unshare(), tool("sh") or "sh", "-c", _script(), "room", str(self._fstab), self.container.hostname, str(self.container.root)]
        return [*start, *self._env_tool(env), *argv], env

    def enter(self, pid: int, argv: list[str], tty: bool = False) -> tuple[list[str], dict[str, str]]:
        """What to start on the machine for one more command in the room of process `pid`; with `tty` its input is a terminal that it is to own."""
        env = environment(self.container)
        if tty:
            env.setdefault("TERM", "xterm")
        own = [tool("setsid") or "setsid", "--ctty", "--wait"] if tty else []
        if not self.apart:
            return [*own, *(self._replaced(part) for part in argv)], {name: self._replaced(value) for name, value in env.items()}
        enter = [tool("nsenter") or "nsenter", "--preserve-credentials", "-t", str(pid), "-U", "-m", "-u", "-p", f"--root=/proc/{pid}/root"]
        return [*enter, *own, *self._env_tool(env), *argv], env

    def working_directory(self) -> Path:
        """Where a process without a room starts."""
        place = self.container.path(self.container.working_dir)
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _env_tool(self, env: dict[str, str]) -> list[str]:
        """`env` takes away what the shell before it added, and gives what a shell would have dropped."""
        added = [part for name in ("PWD", "OLDPWD", "SHLVL", "_") if name not in env for part in ("-u", name)]
        odd = [f"{name}={value}" for name, value in env.items() if not re.fullmatch(r"[A-Za-z_]\w*", name)]
        return [tool("env") or "env", *added, "-C", self.container.working_dir, "--", *odd]

    def _replaced(self, text: str) -> str:
        for mount in sorted(self.container.volumes, key=len, reverse=True):
            clean = mount.rstrip("/")
            if clean in text:
                place = str(self.container.volumes[mount])
                text = re.sub(rf"(?<![\w./-]){re.escape(clean)}(?![\w.-])", lambda _, place=place: place, text)  # type: ignore[misc]
        return text

    def _system(self) -> Iterator[str]:
        root = self.container.root
        Path(root, "usr").mkdir(exist_ok=True)
        yield _bind(Path("/usr"), root / "usr", "rbind,ro")
        for name in _SYSTEM:
            place, target = Path("/", name), root / name
            if place.is_symlink():
                if not target.is_symlink():
                    target.symlink_to(place.readlink())
            elif place.is_dir():
                target.mkdir(exist_ok=True)
                yield _bind(place, target, "rbind,ro")
        base = Path(sys.base_prefix)
        if not base.is_relative_to("/usr"):
            target = root / str(base).lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            yield _bind(base, target, "bind,ro")
            if "python" in self.container.image and Path("/usr/local").is_dir():
                yield _bind(base, root / "usr/local", "bind,ro")  # where images of Python have it

    def _etc(self) -> Iterator[str]:
        etc = self.container.root / "etc"
        for name in _ETC_FILES:
            source = Path("/etc", name)
            if source.is_file() and not (etc / name).exists():
                shutil.copyfile(source, etc / name)
        for name in _ETC_DIRECTORIES:
            if Path("/etc", name).is_dir():
                (etc / name).mkdir(exist_ok=True)
                yield _bind(Path("/etc", name), etc / name, "bind,ro")
        (etc / "hostname").write_text(f"{self.container.hostname}\n")
        (etc / "hosts").write_text(f"{_HOSTS}{self.container.ip}\t{self.container.hostname}\n")

    def _devices(self) -> Iterator[str]:
        devices = self.container.root / "dev"
        for name in _DEVICES:
            if Path("/dev", name).exists():
                (devices / name).touch()
                yield _bind(Path("/dev", name), devices / name, "bind")
        links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", **{name: f"/proc/self/fd/{number}" for number, name in enumerate(_STANDARD)}}
        for name, target in links.items():
            if not (devices / name).is_symlink():
                (devices / name).symlink_to(target)

    def _volumes(self) -> Iterator[str]:
        """Outer mounts first; a mount point below another volume is made there."""
        done: dict[str, Path] = {}
        for mount in sorted(self.container.volumes, key=len):
            source, path = self.container.volumes[mount], mount.rstrip("/")
            if any(True for _ in _outside(path)) and not Path(path).exists():
                raise StartError(f'unable to start container process: error mounting "{source}" to rootfs at "{path}": read-only file system')
            outer = max((one for one in done if path.startswith(one + "/")), key=len, default=None)
            point = done[outer] / path[len(outer) + 1 :] if outer else self.container.root / path.lstrip("/")
            if not any(True for _ in _outside(path)):
                _make_point(point, source.is_dir())
            done[path] = source
            yield _bind(source, self.container.root / path.lstrip("/"), "bind,ro" if mount in self.container.read_only else "bind")


def _script() -> str:
    """The pod's PATH may be anything: our tools are named by their places."""
    places = {name: tool(name) or name for name in ("mount", "hostname", "chroot")}
    script = _SCRIPT
    for name, place in places.items():
        script = re.sub(rf"\b{name} ", f"{place} ", script)
    return script


def _make_point(point: Path, directory: bool) -> None:
    if point.exists():
        return
    if directory:
        point.mkdir(parents=True)
    else:
        point.parent.mkdir(parents=True, exist_ok=True)
        point.touch()


def _bind(source: Path, target: Path, options: str) -> str:
    return f"{_escaped(source)} {_escaped(target)} none {options} 0 0"


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")
