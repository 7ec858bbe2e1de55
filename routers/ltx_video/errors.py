"""
The image-to-video contract's errors: the statuses of its table.

Whatever is wrong with the request is 400. Where nothing can make or take a video now, 502: the
table's word for an upstream that cannot be reached, and the queue of jobs is one.
"""

import msgspec

from junctor.contracts.ltx_video import Failed
from junctor.core.errors import (
    AllCandidatesFailedError,
    AuthenticationError,
    BodyTooLargeError,
    ClientGoneError,
    ConcurrencyLimitedError,
    DeadlineExceededError,
    ForbiddenError,
    InsufficientBalanceError,
    JunctorError,
    MethodNotAllowedError,
    NoCandidateError,
    NotFoundError,
    OverloadedError,
    ProviderError,
    RateLimitedError,
    RequestError,
    UnknownModelError,
    UnsupportedOptionError,
)
from junctor.core.faces import ErrorFace, ErrorRow, Refusal

_UPSTREAM = "upstream_unavailable"

LTX_ROWS: dict[type[JunctorError], ErrorRow] = {
    JunctorError: ErrorRow(500, "internal_error"),
    RequestError: ErrorRow(400, "invalid_request"),
    UnsupportedOptionError: ErrorRow(400, "unsupported_option"),
    UnknownModelError: ErrorRow(400, "unsupported_model"),
    AuthenticationError: ErrorRow(401, "unauthorized"),
    ForbiddenError: ErrorRow(403, "forbidden"),
    NotFoundError: ErrorRow(404, "not_found"),
    MethodNotAllowedError: ErrorRow(405, "method_not_allowed"),
    BodyTooLargeError: ErrorRow(413, "too_large"),
    RateLimitedError: ErrorRow(429, "rate_limited"),
    ConcurrencyLimitedError: ErrorRow(429, "too_many_jobs"),
    InsufficientBalanceError: ErrorRow(429, "quota_exceeded"),
    ClientGoneError: ErrorRow(499, "client_gone"),
    ProviderError: ErrorRow(502, _UPSTREAM),
    NoCandidateError: ErrorRow(502, _UPSTREAM),
    AllCandidatesFailedError: ErrorRow(502, _UPSTREAM),
    DeadlineExceededError: ErrorRow(502, _UPSTREAM),
    OverloadedError: ErrorRow(502, _UPSTREAM),
}


def envelope(refusal: Refusal) -> bytes:
    """Put the contract's envelope around an error."""
    return msgspec.json.encode(
        Failed(
            error=refusal.message,
            code=refusal.row.type,
            param=refusal.param,
            request_id=refusal.request_id,
        )
    )


LTX_FACE = ErrorFace(contract="ltx_video", rows=LTX_ROWS, envelope=envelope)
