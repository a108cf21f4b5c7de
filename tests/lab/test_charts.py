"""The charts that the lab serves, installed by unmodified helms: what flows will set, whether what comes up is well, and what stays afterwards."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key, pkcs12
from cryptography.x509 import load_pem_x509_certificate
from grpc import secure_channel, ssl_channel_credentials

from lab.addresses import real_port
from lab.outside.charts import SOURCES, charts, pack
from lab.programs.certificates import make_pair
from tests.lab.labs import lab_in_thread
from tests.lab.releases import Client, until

Obj = dict[str, Any]

HELMS = ("helm3", "helm4")
PASSWORD = "a-password-of-thirty-two-letters"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A lab for all tests here: each has namespaces of its own."""
    with lab_in_thread(50, ("--no-storage",)) as lab:
        yield Client(lab, tmp_path_factory.mktemp("helm"))


# --- the repositories


def test_a_chart_is_packed_the_same_way_every_time() -> None:
    source = SOURCES / "elastic" / "kibana-8.5.1"
    assert pack(source, "kibana") == pack(source, "kibana")


def test_folders_say_what_charts_are() -> None:
    found = [(file.parent.name, yaml.safe_load(file.read_text())) for file in SOURCES.glob("*/*/Chart.yaml")]
    assert len(found) == len(charts())
    assert [folder for folder, about in found if folder != f"{about['name']}-{about['version']}"] == []


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("chart", charts(), ids=lambda chart: f"{chart.repository}/{chart.name}-{chart.version}")
def test_every_chart_renders(client: Client, helm: str, chart: Any) -> None:
    values = {"mongo": "mongodb://spacemesh-explorer-mongo"} if chart.name == "spacemesh-dash" else {"node": {"image": {"tag": "v1"}}}
    repository = f"{client.lab.ready['charts']}/{chart.repository}"
    text = client.helm(helm, "template", "some", chart.name, "--repo", repository, "--version", chart.version, values=values)
    objects = [one for one in yaml.safe_load_all(text) if one]
    assert {one["kind"] for one in objects} & {"Deployment", "StatefulSet", "DaemonSet"}
    assert [one["metadata"]["name"] for one in objects if "v1beta1" in one["apiVersion"]] == []


@pytest.mark.parametrize("helm", HELMS)
def test_charts_are_found_and_pulled_from_the_registry_too(client: Client, helm: str, tmp_path: Path) -> None:
    client.helm(helm, "repo", "add", "--force-update", "elastic", f"{client.lab.ready['charts']}/elastic")
    found = {(one["name"], one["version"]) for one in json.loads(client.helm(helm, "search", "repo", "elastic/", "--versions", "-o", "json"))}
    assert {("elastic/elasticsearch", "7.17.3"), ("elastic/elasticsearch", "8.5.1")} <= found
    place = client.lab.ready["charts"].removeprefix("http://")
    client.helm(helm, "pull", f"oci://{place}/elastic/kibana", "--plain-http", "--version", "7.17.3", "-d", str(tmp_path))
    pulled = httpx.get(f"http://{place}/elastic/kibana-7.17.3.tgz").content
    assert (tmp_path / "kibana-7.17.3.tgz").read_bytes() == pulled


def test_a_repository_can_fail(client: Client) -> None:
    fault = {"place": "charts", "target": "/grafana/index.yaml", "effect": "status", "options": {"code": 503}, "times": 1}
    httpx.post(f"{client.lab.control}/faults", json=fault).raise_for_status()
    done = client.try_helm("helm3", "show", "chart", "pyroscope", "--repo", f"{client.lab.ready['charts']}/grafana")
    assert done.returncode == 1
    assert "503 Service Unavailable" in done.stderr
    assert "version: 1.18.1" in client.helm("helm3", "show", "chart", "pyroscope", "--repo", f"{client.lab.ready['charts']}/grafana")


# --- logs


def _keystore() -> str:
    key, certificate = make_pair(["elasticsearch-master"])
    made = pkcs12.serialize_key_and_certificates(
        b"elastic",
        load_pem_private_key(key, None),
        load_pem_x509_certificate(certificate),
        None,
        BestAvailableEncryption(b"secret"),  # type: ignore[arg-type]
    )
    return base64.b64encode(made).decode()


def _elastic_7(password: str = "secret") -> Obj:
    """As the log stack sets it: security on, transport TLS from a PKCS#12 file, the password from a Secret."""
    config = {
        "xpack.security.enabled": True, "xpack.security.transport.ssl.enabled": True, "xpack.security.transport.ssl.verification_mode": "certificate",
        "xpack.security.transport.ssl.keystore.path": "/usr/share/elasticsearch/config/certs/elastic.p12",
        "xpack.security.transport.ssl.keystore.password": password,
    }  # fmt: skip
    env = [{"name": f"ELASTIC_{key.upper()}", "valueFrom": {"secretKeyRef": {"name": "elastic", "key": key}}} for key in ("username", "password")]
    return {
        "replicas": 1, "minimumMasterNodes": 1, "esJavaOpts": "-Xmx1g -Xms1g", "esConfig": {"elasticsearch.yml": yaml.safe_dump(config)},
        "secretMounts": [{"name": "certs", "secretName": "elastic-certs", "path": "/usr/share/elasticsearch/config/certs"}], "extraEnvs": env,
        "volumeClaimTemplate": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}},
    }  # fmt: skip


def _kibana_7() -> Obj:
    names = {"ELASTICSEARCH_USERNAME": "username", "ELASTICSEARCH_PASSWORD": "password"}
    env = [{"name": name, "valueFrom": {"secretKeyRef": {"name": "elastic", "key": key}}} for name, key in names.items()]
    hosts = [{"host": "kibana-net.example.com", "paths": [{"path": "/"}]}]
    return {"extraEnvs": env, "ingress": {"enabled": True, "hosts": hosts}, "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}


def _filebeat_7() -> Obj:
    config = {
        "filebeat.inputs": [{"type": "container", "paths": ["/var/log/containers/*.log"]}],
        "output.elasticsearch": {
            "hosts": ["http://elasticsearch-master:9200"], "username": "${ELASTICSEARCH_USERNAME}", "password": "${ELASTICSEARCH_PASSWORD}",
            "index": "sm-%{+yyyy.MM.dd}",
        },
    }  # fmt: skip
    return {"daemonset": {"filebeatConfig": {"filebeat.yml": yaml.safe_dump(config)}, "extraEnvs": _kibana_7()["extraEnvs"]}}


def _prepare_logs(client: Client, namespace: str) -> None:
    client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    for name, data in (("elastic", {"username": "elastic", "password": PASSWORD}), ("elastic-certs", {})):
        body: Obj = {"metadata": {"name": name}, "stringData": data}
        if not data:
            body["data"] = {"elastic.p12": _keystore()}
        assert client.post(f"/api/v1/namespaces/{namespace}/secrets", body).status_code == 201


def test_the_log_stack_of_version_7(client: Client) -> None:
    _prepare_logs(client, "logs7")
    client.install("helm3", "elastic/elasticsearch", "7.17.3", "elasticsearch", "logs7", _elastic_7())
    client.install("helm4", "elastic/kibana", "7.17.3", "kibana", "logs7", _kibana_7())
    client.install("helm3", "elastic/filebeat", "7.17.3", "filebeat-sm", "logs7", _filebeat_7())
    elastic = httpx.Client(base_url=f"http://{client.service('logs7', 'elasticsearch-master', 9200)}", auth=("elastic", PASSWORD))
    assert httpx.get(f"{elastic.base_url}/_cluster/health").status_code == 401
    assert httpx.get(f"{elastic.base_url}/", auth=("elastic", "wrong")).json()["error"]["type"] == "security_exception"
    assert elastic.get("/_cluster/health").json()["status"] == "green"
    assert elastic.get("/").json()["version"]["number"] == "7.17.3"
    _lifecycles(elastic)
    _saved_objects(f"http://{client.service('logs7', 'kibana-kibana', 5601)}")
    for release in ("filebeat-sm", "kibana", "elasticsearch"):
        client.helm("helm3", "uninstall", release, "-n", "logs7", "--wait")
    assert client.names("/api/v1/namespaces/logs7/persistentvolumeclaims") == {"elasticsearch-master-elasticsearch-master-0"}
    assert client.names("/api/v1/namespaces/logs7/services") == set()
    assert client.names("/api/v1/namespaces/logs7/secrets") == {"elastic", "elastic-certs"}


def _lifecycles(elastic: httpx.Client) -> None:
    """As after the miners run: a policy, a template with it, and the same for indices that are there."""
    bulk = '{"index":{}}\n{"M":"hello","node":"miner-1"}\n{"create":{}}\n{"M":"again","node":"miner-2"}\n'
    answer = elastic.post("/sm-2026.11.22/_bulk", content=bulk, headers={"Content-Type": "application/x-ndjson"}).json()
    assert (answer["errors"], [one[key]["status"] for one in answer["items"] for key in one]) == (False, [201, 201])
    found = elastic.post("/sm-*/_search", json={"query": {"match": {"M": "hello"}}}).json()["hits"]
    assert (found["total"]["value"], found["hits"][0]["_source"]["node"]) == (1, "miner-1")
    # One node has no place for a replica.
    assert elastic.get("/_cluster/health").json()["status"] == "yellow"
    policy = {"policy": {"phases": {"hot": {"actions": {}}, "delete": {"min_age": "7d", "actions": {"delete": {}}}}}}
    assert elastic.put("/_ilm/policy/sm", json=policy).json() == {"acknowledged": True}
    assert elastic.put("/_ilm/policy/bad", json={"policy": {"phases": {"later": {}}}}).status_code == 400
    settings = {"index": {"lifecycle": {"name": "sm"}, "number_of_replicas": 0}}
    assert elastic.put("/_index_template/sm", json={"index_patterns": ["sm-*"], "template": {"settings": settings}}).json() == {"acknowledged": True}
    assert elastic.put("/sm-*/_settings", json={"index.lifecycle.name": "sm", "index.number_of_replicas": 0}).json() == {"acknowledged": True}
    assert elastic.put("/nothing-*/_settings", json={"index.lifecycle.name": "sm"}).status_code == 200
    assert elastic.put("/nothing/_settings", json={"index.lifecycle.name": "sm"}).json()["error"]["type"] == "index_not_found_exception"
    elastic.post("/sm-2026.11.23/_doc", json={"M": "tomorrow"})
    shown = elastic.get("/sm-*/_settings").json()
    assert {name: one["settings"]["index"]["lifecycle"]["name"] for name, one in shown.items()} == {"sm-2026.11.22": "sm", "sm-2026.11.23": "sm"}
    assert elastic.get("/_ilm/policy/sm").json()["sm"]["in_use_by"]["composable_templates"] == ["sm"]
    assert elastic.get("/_cluster/health").json()["status"] == "green"


def _saved_objects(kibana: str) -> None:
    auth, mark = ("elastic", PASSWORD), {"kbn-xsrf": "true"}
    assert httpx.get(f"{kibana}/api/status").status_code == 401
    assert httpx.get(f"{kibana}/api/status", auth=auth).json()["status"]["overall"]["state"] == "green"
    lines = [
        {"type": "index-pattern", "id": "sm", "attributes": {"title": "sm-*"}},
        {"type": "search", "id": "errors", "attributes": {"title": "Errors"}},
    ]
    file = ("export.ndjson", "\n".join(json.dumps(line) for line in lines), "application/ndjson")
    send = httpx.Client(base_url=f"{kibana}/api/saved_objects", auth=auth)
    assert send.post("/_import", files={"file": file}).json()["message"] == "Request must contain a kbn-xsrf header."
    assert send.post("/_import", headers=mark, json={}).status_code == 415
    assert send.post("/_import", headers=mark, files={"file": ("export.json", b"{}")}).json()["message"] == "Invalid file extension .json"
    first = send.post("/_import", headers=mark, files={"file": file}).json()
    assert (first["success"], first["successCount"]) == (True, 2)
    second = send.post("/_import", headers=mark, files={"file": file}).json()
    assert (second["success"], [one["error"]["type"] for one in second["errors"]]) == (False, ["conflict", "conflict"])
    third = send.post("/_import?overwrite=true", headers=mark, files={"file": file}).json()
    assert (third["success"], third["successCount"]) == (True, 2)
    assert send.get("/_find?type=search").json()["saved_objects"][0]["attributes"] == {"title": "Errors"}


def test_elasticsearch_does_not_start_with_a_keystore_that_does_not_open(client: Client) -> None:
    _prepare_logs(client, "logs-bad")
    repository = f"{client.lab.ready['charts']}/elastic"
    client.helm("helm3", "install", "es", "elasticsearch", "--repo", repository, "--version", "7.17.3", "-n", "logs-bad", values=_elastic_7("wrong"))
    url = f"{client.lab.kubernetes}/api/v1/namespaces/logs-bad/pods/elasticsearch-master-0/log"
    until(lambda: "usually caused by an incorrect password" in httpx.get(url, headers={"Authorization": f"Bearer {client.lab.token}"}).text)


def test_the_log_stack_of_version_8(client: Client) -> None:
    client.install("helm4", "elastic/elasticsearch", "8.5.1", "elasticsearch", "logs8", {"replicas": 2, "antiAffinity": "soft"})
    client.install("helm3", "elastic/kibana", "8.5.1", "kibana", "logs8")
    client.install("helm4", "elastic/filebeat", "8.5.1", "filebeat", "logs8")
    secrets = "/api/v1/namespaces/logs8/secrets"
    password = base64.b64decode(client.get(f"{secrets}/elasticsearch-master-credentials")["data"]["password"]).decode()
    address = client.service("logs8", "elasticsearch-master", 9200)
    health = httpx.get(f"https://{address}/_cluster/health", auth=("elastic", password), verify=False).json()
    assert (health["status"], health["number_of_nodes"]) == ("green", 2)
    assert "kibana-kibana-es-token" in client.names(secrets)
    kibana = f"http://{client.service('logs8', 'kibana-kibana', 5601)}"
    assert httpx.get(f"{kibana}/api/status", auth=("elastic", password)).json()["status"]["overall"]["level"] == "available"
    client.helm("helm3", "uninstall", "kibana", "-n", "logs8", "--wait")
    assert "kibana-kibana-es-token" not in client.names(secrets)
    for release in ("filebeat", "elasticsearch"):
        client.helm("helm4", "uninstall", release, "-n", "logs8", "--wait")
    assert client.names(secrets) == set()


# --- metrics, profiles, chaos


def test_prometheus_and_grafana(client: Client) -> None:
    values = {
        "grafana": {"adminPassword": "open", "ingress": {"enabled": True, "ingressClassName": "nginx", "hosts": ["grafana-net.example.com"]}},
        "prometheus": {"ingress": {"enabled": True, "hosts": ["prometheus-net.example.com"]}},
    }
    client.install("helm3", "prometheus-community/kube-prometheus-stack", "67.8.0", "kube-prometheus-stack", "metrics", values)
    prometheus = f"http://{client.service('metrics', 'kube-prometheus-stack-prometheus', 9090)}"
    sets = "/apis/apps/v1/namespaces/metrics/statefulsets"  # the operator makes them: helm does not wait for that
    until(lambda: [one["status"].get("readyReplicas") for one in client.get(sets)["items"]] == [1, 1])
    assert httpx.get(f"{prometheus}/-/healthy").text == "Prometheus Server is Healthy.\n"
    assert httpx.get(f"{prometheus}/-/ready").status_code == 200
    up = httpx.get(f"{prometheus}/api/v1/query", params={"query": "up"}).json()["data"]
    assert (up["resultType"], up["result"][0]["value"][1]) == ("vector", "1")
    assert httpx.get(f"{prometheus}/api/v1/query").json()["errorType"] == "bad_data"
    grafana = f"http://{client.service('metrics', 'kube-prometheus-stack-grafana', 80)}"
    assert httpx.get(f"{grafana}/api/health").json()["database"] == "ok"
    assert httpx.get(f"{grafana}/api/org").status_code == 401
    assert httpx.get(f"{grafana}/api/org", auth=("admin", "open")).json()["name"] == "Main Org."
    client.helm("helm3", "uninstall", "kube-prometheus-stack", "-n", "metrics", "--wait")
    until(lambda: client.names(sets) == set())
    assert client.names("/api/v1/namespaces/metrics/secrets") == {"kube-prometheus-stack-admission"}
    assert "kube-prometheus-stack-kubelet" in client.names("/api/v1/namespaces/kube-system/services")
    assert "prometheuses.monitoring.coreos.com" in client.names("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")


@pytest.mark.parametrize(
    ("chart", "version", "health"), [("grafana/pyroscope", "1.18.1", "/ready"), ("pyroscope-io/pyroscope", "0.2.92", "/healthz")]
)
def test_pyroscope(client: Client, chart: str, version: str, health: str) -> None:
    namespace = chart.replace("/", "-")
    resources = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "8Gi"}}
    values: Obj = {"pyroscope": {"resources": resources}, "alloy": {"enabled": False}} if chart.startswith("grafana") else {"resources": resources}
    client.install("helm4", chart, version, "pyroscope", namespace, values)
    server = f"http://{client.service(namespace, 'pyroscope', 4040)}"
    assert httpx.get(server + health).status_code == 200
    assert httpx.post(f"{server}/ingest", params={"name": "miner-10.cpu{}"}).status_code == 200
    assert httpx.get(f"{server}/api/apps").json() == [{"name": "miner-10.cpu"}]
    client.helm("helm4", "uninstall", "pyroscope", "-n", namespace, "--wait")
    assert client.names(f"/api/v1/namespaces/{namespace}/services") == set()


def test_chaos_mesh_takes_experiments(client: Client) -> None:
    values = {"chaosDaemon": {"runtime": "containerd", "socketPath": "/run/containerd/containerd.sock"}}
    client.install("helm3", "chaos-mesh/chaos-mesh", "2.7.2", "chaos-mesh", "chaos-testing", values)
    path = "/apis/chaos-mesh.org/v1alpha1/namespaces/chaos-testing/podchaos"
    body: Obj = {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "metadata": {"name": "one"}}
    assert client.post(path, {**body, "spec": {"mode": "some"}}).status_code == 422
    assert client.post(path, {**body, "spec": {"action": "pod-kill", "mode": "one", "selector": {}}}).status_code == 201
    client.helm("helm3", "uninstall", "chaos-mesh", "-n", "chaos-testing", "--wait")
    assert client.names("/apis/apps/v1/namespaces/chaos-testing/daemonsets") == set()
    assert client.names(path) == {"one"}  # definitions, and what was made of them, stay


# --- web services, behind an ingress


def _node_config() -> str:
    return json.dumps({"main": {"genesis-time": "2030-01-01T00:00:00Z", "layer-duration-sec": 60, "layers-per-epoch": 3}, "p2p": {"network-id": 7}})


def test_web_services_behind_an_ingress(client: Client) -> None:
    client.install("helm4", "ingress-nginx/ingress-nginx", "4.12.0", "ingress-nginx", "ingress", {"controller": {"replicaCount": 2}})
    balancer = client.get("/api/v1/namespaces/ingress/services/ingress-nginx-controller")["status"]["loadBalancer"]["ingress"][0]["ip"]
    key, certificate = make_pair([f"{name}-net.example.com" for name in ("api", "api-json", "explorer-api", "dash-api")])
    client.post("/api/v1/namespaces", {"metadata": {"name": "ws"}})
    data = {"tls.key": base64.b64encode(key).decode(), "tls.crt": base64.b64encode(certificate).decode()}
    assert client.post("/api/v1/namespaces/ws/secrets", {"metadata": {"name": "tls"}, "type": "kubernetes.io/tls", "data": data}).status_code == 201
    image = {"repository": "spacemeshos/go-spacemesh-dev", "tag": "v1.0.0"}
    api = {"image": image, "config": _node_config(), "ingress": {"grpcDomain": "api-net.example.com", "jsonRpcDomain": "api-json-net.example.com"}}
    explorer = {"node": {"image": image, "config": _node_config()}, "apiServer": {"ingress": {"domain": "explorer-api-net.example.com"}}}
    dash = {"mongo": "mongodb://spacemesh-explorer-mongo", "image": {"tag": "v1"}, "ingress": {"domain": "dash-api-net.example.com"}}
    client.install("helm3", "ws-helm-charts/spacemesh-api", "1.0.9", "spacemesh-api", "ws", api)
    client.install("helm4", "ws-helm-charts/spacemesh-explorer", "1.0.6", "spacemesh-explorer", "ws", explorer)
    client.install("helm3", "ws-helm-charts/spacemesh-dash", "1.0.2", "spacemesh-dash", "ws", dash)
    path = "/apis/networking.k8s.io/v1/namespaces/ws/ingresses"
    until(lambda: [one["status"]["loadBalancer"].get("ingress") for one in client.get(path)["items"]] == [[{"ip": balancer}]] * 4)
    _through_the_ingress(balancer, certificate)
    taken = client.get(path)["items"][0]["spec"] | {"ingressClassName": "nginx"}
    refused = client.post(path, {"metadata": {"name": "again"}, "spec": taken})
    assert "is already defined in ingress ws/" in refused.json()["message"]
    for release in ("spacemesh-dash", "spacemesh-explorer", "spacemesh-api"):
        client.helm("helm3", "uninstall", release, "-n", "ws", "--wait")
    client.helm("helm4", "uninstall", "ingress-nginx", "-n", "ingress", "--wait")
    assert client.names("/api/v1/namespaces/ingress/services") == set()
    assert client.names("/api/v1/namespaces/ingress/secrets") == {"ingress-nginx-admission"}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{balancer}:{real_port(80)}/")


def _through_the_ingress(balancer: str, certificate: bytes) -> None:
    plain, secured = f"http://{balancer}:{real_port(80)}", f"https://{balancer}:{real_port(443)}"
    assert httpx.get(plain).status_code == 404
    redirect = httpx.get(f"{plain}/healthz", headers={"Host": "explorer-api-net.example.com"})
    assert (redirect.status_code, redirect.headers["Location"]) == (308, "https://explorer-api-net.example.com/healthz")
    trusted = httpx.Client(verify=ssl.create_default_context(cadata=certificate.decode()))

    def ask(host: str, method: str, path: str) -> httpx.Response:
        return trusted.request(method, secured + path, headers={"Host": host}, extensions={"sni_hostname": host})

    assert ask("explorer-api-net.example.com", "GET", "/healthz").text == "OK"
    assert ask("dash-api-net.example.com", "GET", "/healthz").text == "OK"
    assert ask("api-json-net.example.com", "POST", "/v1/node/status").json()["status"]["topLayer"] == {"number": 0}
    options = [("grpc.ssl_target_name_override", "api-net.example.com")]
    with secure_channel(secured.removeprefix("https://"), ssl_channel_credentials(certificate), options) as channel:
        health = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
        version = channel.unary_unary("/spacemesh.v1.NodeService/Version")(b"", timeout=20)
    assert health == b"\x08\x01"  # SERVING
    assert b"v1.0.0" in version
