"""Both openai SDKs, unmodified, on recordings of human speech, through a server as it ships."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.clients.recordings import BOOK, SPEAKERS, errors, needed, sentences
from tests.clients.shipped import Server, shipped

NODE = Path(__file__).parent / "node"
MODEL = "sphinx:en-us"

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(name="server", scope="module", loop_scope="module")
async def _server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Serve with the embedded defaults, in a process of its own."""
    needed(BOOK, SPEAKERS)
    async with shipped(tmp_path_factory.mktemp("defaults")) as server:
        yield server


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
