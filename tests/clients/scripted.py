"""What the models `scripted`, `busy`, `breaking` and `deaf` do: for what the tiny model cannot."""

import json
from typing import Any

from tests.fakes.chat_upstream import GREETING, HEL, WHOLE, Call, chunk, honest, streams

VALUES = {"string": "Bangkok", "integer": 31, "boolean": True}
"""By the type that a schema wants."""
WEATHER: dict[str, Any] = {"city": "Bangkok", "degrees": 31, "sunny": True}


async def acted(call: Call) -> None:
    """Answer by the model that is asked for, and structured where that is wanted."""
    asked = call.json
    if asked["model"] == "busy":
        await call.answer(b"{}", status=429)
    elif asked["model"] == "deaf":
        await call.answer(b"{}", status=500)
    elif asked["model"] == "breaking":
        await streams(GREETING, HEL, then="cut")(call)
    elif "response_format" in asked:
        await _structured(call)
    else:
        await honest(call)


async def _structured(call: Call) -> None:
    """Answer with an object of the very schema that arrived."""
    asked: dict[str, Any] = call.json
    schema = asked["response_format"]["json_schema"]["schema"]
    told = {name: VALUES[one["type"]] for name, one in schema["properties"].items()}
    text = json.dumps(told)
    if asked.get("stream"):
        pieces = [chunk({"content": text[at : at + 5]}) for at in range(0, len(text), 5)]
        done = b"data: [DONE]\n\n"
        await streams(GREETING, *pieces, chunk({}, "stop"), done)(call)
        return
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await call.answer(json.dumps({**WHOLE, "choices": [choice]}).encode())
