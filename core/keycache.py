"""What the database said about API keys, kept in bounded memory."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from hmac import compare_digest

from junctor.conf.settings import Storage
from junctor.core.errors import OverloadedError
from junctor.core.storage.keys import KeyRow, KeyTable

Clock = Callable[[], float]

LOOKUPS_AT_ONCE = 4
LOOKUPS_WAITING = 256
"""Keys never seen before that may wait to be looked up; more are answered 503."""
LOOKUP_SECONDS = 2.0
RETRY_SECONDS = 1.0
"""Time before a key is looked up again after the database failed."""
UNKNOWN_SECONDS = 10.0
"""Time for which a key that nobody has is refused without a lookup (or the ttl, if shorter)."""
UNKNOWN_SIZE = 4096

NOBODY = "0" * 64
"""A digest that no key has: an unknown prefix takes the way of a wrong secret."""


class _Known:
    """A row, and until when it is believed without asking."""

    __slots__ = ("expires", "is_suspect", "row")

    def __init__(self, row: KeyRow, expires: float) -> None:
        self.row = row
        self.expires = expires
        self.is_suspect = False


class KeyCache:
    """
    Keys by the SHA-256 of the whole key; the key itself is never kept.

    A known key older than the ttl is looked up again, once however many requests wait for it. While
    the database fails, it stays good and nobody waits. Keys that nobody has are remembered briefly.
    """

    def __init__(self, table: KeyTable, storage: Callable[[], Storage], *, clock: Clock) -> None:
        self._table = table
        self._storage = storage
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        self._lookups: dict[bytes, asyncio.Task[KeyRow | None]] = {}
        self._slots = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._epoch = 0

    def get(self, digest: bytes) -> KeyRow | None:
        """Return the key without asking anybody, None when it must be looked up."""
        known = self._known.get(digest)
        if known is None or known.expires <= self._clock():
            return None
        self._known.move_to_end(digest)
        return known.row

    async def find(self, digest: bytes, *, prefix: str) -> KeyRow | None:
        """
        Return the key, looked up by its prefix; None when nobody has it.

        Raises:
            OverloadedError: it is not known here, and the database cannot be asked.

        """
        if self._unknown.get(digest, 0.0) > self._clock():
            return None
        known = self._known.get(digest)
        lookup = self._lookups.get(digest) or self._begin(digest, prefix, known)
        if known is not None and known.is_suspect:
            return known.row
        return await asyncio.shield(lookup)

    def forget(self, prefix: str) -> None:
        """Ask the database again about this key, also where a question is under way."""
        self._epoch += 1
        for digest in [d for d, known in self._known.items() if known.row.prefix == prefix]:
            del self._known[digest]

    async def close(self) -> None:
        """Stop the lookups under way; idempotent."""
        lookups = tuple(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    def _begin(
        self, digest: bytes, prefix: str, known: _Known | None
    ) -> asyncio.Task[KeyRow | None]:
        # Keys that are known may always ask: their number is bounded, and a flood of invented
        # keys must not delay the news that one of them was revoked.
        if known is None and len(self._lookups) >= LOOKUPS_WAITING:
            raise OverloadedError("Too many new keys are being checked. Try again shortly.")
        lookup = asyncio.create_task(self._look_up(digest, prefix, known))
        self._lookups[digest] = lookup
        lookup.add_done_callback(lambda task: self._end(digest, task))
        return lookup

    def _end(self, digest: bytes, lookup: asyncio.Task[KeyRow | None]) -> None:
        del self._lookups[digest]
        if not lookup.cancelled():
            lookup.exception()  # else asyncio complains when everyone who waited has gone

    async def _look_up(self, digest: bytes, prefix: str, known: _Known | None) -> KeyRow | None:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS), self._slots:
                row = await self._ask(prefix)
        except (TimeoutError, OverloadedError) as exc:
            if known is None or self._known.get(digest) is not known:
                raise OverloadedError(
                    "The API key cannot be checked at the moment. Try again shortly."
                ) from exc
            known.is_suspect = True
            known.expires = self._clock() + RETRY_SECONDS
            return known.row
        is_right = compare_digest(digest.hex(), NOBODY if row is None else row.digest)
        return self._remember(digest, row if is_right else None)

    async def _ask(self, prefix: str) -> KeyRow | None:
        """Return the row as it was at one moment since the last `forget`."""
        while True:
            epoch = self._epoch
            row = await self._table.find(prefix)
            if epoch == self._epoch:
                return row

    def _remember(self, digest: bytes, row: KeyRow | None) -> KeyRow | None:
        storage, now = self._storage(), self._clock()
        if row is None:
            self._known.pop(digest, None)
            self._unknown[digest] = now + min(UNKNOWN_SECONDS, storage.key_cache_ttl)
            self._unknown.move_to_end(digest)
            if len(self._unknown) > UNKNOWN_SIZE:
                self._unknown.popitem(last=False)
            return None
        self._known[digest] = _Known(row, now + storage.key_cache_ttl)
        while len(self._known) > storage.key_cache_size:
            self._known.popitem(last=False)
        return row
