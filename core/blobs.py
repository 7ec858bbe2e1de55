"""
Files of artefacts: whole or absent, for our user alone, each named by the time it is due.

The time in the name lets a folder be cleared while the database is away. Everything here blocks;
`junctor.core.stores` calls it in threads.
"""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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

    def write(self, blob: Blob, data: bytes) -> str:
        """Write a file and return its SHA-256, hexadecimal; OSError, and then it is not there."""
        digest = hashlib.sha256(data).hexdigest()
        with self._written(blob) as out:
            out.write(data)
        return digest

    def take(self, blob: Blob, source: Path) -> tuple[str, int]:
        """
        Take another file's content, by a link to it or, from another file system, by a copy.

        Returns:
            Its SHA-256, hexadecimal, and its bytes.

        Raises:
            OSError: it cannot be read or stored, and then it is not there; `source` stays.

        """
        with opened(source) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
            try:
                os.fchmod(file.fileno(), 0o600)
                (self._folder / blob.file_name).hardlink_to(source)
            except OSError:
                file.seek(0)
                with self._written(blob) as out:
                    shutil.copyfileobj(file, out)
        return digest, size

    def read(self, blob: Blob, start: int, size: int) -> bytes:
        """Return `size` bytes of the content from `start` on, fewer at its end; raises OSError."""
        with opened(self._folder / blob.file_name) as file:
            file.seek(start)
            return file.read(size)

    @contextmanager
    def _written(self, blob: Blob) -> Iterator[io.BufferedWriter]:
        """Give out a file that nobody sees before it is whole."""
        path = self._folder / blob.file_name
        part = path.with_name(f"{path.name}.part")
        try:
            file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as out:
                yield out
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

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


def opened(path: Path) -> io.BufferedReader:
    """Open a file to be read, a link to one never; raises OSError."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")
