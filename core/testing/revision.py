# ruff: noqa: S101 - a suite of tests asserts
"""The part of the conformance kit for `Capability.REVISE_TRANSCRIPT`; it needs no media."""

import asyncio
from typing import cast

import pytest
from attrs import evolve

from junctor.core.cards import Capability
from junctor.core.errors import JunctorError
from junctor.core.providers import Provider, TranscriptReviser
from junctor.core.requests import ReviseRequest
from junctor.core.testing.basics import BasicConformance
from junctor.core.testing.fakes import transcript_of
from junctor.core.transcripts import Segment, Transcript, Word


class RevisionConformance(BasicConformance):
    """What a model without ears does with a draft; for whoever claims no revision, nothing."""

    @pytest.fixture
    def draft(self) -> Transcript:
        """Return what another provider heard, with words and times; override it where it matters."""
        first = transcript_of("the quick brown focks", seconds=2.0, language=self.language)
        second = transcript_of("jumps over the lazy dog", seconds=2.5, start=2.0)
        return evolve(
            first,
            text=f"{first.text} {second.text}",
            segments=(*first.segments, *second.segments),
            words=(*first.words, *second.words),
        )

    @pytest.fixture
    def long_draft(self, draft: Transcript) -> Transcript:
        """Return a draft whose revision can be cancelled under way: `draft`, a hundred times."""
        return evolve(draft, text=" ".join([draft.text] * 100), segments=draft.segments * 100)

    async def test_revises(self, started: Provider, draft: Transcript) -> None:
        """A draft with words gives a transcript with words."""
        revised = await self._revise(started, draft)

        assert isinstance(revised, Transcript)
        assert not revised.is_empty, "nothing is left of `draft`"

    async def test_revision_invents_no_times(self, started: Provider, draft: Transcript) -> None:
        """Times and speakers are kept or left out: whatever is there was in the draft."""
        revised = await self._revise(started, draft)

        assert _places(revised.segments) <= _places(draft.segments)
        assert _places(_words(revised)) <= _places(_words(draft))

    async def test_revision_of_bare_text_stays_bare(
        self, started: Provider, draft: Transcript
    ) -> None:
        """Where the draft knows no times, nor does the answer."""
        bare = Transcript(text=draft.text, language=draft.language)
        revised = await self._revise(started, bare)

        assert not revised.is_empty
        assert (revised.segments, revised.words) == ((), ())

    async def test_revision_of_nothing_is_nothing(self, started: Provider) -> None:
        """Nobody said a word, and nobody puts one into their mouth."""
        revised = await self._revise(started, Transcript(text=""))

        assert revised.is_empty

    async def test_revision_by_an_unknown_model_fails_in_our_tree(
        self, started: Provider, draft: Transcript
    ) -> None:
        """A model that is on no card is an error of `junctor.core.errors`, or does not matter."""
        try:
            outcome: object = await self._revise(started, draft, model="no-such-model")
        except Exception as error:  # noqa: BLE001 - the test judges which it is
            outcome = error

        assert isinstance(outcome, Transcript | JunctorError), f"{outcome!r} is not of the tree"

    async def test_cancelling_a_revision_stops_the_work(
        self, started: Provider, draft: Transcript, long_draft: Transcript
    ) -> None:
        """A cancelled revision ends at once, its work soon, and the next one is served."""
        self._card(started, Capability.REVISE_TRANSCRIPT)
        task = asyncio.create_task(self._revise(started, long_draft))
        await asyncio.wait([task], timeout=self.head_start)
        assert not task.done(), "`long_draft` was done too soon to be cancelled: make it longer"
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
        assert task.cancelled(), "the cancelled revision went on"
        async with asyncio.timeout(self.prompt):
            await self.stopped(started)

        assert not (await self._revise(started, draft)).is_empty

    async def _revise(
        self, provider: Provider, draft: Transcript, *, model: str | None = None
    ) -> Transcript:
        card = self._card(provider, Capability.REVISE_TRANSCRIPT)
        request = ReviseRequest(transcript=draft, model=model or card.id, language=self.language)
        async with asyncio.timeout(self.patience):
            return await cast("TranscriptReviser", provider).revise(request)


def _words(transcript: Transcript) -> tuple[Word, ...]:
    return (*transcript.words, *(word for part in transcript.segments for word in part.words))


def _places(parts: tuple[Segment, ...] | tuple[Word, ...]) -> set[tuple[float, float, str | None]]:
    return {(part.start, part.end, part.speaker) for part in parts}
