"""
The folder of a NeMo transducer as sherpa-onnx exports it, checked before sherpa-onnx opens it.

What sherpa-onnx does not find in the metadata, or does not like in the tokens, it answers with the
end of the process, and a caller would only hear of a crash.
"""

import sys
from pathlib import Path
from typing import Final

from attrs import frozen

from junctor.core.errors import ProviderUnavailableError
from junctor.plugins.local.workers.onnx_metadata import metadata_of

NETWORKS: Final = ("encoder", "decoder", "joiner")
TOKENS: Final = "tokens.txt"
BLANK: Final = "<blk>"
COUNTS: Final = ("vocab_size", "subsampling_factor", "pred_rnn_layers", "pred_hidden")
"""Metadata that are positive numbers."""
NORMALIZATIONS: Final = frozenset(("per_feature", "NA", ""))
"""What sherpa-onnx can do to the features; without the key it would silently do nothing."""
FRAME: Final = 0.01
"""Seconds between two frames of features."""


@frozen(kw_only=True)
class NemoFolder:
    """A model that can be opened."""

    encoder: str
    decoder: str
    joiner: str
    tokens: str
    step: float
    """Seconds between two of the encoder's frames."""


def open_folder(folder: Path) -> NemoFolder:
    """
    Find the files of a model and check what sherpa-onnx would not survive.

    Raises:
        ProviderUnavailableError: something is missing or wrong; the path is only printed, for the
            operator's log.

    """
    found = {name: _network(folder, name) for name in NETWORKS}
    missing = [f"{name}.onnx" for name, path in found.items() if not path.is_file()]
    if not (folder / TOKENS).is_file():
        missing.append(TOKENS)
    if missing:
        is_there = len(missing) <= len(NETWORKS)
        what = f"lacks {', '.join(missing)}" if is_there else "is missing"
        raise _unavailable(folder, f"The model's folder {what}.")
    metadata = _checked_metadata(found["encoder"])
    _check_tokens(folder / TOKENS, int(metadata["vocab_size"]))
    return NemoFolder(
        encoder=str(found["encoder"]),
        decoder=str(found["decoder"]),
        joiner=str(found["joiner"]),
        tokens=str(folder / TOKENS),
        step=int(metadata["subsampling_factor"]) * FRAME,
    )


def _network(folder: Path, name: str) -> Path:
    """Return the full-precision network, or where only that is there the 8-bit one."""
    path = folder / f"{name}.onnx"
    small = folder / f"{name}.int8.onnx"
    return small if small.is_file() and not path.is_file() else path


def _checked_metadata(encoder: Path) -> dict[str, str]:
    try:
        metadata = metadata_of(encoder)
    except (ValueError, OSError) as error:
        raise _unavailable(encoder, "The model's encoder cannot be read: it is damaged.") from error
    missing = sorted({*COUNTS, "normalize_type"} - metadata.keys())
    if missing:
        raise _unavailable(
            encoder,
            f"The model's encoder lacks the metadata {', '.join(missing)}: "
            "export it for sherpa-onnx.",
        )
    wrong = [key for key in COUNTS if not metadata[key].isdecimal() or not int(metadata[key])]
    if metadata["normalize_type"] not in NORMALIZATIONS:
        wrong.append("normalize_type")
    if wrong:
        raise _unavailable(
            encoder, f"The model's encoder has metadata that make no sense: {', '.join(wrong)}."
        )
    return metadata


def _check_tokens(path: Path, vocabulary: int) -> None:
    """Hold the tokens, one and its number in a line, to the vocabulary; the blank comes last."""
    try:
        lines = path.read_text("utf-8").rstrip("\n").split("\n")  # a token may be an odd space
    except (ValueError, OSError) as error:
        raise _unavailable(path, f"The model's {TOKENS} cannot be read.") from error
    if len(lines) != vocabulary + 1 or lines[-1].split() != [BLANK, str(vocabulary)]:
        raise _unavailable(
            path,
            f"The model's {TOKENS} does not fit its encoder, which has {vocabulary} tokens: "
            f"after them comes {BLANK}, and nothing else.",
        )


def _unavailable(path: Path, reason: str) -> ProviderUnavailableError:
    print(f"{path}: {reason}", file=sys.stderr)  # noqa: T201 - the log of a child
    return ProviderUnavailableError(reason, provider="")
