# ruff: noqa: S101 - a suite of tests asserts
"""The part of the conformance kit for `Capability.TRANSCRIBE_WINDOWS`: many short stretches."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
import pytest_asyncio

from junctor.core.audio.clip import SAMPLE_RATE, Clip
from junctor.core.audio.pcm import SAMPLE_BYTES
from junctor.core.audio.wav import to_pcm16
from junctor.core.cards import Capability, Feature
from junctor.core.errors import JunctorError
from junctor.core.providers import Provider, WindowTranscriber
from junctor.core.requests import Window, WindowsRequest
from junctor.core.testing.basics import BasicConformance
from junctor.core.testing.lag import LoopLag
from junctor.core.transcripts import WindowTranscript


class WindowsConformance(BasicConformance):
    """Windows of many sessions at once; for whoever claims none, nothing."""

    @pytest_asyncio.fixture
    async def window(self, provider: Provider, clip: Clip) -> Window:
        """Return a window in which something is said: `clip`, or as much of it as fits."""
        pcm = to_pcm16(await clip.samples()).tobytes()
        longest = self._card(provider, Capability.TRANSCRIBE_WINDOWS).window_seconds
        return Window(
            pcm=pcm[: round(longest * SAMPLE_RATE) * SAMPLE_BYTES], language=self.language
        )

    async def test_windows_come_in_their_order(self, started: Provider, window: Window) -> None:
        """Each window has its transcript, in its place; where nobody speaks it is empty."""
        silence = Window(pcm=bytes(len(window.pcm)), language=self.language)
        found = await self._hear(started, silence, window, silence)

        assert len(found) == 3, "one transcript for each window"  # noqa: PLR2004
        assert [bool(one.text.strip()) for one in found] == [False, True, False]

    async def test_windows_agree_alone_and_together(
        self, started: Provider, window: Window
    ) -> None:
        """What is heard in a window does not depend on those beside it."""
        [alone] = await self._hear(started, window)
        together = await self._hear(started, *[window] * 4)

        assert [one.text for one in together] == [alone.text] * 4

    async def test_window_pieces_are_its_text(self, started: Provider, window: Window) -> None:
        """Where a text is given in pieces, they are all of it."""
        [found] = await self._hear(started, window)

        assert not found.pieces or "".join(found.pieces) == found.text
        assert found.text == found.text.strip()

    async def test_window_is_judged(self, started: Provider, window: Window) -> None:
        """How sure the model is, and how long the engine worked, are in their bounds."""
        [found] = await self._hear(started, window)

        assert found.confidence is None or 0 <= found.confidence <= 1
        assert 0 <= found.seconds <= self.patience

    async def test_window_words_have_their_times(self, started: Provider, window: Window) -> None:
        """Claimed word times are there when asked for, in order, inside the window."""
        self._card(started, Capability.TRANSCRIBE_WINDOWS, Feature.WORD_TIMESTAMPS)
        timed = Window(pcm=window.pcm, language=self.language, word_timestamps=True)
        [found] = await self._hear(started, timed)
        end = len(window.pcm) / SAMPLE_BYTES / SAMPLE_RATE

        assert found.words, "no words, though the card claims word timestamps"
        assert all(word.text == word.text.strip() != "" for word in found.words)
        assert all(0 <= word.start <= word.end <= end + 1e-6 for word in found.words)
        assert [word.start for word in found.words] == sorted(word.start for word in found.words)

    @pytest.mark.parametrize("strange", ["half", "long", "empty", "model"])
    async def test_strange_windows_fail_in_our_tree(
        self, started: Provider, window: Window, strange: str
    ) -> None:
        """Whatever is wrong with a window, only errors of `junctor.core.errors` come out."""
        card = self._card(started, Capability.TRANSCRIBE_WINDOWS)
        sizes = {"half": 33, "long": round((card.window_seconds + 1) * SAMPLE_RATE) * SAMPLE_BYTES}
        odd = window if strange == "model" else Window(pcm=bytes(sizes.get(strange, 0)))
        model = "no-such-model" if strange == "model" else None
        try:
            outcome: object = await self._hear(started, odd, model=model)
        except Exception as error:  # noqa: BLE001 - the test judges which it is
            outcome = error

        assert isinstance(outcome, Sequence | JunctorError), f"{outcome!r} is not of the tree"

    async def test_windows_do_not_block_the_loop(self, started: Provider, window: Window) -> None:
        """Other work goes on while windows are heard."""
        await self._hear(started, window)
        async with LoopLag() as lag:
            await self._hear(started, *[window] * 4)

        assert lag.worst < self.max_lag, f"the event loop was blocked for {lag.worst:.2f} s"

    async def test_cancelling_windows_stops_the_work(
        self, started: Provider, window: Window
    ) -> None:
        """Cancelled windows end at once, their work soon, and the next ones are heard."""
        card = self._card(started, Capability.TRANSCRIBE_WINDOWS)
        await self._hear(started, window)
        task = asyncio.create_task(self._hear(started, *[window] * card.window_batch))
        await self._cancelled(task)
        async with asyncio.timeout(self.prompt):
            await self.stopped(started)
        [found] = await self._hear(started, window)

        assert found.text

    async def _hear(
        self, provider: Provider, *windows: Window, model: str | None = None
    ) -> Sequence[WindowTranscript]:
        card = self._card(provider, Capability.TRANSCRIBE_WINDOWS)
        several = windows[: card.window_batch]
        request = WindowsRequest(windows=several, model=model or card.id)
        async with asyncio.timeout(self.patience):
            return await cast("WindowTranscriber", provider).transcribe_windows(request)
