"""Chat with the openai SDK for Python, unmodified, through a server as it ships; both prefixes."""

import asyncio
import json
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel

from tests.clients.scripted import WEATHER
from tests.clients.shipped import Server
from tests.clients.weather import BEGINS, QUESTION, STORY, TOOL, get_weather, is_report

PREFIXES = ("/v1", "/api/llm/v1")
HELLO: Any = [{"role": "user", "content": "Hello"}]
GREETING = "Hello! How can I help you today?"
ASKED: Any = [{"role": "user", "content": QUESTION}]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="session"),
]


class Weather(BaseModel):
    """What is wanted of a structured answer."""

    city: str
    degrees: int
    sunny: bool


@pytest_asyncio.fixture(name="sdk", params=PREFIXES, loop_scope="session")
async def _sdk(chat: Server, request: pytest.FixtureRequest) -> AsyncIterator[AsyncOpenAI]:
    async with chat.sdk(request.param) as sdk:
        yield sdk


def told(message: ChatCompletionMessage) -> list[Any]:
    """Run the tools that an answer calls; return the conversation's next messages."""
    calls: Any = message.tool_calls
    results = [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": get_weather(**json.loads(call.function.arguments)),
        }
        for call in calls
    ]
    return [message, *results]


async def test_plain(sdk: AsyncOpenAI) -> None:
    """An answer, why it ended, and what it took."""
    answer = await sdk.chat.completions.create(model="qwen3-4b", temperature=0, messages=HELLO)
    (choice,) = answer.choices
    used = answer.usage

    assert (choice.message.content, choice.finish_reason) == (GREETING, "stop")
    assert (answer.object, answer.model) == ("chat.completion", "qwen3-4b")
    assert used is not None
    assert used.total_tokens == used.prompt_tokens + used.completion_tokens


async def test_streamed(sdk: AsyncOpenAI) -> None:
    """Several pieces that add up, the reason last, then the usage."""
    stream = await sdk.chat.completions.create(
        model="qwen3-4b",
        temperature=0,
        messages=[{"role": "user", "content": STORY}],
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = [one async for one in stream]
    texts = [one.choices[0].delta.content or "" for one in chunks]

    assert ("".join(texts).startswith(BEGINS), len(texts) > 1) == (True, True)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert (last.choices, last.usage is not None) == ([], True)


async def test_the_seeds_fields(sdk: AsyncOpenAI) -> None:
    """All documented fields at once; the answer ends where it has to."""
    answer = await sdk.chat.completions.create(
        model="qwen3-4b",
        messages=[{"role": "system", "content": "You are a helpful assistant."}, *HELLO],
        temperature=0.0,
        max_tokens=3,
        reasoning_effort="none",
    )

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


async def test_tools(sdk: AsyncOpenAI) -> None:
    """The model calls, the client runs, the model puts the result in words."""
    ask = sdk.chat.completions.create
    first = await ask(model="qwen3-4b", temperature=0, messages=ASKED, tools=[TOOL])
    choice = first.choices[0]
    last = await ask(
        model="qwen3-4b", temperature=0, messages=[*ASKED, *told(choice.message)], tools=[TOOL]
    )

    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert is_report(last.choices[0].message.content)


async def test_tools_in_a_stream(sdk: AsyncOpenAI) -> None:
    """What the SDK's helper puts together of the pieces is the same call."""
    async with sdk.chat.completions.stream(
        model="qwen3-4b", temperature=0, messages=ASKED, tools=[TOOL]
    ) as stream:
        kinds = {event.type async for event in stream}
        first = (await stream.get_final_completion()).choices[0]
    messages = [*ASKED, *told(first.message)]
    async with sdk.chat.completions.stream(
        model="qwen3-4b", temperature=0, messages=messages, tools=[TOOL]
    ) as stream:
        last = await stream.get_final_completion()

    assert first.finish_reason == "tool_calls"
    assert is_report(last.choices[0].message.content)
    assert {"chunk", "tool_calls.function.arguments.done"} <= kinds


async def test_structured_output(sdk: AsyncOpenAI) -> None:
    """A pydantic model goes as a schema and comes back filled."""
    answer = await sdk.chat.completions.parse(
        model="scripted", messages=ASKED, response_format=Weather
    )

    assert answer.choices[0].message.parsed == Weather(**WEATHER)


async def test_structured_output_in_a_stream(sdk: AsyncOpenAI) -> None:
    """The SDK's helper parses it at the end."""
    async with sdk.chat.completions.stream(
        model="scripted", messages=ASKED, response_format=Weather
    ) as stream:
        deltas = [event.delta async for event in stream if event.type == "content.delta"]
        answer = await stream.get_final_completion()

    assert json.loads("".join(deltas)) == WEATHER
    assert answer.choices[0].message.parsed == Weather(**WEATHER)


@pytest.mark.parametrize(
    ("fields", "kind", "code"),
    [
        ({"temperature": 3}, openai.BadRequestError, None),
        ({"messages": []}, openai.BadRequestError, None),
        ({"max_tokens": 1_000_000}, openai.BadRequestError, "context_length_exceeded"),
        ({"model": "nope"}, openai.NotFoundError, "model_not_found"),
        ({"model": "busy"}, openai.RateLimitError, "saturated"),
        ({"model": "deaf"}, openai.InternalServerError, "all_providers_failed"),
    ],
)
async def test_typed_errors(
    sdk: AsyncOpenAI, fields: dict[str, Any], kind: type[openai.APIStatusError], code: str | None
) -> None:
    """The SDK raises its own classes, with the code and the request's id."""
    with pytest.raises(kind) as caught:
        await sdk.chat.completions.create(**{"model": "qwen3-4b", "messages": HELLO, **fields})

    assert (caught.value.code, bool(caught.value.request_id)) == (code, True)


async def test_a_bad_key(sdk: AsyncOpenAI) -> None:
    """It is an AuthenticationError, before a stream too."""
    stranger = sdk.with_options(api_key="nobody")
    with pytest.raises(openai.AuthenticationError):
        await stranger.chat.completions.create(model="qwen3-4b", temperature=0, messages=HELLO)

    with pytest.raises(openai.AuthenticationError):
        await stranger.chat.completions.create(
            model="qwen3-4b", temperature=0, messages=HELLO, stream=True
        )


async def test_when_to_come_back(sdk: AsyncOpenAI) -> None:
    """A model that is busy says when; the SDK reads it from the header."""
    with pytest.raises(openai.RateLimitError) as caught:
        await sdk.chat.completions.create(model="busy", messages=HELLO)

    assert int(caught.value.response.headers["retry-after"]) > 0


async def test_too_many_requests_of_a_team(chat: Server) -> None:
    """The second within a minute is a RateLimitError, with the time to wait."""
    async with chat.sdk().with_options(api_key=await chat.key_of("tight")) as sdk:
        await sdk.chat.completions.create(model="scripted", messages=HELLO)
        with pytest.raises(openai.RateLimitError) as caught:
            await sdk.chat.completions.create(model="scripted", messages=HELLO)

    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60


async def test_a_stream_that_breaks(sdk: AsyncOpenAI) -> None:
    """What came is there, and then the SDK raises; no silent end."""
    text = StringIO()

    async def read() -> None:
        stream = await sdk.chat.completions.create(model="breaking", messages=HELLO, stream=True)
        async for one in stream:
            text.write(one.choices[0].delta.content or "")

    with pytest.raises(openai.APIError) as caught:
        await read()

    assert (text.getvalue(), caught.value.type) == ("Hel", "server_error")


async def test_raw_responses(sdk: AsyncOpenAI) -> None:
    """The headers say who answered; the body is still parsed."""
    raw = await sdk.chat.completions.with_raw_response.create(
        model="qwen3-4b", temperature=0, messages=HELLO
    )

    assert raw.headers["x-junctor-provider"] == "ctranslate2"
    assert raw.headers["x-request-id"] == raw.request_id
    assert raw.parse().choices[0].message.content == GREETING


async def test_models(sdk: AsyncOpenAI) -> None:
    """The seeds' names are among them, and one alone can be asked for."""
    names = {model.id async for model in sdk.models.list()}
    one = await sdk.models.retrieve("qwen3-4b")

    assert {"qwen3-4b", "qwen3.5:27b-Q4_K_M", "qwen3.5:9B-Q4_K_M", "qwen2.5:0.5b"} <= names
    assert (one.id, one.object) == ("qwen3-4b", "model")


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_synchronous_client(chat: Server, prefix: str) -> None:
    """Plain, streamed, tools, structured and refused."""

    def asked(sdk: OpenAI) -> list[object]:
        with sdk:
            create = sdk.chat.completions.create
            plain = create(model="qwen3-4b", temperature=0, messages=HELLO)
            stream = create(model="qwen3-4b", temperature=0, messages=HELLO, stream=True)
            texts = [one.choices[0].delta.content or "" for one in stream]
            first = (
                create(model="qwen3-4b", temperature=0, messages=ASKED, tools=[TOOL])
                .choices[0]
                .message
            )
            last = create(
                model="qwen3-4b", temperature=0, messages=[*ASKED, *told(first)], tools=[TOOL]
            )
            parsed = sdk.chat.completions.parse(
                model="scripted", messages=ASKED, response_format=Weather
            )
            with pytest.raises(openai.NotFoundError):
                create(model="nope", messages=HELLO)
            with pytest.raises(openai.APIError):
                list(create(model="breaking", messages=HELLO, stream=True))
        return [
            plain.choices[0].message.content,
            "".join(texts),
            is_report(last.choices[0].message.content),
            parsed.choices[0].message.parsed,
        ]

    sdk = OpenAI(api_key=chat.key, base_url=chat.url + prefix, max_retries=0)

    assert [GREETING, GREETING, True, Weather(**WEATHER)] == await asyncio.to_thread(asked, sdk)
