"""What a container gets: environment, volumes, probes, neighbours; and what faults do to it."""

from __future__ import annotations

import asyncio
import base64

from lab.faults import Fault
from lab.kubernetes.context import DeleteOptions
from lab.kubernetes.kinds import CONFIG_MAP, POD, PV, PVC, SECRET, SERVICE
from tests.lab.kubelet.conftest import Bench, Obj, running, state


def finished(pod: Obj) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


async def test_environment_is_exactly_the_pods(bench: Bench) -> None:
    bench.registry.create(CONFIG_MAP, {"metadata": {"name": "c"}, "data": {"A": "1", "log.level": "debug"}}, "default")
    bench.registry.create(SECRET, {"metadata": {"name": "s"}, "data": {"key": base64.b64encode(b"hush").decode()}}, "default")
    service = bench.registry.create(SERVICE, {"metadata": {"name": "my-svc"}, "spec": {"ports": [{"name": "web", "port": 80}]}}, "default")
    env = [
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        {"name": "HUSH", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "BOTH", "value": "$(A)-$(HUSH)-$(UNKNOWN)-$$(A)"},
    ]
    source = [{"configMapRef": {"name": "c"}}]
    bench.pod(command=["env"], env=env, envFrom=source, resources={"limits": {"cpu": "250m"}}, restartPolicy="Never")
    pod = await bench.until(finished)
    found = dict(line.split("=", 1) for line in (await bench.log()).splitlines())
    services = {key: found.pop(key) for key in list(found) if key.startswith("MY_SVC_")}
    assert found == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "HOSTNAME": "p", "A": "1", "log.level": "debug",
        "IP": pod["status"]["podIP"], "NODE": "node1", "CPU": "250", "HUSH": "hush", "BOTH": "1-hush-$(UNKNOWN)-$(A)",
    }  # fmt: skip
    assert services["MY_SVC_SERVICE_PORT_WEB"] == "80"
    assert services["MY_SVC_PORT_80_TCP_ADDR"] == service["spec"]["clusterIP"]


async def test_arguments_are_expanded(bench: Bench) -> None:
    bench.pod(command=["echo", "--coinbase=$(C)"], env=[{"name": "C", "value": "sm1"}], restartPolicy="Never")
    await bench.until(finished)
    assert await bench.log() == "--coinbase=sm1\n"


async def test_volumes(bench: Bench) -> None:
    bench.registry.create(CONFIG_MAP, {"metadata": {"name": "c"}, "data": {"a.json": "{}", "b": "2"}}, "default")
    bench.registry.create(SECRET, {"metadata": {"name": "s"}, "data": {"key": base64.b64encode(b"hush").decode()}}, "default")
    volumes = [
        {"name": "conf", "configMap": {"name": "c", "items": [{"key": "a.json", "path": "deep/a.json"}]}},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "me", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "one", "configMap": {"name": "c"}},
        {"name": "host", "hostPath": {"path": "/var/lib/x"}},
    ]
    mounts = [
        {"name": "conf", "mountPath": "/etc/conf"}, {"name": "secret", "mountPath": "/secret", "readOnly": True},
        {"name": "scratch", "mountPath": "/data"}, {"name": "me", "mountPath": "/me"}, {"name": "host", "mountPath": "/host"},
        {"name": "one", "mountPath": "/data/b.txt", "subPath": "b"},
    ]  # fmt: skip
    script = (
        "cat /etc/conf/deep/a.json /secret/key /me/name /data/b.txt; echo; ls /etc/conf; touch /secret/x; echo kept > /host/file; pwd; hostname;"
        " cat /var/run/secrets/kubernetes.io/serviceaccount/namespace"
    )
    bench.pod(command=["sh", "-c", script], volumes=volumes, volumeMounts=mounts, workingDir="/data", restartPolicy="Never")
    await bench.until(finished)
    lines = (await bench.log()).splitlines()
    assert lines[0] == "{}hushp2"
    assert lines[1] == "deep"
    assert "Read-only" in lines[2]
    assert lines[3:] == ["/data", "p", "default"]
    assert (bench.around.state / "nodes/node1/var/lib/x/file").read_text() == "kept\n"


async def test_missing_volume_then_there(bench: Bench) -> None:
    bench.pod(command=["sleep", "60"], volumes=[{"name": "v", "configMap": {"name": "none"}}], volumeMounts=[{"name": "v", "mountPath": "/v"}])
    await bench.until(lambda _: any(count >= 2 for reason, _, count in bench.events() if reason == "FailedMount"))
    assert bench.events()[0][:2] == ("FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "none" not found')
    assert state(bench.get() or {})["state"]["waiting"]["reason"] == "ContainerCreating"
    bench.registry.create(CONFIG_MAP, {"metadata": {"name": "none"}}, "default")
    await bench.until(running)


async def test_changed_config_map_shows_up(bench: Bench) -> None:
    bench.registry.create(CONFIG_MAP, {"metadata": {"name": "c"}, "data": {"a": "old"}}, "default")
    command = ["sh", "-c", "until grep -q new /c/a; do sleep 0.05; done; echo seen"]
    volumes = [{"name": "v", "configMap": {"name": "c"}}]
    bench.pod(command=command, volumes=volumes, volumeMounts=[{"name": "v", "mountPath": "/c"}], restartPolicy="Never")
    await bench.until(running)
    bench.registry.modify(CONFIG_MAP, "default", "c", lambda one: one["data"].update(a="new"))
    await bench.until(finished)
    assert await bench.log() == "seen\n"


async def test_data_survives_pods_and_ends_with_the_volume(bench: Bench) -> None:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "x", "csi": {"driver": "x", "volumeHandle": "x"}}
    bench.registry.create(PV, {"metadata": {"name": "pv"}, "spec": spec})
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "pv", "storageClassName": "x"}
    bench.registry.create(PVC, {"metadata": {"name": "data"}, "spec": claim}, "default")
    bench.registry.modify(PVC, "default", "data", lambda one: one["status"].update(phase="Bound"), "status")
    volume = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}], "volumeMounts": [{"name": "v", "mountPath": "/data"}]}
    for _ in range(2):
        bench.pod(command=["sh", "-c", "echo run >> /data/runs; cat /data/runs"], restartPolicy="Never", **volume)
        await bench.until(finished)
        log = await bench.log()
        bench.registry.delete(POD, "default", "p", DeleteOptions(grace=0))
    assert log == "run\nrun\n"
    assert len(list((bench.around.state / "volumes").iterdir())) == 1
    bench.registry.modify(PV, "", "pv", lambda one: one["metadata"].pop("finalizers", None))
    bench.registry.delete(PV, "", "pv")
    assert not list((bench.around.state / "volumes").iterdir())


async def test_init_containers_and_sidecar_in_order(bench: Bench) -> None:
    image = {"image": "localhost/busybox:local"}
    inits = [
        {"name": "i1", "command": ["true"], **image}, {"name": "side", "command": ["sleep", "60"], "restartPolicy": "Always", **image},
        {"name": "i2", "command": ["true"], **image},
    ]  # fmt: skip
    bench.pod(command=["sleep", "60"], initContainers=inits)
    await bench.until(running)
    shown = []
    for old in bench.history:
        row = "".join(next(iter(one["state"]))[0] for key in ("initContainerStatuses", "containerStatuses") for one in old["status"].get(key) or ())
        if row and shown[-1:] != [row]:
            shown.append(row)
    assert shown == ["wwww", "rwww", "twww", "trww", "trrw", "trtw", "trtr"]
    conditions = [one for old in bench.history for one in old["status"].get("conditions") or () if one["type"] == "Initialized"]
    assert list(dict.fromkeys(one["message"] for one in conditions if "message" in one)) == [
        f"containers with incomplete status: [{names}]" for names in ("i1 side i2", "side i2", "i2")
    ]
    bench.registry.delete(POD, "default", "p")
    await bench.until_gone()


async def test_readiness_follows_its_probe(bench: Bench) -> None:
    probe = {"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1}
    bench.pod(command=["sh", "-c", "sleep 0.5; touch /tmp/ok; sleep 60"], readinessProbe=probe)
    await bench.until(running)
    assert any(reason == "Unhealthy" and message.startswith("Readiness probe failed: cat: ") for reason, message, _ in bench.events())
    assert [state(old)["ready"] for old in bench.history if "running" in state(old)["state"]] == [False, True]


async def test_liveness_restarts(bench: Bench) -> None:
    bench.pod(command=["sleep", "3600"], livenessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2})
    pod = await bench.until(lambda pod: state(pod)["restartCount"] == 1)
    assert state(pod)["lastState"]["terminated"]["exitCode"] == 137
    assert ("Killing", "Container main failed liveness probe, will be restarted", 1) in bench.events()
    assert ("Unhealthy", "Liveness probe failed: ", 2) in bench.events()


async def test_probe_of_a_closed_port(bench: Bench) -> None:
    bench.pod(command=["sleep", "60"], startupProbe={"httpGet": {"port": 9}, "periodSeconds": 1})
    await bench.until(lambda _: any(reason == "Unhealthy" for reason, _, _ in bench.events()))
    address = (bench.get() or {})["status"]["podIP"]
    texts = [message for reason, message, _ in bench.events() if reason == "Unhealthy"]
    assert texts[0] == f'Startup probe failed: Get "http://{address}:9/": dial tcp {address}:9: connect: connection refused'
    assert state(bench.get() or {})["started"] is False


async def test_termination_message(bench: Bench) -> None:
    bench.pod(command=["sh", "-c", "echo -n last words > /dev/termination-log; exit 1"], restartPolicy="Never")
    pod = await bench.until(finished)
    assert state(pod)["state"]["terminated"]["message"] == "last words"


async def test_deadline(bench: Bench) -> None:
    bench.pod(command=["sleep", "3600"], activeDeadlineSeconds=3)
    pod = await bench.until(finished)
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


async def test_bound_by_hand_to_a_node_that_does_not_fit(bench: Bench) -> None:
    bench.pod(nodeSelector={"no": "where"})
    pod = await bench.until(finished)
    assert pod["status"]["message"] == "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    assert "conditions" not in pod["status"]
    bench.pod("big", node="node2", resources={"requests": {"cpu": "8"}})
    pod = await bench.until(finished, "big")
    assert pod["status"]["reason"] == "OutOfcpu"


async def test_faults_of_containers(bench: Bench) -> None:
    bench.pod(command=["sleep", "3600"], restartPolicy="Never")
    await bench.until(running)
    bench.faults.add(Fault("container", "default/p/main", "oom", times=1))
    pod = await bench.until(finished)
    assert state(pod)["state"]["terminated"]["reason"] == "OOMKilled"
    bench.pod("q", command=["sleep", "3600"], restartPolicy="Never")
    await bench.until(running, "q")
    bench.faults.add(Fault("container", "default/q/", "crash", {"code": 42}, times=1))
    pod = await bench.until(finished, "q")
    assert state(pod)["state"]["terminated"]["exitCode"] == 42


async def test_hang_fails_probes(bench: Bench) -> None:
    bench.pod(command=["sleep", "3600"], readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1})
    await bench.until(running)
    bench.faults.add(Fault("container", "default/p/main", "hang"))
    await bench.until(lambda pod: not running(pod))


async def test_lost_node_comes_back(bench: Bench) -> None:
    bench.pod(command=["sleep", "3600"])
    before = await bench.until(running)
    fault = bench.faults.add(Fault("node", "^node1$", "lost"))
    while not bench.kubelet.machines["node1"].lost:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert (bench.get() or {})["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    bench.faults.remove(fault.id)
    pod = await bench.until(lambda pod: state(pod)["restartCount"] == 1 and running(pod))
    assert state(pod)["lastState"]["terminated"]["exitCode"] == 255


async def test_pull_fault_passes(bench: Bench) -> None:
    bench.faults.add(Fault("image", "example/thing", "pull-error", times=1))
    bench.pod(image="example/thing:1")
    await bench.until(running)
    assert [reason for reason, _, _ in bench.events() if reason in ("Pulling", "Pulled", "BackOff")] == ["Pulling", "BackOff", "Pulled"]
