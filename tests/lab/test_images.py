"""Names of images, and what the lab's registries answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.images import InvalidImageName, Reference, lookup, use_binaries
from lab.programs.binary import BinaryProgram, EnvironmentProgram
from lab.programs.go_spacemesh import GoSpacemesh
from lab.programs.pause import PauseProgram
from lab.programs.poet import Poet
from lab.programs.shell import ShellProgram


@pytest.mark.parametrize(
    ("image", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox"),
        ("spacemeshos/poet:develop", "docker.io/spacemeshos/poet:develop", "spacemeshos/poet"),
        ("localhost/busybox:local", "localhost/busybox:local", "localhost/busybox"),
        ("localhost:5999/none:1", "localhost:5999/none:1", "localhost:5999/none"),
        ("gcr.io/a/b/c:1.2", "gcr.io/a/b/c:1.2", "gcr.io/a/b/c"),
        ("nginx@sha256:" + "a" * 64, "docker.io/library/nginx@sha256:" + "a" * 64, "nginx"),
        ("nginx:1@sha256:" + "a" * 64, "docker.io/library/nginx:1@sha256:" + "a" * 64, "nginx"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x"),
    ],
)
def test_names(image: str, full: str, familiar: str) -> None:
    reference = Reference.parse(image)
    assert (str(reference), reference.familiar) == (full, familiar)


def test_a_name_that_is_none_is_refused_in_the_runtimes_words() -> None:
    with pytest.raises(InvalidImageName) as error:
        lookup("Not A Valid:::image")
    expected = 'couldn\'t parse image name "Not A Valid:::image": invalid reference format: repository name (library/Not A Valid) must be lowercase'
    assert str(error.value) == expected


@pytest.mark.parametrize("image", ["", "a:b:c", "x@sha256:12", "a//b", "-x", "x:"])
def test_other_names_that_are_none(image: str) -> None:
    with pytest.raises(InvalidImageName, match="invalid reference format"):
        lookup(image)


def test_pull_errors_as_recorded() -> None:
    recorded = (
        'failed to pull and unpack image "localhost:5999/none:1": failed to resolve image: failed to do request: '
        'Head "https://localhost:5999/v2/none/manifests/1": dial tcp 127.0.0.1:5999: connect: connection refused'
    )
    assert lookup("localhost:5999/none:1").pull_error == recorded
    assert "no such host" in str(lookup("registry.invalid/x:1").pull_error)
    assert "pull access denied" in str(lookup("spacemeshos/does-not-exist:1").pull_error)
    assert str(lookup("busybox:nosuch").pull_error).startswith("rpc error: code = NotFound")
    assert lookup("localhost/busybox:local").pull_error is None
    assert lookup("localhost/busybox:local").preloaded
    assert lookup("what/ever:1").pull_error is None


@pytest.mark.parametrize(
    ("image", "program"),
    [
        ("spacemeshos/go-spacemesh-dev:d298a63", GoSpacemesh),
        ("gcr.io/mirror/spacemeshos/go-spacemesh:v1.0", GoSpacemesh),
        ("spacemeshos/poet:develop", Poet),
        ("alpine:3.20", ShellProgram),
        ("localhost/busybox:local", ShellProgram),
        ("registry.k8s.io/pause:3.10", PauseProgram),
        ("somebody/go-spacemesh-watch:1", PauseProgram),
    ],
)
def test_programs(image: str, program: type) -> None:
    assert isinstance(lookup(image).program(), program)


def test_a_pods_command_replaces_the_images_own() -> None:
    entry = lookup("spacemeshos/poet:develop")
    assert entry.argv(None, None) == ["/bin/poet"]
    assert entry.argv(None, ["--n=1"]) == ["/bin/poet", "--n=1"]
    assert entry.argv(["/bin/sh"], ["-c", "true"]) == ["/bin/sh", "-c", "true"]
    assert lookup("busybox").argv(None, ["ls"]) == ["ls"]


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Path]:
    """A file that looks like a Python, in the place of an image."""
    file = tmp_path / "environment" / "bin" / "python3"
    file.parent.mkdir(parents=True)
    file.touch()
    use_binaries({"registry.example/flows": file})
    yield file
    use_binaries({})


def test_a_virtual_environments_python_is_an_image_without_entrypoint(python: Path) -> None:
    (python.parent.parent / "pyvenv.cfg").write_text("home = /opt/python/bin\nversion = 3.11.7\n")
    entry = lookup("registry.example/flows:1")
    assert isinstance(entry.program(), EnvironmentProgram)
    assert entry.argv(None, ["prefect", "version"]) == ["prefect", "version"]
    assert entry.argv(None, None) == [str(python)]


def test_another_file_is_the_images_entrypoint(python: Path) -> None:
    entry = lookup("registry.example/flows:1")
    assert isinstance(entry.program(), BinaryProgram)
    assert entry.argv(None, ["version"]) == [str(python), "version"]
