"""What `junctor demo` asks of chat: whole and streamed answers, a tool, and an outage."""

import json
from collections.abc import Callable

import httpx

from junctor.routers.cli.demo.server import CHAT, Server
from junctor.routers.cli.demo.steps import Step

MODEL = "junctor-tiny-chat"
OUTAGE_FIRST = "demo-chat-with-an-outage"
"""A public name whose first candidate is down."""
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def _asked(
    question: str, *, model: str = MODEL, api: str = "/v1", **fields: object
) -> Callable[[Server], httpx.Response]:
    document = {"model": model, "messages": [{"role": "user", "content": question}], **fields}

    def send(server: Server) -> httpx.Response:
        return server.client.post(f"{api}/chat/completions", json={"temperature": 0, **document})

    return send


def _content(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def _call(answer: httpx.Response) -> str:
    call = answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    return f"{call['name']} {call['arguments']}"


def _pieces(answer: httpx.Response) -> str:
    """Return the text of a stream, if it came to its end and told its usage."""
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    if events[-1] != "[DONE]":
        raise ValueError("the stream was cut")
    chunks = [json.loads(event) for event in events[:-1]]
    if not chunks[-1]["usage"]["completion_tokens"]:
        raise ValueError("the usage is missing")
    deltas = (chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"])
    return "".join(delta.get("content") or "" for delta in deltas)


def _models(answer: httpx.Response) -> str:
    return " ".join(model["id"] for model in answer.json()["data"])


STEPS = (
    Step(
        name="chat",
        send=_asked("What is junctor?"),
        text=_content,
        expected="junctor is one server",
        provider=CHAT,
    ),
    Step(
        name="chat, Thai, by the other prefix",
        send=_asked("junctor คืออะไร", model="qwen3-4b", api="/api/llm/v1"),
        text=_content,
        expected="เซิร์ฟเวอร์",
        provider=CHAT,
    ),
    Step(
        name="chat, streamed",
        send=_asked("Count to ten", stream=True, stream_options={"include_usage": True}),
        text=_pieces,
        expected="1 2 3 4 5 6 7 8 9 10",
        provider=CHAT,
    ),
    Step(
        name="chat, a tool is called",
        send=_asked("What is the weather in Bangkok?", tools=[WEATHER]),
        text=_call,
        expected='get_weather {"city": "Bangkok"}',
        provider=CHAT,
    ),
    Step(
        name="chat, the vendor is down",
        send=_asked("What is your name?", model=OUTAGE_FIRST),
        text=_content,
        expected="junctor-tiny-chat",
        provider=CHAT,
    ),
    Step(
        name="chat, a model that nobody serves",
        send=_asked("Hello", model="gpt-none"),
        text=lambda answer: str(answer.json()["error"]["message"]),
        expected="Known models",
        status=404,
    ),
    Step(
        name="chat, the models",
        send=lambda server: server.client.get("/api/llm/v1/models"),
        text=_models,
        expected="junctor-tiny-chat",
    ),
)
