"""
Who had what transcribed, when and by whom, in hashes: no text, no audio, no metadata, no address.

With the audio or the text in hand one can show that it is the one of a row; from the row alone
neither can be had back. Texts are short, so that theirs is an HMAC under a secret of this
deployment, kept in the data folder; where the secret is lost, new rows no longer match old ones.
Rows are written behind the requests' back: what a kill catches in memory, a second's worth, is
lost, and the ledger (`junctor.core.ledger`) is the record that counts.
"""

import asyncio
import hmac
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from uuid import uuid4

import structlog
from attrs import frozen

from junctor.core.errors import OverloadedError
from junctor.core.records import printable
from junctor.core.storage.audits import AuditRow, AuditTable
from junctor.core.storage.database import Database
from junctor.core.storage.seed import kept_seed

log = structlog.get_logger(__name__)

LONGEST_QUEUE = 10_000
"""Rows that wait in memory at most, while the database is away; later ones are dropped."""
BATCH = 500
INTERVAL = 1.0
"""Time between two writes, seconds."""
SLOWEST = 30.0
"""Longest pause while the database is away, seconds."""
LAST_SECONDS = 5.0
"""Time the last write may take at shutdown."""
SMALL = 64 * 1024
"""Bytes that are hashed at once on the event loop; more go to a thread."""


@frozen(kw_only=True)
class Transcription:
    """What is noted of one request; strings are cut at 200 printable characters."""

    request_id: str
    team: str
    key_id: str
    audio_sha256: str
    """Of the upload as it came, hexadecimal; `audio_digest` makes it."""
    text: str
    """Hashed at once, never kept."""
    frames: int
    rate: int
    """Frames in one second, Hz; zero when nothing was served."""
    provider: str
    model: str
    language: str
    outcome: str
    is_redacted: bool


async def audio_digest(data: bytes) -> str:
    """Return the SHA-256 of an upload, hexadecimal; a long one is hashed in a thread."""
    if len(data) <= SMALL:
        return sha256(data).hexdigest()
    return await asyncio.to_thread(lambda: sha256(data).hexdigest())


class Audit:
    """
    The audit of this process.

    Args:
        folder: the data folder; the secret is its file `audit.secret`.
        database: where rows end up.
        clock: seconds since 1970, UTC.

    """

    def __init__(
        self, folder: Path, database: Database, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._table = AuditTable(database)
        self._clock = clock
        self._secret = b""
        self._queue: deque[AuditRow] = deque()
        self._dropped = 0
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read the secret, or make it at the first start, and begin to write; ConfigError."""
        self._secret = await asyncio.to_thread(kept_seed, self._folder / "audit.secret")
        self._task = asyncio.create_task(self._write_forever(), name="junctor-audit")

    async def close(self) -> None:
        """Write what is left, for a few seconds at most; idempotent."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self.flush()
        except (OverloadedError, TimeoutError):
            log.exception("audit.lost_at_shutdown", rows=len(self._queue))

    def add(self, done: Transcription) -> None:
        """Note a transcription; waits for nothing, and keeps only hashes of what was said."""
        if len(self._queue) >= LONGEST_QUEUE:
            if not self._dropped:
                log.error("audit.full", rows=len(self._queue))
            self._dropped += 1
            return
        self._queue.append(
            AuditRow(
                id=uuid4().hex,
                request_id=printable(done.request_id),
                team=done.team,
                key_id=printable(done.key_id),
                audio_sha256=done.audio_sha256,
                text_hmac=self.text_digest(done.text),
                frames=done.frames,
                rate=done.rate,
                provider=printable(done.provider),
                model=printable(done.model),
                language=printable(done.language),
                outcome=printable(done.outcome),
                is_redacted=done.is_redacted,
                created_at=round(self._clock() * 1e6),
            )
        )

    def text_digest(self, text: str) -> str:
        """Return what a row says of a text, to look for it."""
        return hmac.digest(self._secret, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    async def rows(self, team: str, since: float, *, limit: int = 10_000) -> list[AuditRow]:
        """
        Return what a team had from `since` (seconds since 1970) on, oldest first.

        Raises:
            OverloadedError: the database cannot be used.

        """
        await self.flush()
        return await self._table.of(team, round(since * 1e6), limit=limit)

    async def flush(self) -> None:
        """Write what is noted by now; OverloadedError while the database is away."""
        async with self._writing:
            while self._queue:
                batch = tuple(islice(self._queue, BATCH))
                await self._table.add(batch)
                for _ in batch:
                    self._queue.popleft()
            if self._dropped:
                log.error("audit.dropped", rows=self._dropped)
                self._dropped = 0

    async def _write_forever(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(min(INTERVAL * 2**failures, SLOWEST))
            try:
                await self.flush()
            except Exception:  # the boundary of a background task: it must go on
                if not failures:
                    log.exception("audit.write_failed")
                failures = min(failures + 1, 10)
            else:
                failures = 0
