"""`WS /speech-to-text/stream`, over real sockets, with listeners that fail where they are told to."""

import asyncio
import base64
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from junctor.conf.settings import Audit as AuditSettings
from junctor.conf.settings import Limits, Live, Server, Team
from junctor.core.live import LiveRun
from junctor.core.storage.database import Database, database_url
from junctor.core.tape import Tape
from junctor.core.testing.fakes import FakeTranscriber, Say
from junctor.core.tickets import Ticket
from tests.fakes.listeners import Act, Listener, pause, spoken, words
from tests.fakes.server import Served, server_settings, serving
from tests.plugins.local.voices import say
from tests.waiting import until

PATH = "/speech-to-text/stream"
QUICK = Live(rounds=1, max_speed=1e6, stall=0.2)


@define
class Client:
    """A client of the contract, and what it got."""

    socket: ClientConnection
    got: list[dict[str, Any]]

    async def start(self, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": "start", **fields}))

    async def say(self, pcm: bytes, *, size: int = 640) -> None:
        for at in range(0, len(pcm), size):
            await self.socket.send(pcm[at : at + size])

    async def end(self) -> int:
        """Say that it is over, read what comes, and return the close code."""
        await self.socket.send('{"type": "end"}')
        return await self.read()

    async def read(self) -> int:
        """Read to the end, and return the close code."""
        try:
            while True:
                self.got.append(json.loads(await self.socket.recv()))
        except ConnectionClosed:
            return self.socket.close_code or 0

    async def until(self, kind: str) -> dict[str, Any]:
        """Read as far as a message of that type."""
        while True:
            self.got.append(json.loads(await self.socket.recv()))
            if self.got[-1]["type"] == kind:
                return self.got[-1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.got if message["type"] == kind]

    @property
    def said(self) -> list[str]:
        return " ".join(final["text"] for final in self.of("final")).split()


@asynccontextmanager
async def house(folder: Path, *providers: Any, **settings: Any) -> AsyncIterator[Served]:
    settings = {"live": QUICK, **settings}
    async with serving(server_settings(folder, **settings), *providers) as served:
        yield served


@asynccontextmanager
async def client(served: Served, **more: Any) -> AsyncIterator[Client]:
    more = {"additional_headers": served.authorization, **more}
    async with connect(served.url.replace("http", "ws", 1) + PATH, **more) as socket:
        yield Client(socket, [])


async def test_a_session_from_start_to_done(tmp_path: Path) -> None:
    """Ready, started, partials, finals with times, and at the end what HTTP would answer."""
    async with house(tmp_path, Listener("ear")) as served, client(served) as one:
        await one.start(
            provider="ear", enable_word_timestamps=True, metadata={"a": 1}, unique_id="u"
        )
        await one.say(spoken(6))
        code = await one.end()

    kinds = [message["type"] for message in one.got]
    done = one.got[-1]
    assert (code, kinds[:3], kinds[-1]) == (1000, ["ready", "started", "partial"], "done")
    assert (one.said, done["text"].split()) == (words(6), words(6))
    assert one.of("started") == [{"type": "started", "provider": "ear", "model": "live"}]
    assert (one.of("final")[1]["start"], one.of("final")[1]["words"][0]["word"]) == (0.09, "w3")
    assert (done["status"], done["provider"], done["metadata"]) == ("success", "ear", {"a": 1})
    assert done["usage"]["audio_seconds"] == 0.18
    assert done["request_id"] == one.got[0]["request_id"]


async def test_another_model_goes_on_in_the_middle(tmp_path: Path) -> None:
    """The client sees a second `started`, and every word once."""
    first, second = Listener("ear", Act(fails="error", after=4)), Listener("spare")
    policy = {"medium": {"fallback_chain": ["spare"]}}
    async with house(tmp_path, first, second) as served, client(served) as one:
        await one.start(provider="ear", accuracy_language_policy=policy)
        await one.say(spoken(12))
        code = await one.end()

    assert (code, one.said) == (1000, words(12))
    assert [message["provider"] for message in one.of("started")] == ["ear", "spare"]
    assert [message["provider"] for message in one.of("final")][-1] == "spare"


async def test_nobody_is_left(tmp_path: Path) -> None:
    """What was heard is sent, then the error, then 4502; what was served is charged."""
    ear = Listener("ear", Act(fails="error", after=4, final_every=0))
    async with house(tmp_path, ear) as served:
        async with client(served) as one:
            await one.start(provider="ear")
            await one.say(spoken(30))
            code = await one.read()
        [entry] = await served.entries()

    assert (code, one.got[-1]["type"], one.got[-1]["status"]) == (4502, "error", 502)
    assert one.said == words(5)
    assert entry.outcome == "ProviderUnavailableError"
    assert entry.frames == round(one.of("final")[-1]["end"] * 16_000)


async def test_all_audio_of_a_good_session_is_charged(tmp_path: Path) -> None:
    """Frames are those of the client, at its own rate, silence included; cost is of the audio."""
    async with house(tmp_path, Listener("ear", price=6.0)) as served:
        async with client(served) as one:
            await one.start(provider="ear", sample_rate=8000)
            await one.say(bytes(2 * 12_345))
            await one.end()
        [entry] = await served.entries()

    assert (entry.frames, entry.rate, entry.outcome) == (12_345, 8_000, "ok")
    assert entry.cost / 1e9 == pytest.approx(12_345 / 8_000 / 60 * 6.0, abs=1e-3)


@pytest.mark.parametrize("end", ["vanish", "close"])
async def test_a_client_that_leaves_pays_for_what_it_got(tmp_path: Path, end: str) -> None:
    """The upstream is closed at once, and the audio up to the last final is charged."""
    ear = Listener("ear")
    async with house(tmp_path, ear) as served:
        async with client(served) as one:
            await one.start(provider="ear")
            await one.say(spoken(4) + pause(0.1))
            final = await one.until("final")
            await one.until("partial")
            if end == "vanish":
                one.socket.transport.abort()
            else:
                await one.socket.close()
            await asyncio.wait_for(ear.changed.wait(), 1.0)
        await until(lambda: not served.runtime.gateway.load.requests)
        [entry] = await served.entries()

    assert (ear.open, entry.outcome) == (0, "cancelled")
    assert entry.frames == round(final["end"] * 16_000)


@pytest.mark.parametrize(
    ("encoding", "width"), [("mulaw", 1), ("alaw", 1), ("pcm_s16le", 2)], ids=str
)
async def test_audio_of_telephones_and_stereo(tmp_path: Path, encoding: str, width: int) -> None:
    """Encodings and channels are those that the client names; frames count each instant once."""
    ear = Listener("ear")
    async with house(tmp_path, ear) as served, client(served) as one:
        await one.start(provider="ear", sample_rate=48_000, encoding=encoding, channels=2)
        await one.say(bytes(48_000 * 2 * width), size=4_000)
        await one.end()

    assert one.got[-1]["usage"]["audio_seconds"] == 1.0
    assert ear.heard == 32_000


async def test_audio_as_base64(tmp_path: Path) -> None:
    """Clients that only send text send audio in JSON."""
    async with house(tmp_path, Listener("ear")) as served, client(served) as one:
        await one.start(provider="ear")
        audio = base64.b64encode(spoken(3)).decode()
        await one.socket.send(json.dumps({"type": "audio", "audio": audio}))
        await one.end()

    assert one.said == words(3)


@pytest.mark.parametrize("way", ["x-api-key", "token", "protocol", "protocols"])
async def test_ways_to_authenticate(tmp_path: Path, way: str) -> None:
    """A header where there can be one, else the first message or a sub-protocol; never the URL."""
    more: dict[str, Any] = {"additional_headers": {}}
    async with house(tmp_path, Listener("ear")) as served:
        if way == "x-api-key":
            more["additional_headers"] = {"x-api-key": served.key}
        elif way.startswith("protocol"):
            more["subprotocols"] = ["junctor"] if way == "protocols" else []
            more["subprotocols"].append(f"junctor.bearer.{served.key}")
        async with client(served, **more) as one:
            await one.start(provider="ear", **({"token": served.key} if way == "token" else {}))
            await one.until("ready")
            agreed = one.socket.subprotocol

    assert agreed == more.get("subprotocols", [None])[0]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
async def test_without_a_key(tmp_path: Path, headers: dict[str, str]) -> None:
    """4401, and a message that says so; browsers see both."""
    async with (
        house(tmp_path, Listener("ear")) as served,
        client(served, additional_headers=headers) as one,
    ):
        await one.start(provider="ear")
        code = await one.read()

    assert (code, one.got[-1]["type"], one.got[-1]["status"]) == (4401, "error", 401)
    assert one.got[-1]["detail"]["code"] == "unauthorized"


START = '{"type": "start", "provider": "ear"}'


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ([b"\0\0"], "audio before"),
        (["hello"], "not a JSON object"),
        (["[1]"], "not a JSON object"),
        (['{"type": "end"}'], "not of the type 'start'"),
        (['{"type": "start"}'], "Neither provider nor model"),
        ([START[:-1] + ', "sample_rate": 7999}'], "8000 to 48000"),
        ([START[:-1] + ', "encoding": "opus"}'], "pcm_s16le, mulaw or alaw"),
        ([START[:-1] + ', "channels": 9}'], "1 to 8"),
        ([START[:-1] + ', "accuracy": "best"}'], "low, medium or high"),
        ([START[:-1] + ', "callback_url": "https://example.com"}'], "a live session has none"),
        ([START[:-1] + ', "idempotency_key": "k"}'], "a live session has none"),
        ([START[:-1] + ', "retention_hours": 3}'], "a live session has none"),
        (['{"type": "start", "provider": "nobody"}'], "nobody"),
        ([START, START], "started already"),
        ([START, '{"type": "pause"}'], "no message 'pause'"),
        ([START, "{"], "not a JSON object"),
        ([START, '{"type": "audio", "audio": "%%"}'], "not base64"),
        ([START, b"\0"], "whole samples"),
        ([START, b"RIFF0000WAVEfmt "], "WAV file"),
        ([START, bytes(1024 * 1024 + 2)], "more than 1048576 bytes"),
    ],
)
async def test_what_makes_no_sense(tmp_path: Path, sent: list[Any], told: str) -> None:
    """4400, and words that say what was expected."""
    async with house(tmp_path, Listener("ear")) as served, client(served) as one:
        for message in sent:
            await one.socket.send(message)
        code = await one.read()

    assert (code, one.got[-1]["status"]) == (4400, 400)
    assert told in one.got[-1]["message"]


@pytest.mark.parametrize("begins", [True, False])
async def test_a_client_that_sends_nothing(tmp_path: Path, begins: bool) -> None:
    """4408 when there is no first message in time, or nothing more for too long."""
    live = Live(start_timeout=0.1, idle_timeout=0.1)
    async with house(tmp_path, Listener("ear"), live=live) as served, client(served) as one:
        if begins:
            await one.start(provider="ear")
        code = await one.read()

    assert (code, one.got[-1]["message"]) == (4408, "Nothing was received for 0.1 seconds.")


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"team_defaults": Team(audio_seconds_per_day=0.2)}, 429),
        ({"limits": Limits(max_audio_seconds=0.2)}, 413),
    ],
)
async def test_a_session_that_gets_too_long(
    tmp_path: Path, settings: dict[str, Any], status: int
) -> None:
    """What fits in is heard to its last word and charged; then the close code says why."""
    ear = Listener("ear", Act(final_every=0))
    async with house(tmp_path, ear, **settings) as served:
        async with client(served) as one:
            await one.start(provider="ear")
            await one.say(spoken(20), size=960)
            code = await one.read()
        [entry] = await served.entries()

    assert (code, one.got[-1]["status"]) == (4000 + status, status)
    assert one.said == words(6)
    assert entry.frames == round(one.of("final")[-1]["end"] * 16_000) <= 3_200


async def test_concurrency_is_that_of_the_team(tmp_path: Path) -> None:
    """A session counts as a request under way, until it ends."""
    async with (
        house(tmp_path, Listener("ear"), team_defaults=Team(concurrency=1)) as served,
        client(served) as one,
    ):
        await one.start(provider="ear")
        await one.until("ready")
        async with client(served) as other:
            await other.start(provider="ear")
            code = await other.read()
        await one.end()
        await until(lambda: not served.runtime.gateway.load.requests)
        async with client(served) as third:
            await third.start(provider="ear")
            await third.until("ready")

    assert (code, other.got[-1]["detail"]["code"]) == (4429, "concurrency_limited")


async def test_shutdown_finishes_what_was_said(tmp_path: Path) -> None:
    """The last words become final and are sent and charged; then 1012."""
    ear = Listener("ear", Act(final_every=0))
    server = Server(port=0, shutdown_grace=4.0)
    async with house(tmp_path, ear, server=server) as served:
        one = await connect(
            served.url.replace("http", "ws", 1) + PATH, additional_headers=served.authorization
        )
        talk = Client(one, [])
        await talk.start(provider="ear")
        await talk.say(spoken(2) + pause(0.1))
        await talk.until("partial")
        reading = asyncio.create_task(talk.read())

    assert (await reading, talk.said) == (1012, words(2))
    assert talk.got[-1]["message"] == "The server is shutting down. Try again."


async def test_a_client_that_does_not_read(tmp_path: Path) -> None:
    """It counts as gone once it has let a message lie too long; upstream is closed."""
    ear = Listener("ear", Act(final_every=0, padding=200_000))
    live = Live(max_speed=1e6, send_timeout=0.2)
    async with house(tmp_path, ear, live=live) as served:
        async with client(served, max_queue=1) as one:
            await one.start(provider="ear")
            await one.say(spoken(200), size=50_000)
            await asyncio.wait_for(ear.changed.wait(), 10.0)
            one.socket.transport.abort()
        await until(lambda: not served.runtime.gateway.load.requests)
        [entry] = await served.entries()

    assert (ear.open, entry.outcome) == (0, "cancelled")


async def test_personal_numbers_are_masked_in_finals(tmp_path: Path) -> None:
    """With redaction there are no partials, and neither finals nor the whole tell a card number."""
    fake = FakeTranscriber("ear", then=Say("my card is 4111 1111 1111 1111"))
    pcm = say("the weather is very nice").data[44:]
    async with house(tmp_path, fake) as served, client(served) as one:
        await one.start(provider="ear", enable_pii_redaction=True)
        await one.say(pcm, size=6_400)
        await one.end()

    texts = [one.got[-1]["text"], one.of("final")[0]["text"]]
    assert all("4111" not in text and "[CARD]" in text for text in texts)
    assert one.of("partial") == []


async def test_a_model_that_only_transcribes(tmp_path: Path) -> None:
    """Each utterance is transcribed when it ends, and comes with its own times."""
    fake = FakeTranscriber("ear", script=[Say("good morning"), Say("good night")])
    pcm = say("the weather is very nice", "this is another sentence").data[44:]
    async with house(tmp_path, fake) as served, client(served) as one:
        await one.start(provider="ear")
        await one.say(pcm + pause(1.0), size=6_400)
        code = await one.end()
    first, second = one.of("final")

    assert (code, one.got[-1]["text"]) == (1000, "good morning good night")
    assert 0 < first["start"] < first["end"] <= second["start"] < second["end"]


async def test_the_log_line_of_a_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Like any request, with its provider and seconds; the socket carries the request's id."""
    async with house(tmp_path, Listener("ear")) as served:
        headers = {**served.authorization, "X-Request-Id": "mine"}
        async with client(served, additional_headers=headers) as one:
            await one.start(provider="ear")
            await one.say(spoken(5))
            await one.end()
            response = one.socket.response
    line = next(line for line in capsys.readouterr().out.splitlines() if "operation=stream" in line)

    assert response is not None
    assert (response.headers["x-request-id"], one.got[0]["request_id"]) == ("mine", "mine")
    assert "provider=ear" in line
    assert "audio_seconds=0.15" in line


@pytest.mark.parametrize("fails", [None, "error"])
async def test_the_audit_of_a_session(tmp_path: Path, fails: Any) -> None:
    """A session that was served leaves hashes of its audio and its text, and how it ended."""
    ear = Listener("ear", Act(fails=fails, after=3, final_every=0))
    async with house(tmp_path, ear, audit=AuditSettings(enabled=True)) as served:
        async with client(served) as one:
            await one.start(provider="ear")
            await one.say(spoken(6))
            await one.end()
        await served.runtime.audit.flush()
        database = Database(database_url(served.runtime.settings.storage))
        [row] = await database.fetch("SELECT outcome, audio_sha256, frames FROM audit_records")
        await database.close()

    assert row[0] == ("ProviderUnavailableError" if fails else "ok")
    assert fails or row[1:] == (sha256(spoken(6)).hexdigest(), 6 * 480)


def of_sessions() -> int:
    """Count what is in memory of live sessions, those of other tests too."""
    return sum(type(one) in {Ticket, LiveRun, Tape} for one in gc.get_objects())


@pytest.mark.parametrize("ends", [None, "refuse", "error", "hang", "odd", "gone"])
async def test_nothing_of_a_session_is_left(tmp_path: Path, ends: Any) -> None:
    """However it ends, and without the collector."""
    fails = ends if ends in {"refuse", "error", "hang"} else None
    ear = Listener("ear", Act(fails=fails, after=2, final_every=0))
    async with house(tmp_path, ear) as served:
        gc.collect()
        before = of_sessions()
        gc.disable()
        try:
            async with client(served) as one:
                await one.start(provider="ear")
                await one.say(spoken(6) + (b"0" if ends == "odd" else b""), size=640)
                if ends == "gone":
                    await one.until("partial")
                    one.socket.transport.abort()
                else:
                    await one.end()
            async with asyncio.timeout(20):
                await until(lambda: of_sessions() == before)
        finally:
            gc.enable()

    assert served.runtime.gateway.load.requests == 0
