"""Stand-ins for ways to listen: live by a model that transcribes, and the other way round."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING, Final

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.pcm import clip_of_pcm
from junctor.core.audio.wav import to_pcm16
from junctor.core.errors import ProviderError
from junctor.core.operations import translated
from junctor.core.providers import LiveTranscriber, Transcriber
from junctor.core.requests import LiveRequest, TranscribeRequest, Window
from junctor.core.transcripts import (
    LiveEvent,
    LiveFinal,
    Segment,
    Timing,
    Transcript,
    TranscriptDelta,
    TranscriptEvent,
    WindowTranscript,
    Word,
)
from junctor.core.windows import Answer, Slip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPEED: Final = 4.0
"""Seconds of a recording that a live model is given in a second."""

LONGEST_CLIP: Final = 25.0
"""Longest stretch of live speech that a model transcribes as one recording, seconds."""

_CHUNK: Final = SAMPLE_RATE // 10


class ClipDesk:
    """
    The desk of a model that only transcribes recordings: each whole stretch of speech is one.

    It makes no partials, for each would cost a recording.

    Args:
        provider: the model's.
        request: what the session is asked.

    """

    def __init__(self, provider: Transcriber, request: LiveRequest) -> None:
        self._provider = provider
        self._request = request
        self._tasks: dict[Slip, asyncio.Task[None]] = {}

    def leave(
        self,
        window: Window,
        *,
        done: Callable[[], object],
        suspicion: int = 0,
        is_first: bool = False,
    ) -> Slip:
        """Begin with a window at once; `done` is called when its slip is over."""
        slip = Slip(
            window=window, done=done, suspicion=suspicion, is_first=is_first, is_waiting=False
        )
        self._tasks[slip] = task = asyncio.create_task(self._transcribe(slip))
        task.add_done_callback(lambda _: self._tasks.pop(slip, None))
        return slip

    def withdraw(self, slip: Slip) -> None:
        """Stop with a slip."""
        slip.is_cancelled = True
        if task := self._tasks.get(slip):
            task.cancel()

    async def _transcribe(self, slip: Slip) -> None:
        request = TranscribeRequest(
            audio=clip_of_pcm(slip.window.pcm),
            model=self._request.model,
            language=self._request.language,
            allowed_languages=self._request.allowed_languages,
            word_timestamps=self._request.word_timestamps,
            diarization=self._request.diarization,
        )
        began = monotonic()
        try:
            with translated(provider=self._provider.name, model=request.model):
                found = await self._provider.transcribe(request)
        except ProviderError as error:
            slip.error = error.with_traceback(None)
        else:
            heard = WindowTranscript(
                text=found.text.strip(),
                words=tuple(words_of(found)),
                language=found.language,
                confidence=found.confidence,
            )
            took = monotonic() - began
            timing = Timing(at=began, queued=0.0, decoding=took, working=took)
            slip.answer = Answer(heard=heard, timing=timing)
        slip.done()


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
