"""Live by windows: partials while somebody speaks, a final at each pause, nothing kept for long."""

import asyncio
import itertools

import pytest
from attrs import define, evolve, field

from junctor.conf.settings import Live
from junctor.core.audio.voice import VoiceTrack
from junctor.core.ears import Ear
from junctor.core.errors import (
    ProviderBusyError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.requests import LiveRequest, Rolling, Window
from junctor.core.rolling import MAX_FINALS, RollingListener
from junctor.core.tape import Tape
from junctor.core.transcripts import LiveFinal, LivePartial, LiveReady, WindowTranscript
from junctor.core.windows import WindowDesk
from tests.fakes.listeners import GAP, WORD, chunks, pause, spoken, words
from tests.fakes.windows import WindowListener
from tests.waiting import until

SECOND = 16_000
ROLLING = Rolling(interval=0.04, least=0.1, window=0.6)


@define
class Bench:
    """A listener over a tape, by loudness, and what it says."""

    model: WindowListener = field(factory=WindowListener)
    rolling: Rolling = ROLLING
    within: float = 5.0
    is_replay: bool = False
    has_words: bool = True
    tape: Tape = field(factory=lambda: Tape(60, VoiceTrack()))
    events: list[object] = field(factory=list)
    listener: RollingListener = field(init=False)

    def __attrs_post_init__(self) -> None:
        card = self.model.models()[0]
        self.listener = RollingListener(
            desk=WindowDesk(provider=self.model, model=card.id, batch=card.window_batch),
            request=LiveRequest(
                language="en", word_timestamps=self.has_words, rolling=self.rolling
            ),
            ear=Ear(tape=self.tape, card=card, bounds=Live(), is_native=False),
            longest=card.window_seconds,
            within=self.within,
            is_replay=self.is_replay,
        )

    async def run(self) -> None:
        async for event in self.listener.events():
            self.events.append(event)

    async def hear(self, pcm: bytes) -> "Bench":
        async with self.tape.recording(chunks(pcm)):
            await self.run()
        return self

    @property
    def finals(self) -> list[LiveFinal]:
        return [event for event in self.events if isinstance(event, LiveFinal)]

    @property
    def partials(self) -> list[LivePartial]:
        return [event for event in self.events if isinstance(event, LivePartial)]

    @property
    def windows(self) -> list[float]:
        """Length of each window asked for, seconds."""
        return [
            len(window.pcm) / 2 / SECOND
            for request in self.model.requests
            for window in request.windows
        ]


def said(bench: Bench) -> list[str]:
    return " ".join(final.text for final in bench.finals).split()


async def test_partials_then_a_final_at_each_pause():
    """Texts grow while somebody speaks; each pause makes a final, in place, with its words."""
    bench = await Bench().hear(spoken(20) + pause(1) + spoken(10, first=20) + pause(1))
    first, second = bench.finals
    kinds = [type(event) for event in bench.events]

    assert kinds[:2] == [LiveReady, LivePartial]
    assert said(bench) == words(30)
    assert second.words[0].start == pytest.approx((20 * (WORD + GAP) + SECOND) / SECOND)
    assert first.timing is not None
    assert first.timing.decoding > 0
    assert kinds.index(LiveFinal) > 4


async def test_what_two_guesses_share_is_stable_and_grows():
    """The stable part is a beginning of the text, and never shrinks while a stretch lasts."""
    bench = await Bench().hear(spoken(40))
    stable = [partial.stable or "" for partial in bench.partials]

    assert all(partial.text.startswith(partial.stable or "") for partial in bench.partials)
    assert all(after.startswith(before) for before, after in itertools.pairwise(stable))
    assert stable[-1].split() == words(len(stable[-1].split()))
    assert len(stable[-1].split()) > 20


async def test_the_window_rolls():
    """Nothing longer than the window, and a little, is decoded for a partial; the text has all."""
    bench = await Bench().hear(spoken(120))
    partials = [
        len(window.pcm) / 2 / SECOND
        for request in bench.model.requests
        for window in request.windows
        if not window.is_final
    ]

    assert max(partials) < ROLLING.window + 0.3
    assert bench.partials[-1].text.split() == words(len(bench.partials[-1].text.split()))
    assert said(bench) == words(120)


class Trimmed(WindowListener):
    """Writes a window as engines do: no space before the first word."""

    async def transcribe_windows(self, request, /):
        found = await super().transcribe_windows(request)
        return [
            evolve(one, pieces=("".join(one.pieces[:1]).strip(), *one.pieces[1:])) for one in found
        ]


class Unsure(WindowListener):
    """Writes something else each time, as Whisper does of music."""

    async def transcribe_windows(self, request, /):
        found = await super().transcribe_windows(request)
        other = f" {len(self.requests)}"
        return [evolve(one, pieces=(other,) * len(one.pieces)) for one in found]


class Deaf(WindowListener):
    """Hears nothing in any sound."""

    async def transcribe_windows(self, request, /):
        return [WindowTranscript(text="") for _ in await super().transcribe_windows(request)]


async def test_the_space_where_the_window_rolled_is_kept():
    """No word is glued to the one before, and guesses agree across the seam."""
    bench = await Bench(model=Trimmed()).hear(spoken(120))
    texts = [partial.text.split() for partial in bench.partials]

    assert all(text == words(len(text)) for text in texts)
    assert len((bench.partials[-1].stable or "").split()) > 100


@pytest.mark.parametrize("model", [Unsure, Deaf])
async def test_the_window_rolls_without_agreement(model):
    """What never agrees, or says nothing, costs little more than speech: windows stay short."""
    bench = await Bench(model=model()).hear(spoken(250))
    partials = [
        len(window.pcm) / 2 / SECOND
        for request in bench.model.requests
        for window in request.windows
        if not window.is_final
    ]

    assert max(partials) < 2 * ROLLING.window + 0.3


async def test_long_speech_is_cut_to_what_the_model_hears():
    """Speech without a pause is final piece by piece, each within the model's window."""
    bench = await Bench(model=WindowListener(seconds=1.0)).hear(spoken(150))

    assert max(bench.windows) <= 1.0
    assert len(bench.finals) >= 4
    assert {*words(150)} == {*said(bench)}


async def test_silence_costs_and_keeps_nothing():
    """A minute of silence is not decoded, and leaves a second on the tape."""
    tape = Tape(5, VoiceTrack())
    bench = await Bench(tape=tape).hear(pause(60))

    assert (bench.events, bench.model.requests) == ([LiveReady()], [])
    assert tape.end - tape.origin < 1.5 * SECOND


async def test_a_stretch_has_the_tape_to_itself():
    """The silence before it is let go when it begins, else it could fill a small tape and wait."""
    bench = Bench(tape=Tape(2, VoiceTrack()))
    running = asyncio.create_task(bench.run())
    await bench.tape.take(pause(0.45) + spoken(6))
    await until(lambda: bench.partials)
    origin = bench.tape.origin
    bench.tape.finish()
    await running

    assert 0 < origin < 0.45 * SECOND
    assert said(bench) == words(6)


async def test_a_flush_is_answered_even_if_nothing_changed():
    """Asked for, a partial comes of whatever is there; before the final where both are due."""
    bench = Bench(rolling=Rolling(interval=30.0, least=30.0))
    running = asyncio.create_task(bench.run())
    await bench.tape.take(spoken(6))
    bench.tape.flush()
    await until(lambda: len(bench.partials) == 1)
    bench.tape.flush()
    bench.tape.finish()
    await running

    assert [partial.text.split() for partial in bench.partials] == [words(6)] * 2
    assert isinstance(bench.events[-1], LiveFinal)


async def test_a_flush_of_nothing():
    """Where nobody has spoken the answer is an empty partial."""
    bench = Bench()
    running = asyncio.create_task(bench.run())
    await bench.tape.take(pause(0.5))
    bench.tape.flush()
    await until(lambda: bench.partials)
    bench.tape.finish()
    await running

    assert bench.partials == [LivePartial(text="")]


async def test_a_slow_model_hears_the_newest_speech():
    """While a window is decoded no queue grows: the next one is that of what is there then."""
    gate = asyncio.Event()
    bench = Bench(model=WindowListener(before=lambda _: gate.wait()))
    running = asyncio.create_task(bench.run())
    await bench.tape.take(spoken(10))
    await until(lambda: bench.model.running)
    for number in range(10, 20):
        await bench.tape.take(spoken(1, first=number))
        await asyncio.sleep(0)
    gate.set()
    await until(lambda: len(bench.model.requests) == 2)
    bench.tape.finish()
    await running

    assert len(bench.model.requests) <= 3
    assert bench.windows[1] >= 19 * (WORD + GAP) / SECOND - 0.04
    assert said(bench) == words(20)


async def test_a_file_is_decoded_some_stretches_ahead():
    """Many stretches at once go together; no more than a few wait for their finals."""
    gate = asyncio.Event()
    bench = Bench(model=WindowListener(before=lambda _: gate.wait(), batch=16))
    sound = b"".join(spoken(4, first=4 * number) + pause(0.8) for number in range(8))
    running = asyncio.create_task(bench.hear(sound))
    await until(lambda: bench.model.running)
    await until(lambda: bench.tape.is_over)
    gate.set()
    await running

    assert max(len(request.windows) for request in bench.model.requests) <= MAX_FINALS
    assert said(bench) == words(32)


async def test_a_model_that_takes_too_long_has_failed():
    """A window is not waited for without end."""
    bench = Bench(model=WindowListener(before=lambda _: asyncio.Event().wait()), within=0.05)
    with pytest.raises(ProviderTimeoutError):
        await bench.hear(spoken(10))

    await until(lambda: not bench.model.running)


async def test_a_model_that_does_not_come_to_it_is_busy():
    """Where others keep it from beginning with a window, no speech is to blame."""
    bench = Bench(model=WindowListener(before=lambda _: asyncio.Event().wait()), within=0.05)
    bench.listener.desk.leave(Window(pcm=spoken(1), is_final=True), done=lambda: None)
    await until(lambda: bench.model.running)
    with pytest.raises(ProviderBusyError):
        await bench.hear(spoken(10))


async def test_after_a_failure_it_is_ready_when_the_model_answers():
    """Who cannot go on does not get the session: its first window fails before it is ready."""

    def fail(_) -> None:
        raise ProviderUnavailableError("Down.", provider="w")

    bench, healthy = Bench(model=WindowListener(before=fail), is_replay=True), Bench(is_replay=True)
    for one in (bench, healthy):
        await one.tape.take(spoken(10))
        one.tape.finish()
    with pytest.raises(ProviderUnavailableError):
        await bench.run()
    await healthy.run()

    assert bench.events == []
    assert healthy.events[0] == LiveReady()
    assert said(healthy) == words(10)


async def test_closing_stops_the_work():
    """What waits at the desk is withdrawn."""
    bench = Bench(model=WindowListener(before=lambda _: asyncio.Event().wait()))
    running = asyncio.create_task(bench.run())
    await bench.tape.take(spoken(10))
    await until(lambda: bench.model.running)
    running.cancel()
    await asyncio.wait([running])
    await until(lambda: not bench.model.running)

    assert bench.model.cancelled == 1


async def test_a_click_leaves_no_caption():
    """What was shown of a sound that was no speech is taken back."""
    click = spoken(1)  # 20 ms: shown, but too short to be a stretch
    bench = Bench(rolling=Rolling(interval=0.0, least=0.0))
    running = asyncio.create_task(bench.run())
    await bench.tape.take(pause(0.5) + click)
    await until(lambda: bench.partials)
    await bench.tape.take(pause(1.0))
    bench.tape.finish()
    await running

    assert bench.partials[-1].text == ""
    assert bench.finals == []


async def test_the_end_is_not_missed_while_the_reader_is_busy():
    """All that happens between two reads is heard of, also before the first."""
    bench = Bench()
    events = bench.listener.events()
    assert await anext(events) == LiveReady()
    await bench.tape.take(spoken(3))
    bench.tape.finish()
    async with asyncio.timeout(20):
        bench.events = [event async for event in events]

    assert said(bench) == words(3)
