"""The openai SDK for Node, unmodified, against a real server on loopback."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from junctor.core.testing.clips import silent_clip
from tests.fakes.server import Served

FOLDER = Path(__file__).parents[2] / "clients" / "node"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.tools]


def lacking() -> str:
    """Say what is missing here; empty when all is there."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (FOLDER / "node_modules" / "openai").is_dir():
        return f"the SDK is not installed: npm ci --prefix {FOLDER.relative_to(FOLDER.parents[2])}"
    return ""


@pytest_asyncio.fixture(name="seen", scope="module", loop_scope="module")
async def _seen(server: Served, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if reason := lacking():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    audio = tmp_path_factory.mktemp("audio") / "a.wav"
    audio.write_bytes(silent_clip(2.0).data)
    process = await asyncio.create_subprocess_exec(
        "node",
        *("openai.mjs", f"{server.url}/v1", server.key, str(audio), "fake:one"),
        cwd=FOLDER,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_formats(seen):
    """All five formats come back as what the SDK makes of them."""
    formats = seen["formats"]

    assert "good morning all" == formats["json"]["text"] == formats["text"].strip()
    assert ("thai", 2) == (formats["verbose_json"]["language"], formats["verbose_json"]["duration"])
    assert formats["srt"].startswith("1\n00:00:00,000 --> 00:00:02,000\n")
    assert formats["vtt"].startswith("WEBVTT\n\n")


async def test_words(seen):
    """Granularities are spelled the SDK's way."""
    assert ["good", "morning", "all"] == [word["word"] for word in seen["words"]["words"]]


async def test_stream(seen):
    """Deltas add up to the whole text, which comes last."""
    *deltas, done = seen["events"]

    assert "good morning all" == done["text"] == "".join(one["delta"] for one in deltas)


async def test_models(seen):
    """Models are listed."""
    assert ["one"] == [model["id"] for model in seen["models"]]


@pytest.mark.parametrize(
    ("case", "kind", "status"),
    [
        ("field", "BadRequestError", 400),
        ("model", "NotFoundError", 404),
        ("key", "AuthenticationError", 401),
    ],
)
async def test_typed_errors(seen, case, kind, status):
    """The SDK raises its own classes, with the request's id."""
    error = seen["errors"][case]

    assert (kind, status) == (error["kind"], error["status"])
    assert error["requestID"]
