"""
Files of artefacts: whole or absent, for our user alone, each named by the time it is due.

The time in the name lets a folder be cleared while the database is away. Everything here blocks;
`junctor.core.artefacts` calls it in threads.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import structlog
from attrs import frozen

from junctor.core.storage.seed import kept_seed

log = structlog.get_logger(__name__)

NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{32})(\.part)?")


@frozen
class Blob:
    """One file: its artefact, and when it is due in microseconds since 1970, UTC."""

    artefact: str
    expires_at: int

    @property
    def file_name(self) -> str:
        """The name in the folder; it sorts by time."""
        return f"{self.expires_at:016x}-{self.artefact}"


class Blobs:
    """The files of one folder, which belongs to this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> str:
        """
        Make the folder, drop what was half written, and return the folder's own random name.

        Raises:
            ConfigError: its name cannot be kept.
            OSError: it cannot be made or listed.

        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if (found := NAME.fullmatch(path.name)) and found[3]:
                path.unlink()
        return kept_seed(self._folder / "store")[:16].hex()

    def all(self) -> list[Blob]:
        """Return what is there, the next to expire first; files that are not ours are left out."""
        found = (NAME.fullmatch(path.name) for path in sorted(self._folder.iterdir()))
        return [Blob(one[2], int(one[1], 16)) for one in found if one and not one[3]]

    def write(self, blob: Blob, data: bytes) -> None:
        """Write a file that nobody sees before it is whole; raises OSError, and then it is not."""
        path = self._folder / blob.file_name
        part = path.with_name(f"{path.name}.part")
        try:
            file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb", buffering=0) as out:
                left = memoryview(data)
                while left:
                    left = left[out.write(left) :]
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def read(self, blob: Blob) -> bytes:
        """Return the content; raises OSError."""
        return (self._folder / blob.file_name).read_bytes()

    def remove(self, blobs: Iterable[Blob]) -> set[str]:
        """Remove files; return the artefacts of which nothing is there any more."""
        gone = set()
        for blob in blobs:
            try:
                (self._folder / blob.file_name).unlink(missing_ok=True)
            except OSError:
                log.exception("artefacts.cannot_delete", artefact=blob.artefact)
            else:
                gone.add(blob.artefact)
        return gone

    def remove_expired(self, now: int) -> None:
        """Remove the files that are due at `now`, going by their names alone."""
        self.remove(blob for blob in self.all() if blob.expires_at <= now)
