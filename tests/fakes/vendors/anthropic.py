"""Anthropic's Messages API, as its documentation and SDK 2.11.0 have it (November 2026)."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, TypeVar

import jsonschema
import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from tests.fakes.vendors.base import Refusal, VendorFake

VERSIONS = frozenset({"2023-06-01", "2026-10-21"})
FORCED = frozenset({"claude-haiku-5-5"})
"""Models that can be made to call a tool."""
OFF = {"claude-haiku-5-5": "disabled", "claude-sonnet-5-5": "between_tools"}
"""How thinking is turned off; the others always think."""
T = TypeVar("T")
Id = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]+$")]
Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,128}$")]


class Strict(Struct, forbid_unknown_fields=True):
    """A part of a request; what the documentation does not name is refused."""


class Base64(Strict, tag="base64"):
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: Annotated[str, Meta(min_length=1, pattern="^[A-Za-z0-9+/]+=*$")]


class Link(Strict, tag="url"):
    url: Annotated[str, Meta(pattern="^https://")]


class Text(Strict, tag="text"):
    text: Annotated[str, Meta(pattern=r"\S")]


class Image(Strict, tag="image"):
    source: Base64 | Link


class ToolUse(Strict, tag="tool_use"):
    id: Id
    name: Name
    input: dict[str, object]


class ToolResult(Strict, tag="tool_result"):
    tool_use_id: Id
    content: str | list[Text | Image] = ""


class Turn(Strict):
    role: Literal["user", "assistant"]
    content: str | Annotated[list[Text | Image | ToolUse | ToolResult], Meta(min_length=1)]

    def of(self, kind: type[T]) -> list[T]:
        """Return the blocks of a kind."""
        blocks = self.content if isinstance(self.content, list) else []
        return [one for one in blocks if isinstance(one, kind)]


class Tool(Strict):
    name: Name
    input_schema: dict[str, object]
    description: str = ""
    strict: bool = False


class Choice(Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str = ""
    disable_parallel_tool_use: bool = False


class Thinking(Strict):
    type: Literal["adaptive", "disabled", "between_tools"]
    display: Literal["summarized", "omitted"] | None = None


class Format(Strict):
    type: Literal["json_schema"]
    schema: dict[str, object]


class OutputConfig(Strict):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class Metadata(Strict):
    user_id: str


class Request(Strict):
    """Sampling fields are not among them: these models refuse `temperature` and its kin."""

    model: Literal["claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-2"]
    max_tokens: Annotated[int, Meta(ge=1, le=128_000)]
    messages: Annotated[list[Turn], Meta(min_length=1)]
    system: str = ""
    stop_sequences: list[Annotated[str, Meta(pattern=r"\S")]] = []
    stream: bool = False
    tools: list[Tool] = []
    tool_choice: Choice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig = msgspec.field(default_factory=OutputConfig)
    metadata: Metadata | None = None


def _refusal(
    status: int, kind: str, headers: dict[str, str] | None = None, text: str = "what went wrong"
) -> Refusal:
    error = {"type": kind, "message": f"LEAK {text}"}
    document = {"type": "error", "error": error, "request_id": "req_LEAK"}
    return Refusal(status=status, body=msgspec.json.encode(document), headers=headers or {})


class AnthropicFake(VendorFake):
    """Mends the words of `fixes` in a transcript, and says `content` in a chat."""

    VENDOR = "anthropic"
    MODEL = "claude-sonnet-5-5"
    refusals: ClassVar[dict[str, Refusal]] = {
        "rate-limited": _refusal(429, "rate_limit_error", {"retry-after": "7"}),
        "error": _refusal(500, "api_error"),
        "unavailable": _refusal(503, "api_error"),
        "unauthorized": _refusal(401, "authentication_error"),
        "quota": _refusal(402, "billing_error"),
        "locale": _refusal(400, "invalid_request_error"),
        "credit": _refusal(
            400, "invalid_request_error", text="Your credit balance is too low to access it."
        ),
        "permission": _refusal(403, "permission_error"),
        "missing": _refusal(404, "not_found_error"),
        "too-large": _refusal(413, "request_too_large"),
        "gateway-timeout": _refusal(504, "timeout_error"),
        "overloaded": _refusal(529, "overloaded_error"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.fixes = {"wurld": "world"}
        self.stop_reason: str | None = "end_turn"
        self.stop_details: dict[str, object] | None = None
        self.content: list[dict[str, object]] | None = None
        """What it says instead."""
        self.usage = {
            "input_tokens": 10,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3,
            "output_tokens": 20,
        }
        self.asked: Request | None = None
        """The last request that was right."""
        self.events: bytes | None = None
        """What a stream says instead."""
        self.stalls_after: int | None = None
        """Events after which a stream says no more; None for a whole one."""

    def settings_table(self) -> dict[str, object]:
        """Return the table that points the plugin here."""
        return {"api_key": self.KEY, "base_url": self.url}

    def routes(self) -> list[web.AbstractRouteDef]:
        """Return the path of the API."""
        return [web.post("/v1/messages", self._reply)]

    def _refuse(self, name: str) -> web.Response:
        one = self.refusals[name]
        return web.Response(status=one.status, body=one.body, content_type="application/json")

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        if not self.check(request.headers.get("x-api-key") == self.KEY, "wrong key"):
            return self._refuse("unauthorized")
        asked = self._right(request, await request.read())
        if asked is None:
            return self._refuse("locale")
        self.asked = asked
        content = self._said(asked) if self.content is None else self.content
        if asked.stream:
            return await self._streamed(request, asked, content)
        return web.json_response(self._message(asked, content, self.usage))

    def _message(
        self, asked: Request, content: Sequence[object], usage: dict[str, int]
    ) -> dict[str, object]:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": content,
            "stop_reason": self.stop_reason,
            "stop_sequence": None,
            "stop_details": self.stop_details,
            "usage": usage,
        }

    def _right(self, request: web.Request, body: bytes) -> Request | None:
        version = request.headers.get("anthropic-version")
        if not (
            self.check(version in VERSIONS, f"no such version {version}")
            and self.check(request.content_type == "application/json", "not JSON")
        ):
            return None
        try:
            asked = msgspec.json.decode(body, type=Request)
        except msgspec.DecodeError as error:
            self.problems.append(str(error))
            return None
        return asked if self._has_turns(asked.messages) and self._can(asked) else None

    def _has_turns(self, turns: Sequence[Turn]) -> bool:
        """Check that turns alternate, and that each call is answered in the turn behind it."""
        roles = [one.role for one in turns]
        pairs = [
            (
                {one.id for one in before.of(ToolUse)},
                {one.tool_use_id for one in after.of(ToolResult)},
            )
            for before, after in pairwise(turns)
        ]
        return (
            self.check(roles[0] == "user" == roles[-1], f"odd roles {roles}")
            and self.check(all(a != b for a, b in pairwise(roles)), f"odd roles {roles}")
            and self.check(all(uses == results for uses, results in pairs), f"odd calls {pairs}")
        )

    def _can(self, asked: Request) -> bool:
        """Check what only some of the models do."""
        forced = asked.tool_choice is not None and asked.tool_choice.type in {"any", "tool"}
        named = asked.tool_choice.name if asked.tool_choice is not None else ""
        mode = asked.thinking.type if asked.thinking is not None else "adaptive"
        for one in asked.tools:
            jsonschema.Draft202012Validator.check_schema(one.input_schema)
        if asked.output_config.format is not None:
            jsonschema.Draft202012Validator.check_schema(asked.output_config.format.schema)
        return (
            self.check(not forced or asked.model in FORCED, "cannot be forced")
            and self.check(mode in {"adaptive", OFF.get(asked.model)}, f"cannot think so: {mode}")
            and self.check(not asked.tool_choice or bool(asked.tools), "a choice without tools")
            and self.check(not named or named in {t.name for t in asked.tools}, "no such tool")
            and self.check(all(t.input_schema.get("type") == "object" for t in asked.tools), "odd")
        )

    def _said(self, asked: Request) -> list[dict[str, object]]:
        if asked.output_config.format is None or not asked.system.startswith("You correct"):
            return [{"type": "text", "text": "Hello from Claude", "citations": None}]
        return [
            {"type": "thinking", "thinking": "LEAK", "signature": "s"},
            {"type": "text", "text": self._mended(asked), "citations": None},
        ]

    def _mended(self, asked: Request) -> str:
        assert asked.output_config.format is not None
        content = asked.messages[0].content
        assert isinstance(content, str)
        transcript = msgspec.json.decode(content)
        corrections = []
        for segment in transcript["segments"]:
            text = segment["text"]
            for wrong, right in self.fixes.items():
                text = text.replace(wrong, right)
            if text != segment["text"]:
                corrections.append({"id": segment["id"], "text": text})
        answer = {"corrections": corrections}
        jsonschema.validate(answer, asked.output_config.format.schema)
        return msgspec.json.encode(answer).decode()

    async def _streamed(
        self, request: web.Request, asked: Request, content: list[dict[str, object]]
    ) -> web.StreamResponse:
        events = list(self._events(asked, content))
        if self.stalls_after is None:
            body = b"".join(events) if self.events is None else self.events
            return web.Response(body=body, content_type="text/event-stream")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for event in events[: self.stalls_after]:
            await answer.write(event)
        await asyncio.Event().wait()
        return answer

    def _events(self, asked: Request, content: list[dict[str, object]]) -> Iterable[bytes]:
        opening = {**self._message(asked, [], {**self.usage, "output_tokens": 1})}
        yield event("message_start", message={**opening, "stop_reason": None})
        yield event("ping")
        for index, block in enumerate(content):
            yield from block_events(index, block)
        delta = {"stop_reason": self.stop_reason, "stop_sequence": None}
        if self.stop_details is not None:
            delta["stop_details"] = self.stop_details  # type: ignore[assignment]
        yield event("message_delta", delta=delta, usage={"output_tokens": 20})
        yield event("message_stop")


def event(kind: str, **fields: object) -> bytes:
    """Return an event as the API frames it: a name, and the same name in its data."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def pieces(text: str) -> list[str]:
    """Cut a text as a stream does: anywhere."""
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def block_events(index: int, block: dict[str, object]) -> Iterable[bytes]:
    """Yield the events of one block of an answer."""
    match block["type"]:
        case "text":
            empty, deltas = {"type": "text", "text": ""}, [("text_delta", "text", block["text"])]
        case "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [("thinking_delta", "thinking", block["thinking"])]
        case "tool_use":
            empty = {**block, "input": {}}  # type: ignore[dict-item]
            written = json.dumps(block["input"]) if block["input"] else ""
            deltas = [("input_json_delta", "partial_json", written)]
        case _:
            empty, deltas = block, []  # type: ignore[assignment]
    yield event("content_block_start", index=index, content_block=empty)
    for kind, name, text in deltas:
        for piece in pieces(str(text)) or [""]:
            yield event("content_block_delta", index=index, delta={"type": kind, name: piece})
    if block["type"] == "thinking":
        signed = {"type": "signature_delta", "signature": "s"}
        yield event("content_block_delta", index=index, delta=signed)
    yield event("content_block_stop", index=index)
