"""Subresources: scale, binding, eviction, token, finalize, and those of a Pod that its kubelet answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from aiohttp import web

from lab.kubernetes import patches, patching
from lab.kubernetes.answers import answer, answer_value
from lab.kubernetes.auth import Authenticator
from lab.kubernetes.bodies import must_be_object, parse
from lab.kubernetes.call import Call
from lab.kubernetes.connecting import PodConnections
from lab.kubernetes.context import Context, DeleteOptions
from lab.kubernetes.custom.jsonpath import first, place
from lab.kubernetes.errors import ApiError, FieldError, bad_request, conflict, invalid_as, method_not_allowed, no_such_resource
from lab.kubernetes.kinds import PDB, POD, Kind
from lab.kubernetes.listing import encode_one
from lab.kubernetes.negotiation import Form
from lab.kubernetes.options import write_context
from lab.kubernetes.registry import Registry
from lab.kubernetes.reviews import token_request
from lab.kubernetes.rules import track_update
from lab.kubernetes.selectors import labels_of, match_selector, selector_text
from lab.kubernetes.writing import patch, read_patch, update

Obj = dict[str, Any]

_FIRST_LINE = 0.1  # real seconds until the head of an answer goes out without a first line


class PodAccess(PodConnections, Protocol):
    """What a kubelet offers below a Pod's path."""

    def logs(self, pod: Obj, container: str | None, options: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Lines of a container's log. May raise ApiError before the first one."""
        ...


class Subresources:
    """Answers requests below an item."""

    def __init__(self, registry: Registry, auth: Authenticator, pods: PodAccess | None) -> None:
        self._registry = registry
        self._auth = auth
        self._pods = pods

    async def answer(self, kind: Kind, call: Call, form: Form) -> web.StreamResponse:
        """Carry out a request on a subresource."""
        name = call.target.subresource
        if name == "scale" and kind.scale:
            return self._scale(kind, call, form)
        if name == "status" and kind.status:
            return self._part(kind, call, form)
        if name not in kind.subresources:
            raise no_such_resource()
        if name in ("ephemeralcontainers", "resize", "approval"):
            return self._part(kind, call, form)
        if name == "finalize":
            return self._finalize(kind, call, form)
        if name == "log":
            return await self._log(call)
        if call.method != "POST":
            raise method_not_allowed() if name in ("binding", "eviction", "token") else no_such_resource()
        ctx = write_context(call, "CreateOptions")
        body = must_be_object(parse(call.body or b"{}", call.content_type, kind.kind)[0], kind.kind, call.body)
        if name == "token":
            token = token_request(self._registry, self._auth, call, body)
            track_update(_TOKEN_REQUEST, None, token, ctx.manager, "token", self._registry.now())
            return answer_value(token, form, 201)
        if name == "binding":
            return answer_value(bind(self._registry, call.target.namespace, call.target.name, body, ctx), form, 201)
        if name == "eviction":
            return answer_value(evict(self._registry, call.target.namespace, call.target.name, body, ctx), form, 201)
        raise no_such_resource()

    def _part(self, kind: Kind, call: Call, form: Form) -> web.StreamResponse:
        name = call.target.subresource
        if call.method == "GET":
            obj = self._registry.get(self._registry.kinds.stored(kind), call.target.namespace, call.target.name)
            return answer(encode_one(self._registry, kind, obj, form), form)
        if call.method == "PUT":
            return update(self._registry, kind, call, form, name)
        if call.method == "PATCH":
            return patch(self._registry, kind, call, form, name)
        raise method_not_allowed()

    def _finalize(self, kind: Kind, call: Call, form: Form) -> web.StreamResponse:
        if call.method != "PUT":
            raise method_not_allowed()
        return update(self._registry, kind, call, form, "finalize")

    def _scale(self, kind: Kind, call: Call, form: Form) -> web.StreamResponse:
        obj = self._registry.get(self._registry.kinds.stored(kind), call.target.namespace, call.target.name)
        if call.method == "GET":
            return answer_value(scale_of(kind, obj), form)
        if call.method == "PUT":
            ctx = write_context(call, "UpdateOptions")
            wanted = must_be_object(parse(call.body, call.content_type, "Scale")[0], "Scale", call.body)
        elif call.method == "PATCH":
            body, content_type = read_patch(call)
            ctx = write_context(call, "PatchOptions", content_type == patching.APPLY_PATCH)
            wanted = _patched_scale(scale_of(kind, obj), body, content_type)
        else:
            raise method_not_allowed()
        done = self._set_scale(kind, obj, wanted, ctx)
        return answer_value(scale_of(kind, done), form, 200, call.warnings)

    def _set_scale(self, kind: Kind, obj: Obj, wanted: Obj, ctx: Context) -> Obj:
        meta, name = wanted.get("metadata") or {}, obj["metadata"]["name"]
        replicas = (wanted.get("spec") or {}).get("replicas", 0)
        if meta.get("name", name) != name:
            raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
        if meta.get("resourceVersion") and meta["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise conflict(kind, name)
        if not isinstance(replicas, int) or isinstance(replicas, bool):
            kinds = {str: "string", bool: "bool", dict: "object", list: "array", float: "number"}
            word = kinds.get(type(replicas), "value")
            why = f"json: cannot unmarshal {word} into Go struct field ScaleSpec.spec.replicas of type int32"
            raise bad_request(f'Scale in version "v1" cannot be handled as a Scale: {why}')
        if replicas < 0:
            error = FieldError("FieldValueInvalid", f"Invalid value: {replicas}: must be greater than or equal to 0", "spec.replicas")
            raise invalid_as("Scale.autoscaling", "autoscaling", "Scale", name, [error])

        def change(target: Obj) -> None:
            place(target, _paths(kind)[0], replicas)

        return self._registry.modify(self._registry.kinds.stored(kind), obj["metadata"].get("namespace", ""), name, change, "scale", ctx)

    async def _log(self, call: Call) -> web.StreamResponse:
        if call.method != "GET":
            raise method_not_allowed()
        pod = self._registry.get(POD, call.target.namespace, call.target.name)
        if self._pods is None:
            raise ApiError(500, "no node answers for this pod", "InternalError")
        lines = aiter(self._pods.logs(pod, call.query.get("container"), call.query))
        first = asyncio.ensure_future(anext(lines, None))
        await asyncio.wait({first}, timeout=_FIRST_LINE)
        try:
            if first.done():
                first.result()  # a refusal comes at once; a silent container is followed until it says something
        except ApiError as error:
            if error.code == 204:
                return web.Response(status=204)
            raise
        response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"})
        response.enable_chunked_encoding()
        await response.prepare(call.request)
        try:
            if (chunk := await first) is not None:
                await response.write(chunk)
            async for line in lines:
                await response.write(line)
            await response.write_eof()
        except (ConnectionResetError, ConnectionError):
            pass  # the reader has gone
        finally:
            if not first.done():
                first.cancel()
                await asyncio.wait({first})
            if close := getattr(lines, "aclose", None):
                await close()
        return response


def _patched_scale(scale: Obj, body: Any, content_type: str) -> Obj:
    if content_type == patching.JSON_PATCH:
        return patches.json_patch(scale, body)
    return patches.merge_patch(scale, body)  # a Scale holds no lists, so all the others come to the same


def scale_of(kind: Kind, obj: Obj) -> Obj:
    """The Scale of something that has replicas."""
    meta = obj["metadata"]
    wanted, there, selector_path = _paths(kind)
    if kind.custom and first(wanted, obj) is None:
        raise ApiError(500, f'Internal error occurred: the spec replicas field "{wanted}" does not exist', "InternalError")
    shown = {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in meta}
    replicas = first(wanted, obj) or 0
    result: Obj = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": shown, "spec": {"replicas": replicas} if replicas else {}}
    result["status"] = {"replicas": first(there, obj) or 0}
    selector = first(selector_path, obj) if selector_path else None
    if selector := selector if isinstance(selector, str) else selector_text(selector):
        result["status"]["selector"] = selector
    return result


def _paths(kind: Kind) -> tuple[str, str, str]:
    """Where a kind has the number of replicas wanted, the number there, and the selector."""
    if kind.definition is None:
        return ".spec.replicas", ".status.replicas", ".spec.selector"
    scale = kind.definition.scale
    return scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath", "")


def bind(registry: Registry, namespace: str, name: str, binding: Obj, ctx: Context) -> Obj:
    """Give a Pod its node, as the scheduler does."""
    node = (binding.get("target") or {}).get("name", "")
    if not node:
        error = FieldError("FieldValueRequired", "Required value", "target.name")
        raise invalid_as("Binding", "", "Binding", (binding.get("metadata") or {}).get("name", ""), [error])
    pod = registry.get(POD, namespace, name)
    if pod["metadata"].get("deletionTimestamp"):
        raise conflict(_BINDING, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if there := pod["spec"].get("nodeName"):
        raise conflict(_BINDING, name, f"pod {name} is already assigned to node \"{there}\"")

    def change(target: Obj) -> None:
        target["spec"]["nodeName"] = node
        conditions = target.setdefault("status", {}).setdefault("conditions", [])
        conditions[:] = [one for one in conditions if one["type"] != "PodScheduled"]
        conditions.append({"type": "PodScheduled", "observedGeneration": target["metadata"].get("generation", 1), "status": "True",
                           "lastProbeTime": None, "lastTransitionTime": registry.now()})  # fmt: skip

    registry.modify(POD, namespace, name, change, "binding", ctx)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


_TOKEN_REQUEST = Kind("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests", status=True)
_BINDING = Kind("", "v1", "Binding", "pods/binding")


def evict(registry: Registry, namespace: str, name: str, eviction: Obj, ctx: Context) -> Obj:
    """Delete a Pod unless a disruption budget forbids it (429)."""
    pod = registry.get(POD, namespace, name)
    options = eviction.get("deleteOptions") or {}
    budgets = [
        budget for budget in registry.list(PDB, namespace)
        if (budget.get("spec") or {}).get("selector") is not None and match_selector(budget["spec"]["selector"])(labels_of(pod))
    ]  # fmt: skip
    running = (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed", "Pending") and not pod["metadata"].get("deletionTimestamp")
    if running and len(budgets) > 1:
        raise ApiError(500, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
    dry_run = bool(options.get("dryRun")) or ctx.dry_run
    if running and budgets:
        _use_budget(registry, budgets[0], pod, dry_run)
    conditions = options.get("preconditions") or {}
    wanted = DeleteOptions(
        options.get("gracePeriodSeconds"), options.get("propagationPolicy"), conditions.get("uid"), conditions.get("resourceVersion"), dry_run
    )
    if not dry_run:
        _mark_disrupted(registry, pod)
    registry.delete(POD, namespace, name, wanted, ctx)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _use_budget(registry: Registry, budget: Obj, pod: Obj, dry_run: bool) -> None:
    status, name = budget.get("status") or {}, budget["metadata"]["name"]
    if status.get("disruptionsAllowed", 0) <= 0:
        needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        cause = {"reason": "DisruptionBudget", "message": f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"}
        text = "Cannot evict pod as it would violate the pod's disruption budget."
        raise ApiError(429, text, "TooManyRequests", {"causes": [cause]})

    def change(target: Obj) -> None:
        target["status"]["disruptionsAllowed"] -= 1
        target["status"].setdefault("disruptedPods", {})[pod["metadata"]["name"]] = registry.now()

    if not dry_run:
        registry.modify(PDB, budget["metadata"]["namespace"], name, change, "status")


def _mark_disrupted(registry: Registry, pod: Obj) -> None:
    def change(target: Obj) -> None:
        conditions = target.setdefault("status", {}).setdefault("conditions", [])
        conditions.append({
            "type": "DisruptionTarget", "status": "True", "lastProbeTime": None, "lastTransitionTime": registry.now(),
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        })  # fmt: skip

    if all(one["type"] != "DisruptionTarget" for one in (pod.get("status") or {}).get("conditions") or ()):
        registry.modify(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], change, "status")
