"""
Providers that listen live, to a language of one tone per word, and fail where they are told to.

The samples themselves say which words are spoken, so a word that is lost, repeated or moved is seen.
"""

import asyncio
from array import array
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Literal

from attrs import define, frozen

from junctor.core.cards import Capability, Feature, ModelCard
from junctor.core.errors import ProviderUnavailableError
from junctor.core.requests import LiveRequest
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial, LiveReady, Word

WORD, GAP = 320, 160
"""Samples of a word and of the pause behind it, at 16 kHz: 20 and 10 ms."""
_FIRST, _STEP = 1_000, 100

Failure = Literal["refuse", "error", "defect", "end", "hang", "deaf", "late"]
"""`deaf` takes audio and does not answer; `late` breaks after its last word."""


def spoken(count: int, *, first: int = 0) -> bytes:
    """Say so many words, `w0 w1 …`; 300 at most."""
    samples = array("h")
    for number in range(first, first + count):
        samples.extend([_FIRST + _STEP * number] * WORD + [0] * GAP)
    return samples.tobytes()


def pause(seconds: float) -> bytes:
    return bytes(2 * round(16_000 * seconds))


def words(count: int) -> list[str]:
    return [f"w{number}" for number in range(count)]


async def chunks(pcm: bytes, size: int = 640) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(pcm), size):
        await asyncio.sleep(0)
        yield pcm[at : at + size]


@frozen(kw_only=True)
class Act:
    """What a listener does in one session."""

    fails: Failure | None = None
    after: int = 0
    """Words that it hears before it fails."""
    final_every: int = 3
    """Words of an utterance; 0 for no final before the end."""
    padding: int = 0
    """Length of what each partial has behind its words."""


@define
class _Decoder:
    """Finds words in samples."""

    position: int = 0
    _value: int = 0
    _start: int = 0

    def feed(self, pcm: bytes) -> list[Word]:
        found = []
        for sample in memoryview(pcm).cast("h"):
            if sample != self._value:
                if self._value:
                    found.append(self._word())
                self._value, self._start = sample, self.position
            self.position += 1
        return found

    def _word(self) -> Word:
        number = (self._value - _FIRST) // _STEP
        return Word(text=f"w{number}", start=self._start / 16_000, end=self.position / 16_000)


def tones(pcm: bytes) -> list[Word]:
    """Return the words of a recording; one that is cut off at its end counts too."""
    decoder = _Decoder()
    return decoder.feed(pcm + bytes(2))


class Listener:
    """A live provider of one model; the last act of its script is done again and again."""

    def __init__(self, name: str = "ear", *acts: Act, price: float = 0.0) -> None:
        self.name = name
        self.acts = deque(acts or [Act()])
        self.price = price
        self.requests: list[LiveRequest] = []
        self.heard = 0
        """Bytes of audio, all sessions together."""
        self.open = 0
        self.changed = asyncio.Event()

    def models(self) -> list[ModelCard]:
        return [
            ModelCard(
                provider=self.name,
                id="live",
                capabilities=frozenset({Capability.LIVE_TRANSCRIBE}),
                features=frozenset({Feature.WORD_TIMESTAMPS, Feature.AUTO_LANGUAGE}),
                summary="A fake for tests.",
                price=self.price,
            )
        ]

    async def start(self) -> None:
        """Need nothing."""

    async def close(self) -> None:
        """Have nothing."""

    async def live_transcribe(
        self, request: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncGenerator[LiveEvent, None]:
        self.requests.append(request)
        act = self.acts.popleft() if len(self.acts) > 1 else self.acts[0]
        self.open += 1
        try:
            async for event in self._listen(act, audio):
                yield event
        finally:
            self.open -= 1
            self.changed.set()

    async def _listen(self, act: Act, audio: AsyncIterator[bytes]) -> AsyncIterator[LiveEvent]:
        if act.fails == "refuse":
            raise self._broken()
        yield LiveReady()
        said: list[Word] = []
        count = 0
        async for word in self._words(audio):
            count += 1
            said.append(word)
            yield LivePartial(text=_text(said) + act.padding * ".", language="en")
            if act.fails not in {None, "late"} and count > act.after:
                await self._fail(act.fails, audio)
                return
            if len(said) == act.final_every:
                yield _final(said)
                said = []
        if said:
            yield _final(said)
        if act.fails == "late":
            raise self._broken()

    async def _words(self, audio: AsyncIterator[bytes]) -> AsyncIterator[Word]:
        decoder = _Decoder()
        async for chunk in audio:
            self.heard += len(chunk)
            for word in decoder.feed(chunk):
                yield word
        for word in decoder.feed(bytes(2)):
            yield word

    async def _fail(self, failure: Failure | None, audio: AsyncIterator[bytes]) -> None:
        match failure:
            case "error":
                raise self._broken()
            case "defect":
                raise RuntimeError(self.name)
            case "hang":
                await asyncio.Event().wait()
            case "deaf":
                async for _ in audio:
                    pass
                await asyncio.Event().wait()
            case _:
                return

    def _broken(self) -> ProviderUnavailableError:
        return ProviderUnavailableError("It broke.", provider=self.name, model="live")


def _text(said: Iterable[Word]) -> str:
    return " ".join(word.text for word in said)


def _final(said: list[Word]) -> LiveFinal:
    return LiveFinal(
        text=_text(said),
        start=said[0].start,
        end=said[-1].end,
        words=tuple(said),
        language="en",
        confidence=0.9,
    )
