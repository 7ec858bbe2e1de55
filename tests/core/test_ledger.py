import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from junctor.conf.settings import Settings, Storage
from junctor.core.errors import ConfigError, InsufficientBalanceError, OverloadedError
from junctor.core.ledger import Ledger
from junctor.core.usage import DAY, TeamUsage
from tests.fakes.databases import folder_instead, gone, read_only
from tests.fakes.disks import full_at
from tests.fakes.ledgers import NOON, SETTINGS, Server, of


@pytest.fixture(name="server")
async def _server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path)
    await server.start()
    yield server
    await server.ledger.close()
    await server.database.close()


async def test_entry_in_full(server: Server) -> None:
    """An entry says who asked for what, who did it, what it was, exactly, and what it costs."""
    reservation = server.reserve()
    server.now += 5
    reservation.settle(
        frames=44_101, rate=44_100, model="tiny", provider="whisper", cost=0.006, attempts=2
    )
    await server.ledger.fold()
    (row,) = await server.database.fetch("SELECT * FROM ledger_entries")

    assert [row[:8], row[8:]] == [
        (reservation.id, "req", "acme", "key", "openai", "transcribe", "tiny", "whisper"),
        (
            "audio_seconds",
            44_101,
            44_100,
            44_101 / 44_100,
            6_000_000,
            2,
            "ok",
            NOON,
            NOON + 5,
            0,
            0,
        ),
    ]


async def test_release_charges_nothing(server: Server) -> None:
    """A released reservation is an entry without a charge that says why."""
    reservation = server.reserve()
    reservation.release("ProviderTimeoutError")
    await server.ledger.fold()

    assert await server.rows() == [(reservation.id, 0, "ProviderTimeoutError")]


async def test_settled_once(server: Server) -> None:
    """After the first end every other one does nothing."""
    reservation = server.reserve()
    first = reservation.settle(frames=16_000, rate=16_000)
    later = (reservation.settle(frames=1, rate=1), reservation.release("late"))
    reservation.hold(5.0)
    await server.ledger.fold()

    assert (first, later) == (True, (False, False))
    assert await server.rows() == [(reservation.id, 16_000, "ok")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "unsettled"),
        (asyncio.CancelledError(), "cancelled"),
        (InsufficientBalanceError("x"), "InsufficientBalanceError"),
    ],
)
async def test_no_way_out_leaves_it_open(
    server: Server, error: BaseException | None, outcome: str
) -> None:
    """As a context manager a reservation is released however the request ends."""
    try:
        with server.reserve():
            if error is not None:
                raise error
    except (asyncio.CancelledError, InsufficientBalanceError):
        pass
    await server.ledger.fold()

    assert await server.outcomes() == [outcome]


@pytest.mark.parametrize(("frames", "rate"), [(-1, 16_000), (1, 0), (1, -1)])
async def test_impossible_amounts(server: Server, frames: int, rate: int) -> None:
    """Amounts that cannot be are refused, and the reservation stays open."""
    with server.reserve() as reservation:
        with pytest.raises(ValueError, match="cannot settle"):
            reservation.settle(frames=frames, rate=rate)

        assert reservation.is_open


async def test_totals(server: Server) -> None:
    """A team's totals count what is settled and what is held, at once and exactly."""
    server.serve(32_000)
    server.reserve().hold(5.0)
    with server.reserve() as reservation:
        reservation.settle(frames=8_000, rate=16_000, cost=0.25)

    assert server.ledger.totals("acme") == TeamUsage(
        requests=2, seconds=2.5, held_seconds=5.0, cost=0.25
    )


async def test_totals_of_nobody(server: Server) -> None:
    """A team that was never seen has used nothing, and takes no memory."""
    totals = server.ledger.totals("nobody")

    assert totals == TeamUsage(requests=0, seconds=0.0, held_seconds=0.0, cost=0.0)
    assert not server.ledger._usage._tallies


async def test_day_is_used_up(server: Server) -> None:
    """Settled, held by others and wanted together may not pass the bound; up to it is fine."""
    bounded = of(seconds_per_day=10.0)
    server.serve(4 * 16_000, principal=bounded)
    server.reserve(bounded).hold(3.0)
    reservation = server.reserve(bounded)
    reservation.hold(3.0)

    with pytest.raises(InsufficientBalanceError, match="10 seconds of audio a day, 3 are left"):
        reservation.hold(3.001)

    assert server.ledger.totals("acme").held_seconds == 6.0


async def test_hold_is_given_back(server: Server) -> None:
    """What a request held is free when it is over, whatever it used."""
    bounded = of(seconds_per_day=10.0)
    reservation = server.reserve(bounded)
    reservation.hold(10.0)
    reservation.settle(frames=16_000, rate=16_000)

    server.reserve(bounded).hold(9.0)

    assert server.ledger.totals("acme").held_seconds == 9.0


async def test_new_day(server: Server) -> None:
    """At 00:00 UTC the sums start anew, and what is under way stays held."""
    server.serve()
    reservation = server.reserve()
    reservation.hold(2.0)
    server.now = (NOON // DAY + 1) * DAY

    assert server.ledger.totals("acme") == TeamUsage(
        requests=0, seconds=0.0, held_seconds=2.0, cost=0.0
    )


async def test_totals_after_restart(server: Server) -> None:
    """A start restores today's totals, from the database and from the journal, once each."""
    server.now -= DAY
    server.serve(16_000)
    server.now += DAY
    server.serve(32_000)
    await server.ledger.fold()
    server.serve(48_000)

    await server.restart()

    assert server.ledger.totals("acme") == TeamUsage(
        requests=2, seconds=5.0, held_seconds=0.0, cost=0.0
    )


async def test_interrupted(server: Server) -> None:
    """What the last process left open is closed at the start, without a charge."""
    server.reserve().hold(5.0)
    server.serve()

    await server.restart()

    assert await server.outcomes() == ["interrupted", "ok"]
    assert server.ledger.totals("acme").held_seconds == 0.0


async def test_killed_between_commit_and_cut(server: Server, tmp_path: Path) -> None:
    """A journal that was folded but not cut is folded again, and nothing is counted twice."""
    for _ in range(7):
        server.serve()
    server.reserve()
    shutil.copytree(server.journal, tmp_path / "copy")
    await server.ledger.fold()
    await server.kill()
    shutil.rmtree(server.journal)
    (tmp_path / "copy").rename(server.journal)
    await server.ledger.open()

    assert await server.outcomes() == ["interrupted"] + ["ok"] * 7
    assert server.ledger.totals("acme").seconds == 7.0


async def test_fold_by_itself(server: Server) -> None:
    """Entries reach the database in the background, and leave the journal."""
    quick = Settings(storage=Storage(usage_interval=0.001))
    ledger = Ledger(server.path.parent / "other", server.database, settings=lambda: quick)
    await ledger.open()
    ledger.reserve(
        request_id="r", principal=of(), contract="openai", operation="transcribe"
    ).release("x")
    async with asyncio.timeout(20):
        while not await server.rows():  # noqa: ASYNC110 - the fact is in the database
            await asyncio.sleep(0.001)
    await ledger.close()

    assert await server.outcomes() == ["x"]


async def test_journal_is_cut(server: Server) -> None:
    """When everything is folded and nothing is under way, the journal is empty."""
    for _ in range(10):
        server.serve()
    before = server.journal_size()
    await server.ledger.fold()

    assert (before > 0, server.journal_size()) == (True, 0)


async def test_long_journal_goes_on_in_a_new_file(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that never rests is cut too, and what is under way is carried along."""
    monkeypatch.setattr("junctor.core.fold.SEGMENT_BYTES", 1000)
    waiting = server.reserve()
    for _ in range(20):
        server.serve()
        await server.ledger.fold()
    size = server.journal_size()
    await server.restart()

    assert size < 2500
    assert (waiting.id, 0, "interrupted") in await server.rows()


@pytest.mark.parametrize("fault", [gone, folder_instead, read_only])
async def test_database_away(
    server: Server, fault: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """While the database fails, entries stay in the journal; when it is back, they are folded."""
    server.serve()
    await server.ledger.fold()
    await server.database.close()
    with fault(server.path):
        for _ in range(10):
            server.serve()
        with pytest.raises(OverloadedError):
            await server.ledger.fold()
        kept = server.journal_size()
    await server.ledger.fold()

    assert kept > 0
    assert await server.outcomes() == ["ok"] * 11


async def test_closed_without_database(server: Server) -> None:
    """A server that stops while the database is away folds at its next start."""
    server.serve()
    with gone(server.path), capture_logs() as logs:
        await server.ledger.close()
    server.ledger = server.make()
    await server.ledger.open()

    assert [log["event"] for log in logs] == ["ledger.fold_left_for_next_start"]
    assert await server.outcomes() == ["ok"]


async def test_nothing_is_served_unmetered(server: Server) -> None:
    """When the journal cannot be written, no request is admitted and none is left open."""
    with full_at(server.journal_size()), pytest.raises(OverloadedError, match="recorded"):
        server.reserve()

    server.serve()
    await server.ledger.fold()

    assert await server.outcomes() == ["ok"]


async def test_settled_on_a_full_disk(server: Server) -> None:
    """What was served while the disk filled up is kept, and nothing is admitted meanwhile."""
    reservation = server.reserve()
    with full_at(server.journal_size() + 20), capture_logs() as logs:
        reservation.settle(frames=16_000, rate=16_000)
        with pytest.raises(OverloadedError):
            server.reserve()
    server.serve()
    await server.restart()

    assert [log["event"] for log in logs] == ["journal.settlement_kept"]
    assert await server.outcomes() == ["ok", "ok"]


async def test_fold_on_a_full_disk(server: Server) -> None:
    """What the journal could not take goes to the database, and the journal is cut for room."""
    for _ in range(5):
        server.serve()
    reservation = server.reserve()
    await server.database.close()
    with capture_logs(), full_at(server.journal_size()):
        reservation.settle(frames=32_000, rate=16_000)
    await server.ledger.fold()

    assert (reservation.id, 32_000, "ok") in await server.rows()
    assert server.journal_size() == 0


async def test_journal_taken_away(server: Server) -> None:
    """A journal folder that was removed under the server loses nothing and is made again."""
    server.serve()
    waiting = server.reserve()
    shutil.rmtree(server.journal)
    server.serve()
    with capture_logs() as logs:
        await server.ledger.fold()
    await server.restart()

    assert [log["event"] for log in logs] == ["journal.file_was_removed"]
    assert (waiting.id, 0, "interrupted") in await server.rows()
    assert await server.outcomes() == ["interrupted", "ok", "ok"]


async def test_start_without_a_folder(server: Server, tmp_path: Path) -> None:
    """A journal folder that cannot be made stops the start, naming it."""
    (tmp_path / "file").touch()
    ledger = Ledger(tmp_path / "file" / "journal", server.database, settings=lambda: SETTINGS)

    with pytest.raises(ConfigError, match="file/journal"):
        await ledger.open()


async def test_start_without_database(server: Server) -> None:
    """A start without the database fails and keeps the journal for the next one."""
    server.serve()
    await server.kill()
    with gone(server.path), pytest.raises(OverloadedError):
        await server.ledger.open()
    server.ledger = server.make()
    await server.ledger.open()

    assert await server.outcomes() == ["ok"]


async def test_text_that_databases_refuse(server: Server) -> None:
    """A request id with control characters, or a very long one, cannot block the fold."""
    for request_id in ("a\x00b\udc80", "x" * 1000):
        server.ledger.reserve(
            request_id=request_id, principal=of(), contract="openai", operation="transcribe"
        ).release("x")
    await server.ledger.fold()
    rows = await server.database.fetch("SELECT request_id FROM ledger_entries ORDER BY id")

    assert rows == [("a?b?",), ("x" * 200,)]
