"""
Chat completions, as seeds 000 and 003 describe them and OpenAI's clients send them.

Only what is acted on, or what would be wrong whoever answers, is listed. All other fields are
passed on unread, in both directions.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Read(Struct, gc=False):
    """What all Structs of this contract share: unknown fields are none of our business."""


class ContentPart(Read, gc=False):
    """A piece of a message: text, a picture, a recording."""

    type: str
    text: str | None = None


class ChatMessage(Read, gc=False):
    """One turn of the conversation."""

    role: Role
    content: str | list[ContentPart] | None = None


class StreamOptions(Read, gc=False):
    """What a stream tells beside the answer."""

    include_usage: bool | None = None


class ToolFunction(Read, gc=False):
    """A function's name; the rest is the model's to understand."""

    name: Annotated[str, Meta(min_length=1)]


class ChatTool(Read, gc=False):
    """Something that the model may call."""

    type: str
    function: ToolFunction | None = None


class AnswerFormat(Read, gc=False):
    """`text`, `json_object`, `json_schema` and others."""

    type: str


class ChatCompletionRequest(Read, gc=False):
    """Body of `POST …/chat/completions`."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    reasoning_effort: Effort | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[ChatTool] | None = None
    tool_choice: str | dict[str, object] | None = None
    parallel_tool_calls: bool | None = None
    response_format: AnswerFormat | None = None
    modalities: list[str] | None = None
    user: str | None = None


EXPECTED = {
    "messages": "a list of at least one message, each with a role and content",
    "role": "one of system, developer, user, assistant, tool, function",
    "reasoning_effort": "one of none, minimal, low, medium, high, xhigh, max",
    "model": "the name of a model, as /v1/models lists them",
}
"""What a field takes, in words, for the message that refuses it."""
