"""The live part of the kit passes a good listener and catches the bad ones."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from junctor.core.cards import Capability, ModelCard
from junctor.core.providers import Provider
from junctor.core.requests import LiveRequest
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.testing.fakes import fake_card
from junctor.core.testing.live import LiveConformance
from junctor.core.transcripts import LiveEvent, LiveFinal, LivePartial, LiveReady
from tests.waiting import until

CLIP = tone_clip(0.5)
SECOND = 32_000


class Parrot:
    """Says hello when it has heard anything but silence."""

    name = "parrot"

    def __init__(self) -> None:
        self.listening = 0

    def models(self) -> Sequence[ModelCard]:
        return [fake_card(provider=self.name, capabilities=[Capability.LIVE_TRANSCRIBE])]

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def live_transcribe(
        self, _: LiveRequest, audio: AsyncIterator[bytes], /
    ) -> AsyncIterator[LiveEvent]:
        self.listening += 1
        heard, is_loud = 0, False
        try:
            yield LiveReady()
            async for chunk in audio:
                heard += len(chunk)
                is_loud = is_loud or any(chunk)
                yield LivePartial(text="hello" if is_loud else "")
            yield LiveFinal(text="hello" if is_loud else "", start=0.0, end=heard / SECOND)
        finally:
            self.listening -= 1


class TestParrot(ProviderConformance):
    """It keeps the rules; all tests of other capabilities are skipped."""

    patience = 5.0
    module = "junctor.core.testing.live"

    @pytest.fixture
    def provider(self):
        return Parrot()

    @pytest.fixture
    def clip(self):
        return CLIP

    async def stopped(self, provider):
        await until(lambda: not provider.listening)


class Changed(Parrot):
    """Does to each event of a good stream what `change` says; None leaves it out."""

    def change(self, event: LiveEvent) -> LiveEvent | None:
        return event

    async def live_transcribe(self, request, audio, /):
        async for event in super().live_transcribe(request, audio):
            if (changed := self.change(event)) is not None:
                yield changed


class Unready(Changed):
    def change(self, event):
        return None if isinstance(event, LiveReady) else event


class Unfinished(Changed):
    def change(self, event):
        return LivePartial(text=event.text) if isinstance(event, LiveFinal) else event


class Beyond(Changed):
    def change(self, event):
        is_final = isinstance(event, LiveFinal)
        return LiveFinal(text=event.text, start=0.0, end=99.0) if is_final else event


class Twice(Changed):
    def change(self, event):
        is_partial = isinstance(event, LivePartial)
        return LiveFinal(text="hello", start=0.0, end=0.5) if is_partial else event


class Inventive(Changed):
    def change(self, event):
        is_final = isinstance(event, LiveFinal)
        return LiveFinal(text="thanks for watching", start=0.0, end=0.1) if is_final else event


class Forgiving(Parrot):
    async def live_transcribe(self, request, audio, /):
        try:
            async for event in super().live_transcribe(request, audio):
                yield event
        except Exception:  # noqa: BLE001 - that is what is to be caught
            yield LiveFinal(text="hello", start=0.0, end=0.1)


class Choosy(Parrot):
    async def live_transcribe(self, request, audio, /):
        async def fitting():
            async for chunk in audio:
                if len(chunk) == SECOND // 10:
                    yield chunk

        async for event in super().live_transcribe(request, fitting()):
            yield event


class Stubborn(Parrot):
    async def live_transcribe(self, request, audio, /):
        try:
            async for event in super().live_transcribe(request, audio):
                yield event
        except asyncio.CancelledError:
            yield LiveFinal(text="hello", start=0.0, end=0.1)


@pytest.mark.parametrize(
    ("provider", "test"),
    [
        (Unready, "live_is_ready_before_it_hears"),
        (Unfinished, "live_ends_with_its_last_words"),
        (Beyond, "live_finals_have_their_times"),
        (Twice, "live_finals_have_their_times"),
        (Choosy, "live_takes_chunks_of_any_size"),
        (Inventive, "live_silence_says_nothing"),
        (Stubborn, "cancelling_live_stops_the_work"),
    ],
)
async def test_catches_the_broken(provider, test):
    """Each way to break the rules fails its test."""

    class Kit(LiveConformance):
        patience = 0.5

    with pytest.raises((AssertionError, TimeoutError)):
        await getattr(Kit(), f"test_{test}")(provider(), CLIP)


async def test_catches_who_hides_an_error_of_the_audio():
    """What the client's connection raised has to come out."""
    with pytest.raises(pytest.fail.Exception):
        await LiveConformance().test_live_tells_what_the_audio_raises(Forgiving(), CLIP)


async def test_catches_work_that_goes_on():
    """`stopped` is asked after a stream was closed."""

    class Kit(LiveConformance):
        prompt = 0.05

        async def stopped(self, provider: Provider) -> None:
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await Kit().test_closing_live_stops_the_work(Parrot(), CLIP)
