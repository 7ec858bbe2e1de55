"""
An engine as providers use it: started when first needed, bounded, and replaced when it breaks.

::

    UNLOADED ──first job──▶ STARTING ──▶ READY ──idle, or over its memory──▶ STOPPING ──▶ UNLOADED
                               │           │
                               └── crash, hang, refusal ──▶ BACKOFF ──▶ STARTING or UNLOADED

Everything happens on the event loop, in answer to a message, a timer or a caller; nothing polls.
Beside the jobs being done, the child holds one more, so that it never waits for the server's loop
between two jobs; that one goes back to the queue when the child dies. An urgent job passes those
that are not, and is done beside them, one at a time: live speech does not wait for a recording.
"""

import asyncio
import itertools
import signal
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final, TypeVar

import structlog
from msgspec import DecodeError, Raw, Struct, ValidationError, msgpack

from junctor.core import errors
from junctor.core.engine.channel import (
    Bytes,
    Cancel,
    Ended,
    FromChild,
    Item,
    Ping,
    Pong,
    Ready,
    Refused,
    Run,
    Started,
    Stop,
    encoder,
)
from junctor.core.engine.pending import PendingJob, Phase
from junctor.core.engine.process import ChildProcess
from junctor.core.engine.spec import EngineSpec, EngineState, EngineStatus
from junctor.core.engine.timers import Timers
from junctor.core.errors import (
    JunctorError,
    ProviderAnswerError,
    ProviderBusyError,
    ProviderError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)

log = structlog.get_logger(__name__)

AnswerT = TypeVar("AnswerT")

PREFETCH: Final = 1
"""Jobs the child holds beside those being done."""
MISSED_PINGS: Final = 3
"""Pings in a row without a sign of life that make a hang."""


class Engine:
    """One supervised child process; belongs to the event loop that first uses it."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self._bounds = spec.bounds
        self._state = EngineState.UNLOADED
        self._child: ChildProcess | None = None
        self._life: asyncio.Task[None] | None = None
        self._waiting: deque[PendingJob] = deque()
        self._sent: dict[int, PendingJob] = {}
        self._numbers = itertools.count(1)
        self._loading: list[asyncio.Future[None]] = []
        self._timers = Timers()
        self._missed = 0
        self._is_oversize = False
        self._failure: ProviderError | None = None
        self._backoff_ends = 0.0
        self._crashes_in_a_row = 0
        self._starts = self._crashes = self._memory = 0
        self._last_error = ""

    @property
    def status(self) -> EngineStatus:
        """How it is now."""
        return EngineStatus(
            state=self._state,
            pid=self._child.pid if self._child else None,
            memory=self._memory,
            running=len(self._sent),
            waiting=len(self._waiting),
            starts=self._starts,
            crashes=self._crashes,
            last_error=self._last_error,
        )

    async def stream(
        self,
        args: Struct,
        *,
        answer: "msgpack.Decoder[AnswerT]",
        payload: Bytes = b"",
        is_urgent: bool = False,
    ) -> AsyncGenerator[AnswerT, None]:
        """
        Do a job and yield its results; closing the iterator cancels the job.

        Raises:
            ProviderBusyError: the queue is full, or the engine is out of memory.
            ProviderTimeoutError: the job took longer than its bound.
            ProviderUnavailableError: the child crashed, hung, or cannot be started.
            ProviderRejectedError: the worker refuses this job.
            ProviderAnswerError: a result is not what `answer` decodes.

        """
        job = self._admit(args, payload, is_urgent=is_urgent)
        try:
            while (result := await job.results.get()) is not None:
                if isinstance(result, JunctorError):
                    raise result
                yield self._decoded(answer, result)
        finally:
            self._abandon(job)

    async def run(
        self,
        args: Struct,
        *,
        answer: "msgpack.Decoder[AnswerT]",
        payload: Bytes = b"",
        is_urgent: bool = False,
    ) -> list[AnswerT]:
        """Do a job and return all its results; raises what `stream` raises."""
        items = self.stream(args, answer=answer, payload=payload, is_urgent=is_urgent)
        return [item async for item in items]

    async def preload(self) -> None:
        """
        Start the child now and wait until its model is loaded.

        Raises:
            ProviderUnavailableError: it cannot be started.

        """
        self._refuse_when_down()
        if self._state is not EngineState.READY:
            ready = asyncio.get_running_loop().create_future()
            self._loading.append(ready)
            self._wake()
            await ready

    async def close(self) -> None:
        """End the child and fail what is under way; may be called more than once."""
        self._state = EngineState.CLOSED
        error = self._unavailable("The engine is closed.")
        for job in [*self._waiting, *self._sent.values()]:
            self._fail(job, error)
        self._timers.disarm()
        if self._child is not None:
            self._stop_child(self._child)
        if self._life is not None:
            await asyncio.shield(self._life)

    def _admit(self, args: Struct, payload: Bytes, *, is_urgent: bool) -> PendingJob:
        self._refuse_when_down()
        count = sum(job.is_urgent is is_urgent for job in self._waiting)
        if count >= self._bounds.max_queue:
            raise self.spec.error(
                ProviderBusyError,
                f"{self.spec.name} has {count} jobs waiting, which is its bound.",
            )
        body = Raw(encoder.encode(args))
        job = PendingJob(
            number=next(self._numbers), args=body, payload=payload, is_urgent=is_urgent
        )
        self._waiting.append(job)
        self._timers.disarm("idle")
        self._wake()
        self._feed()
        return job

    def _refuse_when_down(self) -> None:
        if self._state is EngineState.CLOSED:
            raise self._unavailable("The engine is closed.")
        left = self._backoff_ends - asyncio.get_running_loop().time()
        if self._state is EngineState.BACKOFF and left > 0:
            raise self.spec.error(ProviderUnavailableError, self._last_error, retry_after=left)

    def _feed(self) -> None:
        """Give the child what it has room for; when there is nothing at all, start the idle clock."""
        if self._child is None or self._state is not EngineState.READY:
            return
        if self._is_oversize:
            if not self._sent:
                self._stop_child(self._child)
            return
        for is_urgent, slots in ((True, 1), (False, self._bounds.slots)):
            room = slots + PREFETCH - sum(j.is_urgent is is_urgent for j in self._sent.values())
            for job in [job for job in self._waiting if job.is_urgent is is_urgent][: max(room, 0)]:
                self._waiting.remove(job)
                self._send(job, self._child)
        if self._sent:
            self._arm_heartbeat()
        elif self._bounds.idle_unload is not None:
            self._timers.arm("idle", self._bounds.idle_unload, self._unload)

    def _send(self, job: PendingJob, child: ChildProcess) -> None:
        try:
            child.post(Run(job=job.number, args=job.args, is_urgent=job.is_urgent), job.payload)
        except OverflowError as error:
            refusal = self.spec.error(
                ProviderRejectedError, "The recording is too long for a local engine."
            )
            refusal.__cause__ = error
            job.phase = Phase.OVER
            job.settle(refusal)
        else:
            job.phase = Phase.SENT
            self._sent[job.number] = job

    def _abandon(self, job: PendingJob) -> None:
        """Nobody waits for it: take it back, or have it stopped."""
        job.is_abandoned = True
        if job.phase is Phase.WAITING:
            job.phase = Phase.OVER
            self._waiting.remove(job)
        elif job.phase is not Phase.OVER and self._child is not None:
            self._child.post(Cancel(job=job.number))
            self._clock(job, self._bounds.cancel_grace, self._cut)

    def _fail(self, job: PendingJob, error: JunctorError) -> None:
        if not job.is_abandoned:
            job.settle(error)
            self._abandon(job)

    def _overdue(self, job: PendingJob) -> None:
        text = f"{self.spec.name} did not finish within {self._bounds.job_timeout:g} seconds."
        self._fail(job, self.spec.error(ProviderTimeoutError, text))

    def _cut(self, job: PendingJob) -> None:
        """Kill the child over a job that does not stop; that is no crash, so no backoff follows."""
        log.warning("engine.cancel_ignored", engine=self.spec.name, job=job.number)
        if self._state is not EngineState.CLOSED:
            self._state = EngineState.STOPPING
            self._failure = self._unavailable("The engine was restarted over another request.")
        self._kill()

    def _decoded(self, answer: "msgpack.Decoder[AnswerT]", result: Raw) -> AnswerT:
        try:
            return answer.decode(result)
        except (DecodeError, ValidationError) as error:
            text = f"{self.spec.name} gave a result that cannot be understood."
            raise self.spec.error(ProviderAnswerError, text) from error

    def _hear(self, message: FromChild) -> None:
        self._missed = 0
        match message:
            case Ready(memory=size):
                self._memory = size
                self._become_ready()
            case Refused():
                self._failure = self._rebuilt(message)
            case Started(job=number) if job := self._sent.get(number):
                self._begin(job)
            case Item(job=number, body=body) if job := self._sent.get(number):
                self._take(job, body)
            case Ended(job=number) if job := self._sent.pop(number, None):
                self._finish(job, message)
            case Pong(memory=size):
                self._memory = size
            case _:  # about a job it was never given
                log.warning("engine.stray_message", engine=self.spec.name)

    def _begin(self, job: PendingJob) -> None:
        job.phase = Phase.STARTED
        if not job.is_abandoned:
            self._clock(job, self._bounds.job_timeout, self._overdue)

    def _become_ready(self) -> None:
        self._timers.disarm("start")
        if self._state is EngineState.STARTING:
            self._state = EngineState.READY
            self._settle_loading(None)
            self._feed()

    def _take(self, job: PendingJob, body: Raw) -> None:
        if job.is_abandoned:
            return
        if job.results.qsize() >= self._bounds.max_items:
            text = f"{self.spec.name} gave more results than were read."
            self._fail(job, self.spec.error(ProviderAnswerError, text))
        else:
            job.results.put_nowait(body)

    def _finish(self, job: PendingJob, ended: Ended) -> None:
        self._memory = ended.memory
        self._is_oversize = self._bounds.max_memory is not None and (
            ended.memory > self._bounds.max_memory
        )
        self._crashes_in_a_row = 0
        job.disarm()
        job.phase = Phase.OVER
        if not job.is_abandoned:
            job.settle(self._rebuilt(ended) if ended.error else None)
        if not self._sent:
            self._timers.disarm("heartbeat")
        self._feed()

    def _rebuilt(self, told: Ended | Refused) -> ProviderError:
        """Make the error that the child tells of; a defect's trace goes to the log."""
        if told.trace:
            log.error("engine.defect", engine=self.spec.name, trace=told.trace)
        kind = getattr(errors, told.error, None)
        if not (isinstance(kind, type) and issubclass(kind, ProviderError)):
            kind = ProviderUnavailableError
        return self.spec.error(kind, told.message)

    def _wake(self) -> None:
        """Start a child unless there is one."""
        if self._life is None and self._state is not EngineState.CLOSED:
            self._timers.disarm("backoff")
            self._state = EngineState.STARTING
            self._life = asyncio.create_task(self._live(), name=f"{self.spec.name} engine")

    async def _live(self) -> None:
        try:
            child = await ChildProcess.spawn(self.spec)
        except OSError:
            log.exception("engine.spawn_failed", engine=self.spec.name)
            self._failure = self._unavailable("The engine's process cannot be started.")
            self._after(-1, [])
            return
        self._child = child
        self._starts += 1
        if self._state is EngineState.CLOSED:
            child.kill()
        else:
            self._timers.arm("start", self._bounds.start_timeout, self._late)
        try:
            async for message in child.messages():
                self._hear(message)
        except asyncio.CancelledError:  # the loop ends, and nobody closed us
            self._state = EngineState.CLOSED
            raise
        finally:
            self._after(await child.reap(), list(child.tail))

    def _after(self, code: int, tail: list[str]) -> None:
        """Put everything in order after a child's end, expected or not."""
        self._child = self._life = None
        self._memory = 0
        self._is_oversize = False
        self._timers.disarm("start", "idle", "heartbeat", "stop")
        was_ready = self._state is EngineState.READY
        is_expected = self._state in {EngineState.STOPPING, EngineState.CLOSED}
        error = self._failure or self._unavailable(f"The engine crashed ({named(code)}).")
        self._failure = None
        self._give_back(error)
        if is_expected:
            self._rest(error)
        else:
            self._note_crash(error, tail)
            self._back_off(error, was_ready=was_ready)

    def _give_back(self, error: ProviderError) -> None:
        """Fail what the child was doing; what it had not begun goes back to the queue's front."""
        for job in reversed(self._sent.values()):
            job.disarm()
            if job.phase is Phase.SENT and not job.is_abandoned:
                job.phase = Phase.WAITING
                self._waiting.appendleft(job)
                continue
            job.phase = Phase.OVER
            if not job.is_abandoned:
                job.settle(error)
        self._sent.clear()

    def _rest(self, error: ProviderError | None = None) -> None:
        if self._state is EngineState.CLOSED:
            self._settle_loading(error)
            return
        self._state = EngineState.UNLOADED
        if self._waiting or self._loading:
            self._wake()

    def _note_crash(self, error: ProviderError, tail: list[str]) -> None:
        self._crashes += 1
        self._crashes_in_a_row += 1
        self._last_error = str(error)
        log.warning(
            "engine.crashed",
            engine=self.spec.name,
            error=str(error),
            in_a_row=self._crashes_in_a_row,
            output=tail,
        )

    def _back_off(self, error: ProviderError, *, was_ready: bool) -> None:
        self._settle_loading(error)
        if not was_ready:  # it cannot even load: waiting for it again would only use up deadlines
            while self._waiting:
                job = self._waiting.popleft()
                job.phase = Phase.OVER
                job.settle(error)
        doublings = min(self._crashes_in_a_row - 1, 30)
        pause = min(self._bounds.backoff * 2**doublings, self._bounds.backoff_max)
        self._backoff_ends = asyncio.get_running_loop().time() + pause
        self._state = EngineState.BACKOFF
        self._timers.arm("backoff", pause, self._rest)

    def _late(self) -> None:
        self._failure = self._unavailable(
            f"The engine did not load within {self._bounds.start_timeout:g} seconds."
        )
        self._kill()

    def _unload(self) -> None:
        if self._child is not None and not self._sent:
            log.info("engine.unloaded", engine=self.spec.name)
            self._stop_child(self._child)

    def _stop_child(self, child: ChildProcess) -> None:
        if self._state is not EngineState.CLOSED:
            self._state = EngineState.STOPPING
        child.post(Stop())
        self._timers.arm("stop", self._bounds.cancel_grace, self._kill)

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()

    def _arm_heartbeat(self) -> None:
        if "heartbeat" not in self._timers:
            self._timers.arm("heartbeat", self._bounds.hang_after / MISSED_PINGS, self._beat)

    def _beat(self) -> None:
        """Count the ping; a stall of the server's own loop counts as one, so it never makes a hang."""
        if self._child is None or not self._sent:
            return
        if self._missed >= MISSED_PINGS:
            self._failure = self._unavailable("The engine hangs.")
            self._kill()
            return
        self._missed += 1
        self._child.post(Ping())
        self._arm_heartbeat()

    def _settle_loading(self, error: ProviderError | None) -> None:
        for future in self._loading:
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
        self._loading.clear()

    def _unavailable(self, message: str) -> ProviderUnavailableError:
        return self.spec.error(ProviderUnavailableError, message)

    def _clock(self, job: PendingJob, seconds: float, action: Callable[[PendingJob], None]) -> None:
        job.disarm()
        job.timer = asyncio.get_running_loop().call_later(seconds, action, job)


def named(code: int) -> str:
    """Name an exit status for people: `signal SIGABRT`, `status 1`."""
    if code >= 0:
        return f"status {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
