"""Which variants are offered, and with what they are made."""

import pytest

from junctor.core.errors import ConfigError
from junctor.plugins.local.ltx_settings import LtxSettings, LtxVariantSettings, offered, variant_of
from junctor.plugins.local.ltx_variants import VARIANTS


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"base": "b"}, ["standard", "full"]),
        ({"distilled": "d"}, ["fast"]),
        ({"distilled": "d", "upsampler": "u"}, ["fast", "distilled"]),
        ({"base": "b", "distilled": "d", "upsampler": "u"}, ["standard", "fast", "full", "distilled"]),
        ({"base": "b", "distilled_lora": "l"}, ["standard", "fast", "full"]),
        ({"base": "b", "distilled_lora": "l", "upsampler": "u"}, list(VARIANTS)),
    ],
    ids=["base", "distilled", "enlarged", "both", "lora", "all"],
)  # fmt: skip
def test_weights_decide_what_is_offered(fields, names):
    """A second pass needs the upsampler, and after the full model's also the LoRA."""
    assert names == list(offered(LtxSettings(**fields)))


def test_nothing_to_offer():
    """A LoRA by itself makes nothing."""
    with pytest.raises(ConfigError, match=r"plugins\.ltx\.base"):
        offered(LtxSettings(distilled_lora="l"))


def test_one_variant_like_another():
    """Where only distilled weights are, the default model can be made with them."""
    settings = LtxSettings(distilled="d", variants={"standard": LtxVariantSettings(like="fast")})

    assert ["standard", "fast"] == list(offered(settings))
    assert VARIANTS["fast"] == variant_of("standard", settings)


def test_changes():
    """An operator changes single numbers of the first pass; the others stay."""
    wish = LtxVariantSettings(steps=4, guidance_scale=2.5, stg_scale=0.0, stg_blocks=(5,))
    made = variant_of("quality", LtxSettings(base="b", variants={"quality": wish}))
    first, second = made.passes

    assert (1.0, 0.75, 0.5, 0.25) == first.sigmas
    assert (2.5, 7.0, 0.0, 0.0, (5,)) == (
        first.guidance.video, first.guidance.audio, first.guidance.stg, first.guidance.audio_stg,
        first.guidance.stg_blocks,
    )  # fmt: skip
    assert VARIANTS["quality"].passes[1] == second


def test_runs_of_a_step():
    """All guidance is four runs of the model, none of it one."""
    runs = {name: [one.guidance.runs for one in VARIANTS[name].passes] for name in VARIANTS}

    assert {
        "standard": [4], "fast": [1], "quality": [4, 1], "full": [4], "distilled": [1, 1],
    } == runs  # fmt: skip


def test_grid():
    """Two passes need an even number of the model's squares."""
    assert (32, 64) == (VARIANTS["standard"].grid, VARIANTS["quality"].grid)
