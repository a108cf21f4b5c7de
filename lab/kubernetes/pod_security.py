"""Pod Security admission: what the labels `pod-security.kubernetes.io/…` of a namespace forbid, or warn of, by the Pod Security Standards.

Checks and texts are those of the latest version; a version in the labels is shown and otherwise ignored. SELinux, AppArmor and Windows are not
looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Obj = dict[str, Any]
Check = Callable[[Obj], str | None]

_PREFIX = "pod-security.kubernetes.io/"
_CAPABILITIES = frozenset(
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT".split()  # noqa: SIM905
)
_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
})  # fmt: skip
_VOLUMES = ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret")


def violations(level: str, spec: Obj) -> str:
    """What a Pod does that a level forbids, in the server's words; empty when nothing."""
    checks = {"baseline": _BASELINE, "restricted": [*(one for one in _BASELINE if one is not _capabilities), *_RESTRICTED]}.get(level, [])
    return ", ".join(text for check in checks if (text := check(spec)))


def level_of(namespace: Obj, mode: str) -> tuple[str, str]:
    """The level that a namespace has for `enforce`, `warn` or `audit`, and its version."""
    labels = namespace["metadata"].get("labels") or {}
    return labels.get(_PREFIX + mode) or "privileged", labels.get(f"{_PREFIX}{mode}-version") or "latest"


def _containers(spec: Obj) -> Iterator[Obj]:
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(key) or ()


def _context(container: Obj) -> Obj:
    return container.get("securityContext") or {}


def _named(word: str, names: list[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{word}{'s' if len(names) > 1 else ''} {', '.join(_quote(name) for name in names)}"


def _quote(name: str) -> str:
    return f'"{name}"'


def _bad(spec: Obj, wrong: Callable[[Obj], bool]) -> list[str]:
    return [container.get("name", "") for container in _containers(spec) if wrong(container)]


# Baseline


def _capabilities(spec: Obj) -> str | None:
    found: dict[str, None] = {}
    names = []
    for container in _containers(spec):
        added = [one for one in (_context(container).get("capabilities") or {}).get("add") or () if one not in _CAPABILITIES]
        if added:
            names.append(container["name"])
            found |= dict.fromkeys(added)
    if not names:
        return None
    return f"non-default capabilities ({_named('container', names)} must not include {', '.join(map(_quote, sorted(found)))} in " \
           "securityContext.capabilities.add)"  # fmt: skip


def _host_namespaces(spec: Obj) -> str | None:
    found = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    return f"host namespaces ({', '.join(found)})" if found else None


def _host_paths(spec: Obj) -> str | None:
    names = [volume["name"] for volume in spec.get("volumes") or () if volume.get("hostPath")]
    return f"hostPath volumes ({_named('volume', names)})" if names else None


def _host_ports(spec: Obj) -> str | None:
    ports: dict[str, None] = {}
    names = []
    for container in _containers(spec):
        used = [str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")]
        if used:
            names.append(container["name"])
            ports |= dict.fromkeys(used)
    if not names:
        return None
    verb = "uses" if len(names) == 1 else "use"
    return f"hostPort ({_named('container', names)} {verb} hostPort{'s' if len(ports) > 1 else ''} {', '.join(sorted(ports))})"


def _privileged(spec: Obj) -> str | None:
    names = _bad(spec, lambda one: bool(_context(one).get("privileged")))
    return f"privileged ({_named('container', names)} must not set securityContext.privileged=true)" if names else None


def _proc_mount(spec: Obj) -> str | None:
    names = _bad(spec, lambda one: _context(one).get("procMount") not in (None, "", "Default"))
    return f'procMount ({_named("container", names)} must not set securityContext.procMount to "Unmasked")' if names else None


def _unconfined(spec: Obj) -> str | None:
    def unconfined(holder: Obj) -> bool:
        return (_context(holder).get("seccompProfile") or {}).get("type") == "Unconfined"

    who = [*(["pod"] if unconfined(spec) else []), *([_named("container", names)] if (names := _bad(spec, unconfined)) else [])]
    return f'seccompProfile ({" and ".join(who)} must not set securityContext.seccompProfile.type to "Unconfined")' if who else None


def _sysctls(spec: Obj) -> str | None:
    names = [one["name"] for one in _context(spec).get("sysctls") or () if one.get("name") not in _SYSCTLS]
    return f"forbidden sysctls ({', '.join(names)})" if names else None


_BASELINE: list[Check] = [_capabilities, _host_namespaces, _host_paths, _host_ports, _privileged, _proc_mount, _unconfined, _sysctls]

# Restricted


def _escalation(spec: Obj) -> str | None:
    names = _bad(spec, lambda one: _context(one).get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    return f"allowPrivilegeEscalation != false ({_named('container', names)} must set securityContext.allowPrivilegeEscalation=false)"


def _all_dropped(spec: Obj) -> str | None:
    def keeps(container: Obj) -> bool:
        return "ALL" not in ((_context(container).get("capabilities") or {}).get("drop") or ())

    def adds(container: Obj) -> bool:
        return any(one != "NET_BIND_SERVICE" for one in (_context(container).get("capabilities") or {}).get("add") or ())

    texts = []
    if names := _bad(spec, keeps):
        texts.append(f'{_named("container", names)} must set securityContext.capabilities.drop=["ALL"]')
    if names := _bad(spec, adds):
        added = {one for container in _containers(spec) for one in (_context(container).get("capabilities") or {}).get("add") or ()}
        wrong = ", ".join(map(_quote, sorted(added - {"NET_BIND_SERVICE"})))
        texts.append(f"{_named('container', names)} must not include {wrong} in securityContext.capabilities.add")
    return f"unrestricted capabilities ({'; '.join(texts)})" if texts else None


def _volume_types(spec: Obj) -> str | None:
    bad = [
        (volume["name"], kind) for volume in spec.get("volumes") or () for kind in volume if kind not in ("name", *_VOLUMES)
    ]  # fmt: skip
    if not bad:
        return None
    names, kinds = [name for name, _ in bad], sorted({kind for _, kind in bad})
    uses = "uses restricted volume type" if len(names) == 1 else "use restricted volume type"
    return f"restricted volume types ({_named('volume', names)} {uses}{'s' if len(kinds) > 1 else ''} {', '.join(map(_quote, kinds))})"


def _non_root(spec: Obj) -> str | None:
    whole = _context(spec).get("runAsNonRoot")
    names = _bad(spec, lambda one: _context(one).get("runAsNonRoot") is False or (_context(one).get("runAsNonRoot") is None and not whole))
    if whole is False:
        return "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"
    return f"runAsNonRoot != true (pod or {_named('container', names)} must set securityContext.runAsNonRoot=true)" if names else None


def _root_user(spec: Obj) -> str | None:
    names = _bad(spec, lambda one: _context(one).get("runAsUser") == 0)
    who = [*(["pod"] if _context(spec).get("runAsUser") == 0 else []), *([_named("container", names)] if names else [])]
    return f"runAsUser=0 ({' and '.join(who)} must not set runAsUser=0)" if who else None


def _seccomp(spec: Obj) -> str | None:
    fine = ("RuntimeDefault", "Localhost")
    whole = (_context(spec).get("seccompProfile") or {}).get("type")
    names = _bad(spec, lambda one: ((_context(one).get("seccompProfile") or {}).get("type") or whole) not in fine)
    if not names:
        return None
    return f'seccompProfile (pod or {_named("container", names)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'


_RESTRICTED: list[Check] = [_escalation, _all_dropped, _volume_types, _non_root, _root_user, _seccomp]
