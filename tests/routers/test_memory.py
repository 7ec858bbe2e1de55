"""Nothing of a request stays in memory when it is over, without waiting for the collector."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from junctor.conf.settings import Model, Policy, Quality
from junctor.core.audio.clip import Clip
from junctor.core.errors import ProviderUnavailableError
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, Step, fake_card
from junctor.core.tickets import Ticket
from tests.fakes.server import Served, server_settings, serving

SECOND = silent_clip(1.0).data
SLOW = 0.05
"""Longer than it takes until the server listens for a leaving client."""


Left = Callable[[], list[str]]


@pytest.fixture(name="left")
def _left() -> Iterator[Left]:
    """Turn the collector off: what lies in a circle stays. Names what this test has left."""
    gc.collect()
    before = {id(one) for one in held()}
    gc.disable()
    yield lambda: [type(one).__name__ for one in held() if id(one) not in before]
    gc.enable()


def held() -> list[object]:
    """Return what is in memory of requests, those of other tests too."""
    return [one for one in gc.get_objects() if type(one) in {Ticket, Clip}]


async def post(server: Served, fields: dict[str, str], *, within: float = 30.0) -> int:
    form = aiohttp.FormData(fields)
    form.add_field("file", SECOND, filename="a.wav")
    timeout = aiohttp.ClientTimeout(total=within)
    async with (
        aiohttp.ClientSession(server.url, headers=server.authorization, timeout=timeout) as http,
        http.post("/v1/audio/transcriptions", data=form) as answer,
    ):
        await answer.read()
        return answer.status


DOWN = Fail(ProviderUnavailableError("down", provider="fake"), gap=SLOW)


@pytest.mark.parametrize(
    ("script", "fields", "status"),
    [
        ([], {}, 200),
        ([], {"stream": "true"}, 200),
        ([DOWN], {}, 200),
        ([DOWN, DOWN], {}, 502),
        ([], {"model": "none"}, 404),
        ([], {"temperature": "9"}, 400),
    ],
    ids=["answer", "stream", "fallback", "failure", "unknown", "refused"],
)
async def test_nothing_is_left(
    tmp_path: Path, left: Left, script: list[Step], fields: dict[str, str], status: int
) -> None:
    """However it ends."""
    fake = FakeTranscriber(
        cards=[fake_card("one"), fake_card("two")], script=script, then=Say("a b", gap=SLOW)
    )
    settings = server_settings(
        tmp_path,
        default_model="best",
        models={"best": Model(chain=("fake:one", "fake:two"))},
        policy=Policy(attempts_per_candidate=1),
    )
    async with serving(settings, fake) as server:
        assert await post(server, fields) == status
        fake.calls.clear()  # they remember what they were asked
        await gone(left)


@pytest.mark.parametrize("second", [Say("a c"), DOWN], ids=["heard", "failed"])
async def test_nothing_is_left_of_a_sample(tmp_path: Path, left: Left, second: Step) -> None:
    """A recording that the next candidate hears too goes when it has been heard."""
    fake = FakeTranscriber(cards=[fake_card("one"), fake_card("two")], script=[Say("a b"), second])
    settings = server_settings(
        tmp_path,
        default_model="best",
        models={"best": Model(chain=("fake:one", "fake:two"))},
        policy=Policy(attempts_per_candidate=1),
        quality=Quality(sample_share=1.0),
    )
    async with serving(settings, fake) as server:
        assert await post(server, {}) == 200
        await fake.settled(2)
        fake.calls.clear()
        await gone(left)


async def test_nothing_is_left_of_a_client_that_left(tmp_path: Path, left: Left) -> None:
    """Its upload goes with it."""
    fake = FakeTranscriber(then=Hang())
    async with serving(server_settings(tmp_path), fake) as server:
        with pytest.raises(TimeoutError):
            await post(server, {}, within=1.0)
        await fake.settled()
        fake.calls.clear()
        await gone(left)


async def gone(left: Left) -> None:
    """Wait until nothing is left; the last steps of a request come after its answer."""
    for _ in range(20):
        if not left():
            return
        await asyncio.sleep(0.05)
    assert left() == []
