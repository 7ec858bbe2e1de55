"""
Stand-ins between two ways to listen: live by a model that transcribes, and the other way round.

Speech is cut into utterances with Silero VAD, and each one is transcribed when it has ended.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, field, frozen

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.pcm import SAMPLE_BYTES, clip_of_pcm, samples_of
from junctor.core.audio.vad import FRAME_SAMPLES, StreamingVad
from junctor.core.audio.wav import to_pcm16
from junctor.core.errors import (
    NotConfiguredError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.providers import LiveTranscriber, Transcriber
from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.core.transcripts import (
    LiveEvent,
    LiveFinal,
    LiveReady,
    Segment,
    Transcript,
    TranscriptDelta,
    TranscriptEvent,
    Word,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEED: Final = 4.0
"""Seconds of a recording that a live model is given in a second."""

_THRESHOLD, _LOW = 0.5, 0.35  # probabilities from which speech begins, and below which it ends
_BLOCK: Final = 3 * FRAME_SAMPLES  # 96 ms: what the VAD is asked about at once, at least
_PRE_ROLL: Final = round(0.3 * SAMPLE_RATE)
_SILENCE: Final = round(0.5 * SAMPLE_RATE)
_POST_ROLL: Final = round(0.3 * SAMPLE_RATE)
_LONGEST: Final = 25 * SAMPLE_RATE
_SHORTEST: Final = 3  # frames of speech; less is a click
_CUT_WITHIN: Final = 5 * SAMPLE_RATE  # of an utterance that gets too long
_CHUNK: Final = SAMPLE_RATE // 10


@frozen
class Utterance:
    """A stretch of speech."""

    start: int
    """Its first sample, counted from the start of the stream."""
    pcm: bytes
    """Signed 16-bit mono PCM at 16 kHz."""

    @property
    def end(self) -> int:
        """Behind its last sample."""
        return self.start + len(self.pcm) // SAMPLE_BYTES


@define(eq=False)
class Endpointer:
    """
    Cuts a stream into utterances: 300 ms before speech, until 500 ms of silence, 25 s at most.

    A longer one is cut where speech is least probable in its last 5 seconds. `listen` and
    `finish` block: 0.07 ms for 32 ms of audio; so does making one.

    Raises:
        NotConfiguredError: faster-whisper, which carries the speech detector, is not installed.

    """

    _vad: StreamingVad = field(factory=StreamingVad)
    _pcm: bytearray = field(factory=bytearray)
    _kept: int = 0
    """Position of the first sample that is kept."""
    _heard: int = 0
    """Position up to which the VAD has heard."""
    _start: int | None = None
    """Where the utterance began; None between two."""
    _speech_end: int = 0
    _frames: list[float] = field(factory=list)
    """Probability of each frame of the utterance, from the one in which speech began."""

    def take(self, pcm: bytes) -> bool:
        """Take a further piece of the stream; say whether it is time to `listen`. Costs nothing."""
        self._pcm += pcm
        return self._waiting >= _BLOCK

    def listen(self) -> list[Utterance]:
        """Return the utterances that have ended."""
        return self._listen(self._waiting - self._waiting % FRAME_SAMPLES)

    def finish(self) -> list[Utterance]:
        """Return the utterances that the end of the stream ends."""
        missing = -self._waiting % FRAME_SAMPLES
        self._pcm += bytes(missing * SAMPLE_BYTES)
        utterances = self.listen()
        if self._start is not None:
            end = min(self._heard - missing, self._speech_end + _POST_ROLL)
            utterances += self._cut(self._start, end)
        return utterances

    @property
    def _waiting(self) -> int:
        """Samples that the VAD has not heard."""
        return self._kept + len(self._pcm) // SAMPLE_BYTES - self._heard

    def _listen(self, samples: int) -> list[Utterance]:
        first = (self._heard - self._kept) * SAMPLE_BYTES
        block = samples_of(bytes(self._pcm[first : first + samples * SAMPLE_BYTES]))
        utterances: list[Utterance] = []
        for probability in self._vad.hear(block).tolist():
            self._heard += FRAME_SAMPLES
            utterances += self._judge(probability)
        return utterances

    def _judge(self, probability: float) -> list[Utterance]:
        """Take one frame into account; return the utterance that it ends."""
        if self._start is None:
            if probability < _THRESHOLD:
                self._drop(self._heard - _PRE_ROLL)
                return []
            self._start = max(self._kept, self._heard - FRAME_SAMPLES - _PRE_ROLL)
        if probability >= _LOW:
            self._speech_end = self._heard
        self._frames.append(probability)
        if self._heard - self._speech_end >= _SILENCE:
            return self._cut(self._start, self._speech_end + _POST_ROLL)
        if self._heard - self._start >= _LONGEST:
            return self._divide(self._start)
        return []

    def _cut(self, start: int, end: int) -> list[Utterance]:
        is_speech = sum(one >= _LOW for one in self._frames) >= _SHORTEST
        first, last = ((one - self._kept) * SAMPLE_BYTES for one in (start, end))
        utterance = Utterance(start, bytes(self._pcm[first:last]))
        self._drop(end)
        self._start = None
        self._frames.clear()
        return [utterance] if is_speech else []

    def _divide(self, start: int) -> list[Utterance]:
        """End a long utterance at its least probable frame, and go on with the next one there."""
        recent = self._frames[-(_CUT_WITHIN // FRAME_SAMPLES) :]
        back = min(range(len(recent)), key=lambda at: recent[-1 - at])
        rest = self._frames[len(self._frames) - back :]
        utterances = self._cut(start, self._heard - back * FRAME_SAMPLES)
        self._start = self._kept
        self._frames = rest
        return utterances

    def _drop(self, until: int) -> None:
        count = until - self._kept
        if count > 0:
            del self._pcm[: count * SAMPLE_BYTES]
            self._kept = until


async def live_over_transcribe(
    provider: Transcriber, request: LiveRequest, audio: AsyncIterator[bytes], *, within: float
) -> AsyncGenerator[LiveEvent, None]:
    """
    Listen live with a model that transcribes: each utterance when it has ended.

    There are no partials. While an utterance is transcribed no audio is read; the caller's queue
    is bounded, so a model that is slower than speech slows the client down.

    Args:
        provider: the model's.
        request: what is asked.
        audio: as of `LiveTranscriber.live_transcribe`.
        within: time to transcribe one utterance, seconds.

    Raises:
        ProviderError: an utterance cannot be transcribed; the subclass says why.

    """
    loop = asyncio.get_running_loop()
    try:
        ends = await loop.run_in_executor(None, Endpointer)
    except NotConfiguredError as exc:
        raise ProviderUnavailableError(
            "It cannot find where speech ends.", provider=provider.name, model=request.model
        ) from exc
    yield LiveReady()
    async for chunk in audio:
        if ends.take(chunk):
            for utterance in await loop.run_in_executor(None, ends.listen):
                yield await _transcribed(provider, request, utterance, within)
    for utterance in await loop.run_in_executor(None, ends.finish):
        yield await _transcribed(provider, request, utterance, within)


async def _transcribed(
    provider: Transcriber, request: LiveRequest, utterance: Utterance, within: float
) -> LiveFinal:
    asked = TranscribeRequest(
        audio=clip_of_pcm(utterance.pcm),
        model=request.model,
        language=request.language,
        allowed_languages=request.allowed_languages,
        word_timestamps=request.word_timestamps,
        diarization=request.diarization,
    )
    try:
        async with asyncio.timeout(within):
            transcript = await provider.transcribe(asked)
    except ProviderError:
        raise
    except TimeoutError as exc:
        raise ProviderTimeoutError(
            "It took too long over an utterance.", provider=provider.name, model=request.model
        ) from exc
    start = utterance.start / SAMPLE_RATE
    return LiveFinal(
        text=transcript.text.strip(),
        start=start,
        end=utterance.end / SAMPLE_RATE,
        words=tuple(
            evolve(word, start=word.start + start, end=word.end + start)
            for word in words_of(transcript)
        ),
        language=transcript.language,
        confidence=transcript.confidence,
    )


def words_of(transcript: Transcript) -> Sequence[Word]:
    """Return the words of a transcript, wherever it has them."""
    return transcript.words or [word for part in transcript.segments for word in part.words]


async def clip_over_live(
    provider: LiveTranscriber, request: TranscribeRequest, *, speed: float = SPEED
) -> AsyncGenerator[TranscriptEvent, None]:
    """
    Transcribe a whole recording with a model that only listens live.

    Args:
        provider: the model's.
        request: what is asked; a live model knows neither prompt nor temperature.
        speed: seconds of audio that it is given in a second.

    Yields:
        A delta for each final, and the transcript of all of them as the last item.

    Raises:
        ProviderError: what the model raises.

    """
    live = LiveRequest(
        model=request.model,
        language=request.language,
        allowed_languages=request.allowed_languages,
        word_timestamps=request.word_timestamps,
        diarization=request.diarization,
    )
    finals: list[LiveFinal] = []
    samples = await request.audio.samples()
    async with aclosing(_played(samples, speed)) as audio:
        events = provider.live_transcribe(live, audio)
        try:
            async for event in events:
                if isinstance(event, LiveFinal) and event.text.strip():
                    space = " " if finals else ""
                    finals.append(event)
                    yield TranscriptDelta(text=space + event.text.strip(), segment=_segment(event))
        finally:
            await stop(events)
    yield joined(finals)


async def stop(events: AsyncIterator[LiveEvent]) -> None:
    """Close a stream of a provider, where it can be closed."""
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()


async def _played(samples: "NDArray[np.float32]", speed: float) -> AsyncGenerator[bytes, None]:
    """Yield a recording as PCM, some times faster than it is."""
    now = asyncio.get_running_loop().time
    begin = now()
    for first in range(0, len(samples), _CHUNK):
        await asyncio.sleep(max(0.0, begin + first / SAMPLE_RATE / speed - now()))
        yield to_pcm16(samples[first : first + _CHUNK]).tobytes()


def joined(finals: Sequence[LiveFinal]) -> Transcript:
    """Return the transcript of a whole session; its language is the one spoken longest."""
    spoken: dict[str, float] = {}
    for final in finals:
        if final.language is not None:
            spoken[final.language] = spoken.get(final.language, 0.0) + final.end - final.start
    sure = [
        (final.confidence, max(final.end - final.start, 1e-3))
        for final in finals
        if final.confidence is not None
    ]
    weight = sum(seconds for _, seconds in sure)
    return Transcript(
        text=" ".join(text for final in finals if (text := final.text.strip())),
        language=max(spoken, key=lambda one: spoken[one]) if spoken else None,
        confidence=sum(one * seconds for one, seconds in sure) / weight if sure else None,
        segments=tuple(map(_segment, finals)),
        words=tuple(word for final in finals for word in final.words),
    )


def _segment(final: LiveFinal) -> Segment:
    return Segment(text=final.text.strip(), start=final.start, end=final.end, words=final.words)
