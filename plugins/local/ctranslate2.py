"""
Language models on this machine, through CTranslate2: one supervised process for each.

Without a `[plugins.ctranslate2]` table it serves `junctor-tiny-chat`, which the package carries.
Any other model is a folder in `[plugins.ctranslate2.models."<id>"]`.
"""

import importlib.util
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, cast
from uuid import uuid4

from attrs import evolve
from msgspec import UNSET, Raw, msgpack

from junctor.conf.settings import Settings
from junctor.core.chat.dialect import (
    DONE,
    Answer,
    Choice,
    Delta,
    FinishReason,
    FunctionCall,
    ToolCall,
    Usage,
    Writer,
)
from junctor.core.engine.spec import EngineSpec
from junctor.core.engine.supervisor import Engine
from junctor.core.errors import NotConfiguredError, ProviderAnswerError
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.core.requests import ChatReply, ChatRequest
from junctor.plugins.local.ctranslate2_settings import (
    NAME,
    ChatModelSettings,
    ChatSettings,
    card_of,
)
from junctor.plugins.local.scored import logprobs
from junctor.plugins.local.served import Served, ServedModels
from junctor.plugins.local.workers.chat_items import ChatArgs, ChatItem, ChatOptions, Said, Took

_PACKAGES: Final = ("ctranslate2", "jinja2", "tokenizers")


class ChatProvider(ServedModels):
    """All language models of this deployment that run here."""

    name = NAME

    def __init__(self, settings: ChatSettings) -> None:
        self._answer: msgpack.Decoder[ChatItem] = msgpack.Decoder(ChatItem)
        served = {
            model: Served(
                card=card_of(model, one), engine=Engine(spec_of(model, one)), preloads=one.preload
            )
            for model, one in settings.models.items()
        }
        super().__init__(served)

    async def chat(self, request: ChatRequest, /) -> ChatReply:
        """Continue a conversation."""
        served = self.find(request.model)
        items = await served.engine.run(ChatArgs(), answer=self._answer, payload=request.body)
        choices = [_choice(item) for item in items if isinstance(item, Said)]
        match items:
            case [*_, Took(prompt=prompt, completion=completion)]:
                usage = Usage.of(prompt, completion)
                return ChatReply(body=Writer(served.card.id).whole(choices, usage))
            case _:
                raise ProviderAnswerError(
                    "The engine did not finish its answer.", provider=NAME, model=served.card.id
                )

    async def stream_chat(self, request: ChatRequest, /) -> AsyncGenerator[bytes, None]:
        """Continue a conversation; what is ready at the same time comes together."""
        served = self.find(request.model)
        args = ChatArgs(is_stream=True)
        writer = Writer(served.card.id)
        begun: dict[int, int] = {}
        job = served.engine.stream(args, answer=self._answer, payload=request.body)
        async with aclosing(job) as items:
            async for item in items:
                if isinstance(item, Took):
                    yield writer.usage(Usage.of(item.prompt, item.completion))
                else:
                    yield _chunk(writer, item, begun)
        yield DONE


def spec_of(model: str, settings: ChatModelSettings) -> EngineSpec:
    """Return how the engine of a model is started."""
    options = ChatOptions(
        path=str(settings.folder),
        device=settings.device,
        device_index=settings.device_index,
        compute_type=settings.compute_type,
        threads=settings.threads,
        slots=settings.slots,
        context_tokens=settings.context,
        has_tools=settings.tools,
        may_think=settings.reasoning,
    )
    return EngineSpec(
        provider=NAME,
        model=model,
        worker="junctor.plugins.local.workers.chat:ChatWorker",
        options=options,
        bounds=evolve(settings.bounds(), slots=settings.slots),
    )


def _chunk(writer: Writer, said: Said, begun: dict[int, int]) -> bytes:
    """Write what is new of an answer; `begun` counts the calls of each that has begun."""
    index = said.index
    first = begun.get(index, 0)
    delta = Delta(
        role=UNSET if index in begun else "assistant",
        content=said.content if said.content or index not in begun else UNSET,
        reasoning_content=said.reasoning or UNSET,
        tool_calls=_calls(said, first, is_stream=True) or UNSET,
    )
    begun[index] = first + len(said.calls)
    finish = cast("FinishReason", said.finish) if said.finish else None
    if finish is None or not said.calls:
        return writer.chunk(delta, index=index, finish=finish, logprobs=_logprobs(said))
    # OpenAI ends calls in a chunk of its own, and its SDKs take them for complete only then.
    last = writer.chunk(Delta(), index=index, finish=finish)
    return writer.chunk(delta, index=index, logprobs=_logprobs(said)) + last


def _choice(said: Said) -> Choice:
    calls = _calls(said, 0, is_stream=False)
    message = Answer(
        content=said.content if said.content or not calls else None,
        reasoning_content=said.reasoning or UNSET,
        tool_calls=calls or UNSET,
    )
    finish = cast("FinishReason", said.finish)
    return Choice(said.index, message, finish, logprobs=_logprobs(said))


def _logprobs(said: Said) -> Raw | None:
    return logprobs(said.scores) if said.scores else None


def _calls(said: Said, first: int, *, is_stream: bool) -> list[ToolCall]:
    return [
        ToolCall(
            index=first + number if is_stream else None,
            id=f"call_{uuid4().hex}",
            type="function",
            function=FunctionCall(name=call.name, arguments=call.arguments),
        )
        for number, call in enumerate(said.calls)
    ]


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[ChatProvider]:
    """Return the provider, or say which extra is missing."""
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise NotConfiguredError(
                f"{package} is not installed. Install it with: pip install 'junctor[chat]'"
            )
    return [ChatProvider(plugin_settings(settings, NAME, ChatSettings))]
