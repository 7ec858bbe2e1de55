"""kill -9 of a real process in the middle of its appends."""

import subprocess
import sys
from pathlib import Path

import pytest

from junctor.conf.settings import Settings
from junctor.core.ledger import Ledger
from junctor.core.storage.database import Database

CHILD = """
import asyncio, itertools, sys
from pathlib import Path
from junctor.conf.settings import Settings, Storage, Team
from junctor.core.accounts import Principal
from junctor.core.ledger import Ledger
from junctor.core.storage.database import Database

async def request(ledger, number):
    principal = Principal(team="acme", key_id="key", prefix="abcdefgh", limits=Team())
    reservation = ledger.reserve(
        request_id=str(number), principal=principal, contract="openai", operation="transcribe"
    )
    await asyncio.sleep(0)
    reservation.hold_tokens(9)
    reservation.settle(frames=number, rate=16000, prompt_tokens=number, completion_tokens=1)
    print(reservation.id, number, flush=True)

async def main(folder):
    settings = Settings(storage=Storage(usage_batch=7, usage_interval=0.001))
    database = Database(f"sqlite:///{folder}/junctor.db")
    await database.upgrade()
    ledger = Ledger(folder / "journal", database, settings=lambda: settings)
    await ledger.open()
    for first in itertools.count(step=20):
        await asyncio.gather(*(request(ledger, n) for n in range(first, first + 20)))

asyncio.run(main(Path(sys.argv[1])))
"""


def run_and_kill(folder: Path, *, after: int) -> set[tuple[str, int]]:
    """Return what a server said it had settled, when it was killed after so many requests."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after)]
        child.kill()
        lines += child.stdout.readlines()
    return {(line.split()[0], int(line.split()[1])) for line in lines if line.endswith("\n")}


@pytest.mark.parametrize("after", [1, 150, 700])
async def test_ledger_after_kill(tmp_path: Path, after: int) -> None:
    """After a kill the ledger has what was served, once, and no reservation is open."""
    served = run_and_kill(tmp_path, after=after)
    database = Database(f"sqlite:///{tmp_path}/junctor.db")
    ledger = Ledger(tmp_path / "journal", database, settings=Settings)
    await ledger.open()
    rows = await database.fetch(
        "SELECT id, frames, outcome, prompt_tokens, completion_tokens FROM ledger_entries"
    )
    totals = ledger.totals("acme")
    await ledger.close()
    await database.close()
    settled = {(row[0], row[1]) for row in rows if row[2] == "ok"}

    assert served <= settled
    assert len(settled - served) <= 1  # settled, and killed before it could say so
    assert {row[2:] for row in rows if row[2] != "ok"} <= {("interrupted", 0, 0)}
    assert all(row[3:] == (row[1], 1) for row in rows if row[2] == "ok")
    assert totals.seconds == pytest.approx(sum(int(str(n)) for _, n in settled) / 16_000)
    assert (totals.tokens, totals.held_tokens) == (sum(int(str(n)) + 1 for _, n in settled), 0)
    assert list((tmp_path / "journal").iterdir()) == []
