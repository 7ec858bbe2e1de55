"""The process that serves: uvicorn on uvloop, signals, reload."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from math import ceil
from typing import Literal

import structlog
import uvicorn
from litestar import Litestar

from junctor.conf.settings import Server as ServerSettings
from junctor.conf.settings import Settings
from junctor.core.errors import ConfigError
from junctor.core.logs import configure_logging
from junctor.routers.app import create_app, runtime_of
from junctor.routers.memory import settle_memory
from junctor.routers.signals import Prepare, watch_signals
from junctor.routers.sockets import sockets_of

BACKLOG = 2048
LARGEST_MESSAGE = 4 * 1024 * 1024
"""Bytes of one WebSocket message; contracts have lower bounds of their own, and better words."""
UNREAD = 120
"""Seconds after which a client that takes nothing of what it is sent loses its connection."""
KEEP_ALIVE = 75
"""Time an idle connection is kept, seconds: longer than clients keep theirs, so that they close."""

_log = structlog.get_logger()


def serve(
    settings: Settings, *, prepare: Prepare, announce: Callable[[str], object] = print
) -> None:
    """
    Serve until SIGINT or SIGTERM; SIGHUP reloads.

    Args:
        settings: as loaded.
        prepare: called at SIGHUP; what it returns is swapped in, an error leaves all as it is.
        announce: told the URL once it listens.

    Raises:
        ConfigError: it cannot start with these settings.
        PluginError: a plugin failed, and `loader.strict` is set.

    """
    configure_logging(settings.telemetry)
    app = create_app(settings)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(app, settings, prepare=prepare, announce=announce))


@asynccontextmanager
async def listening(app: Litestar, settings: ServerSettings) -> AsyncIterator[str]:
    """
    Open the application, accept connections, and yield the URL; end both in order.

    Requests under way get `shutdown_grace` to finish; what is not done by then is cancelled.

    Raises:
        ConfigError: the address cannot be used, or the application cannot start.

    """
    with _bound(settings) as listener:
        server = _Server(_config(app, settings))
        # A task of its own: litestar's lifespan must end in the task in which it began.
        task = asyncio.create_task(_live(app, server, listener))
        ready = asyncio.create_task(server.ready.wait())
        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        try:
            if not task.done():
                yield _url(listener)
        finally:
            # Uvicorn closes sockets at once; live sessions shall say their last words before.
            await sockets_of(app).drain(settings.shutdown_grace / 2)
            server.should_exit = True
            await task


async def _live(app: Litestar, server: "_Server", listener: socket.socket) -> None:
    try:
        async with app.lifespan():
            await server.serve(sockets=[listener])
    except BaseExceptionGroup as group:
        error = _innermost(group)
        raise error from error.__cause__


def _innermost(error: BaseException) -> BaseException:
    """Take an error out of the groups that litestar's task group puts around it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class _Server(uvicorn.Server):
    """Uvicorn's server without its signal handlers: it would raise SIGTERM again at its end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to `serve`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, and say so."""
        await super().startup(sockets=sockets)
        self.ready.set()


def _config(app: Litestar, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_protocol(),
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE,
        ws_ping_timeout=None,  # a pong waits behind the audio of a client that we slow down
        ws_per_message_deflate=False,  # audio does not get smaller
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=ceil(settings.shutdown_grace),
    )


def _protocol() -> "type[asyncio.Protocol] | Literal['auto']":
    try:
        from junctor.routers.joining import JoiningProtocol
    except ImportError:  # httptools is not built for Windows
        return "auto"
    return JoiningProtocol


def _bound(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        made = socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as exc:
        message = f"Cannot listen on {settings.host} port {settings.port}: {exc.strerror}."
        raise ConfigError(message, key="server") from exc
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD * 1000)
    # asyncio sends at once only on sockets that say they are TCP; else Nagle's algorithm and the
    # client's delayed ACK hold each answer on a kept connection back for 40 ms.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=made.detach())


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not built for Windows
        return None
    return uvloop.new_event_loop


async def _serve(
    app: Litestar, settings: Settings, *, prepare: Prepare, announce: Callable[[str], object]
) -> None:
    stop = watch_signals(runtime_of(app), prepare)
    async with listening(app, settings.server) as url:
        settle_memory()
        announce(f"junctor is listening on {url}")
        await stop.wait()
        _log.info("stopping", grace_seconds=settings.server.shutdown_grace)
