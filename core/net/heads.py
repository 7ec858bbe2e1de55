"""Where a URL leads, and the head of a request as bytes."""

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, urlsplit

from attrs import frozen

from junctor.core.net.bodies import Body
from junctor.core.net.wires import HeaderError, NotUrlError

Origin = tuple[str, str, int]
"""Scheme, host and port: what may share a connection."""

_PORTS = {"http": 80, "https": 443}
_LEGAL = "!#$%&'()*+,/:;=?@[]~"
_DEFAULTS = (
    ("user-agent", "User-Agent: junctor"),
    ("accept", "Accept: */*"),
    ("accept-encoding", "Accept-Encoding: identity"),
)


@frozen
class Address:
    """A URL, taken apart."""

    origin: Origin
    authority: str
    """For `Host`: the port is in it where it is not the scheme's own."""
    path: str
    """With the query, quoted."""


def address_of(url: str) -> Address:
    """
    Take a URL apart. What is quoted stays as it is, for it may be signed.

    Raises:
        NotUrlError: it is no `http:` or `https:` URL with a host, has a user in it, or a control
            character.

    """
    # What has a query may be a signed, secret and single one: such are not remembered.
    return _parsed(url) if "?" in url else _remembered(url)


def _parsed(url: str) -> Address:
    if not url.isprintable():  # urlsplit would drop line ends in silence
        raise NotUrlError
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise NotUrlError from None
    if not host or "@" in parts.netloc or " " in host:
        raise NotUrlError
    authority = f"[{host}]" if ":" in host else host
    if port != _PORTS[parts.scheme]:
        authority += f":{port}"
    path = quote(parts.path or "/", safe=_LEGAL)
    if parts.query:
        path += "?" + quote(parts.query, safe=_LEGAL)
    return Address((parts.scheme, host, port), authority, path)


_remembered = lru_cache(maxsize=64)(_parsed)


def head_of(method: str, address: Address, headers: Mapping[str, str], body: Body | None) -> bytes:
    """
    Return the head of a request; the caller's headers go before ours of the same name.

    Raises:
        HeaderError: a line end or a NUL is in one, or it cannot be encoded.

    """
    given = {name.lower() for name in headers}
    lines = [f"{method} {address.path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {address.authority}")
    lines += [line for name, line in _DEFAULTS if name not in given]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        if "content-type" not in given:
            lines.append(f"Content-Type: {body.content_type}")
        lines.append(f"Content-Length: {body.size}")
    elif method not in {"GET", "HEAD"}:
        lines.append("Content-Length: 0")
    head = "\r\n".join(lines)
    ends = len(lines) - 1
    if "\0" in head or head.count("\r") != ends or head.count("\n") != ends:
        raise HeaderError
    try:
        return f"{head}\r\n\r\n".encode()
    except UnicodeEncodeError:
        raise HeaderError from None
