import msgspec
import pytest

from junctor.conf.decoding import decode
from junctor.conf.settings import Secret
from junctor.core.errors import ConfigError


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int = 1
    key: Secret | None = None


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    parts: dict[str, dict[str, Inner]] = {}
    rows: list[Inner] = []
    either: int | dict[str, int] = 0


def refusal(raw: object, shape: type = Outer) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        decode(raw, shape, origins={"plugins.acme": "acme.toml"}, at=("plugins", "acme"))
    return caught.value


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"parts": {"a": {"b": {}}, "c": {"d": {}, "e": {"size": []}}}}, "parts.c.e.size"),
        ({"parts": {"a": {"b": {"size": []}}, "c": {}}}, "parts.a.b.size"),
        ({"parts": {"a": 3}}, "parts.a"),
        ({"rows": [{}, {"size": []}]}, "rows[1].size"),
        ({"rows": [{}, {"seize": 1}]}, "rows[1].seize"),
        ({"either": []}, "either"),
        ({"either": {"x": []}}, "either.x"),
    ],
)
def test_key_is_found_at_any_depth(raw, key):
    """msgspec says `[...]` for an entry of a table; the operator is told which one."""
    assert refusal(raw).key == f"plugins.acme.{key}"


def test_file_of_the_table_is_named():
    """A plugin's error points at the operator's file."""
    assert refusal({"rows": 1}).file == "acme.toml"


def test_table_of_tables_may_be_the_whole_shape():
    """The path may begin with an entry."""
    error = refusal({"a": {}, "b": {"size": []}}, dict[str, Inner])

    assert error.key == "plugins.acme.b.size"


def test_secret_is_made_of_a_string():
    """A key is hidden from its first moment."""
    inner = decode({"key": "k"}, Inner)

    assert (inner.key, "'k'" in repr(inner)) == (Secret("k"), False)


def test_secret_of_another_type_is_refused_without_its_value():
    """The error does not repeat what was given."""
    assert str(refusal({"key": 1234}, Inner)) == ("acme.toml: plugins.acme.key: Expected a string.")


def test_unknown_key_without_a_near_one_lists_them_all():
    """When nothing resembles it, the reader sees what there is."""
    assert "Unknown key. Known here: key, size." in str(refusal({"zzz": 1}, Inner))


def test_type_of_a_stranger_is_a_defect_of_the_plugin():
    """A shape that cannot be decoded is no mistake of the operator."""
    with pytest.raises(NotImplementedError, match="complex"):
        decode({"x": "1"}, dict[str, complex])
