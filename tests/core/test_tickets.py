"""What a request is charged for, by how it ends."""

import asyncio
from pathlib import Path

import pytest

from junctor.core.errors import DeadlineExceededError
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import FakeTranscriber
from junctor.core.tickets import Ticket
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
