"""A Cloud Storage bucket that networks publish their configuration to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

if TYPE_CHECKING:
    from google.cloud.storage import Client


class Bucket(Block):
    """A place in Google Cloud Storage, and who may write there."""

    _block_type_name = "Storage Bucket"
    _block_type_slug = "storage-bucket"
    _description = "A Google Cloud Storage bucket: where Cosmodrome publishes networks' configurations."

    bucket: str = Field(description="The bucket's name, without gs://.")
    prefix: str = Field(default="", description="Put before every object's name, for instance `networks/`.")
    project: str | None = Field(default=None, description="Google Cloud project; empty: as the credentials say.")
    service_account: SecretStr | None = Field(
        default=None,
        description="The service account's key file (JSON). Empty: the machine's own credentials (workload identity, gcloud).",
    )
    endpoint: str | None = Field(
        default=None,
        description="Another server with the same API, for instance `http://127.0.0.1:4443`, used without credentials. Empty: Google's.",
    )
    public_url: str | None = Field(
        default=None, description="Where people read the bucket's objects; empty: storage.googleapis.com, or the endpoint."
    )

    def client(self) -> Client:
        """A new client; it blocks, so use it in a thread, with a time limit for each call."""
        from google.auth.credentials import AnonymousCredentials  # these imports take a second: only those pay who store
        from google.cloud.storage import Client

        if self.endpoint:
            options = {"api_endpoint": self.endpoint}
            return Client(project=self.project or "none", credentials=AnonymousCredentials(), client_options=options)
        if self.service_account:
            return Client.from_service_account_info(json.loads(self.service_account.get_secret_value()), project=self.project)
        return Client(project=self.project)

    def url(self, name: str) -> str:
        """Where an object of the bucket can be read."""
        if self.public_url:
            return f"{self.public_url.rstrip('/')}/{self.prefix}{name}"
        base = self.endpoint.rstrip("/") if self.endpoint else "https://storage.googleapis.com"
        return f"{base}/{self.bucket}/{self.prefix}{name}"
