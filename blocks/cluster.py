"""A Kubernetes cluster that networks can be deployed to."""

from __future__ import annotations

import json
from typing import Any

import yaml
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.config import new_client_from_config_dict
from prefect.blocks.core import Block
from pydantic import Field, SecretStr


class ClusterUnusable(ValueError):
    """The block's kubeconfig cannot lead to a cluster; says what to change."""


class Cluster(Block):
    """How to reach a Kubernetes cluster: a kubeconfig, and which of its contexts to use."""

    _block_type_name = "Kubernetes Cluster"
    _block_type_slug = "kubernetes-cluster"
    _description = "A Kubernetes cluster that Cosmodrome deploys networks to."

    kubeconfig: SecretStr = Field(
        description="The kubeconfig as YAML, with certificates and tokens inside (`kubectl config view --raw --minify --flatten`). "
        "Paths in it are read, and an `exec` section is run, on the machine where the flow runs.",
    )
    context: str | None = Field(default=None, description="Name of the context to use; empty: the kubeconfig's current-context.")
    description: str = Field(default="", description="What this cluster is for, for people.")

    def config(self) -> dict[str, Any]:
        """The kubeconfig as data. ClusterUnusable names what is missing, and never quotes the kubeconfig."""
        try:
            config = yaml.safe_load(self.kubeconfig.get_secret_value())
        except yaml.YAMLError as error:
            place = getattr(error, "problem_mark", None)
            where = f" (line {place.line + 1})" if place else ""
            raise ClusterUnusable(f"the kubeconfig is not YAML{where}") from None
        if not isinstance(config, dict):
            raise ClusterUnusable("the kubeconfig is not a mapping; paste the whole output of `kubectl config view --raw --minify --flatten`")
        name = self.context or config.get("current-context")
        if not name:
            raise ClusterUnusable("the kubeconfig has no current-context: name one in the block's `context`")
        context = _named(config, "contexts", name).get("context") or {}
        cluster = _named(config, "clusters", context.get("cluster")).get("cluster") or {}
        if not cluster.get("server"):
            raise ClusterUnusable(f"cluster {context.get('cluster')!r} of the kubeconfig has no `server`")
        return config

    async def client(self) -> ApiClient:
        """A new client for this cluster; close it. ClusterUnusable when the kubeconfig does not make one."""
        config = self.config()
        try:
            client: ApiClient = await new_client_from_config_dict(config, context=self.context)
            return client
        except Exception as error:  # the loader raises what comes: ConfigException, OSError, binascii.Error, ssl.SSLError ...
            raise ClusterUnusable(f"the kubeconfig cannot be used: {type(error).__name__}: {error}") from None

    async def check(self) -> str:
        """The cluster's version, when it answers: for trying a block by hand."""
        client = await self.client()
        try:
            method, url, headers, body, post = await client.param_serialize("GET", "/version", auth_settings=["BearerToken"])
            answer = await client.call_api(method, url, headers, body, post, _request_timeout=10)
            text = (await answer.read()).decode(errors="replace")
            if answer.status != 200:
                raise ClusterUnusable(f"the cluster answered {answer.status}: {text[:300]}")
            return str(json.loads(text)["gitVersion"])
        finally:
            await client.close()


def _named(config: dict[str, Any], section: str, name: object) -> dict[str, Any]:
    for entry in config.get(section) or []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry
    known = ", ".join(str(e.get("name")) for e in config.get(section) or [] if isinstance(e, dict)) or "none"
    raise ClusterUnusable(f"the kubeconfig has no {section[:-1]} {name!r} (it has: {known})")
