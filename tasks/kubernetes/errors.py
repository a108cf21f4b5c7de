"""What a Kubernetes API server's refusals mean: worth trying again (Transient) or not (Permanent), and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from networks.errors import Permanent, Transient


class NotThere(Permanent):
    """404: the object, or the kind of object, does not exist."""


class AlreadyThere(Permanent):
    """409 AlreadyExists: somebody made an object of that name before."""


class NotForwarded(Permanent):
    """The API server does not lead to a pod's port: no right to it, or no such pod."""


class Expired(Transient):
    """410: the version that a watch or a list asked for is no longer kept; list anew."""


class Conflict(Transient):
    """409: the object is no longer what the request takes it for; read it anew."""


class Unsure(Transient):
    """The request may or may not have been carried out: read before sending it again."""


_SERVER_TROUBLE = {500, 502, 503, 504}


def parse_status(text: str) -> dict[str, Any]:
    """The `Status` object of an error answer; for a plain text the same shape, with the text as message."""
    try:
        status = json.loads(text)
    except ValueError:
        status = None
    if isinstance(status, dict):
        return status
    return {"message": " ".join(text.split())[:500]}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of the Retry-After header. Kubernetes sends whole seconds, never a date."""
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None


def translate(status: int, text: str, headers: Mapping[str, str], what: str) -> Transient | Permanent:
    """The error to raise for an answer other than 2xx to a request that was to do `what` ("apply Deployment devnet/miner-3")."""
    answer = parse_status(text)
    reason = str(answer.get("reason") or "")
    message = str(answer.get("message") or "no explanation")
    details = answer.get("details") or {}
    causes = details.get("causes") or []
    failure, why = f"cannot {what}", f"{message} (HTTP {status}{' ' + reason if reason else ''})"
    if status == 429:
        wait = retry_after(headers) or details.get("retryAfterSeconds")
        return Transient(failure, why=why, advice="the API server limits requests: try again later, or ask for less at once", retry_after=wait)
    if status in _SERVER_TROUBLE:
        return Transient(failure, why=why, advice="the API server has trouble: look at its health and try again", retry_after=retry_after(headers))
    if status == 410:
        return Expired(failure, why=why)
    if status == 409 and reason == "Conflict" and not any(c.get("reason") == "FieldManagerConflict" for c in causes):
        return Conflict(failure, why=why, advice="somebody else writes to the same object; try again")
    if status == 409 and reason == "AlreadyExists":
        return AlreadyThere(failure, why=why)
    if status == 404:
        return NotThere(failure, why=why, advice="check that the cluster has this kind of object, and that nobody deletes the network meanwhile")
    return Permanent(failure, why=why, advice=_advice(status, message, details))


def _advice(status: int, message: str, details: Mapping[str, Any]) -> str:
    if status != 403:
        return _ADVICE.get(status, "")
    if "exceeded quota" in message:
        return "raise the namespace's ResourceQuota, or ask for fewer or smaller miners"
    if "being terminated" in message:
        return "the namespace is being deleted: wait until it is gone and run again"
    if "cannot" in message:
        resource = details.get("kind") or "this resource"
        return (
            f"give this user the right it lacks on {resource} (a Role or ClusterRole and its binding; `kubectl auth can-i --list` shows what it has)"
        )
    return "an admission rule of the cluster refuses this: change the rule or the setting it names"


_ADVICE = {
    400: "the cluster does not take this object as it is: change the setting that the message names",
    401: "the cluster does not accept these credentials: renew the kubeconfig in the Cluster block (an `exec` section must work where the flow runs)",
    409: "another manager owns the field: undo its change",
    413: "the object is too large: shorten the node configuration",
    422: "the cluster does not take this object as it is: change the setting that the message names",
}
