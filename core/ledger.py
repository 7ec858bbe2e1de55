"""
What was served to whom: reserved at admission, settled once, kept through a kill.

Each reservation and each settlement is one append to the journal (`junctor.core.journal`); the
hot path never waits for the database. A background fold (`junctor.core.fold`) moves what is settled
into the database. A start replays the journal; a reservation that the last process left open is
closed as `interrupted`, at no charge.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from junctor.conf.settings import Settings
from junctor.core.accounts import Principal
from junctor.core.errors import ConfigError, InsufficientBalanceError, OverloadedError
from junctor.core.fold import Fold
from junctor.core.journal import Journal, Position
from junctor.core.records import (
    NOTHING,
    Media,
    Reserved,
    Served,
    decode,
    encode,
    printable,
    settled,
)
from junctor.core.reservations import Reservation
from junctor.core.storage.database import Database
from junctor.core.storage.entries import EntryTable
from junctor.core.usage import DAY, TeamUsage, UsageOfDay

BATCH = 1000
"""Records read at once while the journal is replayed."""
CHARGES = 10_000
"""Charges of jobs that are remembered; of one that comes twice, today's sums know by it."""


def _micros() -> int:
    return time.time_ns() // 1000


class Ledger:
    """
    The append-only ledger of this process.

    Args:
        folder: the journal's own folder; one process at a time.
        database: where entries end up.
        settings: returns the settings of the moment.
        now: microseconds since 1970, UTC; days are counted by it.

    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        *,
        settings: Callable[[], Settings],
        now: Callable[[], int] = _micros,
    ) -> None:
        self._folder = folder
        self._now = now
        self._entries = EntryTable(database)
        self._journal = Journal(folder)
        self._open: dict[str, Reserved] = {}
        self._usage = UsageOfDay(now())
        self._fold = Fold(self._journal, self._entries, lambda: settings().storage, self._open)
        self._charges: dict[str, None] = {}
        self._ids = count()
        self._boot = f"{now():014x}{secrets.token_hex(4)}"

    async def open(self) -> None:
        """
        Replay the journal, fold it, restore today's sums, and begin to fold.

        Raises:
            ConfigError: the folder cannot be written.
            OverloadedError: the database cannot be reached.

        """
        try:
            begin = await asyncio.to_thread(self._replay)
        except (OSError, OverloadedError) as exc:
            self._journal.close()
            raise ConfigError(
                f"the journal in {str(self._folder)!r} cannot be written ({exc}). Free some space, "
                "or name a folder that this user may write.",
                key="storage.data_dir",
            ) from exc
        try:
            await self._fold.start(begin)
            self._usage = UsageOfDay(self._now())
            self._usage.restore(await self._entries.sums(self._usage.begin))
        except BaseException:
            await self._fold.stop()
            self._journal.close()
            raise

    def reserve(
        self,
        *,
        request_id: str,
        principal: Principal,
        contract: str,
        operation: str,
        charge_id: str = "",
    ) -> Reservation:
        """
        Admit a request: it is in the journal when this returns.

        Args:
            request_id: names it in the ledger.
            principal: who is charged.
            contract: our name of the contract.
            operation: what is asked.
            charge_id: the same for requests of which one at most is charged, whichever process
                serves them: the entry of a charge has this id, and the database keeps the first.

        Raises:
            OverloadedError: the journal cannot be written; nothing is served unmetered.

        """
        opened = Reserved(
            id=f"{self._boot}{next(self._ids):x}",
            request_id=printable(request_id),
            team=principal.team,
            key_id=principal.key_id,
            contract=contract,
            operation=operation,
            created_at=self._now(),
            charge_id=charge_id,
        )
        self._fold.append(encode(opened))
        self._open[opened.id] = opened
        self._usage.enter(opened.team)
        return Reservation(
            opened, principal, hold=self._hold, hold_tokens=self._hold_tokens, end=self._end
        )

    async def is_charged(self, team: str, request_id: str, *, since: int) -> bool:
        """
        Say whether a request of this id was charged.

        Args:
            team: whose it is.
            request_id: as it was reserved with.
            since: not before that, microseconds since 1970, UTC.

        Raises:
            OverloadedError: the database cannot be used.

        """
        await self.fold()
        return await self._entries.is_charged(team, printable(request_id), since=since)

    async def learn_video(self, team: str) -> None:
        """
        Count in what other processes have made of video for a team today, as far as it is folded.

        Raises:
            OverloadedError: the database cannot be used.

        """
        await self.fold()
        now = self._now()
        seconds = await self._entries.video_seconds(team, now // DAY * DAY)
        self._usage.learn_video(team, seconds, now=now)

    def totals(self, team: str) -> TeamUsage:
        """Return what a team used today (UTC), up to this moment."""
        return self._usage.of(team, now=self._now())

    async def fold(self) -> None:
        """
        Move what is settled into the database now.

        Raises:
            OverloadedError: the database cannot be used; the journal keeps everything.

        """
        await self._fold.run()

    async def close(self) -> None:
        """Fold what is left and let go; what the database does not take waits for the next start."""
        await self._fold.stop()
        self._journal.close(is_done=self._fold.is_done)

    def _replay(self) -> Position:
        """Close what the last process left open; return where the journal begins."""
        begin = self._journal.open()
        left: dict[str, Reserved] = {}
        position, end = begin, self._journal.end
        while position < end:
            lines, position = self._journal.read(position, end, limit=BATCH)
            for record in decode(lines):
                if isinstance(record, Reserved):
                    left[record.id] = record
                else:
                    left.pop(record.reservation or record.id, None)
        for opened in left.values():
            entry = settled(opened, NOTHING, outcome="interrupted", at=self._now())
            self._journal.append(encode(entry))
        return begin

    def _hold(
        self, principal: Principal, media: Media, held: float, seconds: float, queued: float
    ) -> None:
        limits, is_video = principal.limits, media == "video_seconds"
        bound = limits.video_seconds_per_day if is_video else limits.audio_seconds_per_day
        if bound is not None:
            room = self._usage.room(principal.team, media, bound, now=self._now()) + held - queued
            if seconds > room:
                raise InsufficientBalanceError(
                    f"The team may use {bound:g} seconds of {'video' if is_video else 'audio'} a "
                    f"day, {max(0.0, room):g} are left, and this request needs {seconds:g}. "
                    "A new day begins at 00:00 UTC."
                )
        self._usage.hold(principal.team, media, seconds - held)

    def _hold_tokens(self, principal: Principal, held: int, tokens: int) -> None:
        team, key_id, limits = principal.team, principal.key_id, principal.limits
        own = limits.keys.get(principal.prefix)
        bound = (own and own.tokens_per_day) or limits.key_tokens_per_day
        if bound is not None or limits.tokens_per_day is not None:
            of_team, of_key = self._usage.taken(team, key_id, now=self._now())
            if limits.tokens_per_day is not None:
                _check_tokens("The team", limits.tokens_per_day, of_team - held, tokens)
            if bound is not None:
                _check_tokens("This API key", bound, of_key - held, tokens)
        self._usage.hold_tokens(team, key_id, tokens - held)

    def _end(self, over: Reservation, served: Served, outcome: str) -> None:
        opened = over.opened
        if opened.charge_id and served.is_charge and not self._is_first(opened.charge_id):
            served = NOTHING
        entry = settled(opened, served, outcome=outcome, at=self._now())
        del self._open[opened.id]
        self._usage.leave(
            entry, held=over.held, held_video=over.held_video, held_tokens=over.held_tokens
        )
        self._fold.append_or_keep(encode(entry))

    def _is_first(self, charge_id: str) -> bool:
        """Say whether this process has not charged it before, as far as it remembers."""
        if charge_id in self._charges:
            return False
        if len(self._charges) >= CHARGES:
            del self._charges[next(iter(self._charges))]
        self._charges[charge_id] = None
        return True


def _check_tokens(who: str, bound: int, taken: int, wanted: int) -> None:
    left = bound - taken
    if wanted > left or left <= 0:
        raise InsufficientBalanceError(
            f"{who} may use {bound} tokens a day, {max(0, left)} are left, and this request "
            f"needs {wanted}. A new day begins at 00:00 UTC."
        )
