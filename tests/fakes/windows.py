"""A model that hears windows of the language of `tests.fakes.listeners`: one tone per word."""

import asyncio
from collections.abc import Callable, Sequence

from attrs import define, field

from junctor.core.cards import Capability, ModelCard
from junctor.core.requests import Window, WindowsRequest
from junctor.core.transcripts import WindowTranscript
from tests.fakes.listeners import tones

RATE = 16_000


def heard(window: Window) -> WindowTranscript:
    """Return the words of a window; a tone that is cut off at an edge is heard all the same."""
    found = tones(window.pcm)
    return WindowTranscript(
        text=" ".join(word.text for word in found),
        pieces=tuple(f" {word.text}" for word in found),
        words=tuple(found) if window.word_timestamps else (),
        language=window.language,
        seconds=0.001,
    )


@define(eq=False)
class WindowListener:
    """Answers each batch when its turn comes; `before` may fail, wait or look at it."""

    name: str = "w"
    before: Callable[[Sequence[Window]], object] = lambda _: None
    seconds: float = 10.0
    batch: int = 4
    requests: list[WindowsRequest] = field(factory=list)
    running: int = 0
    cancelled: int = 0

    def models(self) -> Sequence[ModelCard]:
        return (
            ModelCard(
                provider=self.name,
                id="windows",
                capabilities=frozenset({Capability.TRANSCRIBE_WINDOWS}),
                window_seconds=self.seconds,
                window_batch=self.batch,
            ),
        )

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def transcribe_windows(self, request: WindowsRequest, /) -> Sequence[WindowTranscript]:
        self.requests.append(request)
        self.running += 1
        try:
            result = self.before(request.windows)
            if asyncio.iscoroutine(result):
                await result
            await asyncio.sleep(0)
            return [heard(window) for window in request.windows]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
