"""
Plugins: loaded one by one, each on its own risk, with one method for each hook.

Made by the composition root and by the command line, never at import. Hooks are called plugin by
plugin, so that one that raises costs its own result and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import Distribution
from typing import TYPE_CHECKING, TypeVar, cast

from attrs import evolve

from junctor.conf.decoding import decode
from junctor.conf.secrets import reveal
from junctor.conf.settings import Loader, Settings
from junctor.core.attempts import Attempt
from junctor.core.complaints import Complaints
from junctor.core.discovery import Found, find_plugins
from junctor.core.errors import PluginError
from junctor.core.offers import Offer
from junctor.core.plans import Exclusion, Fault, Plan, Wish
from junctor.core.plugin_status import PluginStatus, Stage, State, refuse_failures
from junctor.core.registry import Registry
from junctor.core.rounds import Round
from junctor.core.transcripts import Transcript

if TYPE_CHECKING:
    from click import Command
    from litestar.types import ControllerRouterHandler

T = TypeVar("T")


def plugin_settings(settings: Settings, name: str, shape: type[T]) -> T:
    """
    Convert a plugin's own table `[plugins.<name>]` to its type; an absent table is an empty one.

    Args:
        settings: what the hook was given.
        name: the plugin's entry-point name.
        shape: a `msgspec.Struct`; its fields may be of type `Secret`.

    Raises:
        ConfigError: it does not fit; file, key and what was expected are named.

    """
    table = reveal(settings.plugins.get(name, {}))
    return decode(table, shape, origins=settings.origins, at=("plugins", name))


class Plugins:
    """The plugins of one process, and a method for each hook."""

    def __init__(self, loader: Loader, *, complaints: Complaints | None = None) -> None:
        self._loader = loader
        self._complaints = complaints or Complaints()
        self._registry = Registry()
        self._statuses: dict[str, PluginStatus] = {}

    @classmethod
    def load(
        cls,
        loader: Loader,
        *,
        installed: Iterable[Distribution] | None = None,
        complaints: Complaints | None = None,
    ) -> "Plugins":
        """
        Import and register what is installed and allowed: junctor's own first, then by name.

        Args:
            loader: `[loader]` of the settings.
            installed: the distributions to look at; None for all on `sys.path`.
            complaints: where failures are logged.

        Raises:
            PluginError: a plugin failed, and `loader.strict` is set.

        """
        plugins = cls(loader, complaints=complaints)
        found = find_plugins(installed)
        for one in found:
            plugins._admit(one)
        plugins._miss({one.name for one in found})
        plugins._refuse_if_strict()
        return plugins

    @property
    def statuses(self) -> tuple[PluginStatus, ...]:
        """One per plugin in loading order; an `Offer` knows more, once there is one."""
        return tuple(self._statuses.values())

    def take_out(self, name: str, stage: Stage, reason: str | BaseException) -> None:
        """Undo a plugin's registration and list it as failed; the others stay."""
        self._registry.remove(name)
        self._fail(name, self._statuses[name].failed(stage, reason))

    def providers(self, settings: Settings, *, previous: Offer | None = None) -> Offer:
        """
        Ask every plugin for its providers, check them, and say who is not there and why.

        Nothing is started and nothing of the plugins' state changes, so that an offer which is
        not wanted can be thrown away. At a reload the offer in use is passed as `previous`: where
        a plugin's raw table is equal to the one before, its providers that serve are kept as the
        same objects, so that engines are not restarted, and the plugin is asked again only if
        some of them are missing.

        Raises:
            PluginError: a plugin failed, and `loader.strict` is set.

        """
        asking = Round(settings, previous)
        calls = {call.plugin: call for call in self._registry.calls("junctor_providers")}
        for status in self._statuses.values():
            call = calls.get(status.name)
            asking.ask(status, partial(call, settings=settings) if call else None)
        asking.miss(self._statuses)
        offer = asking.offer()
        for status in offer.statuses:
            if status.status is State.FAILED and status != self._statuses.get(status.name):
                self._complaints.failed(status)
        if self._loader.strict:
            refuse_failures(offer.statuses)
        return offer

    def routers(self, settings: Settings) -> "Mapping[str, tuple[ControllerRouterHandler, ...]]":
        """
        Return each plugin's handlers; ask before `providers`, since a failure takes it out whole.

        Raises:
            PluginError: a plugin failed, and `loader.strict` is set.

        """
        found = dict(self._collect("junctor_routers", Stage.ROUTERS, settings=settings))
        self._refuse_if_strict()
        return cast("dict[str, tuple[ControllerRouterHandler, ...]]", found)

    def commands(self) -> "Mapping[str, tuple[Command, ...]]":
        """Return each plugin's commands; one that fails is taken out, whatever `strict` says."""
        found = dict(self._collect("junctor_commands", Stage.COMMANDS))
        return cast("dict[str, tuple[Command, ...]]", found)

    def plan(self, plan: Plan, wish: Wish) -> Plan:
        """Let each plugin, in the order of names, reorder or veto the candidates."""
        for call in self._registry.calls("junctor_plan"):
            try:
                plan = _vetted(plan, call(plan=plan, wish=wish), call.plugin)
            except Exception as error:  # noqa: BLE001 - plugin boundary, logged
                self._complaints.raised(call.plugin, "junctor_plan", error)
        return plan

    def transcript(self, transcript: Transcript, wish: Wish) -> Transcript:
        """Let each plugin, in the order of names, post-process a finished transcript."""
        for call in self._registry.calls("junctor_transcript"):
            try:
                result = call(transcript=transcript, wish=wish)
                transcript = transcript if result is None else _of_type(result, Transcript)
            except Exception as error:  # noqa: BLE001 - plugin boundary, logged
                self._complaints.raised(call.plugin, "junctor_transcript", error)
        return transcript

    def attempt(self, attempt: Attempt) -> None:
        """Tell each plugin of a finished attempt."""
        for call in self._registry.calls("junctor_attempt"):
            try:
                call(attempt=attempt)
            except Exception as error:  # noqa: BLE001 - plugin boundary, logged
                self._complaints.raised(call.plugin, "junctor_attempt", error)

    def _collect(
        self, hook: str, stage: Stage, **values: object
    ) -> Iterator[tuple[str, tuple[object, ...]]]:
        for call in self._registry.calls(hook):
            try:
                found = _listed(call(**values))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - plugin boundary, logged
                self.take_out(call.plugin, stage, error)
            else:
                yield call.plugin, found

    def _admit(self, found: Found) -> None:
        status = PluginStatus(
            name=found.name, distribution=found.distribution, version=found.version
        )
        twin = self._statuses.get(found.name)
        if twin is not None:
            reason = f"the name {found.name!r} is taken by {twin.distribution} {twin.version}"
            self._fail(
                f"{found.name} ({found.distribution})", status.failed(Stage.DISCOVERY, reason)
            )
        elif (denial := self._denial(found.name)) is not None:
            self._statuses[found.name] = evolve(status, status=State.DENIED, reason=denial)
        else:
            self._statuses[found.name] = status
            self._load(found, status)

    def _denial(self, name: str) -> str | None:
        if name in self._loader.deny:
            return "turned off by loader.deny"
        if self._loader.allow is not None and name not in self._loader.allow:
            return "not in loader.allow"
        return None

    def _load(self, found: Found, status: PluginStatus) -> None:
        if found.entry_point is None:
            self._fail(found.name, status.failed(Stage.DISCOVERY, found.reason))
            return
        stage = Stage.IMPORT
        try:
            plugin = found.entry_point.load()
            stage = Stage.REGISTRATION
            self._registry.add(plugin, found.name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - plugin boundary, logged
            self.take_out(found.name, stage, error)

    def _miss(self, installed: set[str]) -> None:
        for name in self._loader.allow or ():
            if name not in installed:
                status = PluginStatus(name=name)
                reason = "loader.allow names it, but no such plugin is installed"
                self._fail(name, status.failed(Stage.DISCOVERY, reason))

    def _fail(self, key: str, status: PluginStatus) -> None:
        self._statuses[key] = status
        self._complaints.failed(status)

    def _refuse_if_strict(self) -> None:
        if self._loader.strict:
            refuse_failures(self.statuses)


def _vetted(plan: Plan, result: object, plugin: str) -> Plan:
    """Accept a plan that only reorders or leaves out; note what was left out in silence."""
    if result is None:
        return plan
    changed = _of_type(result, Plan)
    if any(candidate not in plan.candidates for candidate in changed.candidates):
        raise PluginError("a plan may be reordered or shortened, not added to")
    named = {exclusion.model for exclusion in changed.excluded}
    named |= {candidate.card.name for candidate in changed.candidates}
    vetoed = tuple(
        Exclusion(
            model=candidate.card.name, reason=f"left out by plugin {plugin}", fault=Fault.SERVER
        )
        for candidate in plan.candidates
        if candidate.card.name not in named
    )
    return evolve(changed, excluded=(*changed.excluded, *vetoed)) if vetoed else changed


def _of_type(result: object, wanted: type[T]) -> T:
    if not isinstance(result, wanted):
        raise PluginError(f"expected {wanted.__name__} or None, got {type(result).__name__}")
    return result


def _listed(result: object) -> tuple[object, ...]:
    return () if result is None else tuple(cast("Iterable[object]", result))
