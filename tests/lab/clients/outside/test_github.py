"""PyGithub, unmodified, against the lab."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from github import Auth, BadCredentialsException, Github, GithubException, RateLimitExceededException, UnknownObjectException
from github.Repository import Repository

from tests.lab.faults import LabFaults

Obj = dict[str, Any]
SetUp = Callable[[str, Obj], Obj]


def connect(lab: Obj, token: str | None = None) -> Github:
    auth = Auth.Token(token or lab["tokens"]["github"])
    return Github(auth=auth, base_url=lab["github"], retry=None, seconds_between_requests=0, seconds_between_writes=0)


@pytest.fixture
def make_repository(outside_lab: Obj, set_up: SetUp) -> Callable[..., Repository]:
    def make(name: str, **more: Any) -> Repository:
        set_up("github", {"repositories": [name], **more})
        return connect(outside_lab).get_repo(name)

    return make


def test_a_release_from_draft_to_published(make_repository: Callable[..., Repository], outside_lab: Obj, tmp_path: Path) -> None:
    repository = make_repository("team/releases")
    draft = repository.create_git_release("v1.0.0", "First", "Notes", draft=True, target_commitish="main")
    assert draft.draft and draft.published_at is None
    with pytest.raises(UnknownObjectException):
        repository.get_release("v1.0.0")  # a draft has no tag yet
    assert [tag.name for tag in repository.get_tags()] == []

    file = tmp_path / "report.csv"
    file.write_bytes(b"layer,verified\n1,1\n" * 1000)
    asset = draft.upload_asset(str(file), label="Report", content_type="text/csv")
    assert (asset.name, asset.label, asset.size) == ("report.csv", "Report", 19_000)
    assert asset.digest == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    data = b"\x00\x01" * 500
    draft.upload_asset_from_memory(io.BytesIO(data), len(data), "net a.bin")
    with pytest.raises(GithubException) as error:
        draft.upload_asset(str(file))
    assert (error.value.status, error.value.data["errors"][0]["code"]) == (422, "already_exists")

    published = draft.update_release("First", "All notes", draft=False, tag_name="v1.0.0")
    assert published.published_at and not published.draft
    assert [tag.name for tag in repository.get_tags()] == ["v1.0.0"]
    assert repository.get_latest_release().id == repository.get_release("v1.0.0").id == published.id
    assets = {one.name: one for one in published.get_assets()}
    assert sorted(assets) == ["net.a.bin", "report.csv"]
    assets["report.csv"].download_asset(str(tmp_path / "again.csv"), chunk_size=1024)
    assert (tmp_path / "again.csv").read_bytes() == file.read_bytes()
    assert httpx.get(assets["net.a.bin"].browser_download_url, trust_env=False).content == data
    assets["net.a.bin"].delete_asset()
    assert published.get_assets().totalCount == 1

    with pytest.raises(GithubException) as error:
        repository.create_git_release("v1.0.0", "Again", "")
    assert error.value.data["errors"][0] == {"resource": "Release", "code": "already_exists", "field": "tag_name"}
    published.delete_release()
    with pytest.raises(UnknownObjectException):
        repository.get_latest_release()
    assert [tag.name for tag in repository.get_tags()] == ["v1.0.0"]  # the tag stays


def test_tags_and_references(make_repository: Callable[..., Repository]) -> None:
    repository = make_repository("team/tags")
    head = repository.get_branch("main").commit.sha
    reference = repository.create_git_ref("refs/tags/v0.1", head)
    assert repository.get_git_ref("tags/v0.1").object.sha == head
    with pytest.raises(GithubException, match="Reference already exists"):
        repository.create_git_ref("refs/tags/v0.1", head)
    with pytest.raises(GithubException, match="Object does not exist"):
        repository.create_git_ref("refs/tags/v0.2", "0" * 40)
    annotated = repository.create_git_tag("v0.2", "Second", head, "commit")
    repository.create_git_ref("refs/tags/v0.2", annotated.sha)
    assert repository.get_git_tag(annotated.sha).object.sha == head
    assert [ref.ref for ref in repository.get_git_matching_refs("tags/v0")] == ["refs/tags/v0.1", "refs/tags/v0.2"]
    assert {tag.name: tag.commit.sha for tag in repository.get_tags()} == {"v0.2": head, "v0.1": head}
    reference.delete()
    with pytest.raises(UnknownObjectException):
        repository.get_git_ref("tags/v0.1")


def test_issues_come_page_by_page(make_repository: Callable[..., Repository], outside_lab: Obj) -> None:
    repository = make_repository("team/issues")
    for number in range(1, 8):
        repository.create_issue(f"Miner {number} lags", body="…", labels=["network"] if number % 2 else [])
    github = connect(outside_lab)
    github.per_page = 3
    pages = github.get_repo("team/issues").get_issues()
    assert [issue.number for issue in pages] == [7, 6, 5, 4, 3, 2, 1]
    assert pages.totalCount == 7
    issue = repository.get_issue(3)
    issue.create_comment("It is back.")
    issue.edit(state="closed")
    assert [comment.body for comment in repository.get_issue(3).get_comments()] == ["It is back."]
    assert [one.number for one in repository.get_issues(labels=["network"])] == [7, 5, 1]
    assert repository.get_issues(state="closed").totalCount == 1
    with pytest.raises(UnknownObjectException):
        repository.get_issue(99)


def test_who_may_do_what(make_repository: Callable[..., Repository], outside_lab: Obj) -> None:
    make_repository("team/secret", private=True, tokens={"ghp_reader": {"write": False}, "ghp_else": {"repositories": ["team/other"]}})
    assert connect(outside_lab).get_user().login == "cosmodrome-lab"
    with pytest.raises(BadCredentialsException):
        connect(outside_lab, "ghp_nobody").get_repo("team/secret")
    with pytest.raises(UnknownObjectException):
        connect(outside_lab, "ghp_else").get_repo("team/secret")
    with pytest.raises(GithubException) as error:
        connect(outside_lab, "ghp_reader").get_repo("team/secret").create_issue("x")
    assert error.value.status == 403


def test_rate_limits(make_repository: Callable[..., Repository], outside_lab: Obj, lab_faults: LabFaults, set_up: SetUp) -> None:
    repository, github = make_repository("team/limits"), connect(outside_lab)
    before = github.get_rate_limit().rate.remaining
    github.get_repo("team/limits")
    assert github.rate_limiting[1] == 5000 and github.get_rate_limit().rate.remaining == before - 1

    lab_faults.add("github", "^POST .*/issues", "status", code=403, times=1)
    with pytest.raises(RateLimitExceededException):
        repository.create_issue("x")
    lab_faults.add("github", "^POST .*/issues", "status", code=429, times=1, retry_after=3)
    with pytest.raises(GithubException) as error:
        repository.create_issue("x")
    assert "secondary rate limit" in error.value.message and (error.value.headers or {})["retry-after"] == "3"

    set_up("github", {"limit": {"requests": 1, "seconds": 1e9}})
    try:
        github.get_repo("team/limits")
        with pytest.raises(RateLimitExceededException) as limited:
            github.get_repo("team/limits")
        assert (limited.value.headers or {})["x-ratelimit-remaining"] == "0"
    finally:
        set_up("github", {"limit": {"requests": 5000, "seconds": 1e9}})


def test_trouble(make_repository: Callable[..., Repository], lab_faults: LabFaults) -> None:
    repository = make_repository("team/trouble")
    lab_faults.add("github", "^POST .*/releases$", "reset-after", times=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        repository.create_git_release("v1", "One", "")
    assert repository.get_release("v1").name == "One"  # it was done all the same
    asset = repository.get_release("v1").upload_asset_from_memory(io.BytesIO(b"x" * 1000), 1000, "x.bin")
    lab_faults.add("github", "^GET .*/assets/", "cut-off", times=1)
    with pytest.raises(requests.exceptions.RequestException):
        b"".join(asset.download_asset(chunk_size=100)[2])  # type: ignore[index]
    lab_faults.add("github", "^POST .*/assets", "status", code=502, times=1)
    with pytest.raises(GithubException) as error:
        repository.get_release("v1").upload_asset_from_memory(io.BytesIO(b"y"), 1, "y.bin")
    assert error.value.status == 502
