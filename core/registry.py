"""The typed front of pluggy; nobody else touches it."""

from collections.abc import Callable
from difflib import get_close_matches
from inspect import getattr_static, isasyncgenfunction, iscoroutinefunction

import pluggy
from attrs import frozen

from junctor.core import hooks
from junctor.core.errors import PluginError
from junctor.core.hooks import PROJECT, SPECS


@frozen
class HookCall:
    """One plugin's implementation of one hook, called by the names of the specification."""

    plugin: str
    function: Callable[..., object]
    arguments: tuple[str, ...]

    def __call__(self, **values: object) -> object:
        """Call it with those of the values that it asks for."""
        return self.function(*[values[name] for name in self.arguments])


class Registry:
    """Which plugins implement which hooks; a plugin is in it whole or not at all."""

    def __init__(self) -> None:
        self._relay = pluggy.PluginManager(PROJECT)
        self._relay.add_hookspecs(hooks)
        self._calls: dict[str, tuple[HookCall, ...]] = {}

    def add(self, plugin: object, name: str) -> None:
        """
        Register a plugin's hooks.

        Raises:
            PluginError: it implements no hook, one that does not exist, or one that cannot be
                called; nothing of it stays.

        """
        _check_marked(plugin)
        try:
            self._register(plugin, name)
        except BaseException:
            self.remove(name)
            raise
        self._calls.clear()

    def remove(self, name: str) -> None:
        """Take a plugin's hooks out; no matter if there are none."""
        if self._relay.has_plugin(name):
            self._relay.unregister(name=name)
            self._calls.clear()

    def calls(self, hook: str) -> tuple[HookCall, ...]:
        """Return the implementations of a hook in the order of plugin names."""
        if hook not in self._calls:
            # pluggy would call the last registered first.
            found = getattr(self._relay.hook, hook).get_hookimpls()
            calls = [HookCall(one.plugin_name, one.function, tuple(one.argnames)) for one in found]
            self._calls[hook] = tuple(sorted(calls, key=lambda call: call.plugin))
        return self._calls[hook]

    def _register(self, plugin: object, name: str) -> None:
        try:
            self._relay.register(plugin, name=name)
            self._relay.check_pending()
        except pluggy.PluginValidationError as exc:
            raise PluginError(self._explained(plugin, exc)) from exc
        except ValueError as exc:
            raise PluginError("the same object is registered under another name already") from exc
        callers = self._relay.get_hookcallers(plugin) or []
        for implementation in (one for caller in callers for one in caller.get_hookimpls()):
            if implementation.plugin is plugin:
                _check_plain(implementation)

    def _explained(self, plugin: object, error: pluggy.PluginValidationError) -> str:
        callers = self._relay.get_hookcallers(plugin) or []
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        if not unknown:
            return " ".join(str(error).split())
        near = get_close_matches(unknown[0], SPECS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(SPECS)}"
        return f"there is no hook {unknown[0]!r}; {hint}"


def _check_marked(plugin: object) -> None:
    """Refuse a plugin without a hook, or with a function that only looks like one."""
    found = {name: getattr_static(plugin, name, None) for name in dir(plugin)}
    marked = {name for name, value in found.items() if hasattr(value, f"{PROJECT}_impl")}
    for name in SPECS:
        value = found.get(name)
        is_spec = hasattr(value, f"{PROJECT}_spec")
        if callable(value) and name not in marked and not is_spec:
            raise PluginError(f"{name} is not decorated with junctor.core.hooks.hookimpl")
    if not marked:
        raise PluginError(
            "it implements no hook; decorate one with junctor.core.hooks.hookimpl "
            f"({', '.join(SPECS)})"
        )


def _check_plain(implementation: pluggy.HookImpl) -> None:
    function = implementation.function
    if implementation.wrapper or implementation.hookwrapper:
        raise PluginError(f"{function.__name__} is a wrapper; junctor calls plain hooks only")
    if iscoroutinefunction(function) or isasyncgenfunction(function):
        raise PluginError(f"{function.__name__} is async; hooks are plain functions")
