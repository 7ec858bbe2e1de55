"""
A client for URLs that callers give: it reaches the open internet, never what stands behind us.

Every address is judged after the name is resolved, in the connector, and the very address that was
judged is connected to: a name that resolves to something else a moment later gains nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from junctor.conf.settings import Network as Rules
from junctor.core.errors import ConfigError, InvalidRequestError
from junctor.core.net.addresses import Network, is_allowed, networks
from junctor.core.net.resolving import Resolver, SystemResolver

if TYPE_CHECKING:  # heavy: imported with the first call
    import aiohttp
    from yarl import URL

MAX_URL = 2048
"""Longest URL, characters."""
MAX_ANSWER = 64 * 1024
"""Bytes kept of the answer to a POST."""
MAX_HOPS = 3
"""Redirects that a GET follows."""
_PRIVILEGED = 1024
_WEB_PORTS = (80, 443)
_CHECK_SECONDS = 3.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Reason = Literal["url", "address", "timeout", "dns", "tls", "connection", "protocol", "too_large"]


class UrlError(InvalidRequestError):
    """
    A caller's URL is refused, or what it names cannot be reached; `reason` is one word for it.

    The sentence holds neither the URL nor what its server wrote.
    """

    def __init__(self, message: str, *, reason: Reason, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.reason: Reason = reason


@frozen(kw_only=True)
class GuardedAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """By lower-case name."""
    body: bytes = field(repr=False)


class GuardedClient:
    """
    Sends requests to strangers' servers: no proxy, no cookies, no kept connections.

    aiohttp is imported by the first call. Ports below 1024 other than 80 and 443 are refused.

    Args:
        rules: the settings section `[network]`.
        resolver: resolves names; the system's by default.

    Raises:
        ConfigError: `allowed_private` holds something that is no CIDR notation.

    """

    def __init__(self, rules: Rules, *, resolver: Resolver | None = None) -> None:
        self._allowed = _allowed(rules)
        self._schemes = ("https",) if rules.require_https else ("http", "https")
        self._resolver = resolver or SystemResolver()
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def check(self, url: str, *, param: str) -> None:
        """
        Say now what would be refused later; a name that cannot be resolved at the moment passes.

        Raises:
            UrlError: it is no URL we would call, or leads to an address that is not public.

        """
        await self._open()
        target = self._parsed(url, param)
        host = target.raw_host or ""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                found = await self._resolver.resolve(host, target.port or 0)
        except (OSError, TimeoutError):
            return
        if not all(is_allowed(one, self._allowed) for one in found):
            raise _refused(param)

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, within: float
    ) -> GuardedAnswer:
        """
        Send a POST and return its answer whatever the status; redirects are answers too.

        Args:
            url: as the caller gave it.
            headers: all that is sent beside what HTTP itself needs.
            body: sent as it is.
            within: seconds for everything.

        Raises:
            UrlError: it is refused, or there was no answer.

        """
        target = await self._first(url)
        async with self._sent("POST", target, headers, body, within) as response:
            return _answer(response, await _read(response, MAX_ANSWER))

    async def get(
        self, url: str, *, max_bytes: int, within: float, max_hops: int = MAX_HOPS
    ) -> GuardedAnswer:
        """
        Fetch a document; each redirect on the way is judged like the first URL.

        Args:
            url: as the caller gave it.
            max_bytes: largest body.
            within: seconds for everything.
            max_hops: redirects that are followed; with 0 the first one is refused.

        Raises:
            UrlError: it, or what it redirects to, is refused, too large or not to be reached.

        """
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        target = await self._first(url)
        for hop in range(max_hops + 1):
            left = max(0.001, until - loop.time())
            async with self._sent("GET", target, {}, None, left) as response:
                where = response.headers.get("Location")
                if response.status not in _REDIRECTS or where is None:
                    return _answer(response, await _whole(response, max_bytes))
                if hop < max_hops:
                    target = self._parsed(where, None, base=target)
        raise UrlError(
            f"The URL redirects more than {max_hops} times."
            if max_hops
            else "The URL redirects. Send the one that it leads to.",
            reason="url",
        )

    async def close(self) -> None:
        """Close every connection; a second call does nothing, a later request opens it again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._resolver.close()

    async def _first(self, url: str) -> "URL":
        await self._open()
        return self._parsed(url, None)

    async def _open(self) -> "aiohttp.ClientSession":
        async with self._opening:
            if self._session is None:
                await asyncio.to_thread(import_module, "aiohttp")
                from junctor.core.net._guarded import open_session

                self._session = open_session(self._resolver, self._allowed)
            return self._session

    def _parsed(self, text: str, param: str | None, *, base: "URL | None" = None) -> "URL":
        """Read a URL with the parser that will also send it, so that no two can disagree."""
        from yarl import URL

        try:
            _check_characters(text)
            url = URL(text) if base is None else base.join(URL(text))
            complaint = self._complaint(url)
        except ValueError:
            url, complaint = URL(), "is not a URL"
        if complaint is not None:
            raise UrlError(
                f"The URL {complaint}. Send one like '{self._schemes[-1]}://example.com/path'.",
                reason="url",
                param=param,
            )
        return url.with_fragment(None)

    def _complaint(self, url: "URL") -> str | None:
        if url.scheme not in self._schemes:
            return f"must begin with {' or '.join(f'{one}://' for one in self._schemes)}"
        if not url.raw_host:
            return "names no host"
        if url.raw_user is not None or url.raw_password is not None:
            return "must not hold a user name or a password"
        port = url.port or 0
        if port not in _WEB_PORTS and port < _PRIVILEGED:
            return f"must use port 80, 443, or one from {_PRIVILEGED} up"
        return None

    @asynccontextmanager
    async def _sent(
        self,
        method: str,
        url: "URL",
        headers: Mapping[str, str],
        body: bytes | None,
        within: float,
    ) -> "AsyncIterator[aiohttp.ClientResponse]":
        session = await self._open()
        import aiohttp

        try:
            async with (
                asyncio.timeout(within),
                session.request(
                    method, url, headers=headers, data=body, allow_redirects=False
                ) as response,
            ):
                try:
                    yield response
                finally:
                    response.close()
        except (aiohttp.ClientError, OSError) as exc:
            raise _fault(exc) from None


def _allowed(rules: Rules) -> tuple[Network, ...]:
    try:
        return networks(rules.allowed_private)
    except ValueError as exc:
        raise ConfigError(
            f"expected networks like '10.0.0.0/8' ({exc}).", key="network.allowed_private"
        ) from exc


def _check_characters(text: str) -> None:
    if len(text) > MAX_URL or "\\" in text or not text.isprintable() or " " in text:
        raise ValueError


def _refused(param: str | None = None) -> UrlError:
    return UrlError(
        "The URL leads to an address that is not on the public internet. Use a public host, or "
        "ask the operator of this server to allow its network.",
        reason="address",
        param=param,
    )


def _fault(exc: Exception) -> UrlError:
    """Return what a failed call is to the caller; the first class that fits decides."""
    import aiohttp

    from junctor.core.net._guarded import RefusedAddressError

    if isinstance(getattr(exc, "os_error", exc), RefusedAddressError):
        return _refused()
    table: tuple[tuple[type[Exception], Reason, str], ...] = (
        (TimeoutError, "timeout", "did not answer in time"),
        (aiohttp.InvalidURL, "url", "has an address written in an unusual way"),
        (aiohttp.ClientConnectorDNSError, "dns", "has a name that cannot be resolved"),
        (aiohttp.ClientSSLError, "tls", "offers no TLS connection that can be trusted"),
        (aiohttp.ClientConnectionError, "connection", "could not be reached"),
        (aiohttp.ClientError, "protocol", "does not answer in HTTP"),
    )
    for kind, reason, what in table:
        if isinstance(exc, kind):
            return UrlError(f"The server behind the URL {what}.", reason=reason)
    return UrlError("The server behind the URL could not be reached.", reason="connection")


async def _whole(response: "aiohttp.ClientResponse", most: int) -> bytes:
    if (response.content_length or 0) <= most:
        body = await _read(response, most + 1)
        if len(body) <= most:
            return body
    raise UrlError(
        f"What the URL names is larger than the {most} bytes allowed.", reason="too_large"
    )


async def _read(response: "aiohttp.ClientResponse", most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= most:
            break
    return bytes(body[:most])


def _answer(response: "aiohttp.ClientResponse", body: bytes) -> GuardedAnswer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return GuardedAnswer(status=response.status, headers=headers, body=body)
