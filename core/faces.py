"""
How a contract shows errors: the tree of `junctor.core.errors` in its own envelope.

A contract has one table: class of the tree → status, type and code, found along the class's MRO.
A router joins by carrying its face in litestar's `opt`, a plugin's as well as ours; then 404 and
405 below its path have its shape, too::

    Router("/acme", route_handlers=[...], opt={ERROR_FACE: ErrorFace(...)})
"""

from collections.abc import Callable, Mapping
from math import ceil

from attrs import field, frozen

from junctor.core.errors import (
    ConcurrencyLimitedError,
    ConfigError,
    InsufficientBalanceError,
    InternalError,
    JunctorError,
    NoCandidateError,
    OverloadedError,
    PluginError,
    ProviderBusyError,
    ProviderError,
    RateLimitedError,
)
from junctor.core.redaction import publishable

ERROR_FACE = "junctor_error_face"
"""Key in a router's `opt` under which its `ErrorFace` is found."""

RETRY_LATER = 5
"""Seconds after which a client may try again, where nothing better is known."""

_PASSING = (
    RateLimitedError,
    ConcurrencyLimitedError,
    OverloadedError,
    NoCandidateError,
    ProviderBusyError,
)
"""Errors that pass by themselves."""


@frozen
class ErrorRow:
    """How a contract answers one class of errors."""

    status: int
    type: str
    code: str | None = None


@frozen(kw_only=True)
class Refusal:
    """An error as a caller gets it, before the contract's envelope is put around it."""

    row: ErrorRow
    message: str
    param: str | None
    request_id: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.row.status


@frozen(kw_only=True)
class ErrorFace:
    """How one contract shows errors. `rows` has at least `JunctorError`, the last resort."""

    contract: str
    rows: Mapping[type[JunctorError], ErrorRow]
    envelope: Callable[[Refusal], bytes]
    """Encodes the body."""
    media_type: str = "application/json"

    def row(self, error: JunctorError) -> ErrorRow:
        """Return the row of the error's class, or of the nearest class above it."""
        return next(self.rows[kind] for kind in type(error).__mro__ if kind in self.rows)

    def refuse(self, error: JunctorError, *, request_id: str) -> Refusal:
        """Say the error in words fit for a caller."""
        return Refusal(
            row=self.row(error),
            message=message_of(error),
            param=getattr(error, "param", None),
            request_id=request_id,
            headers=headers_of(error),
        )


@frozen(kw_only=True)
class ErrorFaces:
    """Which face a path has: that of the longest prefix it begins with."""

    default: ErrorFace
    by_prefix: dict[str, ErrorFace] = field(factory=dict)
    """Prefixes without a slash at the end."""

    def of(self, path: str) -> ErrorFace:
        """Return the face for a request's path."""
        prefix = path.rstrip("/")
        while prefix:
            face = self.by_prefix.get(prefix)
            if face is not None:
                return face
            prefix = prefix.rpartition("/")[0]
        return self.default

    def all(self) -> tuple[ErrorFace, ...]:
        """Return each face once."""
        return tuple(
            {face.contract: face for face in (self.default, *self.by_prefix.values())}.values()
        )


def message_of(error: JunctorError) -> str:
    """
    Return the sentence that a caller may read.

    What a provider or a plugin says stays inside: it may quote the upstream, a key or a path.
    """
    match error:
        case ProviderError():
            return "The provider failed before the answer was complete. Try again."
        case ConfigError() | PluginError():
            return str(InternalError())
        case NoCandidateError():
            return publishable(str(error))
        case _:
            return str(error)


def headers_of(error: JunctorError) -> tuple[tuple[str, str], ...]:
    """Return the headers that tell a client when, or whether, to try again."""
    if _is_hopeless(error):
        return (("x-should-retry", "false"),)
    if not isinstance(error, _PASSING):
        return ()
    told = getattr(error, "retry_after", None)
    seconds = RETRY_LATER if told is None else told
    return (("retry-after", str(max(1, ceil(seconds)))),)


def _is_hopeless(error: JunctorError) -> bool:
    if isinstance(error, NoCandidateError):
        return not error.temporary
    return isinstance(error, InsufficientBalanceError)
