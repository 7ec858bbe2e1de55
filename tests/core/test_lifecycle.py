import asyncio

import pytest
from structlog.testing import capture_logs

from junctor.core.catalog import Absence
from junctor.core.complaints import Complaints
from junctor.core.errors import PluginError
from junctor.core.inspection import checked
from junctor.core.lifecycle import close_all, start_all
from junctor.core.offers import Offer, serving
from junctor.core.plugin_status import PluginStatus, Stage, State
from junctor.core.testing.fakes import FakeTranscriber, fake_card

SHORT = 0.05
"""Seconds; only what hangs waits so long."""


class Provider(FakeTranscriber):
    """Writes down what happens to it, and waits or fails as it is told."""

    def __init__(self, name, events, *, start=None, close=None):
        super().__init__(name, cards=[fake_card(f"{name}-model", provider=name)])
        self.events = events
        self.steps = {"start": start, "close": close}

    async def start(self):
        await self._do("start")

    async def close(self):
        await self._do("close")

    async def _do(self, what):
        self.events.append(f"{what} {self.name}")
        step = self.steps[what]
        if isinstance(step, BaseException):
            raise step
        if step is not None:
            await step.wait()


class Events(list[str]):
    """What happened, in order; somebody may wait for it."""

    def __init__(self):
        super().__init__()
        self._changed = asyncio.Event()

    def append(self, event):
        super().append(event)
        self._changed.set()

    async def reach(self, count):
        while len(self) < count:
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture(name="events")
def _events():
    return Events()


def offer_of(*providers, plugins=None) -> Offer:
    """Return an offer in which each provider has its own plugin, unless `plugins` says which."""
    names = plugins or [provider.name for provider in providers]
    offered = [checked(name, one) for name, one in zip(names, providers, strict=True)]
    statuses = tuple(
        serving(PluginStatus(name=name), [one for one in offered if one.plugin == name])
        for name in dict.fromkeys(names)
    )
    return Offer(offered=tuple(offered), statuses=statuses)


async def start(offer, *, seconds=5.0, strict=False) -> Offer:
    return await start_all(
        offer,
        start_timeout=seconds,
        close_timeout=seconds,
        complaints=Complaints(is_quiet=True),
        strict=strict,
    )


async def close(providers, *, seconds=5.0) -> list[tuple[str, str, str]]:
    with capture_logs() as lines:
        await close_all(providers, close_timeout=seconds, complaints=Complaints())
    return [(line["event"], line["provider"], line["reason"]) for line in lines]


async def test_providers_start_at_the_same_time(events):
    """A slow one does not make the others wait."""
    gate = asyncio.Event()
    offer = offer_of(Provider("a", events, start=gate), Provider("b", events))
    task = asyncio.create_task(start(offer))
    await events.reach(2)
    gate.set()

    started = await task

    assert (events, [one.is_started for one in started.offered]) == (
        ["start a", "start b"],
        [True, True],
    )


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ValueError("no model"), "ValueError: no model"),
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "CancelledError"),
        (asyncio.Event(), "TimeoutError: start() was not done within 0.05 seconds"),
    ],
    ids=["raises", "exits", "cancels itself", "hangs"],
)
async def test_provider_that_does_not_start_is_left_out(events, fault, said):
    """It is closed and listed, and its neighbour serves."""
    offer = offer_of(Provider("bad", events, start=fault), Provider("good", events))

    started = await start(offer, seconds=SHORT)

    assert ([one.name for one in started.offered], events) == (
        ["good"],
        ["start bad", "start good", "close bad"],
    )
    assert started.absences == {
        "bad": Absence(reason="failed to start", detail=said, models=("bad:bad-model",))
    }
    assert started.statuses[0] == PluginStatus(name="bad").failed(
        Stage.START, f"provider 'bad': {said}"
    )


async def test_plugin_keeps_the_providers_that_started(events):
    """The plugin is listed as failed, with what it still serves."""
    pair = Provider("bad", events, start=ValueError()), Provider("good", events)

    started = await start(offer_of(*pair, plugins=["acme", "acme"]))

    (status,) = started.statuses
    assert (status.status, status.providers) == (State.FAILED, ("good",))


async def test_started_provider_is_not_started_again(events):
    """A reload starts what is new."""
    started = await start(offer_of(Provider("a", events)))

    await start(started)

    assert events == ["start a"]


async def test_strict_start_closes_what_it_has_started(events):
    """Nothing is left running behind a refusal."""
    offer = offer_of(Provider("a", events), Provider("bad", events, start=ValueError("no")))

    with pytest.raises(PluginError, match="bad failed at start: provider 'bad': ValueError: no"):
        await start(offer, strict=True)

    assert events == ["start a", "start bad", "close bad", "close a"]


async def test_cancelled_start_closes_everything(events):
    """Stopping a server that is starting leaves nothing behind."""
    hanging = Provider("a", events, start=asyncio.Event())
    task = asyncio.create_task(start(offer_of(hanging, Provider("b", events))))
    await events.reach(2)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert events == ["start a", "start b", "close b", "close a"]


async def test_start_that_failed_is_logged(events):
    """With the cause, for the operator."""
    error = ValueError("no")
    with capture_logs() as lines:
        await start_all(
            offer_of(Provider("bad", events, start=error)),
            start_timeout=5,
            close_timeout=5,
            complaints=Complaints(),
        )

    assert [(line["event"], line["stage"], line["exc_info"]) for line in lines] == [
        ("plugin_failed", "start", error)
    ]


async def test_providers_close_in_reverse_order(events):
    """The last one opened goes first."""
    await close([Provider("a", events), Provider("b", events)])

    assert events == ["close b", "close a"]


async def test_provider_that_does_not_close_keeps_no_other_from_closing(events):
    """Whether it raises or hangs, it is logged and the next one's turn comes."""
    providers = [
        Provider("a", events),
        Provider("b", events, close=ValueError("no")),
        Provider("c", events, close=asyncio.Event()),
    ]

    lines = await close(providers, seconds=SHORT)

    assert events == ["close c", "close b", "close a"]
    assert lines == [
        ("close_failed", "c", "TimeoutError: close() was not done within 0.05 seconds"),
        ("close_failed", "b", "ValueError: no"),
    ]


async def test_provider_that_ignores_its_cancellation_is_abandoned(events):
    """Even then the others close; it is let go at the end of the test."""
    gate = asyncio.Event()

    class Stubborn(Provider):
        async def close(self):
            while not gate.is_set():
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    self.events.append("cancelled")

    await close([Provider("a", events), Stubborn("b", events)], seconds=SHORT)
    gate.set()

    assert events == ["cancelled", "close a"]
