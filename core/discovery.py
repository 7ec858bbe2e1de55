"""Which installed distributions say that they bring plugins."""

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, EntryPoint, distributions

from attrs import frozen

PROJECT = "junctor"
"""Our own distribution, and the entry-point group of every plugin (`hooks.PROJECT` too)."""

_SECTION = re.compile(rf"^\s*\[\s*{PROJECT}\s*\]", re.MULTILINE)


@frozen(kw_only=True)
class Found:
    """A plugin as its distribution announces it; nothing of it has been imported."""

    name: str
    """The entry point's name, by which settings call the plugin."""
    distribution: str
    version: str
    entry_point: EntryPoint | None
    """None when the distribution's metadata cannot be read."""
    reason: str = ""
    """What is wrong with the metadata."""


def find_plugins(installed: Iterable[Distribution] | None = None) -> tuple[Found, ...]:
    """
    Return the plugins of all distributions: junctor's own first, then by name.

    Args:
        installed: the distributions to look at, nearest first; None for all on `sys.path`. Of
            several with the same name the first one counts.

    """
    found: list[Found] = []
    seen: set[str] = set()
    for distribution in distributions() if installed is None else installed:
        text = _entry_points_text(distribution)
        if not _SECTION.search(text):
            continue
        name, version = _identity(distribution)
        if name not in seen:
            seen.add(name)
            found += _announced(distribution, name, version)
    return tuple(sorted(found, key=_order))


def _order(plugin: Found) -> tuple[bool, str, str]:
    return plugin.distribution != PROJECT, plugin.name, plugin.distribution


def _entry_points_text(distribution: Distribution) -> str:
    # A plain look at the text keeps the start quick, and a stranger's odd file out of it.
    try:
        return distribution.read_text("entry_points.txt") or ""
    except (OSError, UnicodeDecodeError):
        return ""


def _identity(distribution: Distribution) -> tuple[str, str]:
    metadata = distribution.metadata
    name = metadata["Name"] if "Name" in metadata else "unknown"  # noqa: SIM401 - it has no get()
    version = metadata["Version"] if "Version" in metadata else "unknown"  # noqa: SIM401
    return re.sub(r"[-_.]+", "-", name).lower(), version


def _announced(distribution: Distribution, name: str, version: str) -> Iterator[Found]:
    try:
        points = [point for point in distribution.entry_points if point.group == PROJECT]
    except Exception as error:  # noqa: BLE001 - a stranger's metadata is a plugin boundary
        reason = f"its entry_points.txt cannot be read ({type(error).__name__})"
        yield Found(name=name, distribution=name, version=version, entry_point=None, reason=reason)
        return
    for point in points:
        yield Found(name=point.name, distribution=name, version=version, entry_point=point)
