"""Whatever a handler raises, in the shape of the contract whose path was asked for."""

from collections.abc import Callable

import structlog
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.types import Scope
from msgspec.structs import replace

from junctor.core.errors import (
    AuthenticationError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    JunctorError,
    MethodNotAllowedError,
    NotFoundError,
    TooLargeError,
)
from junctor.core.faces import ErrorFaces
from junctor.core.visits import Visit, current_visit
from junctor.routers.answers import Answer, Http, ticket_headers

HTTP_413, HTTP_500 = 413, 500

_OF_STATUS: dict[int, tuple[type[JunctorError], str]] = {
    401: (AuthenticationError, ""),
    403: (ForbiddenError, ""),
    404: (NotFoundError, "There is nothing at this path. Check the URL."),
    405: (MethodNotAllowedError, "This path does not take this HTTP method."),
}
"""What litestar's own exceptions mean, and our sentence for it where theirs says less."""

_log = structlog.get_logger()


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
    visit = current_visit()
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


def answer_to(scope: Scope, exc: Exception, faces: ErrorFaces, *, limit_bytes: int) -> Answer:
    """Return the answer to whatever a handler raised; log what is a defect."""
    error = as_junctor_error(exc, limit_bytes=limit_bytes)
    if isinstance(error, InternalError) and error is not exc:
        _log.error("unexpected_error", path=scope["path"], exc_info=exc)
    refusal = refusal_of(scope, error, faces)
    own = (exc.headers or {}) if isinstance(exc, HTTPException) else {}
    headers = {**dict(refusal.headers), **{name.lower(): value for name, value in own.items()}}
    return replace(refusal, headers=tuple(headers.items()))


def error_handler(faces: ErrorFaces) -> Callable[[Http, Exception], Response[bytes]]:
    """Return litestar's handler of every exception, which answers in the path's contract."""

    def answer(request: Http, exc: Exception) -> Response[bytes]:
        limit = request.app.request_max_body_size
        bound = limit if isinstance(limit, int) else 0
        told = answer_to(request.scope, exc, faces, limit_bytes=bound)
        return Response(
            told.body,
            status_code=told.status,
            media_type=told.media_type,
            headers=dict(told.headers),
        )

    return answer


def noted(error: Exception, visit: Visit) -> JunctorError:
    """Return the error of the tree that a stream breaks with; note it, and log what is a defect."""
    if not isinstance(error, JunctorError):
        _log.error("unexpected_error", operation=visit.operation, exc_info=error)
        error = InternalError()
    visit.error = type(error).__name__
    return error
