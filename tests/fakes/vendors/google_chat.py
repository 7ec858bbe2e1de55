"""Chat of Gemini: what `generateContent` takes and gives, after the types of google-genai 3.4."""

import asyncio
import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated, Literal

import jsonschema
import msgspec
from aiohttp import web
from attrs import define, field
from msgspec import Meta, Struct

LEVELS = {
    "gemini-3.8-flash": {"LOW", "MEDIUM", "HIGH"},
    "gemini-3.5-flash": {"MINIMAL", "LOW", "MEDIUM", "HIGH"},
    "gemini-3.1-flash-lite": {"MINIMAL", "LOW", "MEDIUM", "HIGH"},
    "gemini-3.1-pro-preview": {"LOW", "MEDIUM", "HIGH"},
}
"""The models that chat, and how much they can be told to think."""
SIGNATURE = "c2lnbmVkIHRob3VnaHRz"
UNSIGNED = "skip_thought_signature_validator"
TEXT = "Hello from Gemini"


class Strict(Struct, rename="camel", forbid_unknown_fields=True):
    """A part of a request; what the documentation does not name is refused."""


class Blob(Strict):
    mime_type: Annotated[str, Meta(pattern="^(image/(png|jpeg|webp|heic|heif)|audio/(wav|mp3))$")]
    data: str


class File(Strict):
    file_uri: Annotated[str, Meta(pattern="^https://")]
    mime_type: str = ""


class Call(Strict):
    name: Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$")]
    args: dict[str, object] = {}
    id: str = ""


class Result(Strict):
    name: str
    response: dict[str, object]
    id: str = ""


class Part(Strict):
    text: str | None = None
    inline_data: Blob | None = None
    file_data: File | None = None
    function_call: Call | None = None
    function_response: Result | None = None
    thought_signature: str | None = None


class Content(Strict):
    role: Literal["user", "model"]
    parts: Annotated[list[Part], Meta(min_length=1)]

    @property
    def calls(self) -> list[Call]:
        return [one.function_call for one in self.parts if one.function_call]

    @property
    def results(self) -> list[Result]:
        return [one.function_response for one in self.parts if one.function_response]


class Instruction(Strict):
    parts: Annotated[list[Part], Meta(min_length=1)]


class Declaration(Strict):
    name: Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$")]
    description: str = ""
    parameters_json_schema: dict[str, object] | None = None


class Tools(Strict):
    function_declarations: Annotated[list[Declaration], Meta(min_length=1)]


class Calling(Strict):
    mode: Literal["AUTO", "ANY", "NONE"]
    allowed_function_names: list[str] = []


class ToolConfig(Strict):
    function_calling_config: Calling


class Thinking(Strict):
    thinking_level: str
    include_thoughts: bool = False


class Config(Strict):
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[float, Meta(ge=1)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=5)] = []
    candidate_count: Annotated[int, Meta(ge=1, le=8)] = 1
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    thinking_config: Thinking | None = None
    response_mime_type: Literal["application/json", "text/plain"] | None = None
    response_json_schema: dict[str, object] | None = None


class Chat(Strict):
    contents: Annotated[list[Content], Meta(min_length=1)]
    system_instruction: Instruction | None = None
    generation_config: Config = msgspec.field(default_factory=Config)
    tools: list[Tools] = []
    tool_config: ToolConfig | None = None


def is_chat(model: str, body: bytes) -> bool:
    """Say whether a request is one to chat, and not one to transcribe."""
    return model in LEVELS and b"responseSchema" not in body


def complaint(chat: Chat, model: str) -> str:
    """Return what the API would not like about a request; empty for nothing."""
    checks = (_turns(chat.contents), _signatures(chat.contents), _media(chat.contents))
    return next((one for one in (*checks, _settings(chat, model)) if one), "")


def _turns(contents: Sequence[Content]) -> str:
    roles = [one.role for one in contents]
    if roles[0] != "user" or roles[-1] != "user" or any(a == b for a, b in pairwise(roles)):
        return f"odd roles {roles}"
    for before, after in pairwise(contents):
        calls = [(one.id, one.name) for one in before.calls]
        results = [(one.id, one.name) for one in after.results]
        if calls != results:
            return f"calls {calls} and results {results}"
    return ""


def _signatures(contents: Sequence[Content]) -> str:
    for content in contents:
        signed = [one.thought_signature for one in content.parts if one.function_call]
        if signed and signed[0] not in {SIGNATURE, UNSIGNED}:
            return "Function call is missing a thought_signature"
    return ""


def _media(contents: Sequence[Content]) -> str:
    try:
        for content in contents:
            for one in content.parts:
                base64.b64decode(one.inline_data.data if one.inline_data else "", validate=True)
    except binascii.Error:
        return "no base64"
    return ""


def _settings(chat: Chat, model: str) -> str:
    config, names = chat.generation_config, set()
    for tools in chat.tools:
        for one in tools.function_declarations:
            names.add(one.name)
            jsonschema.Draft202012Validator.check_schema(one.parameters_json_schema or {})
    calling = chat.tool_config.function_calling_config if chat.tool_config else None
    if calling and not names.issuperset(calling.allowed_function_names):
        return "a name that is not declared"
    thinking = config.thinking_config
    if thinking and thinking.thinking_level not in LEVELS[model]:
        return f"no such thinking level: {thinking.thinking_level}"
    if config.response_json_schema is not None and config.response_mime_type is None:
        return "a schema without its type"
    return ""


USAGE = {
    "promptTokenCount": 12,
    "toolUsePromptTokenCount": 3,
    "candidatesTokenCount": 8,
    "thoughtsTokenCount": 5,
    "totalTokenCount": 28,
}


@define
class Talk:
    """What Gemini says, whole or streamed."""

    answers: list[list[dict[str, object]]] = field(factory=lambda: [[{"text": TEXT}]])
    """Parts of each candidate."""
    finish: str | None = "STOP"
    usage: dict[str, int] | None = field(factory=lambda: dict(USAGE))
    events: bytes | None = None
    """What a stream says instead."""
    stalls_after: int | None = None
    """Events after which a stream says no more; None for a whole one."""

    def whole(self, model: str) -> dict[str, object]:
        """Return a whole answer."""
        candidates = [
            {"content": {"role": "model", "parts": parts}, "finishReason": self.finish, "index": at}
            for at, parts in enumerate(self.answers)
        ]
        return self._reply(model, candidates)

    def chunks(self, model: str) -> Iterable[dict[str, object]]:
        """Yield a stream's events: text in pieces, everything else as it is, the end at last."""
        for at, parts in enumerate(self.answers):
            for part in parts:
                for piece in cut(part):
                    content = {"role": "model", "parts": [piece]}
                    yield self._reply(model, [{"content": content, "index": at}])
        ends = [
            {
                "content": {"role": "model", "parts": [{"text": ""}]},
                "finishReason": self.finish,
                "index": at,
            }
            for at in range(len(self.answers))
        ]
        yield self._reply(model, ends)

    async def streamed(self, request: web.Request, model: str) -> web.StreamResponse:
        """Answer with server-sent events."""
        events = [sse(one) for one in self.chunks(model)]
        if self.stalls_after is None:
            body = b"".join(events) if self.events is None else self.events
            return web.Response(body=body, content_type="text/event-stream")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for event in events[: self.stalls_after]:
            await answer.write(event)
        await asyncio.Event().wait()
        return answer

    def _reply(self, model: str, candidates: Sequence[object]) -> dict[str, object]:
        usage = {} if self.usage is None else {"usageMetadata": self.usage}
        return {"candidates": candidates, **usage, "modelVersion": model, "responseId": "resp-1"}


def cut(part: dict[str, object]) -> list[dict[str, object]]:
    """Cut a text into pieces, as a stream does; other parts come whole."""
    text = part.get("text")
    if not isinstance(text, str):
        return [part]
    return [{**part, "text": text[at : at + 5]} for at in range(0, len(text), 5)]


def sse(reply: object) -> bytes:
    """Return an event as Google frames it: data alone, and CRLF line ends."""
    return b"data: " + json.dumps(reply).encode() + b"\r\n\r\n"
