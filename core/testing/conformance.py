# ruff: noqa: S101 - a suite of tests asserts
"""
The conformance kit: what every provider must do, as tests that a plugin's author inherits.

::

    class TestEcho(ProviderConformance):
        @pytest.fixture
        def provider(self):
            return Echo()

        @pytest.fixture
        def clip(self):
            return clip_of(speech)          # a few seconds in which something is said

A capability that no card claims is not tested. The kit needs pytest and pytest-asyncio.
"""

import asyncio
from contextlib import aclosing
from typing import ClassVar, cast

import pytest
import pytest_asyncio
from attrs import evolve

from junctor.core.audio.clip import Clip
from junctor.core.cards import Capability, Feature, ModelCard
from junctor.core.chat.dialect import DONE, request_of, text_of
from junctor.core.chat.flow import Flow, Tally, checked
from junctor.core.errors import JunctorError, ProviderBusyError
from junctor.core.providers import ChatModel, LanguageIdentifier, Provider, Transcriber
from junctor.core.requests import ChatRequest, IdentifyRequest, TranscribeRequest
from junctor.core.testing.alignment import AlignmentConformance
from junctor.core.testing.clips import clip_of, noise_clip, silent_clip, undecodable_clip
from junctor.core.testing.lag import LoopLag
from junctor.core.testing.live import LiveConformance
from junctor.core.testing.revision import RevisionConformance
from junctor.core.testing.streams import EventStream, StreamingProvider
from junctor.core.testing.video import VideoConformance
from junctor.core.testing.windows import WindowsConformance
from junctor.core.transcripts import Transcript, TranscriptDelta


class ProviderConformance(
    LiveConformance,
    WindowsConformance,
    AlignmentConformance,
    RevisionConformance,
    VideoConformance,
):
    """The whole suite; subclass it, name the subclass `Test…`, and give `provider` and `clip`."""

    burst: ClassVar[int] = 40
    """Calls made at the same time."""
    longest: ClassVar[float] = 3600.0
    """Longest bound on a card that is tried, seconds; a recording over it is made in memory."""

    @pytest_asyncio.fixture
    async def long_clip(self, clip: Clip) -> Clip:
        """Return a recording whose work can be cancelled under way: `clip`, ten times."""
        import numpy as np

        return clip_of(np.tile(await clip.samples(), 10))

    async def test_transcribes(self, started: Provider, clip: Clip) -> None:
        """A recording in which something is said gives text, and says nothing after its end."""
        transcript = await self._transcribe(started, clip)

        assert not transcript.is_empty, "nothing was heard in `clip`"
        assert all(part.end <= clip.seconds + 1e-6 for part in transcript.segments)

    async def test_silence_is_no_error(self, started: Provider, clip: Clip) -> None:
        """A recording without speech gives a transcript, empty or not, or an error of ours."""
        silence = silent_clip(clip.seconds)

        assert self._is_honest(await self._outcome(started, silence))

    @pytest.mark.parametrize("strange", ["noise", "empty", "undecodable", "model"])
    async def test_strange_requests_fail_in_our_tree(
        self, started: Provider, clip: Clip, strange: str
    ) -> None:
        """Whatever is wrong with a request, only errors of `junctor.core.errors` come out."""
        clips = {"noise": noise_clip, "empty": silent_clip, "undecodable": undecodable_clip}
        odd = clips[strange](0.0 if strange == "empty" else 1.0) if strange in clips else clip
        model = "no-such-model" if strange == "model" else None
        outcome = await self._outcome(started, odd, model=model)

        assert self._is_honest(outcome), f"{outcome!r} is not an error of junctor's tree"

    async def test_too_long_is_refused(self, started: Provider) -> None:
        """A recording over the length on the card gives an error of ours, not a crash."""
        card = self._card(started, Capability.TRANSCRIBE)
        if card.max_seconds is None or card.max_seconds > self.longest:
            pytest.skip("the card has no such bound")
        outcome = await self._outcome(started, silent_clip(card.max_seconds + 1))

        assert self._is_honest(outcome), f"{outcome!r} is not an error of junctor's tree"

    async def test_words_have_their_times(self, started: Provider, clip: Clip) -> None:
        """Claimed word timestamps are there when asked for, in order, inside the recording."""
        self._card(started, Capability.TRANSCRIBE, Feature.WORD_TIMESTAMPS)
        words = (await self._transcribe(started, clip, word_timestamps=True)).words
        times = [time for word in words for time in (word.start, word.end)]

        assert words, "no words, though the card claims word timestamps"
        assert all(word.text == word.text.strip() != "" for word in words)
        assert [word.start for word in words] == sorted(word.start for word in words)
        assert 0 <= min(times) <= max(times) <= clip.seconds + 1e-6
        assert all(word.start <= word.end for word in words)

    async def test_segments_have_their_times(self, started: Provider, clip: Clip) -> None:
        """Claimed segments are there when asked for, and in order."""
        self._card(started, Capability.TRANSCRIBE, Feature.SEGMENT_TIMESTAMPS)
        segments = (await self._transcribe(started, clip, segment_timestamps=True)).segments
        times = [time for segment in segments for time in (segment.start, segment.end)]

        assert segments, "no segments, though the card claims segment timestamps"
        assert times == sorted(times)

    async def test_stream_is_its_transcript(self, started: Provider, clip: Clip) -> None:
        """A stream's pieces are the text of the one transcript that ends it."""
        async with asyncio.timeout(self.patience), aclosing(self._stream(started, clip)) as stream:
            events = [event async for event in stream]
        *deltas, final = events

        assert isinstance(final, Transcript), "the last item is not the transcript"
        assert all(isinstance(delta, TranscriptDelta) for delta in deltas)
        assert final.text == "".join(delta.text for delta in deltas)

    async def test_identifies_language(self, started: Provider, clip: Clip) -> None:
        """The language found is one of those allowed, with a probability."""
        card = self._card(started, Capability.IDENTIFY_LANGUAGE)
        allowed = frozenset({self.language} if self.language else ())
        request = IdentifyRequest(audio=clip, model=card.id, allowed=allowed)
        async with asyncio.timeout(self.patience):
            found = await cast("LanguageIdentifier", started).identify_language(request)

        assert not allowed or found.language in allowed
        assert 0 <= found.confidence <= 1

    async def test_chats(self, started: Provider) -> None:
        """A conversation is continued, and its tokens are told."""
        card = self._card(started, Capability.CHAT)
        tally = Tally(0)
        async with asyncio.timeout(self.patience):
            reply = await cast("ChatModel", started).chat(_hello(card))
        checked(reply.body, card, tally)

        assert text_of(reply.body)
        assert tally.prompt
        assert tally.completion

    async def test_streams_chat(self, started: Provider) -> None:
        """A conversation is continued piece by piece, to its end."""
        card = self._card(started, Capability.CHAT)
        source = cast("ChatModel", started).stream_chat(_hello(card))
        flow = Flow(source, card, asked=card.id, prompt=0, wants_usage=True)
        async with asyncio.timeout(self.patience):
            events = [event async for event in flow]

        assert events[-1].endswith(DONE)
        assert flow.tally.completion

    async def test_a_chat_that_is_left_stops(self, started: Provider) -> None:
        """Whoever closes a stream of chat after its first piece is served again."""
        card = self._card(started, Capability.CHAT)
        async with asyncio.timeout(self.patience):
            source = cast("ChatModel", started).stream_chat(_hello(card))
            flow = Flow(source, card, asked=card.id, prompt=0, wants_usage=False)
            await anext(flow)
            await flow.aclose()
            reply = await cast("ChatModel", started).chat(_hello(card))

        assert text_of(reply.body)

    async def test_cancel_stops_the_work(
        self, started: Provider, clip: Clip, long_clip: Clip
    ) -> None:
        """A cancelled call ends at once, its work soon, and the next call is served."""
        await self._transcribe(started, clip)
        task = asyncio.create_task(self._transcribe(started, long_clip))
        await asyncio.wait([task], timeout=self.head_start)
        assert not task.done(), "`long_clip` was done too soon to be cancelled: make it longer"
        task.cancel()
        await asyncio.wait([task], timeout=1.0)

        assert task.cancelled(), "the cancelled call went on"
        await self._recovers(started, clip)

    async def test_closing_the_stream_stops_the_work(
        self, started: Provider, clip: Clip, long_clip: Clip
    ) -> None:
        """A stream closed after its first item ends the work behind it."""
        async with asyncio.timeout(self.patience):
            stream = self._stream(started, long_clip)
            first = await anext(stream)
        async with asyncio.timeout(1.0):
            await stream.aclose()

        assert isinstance(first, TranscriptDelta), "`long_clip` came in one piece"
        await self._recovers(started, clip)

    async def test_deadline_holds(self, started: Provider, clip: Clip, long_clip: Clip) -> None:
        """A deadline around a call holds, however long the work would take."""
        await self._transcribe(started, clip)
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(self.head_start):
                await self._transcribe(started, long_clip)

        assert asyncio.get_running_loop().time() - began < self.head_start + 1.0
        await self._recovers(started, clip)

    async def test_loop_is_not_blocked(self, started: Provider, clip: Clip) -> None:
        """Other work goes on while a recording is transcribed."""
        await self._transcribe(started, clip)
        async with LoopLag() as lag:
            await self._transcribe(started, clip)

        assert lag.worst < self.max_lag, f"the event loop was blocked for {lag.worst:.2f} s"

    async def test_burst_is_served_or_refused(self, started: Provider, clip: Clip) -> None:
        """Many calls at once are each served, or refused as busy; nothing else happens."""
        calls = (self._outcome(started, clip) for _ in range(self.burst))
        outcomes = await asyncio.gather(*calls)
        served = [outcome for outcome in outcomes if isinstance(outcome, Transcript)]
        others = [outcome for outcome in outcomes if not isinstance(outcome, Transcript)]

        assert served, "not one call was served"
        assert all(isinstance(error, ProviderBusyError) for error in others), others[:3]

    async def _transcribe(
        self, provider: Provider, clip: Clip, *, word_timestamps: bool = False,
        segment_timestamps: bool = False, model: str | None = None,
    ) -> Transcript:  # fmt: skip
        request = TranscribeRequest(
            audio=clip,
            model=model or self._card(provider, Capability.TRANSCRIBE).id,
            language=self.language,
            word_timestamps=word_timestamps,
            segment_timestamps=segment_timestamps,
        )
        async with asyncio.timeout(self.patience):
            return await cast("Transcriber", provider).transcribe(request)

    def _stream(self, provider: Provider, clip: Clip) -> EventStream:
        card = self._card(provider, Capability.STREAM_TRANSCRIBE)
        request = TranscribeRequest(audio=clip, model=card.id, language=self.language)
        return cast("StreamingProvider", provider).stream_transcribe(request)

    async def _outcome(
        self, provider: Provider, clip: Clip, *, model: str | None = None
    ) -> Transcript | Exception:
        self._card(provider, Capability.TRANSCRIBE)
        try:
            return await self._transcribe(provider, clip, model=model)
        except Exception as error:  # noqa: BLE001 - the test judges which it is
            return error

    def _is_honest(self, outcome: Transcript | Exception) -> bool:
        return isinstance(outcome, Transcript | JunctorError)

    async def _recovers(self, provider: Provider, clip: Clip) -> None:
        async with asyncio.timeout(self.prompt):
            await self.stopped(provider)
        transcript = await self._transcribe(provider, clip)
        assert not transcript.is_empty, "the call after it heard nothing"


def _hello(card: ModelCard) -> ChatRequest:
    return evolve(request_of([{"role": "user", "content": "Hello"}]), model=card.id)
