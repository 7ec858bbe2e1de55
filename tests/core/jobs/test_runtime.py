"""Jobs and callbacks as a server has them."""

import asyncio

import msgspec

from junctor.conf.settings import Network, Settings
from junctor.core.complaints import Complaints
from junctor.core.jobs import Job, Progress
from junctor.core.runtime import Runtime
from junctor.core.telemetry import Telemetry
from tests.fakes.plugins import plugins
from tests.fakes.upstream import Mode, Upstream


async def test_from_submission_to_delivery(settings: Settings) -> None:
    """A job of a running server is done, and its end told to its callback."""

    async def work(_job: Job, _progress: Progress) -> dict[str, object]:
        return {"artefact": "a1"}

    own = msgspec.structs.replace(settings, network=Network(allowed_private=("127.0.0.0/8",)))
    telemetry = Telemetry(own.telemetry)
    runtime = Runtime(own, plugins(own), telemetry=telemetry, complaints=Complaints())
    runtime.jobs.register("transcription", work)
    async with Upstream() as receiver, runtime:
        receiver.script(Mode(body=b"{}"))
        url = receiver.base_url
        await runtime.guard.check(url, param="callback_url")
        job = await runtime.jobs.submit("transcription", team="acme", payload={"callback_url": url})
        while job.callback_state != "delivered":
            await asyncio.sleep(0.005)
            job = await runtime.jobs.get(job.id, team="acme")
        tries = await runtime.callbacks.deliveries(job.id, team="acme")

    assert receiver.requests[0].json["result"] == {"artefact": "a1"}
    assert [one.status for one in tries] == [200]
