"""Conversations: OpenAI's dialect as a request to Gemini, and a whole answer back."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from mimetypes import guess_type
from operator import itemgetter
from uuid import uuid4

import msgspec
from msgspec import UNSET, Raw, Struct, field

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
    ResponseFormat,
    Tool,
    ToolCall,
    Usage,
    Writer,
)
from junctor.core.errors import ProviderAnswerError
from junctor.core.net import Target
from junctor.plugins.remote.chat import (
    arguments,
    function_of,
    instructions,
    parts_of,
    picture,
    plain,
)
from junctor.plugins.remote.google.cards import LEAST_THOUGHT
from junctor.plugins.remote.vendor import nonsense, read, rejected

Block = dict[str, object]

UNSIGNED = "skip_thought_signature_validator"
"""What Google wants in the place of a signature that nobody has: another model made the call."""
_LEVELS = {"low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}
_MODES = {"none": "NONE", "auto": "AUTO", "required": "ANY"}
_SOUNDS = {"wav": "audio/wav", "mp3": "audio/mp3"}
NOT_YET = frozenset({None, "", "FINISH_REASON_UNSPECIFIED"})
"""Reasons that are none."""
_WHOLE = NOT_YET | {"STOP"}
_LONG = frozenset({"MAX_TOKENS", "CONTINUATION"})
_FILTERED = frozenset(
    {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION"}
    | {"MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"}
)


def document(asked: Conversation, card: ModelCard, target: Target) -> dict[str, object]:
    """
    Return the request's JSON.

    Left out is what the API does not know and an answer is right without: `user`,
    `parallel_tool_calls`, `repetition_penalty`.

    Raises:
        ProviderRejectedError: it has what cannot be said in this API.

    """
    if asked.logprobs:
        raise rejected(target, "tells no log probabilities")
    system = instructions(asked.messages, target)
    given: dict[str, object] = {
        "contents": _contents(asked.messages, target),
        "systemInstruction": {"parts": [{"text": system}]} if system else None,
        "generationConfig": _config(asked, card),
        **_tools(asked, target),
    }
    return {name: value for name, value in given.items() if value}


def _config(asked: Conversation, card: ModelCard) -> Block:
    given = {
        "temperature": asked.temperature,
        "topP": asked.top_p,
        "topK": asked.top_k,
        "maxOutputTokens": asked.max_output_tokens,
        "stopSequences": asked.stops or None,
        "candidateCount": asked.n if (asked.n or 1) > 1 else None,
        "seed": asked.seed,
        "frequencyPenalty": asked.frequency_penalty,
        "presencePenalty": asked.presence_penalty,
        "thinkingConfig": _thinking(asked.reasoning_effort, card),
        **_format(asked.response_format),
    }
    return {name: value for name, value in given.items() if value is not None}


def _thinking(effort: str | None, card: ModelCard) -> Block | None:
    if effort is None:
        return None
    level = _LEVELS.get(effort) or LEAST_THOUGHT.get(card.id, "MINIMAL")
    return {"thinkingLevel": level, "includeThoughts": effort != "none"}


def _format(wanted: ResponseFormat | None) -> Block:
    if wanted is None or wanted.type == "text":
        return {}
    schema = wanted.json_schema.schema if wanted.json_schema is not None else None
    return {"responseMimeType": "application/json", "responseJsonSchema": schema}


def _tools(asked: Conversation, target: Target) -> Block:
    if not asked.tools:
        return {}
    declared = [_declared(one, target) for one in asked.tools]
    wish = asked.tool_choice
    config: Block = {}
    if isinstance(wish, NamedTool):
        if wish.function is None:
            raise rejected(target, "can be made to call a function only")
        config = {"mode": "ANY", "allowedFunctionNames": [wish.function.name]}
    elif wish:
        config = {"mode": _MODES.get(wish, "AUTO")}
    return {
        "tools": [{"functionDeclarations": declared}],
        "toolConfig": {"functionCallingConfig": config} if config else None,
    }


def _declared(tool: Tool, target: Target) -> Block:
    function = tool.function
    if function is None or not function.name:
        raise rejected(target, f"knows no tools of the type {tool.type}")
    given = {
        "name": function.name,
        "description": function.description,
        "parametersJsonSchema": function.parameters,
    }
    return {name: value for name, value in given.items() if value}


def _contents(messages: Iterable[Message], target: Target) -> list[Block]:
    """Return the turns of user and model; what one says in several messages is one turn."""
    spoken = groupby((one for one in _turns(messages, target) if one[1]), key=itemgetter(0))
    contents: list[Block] = [
        {"role": role, "parts": [part for _, parts in group for part in parts]}
        for role, group in spoken
    ]
    if not contents:
        raise rejected(target, "wants a message of the user")
    return contents


def _turns(messages: Iterable[Message], target: Target) -> Iterator[tuple[str, list[Block]]]:
    called: dict[str, str] = {}
    for message in messages:
        match message.role:
            case "system" | "developer":
                continue
            case "assistant":
                calls = message.tool_calls or []
                called |= {one.id: function_of(one, target) for one in calls if one.id}
                yield "model", _of_model(message, calls, target)
            case "tool":
                yield "user", [_result(message, called, target)]
            case "user":
                yield "user", [_part(one, target) for one in parts_of(message)]
            case role:
                raise rejected(target, f"takes no messages of the role {role}")


def _of_model(message: Message, calls: list[ToolCall], target: Target) -> list[Block]:
    text = plain(message, target) or (message.refusal or "")
    said: list[Block] = [{"text": text}] if text.strip() else []
    return [*said, *(_call(one, target, is_first=at == 0) for at, one in enumerate(calls))]


def _call(call: ToolCall, target: Target, *, is_first: bool) -> Block:
    function = {"name": function_of(call, target), "args": arguments(call, target)}
    if call.id:
        function["id"] = call.id
    # Of calls made at once only the first is signed.
    signature = _signature(call) or (UNSIGNED if is_first else "")
    return {"functionCall": function, **({"thoughtSignature": signature} if signature else {})}


class _Signed(Struct):
    thought_signature: str = ""


class _Extra(Struct):
    google: _Signed = field(default_factory=_Signed)


def _signature(call: ToolCall) -> str:
    """Return the signature that came with a call; empty for one that others made, or lost it."""
    try:
        return msgspec.convert(call.extra_content or {}, _Extra).google.thought_signature
    except msgspec.ValidationError:
        return ""


def _result(message: Message, called: Mapping[str, str], target: Target) -> Block:
    id_ = message.tool_call_id or ""
    name = called.get(id_) or message.name
    if not name:
        raise rejected(target, "must be told which call a tool answers")
    found = {"name": name, "response": _response(plain(message, target))}
    return {"functionResponse": {**found, "id": id_} if id_ else found}


def _response(text: str) -> Mapping[str, object]:
    """Return what a function gave as an object: its own, or one around it."""
    try:
        return msgspec.json.decode(text.encode(), type=dict[str, Raw])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return {"output": text}


def _part(part: Part, target: Target) -> Block:
    match part.type:
        case "text":
            return {"text": part.text}
        case "image_url":
            found = picture(part, target)
            if not found.url:
                return {"inlineData": {"mimeType": found.media_type, "data": found.data}}
            kind = guess_type(found.url.partition("?")[0])[0]
            link = {"fileUri": found.url}
            return {"fileData": {**link, "mimeType": kind} if kind else link}
        case "input_audio" if part.input_audio is not None:
            sound = part.input_audio
            if sound.format not in _SOUNDS:
                raise rejected(target, "takes recordings in messages as wav or mp3")
            return {"inlineData": {"mimeType": _SOUNDS[sound.format], "data": sound.data}}
        case kind:
            raise rejected(target, f"takes no {kind} in messages")


class Called(Struct):
    """A function that the model wants called."""

    name: str = ""
    args: Raw = Raw(b"{}")
    id: str | None = None


class SaidPart(Struct, rename="camel"):
    """A piece of an answer: text, a thought, a call; other kinds are skipped."""

    text: str | None = None
    thought: bool | None = None
    function_call: Called | None = None
    thought_signature: str | None = None


class _Content(Struct):
    parts: list[SaidPart] | None = None


class Candidate(Struct, rename="camel"):
    """One of the answers; of a stream, what an event adds to it."""

    content: _Content | None = None
    finish_reason: str | None = None
    index: int | None = None

    @property
    def parts(self) -> list[SaidPart]:
        """Its pieces."""
        return (self.content.parts if self.content is not None else None) or []


class Tokens(Struct, rename="camel"):
    """What was used."""

    prompt_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None

    @property
    def prompt(self) -> int:
        """Tokens of the prompt."""
        return (self.prompt_token_count or 0) + (self.tool_use_prompt_token_count or 0)

    @property
    def usage(self) -> Usage:
        """The same as OpenAI tells it; what was thought is among the answer's tokens."""
        said = (self.candidates_token_count or 0) + (self.thoughts_token_count or 0)
        return Usage.of(self.prompt, said)


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class Failure(Struct):
    """An error in the middle of a stream."""

    code: int | None = None


class Reply(Struct, rename="camel"):
    """A whole answer, or an event of a stream."""

    candidates: list[Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: Tokens | None = None
    response_id: str | None = None
    error: Failure | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether the prompt was held back, so that there is no answer."""
        return self.prompt_feedback is not None and bool(self.prompt_feedback.block_reason)


def completion(body: bytes, target: Target) -> bytes:
    """
    Return a whole answer in OpenAI's dialect.

    Raises:
        ProviderAnswerError: it is none, or was broken off.

    """
    reply = read(body, Reply, target)
    found = reply.candidates or ([Candidate(finish_reason="SAFETY")] if reply.is_blocked else [])
    if not found:
        raise nonsense(target)
    choices = [_choice(at, one, target) for at, one in enumerate(found)]
    tokens = reply.usage_metadata or Tokens()
    return Writer(target.model, reply.response_id or "").whole(choices, tokens.usage)


def _choice(at: int, candidate: Candidate, target: Target) -> Choice:
    text = "".join(one.text or "" for one in candidate.parts if not one.thought)
    thought = "".join(one.text or "" for one in candidate.parts if one.thought)
    calls = [call(one, one.function_call) for one in candidate.parts if one.function_call]
    answer = Answer(
        content=None if calls and not text else text,
        reasoning_content=thought or UNSET,
        tool_calls=calls or UNSET,
    )
    end = finish(candidate.finish_reason, target, has_calls=bool(calls))
    return Choice(index=at, message=answer, finish_reason=end)


def call(part: SaidPart, called: Called, *, index: int | None = None) -> ToolCall:
    """Return a call in OpenAI's dialect; what Google has to see again travels beside it."""
    signature = part.thought_signature
    extra = {"google": {"thought_signature": signature}} if signature else None
    return ToolCall(
        index=index,
        id=called.id or f"call_{uuid4().hex}",
        type="function",
        function=FunctionCall(name=called.name, arguments=bytes(called.args).decode()),
        extra_content=extra,
    )


def finish(reason: str | None, target: Target, *, has_calls: bool) -> FinishReason:
    """
    Return why an answer ended, as OpenAI says it.

    Raises:
        ProviderRejectedError: Google misses a signature of its thoughts in the conversation.
        ProviderAnswerError: it did not end, but was broken off.

    """
    if reason in _WHOLE:
        return "tool_calls" if has_calls else "stop"
    if reason in _LONG:
        return "length"
    if reason in _FILTERED:
        return "content_filter"
    if reason == "MISSING_THOUGHT_SIGNATURE":
        raise rejected(target, "misses its signature beside a call of this conversation")
    raise ProviderAnswerError(
        f"{target.provider} broke its answer off.", provider=target.provider, model=target.model
    )
