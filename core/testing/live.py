# ruff: noqa: S101 - a suite of tests asserts
"""The part of the conformance kit for `Capability.LIVE_TRANSCRIBE`: speech as it is spoken."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import cycle, pairwise
from typing import Final, cast

import pytest

from junctor.core.audio.clip import SAMPLE_RATE, Clip
from junctor.core.audio.pcm import SAMPLE_BYTES
from junctor.core.audio.wav import to_pcm16
from junctor.core.cards import Capability
from junctor.core.providers import Provider
from junctor.core.requests import LiveRequest
from junctor.core.testing.basics import BasicConformance
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.streams import LiveProvider, LiveStream
from junctor.core.transcripts import LiveEvent, LiveFinal, LiveReady

_CHUNK: Final = SAMPLE_RATE // 10 * SAMPLE_BYTES
_ODD: Final = (2, 998, 64_000, 3_202)
_SLACK: Final = 0.01  # seconds, for times that are told in milliseconds


class _AudioError(Exception):
    """What is wrong with the audio, which is none of the provider's faults."""


class LiveConformance(BasicConformance):
    """Ready, partials, finals, and an end; for whoever claims no live speech, nothing."""

    async def test_live_is_ready_before_it_hears(self, started: Provider, clip: Clip) -> None:
        """That it is ready comes first and once, and no audio is needed for it."""
        may_speak = asyncio.Event()

        async def audio() -> AsyncIterator[bytes]:
            await may_speak.wait()
            for chunk in await _chunks(clip):
                yield chunk

        async with asyncio.timeout(self.patience), aclosing(self._live(started, audio())) as stream:
            first = await anext(stream)
            may_speak.set()
            rest = [event async for event in stream]

        assert first == LiveReady()
        assert LiveReady() not in rest

    async def test_live_ends_with_its_last_words(self, started: Provider, clip: Clip) -> None:
        """When the audio has ended, all that was heard becomes final, and the stream ends."""
        events = await self._heard(started, await _chunks(clip))

        assert _said(events), "nothing was heard in `clip`"
        assert isinstance(events[-1], LiveFinal), "the last item is no final"

    async def test_live_finals_have_their_times(self, started: Provider, clip: Clip) -> None:
        """Finals follow each other, inside the audio; so do the words of each."""
        events = await self._heard(started, await _chunks(clip))
        finals = [event for event in events if isinstance(event, LiveFinal)]
        times = [(one.start, one.end) for one in finals]
        words = [(one.start, one.end) for final in finals for one in final.words]

        assert all(start <= end for start, end in (*times, *words))
        assert all(0 <= start and end <= clip.seconds + _SLACK for start, end in (*times, *words))
        assert all(before[1] <= after[0] + _SLACK for before, after in pairwise(times))
        assert [start for start, _ in words] == sorted(start for start, _ in words)

    async def test_live_takes_chunks_of_any_size(self, started: Provider, clip: Clip) -> None:
        """A sample at a time or seconds at once, it hears something and ends as it should."""
        events = await self._heard(started, await _chunks(clip, _ODD))

        assert _said(events), "nothing was heard in `clip`"
        assert isinstance(events[-1], LiveFinal), "the last item is no final"

    async def test_live_silence_says_nothing(self, started: Provider, clip: Clip) -> None:
        """Audio without speech is no error, and no words are invented for it."""
        events = await self._heard(started, await _chunks(silent_clip(clip.seconds)))

        assert not _said(events), "words were invented"

    async def test_live_without_audio_ends(self, started: Provider) -> None:
        """A client that says nothing at all has a stream without words."""
        events = await self._heard(started, [])

        assert not _said(events), "words were invented"

    async def test_live_tells_what_the_audio_raises(self, started: Provider, clip: Clip) -> None:
        """An error of the audio ends the stream, and comes out as it is."""

        async def audio() -> AsyncIterator[bytes]:
            for chunk in await _chunks(clip):
                yield chunk
            raise _AudioError

        self._card(started, Capability.LIVE_TRANSCRIBE)
        listened = self._listened(started, audio())
        with pytest.raises(_AudioError):
            await asyncio.wait_for(listened, self.patience)
        await self._listens(started, clip)

    async def test_closing_live_stops_the_work(self, started: Provider, clip: Clip) -> None:
        """A stream that is closed while somebody speaks ends the work behind it."""
        async with asyncio.timeout(self.patience):
            speaker = _Endless(await _chunks(clip))
            stream = self._live(started, speaker.audio())
            await anext(stream)
        async with asyncio.timeout(1.0):
            await stream.aclose()

        await self._listens(started, clip)

    async def test_cancelling_live_stops_the_work(self, started: Provider, clip: Clip) -> None:
        """A task that is cancelled while it listens ends at once, the work behind it soon."""
        self._card(started, Capability.LIVE_TRANSCRIBE)
        speaker = _Endless(await _chunks(clip))
        task = asyncio.create_task(self._listened(started, speaker.audio()))
        async with asyncio.timeout(self.patience):
            await speaker.has_spoken.wait()
        task.cancel()
        await asyncio.wait([task], timeout=1.0)

        assert task.cancelled(), "the cancelled stream went on"
        await self._listens(started, clip)

    def _live(self, provider: Provider, audio: AsyncIterator[bytes]) -> LiveStream:
        card = self._card(provider, Capability.LIVE_TRANSCRIBE)
        request = LiveRequest(model=card.id, language=self.language)
        return cast("LiveProvider", provider).live_transcribe(request, audio)

    async def _listened(
        self, provider: Provider, audio: AsyncIterator[bytes]
    ) -> Sequence[LiveEvent]:
        async with aclosing(self._live(provider, audio)) as stream:
            return [event async for event in stream]

    async def _heard(self, provider: Provider, chunks: Sequence[bytes]) -> Sequence[LiveEvent]:
        self._card(provider, Capability.LIVE_TRANSCRIBE)
        async with asyncio.timeout(self.patience):
            return await self._listened(provider, _spoken(chunks))

    async def _listens(self, provider: Provider, clip: Clip) -> None:
        async with asyncio.timeout(self.prompt):
            await self.stopped(provider)
        events = await self._heard(provider, await _chunks(clip))
        assert _said(events), "the stream after it heard nothing"


class _Endless:
    """Somebody who says something and then stays on the line."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks
        self.has_spoken = asyncio.Event()

    async def audio(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        self.has_spoken.set()
        await asyncio.Event().wait()


async def _spoken(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _chunks(clip: Clip, sizes: Sequence[int] = (_CHUNK,)) -> Sequence[bytes]:
    """Cut a clip into PCM chunks of these sizes (bytes), over and over."""
    pcm = to_pcm16(await clip.samples()).tobytes()
    chunks, place = [], 0
    for size in cycle(sizes):
        if place >= len(pcm):
            break
        chunks.append(pcm[place : place + size])
        place += size
    return chunks


def _said(events: Sequence[LiveEvent]) -> str:
    finals = (event.text for event in events if isinstance(event, LiveFinal))
    return " ".join(finals).strip()
