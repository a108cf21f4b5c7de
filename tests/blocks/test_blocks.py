"""Blocks: what they refuse, in words that never hold a secret."""

from __future__ import annotations

import json

import pytest

from blocks import BLOCKS, Bucket, Cluster
from blocks.cluster import ClusterUnusable
from tests.tasks.scripted import kubeconfig, says, serving

GOOD = json.loads(kubeconfig("http://127.0.0.1:1", token="canary"))


@pytest.mark.parametrize(
    ("text", "context", "expected"),
    [
        ("canary: [", None, "not YAML"),
        ("canary", None, "not a mapping"),
        (json.dumps({**GOOD, "current-context": None}), None, "no current-context"),
        (json.dumps(GOOD), "other", "no context 'other' (it has: here)"),
        (json.dumps({**GOOD, "clusters": []}), None, "no cluster 'c'"),
        (json.dumps({**GOOD, "clusters": [{"name": "c", "cluster": {}}]}), None, "no `server`"),
    ],
)
def test_a_kubeconfig_that_leads_nowhere(text: str, context: str | None, expected: str) -> None:
    with pytest.raises(ClusterUnusable) as caught:
        Cluster(kubeconfig=text, context=context).config()
    assert expected in str(caught.value)
    assert "canary" not in str(caught.value)


async def test_check_asks_the_cluster() -> None:
    async with serving(says({"gitVersion": "v1.36.2"})) as script:
        assert await Cluster(kubeconfig=kubeconfig(script.url)).check() == "v1.36.2"


def test_secrets_do_not_show() -> None:
    assert "canary" not in repr(Cluster(kubeconfig=json.dumps(GOOD)))
    assert "canary" not in str(Bucket(bucket="b", service_account="canary"))


def test_an_object_s_address() -> None:
    assert Bucket(bucket="b", prefix="p/").url("x.json") == "https://storage.googleapis.com/b/p/x.json"
    assert Bucket(bucket="b", endpoint="http://127.0.0.1:1/").url("x.json") == "http://127.0.0.1:1/b/x.json"
    assert Bucket(bucket="b", public_url="https://data.example.com").url("x.json") == "https://data.example.com/x.json"


def test_every_block_says_what_it_is() -> None:
    for block in BLOCKS:
        assert block._description
        undocumented = [name for name, field in block.model_fields.items() if not field.description]
        assert undocumented == []
