"""
Every error in the shape of the contract whose path was asked for.

A contract has one table: class of the tree → status, type and code, found along the class's MRO.
A plugin's router joins by carrying its face in litestar's own `opt`::

    Router("/acme", route_handlers=[...], opt={ERROR_FACE: ErrorFace(...)})
"""

from collections.abc import Callable, Mapping
from math import ceil

import structlog
from attrs import field, frozen
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.types import Scope

from junctor.core.errors import (
    AuthenticationError,
    ConcurrencyLimitedError,
    ConfigError,
    ForbiddenError,
    InsufficientBalanceError,
    InternalError,
    InvalidRequestError,
    JunctorError,
    MethodNotAllowedError,
    NoCandidateError,
    NotFoundError,
    OverloadedError,
    PluginError,
    ProviderBusyError,
    ProviderError,
    RateLimitedError,
    TooLargeError,
)
from junctor.core.redaction import publishable
from junctor.routers.answers import Answer, Http, ticket_headers
from junctor.routers.visits import visit_of

ERROR_FACE = "junctor_error_face"
"""Key in a router's `opt` under which its `ErrorFace` is found."""

RETRY_LATER = 5
"""Seconds after which a client may try again, where nothing better is known."""
HTTP_413, HTTP_500 = 413, 500

_PASSING = (
    RateLimitedError,
    ConcurrencyLimitedError,
    OverloadedError,
    NoCandidateError,
    ProviderBusyError,
)
"""Errors that pass by themselves."""

_OF_STATUS: dict[int, tuple[type[JunctorError], str]] = {
    401: (AuthenticationError, ""),
    403: (ForbiddenError, ""),
    404: (NotFoundError, "There is nothing at this path. Check the URL."),
    405: (MethodNotAllowedError, "This path does not take this HTTP method."),
}
"""What litestar's own exceptions mean, and our sentence for it where theirs says less."""

_log = structlog.get_logger()


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


def as_junctor_error(error: Exception, *, limit_bytes: int = 0) -> JunctorError:
    """
    Turn what litestar or a defect raised into an error of the tree.

    Args:
        error: anything.
        limit_bytes: the largest body, for litestar's 413, which does not tell it.

    """
    if isinstance(error, JunctorError):
        return error
    if not isinstance(error, HTTPException) or error.status_code >= HTTP_500:
        return InternalError()
    if error.status_code == HTTP_413:
        return TooLargeError(limit_bytes=limit_bytes)
    kind, sentence = _OF_STATUS.get(error.status_code, (InvalidRequestError, ""))
    return kind(sentence or error.detail or "The request is not valid.")


def refusal_of(scope: Scope, error: JunctorError, faces: ErrorFaces) -> Answer:
    """Render an error in the contract of the scope's path, and note it in the visit."""
    face = faces.of(scope["path"])
    visit = visit_of(scope)
    visit.contract = visit.contract or face.contract
    visit.error = type(error).__name__
    refusal = face.refuse(error, request_id=visit.request_id)
    known = ticket_headers(visit.ticket) if visit.ticket is not None else []
    return Answer(
        body=face.envelope(refusal),
        media_type=face.media_type,
        status=refusal.status,
        headers=[*refusal.headers, *known],
    )


def error_handler(faces: ErrorFaces) -> Callable[[Http, Exception], Response[bytes]]:
    """Return litestar's handler of every exception, which answers in the path's contract."""

    def answer(request: Http, exc: Exception) -> Response[bytes]:
        limit = request.app.request_max_body_size
        error = as_junctor_error(exc, limit_bytes=limit if isinstance(limit, int) else 0)
        if isinstance(error, InternalError) and error is not exc:
            _log.error("unexpected_error", path=request.scope["path"], exc_info=exc)
        refusal = refusal_of(request.scope, error, faces)
        told = exc.headers if isinstance(exc, HTTPException) else None
        return Response(
            refusal.body,
            status_code=refusal.status,
            media_type=refusal.media_type,
            headers={**dict(refusal.headers), **(told or {})},
        )

    return answer
