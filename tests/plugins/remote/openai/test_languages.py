"""Language names become codes."""

import pytest

from junctor.plugins.remote.openai.languages import CODES, code_of


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("thai", "th"),
        ("English", "en"),
        (" haitian creole ", "ht"),
        ("cantonese", "yue"),
        ("hawaiian", "haw"),
        ("th", "th"),
        ("pt-BR", "pt-br"),
        ("klingon", None),
        ("", None),
        ("ไทย", None),
        (None, None),
    ],
)
def test_code_of(name, code):
    """Names and codes are understood, anything else is unknown."""
    assert code == code_of(name)


def test_table_is_whole():
    """The hundred languages of Whisper are there, each with a code of two or three letters."""
    assert 100 == len(set(CODES.values()))
    assert {2, 3} == {len(code) for code in CODES.values()}
