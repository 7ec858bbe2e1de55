"""One time of asking all plugins for their providers."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import cast

from attrs import evolve

from junctor.conf.settings import Settings
from junctor.core.catalog import Absence
from junctor.core.errors import ConfigError, NotConfiguredError
from junctor.core.inspection import check_clashes, checked
from junctor.core.offers import Offer, Offered, serving
from junctor.core.plugin_status import PluginStatus, Stage, State
from junctor.core.providers import Provider

Ask = Callable[[], object]
"""Calls one plugin's `junctor_providers`."""

_REASONS = {State.DENIED: "turned off", State.INACTIVE: "not configured"}


class Round:
    """Asks one plugin after the other, each on its own risk, and gathers the offer."""

    def __init__(self, settings: Settings, previous: Offer | None) -> None:
        self._settings = settings
        self._previous = previous or Offer()
        self._offered: list[Offered] = []
        self._statuses: list[PluginStatus] = []
        self._absences: dict[str, Absence] = {}
        self._tables: dict[str, object] = {}

    def ask(self, status: PluginStatus, hook: Ask | None) -> None:
        """Add what one plugin offers, or why it offers nothing."""
        if status.status is not State.OK:
            self._leave_out(status)
            return
        try:
            new = () if hook is None else self._from(status.name, hook)
            check_clashes(new, self._offered)
        except NotConfiguredError as error:
            self._leave_out(evolve(status, status=State.INACTIVE, reason=str(error)))
        except ConfigError as error:
            self._leave_out(status.failed(Stage.CONFIGURATION, error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - plugin boundary, logged by the caller
            self._leave_out(status.failed(Stage.PROVIDERS, error))
        else:
            self._offered += new
            self._statuses.append(serving(status, new))
            if hook is not None and not new:
                self._absences[status.name] = Absence(
                    reason="not configured", detail="it offers no provider with these settings"
                )

    def miss(self, known: Iterable[str]) -> None:
        """List the tables that no plugin answers for: a slip of the pen would go unseen."""
        names = sorted(known)
        for name in sorted(set(self._settings.plugins) - set(names)):
            near = get_close_matches(name, names, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Installed: {', '.join(names)}."
            reason = f"[plugins.{name}] is set, but no such plugin is installed. {hint}"
            self._leave_out(PluginStatus(name=name).failed(Stage.CONFIGURATION, reason))

    def offer(self) -> Offer:
        """Return all of it."""
        here = {one.name for one in self._offered}
        return Offer(
            offered=tuple(self._offered),
            statuses=tuple(self._statuses),
            absences={name: why for name, why in self._absences.items() if name not in here},
            tables=self._tables,
        )

    def _from(self, plugin: str, hook: Ask) -> tuple[Offered, ...]:
        table = self._settings.plugins.get(plugin)
        self._tables[plugin] = table
        before = self._previous.tables
        is_same = plugin in before and before[plugin] == table
        kept = self._previous.of_plugin(plugin) if is_same else ()
        if kept and self._previous.is_whole(plugin):
            return kept
        running = {one.name: one for one in kept}
        providers = cast("Iterable[Provider] | None", hook())
        fresh = [checked(plugin, provider) for provider in providers or ()]
        return tuple(running.get(one.name, one) for one in fresh)

    def _leave_out(self, status: PluginStatus) -> None:
        self._statuses.append(status)
        failed = "failed to load" if status.distribution else "not installed"
        reason = _REASONS.get(status.status, failed)
        self._absences.setdefault(status.name, Absence(reason=reason, detail=status.reason))
