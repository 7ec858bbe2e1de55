"""
A provider that does as it is told and remembers what it was asked.

It serves whole recordings, streams, languages and chat, so that policy, dispatch and contracts are
tested without an engine; windows, alignments and videos too, once a card claims them::

    fake = FakeTranscriber(script=[Fail(error), Hang()], then=Say("good morning"))

The first call fails, the second never ends, every further one says good morning.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from statistics import geometric_mean
from typing import Final, Literal

from attrs import define, frozen

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.cards import Capability, Feature, ModelCard
from junctor.core.chat.dialect import Answer, Choice, Delta, Usage, Writer, conversation_of
from junctor.core.errors import ProviderBusyError, ProviderRejectedError
from junctor.core.requests import (
    AlignRequest,
    ChatReply,
    ChatRequest,
    Identification,
    IdentifyRequest,
    TranscribeRequest,
    VideoProgress,
    VideoRequest,
    VideoStage,
    Window,
    WindowsRequest,
)
from junctor.core.transcripts import (
    Alignment,
    Segment,
    Transcript,
    TranscriptDelta,
    TranscriptEvent,
    WindowTranscript,
    Word,
)

_SERVED = (
    Capability.TRANSCRIBE,
    Capability.STREAM_TRANSCRIBE,
    Capability.IDENTIFY_LANGUAGE,
    Capability.CHAT,
)

_PNG: Final = b"\x89PNG\r\n\x1a\n"

Request = (
    TranscribeRequest | WindowsRequest | AlignRequest | IdentifyRequest | ChatRequest | VideoRequest
)


@frozen
class Say:
    """Answer with this text; a stream gives it word by word."""

    text: str = "hello"
    language: str = "en"
    gap: float = 0.0
    """Pause before each word, seconds."""
    after: asyncio.Event | None = None
    """When given, nothing is said until it is set."""


@frozen
class Fail:
    """Raise this error; a stream raises it after so many words."""

    error: Exception
    items: int = 0
    gap: float = 0.0
    """Pause before each word, seconds."""


@frozen
class Hang:
    """Never answer; a stream says so many words first."""

    items: int = 0


Step = Say | Fail | Hang
Outcome = Literal["running", "done", "failed", "cancelled"]


@define
class Call:
    """One call: what was asked, and how it ended (`cancelled`: also an iterator closed early)."""

    capability: Capability
    request: Request
    outcome: Outcome = "running"


def transcript_of(
    text: str, *, seconds: float = 1.0, language: str | None = "en", start: float = 0.0
) -> Transcript:
    """Return a transcript of one segment whose words share `seconds` of time evenly."""
    parts = text.split()
    each = seconds / max(1, len(parts))
    words = tuple(
        Word(text=part, start=start + each * n, end=start + each * (n + 1), confidence=0.9)
        for n, part in enumerate(parts)
    )
    segment = Segment(
        text=text,
        start=start,
        end=start + seconds,
        words=words,
        avg_logprob=-0.1,
        no_speech_prob=0.0,
        compression_ratio=1.0,
        temperature=0.0,
    )
    return Transcript(
        text=text,
        language=language,
        language_confidence=None if language is None else 0.9,
        segments=(segment,) if parts else (),
        words=words,
    )


def fake_card(
    model: str = "one", *, provider: str = "fake", capabilities: Iterable[Capability] = _SERVED
) -> ModelCard:
    """Return the card of a model that can do everything; change it with `attrs.evolve`."""
    return ModelCard(
        provider=provider,
        id=model,
        capabilities=frozenset(capabilities),
        summary="A fake for tests.",
        features=frozenset(Feature),
    )


class FakeTranscriber:
    """
    A scripted provider of every capability but live speech and revision.

    Args:
        name: the provider's name, also in the default card.
        cards: what it serves; one all-capable model `one` when none are given.
        script: what the first calls do, one step each, whatever their capability.
        then: what every call after the script does.
        capacity: calls under way at most; one more raises `ProviderBusyError`.

    """

    def __init__(
        self,
        name: str = "fake",
        *,
        cards: Sequence[ModelCard] | None = None,
        script: Iterable[Step] = (),
        then: Step | None = None,
        capacity: int | None = None,
        start_error: Exception | None = None,
    ) -> None:
        self._name = name
        self._cards = tuple([fake_card(provider=name)] if cards is None else cards)
        self.script: deque[Step] = deque(script)
        """The steps still to come; may be extended at any time."""
        self.then = then or Say()
        self.calls: list[Call] = []
        """Every call so far, oldest first."""
        self.starts = 0
        self.closes = 0
        self.peak = 0
        """Most calls that were under way at the same time."""
        self._capacity = capacity
        self._start_error = start_error
        self._changed = asyncio.Event()

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._name

    @property
    def running(self) -> int:
        """Calls under way."""
        return sum(call.outcome == "running" for call in self.calls)

    @property
    def requests(self) -> list[Request]:
        """What was asked, oldest first."""
        return [call.request for call in self.calls]

    def models(self) -> Sequence[ModelCard]:
        """Return the cards it was given."""
        return self._cards

    async def start(self) -> None:
        """Count the start, or raise the error it was told to."""
        self.starts += 1
        if self._start_error is not None:
            raise self._start_error

    async def close(self) -> None:
        """Count the close."""
        self.closes += 1

    async def called(self, count: int = 1) -> Call:
        """Wait until so many calls have begun, and return the latest of those."""
        while len(self.calls) < count:
            await self._change()
        return self.calls[count - 1]

    async def settled(self, count: int = 1) -> Call:
        """Wait until the call of that number (from 1) is over, and return it."""
        call = await self.called(count)
        while call.outcome == "running":
            await self._change()
        return call

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """Do the next step; a text becomes a transcript over the whole clip."""
        with self._track(Capability.TRANSCRIBE, request):
            step = self._next()
            text = "".join([piece async for piece in _perform(step)])
            return _told(step, text, request)

    async def stream_transcribe(
        self, request: TranscribeRequest, /
    ) -> AsyncGenerator[TranscriptEvent, None]:
        """Do the next step; words come as deltas, the transcript last."""
        with self._track(Capability.STREAM_TRANSCRIBE, request):
            step = self._next()
            pieces: list[str] = []
            async for piece in _perform(step):
                pieces.append(piece)
                yield TranscriptDelta(text=piece)
            yield _told(step, "".join(pieces), request)

    async def transcribe_windows(self, request: WindowsRequest, /) -> Sequence[WindowTranscript]:
        """Do the next step; its text is said in every window that is not digital silence."""
        with self._track(Capability.TRANSCRIBE_WINDOWS, request):
            step = self._next()
            text = "".join([piece async for piece in _perform(step)])
            language = step.language if isinstance(step, Say) else "en"
            return tuple(_heard(window, text, language) for window in request.windows)

    async def align(self, request: AlignRequest, /) -> Alignment:
        """
        Do the next step; words of its text are sure (0.9), others are not (0.1).

        Raises:
            ProviderRejectedError: no word is given.

        """
        with self._track(Capability.ALIGN, request):
            if not request.words:
                raise ProviderRejectedError("No words.", provider=self._name, model=request.model)
            said = "".join([piece async for piece in _perform(self._next())]).split()
            return _found(request, said)

    async def identify_language(self, request: IdentifyRequest, /) -> Identification:
        """Do the next step; its language is the answer."""
        with self._track(Capability.IDENTIFY_LANGUAGE, request):
            step = self._next()
            async for _ in _perform(step):
                pass
            language = step.language if isinstance(step, Say) else "en"
            return Identification(language=language, confidence=0.9)

    async def chat(self, request: ChatRequest, /) -> ChatReply:
        """Do the next step; its text is the reply, a word is a token, and so is each message."""
        with self._track(Capability.CHAT, request):
            pieces = [piece async for piece in _perform(self._next())]
            usage = Usage.of(_turns(request), len(pieces))
            choice = Choice(index=0, message=Answer("".join(pieces)), finish_reason="stop")
            return ChatReply(body=Writer(request.model).whole([choice], usage))

    async def stream_chat(self, request: ChatRequest, /) -> AsyncGenerator[bytes, None]:
        """Do the next step, a word a chunk."""
        with self._track(Capability.CHAT, request):
            writer, words = Writer(request.model), 0
            yield writer.chunk(Delta(role="assistant", content=""))
            async for piece in _perform(self._next()):
                words += 1
                yield writer.chunk(Delta(content=piece))
            yield writer.chunk(Delta(), finish="stop")
            yield writer.usage(Usage.of(_turns(request), words))

    async def generate_video(
        self, request: VideoRequest, report: Callable[[VideoProgress], None], /
    ) -> None:
        """
        Do the next step; each word is a tenth of the work, then a grey and silent video is written.

        Raises:
            ProviderRejectedError: no card has the model, the picture is no PNG, or the target
                cannot be written.

        """
        with self._track(Capability.GENERATE_VIDEO, request):
            is_known = any(card.id == request.model for card in self._cards)
            if not is_known or not request.image.startswith(_PNG):
                raise self._rejected(request)
            step, share = self._next(), 0.0
            report(VideoProgress(stage=VideoStage.LOADING, share=share))
            async for _ in _perform(step):
                share = min(0.9, share + 0.1)
                report(VideoProgress(stage=VideoStage.GENERATING, share=share))
            try:
                await asyncio.to_thread(_film, request)
            except OSError as exc:
                raise self._rejected(request) from exc
            report(VideoProgress(stage=VideoStage.ENCODING, share=1.0))

    def _rejected(self, request: VideoRequest) -> ProviderRejectedError:
        return ProviderRejectedError("Not this video.", provider=self._name, model=request.model)

    def _next(self) -> Step:
        return self.script.popleft() if self.script else self.then

    async def _change(self) -> None:
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    @contextmanager
    def _track(self, capability: Capability, request: Request) -> Iterator[None]:
        call = Call(capability, request)
        if self._capacity is not None and self.running >= self._capacity:
            raise ProviderBusyError(
                f"{self._name} is told to take {self._capacity} calls at once.",
                provider=self._name,
                model=request.model,
            )
        self.calls.append(call)
        self.peak = max(self.peak, self.running)
        self._tell()
        try:
            yield
        except Exception:
            call.outcome = "failed"
            raise
        except BaseException:
            call.outcome = "cancelled"
            raise
        else:
            call.outcome = "done"
        finally:
            self._tell()


def _told(step: Step, text: str, request: TranscribeRequest) -> Transcript:
    language = step.language if isinstance(step, Say) else "en"
    return transcript_of(text, seconds=request.audio.seconds, language=language)


def _heard(window: Window, text: str, language: str) -> WindowTranscript:
    if not any(window.pcm):
        return WindowTranscript(text="", language=language)
    seconds = len(window.pcm) / (2 * SAMPLE_RATE)
    words = transcript_of(text, seconds=seconds).words
    return WindowTranscript(
        text=text,
        pieces=tuple(re.findall(r"\s*\S+", text)),
        words=words if window.word_timestamps else (),
        language=language,
        confidence=0.9,
    )


def _found(request: AlignRequest, said: Sequence[str]) -> Alignment:
    each = request.audio.seconds / len(request.words)
    words = tuple(
        Word(text=word, start=each * n, end=each * (n + 1), confidence=0.9 if word in said else 0.1)
        for n, word in enumerate(request.words)
    )
    return Alignment(
        words=words, confidence=geometric_mean(word.confidence or 0.0 for word in words)
    )


def _film(request: VideoRequest) -> None:
    """Write a video of one grey, without a sound."""
    import numpy as np

    from junctor.core.video.mp4 import Mp4Writer

    size = {"width": request.width, "height": request.height}
    with Mp4Writer(request.target, **size, rate=request.rate) as video:
        frame = np.full((request.height, request.width, 3), 128, np.uint8)
        for _ in range(request.seconds * request.rate):
            video.frame(frame)
        video.sound(np.zeros((2, 48_000 * request.seconds), np.float32))


def _turns(request: ChatRequest) -> int:
    return len(conversation_of(request).messages)


async def _perform(step: Step) -> AsyncIterator[str]:
    if isinstance(step, Say) and step.after is not None:
        await step.after.wait()
    if isinstance(step, Say):
        pieces = re.findall(r"\s*\S+", step.text)
    else:
        pieces = [f"word{n} " for n in range(step.items)]
    gap = 0.0 if isinstance(step, Hang) else step.gap
    for piece in pieces:
        await asyncio.sleep(gap)
        yield piece
    match step:
        case Fail(error=error):
            raise error.with_traceback(None)
        case Hang():
            await asyncio.Event().wait()
        case Say():
            return
