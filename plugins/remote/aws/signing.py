"""Credentials and signatures (SigV4), both botocore's; all of it blocks and is called in a thread."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from junctor.core.errors import NotConfiguredError
from junctor.core.net import Body
from junctor.plugins.remote.aws.settings import NAME, AWSSettings

if TYPE_CHECKING:  # heavy: imported when the provider starts
    from botocore.credentials import Credentials

LINK_SECONDS = 300
"""How long a signed WebSocket URL may be used; the most that Amazon allows."""


@frozen(kw_only=True)
class Call:
    """A request, not yet signed."""

    service: Literal["s3", "transcribe"]
    method: str
    url: str
    headers: Mapping[str, str] = field(factory=dict)
    body: Body | None = None


@frozen
class Signer:
    """Signs for one account and region."""

    region: str
    _credentials: "Credentials"

    def signed(self, call: Call) -> Mapping[str, str]:
        """Return the headers that make a request ours; a role is renewed here where due."""
        from botocore.auth import S3SigV4Auth, SigV4Auth
        from botocore.awsrequest import AWSRequest

        headers = dict(call.headers)
        if call.body is not None:
            headers["Content-Type"] = call.body.content_type
        data = b"".join(call.body.parts) if call.body is not None else b""
        request = AWSRequest(method=call.method, url=call.url, headers=headers, data=data)
        kind = S3SigV4Auth if call.service == "s3" else SigV4Auth
        kind(self._credentials.get_frozen_credentials(), call.service, self.region).add_auth(
            request
        )
        return dict(request.headers.items())

    def presigned(self, url: str) -> str:
        """Return a URL for a GET that carries its signature in the query."""
        from botocore.auth import SigV4QueryAuth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method="GET", url=url)
        SigV4QueryAuth(
            self._credentials.get_frozen_credentials(), "transcribe", self.region, LINK_SECONDS
        ).add_auth(request)
        return str(request.url)


def signer_of(settings: AWSSettings) -> Signer:
    """
    Return the signer of these settings.

    Raises:
        NotConfiguredError: botocore is not installed, or finds no credentials either.

    """
    try:
        from botocore.credentials import Credentials
        from botocore.session import Session
    except ImportError as exc:
        raise NotConfiguredError("botocore is missing: install junctor[aws]") from exc
    if settings.access_key_id:
        token = settings.session_token.reveal() or None
        keys = (settings.access_key_id.reveal(), settings.secret_access_key.reveal())
        return Signer(settings.region, Credentials(*keys, token))
    found = Session().get_credentials()
    if found is None:
        raise NotConfiguredError(
            f"no credentials: set `access_key_id` and `secret_access_key` in [plugins.{NAME}], or "
            "give botocore some (environment, ~/.aws, role)"
        )
    return Signer(settings.region, found)
