"""Workers for the tests of the supervisor: they do in the child what a test asks for."""

import ctypes
import os
import sys
import time
from collections.abc import Generator
from typing import Literal

from msgspec import Struct

from junctor.core.engine.worker import Job
from junctor.core.errors import ProviderRejectedError, ProviderUnavailableError

Op = Literal[
    "echo", "count", "abort", "exit", "wait", "deaf", "lock", "raise", "reject", "memory", "print",
    "modules", "environ",
]  # fmt: skip


Load = Literal["well", "refuse", "raise", "abort", "never"]


class ScriptOptions(Struct):
    load: Load = "well"


class ScriptArgs(Struct):
    op: Op
    number: int = 0


class Said(Struct):
    text: str
    pid: int = 0


class ScriptWorker:
    """Does what it is asked, good or bad."""

    Options = ScriptOptions
    Args = ScriptArgs

    def __init__(self, options: ScriptOptions) -> None:
        match options.load:
            case "well":
                return
            case "refuse":
                raise ProviderUnavailableError("The model folder is missing.", provider="script")
            case "raise":
                raise RuntimeError("secret path")
            case "abort":
                os.abort()
            case "never":
                time.sleep(1000)

    def run(self, job: Job[ScriptArgs]) -> Generator[Said, None, None]:
        yield from getattr(self, f"do_{job.args.op}")(job)

    def do_echo(self, job):
        yield Said(text=bytes(job.payload[:20]).decode() + str(len(job.payload)), pid=os.getpid())

    def do_count(self, job):
        for number in range(job.args.number):
            yield Said(text=str(number))

    def do_abort(self, job):
        yield Said(text="soon")
        os.abort()

    def do_exit(self, job):
        yield Said(text="soon")
        os._exit(3)

    def do_wait(self, job):
        yield Said(text="begun", pid=os.getpid())
        while True:
            job.check()
            time.sleep(0.01)

    def do_deaf(self, job):
        yield Said(text="begun", pid=os.getpid())
        time.sleep(1000)

    def do_lock(self, job):
        yield Said(text="begun", pid=os.getpid())
        ctypes.PyDLL(None).sleep(1000)  # a PyDLL call keeps the interpreter lock

    def do_raise(self, job):
        yield Said(text="soon")
        raise ValueError("secret")

    def do_reject(self, job):
        yield Said(text="soon")
        raise ProviderRejectedError("Not this one.", provider="")

    def do_memory(self, job):
        yield Said(text="soon")
        raise MemoryError

    def do_print(self, job):
        print("garbage" * 1000)  # noqa: T201 - that is the point
        os.write(1, b"\x00\xff\xff\xff\xff" * 1000)
        os.write(2, b"no newline")
        yield Said(text="printed")

    def do_modules(self, job):
        yield Said(text=" ".join(sys.modules))

    def do_environ(self, job):
        yield Said(text=" ".join(os.environ))
