"""Where callers put their API key."""

from collections.abc import Iterable, Mapping


def credential_of(headers: Mapping[str, str]) -> str | None:
    """
    Return the key of `Authorization: Bearer <key>` or of `x-api-key`; None without either.

    Args:
        headers: by name in lower case, as litestar's `Request.headers` has them.

    """
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "").strip() or None


def credential_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the same of headers as an ASGI scope has them: pairs, names in lower case."""
    found = {
        name.decode(): value.decode("latin-1")
        for name, value in headers
        if name in {b"authorization", b"x-api-key"}
    }
    return credential_of(found)
