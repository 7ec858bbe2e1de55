"""Which processes are alive, where several share one Postgres: each holds a lock of its name."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # heavy: imported with DBOS, which brings it
    import psycopg


class Liveness:
    """
    Session locks of Postgres: they go with the connection, however the process ends.

    Every method blocks, and belongs on one thread.

    Args:
        url: of the database, as libpq or SQLAlchemy writes it.

    """

    def __init__(self, url: str) -> None:
        self._url = "postgresql://" + url.partition("://")[2]
        self._connection: psycopg.Connection | None = None

    def hold(self, name: str) -> None:
        """Take the lock of our name, or see that we have it still."""
        import psycopg

        if self._connection is not None:
            try:
                self._connection.execute("SELECT 1")
            except psycopg.OperationalError:
                self._connection = None
            else:
                return
        self._connection = psycopg.connect(self._url, autocommit=True)
        self._connection.execute("SELECT pg_advisory_lock(%s)", (_key(name),))

    @contextmanager
    def taken(self, name: str) -> Iterator[bool]:
        """Take the lock of another name for a while; yields False when its process is alive."""
        assert self._connection is not None  # noqa: S101 - for the type checker: after `hold`
        row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(name),)).fetchone()
        is_ours = bool(row and row[0])
        try:
            yield is_ours
        finally:
            if is_ours:
                self._connection.execute("SELECT pg_advisory_unlock(%s)", (_key(name),))

    def close(self) -> None:
        """Let the lock go; a second call does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"junctor job {name}".encode()).digest()[:8], signed=True)
