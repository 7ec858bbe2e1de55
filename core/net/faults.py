"""
Every way a network call fails, and which of our errors it is: one table, one status rule.

Messages hold the provider's name, the status and a remedy. What the upstream wrote, keys and
URLs are never in them. Classes are looked up by name, so that no client is imported here.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec
from attrs import frozen

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderBusyError,
    ProviderContextError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)

MAX_RETRY_AFTER = 3600.0
"""Longest wait that a `Retry-After` may ask for, seconds."""


@frozen
class Target:
    """Who is asked; every error of the call names it."""

    provider: str
    model: str = ""


_FAULTS: dict[str, tuple[type[ProviderError], str]] = {
    "builtins.TimeoutError": (ProviderTimeoutError, "did not answer in time"),
    "builtins.OSError": (ProviderUnavailableError, "could not be reached"),
    "builtins.ConnectionRefusedError": (ProviderUnavailableError, "refused the connection"),
    "socket.gaierror": (
        ProviderUnavailableError,
        "has a host name that cannot be resolved; check its base_url and the name servers",
    ),
    "ssl.SSLError": (
        ProviderUnavailableError,
        "offered no TLS connection that can be trusted; check its base_url and certificate",
    ),
    "junctor.NotUrlError": (ProviderRejectedError, "has a base_url that is not a URL"),
    "junctor.HeaderError": (
        ProviderRejectedError,
        "would be sent a header with a line break or another character that none may hold",
    ),
    "junctor.NoAnswerError": (
        ProviderUnavailableError,
        "closed the connection instead of answering",
    ),
    "junctor.BrokenError": (ProviderUnavailableError, "broke the connection"),
    "junctor.CrowdedError": (
        ProviderBusyError,
        "was not asked, for every connection is taken; raise max_connections",
    ),
    "junctor.CutError": (ProviderAnswerError, "cut its answer off"),
    "junctor.NotHttpError": (ProviderAnswerError, "does not speak HTTP/1.1"),
    "junctor.CodingError": (ProviderAnswerError, "sent an answer that cannot be decompressed"),
    "aiohttp.ServerTimeoutError": (ProviderTimeoutError, "did not answer in time"),
    "aiohttp.ClientConnectorDNSError": (
        ProviderUnavailableError,
        "has a host name that cannot be resolved; check its base_url and the name servers",
    ),
    "aiohttp.ClientSSLError": (
        ProviderUnavailableError,
        "offered no TLS connection that can be trusted; check its base_url and certificate",
    ),
    "aiohttp.ClientConnectorError": (ProviderUnavailableError, "refused the connection"),
    "aiohttp.ServerDisconnectedError": (
        ProviderUnavailableError,
        "closed the connection instead of answering",
    ),
    "aiohttp.ClientOSError": (ProviderUnavailableError, "broke the connection"),
    "aiohttp.ClientPayloadError": (ProviderAnswerError, "cut its answer off"),
    "aiohttp.ClientResponseError": (ProviderAnswerError, "does not speak HTTP/1.1"),
    "aiohttp.InvalidURL": (ProviderRejectedError, "has a base_url that is not a URL"),
    "aiohttp.NonHttpUrlClientError": (ProviderRejectedError, "has a base_url that is not a URL"),
    "aiohttp.ClientError": (ProviderUnavailableError, "could not be reached"),
    "httpx.TimeoutException": (ProviderTimeoutError, "did not answer in time"),
    "httpx.ReadError": (ProviderAnswerError, "cut its answer off"),
    "httpx.RemoteProtocolError": (ProviderAnswerError, "does not speak HTTP/1.1"),
    "httpx.DecodingError": (ProviderAnswerError, "sent an answer that cannot be decompressed"),
    "httpx.UnsupportedProtocol": (ProviderRejectedError, "has a base_url that is not a URL"),
    "httpx.InvalidURL": (ProviderRejectedError, "has a base_url that is not a URL"),
    "httpx.HTTPError": (ProviderUnavailableError, "could not be reached"),
}
"""Fault to error; the nearest base class that is listed decides."""


def provider_error(fault: BaseException, target: Target) -> ProviderError:
    """Return our error for a fault of any client; an error of ours is returned as it is."""
    cause = fault.__cause__
    if cause is not None and _root(type(fault)) == "httpx" and _root(type(cause)) == "aiohttp":
        fault = cause  # the bridge calls every broken connection a connect timeout
    for kind in type(fault).__mro__:
        if found := _FAULTS.get(f"{_root(kind)}.{kind.__name__}"):
            error, sentence = found
            return error(
                f"{target.provider} {sentence}.", provider=target.provider, model=target.model
            )
    return ProviderUnavailableError(
        f"{target.provider} could not be reached.", provider=target.provider, model=target.model
    )


def _root(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def shown_cause(fault: BaseException) -> BaseException | None:
    """Return the fault to chain to, or None for one whose `repr` holds our request headers."""
    return None if hasattr(fault, "request_info") else fault


@contextmanager
def network_faults(target: Target) -> Iterator[None]:
    """
    Turn what the clients raise inside into our errors; for adapters that use the httpx door.

    Raises:
        ProviderError: the call failed; the subclass says how.

    """
    try:
        yield
    except (ProviderError, GeneratorExit):
        raise
    except Exception as exc:
        if _root(type(exc)) not in {"aiohttp", "httpx"} and not isinstance(exc, OSError):
            raise
        raise provider_error(exc, target) from shown_cause(exc)


class _ErrorBody(msgspec.Struct):
    code: object = None
    type: object = None


class _Envelope(msgspec.Struct):
    error: _ErrorBody | str | None = None
    code: object = None


_envelope = msgspec.json.Decoder(_Envelope)
_QUOTA_CODES = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded"}
)
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
"""What OpenAI, and llama.cpp, say of a conversation that is too long."""
_MAX_ERROR_BODY = 65536

_STATUS: dict[int, tuple[type[ProviderError], str]] = {
    401: (ProviderAuthError, "refused our credentials; check its api_key"),
    402: (ProviderQuotaError, "wants to be paid first; top up its account"),
    403: (ProviderAuthError, "does not allow this with our credentials; check its api_key"),
    404: (ProviderRejectedError, "knows no such model or path; check the model and base_url"),
    408: (ProviderTimeoutError, "gave up waiting"),
    409: (ProviderUnavailableError, "has a conflict with another request"),
    413: (ProviderRejectedError, "finds the upload too large"),
    415: (ProviderRejectedError, "does not take this kind of media"),
    425: (ProviderUnavailableError, "is not ready for the request"),
    429: (ProviderRateLimitedError, "asks us to slow down"),
}


def status_error(
    target: Target, status: int, headers: Mapping[str, str], body: bytes = b""
) -> ProviderError:
    """
    Return our error for an answer whose status is not 2xx.

    Args:
        target: who answered.
        status: the HTTP status.
        headers: the answer's headers; a lookup of `Retry-After` must ignore case.
        body: the answer's body; only a machine-readable code in it is looked at.

    """
    wait = retry_after(headers)
    error, sentence = _STATUS.get(status) or _by_class(status)
    if error is ProviderRateLimitedError and _codes(body) & _QUOTA_CODES:
        error, sentence, wait = ProviderQuotaError, "says our credits are used up; top it up", None
    if error is ProviderRejectedError and _codes(body) & _CONTEXT_CODES:
        error, sentence = ProviderContextError, "finds the conversation longer than its context"
    return error(
        f"{target.provider} {sentence} (HTTP {status}).",
        provider=target.provider,
        model=target.model,
        retry_after=wait,
    )


def _by_class(status: int) -> tuple[type[ProviderError], str]:
    if status >= 500:  # noqa: PLR2004
        return ProviderUnavailableError, "is failing or overloaded"
    if status >= 400:  # noqa: PLR2004
        return ProviderRejectedError, "refuses this request"
    if status >= 300:  # noqa: PLR2004
        return ProviderRejectedError, "redirects, which is not followed; check its base_url"
    return ProviderAnswerError, "gave an answer without the result"


def _codes(body: bytes) -> set[object]:
    if len(body) > _MAX_ERROR_BODY:
        return set()
    try:
        envelope = _envelope.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set()
    inner = envelope.error if isinstance(envelope.error, _ErrorBody) else _ErrorBody()
    return {code for code in (envelope.code, inner.code, inner.type) if isinstance(code, str)}


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """
    Return the wait that an answer asks for, 0 to `MAX_RETRY_AFTER` seconds; None for no wish.

    Reads `retry-after-ms` (milliseconds) and `Retry-After` (seconds, or an HTTP date).
    """
    if milliseconds := _number(headers.get("retry-after-ms")):
        return min(milliseconds / 1000, MAX_RETRY_AFTER)
    text = headers.get("Retry-After")
    seconds = _number(text)
    if seconds is None and text:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
    return None if seconds is None else min(seconds, MAX_RETRY_AFTER)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
