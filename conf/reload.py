"""The pure half of a reload: read and check the new settings, and say what they change."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import frozen

from junctor.conf.loader import load
from junctor.conf.settings import Settings
from junctor.conf.sources import Keys, Table, dotted
from junctor.conf.toml import plain

NEEDS_RESTART = (
    ("server", "host"),
    ("server", "port"),
    ("server", "shutdown_grace"),
    ("server", "cors_origins"),
    ("storage",),
    ("loader",),
    ("jobs", "queues"),
    ("jobs", "work"),
    ("jobs", "poll_interval"),
    ("telemetry", "metrics"),
    ("telemetry", "otlp_endpoint"),
)
"""Settings that are read once, when the process starts."""


@frozen(kw_only=True)
class Reload:
    """Settings that passed every check, ready to be swapped in."""

    settings: Settings
    changed: tuple[str, ...]
    """Dotted keys whose value is another one now; no values, since they may be secret."""
    needs_restart: tuple[str, ...]
    """Those of them that take effect at the next start only."""


def prepare(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    current: Settings,
    overrides: Table | None = None,
) -> Reload:
    """
    Read the settings again and compare them with the current ones; nothing is swapped here.

    The caller asks the plugins next (`Plugins.providers` with the new settings), and swaps only
    when they, too, are content. The arguments are those of `load`.

    Raises:
        ConfigError: they are wrong, and the current ones should stay.

    """
    settings = load(path, environ, overrides=overrides)
    changes = list(_differences(plain(current), plain(settings), ()))
    return Reload(
        settings=settings,
        changed=tuple(dotted(keys) for keys in changes),
        needs_restart=tuple(dotted(keys) for keys in changes if _is_fixed(keys)),
    )


def _differences(old: object, new: object, at: Keys) -> Iterator[Keys]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in old or key not in new:
                yield (*at, key)
            else:
                yield from _differences(old[key], new[key], (*at, key))
    elif old != new:
        yield at


def _is_fixed(keys: Keys) -> bool:
    return any(keys[: len(fixed)] == fixed for fixed in NEEDS_RESTART)
