"""
The settings of one start: profiles and a file, the environment laid in, everything checked.

Nothing else in junctor reads the environment. It reads `JUNCTOR_CONFIG` (the file, when none is
given), `JUNCTOR_DATA_DIR` (overrides `storage.data_dir`), `HOME` (for `~`), and what the files name
as `${NAME}` or `${NAME:-default}` inside strings.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from junctor.conf.decoding import decode
from junctor.conf.settings import Policy, Settings, Team, TierPolicy
from junctor.conf.sources import Keys, Merged, Source, Table, dotted, merge, origin
from junctor.core.errors import ConfigError


def load(
    path: Path | None, environ: Mapping[str, str], *, overrides: Table | None = None
) -> Settings:
    """
    Read, merge, interpolate and check.

    Args:
        path: a TOML file, or the name of a built-in profile (`default`, `gpu`, `remote`,
            `cluster`); None takes `JUNCTOR_CONFIG`, and without that the profile `default`.
        environ: the environment, usually `os.environ`; it may be empty.
        overrides: a table laid on top of everything, from the command line.

    Raises:
        ConfigError: a file cannot be read or a value is wrong; it names file, key and what was
            expected. A plugin's own table is checked later, by the plugin.

    """
    merged = merge(_source(path, environ))
    merged.lay(overrides or {}, "command line")
    _reserve(merged)
    merged.interpolate(environ)
    _set_data_dir(merged, environ)
    settings = decode({**merged.tree, "origins": merged.origins}, Settings, origins=merged.origins)
    _check_names(settings)
    return settings


def _source(path: Path | None, environ: Mapping[str, str]) -> Source:
    named = path or (Path(environ["JUNCTOR_CONFIG"]) if environ.get("JUNCTOR_CONFIG") else None)
    return Source.named(named) if named else Source.profile("default")


def _reserve(merged: Merged) -> None:
    if "origins" in merged.tree:
        raise ConfigError("Unknown key.", file=origin(merged.origins, ("origins",)), key="origins")


def _set_data_dir(merged: Merged, environ: Mapping[str, str]) -> None:
    storage = merged.tree.setdefault("storage", {})
    if not isinstance(storage, dict):
        return
    table = cast("Table", storage)
    if environ.get("JUNCTOR_DATA_DIR"):
        table["data_dir"] = environ["JUNCTOR_DATA_DIR"]
        merged.origins["storage.data_dir"] = "JUNCTOR_DATA_DIR"
    folder = table.get("data_dir", Settings().storage.data_dir)
    table["data_dir"] = _expanded(folder, environ) if isinstance(folder, str) else folder


def _expanded(folder: str, environ: Mapping[str, str]) -> str:
    if folder != "~" and not folder.startswith("~/"):
        return folder
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return str(home / folder[2:])


def _check_names(settings: Settings) -> None:
    """Check how providers and models are written, which no type can say."""
    for name, model in settings.models.items():
        _check_candidates(settings, ("models", name, "pool"), model.pool)
        _check_candidates(settings, ("models", name, "chain"), model.chain)
    for at, policy in _tiers(settings):
        for key in ("provider_preference", "fallback_chain", "ensemble"):
            _check_candidates(settings, (*at, key), getattr(policy, key), takes_providers=True)


def _tiers(settings: Settings) -> Iterator[tuple[Keys, TierPolicy]]:
    owners: dict[Keys, Policy | Team] = {
        ("teams", name): one for name, one in settings.teams.items()
    }
    owners |= {("policy",): settings.policy, ("team_defaults",): settings.team_defaults}
    for at, owner in owners.items():
        for tier, policy in owner.tiers.items():
            yield (*at, "tiers", tier), policy


def _check_candidates(
    settings: Settings, at: Keys, chain: tuple[str, ...], *, takes_providers: bool = False
) -> None:
    wanted = "a provider or 'provider:model'" if takes_providers else "'provider:model'"
    for index, candidate in enumerate(chain):
        provider, colon, model = candidate.partition(":")
        if not (provider and (model if colon else takes_providers)):
            raise ConfigError(
                f"Expected {wanted}, got {candidate!r}.",
                file=origin(settings.origins, at),
                key=dotted((*at, index)),
            )
