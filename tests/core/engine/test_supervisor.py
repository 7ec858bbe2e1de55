"""An engine works, breaks, is cancelled and comes back, and nobody waits in vain."""

import asyncio
import os
import signal
import sys
from contextlib import aclosing, suppress

import pytest
import uvloop
from msgspec import msgpack

from junctor.core.engine.spec import EngineState
from junctor.core.engine.supervisor import Engine
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderBusyError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from tests.core.engine.conftest import ANSWER, ask, listen, spec_of
from tests.core.engine.workers import ScriptArgs


async def ended(pid: int) -> None:
    """Wait until the process is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, gone.set)
    try:
        await asyncio.wait_for(gone.wait(), 10)
    finally:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


async def rested(engine: Engine) -> None:
    """Let the timer of the backoff ring."""
    while engine.status.state is EngineState.BACKOFF:  # noqa: ASYNC110 - a timer's own fact
        await asyncio.sleep(0)


async def test_starts_lazily_and_answers(make):
    """No child before the first job; then one that is kept."""
    engine = make()
    assert EngineState.UNLOADED is engine.status.state
    first, second = (await ask(engine, "echo", payload=b"hi"))[0], (await ask(engine, "echo"))[0]

    assert ("hi2", "0") == (first.text, second.text)
    assert first.pid == second.pid == engine.status.pid != os.getpid()
    assert engine.status.memory > 1_000_000


async def test_carries_large_payloads(make):
    """A payload larger than every buffer arrives whole."""
    payload = bytes(20_000_000)

    assert (await ask(make(), "echo", payload=payload))[0].text.endswith("20000000")


async def test_streams_many_items_in_order(make):
    """A job may have many results, which come in order."""
    assert list(map(str, range(500))) == [
        said.text for said in await ask(make(), "count", number=500)
    ]


async def test_preloads(make):
    """Preloading starts the child and waits until it is ready."""
    engine = make()
    await engine.preload()

    assert EngineState.READY is engine.status.state


@pytest.mark.parametrize(
    ("op", "error"),
    [
        ("reject", ProviderRejectedError),
        ("raise", ProviderUnavailableError),
        ("memory", ProviderBusyError),
    ],
)
async def test_errors_come_back(make, op, error):
    """An error in the worker is raised here by its class, and the child lives on."""
    engine = make()
    with pytest.raises(error) as caught:
        await ask(engine, op)

    assert ("script", "one") == (caught.value.provider, caught.value.model)
    assert "secret" not in str(caught.value)
    assert 1 == engine.status.starts


@pytest.mark.parametrize("op", ["abort", "exit"])
async def test_crash_fails_the_job_and_restarts(make, op):
    """A crash is an unavailable provider; the next job finds a new child."""
    engine = make(backoff=0.0001)
    with pytest.raises(ProviderUnavailableError, match=r"SIGABRT|status 3"):
        await ask(engine, op)
    await rested(engine)

    assert "0" == (await ask(engine, "echo"))[0].text
    assert (2, 1) == (engine.status.starts, engine.status.crashes)


async def test_crash_spares_the_queue(make):
    """Jobs the child had not begun are done by its successor."""
    engine = make()
    stream = listen(engine, "wait")
    pid = (await anext(stream)).pid
    others = [asyncio.create_task(ask(engine, "echo")) for _ in range(4)]
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ProviderUnavailableError, match="SIGKILL"):
        await anext(stream)

    assert ["0"] * 4 == [said.text for (said,) in await asyncio.gather(*others)]


async def test_backoff_refuses_at_once(make):
    """While it waits to restart, jobs are refused with the time to wait."""
    engine = make(backoff=30.0)
    with pytest.raises(ProviderUnavailableError):
        await ask(engine, "abort")
    with pytest.raises(ProviderUnavailableError) as caught:
        await ask(engine, "echo")

    assert caught.value.retry_after is not None
    assert 20 < caught.value.retry_after <= 30


@pytest.mark.parametrize(
    ("load", "reason"),
    [("refuse", "folder is missing"), ("raise", "RuntimeError"), ("abort", "SIGABRT")],
)
async def test_failed_load_fails_all(make, load, reason):
    """A worker that cannot be built fails every waiting job with the reason."""
    engine = make(load, backoff=30.0)
    jobs = [asyncio.create_task(ask(engine, "echo")) for _ in range(3)]
    results = await asyncio.gather(*jobs, return_exceptions=True)

    assert 3 == sum(isinstance(error, ProviderUnavailableError) for error in results)
    assert all(reason in str(error) for error in results)


async def test_slow_load_is_given_up(make):
    """A load that takes too long is a failure, also for who preloads."""
    engine = make("never", start_timeout=0.5)

    with pytest.raises(ProviderUnavailableError, match="did not load within"):
        await engine.preload()


async def test_backoff_grows(make):
    """Each crash in a row doubles the pause, up to a bound."""
    engine = make("refuse", backoff=0.0001, backoff_max=30.0)
    for _ in range(4):
        with pytest.raises(ProviderUnavailableError):
            await engine.preload()
        await rested(engine)

    assert 4 == engine.status.crashes == engine.status.starts
    assert "missing" in engine.status.last_error


async def test_full_queue_is_busy(make):
    """One job more than the queue holds is refused, and the others are done."""
    engine = make(max_queue=2)
    async with aclosing(listen(engine, "wait")) as stream:
        await anext(stream)
        jobs = [asyncio.create_task(ask(engine, "echo")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ProviderBusyError):
            await ask(engine, "echo")

    assert 3 == len(await asyncio.gather(*jobs))


async def test_cancel_stops_the_job(make):
    """A cancelled task stops the work in the child, which lives on."""
    engine = make()
    stream = listen(engine, "wait")
    pid = (await anext(stream)).pid
    task = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert pid == (await ask(engine, "echo"))[0].pid


async def test_cancel_in_the_queue(make):
    """A job cancelled before the child began it is never begun."""
    engine = make()
    async with aclosing(listen(engine, "wait")) as stream:
        await anext(stream)
        jobs = [asyncio.create_task(ask(engine, "abort")) for _ in range(3)]
        await asyncio.sleep(0)
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)

    assert "0" == (await ask(engine, "echo"))[0].text
    assert (0, 1) == (engine.status.crashes, engine.status.starts)


@pytest.mark.parametrize("op", ["deaf", "lock"])
async def test_deaf_job_is_killed(make, op):
    """A cancelled job that does not stop costs the child, without backoff."""
    engine = make(cancel_grace=0.2)
    async with aclosing(listen(engine, op)) as stream:
        pid = (await anext(stream)).pid

    assert pid != (await ask(engine, "echo"))[0].pid
    assert 0 == engine.status.crashes
    await ended(pid)


async def test_overlong_job_times_out(make):
    """A job over its bound is a timeout, and its child is free again."""
    engine = make(job_timeout=0.3)
    with pytest.raises(ProviderTimeoutError):
        await ask(engine, "wait")

    assert "0" == (await ask(engine, "echo"))[0].text
    assert 1 == engine.status.starts


async def test_deadline_of_the_caller(make):
    """A deadline around the call holds at once, even when the child is deaf."""
    engine = make(cancel_grace=0.2)
    await engine.preload()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ask(engine, "lock")


async def test_hang_is_found(make):
    """A child that answers no ping is killed, and the job fails."""
    engine = make(hang_after=0.3)

    with pytest.raises(ProviderUnavailableError, match="hangs"):
        await ask(engine, "lock")


async def test_stopped_child_is_found(make):
    """A child that the system stopped is killed as well."""
    engine = make(hang_after=0.3)
    stream = listen(engine, "wait")
    os.kill((await anext(stream)).pid, signal.SIGSTOP)

    with pytest.raises(ProviderUnavailableError, match="hangs"):
        await anext(stream)


async def test_unloads_when_idle(make):
    """Without jobs the child ends; the next job starts another."""
    engine = make(idle_unload=0.1)
    pid = (await ask(engine, "echo"))[0].pid
    await ended(pid)

    assert pid != (await ask(engine, "echo"))[0].pid
    assert (2, 0) == (engine.status.starts, engine.status.crashes)


async def test_replaces_a_fat_child(make):
    """A child over its memory is replaced between two jobs."""
    engine = make(max_memory=1)
    pids = {(await ask(engine, "echo"))[0].pid for _ in range(2)}

    assert 2 == len(pids)
    assert 0 == engine.status.crashes


async def test_output_is_no_answer(make):
    """What a worker prints does not disturb the channel."""
    assert ["printed"] == [said.text for said in await ask(make(), "print")]


async def test_two_slots_work_side_by_side(make):
    """With two slots, a second job is done while the first still runs."""
    engine = make(slots=2)
    async with aclosing(listen(engine, "wait")) as stream:
        await anext(stream)

        assert "0" == (await ask(engine, "echo"))[0].text


async def test_strange_answer_is_an_error(make):
    """A result that is not what was expected is the provider's answer error."""
    with pytest.raises(ProviderAnswerError):
        await make().run(ScriptArgs(op="echo"), answer=msgpack.Decoder(int))


async def test_slow_reader_is_bounded(make):
    """Results nobody reads are kept up to a bound."""
    engine = make(max_items=10)
    stream = engine.stream(ScriptArgs(op="count", number=100_000), answer=msgpack.Decoder())
    await anext(stream)
    await ask(engine, "echo")

    with pytest.raises(ProviderAnswerError):
        [item async for item in stream]


async def test_close_ends_child_and_jobs(make):
    """Closing fails what is under way and leaves no child; twice is once."""
    engine = make()
    stream = listen(engine, "wait")
    pid = (await anext(stream)).pid
    await engine.close()
    await engine.close()
    with pytest.raises(ProviderUnavailableError, match="closed"):
        await anext(stream)

    with pytest.raises(ProviderUnavailableError, match="closed"):
        await ask(engine, "echo")

    await ended(pid)


async def test_close_while_starting(make):
    """Closing during the load leaves nobody waiting."""
    engine = make("never", cancel_grace=0.2)
    task = asyncio.create_task(engine.preload())
    await asyncio.sleep(0)
    await engine.close()

    with pytest.raises(ProviderUnavailableError):
        await task


async def test_child_imports_little(make):
    """The child loads no web framework, no database and no array library of ours."""
    modules = set((await ask(make(), "modules"))[0].text.split())

    assert not modules & {"litestar", "sqlalchemy", "numpy", "structlog", "pluggy", "aiohttp"}


async def test_child_inherits_no_secrets(make, monkeypatch):
    """Only listed variables reach the child."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf-secret")
    names = (await ask(make(), "environ"))[0].text.split()

    assert not {"OPENAI_API_KEY", "HF_TOKEN"} & set(names)
    assert "PATH" in names


def test_works_on_uvloop():
    """The server's own event loop carries it too: an answer, a crash, a cancel, a close."""

    async def life() -> tuple[list[str], int]:
        engine = Engine(spec_of(backoff=0.0001))
        answers = await ask(engine, "echo", payload=bytes(3_000_000))
        with suppress(ProviderUnavailableError):
            await ask(engine, "abort")
        await rested(engine)
        async with aclosing(listen(engine, "wait")) as stream:
            await anext(stream)
        answers += await ask(engine, "echo")
        await engine.close()
        return [said.text[-7:].strip("\0") for said in answers], engine.status.starts

    assert (["3000000", "0"], 2) == uvloop.run(life())


ORPHAN = """
import asyncio
from msgspec import msgpack
from tests.core.engine.workers import Said, ScriptArgs, ScriptOptions
from junctor.core.engine.spec import EngineSpec
from junctor.core.engine.supervisor import Engine

async def main():
    engine = Engine(EngineSpec(provider="script", model="one", options=ScriptOptions(),
                               worker="tests.core.engine.workers:ScriptWorker"))
    async for said in engine.stream(ScriptArgs(op="{op}"), answer=msgpack.Decoder(Said)):
        print(said.pid, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("op", ["wait", "lock"])
async def test_killed_server_leaves_no_child(op):
    """However the server dies, its child goes with it, even one that holds the interpreter."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHAN.format(op=op)), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    pid = int(await server.stdout.readline())
    server.kill()
    await server.wait()

    await ended(pid)


async def test_an_urgent_job_passes_the_others(make):
    """It is done while another one goes on and two more wait."""
    engine = make()
    async with aclosing(listen(engine, "wait")) as running:
        await anext(running)
        waiting = [asyncio.create_task(ask(engine, "echo")) for _ in range(2)]
        [said] = await engine.run(ScriptArgs(op="echo"), answer=ANSWER, is_urgent=True)
        done = [task.done() for task in waiting]
    await asyncio.gather(*waiting)

    assert "0" == said.text
    assert [False, False] == done


async def test_urgent_jobs_are_bounded_apart(make):
    """A full queue refuses neither kind for the other's sake; each has its bound."""
    engine = make(max_queue=1)
    jobs = [
        engine.stream(ScriptArgs(op="wait"), answer=ANSWER, is_urgent=kind)
        for kind in (False, True)
    ]
    async with aclosing(jobs[0]) as slow, aclosing(jobs[1]) as urgent:
        await asyncio.gather(anext(slow), anext(urgent))
        waiting = [
            asyncio.create_task(engine.run(ScriptArgs(op="echo"), answer=ANSWER, is_urgent=kind))
            for kind in (True, True, False, False)
        ]
        await asyncio.sleep(0)
        for kind in (False, True):
            with pytest.raises(ProviderBusyError):
                await engine.run(ScriptArgs(op="echo"), answer=ANSWER, is_urgent=kind)
    answers = await asyncio.gather(*waiting)

    assert ["0"] * 4 == [said.text for [said] in answers]


async def test_an_urgent_job_that_hangs_is_cut(make):
    """It has the same bounds as any other."""
    engine = make(job_timeout=0.05, cancel_grace=0.05)
    with pytest.raises(ProviderTimeoutError):
        await engine.run(ScriptArgs(op="deaf"), answer=ANSWER, is_urgent=True)
    [said] = await ask(engine, "echo")

    assert "0" == said.text
