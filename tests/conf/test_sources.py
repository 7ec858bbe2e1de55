import pytest

from junctor.conf.sources import Merged, Source, dotted, merge, origin, quoted
from junctor.core.errors import ConfigError


def filled(text: str, environ: dict[str, str]) -> object:
    merged = Merged()
    merged.lay({"value": text}, "file")
    merged.interpolate(environ)
    return merged.tree["value"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${NAME}", "there"),
        ("hello ${NAME}, ${NAME}", "hello there, there"),
        ("${EMPTY}", ""),
        ("${EMPTY:-text}", "text"),
        ("${MISSING:-text}", "text"),
        ("${MISSING:-}", ""),
        ("${NAME:-text}", "there"),
        ("$${NAME}", "${NAME}"),
        ("$NAME and $ and {NAME}", "$NAME and $ and {NAME}"),
    ],
)
def test_references_are_filled(text, expected):
    """The forms of a reference, and what is none."""
    assert filled(text, {"NAME": "there", "EMPTY": ""}) == expected


@pytest.mark.parametrize("text", ["${", "${}", "${1}", "${A B}", "${A-b}", "x ${A:-b"])
def test_malformed_reference_is_refused(text):
    """A reference that is no reference is not passed on as text."""
    with pytest.raises(ConfigError) as caught:
        filled(text, {"A": "x"})

    assert str(caught.value) == (
        "file: value: Malformed reference; write ${NAME}, ${NAME:-default}, or $${ for itself."
    )


def test_value_of_a_variable_is_not_filled_again():
    """The environment cannot smuggle in references."""
    assert filled("${A}", {"A": "${B}", "B": "x"}) == "${B}"


def test_references_in_arrays_and_inner_tables_are_filled():
    """Every string of the tree counts."""
    merged = Merged()
    merged.lay({"a": ["${X}", {"b": "${X}"}], "n": 1}, "file")

    merged.interpolate({"X": "x"})

    assert merged.tree == {"a": ["x", {"b": "x"}], "n": 1}


def test_tables_merge_and_all_else_replaces():
    """Arrays are not joined: the upper file says all of it."""
    merged = Merged()
    merged.lay({"t": {"a": 1, "l": [1, 2]}, "s": {"x": 1}}, "below")

    merged.lay({"t": {"b": 2, "l": [3]}, "s": 5}, "above")

    assert merged.tree == {"t": {"a": 1, "b": 2, "l": [3]}, "s": 5}


def test_origin_is_the_file_of_the_key_or_of_the_table_above():
    """A key that nobody set belongs to the nearest table that somebody did."""
    merged = Merged()
    merged.lay({"t": {"a": 1}}, "below")
    merged.lay({"t": {"b": 1}}, "above")
    keys = [("t", "a"), ("t", "b"), ("t", "c"), ("u",)]

    assert [origin(merged.origins, one) for one in keys] == ["below", "above", "above", ""]


def test_dotted_keys_read_as_toml_writes_them():
    """Keys that are not bare are quoted, places in arrays are counted."""
    assert dotted(("models", 'gpt-4.1 "x"', "chain", 0)) == 'models."gpt-4.1 \\"x\\"".chain[0]'


def test_quoted_escapes_what_toml_forbids():
    """Control characters do not stand in a TOML string as they are."""
    assert quoted('a"\n\x7f') == '"a\\"\\n\\u007f"'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = = 3\n", "Not valid TOML: Invalid value (at line 1, column 5)."),
        (b"a = '\xff'\n", "Not UTF-8 text (byte 5); TOML files are."),
        (b"extends = 3\n", "Expected the name of a profile, a file, or an array of them."),
        (b"extends = ''\n", "Expected the name of a profile, a file, or an array of them."),
        (b"extends = ['me.toml']\n", "Files extend each other in a circle."),
    ],
)
def test_unusable_file_says_why(tmp_path, content, said):
    """What cannot be read is refused with the place."""
    path = tmp_path / "me.toml"
    path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        merge(Source.named(path))

    assert (str(caught.value).endswith(said), caught.value.file) == (True, str(path))


def test_file_that_is_not_there_names_the_profiles(tmp_path):
    """Both things that may stand there are told."""
    with pytest.raises(ConfigError, match=r"no such file; .*\(cluster, default, gpu, remote\)"):
        merge(Source.named(tmp_path / "none.toml"))


def test_folder_is_no_file(tmp_path):
    """The operating system's reason is passed on."""
    with pytest.raises(ConfigError, match="Cannot be read: Is a directory"):
        merge(Source.named(tmp_path))


def test_misspelled_profile_is_answered_with_the_nearest(tmp_path):
    """`extends` knows what was meant."""
    path = tmp_path / "me.toml"
    path.write_text('extends = "remot"\n')

    with pytest.raises(ConfigError, match="Did you mean 'remote'"):
        merge(Source.named(path))
