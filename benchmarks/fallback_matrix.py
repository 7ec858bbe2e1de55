"""
What becomes of a request when its vendor fails: every vendor, every fault, one healthy vendor behind.

    python -m benchmarks.fallback_matrix [--write]

One server with the real plugins, each vendor played by its fake of `tests/fakes/vendors` on
loopback. In each cell the vendor is asked for and fails in one way, and the request's own
`fallback_chain` names another one that works. A cell is the milliseconds to that one's answer; FAIL
where anything is wrong: the answer, its time, what was billed, or a word of the upstream in it.
Then the breaker is open, and the same request is timed beside one that asks the healthy vendor at
once. `--write` keeps the table in docs/fallback-matrix.md.
"""

import argparse
import asyncio
import importlib
import json
import pkgutil
import socket
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from http import HTTPStatus
from pathlib import Path
from time import perf_counter
from typing import cast

import aiohttp
from attrs import define, field, frozen
from msgspec.structs import replace

from junctor.conf.settings import Breaker, Limits, Loader, Policy, Settings, Team, Telemetry
from junctor.contracts.speech_to_text import VENDORS
from junctor.core.logs import configure_logging
from junctor.core.testing.clips import tone_clip
from junctor.routers.app import create_app, runtime_of
from junctor.routers.server import listening
from tests.fakes import vendors
from tests.fakes.server import Served, server_settings
from tests.fakes.vendors.base import VendorFake

PAGE = Path(__file__).parents[1] / "docs" / "fallback-matrix.md"
BEGIN, END = "<!-- begin matrix -->\n", "<!-- end matrix -->"

FAULTS = {
    "refused": "refused",
    "reset": "reset",
    "dns": "DNS failure",
    "connect": "connect timeout",
    "hang": "silent hang",
    "drip": "slow drip",
    "rate-limited": "429 with Retry-After",
    "error": "500",
    "unavailable": "503",
    "unauthorized": "401",
    "quota": "402 or quota",
    "malformed": "malformed JSON",
    "cut": "cut body",
    "locale": "wrong-locale 400",
}
"""Each fault, and how the table calls it."""
ADDRESSES = frozenset({"refused", "dns", "connect"})
"""Faults of the place where the vendor should be; the others its fake has itself."""
SLOW = frozenset({"connect", "hang", "drip"})
"""Faults that take time; their vendors fail at once, the others one after another."""

HEALTHY, OTHER = "deepgram", "openai"
"""Who stands behind the others, and who behind the first of these."""
DEADLINE = 10.0
"""Of a request, seconds."""
PATIENCE = 1.0
"""Longest time for one candidate, seconds."""
CONNECT = 0.4
"""Time to connect, seconds; twice, since a timeout is tried again."""
RATE = 16_000
PAIRS = 5
"""Requests timed with the breaker open, and as many without the dead vendor."""
MOST_ROUNDS = 8
"""Of these, where the machine seems to have been busy elsewhere."""
DEAD_COST = 5.0
"""What a dead vendor may cost with its breaker open, milliseconds."""


@define(kw_only=True)
class Cell:
    """One vendor with one fault."""

    vendor: str
    fault: str
    asked: str
    """`provider:model` that is asked for."""
    healthy: str
    """`provider:model` behind it."""
    ms: float = 0.0
    """From the request to its answer."""
    open_ms: list[float] = field(factory=list)
    """The same with the breaker open; empty where this fault opens none."""
    direct_ms: list[float] = field(factory=list)
    """And without the vendor."""
    problems: list[str] = field(factory=list)

    @property
    def cost(self) -> float:
        """What the vendor costs with its breaker open, milliseconds."""
        if not self.open_ms:
            return 0.0
        return statistics.median(self.open_ms) - statistics.median(self.direct_ms)


@frozen(kw_only=True)
class Place:
    """Addresses, as `host:port`, at which nobody answers."""

    refused: str
    connect: str
    dns: str = "vendor.invalid:9"


@contextmanager
def places() -> Iterator[Place]:
    """Hold a port on which nobody listens, and one of which the queue is full."""
    with ExitStack() as stack:
        closed, full = (stack.enter_context(socket.socket()) for _ in range(2))
        closed.bind(("127.0.0.1", 0))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        refused, connect = (f"127.0.0.1:{one.getsockname()[1]}" for one in (closed, full))
        yield Place(refused=refused, connect=connect)


def vendor_fakes() -> dict[str, VendorFake]:
    """Return a fake of every vendor that has one, in the contract's order."""
    found: dict[str, VendorFake] = {}
    for module in pkgutil.iter_modules(vendors.__path__, f"{vendors.__name__}."):
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and issubclass(kind, VendorFake) and "VENDOR" in vars(kind):
                found[kind.VENDOR] = kind()
    return {name: found[name] for name in VENDORS if name in found}


def table_of(fake: VendorFake, fault: str, place: Place) -> dict[str, object]:
    """Return the plugin's table that leads to the fake, or to where it is not."""
    table = fake.settings_table()
    if fault not in ADDRESSES:
        return table
    connections = {"connect_timeout": CONNECT}
    table |= connections if "providers" in table else {"connections": connections}
    own, other = fake.url.partition("://")[2], getattr(place, fault)
    return cast("dict[str, object]", json.loads(json.dumps(table).replace(own, other)))


def settings_of(folder: Path, fakes: Iterable[str]) -> Settings:
    """Return settings in which a hang costs a second, not minutes."""
    return server_settings(
        folder,
        loader=Loader(allow=tuple(fakes), strict=True),
        limits=Limits(request_timeout=DEADLINE),
        team_defaults=Team(requests_per_minute=100_000),
        policy=Policy(max_attempt=PATIENCE, backoff=0.05),
        breaker=Breaker(failures=2, open_for=60.0),
        telemetry=Telemetry(log_level="error"),
    )


@define(kw_only=True, eq=False)
class Matrix:
    """The server, the fakes behind it, and what was found."""

    served: Served
    client: aiohttp.ClientSession
    fakes: Mapping[str, VendorFake]
    place: Place
    cells: list[Cell] = field(factory=list)
    _sent: dict[str, tuple[Cell, int]] = field(factory=dict)
    """The cell of each request, and its sample frames."""

    async def run(self) -> None:
        """Fill all cells."""
        for fault in FAULTS:
            await self._round(fault, [name for name in self.fakes if name != HEALTHY], HEALTHY)
            await self._round(fault, [HEALTHY], OTHER)
        await self._check_ledger()

    async def _round(self, fault: str, broken: Sequence[str], healthy: str) -> None:
        """Break some vendors in one way; breakers and connections are new in each round."""
        await self._serve({})
        tables = {name: table_of(self.fakes[name], fault, self.place) for name in broken}
        for name, fake in self.fakes.items():
            fake.always = fault if name in broken and fault not in ADDRESSES else "ok"
            fake.seen.clear()
        await self._serve({**tables, healthy: self.fakes[healthy].settings_table()})
        cells = [
            Cell(vendor=name, fault=fault, asked=self._model(name), healthy=self._model(healthy))
            for name in broken
        ]
        self.cells += cells
        if fault in SLOW:
            await asyncio.gather(*map(self._fall_back, cells))
        else:
            for cell in cells:
                await self._fall_back(cell)
        for cell in cells:
            await self._leave_alone(cell)

    def _model(self, vendor: str) -> str:
        return f"{vendor}:{self.fakes[vendor].MODEL}"

    async def _serve(self, tables: dict[str, dict[str, object]]) -> None:
        runtime = self.served.runtime
        await runtime.reload(replace(runtime.settings, plugins=tables))

    async def _fall_back(self, cell: Cell) -> None:
        cell.ms, attempts = await self._ask(cell, cell.asked)
        if attempts <= 1:
            cell.problems.append("the vendor was not asked")
        while cell.fault != "locale" and not self._is_open(cell) and attempts > 1:
            _, attempts = await self._ask(cell, cell.asked)

    def _is_open(self, cell: Cell) -> bool:
        states = self.served.runtime.health.states().items()
        return any(model == cell.asked and state.value == "open" for (model, _), state in states)

    async def _leave_alone(self, cell: Cell) -> None:
        """Time it with the breaker open; again where the machine may have been busy elsewhere."""
        for _ in range(MOST_ROUNDS if self._is_open(cell) else 0):
            cell.open_ms, cell.direct_ms = [], []  # what a busy machine did to a round is over
            for pair in range(PAIRS):
                # Turn about, so that nothing that comes by in every second request counts for one.
                for is_direct in (True, False) if pair % 2 else (False, True):
                    await self._time(cell, is_direct=is_direct)
            if cell.cost < DEAD_COST:
                return
        if cell.fault != "locale":
            cell.problems.append(f"it costs {cell.cost:.1f} ms with its breaker open")

    async def _time(self, cell: Cell, *, is_direct: bool) -> None:
        ms, attempts = await self._ask(cell, cell.healthy if is_direct else cell.asked)
        (cell.direct_ms if is_direct else cell.open_ms).append(ms)
        if attempts != 1:
            cell.problems.append("the vendor was asked with its breaker open")

    async def _ask(self, cell: Cell, model: str) -> tuple[float, int]:
        """Send a recording of its own length; return milliseconds and attempts."""
        frames = RATE + len(self._sent)
        name = f"{cell.vendor}-{cell.fault}-{frames}"
        self._sent[name] = cell, frames
        policy = {"medium": {"fallback_chain": [cell.healthy]}}
        form = aiohttp.FormData({"provider": model, "accuracy_language_policy": json.dumps(policy)})
        form.add_field("audio", tone_clip(frames / RATE).data, filename="a.wav")
        began = perf_counter()
        async with self.client.post(
            "/speech-to-text/transcribe", data=form, headers={"x-request-id": name}
        ) as answer:
            text = await answer.text()
        seconds = perf_counter() - began
        cell.problems += _problems(cell, answer, text, seconds)
        usage = json.loads(text).get("usage", {})
        return 1000 * seconds, usage.get("attempts", 0)

    async def _check_ledger(self) -> None:
        """Each request is there once, with its very length, for the one who answered."""
        billed: dict[str, list[tuple[str, int, int]]] = {}
        for one in await self.served.entries():
            entry = f"{one.provider}:{one.model}", one.frames, one.rate
            billed.setdefault(one.request_id, []).append(entry)
        for name, (cell, frames) in self._sent.items():
            if billed.get(name) != [(cell.healthy, frames, RATE)]:
                cell.problems.append(f"{frames} frames were billed as {billed.get(name)}")


def _problems(
    cell: Cell, answer: aiohttp.ClientResponse, text: str, seconds: float
) -> Iterator[str]:
    if answer.status != HTTPStatus.OK:
        yield f"status {answer.status}: {text}"
        return
    body = json.loads(text)
    who = f"{body['provider']}:{body['model']}"
    if who != cell.healthy:
        yield f"answered by {who}"
    if not body["text"]:
        yield "no text"
    if "LEAK" in text or "LEAK" in str(answer.headers):
        yield "the upstream's words are in the answer"
    if seconds > DEADLINE:
        yield f"took {seconds:.1f} s"


@asynccontextmanager
async def matrix(folder: Path) -> AsyncIterator[Matrix]:
    """Serve on loopback, with the fakes of all vendors beside it."""
    async with AsyncExitStack() as stack:
        place = stack.enter_context(places())
        fakes = vendor_fakes()
        for fake in fakes.values():
            await stack.enter_async_context(fake)
        settings = settings_of(folder, fakes)
        app = create_app(settings)
        url = await stack.enter_async_context(listening(app, settings.server))
        served = Served(url, await runtime_of(app).gateway.accounts.create_key("acme"), app)
        client = aiohttp.ClientSession(url, headers=served.authorization)
        await stack.enter_async_context(client)
        yield Matrix(served=served, client=client, fakes=fakes, place=place)


def table(cells: Sequence[Cell]) -> str:
    """Return the matrix in Markdown."""
    head = ["", *FAULTS.values(), "breaker open", "without it", "most it cost"]
    rows = [head, ["-", *["-:"] * (len(head) - 1)]]
    for vendor in sorted({cell.vendor for cell in cells}, key=VENDORS.index):
        own = {cell.fault: cell for cell in cells if cell.vendor == vendor}
        shown = ["FAIL" if own[one].problems else f"{own[one].ms:.0f}" for one in FAULTS]
        medians = [
            statistics.median([ms for cell in own.values() for ms in getattr(cell, name)])
            for name in ("open_ms", "direct_ms")
        ]
        costs = [*medians, max(cell.cost for cell in own.values())]
        rows.append([vendor, *shown, *(f"{ms:.1f}" for ms in costs)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def write(found: str) -> None:
    """Put the table where the old one is on the page."""
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{found}\n{END}{rest.split(END)[1]}", "utf-8")


async def run() -> list[Cell]:
    """Run the whole matrix."""
    with tempfile.TemporaryDirectory() as folder:
        async with matrix(Path(folder)) as found:
            await found.run()
    return found.cells


def main() -> None:
    """Print the matrix; exit with 1 where a cell fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep it in docs/fallback-matrix.md")
    options = parser.parse_args()
    configure_logging(Telemetry(log_level="error"))
    began = perf_counter()
    cells = asyncio.run(run())
    found = table(cells)
    print(found)
    print(f"{len(cells)} cells in {perf_counter() - began:.0f} s")
    failed = [cell for cell in cells if cell.problems]
    for cell in failed:
        print(f"{cell.vendor}, {FAULTS[cell.fault]}: {'; '.join(dict.fromkeys(cell.problems))}")
    if options.write and not failed:
        write(found)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
