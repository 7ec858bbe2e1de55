"""The speech-to-text contract with Node.js: its own fetch and FormData, and the package ws."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.clients.recordings import CENTER, needed
from tests.clients.shipped import Server

NODE = Path(__file__).parent / "node"

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="session"),
]

Seen = dict[str, Any]


@pytest_asyncio.fixture(name="seen", scope="module", loop_scope="session")
async def _seen(speech: Server) -> Seen:
    """What one run of the program saw."""
    needed(shutil.which("node"), NODE / "node_modules" / "ws")
    process = await asyncio.create_subprocess_exec(
        *("node", "speech_to_text.mjs", speech.url, speech.key, str(CENTER)),
        cwd=NODE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found: Seen = json.loads(out)
    return found


async def test_an_upload(seen: Seen) -> None:
    """A FormData with a Blob; its request id stands in the header too."""
    upload = seen["upload"]

    assert (upload["status"], upload["body"]["status"]) == (200, "success")
    assert "center" in [word["word"] for word in upload["body"]["words"]]
    assert upload["id"] == upload["body"]["request_id"]


async def test_a_bad_key(seen: Seen) -> None:
    """The answer comes, though the upload was not read to its end."""
    assert seen["refused"]["status"] == 401
    assert seen["refused"]["body"]["detail"]["code"] == "unauthorized"


async def test_events(seen: Seen) -> None:
    """Read from the body as it comes; nothing is left behind the last."""
    *deltas, done = seen["events"]["found"]

    assert {one["event"] for one in deltas} == {"transcript.delta"}
    assert (done["event"], seen["events"]["rest"]) == ("transcript.done", "")
    assert "".join(one["data"]["text"] for one in deltas) == done["data"]["text"]


async def test_a_live_session(seen: Seen) -> None:
    """All messages in order, finals that add up, and a good close."""
    messages = seen["live"]["messages"]
    finals = [one["text"] for one in messages if one["type"] == "final"]

    assert [one["type"] for one in messages[:2]] == ["ready", "started"]
    assert (messages[-1]["type"], seen["live"]["code"]) == ("done", 1000)
    assert ("center" in " ".join(finals), " ".join(finals)) == (True, messages[-1]["text"])


async def test_a_live_session_with_a_bad_key(seen: Seen) -> None:
    """An error that says so, and the close code of 401."""
    (message,) = seen["stranger"]["messages"]

    assert (message["type"], message["status"]) == ("error", 401)
    assert seen["stranger"]["code"] == 4401
