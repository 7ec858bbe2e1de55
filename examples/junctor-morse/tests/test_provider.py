"""junctor's own conformance kit, on the provider; then what is particular to Morse code."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from junctor.core.audio.clip import Clip
from junctor.core.errors import (
    ProviderBusyError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.testing.clips import clip_of, noise_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.transcripts import TranscriptDelta

from junctor_morse.provider import MorseProvider
from junctor_morse.settings import MorseSettings
from junctor_morse.tones import key

TEXT = "CQ CQ DE PARIS"


class TestMorse(ProviderConformance):
    """The promises that every provider keeps."""

    @pytest.fixture
    def provider(self) -> MorseProvider:
        return MorseProvider(MorseSettings())

    @pytest.fixture
    def clip(self) -> Clip:
        return clip_of(key(TEXT))


@pytest.fixture(name="provider")
async def _provider() -> AsyncIterator[MorseProvider]:
    provider = MorseProvider(MorseSettings(refuse_other_sound=True))
    await provider.start()
    yield provider
    await provider.close()


async def test_reads_text_with_its_times(provider: MorseProvider) -> None:
    """A word lasts from its first mark to its last."""
    request = TranscribeRequest(audio=clip_of(key("E TEST", wpm=20)), word_timestamps=True)
    words = (await provider.transcribe(request)).words
    times = [(word.start, word.end) for word in words]

    assert [word.text for word in words] == ["E", "TEST"]
    assert times == [pytest.approx((0.42, 0.48), abs=0.01), pytest.approx((0.90, 2.16), abs=0.01)]


async def test_a_long_silence_parts_a_stream(provider: MorseProvider) -> None:
    """One delta for each phrase."""
    clip = clip_of(np.concatenate([key("ONE"), np.zeros(32_000, np.float32), key("TWO")]))
    events = [one async for one in provider.stream_transcribe(TranscribeRequest(audio=clip))]

    assert [one.text for one in events] == ["ONE", " TWO", "ONE TWO"]
    assert [isinstance(one, TranscriptDelta) for one in events] == [True, True, False]


@pytest.mark.parametrize(
    "changes",
    [{"language": "th"}, {"task": Task.TRANSLATE}, {"model": "big"}, {"audio": noise_clip()}],
    ids=["language", "task", "model", "no Morse code"],
)
async def test_refuses_what_another_provider_may_take(
    provider: MorseProvider, changes: dict[str, Any]
) -> None:
    """The next candidate of the chain gets the request."""
    request = TranscribeRequest(**{"audio": clip_of(key(TEXT)), **changes})

    with pytest.raises(ProviderRejectedError):
        await provider.transcribe(request)


async def test_is_unavailable_when_it_is_closed(provider: MorseProvider) -> None:
    """A request that comes too late fails like any other."""
    await provider.close()

    with pytest.raises(ProviderUnavailableError):
        await provider.transcribe(TranscribeRequest(audio=clip_of(key(TEXT))))


async def test_full_means_busy() -> None:
    """Nothing waits without bound."""
    provider = MorseProvider(MorseSettings(threads=1, max_waiting=1))
    await provider.start()
    request = TranscribeRequest(audio=clip_of(key(TEXT)))
    calls = (provider.transcribe(request) for _ in range(3))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    await provider.close()

    assert [type(one) is ProviderBusyError for one in outcomes].count(True) == 1
