"""The provider `morse`: reads what was keyed, off the event loop, and stops when told to."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

from junctor.core.cards import Capability, Feature, ModelCard
from junctor.core.errors import (
    ProviderBusyError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.transcripts import Transcript, TranscriptDelta, TranscriptEvent

from junctor_morse.decoding import spell
from junctor_morse.keying import find_runs
from junctor_morse.settings import MorseSettings
from junctor_morse.transcripts import LANGUAGE, transcript_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "morse"
CARD = ModelCard(
    provider=NAME,
    id=NAME,
    capabilities=frozenset({Capability.TRANSCRIBE, Capability.STREAM_TRANSCRIBE}),
    summary="Morse code, keyed as tones of any pitch and speed; it hears no speech.",
    locales=frozenset({LANGUAGE}),
    features=frozenset({Feature.WORD_TIMESTAMPS, Feature.SEGMENT_TIMESTAMPS}),
    quality=0.9,
    latency=0.1,
)


class MorseProvider:
    """Threads that read Morse code. They exist from `start` to `close`."""

    name = NAME

    def __init__(self, settings: MorseSettings) -> None:
        self._settings = settings
        self._threads: ThreadPoolExecutor | None = None
        self._under_way = 0

    def models(self) -> Sequence[ModelCard]:
        """Return the one card."""
        return (CARD,)

    async def start(self) -> None:
        """Make the threads, and import numpy in one of them."""
        self._threads = ThreadPoolExecutor(self._settings.threads, thread_name_prefix=NAME)
        await asyncio.get_running_loop().run_in_executor(self._threads, import_module, "numpy")

    async def close(self) -> None:
        """Let the threads end."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Read a recording; one without Morse code gives an empty transcript.

        Raises:
            ProviderRejectedError: it wants another language or a translation; or, where the
                settings say so, there is no Morse code in it.
            ProviderBusyError: enough recordings wait already.
            ProviderUnavailableError: it was not started, or is closed.

        """
        _check(request)
        samples = await request.audio.samples()
        transcript = await self._off_the_loop(lambda stop: self._read(samples, stop))
        if transcript.is_empty and self._settings.refuse_other_sound:
            raise ProviderRejectedError("There is no Morse code in it.", provider=NAME, model=NAME)
        return transcript

    async def stream_transcribe(
        self, request: TranscribeRequest, /
    ) -> AsyncGenerator[TranscriptEvent, None]:
        """Yield phrase by phrase, then the whole; raises as `transcribe` does."""
        transcript = await self.transcribe(request)
        gap = ""
        for segment in transcript.segments:
            yield TranscriptDelta(text=gap + segment.text, segment=segment)
            gap = " "
        yield transcript

    def _read(self, samples: "NDArray[np.float32]", stop: threading.Event) -> Transcript:
        pitches = (self._settings.lowest_hertz, self._settings.highest_hertz)
        return transcript_of(spell(find_runs(samples, hertz=pitches, should_stop=stop.is_set)))

    async def _off_the_loop(self, work: Callable[[threading.Event], Transcript]) -> Transcript:
        """Run work in a thread; when the caller is cancelled, the event tells the thread."""
        if self._threads is None:
            raise ProviderUnavailableError("It is not running.", provider=NAME, model=NAME)
        if self._under_way >= self._settings.threads + self._settings.max_waiting:
            raise ProviderBusyError("Its queue is full.", provider=NAME, model=NAME)
        stop = threading.Event()
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, stop)
        finally:
            self._under_way -= 1
            stop.set()


def _check(request: TranscribeRequest) -> None:
    if request.model not in {"", NAME}:
        reason = f"There is one model, {NAME!r}."
    elif request.task is Task.TRANSLATE:
        reason = "It does not translate."
    elif request.language is not None and request.language.split("-")[0].lower() != LANGUAGE:
        reason = "It knows the Latin alphabet only; the language has to be English."
    else:
        return
    raise ProviderRejectedError(reason, provider=NAME, model=NAME)
