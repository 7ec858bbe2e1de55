"""One provider for both: conversations, and transcripts that are to be corrected."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from junctor.core.cards import ModelCard
from junctor.core.errors import ProviderError, ProviderQuotaError
from junctor.core.net import Body, RelayAnswer, Target, json_body
from junctor.core.requests import ChatReply, ChatRequest, ReviseRequest
from junctor.core.transcripts import Transcript
from junctor.plugins.remote.anthropic import chat, revise
from junctor.plugins.remote.anthropic.cards import CARDS
from junctor.plugins.remote.anthropic.chat_stream import ChatStream
from junctor.plugins.remote.anthropic.settings import NAME, AnthropicSettings
from junctor.plugins.remote.chat import asked
from junctor.plugins.remote.vendor import Vendor

VERSION = "2023-06-01"
"""Of the API; the newer 2026-10-21 differs in nothing that is sent here."""
PATH = "/v1/messages"
_NO_MONEY = b"credit balance is too low"
"""How a 400 says that the account is empty: its type says no more than that it is a 400."""


class Anthropic(Vendor):
    """Chats, and revises transcripts; it has no audio input."""

    NAME = NAME
    BASE_URL = "https://api.anthropic.com"

    def __init__(self, settings: AnthropicSettings, cards: Sequence[ModelCard] = CARDS) -> None:
        super().__init__(settings, cards)
        self._table = settings

    def headers(self) -> Mapping[str, str]:
        """Return the headers that carry the key and the API's version."""
        key = self._settings.api_key.reveal()
        return {"x-api-key": key, "anthropic-version": VERSION}

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        """Return our error; an empty account comes as a 400 like any other."""
        if answer.status == 400 and _NO_MONEY in answer.body:  # noqa: PLR2004
            return ProviderQuotaError(
                f"{NAME} says that our credits are used up; top it up (HTTP 400).",
                provider=target.provider,
                model=target.model,
            )
        return super().fault(target, answer)

    async def revise(self, request: ReviseRequest, /) -> Transcript:
        """
        Return the transcript with corrected text.

        Times and speakers stay. A segment of which the words changed loses its word list, since
        nobody knows the times of the new words.

        Raises:
            ProviderError: it failed, or declined; the subclass says how.

        """
        _, target = self.target(request.model)
        if request.transcript.is_empty:
            return request.transcript
        document = revise.document(request, max_tokens=self._table.max_tokens)
        body = await self.ask("POST", PATH, target, body=json_body(document))
        return revise.revised(body, request.transcript, target)

    async def chat(self, request: ChatRequest, /) -> ChatReply:
        """
        Continue a conversation.

        Raises:
            ProviderError: it failed; the subclass says how.

        """
        target, body = self._asked(request, is_stream=False)
        answer = await self.ask("POST", PATH, target, body=body)
        return ChatReply(body=chat.completion(answer, target))

    async def stream_chat(self, request: ChatRequest, /) -> AsyncGenerator[bytes, None]:
        """Continue a conversation, piece by piece; raises as `chat` does."""
        target, body = self._asked(request, is_stream=True)
        stream = ChatStream(target)
        async with aclosing(self.events(PATH, target, body=body)) as events:
            async for data in events:
                if said := stream.take(data):
                    yield said

    def _asked(self, request: ChatRequest, *, is_stream: bool) -> tuple[Target, Body]:
        card, target = self.target(request.model)
        conversation = asked(request, target)
        document = chat.document(conversation, card, target, max_tokens=self._table.chat_max_tokens)
        return target, json_body({**document, "stream": True} if is_stream else document)
