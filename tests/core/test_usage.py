"""A day: tokens of a team and of each of its keys, seconds of sound and of video, held and settled."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from junctor.conf.settings import KeyLimits, Team
from junctor.core.accounts import Principal
from junctor.core.errors import InsufficientBalanceError
from junctor.core.usage import DAY
from tests.core.test_records import OLDER
from tests.fakes.ledgers import NOON, Server, of

TEAM = Team(
    tokens_per_day=100, key_tokens_per_day=40, keys={"vip00000": KeyLimits(tokens_per_day=70)}
)


@pytest.fixture(name="server")
async def _server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path)
    await server.start()
    yield server
    await server.ledger.close()
    await server.database.close()


def bounded(key: str = "key", *, prefix: str = "abcdefgh", limits: Team = TEAM) -> Principal:
    return of(key=key, prefix=prefix, limits=limits)


def tokens(server: Server) -> tuple[int, int]:
    """Return what the team has settled today, and what it holds."""
    totals = server.ledger.totals("acme")
    return totals.tokens, totals.held_tokens


async def test_entry_of_a_chat(server: Server) -> None:
    """An entry has the tokens of the prompt and of the answer, exactly, and their unit."""
    server.reserve().settle(prompt_tokens=2**40, completion_tokens=7, cost=0.25)
    await server.ledger.fold()
    rows = await server.database.fetch(
        "SELECT unit, prompt_tokens, completion_tokens, frames, cost, outcome FROM ledger_entries"
    )

    assert rows == [("tokens", 2**40, 7, 0, 250_000_000, "ok")]


async def test_tokens_are_settled_once(server: Server) -> None:
    """After the first end every other one does nothing."""
    reservation = server.reserve()
    reservation.hold_tokens(50)
    first = reservation.settle(prompt_tokens=3, completion_tokens=4)
    later = reservation.settle(prompt_tokens=30, completion_tokens=40)
    reservation.hold_tokens(5)

    assert (first, later, tokens(server)) == (True, False, (7, 0))


@pytest.mark.parametrize(("prompt", "completion"), [(-1, 0), (0, -1)])
async def test_impossible_tokens(server: Server, prompt: int, completion: int) -> None:
    """Fewer than none are refused, and the reservation stays open."""
    with server.reserve() as reservation:
        with pytest.raises(ValueError, match="tokens"):
            reservation.settle(prompt_tokens=prompt, completion_tokens=completion)

        assert reservation.is_open


async def test_another_hold_replaces_the_first(server: Server) -> None:
    """A request may hold more or fewer than it did; what it is refused leaves the rest."""
    reservation = server.reserve(bounded())
    for wanted in (10, 40, 30):
        reservation.hold_tokens(wanted)
    with pytest.raises(InsufficientBalanceError):
        reservation.hold_tokens(41)

    assert tokens(server) == (0, 30)


async def test_day_of_the_team_is_used_up(server: Server) -> None:
    """Settled, held by others and wanted together may not pass the bound; up to it is fine."""
    server.chat(50, principal=bounded("one", limits=Team()))
    server.reserve(bounded("two")).hold_tokens(30)
    third = server.reserve(bounded("three"))
    third.hold_tokens(20)

    with pytest.raises(InsufficientBalanceError) as caught:
        third.hold_tokens(21)

    assert str(caught.value) == (
        "The team may use 100 tokens a day, 20 are left, and this request needs 21. "
        "A new day begins at 00:00 UTC."
    )


async def test_day_of_a_key_is_used_up(server: Server) -> None:
    """A key that has used its own up is refused while the others of its team go on."""
    server.chat(30, principal=bounded("one"))
    with pytest.raises(InsufficientBalanceError, match="This API key may use 40 tokens a day, 10"):
        server.reserve(bounded("one")).hold_tokens(11)

    server.reserve(bounded("two")).hold_tokens(40)
    server.reserve(bounded("one")).hold_tokens(10)

    assert tokens(server) == (30, 50)


async def test_key_with_a_bound_of_its_own(server: Server) -> None:
    """The bound by a key's prefix counts instead of that of every key; a token has no prefix."""
    server.reserve(bounded("vip", prefix="vip00000")).hold_tokens(59)

    with pytest.raises(InsufficientBalanceError, match="key may use 40 tokens"):
        server.reserve(bounded("jwt:1", prefix="")).hold_tokens(41)
    with pytest.raises(InsufficientBalanceError, match="key may use 70 tokens a day, 11 are left"):
        server.reserve(bounded("vip", prefix="vip00000")).hold_tokens(12)


async def test_same_key_of_another_team(server: Server) -> None:
    """Tokens that issuers call alike are those of their own team each."""
    server.chat(40, principal=bounded("jwt:1"))

    server.reserve(of("other", key="jwt:1", limits=TEAM)).hold_tokens(40)

    assert server.ledger.totals("other").held_tokens == 40


@pytest.mark.parametrize("used", [40, 45])
async def test_nothing_is_left(server: Server, used: int) -> None:
    """An answer may be longer than was held; the next request is refused, whatever it needs."""
    server.chat(used, principal=bounded())

    with pytest.raises(InsufficientBalanceError, match="0 are left"):
        server.reserve(bounded()).hold_tokens(0)


async def test_refused_request_is_no_charge(server: Server) -> None:
    """What is refused for want of tokens holds nothing and is an entry that says why."""
    with pytest.raises(InsufficientBalanceError), server.reserve(bounded()) as reservation:
        reservation.hold_tokens(41)
    await server.ledger.fold()

    assert await server.outcomes() == ["InsufficientBalanceError"]
    assert tokens(server) == (0, 0)


async def test_hold_of_tokens_is_given_back(server: Server) -> None:
    """What was held is free when the request is over; only what it used is used."""
    first, second = server.reserve(bounded()), server.reserve(bounded())
    first.hold_tokens(30)
    second.hold_tokens(10)
    first.settle(prompt_tokens=3, completion_tokens=2)
    second.release("cancelled")

    server.reserve(bounded()).hold_tokens(35)

    assert tokens(server) == (5, 35)


async def test_tokens_of_a_new_day(server: Server) -> None:
    """At 00:00 UTC all begins anew but what is held, and keys that hold nothing are forgotten."""
    server.chat(40, principal=bounded("one"))
    server.chat(9, principal=bounded("two"))
    reservation = server.reserve(bounded("two"))
    reservation.hold_tokens(15)
    server.now = (NOON // DAY + 1) * DAY
    found = tokens(server)
    with pytest.raises(InsufficientBalanceError, match="25 are left"):
        server.reserve(bounded("two")).hold_tokens(26)
    reservation.settle(prompt_tokens=20)

    assert (found, tokens(server)) == ((0, 15), (20, 0))
    assert list(server.ledger._usage._keys) == [("acme", "two")]


async def test_tokens_after_restart(server: Server) -> None:
    """A start restores today's tokens of team and keys, from database and journal, once each."""
    server.now -= DAY
    server.chat(9, principal=bounded())
    server.now += DAY
    server.chat(10, principal=bounded())
    await server.ledger.fold()
    server.chat(20, principal=bounded())
    server.chat(5, principal=bounded("two"))
    server.serve(principal=bounded("deaf"))

    await server.restart()

    assert tokens(server) == (35, 0)
    assert server.ledger.totals("acme").requests == 4
    assert {key: one.used for (_, key), one in server.ledger._usage._keys.items()} == {
        "key": 30,
        "two": 5,
    }


async def test_killed_before_it_was_settled(server: Server) -> None:
    """What a dead process had held is free, and costs nothing."""
    server.reserve(bounded()).hold_tokens(40)
    await server.restart()

    server.reserve(bounded()).hold_tokens(40)

    assert await server.outcomes() == ["interrupted"]
    assert tokens(server) == (0, 40)


async def test_journal_of_an_older_version(server: Server) -> None:
    """What it wrote before there were tokens is folded by the next start."""
    server.ledger._journal.append(OLDER)

    await server.restart()

    assert await server.rows() == [("1", 32_000, "ok")]


async def test_speech_counts_no_keys(server: Server) -> None:
    """Keys that use no tokens take no memory."""
    server.serve()

    assert not server.ledger._usage._keys


async def test_keys_are_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more keys than are counted, the first that holds nothing is forgotten."""
    monkeypatch.setattr("junctor.core.usage.KEYS", 2)
    server.reserve(of(key="held")).hold_tokens(1)
    for key in ("one", "two", "three"):
        server.chat(9, principal=of(key=key))
    server.reserve(of(key="three")).hold_tokens(1)
    server.reserve(of(key="all are held")).hold_tokens(1)

    assert [key for _, key in server.ledger._usage._keys] == ["held", "three", "all are held"]
    assert tokens(server) == (27, 3)


async def test_tokens_are_a_charge(server: Server) -> None:
    """A request that was charged for tokens alone is known to be paid."""
    server.chat(1)
    found = await server.ledger.is_charged("acme", "req", since=NOON)
    server.reserve(of("other")).release("failed")

    assert (found, await server.ledger.is_charged("other", "req", since=NOON)) == (True, False)


FILMS = Team(audio_seconds_per_day=10.0, video_seconds_per_day=20.0)


def video(server: Server) -> tuple[float, float]:
    """Return the seconds of video that the team has settled today, and those that it holds."""
    totals = server.ledger.totals("acme")
    return totals.video_seconds, totals.held_video_seconds


async def test_video_and_audio_are_kept_apart(server: Server) -> None:
    """Neither is counted in the other's sum, nor against the other's bound."""
    server.serve(10 * 16_000)
    server.film(20 * 24)
    with pytest.raises(InsufficientBalanceError, match="10 seconds of audio a day, 0 are left"):
        server.reserve(of(limits=FILMS)).hold(1.0)
    with pytest.raises(InsufficientBalanceError, match="20 seconds of video a day, 0 are left"):
        server.reserve(of(limits=FILMS)).hold_video(1.0)

    totals = server.ledger.totals("acme")

    assert (totals.seconds, totals.video_seconds) == (10.0, 20.0)


async def test_day_of_video_is_used_up(server: Server) -> None:
    """Settled, held, queued and wanted together may not pass the bound; up to it is fine."""
    server.film(5 * 24)
    server.reserve(of(limits=FILMS)).hold_video(4.0)
    reservation = server.reserve(of(limits=FILMS))
    reservation.hold_video(5.0, queued=6.0)
    with pytest.raises(InsufficientBalanceError) as caught:
        reservation.hold_video(5.5, queued=6.0)

    assert str(caught.value) == (
        "The team may use 20 seconds of video a day, 5 are left, and this request needs 5.5. "
        "A new day begins at 00:00 UTC."
    )
    assert video(server) == (5.0, 9.0)


async def test_video_without_a_bound(server: Server) -> None:
    """Where none is given, any length is fine, and is held all the same."""
    server.reserve(of(seconds_per_day=1.0)).hold_video(1e6, queued=1e6)

    assert video(server) == (0.0, 1e6)


async def test_hold_of_video_is_given_back(server: Server) -> None:
    """What was held is free when the request is over; only what it used is used."""
    waiting, first = server.reserve(of(limits=FILMS)), server.reserve(of(limits=FILMS))
    waiting.hold_video(3.0)
    first.hold_video(17.0)
    first.release("failed")
    first.hold_video(17.0)
    found = video(server)
    waiting.settle(unit="video_seconds", frames=48, rate=24)

    assert (found, video(server)) == ((0.0, 3.0), (2.0, 0.0))


async def test_video_of_a_new_day(server: Server) -> None:
    """At 00:00 UTC the seconds begin anew, but what is held stays."""
    server.film()
    server.reserve().hold_video(2.0)

    server.now = (NOON // DAY + 1) * DAY

    assert video(server) == (0.0, 2.0)


async def test_video_after_restart(server: Server) -> None:
    """A start restores today's seconds, from database and journal, once each."""
    server.film(48)
    await server.ledger.fold()
    server.film(72)
    server.serve()

    await server.restart()

    assert (video(server), server.ledger.totals("acme").seconds) == ((5.0, 0.0), 1.0)


async def test_video_of_other_processes(server: Server, tmp_path: Path) -> None:
    """What a worker has made today counts once it is looked up; the own is counted once."""
    (tmp_path / "worker").mkdir()
    worker = Server(tmp_path / "worker", url=f"sqlite:///{server.path}")
    await worker.start()
    server.film(24)
    worker.now -= DAY
    worker.film(240)
    worker.now += DAY
    worker.film(48)
    worker.serve()
    await worker.ledger.fold()
    before = video(server)
    for _ in range(2):
        await server.ledger.learn_video("acme")
    await worker.ledger.close()
    await worker.database.close()

    assert (before, video(server)) == ((1.0, 0.0), (3.0, 0.0))


async def test_video_that_was_looked_up_before_midnight(server: Server) -> None:
    """What the database said of yesterday is none of today, and the other way round."""
    server.film(24)
    usage = server.ledger._usage
    server.now += DAY
    usage.learn_video("acme", 5.0, now=server.now)
    found = video(server)
    usage.learn_video("acme", 9.0, now=server.now - DAY)

    assert (found, video(server)) == ((5.0, 0.0), (5.0, 0.0))
