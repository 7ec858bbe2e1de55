"""
Safe retries: the same key and request get the same answer, and the work is done once.

While the work runs, those who ask for it wait for one task; its answer is then remembered until
its time is over. Errors are not remembered. The database has the key before the work begins, so
that no other server on the same database does it too.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256

import structlog
from attrs import define, frozen
from msgspec import structs

from junctor.core.artefacts import Artefacts
from junctor.core.errors import InvalidRequestError, NotFoundError, OverloadedError
from junctor.core.storage.database import Database
from junctor.core.storage.idempotency import IdempotencyTable, KeptKey

log = structlog.get_logger(__name__)

LONGEST_KEY = 200
POLL_SECONDS = 0.2
"""Time between two looks at a key that another process holds."""
DROP_INTERVAL = 600.0
"""Time between two removals of rows that no longer count, seconds."""

PARAM = "idempotency_key"
OTHER_REQUEST = (
    "This idempotency_key was used for another request. Send the same request again to have its "
    "answer, or a new key for a new request."
)

Work = Callable[[], Awaitable[bytes]]


def request_digest(parts: Iterable[bytes]) -> bytes:
    """Return the SHA-256 of parts, each with its length before it: no two lists read alike."""
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


@frozen(kw_only=True)
class Call:
    """One request that came with a key."""

    team: str
    key: str
    """1 to 200 printable characters, the caller's choice."""
    digest: bytes
    """`request_digest` of what was asked."""
    expires_at: float
    """Until when its answer is remembered, seconds since 1970, UTC."""
    hold_seconds: float = 330.0
    """Time after which a key is free again whose process was lost without a trace."""


@define(eq=False)
class _Flight:
    """Work under way, and how many wait for it."""

    task: asyncio.Task[tuple[bytes, bool]]
    waiting: int = 0
    is_made: bool = False
    """Whether the answer is there, and only has to be remembered."""

    @property
    def is_given_up(self) -> bool:
        """Whether everybody who waited has left, before there was an answer."""
        return self.waiting == 0 and not self.is_made


class Idempotency:
    """
    The keys of this process.

    Args:
        database: where keys are held; servers may share it.
        artefacts: where answers are; open before this and closed after it.
        clock: seconds since 1970, UTC.

    """

    def __init__(
        self, database: Database, artefacts: Artefacts, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = IdempotencyTable(database)
        self._artefacts = artefacts
        self._clock = clock
        self._flights: dict[bytes, _Flight] = {}
        """By key and request; which of two requests has a key, the database says."""
        self._drop_at = 0.0

    async def open(self) -> None:
        """Free the keys that the last process on this data folder held; OverloadedError."""
        await self._table.free_all(f"{self._artefacts.store}.")

    async def close(self) -> None:
        """Cancel the work under way, and remember what is made; idempotent."""
        flights = tuple(self._flights.values())
        for flight in flights:
            if not flight.is_made:
                flight.task.cancel()
        await asyncio.gather(*(flight.task for flight in flights), return_exceptions=True)

    async def answer(self, call: Call, work: Work) -> tuple[bytes, bool]:
        """
        Return the answer to a call, and whether it was there before (or made for another caller).

        Who comes while the work runs waits for it, for as long as the caller's own deadline lets
        it. The work goes on for as long as anybody waits, in a task with the context of the caller
        that began it, and is cancelled when nobody does. When it fails, its own caller gets the
        error, and the next one begins anew with its own work.

        Args:
            call: team, key, and what was asked.
            work: makes the answer; called once at most.

        Raises:
            InvalidRequestError: the key came with another request before, or cannot be a key.
            OverloadedError: the database cannot be used, or the server is shutting down.

        """
        if not (0 < len(call.key) <= LONGEST_KEY and call.key.isprintable()):
            raise InvalidRequestError(
                f"An idempotency_key has 1 to {LONGEST_KEY} printable characters.", param=PARAM
            )
        name = request_digest((call.team.encode(), call.key.encode(), call.digest))
        while True:
            flight = self._flights.get(name)
            if flight is None:
                return await self._own(self._begin(name, call, work))
            if flight.is_given_up:
                await asyncio.wait([flight.task])
                continue
            await self._wait(flight)
            if not flight.task.cancelled() and flight.task.exception() is None:
                return flight.task.result()[0], True

    def _begin(self, name: bytes, call: Call, work: Work) -> _Flight:
        task = asyncio.create_task(self._answer(name, call, work), name="junctor-idempotency")
        flight = self._flights[name] = _Flight(task=task)
        task.add_done_callback(lambda _: self._end(name))
        return flight

    def _end(self, name: bytes) -> None:
        task = self._flights.pop(name).task
        if not task.cancelled():
            task.exception()  # else asyncio complains when everyone who waited has gone

    async def _own(self, flight: _Flight) -> tuple[bytes, bool]:
        await self._wait(flight)
        if flight.task.cancelled():
            raise OverloadedError("The server is shutting down. Try again shortly.")
        try:
            return flight.task.result()
        finally:
            del flight  # an error holds this frame, and the frame would hold the error

    async def _wait(self, flight: _Flight) -> None:
        flight.waiting += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.waiting -= 1
            if flight.is_given_up:
                flight.task.cancel()

    async def _answer(self, name: bytes, call: Call, work: Work) -> tuple[bytes, bool]:
        await self._drop_expired()
        holder = f"{self._artefacts.store}.{secrets.token_hex(8)}"
        row = self._row(call, holder)
        try:
            while not await self._table.claim(row):
                remembered = await self._look_up(row)
                if remembered is not None:
                    return remembered, True
                row = self._row(call, holder)
            answer = await work()
        except BaseException:
            await self._free(row)
            raise
        self._flights[name].is_made = True
        await self._remember(row, call, answer)
        return answer, False

    def _row(self, call: Call, holder: str) -> KeptKey:
        now = self._clock()
        return KeptKey(
            id=request_digest((call.team.encode(), call.key.encode())).hex(),
            team=call.team,
            digest=call.digest.hex(),
            holder=holder,
            artefact_id=None,
            created_at=round(now * 1e6),
            expires_at=round((now + call.hold_seconds) * 1e6),
        )

    async def _look_up(self, wanted: KeptKey) -> bytes | None:
        """Return the answer of a key that is taken, None when it is time to try again."""
        found = await self._table.find(wanted.id)
        if found is None:
            return None
        if found.digest != wanted.digest:
            raise InvalidRequestError(OTHER_REQUEST, param=PARAM)
        if found.artefact_id is None:
            await asyncio.sleep(POLL_SECONDS)
            return None
        try:
            return await self._artefacts.get(found.artefact_id, team=wanted.team)
        except NotFoundError:
            await self._table.free(found)
            return None

    async def _remember(self, held: KeptKey, call: Call, answer: bytes) -> None:
        """Keep the answer; it was made and paid for, so that it is given out even if that fails."""
        try:
            artefact = await self._artefacts.put(
                answer, team=call.team, name="answer", expires_at=call.expires_at
            )
            expires_at = round(call.expires_at * 1e6)
            await self._table.remember(
                structs.replace(held, artefact_id=artefact, expires_at=expires_at)
            )
        except OverloadedError:
            log.exception("idempotency.not_remembered", team=call.team)
            await self._free(held)

    async def _free(self, held: KeptKey) -> None:
        try:
            await self._table.free(held)
        except OverloadedError:
            log.warning("idempotency.not_freed", seconds=held.expires_at / 1e6 - self._clock())

    async def _drop_expired(self) -> None:
        now = self._clock()
        if now >= self._drop_at:
            self._drop_at = now + DROP_INTERVAL
            await self._table.drop_expired(round(now * 1e6))
