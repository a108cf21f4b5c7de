"""A pod's volumes as directories below the lab's own.

`pods/<uid>/volumes/<name>` for what lives as long as the pod, `volumes/<pv>` for persistent volumes (gone with the PV, not with the pod), and
`nodes/<node>/<path>` for hostPath: every node has its private tree, nothing of this machine is reached.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.kubelet.environment import expand, field_value, resource_value
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import CONFIG_MAP, PV, PVC, SECRET
from lab.kubernetes.registry import Registry

Obj = dict[str, Any]
TokenMaker = Callable[[Obj, str, str, int], str]  # pod, service account, audience ("": the API itself), seconds -> token

# The token that every pod gets is said to live for an hour and is accepted for a year, so that old clients which never read it again keep working.
_AUTOMATIC, _EXTENDED = 3607, 365 * 24 * 3600 + 7


class MountError(Exception):
    """A volume cannot be set up (yet)."""

    def __init__(self, volume: str, why: str) -> None:
        super().__init__(f'MountVolume.SetUp failed for volume "{volume}" : {why}')


class Volumes:
    """The volumes of one pod."""

    def __init__(self, registry: Registry, state: Path, pod: Obj, token: TokenMaker) -> None:
        self._registry = registry
        self._state = state
        self._pod = pod
        self._token = token
        self.directory: Path = state / "pods" / str(pod["metadata"]["uid"])
        self._places: dict[str, Path] = {}
        self._sources = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}

    def set_up(self, status: Obj) -> None:
        """Make all volumes; MountError names the first that cannot be made. May be called again."""
        for name in self._sources:
            if name not in self._places:
                self._places[name] = self._make(name, status)

    def refresh(self, pod: Obj, status: Obj) -> None:
        """Bring files from ConfigMaps, Secrets and the pod's own fields up to date; what is not there any more stays as it was."""
        self._pod = pod
        for name in self._places:
            files = self._try_files(name, status)
            if files is not None:
                _write_files(self._places[name], files)

    def uses(self, kind: str, name: str) -> bool:
        """Whether a volume shows this ConfigMap or Secret."""
        for volume in self._sources.values():
            for part in (volume, *((volume.get("projected") or {}).get("sources") or ())):
                found = part.get("configMap" if kind == "ConfigMap" else "secret") or {}
                if name in (found.get("name"), found.get("secretName")):
                    return True
        return False

    def remove(self) -> None:
        """The pod is gone, and with it what lived as long as it."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def mounts(self, container: Obj, env: dict[str, str]) -> tuple[dict[str, Path], frozenset[str]]:
        """Mount paths and where they lead, and which of them are read-only."""
        found: dict[str, Path] = {}
        read_only = set()
        for mount in container.get("volumeMounts") or ():
            place, sub = self._places[mount["name"]], str(mount.get("subPath") or expand(mount.get("subPathExpr") or "", env))
            if sub:
                place = place / sub
                if not place.exists():
                    place.mkdir(parents=True)
            found[mount["mountPath"]] = place
            source = self._sources[mount["name"]]
            if mount.get("readOnly") or any(kind in source for kind in ("configMap", "secret", "projected", "downwardAPI")):
                read_only.add(mount["mountPath"])
        return found, frozenset(read_only)

    def _make(self, name: str, status: Obj) -> Path:
        source = self._sources[name]
        if "persistentVolumeClaim" in source:
            return self._claimed(name, source["persistentVolumeClaim"]["claimName"])
        if "hostPath" in source:
            return self._host_path(name, source["hostPath"])
        if "ephemeral" in source:
            return self._claimed(name, f"{self._pod['metadata']['name']}-{name}")
        place = self.directory / "volumes" / name
        files = self._files(name, status)
        place.mkdir(parents=True, exist_ok=True)
        _write_files(place, files)
        return place

    def _claimed(self, volume: str, claim_name: str) -> Path:
        claim = self._registry.find(PVC, self._pod["metadata"]["namespace"], claim_name)
        if claim is None:
            raise MountError(volume, f'persistentvolumeclaim "{claim_name}" not found')
        pv = self._registry.find(PV, "", claim["spec"].get("volumeName", ""))
        if pv is None or (claim.get("status") or {}).get("phase") != "Bound":
            raise MountError(volume, f"PVC {self._pod['metadata']['namespace']}/{claim_name} is not bound")
        place = volume_directory(self._state, pv)
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _host_path(self, volume: str, source: Obj) -> Path:
        path, kind = str(source["path"]), source.get("type") or ""
        place = self._state / "nodes" / str(self._pod["spec"]["nodeName"]) / path.lstrip("/")
        if kind in ("", "DirectoryOrCreate"):
            place.mkdir(parents=True, exist_ok=True)
        elif kind == "FileOrCreate":
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        elif (kind == "Directory" and not place.is_dir()) or (kind == "File" and not place.is_file()) or not place.exists():
            what = {"Directory": "directory", "File": "file"}.get(kind, kind)
            raise MountError(volume, f"hostPath type check failed: {path} is not a {what}")
        return place

    def _try_files(self, name: str, status: Obj) -> dict[str, bytes] | None:
        try:
            return self._files(name, status)
        except MountError:
            return None

    def _files(self, name: str, status: Obj) -> dict[str, bytes]:
        source = self._sources[name]
        if "configMap" in source:
            return self._from_object(name, source["configMap"], source["configMap"].get("name", ""), secret=False)
        if "secret" in source:
            return self._from_object(name, source["secret"], source["secret"].get("secretName", ""), secret=True)
        if "downwardAPI" in source:
            return self._downward(source["downwardAPI"], status)
        files: dict[str, bytes] = {}
        for part in (source.get("projected") or {}).get("sources") or ():
            files |= self._projected(name, part, status)
        return files

    def _projected(self, volume: str, part: Obj, status: Obj) -> dict[str, bytes]:
        if "configMap" in part:
            return self._from_object(volume, part["configMap"], part["configMap"].get("name", ""), secret=False)
        if "secret" in part:
            return self._from_object(volume, part["secret"], part["secret"].get("name", ""), secret=True)
        if "downwardAPI" in part:
            return self._downward(part["downwardAPI"], status)
        if "serviceAccountToken" in part:
            wanted, account = part["serviceAccountToken"], self._pod["spec"].get("serviceAccountName") or "default"
            seconds = wanted.get("expirationSeconds", 3600)
            try:
                token = self._token(self._pod, account, wanted.get("audience", ""), _EXTENDED if seconds == _AUTOMATIC else seconds)
            except ApiError as error:
                raise MountError(volume, f"failed to fetch token: {error.message}") from error
            return {wanted["path"]: token.encode()}
        return {}

    def _from_object(self, volume: str, source: Obj, name: str, secret: bool) -> dict[str, bytes]:
        found = self._registry.find(SECRET if secret else CONFIG_MAP, self._pod["metadata"]["namespace"], name)
        if found is None:
            if source.get("optional"):
                return {}
            raise MountError(volume, f'{"secret" if secret else "configmap"} "{name}" not found')
        data = {key: base64.b64decode(value) if secret else value.encode() for key, value in (found.get("data") or {}).items()}
        data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
        if not source.get("items"):
            return data
        files = {}
        for item in source["items"]:
            if item["key"] in data:
                files[item["path"]] = data[item["key"]]
            elif not source.get("optional"):
                raise MountError(volume, f"references non-existent {'secret' if secret else 'config'} key: {item['key']}")
        return files

    def _downward(self, source: Obj, status: Obj) -> dict[str, bytes]:
        files = {}
        for item in source.get("items") or ():
            if "fieldRef" in item:
                text = field_value(self._pod, status, item["fieldRef"]["fieldPath"])
            else:
                text = resource_value(self._registry, self._pod, {}, item["resourceFieldRef"])
            files[item["path"]] = text.encode()
        return files


def volume_directory(state: Path, pv: Obj) -> Path:
    """Where a persistent volume's data lies: by its own path when it says one, so that two PVs of one directory share it."""
    spec = pv["spec"]
    path = (spec.get("hostPath") or spec.get("local") or {}).get("path")
    if path:
        return state / "volumes" / "by-path" / str(path).strip("/").replace("/", "%")
    return state / "volumes" / f"{pv['metadata']['name']}-{pv['metadata']['uid']}"


def _write_files(place: Path, files: dict[str, bytes]) -> None:
    """Make the directory hold exactly these files; each is replaced as a whole, so readers never see half of one."""
    for path, content in files.items():
        target = place / path
        if target.is_file() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"..{target.name}.new")
        fresh.write_bytes(content)
        fresh.replace(target)
    if files:
        for old in [old for old in place.rglob("*") if old.is_file() and str(old.relative_to(place)) not in files]:
            old.unlink()
