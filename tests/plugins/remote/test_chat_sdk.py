"""OpenAI's own client over junctor over vendors that speak another dialect: nothing is lost."""

import json
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any

import openai
import pytest
from attrs import define

from tests.fakes.server import Served, server_settings, serving
from tests.fakes.vendors.anthropic import AnthropicFake, block_events, event
from tests.fakes.vendors.google import GoogleFake
from tests.fakes.vendors.google_chat import SIGNATURE
from tests.plugins.remote.adapters import plugged

CLAUDE, GEMINI = "claude-sonnet-5-5", "gemini-3.8-flash"
HI = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": True}}


@define
class House:
    """A server with both vendors behind it, and a client."""

    anthropic: AnthropicFake
    google: GoogleFake
    served: Served
    client: openai.AsyncOpenAI

    def ask(self, model: str, *messages: Any, **fields: Any) -> Awaitable[Any]:
        """Continue a conversation with the SDK."""
        create: Any = self.client.chat.completions.create
        asked: Awaitable[Any] = create(model=model, messages=[HI, *messages], **fields)
        return asked


@pytest.fixture(name="house")
async def _house(tmp_path):
    async with AsyncExitStack() as stack:
        anthropic = await stack.enter_async_context(AnthropicFake())
        google = await stack.enter_async_context(GoogleFake())
        served = await stack.enter_async_context(
            serving(server_settings(tmp_path), plugged(anthropic), plugged(google))
        )
        client = openai.AsyncOpenAI(
            base_url=f"{served.url}/v1", api_key=served.key, max_retries=0, timeout=10
        )
        yield House(anthropic, google, served, client)
        await client.close()


SAID = [(CLAUDE, "Hello from Claude", 35), (GEMINI, "Hello from Gemini", 28)]


@pytest.mark.parametrize(("model", "text", "tokens"), SAID, ids=["claude", "gemini"])
async def test_whole_and_streamed(house, model, text, tokens):
    """Text, the model's name and usage come through, and the tokens are charged once each."""
    whole = await house.ask(model)
    pieces = await house.ask(model, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in pieces]
    said = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)

    assert [text, text] == [whole.choices[0].message.content, said]
    assert [tokens] == [chunk.usage.total_tokens for chunk in chunks if chunk.usage]
    assert (tokens, model) == (whole.usage.total_tokens, whole.model)
    assert [tokens, tokens] == [
        one.prompt_tokens + one.completion_tokens for one in await house.served.entries()
    ]


async def test_claude_calls_tools(house):
    """The SDK puts the pieces of a call together, and its answer is what Anthropic takes."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": [1, 2]}}
    house.anthropic.content, house.anthropic.stop_reason = [use], "tool_use"
    stream = house.client.chat.completions.stream(model=CLAUDE, messages=[HI], tools=[TOOL])
    async with stream as events:
        message = (await events.get_final_completion()).choices[0].message
    house.anthropic.content, house.anthropic.stop_reason = None, "end_turn"
    (call,) = message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "a cat"}
    answer = await house.ask(CLAUDE, message.to_dict(), result, tools=[TOOL])

    assert {"at": [1, 2]} == json.loads(call.function.arguments)
    assert "Hello from Claude" == answer.choices[0].message.content
    assert [] == house.anthropic.problems


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_gemini_gets_its_signatures_back(house, streams):
    """The SDK keeps what it does not know beside a call, so Google's signature goes round."""
    made = {"functionCall": {"name": "look", "args": {}}, "thoughtSignature": SIGNATURE}
    house.google.talk.answers = [[made]]
    if streams:
        stream = house.client.chat.completions.stream(model=GEMINI, messages=[HI], tools=[TOOL])
        async with stream as events:
            message = (await events.get_final_completion()).choices[0].message
    else:
        message = (await house.ask(GEMINI, tools=[TOOL])).choices[0].message
    house.google.talk.answers = [[{"text": "a cat"}]]
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "x"}
    answer = await house.ask(GEMINI, message.to_dict(), result, tools=[TOOL])

    assert SIGNATURE == house.google.asked.contents[1].parts[0].thought_signature
    assert "a cat" == answer.choices[0].message.content
    assert [] == house.google.problems


@pytest.mark.parametrize(
    ("model", "fields"),
    [(CLAUDE, {"n": 2}), (CLAUDE, {"logprobs": True}), (GEMINI, {"logprobs": True})],
)
async def test_what_no_card_names(house, model, fields):
    """What a model cannot do is a bad request, before anybody is asked."""
    with pytest.raises(openai.BadRequestError):
        await house.ask(model, **fields)

    assert [] == house.anthropic.seen + house.google.seen


async def test_a_vendor_that_is_overloaded(house):
    """Nobody answers: the SDK's own error says that it is not the caller's fault."""
    house.anthropic.always = "overloaded"

    with pytest.raises(openai.InternalServerError):
        await house.ask(CLAUDE)


async def test_a_stream_that_breaks_is_told_so(house):
    """After the first token an error is an event of the stream, and an exception of the SDK."""
    house.anthropic.events = broken()

    with pytest.raises(openai.APIError):
        async for _ in await house.ask(CLAUDE, stream=True):
            pass


def broken() -> bytes:
    """Return a stream that says something, then that it is overloaded."""
    opening = event("message_start", message={"id": "m", "usage": {"input_tokens": 9}})
    text = b"".join(block_events(0, {"type": "text", "text": "hello"}))
    return opening + text + event("error", error={"type": "overloaded_error", "message": "LEAK"})
