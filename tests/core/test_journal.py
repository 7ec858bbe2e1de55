import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from junctor.core.errors import OverloadedError
from junctor.core.journal import CHUNK, Journal, Position
from tests.fakes.disks import full_at


@pytest.fixture(name="journal")
def _journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    journal.open()
    yield journal
    journal.close()


def everything(journal: Journal, *, limit: int = 1000) -> list[bytes]:
    records, position = [], Position(0)
    while position < journal.end:
        found, position = journal.read(position, journal.end, limit=limit)
        records += found
    return records


def segments(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "journal").iterdir())


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_records_come_back_in_order(journal: Journal, limit: int) -> None:
    """What was appended is read in order, however few records are asked for at once."""
    records = [b'{"n":%d}' % n for n in range(20)]
    for record in records:
        journal.append(record)

    assert everything(journal, limit=limit) == records


def test_records_of_any_size(journal: Journal) -> None:
    """A record longer than what is read at once comes back whole, between others."""
    records = [b"a", b"b" * (3 * CHUNK), b"c" * (CHUNK - 10), b"d"]
    for record in records:
        journal.append(record)

    assert everything(journal) == records


def test_reading_stops_at_the_end_given(journal: Journal) -> None:
    """Records appended after the end was taken are left for the next time."""
    journal.append(b"a")
    end = journal.end
    journal.append(b"b")

    assert journal.read(Position(0), end, limit=10) == ([b"a"], end)


def test_each_start_begins_a_segment(journal: Journal, tmp_path: Path) -> None:
    """A second opening leaves what is there alone, and reads both."""
    journal.append(b"a")
    again = Journal(tmp_path / "journal")
    begin = again.open()
    again.append(b"b")
    found = everything(again)
    again.close()

    assert (begin, found) == (Position(1), [b"a", b"b"])


@pytest.mark.parametrize("cut", [1, 5, 9, 10, 12])
def test_torn_last_line(journal: Journal, tmp_path: Path, cut: int) -> None:
    """A last line that is not whole is skipped, and nothing else."""
    journal.append(b"first")
    journal.append(b"last")
    path = tmp_path / "journal" / "000000000001.journal"
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(tmp_path / "journal")
    again.open()
    again.append(b"next")
    found = everything(again)
    again.close()

    assert found == [b"first", b"next"]


def test_damaged_line(journal: Journal, tmp_path: Path) -> None:
    """A line that is not what was written is skipped, and the log says so."""
    for record in (b"one", b"two", b"three"):
        journal.append(record)
    path = tmp_path / "journal" / "000000000001.journal"
    path.write_bytes(path.read_bytes().replace(b"two", b"tw0"))
    with capture_logs() as logs:
        found = everything(journal)

    assert (found, [log["event"] for log in logs]) == ([b"one", b"three"], ["journal.damaged_line"])


@pytest.mark.parametrize("room", [0, 1, 10, 16])
def test_full_disk(journal: Journal, room: int) -> None:
    """A record that finds no room is refused, and those after it are whole."""
    journal.append(b"before")
    with full_at(journal.end.offset + room), pytest.raises(OverloadedError, match="recorded"):
        journal.append(b"refused")
    journal.append(b"after")
    with capture_logs():
        found = everything(journal)

    assert found == [b"before", b"after"]


def test_rotation_carries_over(journal: Journal, tmp_path: Path) -> None:
    """A new segment begins with what is still needed, and the old one can go."""
    journal.append(b"old")
    journal.rotate([b"kept", b"too"])
    journal.append(b"new")
    journal.drop_before(journal.end)

    assert (everything(journal), segments(tmp_path)) == (
        [b"kept", b"too", b"new"],
        ["000000000002.journal"],
    )


def test_rotation_on_a_full_disk(journal: Journal, tmp_path: Path) -> None:
    """When the new segment cannot be written, the old one stays in use."""
    journal.append(b"old")
    with full_at(20), pytest.raises(OverloadedError):
        journal.rotate([b"x" * 100])
    journal.append(b"new")

    assert (everything(journal), segments(tmp_path)) == (
        [b"old", b"new"],
        ["000000000001.journal"],
    )


def test_truncation(journal: Journal) -> None:
    """An emptied segment goes on from its beginning, also on a full disk."""
    journal.append(b"old")
    with full_at(journal.end.offset):
        journal.truncate()
        journal.append(b"new")

    assert everything(journal) == [b"new"]


def test_file_taken_away(journal: Journal, tmp_path: Path) -> None:
    """A journal whose folder was removed knows it, still has its records, and can go on."""
    journal.append(b"old")
    shutil.rmtree(tmp_path / "journal")
    was_lost, found = journal.is_lost, everything(journal)
    journal.rotate()
    journal.append(b"new")

    assert (was_lost, found, journal.is_lost) == (True, [b"old"], False)
    assert segments(tmp_path) == ["000000000002.journal"]


def test_close(journal: Journal, tmp_path: Path) -> None:
    """A journal that is done leaves no file; closed, it takes nothing more."""
    journal.close(is_done=True)
    journal.close()

    assert segments(tmp_path) == []
    with pytest.raises(OverloadedError, match="shutting down"):
        journal.append(b"late")
