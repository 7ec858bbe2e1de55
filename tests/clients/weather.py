"""What all clients' tests ask for: a story to stream, and a tool that the embedded model can call."""

import json
import re
from typing import Any

STORY = "Tell me a long story"
BEGINS = "First the key is looked up"
QUESTION = "What is the weather in Bangkok?"
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def get_weather(city: str) -> str:
    """Get the weather."""
    return json.dumps({"temperature": 31, "condition": "sunny"} if city == "Bangkok" else {})


def is_report(text: object) -> bool:
    """Whether an answer puts the result in words; how right they are is the model's own tests' business."""
    return re.fullmatch(r"In [\w ]+ it is \d+ degrees and \w+\.", str(text)) is not None
