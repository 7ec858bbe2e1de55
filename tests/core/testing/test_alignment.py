"""The part of the kit for alignment passes a good provider and catches the bad ones."""

import asyncio

import pytest
from attrs import evolve

from junctor.core.cards import Capability
from junctor.core.testing.alignment import AlignmentConformance
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Say, fake_card
from junctor.core.transcripts import Alignment

CLIP, SAID = silent_clip(1.0), ("one", "two", "three")


def fake(kind: type[FakeTranscriber] = FakeTranscriber, **fields) -> FakeTranscriber:
    card = fake_card(capabilities=[Capability.ALIGN])
    return kind(cards=[card], then=Say(" ".join(SAID), gap=0.01), **fields)


class TestFakeAligner(AlignmentConformance):
    """A provider of nothing but alignments keeps the rules."""

    @pytest.fixture
    def provider(self):
        return fake()

    @pytest.fixture
    def clip(self):
        return CLIP

    @pytest.fixture
    def said(self):
        return SAID


class Backwards(FakeTranscriber):
    async def align(self, request, /):
        found = await super().align(request)
        return evolve(found, words=found.words[::-1])


class Late(FakeTranscriber):
    async def align(self, request, /):
        found = await super().align(request)
        return evolve(found, words=tuple(evolve(one, end=one.end + 9) for one in found.words))


class Credulous(FakeTranscriber):
    async def align(self, request, /):
        found = await super().align(request)
        return evolve(found, words=tuple(evolve(one, confidence=0.9) for one in found.words))


class Content(FakeTranscriber):
    async def align(self, request, /):
        if not request.words:
            return Alignment(words=(), confidence=1.0)
        return await super().align(request)


class Deaf(FakeTranscriber):
    async def align(self, request, /):
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
        return await super().align(request)


@pytest.mark.parametrize(
    ("kind", "test", "extra"),
    [
        (Backwards, "aligns_each_word", ()),
        (Late, "aligns_each_word", ()),
        (Credulous, "a_wrong_word_is_less_sure", ()),
        (Content, "strange_alignments_fail_in_our_tree", ("nothing",)),
        (Deaf, "cancelling_an_alignment_stops_the_work", ()),
    ],
)
async def test_catches_the_broken(kind, test, extra):
    """Each way to break the rules fails its test."""
    with pytest.raises(AssertionError):
        await getattr(AlignmentConformance(), f"test_{test}")(fake(kind), CLIP, SAID, *extra)


async def test_catches_foreign_errors():
    """An error that is not of our tree is caught."""
    broken = fake(script=[Fail(ValueError("oops"))])

    with pytest.raises(AssertionError, match="not of the tree"):
        await AlignmentConformance().test_strange_alignments_fail_in_our_tree(
            broken, CLIP, SAID, "model"
        )
