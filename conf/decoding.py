"""From a raw table to a typed one, with errors that name file, key and what was expected."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

import msgspec
from msgspec import inspect

from junctor.conf.settings import Secret
from junctor.conf.sources import Keys, dotted, origin
from junctor.core.errors import ConfigError

T = TypeVar("T")

_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_WORDS = {
    "array": "an array",
    "bool": "a boolean",
    "float": "a number",
    "int": "an integer",
    "null": "nothing",
    "object": "a table",
    "str": "a string",
}
_ANY_KEY = "..."


def decode(
    raw: object, shape: type[T], *, origins: Mapping[str, str] | None = None, at: Keys = ()
) -> T:
    """
    Convert a raw table to `shape`.

    Strings are taken for numbers and booleans where those are wanted, since a value that came
    from the environment is always a string.

    Args:
        raw: what TOML gave.
        shape: the type to make, usually a `msgspec.Struct`.
        origins: the file of each dotted key, for errors.
        at: where the table stands in the whole tree, for errors.

    Raises:
        ConfigError: it does not fit; the message names file, key and what was expected.

    """
    try:
        return _convert(raw, shape)
    except msgspec.ValidationError as exc:
        fault = _Fault.of(raw, shape, exc)
        keys = (*at, *fault.keys)
        file = origin(origins or {}, keys)
        raise ConfigError(fault.message, file=file, key=dotted(keys)) from exc


def _convert(raw: object, shape: type[T]) -> T:
    return msgspec.convert(raw, shape, strict=False, dec_hook=_secret)


def _secret(shape: type, value: object) -> object:
    if shape is object or isinstance(value, shape):
        return value
    if shape is not Secret:
        raise NotImplementedError(f"A setting of type {shape!r} cannot be decoded.")
    if not isinstance(value, str):
        raise TypeError("Expected `str`")
    return Secret(value)


class _Fault:
    """What msgspec found wrong, in an operator's words."""

    def __init__(self, keys: Keys, message: str) -> None:
        self.keys = keys
        self.message = message

    @classmethod
    def of(cls, raw: object, shape: type, error: msgspec.ValidationError) -> "_Fault":
        """Read the message of `error`; find the key where msgspec only says `[...]`."""
        text, _, where = str(error).partition(" - at `")
        is_key = where.startswith("key` in `")
        path = where.removeprefix("key` in `").removesuffix("`")
        keys = _located(raw, shape, error, [a or b for a, b in _STEP.findall(path)])
        node = _type_at(inspect.type_info(shape), keys)
        if is_key:
            return cls(keys, _about_key(node, text))
        if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", text):
            return cls((*keys, unknown[1]), _about_unknown(node, unknown[1]))
        if missing := re.fullmatch(r"Object missing required field `(.*)`", text):
            return cls((*keys, missing[1]), "Missing; this table needs it.")
        return cls(keys, _about_value(node, text))


def _located(raw: object, shape: type, error: msgspec.ValidationError, steps: list[str]) -> Keys:
    """Turn the steps of a msgspec path into keys, asking again for each nameless table entry."""
    keys: list[str | int] = []
    node = raw
    for step in steps:
        if isinstance(node, list):
            keys.append(int(step))
            node = node[int(step)]
            continue
        table = cast("dict[str, object]", node)
        key = step if step != _ANY_KEY else _culprit(raw, shape, error, keys, list(table))
        keys.append(key)
        node = table.get(key)
    return tuple(keys)


def _culprit(
    raw: object,
    shape: type,
    error: msgspec.ValidationError,
    above: list[str | int],
    names: list[str],
) -> str:
    """Return the entry of the table at `above` that alone brings about the same error."""
    for name in names[:-1]:
        try:
            _convert(_only(raw, above, name), shape)
        except msgspec.ValidationError as found:
            if str(found) == str(error):
                return name
    return names[-1]


def _only(node: object, above: list[str | int], name: str) -> object:
    """Return a copy of the tree in which the table at `above` has one entry left."""
    if not above:
        return {name: cast("dict[str, object]", node)[name]}
    key, rest = above[0], above[1:]
    if isinstance(node, list):
        index = cast("int", key)
        return [*node[:index], _only(node[index], rest, name), *node[index + 1 :]]
    table = cast("dict[str | int, object]", node)
    return {**table, key: _only(table[key], rest, name)}


def _type_at(node: inspect.Type, keys: Keys) -> inspect.Type | None:
    """Return the declared type at a path; None where a union leaves it open."""
    found: inspect.Type | None = _plain(node)
    for key in keys:
        match found:
            case inspect.StructType(fields=fields):
                found = next((_plain(f.type) for f in fields if f.encode_name == key), None)
            case inspect.DictType(value_type=inner):
                found = _plain(inner)
            case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner):
                found = _plain(inner)
            case _:
                return None
    return found


def _plain(node: inspect.Type) -> inspect.Type:
    """Return the one type beside None of an optional one."""
    if isinstance(node, inspect.Metadata):
        return _plain(node.type)
    if isinstance(node, inspect.UnionType):
        types = [t for t in node.types if not isinstance(t, inspect.NoneType)]
        return _plain(types[0]) if len(types) == 1 else node
    return node


def _about_key(node: inspect.Type | None, text: str) -> str:
    key = node.key_type if isinstance(node, inspect.DictType) else None
    return f"Wrong table name; {_about_value(key, text)}"


def _about_unknown(node: inspect.Type | None, name: str) -> str:
    known = [f.encode_name for f in node.fields] if isinstance(node, inspect.StructType) else []
    return f"Unknown key.{_suggestion(name, known)}"


def _suggestion(name: str, known: Iterable[str]) -> str:
    names = sorted(set(known) - {"origins"})
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Known here: {', '.join(names)}." if names else ""


def _about_value(node: inspect.Type | None, text: str) -> str:
    bad = re.fullmatch(r"Invalid enum value (.*)", text)
    if bad and isinstance(node, inspect.LiteralType):
        wanted = " or ".join(repr(value) for value in node.values)
        return f"Expected {wanted}, got {bad[1]}."
    return re.sub(r"`([^`]*)`", _in_words, text) + "."


def _in_words(match: re.Match[str]) -> str:
    return " or ".join(_WORDS.get(name, name) for name in match[1].split(" | "))
