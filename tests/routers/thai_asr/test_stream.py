"""`WS /api/thai-asr/stream`, over real sockets: what a client that does everything right sees."""

import base64
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from junctor.core.errors import ProviderUnavailableError
from junctor.core.testing.fakes import FakeTranscriber, Say
from tests.fakes.listeners import Act, Listener, pause, spoken, words
from tests.fakes.server import Served
from tests.plugins.local.voices import say
from tests.routers.thai_asr.clients import (
    LEGACY,
    PREFIX,
    TONES,
    Ear,
    client,
    house,
    opened,
    session,
)
from tests.waiting import until

FIGURES = {"audio_ms", "latency_ms", "queue_ms", "decode_ms"}
SHARED = {"type", "session_id", "engine", "backend"}


@pytest.mark.asyncio(loop_scope="module")
async def test_an_utterance_from_ready_to_final(home: Served) -> None:
    """Every event with all of its fields; the final as in the seed's example, in its order."""
    async with client(home, **TONES) as one:
        started = await one.start(benchmark_label="mine")
        await one.say(spoken(20))
        partial, stable = await one.until("partial"), await one.until("stabilized_partial")
        await one.say(spoken(20, first=20) + pause(0.2))
        final = await one.end()

    ready, session_id = one.got[0], one.got[0]["session_id"]
    assert set(ready) == SHARED | {"mode", "language", "sample_rate", "limits", "tenant"}
    assert set(started) == SHARED | {"config"}
    assert started["config"] == {**ready_config(), **TONES, "benchmark_label": "mine"}
    assert set(partial) == set(stable) == SHARED | FIGURES | {"text", "segments"}
    assert list(final) == [
        *("type", "session_id", "engine", "backend", "text", "segments", "audio_ms"),
        *("latency_ms", "queue_ms", "decode_ms", "processing_time_ms", "audio_duration_ms"),
    ]
    assert final["text"].split() == words(40)
    assert (final["audio_ms"], final["audio_duration_ms"]) == (1400, 1400)
    assert {one["session_id"] for one in one.got} == {session_id}
    assert {one["engine"] for one in one.got} == {"ear"}
    [segment] = final["segments"]
    assert set(segment) == {"start", "end", "text"}
    assert segment["start"] == 0.0
    assert 1.1 < segment["end"] <= 1.4


def ready_config() -> dict[str, Any]:
    return {
        "sample_rate": 16000,
        "frame_ms": 20,
        "partial_interval_ms": 40,
        "min_decode_audio_ms": 240,
        "decode_window_ms": 1600,
        "vad": True,
        "benchmark_label": None,
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_captions_grow(home: Served) -> None:
    """Partials say more and more; what is stable begins the partial before it, and only grows."""
    async with client(home, **TONES) as one:
        await one.start()
        for at in range(0, 60, 10):
            await one.say(spoken(10, first=at))
            await one.until("partial")
        await one.end()

    partials = [one for one in one.got if one["type"] in {"partial", "stabilized_partial"}]
    for before, after in pairwise(partials):
        if after["type"] == "stabilized_partial":
            assert before["type"] == "partial"
            assert before["text"].startswith(after["text"])
            assert " ".join(part["text"] for part in after["segments"]) == after["text"]
    stables = [stable["text"] for stable in one.of("stabilized_partial")]
    assert stables == sorted(set(stables), key=len)
    assert len(stables) >= 2


@pytest.mark.asyncio(loop_scope="module")
async def test_several_utterances(home: Served) -> None:
    """Audio may come at once behind an `end`; each final has its own, and begins at its own zero."""
    async with client(home, **TONES) as one:
        await one.start()
        for first, kind in ((0, "end"), (5, "end_utterance"), (10, "end")):
            await one.say(spoken(5, first=first) + pause(0.05))
            await one.send(type=kind)
        finals = [await one.until("final") for _ in range(3)]

    assert [final["text"].split() for final in finals] == [
        [f"w{number}" for number in range(first, first + 5)] for first in (0, 5, 10)
    ]
    assert {(final["audio_ms"], final["segments"][0]["start"]) for final in finals} == {(200, 0.0)}


@pytest.mark.asyncio(loop_scope="module")
async def test_audio_in_json(home: Served) -> None:
    """For clients that can send text alone."""
    async with client(home, **TONES) as one:
        await one.start()
        audio = base64.b64encode(spoken(8)).decode()
        await one.send(type="audio", audio_b64=audio)
        final = await one.end()

    assert final["text"].split() == words(8)


@pytest.mark.asyncio(loop_scope="module")
async def test_flush(home: Served) -> None:
    """A partial of all that was heard, long before one is due; and again, though nothing is new."""
    config = {**TONES, "min_decode_audio_ms": 5000}
    async with client(home, **config) as one:
        await one.start()
        await one.send(type="flush")
        nothing = await one.until("partial")
        await one.say(spoken(8))
        texts = []
        for _ in range(2):
            await one.send(type="flush")
            texts.append((await one.until("partial"))["text"].split())

    assert (nothing["text"], nothing["segments"], nothing["audio_ms"]) == ("", [], 0)
    assert texts == [words(8), words(8)]


@pytest.mark.asyncio(loop_scope="module")
async def test_reset(home: Served) -> None:
    """What was said is forgotten, and the next utterance begins anew."""
    async with client(home, **TONES) as one:
        await one.start()
        await one.say(spoken(20))
        await one.until("partial")
        await one.send(type="reset")
        acknowledged = await one.until("reset_ok")
        await one.say(spoken(5, first=50) + pause(0.05))
        final = await one.end()

    assert set(acknowledged) == {"type", "session_id"}
    assert final["text"].split() == ["w50", "w51", "w52", "w53", "w54"]
    assert final["audio_ms"] == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_an_end_of_nothing(home: Served) -> None:
    """Is a final all the same, so that whoever waits for it goes on."""
    async with client(home, **TONES) as one:
        await one.start()
        final = await one.end()

    assert (final["text"], final["segments"], final["audio_ms"]) == ("", [], 0)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
async def test_sample_rates(tmp_path: Path, rate: int) -> None:
    """Lengths are those of the client's clock, and charged to the sample."""
    async with house(tmp_path, Listener("ear")) as served:
        async with client(served, sample_rate=48_000) as one:
            started = await one.start(sample_rate=rate)
            await one.say(bytes(rate), size=rate // 50 * 2)
            final = await one.end()
        await until(lambda: not served.runtime.gateway.load.requests)
        entry = (await served.entries())[-1]

    assert (one.got[0]["sample_rate"], started["config"]["sample_rate"]) == (48_000, rate)
    assert final["audio_ms"] == 500
    assert (entry.frames, entry.rate, entry.outcome) == (rate // 2, rate, "ok")


@pytest.mark.parametrize("vad", [True, False])
async def test_speech_is_told(tmp_path: Path, vad: bool) -> None:
    """Once in an utterance, where somebody begins to speak; never without `vad`."""
    ear = FakeTranscriber("ear", then=Say("something"))
    voice = say("kanon phasa thai", voice="th").data[44:]
    async with house(tmp_path, ear) as served, client(served, vad=vad) as one:
        await one.start()
        for _ in range(2):
            await one.say(pause(1.0) + voice)
            await one.end()

    told = one.of("speech_start")
    assert len(told) == (2 if vad else 0)
    assert all(set(one) == {"type", "session_id", "offset_ms", "latency_ms"} for one in told)
    assert all(1_500 <= one["offset_ms"] <= 1_800 for one in told)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", ["query", "x-api-key", "authorization"])
@pytest.mark.parametrize("prefix", [PREFIX, LEGACY])
async def test_ways_to_authenticate(home: Served, prefix: str, way: str) -> None:
    """A browser has the query alone; others have headers too."""
    url = (await session(home, prefix))["ws_url"]
    headers = {
        "query": {},
        "x-api-key": {"x-api-key": home.key},
        "authorization": home.authorization,
    }[way]
    key = home.key if way == "query" else None
    async with opened(url, key, additional_headers=headers) as one:
        ready = await one.until("ready")

    assert ready["tenant"]["team_id"] == "acme"


async def test_another_engine_goes_on(tmp_path: Path) -> None:
    """The client sees no gap; `engine` says who answered."""

    def fail(windows: Any) -> None:
        if windows[0].is_final or len(first.requests) > 2:
            raise ProviderUnavailableError("It broke.", provider="first", model="windows")

    first = Ear("first", fail)
    async with house(tmp_path, first, Ear("second")) as served, client(served, **TONES) as one:
        started = await one.start()
        await one.say(spoken(60) + pause(0.1))
        final = await one.end()

    assert (started["engine"], final["engine"]) == ("first", "second")
    assert final["text"].split() == words(60)
    assert one.of("error") == []


async def test_an_engine_of_utterances(tmp_path: Path) -> None:
    """A live model of a vendor tells no figures: all the time it took counts as its work."""
    ear = Listener("ear", Act(final_every=2))
    async with house(tmp_path, ear) as served, client(served) as one:
        await one.start()
        await one.say(spoken(4) + pause(0.1))
        final = await one.end()

    assert final["text"].split() == words(4)
    assert len(final["segments"]) == 2
    assert final["queue_ms"] == 0
    assert final["decode_ms"] == final["processing_time_ms"] == final["latency_ms"]


async def test_a_client_that_closes_after_its_final(tmp_path: Path) -> None:
    """Has ended well, and pays for what it said: one entry of the ledger for the socket."""
    async with house(tmp_path, Ear("ear")) as served:
        async with client(served, **TONES) as one:
            await one.start()
            for _ in range(2):
                await one.say(spoken(10) + pause(0.2))
                await one.end()
        await until(lambda: not served.runtime.gateway.load.requests)
        [asked, entry] = await served.entries()

    assert (asked.operation, asked.frames, asked.outcome) == ("session", 0, "ok")
    assert (entry.contract, entry.operation, entry.outcome) == ("thai_asr", "stream", "ok")
    assert (entry.frames, entry.rate, entry.provider) == (16_000, 16_000, "ear")


async def test_the_log_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Like any request's, with who answered and how long the audio was."""
    async with house(tmp_path, Ear("ear")) as served, client(served, **TONES) as one:
        await one.start()
        await one.say(spoken(20) + pause(0.4))
        await one.end()
        await one.socket.close()
        await until(lambda: not served.runtime.gateway.load.requests)
    line = next(line for line in capsys.readouterr().out.splitlines() if "operation=stream" in line)

    assert "contract=thai_asr" in line
    assert "provider=ear" in line
    assert "audio_seconds=1.0" in line
    assert "error=None" in line
