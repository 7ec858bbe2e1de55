"""The provider: jobs that are begun, watched, fetched, and cancelled."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeVar
from urllib.parse import quote, urlsplit

import structlog
from msgspec import structs

from junctor.conf.settings import Network
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Body, Target, json_body
from junctor.core.net.guard import GuardedClient, UrlError
from junctor.core.requests import VideoProgress, VideoRequest, VideoStage
from junctor.plugins.remote.junctor.jobs import Begun, State, Watch, wish_of
from junctor.plugins.remote.junctor.settings import NAME, JunctorSettings, card_of
from junctor.plugins.remote.vendor import Vendor, polled, read, rejected

T = TypeVar("T")

_VIDEOS: Final = "/api/ltx23/v1/videos"
_OK: Final = 200
_CANCELLED_WITHIN: Final = 5.0
_SUBMISSIONS: Final = 3
"""Jobs that are begun for one key, where those before failed or were cancelled."""
_PASSING: Final = (
    ProviderAnswerError,
    ProviderRateLimitedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
_log = structlog.get_logger(__name__)


class Junctor(Vendor):
    """
    Another junctor's server.

    A video that is not wanted any more is cancelled there. One that is asked for again with the
    same key is not made, and paid, again: that server has the job already.

    Args:
        settings: its table.
        network: the rules for links to a server that is not its own.

    """

    NAME = NAME
    BASE_URL = ""

    def __init__(self, settings: JunctorSettings, network: Network) -> None:
        super().__init__(settings, [card_of(one, settings) for one in settings.aliases])
        self._table = settings
        needs_https = network.require_https or self._base_url.startswith("https:")
        self._strangers = GuardedClient(structs.replace(network, require_https=needs_https))
        self._cancellations: set[asyncio.Task[None]] = set()

    def headers(self) -> Mapping[str, str]:
        """Return the key."""
        return {"x-api-key": self._settings.api_key.reveal()}

    async def close(self) -> None:
        """Close the pool when what is to be cancelled there has been."""
        await asyncio.gather(*self._cancellations)
        await self._strangers.close()
        await super().close()

    async def generate_video(
        self, request: VideoRequest, report: Callable[[VideoProgress], None], /
    ) -> None:
        """
        Begin a job there, ask until it is done, and fetch the file.

        Raises:
            ProviderError: it failed; the subclass says how.

        """
        card, target = self.target(request.model)
        model = self._table.aliases[card.id]
        body = json_body(wish_of(request, model, target))
        await _write(b"", "wb", request, target)  # nothing is paid for what cannot be kept
        watch = Watch(report)
        url = await self._made(body, f"{request.key}.{model}" if request.key else "", watch, target)
        await self._insisted(partial(self._fetched, url, request, target), watch, target)
        report(VideoProgress(stage=VideoStage.ENCODING, share=1.0))

    async def _made(self, body: Body, key: str, watch: Watch, target: Target) -> str:
        """
        Return the URL of a video that is made there.

        A job that had failed or been cancelled before we saw it is one of ours from an earlier try,
        as when this server was stopped: another key begins another.
        """
        own = {"Idempotency-Key": key} if key else {}
        state = await self._over(body, own, watch, target)
        for number in range(2, _SUBMISSIONS + 1):
            if not key or state.status == "done" or watch.was_alive:
                break
            own = {"Idempotency-Key": f"{key}.{number}"}
            state = await self._over(body, own, watch, target)
        if state.status == "done" and state.video is not None:
            return state.video.url
        if state.status == "canceled":
            raise ProviderUnavailableError(
                f"{NAME} has cancelled the video.", provider=NAME, model=target.model
            )
        raise ProviderAnswerError(
            f"{NAME} could not make the video.", provider=NAME, model=target.model
        )

    async def _over(
        self, body: Body, headers: Mapping[str, str], watch: Watch, target: Target
    ) -> State:
        """Submit a job and return its last state; whoever leaves before that cancels it."""
        # A task of its own: a job whose submission was under way must be known to be cancelled.
        starting = asyncio.create_task(self._started(body, headers, target))
        is_over = False
        try:
            path = await asyncio.shield(starting)
            state = await self._insisted(partial(self._ended, path, watch, target), watch, target)
            is_over = True
        finally:
            if not is_over:
                self._forget(starting, target)
            del starting  # its error would know this frame, and this frame it: a circle
        return state

    async def _started(self, body: Body, headers: Mapping[str, str], target: Target) -> str:
        """Submit a job and return its path."""
        answer = await self.ask(
            "POST", f"{_VIDEOS}/generations", target, body=body, headers=headers
        )
        return f"{_VIDEOS}/{quote(read(answer, Begun, target).request_id, safe='')}"

    async def _ended(self, path: str, watch: Watch, target: Target) -> State | None:
        """Return the state of a job that is over, else None."""
        state = read(await self.ask("GET", path, target), State, target)
        watch.see(state)
        return None if state.status in {"queued", "processing"} else state

    async def _insisted(
        self, work: Callable[[], Awaitable[T | None]], watch: Watch, target: Target
    ) -> T:
        """Do something again and again until it gives a result; errors pass for a while."""
        return await polled(
            partial(self._tried, work, watch),
            every=self._table.poll_interval,
            within=self._table.video_timeout,
            target=target,
        )

    async def _tried(self, work: Callable[[], Awaitable[T | None]], watch: Watch) -> T | None:
        """Do something; a video is not made, and paid, twice because of a hiccup."""
        try:
            found = await work()
        except _PASSING as exc:
            now = asyncio.get_running_loop().time()
            since = watch.failing_since = watch.failing_since or now
            pause = exc.retry_after or 0.0
            if now + pause > since + self._table.outage:
                raise
        else:
            watch.failing_since = None
            return found
        await asyncio.sleep(pause)
        return None

    async def _fetched(self, url: str, request: VideoRequest, target: Target) -> bool:
        """Write a file of theirs to where it is wanted."""
        await _write(b"", "wb", request, target)
        async with aclosing(self._pieces(url, target)) as pieces:
            async for piece in pieces:
                await _write(piece, "ab", request, target)
        return True

    async def _pieces(self, url: str, target: Target) -> AsyncGenerator[bytes, None]:
        """Yield a file of theirs; our key is for their own server alone."""
        if url.startswith("/") or "://" not in url:
            url = f"{self._base_url}/{url.lstrip('/')}"
        if not self._is_own(url):
            yield await self._from_stranger(url, target)
            return
        async with self._pool.relay.stream(
            url,
            method="GET",
            headers=self.headers(),
            target=target,
            within=self._settings.timeout,
        ) as answer:
            await answer.check()
            while piece := await answer.next():
                yield piece

    def _is_own(self, url: str) -> bool:
        try:
            return urlsplit(url)[:2] == urlsplit(self._base_url)[:2]
        except ValueError:
            return False

    async def _from_stranger(self, url: str, target: Target) -> bytes:
        """Return a file from elsewhere; never from what stands behind us."""
        try:
            answer = await self._strangers.get(
                url,
                max_bytes=self._settings.connections.max_answer_bytes,
                within=self._settings.timeout,
            )
        except UrlError as exc:
            raise _lost(target) from exc
        if answer.status != _OK:
            raise _lost(target)
        return answer.body

    def _forget(self, starting: "asyncio.Task[str]", target: Target) -> None:
        cancellation = asyncio.create_task(self._cancelled(starting, target))
        self._cancellations.add(cancellation)
        cancellation.add_done_callback(self._cancellations.discard)

    async def _cancelled(self, starting: "asyncio.Task[str]", target: Target) -> None:
        try:
            async with asyncio.timeout(_CANCELLED_WITHIN):
                path = await starting
        except (ProviderError, TimeoutError):
            return  # there is no job, or none that we can know of
        try:
            async with asyncio.timeout(_CANCELLED_WITHIN):
                await self.ask("POST", f"{path}/cancel", target)
        except (ProviderError, TimeoutError) as error:
            _log.warning("video not cancelled upstream", provider=NAME, error=str(error))


async def _write(
    piece: bytes, mode: Literal["wb", "ab"], request: VideoRequest, target: Target
) -> None:
    """Write a piece of the file, which is closed again: a cancelled task leaves nothing open."""
    try:
        await asyncio.to_thread(_written, request.target, mode, piece)
    except OSError as exc:
        raise rejected(target, "was asked for a video that cannot be written here") from exc


def _written(path: Path, mode: Literal["wb", "ab"], piece: bytes) -> None:
    with path.open(mode) as file:
        file.write(piece)


def _lost(target: Target) -> ProviderError:
    return ProviderAnswerError(
        f"{NAME} sent a link to a video that cannot be fetched.", provider=NAME, model=target.model
    )
