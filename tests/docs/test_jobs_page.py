"""What docs/jobs.md shows receivers of callbacks is so."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from junctor.core.callbacks import signature

PAGE = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text("utf-8")
Check = Callable[[str, dict[str, str], bytes], bool]


@pytest.fixture(name="is_genuine")
def _is_genuine() -> Check:
    (sample,) = re.findall(r"```python\n(import hashlib.*?)```", PAGE, re.DOTALL)
    names: dict[str, Check] = {}
    exec(sample, names)
    return names["is_genuine"]


@pytest.mark.parametrize(
    ("secret", "body", "age", "expected"),
    [("s", b"{}", 0, True), ("other", b"{}", 0, False), ("s", b"[]", 0, False),
     ("s", b"{}", 3600, False)],
)  # fmt: skip
def test_sample(is_genuine: Check, secret: str, body: bytes, age: int, expected: bool) -> None:
    """The sample takes what we sign, and neither another secret, body nor time."""
    stamp = int(time.time()) - age
    headers = {
        "X-Junctor-Timestamp": str(stamp), "X-Junctor-Signature": signature("s", stamp, b"{}")
    }  # fmt: skip

    assert is_genuine(secret, headers, body) is expected
