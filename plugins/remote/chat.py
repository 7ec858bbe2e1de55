"""What the adapters of chats in another dialect share: reading requests, and saying no to them."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from attrs import frozen
from msgspec import Raw

from junctor.core.chat.dialect import Conversation, Message, Part, ToolCall, conversation_of
from junctor.core.net import Target
from junctor.core.requests import ChatRequest
from junctor.plugins.remote.vendor import rejected

_arguments = msgspec.json.Decoder(dict[str, Raw])


@frozen
class Picture:
    """A picture of a message: its bytes, or where they are."""

    media_type: str
    """Empty where nobody says."""
    data: str = ""
    """Base64; empty for a link."""
    url: str = ""


def asked(request: ChatRequest, target: Target) -> Conversation:
    """
    Return what a request says.

    Raises:
        ProviderRejectedError: a field is not what it should be.

    """
    try:
        return conversation_of(request)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise rejected(target, "cannot be told this request: a field is not of its type") from exc


def parts_of(message: Message) -> Sequence[Part]:
    """Return a message's content in parts; those of blank text are left out."""
    content = message.content
    parts = [Part(text=content)] if isinstance(content, str) else content or []
    return [one for one in parts if one.type != "text" or (one.text or "").strip()]


def plain(message: Message, target: Target) -> str:
    """
    Return the text of a message that can have nothing else.

    Raises:
        ProviderRejectedError: it has.

    """
    parts = parts_of(message)
    if odd := next((one.type for one in parts if one.type not in {"text", "refusal"}), None):
        raise rejected(target, f"takes no {odd} in messages of the {message.role}")
    return "".join(one.text or one.refusal or "" for one in parts)


def instructions(messages: Iterable[Message], target: Target) -> str:
    """Return what the messages of system and developer say, wherever they stand; else as `plain`."""
    said = (plain(one, target) for one in messages if one.role in {"system", "developer"})
    return "\n\n".join(one for one in said if one)


def picture(part: Part, target: Target) -> Picture:
    """
    Return the picture of a part.

    Raises:
        ProviderRejectedError: it is neither a `data:` URL in base64 nor an `https:` URL.

    """
    url = part.image_url.url if part.image_url is not None else ""
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        media_type = head.removeprefix("data:").partition(";")[0].lower()
        return Picture(media_type, data=data)
    if url.startswith("https://"):
        return Picture("", url=url)
    raise rejected(target, "takes pictures as data: URLs in base64 or as https: URLs")


def arguments(call: ToolCall, target: Target) -> Mapping[str, Raw]:
    """
    Return the arguments of a call that a model made before, each as it was written.

    Raises:
        ProviderRejectedError: they are not a JSON object.

    """
    text = call.function.arguments if call.function is not None else None
    try:
        return _arguments.decode((text or "{}").encode())
    except (msgspec.DecodeError, UnicodeEncodeError) as exc:
        raise rejected(target, "cannot be told the arguments of an earlier call") from exc


def function_of(call: ToolCall, target: Target) -> str:
    """
    Return the name of the function that an earlier call called.

    Raises:
        ProviderRejectedError: it is no call of a function.

    """
    if call.function is None or not call.function.name:
        raise rejected(target, "can be told of calls of functions only")
    return call.function.name
