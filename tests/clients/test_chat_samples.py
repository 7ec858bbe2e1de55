"""The contracts' own samples as they stand, host and key exchanged: curl, and the openai SDK."""

import asyncio
import json
import shutil
import sys
from typing import Any

import pytest

from tests.clients.recordings import needed
from tests.clients.shipped import Server

HOST, KEY = "https://llm.example.com", "YOUR_API_KEY"
MODELS = f"""curl -sS \\
-H "x-api-key: {KEY}" \\
"{HOST}/api/llm/v1/models"
"""
CHAT = f"""curl -sS \\
-X POST \\
-H "Content-Type: application/json" \\
-H "x-api-key: {KEY}" \\
-d '{{
"model": "qwen3-4b",
"messages": [
{{ "role": "system", "content": "You are a helpful assistant." }},
{{ "role": "user", "content": "Explain why a shared local LLM endpoint is useful." }}
],
"temperature": 0.4,
"max_tokens": 256
}}' \\
"{HOST}/api/llm/v1/chat/completions"
"""
BEARER_MODELS = f"""curl {HOST}/v1/models -H "Authorization: Bearer {KEY}"
"""
BEARER_CHAT = f"""curl -X POST {HOST}/v1/chat/completions \\
-H "Authorization: Bearer {KEY}" \\
-H "Content-Type: application/json" \\
-d '{{ "model": "qwen3.5:4b-q4_K_M", "messages": [{{"role": "user", "content": "Hello"}}], "reasoning_effort": "none" }}'
"""
HEALTH = f"curl {HOST}/health"
SDK = f"""from openai import OpenAI
client = OpenAI(
api_key="{KEY}",
base_url="{HOST}/api/llm/v1",
)
response = client.chat.completions.create(
model="qwen3-4b",
messages=[
{{"role": "system", "content": "You are a helpful assistant."}},
{{"role": "user", "content": "Explain the API in one short paragraph."}},
],
temperature=0.4,
max_tokens=256,
)
print(response.choices[0].message.content)
"""
OTHER_SDK = f"""from openai import OpenAI
client = OpenAI( api_key="{KEY}", base_url="{HOST}/v1" )
response = client.chat.completions.create( model="qwen3.5:4b-q4_K_M", messages=[{{"role": "user", "content": "Hello"}}] )
print(response.choices[0].message.content)
"""

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="session"),
]


async def run(server: Server, sample: str, *command: str) -> str:
    """Run a sample with this command, which takes it as its last argument."""
    needed(shutil.which("curl"))
    text = sample.replace(HOST, server.url).replace(KEY, server.key)
    process = await asyncio.create_subprocess_exec(
        *(*command, text), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def shell(server: Server, sample: str) -> Any:
    """Run a sample of curl, and read what it prints as JSON."""
    return json.loads(await run(server, sample, "sh", "-c"))


@pytest.mark.parametrize("sample", [MODELS, BEARER_MODELS])
async def test_models(chat: Server, sample: str) -> None:
    """A list of models, each with who owns it."""
    told = await shell(chat, sample)
    names = {one["id"] for one in told["data"]}

    assert told["object"] == "list"
    assert {"qwen3-4b", "qwen3.5:4b-q4_K_M"} <= names
    assert all(one["object"] == "model" and one["owned_by"] for one in told["data"])


@pytest.mark.parametrize(
    ("sample", "begins"),
    [(CHAT, "One endpoint serves"), (BEARER_CHAT, "Hello! How can I help you today?")],
)
async def test_chat(chat: Server, sample: str, begins: str) -> None:
    """The documented answer, with these fields; it is the one to the question."""
    told = await shell(chat, sample)
    (choice,) = told["choices"]
    used = told["usage"]

    assert told["object"] == "chat.completion"
    assert json.dumps(told["model"]) in sample
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].startswith(begins)
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert used["total_tokens"] == used["prompt_tokens"] + used["completion_tokens"]


async def test_health(chat: Server) -> None:
    """It needs no key."""
    assert (await shell(chat, HEALTH))["ready"]


@pytest.mark.parametrize(
    ("sample", "begins"), [(SDK, "The API is OpenAI's"), (OTHER_SDK, "Hello! How can I help")]
)
async def test_the_sdk(chat: Server, sample: str, begins: str) -> None:
    """Run as a program; it prints the answer."""
    assert (await run(chat, sample, sys.executable, "-c")).startswith(begins)
