"""A service account: its key, and the access tokens that are had for it (RFC 7523)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

import msgspec
from attrs import define, field
from msgspec import Struct

from junctor.core.errors import ConfigError
from junctor.core.net import Body
from junctor.plugins.remote.google.settings import NAME

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME = 3600
"""What a token is asked for, seconds; Google gives no more."""
SLACK = 120.0
"""Time before its end from which a token is not used any more, seconds."""
_NO_KEY = "Expected the JSON key of a service account, or the path of one."


class _KeyFile(Struct):
    client_email: str
    private_key: str
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
    private_key_id: str = ""
    project_id: str = ""


class Grant(Struct):
    """What the token endpoint answers."""

    access_token: str
    expires_in: float = LIFETIME


@define(eq=False, kw_only=True)
class ServiceAccount:
    """Signs requests for tokens, and keeps the token until shortly before its end."""

    email: str
    token_uri: str
    project: str
    key_id: str
    _key: "RSAPrivateKey" = field(repr=False)
    _token: str = field(default="", init=False, repr=False)
    _until: float = field(default=0.0, init=False)
    _renewing: asyncio.Lock = field(factory=asyncio.Lock, init=False, repr=False)

    @classmethod
    def load(cls, source: str) -> Self:
        """
        Read a key; blocking.

        Args:
            source: the JSON of the key file, or its path.

        Raises:
            ConfigError: it cannot be read, or is no key of a service account.

        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            text = source if source.lstrip().startswith("{") else Path(source).read_text("utf-8")
            file = msgspec.json.decode(text, type=_KeyFile)
            key = load_pem_private_key(file.private_key.encode(), None)
        except OSError as exc:
            raise _wrong(f"The key file cannot be read ({exc.strerror}).") from exc
        except (msgspec.DecodeError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise _wrong(_NO_KEY) from exc
        if not isinstance(key, RSAPrivateKey):
            raise _wrong(_NO_KEY)
        return cls(
            email=file.client_email,
            token_uri=file.token_uri,
            project=file.project_id,
            key_id=file.private_key_id,
            key=key,
        )

    async def token(self, exchange: Callable[[Body], Awaitable[Grant]]) -> str:
        """
        Return a token that is good for a while; many who ask at once cause one exchange.

        Args:
            exchange: posts the request to `token_uri`.

        """
        async with self._renewing:
            if time.monotonic() >= self._until:
                asked = time.monotonic()
                grant = await exchange(self._request())
                self._token, self._until = grant.access_token, asked + grant.expires_in - SLACK
            return self._token

    def forget(self) -> None:
        """Drop the token: it was refused."""
        self._until = 0.0

    def _request(self) -> Body:
        import jwt

        now = int(time.time())
        claims = {
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now,
            "exp": now + LIFETIME,
        }
        headers = {"kid": self.key_id} if self.key_id else None
        assertion = jwt.encode(claims, self._key, algorithm="RS256", headers=headers)
        form = urlencode({"grant_type": GRANT, "assertion": assertion}).encode()
        return Body(parts=(form,), content_type="application/x-www-form-urlencoded")


def _wrong(sentence: str) -> ConfigError:
    return ConfigError(sentence, key=f"plugins.{NAME}.service_account")
