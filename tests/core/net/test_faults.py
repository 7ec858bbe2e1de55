"""Every fault and status has its error, and no error tells what it must not."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime

import aiohttp
import httpx
import pytest
from multidict import CIMultiDict

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderBusyError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Target, network_faults, retry_after, status_error
from junctor.core.net.faults import provider_error
from junctor.core.net.wires import (
    BrokenError,
    CodingError,
    CrowdedError,
    CutError,
    HeaderError,
    NoAnswerError,
    NotHttpError,
    NotUrlError,
    WireError,
)

TARGET = Target("vendor", "model-1")
NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, ProviderAnswerError),
        (307, ProviderRejectedError),
        (400, ProviderRejectedError),
        (401, ProviderAuthError),
        (402, ProviderQuotaError),
        (403, ProviderAuthError),
        (404, ProviderRejectedError),
        (408, ProviderTimeoutError),
        (409, ProviderUnavailableError),
        (413, ProviderRejectedError),
        (415, ProviderRejectedError),
        (418, ProviderRejectedError),
        (422, ProviderRejectedError),
        (425, ProviderUnavailableError),
        (429, ProviderRateLimitedError),
        (500, ProviderUnavailableError),
        (503, ProviderUnavailableError),
        (529, ProviderUnavailableError),
        (599, ProviderUnavailableError),
    ],
)
def test_status_to_error(status, error):
    """A status has one meaning everywhere, and the error names provider and model."""
    found = status_error(TARGET, status, {}, b'{"error": {"message": "LEAK"}}')

    assert (error, "vendor", "model-1") == (type(found), found.provider, found.model)
    assert "LEAK" not in str(found)
    assert str(status) in str(found)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": "insufficient_quota"}}',
        b'{"error": {"code": null, "type": "insufficient_quota"}}',
        b'{"code": "quota_exceeded", "error": "text"}',
    ],
)
def test_429_without_credits_is_quota(body):
    """A 429 that says the credits are gone is no invitation to try again."""
    found = status_error(TARGET, 429, {"Retry-After": "1"}, body)

    assert (ProviderQuotaError, None) == (type(found), found.retry_after)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[1]",
        b'{"error": [1]}',
        b'{"error": {"code": []}}',
        b'{"error": "trop de requ\xeates"}',
        b'{"more": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    ],
)
def test_429_of_any_body_is_rate_limit(body):
    """A body that is not the usual envelope changes nothing."""
    assert isinstance(status_error(TARGET, 429, {}, body), ProviderRateLimitedError)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, 3600.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 20 Nov 2036 12:00:00 -0000"}, 3600.0),
        ({"retry-after": "Fri, 99 Nov 2026 12:00:00 GMT"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
    ],
)
def test_retry_after(headers, seconds):
    """Seconds, milliseconds and dates are understood, bounded, and nonsense is no wish."""
    assert seconds == retry_after(CIMultiDict(headers), now=NOW)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (TimeoutError(), ProviderTimeoutError),
        (aiohttp.ConnectionTimeoutError("LEAK"), ProviderTimeoutError),
        (aiohttp.SocketTimeoutError("LEAK"), ProviderTimeoutError),
        (aiohttp.ServerDisconnectedError("LEAK"), ProviderUnavailableError),
        (aiohttp.ClientOSError(104, "LEAK"), ProviderUnavailableError),
        (aiohttp.ClientPayloadError("LEAK"), ProviderAnswerError),
        (aiohttp.InvalidURL("LEAK"), ProviderRejectedError),
        (aiohttp.ClientError("LEAK"), ProviderUnavailableError),
        (ConnectionResetError("LEAK"), ProviderUnavailableError),
        (ConnectionRefusedError("LEAK"), ProviderUnavailableError),
        (socket.gaierror(1, "LEAK"), ProviderUnavailableError),
        (ssl.SSLCertVerificationError("LEAK"), ProviderUnavailableError),
        (NotUrlError("LEAK"), ProviderRejectedError),
        (HeaderError("LEAK"), ProviderRejectedError),
        (NoAnswerError("LEAK"), ProviderUnavailableError),
        (BrokenError("LEAK"), ProviderUnavailableError),
        (CutError("LEAK"), ProviderAnswerError),
        (CrowdedError("LEAK"), ProviderBusyError),
        (NotHttpError("LEAK"), ProviderAnswerError),
        (CodingError("LEAK"), ProviderAnswerError),
        (WireError("LEAK"), ProviderUnavailableError),
        (OSError("LEAK"), ProviderUnavailableError),
        (httpx.ReadTimeout("LEAK"), ProviderTimeoutError),
        (httpx.PoolTimeout("LEAK"), ProviderTimeoutError),
        (httpx.ConnectError("LEAK"), ProviderUnavailableError),
        (httpx.ReadError("LEAK"), ProviderAnswerError),
        (httpx.RemoteProtocolError("LEAK"), ProviderAnswerError),
        (httpx.InvalidURL("LEAK"), ProviderRejectedError),
        (httpx.UnsupportedProtocol("LEAK"), ProviderRejectedError),
        (ZeroDivisionError("LEAK"), ProviderUnavailableError),
    ],
    ids=lambda value: str(type(value)) if isinstance(value, Exception) else "",
)
def test_fault_to_error(fault, error):
    """A fault of any client is the same error, and its text stays out of the message."""
    found = provider_error(fault, TARGET)

    assert error is type(found)
    assert "LEAK" not in str(found)
    assert "LEAK" not in repr(found)


def test_bridge_does_not_hide_the_cause():
    """The httpx bridge calls a disconnect a connect timeout; what aiohttp said decides."""
    fault = httpx.ConnectTimeout("")
    fault.__cause__ = aiohttp.ServerDisconnectedError()

    assert isinstance(provider_error(fault, TARGET), ProviderUnavailableError)


@pytest.mark.parametrize("error", [KeyError("x"), asyncio.CancelledError(), ValueError("x")])
def test_only_network_faults_are_turned(error):
    """A bug or a cancel inside the block stays what it is."""
    with pytest.raises(type(error)), network_faults(TARGET):
        raise error


def test_our_own_errors_pass():
    """An error of ours inside the block is not wrapped again."""
    error = ProviderAuthError("x", provider="vendor")

    with pytest.raises(ProviderAuthError) as caught, network_faults(TARGET):
        raise error

    assert error is caught.value
