"""How GitHub shows what is in a repository: the same things with addresses, people and names that clients look for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lab.outside.repository import LOGIN, USER_ID, Repository, not_found

if TYPE_CHECKING:
    from lab.outside.service import Service

Obj = dict[str, Any]


class Shapes:
    """Needs the service for its address, which is known late."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _url(self, one: Repository) -> str:
        return f"{self._service.url}/repos/{one.full_name}"

    def _page(self, one: Repository) -> str:
        return f"{self._service.url}/{one.full_name}"

    def user(self, login: str = LOGIN) -> Obj:
        """Somebody."""
        return {"login": login, "id": USER_ID, "url": f"{self._service.url}/users/{login}", "type": "User", "site_admin": False}

    def repository(self, one: Repository) -> Obj:
        """The repository itself."""
        return {
            "id": one.id, "name": one.name, "full_name": one.full_name, "private": one.private, "owner": self.user(one.owner), "url": self._url(one),
            "html_url": self._page(one), "default_branch": "main", "created_at": one.created, "pushed_at": one.created, "fork": False,
            "archived": False, "has_issues": True, "permissions": {"admin": False, "push": True, "pull": True},
        }  # fmt: skip

    def release(self, one: Repository, release: Obj) -> Obj:
        """A release with its assets. A draft's page has a name of its own: there is no tag yet."""
        url = f"{self._url(one)}/releases/{release['id']}"
        tag = f"untagged-{release['id']:020x}" if release["draft"] else quote(release["tag_name"])
        return {
            **release, "assets": [self.asset(one, asset) for asset in release["assets"]], "author": self.user(), "url": url,
            "assets_url": f"{url}/assets", "upload_url": f"{url}/assets{{?name,label}}", "html_url": f"{self._page(one)}/releases/tag/{tag}",
            "tarball_url": None if release["draft"] else f"{self._url(one)}/tarball/{tag}",
            "zipball_url": None if release["draft"] else f"{self._url(one)}/zipball/{tag}", "node_id": f"RE_{release['id']}", "immutable": False,
        }  # fmt: skip

    def asset(self, one: Repository, asset: Obj) -> Obj:
        """A file of a release."""
        _, release = one.asset(asset["id"])
        tag = f"untagged-{release['id']:020x}" if release["draft"] else quote(release["tag_name"], safe="")
        return {
            **asset, "url": f"{self._url(one)}/releases/assets/{asset['id']}", "uploader": self.user(), "node_id": f"RA_{asset['id']}",
            "browser_download_url": f"{self._page(one)}/releases/download/{tag}/{quote(asset['name'])}",
        }  # fmt: skip

    def ref(self, one: Repository, ref: str) -> Obj:
        """A branch or tag as git sees it."""
        target = one.refs[ref]
        kind = "tags" if target["type"] == "tag" else "commits"
        return {
            "ref": ref, "node_id": f"REF_{ref}", "url": f"{self._url(one)}/git/{ref}",
            "object": {**target, "url": f"{self._url(one)}/git/{kind}/{target['sha']}"},
        }  # fmt: skip

    def refs(self, one: Repository, prefix: str) -> list[Obj]:
        """Those that begin so, by name."""
        return [self.ref(one, ref) for ref in sorted(one.refs) if ref.startswith(prefix)]

    def tag(self, one: Repository, sha: str) -> Obj:
        """An annotated tag."""
        if sha not in one.tags:
            raise not_found()
        found = one.tags[sha]
        target = {**found["object"], "url": f"{self._url(one)}/git/commits/{found['object']['sha']}"}
        return {**found, "object": target, "url": f"{self._url(one)}/git/tags/{sha}", "node_id": f"TA_{sha}"}

    def tags(self, one: Repository) -> list[Obj]:
        """Tags as people see them, the last name first."""
        names = sorted((ref.removeprefix("refs/tags/") for ref in one.refs if ref.startswith("refs/tags/")), reverse=True)
        return [{"name": name, "commit": self._commit_link(one, one.commit_of(name)), "node_id": f"REF_{name}"} for name in names]

    def branch(self, one: Repository, name: str) -> Obj:
        """A branch."""
        if f"refs/heads/{name}" not in one.refs:
            raise not_found()
        return {"name": name, "commit": self.commit(one, one.commit_of(name)), "protected": False}

    def commit(self, one: Repository, sha: str) -> Obj:
        """A commit, without its files."""
        person = {"name": LOGIN, "email": f"{LOGIN}@example.com", "date": one.created}
        inside = {"message": one.commits[sha], "author": person, "committer": person, "url": f"{self._url(one)}/git/commits/{sha}"}
        return {**self._commit_link(one, sha), "commit": inside, "author": self.user(), "committer": self.user(), "parents": []}

    def _commit_link(self, one: Repository, sha: str) -> Obj:
        return {"sha": sha, "url": f"{self._url(one)}/commits/{sha}"}

    def issue(self, one: Repository, issue: Obj) -> Obj:
        """An issue."""
        url = f"{self._url(one)}/issues/{issue['number']}"
        labels = [
            {"id": number, "name": name, "color": "ededed", "default": False, "url": f"{self._url(one)}/labels/{quote(str(name))}"}
            for number, name in enumerate(issue["labels"], 1)
        ]
        shown = {key: value for key, value in issue.items() if key != "thread"}
        return {
            **shown, "labels": labels, "assignees": [self.user(login) for login in issue["assignees"]], "user": self.user(), "url": url,
            "assignee": self.user(issue["assignees"][0]) if issue["assignees"] else None, "comments": len(issue["thread"]), "milestone": None,
            "comments_url": f"{url}/comments", "html_url": f"{self._page(one)}/issues/{issue['number']}", "repository_url": self._url(one),
        }  # fmt: skip

    def comment(self, one: Repository, number: int, comment: Obj) -> Obj:
        """A comment of an issue."""
        page = f"{self._page(one)}/issues/{number}"
        url, issue = f"{self._url(one)}/issues/comments/{comment['id']}", f"{self._url(one)}/issues/{number}"
        return {**comment, "user": self.user(), "url": url, "html_url": f"{page}#issuecomment-{comment['id']}", "issue_url": issue}
