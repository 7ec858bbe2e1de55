"""Chat with litellm as a client, unmodified, through a server as it ships."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.clients.shipped import Server
from tests.clients.test_chat_python import GREETING, PREFIXES
from tests.clients.weather import BEGINS, is_report

LITELLM = "litellm==1.106.2"
MCP = "mcp>=2.3,<3"
"""Litellm imports it where there are tools, and does not ask for it."""
ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("litellm_program.py")
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="session"),
]

Seen = dict[str, Any]


async def ran(*command: str) -> tuple[int, str, str]:
    """Run a program: its status, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **OFFLINE},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest_asyncio.fixture(name="python", scope="module", loop_scope="session")
async def _python() -> str:
    """The interpreter of an environment with litellm: it wants another openai than we have here."""
    folder = ROOT / ".tox" / "clients" / LITELLM
    python, is_whole = folder / "bin" / "python", folder / "whole"
    if not is_whole.exists():
        shutil.rmtree(folder, ignore_errors=True)
        pip = (str(python), "-m", "pip", "install", "-q", LITELLM, MCP)
        for command in ((sys.executable, "-m", "venv", str(folder)), pip):
            status, _, err = await ran(*command)
            if status:
                assert not os.environ.get("CI"), err
                pytest.skip(f"{LITELLM} cannot be installed here")
        is_whole.touch()
    return str(python)


@pytest_asyncio.fixture(name="seen", scope="module", loop_scope="session")
async def _seen(chat: Server, python: str) -> Seen:
    """What one run of the program saw; one, for the import alone takes it ten seconds."""
    status, out, err = await ran(python, str(PROGRAM), chat.url + PREFIXES[1], chat.key)
    assert status == 0, err
    found: Seen = json.loads(out.splitlines()[-1])
    return found


async def test_plain(seen: Seen) -> None:
    """The text, and the usage."""
    prompt, completion, total = seen["usage"]

    assert seen["plain"] == GREETING
    assert total == prompt + completion > completion > 0


async def test_streamed(seen: Seen) -> None:
    """Several pieces that add up."""
    assert "".join(seen["stream"]).startswith(BEGINS)
    assert sum(map(bool, seen["stream"])) > 1


async def test_tools(seen: Seen) -> None:
    """The model calls, and puts the result in words."""
    assert (seen["tools"]["finish"], seen["tools"]["names"]) == ("tool_calls", ["get_weather"])
    assert is_report(seen["tools"]["told"])


@pytest.mark.parametrize(
    ("case", "kind", "status"),
    [
        ("model", "NotFoundError", 404),
        ("busy", "RateLimitError", 429),
        ("key", "AuthenticationError", 401),
    ],
)
async def test_typed_errors(seen: Seen, case: str, kind: str, status: int) -> None:
    """Litellm raises its own classes."""
    assert seen["errors"][case] == {"kind": kind, "status": status, "text": ""}


async def test_a_stream_that_breaks(seen: Seen) -> None:
    """What came is there, and then it raises."""
    assert seen["errors"]["broken"]["text"] == "Hel"
    assert seen["errors"]["broken"]["kind"]
