"""
The JSON of OpenAI's chat completions, as providers read and write it.

Requests and answers travel through junctor as the bytes they came in, unknown fields included.
These Structs are for those who have to look inside: engines and the adapters of vendors that speak
another dialect. Reading is lenient: the contract has checked a request before, and what is not
listed here is skipped.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import uuid4

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from junctor.core.requests import ChatRequest

DONE = b"data: [DONE]\n\n"
"""The last event of a stream."""


class ImageUrl(Struct):
    """Where a picture is: a `data:` URL, or one that the model's server fetches."""

    url: str = ""
    detail: str | None = None


class InputAudio(Struct):
    """A recording in a message."""

    data: str = ""
    """Base64."""
    format: str = ""
    """`wav` or `mp3`."""


class Part(Struct):
    """A piece of a message's content."""

    type: str = "text"
    """`text`, `image_url`, `input_audio`, `refusal` and others."""
    text: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    refusal: str | None = None


class FunctionCall(Struct, omit_defaults=True):
    """A call of a function that the model wants; of a stream, a piece of one."""

    name: str | None = None
    arguments: str | None = None
    """JSON, as text."""


class ToolCall(Struct, omit_defaults=True):
    """A call that the model wants; of a stream, `index` says which one a piece belongs to."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None
    extra_content: object = None
    """What a vendor has to see again beside the call, by vendor: Google's signed thoughts."""


class Message(Struct, omit_defaults=True):
    """One turn of a conversation."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None

    @property
    def text(self) -> str:
        """Return its text, that of its parts put together."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


class Function(Struct, omit_defaults=True):
    """A function that the model may call."""

    name: str = ""
    description: str | None = None
    parameters: dict[str, object] | None = None
    """JSON schema."""
    strict: bool | None = None


class Tool(Struct, omit_defaults=True):
    """Something that the model may use; only functions are known here."""

    type: str = "function"
    function: Function | None = None


class NamedTool(Struct):
    """The one tool that has to be called."""

    type: str = "function"
    function: Function | None = None


class JsonSchema(Struct):
    """The schema that an answer has to keep to."""

    name: str = ""
    schema: dict[str, object] | None = None
    strict: bool | None = None


class ResponseFormat(Struct):
    """`text`, `json_object` or `json_schema`."""

    type: str = "text"
    json_schema: JsonSchema | None = None


class Conversation(Struct):
    """A request, as far as engines and adapters understand it; None where it says nothing."""

    messages: list[Message]
    tools: list[Tool] | None = None
    tool_choice: str | NamedTool | None = None
    """`none`, `auto`, `required`, or the one to call."""
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    user: str | None = None

    @property
    def max_output_tokens(self) -> int | None:
        """Longest answer wanted, tokens."""
        given = self.max_completion_tokens
        return self.max_tokens if given is None else given

    @property
    def stops(self) -> list[str]:
        """Texts that end the answer, and are not part of it."""
        if isinstance(self.stop, str):
            return [self.stop] if self.stop else []
        return [one for one in self.stop or () if one]


class Usage(Struct):
    """What a conversation took, tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    @classmethod
    def of(cls, prompt: int, completion: int) -> "Usage":
        """Return the usage of so many tokens."""
        return cls(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )


class Delta(Struct):
    """What a chunk adds to the answer."""

    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    """What the model thinks before it answers, where it tells."""
    tool_calls: list[ToolCall] | UnsetType = UNSET
    refusal: str | UnsetType = UNSET


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ChunkChoice(Struct):
    """One answer's part of a chunk."""

    index: int
    delta: Delta
    logprobs: Raw | None = None
    finish_reason: FinishReason | None = None


class Chunk(Struct):
    """One event of a stream."""

    id: str
    object: str
    created: int
    model: str
    choices: Sequence[ChunkChoice]
    usage: Usage | UnsetType = UNSET


class Answer(Struct):
    """The message of a whole answer."""

    content: str | None = None
    role: str = "assistant"
    reasoning_content: str | UnsetType = UNSET
    tool_calls: Sequence[ToolCall] | UnsetType = UNSET
    refusal: str | UnsetType = UNSET


class Choice(Struct):
    """One of the answers."""

    index: int
    message: Answer
    finish_reason: FinishReason
    logprobs: Raw | None = None


class Completion(Struct):
    """A whole answer."""

    id: str
    object: str
    created: int
    model: str
    choices: Sequence[Choice]
    usage: Usage


class _ReplyMessage(Struct):
    content: str | None = None


class _ReplyChoice(Struct):
    message: _ReplyMessage


class _ReplyText(Struct):
    choices: list[_ReplyChoice]


_encoder = msgspec.json.Encoder()
_conversations = msgspec.json.Decoder(Conversation)
_texts = msgspec.json.Decoder(_ReplyText)


def conversation_of(request: ChatRequest) -> Conversation:
    """
    Return what a request says.

    Raises:
        msgspec.ValidationError: a field that the contract passes on unread is not what it should be.

    """
    return _conversations.decode(request.body)


def request_of(messages: Sequence[Mapping[str, object]], **fields: object) -> ChatRequest:
    """Return a request of our own making."""
    return ChatRequest(body=_encoder.encode({"messages": messages, **fields}))


def text_of(body: bytes) -> str:
    """
    Return the text of a whole answer, empty where it has none.

    Raises:
        msgspec.DecodeError: it is not an answer.

    """
    choices = _texts.decode(body).choices
    return (choices[0].message.content or "") if choices else ""


class Writer:
    """
    Writes one answer in the dialect, whole or in chunks.

    Args:
        model: named as whoever answers; the name that the caller asked for takes its place later.
        name: id of the answer; empty to make one.

    """

    def __init__(self, model: str, name: str = "") -> None:
        self._id = name or f"chatcmpl-{uuid4().hex}"
        self._created = int(time.time())
        self._model = model

    def chunk(
        self,
        delta: Delta,
        *,
        index: int = 0,
        finish: FinishReason | None = None,
        logprobs: Raw | None = None,
    ) -> bytes:
        """Return one event of a stream, framed."""
        choice = ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=finish)
        return self._event([choice])

    def usage(self, usage: Usage) -> bytes:
        """Return the event that tells what all of it took, framed."""
        return self._event([], usage)

    def whole(self, choices: Sequence[Choice], usage: Usage) -> bytes:
        """Return a whole answer."""
        return _encoder.encode(
            Completion(
                id=self._id,
                object="chat.completion",
                created=self._created,
                model=self._model,
                choices=choices,
                usage=usage,
            )
        )

    def _event(self, choices: Sequence[ChunkChoice], usage: Usage | None = None) -> bytes:
        chunk = Chunk(
            id=self._id,
            object="chat.completion.chunk",
            created=self._created,
            model=self._model,
            choices=choices,
            usage=UNSET if usage is None else usage,
        )
        return b"data: " + _encoder.encode(chunk) + b"\n\n"
