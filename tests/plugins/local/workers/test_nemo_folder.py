"""A model that sherpa-onnx would not survive is refused with the reason, and without the place."""

import pytest

from junctor.core.errors import ProviderUnavailableError
from junctor.plugins.local.workers.nemo_folder import open_folder
from tests.plugins.local.nemo import TOKENS, build


@pytest.fixture(name="refused")
def _refused(tmp_path, capfd):
    """Return the reason, once it is sure that the path is printed and not in it."""

    def refused(folder=None) -> str:
        with pytest.raises(ProviderUnavailableError) as caught:
            open_folder(folder or tmp_path)
        assert str(tmp_path) in capfd.readouterr().err
        assert str(tmp_path) not in str(caught.value)
        return str(caught.value)

    return refused


def test_good_folder_is_opened(tmp_path):
    """Its files are found, and how long a step of the encoder is."""
    found = open_folder(build(tmp_path))

    assert str(tmp_path / "joiner.onnx") == found.joiner
    assert 0.08 == found.step


def test_full_precision_comes_first(tmp_path):
    """Where both are there, the 8-bit network is left alone."""
    build(tmp_path, suffix=".int8")
    (tmp_path / "encoder.onnx").write_bytes((tmp_path / "encoder.int8.onnx").read_bytes())
    found = open_folder(tmp_path)

    assert str(tmp_path / "encoder.onnx") == found.encoder
    assert str(tmp_path / "decoder.int8.onnx") == found.decoder


def test_missing_folder(tmp_path, refused):
    """A folder that is not there is missing, not incomplete."""
    assert "The model's folder is missing." == refused(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt"])
def test_missing_file_is_named(tmp_path, refused, name):
    """What is missing is named."""
    (build(tmp_path) / name).unlink()

    assert f"The model's folder lacks {name}." == refused()


@pytest.mark.parametrize("data", [b"", b"garbage" * 100, b"\x3a\xff\x01half"])
def test_damaged_encoder(tmp_path, refused, data):
    """Rubbish, nothing and half a file are no encoder."""
    (build(tmp_path) / "encoder.onnx").write_bytes(data)

    assert "encoder" in refused()


def test_cut_encoder(tmp_path, refused):
    """A download that broke off is told from an export without metadata."""
    encoder = build(tmp_path) / "encoder.onnx"
    encoder.write_bytes(encoder.read_bytes()[:2000])

    assert "damaged" in refused()


@pytest.mark.parametrize(
    "key", ["vocab_size", "subsampling_factor", "pred_rnn_layers", "pred_hidden", "normalize_type"]
)
def test_missing_metadata_are_named(tmp_path, refused, key):
    """Without them sherpa-onnx would end the process, or hear wrongly."""
    build(tmp_path, metadata={key: None})

    assert f"lacks the metadata {key}:" in refused()


@pytest.mark.parametrize(
    ("key", "value"),
    [("vocab_size", "many"), ("pred_hidden", "0"), ("pred_rnn_layers", ""),
     ("subsampling_factor", "-8"), ("normalize_type", "all_features")],
)  # fmt: skip
def test_wrong_metadata_are_named(tmp_path, refused, key, value):
    """A number that is none, and a normalization that nobody knows."""
    build(tmp_path, metadata={key: value})

    assert f"make no sense: {key}." in refused()


@pytest.mark.parametrize(
    "tokens",
    ["", "a 0\n<blk> 1\n", "".join(f"{token} {n}\n" for n, token in enumerate((*TOKENS, "end")))],
)
def test_tokens_fit_the_encoder(tmp_path, refused, tokens):
    """There are as many as the metadata say, and the blank is the last."""
    (build(tmp_path) / "tokens.txt").write_text(tokens, "utf-8")

    assert "tokens.txt does not fit" in refused()


def test_tokens_that_are_no_text(tmp_path, refused):
    """A file of the right name that holds something else."""
    (build(tmp_path) / "tokens.txt").write_bytes(b"\xff\xfe\x00")

    assert "tokens.txt cannot be read" in refused()
