"""The events of a streamed answer, each as a chunk of OpenAI's dialect."""

from http import HTTPStatus

from msgspec import Struct, field, structs

from junctor.core.chat.dialect import (
    Delta,
    FunctionCall,
    ToolCall,
    Usage,
    Writer,
)
from junctor.core.errors import ProviderError
from junctor.core.net import Target, status_error
from junctor.plugins.remote.anthropic.chat import ContentBlock, StopDetails, Tokens, finish
from junctor.plugins.remote.vendor import read

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status that an error would have had before the stream began."""


class _Opening(Struct):
    id: str = ""
    usage: Tokens = field(default_factory=Tokens)


class _Delta(Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class _Error(Struct):
    type: str = ""


class _Event(Struct):
    type: str
    index: int = 0
    message: _Opening | None = None
    content_block: ContentBlock | None = None
    delta: _Delta | None = None
    usage: Tokens | None = None
    error: _Error | None = None


class ChatStream:
    """
    One answer on its way.

    Args:
        target: who answers.

    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._writer = Writer(target.model)
        self._tokens = Tokens()
        self._calls: dict[int, int] = {}
        """Number of the call that a block is."""
        self._silent: set[int] = set()
        """Blocks of calls that have no arguments so far."""

    def take(self, data: bytes) -> bytes:
        """
        Return the chunks of one event, framed; nothing for one that says nothing.

        Raises:
            ProviderAnswerError: it is none.
            ProviderError: it tells an error; the subclass says which.

        """
        event = read(data, _Event, self._target)
        match event.type:
            case "message_start":
                return self._begun(event.message or _Opening())
            case "content_block_start" if event.content_block is not None:
                return self._opened(event.index, event.content_block)
            case "content_block_delta" if event.delta is not None:
                return self._added(event.index, event.delta)
            case "content_block_stop":
                return self._closed(event.index)
            case "message_delta":
                return self._ended(event)
            case "error":
                raise self._told(event.error or _Error())
            case _:
                return b""

    def _begun(self, opening: _Opening) -> bytes:
        """Greet, and tell the prompt's tokens at once: who leaves early has read them."""
        self._writer = Writer(self._target.model, opening.id)
        self._tokens = opening.usage
        greeting = self._writer.chunk(Delta(role="assistant", content=""))
        return greeting + self._writer.usage(Usage.of(self._tokens.prompt, 0))

    def _opened(self, index: int, block: ContentBlock) -> bytes:
        if block.type != "tool_use":
            return self._said(block.text, block.thinking)
        number = self._calls[index] = len(self._calls)
        self._silent.add(index)
        function = FunctionCall(name=block.name, arguments="")
        call = ToolCall(index=number, id=block.id, type="function", function=function)
        return self._writer.chunk(Delta(tool_calls=[call]))

    def _added(self, index: int, delta: _Delta) -> bytes:
        if index in self._calls:
            return self._argued(index, delta.partial_json)
        return self._said(delta.text, delta.thinking)

    def _said(self, text: str, thinking: str) -> bytes:
        if text:
            return self._writer.chunk(Delta(content=text))
        return self._writer.chunk(Delta(reasoning_content=thinking)) if thinking else b""

    def _argued(self, index: int, piece: str) -> bytes:
        if not piece:
            return b""
        self._silent.discard(index)
        call = ToolCall(index=self._calls[index], function=FunctionCall(arguments=piece))
        return self._writer.chunk(Delta(tool_calls=[call]))

    def _closed(self, index: int) -> bytes:
        """Give a call without arguments an empty object: what follows its name must be JSON."""
        return self._argued(index, "{}") if index in self._silent else b""

    def _ended(self, event: _Event) -> bytes:
        told = structs.asdict(event.usage) if event.usage is not None else {}
        given = {name: value for name, value in told.items() if value is not None}
        self._tokens = structs.replace(self._tokens, **given)
        delta = event.delta
        if delta is None or delta.stop_reason is None:
            return b""
        refusal = delta.stop_details.explanation if delta.stop_details is not None else None
        last = Delta(refusal=refusal) if refusal else Delta()
        said = self._writer.chunk(last, finish=finish(delta.stop_reason))
        return said + self._writer.usage(self._tokens.usage)

    def _told(self, error: _Error) -> ProviderError:
        status = _STATUS.get(error.type, HTTPStatus.INTERNAL_SERVER_ERROR)
        return status_error(self._target, status, {})
