"""
How much memory a video takes, before any of it is taken: from the headers of the weights' files.

Weights are counted exactly, and what a step or the decoder works with by the model's dimensions. The
factors are upper bounds of what one block of the network holds at once; `benchmarks/ltx.py`
compares them with what a GPU really took.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Final

from attrs import frozen
from msgspec import MsgspecError, Raw, Struct, json

from junctor.core.errors import ProviderBusyError, ProviderError, ProviderRejectedError
from junctor.plugins.local.workers.ltx_args import LtxOptions

GIB: Final = 2**30
OVERHEAD: Final = 2 * GIB
"""The runtime, its libraries' workspaces and the prompt's hidden states."""
STEP_WIDTHS: Final = 36
"""What a block holds at once, in vectors of the model's width for each token."""
DECODER_CHANNELS: Final = 1024
"""What the decoder's widest layer holds at once: four times 256 channels at a quarter of the size."""
MAX_HEADER: Final = 100 * 2**20
"""Longest header that the format allows, bytes."""
FLOATS: Final = frozenset(("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"))
"""The format's names of numbers that become those it computes with; there are few others."""
OTHER_WIDTH: Final = 8


@frozen
class Weights:
    """What a pipeline's parts take in memory, bytes."""

    parts: Mapping[str, int]
    largest_tensor: int = 0
    width: int = 4096
    """Numbers the transformer has for each token."""

    def resident(self, offload: str) -> int:
        """Return what of it is on the device at once."""
        match offload:
            case "none":
                return sum(self.parts.values())
            case "model":
                return max(self.parts.values(), default=0)
            case _:
                return 2 * self.largest_tensor


@frozen(kw_only=True)
class Shape:
    """A video as the model makes it: padded, with its extra frames."""

    width: int
    """Pixels, a multiple of 32."""
    height: int
    """Pixels, a multiple of 32."""
    frames: int
    """A multiple of 8, and one."""

    @property
    def tokens(self) -> int:
        """What the transformer sees of it: one for each 8 frames of 32 by 32 pixels."""
        return (1 + self.frames // 8) * (self.height // 32) * (self.width // 32)


@frozen(kw_only=True)
class Memory:
    """What a device has, bytes."""

    total: int
    available: int
    """What of it is free, or ours already."""


class Tensor(Struct, frozen=True):
    """One entry of a header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def header(path: Path) -> dict[str, Tensor]:
    """
    Return what a safetensors file holds, without reading the tensors.

    Raises:
        ValueError: it is no such file, or not all of it is there.
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size <= MAX_HEADER:
            raise ValueError("It has no header.")
        head = file.read(size)
    try:
        entries = json.decode(head, type=dict[str, Raw])
        entries.pop("__metadata__", None)
        held = {name: json.decode(one, type=Tensor) for name, one in entries.items()}
    except MsgspecError as error:
        raise ValueError("Its header makes no sense.") from error
    end = max((one.data_offsets[1] for one in held.values()), default=0)
    if path.stat().st_size != 8 + size + end:
        raise ValueError("It is not as long as its header says.")
    return held


def weights_of(paths: Mapping[str, Sequence[Path]], options: LtxOptions) -> Weights:
    """
    Return what the parts of a pipeline take.

    Args:
        paths: of each part, the folders or single files that have its safetensors.
        options: they say in which numbers it is kept.

    Raises:
        ValueError: a file is damaged.
        OSError: a file cannot be read.

    """
    parts: dict[str, int] = {}
    largest = 0
    for name, several in paths.items():
        sizes = [size for path in several for size in tensors(path, options, part=name)]
        parts[name] = sum(sizes)
        largest = max(largest, *sizes, 0)
    return Weights(parts, largest, width_of(paths["transformer"][0]))


class Config(Struct, frozen=True):
    """What of a transformer's `config.json` matters here."""

    num_attention_heads: int
    attention_head_dim: int


def width_of(folder: Path) -> int:
    """
    Return how many numbers a transformer has for each token.

    Raises:
        ValueError: its configuration does not say.
        OSError: it has none.

    """
    try:
        config = json.decode((folder / "config.json").read_bytes(), type=Config)
    except MsgspecError as error:
        raise ValueError("The transformer's configuration makes no sense.") from error
    return config.num_attention_heads * config.attention_head_dim


def tensors(path: Path, options: LtxOptions, *, part: str) -> Iterator[int]:
    """Yield the bytes of each tensor once it is loaded; a LoRA, a single file, is never 8 bits."""
    wide = 4 if options.dtype == "fp32" else 2
    is_small = options.fp8 and part == "transformer" and path.is_dir()
    for file in sorted(path.glob("*.safetensors")) if path.is_dir() else [path]:
        for one in header(file).values():
            width = wide if one.dtype in FLOATS else OTHER_WIDTH
            yield prod(one.shape) * (1 if is_small and len(one.shape) > 1 else width)


def working(shape: Shape, options: LtxOptions, *, width: int, is_guided: bool) -> int:
    """
    Return what is needed beside the weights, bytes.

    Args:
        shape: the largest that is denoised.
        options: they say in which numbers it computes, and whether it decodes in pieces.
        width: of the transformer, numbers for each token.
        is_guided: whether it runs on two prompts at once.

    """
    number = 4 if options.dtype == "fp32" else 2
    step = shape.tokens * width * STEP_WIDTHS * number * (1 + is_guided)
    piece = Shape(
        width=min(shape.width, 512), height=min(shape.height, 512), frames=min(shape.frames, 65)
    )
    seen = piece if options.vae_tiling else shape
    decoder = seen.frames * (seen.width // 4) * (seen.height // 4) * DECODER_CHANNELS * number
    pictures = seen.frames * shape.width * shape.height * 3 * number * 2
    return OVERHEAD + max(step, decoder + pictures)


def refusal(needed: int, memory: Memory, *, what: str) -> ProviderError | None:
    """
    Return why it cannot be done, if it cannot.

    Args:
        needed: bytes.
        memory: of the device.
        what: the subject of the sentence: `This video`.

    """
    if needed > memory.total:
        return ProviderRejectedError(
            f"{what} takes about {needed / GIB:.1f} GiB of memory, and {memory.total / GIB:.1f} GiB "
            "is the bound here. Ask for fewer seconds or a lower resolution; the operator can set "
            "fp8, offload or vae_tiling.",
            provider="",
        )
    if needed > memory.available:
        return ProviderBusyError(
            f"{what} takes about {needed / GIB:.1f} GiB of memory, and only "
            f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB are free now.",
            provider="",
        )
    return None
