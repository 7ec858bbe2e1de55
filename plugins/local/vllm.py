"""
Chat by vLLM: servers that junctor starts in an environment of their own, or that run elsewhere.

vLLM speaks OpenAI's dialect, so requests and answers are relayed as bytes. Each replica is a card of
its own; which one a conversation goes to is policy's business.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from attrs import evolve, frozen
from msgspec import Raw, Struct

from junctor.conf.settings import Settings
from junctor.core.cards import ModelCard
from junctor.core.chat.relay import ChatServer
from junctor.core.engine.server_process import ServerProcess
from junctor.core.engine.server_spec import ServerStatus
from junctor.core.engine.server_watch import WatchedServer
from junctor.core.engine.spec import EngineState
from junctor.core.errors import NotConfiguredError, ProviderRejectedError, ProviderRestingError
from junctor.core.hooks import hookimpl
from junctor.core.net import Pool, Target
from junctor.core.plugins import plugin_settings
from junctor.core.requests import ChatReply, ChatRequest
from junctor.core.storage.database import data_folder
from junctor.plugins.local.vllm_settings import (
    EXAMPLE,
    NAME,
    VllmModelSettings,
    VllmSettings,
    cards_of,
    served_name,
    server_of,
    watch_of,
)

_NOT_THINKING: Final = "none"
_ABSENT: Final = Raw()


class _Thinking(Struct):
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Raw] | None = None
    thinking_token_budget: Raw = _ABSENT


_thinking = msgspec.json.Decoder(_Thinking)


@frozen(kw_only=True)
class Replica:
    """One server of a model, and its card."""

    card: ModelCard
    settings: VllmModelSettings
    server: ServerProcess | WatchedServer


class VllmProvider:
    """All models of this deployment that vLLM serves."""

    name = NAME

    def __init__(self, settings: VllmSettings, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._pool = Pool()
        self._is_open = False
        self._replicas = {
            replica.card.id: replica
            for model, one in settings.models.items()
            for replica in replicas_of(model, one, log_folder)
        }

    def models(self) -> Sequence[ModelCard]:
        """Return the card of each replica."""
        return tuple(replica.card for replica in self._replicas.values())

    def engines(self) -> dict[str, ServerStatus]:
        """Return how each server is, by the replica's id."""
        return {name: replica.server.status for name, replica in self._replicas.items()}

    async def start(self) -> None:
        """Start the servers, and wait for none: a request for one that is not ready is refused."""
        if not self._is_open:
            self._is_open = True
            await self._pool.open()
        await asyncio.to_thread(self._log_folder.mkdir, parents=True, exist_ok=True)
        await asyncio.gather(*(replica.server.start() for replica in self._replicas.values()))

    async def close(self) -> None:
        """Stop the servers that were started here, and leave the others alone."""
        await asyncio.gather(*(replica.server.close() for replica in self._replicas.values()))
        if self._is_open:
            self._is_open = False
            await self._pool.close()

    async def chat(self, request: ChatRequest, /) -> ChatReply:
        """
        Continue a conversation.

        Raises:
            ProviderRestingError: this replica is starting, or broken and not back yet; ask another.
            ProviderError: it failed; the subclass says how.

        """
        replica = self._ready(request)
        return await self._door(replica).chat(
            *_named(request, replica), changes=thinking(request, replica)
        )

    def stream_chat(self, request: ChatRequest, /) -> AsyncIterator[bytes]:
        """Continue a conversation, in the server's own bytes; raises as `chat` does."""
        replica = self._ready(request)
        return self._door(replica).stream(
            *_named(request, replica), changes=thinking(request, replica)
        )

    def _ready(self, request: ChatRequest) -> Replica:
        replica = self._replicas.get(request.model)
        if replica is None:
            raise ProviderRejectedError(
                f"There is no model {request.model!r} here, only {', '.join(self._replicas)}.",
                provider=NAME,
                model=request.model,
            )
        if replica.server.state is not EngineState.READY:
            raise ProviderRestingError(
                f"{replica.card.name} is not ready ({replica.server.state}).",
                provider=NAME,
                model=request.model,
            )
        return replica

    def _door(self, replica: Replica) -> ChatServer:
        settings = replica.settings
        return ChatServer(
            pool=self._pool,
            url=f"{replica.server.url}/v1/chat/completions",  # another port with each start
            headers=settings.headers,
            timeout=settings.timeout,
            defaults={"temperature": settings.temperature},
        )


def replicas_of(model: str, settings: VllmModelSettings, log_folder: Path) -> Iterator[Replica]:
    """Yield the replicas of a model, none of them started."""
    for number, card in enumerate(cards_of(model, settings)):
        server: ServerProcess | WatchedServer
        if settings.urls:
            server = WatchedServer(watch_of(card, settings, settings.urls[number]))
        else:
            device = settings.devices[number] if settings.devices else None
            server = ServerProcess(server_of(card, settings, device=device, log_folder=log_folder))
        yield Replica(card=card, settings=settings, server=server)


def thinking(request: ChatRequest, replica: Replica) -> Mapping[str, object]:
    """
    Return what turns a request's `reasoning_effort` into the thinking switch of Qwen3.

    What the caller says in vLLM's own fields, `chat_template_kwargs` and `thinking_token_budget`,
    comes first.

    Raises:
        ProviderRejectedError: one of these fields is not what it should be.

    """
    settings = replica.settings
    if settings.reasoning == "none":
        return {}
    try:
        given = _thinking.decode(request.body)
    except msgspec.ValidationError as exc:
        raise ProviderRejectedError(
            "`reasoning_effort` has to be a word, and `chat_template_kwargs` an object.",
            provider=NAME,
            model=replica.card.id,
        ) from exc
    effort = given.reasoning_effort or _NOT_THINKING
    switch = {"enable_thinking": effort != _NOT_THINKING}
    changes: dict[str, object] = {
        "chat_template_kwargs": switch | (given.chat_template_kwargs or {}),
        "reasoning_effort": None,  # not every version knows `none`
    }
    budget = settings.budgets.get(effort)
    if budget is not None and not given.thinking_token_budget:
        changes["thinking_token_budget"] = budget
    return changes


def _named(request: ChatRequest, replica: Replica) -> tuple[ChatRequest, Target]:
    name = served_name(replica.card)
    return evolve(request, model=name), Target(NAME, replica.card.id)


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[VllmProvider]:
    """Return the provider, or say what to set."""
    own = plugin_settings(settings, NAME, VllmSettings)
    if not own.models:
        raise NotConfiguredError(
            f'No model is set up. Add [plugins.vllm.models."{EXAMPLE}"] with `python` and `model`, '
            "or with `urls`."
        )
    folder = (
        Path(own.log_folder).expanduser()
        if own.log_folder
        else data_folder(settings.storage) / "logs"
    )
    return [VllmProvider(own, folder)]
