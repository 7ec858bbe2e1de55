"""
Replicas that are killed under load: who asks gets an answer, and whose stream breaks is told so.

    python -m benchmarks.chat_chaos [--seconds 120] [--kill-every 5] [--connections 16]

Three model servers, children of junctor's own plugin vllm, behind one name. One of them gets a
SIGKILL every few seconds while half of the connections ask for whole answers and half for streams.
Exits with 1 when a request failed, a stream ended without a word, the ledger lacks a row or has one
too many, or the servers came back too slowly for the kills to go on.
"""

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Literal

import uvloop
from attrs import define, field

from benchmarks.chat.reader import Reader, Stream, post, question
from benchmarks.chat.streams import percentile
from benchmarks.targets import Target, folder, serve_junctor

REPLICAS = 3
CHUNKS, INTERVAL = 20, 40
"""Of a stream: how many, and the milliseconds between them."""
PATIENCE = 30.0
"""Seconds after which an answer counts as missing, and a replica as gone for good."""
ENOUGH = 0.8
"""Of the kills that were due: fewer, and the replicas came back too slowly."""
_PROGRAM = "from benchmarks.chat.replica import main\n\nmain()\n"
_CONFIG = """
default_model = "gpt-4o-mini"
[storage]
data_dir = "{home}/data"
[team_defaults]
requests_per_minute = 100000000
concurrency = 10000
[loader]
allow = ["vllm"]
[models.gpt-4o-mini]
pool = ["vllm:chaos"]
[plugins.vllm.models.chaos]
python = "{python}"
model = "{home}"
environ = {{ PYTHONPATH = "{path}" }}
replicas = {replicas}
health_interval = 0.5
stop_grace = 1.0
"""

Ending = Literal["answered", "told", "silent", "refused", "wrong", "missing"]
"""How a request ended: whole, broken with an error event, broken without a word, with an error's
status, complete but not what was sent, or not within `PATIENCE`."""


@define(kw_only=True)
class Seen:
    """What became of the requests of one kind."""

    kind: str
    endings: Counter[Ending] = field(factory=Counter)
    first: list[float] = field(factory=list)
    """Seconds until the first bytes, of those answered."""
    last: list[float] = field(factory=list)
    """Seconds until the last."""

    def note(self, answer: Stream | None, ending: Ending) -> None:
        """Count one."""
        self.endings[ending] += 1
        if answer is not None and ending == "answered":
            self.first.append(answer.pieces[0][0] - answer.sent)
            self.last.append(answer.pieces[-1][0] - answer.sent)

    @property
    def faults(self) -> Iterator[str]:
        """Yield what may not be."""
        for ending, number in sorted(self.endings.items()):
            if ending not in {"answered", "told"}:
                yield f"{number} of the {self.kind} {ending}"

    def __str__(self) -> str:
        names: tuple[Ending, ...] = ("answered", "told", "silent", "refused", "wrong", "missing")
        counts = " ".join(f"{self.endings[name]:>8}" for name in names)
        spans = (
            f"{1000 * percentile(times, 50):7.0f}/{1000 * percentile(times, 99):6.0f}"
            for times in (self.first, self.last)
        )
        return f"{self.kind:8} {counts}   {'   '.join(spans)}"


def ending_of(answer: Stream, *, is_stream: bool) -> Ending:
    """Judge an answer by its bytes."""
    if answer.status != 200:  # noqa: PLR2004
        return "refused" if answer.is_over and answer.status else "silent"
    body = b"".join(piece for _, piece in answer.pieces)
    if not is_stream:
        return "answered" if answer.is_over and b"keeps a ledger" in body else "wrong"
    if answer.is_whole(CHUNKS):
        return "answered"
    *_, last = (b"", *body.rstrip().split(b"\n\n"))
    if answer.is_over and last.startswith(b'data: {"error"') and b"data: [DONE]" not in body:
        return "told"
    return "wrong" if b"data: [DONE]" in body else "silent"


@define(kw_only=True)
class Chaos:
    """One run against a junctor."""

    target: Target
    home: Path
    seconds: float
    kill_every: float
    kills: int = 0
    sent: set[str] = field(factory=set)
    """Ids of the requests."""
    plain: Seen = field(factory=lambda: Seen(kind="requests"))
    streams: Seen = field(factory=lambda: Seen(kind="streams"))

    async def run(self, connections: int) -> None:
        """Ask and kill until the time is over, then wait until all replicas are back."""
        await self._until_ready(REPLICAS)
        until = perf_counter() + self.seconds
        killing = asyncio.create_task(self._kill())
        await asyncio.gather(
            *(self._ask(f"r{at}", until, is_stream=at % 2 == 0) for at in range(connections))
        )
        killing.cancel()
        await self._until_ready(REPLICAS)

    async def _ask(self, name: str, until: float, *, is_stream: bool) -> None:
        seen = self.streams if is_stream else self.plain
        more = {"stream": True, "max_tokens": CHUNKS, "seed": INTERVAL} if is_stream else {}
        for number in count():
            if perf_counter() >= until:
                return
            one = f"{name}-{number}"
            self.sent.add(one)
            payload = post(self.target, question(one, **more), x_request_id=one)
            reader = await Reader.connect(self.target.port)
            try:
                answer = await reader.read(payload, seconds=PATIENCE)
            except TimeoutError:
                seen.note(None, "missing")
            else:
                seen.note(answer, ending_of(answer, is_stream=is_stream))
            finally:
                reader.close()

    async def _kill(self) -> None:
        """Kill the replicas in turn; never the last one, without which nobody could answer."""
        for at in count():
            await asyncio.sleep(self.kill_every)
            ready = await self._until_ready(2)
            name = ready[at % len(ready)]
            os.kill(self._pid(name.partition(":")[2]), signal.SIGKILL)
            self.kills += 1

    async def _until_ready(self, least: int) -> list[str]:
        """Wait for so many replicas, and return the names of those that are ready."""
        async with asyncio.timeout(2 * PATIENCE):
            while True:
                engines = await self.engines()
                ready = [name for name, one in engines.items() if one["state"] == "ready"]
                if len(ready) >= least:
                    return sorted(ready)
                await asyncio.sleep(0.1)

    async def engines(self) -> dict[str, dict[str, object]]:
        """Return what junctor tells of its replicas."""
        url = f"http://127.0.0.1:{self.target.port}/health"

        def read() -> dict[str, dict[str, object]]:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                told: dict[str, dict[str, object]] = json.loads(answer.read())["engines"]
                return told

        return await asyncio.to_thread(read)

    def _pid(self, replica: str) -> int:
        """Return the process of a replica; its warden's command begins in another way."""
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().decode().split("\0")
            except OSError:
                continue
            if words[1:2] == ["-m"] and str(self.home) in words and replica in words:
                return int(entry.parent.name)
        raise LookupError(replica)

    def faults(self, rows: Counter[str]) -> Iterator[str]:
        """Yield what may not be, the ledger's rows by request included."""
        yield from self.plain.faults
        yield from self.streams.faults
        if missing := self.sent - rows.keys():
            yield f"{len(missing)} requests without a row in the ledger"
        if several := [name for name in self.sent if rows[name] > 1]:
            yield f"{len(several)} requests with more than one row in the ledger"
        if self.kills < ENOUGH * (self.seconds // self.kill_every - 1):
            yield f"only {self.kills} kills: the replicas came back too slowly"


def configured(stack: ExitStack) -> Path:
    """Make a folder with junctor's file and the program that it takes for vLLM; return the folder."""
    home = folder(stack)
    program = home / "vllm" / "entrypoints" / "openai"
    program.mkdir(parents=True)
    (program / "api_server.py").write_text(_PROGRAM)
    path = f"{home}:{Path(__file__).parents[1]}"
    text = _CONFIG.format(home=home, python=sys.executable, path=path, replicas=REPLICAS)
    (home / "junctor.toml").write_text(text)
    return home


def ledger(home: Path) -> Counter[tuple[str, str]]:
    """Return the ledger's rows by request and outcome."""
    with sqlite3.connect(home / "data" / "junctor.db") as database:
        rows = database.execute("SELECT request_id, outcome FROM ledger_entries").fetchall()
    database.close()
    return Counter(rows)


def report(chaos: Chaos, rows: Counter[tuple[str, str]], crashes: int) -> list[str]:
    """Print what was seen, and return what may not be."""
    print(
        f"{'':8} answered     told   silent  refused    wrong  missing   first p50/p99   last p50/p99 ms"
    )
    print(chaos.plain)
    print(chaos.streams)
    print(f"kills: {chaos.kills}; crashes that junctor saw: {crashes}; all {REPLICAS} are back")
    by_request, outcomes = Counter[str](), Counter[str]()
    for (name, outcome), number in rows.items():
        by_request[name] += number
        outcomes[outcome] += number
    told = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
    print(f"ledger: {rows.total()} rows for {len(chaos.sent)} requests ({told})")
    faults = list(chaos.faults(by_request))
    print("\n".join(f"VIOLATION: {one}" for one in faults) or "no violation")
    return faults


def main() -> int:
    """Run, print, and say by the exit status whether all was as it has to be."""
    parser = argparse.ArgumentParser(prog="benchmarks.chat_chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--kill-every", type=float, default=5.0, help="seconds")
    parser.add_argument("--connections", type=int, default=16, help="every other one streams")
    asked = parser.parse_args()
    with ExitStack() as stack:
        home = configured(stack)
        with ExitStack() as servers:
            target = serve_junctor(servers, home / "junctor.toml")
            chaos = Chaos(
                target=target, home=home, seconds=asked.seconds, kill_every=asked.kill_every
            )
            uvloop.run(chaos.run(asked.connections))
            engines = uvloop.run(chaos.engines()).values()
        crashes = sum(int(str(one["crashes"])) for one in engines)
        return 1 if report(chaos, ledger(home), crashes) else 0


if __name__ == "__main__":
    sys.exit(main())
