"""
The journal: what must survive a kill, one append at a time.

A folder of numbered segments, each a file of lines ``<crc32> <json>``. A line is one `write` to a
file opened for appending, without fsync: the kernel has it when the call returns, so it survives
the end of the process by any signal (not a power cut). A line that is torn or damaged is skipped;
each start and each failure begins a fresh line, so that it never spoils the next one.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import structlog
from attrs import frozen

from junctor.core.errors import OverloadedError

log = structlog.get_logger(__name__)

CHUNK = 256 * 1024
"""Bytes read at once."""


@frozen(order=True)
class Position:
    """A place in the journal: a segment's number, and bytes into it."""

    segment: int
    offset: int = 0


class Journal:
    """
    An append-only sequence of records in `folder`, cut off at the front once it was dealt with.

    `append` may be called while another thread is in `read` or `drop_before`; all else only while
    none is. One process at a time may have it open.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._number = 0
        self._size = 0
        self._is_torn = False

    def open(self) -> Position:
        """
        Begin a new segment behind those that are there; return where the journal begins.

        Raises:
            OSError: the folder cannot be written.

        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = self._numbers()
        self._begin(numbers[-1] + 1 if numbers else 1)
        return Position(numbers[0] if numbers else self._number)

    @property
    def end(self) -> Position:
        """Where the next record will stand."""
        return Position(self._number, self._size)

    @property
    def is_lost(self) -> bool:
        """Whether somebody removed the file that we append to."""
        return self._file is not None and os.fstat(self._file).st_nlink == 0

    def append(self, record: bytes) -> None:
        """
        Add one record (no line feed in it), or nothing.

        Raises:
            OverloadedError: the file cannot be written, for example because the disk is full.

        """
        line = b"%08x %b\n" % (crc32(record), record)
        self._write(b"!\n" + line if self._is_torn else line)

    def rotate(self, carried: Iterable[bytes] = ()) -> None:
        """
        Go on in a new segment that begins with the records `carried` over.

        Raises:
            OverloadedError: the new segment cannot be written; the old one stays in use.

        """
        old = (self._file, self._number, self._size, self._is_torn)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._begin(self._number + 1)
            self._write(b"".join(b"%08x %b\n" % (crc32(record), record) for record in carried))
        except (OSError, OverloadedError) as exc:
            self._abandon(old[1])
            self._file, self._number, self._size, self._is_torn = old
            raise OverloadedError("Usage cannot be recorded at the moment.") from exc
        if old[0] is not None:
            os.close(old[0])

    def truncate(self) -> None:
        """Empty the segment in use; unlike `rotate` this also works on a full disk."""
        if self._file is not None and self._size:
            os.ftruncate(self._file, 0)
            self._size, self._is_torn = 0, False

    def read(self, start: Position, end: Position, *, limit: int) -> tuple[list[bytes], Position]:
        """
        Return records from `start` on, about `limit` of them, and where the next ones begin.

        Returns the same position only when there is nothing between `start` and `end`.
        """
        records: list[bytes] = []
        while start < end and len(records) < limit:
            chunk = self._chunk(start, end)
            if not chunk:
                start = self._following(start, end)
                continue
            offset = start.offset
            for line in chunk:
                offset += len(line)
                record = _checked(line)
                if record is not None:
                    records.append(record)
                if len(records) == limit:
                    break
            start = Position(start.segment, offset)
        return records, start

    def drop_before(self, position: Position) -> None:
        """Remove the segments that end before `position`."""
        for number in self._numbers():
            if number < position.segment:
                self._path(number).unlink(missing_ok=True)

    def close(self, *, is_done: bool = False) -> None:
        """Close the file, and remove it when all that it says `is_done`; idempotent."""
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        if is_done:
            self._path(self._number).unlink(missing_ok=True)

    def _begin(self, number: int) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(self._path(number), flags, 0o600)
        self._number, self._size, self._is_torn = number, 0, False

    def _abandon(self, kept: int) -> None:
        if self._number != kept and self._file is not None:
            os.close(self._file)
            self._path(self._number).unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            raise OverloadedError("The server is shutting down.")
        try:
            written = os.write(self._file, data)
        except OSError as exc:
            raise OverloadedError("Usage cannot be recorded at the moment.") from exc
        self._size += written
        self._is_torn = written != len(data)
        if self._is_torn:
            raise OverloadedError("Usage cannot be recorded at the moment.")

    def _chunk(self, start: Position, end: Position) -> list[bytes]:
        """Return whole lines at `start`; none when the segment ends there."""
        length, last = CHUNK, end.offset if start.segment == end.segment else None
        while True:
            data = self._bytes(start, length if last is None else min(length, last - start.offset))
            cut = data.rfind(b"\n") + 1
            if cut or len(data) < length:
                return data[:cut].splitlines(keepends=True)
            length *= 2

    def _bytes(self, start: Position, length: int) -> bytes:
        if start.segment == self._number and self._file is not None:
            return os.pread(self._file, length, start.offset)
        try:
            with self._path(start.segment).open("rb") as file:
                file.seek(start.offset)
                return file.read(length)
        except FileNotFoundError:
            return b""

    def _following(self, start: Position, end: Position) -> Position:
        """Return the beginning of the next segment, or `end` where there is none before it."""
        numbers = {*self._numbers(), end.segment}
        later = [n for n in numbers if start.segment < n <= end.segment]
        return Position(min(later)) if later else end

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.journal"))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.journal"


def _checked(line: bytes) -> bytes | None:
    """Return the record in a line, None when it is empty, torn or damaged."""
    record = line[9:-1]
    if line[:9] == b"%08x " % crc32(record):
        return record
    if line != b"\n":
        log.warning("journal.damaged_line", length=len(line))
    return None
