"""The part of the kit for revisions passes a good reviser and catches the bad ones."""

import asyncio

import pytest
from attrs import evolve

from junctor.core.cards import Capability
from junctor.core.requests import ReviseRequest
from junctor.core.testing.fakes import fake_card, transcript_of
from junctor.core.testing.revision import RevisionConformance
from junctor.core.transcripts import Transcript

DRAFT = transcript_of("the quick brown focks", seconds=2.0)
LONG = 200


class Editor:
    """Capitalises, which changes no time; long drafts take it longer."""

    name = "editor"

    def models(self):
        return [fake_card(provider=self.name, capabilities=[Capability.REVISE_TRANSCRIPT])]

    async def start(self):
        pass

    async def close(self):
        pass

    async def revise(self, request: ReviseRequest, /) -> Transcript:
        draft = request.transcript
        await asyncio.sleep(30.0 if len(draft.text) > LONG else 0.0)
        return evolve(draft, text=draft.text.capitalize())


class TestEditor(RevisionConformance):
    """It keeps the rules."""

    @pytest.fixture
    def provider(self):
        return Editor()


class Eraser(Editor):
    async def revise(self, request, /):
        return evolve(await super().revise(request), text="")


class Retimer(Editor):
    async def revise(self, request, /):
        return transcript_of(request.transcript.text, seconds=2.5)


class Namer(Editor):
    async def revise(self, request, /):
        draft = await super().revise(request)
        return evolve(draft, words=tuple(evolve(one, speaker="Bob") for one in draft.words))


class Hasty(Editor):
    async def revise(self, request, /):
        return request.transcript


@pytest.mark.parametrize(
    ("provider", "test", "drafts"),
    [
        (Eraser, "revises", 1),
        (Retimer, "revision_invents_no_times", 1),
        (Retimer, "revision_of_bare_text_stays_bare", 1),
        (Namer, "revision_invents_no_times", 1),
        (Hasty, "cancelling_a_revision_stops_the_work", 2),
    ],
)
async def test_catches_the_broken(provider, test, drafts):
    """Each way to break the rules fails its test."""
    with pytest.raises(AssertionError):
        await getattr(RevisionConformance(), f"test_{test}")(provider(), *[DRAFT] * drafts)


async def test_catches_who_speaks_for_the_silent():
    """Words made of nothing."""

    class Talker(Editor):
        async def revise(self, _, /):
            return Transcript(text="hello")

    with pytest.raises(AssertionError):
        await RevisionConformance().test_revision_of_nothing_is_nothing(Talker())
