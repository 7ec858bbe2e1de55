"""Imports point one way, modules stay small, and nothing heavy is imported at the top."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import junctor.core

ROOT = Path(junctor.core.__path__[0]).parent

MAY_IMPORT = {
    "contracts": {"contracts"},
    "conf": {"conf", "core.errors"},
    "core": {"core", "conf"},
    "plugins": {"plugins", "core", "conf"},
    "routers": {"routers", "contracts", "core", "conf"},
}
"""What a folder's modules may import of ours; `core.errors` imports nothing itself."""

HEAVY = {
    "alembic",
    "av",
    "ctranslate2",
    "dbos",
    "diffusers",
    "faster_whisper",
    "numpy",
    "onnxruntime",
    "opentelemetry",
    "peft",
    "phonenumbers",
    "pocketsphinx",
    "soxr",
    "sqlalchemy",
    "sqlmodel",
    "stdnum",
    "torch",
    "transformers",
}
"""Imported where it is used, never when a module of the server is."""

EXEMPT = ("core/storage/", "core/engine/", "plugins/local/", "core/testing/")
"""Imported on demand only, by the code that needs the package anyway."""

LONGEST = 600


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders or MAY_IMPORT:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def at_import(tree: ast.Module) -> Iterator[str]:
    """Yield what is imported when the module is: not in functions, not for type checkers."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_point_one_way(folder: str) -> None:
    """The table above is the architecture; whoever changes it says why."""
    allowed = tuple(f"junctor.{name}" for name in MAY_IMPORT[folder])
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(folder)
        for name in imports(parsed(path))
        if name.split(".")[0] == "junctor"
        and not any(name == one or name.startswith(f"{one}.") for one in allowed)
    ]

    assert wrong == []


def test_the_table_covers_every_folder_that_ships() -> None:
    """A sixth folder would escape the test above."""
    folders = {path.parent.name for path in ROOT.glob("*/py.typed")}

    assert folders == set(MAY_IMPORT)


def test_errors_import_nothing_of_ours() -> None:
    """Everything may raise them, the settings too."""
    ours = [name for name in imports(parsed(ROOT / "core/errors.py")) if "junctor" in name]

    assert ours == []


def test_nothing_heavy_is_imported_with_the_server() -> None:
    """A server without engines starts quickly and stays small."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        if not path.relative_to(ROOT).as_posix().startswith(EXEMPT)
        for name in at_import(parsed(path))
        if name.split(".")[0] in HEAVY
    ]

    assert wrong == []


def test_modules_stay_small() -> None:
    """One module, one noun."""
    long = [
        f"{path.relative_to(ROOT)}: {count} lines"
        for path in modules()
        if (count := len(path.read_text("utf-8").splitlines())) > LONGEST
    ]

    assert long == []


def test_no_router_compares_a_providers_name() -> None:
    """Routers decode, dispatch and encode; who does the work is policy's business."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules("routers")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Compare)
        and any(
            isinstance(side, ast.Attribute) and side.attr in {"provider", "owned_by"}
            for side in (node.left, *node.comparators)
        )
        and any(
            isinstance(side, ast.Constant) and side.value for side in (node.left, *node.comparators)
        )
    ]

    assert found == []
