"""A GitHub repository: references, releases with their assets, issues. No HTTP."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from lab.clock import Clock, timestamp

Obj = dict[str, Any]

LOGIN, USER_ID = "cosmodrome-lab", 1
_SHA = re.compile(r"[0-9a-f]{40}")
_REF = re.compile(r"refs/(heads|tags)/[^\s~^:?*\[\\]+")


class GithubError(Exception):
    """A refusal."""

    def __init__(self, status: int, message: str, errors: list[Obj] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors


def invalid(resource: str, code: str, field: str) -> GithubError:
    """The usual 422."""
    return GithubError(422, "Validation Failed", [{"resource": resource, "code": code, "field": field}])


def not_found() -> GithubError:
    """The usual 404."""
    return GithubError(404, "Not Found")


class Repository:
    """One repository, with one commit on `main`."""

    def __init__(self, owner: str, name: str, clock: Clock, next_id: Callable[[], int], private: bool = False) -> None:
        self.owner, self.name, self.private = owner, name, private
        self._clock, self._next_id = clock, next_id
        self.id = next_id()
        self.created = self.now()
        first = hashlib.sha1(f"{owner}/{name}".encode()).hexdigest()  # noqa: S324 - as git names commits
        self.commits = {first: "Initial commit"}
        self.refs: dict[str, Obj] = {"refs/heads/main": {"sha": first, "type": "commit"}}
        self.tags: dict[str, Obj] = {}  # annotated ones, by sha
        self.releases: dict[int, Obj] = {}
        self.contents: dict[int, bytes] = {}  # of assets
        self.issues: dict[int, Obj] = {}

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"

    def now(self) -> str:
        """As GitHub writes times."""
        return timestamp(self._clock.now())

    # References

    def commit_of(self, name: str) -> str:
        """The commit that a branch, a tag or a sha names."""
        if name in self.commits:
            return name
        for ref in (f"refs/heads/{name}", f"refs/tags/{name}", name):
            if ref in self.refs:
                target = self.refs[ref]
                return str(self.tags[target["sha"]]["object"]["sha"] if target["type"] == "tag" else target["sha"])
        raise not_found()

    def create_ref(self, ref: Any, sha: Any) -> str:
        """A new branch or tag."""
        if not isinstance(ref, str) or not _REF.fullmatch(ref):
            raise GithubError(422, f"Reference name '{ref}' is not valid. It must start with 'refs/' and have at least two slashes.")
        if ref in self.refs:
            raise GithubError(422, "Reference already exists")
        self.refs[ref] = self._object(sha)
        return ref

    def move_ref(self, ref: str, sha: Any) -> str:
        """Let it point elsewhere."""
        if ref not in self.refs:
            raise GithubError(422, "Reference does not exist")
        self.refs[ref] = self._object(sha)
        return ref

    def delete_ref(self, ref: str) -> None:
        """Forget it."""
        if ref not in self.refs:
            raise GithubError(422, "Reference does not exist")
        del self.refs[ref]

    def create_tag(self, wish: Obj) -> Obj:
        """An annotated tag; a reference to it is another request."""
        if not wish.get("tag") or "message" not in wish:
            raise GithubError(422, "Invalid request.\n\n\"tag\", \"message\" weren't supplied.")
        target = self._object(wish.get("object"))
        sha = hashlib.sha1(f"{wish['tag']}{target}{self._next_id()}".encode()).hexdigest()  # noqa: S324
        tagger = wish.get("tagger") or {"name": LOGIN, "email": f"{LOGIN}@example.com", "date": self.now()}
        self.tags[sha] = {"tag": wish["tag"], "sha": sha, "message": wish["message"], "object": target, "tagger": tagger}
        return self.tags[sha]

    def _object(self, sha: Any) -> Obj:
        if not isinstance(sha, str):
            raise GithubError(422, "Invalid request.\n\nFor 'properties/sha', the value is not a string.")
        if sha in self.commits:
            return {"sha": sha, "type": "commit"}
        if sha in self.tags:
            return {"sha": sha, "type": "tag"}
        raise GithubError(422, "Object does not exist")

    # Releases

    def create_release(self, wish: Obj) -> Obj:
        """A release, or a draft of one."""
        tag = wish.get("tag_name")
        if not isinstance(tag, str) or not tag:
            raise invalid("Release", "missing_field", "tag_name")
        number = self._next_id()
        release: Obj = {
            "id": number, "tag_name": tag, "target_commitish": wish.get("target_commitish") or "main", "name": wish.get("name"),
            "body": wish.get("body"), "draft": bool(wish.get("draft")), "prerelease": bool(wish.get("prerelease")), "created_at": self.now(),
            "published_at": None, "assets": [],
        }  # fmt: skip
        if not release["draft"]:
            self._publish(release)
        self.releases[number] = release
        return release

    def release(self, number: int) -> Obj:
        """One of them, drafts too."""
        if number not in self.releases:
            raise not_found()
        return self.releases[number]

    def update_release(self, number: int, wish: Obj) -> Obj:
        """Change what is given; a draft that is none any more is published."""
        release = self.release(number)
        changed = release | {key: wish[key] for key in ("tag_name", "target_commitish", "name", "body", "draft", "prerelease") if key in wish}
        if not changed["draft"] and (release["draft"] or changed["tag_name"] != release["tag_name"]):
            self._publish(changed)
        release.update(changed)
        return release

    def delete_release(self, number: int) -> None:
        """Forget it and its assets; its tag stays."""
        for asset in self.release(number)["assets"]:
            self.contents.pop(asset["id"], None)
        del self.releases[number]

    def by_tag(self, tag: str) -> Obj:
        """A published release; drafts have no tag yet."""
        found = next((one for one in self.releases.values() if one["tag_name"] == tag and not one["draft"]), None)
        if found is None:
            raise not_found()
        return found

    def latest(self) -> Obj:
        """The newest one that is neither draft nor prerelease."""
        found = [one for one in self.releases.values() if not one["draft"] and not one["prerelease"]]
        if not found:
            raise not_found()
        return found[-1]

    def _publish(self, release: Obj) -> None:
        """The tag is made now, unless it is there."""
        if any(one["tag_name"] == release["tag_name"] and not one["draft"] and one["id"] != release["id"] for one in self.releases.values()):
            raise invalid("Release", "already_exists", "tag_name")
        ref = f"refs/tags/{release['tag_name']}"
        if ref not in self.refs:
            try:
                sha = self.commit_of(release["target_commitish"])
            except GithubError:
                raise invalid("Release", "invalid", "target_commitish") from None
            self.refs[ref] = {"sha": sha, "type": "commit"}
        release["published_at"] = self.now()

    # Assets

    def add_asset(self, number: int, name: str, label: str, content_type: str, data: bytes) -> Obj:
        """A file of a release. Characters that GitHub does not keep in names become dots."""
        release = self.release(number)
        if not name:
            raise invalid("ReleaseAsset", "missing_field", "name")
        name = re.sub(r"[^A-Za-z0-9._@+-]", ".", name).strip(".")
        if any(asset["name"] == name for asset in release["assets"]):
            raise invalid("ReleaseAsset", "already_exists", "name")
        if not data:
            raise GithubError(400, "Bad Content-Length: 0")
        asset: Obj = {
            "id": self._next_id(), "name": name, "label": label, "content_type": content_type, "state": "uploaded", "size": len(data),
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "download_count": 0, "created_at": self.now(), "updated_at": self.now(),
        }  # fmt: skip
        release["assets"].append(asset)
        self.contents[asset["id"]] = data
        return asset

    def asset(self, number: int) -> tuple[Obj, Obj]:
        """An asset and its release."""
        for release in self.releases.values():
            for asset in release["assets"]:
                if asset["id"] == number:
                    return asset, release
        raise not_found()

    def update_asset(self, number: int, wish: Obj) -> Obj:
        """Another name or label."""
        asset, _ = self.asset(number)
        asset.update({key: wish[key] for key in ("name", "label") if key in wish}, updated_at=self.now())
        return asset

    def delete_asset(self, number: int) -> None:
        """Forget it."""
        asset, release = self.asset(number)
        release["assets"].remove(asset)
        del self.contents[number]

    # Issues

    def create_issue(self, wish: Obj) -> Obj:
        """A new issue."""
        if not wish.get("title"):
            raise invalid("Issue", "missing_field", "title")
        _check_issue(wish)
        number = len(self.issues) + 1
        self.issues[number] = {
            "id": self._next_id(), "number": number, "title": wish["title"], "body": wish.get("body"), "state": "open", "state_reason": None,
            "labels": _label_names(wish.get("labels")), "assignees": list(wish.get("assignees") or []), "locked": False, "created_at": self.now(),
            "updated_at": self.now(), "closed_at": None, "thread": [],
        }  # fmt: skip
        return self.issues[number]

    def issue(self, number: int) -> Obj:
        """One of them."""
        if number not in self.issues:
            raise not_found()
        return self.issues[number]

    def update_issue(self, number: int, wish: Obj) -> Obj:
        """Change what is given."""
        issue = self.issue(number)
        _check_issue(wish)
        fields = ("title", "body", "state", "state_reason", "labels", "assignees")
        issue.update({key: wish[key] for key in fields if key in wish}, updated_at=self.now())
        issue["labels"], issue["assignees"] = _label_names(issue["labels"]), issue["assignees"] or []
        issue["closed_at"] = (issue["closed_at"] or self.now()) if issue["state"] == "closed" else None
        return issue

    def comment(self, number: int, wish: Obj) -> Obj:
        """Another comment."""
        if not wish.get("body"):
            raise invalid("IssueComment", "missing_field", "body")
        comment = {"id": self._next_id(), "body": wish["body"], "created_at": self.now(), "updated_at": self.now()}
        self.issue(number)["thread"].append(comment)
        return comment

    def show(self) -> Obj:
        """Everything, for people and tests."""
        return {"name": self.full_name, "refs": self.refs, "releases": list(self.releases.values()), "issues": list(self.issues.values())}


def _check_issue(wish: Obj) -> None:
    """422 for fields of the wrong type."""
    for field in ("title", "body", "state", "state_reason"):
        if not isinstance(wish.get(field), str | None):
            raise invalid("Issue", "invalid", field)
    if wish.get("state") not in (None, "open", "closed"):
        raise invalid("Issue", "invalid", "state")
    if not isinstance(wish.get("assignees") or [], list) or not all(isinstance(one, str) for one in wish.get("assignees") or []):
        raise invalid("Issue", "invalid", "assignees")
    _label_names(wish.get("labels"))


def _label_names(labels: Any) -> list[str]:
    """Labels are given by name, or as objects with one."""
    if not isinstance(labels or [], list):
        raise invalid("Label", "invalid", "labels")
    given = [one.get("name") if isinstance(one, dict) else one for one in labels or []]
    names = [name for name in given if isinstance(name, str)]
    if len(names) < len(given):
        raise invalid("Label", "missing_field", "name")
    return names
