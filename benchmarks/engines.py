"""
What the way to a local engine costs: the tiny Whisper through a server against a direct call.

    python -m benchmarks.engines [ROUNDS]

They take turns, so that a busy machine slows all of them down; what counts is the ratio. `direct`
is faster-whisper in this process, given the very stretches that the provider would cut; `provider`
is our provider in this process, its engine in a child; `server` is `junctor serve` in a process of its own, keys, limits, ledger and log on, asked over HTTP.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import aiohttp
import numpy as np
import uvloop
from faster_whisper import WhisperModel

from junctor.core.audio.clip import SAMPLE_RATE, Clip
from junctor.core.audio.vad import speech_spans
from junctor.core.requests import TranscribeRequest
from junctor.core.testing.clips import clip_of
from junctor.plugins.local.tiny import model_path, speech
from junctor.plugins.local.whisper import WhisperProvider
from junctor.plugins.local.whisper_settings import TINY, WhisperModelSettings, WhisperSettings
from junctor.plugins.local.workers.stretches import join

SENTENCES = ("thank you very much", "please open the door", "turn on the light")
SECONDS = 10.0
QUEUED = 4


def recording() -> Clip:
    """Return ten seconds of speech with pauses."""
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    parts = [pause]
    for _ in range(3):
        for sentence in SENTENCES:
            parts += [speech.render(sentence.split(), "en", voice="en-us").wave, pause]
    return clip_of(np.concatenate(parts)[: round(SECONDS * SAMPLE_RATE)])


def direct(model: WhisperModel, samples: np.ndarray) -> str:
    """Do by hand what the provider does."""
    texts = []
    for start, end in join(speech_spans(samples, min_silence=0.3, pad=0.2), longest=5.0):
        stretch = samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        found, _ = model.transcribe(
            stretch, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False
        )
        texts += [segment.text.strip() for segment in found]
    return " ".join(texts)


def cpu_of(pid: int) -> float:
    """Return the CPU time of a process so far, seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


CONFIG = """
extends = "default"
[server]
port = 0
[storage]
data_dir = "{folder}/data"
[team_defaults]
requests_per_minute = 1000000
[plugins.whisper.models.junctor-tiny]
path = "builtin:junctor-tiny"
cpu_threads = 1
preload = true
"""


@asynccontextmanager
async def server() -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """Serve in a process of its own; yield what uploads a WAV file and returns its text."""
    command = (sys.executable, "-m", "junctor.routers.cli")
    with TemporaryDirectory() as folder:
        config = Path(folder, "junctor.toml")
        await asyncio.to_thread(config.write_text, CONFIG.format(folder=folder), "utf-8")
        env = {**os.environ, "JUNCTOR_CONFIG": str(config)}
        create = await asyncio.create_subprocess_exec(
            *command,
            *("keys", "create", "--team", "bench"),
            env=env,
            stdout=asyncio.subprocess.PIPE,
        )
        key = (await create.communicate())[0].decode().strip()
        child = await asyncio.create_subprocess_exec(
            *command,
            "serve",
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert child.stdout is not None
        url = (await child.stdout.readline()).decode().split()[-1]
        async with aiohttp.ClientSession(url, headers={"authorization": f"Bearer {key}"}) as http:

            async def ask(wav: bytes) -> str:
                form = aiohttp.FormData({"model": f"whisper:{TINY}", "language": "en"})
                form.add_field("file", wav, filename="a.wav")
                async with http.post("/v1/audio/transcriptions", data=form) as answer:
                    return str((await answer.json())["text"])

            yield ask
        child.terminate()
        await child.wait()


async def measure(rounds: int) -> dict[str, float]:  # noqa: PLR0915  # one turn after the other
    """Let both take turns and return medians and ratios."""
    clip = recording()
    samples = await clip.samples()
    model = WhisperModel(model_path(), device="cpu", cpu_threads=1)
    settings = WhisperModelSettings(cpu_threads=1, preload=True)
    provider = WhisperProvider(WhisperSettings(models={TINY: settings}))
    request = TranscribeRequest(audio=clip, model=TINY, language="en")
    await provider.start()
    pid = provider.engines()[TINY].pid or 0
    same = (await provider.transcribe(request)).text == direct(model, samples)
    walls: dict[str, list[float]] = {
        name: [] for name in ("direct", "provider", "queued", "server", "server queued")
    }
    cpus: dict[str, list[float]] = {"direct": [], "provider": []}

    def clocked(name: str, clock: Callable[[], float]) -> Callable[[], None]:
        wall, cpu = time.perf_counter(), clock()

        def stop() -> None:
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(clock() - cpu)

        return stop

    http = AsyncExitStack()
    ask = await http.enter_async_context(server())
    same = same and await ask(clip.data) == direct(model, samples)
    for _ in range(rounds):
        stop = clocked("direct", time.process_time)
        direct(model, samples)
        stop()
        stop = clocked("provider", lambda: cpu_of(pid) + time.process_time())
        await provider.transcribe(request)
        stop()
        began = time.perf_counter()
        await asyncio.gather(*(provider.transcribe(request) for _ in range(QUEUED)))
        walls["queued"].append((time.perf_counter() - began) / QUEUED)
        began = time.perf_counter()
        await ask(clip.data)
        walls["server"].append(time.perf_counter() - began)
        began = time.perf_counter()
        await asyncio.gather(*(ask(clip.data) for _ in range(QUEUED)))
        walls["server queued"].append((time.perf_counter() - began) / QUEUED)
    await http.aclose()
    await provider.close()
    return {
        "same text": float(same),
        "direct, real-time factor": median(walls["direct"]) / SECONDS,
        "provider, real-time factor": median(walls["provider"]) / SECONDS,
        "server, real-time factor": median(walls["server"]) / SECONDS,
        "provider throughput, one at a time / direct": ratio(walls["direct"], walls["provider"]),
        "provider throughput, four queued / direct": ratio(walls["direct"], walls["queued"]),
        "server throughput, one at a time / direct": ratio(walls["direct"], walls["server"]),
        "server throughput, four queued / direct": ratio(walls["direct"], walls["server queued"]),
        "CPU, direct / provider and server": ratio(cpus["direct"], cpus["provider"]),
    }


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios of neighbours in time."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(json.dumps(uvloop.run(measure(rounds)), indent=2))
