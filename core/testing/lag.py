"""See whether something blocks the event loop."""

import asyncio
from types import TracebackType
from typing import Final, Self

_STEP: Final = 0.005


class LoopLag:
    """
    Measures, while it is entered, how long the event loop was kept from its other work.

    ::

        async with LoopLag() as lag:
            await provider.transcribe(request)
        assert lag.worst < 0.5
    """

    def __init__(self) -> None:
        self.worst = 0.0
        """Longest stall so far, seconds."""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.sleep(_STEP)  # a stall at the very end counts too
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(_STEP)
            self.worst = max(self.worst, clock() - before - _STEP)
