"""What Google's services share: who asks, and how they refuse."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lab.outside.service import Refusal, bearer

Obj = dict[str, Any]

ADMIN_TOKEN = "lab-admin"  # noqa: S105 - everyone may know it
PROJECT = "lab"
ACCOUNT = f"cosmodrome@{PROJECT}.iam.gserviceaccount.com"
TOKEN_SECONDS = 3599
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS", 429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip


class GoogleError(Exception):
    """A refusal in the words of Google's newer APIs."""

    def __init__(self, code: int, message: str, status: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status or STATUSES.get(code, "UNKNOWN")

    def answer(self) -> web.Response:
        """As JSON."""
        return web.json_response({"error": {"code": self.code, "message": self.message, "status": self.status}}, status=self.code)


class Accounts:
    """One service account, its key, and the tokens that are good."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {ADMIN_TOKEN: ACCOUNT}  # token -> whose
        self.on_token: list[Callable[[str], None]] = []  # told of each new token
        self._key: rsa.RSAPrivateKey | None = None

    def check(self, request: web.Request) -> None:
        """Refusal without a good token."""
        if (bearer(request) or "") not in self.tokens:
            message = (
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
                "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
            )
            answer = GoogleError(401, message).answer()
            answer.headers["WWW-Authenticate"] = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
            raise Refusal(answer)

    def key_file(self, token_uri: str) -> Obj:
        """What stands in a service account's key file."""
        pem = self._private_key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return {
            "type": "service_account", "project_id": PROJECT, "private_key_id": "0" * 40, "private_key": pem.decode(), "client_email": ACCOUNT,
            "client_id": "1" * 21, "auth_uri": token_uri.replace("/token", "/auth"), "token_uri": token_uri, "universe_domain": "googleapis.com",
        }  # fmt: skip

    async def exchange(self, request: web.Request) -> web.Response:
        """An access token for an assertion that is signed with the key."""
        try:
            form = await request.post()
        except ValueError:
            return _grant_error("invalid_request", "Malformed request")
        assertion = form.get("assertion")
        if form.get("grant_type") != _GRANT or not isinstance(assertion, str):
            return _grant_error("unsupported_grant_type", "Invalid grant_type")
        problem = self._check_assertion(assertion)
        if problem:
            return _grant_error("invalid_grant", problem)
        token = f"ya29.{secrets.token_urlsafe(48)}"
        self.tokens[token] = ACCOUNT
        for told in self.on_token:
            told(token)
        return web.json_response({"access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer"})

    def _check_assertion(self, assertion: str) -> str:
        text, _, signature = assertion.rpartition(".")
        try:
            self._private_key().public_key().verify(_decode(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256())
            claims = json.loads(_decode(text.partition(".")[2]))
        except (InvalidSignature, ValueError):
            return "Invalid JWT Signature."
        if not isinstance(claims, dict) or claims.get("iss") != ACCOUNT:
            return "Invalid grant: account not found"
        return "" if claims.get("exp", 0) > time.time() else "Invalid JWT: Token must be a short-lived token"

    def _private_key(self) -> rsa.RSAPrivateKey:
        """Made when it is first wanted: that takes a while."""
        if self._key is None:
            self._key = rsa.generate_private_key(65537, 2048)
        return self._key


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _grant_error(error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=400)
