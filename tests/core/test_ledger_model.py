"""Any order of requests, folds, faults and kills leaves the ledger as a simple model says."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from structlog.testing import capture_logs

from junctor.core.errors import OverloadedError
from junctor.core.reservations import Reservation
from tests.fakes.databases import gone
from tests.fakes.disks import full_at
from tests.fakes.ledgers import Server, of

T = TypeVar("T")
Ended = tuple[int, int, str]
"""Frames, tokens and outcome."""


class LedgerMachine(RuleBasedStateMachine):
    """The model: what each reservation ended as, by id; None while it is open, and then it holds."""

    reservations: Bundle[Reservation] = Bundle("reservations")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.model: dict[str, Ended | None] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.held: dict[str, int] = {}
        self.server = self.run(self.begin())

    async def begin(self) -> Server:
        server = Server(self.folder)
        await server.start()
        return server

    def run(self, work: Coroutine[object, object, T]) -> T:
        with capture_logs():
            return self.runner.run(work)

    def end(self, reservation: Reservation, served: tuple[int, int], outcome: str) -> None:
        if self.model[reservation.id] is None:
            self.model[reservation.id] = (*served, outcome)
            self.held.pop(reservation.id, None)

    @rule(
        target=reservations,
        team=st.sampled_from(["a", "b"]),
        key=st.sampled_from(["k", "l"]),
        seconds=st.integers(0, 9),
    )
    def reserve(self, team: str, key: str, seconds: int) -> Reservation:
        reservation = self.server.reserve(of(team, key=key))
        reservation.hold(float(seconds))
        self.model[reservation.id], self.keys[reservation.id] = None, (team, key)
        return reservation

    @rule(reservation=reservations, tokens=st.integers(0, 9))
    def hold_tokens(self, reservation: Reservation, tokens: int) -> None:
        reservation.hold_tokens(tokens)
        if self.model[reservation.id] is None:
            self.held[reservation.id] = tokens

    @rule(
        reservation=reservations,
        frames=st.integers(0, 99),
        prompt=st.integers(0, 9),
        completion=st.integers(0, 9),
    )
    def settle(self, reservation: Reservation, frames: int, prompt: int, completion: int) -> None:
        reservation.settle(
            frames=frames, rate=10, prompt_tokens=prompt, completion_tokens=completion
        )
        self.end(reservation, (frames, prompt + completion), "ok")

    @rule(reservation=consumes(reservations))
    def release(self, reservation: Reservation) -> None:
        reservation.release("failed")
        self.end(reservation, (0, 0), "failed")

    @rule(reservation=reservations, room=st.integers(0, 500))
    def settle_on_a_full_disk(self, reservation: Reservation, room: int) -> None:
        self.run(self.server.database.close())
        size = self.server.ledger._journal.end.offset
        with full_at(size + room), capture_logs():
            reservation.settle(frames=7, rate=10, prompt_tokens=5)
        self.end(reservation, (7, 5), "ok")

    @rule()
    def fold(self) -> None:
        self.run(self.server.ledger.fold())

    @rule()
    def fold_without_database(self) -> None:
        with gone(self.server.path), suppress(OverloadedError):
            self.run(self.server.ledger.fold())

    @rule()
    def fold_and_lose_the_cut(self) -> None:
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        self.flush()
        shutil.copytree(self.server.journal, self.folder / "copy")
        self.run(self.server.ledger.fold())
        self.run(self.server.kill())
        shutil.rmtree(self.server.journal)
        shutil.move(self.folder / "copy", self.server.journal)
        self.interrupt()
        self.run(self.server.ledger.open())

    @rule()
    def kill(self) -> None:
        self.flush()
        self.interrupt()
        self.run(self.server.restart())

    def flush(self) -> None:
        """Let the journal take what it could not before: a kill would lose that, by design."""
        if self.server.ledger._fold._kept:
            self.server.serve(0, principal=of("probe"))

    def interrupt(self) -> None:
        for key, ended in self.model.items():
            if ended is None:
                self.model[key] = (0, 0, "interrupted")
        self.held.clear()

    @invariant()
    def totals_are_the_model(self) -> None:
        if None not in self.model.values():
            used = sum(self.server.ledger.totals(team).seconds for team in ("a", "b"))
            assert round(used * 10) == sum(ended[0] for ended in self.model.values() if ended)

    @invariant()
    def tokens_are_the_model(self) -> None:
        for team in ("a", "b"):
            total = self.server.ledger.totals(team)
            keys = [self.tokens(team, key) for key in ("k", "l")]
            sums = [sum(numbers) for numbers in zip(*keys, strict=True)]
            assert [total.tokens, total.held_tokens] == sums
            for key, (used, held) in zip(("k", "l"), keys, strict=True):
                taken = self.server.ledger._usage.taken(team, key, now=self.server.now)
                assert taken[1] == used + held

    def tokens(self, team: str, key: str) -> tuple[int, int]:
        """Return what the model says that a key has used, and holds."""
        ids = [one for one, owner in self.keys.items() if owner == (team, key)]
        ended = [self.model[one] for one in ids]
        return sum(one[1] for one in ended if one), sum(self.held.get(one, 0) for one in ids)

    def teardown(self) -> None:
        self.flush()
        self.interrupt()
        self.run(self.server.restart())
        rows = self.run(
            self.server.database.fetch(
                "SELECT id, frames, prompt_tokens + completion_tokens, outcome, team "
                "FROM ledger_entries"
            )
        )
        self.run(self.server.ledger.close())
        self.run(self.server.database.close())
        self.runner.close()
        shutil.rmtree(self.folder)

        assert {row[0]: row[1:4] for row in rows if row[4] != "probe"} == self.model


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
