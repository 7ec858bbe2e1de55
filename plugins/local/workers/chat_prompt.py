"""From a conversation to the tokens that a model continues, by the template of its folder."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from attrs import frozen

from junctor.core.chat.dialect import Conversation, Message, NamedTool
from junctor.core.errors import ProviderRejectedError, ProviderUnavailableError
from junctor.plugins.local.tiny_chat.rendering import compile_template, render
from junctor.plugins.local.workers.chat_items import ChatOptions
from junctor.plugins.local.workers.chat_text import CALL, THINK

THOUGHTFUL: Final = frozenset({"low", "medium", "high"})
"""Values of `reasoning_effort` for which a model thinks first; all are one to it."""


@frozen(kw_only=True)
class Prompt:
    """What a model is given."""

    tokens: tuple[str, ...]
    is_thinking: bool
    """Whether the answer begins among the thoughts."""
    begun: str = ""
    """The answer's beginning, where it is given: it makes sure that a function is called."""
    has_tools: bool = False


class Prompts:
    """
    The tokenizer and the template of one model folder.

    Raises:
        ProviderUnavailableError: one of them is missing or broken.

    """

    def __init__(self, folder: Path, options: ChatOptions) -> None:
        from jinja2 import TemplateSyntaxError
        from tokenizers import Tokenizer

        self._options = options
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as exc:  # the library has no other class
            raise _broken(folder, "tokenizer") from exc
        try:
            self._template = compile_template(template_of(folder))
        except TemplateSyntaxError as exc:
            raise _broken(folder, "chat template") from exc

    def prompt(self, conversation: Conversation) -> Prompt:
        """
        Render and cut up a conversation.

        Raises:
            ProviderRejectedError: the template, or the model, does not take it.

        """
        choice = conversation.tool_choice
        tools = [] if choice == "none" else msgspec.to_builtins(conversation.tools or [])
        if tools and not self._options.has_tools:
            raise ProviderRejectedError("This model calls no functions.", provider="")
        begun = _begun(choice) if tools else ""
        thinks = conversation.reasoning_effort in THOUGHTFUL and self._options.may_think
        text = self._render(conversation, tools, is_thinking=thinks and not begun)
        tokens = self.tokenizer.encode(text + begun, add_special_tokens=False).tokens
        return Prompt(
            tokens=tuple(tokens),
            is_thinking=not begun and text.rstrip().endswith(THINK[0]),
            begun=begun,
            has_tools=bool(tools),
        )

    def _render(
        self, conversation: Conversation, tools: list[Mapping[str, object]], *, is_thinking: bool
    ) -> str:
        from jinja2 import TemplateError

        messages = [_plain(message) for message in conversation.messages]
        try:
            return render(self._template, messages, tools=tools, thinking=is_thinking)
        except TemplateError as exc:  # its words are the model folder's own, for the caller
            reason = f"The model's chat template refuses this conversation: {exc.message}."
            raise ProviderRejectedError(reason[:300], provider="") from exc
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as exc:
            reason = "The model's chat template cannot render this conversation."
            raise ProviderRejectedError(reason, provider="") from exc


def template_of(folder: Path) -> str:
    """
    Return the chat template of a model folder: a file of its own, or in the tokenizer's settings.

    Raises:
        ProviderUnavailableError: there is none.

    """
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text("utf-8")
    found = settings_in(folder, "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):  # several, named
        found = next((one["template"] for one in found if one.get("name") == "default"), None)
    if not isinstance(found, str):
        raise _broken(folder, "chat template")
    return found


def settings_in(folder: Path, name: str) -> dict[str, object]:
    """Return one of the JSON files of a model folder; empty where there is none."""
    try:
        found = json.loads((folder / name).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _broken(folder: Path, what: str) -> ProviderUnavailableError:
    print(f"{folder} has no {what} that can be read", file=sys.stderr)  # noqa: T201 - the log of a child
    return ProviderUnavailableError(
        f"The model's folder has no {what} that can be read.", provider=""
    )


def _begun(choice: str | NamedTool | None) -> str:
    """Return the beginning of an answer that calls a function, where it has to."""
    if isinstance(choice, NamedTool) and choice.function is not None:
        name = json.dumps(choice.function.name, ensure_ascii=False)
        return f'{CALL[0]}\n{{"name": {name}, "arguments":'
    return f"{CALL[0]}\n" if choice == "required" else ""


def _plain(message: Message) -> dict[str, object]:
    """Return a message as templates expect it: text as one string, arguments as an object."""
    found: dict[str, object] = msgspec.to_builtins(message)
    found["content"] = _text(message)
    if message.role == "developer":
        found["role"] = "system"
    for call in message.tool_calls or ():
        if call.function is None:
            raise ProviderRejectedError("Only functions can be called.", provider="")
    if message.tool_calls:
        found["tool_calls"] = [_call(one) for one in msgspec.to_builtins(message.tool_calls)]
    return found


def _call(call: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    function = call["function"]
    try:
        arguments = json.loads(str(function.get("arguments") or "{}"))
    except ValueError:
        return call
    return {**call, "function": {**function, "arguments": arguments}}


def _text(message: Message) -> str:
    if isinstance(message.content, list) and any(part.type != "text" for part in message.content):
        raise ProviderRejectedError("This model reads text only.", provider="")
    return message.text
