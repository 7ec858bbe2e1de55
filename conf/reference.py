"""
The reference of all settings, written from `junctor.conf.settings` itself.

`python -m junctor.conf.reference > docs/settings.md` writes the page; a test compares the two.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from attrs import frozen
from msgspec import inspect

from junctor.conf import settings
from junctor.conf.sources import quoted

_HEAD = """\
# Settings

Written from `conf/settings.py` by `python -m junctor.conf.reference > docs/settings.md`; do not
edit. Times are seconds, sizes are bytes. How a file is found, `extends`, `${NAME}` and the built-in
profiles are told in [configuration.md](configuration.md).
"""
_SKIPPED = ("origins",)


@frozen(kw_only=True)
class Row:
    """One setting."""

    key: str
    type: str
    default: str
    sentence: str


@frozen(kw_only=True)
class Section:
    """One table of the file and its settings."""

    title: str
    sentence: str
    rows: tuple[Row, ...]


def sections() -> tuple[Section, ...]:
    """Return every table with its settings, in the order of the module."""
    classes = {node.name: node for node in _tree().body if isinstance(node, ast.ClassDef)}
    names = [name for name in classes if _struct(name) is not None]
    return tuple(_section(classes[name]) for name in ["Settings", *names[:-1]])


def page() -> str:
    """Return the reference as Markdown."""
    return "\n".join([_HEAD, *(line for part in sections() for line in _lines(part))])


def _tree() -> ast.Module:
    return ast.parse(Path(settings.__file__).read_text("utf-8"))


def _struct(name: str) -> type[msgspec.Struct] | None:
    found = getattr(settings, name)
    is_section = isinstance(found, type) and issubclass(found, msgspec.Struct)
    return found if is_section and msgspec.structs.fields(found) else None


def _section(node: ast.ClassDef) -> Section:
    title, sentence = _split(ast.get_docstring(node) or "")
    struct = _struct(node.name)
    info = inspect.type_info(struct)
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    said = dict(_sentences(node))
    rows = tuple(
        Row(
            key=field.encode_name,
            type=describe(field.type),
            default=_default(field),
            sentence=said.get(field.name) or _own_sentence(field.type),
        )
        for field in fields
        if field.encode_name not in _SKIPPED
    )
    return Section(title=title, sentence=sentence, rows=rows)


def _split(doc: str) -> tuple[str, str]:
    title, colon, sentence = doc.partition("`: ")
    return (f"{title}`", sentence[:1].upper() + sentence[1:]) if colon else ("The file", doc)


def _sentences(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            doc = after.value if isinstance(after, ast.Expr) else None
            if isinstance(doc, ast.Constant) and isinstance(doc.value, str):
                yield field.target.id, " ".join(doc.value.split())


def _own_sentence(node: inspect.Type) -> str:
    if isinstance(node, inspect.StructType):
        return _split(node.cls.__doc__ or "")[1]
    return ""


def describe(node: inspect.Type) -> str:
    """Say in words what a setting's value may be."""
    match node:
        case inspect.Metadata():
            return describe(node.type)
        case inspect.VarTupleType() | inspect.ListType():
            least = " (at least one)" if node.min_length else ""
            return f"array of {describe(node.item_type)}s{least}"
        case inspect.LiteralType():
            return " or ".join(f"`{quoted(str(value))}`" for value in node.values)
        case inspect.UnionType():
            return " or ".join(describe(one) for one in node.types)
        case inspect.IntType() | inspect.FloatType():
            return _number(node)
        case _:
            return _WORDS.get(type(node)) or _tables(node)


_WORDS: dict[type, str] = {
    inspect.BoolType: "boolean",
    inspect.CustomType: "secret string",
    inspect.NoneType: "absent",
    inspect.StrType: "string",
    inspect.StructType: "table",
}


def _tables(node: inspect.Type) -> str:
    is_plain = isinstance(node, inspect.DictType) and isinstance(node.value_type, inspect.FloatType)
    return "table of numbers" if is_plain else "tables"


def _number(node: inspect.IntType | inspect.FloatType) -> str:
    bounds = (("> ", node.gt), ("≥ ", node.ge), ("< ", node.lt), ("≤ ", node.le))
    said = ", ".join(f"{sign}{bound}" for sign, bound in bounds if bound is not None)
    kind = "integer" if isinstance(node, inspect.IntType) else "number"
    return f"{kind} {said}".rstrip()


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default is msgspec.NODEFAULT:
        return "empty" if field.default_factory in {dict, list} else "see its table"
    if field.default is None:
        return "absent"
    if isinstance(field.default, tuple):
        return f"`[{', '.join(quoted(str(item)) for item in field.default)}]`"
    return f"`{quoted(field.default)}`" if isinstance(field.default, str) else _plain(field.default)


def _plain(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _lines(section: Section) -> Iterator[str]:
    yield f"## {section.title}\n"
    yield f"{section.sentence}\n"
    yield "| key | type | default | what it is |"
    yield "|-|-|-|-|"
    for row in section.rows:
        cells = (f"`{row.key}`", row.type, row.default, row.sentence)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(page())
