"""The live socket over real adapters and a real engine: vendors that break, and pocketsphinx."""

import os
import signal
from pathlib import Path

import httpx
import pytest

from junctor.conf.settings import Live, Settings
from junctor.core.providers import Provider
from junctor.core.testing.fakes import FakeTranscriber, Say
from junctor.plugins.local.sphinx import SphinxProvider, SphinxSettings
from junctor.plugins.remote import assemblyai, deepgram
from tests.fakes.vendors.assemblyai import TEXT, AssemblyAIFake
from tests.fakes.vendors.deepgram import DeepgramFake
from tests.plugins.local.voices import say
from tests.routers.speech_to_text.test_stream import client, house
from tests.waiting import until

SPEECH = say("the weather is very nice").data[44:]


def results(text: str, *, start: float, seconds: float, is_final: bool) -> dict[str, object]:
    """Return a message of Deepgram's socket."""
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "start": start,
        "duration": seconds,
        "is_final": is_final,
        "speech_final": is_final,
        "channel": {"alternatives": [{"transcript": text, "confidence": 0.9, "words": []}]},
    }


def vendors(one: DeepgramFake, other: AssemblyAIFake) -> list[Provider]:
    """Return the two adapters, each pointed at its fake."""
    tables = {fake.VENDOR: fake.settings_table() for fake in (one, other)}
    settings = Settings(plugins=tables)
    return [*deepgram.junctor_providers(settings), *assemblyai.junctor_providers(settings)]


@pytest.mark.parametrize("end", ["close", "silence"])
async def test_a_vendor_breaks_in_the_middle_and_another_goes_on(tmp_path: Path, end: str) -> None:
    """The second vendor hears everything behind the first one's last final, and nothing else."""
    async with DeepgramFake() as first, AssemblyAIFake() as second:
        first.tells = [
            results("Good morning.", start=0.0, seconds=0.05, is_final=True),
            results("the weather", start=0.05, seconds=0.05, is_final=False),
        ]
        live = Live(max_speed=1e6, stall=0.5)
        async with (
            house(tmp_path, *vendors(first, second), live=live) as served,
            client(served) as one,
        ):
            policy = {"low": {"fallback_chain": ["assemblyai"]}}
            await one.start(provider="deepgram", accuracy="low", accuracy_language_policy=policy)
            await one.say(SPEECH, size=6_400)
            await one.until("partial")
            if end == "close":
                for socket in tuple(first.sockets):
                    await socket.close(code=1011)
            await one.until("started")
            code = await one.end()

        replayed = bytes(second.sessions[0].audio).rstrip(b"\0")
        assert (code, one.got[-1]["text"]) == (1000, f"Good morning. {TEXT}.")
        assert [started["provider"] for started in one.of("started")] == ["deepgram", "assemblyai"]
        assert replayed == SPEECH[1_600:].rstrip(b"\0")
        assert one.of("final")[1]["start"] >= 0.05


@pytest.mark.parametrize(("accuracy", "sockets"), [("low", 1), ("medium", 0)])
async def test_events_of_the_low_tier_come_over_the_vendors_socket(
    tmp_path: Path, accuracy: str, sockets: int
) -> None:
    """An upload is played to the socket where the first words count, and sent whole elsewhere."""
    async with DeepgramFake() as first, AssemblyAIFake() as second:
        async with (
            house(tmp_path, *vendors(first, second)) as served,
            httpx.AsyncClient(base_url=served.url, headers=served.authorization) as browser,
        ):
            answer = await browser.post(
                "/speech-to-text/transcribe",
                files={"audio": ("a.wav", say("the weather is very nice").data)},
                data={"provider": "deepgram", "accuracy": accuracy},
                headers={"Accept": "text/event-stream"},
                timeout=20,
            )
        upgrades = [one for one in first.seen if "Upgrade" in one.headers]

    assert "event: transcript.done" in answer.text
    assert len(upgrades) == sockets


async def test_all_vendors_refuse(tmp_path: Path) -> None:
    """Nobody opens: 4502, nothing is charged, and no word of an upstream reaches the client."""
    async with DeepgramFake() as first, AssemblyAIFake() as second:
        first.always, second.live = "unauthorized", "refuse:1008"
        async with house(tmp_path, *vendors(first, second)) as served:
            async with client(served) as one:
                policy = {"low": {"fallback_chain": ["assemblyai"]}}
                await one.start(
                    provider="deepgram", accuracy="low", accuracy_language_policy=policy
                )
                code = await one.read()
            [entry] = await served.entries()

    assert (code, entry.frames) == (4502, 0)
    assert "LEAK" not in str(one.got)


@pytest.mark.slow
async def test_a_local_engine_listens(tmp_path: Path) -> None:
    """pocketsphinx, in its own process, hears each utterance when it ends, with true times."""
    async with (
        house(tmp_path, SphinxProvider(SphinxSettings())) as served,
        client(served) as one,
    ):
        await one.start(provider="sphinx", enable_word_timestamps=True)
        await one.say(SPEECH + bytes(64_000) + SPEECH, size=3_200)
        code = await one.end()

    again = 2.0 + len(SPEECH) / 32_000
    times = [
        word["start"]
        for final in one.of("final")
        for word in final["words"]
        if word["word"] == "weather"
    ]
    assert (code, len(one.of("final"))) == (1000, 2)
    assert times[1] - times[0] == pytest.approx(again, abs=0.2)
    assert one.got[-1]["words"][0]["start"] < 1.5


@pytest.mark.slow
async def test_an_engine_is_killed_while_somebody_speaks(tmp_path: Path) -> None:
    """Its next process, or the next model, hears what it had not finished, where it was said."""
    sphinx = SphinxProvider(SphinxSettings())
    spare = FakeTranscriber("spare", then=Say("by the spare"))
    policy = {"medium": {"fallback_chain": ["spare"]}}
    async with house(tmp_path, sphinx, spare) as served, client(served) as one:
        await one.start(provider="sphinx", accuracy_language_policy=policy)
        await one.say(SPEECH + bytes(64_000), size=3_200)
        await one.until("final")
        pid = sphinx.engines()["en-us"].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # so that it is at work when it dies
        await one.say(SPEECH + bytes(64_000), size=3_200)
        await until(lambda: sphinx.engines()["en-us"].running)
        os.kill(pid, signal.SIGKILL)
        code = await one.end()

    first, second = one.of("final")
    apart = second["start"] - first["start"]
    assert (code, sphinx.engines()["en-us"].crashes) == (1000, 1)
    assert apart == pytest.approx(2 + len(SPEECH) / 32_000, abs=0.2)
    assert second["text"]
