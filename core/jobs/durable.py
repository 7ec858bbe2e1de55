"""
DBOS, kept on threads of its own: which job runs when, and which steps are done.

It knows ids and names only. Everything else about a job is in our own table, so that listing needs
no DBOS and deleting a row deletes all there is. Every method blocks, and belongs on one thread.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from secrets import token_hex

from junctor.core.jobs.liveness import Liveness
from junctor.core.jobs.steps import Asked, Steps

APPLICATION = "junctor"
VERSION = "1"
"""Of the way a run asks for steps; DBOS leaves runs of other versions alone."""
EMBEDDED = "embedded"
"""Name of the only process that a data folder has."""
THREADS = 16
PRIORITIES = 1000
"""Priorities go from minus this to this."""
BATCH = 500
CLOSE_SECONDS = 5.0
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]

HELD = 30.0
"""Seconds: those of its jobs that a process cannot do do not keep others from theirs meanwhile."""

Run = Callable[[str, Steps], Awaitable[bool]]


class _UnfinishedError(BaseException):
    """A step or a run did not finish; DBOS keeps nothing of what is not an `Exception`."""


class Durable:
    """
    The engine behind `junctor.core.jobs.Jobs`; one in a process.

    Args:
        url: where DBOS keeps its tables, a synchronous SQLAlchemy URL.
        run: does one run of a job on the application's loop; it returns True when the job is over
            and False when it cannot be done here now, and is cancelled only by a shutdown, after
            which the job is to be run again.
        loop: the application's loop.
        held: seconds after which a job for other processes is queued again.

    """

    def __init__(
        self, url: str, *, run: Run, loop: asyncio.AbstractEventLoop, held: float = HELD
    ) -> None:
        self._url = url
        self._run = run
        self._loop = loop
        self._liveness = Liveness(url) if url.startswith("postgresql") else None
        self._name = EMBEDDED if self._liveness is None else token_hex(8)
        self._is_launched = False
        self._stops: list[threading.Event] = []
        self._hold = held
        self._held: dict[str, float] = {}
        self._missed: frozenset[str] = frozenset()
        """Processes whose locks nobody held at the last look."""
        self._enqueue: Callable[[str, str], object] | None = None

    def launch(
        self,
        queues: Mapping[str, int],
        *,
        poll_interval: float,
        works_on: Collection[str] | None = None,
    ) -> None:
        """
        Import DBOS and start it; what this process left unfinished is queued again.

        Args:
            queues: how many jobs a process works on at once, by the queue's name.
            poll_interval: seconds between two looks for queued jobs.
            works_on: the queues that this process works on; None: all.

        """
        _adopt_logger()
        from dbos import DBOS, DBOSPortableJSONSerializer

        if self._liveness is not None:
            self._liveness.hold(self._name)
        self._stops = DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": self._url,
                "application_version": VERSION,
                "executor_id": self._name,
                "max_executor_threads": THREADS,
                "use_listen_notify": False,
                "notification_listener_polling_interval_sec": min(1.0, 4 * poll_interval),
                "log_level": "ERROR",
                "serializer": DBOSPortableJSONSerializer(),
            }
        ).background_thread_stop_events
        self._is_launched = True

        @DBOS.workflow(name="job", max_recovery_attempts=None)
        async def perform(id_: str) -> None:
            await self._perform(id_)

        self._enqueue = lambda queue, id_: DBOS.enqueue_workflow(queue, perform, id_)
        if works_on is not None:
            DBOS.listen_queues(list(works_on))
        DBOS.launch()
        for name, concurrency in queues.items():
            is_ours = works_on is None or name in works_on
            DBOS.register_queue(
                name,
                worker_concurrency=concurrency,
                polling_interval_sec=poll_interval,
                on_conflict="always_update" if is_ours else "never_update",
            )

    def enqueue(self, jobs: Iterable[tuple[str, str, int]]) -> None:
        """Queue jobs, each given as id, queue and priority; one that is queued stays so."""
        from dbos import SetEnqueueOptions, SetWorkflowID

        assert self._enqueue is not None  # noqa: S101 - for the type checker: after `launch`
        for id_, queue, priority in jobs:
            urgency = PRIORITIES + 1 - max(-PRIORITIES, min(PRIORITIES, priority))
            with SetWorkflowID(id_), SetEnqueueOptions(priority=urgency):
                self._enqueue(queue, id_)

    def reconcile(self, running: Collection[tuple[str, str, int]]) -> None:
        """Forget what is over, and queue what was running and DBOS does not know."""
        from dbos import DBOS

        self.sweep()
        known: set[str] = set()
        while True:
            found = DBOS.list_workflows(
                limit=BATCH, offset=len(known), load_input=False, load_output=False
            )
            known.update(one.workflow_id for one in found)
            if len(found) < BATCH:
                break
        self.enqueue(job for job in running if job[0] not in known)

    def sweep(self) -> None:
        """Delete what DBOS keeps of jobs that are over."""
        from dbos import DBOS

        while found := DBOS.list_workflows(
            status=_ENDED, limit=BATCH, load_input=False, load_output=False
        ):
            DBOS.delete_workflows([one.workflow_id for one in found])

    def reap(self) -> None:
        """
        Queue again what other processes have to do: those that are gone did not, we cannot.

        A process is gone when it is missed at two looks: one that Postgres threw out, as a restart
        of it does, has its lock again when it looks itself.
        """
        from dbos import DBOS

        self._let_go()
        if self._liveness is None:
            return
        self._liveness.hold(self._name)
        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        missed: set[str] = set()
        for name in {str(one.executor_id) for one in pending if one.executor_id} - {self._name}:
            with self._liveness.taken(name) as is_missed:
                if is_missed and name in self._missed:
                    # Listed again under its lock: another reaper may have been quicker.
                    self._requeue(executor_id=name)
                elif is_missed:
                    missed.add(name)
        self._missed = frozenset(missed)

    def _let_go(self) -> None:
        due = [id_ for id_, until in list(self._held.items()) if until < time.monotonic()]
        if due:
            self._requeue(workflow_ids=due)
        for id_ in due:
            del self._held[id_]

    def _requeue(
        self, *, executor_id: str | None = None, workflow_ids: list[str] | None = None
    ) -> None:
        from dbos import DBOS

        for one in DBOS.list_workflows(
            status="PENDING",
            executor_id=executor_id,
            workflow_ids=workflow_ids,
            load_input=False,
            load_output=False,
        ):
            DBOS.resume_workflow(one.workflow_id, queue_name=one.queue_name)

    def pause(self) -> None:
        """Take up no more jobs."""
        for event in self._stops:
            event.set()
        for thread in threading.enumerate():
            if thread.name.startswith("queue-worker-"):
                thread.join(CLOSE_SECONDS)

    def close(self) -> None:
        """Stop; a second call does nothing."""
        if self._is_launched:
            from dbos import DBOS

            # First no new jobs: one that is taken up while its loop is closed ends in a complaint.
            self.pause()
            DBOS.destroy(destroy_registry=True)
            self._is_launched = False
        if self._liveness is not None:
            self._liveness.close()

    async def _perform(self, id_: str) -> None:
        """Have one run done on the application's loop, and remember its steps; on DBOS' loop."""
        loop = asyncio.get_running_loop()
        asks: asyncio.Queue[Asked | None] = asyncio.Queue()

        def ask(asked: Asked | None) -> None:
            loop.call_soon_threadsafe(asks.put_nowait, asked)

        run = asyncio.run_coroutine_threadsafe(_awaited(self._run, id_, ask), self._loop)
        run.add_done_callback(lambda _: ask(None))
        try:
            while (asked := await asks.get()) is not None:
                await self._step(asked)
            if run.cancelled():  # a shutdown: end by being destroyed, so that nothing is recorded
                await asyncio.Event().wait()
        finally:
            run.cancel()
        if not run.result():
            self._held[id_] = time.monotonic() + self._hold
            raise _UnfinishedError

    async def _step(self, asked: Asked) -> None:
        from dbos import DBOS

        async def once() -> str:
            asked.recall(None)
            try:
                return await asyncio.wrap_future(asked.made)
            except asyncio.CancelledError:
                raise _UnfinishedError from None

        try:
            made = await DBOS.run_step_async({"name": asked.name}, once)
        except _UnfinishedError:
            return
        except Exception as exc:  # noqa: BLE001 - the run raises and logs it
            asked.fail(exc)
            return
        asked.recall(made)
        asked.keep()


async def _awaited(run: Run, id_: str, ask: Callable[[Asked | None], None]) -> bool:
    return await run(id_, Steps(ask))


def _adopt_logger() -> None:
    """Let its log lines come out as ours do; without a handler it would install its own."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
