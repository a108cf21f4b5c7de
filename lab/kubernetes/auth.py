"""Who asks: static tokens, service account tokens, nobody; and who they say they act for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import POD, SERVICE_ACCOUNT

if TYPE_CHECKING:
    from lab.kubernetes.registry import Registry

Obj = dict[str, Any]

ISSUER = "https://kubernetes.default.svc"
ADMIN_TOKEN = "lab-admin"  # noqa: S105 - everyone may know it: the lab listens on loopback


@dataclass(frozen=True)
class User:
    """Somebody, as authorization sees them."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, list[str]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
ADMIN = User("lab-admin", ("system:masters", "system:authenticated"))


def service_account(namespace: str, name: str, uid: str = "", extra: Mapping[str, list[str]] | None = None) -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {})


class Authenticator:
    """Turns an Authorization header into a user."""

    def __init__(self, registry: Registry, tokens: Mapping[str, User] | None = None) -> None:
        self._registry = registry
        self._tokens = dict(tokens if tokens is not None else {ADMIN_TOKEN: ADMIN})
        self._key = secrets.token_bytes(32)

    def add(self, token: str, user: User) -> None:
        """Take a further static token."""
        self._tokens[token] = user

    def authenticate(self, header: str | None) -> User:
        """The user of a request; 401 for a token that nobody has."""
        if not header:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return ANONYMOUS
        user = self._tokens.get(token.strip()) or self._account(token.strip())
        if user is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return user

    def issue(self, account: Obj, seconds: int, audiences: list[str], pod: Obj | None = None) -> str:
        """A signed token for a service account."""
        meta, now = account["metadata"], int(time.time())
        private: Obj = {"namespace": meta["namespace"], "serviceaccount": {"name": meta["name"], "uid": meta["uid"]}}
        if pod:
            private["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        claims = {
            "aud": audiences, "exp": now + seconds, "iat": now, "iss": ISSUER, "jti": str(uuid.uuid4()), "kubernetes.io": private, "nbf": now,
            "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
        }  # fmt: skip
        text = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{text}.{self._sign(text)}"

    def _sign(self, text: str) -> str:
        return base64.urlsafe_b64encode(hmac.new(self._key, text.encode(), hashlib.sha256).digest()).decode().rstrip("=")

    def _account(self, token: str) -> User | None:
        text, _, signature = token.rpartition(".")
        if not text or not hmac.compare_digest(self._sign(text).encode(), signature.encode("utf-8", "replace")):
            return None
        claims = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
        about = claims["kubernetes.io"]
        wanted = about["serviceaccount"]
        account = self._registry.find(SERVICE_ACCOUNT, about["namespace"], wanted["name"])
        if account is None or account["metadata"]["uid"] != wanted["uid"] or claims["exp"] < time.time():
            return None
        if pod := about.get("pod"):  # a token bound to a Pod ends with it
            found = self._registry.find(POD, about["namespace"], pod["name"])
            if found is None or found["metadata"]["uid"] != pod["uid"]:
                return None
        extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        return service_account(about["namespace"], wanted["name"], wanted["uid"], extra)


def _encode(value: Obj) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")
