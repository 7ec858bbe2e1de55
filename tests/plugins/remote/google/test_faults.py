"""Every documented error of both services, and every way a connection ends."""

import asyncio

import pytest

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.requests import TranscribeRequest
from junctor.core.testing.clips import tone_clip
from tests.fakes.vendors.base import REFUSALS
from tests.fakes.vendors.google import STATIC_TOKEN, GoogleFake

CLIP = tone_clip(0.2)
FAULTS = [
    ("rate-limited", ProviderRateLimitedError),
    ("minute", ProviderRateLimitedError),
    ("error", ProviderUnavailableError),
    ("unavailable", ProviderUnavailableError),
    ("deadline", ProviderUnavailableError),
    ("unauthorized", ProviderAuthError),
    ("token", ProviderAuthError),
    ("forbidden", ProviderAuthError),
    ("quota", ProviderQuotaError),
    ("billing", ProviderQuotaError),
    ("locale", ProviderRejectedError),
    ("missing", ProviderRejectedError),
    ("too-large", ProviderRejectedError),
    ("odd", ProviderUnavailableError),
    ("reset", ProviderUnavailableError),
    ("cut", ProviderAnswerError),
    ("malformed", ProviderAnswerError),
    ("hang", ProviderTimeoutError),
    ("drip", ProviderTimeoutError),
]
WAITS = {"rate-limited": 7.0, "minute": 37.5}


@pytest.mark.parametrize("model", ["chirp_3", "gemini-3.5-transcribe"])
@pytest.mark.parametrize(("fault", "error"), FAULTS)
async def test_faults_become_errors_of_ours(start, fake, model, fault, error):
    """Each has its class, its wait, and nothing foreign in its message."""
    google = await start(timeout=0.3 if fault in {"hang", "drip"} else 5.0)
    fake.script.append(fault)
    with pytest.raises(error) as caught:
        await google.transcribe(TranscribeRequest(audio=CLIP, model=model, language="en"))

    assert type(caught.value) is error
    assert WAITS.get(fault) == caught.value.retry_after
    assert not any(one in str(caught.value) for one in ("LEAK", fake.KEY, STATIC_TOKEN, fake.url))


def test_the_fake_has_every_refusal():
    """The matrix of all vendors can be played with it."""
    assert set(REFUSALS) <= set(GoogleFake.refusals)


@pytest.mark.parametrize("model", ["chirp_3", "gemini-3.5-transcribe"])
async def test_cancelling_ends_the_request(google, fake, model):
    """The connection is closed, so that the vendor stops."""
    fake.script.append("hang")
    request = TranscribeRequest(audio=CLIP, model=model, language="en")
    task = asyncio.create_task(google.transcribe(request))
    await fake.until(lambda: bool(fake.seen))
    task.cancel()
    await fake.until(lambda: fake.aborted == 1)
    await asyncio.wait([task], timeout=1)

    assert task.cancelled()
