"""What a request is charged for, by how it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from junctor.conf.settings import Team
from junctor.core.errors import (
    ClientGoneError,
    DeadlineExceededError,
    InsufficientBalanceError,
    ProviderAnswerError,
)
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import FakeTranscriber
from junctor.core.tickets import MOST_TOKENS, Ticket
from junctor.core.visits import Visit
from tests.fakes.server import Served, server_settings, serving

CLIP = silent_clip(2.0)


async def admitted(served: Served) -> Ticket:
    gateway = served.runtime.gateway
    ticket = await gateway.admit(contract="test", operation="transcribe", credential=served.key)
    await gateway.open_clip(ticket, CLIP.data, filename="a.wav")
    return ticket


@pytest.mark.parametrize(
    ("error", "frames"),
    [(None, CLIP.frames), (asyncio.CancelledError(), 0), (DeadlineExceededError(seconds=1.0), 0)],
)
async def test_a_whole_answer_is_charged_when_it_leaves(
    tmp_path: Path, error: BaseException | None, frames: int
) -> None:
    """Whoever leaves while it is put into words has got nothing; a retry shall not pay twice."""
    async with serving(server_settings(tmp_path), FakeTranscriber()) as served:
        ticket = await admitted(served)
        ticket.serve_all()
        await ticket.close(error)
        entries = await served.entries()

    assert [one.frames for one in entries] == [frames]


async def test_what_had_reached_a_client_that_left_is_charged(tmp_path: Path) -> None:
    """Pieces of a stream are its whole use, also where the whole was about to follow."""
    async with serving(server_settings(tmp_path), FakeTranscriber()) as served:
        ticket = await admitted(served)
        ticket.serve_until(0.5)
        ticket.serve_all()
        await ticket.close(asyncio.CancelledError())
        entries = await served.entries()

    assert [(one.frames, one.outcome) for one in entries] == [(8_000, "cancelled")]


@asynccontextmanager
async def chatting(folder: Path, **more: Any) -> AsyncIterator[tuple[Served, Ticket]]:
    """A chat that was admitted, and answered by a model at 2 dollars a million, 10 for answers."""
    async with serving(server_settings(folder, **more), FakeTranscriber()) as served:
        gateway = served.runtime.gateway
        ticket = await gateway.admit(contract="test", operation="chat", credential=served.key)
        ticket.trace.provider, ticket.trace.model = "fake", "one"
        ticket.trace.price, ticket.trace.output_price = 2.0, 10.0
        yield served, ticket
        await ticket.close()


@pytest.mark.parametrize(
    ("error", "tokens"),
    [
        (None, (1_000, 500, 7_000_000)),
        (asyncio.CancelledError(), (1_000, 500, 7_000_000)),
        (ClientGoneError(), (1_000, 500, 7_000_000)),
        (DeadlineExceededError(seconds=1.0), (0, 0, 0)),
    ],
)
async def test_tokens_that_reached_the_client_are_charged(
    tmp_path: Path, error: BaseException | None, tokens: tuple[int, int, int]
) -> None:
    """All of a whole answer, those so far of a client that left, none of a failure."""
    async with chatting(tmp_path) as (served, ticket):
        ticket.serve_tokens(1_000, 1)
        ticket.serve_tokens(1_000, 500)
        await ticket.close(error)
        (entry,) = await served.entries()

    assert (entry.prompt_tokens, entry.completion_tokens, entry.cost) == tokens
    assert ticket.charged_tokens == tokens[:2]


async def test_nothing_reached_the_client(tmp_path: Path) -> None:
    """A client that leaves before the first token pays nothing, and what was held is free."""
    async with chatting(tmp_path) as (served, ticket):
        ticket.hold_tokens(700)
        await ticket.close(asyncio.CancelledError())
        (entry,) = await served.entries()
        totals = served.runtime.gateway.ledger.totals("acme")

    assert (entry.outcome, entry.prompt_tokens, entry.cost) == ("cancelled", 0, 0)
    assert (totals.tokens, totals.held_tokens) == (0, 0)


@pytest.mark.parametrize("error", [None, ProviderAnswerError("Broken.", provider="fake")])
async def test_tokens_are_charged_before_the_last_item(
    tmp_path: Path, error: BaseException | None
) -> None:
    """What was settled stays as it is, whatever comes after; the log line says the same."""
    async with chatting(tmp_path) as (served, ticket):
        ticket.serve_tokens(10, 5)
        ticket.settle()
        ticket.serve_tokens(10, 50)
        await ticket.close(error)
        (entry,) = await served.entries()
        record = Visit(request_id="r", ticket=ticket).record()

    assert (entry.prompt_tokens, entry.completion_tokens, entry.outcome) == (10, 5, "ok")
    assert (record.prompt_tokens, record.completion_tokens) == (10, 5)


async def test_tokens_of_a_run_that_was_paid(tmp_path: Path) -> None:
    """A later run of the same job is free."""
    async with chatting(tmp_path) as (served, ticket):
        ticket.is_paid = True
        ticket.serve_tokens(10, 5)
        await ticket.close()
        (entry,) = await served.entries()

    assert (entry.prompt_tokens, entry.cost, ticket.charged_tokens) == (0, 0, (0, 0))


async def test_numbers_that_cannot_be(tmp_path: Path) -> None:
    """Whatever a provider says it took, the request ends and the ledger takes it."""
    async with chatting(tmp_path) as (served, ticket):
        ticket.serve_tokens(-5, 10**30)
        await ticket.close()
        (entry,) = await served.entries()

    assert (entry.prompt_tokens, entry.completion_tokens) == (0, MOST_TOKENS)


async def test_tokens_of_the_day(tmp_path: Path) -> None:
    """A ticket holds tokens against the bound of its own key, which the settings name by prefix."""
    async with chatting(tmp_path, team_defaults=Team(key_tokens_per_day=9)) as (served, ticket):
        ticket.hold_tokens(9)
        with pytest.raises(InsufficientBalanceError, match="This API key may use 9 tokens a day"):
            ticket.hold_tokens(10)

        assert served.runtime.gateway.ledger.totals("acme").held_tokens == 9


async def test_a_video_is_charged_by_its_length(tmp_path: Path) -> None:
    """Its frames are counted as seconds of video, at the price of a minute, and as no sound."""
    async with serving(server_settings(tmp_path), FakeTranscriber()) as served:
        gateway = served.runtime.gateway
        ticket = await gateway.admit(contract="test", operation="generate", credential=served.key)
        ticket.trace.provider, ticket.trace.model, ticket.trace.price = "fake", "one", 0.6
        ticket.unit, ticket.frames, ticket.sample_rate = "video_seconds", 120, 24
        ticket.spend_media()
        ticket.serve_all()
        await ticket.close()
        (entry,) = await served.entries()
        totals = gateway.ledger.totals("acme")

    assert (entry.unit, entry.seconds, entry.cost) == ("video_seconds", 5.0, 50_000_000)
    assert (totals.seconds, totals.video_seconds) == (0.0, 5.0)
    assert (ticket.audio_seconds, ticket.video_seconds) == (0.0, 5.0)


async def test_video_of_the_day(tmp_path: Path) -> None:
    """A ticket holds the seconds of a video against the team's day, behind those of its jobs."""
    async with chatting(tmp_path, team_defaults=Team(video_seconds_per_day=9)) as (served, ticket):
        ticket.hold_video(4.0, queued=5.0)
        with pytest.raises(InsufficientBalanceError, match="seconds of video a day, 4 are left"):
            ticket.hold_video(5.0, queued=5.0)

        assert served.runtime.gateway.ledger.totals("acme").held_video_seconds == 4.0


async def test_tokens_on_the_way_to_a_transcript(tmp_path: Path) -> None:
    """What a chat model took for a translation costs, and counts as audio alone."""
    async with serving(server_settings(tmp_path), FakeTranscriber()) as served:
        ticket = await admitted(served)
        ticket.trace.price, ticket.trace.output_price = 2.0, 10.0
        ticket.spend_tokens(1_000, 500)
        ticket.serve_all()
        await ticket.close()
        (entry,) = await served.entries()

    assert (entry.unit, entry.prompt_tokens, entry.cost) == ("audio_seconds", 0, 7_000_000)
