"""One provider for both of Google's services; the card's model says which is asked."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from junctor.core.cards import Feature, ModelCard
from junctor.core.errors import ConfigError, ProviderAnswerError, ProviderError
from junctor.core.net import Body, RelayAnswer, Target, json_body
from junctor.core.requests import ChatReply, ChatRequest, Task, TranscribeRequest
from junctor.core.transcripts import Transcript
from junctor.plugins.remote.chat import asked
from junctor.plugins.remote.google import chat, faults, gemini, speech
from junctor.plugins.remote.google.cards import GEMINI_CARDS, LOCATIONS, SPEECH_CARDS, codes
from junctor.plugins.remote.google.chat_stream import ChatStream
from junctor.plugins.remote.google.credentials import Grant, ServiceAccount
from junctor.plugins.remote.google.settings import NAME, GoogleSettings
from junctor.plugins.remote.vendor import Vendor, fitted, read, rejected

UNAUTHENTICATED = 401


class Google(Vendor):
    """
    Transcribes by Speech-to-Text and by Gemini, and chats by Gemini; settings and errors as in `Vendor`.

    Args:
        settings: its table, checked; models of the service without credentials are not served.

    """

    NAME = NAME
    BASE_URL = "https://generativelanguage.googleapis.com"
    LINK_HOSTS = ("googleapis.com", "accounts.google.com")

    def __init__(self, settings: GoogleSettings) -> None:
        super().__init__(settings, (*GEMINI_CARDS, *SPEECH_CARDS))
        self._table = settings
        served = {card.id for card in GEMINI_CARDS if settings.api_key}
        served |= {card.id for card in SPEECH_CARDS if settings.has_speech}
        self._cards = {id_: card for id_, card in self._cards.items() if id_ in served}
        if unknown := sorted(set(settings.locations) - set(LOCATIONS)):
            raise ConfigError(
                f"Speech-to-Text has no such model; the known ones are {', '.join(LOCATIONS)}.",
                key=f"plugins.{NAME}.locations.{unknown[0]}",
            )
        self._account: ServiceAccount | None = None

    def headers(self) -> Mapping[str, str]:
        """Return none: each service has credentials of its own, which the other must not see."""
        return {}

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        """Return our error; after a 401 the next request gets a new token."""
        if answer.status == UNAUTHENTICATED and self._account is not None:
            self._account.forget()
        return faults.fault(target, answer)

    async def start(self) -> None:
        """
        Read the service account's key, and open the pool.

        Raises:
            ConfigError: the key cannot be used, or does not tell its project.

        """
        source = self._table.service_account.reveal()
        if source and not self._table.access_token:
            self._account = await asyncio.to_thread(ServiceAccount.load, source)
            if not (self._table.project or self._account.project):
                raise ConfigError(
                    "The service account's key does not tell its project: set it.",
                    key=f"plugins.{NAME}.project",
                )
            try:
                self._address(self._account.token_uri, Target(NAME))
            except ProviderAnswerError as exc:
                raise ConfigError(
                    "Its token_uri is none of Google's.", key=f"plugins.{NAME}.service_account"
                ) from exc
        await super().start()

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        """
        Write down, or translate to English, with the model that `request.model` names.

        Raises:
            ProviderError: it failed; the subclass says how.
            MediaError: the recording had to be re-encoded and cannot be decoded.

        """
        card, target = self.target(request.model)
        _check(request, card, target)
        is_speech = card.id in LOCATIONS
        languages = codes(request, card, target)
        clip = await fitted(request.audio, card, target)
        write = speech.document if is_speech else gemini.document
        document = write(request, card, languages, clip, target)
        answer = await self.ask(
            "POST",
            self._path(card),
            target,
            body=json_body(document),
            headers=await self._credentials(card, target),
        )
        heard = speech.transcript if is_speech else gemini.transcript
        return heard(answer, request, target)

    async def chat(self, request: ChatRequest, /) -> ChatReply:
        """
        Continue a conversation, by Gemini.

        Raises:
            ProviderError: it failed; the subclass says how.

        """
        card, target = self.target(request.model)
        document = chat.document(asked(request, target), card, target)
        answer = await self.ask(
            "POST",
            self._path(card),
            target,
            body=json_body(document),
            headers=await self._credentials(card, target),
        )
        return ChatReply(body=chat.completion(answer, target))

    async def stream_chat(self, request: ChatRequest, /) -> AsyncGenerator[bytes, None]:
        """Continue a conversation, piece by piece; raises as `chat` does."""
        card, target = self.target(request.model)
        document = chat.document(asked(request, target), card, target)
        stream = ChatStream(target)
        events = self.events(
            f"/v1beta/models/{card.id}:streamGenerateContent?alt=sse",
            target,
            body=json_body(document),
            headers=await self._credentials(card, target),
        )
        async with aclosing(events):
            async for data in events:
                if said := stream.take(data):
                    yield said
        yield stream.last()

    def _path(self, card: ModelCard) -> str:
        if card.id not in LOCATIONS:
            return f"/v1beta/models/{card.id}:generateContent"
        table = self._table
        location = table.locations.get(card.id) or table.location or LOCATIONS[card.id]
        project = table.project or (self._account.project if self._account else "")
        path = f"/v2/projects/{project}/locations/{location}/recognizers/_:recognize"
        if table.base_url:
            return path
        prefix = "" if location == "global" else f"{location}-"
        return f"https://{prefix}speech.googleapis.com{path}"

    async def _credentials(self, card: ModelCard, target: Target) -> Mapping[str, str]:
        if card.id not in LOCATIONS:
            return {"x-goog-api-key": self._table.api_key.reveal()}
        if self._account is None:
            return {"Authorization": f"Bearer {self._table.access_token.reveal()}"}
        account = self._account

        async def exchange(body: Body) -> Grant:
            return read(await self.ask("POST", account.token_uri, target, body=body), Grant, target)

        return {"Authorization": f"Bearer {await account.token(exchange)}"}


def _check(request: TranscribeRequest, card: ModelCard, target: Target) -> None:
    """Refuse what the service would refuse after the upload."""
    if request.task is Task.TRANSLATE and Feature.TRANSLATION not in card.features:
        raise rejected(target, f"does not translate with {card.id}")
    if card.max_seconds is not None and request.audio.seconds > card.max_seconds:
        raise rejected(target, f"takes no more than {card.max_seconds:g} seconds with {card.id}")
