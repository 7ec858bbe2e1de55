"""
What an engine's author writes: a class that is built and run inside the child process.

::

    class Echo:
        Options = EchoOptions                 # a Struct: from the server's settings
        Args = EchoArgs                       # a Struct: what one job is asked

        def __init__(self, options): ...      # loads the model; may take its time
        def run(self, job):                   # yields Structs, as many as it likes
            for part in self.model.go(job.payload):
                job.check()                   # ends here when nobody waits any more
                yield EchoPart(part)

It raises the provider errors of `junctor.core.errors`; anything else is a defect, logged with its
trace. It may print: standard output is not the channel. With more than one slot, or urgent jobs,
`run` is called from several threads at once. Native code that keeps the interpreter lock for long must be called
in small pieces, since a child that answers no ping is taken for hung.
"""

import threading
from collections.abc import Generator
from typing import ClassVar, Generic, Protocol, TypeVar

from msgspec import Struct

ArgsT = TypeVar("ArgsT", bound=Struct)


class JobCancelled(BaseException):
    """Nobody waits for this job any more; like `CancelledError`, no `except Exception` stops it."""


class Job(Generic[ArgsT]):
    """One job inside the child."""

    def __init__(self, args: ArgsT, payload: bytearray) -> None:
        self.args = args
        self.payload = payload
        """The raw bytes sent along; the worker may keep and change them."""
        self._cancelled = threading.Event()

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ask the worker to stop."""
        self._cancelled.set()

    def check(self) -> None:
        """
        Stop here when the job was cancelled; call it often, it costs nothing.

        Raises:
            JobCancelled: it was.

        """
        if self._cancelled.is_set():
            raise JobCancelled


class Worker(Protocol[ArgsT]):
    """An engine inside the child, built as `Class(options)`; the module shows one."""

    Options: ClassVar[type[Struct]]
    Args: ClassVar[type[Struct]]

    def run(self, job: Job[ArgsT], /) -> Generator[Struct, None, None]:
        """Do one job, yielding its results."""
