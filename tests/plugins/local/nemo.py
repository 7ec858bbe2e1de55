"""A tiny NeMo transducer with random weights: what it says means nothing, but always the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BANDS, FACTOR, WIDTH, LAYERS, HIDDEN = 80, 8, 24, 1, 4
"""Mel bands; frames in one step; size of what is joined; the decoder's state."""
TOKENS = (
    "<unk>", "▁สวัส", "ดี", "▁ครับ", "ผม", "▁ไป", "ตลาด", "▁วัน", "นี้", "กิน", "▁ข้าว", "น้ำ", "▁",
    "ร้อน", "▁มาก", "แม่",
)  # fmt: skip
SAYS_NOTHING = 3.5
"""What the blank has ahead: with it some steps of 80 ms give tokens, and some none."""

Shape = Sequence[int | str]


def build(
    folder: Path,
    *,
    suffix: str = "",
    metadata: Mapping[str, str | None] | None = None,
    seed: int = 8,
) -> Path:
    """
    Write encoder, decoder, joiner and tokens as sherpa-onnx wants them, and return the folder.

    The encoder averages 8 frames and mixes the bands, the decoder looks up its last token, and the
    joiner adds both; only whole groups of 8 frames count, so that padding changes nothing.

    Args:
        folder: made if need be.
        suffix: `.int8` for the names of an 8-bit export.
        metadata: the encoder's that differ from what is right; None leaves one out.
        seed: of the weights.

    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.random.default_rng(seed)
    networks = {
        "encoder": _encoder(weights),
        "decoder": _decoder(weights),
        "joiner": _joiner(weights),
    }
    right: dict[str, str | None] = {
        "vocab_size": str(len(TOKENS)),
        "normalize_type": "per_feature",
        "pred_rnn_layers": str(LAYERS),
        "pred_hidden": str(HIDDEN),
        "subsampling_factor": str(FACTOR),
    }
    for key, value in (right | dict(metadata or {})).items():
        if value is not None:
            networks["encoder"].metadata_props.add(key=key, value=value)
    for name, network in networks.items():
        onnx.checker.check_model(network)
        onnx.save(network, folder / f"{name}{suffix}.onnx")
    lines = [f"{token} {number}\n" for number, token in enumerate((*TOKENS, "<blk>"))]
    (folder / "tokens.txt").write_text("".join(lines), "utf-8")
    return folder


def _encoder(weights: np.random.Generator) -> onnx.ModelProto:
    return _network(
        [
            helper.make_node(
                "AveragePool", ["audio_signal"], ["pooled"], kernel_shape=[FACTOR], strides=[FACTOR]
            ),
            helper.make_node("Conv", ["pooled", "mix"], ["outputs"], kernel_shape=[1]),
            helper.make_node("Div", ["length", "factor"], ["encoded_lengths"]),
        ],
        {"audio_signal": ["N", BANDS, "T"], "length": ["N"]},
        {"outputs": ["N", WIDTH, "S"], "encoded_lengths": ["N"]},
        {
            "mix": _random(weights, (WIDTH, BANDS, 1), 0.3),
            "factor": np.array([FACTOR], np.int64),
        },
        integers={"length": TensorProto.INT64, "encoded_lengths": TensorProto.INT64},
    )


def _decoder(weights: np.random.Generator) -> onnx.ModelProto:
    state: Shape = [LAYERS, "N", HIDDEN]
    return _network(
        [
            helper.make_node("Gather", ["table", "targets"], ["looked_up"], axis=0),
            helper.make_node("Transpose", ["looked_up"], ["outputs"], perm=[0, 2, 1]),
            helper.make_node("Identity", ["target_length"], ["prednet_lengths"]),
            helper.make_node("Identity", ["h"], ["next_h"]),
            helper.make_node("Identity", ["c"], ["next_c"]),
        ],
        {"targets": ["N", "U"], "target_length": ["N"], "h": state, "c": state},
        {
            "outputs": ["N", WIDTH, "U"],
            "prednet_lengths": ["N"],
            "next_h": state,
            "next_c": state,
        },
        {"table": _random(weights, (len(TOKENS) + 1, WIDTH), 1.0)},
        integers=dict.fromkeys(("targets", "target_length", "prednet_lengths"), TensorProto.INT32),
    )


def _joiner(weights: np.random.Generator) -> onnx.ModelProto:
    ahead = np.zeros(len(TOKENS) + 1, np.float32)
    ahead[-1] = SAYS_NOTHING
    return _network(
        [
            helper.make_node("Transpose", ["heard"], ["by_step"], perm=[0, 2, 1]),
            helper.make_node("Transpose", ["said"], ["by_token"], perm=[0, 2, 1]),
            helper.make_node("Unsqueeze", ["by_step", "two"], ["rows"]),
            helper.make_node("Unsqueeze", ["by_token", "one"], ["columns"]),
            helper.make_node("Add", ["rows", "columns"], ["sum"]),
            helper.make_node("Tanh", ["sum"], ["joint"]),
            helper.make_node("MatMul", ["joint", "readout"], ["scores"]),
            helper.make_node("Add", ["scores", "ahead"], ["outputs"]),
        ],
        {"heard": ["N", WIDTH, "S"], "said": ["N", WIDTH, "U"]},
        {"outputs": ["N", "S", "U", len(TOKENS) + 1]},
        {
            "one": np.array([1], np.int64),
            "two": np.array([2], np.int64),
            "readout": _random(weights, (WIDTH, len(TOKENS) + 1), 0.5),
            "ahead": ahead,
        },
    )


def _network(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    constants: Mapping[str, np.ndarray],
    *,
    integers: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    kinds = integers or {}

    def infos(shapes: Mapping[str, Shape]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)
            for name, shape in shapes.items()
        ]

    graph = helper.make_graph(
        nodes,
        "tiny",
        infos(inputs),
        infos(outputs),
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    network.ir_version = 9  # older than the newest onnx, which sherpa-onnx may not know yet
    return network


def _random(weights: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    return (scale * weights.standard_normal(shape)).astype(np.float32)
