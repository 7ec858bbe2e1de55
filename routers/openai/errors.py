"""The OpenAI contract's errors: which SDK class is raised hangs on the status alone."""

import msgspec

from junctor.contracts.openai import ErrorDetail, ErrorEnvelope
from junctor.core.errors import (
    AllCandidatesFailedError,
    AuthenticationError,
    ClientGoneError,
    ConcurrencyLimitedError,
    ContextLengthError,
    DeadlineExceededError,
    ForbiddenError,
    InsufficientBalanceError,
    JunctorError,
    MediaError,
    MethodNotAllowedError,
    NoCandidateError,
    NotFoundError,
    OverloadedError,
    ProviderBusyError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitedError,
    RequestError,
    TooLargeError,
    TooLongError,
    UnknownModelError,
    UnsupportedOptionError,
)
from junctor.core.faces import ErrorFace, ErrorRow, Refusal

_INVALID = "invalid_request_error"
_SERVER = "server_error"

OPENAI_ROWS: dict[type[JunctorError], ErrorRow] = {
    JunctorError: ErrorRow(500, _SERVER, "internal_error"),
    RequestError: ErrorRow(400, _INVALID),
    ContextLengthError: ErrorRow(400, _INVALID, "context_length_exceeded"),
    UnsupportedOptionError: ErrorRow(400, _INVALID, "unsupported_value"),
    MediaError: ErrorRow(400, _INVALID, "invalid_file"),
    TooLargeError: ErrorRow(413, _INVALID, "file_too_large"),
    TooLongError: ErrorRow(400, _INVALID, "audio_too_long"),
    UnknownModelError: ErrorRow(404, _INVALID, "model_not_found"),
    AuthenticationError: ErrorRow(401, _INVALID, "invalid_api_key"),
    ForbiddenError: ErrorRow(403, _INVALID, "permission_denied"),
    NotFoundError: ErrorRow(404, _INVALID, "not_found"),
    MethodNotAllowedError: ErrorRow(405, _INVALID, "method_not_allowed"),
    RateLimitedError: ErrorRow(429, "requests", "rate_limit_exceeded"),
    ConcurrencyLimitedError: ErrorRow(429, "requests", "concurrency_limit_exceeded"),
    InsufficientBalanceError: ErrorRow(429, "insufficient_quota", "insufficient_quota"),
    ClientGoneError: ErrorRow(499, _INVALID, "client_gone"),
    ProviderError: ErrorRow(502, _SERVER, "provider_failed"),
    ProviderTimeoutError: ErrorRow(504, _SERVER, "provider_timeout"),
    ProviderBusyError: ErrorRow(503, _SERVER, "overloaded"),
    NoCandidateError: ErrorRow(503, _SERVER, "no_provider"),
    AllCandidatesFailedError: ErrorRow(502, _SERVER, "all_providers_failed"),
    DeadlineExceededError: ErrorRow(504, _SERVER, "timeout"),
    OverloadedError: ErrorRow(503, _SERVER, "overloaded"),
}

SHARED_ROWS: dict[type[JunctorError], ErrorRow] = {
    **OPENAI_ROWS,
    JunctorError: ErrorRow(500, "internal_error", "internal_error"),
    RequestError: ErrorRow(400, "invalid_request"),
    AuthenticationError: ErrorRow(401, "authentication_error", "invalid_api_key"),
    NotFoundError: ErrorRow(404, "not_found", "not_found"),
    UnknownModelError: ErrorRow(404, "not_found", "model_not_found"),
    MethodNotAllowedError: ErrorRow(405, "method_not_allowed", "method_not_allowed"),
    RateLimitedError: ErrorRow(429, "rate_limit_exceeded", "rate_limit_exceeded"),
    ConcurrencyLimitedError: ErrorRow(429, "rate_limit_exceeded", "concurrency_limit_exceeded"),
    ProviderError: ErrorRow(502, "inference_error", "provider_failed"),
    OverloadedError: ErrorRow(503, "service_unavailable", "overloaded"),
}
"""Paths that the speech contract shares: its types, OpenAI's statuses and codes."""


def envelope(refusal: Refusal) -> bytes:
    """Put OpenAI's envelope around an error."""
    detail = ErrorDetail(
        message=refusal.message,
        type=refusal.row.type,
        param=refusal.param,
        code=refusal.row.code,
        request_id=refusal.request_id,
    )
    return msgspec.json.encode(ErrorEnvelope(error=detail))


OPENAI_FACE = ErrorFace(contract="openai", rows=OPENAI_ROWS, envelope=envelope)
SHARED_FACE = ErrorFace(contract="shared", rows=SHARED_ROWS, envelope=envelope)
