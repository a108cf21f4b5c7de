"""Admission webhooks: what MutatingWebhookConfigurations and ValidatingWebhookConfigurations say is asked, over HTTP, before a write is done.

They are asked about what comes over HTTP. What the lab's own controllers write (a ReplicaSet's Pods) goes by them: a real cluster asks there too.
Their time-outs are real seconds, as what answers is no part of the lab.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import aiohttp

from lab.addresses import real_port
from lab.kubernetes.call import Call
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import MUTATING_WEBHOOK_CONFIGURATION, NAMESPACE, SERVICE, VALIDATING_WEBHOOK_CONFIGURATION, Kind
from lab.kubernetes.metadata import new_uid
from lab.kubernetes.patches import json_patch
from lab.kubernetes.selectors import labels_of, match_selector

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

OPERATIONS = {"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE"}
_NEVER_ASKED = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


class Webhooks:
    """Asks those who want to be asked."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def any(self) -> bool:
        """Whether there is anybody to ask."""
        store = self._registry.store
        return bool(store.count(MUTATING_WEBHOOK_CONFIGURATION) or store.count(VALIDATING_WEBHOOK_CONFIGURATION))

    async def mutate(self, kind: Kind, call: Call, operation: str, new: Obj | None, old: Obj | None, dry_run: bool) -> Obj | None:
        """The new object as the mutating webhooks want it; ApiError when one refuses."""
        for webhook in self._interested(MUTATING_WEBHOOK_CONFIGURATION, kind, call, operation, new, old):
            answer = await self._ask(webhook, kind, call, operation, new, old, dry_run)
            if answer and answer.get("patch") and new is not None:
                try:
                    new = json_patch(new, json.loads(base64.b64decode(answer["patch"])))
                except (ValueError, binascii.Error) as error:
                    raise _internal(f'admission webhook "{webhook["name"]}" returned a patch that is none: {error}') from None
        return new

    async def validate(self, kind: Kind, call: Call, operation: str, new: Obj | None, old: Obj | None, dry_run: bool) -> None:
        """ApiError when a validating webhook refuses. All are asked at once."""
        interested = list(self._interested(VALIDATING_WEBHOOK_CONFIGURATION, kind, call, operation, new, old))
        results = await asyncio.gather(
            *(self._ask(webhook, kind, call, operation, new, old, dry_run) for webhook in interested), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _interested(self, configurations: Kind, kind: Kind, call: Call, operation: str, new: Obj | None, old: Obj | None) -> Iterator[Obj]:
        if kind.kind in _NEVER_ASKED:
            return
        for configuration in self._registry.list(configurations):
            for webhook in configuration.get("webhooks") or ():
                wanted = any(_rule_fits(rule, kind, call, operation) for rule in webhook.get("rules") or ())
                if wanted and self._selected(webhook, kind, call, new, old):
                    yield webhook

    def _selected(self, webhook: Obj, kind: Kind, call: Call, new: Obj | None, old: Obj | None) -> bool:
        selector = webhook.get("objectSelector")
        if selector and not any(match_selector(selector)(labels_of(one)) for one in (new, old) if one is not None):
            return False
        selector = webhook.get("namespaceSelector")
        if not selector:
            return True
        name = call.target.name if kind is NAMESPACE else call.target.namespace
        namespace = self._registry.find(NAMESPACE, "", name) or (new if kind is NAMESPACE else None)
        return namespace is None or match_selector(selector)(labels_of(namespace))

    async def _ask(self, webhook: Obj, kind: Kind, call: Call, operation: str, new: Obj | None, old: Obj | None, dry_run: bool) -> Obj | None:
        """The webhook's response; None when it cannot be reached and that is no matter."""
        name, seconds = webhook["name"], int(webhook.get("timeoutSeconds") or 10)
        uid = new_uid()
        review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": _request(uid, kind, call, operation, new, old, dry_run)}
        try:
            answer = await self._post(webhook.get("clientConfig") or {}, seconds, review)
            response = answer.get("response") if isinstance(answer, dict) else None
            if not isinstance(response, dict) or response.get("uid") != uid:
                raise _Unreachable("expected response.uid to be the one of the request")
        except _Unreachable as error:
            if webhook.get("failurePolicy") == "Ignore":
                return None
            raise _internal(f'failed calling webhook "{name}": failed to call webhook: {error}') from None
        call.warnings += [str(text) for text in response.get("warnings") or ()]
        if not response.get("allowed"):
            raise _denied(name, response.get("status") or {})
        return response

    async def _post(self, config: Obj, seconds: int, review: Obj) -> Any:
        url, reached = self._addresses(config)
        where = f"{url}{'&' if '?' in url else '?'}timeout={seconds}s"
        try:
            timeout = aiohttp.ClientTimeout(total=seconds)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                asked = f"{reached}{'&' if '?' in reached else '?'}timeout={seconds}s"
                async with session.post(asked, json=review, ssl=_trust(config), server_hostname=_server_name(url)) as response:
                    if response.status != 200:
                        raise _Unreachable(f"the server responded with status {response.status}")
                    return await response.json(content_type=None)
        except TimeoutError:
            raise _Unreachable(f'Post "{where}": context deadline exceeded') from None
        except aiohttp.ClientConnectorError as error:
            raise _Unreachable(f'Post "{where}": dial tcp {error.host}:{error.port}: connect: connection refused') from None
        except (aiohttp.ClientError, ValueError, ssl.SSLError) as error:
            raise _Unreachable(f'Post "{where}": {error or "EOF"}') from None

    def _addresses(self, config: Obj) -> tuple[str, str]:
        """The webhook's URL, and the one under which the lab reaches it: there is no DNS for Services outside pods."""
        if config.get("url"):
            return config["url"], config["url"]
        service = config.get("service") or {}
        port, path = service.get("port") or 443, service.get("path") or ""
        found = self._registry.find(SERVICE, service.get("namespace", ""), service.get("name", ""))
        name = f"{service.get('name')}.{service.get('namespace')}.svc"
        if found is None:
            raise _Unreachable(f'Post "https://{name}:{port}{path}": service "{service.get("name")}" not found')
        return f"https://{name}:{port}{path}", f"https://{found['spec'].get('clusterIP')}:{real_port(port)}{path}"


class _Unreachable(Exception):
    """No answer that can be used."""


def _trust(config: Obj) -> ssl.SSLContext | bool:
    bundle = config.get("caBundle")
    if not bundle:
        return True
    return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())


def _server_name(url: str) -> str | None:
    host = url.partition("://")[2].partition("/")[0].rpartition(":")[0]
    return host if host.endswith(".svc") else None


def _rule_fits(rule: Obj, kind: Kind, call: Call, operation: str) -> bool:
    def has(key: str, wanted: str) -> bool:
        values = rule.get(key) or ()
        return "*" in values or wanted in values

    if not (has("operations", operation) and has("apiGroups", kind.group) and has("apiVersions", kind.version)):
        return False
    if rule.get("scope", "*") not in ("*", "Namespaced" if kind.namespaced else "Cluster"):
        return False
    below = call.target.subresource
    resources = rule.get("resources") or ()
    if below:
        return any(one in resources for one in ("*/*", f"{kind.plural}/{below}", f"{kind.plural}/*", f"*/{below}"))
    return any(one in resources for one in ("*", "*/*", kind.plural))


def _request(uid: str, kind: Kind, call: Call, operation: str, new: Obj | None, old: Obj | None, dry_run: bool) -> Obj:
    gvk, gvr = ({"group": kind.group, "version": kind.version, word: name} for word, name in (("kind", kind.kind), ("resource", kind.plural)))
    name = ((new or old or {}).get("metadata") or {}).get("name") or call.target.name
    request: Obj = {"uid": uid, "kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr, "name": name}
    if call.target.subresource:
        request["subResource"] = request["requestSubResource"] = call.target.subresource
    if kind.namespaced:
        request["namespace"] = call.target.namespace
    user: Obj = {"username": call.user, "groups": list(call.groups)}
    if call.uid:
        user["uid"] = call.uid
    return {**request, "operation": operation, "userInfo": user, "object": new, "oldObject": old, "dryRun": dry_run, "options": None}


def _internal(message: str) -> ApiError:
    return ApiError(500, f"Internal error occurred: {message}", "InternalError", {"causes": [{"message": message}]})


def _denied(name: str, status: Obj) -> ApiError:
    """The webhook's own status, in the server's words."""
    code = status.get("code") or 400
    told = status.get("message") or status.get("reason") or ""
    text = f'admission webhook "{name}" denied the request'
    message = f"{text}: {told}" if told else f"{text} without explanation"
    return ApiError(int(code), message, status.get("reason") or ("Forbidden" if code == 403 else None), status.get("details"))
