"""Conversations: OpenAI's dialect as a request to the Messages API, and a whole answer back."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from msgspec import UNSET, Raw, Struct

from junctor.core.cards import ModelCard
from junctor.core.chat.dialect import (
    Answer,
    Choice,
    Conversation,
    FinishReason,
    FunctionCall,
    Message,
    NamedTool,
    Part,
    Tool,
    ToolCall,
    Usage,
    Writer,
)
from junctor.core.net import Target
from junctor.plugins.remote.anthropic.cards import THINKING, Thinking
from junctor.plugins.remote.chat import (
    arguments,
    function_of,
    instructions,
    parts_of,
    picture,
    plain,
)
from junctor.plugins.remote.vendor import read, rejected

Block = dict[str, object]

_PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_EFFORTS = {"minimal": "low"}
_ENDS: dict[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def document(
    asked: Conversation, card: ModelCard, target: Target, *, max_tokens: int
) -> dict[str, object]:
    """
    Return the request's JSON.

    What the API does not know is left out where an answer is right without it: `temperature`,
    `top_p` and `top_k`, which these models refuse, seeds and penalties.

    Args:
        asked: what is to be said.
        card: the model that is asked.
        target: whom errors name.
        max_tokens: longest answer where the request names none; the API wants to be told.

    Raises:
        ProviderRejectedError: it has what cannot be said in this API, or what the model cannot do.

    """
    _check(asked, target)
    bound = min(max_tokens, card.max_output_tokens or max_tokens)
    given: dict[str, object] = {
        "model": card.id,
        "max_tokens": asked.max_output_tokens or bound,
        "messages": _turns(asked.messages, target),
        "system": instructions(asked.messages, target),
        "stop_sequences": asked.stops,
        "metadata": {"user_id": asked.user} if asked.user else None,
        **_tools(asked, card, target),
        **_thinking(asked, THINKING.get(card.id, Thinking()), target),
    }
    return {name: value for name, value in given.items() if value}


def _check(asked: Conversation, target: Target) -> None:
    if (asked.n or 1) > 1:
        raise rejected(target, "gives one answer at a time")
    if asked.logprobs:
        raise rejected(target, "tells no log probabilities")


def _turns(messages: Iterable[Message], target: Target) -> list[Block]:
    """Return the turns of user and assistant; what one says in several messages is one turn."""
    said = [
        ("assistant" if one.role == "assistant" else "user", _blocks(one, target))
        for one in messages
        if one.role not in {"system", "developer"}
    ]
    spoken = groupby((one for one in said if one[1]), key=itemgetter(0))
    turns: list[Block] = [
        {"role": role, "content": [block for _, blocks in group for block in blocks]}
        for role, group in spoken
    ]
    if not turns:
        raise rejected(target, "wants a message of the user")
    return turns


def _blocks(message: Message, target: Target) -> list[Block]:
    match message.role:
        case "assistant":
            text = plain(message, target) or (message.refusal or "")
            said: list[Block] = [{"type": "text", "text": text}] if text.strip() else []
            return [*said, *(_use(call, target) for call in message.tool_calls or ())]
        case "tool":
            if not message.tool_call_id:
                raise rejected(target, "must be told which call a tool answers")
            return [
                {
                    "type": "tool_result",
                    "tool_use_id": _id(message.tool_call_id),
                    "content": [_block(part, target) for part in parts_of(message)],
                }
            ]
        case "user":
            return [_block(part, target) for part in parts_of(message)]
        case role:
            raise rejected(target, f"takes no messages of the role {role}")


def _block(part: Part, target: Target) -> Block:
    match part.type:
        case "text":
            return {"type": "text", "text": part.text}
        case "image_url":
            return {"type": "image", "source": _source(part, target)}
        case kind:
            raise rejected(target, f"takes no {kind} in messages")


def _source(part: Part, target: Target) -> Block:
    found = picture(part, target)
    if found.url:
        return {"type": "url", "url": found.url}
    if found.media_type not in _PICTURES:
        raise rejected(target, "takes pictures as JPEG, PNG, GIF or WebP")
    return {"type": "base64", "media_type": found.media_type, "data": found.data}


def _use(call: ToolCall, target: Target) -> Block:
    return {
        "type": "tool_use",
        "id": _id(call.id or ""),
        "name": function_of(call, target),
        "input": arguments(call, target),
    }


def _id(given: str) -> str:
    """Return the id of a call in the letters that the API takes; others make them of any."""
    return _NOT_IN_IDS.sub("_", given) or "_"


def _tools(asked: Conversation, card: ModelCard, target: Target) -> Block:
    if not asked.tools:
        return {}
    choice = _choice(asked.tool_choice, card, target)
    if asked.parallel_tool_calls is False:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    return {"tools": [_tool(one, target) for one in asked.tools], "tool_choice": choice}


def _tool(tool: Tool, target: Target) -> Block:
    function = tool.function
    if function is None or not function.name:
        raise rejected(target, f"knows no tools of the type {tool.type}")
    given = {
        "name": function.name,
        "description": function.description,
        "input_schema": {"type": "object", **(function.parameters or {})},
        "strict": function.strict,
    }
    return {name: value for name, value in given.items() if value}


def _choice(wish: str | NamedTool | None, card: ModelCard, target: Target) -> Block:
    if isinstance(wish, NamedTool):
        name = wish.function.name if wish.function is not None else ""
        forced: Block = {"type": "tool", "name": name}
    elif wish == "required":
        forced = {"type": "any"}
    else:
        return {"type": wish} if wish else {}
    if not THINKING.get(card.id, Thinking()).can_be_forced:
        raise rejected(target, f"cannot be made to call a tool with {card.id}")
    if forced.get("name") == "":
        raise rejected(target, "can be made to call a function only")
    return forced


def _thinking(asked: Conversation, thinking: Thinking, target: Target) -> Block:
    config: Block = {}
    effort, mode = asked.reasoning_effort, None
    if effort == "none" and thinking.off is not None:
        mode = {"type": thinking.off}
    elif effort is not None:  # who asks for thought gets to see it
        config["effort"] = "low" if effort == "none" else _EFFORTS.get(effort, effort)
        mode = None if effort == "none" else {"type": "adaptive", "display": "summarized"}
    wanted = asked.response_format
    if wanted is not None and wanted.type != "text":
        if wanted.json_schema is None or wanted.json_schema.schema is None:
            raise rejected(target, "keeps to JSON only where it is given the schema")
        config["format"] = {"type": "json_schema", "schema": wanted.json_schema.schema}
    return {"thinking": mode, "output_config": config}


class Tokens(Struct):
    """What was used; of a stream, as far as an event says."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def prompt(self) -> int:
        """Tokens of the prompt, those of the cache among them."""
        return (
            (self.input_tokens or 0)
            + (self.cache_creation_input_tokens or 0)
            + (self.cache_read_input_tokens or 0)
        )

    @property
    def usage(self) -> Usage:
        """The same as OpenAI tells it; what was thought is among the answer's tokens."""
        return Usage.of(self.prompt, self.output_tokens or 0)


class StopDetails(Struct):
    """Why an answer was refused."""

    explanation: str | None = None


class ContentBlock(Struct):
    """A piece of an answer: text, a thought, a call; other kinds are skipped."""

    type: str
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class _Message(Struct):
    content: list[ContentBlock]
    usage: Tokens
    id: str = ""
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


def completion(body: bytes, target: Target) -> bytes:
    """
    Return a whole answer in OpenAI's dialect.

    Raises:
        ProviderAnswerError: it is none.

    """
    message = read(body, _Message, target)
    text = "".join(one.text for one in message.content if one.type == "text")
    thought = "".join(one.thinking for one in message.content if one.type == "thinking")
    calls = _calls(message.content)
    refusal = message.stop_details.explanation if message.stop_details is not None else None
    answer = Answer(
        content=None if calls and not text else text,
        reasoning_content=thought or UNSET,
        tool_calls=calls or UNSET,
        refusal=refusal or UNSET,
    )
    choice = Choice(index=0, message=answer, finish_reason=finish(message.stop_reason))
    return Writer(target.model, message.id).whole([choice], message.usage.usage)


def _calls(content: Iterable[ContentBlock]) -> Sequence[ToolCall]:
    return [
        ToolCall(
            id=one.id,
            type="function",
            function=FunctionCall(name=one.name, arguments=bytes(one.input).decode()),
        )
        for one in content
        if one.type == "tool_use"
    ]


def finish(reason: str | None) -> FinishReason:
    """Return why an answer ended, as OpenAI says it."""
    return _ENDS.get(reason or "", "stop")
