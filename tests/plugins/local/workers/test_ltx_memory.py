"""How much memory a video takes, found before any is taken."""

import json

import pytest

from junctor.core.errors import ProviderBusyError, ProviderRejectedError
from junctor.plugins.local.workers.ltx_args import LtxOptions
from junctor.plugins.local.workers.ltx_memory import (
    GIB,
    Memory,
    Shape,
    Weights,
    header,
    refusal,
    weights_of,
    working,
)

HD = Shape(width=1280, height=736, frames=121)


def safetensors(path, tensors, *, extra=b""):
    """Write a file of zeros with such tensors: dtype, shape and bytes of each."""
    described, end = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        described[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    head = json.dumps(described).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(end) + extra)
    return path


@pytest.fixture(name="parts")
def _parts(tmp_path):
    """A transformer of a matrix, a norm and a LoRA, and a decoder."""
    folder = tmp_path / "transformer"
    matrix, norm = ("BF16", [100, 10], 2000), ("F32", [10], 40)
    safetensors(folder / "a.safetensors", {"matrix": matrix, "norm": norm})
    (folder / "config.json").write_text('{"num_attention_heads": 2, "attention_head_dim": 8}')
    lora = safetensors(tmp_path / "lora.safetensors", {"a": ("BF16", [10, 10], 200)})
    vae = safetensors(tmp_path / "vae" / "b.safetensors", {"w": ("F32", [50], 200)})
    return {"transformer": [folder, lora], "vae": [vae.parent]}


@pytest.mark.parametrize(
    ("options", "transformer", "vae"),
    [
        (LtxOptions(), 2000 + 20 + 200, 100),
        (LtxOptions(dtype="fp32"), 4000 + 40 + 400, 200),
        (LtxOptions(fp8=True), 1000 + 20 + 200, 100),
    ],
    ids=["bf16", "fp32", "fp8"],
)
def test_weights_by_their_headers(parts, options, transformer, vae):
    """What is loaded in other numbers counts as those; a LoRA stays as it is beside 8 bits."""
    found = weights_of(parts, options)

    assert {"transformer": transformer, "vae": vae} == found.parts
    assert 16 == found.width


def test_offloading():
    """The parts take turns, or their layers do."""
    weights = Weights({"transformer": 44, "text_encoder": 24, "vae": 1}, largest_tensor=2)

    assert [69, 44, 4] == [weights.resident(one) for one in ("none", "model", "sequential")]


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 8, b"\xff" * 16, b"\2" + b"\0" * 7 + b"[]", b"\2" + b"\0" * 7 + b"{"]
)
def test_no_safetensors(tmp_path, data):
    """What is no such file is said to be none, and no memory is taken for its header."""
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="header"):
        header(tmp_path / "a.safetensors")


def test_not_whole(tmp_path):
    """A file that is longer or shorter than it says was not copied to its end."""
    path = safetensors(tmp_path / "a.safetensors", {"w": ("F32", [4], 16)}, extra=b"!")
    with pytest.raises(ValueError, match="as long as"):
        header(path)


def test_tokens():
    """One for every 8 frames of 32 by 32 pixels, the first frame by itself."""
    assert 16 * 23 * 40 == HD.tokens


def test_work_grows_with_what_is_asked():
    """Longer, larger and guided takes more; decoding in pieces takes less."""
    options = LtxOptions()
    whole = LtxOptions(vae_tiling=False)
    small = Shape(width=896, height=480, frames=121)
    long = Shape(width=1280, height=736, frames=241)
    need = {
        name: working(shape, one, width=4096, is_guided=is_guided)
        for name, shape, one, is_guided in (
            ("small", small, options, False), ("plain", HD, options, False),
            ("guided", HD, options, True), ("long", long, options, True),
            ("whole", HD, whole, False),
        )
    }  # fmt: skip

    assert need["small"] < need["plain"] < need["guided"] < need["long"]
    assert need["plain"] < need["whole"]


def test_never_enough():
    """What the device cannot hold at all is refused, and what helps is said."""
    error = refusal(61 * GIB, Memory(total=48 * GIB, available=48 * GIB), what="This video")

    assert isinstance(error, ProviderRejectedError)
    assert "61.0 GiB" in str(error)
    assert "48.0 GiB" in str(error)
    assert "fewer seconds" in str(error)


def test_not_now():
    """What others hold at the moment makes it busy: another candidate may take over."""
    error = refusal(20 * GIB, Memory(total=48 * GIB, available=10 * GIB), what="This video")

    assert isinstance(error, ProviderBusyError)
    assert "10.0 of 48.0 GiB" in str(error)


def test_enough():
    """Nothing is said where there is room."""
    assert refusal(10 * GIB, Memory(total=48 * GIB, available=10 * GIB), what="It") is None
