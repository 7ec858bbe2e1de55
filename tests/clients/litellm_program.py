"""
Chats with litellm, in an environment of its own, and prints what it saw as one line of JSON.

    python litellm_program.py <base URL> <API key>
"""

import json
import sys
from io import StringIO
from typing import Any

import litellm
import openai

URL, KEY = sys.argv[1:]
HELLO = [{"role": "user", "content": "Hello"}]
STORY = [{"role": "user", "content": "Tell me a long story"}]
ASKED = [{"role": "user", "content": "What is the weather in Bangkok?"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Get the weather", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": FUNCTION}]
RESULT = json.dumps({"temperature": 31, "condition": "sunny"})


def ask(model: str = "qwen3-4b", messages: Any = HELLO, **more: Any) -> Any:
    given = {"api_base": URL, "api_key": KEY, "temperature": 0, "max_retries": 0, **more}
    return litellm.completion(f"openai/{model}", messages=messages, **given)


def texts(stream: Any) -> list[str]:
    return [one.choices[0].delta.content or "" for one in stream if one.choices]


def tools() -> dict[str, Any]:
    """Run the loop of a tool."""
    first = ask(messages=ASKED, tools=TOOLS).choices[0]
    calls = first.message.tool_calls
    results = [{"role": "tool", "tool_call_id": one.id, "content": RESULT} for one in calls]
    last = ask(messages=[*ASKED, first.message.model_dump(), *results], tools=TOOLS)
    names = [one.function.name for one in calls]
    told = last.choices[0].message.content
    return {"finish": first.finish_reason, "names": names, "told": told}


def failure(model: str, **more: Any) -> dict[str, Any]:
    """Return the error, and what came before it."""
    text = StringIO()
    try:
        for one in ask(model, stream=True, **more):
            text.write(one.choices[0].delta.content or "")
    except openai.OpenAIError as error:
        status = getattr(error, "status_code", None)
        return {"kind": type(error).__name__, "status": status, "text": text.getvalue()}
    raise AssertionError("it did not fail")


def main() -> None:
    plain = ask()
    used = plain.usage
    seen = {
        "plain": plain.choices[0].message.content,
        "usage": [used.prompt_tokens, used.completion_tokens, used.total_tokens],
        "stream": texts(ask(messages=STORY, stream=True)),
        "tools": tools(),
        "errors": {
            "model": failure("nope"),
            "busy": failure("busy"),
            "key": failure("qwen3-4b", api_key="nobody"),
            "broken": failure("breaking"),
        },
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
