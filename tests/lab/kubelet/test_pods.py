"""Lives of pods: births, ends, restarts, errors."""

from __future__ import annotations

from lab.kubernetes.context import DeleteOptions
from lab.kubernetes.kinds import CONFIG_MAP, POD
from tests.lab.kubelet.conftest import Bench, running, state


async def test_birth_as_recorded(bench: Bench) -> None:
    bench.pod(command=["sleep", "3600"])
    pod = await bench.until(running)
    shapes = [tuple(f"{one['type']}={one['status'][0]}" for one in old["status"].get("conditions") or ()) for old in bench.history]
    full = "PodReadyToStartContainers={} Initialized=T Ready={} ContainersReady={} PodScheduled=T"
    assert [shape for shape in shapes if len(shape) == 5] == [tuple(full.format(*part).split()) for part in ("FFF", "TFF", "TTT")]
    assert "podIP" not in bench.history[-2]["status"]
    assert pod["status"]["podIP"].startswith(f"127.{bench.around.addresses.second_octet}.16.")
    assert [event[:1] for event in bench.events()] == [("Pulled",), ("Created",), ("Started",)]


async def test_output_exit_code_and_completion(bench: Bench) -> None:
    bench.pod(command=["sh", "-c", "echo one; printf two; exit 3"], restartPolicy="Never")
    pod = await bench.until(lambda pod: pod["status"]["phase"] == "Failed")
    assert state(pod)["state"]["terminated"]["exitCode"] == 3
    assert await bench.log() == "one\ntwo"
    assert bench.phases() == ["Pending", "Running", "Failed"]


async def test_crash_loop(bench: Bench) -> None:
    bench.pod(command=["sh", "-c", "echo about to fail; exit 3"])
    pod = await bench.until(lambda pod: state(pod)["restartCount"] == 2)
    shown = [next(iter(state(old)["state"].values())) for old in bench.history if state(old)["state"]]
    assert [one.get("reason", "running") for one in shown][-5:] == ["Error", "running", "Error", "CrashLoopBackOff", "running"]
    assert state(pod)["lastState"]["terminated"]["exitCode"] == 3
    waiting = shown[-2]
    assert waiting["message"] == f"back-off 10s restarting failed container=main pod=p_default({pod['metadata']['uid']})"


async def test_no_such_command(bench: Bench) -> None:
    bench.pod(command=["/no/such/binary"])
    pod = await bench.until(lambda pod: state(pod)["restartCount"] == 1)
    status = state(pod)
    assert status["state"]["waiting"]["reason"] == "RunContainerError"
    assert status["lastState"]["terminated"]["exitCode"] == 128
    assert status["lastState"]["terminated"]["startedAt"] == "1970-01-01T00:00:00Z"
    assert 'exec: "/no/such/binary": stat /no/such/binary: no such file or directory' in status["state"]["waiting"]["message"]
    assert pod["status"]["phase"] == "Running"


async def test_out_of_memory(bench: Bench) -> None:
    bench.pod(command=["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=3"], resources={"limits": {"memory": "20Mi"}})
    pod = await bench.until(lambda pod: state(pod)["state"].get("terminated"))
    assert state(pod)["state"]["terminated"]["reason"] == "OOMKilled"
    assert state(pod)["state"]["terminated"]["exitCode"] == 137


async def test_image_that_cannot_be_pulled(bench: Bench) -> None:
    bench.pod(image="localhost:5999/none:1", imagePullPolicy="IfNotPresent")
    await bench.until(lambda pod: state(pod)["state"].get("waiting", {}).get("reason") == "ImagePullBackOff")
    reasons = [state(old)["state"]["waiting"]["reason"] for old in bench.history if "waiting" in state(old)["state"]]
    assert reasons == ["ContainerCreating", "ContainerCreating", "ErrImagePull", "ImagePullBackOff"]
    events = [(reason, message.partition(":")[0]) for reason, message, _ in bench.events()]
    assert events[:3] == [("Pulling", 'Pulling image "localhost'), ("Failed", 'Failed to pull image "localhost'), ("Failed", "Error")]
    assert ("BackOff", 'Back-off pulling image "localhost') in events


async def test_missing_config_map_then_there(bench: Bench) -> None:
    bench.pod(command=["sleep", "60"], envFrom=[{"configMapRef": {"name": "none"}}])
    pod = await bench.until(lambda pod: state(pod)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError")
    assert state(pod)["state"]["waiting"]["message"] == 'configmap "none" not found'
    bench.registry.create(CONFIG_MAP, {"metadata": {"name": "none"}}, "default")
    await bench.until(running)


async def test_delete_with_grace(bench: Bench) -> None:
    bench.pod(command=["sh", "-c", 'trap "exit 5" TERM; while :; do sleep 0.05; done'], terminationGracePeriodSeconds=30)
    await bench.until(running)
    bench.registry.delete(POD, "default", "p")
    await bench.until_gone()
    ends = [(old["status"]["phase"], old["metadata"].get("deletionGracePeriodSeconds")) for old in bench.history[-4:]]
    assert ends == [("Running", 30), ("Failed", 30), ("Failed", 0), ("Failed", 0)]
    assert state(bench.history[-1])["state"]["terminated"]["exitCode"] == 5


async def test_killed_at_the_end_of_grace(bench: Bench) -> None:
    bench.pod(command=["sleep", "3600"])  # the first process of a container ignores TERM unless it handles it
    await bench.until(running)
    bench.registry.delete(POD, "default", "p")
    await bench.until_gone()
    assert state(bench.history[-1])["state"]["terminated"]["exitCode"] == 137
    assert bench.history[-1]["status"]["conditions"][2]["reason"] == "PodFailed"


async def test_deleted_by_force(bench: Bench) -> None:
    bench.pod(command=["sleep", "3600"])
    await bench.until(running)
    bench.registry.delete(POD, "default", "p", DeleteOptions(grace=0))
    assert bench.get() is None
    await bench.until_gone()
