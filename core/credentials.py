"""Where callers put their API key."""

from collections.abc import Mapping


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
