from pathlib import Path

import msgspec
import pytest

from junctor.conf import settings
from junctor.conf.reference import describe, page, sections

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
ROWS = [(part, row) for part in sections() for row in part.rows]


def test_page_is_written_from_the_settings():
    """Run `python -m junctor.conf.reference > docs/settings.md` after changing a setting."""
    assert PAGE.read_text("utf-8") == page()


@pytest.mark.parametrize(
    ("part", "row"), ROWS, ids=[f"{part.title} {row.key}" for part, row in ROWS]
)
def test_each_setting_has_type_default_and_a_sentence(part, row):
    """No setting without an explanation."""
    assert all([row.type, row.default, row.sentence.endswith("."), part.sentence.endswith(".")])


def test_every_section_is_there():
    """Each Struct with fields has its table, the whole tree first."""
    structs = {
        name
        for name, value in vars(settings).items()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and msgspec.structs.fields(value)
    }

    assert (len(sections()), sections()[0].title) == (len(structs), "The file")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (settings.Secret, "secret string"),
        (list[int], "array of integers"),
        (float | None, "number or absent"),
    ],
)
def test_types_are_said_in_words(shape, words):
    """What the settings do not use yet is known as well."""
    assert describe(msgspec.inspect.type_info(shape)) == words
