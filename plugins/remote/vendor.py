"""
What the vendor adapters share: their settings, their connection, and how a recording is fitted.

An adapter is one module: its cards as data, a subclass of `Vendor` with one method per capability,
and the plugin hook. `Vendor` asks the upstream and tells every fault as an error of ours.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, ClassVar, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

import msgspec
from attrs import evolve
from msgspec import Meta, field

from junctor.conf.settings import Base, Count, Seconds, Secret, Share
from junctor.core.audio import ENCODABLE, Clip, reencode
from junctor.core.cards import ModelCard, Tier
from junctor.core.errors import (
    ConfigError,
    NotConfiguredError,
    ProviderAnswerError,
    ProviderError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Body, Pool, PoolLimits, RelayAnswer, Socket, Target, status_error

T = TypeVar("T")
Query = Iterable[tuple[str, str]]


class CardSettings(Base, frozen=True, kw_only=True):
    """`[plugins.<vendor>.models."<id>"]`: what a deployment knows better than the card."""

    summary: str | None = None
    """One sentence for people."""
    locales: frozenset[str] | None = None
    """BCP-47 tags it understands."""
    max_bytes: Count | None = None
    """Largest upload, bytes."""
    max_seconds: Seconds | None = None
    """Longest audio, seconds."""
    quality: Share | None = None
    """0 (poor) to 1 (best known)."""
    price: Annotated[float, Meta(ge=0)] | None = None
    """US dollars per minute of audio."""
    prompt_price: Annotated[float, Meta(ge=0)] | None = None
    """Chat: US dollars per million tokens of the prompt."""
    output_price: Annotated[float, Meta(ge=0)] | None = None
    """Chat: US dollars per million tokens of the answer."""
    context_tokens: Count | None = None
    """Chat: tokens of prompt and answer together, at most."""
    max_output_tokens: Count | None = None
    """Chat: tokens of an answer, at most."""
    latency: Seconds | None = None
    """Expected time for a short request, seconds."""
    tiers: frozenset[Tier] | None = None
    """The accuracy tiers it is fit for."""

    def applied(self, card: ModelCard) -> ModelCard:
        """Return the card as the deployment knows it."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return evolve(card, **{name: one for name, one in given.items() if one is not None})


class Connections(Base, frozen=True, kw_only=True):
    """`[plugins.<vendor>.connections]`: the pool."""

    max_connections: Count = 1024
    """Connections open at once; more requests wait for one."""
    max_idle: Seconds = 30.0
    """Time that an unused connection is kept."""
    connect_timeout: Seconds = 5.0
    """Time to resolve, connect and shake hands."""
    max_answer_bytes: Count = 32 * 1024 * 1024
    """Largest answer that is read."""
    trust_env: bool = False
    """Obey `HTTPS_PROXY` and its kin."""

    def pool(self) -> Pool:
        """Return a pool of these bounds, not yet open."""
        limits = PoolLimits(**{name: getattr(self, name) for name in self.__struct_fields__})
        return Pool(limits)


class VendorSettings(Base, frozen=True, kw_only=True):
    """`[plugins.<vendor>]`: what every vendor's table has."""

    api_key: Secret = field(default_factory=lambda: Secret(""))
    """The vendor's key; empty: the provider sits out."""
    base_url: str = ""
    """Where its API begins; empty for the vendor's own."""
    stream_url: str = ""
    """Where its WebSocket is; empty for the vendor's own, or beside `base_url` if that is given."""
    timeout: Seconds = 600.0
    """Longest time for one call, a stream included, however much the request's deadline leaves."""
    models: dict[str, CardSettings] = field(default_factory=dict)
    """What differs from the cards, by model id."""
    connections: Connections = field(default_factory=Connections)
    """The pool."""


class Vendor:
    """
    The ground of an adapter: one vendor's server, its cards, and its errors.

    A subclass sets `NAME`, `BASE_URL` (and `STREAM_URL`), gives `headers`, overrides `fault` where
    the vendor's errors need reading, and adds one method per capability.

    Args:
        settings: its table.
        cards: the models that it knows, which the table may change.

    Raises:
        NotConfiguredError: no key.
        ConfigError: the table names a model without a card, or its key or URL cannot be used.

    """

    NAME: ClassVar[str]
    BASE_URL: ClassVar[str]
    STREAM_URL: ClassVar[str] = ""
    LINK_HOSTS: ClassVar[tuple[str, ...]] = ()
    """Domains of links in the vendor's answers that are followed, beside its own host."""

    def __init__(self, settings: VendorSettings, cards: Sequence[ModelCard]) -> None:
        self._settings = settings
        self._cards = {card.id: card for card in _changed(self.NAME, cards, settings)}
        self._base_url = _checked_url(self.NAME, "base_url", settings.base_url or self.BASE_URL)
        stream_url = settings.stream_url or _moved(self.STREAM_URL, self.BASE_URL, self._base_url)
        self._stream_url = stream_url and _checked_url(self.NAME, "stream_url", stream_url)
        self._pool = settings.connections.pool()
        self._is_open = False

    @property
    def name(self) -> str:
        """The vendor's slug."""
        return self.NAME

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def models(self) -> Sequence[ModelCard]:
        """Return the cards."""
        return list(self._cards.values())

    async def start(self) -> None:
        """Open the pool."""
        if not self._is_open:
            await self._pool.open()
            self._is_open = True

    async def close(self) -> None:
        """Close the pool."""
        if self._is_open:
            self._is_open = False
            await self._pool.close()

    def headers(self) -> Mapping[str, str]:
        """Return the headers that carry our credentials; sent to the vendor's own host only."""
        raise NotImplementedError

    def fault(self, target: Target, answer: RelayAnswer) -> ProviderError:
        """Return our error for an answer whose status is not 2xx."""
        return status_error(target, answer.status, answer.headers, answer.body)

    def target(self, model: str) -> tuple[ModelCard, Target]:
        """
        Return the card of a model, and the target that errors of the call name.

        Raises:
            ProviderUnavailableError: it is not started.
            ProviderRejectedError: there is no such model.

        """
        target = Target(self.NAME, model)
        if not self._is_open:
            raise ProviderUnavailableError(
                f"{self.NAME} is not started.", provider=self.NAME, model=model
            )
        card = self._cards.get(model)
        if card is None:
            raise rejected(target, f"has no model {model!r}")
        return card, target

    async def ask(
        self,
        method: str,
        path: str,
        target: Target,
        *,
        query: Query = (),
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """
        Send a request and return the body of a good answer.

        Args:
            method: HTTP method.
            path: behind `base_url`, from its slash on, or a whole URL of the vendor's own answer.
            target: whom errors name.
            query: parameters, in order; repeated names are kept.
            body: what to send.
            headers: beside those that carry our credentials.

        Raises:
            ProviderError: there is no good answer; the subclass says why.

        """
        url, own = self._address(path, target)
        encoded = urlencode(tuple(query))
        answer = await self._pool.relay.request(
            method,
            f"{url}{'&' if '?' in url else '?'}{encoded}" if encoded else url,
            headers={**(self.headers() if own else {}), **(headers or {})},
            body=body,
            target=target,
            within=self._settings.timeout,
        )
        if not 200 <= answer.status < 300:  # noqa: PLR2004
            raise self.fault(target, answer)
        return answer.body

    async def events(
        self, path: str, target: Target, *, body: Body, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """
        Post a body and yield the data of the server-sent events that answer, as they come.

        Closing the generator closes the connection, unless the answer was read to its end.

        Args:
            path: behind `base_url`, from its slash on.
            target: whom errors name.
            body: what to send.
            headers: beside those that carry our credentials.

        Raises:
            ProviderError: there is no good answer, or no stream; the subclass says why.

        """
        url, own = self._address(path, target)
        async with self._pool.relay.stream(
            url,
            headers={**(self.headers() if own else {}), **(headers or {})},
            body=body,
            target=target,
            within=self._settings.timeout,
        ) as answer:
            if not 200 <= answer.status < 300:  # noqa: PLR2004
                content = await answer.read()
                whole = RelayAnswer(status=answer.status, headers=answer.headers, body=content)
                raise self.fault(target, whole)
            if not answer.is_events:
                raise nonsense(target)
            async with aclosing(answer.events()) as events:
                async for event in events:
                    yield event.data

    @asynccontextmanager
    async def socket(
        self, target: Target, *, query: Query = (), path: str = ""
    ) -> AsyncIterator[Socket]:
        """
        Open the vendor's WebSocket for the length of the block; errors as in `ask`.

        Args:
            target: whom errors name.
            query: parameters, in order; repeated names are kept.
            path: behind `stream_url`.

        """
        encoded = urlencode(tuple(query))
        url = f"{self._stream_url}{path}"
        async with self._pool.relay.socket(
            f"{url}{'&' if '?' in url else '?'}{encoded}" if encoded else url,
            headers=self.headers(),
            target=target,
            within=self._settings.connections.connect_timeout,
            fault=self.fault,
        ) as socket:
            yield socket

    def _address(self, path: str, target: Target) -> tuple[str, bool]:
        """Return the URL, and whether it is the vendor's own host, which may see our key."""
        if not path or path.startswith("/"):
            return f"{self._base_url}{path}", True
        own, asked = urlsplit(self._base_url), _split(path)
        if asked[:2] == own[:2]:
            return path, True
        host = asked.netloc.partition(":")[0].lower()
        allowed = any(host == one or host.endswith(f".{one}") for one in self.LINK_HOSTS)
        if asked.scheme != "https" or not allowed:
            raise ProviderAnswerError(
                f"{self.NAME} sent a link to a host that is not its own.",
                provider=target.provider,
                model=target.model,
            )
        return path, False


def ready(settings: VendorSettings, name: str) -> None:
    """
    Let pass a table that has a key.

    Raises:
        NotConfiguredError: it has none.
        ConfigError: it cannot go into a header.

    """
    key = settings.api_key.reveal()
    if not key:
        raise NotConfiguredError(f"no credentials: set `api_key` in [plugins.{name}]")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            "Expected visible ASCII characters only; is there a line end or a quote too many?",
            key=f"plugins.{name}.api_key",
        )


def _changed(name: str, cards: Sequence[ModelCard], settings: VendorSettings) -> list[ModelCard]:
    unknown = sorted(set(settings.models) - {card.id for card in cards})
    if unknown:
        known = ", ".join(card.id for card in cards)
        raise ConfigError(
            f"There is no such model; the known ones are {known}.",
            key=f'plugins.{name}.models."{unknown[0]}"',
        )
    return [settings.models.get(card.id, CardSettings()).applied(card) for card in cards]


def _checked_url(name: str, key: str, url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in {"http", "https", "ws", "wss"} or not rest.partition("/")[0]:
        raise ConfigError("Expected a URL with scheme and host.", key=f"plugins.{name}.{key}")
    if not set("?#@").isdisjoint(rest):
        raise ConfigError(
            "Expected a URL without user, query or fragment.", key=f"plugins.{name}.{key}"
        )
    return url.rstrip("/")


def _moved(stream_url: str, vendors_own: str, base_url: str) -> str:
    """Return the vendor's stream URL; where that is below its base URL, below the given one."""
    own = vendors_own.partition("://")[2]
    scheme, _, host = base_url.partition("://")
    rest = stream_url.partition("://")[2]
    if host == own or not rest.startswith(own):
        return stream_url
    return f"{scheme.replace('http', 'ws')}://{host}{rest.removeprefix(own)}"


def _split(link: str) -> SplitResult:
    """Split a link; an empty one for what two readers could read in two ways."""
    is_plain = link.isascii() and link.isprintable() and "\\" not in link
    try:
        parts = urlsplit(link if is_plain else "")
    except ValueError:
        return urlsplit("")
    return parts if parts.netloc.replace("@", "") == parts.netloc else urlsplit("")


def tags(listed: str) -> frozenset[str]:
    """Return the BCP-47 tags that are listed with space between them."""
    return frozenset(listed.split())


def rejected(target: Target, sentence: str) -> ProviderRejectedError:
    """Return the error of a request that the vendor cannot serve; `sentence` follows its name."""
    return ProviderRejectedError(
        f"{target.provider} {sentence}.", provider=target.provider, model=target.model
    )


def nonsense(target: Target) -> ProviderAnswerError:
    """Return the error of an answer that is not what the vendor's API promises."""
    return ProviderAnswerError(
        f"{target.provider} gave an answer that cannot be understood.",
        provider=target.provider,
        model=target.model,
    )


def read(body: bytes, kind: type[T], target: Target) -> T:
    """
    Decode a JSON answer; fields that `kind` has not are ignored.

    Raises:
        ProviderAnswerError: it is not JSON of this shape.

    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise nonsense(target) from exc


async def fitted(clip: Clip, card: ModelCard, target: Target) -> Clip:
    """
    Return the recording as it is, or as FLAC or WAV where the model does not take its type.

    Raises:
        ProviderRejectedError: it takes neither, or the result is too large for it.
        MediaError: the recording cannot be decoded.

    """
    taken = card.media_types
    if taken is None or clip.media_type in taken:
        return clip
    kind = next((one for one in ("audio/flac", "audio/wav") if one in taken & ENCODABLE), None)
    if kind is None:
        raise rejected(target, f"takes neither {clip.media_type} nor FLAC nor WAV")
    clip = await reencode(clip, kind)
    if card.max_bytes is not None and len(clip.data) > card.max_bytes:
        raise rejected(target, f"takes no more than {card.max_bytes} bytes")
    return clip


async def polled(
    check: Callable[[], Awaitable[T | None]], *, every: float, within: float, target: Target
) -> T:
    """
    Ask again and again until there is a result.

    Args:
        check: returns the result, or None while the work goes on.
        every: pause between two questions, seconds; the first one comes after a tenth of it.
        within: time for all of it, seconds.
        target: whom the error names.

    Raises:
        ProviderTimeoutError: there was none in time.

    """
    pause = every / 10
    try:
        async with asyncio.timeout(within):
            while True:
                await asyncio.sleep(pause)
                result = await check()
                if result is not None:
                    return result
                pause = min(every, pause * 2)
    except TimeoutError as exc:
        if isinstance(exc, ProviderError):
            raise
        raise ProviderTimeoutError(
            f"{target.provider} was not done in time.",
            provider=target.provider,
            model=target.model,
        ) from exc
