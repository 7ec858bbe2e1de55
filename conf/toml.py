"""Settings written back as TOML, secrets hidden: what `junctor config show` prints."""

from collections.abc import Iterator
from typing import cast

import msgspec

from junctor.conf.secrets import HIDDEN, masked_url
from junctor.conf.settings import Secret, Settings
from junctor.conf.sources import Table, dotted, quoted


def show(settings: Settings) -> str:
    """Return the whole effective tree as TOML; secrets and passwords in URLs read `***`."""
    return dumps(cast("Table", _masked(plain(settings))))


def plain(settings: Settings) -> Table:
    """Return the tree as built-in types, without what is not set; secrets stay `Secret`."""
    tree = cast("Table", _plain(settings))
    del tree["origins"]
    return tree


def _plain(node: object) -> object:
    if isinstance(node, msgspec.Struct):
        node = msgspec.structs.asdict(node)
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if value is not None}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    return node


def dumps(tree: Table) -> str:
    """Write a tree of tables, arrays, strings, numbers, booleans and dates as TOML."""
    return "\n".join(_lines(tree, ())).strip("\n") + "\n"


def _lines(table: Table, at: tuple[str, ...]) -> Iterator[str]:
    values = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if at and (values or not table):
        yield from ("", f"[{dotted(at)}]")
    for key, value in values.items():
        yield f"{dotted((key,))} = {_value(value)}"
    for key, inner in table.items():
        if isinstance(inner, dict):
            yield from _lines(inner, (*at, key))


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case list():
            return f"[{', '.join(_value(item) for item in value)}]"
        case dict():
            pairs = (f"{dotted((key,))} = {_value(item)}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case int() | float():
            return repr(value)
        case _:
            return str(value)


def _masked(node: object) -> object:
    match node:
        case Secret():
            return HIDDEN if node else ""
        case str():
            return masked_url(node)
        case dict():
            return {key: _masked(value) for key, value in node.items()}
        case list():
            return [_masked(value) for value in node]
        case _:
            return node
