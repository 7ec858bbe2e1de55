from types import SimpleNamespace

import pytest

from junctor.core.errors import PluginError
from junctor.core.hooks import SPECS, hookimpl, junctor_plan
from junctor.core.registry import Registry


def plugin(**functions):
    return SimpleNamespace(**functions)


@hookimpl
def junctor_attempt(attempt):
    return attempt


def refusal(registry, one) -> str:
    with pytest.raises(PluginError) as caught:
        registry.add(one, "acme")
    return str(caught.value)


@pytest.fixture(name="registry")
def _registry():
    return Registry()


def test_calls_come_in_the_order_of_names(registry):
    """Whoever was registered last is not called first, as pluggy would."""
    for name in ("b", "c", "a"):
        registry.add(plugin(junctor_attempt=hookimpl(lambda attempt: attempt)), name)

    assert [call.plugin for call in registry.calls("junctor_attempt")] == ["a", "b", "c"]


def test_implementation_may_take_fewer_arguments(registry):
    """Arguments can be added to a hook without breaking anybody."""

    @hookimpl
    def junctor_plan(wish):
        return wish

    registry.add(plugin(junctor_plan=junctor_plan), "acme")
    (call,) = registry.calls("junctor_plan")

    assert call(plan="plan", wish="wish") == "wish"


def test_methods_of_an_object_are_hooks_too(registry):
    """An entry point may name an object."""

    class Acme:
        @hookimpl
        def junctor_attempt(self, attempt):
            return attempt

    registry.add(Acme(), "acme")

    assert [call(attempt=1) for call in registry.calls("junctor_attempt")] == [1]


def test_misspelled_hook_is_answered_with_the_nearest(registry):
    """pluggy alone would ignore it in silence."""

    @hookimpl
    def junctor_provider(settings):
        return []

    assert refusal(registry, plugin(junctor_provider=junctor_provider)) == (
        "there is no hook 'junctor_provider'; did you mean 'junctor_providers'?"
    )


def test_hook_like_none_of_ours_is_answered_with_all(registry):
    """The author sees what there is."""

    @hookimpl
    def setup():
        return []

    assert refusal(registry, plugin(setup=setup)).endswith(f"there are {', '.join(SPECS)}")


def test_argument_that_the_hook_does_not_have_is_refused(registry):
    """It could never be called."""

    @hookimpl
    def junctor_plan(plan, mood):
        return plan

    assert "{'mood'} are declared" in refusal(registry, plugin(junctor_plan=junctor_plan))


def test_undecorated_hook_is_refused(registry):
    """A forgotten decorator would go unseen."""
    one = plugin(junctor_attempt=junctor_attempt, junctor_plan=lambda plan: plan)

    assert refusal(registry, one) == (
        "junctor_plan is not decorated with junctor.core.hooks.hookimpl"
    )


def test_plugin_without_hooks_is_refused(registry):
    """It would do nothing, and say nothing."""
    assert refusal(registry, plugin()).startswith("it implements no hook")


def test_imported_specification_is_no_implementation(registry):
    """`from junctor.core.hooks import *` does no harm."""
    one = plugin(junctor_attempt=junctor_attempt, junctor_plan=junctor_plan)

    registry.add(one, "acme")

    assert registry.calls("junctor_plan") == ()


def test_wrapper_is_refused(registry):
    """Hooks are called one by one: there is nothing to wrap."""

    @hookimpl(wrapper=True)
    def junctor_attempt(attempt):
        return (yield)

    assert "is a wrapper" in refusal(registry, plugin(junctor_attempt=junctor_attempt))


def test_async_hook_is_refused(registry):
    """Nobody would await it."""

    @hookimpl
    async def junctor_attempt(attempt):
        return attempt

    assert "is async" in refusal(registry, plugin(junctor_attempt=junctor_attempt))


def test_same_object_twice_is_refused(registry):
    """Two entry points to one module are one too many; the first one stays."""
    one = plugin(junctor_attempt=junctor_attempt)
    registry.add(one, "first")

    assert "another name already" in refusal(registry, one)
    assert [call.plugin for call in registry.calls("junctor_attempt")] == ["first"]


def test_nothing_stays_of_a_refused_plugin(registry):
    """Its good hooks go with the bad one, and the next plugin does not suffer."""

    @hookimpl
    def junctor_atempt(attempt):
        return attempt

    refusal(registry, plugin(junctor_attempt=junctor_attempt, junctor_atempt=junctor_atempt))
    registry.add(plugin(junctor_attempt=junctor_attempt), "next")

    assert [call.plugin for call in registry.calls("junctor_attempt")] == ["next"]


def test_removed_plugin_is_not_called(registry):
    """And removing what is not there is no error."""
    registry.add(plugin(junctor_attempt=junctor_attempt), "acme")

    registry.remove("acme")
    registry.remove("acme")

    assert registry.calls("junctor_attempt") == ()
