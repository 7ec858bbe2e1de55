"""Two thousand mixed requests over failing vendors and leaving clients: the ledger is exact."""

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from attrs import frozen

from junctor.conf.settings import Breaker, Limits, Loader, Policy, Settings, Team
from junctor.core.limits import MemoryConcurrencyLimiter
from junctor.core.storage.entries import Entry
from junctor.core.testing.clips import tone_clip
from junctor.routers.app import create_app, runtime_of
from junctor.routers.server import listening
from tests.fakes.server import Served, server_settings
from tests.fakes.upstream import Upstream
from tests.fakes.vendors.deepgram import DeepgramFake
from tests.waiting import until

REQUESTS = 2_000
AT_ONCE = 32
FAULTY = 0.2
"""Share of the upstream requests that fail."""
RATE = 16_000
SHORTEST = 1_600
"""Samples of the first recording; each further one is longer by a single sample."""
TEAMS = ("acme", "busy", "corp")
OPENAI_FAULTS = (
    *("reset", "reset-mid-body", "close", "hang", "drip", "cut", "garbage", "rate-limited"),
    *("error", "unavailable", "malformed", "stream-error", "quota", "locale"),
)
DEEPGRAM_FAULTS = (
    *("reset", "hang", "drip", "cut", "malformed"),
    *("rate-limited", "error", "unavailable", "unauthorized", "locale"),
)
INVALID = (
    {"language": "english!"},
    {"provider": "nobody"},
    {"accuracy_language_policy": "{"},
    {"enable_diarization": "perhaps"},
    {"audio": "this is no recording"},
)
CHAIN = json.dumps({"medium": {"fallback_chain": ["deepgram:nova-3"]}})
LEAVINGS = ("before", "during", "after", "later", "stream")


@frozen(kw_only=True)
class Request:
    """One request, and what its client will do."""

    name: str
    team: str
    frames: int
    fields: dict[str, str]
    is_stream: bool = False
    leaves: str = ""
    """One of `LEAVINGS`; empty for a client that waits for its answer."""
    patience: float = 0.0
    """How long a client that leaves later stays, seconds."""

    @property
    def key(self) -> str:
        """What is paid for once: the requests of one idempotency key together, or one alone."""
        return self.fields.get("idempotency_key", self.name)

    def payload(self, key: str) -> tuple[bytes, bytes]:
        """Return head and body."""
        fields = {"provider": "openai:gpt-4o-transcribe", "accuracy_language_policy": CHAIN}
        fields |= self.fields
        audio = fields.pop("audio", "").encode() or tone_clip(self.frames / RATE).data
        parts = [
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        parts.append(b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n')
        body = b"".join([*parts, b"\r\n", audio, b"\r\n--x--\r\n"])
        head = (
            "POST /speech-to-text/transcribe HTTP/1.1\r\nHost: junctor\r\nConnection: close\r\n"
            f"Authorization: Bearer {key}\r\nX-Request-Id: {self.name}\r\n"
            f"Accept: {'text/event-stream' if self.is_stream else 'application/json'}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode(), body


@frozen(kw_only=True)
class Outcome:
    """What a client saw."""

    status: int = 0
    """Of the answer; 0 where nothing came."""
    is_served: bool = False
    """Whether the whole of a good answer was read."""


def mixed(rng: random.Random) -> Iterator[Request]:
    """Yield the requests: plain ones, streams, retries with one key, and invalid ones."""
    number = 0
    while number < REQUESTS:
        kind = rng.choices(("plain", "stream", "retried", "invalid"), (5, 3, 1, 1))[0]
        frames, team = SHORTEST + number, rng.choice(TEAMS)
        fields: dict[str, str] = {}
        if rng.random() < 0.3:
            fields["enable_pii_redaction"] = "true"
        if kind == "invalid":
            fields |= rng.choice(INVALID)
        if kind == "retried":
            fields["idempotency_key"] = f"key-{number}"
        # Who comes last stays, so that nobody's leaving is still unseen when all is over.
        restless = 0.25 if number < REQUESTS - 2 * AT_ONCE else 0.0
        for _ in range(rng.choice((2, 3)) if kind == "retried" else 1):
            yield Request(
                name=f"r{number}",
                team=team,
                frames=frames,
                fields=fields,
                is_stream=kind == "stream",
                leaves=rng.choice(LEAVINGS) if rng.random() < restless else "",
                patience=rng.random() * 0.15,
            )
            number += 1


async def read(reader: asyncio.StreamReader, *, is_stream: bool) -> Outcome:
    """Read an answer to its end."""
    answer = await reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        return Outcome()
    status = int(head.split(b" ")[1])
    assert b"LEAK" not in answer
    if is_stream and status == 200:
        is_whole = body.endswith(b"0\r\n\r\n") and b"event: transcript.done" in body
    else:
        length = next(one for one in head.lower().split(b"\r\n") if b"content-length" in one)
        is_whole = len(body) == int(length.split(b":")[1])
    return Outcome(status=status, is_served=is_whole and status == 200)


async def act(request: Request, reader: asyncio.StreamReader) -> Outcome:
    """Do after the upload what the client does then."""
    if request.leaves == "after":
        return Outcome()
    if request.leaves == "stream":
        await reader.read(1)  # the head and what comes with it
        return Outcome()
    if request.leaves == "later":
        try:
            async with asyncio.timeout(request.patience):
                return await read(reader, is_stream=request.is_stream)
        except TimeoutError:
            return Outcome()
    return await read(reader, is_stream=request.is_stream)


async def send(url: str, key: str, request: Request) -> Outcome:
    """Be one client."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        head, body = request.payload(key)
        if request.leaves == "before":
            body = b""
        elif request.leaves == "during":
            body = body[: len(body) // 2]
        writer.write(head + body)
        await writer.drain()
        if request.leaves in {"before", "during"}:
            return Outcome()
        return await act(request, reader)
    finally:
        # With RST, as when a phone goes out, or with FIN.
        (writer.transport.abort if len(request.name) % 2 else writer.close)()


@frozen
class House:
    """The server, its teams' keys, and who stands behind it."""

    served: Served
    keys: dict[str, str]


def settings_of(folder: Path, openai: str, deepgram: DeepgramFake) -> Settings:
    provider = {"base_url": openai, "api_key": "k", "default_models": True}
    return server_settings(
        folder,
        loader=Loader(allow=("openai", "deepgram"), strict=True),
        plugins={
            "openai": {"providers": {"openai": provider}},
            "deepgram": deepgram.settings_table(),
        },
        limits=Limits(request_timeout=10.0),
        team_defaults=Team(requests_per_minute=100_000, concurrency=1_000),
        policy=Policy(max_attempt=0.4, backoff=0.01),
        breaker=Breaker(open_for=0.05, open_for_max=0.05),
    )


@asynccontextmanager
async def house(folder: Path, rng: random.Random) -> AsyncIterator[House]:
    def script(faults: tuple[str, ...]) -> list[str]:
        return [rng.choice(faults) if rng.random() < FAULTY else "ok" for _ in range(4 * REQUESTS)]

    async with Upstream() as openai, DeepgramFake() as deepgram:
        openai.script(*script(OPENAI_FAULTS))
        deepgram.script.extend(script(DEEPGRAM_FAULTS))
        settings = settings_of(folder, openai.base_url, deepgram)
        app = create_app(settings)
        async with listening(app, settings.server) as url:
            accounts = runtime_of(app).gateway.accounts
            keys = {team: await accounts.create_key(team) for team in TEAMS}
            yield House(Served(url, keys[TEAMS[0]], app), keys)


async def all_sent(house: House, requests: list[Request]) -> dict[str, Outcome]:
    """Send them, so many at once; return what each client saw."""
    waiting = iter(requests)
    seen: dict[str, Outcome] = {}

    async def client() -> None:
        for request in waiting:
            seen[request.name] = await send(house.served.url, house.keys[request.team], request)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(client())
    return seen


def groups(requests: list[Request]) -> list[list[Request]]:
    """Return the requests that are paid for together."""
    found: defaultdict[str, list[Request]] = defaultdict(list)
    for request in requests:
        found[request.key].append(request)
    return list(found.values())


def problem(group: list[Request], seen: dict[str, Outcome], charged: list[Entry]) -> str:
    """Return what is wrong with the bill of a group; empty where it is right."""
    is_served = any(seen[one.name].is_served for one in group)
    may_have_left = any(one.leaves in {"after", "later", "stream"} for one in group)
    if len(charged) > 1:
        return "charged twice"
    if not charged:
        return "served, and not charged" if is_served else ""
    [entry] = charged
    if (entry.frames, entry.rate) != (group[0].frames, RATE):
        return f"charged {entry.frames} at {entry.rate} Hz"
    if not is_served and not (may_have_left and entry.outcome == "ok"):
        return f"charged, and not served: {entry.outcome}"
    return ""


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_ledger_is_what_was_served_to_the_sample(tmp_path: Path) -> None:
    """Whoever read a whole answer paid for it, once; nobody else but who left while it was sent."""
    rng = random.Random(20261121)
    requests = list(mixed(rng))
    async with house(tmp_path, rng) as there:
        gateway = there.served.runtime.gateway
        seen = await all_sent(there, requests)
        await until(lambda: gateway.load.requests == 0)
        entries = await there.served.entries()
        totals = {team: gateway.ledger.totals(team) for team in TEAMS}
        slots = gateway.concurrency
        assert isinstance(slots, MemoryConcurrencyLimiter)
        left = (gateway.load.buffered, len(slots), len(gateway.ledger._open))

    charged = defaultdict(list)
    for entry in entries:
        if entry.frames:
            charged[entry.request_id].append(entry)
    wrong = {
        group[0].key: found
        for group in groups(requests)
        if (found := problem(group, seen, [entry for one in group for entry in charged[one.name]]))
    }
    silent = [one.name for one in requests if not one.leaves and not seen[one.name].status]
    assert (wrong, silent, left) == ({}, [], (0, 0, 0))
    assert max(Counter(one.request_id for one in entries).values()) == 1
    seconds = {
        team: sum(one.frames for one in entries if one.team == team) / RATE for team in TEAMS
    }
    used = {team: (one.seconds, one.held_seconds) for team, one in totals.items()}
    assert used == {team: (pytest.approx(seconds[team]), 0.0) for team in TEAMS}

    # It was no calm day: most were served, and of everything else there was some.
    statuses = Counter(one.status for one in seen.values())
    outcomes = Counter(one.outcome for one in entries)
    assert statuses[200] > REQUESTS / 2
    assert min(statuses[400], outcomes["cancelled"]) > REQUESTS / 20
    assert statuses[502] > 0
