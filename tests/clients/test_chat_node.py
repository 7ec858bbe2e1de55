"""Chat with the openai SDK for Node, unmodified, through a server as it ships; both prefixes."""

import asyncio
import json
import shutil
from typing import Any

import pytest
import pytest_asyncio

from tests.clients.recordings import needed
from tests.clients.scripted import WEATHER
from tests.clients.shipped import Server
from tests.clients.test_chat_python import GREETING, PREFIXES
from tests.clients.test_node import NODE
from tests.clients.weather import BEGINS, is_report

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="session"),
]

Seen = dict[str, Any]


@pytest_asyncio.fixture(name="seen", scope="module", loop_scope="session", params=PREFIXES)
async def _seen(chat: Server, request: pytest.FixtureRequest) -> Seen:
    """What one run of the program saw."""
    needed(shutil.which("node"), NODE / "node_modules" / "openai", NODE / "node_modules" / "zod")
    process = await asyncio.create_subprocess_exec(
        *("node", "chat.mjs", chat.url + request.param, chat.key),
        cwd=NODE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found: Seen = json.loads(out)
    return found


async def test_plain(seen: Seen) -> None:
    """An answer, and by the headers who gave it."""
    assert seen["plain"]["choices"][0]["message"]["content"] == GREETING
    assert seen["raw"] == {"provider": "ctranslate2", "content": GREETING}


async def test_streamed(seen: Seen) -> None:
    """Pieces that add up, the usage last."""
    *chunks, last = seen["chunks"]
    texts = [one["choices"][0]["delta"].get("content") or "" for one in chunks]

    assert ("".join(texts).startswith(BEGINS), len(texts) > 1) == (True, True)
    assert (last["choices"], last["usage"]["completion_tokens"] > 0) == ([], True)


async def test_tools(seen: Seen) -> None:
    """The SDK's own loop runs to its end, whole and streamed."""
    assert is_report(seen["loop"])
    assert is_report(seen["streamedLoop"])


async def test_structured_output(seen: Seen) -> None:
    """A zod schema comes back as an object, whole and streamed."""
    assert (seen["parsed"], seen["streamedParsed"]) == (WEATHER, WEATHER)


@pytest.mark.parametrize(
    ("case", "kind", "status"),
    [
        ("field", "BadRequestError", 400),
        ("key", "AuthenticationError", 401),
        ("model", "NotFoundError", 404),
        ("busy", "RateLimitError", 429),
        ("deaf", "InternalServerError", 502),
    ],
)
async def test_typed_errors(seen: Seen, case: str, kind: str, status: int) -> None:
    """The SDK raises its own classes, with the request's id."""
    error = seen["errors"][case]

    assert (error["kind"], error["status"]) == (kind, status)
    assert error["requestID"]
    assert bool(error["retryAfter"]) == (status == 429)


async def test_a_stream_that_breaks(seen: Seen) -> None:
    """What came is there, and then the SDK throws."""
    assert "".join(seen["pieces"]) == "Hel"
    assert seen["broken"]["kind"] == "APIError"


async def test_models(seen: Seen) -> None:
    """The seeds' names are listed."""
    assert {"qwen3-4b", "qwen3.5:4b-q4_K_M"} <= set(seen["models"])
