"""From files to one tree: profiles, `extends`, merging, and `${NAME}` from the environment."""

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from attrs import Factory, define, frozen

from junctor.conf.secrets import hide
from junctor.core.errors import ConfigError

PROFILES = Path(__file__).parent / "profiles"
"""Folder of the built-in profiles."""

Table = dict[str, object]
Keys = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


def dotted(keys: Keys) -> str:
    """Write a path as TOML would: `models."gpt-4.1".chain[0]`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if _BARE.fullmatch(key) else quoted(key))
    return text


def quoted(text: str) -> str:
    """Write a string as TOML does."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def profile_names() -> tuple[str, ...]:
    """Return the names of the built-in profiles."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


@frozen(kw_only=True)
class Source:
    """One TOML file: where it is, and what errors call it."""

    path: Path
    label: str

    @classmethod
    def profile(cls, name: str) -> "Source":
        """Return a built-in profile."""
        return cls(path=PROFILES / f"{name}.toml", label=f"profile {name}")

    @classmethod
    def named(cls, path: Path) -> "Source":
        """Return the file at `path`, or the built-in profile when no such file exists."""
        if not path.exists() and str(path) in profile_names():
            return cls.profile(str(path))
        return cls(path=path, label=str(path))

    def read(self) -> Table:
        """
        Parse the file.

        Raises:
            ConfigError: it cannot be read, is not UTF-8, or is not TOML (line and column are told).

        """
        try:
            return tomllib.loads(self.path.read_bytes().decode())
        except FileNotFoundError as exc:
            names = ", ".join(profile_names())
            raise ConfigError(
                f"There is no such file; give a TOML file or a built-in profile ({names}).",
                file=self.label,
            ) from exc
        except OSError as exc:
            raise ConfigError(f"Cannot be read: {exc.strerror}.", file=self.label) from exc
        except UnicodeDecodeError as exc:
            raise ConfigError(
                f"Not UTF-8 text (byte {exc.start}); TOML files are.", file=self.label
            ) from exc
        except tomllib.TOMLDecodeError as exc:
            raise ConfigError(f"Not valid TOML: {exc}.", file=self.label) from exc


@define
class Merged:
    """Several files laid over each other, later ones on top."""

    tree: Table = Factory(dict)
    origins: dict[str, str] = Factory(dict)
    """The file each dotted key was last set by, tables included."""

    def lay(self, table: Table, label: str) -> None:
        """Lay one file's table on top: tables merge, everything else replaces."""
        self._lay(self.tree, table, (), label)

    def _lay(self, under: Table, over: Table, at: Keys, label: str) -> None:
        for key, value in over.items():
            self.origins[dotted((*at, key))] = label
            below = under.get(key)
            if isinstance(value, dict):
                if not isinstance(below, dict):
                    below = under[key] = {}
                self._lay(cast("Table", below), value, (*at, key), label)
            else:
                under[key] = value

    def interpolate(self, environ: Mapping[str, str]) -> None:
        """
        Put the environment in place of `${NAME}`, after merging, so that a value which was
        overridden asks for nothing.

        Strings of plugin tables that came from the environment, or whose key looks like a
        secret's, become `Secret`.

        Raises:
            ConfigError: a variable is not set and no default is given, or the reference is
                malformed.

        """  # noqa: D205
        filled = _Interpolation(environ, self.origins)
        self.tree = cast("Table", filled.visit(self.tree, ()))


@frozen
class _Interpolation:
    environ: Mapping[str, str]
    origins: Mapping[str, str]

    def visit(self, node: object, at: Keys) -> object:
        if isinstance(node, dict):
            return {key: self.visit(value, (*at, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [self.visit(value, (*at, index)) for index, value in enumerate(node)]
        if not isinstance(node, str):
            return node
        text = self._fill(node, at)
        is_filled = any(match[1] for match in _REFERENCE.finditer(node))
        return hide(text, at, is_filled=is_filled)

    def _fill(self, text: str, at: Keys) -> str:
        return _REFERENCE.sub(lambda match: self._one(match, at), text)

    def _one(self, match: re.Match[str], at: Keys) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match[1], match[2]
        if name is None:
            raise self._error(
                at, "Malformed reference; write ${NAME}, ${NAME:-default}, or $${ for itself."
            )
        value = self.environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            raise self._error(
                at, f"The environment variable {name} is not set; set it or write the value here."
            )
        return value

    def _error(self, at: Keys, message: str) -> ConfigError:
        return ConfigError(message, file=origin(self.origins, at), key=dotted(at))


def origin(origins: Mapping[str, str], keys: Keys) -> str:
    """Return the file that set a key, or the nearest table above it; empty when none did."""
    for end in range(len(keys), 0, -1):
        label = origins.get(dotted(keys[:end]))
        if label is not None:
            return label
    return ""


def layers(source: Source, above: tuple[Path, ...] = ()) -> Iterator[tuple[Source, Table]]:
    """
    Yield a file's ancestors and then the file, bottom first; one that is met again is skipped by
    the caller.

    A file without `extends` extends `default`; `extends = []` starts from nothing.

    Raises:
        ConfigError: files extend each other in a circle, or `extends` is not a name or names.

    """  # noqa: D205
    path = source.path.resolve()
    if path in above:
        raise ConfigError("Files extend each other in a circle.", file=source.label, key="extends")
    table = source.read()
    for base in _bases(source, table.pop("extends", None)):
        yield from layers(base, (*above, path))
    yield source, table


def _bases(source: Source, extends: object) -> list[Source]:
    if extends is None:
        is_root = source.path == PROFILES / "default.toml"
        return [] if is_root else [Source.profile("default")]
    names = [extends] if isinstance(extends, str) else extends
    if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
        raise ConfigError(
            "Expected the name of a profile, a file, or an array of them.",
            file=source.label,
            key="extends",
        )
    return [_base(source, name) for name in names]


def _base(source: Source, name: str) -> Source:
    path = source.path.parent / name
    if name in profile_names():
        return Source.profile(name)
    if path.is_file():
        return Source(path=path, label=str(path))
    near = difflib.get_close_matches(name, profile_names(), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"There is no file {str(path)!r} and no profile {name!r} "
        f"(profiles: {', '.join(profile_names())}).{hint}",
        file=source.label,
        key="extends",
    )


def merge(source: Source) -> Merged:
    """Read a file and all it extends into one tree; a file met twice counts at its first place."""
    merged, seen = Merged(), set[Path]()
    for layer, table in layers(source):
        path = layer.path.resolve()
        if path not in seen:
            seen.add(path)
            merged.lay(table, layer.label)
    return merged
