"""`WS /api/thai-asr/stream`: clients that make mistakes, and what breaks under good ones."""

import asyncio
import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from junctor.conf.settings import Limits, Live, Model, Server, Team, ThaiAsr
from junctor.core.captions import Captions
from junctor.core.errors import ProviderUnavailableError
from junctor.core.live import LiveRun
from junctor.core.requests import Window
from junctor.core.tape import Tape
from junctor.core.tickets import Ticket
from tests.fakes.listeners import Act, Listener, pause, spoken, words
from tests.fakes.server import Served
from tests.routers.thai_asr.clients import (
    TONES,
    Client,
    Ear,
    client,
    house,
    opened,
    session,
)
from tests.waiting import until


async def hang_over_speech(windows: Sequence[Window]) -> None:
    """Hang, but not over the silence that wakes an engine."""
    if any(windows[0].pcm):
        await asyncio.Event().wait()


async def hang_over_finals(windows: Sequence[Window]) -> None:
    if windows[0].is_final:
        await asyncio.Event().wait()


AUDIO = json.dumps({"type": "audio", "audio_b64": "AAAA"})


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        (spoken(1), "not_started", None),
        (b"", "not_started", None),
        (AUDIO, "not_started", None),
        ('{"type": "flush"}', "not_started", None),
        ('{"type": "end"}', "not_started", None),
        ('{"type": "end_utterance"}', "not_started", None),
        ('{"type": "reset"}', "not_started", None),
        ('{"type": "begin"}', "unknown_type", None),
        ("hello", "invalid_json", None),
        ('{"type": "start", "sample_rate": 7999}', "invalid_config", "sample_rate"),
        ('{"type": "start", "partial_interval_ms": 1001}', "invalid_config", "partial_interval_ms"),
        ('{"type": "start", "vad": "no"}', "invalid_config", "vad"),
    ],
)
async def test_mistakes_before_the_start(
    home: Served, message: str | bytes, code: str, param: str | None
) -> None:
    """Each is told, nothing of it is taken, and a good `start` may follow."""
    async with client(home, **TONES) as one:
        await one.socket.send(message)
        error = await one.until("error")
        await one.send(type="start")
        await one.until("started")
        await one.say(spoken(5) + pause(0.05))
        final = await one.end()

    assert (error["code"], error.get("param")) == (code, param)
    assert error["session_id"] == final["session_id"]
    assert (final["text"].split(), final["audio_ms"]) == (words(5), 200)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type": "start"}', "already_started"),
        ('{"type": "start", "sample_rate": 1}', "already_started"),
        ("{", "invalid_json"),
        ("[1]", "invalid_json"),
        ('{"audio_b64": "AAAA"}', "invalid_json"),
        ('{"type": "pause"}', "unknown_type"),
        ('{"type": "audio", "audio_b64": "%%"}', "invalid_audio"),
        ('{"type": "audio"}', "invalid_audio"),
        ('{"type": "audio", "audio_b64": "AA=="}', "odd_length"),
        (bytes(641), "odd_length"),
        (bytes(1024 * 1024 + 2), "too_large"),
        ('{"type": "audio", "audio_b64": "' + "A" * 1024 * 1024 + '"}', "too_large"),
    ],
)
async def test_mistakes_in_the_middle(home: Served, message: str | bytes, code: str) -> None:
    """Each is told, and the utterance goes on as if it had not been."""
    async with client(home, **TONES) as one:
        await one.start()
        await one.say(spoken(10))
        await one.socket.send(message)
        error = await one.until("error")
        await one.say(spoken(10, first=10) + pause(0.1))
        final = await one.end()

    assert error["code"] == code
    assert (final["text"].split(), final["audio_ms"]) == (words(20), 700)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_wav_file(home: Served) -> None:
    """Its header is refused at the start of each utterance, what comes behind it is heard."""
    header = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)
    async with client(home, **TONES) as one:
        await one.start()
        for _ in range(2):
            await one.socket.send(header)
            error = await one.until("error")
            await one.say(spoken(6) + pause(0.02))
            final = await one.end()

            assert error["code"] == "wav_header"
            assert (final["text"].split(), final["audio_ms"]) == (words(6), 200)


async def test_mistakes_are_bounded(tmp_path: Path) -> None:
    """Whoever goes on making them is finished: what was heard becomes final."""
    bounds = ThaiAsr(max_errors=5)
    async with (
        house(tmp_path, Ear("ear"), thai_asr=bounds) as served,
        client(served, **TONES) as one,
    ):
        await one.send(type="hello")
        await one.start()
        await one.say(spoken(10) + pause(0.1))
        for _ in range(20):
            await one.socket.send(b"\0")
        code = await one.read()

    assert (code, one.kinds[-2:]) == (1008, ["final", "error"])
    assert [error["code"] for error in one.of("error")] == [
        "unknown_type",
        *["odd_length"] * 4,
        "too_many_errors",
    ]
    assert one.of("final")[0]["text"].split() == words(10)


async def test_mistakes_before_the_start_are_bounded(tmp_path: Path) -> None:
    """They count, too."""
    bounds = ThaiAsr(max_errors=3)
    async with house(tmp_path, Ear("ear"), thai_asr=bounds) as served, client(served) as one:
        for _ in range(3):
            await one.socket.send(b"\0\0")
        code = await one.read()

    assert (code, one.got[-1]["code"]) == (1008, "too_many_errors")


async def test_a_message_that_is_far_too_large(tmp_path: Path) -> None:
    """Is refused by the socket itself, before it is all in memory."""
    async with house(tmp_path, Ear("ear")) as served:
        async with client(served) as one:
            await one.start()
            await one.say(bytes(5 * 1024 * 1024), size=5 * 1024 * 1024)
            code = await one.read()
        await until(lambda: not served.runtime.gateway.load.requests)

    assert code == 1009


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("key", [None, "", "jn_abcdefgh_" + "x" * 40])
async def test_without_a_key(home: Served, key: str | None) -> None:
    """An error first, then 4401: browsers see both. The session waits on."""
    url = (await session(home))["ws_url"]
    async with opened(url, key) as one:
        code = await one.read()
    async with opened(url, home.key) as other:
        await other.until("ready")

    assert (code, one.kinds, one.got[0]["code"]) == (4401, ["error"], "unauthorized")


@pytest.mark.parametrize("kind", ["foreign", "used", "late", "unknown", "missing"])
async def test_sessions_of_nobody(tmp_path: Path, kind: str) -> None:
    """All of them look alike; what belongs to others is left to them."""
    bounds = ThaiAsr(session_ttl=0.001 if kind == "late" else 60.0)
    async with house(tmp_path, Ear("ear"), thai_asr=bounds) as served:
        url, key = (await session(served))["ws_url"], served.key
        if kind == "foreign":
            key = await served.runtime.gateway.accounts.create_key("other")
        elif kind == "used":
            async with opened(url, key) as first:
                await first.until("ready")
        elif kind in {"unknown", "missing"}:
            base = url.partition("?")[0]
            url = base + ("?session_id=" + "0" * 32 if kind == "unknown" else "?x=y")
        async with opened(url, key) as one:
            code = await one.read()

    assert (code, one.kinds, one.got[0]["code"]) == (4401, ["error"], "unknown_session")
    assert one.got[0]["error"].startswith("There is no session of this id")


@pytest.mark.parametrize(
    ("settings", "close", "code"),
    [
        ({"team_defaults": Team(concurrency=1)}, 4429, "concurrency_limited"),
        ({"team_defaults": Team(requests_per_minute=3)}, 4429, "rate_limited"),
        ({"limits": Limits(max_concurrent_requests=1)}, 4429, "overloaded"),
    ],
)
async def test_too_many(tmp_path: Path, settings: dict[str, Any], close: int, code: str) -> None:
    """4429 while another one is under way."""
    async with house(tmp_path, Ear("ear"), **settings) as served:
        urls = [(await session(served))["ws_url"] for _ in range(2)]
        async with opened(urls[0], served.key) as first:
            await first.until("ready")
            async with opened(urls[1], served.key) as one:
                found = await one.read()

    assert (found, one.kinds, one.got[0]["code"]) == (close, ["error"], code)


async def test_nobody_can_serve(tmp_path: Path) -> None:
    """1011, when all engines went between the session and its socket."""
    async with house(tmp_path, Ear("ear")) as served:
        url = (await session(served))["ws_url"]
        settings = server_with(served.runtime.settings, chain=("gone:one",))
        await served.runtime.reload(settings)
        async with opened(url, served.key) as one:
            code = await one.read()

    assert (code, one.kinds, one.got[0]["code"]) == (1011, ["error"], "unavailable")


def server_with(settings: Any, *, chain: tuple[str, ...]) -> Any:
    import msgspec

    return msgspec.structs.replace(settings, models={"thai-asr": Model(chain=chain)})


@pytest.mark.parametrize(
    ("settings", "close", "code"),
    [
        ({"team_defaults": Team(audio_seconds_per_day=0.5)}, 4429, "quota_exceeded"),
        ({"limits": Limits(max_audio_seconds=0.5)}, 4413, "audio_too_long"),
    ],
)
async def test_what_may_be_heard_is_used_up(
    tmp_path: Path, settings: dict[str, Any], close: int, code: str
) -> None:
    """Mid-utterance: what was heard is finalised and charged; then the reason, and the close."""
    async with house(tmp_path, Ear("ear"), **settings) as served:
        async with client(served, **TONES) as one:
            await one.start()
            await one.say(spoken(40), size=960)
            found = await one.read()
        entry = (await served.entries())[-1]

    assert (found, one.kinds[-2:], one.got[-1]["code"]) == (close, ["final", "error"], code)
    final = one.of("final")[0]
    assert (final["text"].split()[:16], final["audio_ms"]) == (words(16), 480)
    assert (entry.frames, entry.operation) == (7_680, "stream")


async def test_the_second_utterance_is_too_much(tmp_path: Path) -> None:
    """Its own audio is refused whole, and nothing is said twice."""
    team = Team(audio_seconds_per_day=0.3)
    ear = Ear("ear")
    async with house(tmp_path, ear, team_defaults=team) as served, client(served, **TONES) as one:
        await one.start()
        await one.say(spoken(10))
        await one.end()
        await one.socket.send(spoken(10))
        code = await one.read()

    assert (code, one.got[-1]["code"]) == (4429, "quota_exceeded")
    assert [final["text"].split() for final in one.of("final")] == [words(10)]


async def test_no_start(tmp_path: Path) -> None:
    """Whoever has a socket begins, or leaves it."""
    live = Live(start_timeout=0.1)
    async with house(tmp_path, Ear("ear"), live=live) as served, client(served) as one:
        code = await one.read()

    assert (code, one.kinds, one.got[-1]["code"]) == (4408, ["ready", "error"], "timeout")


async def test_silence_on_the_wire(tmp_path: Path) -> None:
    """Nothing came for too long: what was heard is finalised, then 4408."""
    live = Live(max_speed=1e6, idle_timeout=0.2)
    async with house(tmp_path, Ear("ear"), live=live) as served:
        async with client(served, **TONES) as one:
            await one.start()
            await one.say(spoken(10) + pause(0.1))
            code = await one.read()
        entry = (await served.entries())[-1]

    assert (code, one.kinds[-2:], one.got[-1]["code"]) == (4408, ["final", "error"], "timeout")
    assert one.got[-1]["error"] == "Nothing was received for 0.2 seconds."
    assert one.of("final")[0]["text"].split() == words(10)
    assert entry.frames == 6_400


@pytest.mark.parametrize("at", ["ready", "started", "partial"])
async def test_shutdown(tmp_path: Path, at: str) -> None:
    """No more audio is taken, what was said becomes final, and 1012 says to come again."""
    server = Server(port=0, shutdown_grace=4.0)
    async with house(tmp_path, Ear("ear"), server=server) as served:
        found = await session(served, **TONES)
        one = Client(await connect(f"{found['ws_url']}&api_key={served.key}"), [])
        await one.until("ready")
        if at != "ready":
            await one.send(type="start")
            await one.until("started")
        if at == "partial":
            await one.say(spoken(10) + pause(0.2))
            await one.until("partial")
        reading = asyncio.create_task(one.read())

    assert (await reading, one.got[-1]["code"]) == (1012, "shutting_down")
    assert [final["text"].split() for final in one.of("final")] == (
        [words(10)] if at == "partial" else []
    )


async def test_a_client_that_does_not_read(tmp_path: Path) -> None:
    """It counts as gone once it has let a message lie too long; the work for it is cancelled."""
    ear = Listener("ear", Act(final_every=0, padding=200_000))
    live = Live(max_speed=1e6, send_timeout=0.2)
    async with house(tmp_path, ear, live=live) as served:
        url = (await session(served))["ws_url"]
        async with opened(url, served.key, max_queue=1) as one:
            await one.start()
            await one.say(spoken(200), size=960)
            await asyncio.wait_for(ear.changed.wait(), 10.0)
            await until(lambda: not served.runtime.gateway.load.requests)
            one.socket.transport.abort()
        entry = (await served.entries())[-1]

    assert (ear.open, entry.operation, entry.outcome) == (0, "stream", "cancelled")


@pytest.mark.parametrize("way", ["vanish", "close"])
async def test_a_client_that_leaves(tmp_path: Path, way: str) -> None:
    """In the middle of a word: the decode under way is cancelled, and what it had read is charged."""

    ear = Ear("ear", hang_over_finals)
    async with house(tmp_path, ear) as served:
        async with client(served, **TONES) as one:
            await one.start()
            await one.say(spoken(20) + pause(0.2))
            partial = await one.until("partial")
            await one.send(type="end")
            await until(lambda: ear.running and ear.requests[-1].windows[0].is_final)
            if way == "vanish":
                one.socket.transport.abort()
            else:
                await one.socket.close()
            await until(lambda: not ear.running)
        await until(lambda: not served.runtime.gateway.load.requests)
        entry = (await served.entries())[-1]

    assert (ear.cancelled, entry.outcome) == (1, "cancelled")
    assert partial["audio_ms"] * 16 <= entry.frames <= 12_800


@pytest.mark.parametrize("fails", ["error", "defect", "hang"])
async def test_all_engines_fail(tmp_path: Path, fails: Any) -> None:
    """What was heard becomes final, then 1011; no word of the engine reaches the client."""
    ear = Listener("ear", Act(fails=fails, after=4, final_every=0))
    live = Live(max_speed=1e6, stall=0.3, rounds=0)
    async with house(tmp_path, ear, live=live) as served, client(served) as one:
        await one.start()
        await one.say(spoken(30))
        code = await one.read()

    assert (code, one.kinds[-2:], one.got[-1]["code"]) == (1011, ["final", "error"], "unavailable")
    assert one.of("final")[0]["text"].split() == words(5)
    assert "broke" not in one.got[-1]["error"]


async def test_an_engine_that_is_too_slow(tmp_path: Path) -> None:
    """Time is up for a stretch: the next engine hears it."""

    live = Live(max_speed=1e6, utterance_timeout=0.2)
    first, second = Ear("first", hang_over_speech), Ear("second")
    async with house(tmp_path, first, second, live=live) as served, client(served, **TONES) as one:
        await one.start()
        await one.say(spoken(10) + pause(0.1))
        final = await one.end()

    assert (final["engine"], final["text"].split()) == ("second", words(10))
    assert first.running == 0


async def test_reset_stops_the_work(tmp_path: Path) -> None:
    """Nobody waits for what is forgotten."""

    ear = Ear("ear", hang_over_speech)
    async with house(tmp_path, ear) as served, client(served, **TONES) as one:
        await one.start()
        await one.say(spoken(10))
        await until(lambda: ear.running)
        await one.send(type="reset")
        await one.until("reset_ok")
        await until(lambda: not ear.running)

    assert ear.cancelled == 1


async def test_faster_than_real_time(tmp_path: Path) -> None:
    """A client that sends a file is slowed down, never cut off, and loses no word."""
    live = Live(max_replay=3.0)
    async with house(tmp_path, Ear("ear"), live=live) as served, client(served, **TONES) as one:
        await one.start()
        for at in range(0, 200, 20):
            await one.socket.send(spoken(20, first=at) + pause(0.6))
        final = await one.end()

    assert final["text"].split() == words(200)
    assert (final["audio_ms"], len(final["segments"])) == (12_000, 10)


async def test_a_short_memory(tmp_path: Path) -> None:
    """However little may be kept for another engine, silence and long speech go through."""
    live = Live(max_replay=1.0)
    async with house(tmp_path, Ear("ear"), live=live) as served, client(served, **TONES) as one:
        await one.start()
        await one.socket.send(pause(4.0))
        await one.socket.send(spoken(100))
        await one.socket.send(pause(4.0))
        final = await one.end()

    assert (final["audio_ms"], set(final["text"].split())) == (11_000, set(words(100)))


def of_sessions() -> int:
    """Count what is in memory of sessions, those of other tests too."""
    kinds = {Captions, Ticket, LiveRun, Tape}
    return sum(type(one) in kinds or type(one).__name__ == "_Talk" for one in gc.get_objects())


ENDS = [
    *("end", "gone", "idle_gone", "timeout", "quota", "error", "hang", "reset", "no_start"),
    *("too_many", "unread"),
]


@pytest.mark.parametrize("ends", ENDS)
async def test_nothing_of_a_session_is_left(tmp_path: Path, ends: str) -> None:
    """No task, no ticket, no audio: however it ends, and without the collector."""
    fails: Any = ends if ends in {"error", "hang"} else None
    ear = Listener("ear", Act(fails=fails, after=2, final_every=0, padding=200_000))
    if ends != "unread":
        ear.acts[0] = Act(fails=fails, after=2, final_every=0)
    live = Live(
        max_speed=1e6,
        stall=0.2,
        rounds=0,
        send_timeout=0.2,
        start_timeout=0.2 if ends == "no_start" else 5.0,
        idle_timeout=0.2 if ends == "timeout" else 60.0,
    )
    settings = {
        "team_defaults": Team(audio_seconds_per_day=0.1 if ends == "quota" else None),
        "thai_asr": ThaiAsr(max_errors=2),
    }
    async with house(tmp_path, ear, live=live, **settings) as served:
        url = (await session(served, vad=False))["ws_url"]
        await until(lambda: not served.runtime.gateway.load.requests)
        gc.collect()
        before, tasks = of_sessions(), len(asyncio.all_tasks())
        gc.disable()
        try:
            await live_through(url, served.key, ends)
            async with asyncio.timeout(20):
                await until(lambda: of_sessions() <= before)
                await until(lambda: len(asyncio.all_tasks()) <= tasks)
        finally:
            gc.enable()

    assert (served.runtime.gateway.load.requests, ear.open) == (0, 0)


async def live_through(url: str, key: str, ends: str) -> None:
    async with opened(url, key, max_queue=1 if ends == "unread" else 16) as one:
        if ends == "no_start":
            await one.read()
            return
        await one.start()
        await one.say(spoken(6 if ends != "unread" else 200), size=960)
        if ends == "gone":
            await one.until("partial")
            one.socket.transport.abort()
        elif ends == "unread":
            await asyncio.sleep(0.6)
            one.socket.transport.abort()
        elif ends in {"end", "idle_gone"}:
            await one.end()
            await (one.send(type="flush") if ends == "idle_gone" else one.send(type="reset"))
            one.socket.transport.abort()
        elif ends == "reset":
            await one.send(type="reset")
            await one.until("reset_ok")
        elif ends == "too_many":
            await one.send(type="x")
            await one.send(type="x")
            await one.read()
        else:
            await one.read()


async def test_an_engine_that_breaks_over_everything(tmp_path: Path) -> None:
    """Nothing was heard, so there is no final: the error alone, and 1011."""

    def broken(_: Sequence[Window]) -> None:
        raise ProviderUnavailableError("It broke.", provider="ear", model="windows")

    live = Live(max_speed=1e6, rounds=0)
    async with house(tmp_path, Ear("ear", broken), live=live) as served:
        async with client(served, **TONES) as one:
            await one.start()
            await one.say(spoken(10) + pause(0.1))
            await one.send(type="end")
            code = await one.read()
        await until(lambda: not served.runtime.gateway.load.requests)
        entry = (await served.entries())[-1]

    assert (code, one.got[-1]["code"], one.of("final")) == (1011, "unavailable", [])
    assert (entry.frames, entry.outcome) == (0, "ProviderUnavailableError")
