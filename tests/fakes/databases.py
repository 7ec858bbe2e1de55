"""Faults of a real SQLite file, as an operator meets them; they hold for root too."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def gone(path: Path) -> Iterator[None]:
    """The file is away, and comes back as it was; nobody may have made another meanwhile."""
    away = path.with_suffix(".away")
    path.rename(away)
    try:
        yield
        assert not path.exists()
    finally:
        away.rename(path)


@contextmanager
def folder_instead(path: Path) -> Iterator[None]:
    """A folder stands where the file should be."""
    away = path.with_suffix(".away")
    if path.exists():
        path.rename(away)
    path.mkdir(parents=True)
    try:
        yield
    finally:
        path.rmdir()
        if away.exists():
            away.rename(path)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """
    The file may be read but not written.

    Byte 18 is the version needed to write; SQLite takes a later one than it knows for read-only.
    """
    _patch(path, b"\x03")
    try:
        yield
    finally:
        _patch(path, b"\x02")


def _patch(path: Path, version: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(18)
        file.write(version)
