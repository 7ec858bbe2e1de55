# ruff: noqa: S101 - a suite of tests asserts
"""The part of the conformance kit for `Capability.ALIGN`: given words, found in a recording."""

import asyncio
from typing import ClassVar, cast

import pytest

from junctor.core.audio.clip import Clip
from junctor.core.cards import Capability
from junctor.core.errors import JunctorError
from junctor.core.providers import Aligner, Provider
from junctor.core.requests import AlignRequest
from junctor.core.testing.basics import BasicConformance
from junctor.core.transcripts import Alignment


class AlignmentConformance(BasicConformance):
    """Where the words of a text are, and how surely; for whoever aligns none, nothing."""

    unsaid: ClassVar[str] = "hippopotamus"
    """A word that is not said in `clip`; give one of `language`."""

    @pytest.fixture
    def said(self) -> tuple[str, ...]:
        """Return the words of `clip`, which is short enough to be aligned; override it."""
        return ()

    async def test_aligns_each_word(
        self, started: Provider, clip: Clip, said: tuple[str, ...]
    ) -> None:
        """The words come back in order, with times in order and inside the recording."""
        found = await self._align(started, clip, said)
        times = [time for word in found.words for time in (word.start, word.end)]

        assert tuple(word.text for word in found.words) == said
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= clip.seconds + 1e-6

    async def test_a_wrong_word_is_less_sure(
        self, started: Provider, clip: Clip, said: tuple[str, ...]
    ) -> None:
        """A word that is not said is less sure than the one in whose place it stands."""
        right = await self._align(started, clip, said)
        wrong = await self._align(started, clip, (*said[:-1], self.unsaid))
        sure, unsure = right.words[-1].confidence, wrong.words[-1].confidence

        assert sure is not None
        assert unsure is not None
        assert 0 <= unsure < sure <= 1
        assert 0 <= wrong.confidence < right.confidence <= 1

    @pytest.mark.parametrize("strange", ["nothing", "model"])
    async def test_strange_alignments_fail_in_our_tree(
        self, started: Provider, clip: Clip, said: tuple[str, ...], strange: str
    ) -> None:
        """No words to be found are refused; an unknown model is, or does not matter."""
        words, model = (said, "no-such-model") if strange == "model" else ((), None)
        try:
            outcome: object = await self._align(started, clip, words, model=model)
        except Exception as error:  # noqa: BLE001 - the test judges which it is
            outcome = error
        good = Alignment | JunctorError if strange == "model" else JunctorError

        assert isinstance(outcome, good), f"{outcome!r} is not of the tree"

    async def test_cancelling_an_alignment_stops_the_work(
        self, started: Provider, clip: Clip, said: tuple[str, ...]
    ) -> None:
        """A cancelled alignment ends at once, its work soon, and the next one is done."""
        await self._align(started, clip, said)
        await self._cancelled(asyncio.create_task(self._align(started, clip, said)))
        async with asyncio.timeout(self.prompt):
            await self.stopped(started)

        assert (await self._align(started, clip, said)).words

    async def _align(
        self, provider: Provider, clip: Clip, words: tuple[str, ...], *, model: str | None = None
    ) -> Alignment:
        card = self._card(provider, Capability.ALIGN)
        request = AlignRequest(
            audio=clip, words=words, language=self.language or "en", model=model or card.id
        )
        async with asyncio.timeout(self.patience):
            return await cast("Aligner", provider).align(request)
