"""The way of a video: planned, run over the candidates, measured, and served."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import cast

from attrs import define, frozen
from msgspec import Struct

from junctor.core.attempts import Attempt
from junctor.core.cards import Capability
from junctor.core.dispatch import Order
from junctor.core.errors import OverloadedError, ProviderAnswerError
from junctor.core.plans import Candidate, Plan, Wish
from junctor.core.policy import refusal
from junctor.core.providers import VideoGenerator
from junctor.core.requests import VideoProgress, VideoRequest
from junctor.core.tickets import Ticket
from junctor.core.transcriptions import Hooks
from junctor.core.video.measure import Measured, measured

SOUND_SLACK = 0.1
"""By how much the sound of a video may be longer or shorter, seconds: a few blocks of AAC."""


class VideoAsked(Struct, frozen=True, kw_only=True):
    """A video as its contract understood it."""

    image: bytes
    """The first frame: PNG, RGB, of exactly `width` by `height` pixels."""
    prompt: str
    seconds: int
    width: int
    height: int
    rate: int
    seed: int
    key: str
    """The same in every run of the job."""


@frozen(kw_only=True)
class Generated:
    """A video that is there: the file, and what is in it."""

    path: Path
    """In the scratch folder of the run, with which it goes."""
    measured: Measured


Told = Callable[[Candidate, VideoProgress], None]
"""Is told how far a candidate is; it returns at once."""


@define(kw_only=True, eq=False)
class Generating:
    """One video of one ticket."""

    ticket: Ticket
    hooks: Hooks
    asked: VideoAsked
    wish: Wish
    folder: Path
    """Scratch: each attempt gets a folder in it."""
    told: Told

    async def run(self) -> Generated:
        """
        Make the video; all of it is served.

        Raises:
            JunctorError: what `junctor.core.dispatch.Dispatcher.answer` raises, and for an empty
                plan what `junctor.core.policy.refusal` says.

        """
        ticket = self.ticket
        plan = planned(ticket, self.hooks, self.wish)
        order = Order(
            blank=Attempt(capability=Capability.GENERATE_VIDEO),
            deadline=ticket.deadline,
            trace=ticket.trace,
            longest=ticket.deadline.seconds,
        )
        made = await ticket.snapshot.dispatcher.answer(plan, self._attempt, order)
        ticket.unit = "video_seconds"
        ticket.frames, ticket.sample_rate = made.measured.frames, made.measured.rate
        ticket.spend_media()
        ticket.serve_all()
        return made

    async def _attempt(self, candidate: Candidate) -> Generated:
        card, asked = candidate.card, self.asked
        folder = await asyncio.to_thread(_fresh, self.folder)
        request = VideoRequest(
            image=asked.image,
            prompt=asked.prompt,
            seconds=asked.seconds,
            width=asked.width,
            height=asked.height,
            rate=asked.rate,
            seed=asked.seed,
            target=folder / "video.mp4",
            key=asked.key,
            model=card.id,
        )
        provider = cast("VideoGenerator", self.ticket.snapshot.provider(card))
        try:
            await provider.generate_video(request, lambda progress: self.told(candidate, progress))
            return Generated(path=request.target, measured=await self._checked(request, candidate))
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise

    async def _checked(self, request: VideoRequest, candidate: Candidate) -> Measured:
        """Measure what was made; what is not what was asked for is no answer."""
        try:
            found = await asyncio.to_thread(measured, request.target)
        except (OSError, ValueError) as exc:
            raise _nonsense("It made no video.", candidate) from exc
        is_right = (
            found.frames == request.seconds * request.rate
            and found.rate == request.rate
            and (found.width, found.height) == (request.width, request.height)
            and abs(found.sound_seconds - request.seconds) < SOUND_SLACK
        )
        if not is_right:
            raise _nonsense("It made a video of another length, rate or size.", candidate)
        return found


def planned(ticket: Ticket, hooks: Hooks, wish: Wish) -> Plan:
    """
    Return the plan of a wish, with at least one candidate.

    Raises:
        JunctorError: nobody can serve it; what `junctor.core.policy.refusal` says.

    """
    plan = hooks.plan(ticket.snapshot.planner.plan(wish), wish)
    ticket.planned = tuple(one.card.name for one in plan.candidates)
    if not plan.candidates:
        raise refusal(plan)
    return plan


def _nonsense(message: str, candidate: Candidate) -> ProviderAnswerError:
    card = candidate.card
    return ProviderAnswerError(message, provider=card.provider, model=card.id)


def _fresh(folder: Path) -> Path:
    try:
        return Path(mkdtemp(dir=folder))
    except OSError as exc:
        raise OverloadedError("The server has no room for a video at the moment.") from exc
