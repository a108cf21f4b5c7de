"""kube-webhook-certgen: makes a certificate for a webhook, keeps it in a Secret (`create`), and tells the webhook's configuration (`patch`).

An existing Secret stays as it is, so it outlives the release that made it: its jobs are hooks, and what they make belongs to nobody.
"""

from __future__ import annotations

import base64
from typing import Any

import aiohttp

from lab.programs.certificates import make_pair
from lab.programs.in_cluster import ApiRefused, InCluster
from lab.programs.program import Container


class WebhookCertgen:
    """The image's program."""

    async def run(self, container: Container) -> int:
        """One of its two commands."""
        words = [word for word in container.argv if not word.startswith("-")]
        options = dict(word.removeprefix("--").partition("=")[::2] for word in container.argv if word.startswith("--"))
        try:
            async with InCluster(container) as api:
                secrets = f"/api/v1/namespaces/{options.get('namespace', container.namespace)}/secrets"
                if words[-1:] == ["create"]:
                    await _create(api, secrets, options)
                else:
                    await _patch(api, secrets, options)
        except (ApiRefused, aiohttp.ClientError, OSError, KeyError) as error:
            container.log(f'{{"level":"fatal","msg":"{error}"}}')
            return 1
        return 0


async def _create(api: InCluster, secrets: str, options: dict[str, str]) -> None:
    try:
        await api.call("GET", f"{secrets}/{options['secret-name']}")
    except ApiRefused as error:
        if error.status != 404:
            raise
        key, certificate = make_pair(options["host"].split(","))
        made = {"ca": certificate, "cert": certificate, "key": key}
        data = {name: base64.b64encode(value).decode() for name, value in made.items()}
        await api.call("POST", secrets, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": options["secret-name"]}, "data": data})


async def _patch(api: InCluster, secrets: str, options: dict[str, str]) -> None:
    authority = (await api.call("GET", f"{secrets}/{options['secret-name']}"))["data"]["ca"]
    for kind in ("mutating", "validating"):
        if options.get(f"patch-{kind}", "true") != "true":
            continue
        path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations/{options['webhook-name']}"
        configuration: dict[str, Any] = await api.call("GET", path)
        for webhook in configuration["webhooks"]:
            webhook["clientConfig"]["caBundle"] = authority
            webhook["failurePolicy"] = options.get("patch-failure-policy") or webhook.get("failurePolicy", "Fail")
        await api.call("PUT", path, configuration)
