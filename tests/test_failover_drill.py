"""
The failover drill: the engine's process is killed in every sentence; no word is lost.

Ten times with a second engine to go on with; four times with one alone, which is heard again
once it is back.
"""

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from junctor.conf.settings import Model
from junctor.core.audio.wav import to_pcm16
from junctor.core.captioned import Caption
from junctor.core.captions import Captions
from junctor.core.plans import Choice
from junctor.core.requests import LiveRequest, Rolling
from junctor.core.wer import distance
from junctor.plugins.local.tiny import domain, speech
from junctor.plugins.local.whisper import WhisperProvider
from junctor.plugins.local.whisper_settings import WhisperModelSettings, WhisperSettings
from tests.core.test_gateway import house, settings

SPEED = 2.0
"""Seconds of speech sent in a second."""
PAUSE = np.zeros(16_000 * 7 // 10, np.float32)


def sentences(count: int) -> list[str]:
    draw = random.Random(4)
    return draw.sample([*domain.sentences("th")], count)


def sound(sentence: str) -> bytes:
    wave = speech.render(sentence.split(), "th", voice="th").wave
    return to_pcm16(np.concatenate([wave, PAUSE])).tobytes()


class Killer:
    """Kills the process of the engine that is at work, once for each sentence."""

    def __init__(self, provider: WhisperProvider) -> None:
        self._provider = provider
        self.kills = 0

    async def strike(self) -> None:
        while True:
            for status in self._provider.engines().values():
                if status.running and status.pid is not None:
                    os.kill(status.pid, signal.SIGKILL)
                    self.kills += 1
                    return
            await asyncio.sleep(0.002)


async def say(captions: Captions, pcm: bytes, killer: Killer | None, draw: random.Random) -> None:
    """Say a sentence in real time, times `SPEED`; the killer strikes somewhere in it."""
    size = 640
    until = draw.uniform(0.2, 0.8) * (len(pcm) - 2 * len(PAUSE))
    strike: asyncio.Task[None] | None = None
    for at in range(0, len(pcm), size):
        await captions.hear(pcm[at : at + size])
        if killer is not None and strike is None and at >= until:
            strike = asyncio.create_task(killer.strike())
        await asyncio.sleep(0.02 / SPEED)
    if strike is not None:
        await strike


async def transcribed(
    folder: Path, models: Sequence[str], count: int, *, is_drill: bool
) -> tuple[str, int, set[str]]:
    """Return the text of all sentences, how often an engine was killed, and who answered."""
    kinds = {name: WhisperModelSettings(cpu_threads=1, preload=True) for name in models}
    provider = WhisperProvider(WhisperSettings(models=kinds))
    killer = Killer(provider)
    chain = tuple(f"whisper:{name}" for name in models)
    events: list[Caption] = []
    draw = random.Random(7)
    config = settings(folder, models={"captions": Model(chain=chain)})
    async with house(config, provider) as home, await home.admit() as ticket:
        captions = await Captions.planned(
            home.gateway,
            ticket,
            request=LiveRequest(
                language="th", rolling=Rolling(interval=0.04, least=0.24, window=1.6)
            ),
            choice=Choice(model="captions"),
            sample_rate=16_000,
        )

        async def read() -> None:
            events.extend([one async for one in captions.events() if isinstance(one, Caption)])

        reading = asyncio.create_task(read())
        for sentence in sentences(count):
            await say(captions, sound(sentence), killer if is_drill else None, draw)
        await captions.finish()
        await reading
    [final] = [event for event in events if event.is_final]
    return final.text, killer.kills, {event.model for event in events}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("models", "kills"), [(("one", "two"), 10), (("one",), 4)])
async def test_no_word_is_lost(tmp_path: Path, models: Sequence[str], kills: int) -> None:
    """With an engine killed in each sentence the final is that of a session in peace."""
    peace, _, _ = await transcribed(tmp_path / "peace", models, kills, is_drill=False)
    drill, killed, answered = await transcribed(tmp_path / "drill", models, kills, is_drill=True)
    said = "".join(sentences(kills)).replace(" ", "")

    assert (killed, answered) == (kills, set(models))
    assert drill == peace
    assert distance(said, drill.replace(" ", "")) <= 0.02 * len(said)
