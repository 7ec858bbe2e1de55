"""
The child process: `python -P -m junctor.core.engine.child FD PARENT`.

The main thread does nothing but read the channel, so that a cancel, a ping or the server's end is
seen while native code runs in the other threads. The channel is a socket of its own: what engines
print on standard output and error goes to the server's log.
"""

import ctypes
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path

from msgspec import Raw, Struct, msgpack

from junctor.core.engine.channel import (
    Cancel,
    ChildChannel,
    Ended,
    Item,
    Load,
    Ping,
    Pong,
    Ready,
    Refused,
    Run,
    Started,
    Stop,
    ToChild,
    encoder,
)
from junctor.core.engine.worker import Job, JobCancelled, Worker
from junctor.core.errors import JunctorError, ProviderBusyError, ProviderUnavailableError

PR_SET_PDEATHSIG = 1
MAX_TRACE = 4000
"""Characters of a trace that reach the server's log."""


def memory() -> int:
    """Return this process's resident memory, bytes; 0 where the system does not tell."""
    with suppress(OSError):
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return 0


def die_with(parent: int) -> None:
    """
    End with the server, however it ends.

    The end of the channel says it too, but only to a main thread that gets the interpreter lock;
    this holds for native code that never lets go of it.
    """
    with suppress(AttributeError, OSError):  # Linux only
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def build(load: Load) -> Worker[Struct]:
    """Import the worker's class and make one."""
    module, _, name = load.worker.partition(":")
    factory = getattr(import_module(module), name)
    options = msgpack.decode(load.options, type=factory.Options)
    worker: Worker[Struct] = factory(options)
    return worker


class Child:
    """The reader of the channel and the threads that work."""

    def __init__(self, channel: ChildChannel) -> None:
        self._channel = channel
        self._jobs: dict[int, Job[Struct]] = {}
        self._pending: set[int] = set()
        self._lock = threading.Lock()
        self._order: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._urgent: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._decoders: list[msgpack.Decoder[Struct]] = []

    def serve(self) -> None:
        """Read messages until the server stops or goes."""
        with suppress(EOFError, OSError):
            while self._obey(*self._channel.receive()):
                pass

    def _obey(self, message: ToChild, payload: bytearray) -> bool:
        match message:
            case Load():
                threading.Thread(target=self._load, args=(message,), daemon=True).start()
            case Run(job=number, is_urgent=is_urgent):
                args = self._decoders[0].decode(message.args)
                with self._lock:
                    self._jobs[number] = Job(args, payload)
                    self._pending.add(number)
                (self._urgent if is_urgent else self._order).put(number)
            case Cancel(job=number):
                self._cancel(number)
            case Ping():
                self._channel.send(Pong(memory=memory()))
            case Stop():
                return False
        return True

    def _load(self, load: Load) -> None:
        try:
            worker = build(load)
        except JunctorError as error:
            self._refuse(error)
        except BaseException as error:  # noqa: BLE001 - the boundary of the process; the log has the trace
            text = f"The engine cannot be loaded ({type(error).__name__})."
            self._refuse(ProviderUnavailableError(text, provider=""), trace())
        else:
            self._decoders.append(msgpack.Decoder(worker.Args))
            for order in (self._urgent, *[self._order] * (load.slots - 1)):
                threading.Thread(target=self._work, args=(worker, order), daemon=True).start()
            self._channel.send(Ready(memory=memory()))
            self._work(worker, self._order)

    def _refuse(self, error: JunctorError, where: str = "") -> None:
        refused = Refused(error=type(error).__name__, message=str(error), trace=where)
        self._channel.send(refused)
        leave(1)

    def _cancel(self, number: int) -> None:
        with self._lock:
            job = self._jobs.get(number)
            waits = number in self._pending
            self._pending.discard(number)
        if job is not None:
            job.cancel()
        if waits:
            self._end(number)

    def _work(self, worker: Worker[Struct], order: "queue.SimpleQueue[int]") -> None:
        while True:
            number = order.get()
            with self._lock:
                waits = number in self._pending
                self._pending.discard(number)
            if waits:
                self._channel.send(Started(job=number))
                self._end(number, *self._do(worker, number))

    def _do(self, worker: Worker[Struct], number: int) -> tuple[JunctorError | None, str]:
        job = self._jobs[number]
        try:
            with closing(worker.run(job)) as items:
                for item in items:
                    job.check()
                    self._channel.send(Item(job=number, body=Raw(encoder.encode(item))))
        except JobCancelled:
            pass
        except JunctorError as error:
            return error, ""
        except MemoryError:
            return ProviderBusyError("The engine is out of memory.", provider=""), ""
        except Exception as error:  # noqa: BLE001 - the boundary of a job; the log has the trace
            text = f"The engine failed on this request ({type(error).__name__})."
            return ProviderUnavailableError(text, provider=""), trace()
        return None, ""

    def _end(self, number: int, error: JunctorError | None = None, where: str = "") -> None:
        with self._lock:
            del self._jobs[number]
        self._channel.send(
            Ended(
                job=number,
                memory=memory(),
                error=type(error).__name__ if error else "",
                message=str(error) if error else "",
                trace=where,
            )
        )


def trace() -> str:
    """Return the end of the trace of the error being handled."""
    return traceback.format_exc()[-MAX_TRACE:]


def leave(code: int) -> None:
    """Exit at once: tearing down a GPU runtime or a thread pool may hang, and nothing is lost."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Serve the channel whose file descriptor is the first argument."""
    descriptor, parent = map(int, sys.argv[1:])
    die_with(parent)
    Child(ChildChannel(socket.socket(fileno=descriptor))).serve()
    leave(0)


if __name__ == "__main__":
    main()
