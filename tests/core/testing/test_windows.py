"""The part of the kit for windows passes a good provider and catches the bad ones."""

import asyncio
import time

import pytest
from attrs import evolve

from junctor.core.cards import Capability
from junctor.core.requests import Window
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Say, fake_card
from junctor.core.testing.windows import WindowsConformance

WINDOW = Window(pcm=b"\1\2" * 16_000)


def fake(kind: type[FakeTranscriber] = FakeTranscriber, **fields) -> FakeTranscriber:
    card = fake_card(capabilities=[Capability.TRANSCRIBE_WINDOWS])
    return kind(cards=[card], then=Say("one two three", gap=0.01), **fields)


class TestFakeWindows(WindowsConformance):
    """A provider of nothing but windows keeps the rules."""

    @pytest.fixture
    def provider(self):
        return fake()

    @pytest.fixture
    def clip(self):
        return tone_clip(1.0)


class Muddled(FakeTranscriber):
    async def transcribe_windows(self, request, /):
        return sorted(await super().transcribe_windows(request), key=lambda one: one.text)


class Moody(FakeTranscriber):
    async def transcribe_windows(self, request, /):
        found = await super().transcribe_windows(request)
        return [evolve(one, text=f"{one.text} {len(found)}") for one in found]


class Spaced(FakeTranscriber):
    async def transcribe_windows(self, request, /):
        found = await super().transcribe_windows(request)
        return [evolve(one, pieces=tuple(one.text.split())) for one in found]


class Untimed(FakeTranscriber):
    async def transcribe_windows(self, request, /):
        return [evolve(one, words=()) for one in await super().transcribe_windows(request)]


class Sure(FakeTranscriber):
    async def transcribe_windows(self, request, /):
        found = await super().transcribe_windows(request)
        return [evolve(one, confidence=100.0) for one in found]


class Blocking(FakeTranscriber):
    async def transcribe_windows(self, request, /):
        time.sleep(0.6)  # noqa: ASYNC251 - that is what is to be caught
        return await super().transcribe_windows(request)


class Deaf(FakeTranscriber):
    async def transcribe_windows(self, request, /):
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
        return await super().transcribe_windows(request)


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (Muddled, "windows_come_in_their_order"),
        (Moody, "windows_agree_alone_and_together"),
        (Spaced, "window_pieces_are_its_text"),
        (Sure, "window_is_judged"),
        (Untimed, "window_words_have_their_times"),
        (Blocking, "windows_do_not_block_the_loop"),
        (Deaf, "cancelling_windows_stops_the_work"),
    ],
)
async def test_catches_the_broken(kind, test):
    """Each way to break the rules fails its test."""
    with pytest.raises(AssertionError):
        await getattr(WindowsConformance(), f"test_{test}")(fake(kind), WINDOW)


async def test_catches_foreign_errors():
    """An error that is not of our tree is caught."""
    broken = fake(script=[Fail(ValueError("oops"))])

    with pytest.raises(AssertionError, match="not of the tree"):
        await WindowsConformance().test_strange_windows_fail_in_our_tree(broken, WINDOW, "half")
