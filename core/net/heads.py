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
_SILENT = frozenset({"GET", "HEAD"})
"""Methods of which nobody expects a body."""
_LEGAL = "!#$%&'()*+,/:;=?@[]~"
_OURS = (
    ("user-agent", "User-Agent: junctor\r\n"),
    ("accept", "Accept: */*\r\n"),
    ("accept-encoding", "Accept-Encoding: identity\r\n"),
)


@frozen
class Address:
    """A URL, taken apart."""

    origin: Origin
    authority: str
    """For `Host`: the port is in it where it is not the scheme's own."""
    path: str
    """With the query, quoted."""
    start: str
    """What goes out before the caller's headers and behind the method, where they are none of
    ours."""


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
    ours = "".join(line for _, line in _OURS)
    start = f" {path} HTTP/1.1\r\nHost: {authority}\r\n{ours}"
    return Address((parts.scheme, host, port), authority, path, start)


_remembered = lru_cache(maxsize=64)(_parsed)


def head_of(method: str, address: Address, headers: Mapping[str, str], body: Body | None) -> bytes:
    """
    Return the head of a request; the caller's headers go before ours of the same name.

    Raises:
        HeaderError: a line end or a NUL is in one, or it cannot be encoded.

    """
    names = "\n".join(headers).lower()
    if "host" in names or "accept" in names or "user-agent" in names or "content" in names:
        start, given = _start(address, names)
    else:
        start, given = address.start, ""
    block = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    ends = len(headers)
    if body is not None:
        if "\ncontent-type\n" not in given:
            block = f"{block}Content-Type: {body.content_type}\r\n"
            ends += 1
        size = body.size
    else:
        size = 0
    if block.count("\r") != ends or block.count("\n") != ends or "\0" in block:
        raise HeaderError
    length = "" if body is None and method in _SILENT else f"Content-Length: {size}\r\n"
    try:
        return f"{method}{start}{block}{length}\r\n".encode()
    except UnicodeEncodeError:
        raise HeaderError from None


def _start(address: Address, names: str) -> tuple[str, str]:
    """Return the start without what the caller gives, and the names of that, each on a line."""
    given = f"\n{names}\n"
    lines = [line for name, line in _OURS if f"\n{name}\n" not in given]
    if "\nhost\n" not in given:
        lines.insert(0, f"Host: {address.authority}\r\n")
    return f" {address.path} HTTP/1.1\r\n{''.join(lines)}", given
