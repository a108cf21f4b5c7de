"""Secrets stand in Secret objects and in the blocks' encrypted values, and nowhere else."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import KINDS, Target, keys_of

CANARY = "canary-5f3a9c-do-not-tell"


def prefect_files() -> Iterator[Path]:
    """The Prefect server's database, and everything else that Prefect keeps."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_HOME, PREFECT_LOCAL_STORAGE_PATH

    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    assert url
    text = url.get_secret_value() if hasattr(url, "get_secret_value") else url
    database = Path(text.split(":///")[1])
    assert database.exists()
    for folder in {database.parent, Path(PREFECT_HOME.value()) / "storage", Path(PREFECT_LOCAL_STORAGE_PATH.value())}:
        yield from (path for path in folder.rglob("*") if path.is_file())


async def test_secrets_are_nowhere_else(lab: Target, network: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Coinbase keys from the cluster's Secrets, and a token in the kubeconfig and a key in the bucket's block, are looked for everywhere."""
    from blocks import Bucket, Cluster
    from flows.deploy_network import deploy_network
    from flows.list_networks import list_networks

    caplog.set_level(logging.DEBUG)
    kubeconfig = json.loads(json.dumps(yaml.safe_load(lab.kubeconfig)))
    kubeconfig["users"].append({"name": "canary", "user": {"token": CANARY}})
    await Cluster(kubeconfig=json.dumps(kubeconfig)).save("canary", overwrite=True)
    bucket = await Bucket.aload("lab-data")
    await Bucket(bucket=bucket.bucket, endpoint=bucket.endpoint, service_account=json.dumps({"private_key": CANARY})).save("canary", overwrite=True)

    lab.fault("program", f"{network}/miner-2", "crash", code=3, line="a crash, so that logs are shown")
    with pytest.raises(Exception, match="exit code 3"):
        await deploy_network(lab.spec(network, miners=2, bootnodes=0, poets={"gateways": 1}), cluster="canary", data_bucket="canary")
    lab.no_faults()
    report = await deploy_network(lab.spec(network, miners=2, bootnodes=0, poets={"gateways": 1}), cluster="canary", data_bucket="canary")
    listed = await list_networks("canary")

    objects = lab.objects(network)
    keys = list(keys_of(objects).values())
    assert len(keys) == 2
    secrets = [CANARY, *keys]
    needles = [form.encode() for secret in secrets for form in (secret, base64.b64encode(secret.encode()).decode())]
    places = {
        "the log": caplog.text.encode(),
        "what was printed": "".join(capfd.readouterr()).encode(),
        "the report": report.model_dump_json().encode() + listed.model_dump_json().encode(),
    }
    places |= {kind: json.dumps(objects[kind]).encode() for kind in KINDS if kind != "Secret"}
    places |= {str(path): path.read_bytes() for path in prefect_files()}
    found = [place for place, text in places.items() if any(needle in text for needle in needles)]
    assert found == []
    assert any(path.endswith(".db") and network.encode() in text for path, text in places.items()), "the search would find what is there"
