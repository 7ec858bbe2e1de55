"""Steps: what is done is done, whether or not it can be remembered."""

import asyncio

from junctor.core.jobs.steps import Asked, Steps


async def test_what_cannot_be_remembered_was_done_all_the_same() -> None:
    """A run goes on with what its step made: a job that is paid for must not fail over a note."""

    def ask(asked: Asked) -> None:
        asked.recall(None)
        asked.made.add_done_callback(lambda _: asked.fail(RuntimeError("no database")))

    made = await Steps(ask).take("make", lambda: asyncio.sleep(0, "artefact-1"))

    assert "artefact-1" == made
