"""What extends aiohttp for the guarded client, apart, so that nothing else imports it."""

import socket
from ipaddress import ip_address

import aiohttp
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import define

from junctor.core.net.addresses import Network, is_allowed
from junctor.core.net.resolving import Resolver

MAX_CONNECTIONS = 64
USER_AGENT = "junctor"


class RefusedAddressError(PermissionError):
    """The address is not public."""


@define(eq=False)
class JudgingResolver(AbstractResolver):
    """Resolves, and refuses a name that has any address which is not allowed."""

    _resolver: Resolver
    _allowed: tuple[Network, ...]

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - aiohttp's signature
    ) -> list[ResolveResult]:
        """Return the addresses of a host, of both families whatever is asked."""
        found = await self._resolver.resolve(host, port)
        if not all(is_allowed(one, self._allowed) for one in found):
            raise RefusedAddressError
        return [
            ResolveResult(
                hostname=host, host=one, port=port, family=_family(one), proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for one in found
        ]  # fmt: skip

    async def close(self) -> None:
        """Leave the resolver to its owner."""


def open_session(resolver: Resolver, allowed: tuple[Network, ...]) -> aiohttp.ClientSession:
    """Return a session that connects to allowed addresses only."""

    def gate(info: AddrInfoType) -> socket.socket:
        # The last word, on the address itself: a host written as an address is never resolved.
        family, kind, proto, _, address = info
        if not is_allowed(str(address[0]), allowed):
            raise RefusedAddressError
        return socket.socket(family, kind, proto)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=JudgingResolver(resolver, allowed),
            socket_factory=gate,
            use_dns_cache=False,
            force_close=True,
            limit=MAX_CONNECTIONS,
        ),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
    )


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET  # noqa: PLR2004
