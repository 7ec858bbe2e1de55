"""An engine around the scripted worker."""

from contextlib import AsyncExitStack

import pytest
from attrs import evolve
from msgspec import msgpack

from junctor.core.engine.spec import EngineBounds, EngineSpec
from junctor.core.engine.supervisor import Engine
from tests.core.engine.workers import Load, Op, Said, ScriptArgs, ScriptOptions

BOUNDS = EngineBounds(cancel_grace=5.0, backoff=0.01, idle_unload=None)
ANSWER = msgpack.Decoder(Said)


def spec_of(load: Load = "well", **bounds) -> EngineSpec:
    """Return the scripted engine's spec with these bounds."""
    return EngineSpec(
        provider="script",
        model="one",
        worker="tests.core.engine.workers:ScriptWorker",
        options=ScriptOptions(load=load),
        bounds=evolve(BOUNDS, **bounds),
    )


@pytest.fixture(name="make")
async def _make():
    """Make engines with the bounds given; all are closed at the end."""
    async with AsyncExitStack() as stack:

        def make(load: Load = "well", **bounds) -> Engine:
            engine = Engine(spec_of(load, **bounds))
            stack.push_async_callback(engine.close)
            return engine

        yield make


async def ask(engine: Engine, op: Op, *, number: int = 0, payload: bytes = b"") -> list[Said]:
    """Have a job done and return what was said."""
    return await engine.run(ScriptArgs(op=op, number=number), answer=ANSWER, payload=payload)


def listen(engine: Engine, op: Op):
    """Begin a job and return its stream."""
    return engine.stream(ScriptArgs(op=op), answer=ANSWER)
