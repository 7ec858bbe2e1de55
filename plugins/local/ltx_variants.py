"""
How LTX-2.3 is run, as data: every number is ours, so that none moves with the library's defaults.

The guidance of the full model, the eight sigmas of the distilled one and the three of the second
stage are Lightricks' own for LTX-2.3 (`ltx_pipelines/utils/constants.py`); `docs/ltx.md` names the
sources. diffusers' defaults are those of LTX-2.5 by now.
"""

from typing import Final

from msgspec.structs import replace

from junctor.plugins.local.workers.ltx_args import Guidance, Pass, Variant

FULL_GUIDANCE: Final = Guidance(
    video=3.0,
    audio=7.0,
    stg=1.0,
    audio_stg=1.0,
    modality=3.0,
    audio_modality=3.0,
    rescale=0.7,
    audio_rescale=0.7,
    stg_blocks=(28,),
)
NO_GUIDANCE: Final = Guidance()
DISTILLED_SIGMAS: Final = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875)
REFINING_SIGMAS: Final = (0.909375, 0.725, 0.421875)


def even_sigmas(steps: int) -> tuple[float, ...]:
    """Return sigmas that fall evenly from 1; the scheduler shifts them by the video's size."""
    return tuple(1 - step / steps for step in range(steps))


def full_pass(steps: int) -> Pass:
    """Return a pass of the full model, with all guidance."""
    return Pass(weights="base", sigmas=even_sigmas(steps), is_shifted=True, guidance=FULL_GUIDANCE)


DISTILLED_PASS: Final = Pass(
    weights="distilled", sigmas=DISTILLED_SIGMAS, is_shifted=False, guidance=NO_GUIDANCE
)
REFINING_PASS: Final = Pass(
    weights="distilled",
    sigmas=REFINING_SIGMAS,
    is_shifted=False,
    guidance=NO_GUIDANCE,
    noise=REFINING_SIGMAS[0],
)

VARIANTS: Final[dict[str, Variant]] = {
    "standard": Variant(passes=(full_pass(30),)),
    "fast": Variant(passes=(DISTILLED_PASS,)),
    "quality": Variant(passes=(full_pass(30), REFINING_PASS)),
    "full": Variant(passes=(full_pass(40),)),
    "distilled": Variant(passes=(DISTILLED_PASS, REFINING_PASS)),
}
"""By the name of the model that callers ask for."""


def changed(
    variant: Variant,
    *,
    steps: int | None,
    guidance: dict[str, float | None],
    stg_blocks: tuple[int, ...] | None,
) -> Variant:
    """
    Return a variant as an operator wants it; what is None stays.

    Args:
        variant: what it is made of.
        steps: of its first pass, where that is one of the full model: the others' sigmas are fixed.
        guidance: scales of its first pass, by their names.
        stg_blocks: of all its passes.

    """
    first, *rest = variant.passes
    if steps is not None:
        sigmas = even_sigmas(steps) if first.is_shifted else first.sigmas[:steps]
        first = replace(first, sigmas=sigmas)
    wanted = {name: scale for name, scale in guidance.items() if scale is not None}
    blocks = first.guidance.stg_blocks if stg_blocks is None else stg_blocks
    first = replace(first, guidance=replace(first.guidance, **wanted, stg_blocks=blocks))
    return replace(variant, passes=(first, *rest))
