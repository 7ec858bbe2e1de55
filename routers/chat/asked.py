"""From the body of a request to what the gateway is asked, and what policy has to know of it."""

import re
import zlib
from collections.abc import Iterable, Iterator

import msgspec

from junctor.contracts.chat import EXPECTED, ChatCompletionRequest, ChatMessage
from junctor.core.cards import Capability, Feature
from junctor.core.chat.counting import at_least, prompt_tokens
from junctor.core.chat.serving import Asked
from junctor.core.errors import InvalidRequestError
from junctor.core.gateway import chosen
from junctor.core.plans import Choice, Wish
from junctor.core.requests import ChatRequest
from junctor.core.tickets import Ticket

REMEMBERED = 4096
"""Characters of a message by which a conversation is known again."""

_decoder = msgspec.json.Decoder(ChatCompletionRequest)
_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>\w+)`")
_OF_PARTS = {
    "image_url": Feature.IMAGES,
    "input_audio": Feature.AUDIO,
}


def read_chat(body: bytes) -> ChatCompletionRequest:
    """
    Check a body.

    Raises:
        InvalidRequestError: it is not JSON, or a field is wrong; `param` names it.

    """
    try:
        asked = _decoder.decode(body)
        if not body.isascii():
            body.decode()  # what is not read goes on as it came, and has to be UTF-8 too
    except msgspec.ValidationError as exc:
        raise _refused(str(exc)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidRequestError(f"The body is not valid JSON: {exc}.") from None
    except RecursionError:
        raise InvalidRequestError("The body is nested too deeply.") from None
    for number, message in enumerate(asked.messages):
        _check(message, number)
    return asked


def _check(message: ChatMessage, number: int) -> None:
    if message.content is None and message.role not in {"assistant", "function"}:
        path = f"messages[{number}].content"
        raise InvalidRequestError(
            f"The field {path!r} is not valid: a message of the role {message.role!r} needs a "
            "string, or a list of parts.",
            param=path,
        )


def _refused(told: str) -> InvalidRequestError:
    """Return the error of a field, in the words of the decoder, which names the path."""
    found = _PATH.search(told)
    path = found["path"] if found else ""
    reason = told[: found.start()] if found else told
    missing = _MISSING.search(reason)
    if missing:
        path = f"{path}.{missing['name']}" if path else missing["name"]
    if not path:
        return InvalidRequestError(f"The body is not what is expected here: {reason}.")
    wanted = EXPECTED.get(path.rpartition(".")[2])
    reason = f"{reason}; expected {wanted}" if wanted else reason
    return InvalidRequestError(f"The field {path!r} is not valid: {reason}.", param=path)


def asked_of(asked: ChatCompletionRequest, body: bytes) -> Asked:
    """Return what is asked; the document itself goes on as it came."""
    options = asked.stream_options
    wants_usage = bool(asked.stream and options is not None and options.include_usage)
    return Asked(
        request=ChatRequest(body=body, wants_usage=wants_usage),
        model=asked.model,
        prompt_tokens=prompt_tokens(_texts(asked.messages)),
    )


def wish_of(asked: ChatCompletionRequest, ticket: Ticket, prompt: int) -> Wish:
    """
    Return what the request needs of a model.

    Args:
        asked: the request.
        ticket: brings the team's rules.
        prompt: tokens of the prompt, estimated.

    """
    is_shared = ticket.snapshot.catalog.has_affinity(asked.model)
    return Wish(
        capability=Capability.CHAT,
        features=frozenset(_needs(asked)),
        tokens=at_least(prompt),
        output_tokens=asked.max_completion_tokens or asked.max_tokens or 0,
        affinity=_affinity(asked) if is_shared else b"",
        **chosen(ticket, Choice(model=asked.model)),
    )


def _texts(messages: Iterable[ChatMessage]) -> Iterator[str]:
    for message in messages:
        content = message.content
        if isinstance(content, list):
            yield "".join(part.text or "" for part in content)
        else:
            yield content or ""


def _needs(asked: ChatCompletionRequest) -> Iterator[Feature]:
    """Yield what an answer would be wrong without."""
    if asked.tools and asked.tool_choice != "none":
        yield Feature.TOOLS
    if asked.response_format is not None and asked.response_format.type != "text":
        yield Feature.STRUCTURED_OUTPUT
    if asked.logprobs:
        yield Feature.LOGPROBS
    if asked.n is not None and asked.n > 1:
        yield Feature.SEVERAL_ANSWERS
    if asked.modalities and "audio" in asked.modalities:
        yield Feature.AUDIO
    for message in asked.messages:
        if isinstance(message.content, list):
            yield from (_OF_PARTS[one.type] for one in message.content if one.type in _OF_PARTS)


def _affinity(asked: ChatCompletionRequest) -> bytes:
    """Return what the turns of one conversation have in common: all up to the first of the user."""
    key = 0
    for message, text in zip(asked.messages, _texts(asked.messages), strict=True):
        key = zlib.crc32(text[:REMEMBERED].encode("utf-8", "surrogatepass"), key)
        if message.role == "user":
            break
    return key.to_bytes(4)
