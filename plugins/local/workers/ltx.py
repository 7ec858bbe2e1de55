"""
LTX-2.3, inside its child process: a picture, a prompt and a seed become an MP4.

The pipeline is left before it decodes: pictures are decoded here, in pieces that go into the file
one after the other, so that neither progress nor memory depends on the length of the video.
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import define, frozen

from junctor.core.engine.worker import Job
from junctor.core.errors import ProviderAnswerError, ProviderUnavailableError
from junctor.core.requests import VideoStage
from junctor.core.video.mp4 import Mp4Writer
from junctor.plugins.local.workers.ltx_args import LtxArgs, LtxOptions, Made, Pass
from junctor.plugins.local.workers.ltx_frames import (
    as_bytes,
    decoded,
    frames_made,
    padded,
    pieces_of,
    read_picture,
    resampled,
)
from junctor.plugins.local.workers.ltx_memory import OVERHEAD, Memory, Shape, refusal, working
from junctor.plugins.local.workers.ltx_pipeline import (
    Kind,
    Pipelines,
    call_arguments,
    in_memory,
    scheduled,
    watched,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL.Image import Image

Tell = Callable[[Made], None]


@frozen
class Planned:
    """One pass of a video, with its size."""

    one: Pass
    shape: Shape

    @property
    def cost(self) -> int:
        """What a step takes, in tokens that run through the model."""
        return self.one.guidance.runs * self.shape.tokens


@define
class Meter:
    """How far a video is, told after every step; the shares are about those on a GPU."""

    tell: Tell
    plan: tuple[Planned, ...]
    done: int = 0

    def at(self, stage: VideoStage, share: float, *, step: int = 0, steps: int = 0) -> None:
        """Say how far it is."""
        self.tell(Made(stage=stage, share=share, step=step, steps=steps))

    def stepped(self, planned: Planned) -> None:
        """Say that a step is done."""
        self.done += planned.cost
        counts = [len(one.one.sigmas) for one in self.plan]
        total = sum(one.cost * count for one, count in zip(self.plan, counts, strict=True))
        step = self._steps_done(counts)
        share = 0.05 + 0.8 * self.done / total
        self.at(VideoStage.GENERATING, share, step=step, steps=sum(counts))

    def _steps_done(self, counts: list[int]) -> int:
        left, steps = self.done, 0
        for planned, count in zip(self.plan, counts, strict=True):
            taken = min(left // planned.cost, count)
            left -= taken * planned.cost
            steps += taken
        return steps


class LtxWorker:
    """The weights of one device."""

    Options: ClassVar = LtxOptions
    Args: ClassVar = LtxArgs

    def __init__(self, options: LtxOptions) -> None:
        self.options = options
        self.pipelines = Pipelines(options)
        first: Kind = "base" if options.base else "distilled"
        needed = self.pipelines.sizes[first].resident(options.offload) + OVERHEAD
        if error := refusal(needed, memory_of(options), what="The model"):
            raise error
        self.pipelines.get(first)

    def run(self, job: Job[LtxArgs]) -> Generator[Made, None, None]:
        """Make the video; the pipeline runs in a thread of its own, since its steps call back."""
        told: SimpleQueue[Made | None] = SimpleQueue()
        with ThreadPoolExecutor(max_workers=1) as pool:
            made = pool.submit(self._make, job, told.put)
            made.add_done_callback(lambda _: told.put(None))
            while (progress := told.get()) is not None:
                yield progress
            made.result()

    def _make(self, job: Job[LtxArgs], tell: Tell) -> None:
        import torch

        args = job.args
        pixels = read_picture(job.payload, width=args.width, height=args.height)
        if not Path(args.target).parent.is_dir():
            raise ProviderUnavailableError("The folder for the video is gone.", provider="")
        large = padded(pixels, grid=args.variant.grid)
        plan = planned(args, large.shape[1], large.shape[0])
        if error := self.refusal(plan):
            raise error
        meter = Meter(tell, plan)
        with in_memory(), torch.no_grad():
            pipe, latents, sound = self._denoise(job, large, meter)
            try:
                self._write(job, (pipe, latents, sound), pixels, meter)
            finally:
                pipe.maybe_free_model_hooks()

    def refusal(self, plan: tuple[Planned, ...]) -> Exception | None:
        """Return why there is no memory for a video, if there is none."""
        most = max(self._needed(one) for one in plan)
        return refusal(most, memory_of(self.options), what="This video")

    def _needed(self, planned: Planned) -> int:
        sizes = self.pipelines.sizes[self.pipelines.folder_kind(planned.one.weights)]
        guidance = planned.one.guidance
        is_guided = max(guidance.video, guidance.audio) > 1
        extra = working(planned.shape, self.options, width=sizes.width, is_guided=is_guided)
        return sizes.resident(self.options.offload) + extra

    def _denoise(
        self, job: Job[LtxArgs], large: "NDArray[np.uint8]", meter: Meter
    ) -> "tuple[Any, torch.Tensor, torch.Tensor]":
        """Return the pipeline that has just run, and the latents of pictures and sound."""
        import torch
        from PIL import Image

        image = Image.fromarray(large)
        generator = torch.Generator("cpu").manual_seed(job.args.seed)
        pipe: Any = None
        given: dict[str, Any] = {"image": image}
        for planned in meter.plan:
            if not self.pipelines.is_loaded(planned.one.weights):
                meter.at(VideoStage.LOADING, 0.0)
            pipe = self.pipelines.get(planned.one.weights)
            if "latents" in given:
                given["latents"] = self._enlarged(pipe, given["latents"], image)
            else:
                meter.at(VideoStage.PREPARING, 0.03)
            latents, sound = self._run(
                job, planned, meter, (pipe, {**given, "generator": generator})
            )
            given = {"latents": latents, "audio_latents": sound}
        return pipe, given["latents"], given["audio_latents"]

    def _run(
        self,
        job: Job[LtxArgs],
        planned: Planned,
        meter: Meter,
        call: tuple[Any, dict[str, Any]],
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        import torch

        def stepped(_: Any, __: int, ___: Any, kept: dict[str, Any]) -> dict[str, Any]:
            job.check()
            meter.stepped(planned)
            return kept

        pipe, given = call
        shape = planned.shape
        arguments = call_arguments(
            job.args,
            planned.one,
            self.options,
            size=(shape.width, shape.height),
            frames=shape.frames,
        )
        with scheduled(pipe, is_shifted=planned.one.is_shifted), watched(pipe, job.check):
            latents, sound = pipe(**arguments, **given, callback_on_step_end=stepped)
        if not (torch.isfinite(latents).all() and torch.isfinite(sound).all()):
            raise ProviderAnswerError("The model lost itself in numbers without end.", provider="")
        return latents, sound

    def _enlarged(self, pipe: Any, latents: "torch.Tensor", image: "Image") -> "torch.Tensor":
        """
        Return latents of twice the size, whose first is that of the picture itself.

        diffusers' second pass goes on from the enlarged first frame; Lightricks' own puts the
        picture there again, in full size.
        """
        larger = self.pipelines.upsample(latents).float()
        larger[:, :, :1] = encoded(pipe, image, self.options).to(larger)
        return larger

    def _write(
        self,
        job: Job[LtxArgs],
        made: "tuple[Any, torch.Tensor, torch.Tensor]",
        first: "NDArray[np.uint8]",
        meter: Meter,
    ) -> None:
        """Decode and encode, one piece after the other."""
        args = job.args
        pipe, latents, sound = made
        count = pieces_of(latents.shape[2])
        meter.at(VideoStage.DECODING, 0.85, steps=count)
        size = {"width": args.width, "height": args.height}
        left = args.frames
        with writing(), Mp4Writer(Path(args.target), rate=args.rate, **size) as file:
            file.sound(voiced(pipe, sound))
            pieces = self._pieces(pipe, latents)
            for number, piece in enumerate(pieces, start=1):
                job.check()
                for pixels in as_bytes(piece[:, :left], **size):
                    job.check()
                    is_first = left == args.frames and self.options.keep_first_frame
                    file.frame(first if is_first else pixels)
                    left -= 1
                share = 0.85 + 0.13 * number / count
                meter.at(VideoStage.DECODING, share, step=number, steps=count)
            meter.at(VideoStage.ENCODING, 0.98)

    def _pieces(self, pipe: Any, latents: "torch.Tensor") -> "Generator[torch.Tensor, None, None]":
        whole = latents.shape[2]
        ready = latents.to(pipe.vae.dtype)
        if self.options.vae_tiling:
            yield from decoded(pipe.vae, ready)
        else:
            yield from decoded(pipe.vae, ready, piece=whole, stride=whole)


def planned(args: LtxArgs, width: int, height: int) -> tuple[Planned, ...]:
    """Return the passes of a video of a padded size (pixels), each twice as large as the one before."""
    passes = args.variant.passes
    frames = frames_made(args.frames)
    return tuple(
        Planned(one, Shape(width=width // by, height=height // by, frames=frames))
        for one, by in zip(passes, reversed([2**n for n in range(len(passes))]), strict=True)
    )


def encoded(pipe: Any, image: "Image", options: LtxOptions) -> "torch.Tensor":
    """Return the latent of a picture, prepared as the pipeline prepares it."""
    import numpy as np
    from diffusers.pipelines.ltx2.utils import apply_image_conditioning_crf
    from PIL import Image

    seen = Image.fromarray(apply_image_conditioning_crf(np.array(image), options.image_crf))
    ready = pipe.video_processor.preprocess(seen, height=image.height, width=image.width)
    ready = ready.to(options.device, pipe.vae.dtype)
    latent: torch.Tensor = pipe.vae.encode(ready.unsqueeze(2)).latent_dist.mode()
    return latent


def voiced(pipe: Any, latents: "torch.Tensor") -> "NDArray[np.float32]":
    """Return the sound of latents: 48,000 Hz, stereo."""
    spectrogram = pipe.audio_vae.decode(latents.to(pipe.audio_vae.dtype), return_dict=False)[0]
    wave = pipe.vocoder(spectrogram)[0]
    return resampled(wave, rate=pipe.vocoder.config.output_sampling_rate)


@contextmanager
def writing() -> Iterator[None]:
    """Say why a file cannot be written, without saying where: a full disk, mostly."""
    try:
        yield
    except OSError as error:
        print(repr(error), file=sys.stderr)  # noqa: T201 - the log of a child
        raise ProviderUnavailableError(
            f"The video cannot be written ({error.strerror or type(error).__name__}).", provider=""
        ) from error


def memory_of(options: LtxOptions) -> Memory:
    """Return what the device has, within the operator's bound."""
    if options.device == "cpu":
        page = os.sysconf("SC_PAGE_SIZE")
        total = os.sysconf("SC_PHYS_PAGES") * page
        ours = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * page
        available = os.sysconf("SC_AVPHYS_PAGES") * page + ours
    else:
        import torch

        unused, total = torch.cuda.mem_get_info(options.device)
        available = unused + torch.cuda.memory_reserved(options.device)
    bound = total if options.memory is None else options.memory
    return Memory(total=min(total, bound), available=min(available, bound))
