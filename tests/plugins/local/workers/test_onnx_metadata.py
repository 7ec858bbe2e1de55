"""The metadata of an ONNX file, as the onnx package wrote it."""

import onnx
import pytest

from junctor.plugins.local.workers.onnx_metadata import metadata_of
from tests.plugins.local.nemo import build


def test_reads_what_onnx_wrote(tmp_path):
    """Every key and value is there, empty and Thai ones included."""
    encoder = build(tmp_path, metadata={"comment": "ภาษาไทย", "url": ""}) / "encoder.onnx"
    written = {entry.key: entry.value for entry in onnx.load(encoder).metadata_props}

    assert written == metadata_of(encoder)
    assert ("ภาษาไทย", "") == (written["comment"], written["url"])


def test_no_metadata_is_none(tmp_path):
    """A network without any has none."""
    assert {} == metadata_of(build(tmp_path) / "decoder.onnx")


@pytest.mark.parametrize(
    "data",
    [b"garbage", b"\x72\x05\x0a\x03ab", b"\x72\xff\xff\xff\xff\xff\xff\xff\xff\x7fx", b"\x80" * 20,
     b"\x08", b"\x0b", b"\x72\x04\x0a\x02\xff\xfe"],
)  # fmt: skip
def test_rubbish_is_a_value_error(tmp_path, data):
    """Whatever it is, it is refused, and nothing is read that is not there."""
    (tmp_path / "rubbish.onnx").write_bytes(data)

    with pytest.raises(ValueError):
        metadata_of(tmp_path / "rubbish.onnx")
