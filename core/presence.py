"""Stop the work for a client that has left."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType

from junctor.core.alarms import running_alarms
from junctor.core.errors import ClientGoneError

PATIENCE = 0.02
"""Seconds before it begins to listen: a quick answer then pays for no task (50 µs of CPU)."""


Receive = Callable[[], Awaitable[Mapping[str, object]]]
"""The channel of an ASGI request; litestar's `Request.receive` is one."""


def gone() -> ClientGoneError:
    """Return the error of a client that left; only the log reads it."""
    return ClientGoneError("The client closed the connection before its answer was complete.")


class Attended:
    """
    Asynchronous context manager: cancels what runs inside when the client disconnects.

    Litestar does so for streams only. It may begin once the request's body has been read, and must
    end before the answer begins.

    Args:
        receive: the request's ASGI channel.

    Raises:
        ClientGoneError: on leaving the block, when the client had gone.

    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_gone = False
        self._listener: asyncio.Task[None] | None = None
        self._task: asyncio.Task[object] | None = None

    async def __aenter__(self) -> None:
        self._alarms = running_alarms()
        loop = self._alarms.loop
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101  # ASGI servers run applications in tasks
        self._task = task
        self._pending = task.cancelling()
        self._alarm = self._alarms.set(loop.time() + PATIENCE, self._begin)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._alarms.clear(self._alarm, self._begin)
        if self._listener is not None:
            self._listener.cancel()
            # A cancelled task keeps its traceback, which keeps us: what it held would stay in
            # memory, the request's upload among it, until the collector comes by.
            self._listener = None
        task, self._task = self._task, None
        if not self._is_gone or task is None:
            return
        is_ours = task.uncancel() <= self._pending
        if is_ours and kind is asyncio.CancelledError:
            raise gone() from error

    def _begin(self) -> None:
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        if self._task is not None:
            self._task.cancel()
