"""Chat with LangChain's ChatOpenAI, unmodified, through a server as it ships."""

import gc
from io import StringIO
from typing import Any

import openai
import pytest
import pytest_asyncio
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.clients.scripted import WEATHER
from tests.clients.shipped import Server
from tests.clients.test_chat_python import GREETING, PREFIXES, Weather
from tests.clients.weather import BEGINS, QUESTION, STORY, is_report
from tests.clients.weather import get_weather as weather_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="session"),
]


@tool
def get_weather(city: str) -> str:
    """Get the weather."""
    return weather_of(city)


class Talking:
    """Makes chat models of LangChain for one prefix."""

    def __init__(self, server: Server, prefix: str) -> None:
        self._url, self._key = server.url + prefix, server.key

    def __call__(self, model: str = "qwen3-4b", **more: Any) -> ChatOpenAI:
        return ChatOpenAI(
            model=model,
            base_url=self._url,
            api_key=SecretStr(self._key),
            temperature=0,
            max_retries=0,
            **more,
        )


@pytest_asyncio.fixture(name="talking", params=PREFIXES, loop_scope="session")
async def _talking(chat: Server, request: pytest.FixtureRequest) -> Talking:
    return Talking(chat, request.param)


async def test_invoke(talking: Talking) -> None:
    """The text, and the usage as LangChain counts it."""
    answer = await talking().ainvoke("Hello")
    used = answer.usage_metadata

    assert answer.content == GREETING
    assert used is not None
    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"]


async def test_stream(talking: Talking) -> None:
    """Several pieces; their sum is the answer, with its usage."""
    pieces = [one async for one in talking(stream_usage=True).astream(STORY)]
    texts = [str(one.content) for one in pieces]
    whole = AIMessageChunk(content="")
    for one in pieces:
        whole += one

    assert "".join(texts).startswith(BEGINS)
    assert sum(map(bool, texts)) > 1
    assert whole.usage_metadata


async def test_tools(talking: Talking) -> None:
    """A bound tool is called, run, and its result put in words."""
    model = talking().bind_tools([get_weather])
    asked: list[Any] = [HumanMessage(QUESTION)]
    first = await model.ainvoke(asked)
    results = [await get_weather.ainvoke(call) for call in first.tool_calls]
    last = await model.ainvoke([*asked, first, *results])

    assert [one["name"] for one in first.tool_calls] == ["get_weather"]
    assert is_report(last.content)


async def test_structured_output(talking: Talking) -> None:
    """A pydantic model comes back."""
    model = talking("scripted").with_structured_output(Weather)

    assert await model.ainvoke(QUESTION) == Weather(**WEATHER)


@pytest.mark.parametrize(
    ("model", "kind"),
    [("nope", openai.NotFoundError), ("busy", openai.RateLimitError)],
)
async def test_errors(talking: Talking, model: str, kind: type[openai.APIError]) -> None:
    """They are the SDK's own."""
    with pytest.raises(kind):
        await talking(model).ainvoke("Hello")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_stream_that_breaks(talking: Talking) -> None:
    """What came is there, and then it raises; LangChain leaves the stream to the collector."""
    text = StringIO()

    async def read() -> None:
        async for one in talking("breaking").astream("Hello"):
            text.write(str(one.content))

    with pytest.raises(openai.APIError):
        await read()
    gc.collect()  # here, or another test is blamed for the warning

    assert text.getvalue() == "Hel"
