"""Windows of many sessions: decoded together, whole stretches first, the newest speech of each."""

import asyncio

import pytest

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from junctor.core.requests import Window
from junctor.core.windows import Pace, Slip, WindowDesk
from tests.fakes.listeners import spoken
from tests.fakes.windows import WindowListener
from tests.waiting import until


def slow(each: float = 0.02, fixed: float = 0.005) -> Pace:
    """Return the pace of a model that takes so many seconds for each window."""
    pace = Pace()
    for size in (1, 2, 4, 2) * 5:
        pace.note(size, fixed + each * size)
    return pace


class Counter:
    """A desk whose model waits until it is told, and the slips left there."""

    def __init__(self, batch: int = 4, **more) -> None:
        self.turns = asyncio.Semaphore(0)
        self.outcomes: list[Exception | None] = []
        self.model = WindowListener(before=self._before, **more)
        self.desk = WindowDesk(provider=self.model, model="windows", batch=batch)
        self.done = 0

    async def _before(self, windows) -> None:
        await self.turns.acquire()
        if self.outcomes and (error := self.outcomes.pop(0)) is not None:
            raise error

    def go(self, turns: int = 9) -> None:
        """Let the model finish so many batches."""
        for _ in range(turns):
            self.turns.release()

    def first(self, number: int) -> Slip:
        window = Window(pcm=spoken(1, first=number))
        return self.desk.leave(window, done=self._count, is_first=True)

    def leave(self, number: int, *, is_final: bool = False, suspicion: int = 0) -> Slip:
        window = Window(pcm=spoken(1, first=number), is_final=is_final)
        return self.desk.leave(window, done=self._count, suspicion=suspicion)

    def _count(self) -> None:
        self.done += 1


def text(slip: Slip) -> str:
    assert slip.answer is not None
    return slip.answer.heard.text


async def test_what_comes_meanwhile_goes_together():
    """The first window does not wait; those that come while it is decoded are one batch."""
    counter = Counter()
    first = counter.leave(0)
    await until(lambda: counter.model.running == 1)
    others = [counter.leave(number) for number in (1, 2, 3)]
    counter.go()
    await until(lambda: counter.done == 4)

    assert [len(request.windows) for request in counter.model.requests] == [1, 3]
    assert [text(slip) for slip in (first, *others)] == ["w0", "w1", "w2", "w3"]


async def test_whole_stretches_go_first():
    """Of more than fit, finals come before partials, and each in the order in which they came."""
    counter = Counter(batch=2)
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    partial, final = counter.leave(1), counter.leave(2, is_final=True)
    late, last = counter.leave(3), counter.leave(4, is_final=True)
    counter.go()
    await until(lambda: counter.done == 5)
    finals, partials = counter.model.requests[1:]

    assert [window.is_final for window in finals.windows] == [True, True]
    assert [window.is_final for window in partials.windows] == [False, False]
    assert [text(slip) for slip in (partial, final, late, last)] == ["w1", "w2", "w3", "w4"]


async def test_speech_of_which_nothing_is_shown_goes_before_what_is_renewed():
    """The first caption of a sentence passes captions that are only made anew."""
    counter = Counter(batch=2)
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    for number in (1, 2):
        counter.leave(number)
    first = counter.first(3)
    counter.go(2)
    await until(lambda: first.is_over)
    counter.go()
    await until(lambda: counter.done == 4)
    second = [heard.pcm for heard in counter.model.requests[1].windows]

    assert second == [spoken(1, first=3), spoken(1, first=1)]


async def test_a_slow_model_gets_no_more_than_what_is_urgent():
    """Captions made anew fill a batch only as far as the next sentence need not wait for them."""
    counter = Counter(batch=8)
    counter.desk._pace = slow()
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    for number in range(1, 7):
        counter.leave(number)
    counter.desk._pace = slow()
    counter.go(1)
    await until(lambda: len(counter.model.requests) == 2)
    for number in range(7, 12):
        counter.leave(number, is_final=True)
    counter.desk._pace = slow()
    counter.go(1)
    await until(lambda: len(counter.model.requests) == 3)
    counter.go()
    await until(lambda: counter.done == 12)
    made_anew, urgent = counter.model.requests[1:3]

    assert len(made_anew.windows) == 2
    assert [window.is_final for window in urgent.windows] == [True] * 5


@pytest.mark.parametrize(
    ("each", "fixed", "low", "high"),
    [(0.005, 0.002, 9, 9), (0.02, 0.005, 2, 2), (0.001, 0.25, 200, 260)],
)
def test_pace(each, fixed, low, high):
    """A CPU gets what it does in 50 ms, a GPU what it does in twice the time of one window."""
    assert low <= slow(each, fixed).in_time <= high


def test_pace_of_what_is_not_known():
    """Batches of one size tell nothing, and nothing is bounded by them."""
    pace = Pace()
    for _ in range(9):
        pace.note(4, 0.1)

    assert pace.in_time >= 1_000


async def test_newer_speech_keeps_the_place():
    """What is renewed while it waits is decoded as it is then, and its wait counts from then."""
    counter = Counter()
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    slip = counter.leave(1)
    before = slip.at
    slip.renew(Window(pcm=spoken(1, first=9)))
    counter.go()
    await until(lambda: counter.done == 2)

    assert text(slip) == "w9"
    assert slip.answer is not None
    assert slip.answer.timing.at >= before


async def test_what_nobody_waits_for_is_not_decoded():
    """A withdrawn window that waits is dropped, and nobody is told of it."""
    counter = Counter()
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    counter.desk.withdraw(counter.leave(1))
    counter.go()
    await until(lambda: counter.done == 1 and not counter.model.running)

    assert [len(request.windows) for request in counter.model.requests] == [1]


async def test_the_model_stops_when_all_have_left():
    """One of a batch may leave; when the last one does, the model is cancelled, and goes on."""
    counter = Counter()
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    one, other = counter.leave(1), counter.leave(2)
    counter.go(1)
    await until(lambda: len(counter.model.requests) == 2)
    counter.desk.withdraw(one)
    await asyncio.sleep(0)
    still = counter.model.running
    counter.desk.withdraw(other)
    await until(lambda: counter.model.cancelled == 1)
    counter.go()
    last = counter.leave(3)
    await until(lambda: last.is_over)

    assert (still, text(last)) == (1, "w3")
    assert [len(request.windows) for request in counter.model.requests] == [1, 2, 1]


async def test_one_refused_window_is_its_own_fault():
    """A batch that is refused is decoded one by one; only the bad one has an error."""
    counter = Counter()
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    slips = [counter.leave(number) for number in (1, 2)]
    refusal = ProviderRejectedError("No.", provider="w")
    counter.outcomes = [None, refusal, refusal]
    counter.go()
    await until(lambda: counter.done == 3)
    bad, good = slips

    assert (type(bad.error), text(good)) == (ProviderRejectedError, "w2")


async def test_a_crash_is_told_to_all_each_in_its_own_words():
    """One error object raised in many sessions would join their tracebacks."""
    counter = Counter()
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    slips = [counter.leave(number) for number in (1, 2)]
    counter.outcomes = [None, ProviderUnavailableError("Gone.", provider="w", retry_after=0.5)]
    counter.go()
    await until(lambda: counter.done == 3)
    errors = [slip.error for slip in slips]

    assert all(
        isinstance(error, ProviderUnavailableError) and error.retry_after == 0.5 for error in errors
    )
    assert errors[0] is not errors[1]


async def test_an_idle_model_is_woken_once():
    """A window of silence has it loaded; one that works, or has just worked, is left alone."""
    counter = Counter()
    counter.desk.wake()
    counter.desk.wake()
    await until(lambda: counter.model.running == 1)
    counter.go()
    await until(lambda: not counter.model.running)
    await asyncio.sleep(0)
    counter.desk.wake()
    last = counter.leave(5)
    await until(lambda: last.is_over)

    assert [len(request.windows) for request in counter.model.requests] == [1, 1]
    assert not any(counter.model.requests[0].windows[0].pcm)


async def test_suspects_are_decoded_alone():
    """Whose like may have broken the model breaks it for nobody else."""
    counter = Counter()
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    for number in (1, 2):
        counter.leave(number, suspicion=1)
    for number in (3, 4):
        counter.leave(number)
    counter.go()
    await until(lambda: counter.done == 5)

    assert [len(request.windows) for request in counter.model.requests] == [1, 2, 1, 1]


async def test_suspects_share_their_fate_with_fewer_and_fewer():
    """The least suspected first, a quarter of a batch; twice suspected ones a quarter of that."""
    counter = Counter(batch=16)
    counter.leave(0)
    await until(lambda: counter.model.running == 1)
    for number in range(1, 8):
        counter.leave(number, suspicion=1 if number < 6 else 2)
    counter.go()
    await until(lambda: counter.done == 8)

    assert [len(request.windows) for request in counter.model.requests] == [1, 4, 1, 1, 1]


async def test_suspects_have_their_turn():
    """However many others come again and again, a suspect does not wait for the last of them."""
    counter = Counter(batch=1)

    def again() -> None:
        if len(counter.model.requests) < 50:
            counter.desk.leave(Window(pcm=spoken(1)), done=again)

    for _ in range(2):
        counter.desk.leave(Window(pcm=spoken(1)), done=again)
    counter.go(60)
    suspect = counter.leave(9, suspicion=1)
    await until(lambda: suspect.is_over)

    assert len(counter.model.requests) < 30


@pytest.mark.parametrize("count", [0, 2])
async def test_answers_that_do_not_fit(count):
    """A model that answers too few or too many windows is a failure, not a mix-up."""

    class Wrong(WindowListener):
        async def transcribe_windows(self, request, /):
            return [await super().transcribe_windows(request)] * count

    desk = WindowDesk(provider=Wrong(), model="windows", batch=4)
    slip = desk.leave(Window(pcm=spoken(1)), done=lambda: None)
    await until(lambda: slip.is_over)

    assert isinstance(slip.error, ProviderAnswerError)


@pytest.mark.parametrize("answer", [None, [None], 7])
async def test_answers_that_are_none(answer):
    """What is no transcript fails at once; the desk goes on with the next window."""

    class Wrong(WindowListener):
        async def transcribe_windows(self, request, /):
            found = await super().transcribe_windows(request)
            return found if len(self.requests) > 1 else answer

    desk = WindowDesk(provider=Wrong(), model="windows", batch=1)
    slips = [desk.leave(Window(pcm=spoken(1)), done=lambda: None) for _ in range(2)]
    await until(lambda: slips[1].is_over)

    assert isinstance(slips[0].error, ProviderAnswerError)
    assert slips[1].answer is not None
