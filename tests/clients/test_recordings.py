"""Both openai SDKs, unmodified, on recordings of human speech, through a server as it ships."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from attrs import frozen

BOOK = Path("/usr/share/pocketsphinx/test/data/librivox")
"""Read sentences of a novel, from Debian's pocketsphinx-testdata."""
SPEAKERS = Path("/usr/share/sounds/alsa")
"""Names of loudspeakers, 48 kHz, from Debian's alsa-utils."""
NODE = Path(__file__).parent / "node"
MODEL = "sphinx:en-us"
COMMAND = (sys.executable, "-m", "junctor.routers.cli")

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]


def needed(*paths: Path | str | None) -> None:
    """Skip where a tool is missing; in CI that is a failure."""
    missing = [str(path) for path in paths if path is None or not Path(path).exists()]
    if missing:
        reason = f"not installed: {missing}; .ci/run installs what is needed"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)


def sentences() -> dict[Path, list[str]]:
    """Return each recording of the book and the words said in it."""
    found = {}
    for line in (BOOK / "transcription").read_text("utf-8").splitlines():
        words = line.partition("<s>")[2].partition("</s>")[0].split()
        found[BOOK / f"{line.rpartition('(')[2].rstrip(')')}.wav"] = words
    return found


def errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return the word edits between two sentences (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, start=1):
        last, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


@frozen
class Server:
    url: str
    key: str

    def sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(api_key=self.key, base_url=f"{self.url}/v1", max_retries=0)


@pytest_asyncio.fixture(name="server", scope="module", loop_scope="module")
async def _server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Serve with the embedded defaults, in a process of its own."""
    needed(BOOK, SPEAKERS)
    folder = tmp_path_factory.mktemp("data")
    env = {**os.environ, "JUNCTOR_DATA_DIR": str(folder)}
    create = await asyncio.create_subprocess_exec(
        *COMMAND, *("keys", "create", "--team", "acme"), env=env, stdout=asyncio.subprocess.PIPE
    )
    key = (await create.communicate())[0].decode().strip()
    child = await asyncio.create_subprocess_exec(
        *COMMAND, *("serve", "--port", "0"), env=env, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    yield Server((await child.stdout.readline()).decode().split()[-1], key)
    child.terminate()
    assert await child.wait() == 0


async def test_a_novel_is_written_down(server: Server) -> None:
    """Five sentences read by a human; modest quality is what the card promises."""
    wrong = total = 0
    async with server.sdk() as sdk:
        for path, said in sentences().items():
            with path.open("rb") as file:
                answer = await sdk.audio.transcriptions.create(file=file, model=MODEL)
            wrong += errors(said, answer.text.lower().split())
            total += len(said)

    assert total == 71
    assert wrong / total < 0.4


async def test_all_formats_of_a_human_sentence(server: Server) -> None:
    """Text in all five, times in those that have them."""
    answers: dict[str, Any] = {}
    async with server.sdk() as sdk:
        for response_format in ("json", "text", "verbose_json", "srt", "vtt"):
            with (SPEAKERS / "Front_Center.wav").open("rb") as file:
                answers[response_format] = await sdk.audio.transcriptions.create(
                    file=file,
                    model=MODEL,
                    response_format=response_format,
                )
    verbose = answers["verbose_json"]

    assert "center" in answers["json"].text
    assert answers["text"].strip() == answers["json"].text == verbose.text
    assert verbose.duration == pytest.approx(1.428, abs=0.001)
    assert 0 <= verbose.segments[0].start < verbose.segments[-1].end <= verbose.duration
    assert "center" in answers["srt"]
    assert answers["vtt"].startswith("WEBVTT")


async def test_word_times_of_a_human_sentence(server: Server) -> None:
    """In order and inside the recording."""
    async with server.sdk() as sdk:
        with (BOOK / "sense_and_sensibility_01_austen_64kb-0880.wav").open("rb") as file:
            answer = await sdk.audio.transcriptions.create(
                file=file,
                model=MODEL,
                response_format="verbose_json",
                timestamp_granularities=["word"],
            )
    times = [time for word in answer.words or [] for time in (word.start, word.end)]

    assert len(times) > 10
    assert times == sorted(times)
    assert times[-1] <= 2.99


async def test_a_human_sentence_as_a_stream(server: Server) -> None:
    """Deltas add up to the text of the last event."""
    async with server.sdk() as sdk:
        with (SPEAKERS / "Front_Center.wav").open("rb") as file:
            stream = await sdk.audio.transcriptions.create(file=file, model=MODEL, stream=True)
            events = [event async for event in stream]
    *deltas, done = events

    assert "center" in done.text  # type: ignore[union-attr]
    assert "".join(one.delta for one in deltas) == done.text  # type: ignore[union-attr]


async def test_node_sdk_on_a_human_sentence(server: Server) -> None:
    """Formats, words, stream, models and typed errors, from JavaScript."""
    needed(shutil.which("node"), NODE / "node_modules" / "openai")
    process = await asyncio.create_subprocess_exec(
        "node",
        *("openai.mjs", f"{server.url}/v1", server.key, SPEAKERS / "Front_Center.wav", MODEL, "en"),
        cwd=NODE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    seen = json.loads(out)

    assert all("center" in str(one) for one in seen["formats"].values())
    assert "center" in [word["word"] for word in seen["words"]["words"]]
    assert "center" in seen["events"][-1]["text"]
    assert "whisper-large-v3" in [model["id"] for model in seen["models"]]
    assert [seen["errors"][case]["kind"] for case in ("field", "model", "key")] == [
        "BadRequestError",
        "NotFoundError",
        "AuthenticationError",
    ]
