"""Where callers put their API key."""

from litestar.datastructures import Headers


def credential_of(headers: Headers) -> str | None:
    """Return the key of `Authorization: Bearer <key>` or of `x-api-key`; None without either."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "").strip() or None
